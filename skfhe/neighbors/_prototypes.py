"""A few prototypes in place of all training rows, and how sharply they vote."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from skfhe._agreement import part_alike
from skfhe._typing import Array, FloatArray
from skfhe.encoding import ClassFractions, SoftVotes, Values, softmax

__all__ = ["centres_by_group", "class_votes", "value_votes"]

SHARPNESSES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 64.0)
"""In units of a typical row's squared distance from its nearest prototype; the last is the nearest alone."""
TOWARDS_MEAN = 0.01
"""What keeps votes of least squares from growing, in rows of each prototype."""
SEED = 0
"""Of k-means: the same rows have the same prototypes."""


def centres_by_group(rows: Any, groups: Array, n_each: int) -> tuple[FloatArray, Array]:
    """Return the centres of k-means of each group, and which group each is of.

    Parameters
    ----------
    rows : ndarray or sparse matrix, shape (n_rows, n_features)
    groups : ndarray of int, shape (n_rows,)
    n_each : int
        Centres of a group, or all of its rows if these are fewer.

    Returns
    -------
    centres : ndarray of float64, shape (n_centres, n_features)
    of : ndarray of int, shape (n_centres,)
    """
    centres, of = [], []
    for group in np.unique(groups):
        some = rows[groups == group]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different rows than centres
            found = KMeans(min(n_each, some.shape[0]), n_init=1, random_state=SEED).fit(some)
        centres.append(np.asarray(found.cluster_centers_, dtype=np.float64))
        of.append(np.full(len(centres[-1]), group))
    return np.concatenate(centres), np.concatenate(of)


def class_votes(squares: FloatArray, votes: FloatArray, head: ClassFractions, expected: Array) -> SoftVotes:
    """Return votes that are as sharp as agrees best with what is expected.

    Parameters
    ----------
    squares : ndarray of float64, shape (n_rows, n_prototypes)
        Squared distances of some rows.
    votes : ndarray of float64, shape (n_prototypes, n_values)
    head : ClassFractions
    expected : ndarray, shape (n_rows,) or (n_rows, n_targets)
        The original's predictions of these rows.
    """
    tried = [SoftVotes(votes, sharpness, head) for sharpness in _sharpnesses(squares)]
    return max(tried, key=lambda soft: part_alike(expected, soft.predict(squares), of_labels=True))


def value_votes(squares: FloatArray, head: Values, expected: FloatArray) -> SoftVotes:
    """Return votes whose means are closest to what is expected, as sharp as is best for rows left out.

    Parameters
    ----------
    squares : ndarray of float64, shape (n_rows, n_prototypes)
        Squared distances of some rows.
    head : Values
    expected : ndarray of float64, shape (n_rows,) or (n_rows, n_targets)
        The original's predictions of these rows.
    """
    targets = expected.reshape(len(expected), -1)
    left_out = np.arange(len(targets)) % 3 == 0
    if len(targets) < 6:
        left_out[:] = True
    kept = ~left_out if not left_out.all() else left_out

    def agreement(sharpness: float) -> float:
        found = _least_squares(squares[kept], targets[kept], sharpness, head).predict(squares[left_out])
        return part_alike(expected[left_out], found, of_labels=False)

    return _least_squares(squares, targets, max(_sharpnesses(squares), key=agreement), head)


def _least_squares(squares: FloatArray, targets: FloatArray, sharpness: float, head: Values) -> SoftVotes:
    """Return the votes of least squares, drawn a little towards the mean of the rows that each stands for."""
    weights = softmax(-sharpness * squares)
    total = weights.sum(axis=0)[:, None]
    mean = targets.mean(axis=0)
    means = (weights.T @ targets + TOWARDS_MEAN * mean) / (total + TOWARDS_MEAN)
    drawn = TOWARDS_MEAN * len(squares) / squares.shape[1]
    normal = weights.T @ weights + drawn * np.eye(squares.shape[1])
    return SoftVotes(np.linalg.solve(normal, weights.T @ targets + drawn * means), sharpness, head)


def _sharpnesses(squares: FloatArray) -> list[float]:
    """Return the sharpnesses that are tried."""
    two = np.sort(squares, axis=1)[:, :2]
    typical = [float(np.median(column[column > 0])) for column in two.T if (column > 0).any()]
    return [sharpness / (typical[0] if typical else 1.0) for sharpness in SHARPNESSES]
