"""Covers of a decision tree by lookups: which parts of it are read by one table.

A *piece* is a connected part of a tree, hanging at some node. One lookup evaluates it, and whether its path
is taken, from an index that is linear in the answered splits: the answers within the piece as digits, and
above them the number of decisions on the path that disagree,

    index = Σ_g r_g · rank_g + r · (disagreements),    r_{g+1} = r_g · (number of ranks of g).

The live cells are those without disagreement; all others hold 0, so the pieces of a tree add up to its
value. The splits of a chain (see `skfhe.trees.splits`) are one digit: the rank of the feature among their
thresholds. On a path, a chain disagrees at most once, whatever its bounds.

A *gate* is a lookup that answers 0 where a path is taken and 1 elsewhere. Below one, disagreements are
counted from there on, the gate's own answer being one. Gates make deep trees affordable.

The value of one leaf of every covered part comes for free: the others are taken relative to it, and where
all values are equal to it, nothing is left to look up.

`TreeCover` finds the cover of the fewest lookups of a given width by dynamic programming over (node,
gate above it).
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["GateLookup", "Index", "Node", "PieceLookup", "TreeCover"]

IntArray = NDArray[np.int64]

MAX_SPLITS = 4
"""Pieces of any shape have at most so many splits; larger ones are cut off at one depth."""
MAX_OFFSETS = 6
"""How many leaf values are tried as the free one of a part."""


PIECE, DESCEND, GATE = range(3)
"""What can be done at a node: look a piece up, go on below it, or look a gate up and go on below that."""


class Node:
    """Node of a tree with one output: an inner node has a split and two children, a leaf a value.

    Parameters
    ----------
    value : int
        Number of the leaf's value; -1 for an inner node.
    split : int
        Number of the split of an inner node.
    children : tuple of Node
        For the answers 0 and 1.
    """

    __slots__ = ("children", "leaf_values", "parent", "side", "split", "value")

    def __init__(self, value: int, split: int = -1, children: tuple[Node, ...] = ()) -> None:
        self.value = value
        self.split = split
        self.children = children
        self.parent: Node | None = None
        self.side = 0
        self.leaf_values: Counter[int] = Counter([value]) if not children else Counter()
        for side, child in enumerate(children):
            child.parent, child.side = self, side
            self.leaf_values += child.leaf_values

    @property
    def is_leaf(self) -> bool:
        """Whether it has a value."""
        return not self.children


class Part(NamedTuple):
    """A connected part of a tree below some node: its inner nodes, and the inner nodes left below it."""

    inner: tuple[Node, ...]
    below: tuple[Node, ...]
    ranks: dict[int, tuple[int, ...]]  # chain -> its splits in the part, ascending
    size: int  # number of answers


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
    """

    weights: tuple[tuple[int, int], ...]
    offset: int
    size: int


@dataclass(frozen=True)
class GateLookup:
    """Reads 0 at index 0, where the path is taken, and 1 elsewhere."""

    index: Index


@dataclass(frozen=True, eq=False)
class PieceLookup:
    """Reads ``value[plus[cell]] - value[minus[cell]]``; the two are equal in a cell that is not live."""

    index: Index
    plus: IntArray
    minus: IntArray


