"""The search for covers of the fewest lookups: dynamic programming over (node, gate), for many trees at once.

See `skfhe._trees.cover` for what is searched. A *cell* is a node and the gate below which disagreements
count; cells of one node are the columns of a row: the first for no gate, the tree's root, the others for the
gate at the node itself, at its parent, and so on up to where the disagreements of a path exceed any lookup.

All trees are searched together, from the deepest nodes up, level by level. Two numbers a cell are enough for
all values that a part can be relative to: the fewest lookups relative to a value that is not below the node,
and, for the few values that save some, how many they save.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from skfhe._trees.subtrees import Subtrees, slots, some
from skfhe._typing import BoolArray, FloatArray, IntArray

__all__ = ["DESCEND", "GATE", "IMPOSSIBLE", "NO_GATE", "OWN_GATE", "PIECE", "Search", "TreeNode"]


MOST_INNER, MOST_INNER_WIDE = 7, 4
"""Pieces of any shape have at most so many inner nodes, with up to `NARROW` bits (3 bits hold no more than 7)
and with more; larger pieces are cut off at one depth."""
NARROW = 4
"""Bits up to which few of the larger parts fit, so that they are searched quickly."""
GATE_PAYS = 2
"""A gate is worth its lookup from so many disagreements on: its answer is one itself."""
PIECE, DESCEND, GATE = range(3)
"""What can be done at a node: look a piece up, go on below it, or look a gate up and go on below that."""
NO_GATE, OWN_GATE = 0, 1
"""Columns of a node's cells."""
NEVER = 1 << 40
"""More than any index or count."""
IMPOSSIBLE = float(1 << 30)
"""What cannot be done costs so many lookups, or more."""


class TreeNode:
    """Node of a tree with one output: an inner node has a split and two children, a leaf a value.

    Parameters
    ----------
    value : int
        Number of the leaf's value; -1 for an inner node.
    split : int
        Number of the split of an inner node.
    children : tuple of TreeNode
        For the answers 0 and 1.
    """

    __slots__ = ("children", "split", "value")

    def __init__(self, value: int, split: int = -1, children: tuple[TreeNode, ...] = ()) -> None:
        self.value = value
        self.split = split
        self.children = children


class Savings(NamedTuple):
    """Lookups that are saved relative to a value, for the cells and values that save any."""

    node: IntArray
    column: IntArray
    value: IntArray
    saved: FloatArray

    def where(self, mask: Any) -> Savings:
        """Return some of them."""
        return Savings(*(array[mask] for array in self))


