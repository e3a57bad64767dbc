"""Trees and ensembles of scikit-learn, read from fitted estimators."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skfhe._trees.ensemble import RawTree
from skfhe._typing import FloatArray, IntArray
from skfhe.encoding import Categories, ClassFractions, Rule, Split

__all__ = ["HISTOGRAM_RULE", "TREE_RULE", "class_fractions", "histogram_tree", "isolation_tree", "raw_tree"]

TREE_RULE = Rule("<=", "float32")
HISTOGRAM_RULE = Rule("<=", "float64")


def class_fractions(fitted: Any) -> ClassFractions:
    """Return how the leaf values of a fitted tree or forest are ordered by targets and classes."""
    n_classes = np.atleast_1d(fitted.n_classes_).tolist()
    return ClassFractions(tuple(n_classes), max(n_classes))


def raw_tree(tree: Any, factor: float = 1.0) -> RawTree:
    """Return a ``tree_`` of scikit-learn, the values of its targets and classes in a row, scaled."""
    splits = [
        None if left < 0 else Split(int(feature), float(threshold), not missing_left)
        for left, feature, threshold, missing_left in zip(
            tree.children_left, tree.feature, tree.threshold, tree.missing_go_to_left, strict=True
        )
    ]
    values = tree.value.reshape(tree.node_count, -1) * factor
    return RawTree(splits, tree.children_left, tree.children_right, values)


def isolation_tree(tree: Any, features: IntArray, lengths: FloatArray) -> RawTree:
    """Return a tree of an isolation forest.

    Parameters
    ----------
    tree : Tree
        The ``tree_`` of a member.
    features : ndarray of int64
        Numbers of the features that it was grown on.
    lengths : ndarray of float64, shape (n_nodes,)
        What it adds to the score of a row that ends in a node.
    """
    splits = [
        None if left < 0 else Split(int(features[feature]), float(threshold), not missing_left)
        for left, feature, threshold, missing_left in zip(
            tree.children_left, tree.feature, tree.threshold, tree.missing_go_to_left, strict=True
        )
    ]
    return RawTree(splits, tree.children_left, tree.children_right, lengths[:, None])


def histogram_tree(predictor: Any, column: int, n_outputs: int, known: dict[int, frozenset[int]]) -> RawTree:
    """Return a tree of histogram-based gradient boosting.

    Parameters
    ----------
    predictor : TreePredictor
    column : int
        Output that it adds to.
    n_outputs : int
    known : dict of int to frozenset of int
        Categories of each categorical feature.
    """
    nodes = predictor.nodes
    splits: list[Split | None] = []
    for node in nodes:
        if node["is_leaf"]:
            splits.append(None)
            continue
        feature, missing_right = int(node["feature_idx"]), not node["missing_go_to_left"]
        if node["is_categorical"]:
            left = _members(predictor.raw_left_cat_bitsets[node["bitset_idx"]]) & known[feature]
            groups = Categories(left, known[feature] - left, missing_right)
            splits.append(Split(feature, 0.0, missing_right, groups))
        else:
            splits.append(Split(feature, float(node["num_threshold"]), missing_right))
    values = nodes["value"][:, None].astype(np.float64)
    tree = RawTree(splits, nodes["left"].astype(np.int64), nodes["right"].astype(np.int64), values)
    return tree.in_column(column, n_outputs)


def _members(bitset: NDArray[np.uint32]) -> frozenset[int]:
    """Positions of the bits that are set."""
    return frozenset(
        32 * word + bit for word, value in enumerate(bitset) for bit in range(32) if value >> bit & 1
    )