class TreeCover:
    """The cover of one tree by the fewest lookups of ``n_bits`` bits.

    Parameters
    ----------
    root : Node
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
    """

    def __init__(self, root: Node, chains: IntArray, n_bits: int) -> None:
        self._root = root
        self._chains = chains.tolist() if isinstance(chains, np.ndarray) else chains
        self._cells = 1 << n_bits
        self._gate_pays = 2 if n_bits < 4 else 3  # disagreements from which on a gate can be worth its lookup
        self._bounds: dict[tuple[int, int], dict[int, tuple[int | None, int | None]]] = {}
        self._parts_of: dict[int, list[Part]] = {}
        self._best: dict[tuple[int, int], tuple[float, int]] = {}
        self._pieces: dict[tuple[int, int], tuple[float, Part | None]] = {}
        self._relative: dict[tuple[int, int, int], tuple[float, int]] = {}
        self.n_lookups, self.offset = self._free(root, root)

    # The dynamic programme. ``gate`` is the node below which disagreements count: the root, or a gate's.

    def _free(self, node: Node, gate: Node) -> tuple[float, int]:
        """Fewest lookups for what is below ``node``, relative to the best of its values, and that value."""
        if node.is_leaf:
            return 0, node.value
        key = id(node), id(gate)
        if key not in self._best:
            values = [value for value, _ in node.leaf_values.most_common(MAX_OFFSETS)]
            values += [v for v in _shallow_values(node, 2) if v not in values]
            self._best[key] = min((self._cost(node, gate, value), value) for value in values)
        return self._best[key]

    def _cost(self, node: Node, gate: Node, offset: int) -> float:
        """Fewest lookups for what is below ``node`` relative to ``offset``."""
        if node.is_leaf and node.value == offset:
            return 0
        key = id(node), id(gate), _known(node, offset)
        if key in self._relative:
            return self._relative[key][0]
        options = [(math.inf, PIECE)]
        if node.is_leaf:
            if self._units(node, gate) < self._cells:
                options.append((1, PIECE))
        else:
            options.append((self._best_piece(node, gate)[0], PIECE))
            options.append((sum(self._cost(child, gate, offset) for child in node.children), DESCEND))
            if self._gate_pays <= self._units(node, gate) < self._cells and node is not gate:
                options.append((1 + self._cost(node, node, offset), GATE))
        self._relative[key] = min(options)
        return self._relative[key][0]

    def _best_piece(self, node: Node, gate: Node) -> tuple[float, Part | None]:
        """Fewest lookups with a piece at ``node``."""
        key = id(node), id(gate)
        if key not in self._pieces:
            bounds = self._path(node, gate)
            flag = gate is not self._root
            best: tuple[float, Part | None] = (math.inf, None)
            fits = self._cells // (len(bounds) + flag + 1)
            for part in self._parts(node):
                if part.size > fits and (
                    bounds.keys().isdisjoint(part.ranks) or self._layout(part, bounds, flag)[0] > self._cells
                ):
                    continue
                cost = 1 + sum(self._free(below, gate)[0] for below in part.below)
                if cost < best[0]:
                    best = cost, part
            self._pieces[key] = best
        return self._pieces[key]

    # Paths and parts.

    def _path(self, node: Node, gate: Node) -> dict[int, tuple[int | None, int | None]]:
        """For each chain on the path: the tightest split to be exceeded, and the tightest not to be."""
        if node is gate:
            return {}
        key = id(node), id(gate)
        if key not in self._bounds:
            assert node.parent is not None
            bounds = dict(self._path(node.parent, gate))
            split = node.parent.split
            above, below = bounds.get(self._chains[split], (None, None))
            if node.side:
                above = split if above is None else max(above, split)
            else:
                below = split if below is None else min(below, split)
            bounds[self._chains[split]] = above, below
            self._bounds[key] = bounds
        return self._bounds[key]

    def _units(self, node: Node, gate: Node) -> int:
        """Largest number of disagreements."""
        return len(self._path(node, gate)) + (gate is not self._root)

    def _parts(self, node: Node) -> list[Part]:
        """All parts at ``node`` that some lookup of the width could read."""
        if id(node) not in self._parts_of:
            largest = min(MAX_SPLITS, self._cells.bit_length() - 1)
            found = [self._part(inner, below) for inner, below in _connected(node, largest)]
            inner: tuple[Node, ...] = (node,)
            below = tuple(c for c in node.children if not c.is_leaf)
            while below:
                inner = inner + below
                below = tuple(c for b in below for c in b.children if not c.is_leaf)
                part = self._part(inner, below)
                if part.size > self._cells:
                    break
                found.append(part)
            self._parts_of[id(node)] = [part for part in found if part.size <= self._cells]
        return self._parts_of[id(node)]

    def _part(self, inner: tuple[Node, ...], below: tuple[Node, ...]) -> Part:
        ranks: dict[int, tuple[int, ...]] = {}
        for split in sorted({node.split for node in inner}):
            chain = self._chains[split]
            ranks[chain] = (*ranks.get(chain, ()), split)
        return Part(inner, below, ranks, math.prod(len(splits) + 1 for splits in ranks.values()))

    @staticmethod
    def _layout(
        part: Part, bounds: dict[int, tuple[int | None, int | None]], flag: bool
    ) -> tuple[int, tuple[int, ...]]:
        """Cells of the smallest index, and the chains whose path bounds are further ranks in it."""
        common = [chain for chain in part.ranks if chain in bounds]
        units = len(bounds) + flag
        best: tuple[int, tuple[int, ...]] = part.size * (units + 1), ()
        for chosen in product((False, True), repeat=len(common)) if len(common) <= 4 else ():
            merged = tuple(chain for chain, yes in zip(common, chosen, strict=True) if yes)
            size = units - len(merged) + 1
            for chain, splits in part.ranks.items():
                extra = 2 - bounds[chain].count(None) if chain in merged else 0
                size *= len(splits) + 1 + extra
            best = min(best, (size, merged))
        return best

    # Reading the cover off.

    @cached_property
    def lookups(self) -> tuple[list[GateLookup], list[PieceLookup]]:
        """Gates, each after those it reads, and pieces. Gates are numbered in this order."""
        gates: list[GateLookup] = []
        pieces: list[PieceLookup] = []
        self._emit(self._root, self._root, self.offset, {id(self._root): None}, gates, pieces)
        return gates, pieces

    def _emit(
        self,
        node: Node,
        gate: Node,
        offset: int,
        numbers: dict[int, int | None],
        gates: list[GateLookup],
        pieces: list[PieceLookup],
    ) -> None:
        if self._cost(node, gate, offset) == 0:
            return
        choice = self._relative[id(node), id(gate), _known(node, offset)][1]
        number = numbers[id(gate)]
        if choice == DESCEND:
            for child in node.children:
                self._emit(child, gate, offset, numbers, gates, pieces)
        elif choice == GATE:
            index = self._index(Part((), (), {}, 1), self._path(node, gate), number)[0]
            gates.append(GateLookup(index))
            self._emit(node, node, offset, numbers | {id(node): len(gates) - 1}, gates, pieces)
        else:
            part = Part((), (), {}, 1) if node.is_leaf else self._best_piece(node, gate)[1]
            assert part is not None
            pieces.append(self._piece(node, gate, part, offset, number))
            for below in part.below:
                self._emit(below, gate, self._free(below, gate)[1], numbers, gates, pieces)

    def _index(
        self, part: Part, bounds: dict[int, tuple[int | None, int | None]], gate: int | None
    ) -> tuple[Index, list[tuple[list[int], int]], tuple[int, ...]]:
        """Index of a part on a path; its digits as (splits, radix); the chains whose bounds are in them."""
        _, merged = self._layout(part, bounds, gate is not None)
        weights: dict[int, int] = {}
        digits = []
        radix, offset = 1, 0
        for chain, splits in part.ranks.items():
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

    def _piece(self, node: Node, gate: Node, part: Part, offset: int, number: int | None) -> PieceLookup:
        bounds = self._path(node, gate)
        index, digits, merged = self._index(part, bounds, number)
        plus = np.full(index.size, offset, dtype=np.int64)
        minus = np.full(index.size, offset, dtype=np.int64)
        required = {split for chain in merged for split in (bounds[chain][0],) if split is not None}
        forbidden = {split for chain in merged for split in (bounds[chain][1],) if split is not None}
        inner = set(map(id, part.inner))
        for ranks in product(*(range(len(splits) + 1) for splits, _ in digits)):
            exceeded = {
                split for (splits, _), rank in zip(digits, ranks, strict=True) for split in splits[:rank]
            }
            if required - exceeded or forbidden & exceeded:
                continue
            at = node
            while id(at) in inner:
                at = at.children[at.split in exceeded]
            cell = sum(rank * radix for (_, radix), rank in zip(digits, ranks, strict=True))
            plus[cell] = at.value if at.is_leaf else self._free(at, gate)[1]
        return PieceLookup(index, plus, minus)


def _known(node: Node, offset: int) -> int:
    """``offset`` if it is among the values below ``node``; all that are not are alike."""
    return offset if offset in node.leaf_values else -1


def _connected(node: Node, most: int) -> list[tuple[tuple[Node, ...], tuple[Node, ...]]]:
    """Return the parts at ``node`` of up to ``most`` inner nodes, each with the inner nodes below it."""
    left, right = (_with_none(child, most - 1) for child in node.children)
    return [
        ((node, *a, *b), (*below_a, *below_b))
        for a, below_a in left
        for b, below_b in right
        if len(a) + len(b) < most
    ]


def _with_none(node: Node, most: int) -> list[tuple[tuple[Node, ...], tuple[Node, ...]]]:
    if node.is_leaf:
        return [((), ())]
    none: list[tuple[tuple[Node, ...], tuple[Node, ...]]] = [((), (node,))]
    return none + _connected(node, most) if most > 0 else none


def _shallow_values(node: Node, depth: int) -> list[int]:
    if node.is_leaf:
        return [node.value]
    if depth == 0:
        return []
    return [value for child in node.children for value in _shallow_values(child, depth - 1)]
