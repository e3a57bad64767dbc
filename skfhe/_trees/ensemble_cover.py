"""Lookups of one width that cover an ensemble: the pieces of its trees, those of equal indices together."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from skfhe._trees.cover import GateLookup, Index, PieceLookup, TreeCover
from skfhe._trees.ensemble import TreeEnsemble
from skfhe._trees.leaf_covers import Leaf, fit, leaves_of, paths_of, set_pieces, shared_sets, signed_pieces
from skfhe._trees.search import TreeNode
from skfhe._trees.threshold_covers import threshold_pieces
from skfhe._typing import IntArray

__all__ = [
    "EnsembleCover",
    "asking_trees",
    "cover_ensemble",
    "cover_trees",
    "covers_of_trees",
    "covers_on_paths",
    "gate_levels",
    "n_different",
    "piece_table",
    "without_idle",
]


@dataclass(frozen=True, eq=False)
class EnsembleCover:
    """Lookups of one width whose sum is the score of an ensemble.

    Parameters
    ----------
    n_bits : int
        Bits of every lookup. 0 if there are none, for each piece is linear in the splits that it asks: the
        rank of one feature among some thresholds.
    gates : sequence of Index
        Each reads only gates before it.
    pieces : dict
        For each output and index, the pieces that are added in one table.
    offsets : sequence of list of int
        For each output, the numbers of the values that its sum is relative to, one a tree.
    """

    n_bits: int
    gates: Sequence[Index]
    pieces: dict[tuple[int, Index], list[PieceLookup]]
    offsets: Sequence[list[int]]

    @property
    def n_lookups(self) -> int:
        """Gates and tables."""
        return len(self.gates) + len(self.pieces) if self.n_bits else 0

    @property
    def summands(self) -> int:
        """Largest number of tables that are added for one output."""
        counts = np.bincount([output for output, _ in self.pieces] or [0])
        return int(counts.max())

    @property
    def doublings(self) -> int:
        """How many times the sums are twice what they stand for."""
        return max((piece.doublings for found in self.pieces.values() for piece in found), default=0)


def asking_trees(
    ensemble: TreeEnsemble, numbers: Sequence[IntArray], outputs: Sequence[int]
) -> list[list[TreeNode]]:
    """Return the trees for each output, without splits whose answer is known or makes no difference."""
    chains = ensemble.splits.chains.tolist()
    found = []
    for output in outputs:
        of_output = []
        for tree, of_nodes in zip(ensemble.trees, numbers, strict=True):
            shape = tree.splits.tolist(), tree.left.tolist(), tree.right.tolist()
            of_output.append(_asking(*shape, of_nodes[:, output].tolist(), chains))
        found.append(of_output)
    return found


def _asking(
    splits: list[int], left: list[int], right: list[int], values: list[int], chains: list[int]
) -> TreeNode:
    """Return one tree without splits whose answer is known or makes no difference.

    From the leaves up, without recursion, for trees may be deep: a node that is met again has both children.
    """
    done: list[TreeNode] = []
    todo: list[tuple[int, dict[int, tuple[float, float]] | None]] = [(0, {})]
    while todo:
        node, bounds = todo.pop()
        split = splits[node]
        if bounds is None:
            one, zero = done.pop(), done.pop()
            alike = zero.value >= 0 and zero.value == one.value
            done.append(zero if alike else TreeNode(-1, split, (zero, one)))
        elif split < 0:
            done.append(TreeNode(values[node]))
        else:
            chain = chains[split]
            exceeded, reached = bounds.get(chain, (-math.inf, math.inf))
            if split <= exceeded or split >= reached:
                todo.append(((right if split <= exceeded else left)[node], bounds))
            else:
                todo += (
                    (node, None),
                    (right[node], bounds | {chain: (split, reached)}),
                    (left[node], bounds | {chain: (exceeded, split)}),
                )
    return done[0]


def gate_levels(gates: Sequence[Index]) -> list[list[int]]:
    """Sort gates by how many others must be answered before them."""
    level: list[int] = []
    for index in gates:
        level.append(1 + max((level[-1 - at] for at, _ in index.weights if at < 0), default=-1))
    return [[gate for gate, at in enumerate(level) if at == n] for n in range(max(level, default=-1) + 1)]


def cover_ensemble(
    ensemble: TreeEnsemble, numbers: Sequence[IntArray], outputs: Sequence[int], n_bits: int
) -> EnsembleCover:
    """Cover each tree for each of ``outputs``, and share lookups of the same index."""
    return cover_trees(asking_trees(ensemble, numbers, outputs), ensemble.splits.chains, n_bits)


def cover_trees(trees: Sequence[Sequence[TreeNode]], chains: IntArray, n_bits: int) -> EnsembleCover:
    """Cover trees, those of each output, by pieces on paths, and share lookups of the same index."""
    return _on_paths(trees, _searched(trees, chains, n_bits), chains, n_bits)


def covers_of_trees(
    trees: Sequence[Sequence[TreeNode]], chains: IntArray, n_bits: int
) -> list[EnsembleCover]:
    """Return covers of trees by lookups of one width: on paths and, if fewer do, also leaf by leaf."""
    searched = _searched(trees, chains, n_bits)
    leaf_by_leaf = _leaf_by_leaf(trees, searched, chains.tolist(), n_bits)
    on_paths = _on_paths(trees, searched, chains, n_bits)
    return [on_paths] if leaf_by_leaf is None or not on_paths.n_bits else [on_paths, leaf_by_leaf]


def covers_on_paths(
    trees: Sequence[Sequence[TreeNode]], chains: IntArray, n_bits: int
) -> list[EnsembleCover]:
    return [cover_trees(trees, chains, n_bits)]


def _searched(trees: Sequence[Sequence[TreeNode]], chains: IntArray, n_bits: int) -> list[list[TreeCover]]:
    """Return the covers of the trees that ask anything, for each output."""
    # most trees of several outputs are a leaf for all outputs but one
    asking = [[root for root in roots if root.children] for roots in trees]
    flat = [root for roots in asking for root in roots]
    covers = iter(TreeCover.of_trees(flat, chains, n_bits) if flat else ())
    return [list(islice(covers, len(roots))) for roots in asking]


def _on_paths(
    trees: Sequence[Sequence[TreeNode]],
    searched: Sequence[Sequence[TreeCover]],
    chains: IntArray,
    n_bits: int,
) -> EnsembleCover:
    """Share the lookups of the trees' own covers."""
    gates: dict[Index, int] = {}
    pieces: dict[tuple[int, Index], list[PieceLookup]] = {}
    offsets: list[list[int]] = []
    for output, (roots, covers) in enumerate(zip(trees, searched, strict=True)):
        offsets.append([root.value for root in roots if not root.children])
        for cover in covers:
            offsets[-1].append(cover.offset)
            _share(*cover.lookups, output, gates, pieces)
    linear = not gates and all(_is_rank(index, chains) for _, index in pieces)
    return EnsembleCover(0 if linear else n_bits, tuple(gates), pieces, offsets)


