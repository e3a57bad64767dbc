"""Covers of trees of two values: each piece asks whether a weighted sum of answers is large enough.

Trees that are grown until all leaves are pure say yes or no. A part of one that goes on below one child of
each of its nodes, and ends at a value below the other, is a chain of "and" and "or". It is true where

    v = weights · answers + constant >= 1,

with weights that are found from the last node up: "and x" takes the largest v there is from it where x is
not so, "or x" adds enough to reach 1 where it is. The path to the part is a chain of "and", too.

A table that says which of two values v stands for has no room for more than 2**p integers, but one of the
engine's tables that is read all around (see `skfhe.program.ops.Modulo`) tells up to 2**p that are too small
from up to 2**p that are large enough: its results are then plus and minus half of what the values differ by.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from skfhe._trees.cover import Index, PieceLookup
from skfhe._trees.search import TreeNode

__all__ = ["threshold_pieces"]

MOST_LEAVES = 250
"""Of a tree that is tried."""
LONGEST = 4
"""Nodes of a chain of "and" and "or", the path to it apart."""
NEVER = math.inf

Bounds = dict[int, tuple[int | None, int | None]]
Left = tuple[TreeNode, int, Bounds]
"""What is left below: a node, the value that it is relative to, and the bounds of its path."""


class _Sum:
    """``weights · answers + constant``, and its range over the answers that there can be."""

    def __init__(self, chains: Sequence[int], constant: int = 0) -> None:
        self._chains = chains
        self.weights: dict[int, int] = {}
        self.constant = self.low = self.high = constant
        self._asked: set[int] = set()

    def copy(self) -> _Sum:
        """Return another that can be added to."""
        copied = _Sum(self._chains)
        copied.weights, copied._asked = dict(self.weights), set(self._asked)
        copied.constant, copied.low, copied.high = self.constant, self.low, self.high
        return copied

    def add(self, weight: int, split: int, answer: int) -> None:
        """Add ``weight`` where a split is answered so."""
        change = weight if answer else -weight
        self.constant += 0 if answer else weight
        self.weights[split] = self.weights.get(split, 0) + change
        if self._chains[split] in self._asked:
            self._find_range()
        else:
            self._asked.add(self._chains[split])
            self.low += min(weight, 0)
            self.high += max(weight, 0)

    def _find_range(self) -> None:
        """Find the least and the largest sum: the splits of a chain are exceeded from the lowest on."""
        self.low = self.high = self.constant
        of_chain: dict[int, tuple[int, int, int]] = {}
        for split in sorted(self.weights):
            total, least, most = of_chain.get(self._chains[split], (0, 0, 0))
            total += self.weights[split]
            of_chain[self._chains[split]] = total, min(least, total), max(most, total)
        for _, least, most in of_chain.values():
            self.low += least
            self.high += most

    def require(self, split: int, answer: int) -> None:
        """Make it 0 or less where a split is not answered so."""
        self.add(-self.high, split, 1 - answer)

    def admit(self, split: int, answer: int) -> None:
        """Make it 1 or more where a split is answered so."""
        self.add(1 - self.low, split, answer)


@dataclass(frozen=True, eq=False)
class _Choice:
    """What is done at a node: the sum that is looked up there, if any, and what is left below."""

    cost: float
    sum: _Sum | None = None
    left: tuple[Left, ...] = ()


def threshold_pieces(
    root: TreeNode, chains: Sequence[int], n_bits: int, fewer_than: int
) -> tuple[int, list[PieceLookup]] | None:
    """Return the pieces of a tree of two values by thresholds.

    Parameters
    ----------
    root : TreeNode
        A tree that asks nothing whose answer is known from the path.
    chains : sequence of int
        Chain of each split.
    n_bits : int
        Bits of a lookup.
    fewer_than : int

    Returns
    -------
    tuple of (int, list of PieceLookup), or None
        The number of the value that they are relative to, and the pieces. None if the tree has other values
        or too many leaves, or no fewer lookups do.
    """
    values = _values(root)
    if values is None:
        return None
    search = _Search(values, chains, 1 << n_bits)
    base = min(values, key=lambda value: search.choice(root, value, {}).cost)
    if search.choice(root, base, {}).cost >= fewer_than:
        return None
    pieces = []
    todo: list[Left] = [(root, base, {})]
    while todo:
        node, value, bounds = todo.pop()
        choice = search.choice(node, value, bounds)
        if choice.sum is not None:  # each of its results is 0 or the same
            other = values[0] + values[1] - value
            pieces.append(_piece(choice.sum, value, other, 1 << n_bits))
        todo += reversed(choice.left)
    return base, pieces


def _values(root: TreeNode) -> list[int] | None:
    """Return the numbers of the values of a tree, if there are two, and few leaves."""
    values: set[int] = set()
    n_leaves, todo = 0, [root]
    while todo:
        node = todo.pop()
        todo += node.children
        if not node.children:
            values.add(node.value)
            n_leaves += 1
        if len(values) > 2 or n_leaves > MOST_LEAVES:
            return None
    return sorted(values) if len(values) == 2 else None


def _piece(threshold: _Sum, value: int, other: int, half: int) -> PieceLookup:
    """Return the piece that reads what ``other`` is more than ``value`` where a sum is 1 or more, else 0."""
    low, high = threshold.low, threshold.high
    weights = tuple(sorted((split, weight) for split, weight in threshold.weights.items() if weight))
    index = Index(weights, threshold.constant - low, high - low + 1)
    large = np.arange(min(index.size, half)) + low >= 1
    plus = np.where(large, other, value)
    if index.size <= half:
        return PieceLookup(index, plus, np.full_like(plus, value))
    return PieceLookup(index, plus, np.where(large, value, other), doublings=1, added=(other, value))


class _Search:
    """The fewest thresholds below each node, relative to either value; costs are kept by node."""

    def __init__(self, values: Sequence[int], chains: Sequence[int], half: int) -> None:
        self._other = {values[0]: values[1], values[1]: values[0]}
        self._chains, self._half = chains, half
        self._known: dict[tuple[int, int], _Choice] = {}
        self._seen: dict[int, list[TreeNode]] = {}
        self._ends: dict[tuple[int, int], list[tuple[float, Left, bool]]] = {}

    def choice(self, node: TreeNode, value: int, bounds: Bounds) -> _Choice:
        """Return what is best at a node, at the end of a path with some bounds, relative to a value."""
        key = id(node), value
        if key not in self._known:
            self._known[key] = self._best(node, value, bounds)
        return self._known[key]

    def _best(self, node: TreeNode, value: int, bounds: Bounds) -> _Choice:
        if not node.children:
            if node.value == value:
                return _Choice(0)
            alone = self._on_path(_Sum(self._chains, 1), bounds)
            return _Choice(NEVER) if alone is None else _Choice(1, alone)
        left = tuple((child, value, below) for child, below in self._children(node, bounds))
        best = _Choice(self._cost(left), None, left)
        for cost, inner, left in self._parts(node, value, bounds, LONGEST, best.cost - 1):
            if 1 + cost < best.cost:
                whole = self._on_path(inner, bounds)
                if whole is not None:
                    best = _Choice(1 + cost, whole, left)
        return best

    def _cost(self, left: Sequence[Left]) -> float:
        return sum(self.choice(*one).cost for one in left)

    def _on_path(self, inner: _Sum, bounds: Bounds) -> _Sum | None:
        """Return a sum that is 1 or more only at the end of a path, or None if it has no room."""
        whole = inner.copy()
        for exceeded, reached in bounds.values():
            if exceeded is not None:
                whole.require(exceeded, 1)
            if reached is not None:
                whole.require(reached, 0)
        return whole if self._fits(whole) else None

    def _fits(self, threshold: _Sum) -> bool:
        return -threshold.low < self._half and threshold.high <= self._half

    def _children(self, node: TreeNode, bounds: Bounds) -> list[tuple[TreeNode, Bounds]]:
        chain = self._chains[node.split]
        exceeded, reached = bounds.get(chain, (None, None))
        zero, one = node.children
        return [
            (zero, bounds | {chain: (exceeded, node.split)}),
            (one, bounds | {chain: (node.split, reached)}),
        ]

    def _views(self, node: TreeNode) -> list[TreeNode]:
        """Return a node, and the same tree with a child of the same chain asked first."""
        if id(node) not in self._seen:
            zero, one = node.children
            chain, split = self._chains[node.split], node.split
            views = [node]
            if one.children and self._chains[one.split] == chain:
                nearer = TreeNode(-1, split, (zero, one.children[0]))
                views.append(TreeNode(-1, one.split, (nearer, one.children[1])))
            if zero.children and self._chains[zero.split] == chain:
                nearer = TreeNode(-1, split, (zero.children[1], one))
                views.append(TreeNode(-1, zero.split, (zero.children[0], nearer)))
            self._seen[id(node)] = views
        return self._seen[id(node)]

    def _parts(
        self, node: TreeNode, value: int, bounds: Bounds, length: int, limit: float
    ) -> Iterator[tuple[float, _Sum, tuple[Left, ...]]]:
        """Yield sums that are 1 or more where a part at a node ends at the other value, and what is left.

        What is left below a part is relative to the value that the part has there, and costs less than
        ``limit``.
        """
        for view in self._views(node):
            children = self._children(view, bounds)
            closed = [self._closed(child, below, value) for child, below in children]
            for answer, (open_, below) in enumerate(children):
                for cost, end, holds in closed[1 - answer]:
                    if cost >= limit:
                        continue
                    if not answer:  # both ends once
                        for last_cost, last, last_holds in closed[0]:
                            if holds != last_holds and cost + last_cost < limit:
                                threshold = _Sum(self._chains)
                                threshold.add(1, view.split, int(holds))
                                yield cost + last_cost, threshold, (end, last)
                    if length == 1 or not open_.children:
                        continue
                    for more, threshold, left in self._parts(open_, value, below, length - 1, limit - cost):
                        threshold = threshold.copy()
                        if holds:
                            threshold.admit(view.split, 1 - answer)
                        else:
                            threshold.require(view.split, answer)
                        if self._fits(threshold):
                            yield cost + more, threshold, (end, *left)

    def _closed(self, node: TreeNode, bounds: Bounds, value: int) -> list[tuple[float, Left, bool]]:
        """Return how a part can end at a node: at what cost, and whether at the other value; the cheapest."""
        key = id(node), value
        if key not in self._ends:
            other = self._other[value]
            if not node.children:  # at its own value
                at, costs = [node.value], [0.0]
            else:
                at = [value, other]
                costs = [self.choice(node, one, bounds).cost for one in at]
            least = min(costs)
            self._ends[key] = [
                (cost, (node, one, bounds), one != value)
                for cost, one in zip(costs, at, strict=True)
                if cost == least < NEVER
            ]
        return self._ends[key]
