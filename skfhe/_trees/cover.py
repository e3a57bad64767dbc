"""Covers of a decision tree by lookups: which parts of it are read by one table.

A *piece* is a connected part of a tree, hanging at some node. One lookup evaluates it, and whether its path
is taken, from an index that is linear in the answered splits: the answers within the piece as digits, and
above them the number of decisions on the path that disagree,

    index = Σ_g r_g · rank_g + r · (disagreements),    r_{g+1} = r_g · (number of ranks of g).

The live cells are those without disagreement; all others hold 0, so the pieces of a tree add up to its
value. The splits of a chain (see `skfhe.encoding._splits`) are one digit: the rank of the feature among their
thresholds. On a path, a chain disagrees at most once, whatever its bounds.

A *gate* is a lookup that answers 0 where a path is taken and 1 elsewhere. Below one, disagreements are
counted from there on, the gate's own answer being one. Gates make deep trees affordable.

The value of one leaf of every covered part comes for free: the others are taken relative to it, and where
all values are equal to it, nothing is left to look up.

`TreeCover` is the cover of the fewest lookups of a given width, which `skfhe._trees.search` finds by dynamic
programming over (node, gate above it). It tries every gate, every value that a part can be relative to, and
as pieces all parts of up to 7 inner nodes (4 for lookups of 5 bits or more), and larger parts where they are
all inner nodes down to one depth.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np

from skfhe._trees.search import DESCEND, GATE, IMPOSSIBLE, NO_GATE, OWN_GATE, Search, TreeNode
from skfhe._typing import IntArray

__all__ = ["GateLookup", "Index", "PieceLookup", "TreeCover"]

Bounds = dict[int, tuple[int | None, int | None]]

MAX_NODES = 100_000
"""Nodes of the trees that are searched together."""


@dataclass(frozen=True)
class Index:
    """``offset + Σ weight · bit``: what a lookup reads.

    Parameters
    ----------
    weights : tuple of (int, int)
        Number of a split, or of a gate as ``-1 - gate``, and its weight.
    offset : int
    size : int
        The index lies in [0, size).
    signs : tuple of int, default=()
        Splits whose answer 1 changes the sign of what is read, each.

    Notes
    -----
    A table of as many cells as lookups have goes on with the other sign where the size is larger.
    """

    weights: tuple[tuple[int, int], ...]
    offset: int
    size: int
    signs: tuple[int, ...] = ()


@dataclass(frozen=True)
class GateLookup:
    """Reads 0 at index 0, where the path is taken, and 1 elsewhere."""

    index: Index


@dataclass(frozen=True, eq=False)
class PieceLookup:
    """Reads ``value[plus[cell]] - value[minus[cell]]``; the two are equal in a cell that is not live.

    Parameters
    ----------
    index : Index
    plus, minus : ndarray of int64, shape (size,) or (n_values, size)
        Numbers of values; those of several in a cell are added.
    doublings : int, default=0
        The results are twice what they stand for, so many times.
    added : tuple of (int, int), optional
        ``value[first] - value[second]`` is added to every result.
    """

    index: Index
    plus: IntArray
    minus: IntArray
    doublings: int = 0
    added: tuple[int, int] | None = None


class TreeCover:
    """The cover of one tree by the fewest lookups of ``n_bits`` bits.

    No cover has fewer with up to 3 bits, for every part that fits is tried: a lookup has a cell for each end
    of its part, and 8 ends are those of 7 inner nodes. With 4 bits none has for trees of up to 8 inner nodes,
    with more bits for trees of up to 5. For larger trees, a piece that is not tried may save a lookup: one of
    more inner nodes than in any shape (see the module) that is not cut off at one depth.

    Parameters
    ----------
    root : TreeNode
        A tree that asks nothing whose answer is known from the path.
    chains : ndarray of int64
        Chain of each split; the splits of a chain are numbered in ascending order of their thresholds.
    n_bits : int
        Bits of every lookup.

    Attributes
    ----------
    n_lookups : int
        Pieces and gates.
    offset : int
        Number of the value that the lookups' sum is relative to.

    Raises
    ------
    ValueError
        If lookups of one bit are too narrow for it; those of two bits cover every tree.
    """

    def __init__(self, root: TreeNode, chains: IntArray, n_bits: int) -> None:
        self._read(Search([root], chains, n_bits), 0, chains)

    @classmethod
    def of_trees(cls, roots: Sequence[TreeNode], chains: IntArray, n_bits: int) -> list[TreeCover]:
        """Return the covers of several trees, which are searched together: that is much faster."""
        covers = []
        for batch in _batches(roots):
            search = Search(batch, chains, n_bits)
            for root in range(len(batch)):
                cover = cls.__new__(cls)
                cover._read(search, root, chains)
                covers.append(cover)
        return covers

    def _read(self, search: Search, root: int, chains: IntArray) -> None:
        self._search, self._root = search, root
        self._chains = chains.tolist() if isinstance(chains, np.ndarray) else chains
        fewest = search.free(root, NO_GATE)
        if fewest >= IMPOSSIBLE:
            raise ValueError(
                f"no lookups of {search.cells.bit_length() - 1} bit cover the tree; expected 2 bits or more"
            )
        self.n_lookups = int(fewest)
        self.offset = search.best(root, NO_GATE)

    @cached_property
    def lookups(self) -> tuple[list[GateLookup], list[PieceLookup]]:
        """Gates, each after those it reads, and pieces. Gates are numbered in this order."""
        gates: list[GateLookup] = []
        pieces: list[PieceLookup] = []
        search = self._search
        # node, column of the gate above it, the value that is free, number of the gate
        todo: list[tuple[int, int, int, int | None]] = [(self._root, NO_GATE, self.offset, None)]
        while todo:
            node, column, offset, gate = todo.pop()
            if search.cost(node, column, offset) == 0:
                continue
            choice = search.choice(node, column, offset)
            if choice == DESCEND:
                below = column if column == NO_GATE else column + 1
                todo += [(child, below, offset, gate) for child in (search.right[node], search.left[node])]
            elif choice == GATE:
                index = self._index({}, self._path(node, column), gate)[0]
                gates.append(GateLookup(index))
                todo.append((node, OWN_GATE, offset, len(gates) - 1))
            else:
                inner = [] if search.left[node] < 0 else search.inner(node, column)
                piece, left = self._piece(node, column, inner, offset, gate)
                pieces.append(piece)
                todo += reversed([(at, to, search.best(at, to), gate) for at, to in left])
        return gates, pieces

    def _path(self, node: int, column: int) -> Bounds:
        """For each chain on the path: the tightest split to be exceeded, and the tightest not to be."""
        search = self._search
        bounds: Bounds = {}
        for _ in range(search.depth[node] if column == NO_GATE else column - OWN_GATE):
            above = search.parent[node]
            split = search.split[above]
            chain = self._chains[split]
            exceeded, reached = bounds.get(chain, (None, None))
            if search.right[above] == node:
                exceeded = split if exceeded is None else max(exceeded, split)
            else:
                reached = split if reached is None else min(reached, split)
            bounds[chain] = exceeded, reached
            node = above
        return bounds

    def _index(
        self, ranks: dict[int, list[int]], bounds: Bounds, gate: int | None
    ) -> tuple[Index, list[tuple[list[int], int]], list[int]]:
        """Index of a part on a path; its digits as (splits, radix); the chains whose bounds are in them.

        Parameters
        ----------
        ranks : dict
            The splits of each chain in the part, ascending.
        bounds : Bounds
        gate : int or None
            Number of the gate above.
        """
        merged = _merged(ranks, bounds, len(bounds) + (gate is not None))
        weights: dict[int, int] = {}
        digits = []
        radix, offset = 1, 0
        for chain, splits in ranks.items():
            above, below = bounds[chain] if chain in merged else (None, None)
            ranked = [split for split in (above, *splits, below) if split is not None]
            weights |= dict.fromkeys(ranked, radix)
            digits.append((ranked, radix))
            radix *= len(ranked) + 1
        units = 0
        for chain, (above, below) in bounds.items():
            if chain in merged:
                continue
            units += 1
            if above is not None:
                weights[above] = weights.get(above, 0) - radix
                offset += radix
            if below is not None:
                weights[below] = weights.get(below, 0) + radix
        if gate is not None:
            units += 1
            weights[-1 - gate] = radix
        terms = tuple(sorted((split, weight) for split, weight in weights.items() if weight))
        return Index(terms, offset, radix * (units + 1)), digits, merged

    def _piece(
        self, node: int, column: int, part: list[int], offset: int, gate: int | None
    ) -> tuple[PieceLookup, list[tuple[int, int]]]:
        """Piece at a node, and the nodes left below it with their columns."""
        search, bounds = self._search, self._path(node, column)
        ranks: dict[int, list[int]] = {}
        for split in sorted({search.split[at] for at in part}):
            ranks.setdefault(self._chains[split], []).append(split)
        index, digits, merged = self._index(ranks, bounds, gate)
        required = {split for chain in merged for split in (bounds[chain][0],) if split is not None}
        forbidden = {split for chain in merged for split in (bounds[chain][1],) if split is not None}
        inner, depth = set(part), search.depth[node]
        value: dict[int, int] = {}  # of what the part ends at
        left = []
        for at in part or [node]:
            for end in (search.left[at], search.right[at]) if part else (at,):
                if search.left[end] < 0:
                    value[end] = search.value[end]
                elif end not in inner:
                    to = column if column == NO_GATE else column + search.depth[end] - depth
                    left.append((end, to))
                    value[end] = search.best(end, to)
        plus = np.full(index.size, offset, dtype=np.int64)
        for ranked in product(*(range(len(splits) + 1) for splits, _ in digits)):
            exceeded: set[int] = set()
            cell = 0
            for (splits, radix), rank in zip(digits, ranked, strict=True):
                exceeded.update(splits[:rank])
                cell += rank * radix
            if required - exceeded or forbidden & exceeded:
                continue
            at = node
            while at in inner:
                at = (search.right if search.split[at] in exceeded else search.left)[at]
            plus[cell] = value[at]
        return PieceLookup(index, plus, np.full_like(plus, offset)), left


def _batches(roots: Sequence[TreeNode]) -> list[list[TreeNode]]:
    """Split trees into runs that are searched together, for an array has a row a node."""
    batches: list[list[TreeNode]] = []
    n_nodes = MAX_NODES
    for root in roots:
        if n_nodes >= MAX_NODES:
            batches.append([])
            n_nodes = 0
        batches[-1].append(root)
        todo = [root]
        while todo:
            todo += todo.pop().children
            n_nodes += 1
    return batches


def _merged(ranks: dict[int, list[int]], bounds: Bounds, units: int) -> list[int]:
    """Return the chains whose bounds on the path are further ranks in the smallest index.

    With a given number of them it is smallest where they make digits longer by the smallest factors.
    """
    common = [chain for chain in ranks if chain in bounds]
    if not common:
        return []

    def length(chain: int) -> int:
        return len(ranks[chain]) + 1

    def longer(chain: int) -> int:
        return length(chain) + 2 - bounds[chain].count(None)

    common.sort(key=lambda chain: (longer(chain) / length(chain), chain))
    sizes = [
        (units - n + 1)
        * math.prod(map(longer, common[:n]))
        * math.prod(length(chain) for chain in ranks if chain not in common[:n])
        for n in range(len(common) + 1)
    ]
    return common[: sizes.index(min(sizes))]
