"""Rows on grids, and those of them whose values are not represented: what matters, and what to say of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from skfhe._typing import Array, FloatArray, IntArray
from skfhe.encoding._dense import dense
from skfhe.encoding._grid import FeatureGrid

__all__ = ["ClippingWatch", "GridEncoder"]

MAX_FEATURES = 3
"""Features that are named; others are counted."""


@dataclass(frozen=True, eq=False)
class ClippingWatch:
    """Where the values of features with a weight are represented, and what it matters if they are not.

    Parameters
    ----------
    features : ndarray of int64, shape (n_watched,)
        All features with a weight in the float model: those that are encoded, those that are constant in
        training and those whose weight is too small to count.
    grid : FeatureGrid
        Of these.
    width : ndarray of float64, shape (n_watched,)
        Distance from the smallest to the largest value in training.
    effect : ndarray of float64, shape (n_watched,), or None
        How much of a score's resolution, one step of its most important feature, a unit of each is worth;
        None where that is not known, and all matters.
    range_margin : float
        How far beyond the training range values are represented, in widths of it.
    max_range_margin : float or None
        The largest that the engine could take; negative if the training range is too wide already; None if
        it is not known.
    """

    features: IntArray
    grid: FeatureGrid
    width: FloatArray
    effect: FloatArray | None
    range_margin: float
    max_range_margin: float | None

    def __post_init__(self) -> None:
        arrays = [self.grid.low, self.width, *([] if self.effect is None else [self.effect])]
        if any(values.shape != self.features.shape for values in arrays) or (self.features < 0).any():
            raise ValueError(f"expected the grid and the width of each of {len(self.features)} features")

    def public(self, sent: IntArray) -> ClippingWatch:
        """Return what a client may know: where values are represented, and no weight.

        Parameters
        ----------
        sent : ndarray of int64
            The features that are encoded.

        Returns
        -------
        ClippingWatch
            Of these, and of features that are constant in training. It tells neither how much a feature
            matters nor which others have a weight, so it speaks of values that make less of a difference
            than `beyond` asks for, and not of features whose weight is too small to count.
        """
        kept = np.isin(self.features, sent) | (self.width == 0)
        return ClippingWatch(
            self.features[kept], self.grid.select(kept), self.width[kept], None, self.range_margin, None
        )

    def beyond(self, X: Any) -> FloatArray:
        """Return how far values lie beyond the grid, shape (n_rows, n_watched).

        It is 0 where that makes no difference to any score.
        """
        excess = self.grid.beyond(np.asarray(dense(X[:, self.features]), dtype=np.float64))
        if self.effect is None:
            return excess
        with np.errstate(over="ignore", invalid="ignore"):
            return np.where(excess * self.effect >= 1, excess, 0.0)

    def describe(self, rows: Any, names: ArrayLike | None) -> str:
        """Say how many rows are clipped, in which features, how far, and what to change.

        Parameters
        ----------
        rows : ndarray or sparse matrix, shape (n_rows, n_features)
        names : array-like of str, shape (n_features,), or None
            The features' names.

        Returns
        -------
        str
            Empty if every value is represented.
        """
        if not self.beyond(_ends(rows)).any():
            return ""
        beyond = self.beyond(rows)
        farthest = beyond.max(axis=0)
        (found,) = np.nonzero(farthest)
        n_rows = int((beyond > 0).any(axis=1).sum())
        width = self.width[found]
        margins = np.full(len(found), np.inf)  # that would have represented them
        np.divide(farthest[found], width, out=margins, where=width > 0)
        margins += self.range_margin
        order = np.argsort(-margins, kind="stable")
        shown = [self._shown(int(found[i]), beyond, rows, names) for i in order[:MAX_FEATURES]]
        if len(found) > MAX_FEATURES:
            shown.append(f"{len(found) - MAX_FEATURES} more")
        return (
            f"{n_rows} of {rows.shape[0]} rows have values beyond what is represented, which are clipped: "
            f"{'; '.join(shown)} ({self._advice(margins)})"
        )

    def _shown(self, watched: int, beyond: FloatArray, rows: Any, names: ArrayLike | None) -> str:
        """Name a feature, its farthest value, and the range that is represented."""
        feature, grid = int(self.features[watched]), self.grid
        value = float(rows[int(beyond[:, watched].argmax()), feature])
        name = feature if names is None else repr(str(np.asarray(names)[feature]))
        if self.width[watched] == 0:
            return f"feature {name} is {value:.6g}, and always {grid.origin[watched]:.6g} in training"
        low, high = (
            grid.origin[watched] + grid.step[watched] * end[watched] for end in (grid.low, grid.high)
        )
        return f"feature {name} is {value:.6g}, and [{low:.6g}, {high:.6g}] is represented"

    def _advice(self, margins: FloatArray) -> str:
        """Say what would represent the rows, as far as anything does."""
        advice = []
        if np.isinf(margins).any():
            advice.append("train on rows in which those features vary as they will later")
        needed = _two_digits(margins[np.isfinite(margins)].max(initial=0.0), np.ceil)
        largest = self.max_range_margin
        if needed and largest is None:
            others = "the others" if advice else "them"
            advice.append(f"a model trained with range_margin={needed:.6g} represents {others}")
        elif needed and largest is not None and needed <= largest:
            advice.append(f"range_margin={needed:.6g} represents {'the others' if advice else 'them'}")
        elif needed and largest is not None:
            most = _two_digits(max(largest, 0.0), np.floor)
            advice.append(
                f"range_margin={needed:.6g} would be needed and can be at most {most:.6g} here, for wider "
                "sums cannot be encrypted; fewer n_bits allow more"
            )
        return "; ".join(advice)


@dataclass(frozen=True, eq=False)
class GridEncoder:
    """Encodes some features of a row, each on a grid of its own.

    Parameters
    ----------
    features : ndarray of int64, shape (n_used,)
        Which features of a row are encoded.
    grid : FeatureGrid
        Of these features.
    watch : ClippingWatch
        Of values that are not represented.
    """

    features: IntArray
    grid: FeatureGrid
    watch: ClippingWatch

    def __post_init__(self) -> None:
        if self.features.shape != self.grid.low.shape or (self.features < 0).any():
            raise ValueError(f"expected a grid of each of {len(self.features)} features")

    def encode(self, X: Any) -> tuple[IntArray]:
        """Return the integers of rows as the only input of a program.

        Parameters
        ----------
        X : {ndarray, sparse matrix} of float, shape (n_rows, n_features)

        Returns
        -------
        tuple of ndarray of int64, shape (n_rows, n_used)
        """
        return (self.grid.quantize(np.asarray(dense(X[:, self.features]), dtype=np.float64)),)


def _ends(rows: Any) -> Array:
    """Two rows, of the smallest and the largest value of each feature."""
    return np.stack([np.ravel(dense(end)) for end in (rows.min(axis=0), rows.max(axis=0))])


def _two_digits(value: float, rounding: Any) -> float:
    if not value:
        return 0.0
    digit = 10.0 ** (np.floor(np.log10(value)) - 1)
    return float(rounding(value / digit) * digit)
