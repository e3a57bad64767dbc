"""Integers on a grid of its own for each feature of a table: fine in the bulk, wide enough for what is rare.

A grid's step is a power of two and its origin one of the feature's values. So features whose values are
multiples of a step, such as counts, are represented exactly, and neither large values nor a large offset lose
anything to the arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import issparse

from skfhe._typing import Array, FloatArray, IntArray

__all__ = ["FeatureGrid", "FeatureSpread", "spread_of"]


LARGEST = float(np.finfo(np.float64).max)
SMALLEST_EXPONENT = -1074
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


@dataclass(frozen=True, eq=False)
class FeatureGrid:
    """``x ≈ origin + step * q`` with ``q`` an integer from ``low`` to ``high``, feature by feature.

    Parameters
    ----------
    origin : ndarray of float64, shape (n_features,)
        What 0 stands for.
    step : ndarray of float64, shape (n_features,)
        Powers of two.
    low, high : ndarray of int64, shape (n_features,)
        Smallest and largest integer.

    Examples
    --------
    >>> one, half = np.array([10.0]), np.array([0.5])
    >>> grid = FeatureGrid(one, half, np.array([-4]), np.array([4]))
    >>> x = np.array([[9.5], [11.2], [99.0]])
    >>> grid.quantize(x).tolist()
    [[-1], [2], [4]]
    >>> grid.beyond(x).tolist()
    [[0.0], [0.0], [87.0]]
    """

    origin: FloatArray
    step: FloatArray
    low: IntArray
    high: IntArray

    def __post_init__(self) -> None:
        if np.any(self.low > self.high):
            raise ValueError(f"low must not exceed high, got {self.low} and {self.high}")
        if not np.all(np.isfinite(self.step)) or np.any(np.frexp(self.step)[0] != 0.5):
            raise ValueError(f"step must be a power of two, got {self.step}")

    def _positions(self, x: FloatArray) -> FloatArray:
        with np.errstate(over="ignore"):  # then it lies beyond the grid
            return x / self.step - self.origin / self.step

    def quantize(self, x: FloatArray) -> IntArray:
        """Return the nearest integers, ties to even; values beyond the grid are clipped to its ends.

        Parameters
        ----------
        x : ndarray of float64, shape (n_rows, n_features)

        Returns
        -------
        ndarray of int64, shape (n_rows, n_features)
        """
        return np.clip(np.rint(self._positions(x)), self.low, self.high).astype(np.int64)

    def beyond(self, x: FloatArray) -> FloatArray:
        """Return how far values lie beyond the grid, and 0 for those that are represented.

        Parameters
        ----------
        x : ndarray of float64, shape (n_rows, n_features)

        Returns
        -------
        ndarray of float64, shape (n_rows, n_features)
            Values that are rounded to an end of the grid are represented.
        """
        positions = self._positions(x)
        rounded = np.rint(positions)
        with np.errstate(over="ignore"):
            excess = np.maximum(positions - self.high, self.low - positions) * self.step
        return np.where((rounded > self.high) | (rounded < self.low), excess, 0.0)

    def select(self, features: Array) -> FeatureGrid:
        """Return the grid of some features, by their numbers or a mask."""
        return FeatureGrid(
            self.origin[features], self.step[features], self.low[features], self.high[features]
        )


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
    low, high = (_dense(X.min(axis=0)), _dense(X.max(axis=0)))
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


def _dense(row: Any) -> FloatArray:
    return np.asarray(row.toarray() if issparse(row) else row, dtype=np.float64).ravel()


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
