"""Curves of single features: powers, quantiles, bins, and polynomials of several."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from skfhe._typing import Array, FloatArray
from skfhe.deployment._steps.normal_quantiles import normal_quantiles
from skfhe.deployment._steps.rows import FLOATS, FLOATS_OF_TWO_WIDTHS, FittedOn, check_vectors, require
from skfhe.deployment._steps.scalers import Scaler

__all__ = ["KBinsDiscretizer", "PolynomialFeatures", "PowerTransformer", "QuantileTransformer"]


MOST_FACTORS, MOST_PRODUCTS = 64, 10**7
"""Of a product of features, and of one step."""
SMALLEST_PLACE = 1e-7
"""The least that a place among quantiles is told from 0 and 1, before it becomes a normal quantile."""


def _log_power(values: Array, power: Any, form: str) -> Array:
    """Return ((1 + values) ** power - 1) / power of values that are not negative, or their logarithm."""
    if form == "expm1":
        return np.expm1(power * np.log1p(values)) / power
    return (np.power(values + 1, power) - 1) / power


def yeo_johnson(x: Array, power: Any, form: str) -> Array:
    """Return Yeo-Johnson's transform of one feature."""
    dtype = np.result_type(x.dtype, np.asarray(power).dtype) if form == "expm1" else x.dtype
    eps = np.finfo(dtype).eps if form == "expm1" else np.spacing(1.0)
    transformed = np.zeros_like(x, dtype=dtype)
    positive = x >= 0
    up, down = x[positive], -x[~positive]
    transformed[positive] = np.log1p(up) if abs(power) < eps else _log_power(up, power, form)
    if abs(power - 2) > eps:
        transformed[~positive] = -_log_power(down, 2 - power, form)
    else:
        transformed[~positive] = -np.log1p(down)
    return transformed


def _box_cox(value: float, power: float) -> float:
    """Return Box and Cox' transform, by the functions of C that SciPy calls."""
    if math.isnan(value) or math.isnan(power):
        return math.nan
    log = math.log(value)
    if abs(power) < 1e-19:
        return log
    if power * log < 709.78:
        return math.expm1(power * log) / power
    try:
        return math.copysign(1.0, power) * math.exp(power * log - math.log(abs(power))) - 1 / power
    except OverflowError:
        return math.copysign(math.inf, power)


@dataclass(frozen=True, eq=False)
class PowerTransformer:
    """`PowerTransformer`: powers of each feature.

    Parameters
    ----------
    fitted_on : FittedOn
    method : {"box-cox", "yeo-johnson"}
    form : {"expm1", "power"}
        How Yeo-Johnson's is computed, which differs between versions of the original.
    powers : ndarray, shape (n_features,)
    scaler : Scaler or None
        What standardizes afterwards.
    """

    fitted_on: FittedOn
    method: Literal["box-cox", "yeo-johnson"]
    form: Literal["expm1", "power"]
    powers: Array
    scaler: Scaler | None

    def __post_init__(self) -> None:
        check_vectors(self.fitted_on, powers=self.powers)

    def transform(self, rows: Any) -> Array:
        """Return transformed rows, shape (n_rows, n_features)."""
        X = self.fitted_on.array(rows, FLOATS, "nan", copy=True)
        if self.method == "box-cox" and (X <= 0).any():
            raise ValueError("The Box-Cox transformation can only be applied to strictly positive data.")
        with np.errstate(invalid="ignore"):
            for place, power in enumerate(self.powers):
                X[:, place] = self._transformed(X[:, place], power)
        return X if self.scaler is None else self.scaler.transform(X)

    def _transformed(self, x: Array, power: Any) -> Array:
        if self.method == "yeo-johnson":
            return yeo_johnson(x, power, self.form)
        narrow = np.result_type(x, power).itemsize < 8
        power = float(np.float32(power) if narrow else power)
        return np.array(
            [_box_cox(float(value), power) for value in x], dtype=np.float32 if narrow else np.float64
        )


