"""Encoders of categories."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from skfhe._typing import Array, FloatArray
from skfhe.deployment._steps.categories import FeatureCategories, is_nan
from skfhe.deployment._steps.rows import require

__all__ = ["NUMBERS", "OneHotEncoder", "OrdinalEncoder", "TargetEncoder"]

NUMBERS = frozenset(
    {*("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"), *("float32", "float64")}
)
"""Dtypes that encoders may be asked for."""


@dataclass(frozen=True, eq=False)
class OneHotEncoder:
    """`OneHotEncoder`: a column for each category.

    Parameters
    ----------
    categories : FeatureCategories
    dropped : tuple of int or None, shape (n_features,)
        Place of the category that has no column, once the infrequent ones are one.
    unknown : {"error", "zeros", "infrequent"}
        What unknown values become; zeros, too, where a feature has no infrequent categories.
    warning : str or None
        What features with unknown values are said to be encoded as; None says nothing.
    dtype : str
    """

    categories: FeatureCategories
    dropped: tuple[int | None, ...]
    unknown: Literal["error", "zeros", "infrequent"]
    warning: str | None
    dtype: str

    def __post_init__(self) -> None:
        counts = self.categories.counts
        require(
            len(self.dropped) == len(counts),
            f"{len(self.dropped)} dropped categories for {len(counts)} features.",
        )
        for dropped, count in zip(self.dropped, counts, strict=True):
            require(dropped is None or 0 <= dropped < count, f"Category {dropped} of {count} is dropped.")
        require(self.dtype in NUMBERS, f"The dtype {self.dtype!r} is no number's.")

    def transform(self, rows: Any) -> Array:
        """Return zeros and ones, shape (n_rows, n_columns)."""
        places, known, unknown_columns = self.categories.places(
            rows, refuse=self.unknown == "error", group_unknown=self.unknown == "infrequent"
        )
        if unknown_columns and self.warning is not None:
            warnings.warn(
                f"Found unknown categories in columns {unknown_columns} during transform. "
                f"These unknown categories will be encoded as {self.warning}",
                stacklevel=2,
            )
        widths = []
        for place, (count, dropped) in enumerate(zip(self.categories.counts, self.dropped, strict=True)):
            if dropped is not None:
                known[:, place] &= places[:, place] != dropped
                places[:, place] -= places[:, place] > dropped
            widths.append(count - (dropped is not None))
        starts = np.cumsum([0, *widths])
        encoded_rows = np.zeros((len(places), starts[-1]), dtype=self.dtype)
        encoded_rows[np.nonzero(known)[0], (places + starts[:-1])[known]] = 1
        return encoded_rows


@dataclass(frozen=True, eq=False)
class OrdinalEncoder:
    """`OrdinalEncoder`: the place of a category.

    Parameters
    ----------
    categories : FeatureCategories
    unknown : float, int or None
        What unknown values become; None if they are refused.
    missing : float or int
        What NaN becomes.
    dtype : str
    """

    categories: FeatureCategories
    unknown: float | int | None
    missing: float | int
    dtype: str

    def __post_init__(self) -> None:
        require(self.dtype in NUMBERS, f"The dtype {self.dtype!r} is no number's.")

    def transform(self, rows: Any) -> Array:
        """Return places, shape (n_rows, n_features)."""
        missing = [len(values) - 1 if is_nan(values[-1]) else None for values in self.categories.values]
        places, known, _ = self.categories.places(rows, refuse=self.unknown is None, kept_places=missing)
        encoded = places.astype(self.dtype)
        for column, place in enumerate(missing):
            if place is not None:
                encoded[places[:, column] == place, column] = self.missing
        if self.unknown is not None:
            encoded[~known] = self.unknown
        return encoded


@dataclass(frozen=True, eq=False)
class TargetEncoder:
    """`TargetEncoder`: a number, or one for each class, of a category.

    Parameters
    ----------
    categories : FeatureCategories
    encodings : tuple of ndarray of float64, shape (n_categories of the feature,)
        Of each feature, or of each class of each feature.
    defaults : ndarray of float64, shape (n_encodings of a feature,)
        Those of unknown values.
    """

    categories: FeatureCategories
    encodings: tuple[FloatArray, ...]
    defaults: FloatArray

    def __post_init__(self) -> None:
        n_classes = len(self.defaults) if self.defaults.ndim == 1 else 0
        n_features = len(self.categories.values)
        require(len(self.encodings) == n_classes * n_features, f"There are {len(self.encodings)} encodings.")
        for place, encoding in enumerate(self.encodings):
            count = len(self.categories.values[place // n_classes])
            require(
                encoding.shape == (count,), f"Encodings of {count} categories have shape {encoding.shape}."
            )

    def transform(self, rows: Any) -> FloatArray:
        """Return encodings, shape (n_rows, n_encodings)."""
        places, known, _ = self.categories.places(rows, refuse=False)
        encoded = np.empty((len(places), len(self.encodings)), dtype=np.float64)
        for column, encoding in enumerate(self.encodings):
            feature, default = divmod(column, len(self.defaults))
            encoded[:, column] = encoding[places[:, feature]]
            encoded[~known[:, feature], column] = self.defaults[default]
        return encoded
