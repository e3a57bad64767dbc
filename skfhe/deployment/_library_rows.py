"""Rows as their originals take them: categories as numbers or indicators, bits, and what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from skfhe._typing import Array, FloatArray, IntArray
from skfhe.deployment._rows import RowRules, feature_names_of, is_frame, is_sparse
from skfhe.encoding import NamedCategories, one_hot

__all__ = ["BinarizedRows", "HistogramRows", "IndicatorRows", "LightGBMRows", "NamedRows", "XGBoostRows"]

NEAR_ZERO = float(np.float32(1e-35))
"""Values no larger than this are taken for zeros by LightGBM's predictions."""
MOST_INDICATORS = 1 << 24
"""Categories of all features together that a client takes rows of."""
TEXTS = ("category", "object", "str", "string")
"""Types of columns that hold categories or text."""


def _numbers(values: Any, known: Sequence[Any]) -> FloatArray:
    """Return the places of values among those known, NaN for others; shape (n_rows,)."""
    place = {value: float(number) for number, value in enumerate(known)}
    return np.array([place.get(value, np.nan) for value in values], dtype=np.float64)


def _plain(column: Any) -> list[Any]:
    """Return the values of a column as objects of Python, which are equal whatever type held them."""
    return [
        each.item() if isinstance(each, np.generic) else each for each in np.asarray(column, dtype=object)
    ]


def _columns_of(X: Any, kinds: Sequence[str]) -> list[str]:
    """Return the columns of a data frame whose types are called so, for anything else none."""
    if not is_frame(X):
        return []
    return [name for name, kind in zip(X.columns, X.dtypes, strict=True) if str(kind) in kinds]


@dataclass(frozen=True, eq=False)
class _LibraryRows:
    """Rows that are checked by rules, before or after a library's own conversion.

    Parameters
    ----------
    rules : RowRules
    """

    rules: RowRules

    @property
    def estimator(self) -> str:
        """Name of the model's class, for messages."""
        return self.rules.estimator

    @property
    def n_features(self) -> int:
        """Features of a row."""
        return self.rules.n_features

    @property
    def feature_names(self) -> Sequence[str] | None:
        """The features' names, if training had any."""
        return self.rules.feature_names

    def dtype_of(self, X: Any) -> str:
        """Return the name of the type that ``validated`` gives any rows."""
        return self.rules.dtype


@dataclass(frozen=True, eq=False)
class BinarizedRows(_LibraryRows):
    """Rows of which a bit says whether a value exceeds a threshold.

    Parameters
    ----------
    rules : RowRules
    threshold : float
    """

    threshold: float

    def __post_init__(self) -> None:
        if not self.threshold >= 0:
            raise ValueError(f"expected a threshold of at least 0, got {self.threshold}")

    def validated(self, X: Any) -> Any:
        """Return rows of zeros and ones.

        Raises
        ------
        ValueError
            If rows are not as `RowRules` say.
        """
        rows = self.rules.validated(X)
        if is_sparse(rows):
            rows = rows.copy()
            rows.data = (rows.data > self.threshold).astype(np.float64)
            return rows
        return (rows > self.threshold).astype(np.float64)


@dataclass(frozen=True, eq=False)
class IndicatorRows(_LibraryRows):
    """Rows of numbers of categories, as an indicator for each category.

    Parameters
    ----------
    rules : RowRules
    n_categories : sequence of int
        Of each feature.
    """

    n_categories: Sequence[int]

    def __post_init__(self) -> None:
        if len(self.n_categories) != self.rules.n_features or not all(n >= 1 for n in self.n_categories):
            raise ValueError(f"expected categories of each of {self.rules.n_features} features")
        if self.n_columns > MOST_INDICATORS:
            raise ValueError(f"expected at most {MOST_INDICATORS} categories, got {self.n_columns}")

    @property
    def n_columns(self) -> int:
        """Indicators of a row."""
        return sum(self.n_categories)

    def validated(self, X: Any) -> FloatArray:
        """Return the indicators of rows, shape (n_rows, n_columns).

        Raises
        ------
        ValueError
            If a number is negative or that of no category, or rows are not as `RowRules` say.
        """
        numbers = np.trunc(self.rules.validated(X))
        if (numbers < 0).any():
            raise ValueError(f"Negative values in data passed to {self.estimator} (input X).")
        whole = np.minimum(numbers, MOST_INDICATORS).astype(np.int64)
        return one_hot(whole, self.n_categories, self.estimator)


