"""Splines of single features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from skfhe._typing import Array, FloatArray, IntArray
from skfhe.deployment._steps.rows import FLOATS, FittedOn, check_vectors, require

__all__ = ["SplineTransformer"]


def _basis(x: Array, knots: FloatArray, degree: int, n_splines: int, *, extrapolate: bool) -> FloatArray:
    """Return the values of B-splines by de Boor's recursion, shape (n_rows, n_splines); NaN outside.

    The last splines are the first ones again where there are fewer than the knots make: these are periodic.
    """
    x = np.ascontiguousarray(x, dtype=np.float64)
    n_basis = len(knots) - degree - 1
    interval = np.clip(np.searchsorted(knots, x, side="right") - 1, degree, n_basis - 1)
    values = np.zeros((degree + 1, len(x)))
    values[0] = 1.0
    for order in range(1, degree + 1):
        before = values[:order].copy()
        values[0] = 0.0
        for place in range(1, order + 1):
            right, left = knots[interval + place], knots[interval + place - order]
            apart = right != left
            share = np.divide(before[place - 1], right - left, out=np.zeros_like(x), where=apart)
            values[place - 1] = np.where(apart, values[place - 1] + share * (right - x), values[place - 1])
            values[place] = np.where(apart, share * (x - left), 0.0)
    spline_of = np.eye(n_splines)[np.arange(n_basis) % n_splines]
    sums = np.zeros((len(x), n_splines))
    for place, value in enumerate(values):
        sums += spline_of[interval + place - degree] * value[:, None]
    inside = (knots[degree] <= x) & (x <= knots[n_basis])
    sums[~(~np.isnan(x) if extrapolate else inside)] = np.nan
    return sums


@dataclass(frozen=True, eq=False)
class SplineTransformer:
    """`SplineTransformer`: B-splines of each feature.

    Parameters
    ----------
    fitted_on : FittedOn
    knots : ndarray of float64, shape (n_features, n_knots)
    degree : int
    n_splines : int
        Of a feature.
    extrapolation : {"error", "constant", "linear", "continue", "periodic"}
    lows, highs : ndarray of float64, shape (n_features,)
        Ends, beyond which values are constant or linear.
    n_at_ends : ndarray of int64, shape (n_features,)
        Splines that are not zero beyond each end.
    at_ends : ndarray of float64, shape (n_features, 4, n_splines)
        Values at both ends, and slopes at both.
    include_bias : bool
        Whether the last spline of a feature is given.
    missing_as_zeros : bool
    order : {"C", "F"}
        Memory order.
    """

    fitted_on: FittedOn
    knots: FloatArray
    degree: int
    n_splines: int
    extrapolation: Literal["error", "constant", "linear", "continue", "periodic"]
    lows: FloatArray
    highs: FloatArray
    n_at_ends: IntArray
    at_ends: FloatArray
    include_bias: bool
    missing_as_zeros: bool
    order: Literal["C", "F"]

    def __post_init__(self) -> None:
        check_vectors(self.fitted_on, lows=self.lows, highs=self.highs, n_at_ends=self.n_at_ends)
        n_features, n_splines = self.fitted_on.n_features, self.n_splines
        require(
            self.knots.ndim == 2 and len(self.knots) == n_features, f"Knots have shape {self.knots.shape}."
        )
        n_basis = self.knots.shape[1] - self.degree - 1
        require(
            self.degree >= 1 and 1 <= n_splines <= n_basis, f"{n_splines} splines of degree {self.degree}."
        )
        require(self.at_ends.shape == (n_features, 4, n_splines), f"Ends have shape {self.at_ends.shape}.")
        in_range = bool(((self.n_at_ends >= 0) & (self.n_at_ends <= n_splines)).all())
        require(in_range, f"More than the {n_splines} splines are not zero at an end.")

    def transform(self, rows: Any) -> Array:
        """Return splines, shape (n_rows, n_features * n_splines), or without the last of each feature."""
        X = self.fitted_on.array(rows, "numeric", "all" if self.missing_as_zeros else "finite")
        n_columns = X.shape[1] * self.n_splines
        dtype = X.dtype if X.dtype.name in FLOATS else np.float64
        splines = np.zeros((len(X), n_columns), dtype=dtype, order=self.order)
        for place in range(X.shape[1]):
            own = splines[:, place * self.n_splines : (place + 1) * self.n_splines]
            with np.errstate(invalid="ignore", over="ignore"):
                if self.extrapolation in ("constant", "linear"):
                    self._with_ends(X[:, place], place, own)
                else:
                    self._everywhere(X[:, place], place, own)
        if self.include_bias:
            return splines
        return splines[:, [column for column in range(n_columns) if (column + 1) % self.n_splines]]

    def _everywhere(self, x: Array, place: int, own: Array) -> None:
        """Put in splines where there are no ends."""
        knots, missing = self.knots[place], np.isnan(x) if x.dtype.kind == "f" else np.zeros(len(x), np.bool_)
        if self.extrapolation == "periodic":
            first, last = knots[self.degree], knots[len(knots) - self.degree - 1]
            x = first + (x - first) % (last - first) if last - first > 0 else np.zeros_like(x)
        extrapolate = self.extrapolation != "error"
        own[:] = _basis(x, knots, self.degree, self.n_splines, extrapolate=extrapolate)
        own[missing] = 0
        if not extrapolate and np.isnan(own).any():
            raise ValueError("`X` contains values beyond the limits of the knots.")

    def _with_ends(self, x: Array, place: int, own: Array) -> None:
        """Put in splines between the ends, and their continuation."""
        low, high, n_at_ends = self.lows[place], self.highs[place], int(self.n_at_ends[place])
        at_low, at_high, slope_low, slope_high = self.at_ends[place]
        inside, below, above = (low <= x) & (x <= high), x < low, x > high
        own[inside] = _basis(x[inside], self.knots[place], self.degree, self.n_splines, extrapolate=False)
        for spline in range(n_at_ends):
            last = self.n_splines - 1 - spline
            if self.extrapolation == "constant":
                own[below, spline], own[above, last] = at_low[spline], at_high[last]
            else:
                own[below, spline] = at_low[spline] + (x[below] - low) * slope_low[spline]
                own[above, last] = at_high[last] + (x[above] - high) * slope_high[last]
