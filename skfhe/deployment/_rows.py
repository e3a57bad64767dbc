"""Rows as a client takes them: checked as scikit-learn checks them, by NumPy alone.

Data frames and sparse matrices are recognised by what they have, so that a client loads neither pandas nor
SciPy unless its caller did. What is refused, and by which class of exception, is what scikit-learn's
``validate_data`` refuses in prediction; the texts are our own, and say the same.
"""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from skfhe._typing import Array
from skfhe.encoding import network_inputs

__all__ = ["RowRules", "Rows", "ShapedRows", "feature_names_of", "frames_to_caller"]

LARGEST_DENSE = 1 << 32
"""Bytes that sparse rows may take when they are made dense."""
SHOWN = 5
"""Names of features that a message lists."""


class Rows(Protocol):
    """How rows of a model are checked and converted."""

    @property
    def estimator(self) -> str:
        """Name of the model's class, for messages."""

    @property
    def n_features(self) -> int:
        """Features of a row."""

    @property
    def feature_names(self) -> Sequence[str] | None:
        """The features' names, if training had any."""

    def validated(self, X: Any) -> Any:
        """Return an array, or a CSR matrix, that an encoder takes; raise what the original raises."""

    def dtype_of(self, X: Any) -> str:
        """Return the name of the type that `validated` gives these rows."""


