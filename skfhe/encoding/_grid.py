"""Integers on a grid of its own for each feature of a table: fine in the bulk, wide enough for what is rare.

A grid's step is a power of two and its origin one of the feature's values. So features whose values are
multiples of a step, such as counts, are represented exactly, and neither large values nor a large offset lose
anything to the arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skfhe._typing import Array, FloatArray, IntArray

__all__ = ["FeatureGrid"]


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
        shapes = {values.shape for values in (self.origin, self.step, self.low, self.high)}
        if len(shapes) != 1 or self.origin.ndim != 1:
            raise ValueError(f"expected four arrays of one length, got the shapes {sorted(shapes)}")
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
