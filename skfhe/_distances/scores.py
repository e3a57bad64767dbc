"""From points to linear scores."""

from __future__ import annotations

import numpy as np

from skfhe._linear.scores import LinearScores
from skfhe._typing import FloatArray
from skfhe.encoding import Head

__all__ = ["distances_from", "middle_of"]


def middle_of(points: FloatArray) -> FloatArray:
    """Return the mean of points, by feature: what rows and points are compared with."""
    with np.errstate(over="ignore"):
        mean: FloatArray = np.asarray(points, dtype=np.float64).mean(axis=0)
    if not np.isfinite(mean).all():
        raise ValueError("points are not finite, or too large; distances would not be finite either")
    return mean


def distances_from(points: FloatArray, head: Head, factor: FloatArray | float = 1.0) -> LinearScores:
    """Return the squared distances from points, but for the row's own part.

    Parameters
    ----------
    points : ndarray of float, shape (n_points, n_features)
    head : Head
    factor : float or ndarray of float64, shape (n_features,), default=1
        What each feature's square counts.

    Returns
    -------
    LinearScores
        One for each point.

    Examples
    --------
    >>> scores = distances_from(np.array([[0.0], [2.0]]), head=None)
    >>> scores.weight.tolist(), scores.bias.tolist()
    ([[2.0, -2.0]], [-1.0, 3.0])
    """
    points = np.asarray(points, dtype=np.float64)
    middle = middle_of(points)
    weight = (-2 * factor * (points - middle)).T
    # at the middle, a point's score is its squared distance from there
    bias = (factor * np.square(points - middle)).sum(axis=1) - middle @ weight
    return LinearScores(weight, bias, head, points.T)
