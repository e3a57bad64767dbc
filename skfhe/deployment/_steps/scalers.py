"""Scalers: each feature, or row, by itself. The same operations in the same order as the originals'."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from skfhe._typing import Array
from skfhe.deployment._steps.rows import FLOATS, FittedOn, as_array, check_vectors, require

__all__ = ["Binarizer", "MinMaxScaler", "Normalizer", "Scaler"]


def _clip(X: Array, low: float, high: float) -> Array:
    """Clip values in place; a negative zero is not below zero."""
    X[np.asarray(low, dtype=X.dtype) > X] = low
    X[np.asarray(high, dtype=X.dtype) < X] = high
    return X


@dataclass(frozen=True, eq=False)
class Scaler:
    """`StandardScaler`, `RobustScaler` and `MaxAbsScaler`: subtract a centre, divide by a scale.

    Parameters
    ----------
    fitted_on : FittedOn
    center, scale : ndarray, shape (n_features,), or None
        None leaves the operation out.
    in_width_of_rows : bool
        Whether both are first converted to the dtype of the rows.
    by_reciprocal : bool
        Whether rows are multiplied by 1 / scale, as a sparse matrix is.
    limit : float or None
        What absolute values are clipped to.
    """

    fitted_on: FittedOn
    center: Array | None
    scale: Array | None
    in_width_of_rows: bool = False
    by_reciprocal: bool = False
    limit: float | None = None

    def __post_init__(self) -> None:
        check_vectors(self.fitted_on, center=self.center, scale=self.scale)

    def transform(self, rows: Any) -> Array:
        """Return scaled rows, shape (n_rows, n_features)."""
        X = self.fitted_on.array(rows, FLOATS, "nan", copy=True)
        if self.center is not None:
            X -= self.center.astype(X.dtype) if self.in_width_of_rows else self.center
        if self.scale is not None and self.by_reciprocal:
            X *= 1 / self.scale
        elif self.scale is not None:
            X /= self.scale.astype(X.dtype) if self.in_width_of_rows else self.scale
        return X if self.limit is None else _clip(X, -self.limit, self.limit)


@dataclass(frozen=True, eq=False)
class MinMaxScaler:
    """`MinMaxScaler`: multiply by a scale, add an offset.

    Parameters
    ----------
    fitted_on : FittedOn
    scale, offset : ndarray, shape (n_features,)
    limits : tuple of two floats, or None
        What values are clipped to.
    """

    fitted_on: FittedOn
    scale: Array
    offset: Array
    limits: tuple[float, float] | None

    def __post_init__(self) -> None:
        check_vectors(self.fitted_on, scale=self.scale, offset=self.offset)

    def transform(self, rows: Any) -> Array:
        """Return scaled rows, shape (n_rows, n_features)."""
        X = self.fitted_on.array(rows, FLOATS, "nan", copy=True)
        X *= self.scale
        X += self.offset
        return X if self.limits is None else _clip(X, *self.limits)


@dataclass(frozen=True, eq=False)
class Normalizer:
    """`Normalizer`: each row divided by its norm.

    Parameters
    ----------
    fitted_on : FittedOn
    norm : {"l1", "l2", "max"}
    """

    fitted_on: FittedOn
    norm: Literal["l1", "l2", "max"]

    def transform(self, rows: Any) -> Array:
        """Return normalized rows, shape (n_rows, n_features)."""
        X = as_array(self.fitted_on.array(rows, "numeric", copy=True), FLOATS)
        if self.norm == "l1":
            norms = np.sum(np.abs(X), axis=1)
        elif self.norm == "l2":
            norms = np.sqrt(np.einsum("ij,ij->i", X, X))
        else:
            norms = np.max(np.abs(X), axis=1)
        norms[norms < 10 * np.finfo(norms.dtype).eps] = 1.0
        X /= norms[:, None]
        return X


@dataclass(frozen=True, eq=False)
class Binarizer:
    """`Binarizer`: whether values exceed a threshold, in the dtype of the rows.

    Parameters
    ----------
    fitted_on : FittedOn
    threshold : float
    """

    fitted_on: FittedOn
    threshold: float

    def __post_init__(self) -> None:
        require(np.isfinite(self.threshold), f"Binarizer has the threshold {self.threshold}.")

    def transform(self, rows: Any) -> Array:
        """Return zeros and ones, shape (n_rows, n_features)."""
        X = self.fitted_on.array(rows, "numeric", copy=True)
        floats = X if X.dtype.kind == "f" else X.astype(np.float64)
        X[...] = floats > self.threshold
        return X