@dataclass(frozen=True, eq=False)
class RowRules:
    """What rows of a model have to be.

    Parameters
    ----------
    estimator : str
        Name of the model's class, for messages.
    n_features : int
    feature_names : sequence of str or None
        In the order of training, if it had names.
    dtype : {"numeric", "float32", "float64"}
        What rows are converted to; "numeric" leaves numbers as they are.
    finite : {"all", "allow-nan", "any"}
        Which numbers are taken.
    sparse : {"no", "csr", "dense"}
        Whether sparse matrices are taken, and what they are converted to.
    """

    estimator: str
    n_features: int
    feature_names: Sequence[str] | None
    dtype: Literal["numeric", "float32", "float64"]
    finite: Literal["all", "allow-nan", "any"]
    sparse: Literal["no", "csr", "dense"]

    def __post_init__(self) -> None:
        if self.n_features < 1:
            raise ValueError(f"expected at least one feature, got {self.n_features}")
        if self.feature_names is not None and len(self.feature_names) != self.n_features:
            raise ValueError(f"{len(self.feature_names)} names do not fit {self.n_features} features")

    def validated(self, X: Any) -> Any:
        """Return rows that the model can be evaluated on.

        Parameters
        ----------
        X : array-like, sparse matrix or data frame of shape (n_rows, n_features)

        Returns
        -------
        ndarray or CSR matrix

        Raises
        ------
        ValueError
            If the shape, a number, or the names of features are not those of the model.
        TypeError
            If ``X`` is sparse and the model does not take that, or has names only for some features.
        """
        self.check_names(X)
        return self.converted(X)

    def dtype_of(self, X: Any) -> str:
        """Return the name of the type that `validated` gives these rows."""
        name: str = self.converted(X).dtype.name
        return name

    def check_names(self, X: Any) -> None:
        """Raise an error unless features have the names of training, in its order; warn if there are none."""
        given = feature_names_of(X)
        if given is not None and len(set(given)) != len(given):
            raise ValueError(f"expected different names of features, got {_listed(sorted(given))}")
        if self.feature_names is None:
            if given is not None:
                self._warn(f"X has feature names, but {self.estimator} was fitted without feature names")
            return
        if given is None:
            self._warn(
                f"X does not have valid feature names, but {self.estimator} was fitted with feature names"
            )
            return
        known = tuple(self.feature_names)
        if given == known:
            return
        message = "The feature names should match those that were passed during fit.\n"
        unseen, missing = sorted(set(given) - set(known)), sorted(set(known) - set(given))
        if unseen:
            message += "Feature names unseen at fit time:\n" + _listed(unseen)
        if missing:
            message += "Feature names seen at fit time, yet now missing:\n" + _listed(missing)
        if not unseen and not missing:
            message += "Feature names must be in the same order as they were in fit.\n"
        raise ValueError(message)

    def _warn(self, message: str) -> None:
        warnings.warn(message, UserWarning, stacklevel=frames_to_caller())

    def converted(self, X: Any) -> Any:
        """Return rows as `validated` does, whatever their features are called."""
        kind = None if self.dtype == "numeric" else np.dtype(self.dtype)
        if is_frame(X) and _is_all_sparse(X):
            X = X.sparse.to_coo()
        if is_sparse(X):
            rows = self._sparse(X, kind)
        else:
            rows = _from_frame(X, kind) if is_frame(X) else _from_array(X, kind)
            self._check_shape(X, rows)
            self._check_finite(rows)
        if rows.shape[0] < 1 or rows.shape[1] < 1:
            raise ValueError(
                f"Found array of shape {rows.shape} while at least one row and one feature are required by "
                f"{self.estimator}."
            )
        if rows.shape[1] != self.n_features:
            raise ValueError(
                f"X has {rows.shape[1]} features, but {self.estimator} is expecting {self.n_features} "
                "features as input."
            )
        return rows

    def _sparse(self, X: Any, kind: np.dtype | None) -> Any:
        if X.dtype.kind == "c":
            raise ValueError("Complex data not supported")
        if self.sparse == "no":
            raise TypeError(
                "Sparse data was passed for X, but dense data is required. Use '.toarray()' to convert to a "
                "dense numpy array."
            )
        rows = X.asformat("csr")
        if kind is not None and rows.dtype != kind:
            rows = rows.astype(kind)
        self._check_finite(rows.data)
        if rows.ndim != 2:
            raise ValueError(f"Expected 2D input, got input with shape {rows.shape}.")
        if self.sparse == "csr":
            return rows
        if 8 * math.prod(rows.shape) > LARGEST_DENSE:
            raise ValueError(
                f"X is sparse, of shape {rows.shape}, and {self.estimator} makes it dense, which would take "
                f"more than {LARGEST_DENSE >> 30} GiB; give fewer rows at once"
            )
        return rows.toarray()

    def _check_shape(self, X: Any, rows: Array) -> None:
        if rows.ndim == 2:
            return
        if rows.ndim > 2:
            raise ValueError(
                f"Found array with dim {rows.ndim}, while dim <= 2 is required by {self.estimator}."
            )
        if hasattr(X, "iloc"):
            raise ValueError(
                f"Expected a 2-dimensional container but got {type(X)} instead. Pass a DataFrame containing "
                "a single row or a single column instead."
            )
        what = "1D" if rows.ndim else "scalar"
        raise ValueError(
            f"Expected 2D array, got {what} array instead:\narray={rows}.\nReshape your data either using "
            "array.reshape(-1, 1) if your data has a single feature or array.reshape(1, -1) if it contains a "
            "single sample."
        )

    def _check_finite(self, numbers: Array) -> None:
        if self.finite == "any" or numbers.dtype.kind != "f" or np.isfinite(numbers).all():
            return
        if self.finite == "all" and np.isnan(numbers).any():
            raise ValueError(
                f"Input X contains NaN.\n{self.estimator} does not accept missing values encoded as NaN "
                "natively; impute them, or leave such rows out."
            )
        if np.isinf(numbers).any():
            raise ValueError(f"Input X contains infinity or a value too large for {numbers.dtype!r}.")


@dataclass(frozen=True, eq=False)
class ShapedRows:
    """What rows of several axes have to be.

    Parameters
    ----------
    estimator : str
        Name of the model's class, for messages.
    shape : tuple of int
        Of a row.
    """

    estimator: str
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.shape or any(n < 1 for n in self.shape):
            raise ValueError(f"no row has the shape {self.shape}")

    @property
    def n_features(self) -> int:
        """Length of the first axis, as the estimator counts."""
        return self.shape[0]

    @property
    def feature_names(self) -> None:
        """Rows of several axes have none."""
        return None

    def validated(self, X: Any) -> Any:
        """Return rows as float64.

        Raises
        ------
        ValueError
            If they are of another shape, or hold something else than finite numbers.
        """
        return network_inputs((X,), [self.shape])[0]

    def dtype_of(self, X: Any) -> str:
        """Return the name of the type that `validated` gives these rows."""
        return "float64"


