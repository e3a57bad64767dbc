"""Missing values: what takes their place, and where they are."""

from __future__ import annotations

import numbers
import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from skfhe._typing import Array, BoolArray, IntArray
from skfhe.deployment._steps.rows import FLOATS, FittedOn, require

__all__ = ["Missing", "MissingIndicator", "SimpleImputer"]

FILL_DTYPES = (*FLOATS, *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)), "object")
"""Dtypes of rows and fills."""


@dataclass(frozen=True, eq=False)
class Missing:
    """What stands for a missing value.

    Parameters
    ----------
    kind : {"nan", "pandas.NA", "value"}
    value : str, int, float, bool or None
        Of the last kind.
    """

    kind: Literal["nan", "pandas.NA", "value"]
    value: str | int | float | bool | None = None

    def check(self, X: Array, step: str) -> None:
        """Raise a ValueError for rows that cannot be compared with it."""
        if self.kind == "value" and X.dtype.kind in "fiu" and not isinstance(self.value, numbers.Real):
            raise ValueError(
                f"{step}: numbers, X.dtype={X.dtype}, were given where {self.value!r} stands for missing."
            )
        if X.dtype.kind not in "iufO":
            raise ValueError(
                f"{step} does not support data with dtype {X.dtype}. Give numbers, or text as objects."
            )

    def mask(self, X: Array) -> BoolArray:
        """Return where values are missing, shape (n_rows, n_features)."""
        if self.kind == "value":
            return np.asarray(self.value == X, dtype=np.bool_)
        if X.dtype.kind == "f":
            return np.isnan(X)
        if X.dtype.kind in "iu":
            return np.zeros(X.shape, dtype=np.bool_)
        if self.kind == "nan":
            return np.asarray(X != X, dtype=np.bool_)
        return np.reshape([_is_missing(value) for value in X.ravel()], X.shape)


def _is_missing(value: Any) -> bool:
    """Say whether pandas takes a value for missing."""
    return (
        value is None
        or type(value).__name__ in ("NAType", "NaTType")
        or (isinstance(value, float) and value != value)
    )


@dataclass(frozen=True, eq=False)
class SimpleImputer:
    """`SimpleImputer`, of any strategy.

    Parameters
    ----------
    fitted_on : FittedOn
    missing : Missing
    kept : ndarray of int64, shape (n_kept,)
        Features that had a value at fit.
    fills : ndarray, shape (n_kept,)
        What missing values of these become.
    rows_as : {"floats", "given", "objects"}
        Dtype of rows.
    fill_dtype : str or None
        What must fit into the dtype of rows, where that is asked.
    indicated : ndarray of int64, shape (n_indicated,), or None
        Features whose missing values are told in a column of their own.
    """

    fitted_on: FittedOn
    missing: Missing
    kept: IntArray
    fills: Array
    rows_as: Literal["floats", "given", "objects"]
    fill_dtype: str | None
    indicated: IntArray | None

    def __post_init__(self) -> None:
        step, n_features = self.fitted_on.step, self.fitted_on.n_features
        require(
            self.kept.ndim == 1 and self.kept.shape == self.fills.shape, f"{step}: {len(self.fills)} fills."
        )
        require(
            self.fill_dtype is None or self.fill_dtype in FILL_DTYPES, f"{step}: fills of {self.fill_dtype}."
        )
        for places in (self.kept, *(() if self.indicated is None else (self.indicated,))):
            in_range = n_features is not None and bool(((places >= 0) & (places < n_features)).all())
            require(in_range, f"{step}: features beyond the {n_features} that there are.")

    def _validated(self, rows: Any) -> Array:
        dtype: Any = {"floats": FLOATS, "given": None, "objects": object}[self.rows_as]
        texts = self.rows_as == "given" and isinstance(rows, list)
        if texts and any(isinstance(value, str) for row in rows for value in row):
            dtype = object
        kept: Literal["finite", "nan"] = "finite" if self.missing.kind == "value" else "nan"
        X = self.fitted_on.array(rows, dtype, kept, copy=True)
        self.missing.check(X, self.fitted_on.step)
        if self.fill_dtype is not None and not np.can_cast(
            np.dtype(self.fill_dtype), X.dtype, casting="same_kind"
        ):
            raise ValueError(
                f"The fill value's dtype {self.fill_dtype} cannot be cast to that of the rows, {X.dtype}."
            )
        return X

    def transform(self, rows: Any) -> Array:
        """Return rows without missing values, and where they were, shape (n_rows, n_kept + n_indicated)."""
        X = self._validated(rows)
        missing = self.missing.mask(X)
        found = missing
        if len(self.kept) < X.shape[1]:
            dropped = sorted({*range(X.shape[1])} - {*self.kept.tolist()})
            warnings.warn(f"Skipping features without any observed values: {dropped}.", stacklevel=2)
            X, found = X[:, self.kept], missing[:, self.kept]
        X[np.nonzero(found.T)[::-1]] = np.repeat(self.fills, found.sum(axis=0))
        if self.indicated is None:
            return X
        return np.hstack(
            (X, missing if len(self.indicated) == missing.shape[1] else missing[:, self.indicated])
        )


@dataclass(frozen=True, eq=False)
class MissingIndicator:
    """`MissingIndicator`: where values are missing.

    Parameters
    ----------
    fitted_on : FittedOn
    missing : Missing
    features : ndarray of int64, shape (n_indicated,)
    refuse_new : bool
        Whether a missing value in another feature is refused.
    """

    fitted_on: FittedOn
    missing: Missing
    features: IntArray
    refuse_new: bool

    def __post_init__(self) -> None:
        n_features = self.fitted_on.n_features
        in_range = n_features is not None and bool(
            ((self.features >= 0) & (self.features < n_features)).all()
        )
        require(self.features.ndim == 1 and in_range, f"Features beyond the {n_features} that there are.")

    def transform(self, rows: Any) -> BoolArray:
        """Return where values are missing, shape (n_rows, n_indicated)."""
        X = self.fitted_on.array(rows, None, "nan" if self.missing.kind == "nan" else "finite")
        self.missing.check(X, self.fitted_on.step)
        missing = self.missing.mask(X)
        new = np.setdiff1d(np.flatnonzero(missing.any(axis=0)), self.features)
        if self.refuse_new and len(new):
            raise ValueError(f"The features {new} have missing values now and had none at fit.")
        return missing[:, self.features] if len(self.features) < missing.shape[1] else missing