class Search:
    """The fewest lookups of ``n_bits`` bits for each of several trees.

    Parameters
    ----------
    roots : sequence of TreeNode
        Trees that ask nothing whose answer is known from the path.
    chains : ndarray of int64
        Chain of each split.
    n_bits : int

    Attributes
    ----------
    parts : list of Subtrees
        The parts that pieces may read.
    left, right, parent, split, value, depth : list of int
        Of each node; -1 where there is none. The roots are the first nodes. A node below which all values are
        one is a leaf: elsewhere, a path that is too long for any lookup ends at nothing that needs none.
    """

    def __init__(self, roots: Sequence[TreeNode], chains: IntArray, n_bits: int) -> None:
        self.cells = 1 << n_bits
        self._number(roots)
        zero, one = self._value[self._left], self._value[self._right]
        if ((zero >= 0) & (zero == one)).any():
            self._number([_without_idle(root) for root in roots])
        self._chain = np.append(np.asarray(chains, dtype=np.int64), -1)[self._split]
        self._count_units()
        most = MOST_INNER if n_bits <= NARROW else MOST_INNER_WIDE
        self.parts = [*self._shapes(most), *self._cut_off(most)]
        self._solve()

    # Nodes, numbered by depth.

    def _number(self, roots: Sequence[TreeNode]) -> None:
        left: list[int] = []
        right: list[int] = []
        parent, side = [-1] * len(roots), [0] * len(roots)
        split: list[int] = []
        value: list[int] = []
        self._starts = [0]
        level = list(roots)
        n_nodes = len(level)
        while level:
            below: list[TreeNode] = []
            for number, node in enumerate(level, start=self._starts[-1]):
                split.append(node.split)
                value.append(node.value)
                if node.children:
                    left.append(n_nodes)
                    right.append(n_nodes + 1)
                    n_nodes += 2
                    below += node.children
                    parent += (number, number)
                    side += (0, 1)
                else:
                    left.append(-1)
                    right.append(-1)
            self._starts.append(self._starts[-1] + len(level))
            level = below
        self.left, self.right, self.parent, self.split, self.value = left, right, parent, split, value
        # one more node, a leaf, stands for none
        self._left, self._right, self._parent, self._split, self._value, self._side = (
            np.array([*of_nodes, -1], dtype=np.int64)
            for of_nodes in (left, right, parent, split, value, side)
        )
        depths = np.repeat(np.arange(len(self._starts) - 1), np.diff(self._starts))
        self._depth = np.append(depths, 0)
        self.depth = depths.tolist()

    def _count_units(self) -> None:
        """Count the disagreements that the paths to each cell can have, and find the chains on them."""
        n_nodes, deepest = len(self._left), len(self._starts) - 2
        self._path_chain = np.full((n_nodes, max(1, deepest)), -2, dtype=np.int64)
        self._path_side = np.zeros((n_nodes, max(1, deepest)), dtype=np.int8)
        units = np.full((n_nodes, deepest + 1), NEVER)
        units[:, 0] = 0
        for depth in range(1, deepest + 1):
            at = slice(self._starts[depth], self._starts[depth + 1])
            parents = self._parent[at]
            self._path_chain[at, 0], self._path_side[at, 0] = self._chain[parents], self._side[at]
            self._path_chain[at, 1:depth] = self._path_chain[parents, : depth - 1]
            self._path_side[at, 1:depth] = self._path_side[parents, : depth - 1]
            before = self._path_chain[parents] == self._chain[parents, None]
            nearest = np.where(before.any(axis=1), before.argmax(axis=1), NEVER)
            units[at, 1 : depth + 1] = units[parents, :depth] + (nearest[:, None] >= np.arange(depth))
        gated = np.where(np.arange(deepest + 1) < self._depth[:, None], units + 1, NEVER)
        n_columns = 1 + max(0, *np.flatnonzero((gated < self.cells).any(axis=0)).tolist(), 0)
        self._n_columns = 1 + n_columns
        self._steps = np.r_[0, np.arange(n_columns)]  # from a node up to its gate
        self._steps_up = np.r_[-1, np.arange(n_columns + 1)]  # and for one more column
        ungated = units[np.arange(n_nodes), self._depth]
        self._units = np.c_[ungated, gated[:, :n_columns]]
        self._reachable = self._units < self.cells

    def _columns(self, depth: IntArray) -> IntArray:
        """Columns, in the rows of nodes ``depth`` below, of the same gates; the last column is of none."""
        shifted = np.minimum(np.arange(1, self._n_columns) + depth[:, None], self._n_columns)
        return np.c_[np.zeros(len(depth), dtype=np.int64), shifted]

    # Parts.

    def _shapes(self, most: int) -> Iterator[Subtrees]:
        """Yield the connected parts of up to ``most`` inner nodes, shape by shape.

        A shape is that of parts with a node less, and a node that comes after theirs. An index is no smaller
        with one node more: where a part does not fit, none that is grown from it does.
        """
        inner = self._left >= 0
        at = np.flatnonzero(inner)
        todo: deque[tuple[tuple[str, ...], str, IntArray, IntArray]] = deque()
        todo.append(((), "", at, np.zeros((len(at), 0), dtype=np.int64)))
        while todo:
            shape, way, at, members = todo.popleft()
            last = self._follow(at, way)
            more = inner[last]
            at, members, shape = at[more], np.c_[members[more], last[more]], (*shape, way)
            if not len(at):
                continue
            fits = self._fits(at, *slots(self._chain[members], self._split[members]))
            kept = fits.any(axis=1)
            if not kept.any():
                continue
            at, members, fits = at[kept], members[kept], fits[kept]
            ends = {way + step for way in shape for step in "01"} - set(shape)
            yield Subtrees(at, shape, *self._left_below(at, ends), fits, 0)
            if len(shape) < most:
                later = sorted((len(end), end) for end in ends if (len(end), end) > (len(way), way))
                todo += ((shape, end, at, members) for _, end in later)

    def _left_below(self, at: IntArray, ends: Iterable[str]) -> tuple[IntArray, IntArray, IntArray]:
        """Return the inner nodes among the ``ends`` of parts at nodes, their owners and how deep they are."""
        found = [self._follow(at, way) for way in ends]
        inner = [self._left[nodes] >= 0 for nodes in found]
        below = np.concatenate([nodes[those] for nodes, those in zip(found, inner, strict=True)])
        owner = np.concatenate([np.flatnonzero(those) for those in inner])
        depth = np.repeat([len(way) for way in ends], [those.sum() for those in inner])
        order = np.argsort(owner, kind="stable")
        return below[order], owner[order], depth[order]

    def _follow(self, nodes: IntArray, way: str) -> IntArray:
        for step in way:
            nodes = (self._right if step == "1" else self._left)[nodes]
        return nodes

    def _cut_off(self, most: int) -> Iterator[Subtrees]:
        """Yield the parts of more than ``most`` inner nodes that are cut off at one depth, depth by depth."""
        nodes = np.flatnonzero(self._left >= 0)
        top, member = nodes, nodes  # pairs of a part's node and one of its inner nodes
        edge_top, edge = self._inner_children(nodes, nodes)
        for cut in range(2, len(self._starts)):
            top, member = np.r_[top, edge_top], np.r_[member, edge]
            kept = np.isin(top, edge_top)
            top, member = top[kept], member[kept]
            if not len(top):
                return
            edge_top, edge = self._inner_children(edge_top, edge)
            nodes, chains, counts = self._ranks(top, member)
            small = nodes[np.prod(counts + 1, axis=1) <= self.cells]
            kept, kept_edge = np.isin(top, small), np.isin(edge_top, small)
            top, member, edge_top, edge = top[kept], member[kept], edge_top[kept_edge], edge[kept_edge]
            rows = np.isin(nodes, small) & (np.bincount(top, minlength=len(self._left))[nodes] > most)
            fits = self._fits(nodes[rows], chains[rows], counts[rows])
            at = nodes[rows]
            order = np.argsort(edge_top, kind="stable")
            left = np.isin(edge_top[order], at)
            below = edge[order][left]
            owner = np.searchsorted(at, edge_top[order][left])
            parts = Subtrees(at, (), below, owner, np.full(len(below), cut), fits, cut)
            if fits.any():
                yield some(parts, fits.any(axis=1))

    def _inner_children(self, top: IntArray, nodes: IntArray) -> tuple[IntArray, IntArray]:
        children = np.r_[self._left[nodes], self._right[nodes]]
        inner = self._left[children] >= 0
        return np.r_[top, top][inner], children[inner]

    def _ranks(self, top: IntArray, member: IntArray) -> tuple[IntArray, IntArray, IntArray]:
        """For each part, ascending: its node, its chains, and how many splits of each it has."""
        n_splits = int(self._split.max()) + 1
        asked = np.unique(top * n_splits + self._split[member])
        of_part, chain = asked // n_splits, self._chain_of_split(asked % n_splits)
        n_chains = int(self._chain.max()) + 1
        pairs, counts = np.unique(of_part * n_chains + chain, return_counts=True)
        nodes, first, n_slots = np.unique(pairs // n_chains, return_index=True, return_counts=True)
        slot = np.arange(len(pairs)) - np.repeat(first, n_slots)
        row = np.repeat(np.arange(len(nodes)), n_slots)
        chains, filled = np.full((2, len(nodes), int(n_slots.max())), -1, dtype=np.int64)
        filled[:] = 0
        chains[row, slot], filled[row, slot] = pairs % n_chains, counts
        return nodes, chains, filled

    def _chain_of_split(self, splits: IntArray) -> IntArray:
        table = np.zeros(int(self._split.max()) + 1, dtype=np.int64)
        table[self._split[self._split >= 0]] = self._chain[self._split >= 0]
        return table[splits]

    def _fits(self, nodes: IntArray, chains: IntArray, counts: IntArray) -> BoolArray:
        """Whether an index can be small enough, shape (n_parts, n_columns).

        Chains of the path that the part asks, too, can be further ranks of a digit in place of a
        disagreement. With a given number of such chains the index is smallest where they make its digits
        longer by the smallest factors.
        """
        size = np.prod(counts + 1, axis=1)
        units = self._units[nodes]
        fits = (size[:, None] * (units + 1) <= self.cells) & self._reachable[nodes]
        first = np.full((2, *chains.shape), NEVER)  # steps up to where each chain is asked, by the answer
        for slot, of_slot in enumerate(chains.T):
            asked = self._path_chain[nodes] == of_slot[:, None]
            for side in (0, 1):
                found = asked & (self._path_side[nodes] == side)
                first[side, :, slot] = np.where(found.any(axis=1), found.argmax(axis=1), NEVER)
        nearest = first.min(axis=(0, 2), initial=NEVER)
        length = np.where(np.arange(self._n_columns) == NO_GATE, self._depth[nodes][:, None], self._steps)
        rows, columns = np.nonzero(~fits & self._reachable[nodes] & (nearest[:, None] < length))
        if not len(rows):
            return fits
        longer = (first[:, rows] < length[rows, columns][:, None]).sum(axis=0)
        ranks = counts[rows] + 1
        factors = np.sort(np.where(longer > 0, (ranks + longer) / ranks, np.inf), axis=1).cumprod(axis=1)
        fewer = np.maximum(1, units[rows, columns][:, None] - np.arange(factors.shape[1]))
        smallest = (size[rows][:, None] * factors * fewer).min(axis=1)
        fits[rows, columns] = smallest <= self.cells + 0.5
        return fits

    # The dynamic programme.

    def _solve(self) -> None:
        n_nodes, width = len(self._left), self._n_columns
        leaf = self._left < 0
        self._fewest = np.full((n_nodes, width + 1), IMPOSSIBLE)  # relative to a value that is not below
        self._free = self._fewest.copy()  # relative to the best value
        self._piece = self._fewest.copy()
        self._which = np.full((n_nodes, width), -1, dtype=np.int64)
        self._fewest[:, :width][leaf[:, None] & self._reachable] = 1
        self._free[leaf] = 0
        self._best = np.repeat(self._value[:, None], width, axis=1)
        self._n_values = int(self._value.max()) + 1
        kept: list[Savings] = []
        none = np.zeros(0, dtype=np.int64)
        below = Savings(none, none, none, np.zeros(0))
        for depth in reversed(range(len(self._starts) - 1)):
            level = np.arange(self._starts[depth], self._starts[depth + 1])
            inner, leaves = level[~leaf[level]], level[leaf[level]]
            # A leaf of the value that all is relative to needs no lookup, even where none could read it.
            row, column = np.nonzero(self._steps_up < self._depth[leaves, None])
            of_leaves = leaves[row]
            alone = Savings(of_leaves, column, self._value[of_leaves], self._fewest[of_leaves, column])
            found = self._level(inner, below) if len(inner) else below.where(slice(0))
            kept.append(found)
            below = _joined(found, alone)
        node, column, value, saved = _joined(*kept)
        keys = self._key(node, column, value).tolist()
        self._saved = dict(zip(keys, saved.astype(np.int64).tolist(), strict=True))

    def _key(self, node: Any, column: Any, value: Any) -> Any:
        return (node * (self._n_columns + 1) + column) * self._n_values + value

    def _level(self, inner: IntArray, below: Savings) -> Savings:
        """Solve the cells of the inner nodes of one depth, and return what values save in them."""
        width = self._n_columns
        piece = self._pieces(inner)
        one = self._columns(np.ones(1, dtype=np.int64))
        descend = self._fewest[self._left[inner, None], one] + self._fewest[self._right[inner, None], one]
        fewest = np.where(self._reachable[inner], np.minimum(piece, descend), IMPOSSIBLE)
        # what is below a gate does not depend on others above it
        can_gate = self._reachable[inner] & (self._units[inner] >= GATE_PAYS)
        can_gate[:, OWN_GATE] = False
        can_gate &= (self._depth[inner] > 0)[:, None]
        gate = np.where(can_gate, 1 + fewest[:, OWN_GATE, None], IMPOSSIBLE)
        fewest = np.minimum(fewest, gate)
        self._piece[inner, :width], self._fewest[inner, :width] = piece, fewest
        first = int(inner[0])
        row_of = np.zeros(int(inner[-1]) - first + 1, dtype=np.int64)
        row_of[inner - first] = np.arange(len(inner))

        # Going on below a node, both children are relative to the value.
        column = np.where(below.column == NO_GATE, NO_GATE, below.column - 1)
        inside = (below.column != OWN_GATE) & (column < width)
        going = Savings(self._parent[below.node], column, below.value, below.saved).where(inside)
        going = self._gathered(going, np.add)
        at = row_of[going.node - first], going.column
        going = _worth(going, fewest[at] - descend[at] + going.saved)
        own = going.where(going.column == OWN_GATE)
        # So is what is below a gate.
        n_own = np.bincount(row_of[own.node - first], minlength=len(inner))
        most = np.zeros(len(inner))
        np.maximum.at(most, row_of[own.node - first], own.saved)
        rows, columns = np.nonzero(can_gate & (gate - most[:, None] < fewest) & (n_own > 0)[:, None])
        start = np.searchsorted(own.node, inner[rows])
        number = n_own[rows]
        taken = np.arange(number.sum()) - np.repeat(number.cumsum() - number - start, number)
        rows, columns = np.repeat(rows, number), np.repeat(columns, number)
        saved = fewest[rows, columns] - gate[rows, columns] + own.saved[taken]
        gated = _worth(Savings(inner[rows], columns, own.value[taken], saved), saved)
        found = self._gathered(_joined(going, gated), np.maximum)

        self._free[inner, :width] = fewest
        least = np.minimum(self._best[self._left[inner], 0], self._best[self._right[inner], 0])
        self._best[inner] = least[:, None]
        order = np.lexsort((found.value, -found.saved, found.node * width + found.column))
        cell = (found.node * width + found.column)[order]
        chosen = order[np.r_[True, cell[1:] != cell[:-1]][: len(cell)]]
        node, column = found.node[chosen], found.column[chosen]
        self._free[node, column] -= found.saved[chosen]
        self._best[node, column] = found.value[chosen]
        return found

    def _pieces(self, inner: IntArray) -> FloatArray:
        """Fewest lookups with a piece at each of the inner nodes of one depth; also notes which."""
        first, last = int(inner[0]), int(inner[-1])
        cost = np.full((last - first + 1, self._n_columns), IMPOSSIBLE)
        which = np.full(cost.shape, -1, dtype=np.int64)
        for number, parts in enumerate(self.parts):
            low, high = np.searchsorted(parts.nodes, (first, last + 1))
            if low == high:
                continue
            begin, end = np.searchsorted(parts.owner, (low, high))
            of_parts = np.where(parts.fits[low:high], 1.0, IMPOSSIBLE)
            if begin < end:
                below, owner = parts.below[begin:end], parts.owner[begin:end] - low
                left = self._free[below[:, None], self._columns(parts.depth[begin:end])]
                starts = np.flatnonzero(np.r_[True, owner[1:] != owner[:-1]])
                of_parts[owner[starts]] += np.add.reduceat(left, starts, axis=0)
            rows = parts.nodes[low:high] - first
            better = of_parts < cost[rows]
            cost[rows] = np.where(better, of_parts, cost[rows])
            which[rows] = np.where(better, number, which[rows])
        self._which[inner] = which[inner - first]
        return cost[inner - first]

    def _gathered(self, savings: Savings, by: np.ufunc) -> Savings:
        """Put the savings of one cell and value together; sorted by node, column and value."""
        if not len(savings.node):
            return savings
        key = self._key(savings.node, savings.column, savings.value)
        order = np.argsort(key, kind="stable")
        starts = np.flatnonzero(np.r_[True, np.diff(key[order]) > 0])
        saved = by.reduceat(savings.saved[order], starts)
        return savings.where(order[starts])._replace(saved=saved)

    # Reading the solution.

    def cost(self, node: int, column: int, offset: int) -> float:
        """Return the fewest lookups for what is below ``node`` relative to a value."""
        if self.left[node] < 0 and self.value[node] == offset:
            return 0
        return self._fewest.item(node, column) - self._saved.get(self._key(node, column, offset), 0)

    def choice(self, node: int, column: int, offset: int) -> int:
        """Return what is done at a node."""
        cost = self.cost(node, column, offset)
        if self.left[node] < 0 or self._piece.item(node, column) == cost:
            return PIECE
        below = column if column == NO_GATE else column + 1
        children = self.left[node], self.right[node]
        if below <= self._n_columns and cost == sum(self.cost(child, below, offset) for child in children):
            return DESCEND
        return GATE

    def best(self, node: int, column: int) -> int:
        """Return the value that what is below ``node`` is best relative to."""
        return self._best.item(node, min(column, self._n_columns - 1))

    def free(self, node: int, column: int) -> float:
        """Return the fewest lookups for what is below ``node`` relative to that value."""
        return float(self._free[node, column])

    def inner(self, node: int, column: int) -> list[int]:
        """Return the inner nodes of the part that is looked up at a node."""
        parts = self.parts[self._which.item(node, column)]
        if parts.inner:
            return [self._node(node, way) for way in parts.inner]
        found, level = [], [node]
        for _ in range(parts.cut):
            found += level
            level = [
                child for at in level for child in (self.left[at], self.right[at]) if self.left[child] >= 0
            ]
        return found

    def _node(self, node: int, way: str) -> int:
        for step in way:
            node = (self.right if step == "1" else self.left)[node]
        return node


def _without_idle(root: TreeNode) -> TreeNode:
    """Return the tree with a leaf in place of all that is of one value, without recursion: it may be deep."""
    done: list[TreeNode] = []
    todo = [(root, False)]
    while todo:
        node, met = todo.pop()
        if not node.children:
            done.append(node)
        elif not met:
            todo += ((node, True), *((child, False) for child in reversed(node.children)))
        else:
            one, zero = done.pop(), done.pop()
            alike = zero.value >= 0 and zero.value == one.value
            done.append(zero if alike else TreeNode(-1, node.split, (zero, one)))
    return done[0]


def _joined(*savings: Savings) -> Savings:
    node, column, value, saved = (np.concatenate(arrays) for arrays in zip(*savings, strict=True))
    return Savings(node, column, value, saved)


def _worth(savings: Savings, saved: FloatArray) -> Savings:
    """Return those that save something, with how much."""
    return savings._replace(saved=saved).where(saved > 0)
