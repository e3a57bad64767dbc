"""Decision trees, whichever library grew them: nodes that ask a split or hold values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from skfhe._typing import FloatArray, IntArray
from skfhe.encoding import Rule, Split, Splits

__all__ = ["RawTree", "Tree", "TreeEnsemble", "collect"]


@dataclass(frozen=True, eq=False)
class RawTree:
    """One tree as a library describes it.

    Parameters
    ----------
    splits : sequence of Split or None
        The question of each node; None for a leaf. The root is the first.
    left, right : ndarray of int64, shape (n_nodes,)
        Children for the answers 0 and 1; anything for a leaf.
    values : ndarray of float64, shape (n_nodes, n_outputs)
        What a leaf adds to each score.
    """

    splits: Sequence[Split | None]
    left: IntArray
    right: IntArray
    values: FloatArray

    def in_column(self, column: int, n_outputs: int) -> RawTree:
        """Return the tree of one output as one that adds to output ``column`` of several."""
        values = np.zeros((len(self.values), n_outputs))
        values[:, column] = self.values[:, 0]
        return RawTree(self.splits, self.left, self.right, values)


@dataclass(frozen=True, eq=False)
class Tree:
    """One tree whose splits are numbered, -1 marking a leaf; see `RawTree` for the rest."""

    splits: IntArray
    left: IntArray
    right: IntArray
    values: FloatArray

    def leaves(self, bits: IntArray) -> IntArray:
        """Return the leaf that each row of answered splits reaches, shape (n_rows,)."""
        rows = np.arange(len(bits))
        nodes = np.zeros(len(bits), dtype=np.int64)
        while (inner := self.splits[nodes] >= 0).any():
            at = nodes[inner]
            right = bits[rows[inner], self.splits[at]].astype(bool)
            nodes[inner] = np.where(right, self.right[at], self.left[at])
        return nodes


@dataclass(frozen=True, eq=False)
class TreeEnsemble:
    """Trees whose values are added to a bias.

    Parameters
    ----------
    splits : Splits
        All different splits of all trees.
    trees : sequence of Tree
    bias : ndarray of float64, shape (n_outputs,)
    """

    splits: Splits
    trees: Sequence[Tree]
    bias: FloatArray

    @property
    def n_outputs(self) -> int:
        """Scores of one row."""
        return len(self.bias)

    def scores(self, bits: IntArray) -> FloatArray:
        """Return the float scores of rows of answered splits, shape (n_rows, n_outputs)."""
        total = np.tile(self.bias, (len(bits), 1))
        for tree in self.trees:
            total += tree.values[tree.leaves(bits)]
        return total


def collect(trees: Sequence[RawTree], bias: FloatArray, n_features: int, rule: Rule) -> TreeEnsemble:
    """Return the ensemble of ``trees`` with its different splits numbered."""
    splits = Splits(n_features, rule, (split for tree in trees for split in tree.splits if split is not None))
    number = splits.numbers
    numbered = [
        Tree(
            np.array([-1 if split is None else number[split] for split in tree.splits], dtype=np.int64),
            np.asarray(tree.left, dtype=np.int64),
            np.asarray(tree.right, dtype=np.int64),
            np.asarray(tree.values, dtype=np.float64),
        )
        for tree in trees
    ]
    return TreeEnsemble(splits, numbered, np.asarray(bias, dtype=np.float64))
