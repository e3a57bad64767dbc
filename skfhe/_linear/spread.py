"""Where the values of each feature lie: what grids are chosen by.

Most values lie in a bulk, which is to be resolved finely; a few may lie far out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import issparse

from skfhe._typing import FloatArray, IntArray
from skfhe.encoding import dense

__all__ = ["FeatureSpread", "spread_of"]

LARGEST = float(np.finfo(np.float64).max)
BULK = 8.0
"""Widths of the bulk in median deviations: for normal values nearly their range."""
MAX_VALUES = 250_000
MIN_ROWS = 200
"""Values that are sorted to find the bulk, and rows that are looked at however many features there are."""


@dataclass(frozen=True, eq=False)
class FeatureSpread:
    """Where the values of each feature lie. It does not matter how often a value occurs.

    Parameters
    ----------
    low, high : ndarray of float64, shape (n_features,)
        Smallest and largest value.
    middle : ndarray of float64, shape (n_features,)
        The median of the different values, one of them.
    bulk : ndarray of float64, shape (n_features,)
        Width of the part where most of the different values lie, at most that of all.
    """

    low: FloatArray
    high: FloatArray
    middle: FloatArray
    bulk: FloatArray

    def joined(self, other: FeatureSpread) -> FeatureSpread:
        """Return the spread of these and some other values, as well as it can be told without them.

        Where both have a bulk, the wider one is taken: steps are as fine all over the range.
        """
        constant = self.width == 0
        middle = np.where(constant & (other.width > 0), other.middle, self.middle)
        low, high = np.minimum(self.low, other.low), np.maximum(self.high, other.high)
        bulk = np.maximum(self.bulk, other.bulk)
        width = FeatureSpread(low, high, middle, bulk).width
        return FeatureSpread(low, high, middle, np.where(bulk > 0, bulk, width))

    @property
    def width(self) -> FloatArray:
        """Distance from the smallest to the largest value; 0 for a feature that is constant."""
        with np.errstate(over="ignore"):
            return np.minimum(self.high - self.low, LARGEST)


def spread_of(X: Any) -> FeatureSpread:
    """Return where the values of each feature lie.

    Parameters
    ----------
    X : ndarray or sparse matrix in CSR format, shape (n_rows, n_features)
        Finite, with at least one row.

    Returns
    -------
    FeatureSpread
        The same for sparse rows as for dense ones.

    Examples
    --------
    >>> found = spread_of(np.array([[0.0, 5], [1, 5], [2, 5], [3, 5], [1000, 5]]))
    >>> found.high.tolist(), found.middle.tolist(), found.bulk.tolist()
    ([1000.0, 5.0], [2.0, 5.0], [8.0, 0.0])
    """
    n_rows, n_features = X.shape
    if issparse(X) and not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    low, high = (np.asarray(dense(end), dtype=np.float64).ravel() for end in (X.min(axis=0), X.max(axis=0)))
    values, features = _entries(X[:: -(-n_rows // max(MIN_ROWS, MAX_VALUES // max(n_features, 1)))])
    values, features = _different(values, features)
    middle = _lower_median(values, features, n_features)
    with np.errstate(over="ignore"):
        deviations = np.minimum(np.abs(values - middle[features]), LARGEST)
        away = deviations > 0
        order = np.lexsort((deviations[away], features[away]))
        typical = _lower_median(deviations[away][order], features[away][order], n_features)
        width = FeatureSpread(low, high, middle, typical).width
        bulk = np.where(typical > 0, np.minimum(BULK * typical, width), width)
    return FeatureSpread(low, high, middle, bulk)


def _entries(X: Any) -> tuple[FloatArray, IntArray]:
    """Return values and the features that they are of; a sparse feature's zeros appear once."""
    n_rows, n_features = X.shape
    if not issparse(X):
        return np.asarray(X, dtype=np.float64).ravel(), np.tile(np.arange(n_features), n_rows)
    features = X.indices.astype(np.int64)
    zeros = np.flatnonzero(np.bincount(features, minlength=n_features) < n_rows)
    values = np.concatenate([X.data.astype(np.float64), np.zeros(len(zeros))])
    return values, np.concatenate([features, zeros])


def _different(values: FloatArray, features: IntArray) -> tuple[FloatArray, IntArray]:
    """Return the different values of each feature, ascending, one feature after the other."""
    order = np.lexsort((values, features))
    values, features = values[order], features[order]
    first = np.ones(len(values), dtype=bool)
    first[1:] = (np.diff(features) != 0) | (values[1:] != values[:-1])
    return values[first], features[first]


def _lower_median(values: FloatArray, features: IntArray, n_features: int) -> FloatArray:
    """Return the median of each feature's ascending values, the lower of two, and 0 where there is none."""
    counts = np.bincount(features, minlength=n_features)
    ends = np.cumsum(counts)
    found = np.zeros(n_features)
    some = counts > 0
    found[some] = values[(ends - counts + (counts - 1) // 2)[some]]
    return found