@dataclass(frozen=True, eq=False)
class QuantileTransformer:
    """`QuantileTransformer`: a feature's place among the quantiles at fit.

    Parameters
    ----------
    fitted_on : FittedOn
    quantiles : ndarray of float64, shape (n_quantiles, n_features)
    references : ndarray of float64, shape (n_quantiles,)
    normal : bool
        Whether places become quantiles of the normal distribution.
    """

    fitted_on: FittedOn
    quantiles: FloatArray
    references: FloatArray
    normal: bool

    def __post_init__(self) -> None:
        expected = (*self.references.shape, self.fitted_on.n_features)
        shape = self.quantiles.shape
        require(
            self.references.ndim == 1 and len(self.references) > 0 and shape == expected,
            f"Quantiles have shape {shape}; expected {expected}.",
        )

    def transform(self, rows: Any) -> Array:
        """Return values between 0 and 1, or of a normal distribution, shape (n_rows, n_features)."""
        X = self.fitted_on.array(rows, FLOATS, "nan", copy=True)
        for place, quantiles in enumerate(self.quantiles.T):
            x = X[:, place]
            if self.normal:
                lowest, highest = x - SMALLEST_PLACE < quantiles[0], x + SMALLEST_PLACE > quantiles[-1]
            else:
                lowest, highest = x == quantiles[0], x == quantiles[-1]
            there = ~np.isnan(x)
            x[there] = 0.5 * (
                np.interp(x[there], quantiles, self.references)
                - np.interp(-x[there], -quantiles[::-1], -self.references[::-1])
            )
            x[highest] = 1
            x[lowest] = 0
            if self.normal:
                smallest = SMALLEST_PLACE - np.spacing(1)
                low, high = normal_quantiles(np.array([smallest, 1 - smallest]))
                X[:, place] = np.clip(normal_quantiles(x), low, high)
        return X


@dataclass(frozen=True, eq=False)
class KBinsDiscretizer:
    """`KBinsDiscretizer`: which bin values are in.

    Parameters
    ----------
    fitted_on : FittedOn
    edges : tuple of ndarray of float64, shape (n_bins of the feature - 1,)
        Those between bins.
    one_hot : bool
        Whether there is a column for each bin.
    dtype : {"float32", "float64"} or None
        None keeps either.
    """

    fitted_on: FittedOn
    edges: tuple[FloatArray, ...]
    one_hot: bool
    dtype: Literal["float32", "float64"] | None

    def __post_init__(self) -> None:
        require(
            len(self.edges) == self.fitted_on.n_features, f"There are edges of {len(self.edges)} features."
        )
        require(all(edges.ndim == 1 for edges in self.edges), "Edges of bins are no vector.")

    def transform(self, rows: Any) -> Array:
        """Return bins, shape (n_rows, n_features), or (n_rows, total number of bins)."""
        X = self.fitted_on.array(rows, FLOATS_OF_TWO_WIDTHS if self.dtype is None else self.dtype, copy=True)
        for place, edges in enumerate(self.edges):
            X[:, place] = np.searchsorted(edges, X[:, place], side="right")
        if not self.one_hot:
            return X
        n_bins = [len(edges) + 1 for edges in self.edges]
        starts = np.cumsum([0, *n_bins])
        encoded = np.zeros((len(X), starts[-1]), dtype=X.dtype)
        encoded[np.arange(len(X))[:, None], X.astype(np.int64) + starts[:-1]] = 1
        return encoded


@dataclass(frozen=True, eq=False)
class PolynomialFeatures:
    """`PolynomialFeatures`: products of features.

    Parameters
    ----------
    fitted_on : FittedOn
    min_degree, max_degree : int
    interaction_only : bool
        Whether no feature is taken twice.
    include_bias : bool
    order : {"C", "F"}
        Memory order of the products.
    """

    fitted_on: FittedOn
    min_degree: int
    max_degree: int
    interaction_only: bool
    include_bias: bool
    order: Literal["C", "F"]

    def __post_init__(self) -> None:
        require(
            0 <= self.min_degree <= self.max_degree <= MOST_FACTORS,
            f"Degrees from {self.min_degree} to {self.max_degree}.",
        )
        n_products = math.comb((self.fitted_on.n_features or 0) + self.max_degree, self.max_degree)
        require(n_products <= MOST_PRODUCTS, f"There are {n_products} products of features.")

    def transform(self, rows: Any) -> Array:
        """Return products, shape (n_rows, n_products)."""
        X = self.fitted_on.array(rows, FLOATS, order="F")
        products: dict[tuple[int, ...], Array] = {}
        products |= {(place,): X[:, place] for place in range(X.shape[1]) if self.max_degree}
        choose = itertools.combinations if self.interaction_only else itertools.combinations_with_replacement
        for degree in range(2, self.max_degree + 1):
            for chosen in choose(range(X.shape[1]), degree):
                products[chosen] = products[chosen[1:]] * X[:, chosen[0]]
        columns = [product for chosen, product in products.items() if len(chosen) >= self.min_degree]
        if self.include_bias:
            columns.insert(0, np.ones(len(X), dtype=X.dtype))
        whole = np.empty((len(X), len(columns)), dtype=X.dtype, order=self.order)
        for place, values in enumerate(columns):
            whole[:, place] = values
        return whole
