"""FeatureCategories of each feature, and what a value's place among them is."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skfhe._typing import Array, BoolArray, IntArray
from skfhe.deployment._steps.rows import FittedOn, as_array, as_column, require
from skfhe.deployment._steps.tables import column, is_frame

__all__ = ["FeatureCategories", "is_nan"]


def is_nan(value: Any) -> bool:
    """Say whether a value is a number that is not one."""
    return isinstance(value, numbers.Real) and not isinstance(value, numbers.Integral) and math.isnan(value)


def _split(values: set[Any]) -> tuple[set[Any], bool, bool]:
    """Return values that are there, whether NaN is among them, and whether None is."""
    missing = {value for value in values if value is None or is_nan(value)}
    return values - missing, len(missing - {None}) > 0, None in missing


def _known_objects(values: Array, categories: Array) -> BoolArray:
    """Say which values are categories, as Python compares them."""
    there, knows_nan, knows_none = _split(set(categories))
    if set(values) <= there:
        return np.ones(len(values), dtype=np.bool_)

    def known(value: Any) -> bool:
        return value in there or (knows_none and value is None) or (knows_nan and is_nan(value))

    return np.array([known(value) for value in values], dtype=np.bool_)


def _known_numbers(values: Array, categories: Array) -> BoolArray:
    """Say which numbers are categories; NaN is if there is a NaN among these."""
    if categories.dtype.kind not in "biuf":
        raise TypeError(f"Numbers were given where categories are of dtype {categories.dtype}.")
    known = np.isin(values, categories)
    if np.isnan(categories).any():
        known |= np.isnan(values)
    return known


def _places(values: Array, categories: Array) -> IntArray:
    """Return places among categories of values that are all known."""
    if values.dtype.kind in "iufc":
        return np.searchsorted(categories, values)
    table = {category: place for place, category in enumerate(categories)}
    of_nan = next((place for category, place in table.items() if is_nan(category)), None)
    places = [of_nan if of_nan is not None and is_nan(value) else table.get(value) for value in values]
    if None in places:
        unknown = values[places.index(None)]
        raise ValueError(f"The value {unknown!r} is no category, nor can it be compared with them.")
    return np.array(places, dtype=np.int64)


def _with_known(values: Array, known: BoolArray, categories: Array) -> Array:
    """Return values with the first category where they are unknown, in a dtype that holds it."""
    if categories.dtype.kind == "U" and categories.itemsize > values.itemsize:
        values = values.astype(categories.dtype)
    elif categories.dtype.kind == "O" and values.dtype.kind == "U":
        values = values.astype(object)
    else:
        values = values.copy()
    values[~known] = categories[0]
    return values


@dataclass(frozen=True, eq=False)
class FeatureCategories:
    """What an encoder knows of each feature.

    Parameters
    ----------
    fitted_on : FittedOn
    values : tuple of ndarray, shape (n_categories of the feature,)
        Numbers are sorted, NaN last.
    groups : tuple of ndarray of int64, or None
        For each category of a feature its place once the infrequent ones are one, the last; None for a
        feature that has none of these.
    """

    fitted_on: FittedOn
    values: tuple[Array, ...]
    groups: tuple[IntArray | None, ...]

    def __post_init__(self) -> None:
        step, n_features = self.fitted_on.step, self.fitted_on.n_features
        require(
            len(self.values) == len(self.groups) == n_features,
            f"{step}: categories of some features are missing.",
        )
        for values, group in zip(self.values, self.groups, strict=True):
            require(values.ndim == 1 and len(values) > 0, f"{step}: categories have shape {values.shape}.")
            require(values.dtype.kind in "biufUO", f"{step}: categories have dtype {values.dtype}.")
            if group is None:
                continue
            n_grouped = len(values) - (is_nan(values[-1]) and len(group) < len(values))
            require(group.shape == (n_grouped,), f"{step}: {len(group)} places for {n_grouped} categories.")
            require(
                np.array_equal(np.unique(group), np.arange(group.max() + 1)),
                f"{step}: places of grouped categories are not numbered from 0.",
            )

    @property
    def counts(self) -> list[int]:
        """Numbers of categories, the infrequent ones as one."""
        return [
            len(values) if group is None else int(group.max()) + 1
            for values, group in zip(self.values, self.groups, strict=True)
        ]

    def columns(self, rows: Any) -> list[Array]:
        """Return the columns of rows, each in its own dtype."""
        if is_frame(rows):
            return [as_column(column(rows, place)) for place in range(rows.shape[1])]
        array = as_array(rows, None, "nan")
        if not hasattr(rows, "dtype") and array.dtype.kind == "U":
            array = as_array(rows, object, "nan")
        return [array[:, place] for place in range(array.shape[1])]

    def places(
        self, rows: Any, *, refuse: bool, group_unknown: bool = False, kept_places: Sequence[int | None] = ()
    ) -> tuple[IntArray, BoolArray, list[int]]:
        """Return places of values among the categories of their features.

        Parameters
        ----------
        rows : Table, data frame or array-like, shape (n_rows, n_features)
        refuse : bool
            Whether unknown values raise a ValueError.
        group_unknown : bool
            Whether they count as infrequent where there are infrequent categories.
        kept_places : sequence of int or None, shape (n_features,)
            Places that are no part of the groups.

        Returns
        -------
        places : ndarray of int64, shape (n_rows, n_features)
            Any where a value is unknown.
        known : ndarray of bool, shape (n_rows, n_features)
        unknown_columns : list of int
            Features that have unknown values.
        """
        columns = self.columns(rows)
        self.fitted_on.check_names(rows)
        self.fitted_on.check_number(len(columns))
        places = np.zeros((len(columns[0]), len(columns)), dtype=np.int64)
        known = np.ones(places.shape, dtype=np.bool_)
        unknown_columns = []
        for place, (values, categories) in enumerate(zip(columns, self.values, strict=True)):
            numeric = values.dtype.kind in "iufc"
            found = _known_numbers(values, categories) if numeric else _known_objects(values, categories)
            if not found.all():
                if refuse:
                    raise ValueError(f"Found unknown categories in column {place} during transform.")
                unknown_columns.append(place)
                known[:, place] = found
                values = _with_known(values, found, categories)
            places[:, place] = _places(values, categories)
        self._group(places, known, group_unknown, kept_places)
        return places, known, unknown_columns

    def _group(
        self, places: IntArray, known: BoolArray, group_unknown: bool, kept_places: Sequence[int | None]
    ) -> None:
        """Put infrequent categories together, in place."""
        for column_, group in enumerate(self.groups):
            if group is None:
                continue
            infrequent = np.flatnonzero(group == group.max())[0]
            places[~known[:, column_], column_] = infrequent
            if group_unknown:
                known[:, column_] = True
            kept = kept_places[column_] if kept_places else None
            moved = slice(None) if kept is None else places[:, column_] != kept
            places[moved, column_] = group[places[moved, column_]]
