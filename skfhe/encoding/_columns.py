"""Columns of a table as numbers: categories by their texts, and anything that is missing as NaN."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skfhe._typing import Array, FloatArray

__all__ = ["UNKNOWN", "NamedCategories"]

UNKNOWN = -1.0
"""The number of a category that is not known."""
ABSENT = ("NAType", "NaTType")
"""Types of pandas that stand for a missing value."""


@dataclass(frozen=True, eq=False)
class NamedCategories:
    """Turns columns into numbers, those of categories by the texts of their values.

    Two values are the same category if they are written alike, whatever type holds them: 2, 2.0 and "2" are,
    and so are True, 1 and "1".

    Parameters
    ----------
    categories : sequence of ndarray or None
        For each feature the texts of its categories, whose places are their numbers; None for a feature of
        numbers.

    Examples
    --------
    >>> import numpy as np
    >>> named = NamedCategories([None, np.array(["1", "red"], dtype=object)])
    >>> named.numbers([np.array([0.5, 3.0]), np.array(["red", 1.0], dtype=object)])
    array([[0.5, 1. ],
           [3. , 0. ]])
    """

    categories: Sequence[Array | None]

    def __post_init__(self) -> None:
        for known in self.categories:
            texts = [] if known is None else known.tolist()
            if known is not None and (known.ndim != 1 or not all(isinstance(text, str) for text in texts)):
                raise ValueError("expected the texts of the categories of a feature, or None")
            if len(set(texts)) != len(texts):
                raise ValueError("expected different texts of the categories of a feature")

    @property
    def n_features(self) -> int:
        """Features of a row."""
        return len(self.categories)

    def numbers(self, columns: Sequence[Any]) -> FloatArray:
        """Return rows of numbers.

        Parameters
        ----------
        columns : sequence of array-like
            One for each feature, all of one length.

        Returns
        -------
        ndarray of float64, shape (n_rows, n_features)
            NaN for what is missing, -1 for a category that is not known.

        Raises
        ------
        ValueError
            If a feature of numbers has something else.
        """
        found = [
            _floats(column, feature) if known is None else _places(column, known)
            for feature, (column, known) in enumerate(zip(columns, self.categories, strict=True))
        ]
        return np.stack(found, axis=1)


def _places(column: Any, known: Array) -> FloatArray:
    place = {text: float(number) for number, text in enumerate(known.tolist())}
    values = np.asarray(column, dtype=object)
    return np.array(
        [np.nan if is_missing(value) else place.get(text_of(value), UNKNOWN) for value in values],
        dtype=np.float64,
    )


def _floats(column: Any, feature: int) -> FloatArray:
    kind = getattr(column, "dtype", None)
    if isinstance(kind, np.dtype) and kind.kind in "fiub":
        return np.asarray(column).astype(np.float64)
    values = np.asarray(column, dtype=object)
    try:
        return np.array([np.nan if is_missing(value) else float(value) for value in values], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"feature {feature} holds numbers in training, and now something else: {error}"
        ) from None


def is_missing(value: Any) -> bool:
    """Whether a value stands for none: None, NaN, or what pandas has for it."""
    if value is None or type(value).__name__ in ABSENT:
        return True
    return isinstance(value, float | np.floating) and bool(np.isnan(value))


def text_of(value: Any) -> str:
    """Return how a value is written: a number without a fraction as an integer, a truth value as 0 or 1."""
    if isinstance(value, bool | np.bool_):
        return str(int(value))
    if isinstance(value, float | np.floating):
        text = repr(float(value) + 0.0)
        return text.rstrip("0").rstrip(".") if text.endswith(".0") else text
    return value.decode("ascii") if isinstance(value, bytes) else str(value)
