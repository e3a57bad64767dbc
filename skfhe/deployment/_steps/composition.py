"""Steps of steps: one after another, side by side, on columns; and names of what they give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from skfhe._typing import IntArray
from skfhe.deployment._rows import feature_names_of
from skfhe.deployment._steps.rows import FittedOn, as_array, require
from skfhe.deployment._steps.tables import column, is_frame, named, side_by_side, take, times

__all__ = [
    "ColumnPart",
    "ColumnTransformer",
    "FeatureUnion",
    "Identity",
    "Named",
    "Pipeline",
    "Step",
    "UnionPart",
]


class Step(Protocol):
    """A fitted transformer in NumPy."""

    def transform(self, rows: Any) -> Any:
        """Return what the original's ``transform`` returns: an array, never sparse, or a table."""


@dataclass(frozen=True, eq=False)
class Identity:
    """`FunctionTransformer` without a function, and ``"passthrough"``.

    Parameters
    ----------
    validated : FittedOn or None
        What rows are compared with; None looks at nothing.
    names : tuple of str or None
        What the columns of tables and data frames are called from now on.
    """

    validated: FittedOn | None = None
    names: tuple[str, ...] | None = None

    def transform(self, rows: Any) -> Any:
        """Return rows as they are."""
        if self.validated is not None:
            return self.validated.array(rows, "numeric")
        return rows if self.names is None or not is_frame(rows) else named(rows, self.names)


@dataclass(frozen=True, eq=False)
class Named:
    """A step under ``set_output(transform="pandas")``.

    Parameters
    ----------
    step : Step
    names : tuple of str, shape (n_columns,)
    infer_text : bool
        Whether None among text becomes NaN, as pandas does from 3.0 on.
    """

    step: Step
    names: tuple[str, ...]
    infer_text: bool

    def transform(self, rows: Any) -> Any:
        """Return a table."""
        return named(self.step.transform(rows), self.names, infer_text=self.infer_text)


@dataclass(frozen=True, eq=False)
class Pipeline:
    """`Pipeline`: one step after another.

    Parameters
    ----------
    steps : tuple of Step
    """

    steps: tuple[Step, ...]

    def transform(self, rows: Any) -> Any:
        """Return what the last step gives."""
        for step in self.steps:
            rows = step.transform(rows)
        return rows


def _stacked(outputs: list[Any], frames: bool, sparse: bool) -> Any:
    """Return outputs side by side, as a table, as a sparse matrix' values, or as an array."""
    if frames and all(is_frame(output) for output in outputs):
        return side_by_side(outputs)
    whole = np.hstack([np.asarray(output) for output in outputs])
    if sparse and whole.dtype.kind == "f":
        whole += 0.0  # a sparse matrix has no negative zeros
    return whole


@dataclass(frozen=True, eq=False)
class UnionPart:
    """One step of a union.

    Parameters
    ----------
    step : Step
    weight : float or None
    """

    step: Step
    weight: float | None

    def transform(self, rows: Any) -> Any:
        """Return what the step gives, times the weight."""
        output = self.step.transform(rows)
        return output if self.weight is None else times(output, self.weight)


@dataclass(frozen=True, eq=False)
class FeatureUnion:
    """`FeatureUnion`: what several steps make of the same rows, side by side.

    Parameters
    ----------
    parts : tuple of UnionPart
    frames : bool
        Whether tables are kept.
    sparse : bool
        Whether the original gives a sparse matrix.
    """

    parts: tuple[UnionPart, ...]
    frames: bool
    sparse: bool

    def transform(self, rows: Any) -> Any:
        """Return outputs side by side, shape (n_rows, n_columns)."""
        if not self.parts:
            return np.zeros((rows.shape[0], 0))
        return _stacked([part.transform(rows) for part in self.parts], self.frames, self.sparse)