@dataclass(frozen=True, eq=False)
class HistogramRows(_LibraryRows):
    """Rows of scikit-learn's histogram-based boosting that has categorical features.

    Parameters
    ----------
    rules : RowRules
        Of the other features.
    categorical : ndarray of int64, shape (n_categorical,)
        Which features are categories. They come first in what trees read.
    categories : sequence of ndarray, each of shape (n_categories,)
        Of these features; numbers are places in them.
    """

    categorical: IntArray
    categories: Sequence[Array]

    def __post_init__(self) -> None:
        numbers = self.categorical.tolist()
        if not numbers:
            raise ValueError("expected categorical features")
        if len(set(numbers)) != len(numbers) or len(numbers) != len(self.categories):
            raise ValueError("expected the categories of each categorical feature")
        if not all(0 <= number < self.rules.n_features for number in numbers):
            raise ValueError(f"categorical features must lie in [0, {self.rules.n_features})")

    def validated(self, X: Any) -> FloatArray:
        """Return rows with numbers for categories, shape (n_rows, n_features), categories first.

        Raises
        ------
        ValueError
            If there are other features than in training.
        """
        if is_sparse(X):
            raise TypeError(
                f"Sparse data was passed for X, but {self.estimator} has categories and requires dense data. "
                "Use '.toarray()' to convert to a dense numpy array."
            )
        own = set(self.categorical.tolist())
        others = [feature for feature in range(self.rules.n_features) if feature not in own]
        columns = self._columns(X)
        coded = [
            self._coded(columns[feature], known.tolist())
            for feature, known in zip(self.categorical, self.categories, strict=True)
        ]
        if not len(coded[0]):
            raise ValueError(f"Found array with 0 rows while at least one is required by {self.estimator}.")
        if not others:
            return np.stack(coded, axis=1)
        rules = replace(self.rules, n_features=len(others), feature_names=None)
        if is_frame(X):
            remaining = X[[columns[feature].name for feature in others]]
        else:
            remaining = np.asarray(X)[:, others]
        return np.column_stack([*coded, rules.converted(remaining)])

    def _coded(self, column: Any, known: list[Any]) -> FloatArray:
        values = _plain(column)
        texts = {isinstance(value, str) for value in known}
        if texts == {False} and any(isinstance(value, str) for value in values):
            raise ValueError(
                f"a column of categories holds texts, and {self.estimator} knows numbers: {known}"
            )
        return _numbers(values, known)

    def _columns(self, X: Any) -> list[Any]:
        """Return the columns of rows, those of a data frame by their names if training had any."""
        given, names = feature_names_of(X), self.feature_names
        if given is not None and names is not None:
            missing = sorted(set(names) - set(given))
            if missing:
                raise ValueError(f"columns are missing: {missing}; {self.estimator} was fitted with them")
            if len(set(given)) != len(given):
                raise ValueError(f"expected different names of features, got {sorted(given)}")
            return [X[name] for name in names]
        if names is None:
            self.rules.check_names(X)
        if is_frame(X):
            found = [X[name] for name in X.columns]
        else:
            if isinstance(X, np.matrix):
                raise TypeError("np.matrix is not supported. Please convert to a numpy array.")
            rows = np.asarray(X)
            if rows.ndim != 2:
                raise ValueError(f"Expected 2D array, got {rows.ndim}D array instead:\narray={rows}.")
            if rows.dtype.kind in "cM":
                raise ValueError(f"{rows.dtype} is not supported: rows are numbers and texts")
            found = list(rows.T)
        if len(found) != self.rules.n_features:
            raise ValueError(
                f"X has {len(found)} features, but {self.estimator} is expecting {self.rules.n_features} "
                "features as input."
            )
        return found


@dataclass(frozen=True, eq=False)
class XGBoostRows(_LibraryRows):
    """Rows of XGBoost.

    Parameters
    ----------
    rules : RowRules
    categorical : ndarray of int64, shape (n_categorical,)
        Which features are categories.
    categories : sequence of ndarray or None
        Of these features; None where training had their numbers.
    missing : float or None
        A number that stands for a missing value, beside NaN.
    """

    categorical: IntArray
    categories: Sequence[Array | None]
    missing: float | None

    def __post_init__(self) -> None:
        if len(self.categorical) != len(self.categories):
            raise ValueError("expected the categories of each categorical feature")
        if not all(0 <= number < self.rules.n_features for number in self.categorical):
            raise ValueError(f"categorical features must lie in [0, {self.rules.n_features})")

    def validated(self, X: Any) -> Array:
        """Return rows in single precision, numbers for categories, and NaN for every missing value.

        Raises
        ------
        ValueError
            If a category is unknown, or rows are not as `RowRules` say.
        """
        rows = self.rules.validated(self._numbered(X))
        if is_sparse(rows):  # what a sparse matrix leaves out is missing
            present = rows.tocoo()
            rows = np.full(present.shape, np.nan, dtype=np.float32)
            rows[present.row, present.col] = present.data
        if self.missing is not None and not np.isnan(self.missing):
            rows = np.where(rows == np.float32(self.missing), np.float32(np.nan), rows)
        if len(self.categorical):
            rows = rows.copy()
            rows[:, self.categorical] = np.floor(rows[:, self.categorical])
        return rows

    def _numbered(self, X: Any) -> Any:
        """Return a data frame with numbers in place of categories, and anything else as it is."""
        names = _columns_of(X, TEXTS)
        if not names:
            return X
        of_feature = dict(zip(self.categorical.tolist(), self.categories, strict=True))
        X = X.copy()
        for name in names:
            known = of_feature.get(list(X.columns).index(name))
            if known is None:
                raise ValueError(
                    f"column {name!r} holds {X[name].dtype}, and training had no categories there; expected "
                    "numbers"
                )
            values = _plain(X[name])
            present = [value for value, given in zip(values, X[name].notna(), strict=True) if given]
            unknown = sorted({repr(value) for value in present} - {repr(value) for value in known.tolist()})
            if unknown:
                raise ValueError(
                    f"column {name!r} has categories that training had not: {', '.join(unknown)}; known are "
                    f"{known.tolist()}"
                )
            X[name] = _numbers(values, known.tolist())
        return X


