"""Splits answered under encryption: trees in terms of quantized features."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skfhe.quantization import LevelQuantizer
from skfhe.trees.ensemble import RawTree, TreeEnsemble, collect
from skfhe.trees.lowering import Comparisons
from skfhe.trees.splits import Categories, Rule, Split

__all__ = ["comparisons", "level_rows", "on_levels"]

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

LEVEL_RULE = Rule("<=", "float64")


def level_rows(levels: IntArray, quantizer: LevelQuantizer) -> FloatArray:
    """Return levels as the rows that trees on levels take: floats, and NaN for a missing value."""
    missing = (levels == (1 << quantizer.n_bits) - 1) & quantizer.missing
    return np.where(missing, np.nan, levels)


def on_levels(ensemble: TreeEnsemble, quantizer: LevelQuantizer) -> TreeEnsemble:
    """Return the ensemble that reads levels in place of the floats that they stand for.

    Splits that tell the same levels apart become one. A split that all levels answer alike goes.
    """
    every = np.repeat(np.arange(1 << quantizer.n_bits)[:, None], quantizer.n_features, axis=1)
    answers = ensemble.splits.encode(quantizer.dequantize(every)).T
    translated = [
        _on_levels(split, answer, quantizer) for split, answer in zip(ensemble.splits, answers, strict=True)
    ]
    trees = []
    for tree in ensemble.trees:
        splits: list[Split | None] = []
        passed = np.arange(len(tree.splits))  # where each node leads to without asking
        for node, split in enumerate(tree.splits):
            found = None if split < 0 else translated[split]
            if isinstance(found, bool):
                passed[node] = tree.right[node] if found else tree.left[node]
                found = None
            splits.append(found)
        while (further := passed[passed] != passed).any():
            passed[further] = passed[passed][further]
        order = passed.copy()  # a node that is passed by holds what it leads to
        trees.append(
            RawTree(
                [splits[at] for at in order],
                passed[tree.left[order]],
                passed[tree.right[order]],
                tree.values[order],
            )
        )
    return collect(trees, ensemble.bias, ensemble.splits.n_features, LEVEL_RULE)


def _on_levels(split: Split, answer: IntArray, quantizer: LevelQuantizer) -> Split | bool:
    """Return the split on levels that gives ``answer``, or the answer if it is always the same."""
    feature = split.feature
    ordinary = answer[: len(quantizer.representatives[feature])]
    missing = bool(answer[-1]) if quantizer.missing[feature] else None
    if (ordinary == ordinary[0]).all() and missing in (None, bool(ordinary[0])):
        return bool(ordinary[0])
    if split.categories is None:
        return Split(feature, float((ordinary == 0).sum()) - 0.5, bool(missing))
    left, right = (frozenset(np.flatnonzero(ordinary == side).tolist()) for side in (0, 1))
    return Split(feature, 0.0, bool(missing), Categories(left, right, False))


def comparisons(
    ensemble: TreeEnsemble, used: IntArray, quantizer: LevelQuantizer
) -> tuple[Comparisons, IntArray]:
    """Return how the splits ``used`` of trees on levels are answered, and the features that they read."""
    splits = ensemble.splits.select(used)
    features, position = np.unique(splits.features, return_inverse=True)
    every = np.repeat(np.arange(1 << quantizer.n_bits)[:, None], quantizer.n_features, axis=1)
    tables = splits.encode(level_rows(every, quantizer)).T
    return Comparisons(quantizer.n_bits, position, np.ascontiguousarray(tables)), features