def _leaf_by_leaf(
    trees: Sequence[Sequence[TreeNode]],
    searched: Sequence[Sequence[TreeCover]],
    chains: Sequence[int],
    n_bits: int,
) -> EnsembleCover | None:
    """Cover trees by sets of splits, or digits as signs, where that takes fewer lookups; None if nowhere."""
    gates: dict[Index, int] = {}
    pieces: dict[tuple[int, Index], list[PieceLookup]] = {}
    offsets: list[list[int]] = []
    fewer = False
    for output, (roots, covers) in enumerate(zip(trees, searched, strict=True)):
        offsets.append([root.value for root in roots if not root.children])
        fitting: list[tuple[list[Leaf], int, TreeCover]] = []
        for root, cover in zip((root for root in roots if root.children), covers, strict=True):
            leaves = leaves_of(root, chains)
            offset = Counter(leaf.value for leaf in leaves).most_common(1)[0][0]
            doubled = _doubled(root, leaves, offset, chains, n_bits, cover.n_lookups)
            if doubled is not None:
                fewer = True
                offsets[-1].append(doubled[0])
                _share((), doubled[1], output, gates, pieces)
            elif fit(paths_of(leaves, offset), chains, n_bits):
                fitting.append((leaves, offset, cover))
            else:
                offsets[-1].append(cover.offset)
                _share(*cover.lookups, output, gates, pieces)
        own = {piece.index for _, _, cover in fitting for piece in cover.lookups[1]}
        paths = (path for leaves, offset, _ in fitting for path in paths_of(leaves, offset))
        sets = shared_sets(paths, chains, n_bits, len(own))
        fewer |= len(sets) < len(own)
        for leaves, offset, cover in fitting:
            if len(sets) < len(own):
                offsets[-1].append(offset)
                _share((), set_pieces(leaves, offset, sets, chains), output, gates, pieces)
            else:
                offsets[-1].append(cover.offset)
                _share(*cover.lookups, output, gates, pieces)
    return EnsembleCover(n_bits, tuple(gates), pieces, offsets) if fewer else None


