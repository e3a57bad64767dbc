"""When indicators of leaves are cheaper than sums of leaf values, and which."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from skfhe._trees.cover import Index, PieceLookup
from skfhe._trees.cover_plan import LARGE, CoverPlan
from skfhe._trees.ensemble import TreeEnsemble
from skfhe._trees.ensemble_cover import EnsembleCover, asking_trees, cover_trees
from skfhe._trees.indicators import Digits, Indicators, cell_groups, digits_of, path_lookups
from skfhe._trees.search import TreeNode
from skfhe._typing import IntArray
from skfhe.cost import DEFAULT_P_ERROR, lookup_seconds
from skfhe.encoding import DigitSumDecoder, LeafSumDecoder

__all__ = ["indicator_plans"]

RADICES = (*range(3, 17), 20, 24, 32, 45, 64, 128, 256, 1 << 40)
"""Radices that are tried; the last leaves weights whole."""
MOST_WEIGHTS = 1 << 22
"""Weights of the largest product that is tried."""
MOST_BITS = 4
"""Bits of the widest indicators."""
PIECE_WIDTHS = (3, 4)
"""Widths of indicators that read cells of pieces. With 2 bits there are many more of them."""
MANY_NODES = 5_000
"""Nodes from which on only the first of these is tried. From `LARGE` on, none is: it takes seconds."""
PRICES = 2
"""Different prices of a lookup at which whole plans are compared: above them, fewer results save little."""


@dataclass(frozen=True, eq=False)
class LeafVectors:
    """The different leaves of each tree as integers, one for each computed output, relative to one of them.

    Parameters
    ----------
    roots : sequence of TreeNode
        The trees, whose leaves are numbered through all of them.
    vectors : ndarray of int64, shape (n_numbers, n_computed)
    starts : ndarray of int64, shape (n_trees,)
        First number of each tree.
    references : list of int
        For each tree, the number of the leaf that all are relative to: the one of most leaves.
    offset : ndarray of int64, shape (n_computed,)
        Sum of those, less the least sum of all trees.
    """

    roots: Sequence[TreeNode]
    vectors: IntArray
    starts: IntArray
    references: list[int]
    offset: IntArray


def indicator_plans(
    ensemble: TreeEnsemble, plan: CoverPlan, decoder: LeafSumDecoder, limit: float | None = None
) -> Iterator[tuple[CoverPlan, DigitSumDecoder]]:
    """Yield plans by indicators that may be cheaper than one by sums, with their decoders.

    Parameters
    ----------
    ensemble : TreeEnsemble
    plan : CoverPlan
        The plan by sums. The integers of scores are the same.
    decoder : LeafSumDecoder
        Of its sums.
    limit : float, optional
        Seconds that lookups may take; by default as many as those of the plan by sums.

    Yields
    ------
    CoverPlan
    DigitSumDecoder
    """
    cover = plan.cover
    if not cover.n_bits:
        return  # nothing is cheaper than no lookup
    leaves = _leaf_vectors(ensemble, plan)
    if limit is None:
        noise = 0.5 * math.log2(max(1, cover.summands)) + cover.doublings
        needed = int(plan.grid.span.max()).bit_length() + noise
        limit = cover.n_lookups * lookup_seconds(cover.n_bits, needed, DEFAULT_P_ERROR)
    if _fewest(leaves) * lookup_seconds(min(PIECE_WIDTHS), 0.0, DEFAULT_P_ERROR) >= limit:
        return
    for indicated in _covers(ensemble, leaves):
        yield from _of_cover(plan, decoder, indicated, leaves, limit)


def _leaf_vectors(ensemble: TreeEnsemble, plan: CoverPlan) -> LeafVectors:
    columns, scale = list(plan.outputs), plan.grid.scale
    vectors, numbers, starts, n_known = [], [], [], 0
    for tree in ensemble.trees:
        integers = np.rint(tree.values[:, columns] / scale).astype(np.int64)
        at = tree.splits < 0
        different, number = np.unique(integers[at], axis=0, return_inverse=True)
        of_nodes = np.zeros((len(at), 1), dtype=np.int64)
        of_nodes[at, 0] = n_known + number.ravel()
        vectors.append(different)
        numbers.append(of_nodes)
        starts.append(n_known)
        n_known += len(different)
    (roots,) = asking_trees(ensemble, numbers, (0,))
    references = [_most_frequent(root) for root in roots]
    offset = -plan.grid.least
    for of_tree, start, reference in zip(vectors, starts, references, strict=True):
        offset = offset + of_tree[reference - start]
    relative = [
        of_tree - of_tree[reference - start]
        for of_tree, start, reference in zip(vectors, starts, references, strict=True)
    ]
    return LeafVectors(roots, np.concatenate(relative), np.array(starts), references, offset)


def _most_frequent(root: TreeNode) -> int:
    """Return the number of the value of most leaves."""
    counts = _leaves_by_value(root)
    return max(counts, key=lambda value: counts[value])


def _leaves_by_value(root: TreeNode) -> dict[int, int]:
    counts: dict[int, int] = {}
    todo = [root]
    while todo:
        node = todo.pop()
        todo += node.children
        if not node.children:
            counts[node.value] = counts.get(node.value, 0) + 1
    return counts


def _fewest(leaves: LeafVectors) -> int:
    """Return how many indicators any cover needs, if no two trees share one: values of a tree, less one."""
    return sum(len(_leaves_by_value(root)) - 1 for root in leaves.roots)


def _covers(ensemble: TreeEnsemble, leaves: LeafVectors) -> Iterator[EnsembleCover]:
    """Yield covers of the trees by pieces whose cells indicators read."""
    chains, n_nodes = ensemble.splits.chains, sum(len(tree.splits) for tree in ensemble.trees)
    of_splits = chains.tolist()
    pieces: dict[tuple[int, Index], list[PieceLookup]] = {}
    for root, reference in zip(leaves.roots, leaves.references, strict=True):
        for piece in path_lookups(root, of_splits, reference):
            pieces.setdefault((0, piece.index), []).append(piece)
    n_bits = max((index.size - 1).bit_length() for _, index in pieces) if pieces else 0
    n_bits = max(n_bits, min(PIECE_WIDTHS))
    if pieces and n_bits <= MOST_BITS:
        yield EnsembleCover(n_bits, (), pieces, [leaves.references])
    for width in () if n_nodes > LARGE else PIECE_WIDTHS[: 1 if n_nodes > MANY_NODES else None]:
        cover = cover_trees([leaves.roots], chains, width)
        if cover.n_bits:
            yield cover


def _of_cover(
    plan: CoverPlan, decoder: LeafSumDecoder, cover: EnsembleCover, leaves: LeafVectors, limit: float
) -> Iterator[tuple[CoverPlan, DigitSumDecoder]]:
    """Yield the plans of the largest digits at the cheapest prices of a lookup, below a limit of seconds."""
    # an indicator at least for each index
    if cover.n_lookups * lookup_seconds(cover.n_bits, 0.0, DEFAULT_P_ERROR) >= limit:
        return
    groups = cell_groups({index: found for (_, index), found in cover.pieces.items()}, 1 << cover.n_bits)
    n_lookups = len(groups.indices) + len(cover.gates)
    if n_lookups * lookup_seconds(cover.n_bits, 0.0, DEFAULT_P_ERROR) >= limit:
        return
    largest: dict[float, tuple[Digits, Indicators]] = {}
    for radix in RADICES:
        digits = digits_of(leaves.vectors, radix)
        if len(groups.indices) * len(digits.factors) > MOST_WEIGHTS:
            continue
        least, span = _extremes(digits, leaves.starts)
        offset = digits.values[cover.offsets[0]].sum(axis=0) - least
        indicators = groups.weigh(digits.values, offset, span)
        a_lookup = lookup_seconds(cover.n_bits, indicators.precision, DEFAULT_P_ERROR)
        if n_lookups * a_lookup >= limit or len(largest | {a_lookup: None}) > PRICES:
            break
        largest[a_lookup] = digits, indicators
    for digits, indicators in largest.values():
        least, span = _extremes(digits, leaves.starts)
        sums = DigitSumDecoder(
            least, span, digits.factors, digits.columns, leaves.offset, replace(decoder, multiple=1)
        )
        yield replace(plan, cover=cover, indicators=indicators), sums


def _extremes(digits: Digits, starts: IntArray) -> tuple[IntArray, IntArray]:
    """Return the least sum of each digit over trees, and how far beyond it the sums can reach."""
    if not digits.values.shape[1]:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    least = np.minimum.reduceat(digits.values, starts).sum(axis=0)
    return least, np.maximum.reduceat(digits.values, starts).sum(axis=0) - least
