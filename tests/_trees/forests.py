"""Random trees for tests, and rows that answer their splits in every possible way."""

import numpy as np

from skfhe._trees.ensemble import RawTree, collect
from skfhe.encoding._splits import Rule, Split

RULE = Rule("<=", "float64")


def random_tree(rng, depth, n_features=3, n_values=None, n_outputs=1):
    """Grow a tree of at most ``depth`` with thresholds among the integers, some leaves early."""
    splits, left, right, values = [], [], [], []

    def grow(level):
        node = len(splits)
        splits.append(None)
        left.append(-1)
        right.append(-1)
        drawn = rng.integers(0, n_values, n_outputs) if n_values else rng.normal(size=n_outputs)
        values.append(drawn.astype(float))
        if level < depth and (level == 0 or rng.random() < 0.85):
            missing_right = bool(rng.random() < 0.3)
            splits[node] = Split(int(rng.integers(n_features)), float(rng.integers(0, 8)), missing_right)
            left[node] = grow(level + 1)
            right[node] = grow(level + 1)
        return node

    grow(0)
    return RawTree(splits, np.array(left), np.array(right), np.array(values))


def random_ensemble(rng, n_trees, depth, n_features=3, n_values=None, n_outputs=1):
    trees = [random_tree(rng, depth, n_features, n_values, n_outputs) for _ in range(n_trees)]
    return collect(trees, rng.normal(size=n_outputs), n_features, RULE)


def all_rows(n_features=3):
    """Return rows between and at all thresholds, and with missing values."""
    values = np.r_[np.arange(-0.5, 8.5, 0.5), np.nan]
    grid = np.meshgrid(*[values] * n_features)
    return np.stack([axis.ravel() for axis in grid], axis=1)


def complete_tree(depth, oblivious=False):
    """Return a complete tree whose splits are all of different features, or one a level."""
    n_inner = 2**depth - 1
    levels = np.floor(np.log2(np.arange(1, n_inner + 1))).astype(int)
    features = levels if oblivious else np.arange(n_inner)
    splits = [Split(int(f), 0.5, False) for f in features] + [None] * (n_inner + 1)
    nodes = np.arange(2 * n_inner + 1)
    values = np.where(nodes < n_inner, 0, nodes)[:, None].astype(float)
    return collect(
        [RawTree(splits, 2 * nodes + 1, 2 * nodes + 2, values)], np.zeros(1), int(features.max()) + 1, RULE
    )
