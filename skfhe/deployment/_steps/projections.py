"""Fewer features: products with a matrix, and selections."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from skfhe._typing import Array, BoolArray
from skfhe.deployment._steps.rows import FLOATS_OF_TWO_WIDTHS, FittedOn, check_vectors, require
from skfhe.deployment._steps.tables import is_frame, take

__all__ = ["Projection", "Selection"]


def _added_in_turn(X: Array, components: Array) -> Array:
    """Return projections, adding products one feature after another."""
    projected = np.zeros((len(X), len(components)), dtype=np.result_type(X, components))
    for values, weights in zip(X.T, components.T, strict=True):
        projected += values[:, None] * weights
    return projected


@dataclass(frozen=True, eq=False)
class Projection:
    """`PCA` and `TruncatedSVD`: rows times components.

    Parameters
    ----------
    fitted_on : FittedOn
    components : ndarray, shape (n_components, n_features)
    memory : {"by row", "by column", "last row first"}
        How the original has them in memory, which decides the order of additions.
    mean : ndarray, shape (n_features,), or None
        Its own projection is subtracted.
    variances : ndarray, shape (n_components,), or None
        Projections are divided by their roots.
    rows_as : {"floats", "given"}
        Dtype of rows.
    sparse : bool
        Whether rows are a sparse matrix in the original, whose products are added one feature after another.
    """

    fitted_on: FittedOn
    components: Array
    memory: Literal["by row", "by column", "last row first"]
    mean: Array | None
    variances: Array | None
    rows_as: Literal["floats", "given"]
    sparse: bool

    def __post_init__(self) -> None:
        step, shape = self.fitted_on.step, self.components.shape
        require(
            len(shape) == 2 and shape[1] == self.fitted_on.n_features,
            f"{step}: components have shape {shape}.",
        )
        check_vectors(self.fitted_on, mean=self.mean)
        if self.variances is not None:
            require(
                self.variances.shape == shape[:1], f"{step}: variances have shape {self.variances.shape}."
            )

    def transform(self, rows: Any) -> Array:
        """Return projections, shape (n_rows, n_components)."""
        X = self.fitted_on.array(rows, FLOATS_OF_TWO_WIDTHS if self.rows_as == "floats" else "numeric")
        components = np.asarray(self.components, order="F" if self.memory == "by column" else "C")
        if self.memory == "last row first":
            components = np.ascontiguousarray(components[::-1])[::-1]
        projected = _added_in_turn(X, components) if self.sparse else X @ components.T
        if self.mean is not None:
            projected -= np.reshape(self.mean, (1, -1)) @ components.T
        if self.variances is not None:
            scale = np.sqrt(self.variances)
            smallest = np.finfo(scale.dtype).eps
            scale[scale < smallest] = smallest
            projected /= scale
        return projected


@dataclass(frozen=True, eq=False)
class Selection:
    """Any selector: some of the features.

    Parameters
    ----------
    fitted_on : FittedOn
    support : ndarray of bool, shape (n_features,)
    allow_nan : bool
    keep_frames : bool
        Whether columns of a table or data frame keep their dtypes, and are not looked at.
    """

    fitted_on: FittedOn
    support: BoolArray
    allow_nan: bool
    keep_frames: bool

    def __post_init__(self) -> None:
        check_vectors(self.fitted_on, support=self.support)

    def transform(self, rows: Any) -> Any:
        """Return the selected features, shape (n_rows, n_selected)."""
        if self.keep_frames and is_frame(rows):
            self.fitted_on.check_names(rows)
            self.fitted_on.check_number(rows.shape[1])
        else:
            rows = self.fitted_on.array(rows, None, "all" if self.allow_nan else "finite")
        if not self.support.any():
            warnings.warn(
                "No features were selected: the data is too noisy or the selection too strict.", stacklevel=2
            )
            if not is_frame(rows):
                return np.empty((len(rows), 0), dtype=rows.dtype)
        return take(rows, np.flatnonzero(self.support)) if is_frame(rows) else rows[:, self.support]