@dataclass(frozen=True, eq=False)
class LightGBMRows(_LibraryRows):
    """Rows of LightGBM.

    Parameters
    ----------
    rules : RowRules
    categories : sequence of ndarray
        Of the columns of categories of the data frame that was trained on, in their order.
    categorical : ndarray of int64, shape (n_categorical,)
        Features that are split by categories.
    zero_is_missing : bool
    """

    categories: Sequence[Array]
    categorical: IntArray
    zero_is_missing: bool

    def __post_init__(self) -> None:
        if not all(0 <= number < self.rules.n_features for number in self.categorical):
            raise ValueError(f"categorical features must lie in [0, {self.rules.n_features})")

    def validated(self, X: Any) -> Any:
        """Return rows in double precision, numbers for categories, and NaN for every missing value.

        Raises
        ------
        ValueError
            If there are more or fewer columns of categories, or rows are not as `RowRules` say.
        """
        rows = self.rules.validated(self._numbered(X) if is_frame(X) else X)
        zero = np.nan if self.zero_is_missing else 0.0
        if is_sparse(rows):
            if zero == 0 and not len(self.categorical):
                rows = rows.copy()
                rows.data = np.where(np.abs(rows.data) <= NEAR_ZERO, 0.0, rows.data)
                return rows
            rows = rows.toarray()
        rows = np.where(np.abs(rows) <= NEAR_ZERO, zero, rows)
        if len(self.categorical):
            rows[:, self.categorical] = np.trunc(rows[:, self.categorical])
        return rows

    def _numbered(self, X: Any) -> Any:
        """Return a data frame with numbers in place of categories, and the names of training."""
        names = _columns_of(X, ("category",))
        if len(names) != len(self.categories):
            raise ValueError(
                f"X has {len(names)} columns of categories, {names}; training had {len(self.categories)}"
            )
        X = X.copy()
        for name, known in zip(names, self.categories, strict=True):
            X[name] = _numbers(_plain(X[name]), known.tolist())
        # the library has put underscores in place of spaces
        known_names = {name.replace(" ", "_"): name for name in self.feature_names or ()}
        X.columns = [known_names.get(str(name).replace(" ", "_"), name) for name in X.columns]
        return X


@dataclass(frozen=True, eq=False)
class NamedRows(_LibraryRows):
    """Rows of additive models that have categories, which are told by how they are written.

    Parameters
    ----------
    rules : RowRules
    categories : NamedCategories
    """

    categories: NamedCategories

    def __post_init__(self) -> None:
        if self.categories.n_features != self.rules.n_features:
            raise ValueError("expected the categories of each feature, or that it has none")

    def validated(self, X: Any) -> FloatArray:
        """Return rows of numbers, NaN for what is missing, and -1 for categories that are not known.

        Raises
        ------
        ValueError
            If there are other features than in training, or texts in a feature of numbers.
        """
        if is_sparse(X):
            X = X.toarray()
        self.rules.check_names(X)
        if hasattr(X, "iloc"):
            columns = [X.iloc[:, number] for number in range(X.shape[1])]
            n_rows = len(X)
        else:
            if isinstance(X, np.matrix):
                raise TypeError("np.matrix is not supported. Please convert to a numpy array.")
            rows = np.asarray(X)
            if rows.ndim != 2:
                raise ValueError(f"Expected 2D array, got {rows.ndim}D array instead:\narray={rows}.")
            if rows.dtype.kind == "c":
                raise ValueError("Complex data not supported")
            columns, n_rows = list(rows.T), len(rows)
        if not n_rows:
            raise ValueError(f"Found array with 0 rows while at least one is required by {self.estimator}.")
        if len(columns) != self.rules.n_features:
            raise ValueError(
                f"X has {len(columns)} features, but {self.estimator} is expecting {self.rules.n_features} "
                "features as input."
            )
        return self.categories.numbers(columns)
