"""Trees that return the numbers of their leaves, one result a tree."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from skfhe._trees.cover_plan import LARGE, CoverPlan, LeafGrid, widths_of
from skfhe._trees.ensemble import TreeEnsemble
from skfhe._trees.ensemble_cover import asking_trees, covers_of_trees, covers_on_paths
from skfhe._typing import FloatArray, IntArray
from skfhe.encoding import LeafTableDecoder

__all__ = ["leaf_number_plans"]


def leaf_number_plans(ensemble: TreeEnsemble) -> Iterator[tuple[CoverPlan, LeafTableDecoder]]:
    """Yield plans that number the leaves that a row reaches, and what the leaves add to the scores.

    Equal leaves of a tree share a number.

    Parameters
    ----------
    ensemble : TreeEnsemble

    Yields
    ------
    CoverPlan
        With lookups of different widths.
    LeafTableDecoder
    """
    tables, numbers = zip(*(_numbered(tree.splits, tree.values) for tree in ensemble.trees), strict=True)
    (roots,) = asking_trees(ensemble, numbers, (0,))
    counts = np.array([len(table) for table in tables])
    leaves = np.concatenate(tables)
    none = np.zeros(len(counts), dtype=np.int64)
    grid = LeafGrid(1.0, np.arange(counts.max()), none, none, counts - 1, np.zeros(len(counts)))
    trees = [[root] for root in roots]
    n_nodes = sum(len(tree.splits) for tree in ensemble.trees)
    covers_of = covers_of_trees if n_nodes <= LARGE else covers_on_paths
    for width in widths_of(ensemble, n_nodes):
        for cover in covers_of(trees, ensemble.splits.chains, width):
            decoder = LeafTableDecoder(counts, leaves, ensemble.bias, multiple=1 << cover.doublings)
            yield CoverPlan(tuple(range(len(trees))), cover, grid), decoder
            if not cover.n_bits:
                return  # no width has fewer lookups than none


def _numbered(splits: IntArray, values: FloatArray) -> tuple[FloatArray, IntArray]:
    """Return the different leaves of a tree, and for each node the number of its leaf, shape (n_nodes, 1)."""
    at = splits < 0
    different, number = np.unique(values[at], axis=0, return_inverse=True)
    numbers = np.zeros((len(splits), 1), dtype=np.int64)
    numbers[at, 0] = number.ravel()
    return different, numbers
