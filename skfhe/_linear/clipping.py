"""What to say of rows whose values a model does not represent."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import issparse

from skfhe._linear.scores import Calibration, QuantizedScores
from skfhe._typing import Array, FloatArray

__all__ = ["describe_clipping"]

MAX_FEATURES = 3
"""Features that are named; others are counted."""


def describe_clipping(
    scores: QuantizedScores, calibration: Calibration, rows: Any, names: ArrayLike | None
) -> str:
    """Say how many rows are clipped, in which features, how far, and what to change.

    Parameters
    ----------
    scores : QuantizedScores
    calibration : Calibration
    rows : ndarray or sparse matrix, shape (n_rows, n_features)
    names : array-like of str, shape (n_features,), or None
        The features' names.

    Returns
    -------
    str
        Empty if every value is represented.
    """
    if not scores.beyond(_ends(rows)).any():
        return ""
    beyond = scores.beyond(rows)
    farthest = beyond.max(axis=0)
    (found,) = np.nonzero(farthest)
    n_rows = int((beyond > 0).any(axis=1).sum())
    width = calibration.spread.width[scores.watched[found]]
    margins = np.full(len(found), np.inf)  # that would have represented them
    np.divide(farthest[found], width, out=margins, where=width > 0)
    margins += scores.range_margin
    order = np.argsort(-margins, kind="stable")
    shown = [_shown(scores, calibration, int(found[i]), beyond, rows, names) for i in order[:MAX_FEATURES]]
    if len(found) > MAX_FEATURES:
        shown.append(f"{len(found) - MAX_FEATURES} more")
    return (
        f"{n_rows} of {rows.shape[0]} rows have values beyond what is represented, which are clipped: "
        f"{'; '.join(shown)} ({_advice(scores, margins)})"
    )


def _ends(rows: Any) -> Array:
    """Two rows, of the smallest and the largest value of each feature."""
    ends = rows.min(axis=0), rows.max(axis=0)
    return np.stack([np.ravel(end.toarray() if issparse(end) else end) for end in ends])


def _shown(
    scores: QuantizedScores,
    calibration: Calibration,
    watched: int,
    beyond: FloatArray,
    rows: Any,
    names: ArrayLike | None,
) -> str:
    """Name a feature, its farthest value, and the range that is represented."""
    feature, grid = int(scores.watched[watched]), scores.watched_grid
    value = float(rows[int(beyond[:, watched].argmax()), feature])
    name = feature if names is None else repr(str(np.asarray(names)[feature]))
    if calibration.spread.width[feature] == 0:
        return f"feature {name} is {value:.6g}, and always {grid.origin[watched]:.6g} in training"
    low, high = (grid.origin[watched] + grid.step[watched] * end[watched] for end in (grid.low, grid.high))
    return f"feature {name} is {value:.6g}, and [{low:.6g}, {high:.6g}] is represented"


def _advice(scores: QuantizedScores, margins: FloatArray) -> str:
    """Say what would represent the rows, as far as anything does."""
    advice = []
    if np.isinf(margins).any():
        advice.append("train on rows in which those features vary as they will later")
    needed = _two_digits(margins[np.isfinite(margins)].max(initial=0.0), np.ceil)
    if 0 < needed <= scores.max_range_margin:
        advice.append(f"range_margin={needed:.6g} represents {'the others' if advice else 'them'}")
    elif needed:
        most = _two_digits(max(scores.max_range_margin, 0.0), np.floor)
        advice.append(
            f"range_margin={needed:.6g} would be needed and can be at most {most:.6g} here, for wider sums "
            "cannot be encrypted; fewer n_bits allow more"
        )
    return "; ".join(advice)


def _two_digits(value: float, rounding: Any) -> float:
    if not value:
        return 0.0
    digit = 10.0 ** (np.floor(np.log10(value)) - 1)
    return float(rounding(value / digit) * digit)