def _listed(names: Sequence[str]) -> str:
    shown = [*names[:SHOWN], "..."] if len(names) > SHOWN else names
    return "".join(f"- {name}\n" for name in shown)


def is_frame(X: Any) -> bool:
    """Whether rows are a data frame."""
    return hasattr(X, "columns") and hasattr(X, "shape") and (hasattr(X, "iloc") or hasattr(X, "to_numpy"))


def is_sparse(X: Any) -> bool:
    """Whether rows are a sparse matrix or array."""
    return hasattr(X, "toarray") and hasattr(X, "asformat")


def feature_names_of(X: Any) -> tuple[str, ...] | None:
    """Return the names of a data frame's columns, None if they are no texts, or there are none.

    Raises
    ------
    TypeError
        If some are texts and others are not.
    """
    names = tuple(X.columns) if is_frame(X) else ()
    kinds = sorted({type(name).__qualname__ for name in names})
    if len(kinds) > 1 and "str" in kinds:
        raise TypeError(
            "Feature names are only supported if all input features have string names, but your input has "
            f"{kinds} as feature name / column name types. Convert them all to strings by "
            "X.columns = X.columns.astype(str), or none."
        )
    return names if kinds == ["str"] else None


def _from_array(X: Any, kind: np.dtype | None) -> Array:
    """Return an array of numbers, from anything that NumPy makes an array of."""
    if isinstance(X, np.matrix):
        raise TypeError("np.matrix is not supported. Please convert to a numpy array with np.asarray.")
    rows = np.asarray(X)
    if rows.dtype.kind == "c":
        raise ValueError("Complex data not supported")
    if kind is None and rows.dtype.kind in "USV":
        raise ValueError(
            "dtype='numeric' is not compatible with arrays of bytes/strings. Convert your data to numeric "
            "values explicitly instead."
        )
    if kind is None:
        return rows.astype(np.float64) if rows.dtype.kind == "O" and rows.ndim else rows
    return rows.astype(kind, copy=False)


def _from_frame(X: Any, kind: np.dtype | None) -> Array:
    """Return an array of a data frame, NaN for what pandas says is missing."""
    if not hasattr(X, "iloc"):
        return _from_array(X.to_numpy(), kind)
    kinds = list(X.dtypes)
    if any(_is_sparse_kind(each) for each in kinds):
        message = "pandas.DataFrame with sparse columns found. It will be converted to a dense numpy array."
        warnings.warn(message, UserWarning, stacklevel=frames_to_caller())
    own = [each for each in kinds if not isinstance(each, np.dtype)]
    numbers = [each for each in own if getattr(each, "kind", "O") in "fiub" and not _is_sparse_kind(each)]
    early = bool(numbers) or any(getattr(each, "kind", "O") == "b" for each in kinds)
    if early and kind is None:
        if not own:
            kind = np.result_type(*kinds)
        kind = np.dtype(np.float64) if kind is None or kind.kind == "O" else kind
    return _from_array(X.astype(kind) if early else X, kind)


def _is_sparse_kind(kind: Any) -> bool:
    return type(kind).__name__ == "SparseDtype"


def _is_all_sparse(X: Any) -> bool:
    """Whether all columns of a data frame are sparse."""
    return hasattr(X, "iloc") and len(X.columns) > 0 and all(_is_sparse_kind(each) for each in X.dtypes)


def frames_to_caller() -> int:
    """Return the level, counted from whoever asks, of the call that a user made."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals["__name__"].startswith("skfhe."):
        frame, level = frame.f_back, level + 1
    return level
