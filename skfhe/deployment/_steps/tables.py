"""Rows whose columns have names, between steps and at their entry.

What a user gives may be a data frame. It is known by its attributes, and read through its own methods, so
that pandas is loaded only where a user has loaded it. What a step gives under
``set_output(transform="pandas")`` is a `Table`, which has those few of a data frame's methods that steps use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skfhe._typing import Array
from skfhe.deployment._rows import feature_names_of

__all__ = ["Table", "column", "is_frame", "named", "side_by_side", "take", "times"]


@dataclass(frozen=True, eq=False)
class Table:
    """Columns of one length, each of its own dtype, with names.

    Parameters
    ----------
    columns : tuple of str
    values : tuple
        One array, or series of an extension dtype of pandas, for each name; shape (n_rows,) each.
    block : ndarray, shape (n_rows, n_columns), or None
        The array that the columns were cut from: its memory order decides in which order rows are summed.
    """

    columns: tuple[str, ...]
    values: tuple[Any, ...]
    block: Array | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of rows and columns."""
        if self.block is not None:
            return self.block.shape[0], self.block.shape[1]
        return (len(self.values[0]) if self.values else 0), len(self.values)

    @property
    def ndim(self) -> int:
        """Two, as for a data frame."""
        return 2

    @property
    def dtypes(self) -> list[Any]:
        """The dtype of each column."""
        return [values.dtype for values in self.values]

    def to_numpy(self) -> Array:
        """Return the columns as one array."""
        return np.asarray(self)

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: Any = None) -> Array:
        whole = self.block if self.block is not None else _joined(self.values)
        return np.array(whole, dtype=dtype) if copy else np.asarray(whole, dtype=dtype)

    def astype(self, dtype: Any) -> Table:
        """Return the same columns in one dtype."""
        if self.block is not None:
            return named(self.block.astype(dtype), self.columns)
        return Table(self.columns, tuple(np.asarray(values.astype(dtype)) for values in self.values))


def _joined(values: tuple[Any, ...]) -> Array:
    """Return columns as one array, of the dtype that pandas gives it, in its memory order."""
    if not values:
        return np.empty((0, 0))
    dtypes = [one.dtype.categories.dtype if hasattr(one.dtype, "categories") else one.dtype for one in values]
    alike = all(dtype == dtypes[0] for dtype in dtypes)
    if alike and isinstance(dtypes[0], np.dtype):
        common = dtypes[0]
    elif all(isinstance(dtype, np.dtype) and dtype.kind in "iufc" for dtype in dtypes):
        common = np.result_type(*dtypes)
    else:  # truth values, texts, dates or categories among others
        common = np.dtype(object)
    whole = np.empty((len(values), len(values[0])), dtype=common)
    for place, one in zip(whole, values, strict=True):
        place[:] = np.asarray(one) if one.dtype == common else np.asarray(one.astype(common))
    return whole.T


def is_frame(rows: Any) -> bool:
    """Say whether rows have columns of their own names and dtypes."""
    return isinstance(rows, Table) or (hasattr(rows, "iloc") and getattr(rows, "ndim", 0) == 2)


def named(values: Any, names: Sequence[str], *, infer_text: bool = False) -> Any:
    """Return values under names; what a table or data frame was called before is forgotten.

    Parameters
    ----------
    values : Table, data frame or ndarray, shape (n_rows, n_columns)
    names : sequence of str, shape (n_columns,)
    infer_text : bool
        Whether a column of text and None becomes one of text and NaN, as pandas does from 3.0 on.

    Returns
    -------
    Table or data frame
    """
    shape = np.shape(values)
    if len(shape) != 2 or shape[1] != len(names):
        raise ValueError(f"{len(names)} columns were expected, to be named; got values of shape {shape}.")
    if not hasattr(values, "dtype") and not is_frame(values):
        raise TypeError(
            f"A {type(values).__name__} has no dtype that its columns keep. Give an array or a data frame."
        )
    if isinstance(values, Table):
        return Table(tuple(names), values.values, values.block)
    if is_frame(values):
        feature_names_of(values)  # which refuses names of which some are text
        return values.set_axis(list(names), axis=1)
    if not shape[1]:
        return Table((), (), np.empty(shape))
    if values.dtype.kind not in "OU":
        return Table(tuple(names), tuple(values.T), values)
    columns = values.astype(object).T
    return Table(tuple(names), tuple(_text(one) if infer_text else one for one in columns))


def _text(values: Array) -> Array:
    """Return a column with NaN for None if it is text otherwise."""
    missing = np.array([value is None or value != value for value in values])
    if missing.all() or not all(isinstance(value, str) for value in values[~missing]):
        return values
    return np.where(missing, np.nan, values)


def column(rows: Any, place: int) -> Any:
    """Return one column, shape (n_rows,), as it is: an array, or a series of pandas."""
    if isinstance(rows, Table):
        return rows.values[place]
    return rows.iloc[:, place] if is_frame(rows) else rows[:, place]


def take(rows: Any, places: Any) -> Any:
    """Return some columns, with their names.

    Parameters
    ----------
    rows : Table, data frame or ndarray
    places : slice, or ndarray of int64, shape (n_taken,)
    """
    if isinstance(rows, Table):
        chosen = (
            range(rows.shape[1])[places] if isinstance(places, slice) else [int(place) for place in places]
        )
        block = None if rows.block is None else _cut(rows.block, places)
        return Table(
            tuple(rows.columns[place] for place in chosen),
            tuple(rows.values[place] for place in chosen),
            block,
        )
    if is_frame(rows):
        return rows.iloc[:, places] if isinstance(places, slice) else rows.take(places, axis=1)
    return rows[:, places if isinstance(places, slice) else list(places)]


def _cut(block: Array, places: Any) -> Array:
    """Return columns of an array in the memory order in which pandas has them."""
    return block[:, places] if isinstance(places, slice) else np.take(block.T, places, axis=0).T


def times(rows: Any, weight: float) -> Any:
    """Return all values times a weight."""
    if not isinstance(rows, Table):
        return rows * weight
    if rows.block is not None:
        return named(rows.block * weight, rows.columns)
    return Table(rows.columns, tuple(values * weight for values in rows.values))


def side_by_side(tables: Sequence[Any]) -> Any:
    """Return the columns of all tables and data frames in a row."""
    if len(tables) == 1:
        return tables[0]
    return Table(
        tuple(name for table in tables for name in table.columns),
        tuple(column(table, place) for table in tables for place in range(table.shape[1])),
    )