def _doubled(
    root: TreeNode, leaves: Sequence[Leaf], offset: int, chains: Sequence[int], n_bits: int, fewer_than: int
) -> tuple[int, list[PieceLookup]] | None:
    """Return fewer pieces of one tree, whose results are doubled, and what they are relative to, if any."""
    found = threshold_pieces(root, chains, n_bits, fewer_than)
    signed = signed_pieces(leaves, offset, chains, n_bits, len(found[1]) if found else fewer_than)
    return found if signed is None else (offset, signed)


def without_idle(cover: EnsembleCover, values: IntArray) -> EnsembleCover:
    """Return the cover without tables that are zero once leaf values are integers, or gates only for them."""
    pieces = {key: found for key, found in cover.pieces.items() if piece_table(found, values).any()}
    if len(pieces) == len(cover.pieces):
        return cover
    read: set[int] = set()
    todo = [index for _, index in pieces]
    while todo:
        new = {-1 - term for term, _ in todo.pop().weights if term < 0} - read
        read |= new
        todo += (cover.gates[gate] for gate in new)
    number = {gate: position for position, gate in enumerate(sorted(read))}

    def renumbered(index: Index) -> Index:
        terms = ((term if term >= 0 else -1 - number[-1 - term], weight) for term, weight in index.weights)
        return replace(index, weights=tuple(sorted(terms)))

    gates = tuple(renumbered(cover.gates[gate]) for gate in sorted(read))
    kept = {(output, renumbered(index)): found for (output, index), found in pieces.items()}
    return EnsembleCover(cover.n_bits if kept else 0, gates, kept, cover.offsets)


def piece_table(pieces: Sequence[PieceLookup], values: IntArray, doublings: int = 0) -> IntArray:
    """Return the sum of pieces that read one index, as many times doubled; at least as often as they are."""
    doublings = max(doublings, *(piece.doublings for piece in pieces))
    return np.sum([_read(piece, values) << (doublings - piece.doublings) for piece in pieces], axis=0)


def _read(piece: PieceLookup, values: IntArray) -> IntArray:
    difference = values[piece.plus] - values[piece.minus]
    return difference if difference.ndim == 1 else difference.sum(axis=0)


def _is_rank(index: Index, chains: IntArray) -> bool:
    """Whether an index counts the exceeded splits of one chain, so that any table of it is linear."""
    asked = {int(chains[split]) for split, _ in index.weights if split >= 0}
    return (
        len(asked) == 1
        and index.offset == 0
        and not index.signs
        and all(weight == 1 for _, weight in index.weights)
    )


def _share(
    found: Sequence[GateLookup],
    pieces: Sequence[PieceLookup],
    output: int,
    gates: dict[Index, int],
    shared: dict[tuple[int, Index], list[PieceLookup]],
) -> None:
    """Add the lookups of one tree to those of others, whose gates have numbers of their own."""
    numbers: list[int] = []

    def renumbered(index: Index) -> Index:
        weights = ((-1 - numbers[-1 - at] if at < 0 else at, weight) for at, weight in index.weights)
        return replace(index, weights=tuple(sorted(weights)))

    for gate in found:
        index = renumbered(gate.index)
        numbers.append(gates.setdefault(index, len(gates)))
    for piece in pieces:
        shared.setdefault((output, renumbered(piece.index)), []).append(piece)


def n_different(trees: Sequence[Sequence[TreeNode]]) -> int:
    """Count the trees of each output that ask anything, once those that ask the same."""
    return len({(n, _asked(root)) for n, roots in enumerate(trees) for root in roots if root.children})


def _asked(root: TreeNode) -> frozenset[int]:
    asked, todo = set(), [root]
    while todo:
        node = todo.pop()
        if node.children:
            asked.add(node.split)
            todo += node.children
    return frozenset(asked)
