"""Splits answered under encryption: trees in terms of quantized features."""

from __future__ import annotations

import numpy as np

from skfhe._trees.cover_program import Comparisons
from skfhe._trees.ensemble import Tree, TreeEnsemble
from skfhe._typing import FloatArray, IntArray
from skfhe.encoding import BlockEncoder, LevelQuantizer, Rule, Split, Splits
from skfhe.exceptions import UnsupportedModelError

__all__ = ["comparisons", "level_rows", "on_levels"]


LEVEL_RULE = Rule("<=", "float64")
BLOCK_BITS = 2
"""Bits of a block of levels, and of a comparison's lookup. With 1 the client would compare by itself."""


def level_rows(levels: IntArray, quantizer: LevelQuantizer) -> FloatArray:
    """Return levels as the rows that trees on levels take: floats, and NaN for a missing value."""
    missing = (levels == (1 << quantizer.n_bits) - 1) & quantizer.missing
    return np.where(missing, np.nan, levels)


def on_levels(ensemble: TreeEnsemble, quantizer: LevelQuantizer) -> TreeEnsemble:
    """Return the ensemble that reads levels in place of the floats that they stand for.

    Splits that tell the same levels apart become one. A split that all levels answer alike goes.
    """
    every = np.repeat(np.arange(1 << quantizer.n_bits)[:, None], quantizer.n_features, axis=1)
    answers = ensemble.splits.answers(quantizer.dequantize(every)).T
    asked = [
        _on_levels(split, answer, quantizer) for split, answer in zip(ensemble.splits, answers, strict=True)
    ]
    splits = Splits(
        ensemble.splits.n_features, LEVEL_RULE, (split for split in asked if isinstance(split, Split))
    )
    # one more for the leaves, whose split is -1
    number = np.array([*(-1 if isinstance(split, bool) else splits.numbers[split] for split in asked), -1])
    known = np.array([*(int(split) if isinstance(split, bool) else -1 for split in asked), -1])
    trees = [_renumbered(tree, number, known) for tree in ensemble.trees]
    return TreeEnsemble(splits, trees, ensemble.bias)


def _renumbered(tree: Tree, number: IntArray, known: IntArray) -> Tree:
    """Return the tree with splits numbered anew, past those whose answer is known.

    Parameters
    ----------
    tree : Tree
    number, known : ndarray of int64, shape (n_splits + 1,)
        Of each split its number, or -1, and its answer, or -1 where that is for the row to say; last those
        of a leaf.
    """
    answer = known[tree.splits]
    child = np.where(answer == 1, tree.right, tree.left)
    passed = np.where(answer < 0, np.arange(len(tree.splits)), child)  # where each node leads to unasked
    while (further := passed[passed] != passed).any():
        passed[further] = passed[passed][further]
    # a node that is passed by holds what it leads to
    splits, left, right = number[tree.splits[passed]], tree.left[passed], tree.right[passed]
    return Tree(splits, passed[left], passed[right], tree.values[passed])


def _on_levels(split: Split, answer: IntArray, quantizer: LevelQuantizer) -> Split | bool:
    """Return the split on levels that gives ``answer``, or the answer if it is always the same."""
    feature = split.feature
    if split.categories is not None:
        raise UnsupportedModelError(
            f"feature {feature} has categories, and n_bits={quantizer.n_bits} quantizes features by their "
            "order; use n_bits=None"
        )
    ordinary = answer[: len(quantizer.representatives[feature])]
    missing = bool(answer[-1]) if quantizer.missing[feature] else None
    if (ordinary == ordinary[0]).all() and missing in (None, bool(ordinary[0])):
        return bool(ordinary[0])
    return Split(feature, float((ordinary == 0).sum()) - 0.5, bool(missing))


def comparisons(
    ensemble: TreeEnsemble, used: IntArray, quantizer: LevelQuantizer
) -> tuple[Comparisons, BlockEncoder]:
    """Return how the splits ``used`` of trees on levels are answered, and what encodes rows for it.

    All blocks of a feature are sent, whichever of them splits are in.
    """
    splits = ensemble.splits.select(used)
    features = np.unique(splits.features)
    encoder = BlockEncoder(quantizer.select(features).levels, features, BLOCK_BITS)
    feature, begin = encoder.blocks
    block = [
        int(np.flatnonzero((features[feature] == split.feature) & (begin <= max(0, split.threshold)))[-1])
        for split in splits
    ]
    # What a split answers to each count of its block: it is that for the levels which have the count.
    counts = np.arange(1 << encoder.n_bits)
    tables = np.empty((len(splits), len(counts)), dtype=np.int64)
    for position, (split, at) in enumerate(zip(splits, block, strict=True)):
        missing = encoder.quantizer.missing[feature[at]] & (counts == counts[-1])
        tables[position] = np.where(missing, split.missing_right, begin[at] + counts > split.threshold)
    return Comparisons(encoder.n_bits, np.array(block, dtype=np.int64), tables, len(begin)), encoder
