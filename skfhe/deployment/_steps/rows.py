"""Rows as an array, validated as scikit-learn validates them: the same dtypes, the same exceptions."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from skfhe._typing import Array
from skfhe.deployment._rows import feature_names_of, frames_to_caller
from skfhe.deployment._steps.tables import column, is_frame

__all__ = ["FLOATS", "FLOATS_OF_TWO_WIDTHS", "FittedOn", "as_array", "as_column", "check_vectors", "require"]

FLOATS = ("float64", "float32", "float16")
"""Dtypes that are kept where floats are asked for; others become the first."""
FLOATS_OF_TWO_WIDTHS = ("float64", "float32")

Kept = Literal["finite", "nan", "all"]


def require(condition: bool, message: str) -> None:
    """Raise a ValueError unless a condition holds: fields of a step may come from a file."""
    if not condition:
        raise ValueError(message)


def _converted_early(dtype: Any) -> bool:
    """Say whether a column of pandas has to change its dtype before it is an array."""
    if isinstance(dtype, np.dtype):
        return dtype.kind == "b"
    categories = getattr(dtype, "categories", None)
    if categories is not None:
        return getattr(categories, "inferred_type", None) == "boolean"
    return getattr(dtype, "kind", "O") in "biuf"


def _is_text(dtype: Any) -> bool:
    return type(dtype).__name__ == "StringDtype"


def _dtype_of(dtypes: list[Any]) -> Any:
    """Return what scikit-learn takes for the dtype of columns, None where it leaves that to pandas."""
    if any(type(dtype).__name__ == "SparseDtype" for dtype in dtypes):
        raise TypeError("Sparse columns are not taken here. Give dense ones: X.sparse.to_dense().")
    if dtypes and all(isinstance(dtype, np.dtype) for dtype in dtypes):
        return np.result_type(*dtypes)
    early = any(_converted_early(dtype) for dtype in dtypes)
    if any(_is_text(dtype) for dtype in dtypes) or (early and np.dtype(object) in dtypes):
        return np.dtype(object)
    return None


def _wanted(dtype: Any, seen: Any) -> Any:
    """Return the dtype to convert to, or None to keep what there is."""
    if isinstance(dtype, tuple):
        kept = [np.dtype(one) for one in dtype]
        return None if seen is not None and seen in kept else kept[0]
    if dtype == "numeric":
        return np.dtype(np.float64) if seen is not None and seen == np.dtype(object) else None
    return None if dtype is None else np.dtype(dtype)


def _check_values(array: Array, kept: Kept) -> None:
    """Raise a ValueError for values that are not taken."""
    if array.dtype.kind == "O" and kept == "finite" and (array != array).any():
        raise ValueError("Input contains NaN.")
    if array.dtype.kind != "f" or kept == "all":
        return
    if kept == "finite" and np.isnan(array).any():
        raise ValueError("Input contains NaN.")
    if np.isinf(array).any():
        raise ValueError(f"Input contains infinity or a value too large for {array.dtype!r}.")


def _column_with_text(rows: Any, dtype: Any) -> str:
    """Return which column of a data frame holds a text where numbers are asked for, as a message begins."""
    if is_frame(rows):
        for place, name in enumerate(rows.columns):
            try:
                np.asarray(column(rows, place), dtype=dtype)
            except ValueError:
                return f"Column {name!r}: "
    return ""


def as_array(rows: Any, dtype: Any, kept: Kept = "finite", *, order: Any = None, copy: bool = False) -> Array:
    """Return rows as an array.

    Parameters
    ----------
    rows : Table, data frame or array-like, shape (n_rows, n_features)
    dtype : tuple of str, str or None
        Dtypes that are kept, where the first is what others become; ``"numeric"``, where objects become
        floats; None, where every dtype is kept; or the dtype to give.
    kept : {"finite", "nan", "all"}
        Values of floats that are taken.
    order : {"F", None}
        Memory order; None keeps it.
    copy : bool
        Whether what is returned is to be written to, and has no memory in common with ``rows``.

    Returns
    -------
    ndarray, shape (n_rows, n_features)

    Raises
    ------
    ValueError
        If there is no row or no column, a value that is not taken, or one that is not a number where numbers
        are asked for.
    TypeError
        If rows are a sparse matrix, or values have no order among numbers.
    """
    if isinstance(rows, np.matrix):
        raise TypeError("np.matrix is not taken. Convert it with np.asarray.")
    if hasattr(rows, "toarray"):
        raise TypeError("A sparse matrix is not taken by the steps of a client. Give X.toarray().")
    if is_frame(rows):
        dtypes = list(rows.dtypes)
        seen = _dtype_of(dtypes)
        wanted = _wanted(dtype, seen)
        if any(_converted_early(one) for one in dtypes):
            rows = rows.astype(seen if wanted is None else wanted)
            wanted = None
    else:
        seen = getattr(rows, "dtype", None)
        seen = seen if hasattr(seen, "kind") else None
        wanted = _wanted(dtype, seen)
    if seen is not None and seen.kind == "c" and wanted is not None and wanted.kind == "f":
        raise ValueError("Complex data is not supported.")
    try:
        array = np.asarray(rows, dtype=wanted, order=order)
    except ValueError as error:
        raise ValueError(f"{_column_with_text(rows, wanted)}{error}") from error
    if array.dtype.kind == "c":
        raise ValueError("Complex data is not supported.")
    if array.ndim != 2:
        raise ValueError(
            f"Expected a 2D array, got one of shape {array.shape}. Give rows of features: X.reshape(-1, 1) "
            "for one feature, X.reshape(1, -1) for one row."
        )
    if dtype == "numeric" and array.dtype.kind in "USV":
        raise ValueError(
            "Expected numbers, got an array of text. Convert it first, such as by X.astype(float)."
        )
    _check_values(array, kept)
    if 0 in array.shape:
        raise ValueError(f"Expected at least one row and one feature, got an array of shape {array.shape}.")
    if copy and (not array.flags.writeable or np.may_share_memory(array, np.asarray(rows))):
        array = np.array(array, order="K" if order is None else order)
    return array


def as_column(values: Any, kept: Kept = "nan") -> Array:
    """Return one column of a table or data frame in its own dtype, shape (n_rows,)."""
    dtype = values.dtype
    if _converted_early(dtype):
        values = values.astype(dtype if isinstance(dtype, np.dtype) else np.float64)
    array = np.asarray(values)
    if array.dtype.kind == "c":
        raise ValueError("Complex data is not supported.")
    _check_values(array, kept)
    require(len(array) > 0, "Expected at least one row, got none.")
    return array


@dataclass(frozen=True, eq=False)
class FittedOn:
    """What a step was fitted on, with which later rows are compared.

    Parameters
    ----------
    step : str
        Class of the original, for messages.
    n_features : int or None
        None where the original never asks.
    feature_names : tuple of str, shape (n_features,), or None
        Names of the columns, where they had any.
    """

    step: str
    n_features: int | None
    feature_names: tuple[str, ...] | None

    def __post_init__(self) -> None:
        require(
            self.n_features is None or self.n_features >= 0, f"{self.step} has {self.n_features} features."
        )
        if self.feature_names is not None:
            n_names = len(self.feature_names)
            require(
                n_names == self.n_features, f"{self.step} has {n_names} names for {self.n_features} features."
            )

    def check_names(self, rows: Any) -> None:
        """Raise a ValueError if columns have other names, or another order, than at fit."""
        names = feature_names_of(rows)
        if names == self.feature_names:
            return
        if names is None:
            warnings.warn(
                f"X does not have valid feature names, but {self.step} was fitted with feature names",
                stacklevel=frames_to_caller(),
            )
        elif self.feature_names is None:
            warnings.warn(
                f"X has feature names, but {self.step} was fitted without feature names",
                stacklevel=frames_to_caller(),
            )
        else:
            new, missing = sorted({*names} - {*self.feature_names}), sorted({*self.feature_names} - {*names})
            raise ValueError(
                f"{self.step}: the columns should have the names that they had at fit, in the same order. "
                f"Unseen at fit: {new}; missing now: {missing}."
            )

    def check_number(self, n_features: int) -> None:
        """Raise a ValueError if there are more or fewer features than at fit."""
        if self.n_features is not None and n_features != self.n_features:
            raise ValueError(f"X has {n_features} features, but {self.step} is expecting {self.n_features}.")

    def array(
        self, rows: Any, dtype: Any, kept: Kept = "finite", *, order: Any = None, copy: bool = False
    ) -> Array:
        """Return rows as an array, as `as_array` does, once names and their number are those at fit."""
        self.check_names(rows)
        array = as_array(rows, dtype, kept, order=order, copy=copy)
        self.check_number(array.shape[1])
        return array


def check_vectors(fitted_on: FittedOn, **vectors: Array | None) -> None:
    """Raise a ValueError unless vectors have one value for each feature."""
    for name, vector in vectors.items():
        if vector is not None:
            expected, shape = (fitted_on.n_features,), np.shape(vector)
            require(shape == expected, f"{fitted_on.step}: {name} has shape {shape}; expected {expected}.")