@dataclass(frozen=True, eq=False)
class ColumnPart:
    """What is made of some columns.

    Parameters
    ----------
    name : str
    part : UnionPart
    columns : ndarray of int64, shape (n_taken,)
        Places at fit.
    by_name : bool
        Whether the original was told names, so that rows without names are refused.
    as_slice : bool
        Whether it was told a slice, which shares memory with the rows.
    """

    name: str
    part: UnionPart
    columns: IntArray
    by_name: bool
    as_slice: bool

    def __post_init__(self) -> None:
        require(self.columns.ndim == 1 and len(self.columns) > 0, f"The part {self.name!r} has no column.")
        if self.as_slice:
            require(len(np.unique(np.diff(self.columns))) <= 1, f"Columns of {self.name!r} are no slice.")

    def places(self) -> Any:
        """Return places of the columns among those at fit."""
        if not self.as_slice:
            return self.columns
        first, last = int(self.columns[0]), int(self.columns[-1])
        step = int(self.columns[1]) - first if len(self.columns) > 1 else 1
        stop = last + step
        return slice(first, None if stop < 0 else stop, step)


@dataclass(frozen=True, eq=False)
class ColumnTransformer:
    """`ColumnTransformer`: what steps make of columns, side by side.

    Parameters
    ----------
    fitted_on : FittedOn
    parts : tuple of ColumnPart
    frames : bool
        Whether tables are kept.
    sparse : bool
        Whether the original gives a sparse matrix.
    """

    fitted_on: FittedOn
    parts: tuple[ColumnPart, ...]
    frames: bool
    sparse: bool

    def __post_init__(self) -> None:
        n_features = self.fitted_on.n_features
        for part in self.parts:
            in_range = n_features is not None and part.columns.min() >= 0 and part.columns.max() < n_features
            require(
                bool(in_range), f"Columns of {part.name!r} are not among the {n_features} that there are."
            )

    def transform(self, rows: Any) -> Any:
        """Return outputs side by side, shape (n_rows, n_columns)."""
        if hasattr(rows, "toarray"):
            raise TypeError("A sparse matrix is not taken by the steps of a client. Give X.toarray().")
        if not is_frame(rows) and not (hasattr(rows, "__array__") and hasattr(rows, "shape")):
            rows = as_array(rows, object, "nan")
        by_name = self.fitted_on.feature_names is not None and is_frame(rows)
        places = self._places(rows) if by_name else [part.places() for part in self.parts]
        if not by_name:
            self._check_unnamed(rows)
        outputs = [
            part.part.transform(take(rows, place)) for part, place in zip(self.parts, places, strict=True)
        ]
        if not outputs:
            return np.zeros((len(rows), 0))
        if not self.frames:
            for part, output in zip(self.parts, outputs, strict=True):
                _check_no_na(part.name, output)
        if self.sparse:
            outputs = [as_array(output, "numeric", "all") for output in outputs]
        return _stacked(outputs, self.frames, self.sparse)

    def _check_unnamed(self, rows: Any) -> None:
        if len(rows.shape) < 2:
            raise ValueError(f"Expected a 2D array, got one of shape {rows.shape}. Give rows of features.")
        self.fitted_on.check_number(rows.shape[1])
        named_part = next((part.name for part in self.parts if part.by_name), None)
        if named_part is not None and not is_frame(rows):
            raise ValueError(
                f"Columns of {named_part!r} were given by name at fit: give a data frame, not an array."
            )

    def _places(self, rows: Any) -> list[Any]:
        """Return where the columns are now, by their names."""
        names = feature_names_of(rows)
        if names is None:
            raise TypeError("Columns were chosen by name at fit, and now have no names that are text.")
        if len({*names}) < len(names):
            raise ValueError(f"Some columns have the same name: {list(names)}.")
        fitted = self.fitted_on.feature_names or ()
        where = {name: place for place, name in enumerate(names)}
        wanted = [[fitted[place] for place in part.columns] for part in self.parts]
        missing = sorted({name for chosen in wanted for name in chosen} - {*names})
        if missing:
            raise ValueError(f"Columns are missing: {missing}.")
        return [np.array([where[name] for name in chosen], dtype=np.int64) for chosen in wanted]


def _check_no_na(name: str, output: Any) -> None:
    """Raise a ValueError for pandas' own missing values, which no array of numbers holds."""
    if not is_frame(output):
        return
    for place, dtype in enumerate(output.dtypes):
        if type(getattr(dtype, "na_value", None)).__name__ == "NAType" and column(output, place).isna().any():
            raise ValueError(
                f"The output of {name!r} has missing values in a column of dtype {dtype}. Convert it first, "
                "such as by X.astype(float), or keep data frames by set_output(transform='pandas')."
            )
