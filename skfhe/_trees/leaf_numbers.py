"""Trees that return the numbers of their leaves, one result a tree."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from skfhe._trees.cover_plan import CoverPlan, LeafGrid, asking_trees, cover_trees, widths_of
from skfhe._trees.ensemble import TreeEnsemble
from skfhe._trees.search import TreeNode
from skfhe._typing import FloatArray, IntArray
from skfhe.encoding import LeafTableDecoder

__all__ = ["leaf_number_plans"]


def leaf_number_plans(ensemble: TreeEnsemble) -> tuple[list[CoverPlan], LeafTableDecoder]:
    """Return plans that number the leaves that a row reaches, and what the leaves add to the scores.

    Equal leaves of a tree share a number.

    Parameters
    ----------
    ensemble : TreeEnsemble

    Returns
    -------
    list of CoverPlan
        With lookups of different widths.
    LeafTableDecoder
    """
    tables, numbers = zip(*(_numbered(tree.splits, tree.values) for tree in ensemble.trees), strict=True)
    (roots,) = asking_trees(ensemble, numbers, (0,))
    counts = np.array([len(table) for table in tables])
    decoder = LeafTableDecoder(counts, np.concatenate(tables), ensemble.bias)
    none = np.zeros(len(counts), dtype=np.int64)
    grid = LeafGrid(1.0, np.arange(counts.max()), none, none, counts - 1, np.zeros(len(counts)))
    return list(_plans(ensemble, [[root] for root in roots], grid)), decoder


def _plans(ensemble: TreeEnsemble, trees: list[list[TreeNode]], grid: LeafGrid) -> Iterator[CoverPlan]:
    for width in widths_of(ensemble, sum(len(tree.splits) for tree in ensemble.trees)):
        cover = cover_trees(trees, ensemble.splits.chains, width)
        yield CoverPlan(tuple(range(len(trees))), cover, grid)
        if not cover.n_bits:
            return  # no width has fewer lookups than none


def _numbered(splits: IntArray, values: FloatArray) -> tuple[FloatArray, IntArray]:
    """Return the different leaves of a tree, and for each node the number of its leaf, shape (n_nodes, 1)."""
    at = splits < 0
    different, number = np.unique(values[at], axis=0, return_inverse=True)
    numbers = np.zeros((len(splits), 1), dtype=np.int64)
    numbers[at, 0] = number.ravel()
    return different, numbers
