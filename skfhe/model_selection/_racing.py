"""Which candidates of a search need not be evaluated further, and which of them are on the front."""

from __future__ import annotations

import numpy as np
from scipy import stats

from skfhe._typing import Array, BoolArray, FloatArray, IntArray

__all__ = ["is_beaten", "pareto_front", "standard_errors"]


def standard_errors(differences: FloatArray, scored_to_trained: float) -> FloatArray:
    """Return the standard error of the mean of each row of differences between two models over folds.

    Training sets of the folds overlap, so that what is seen on them is not independent; their variance is
    that of Nadeau and Bengio, (1 / n_folds + n_test / n_train) times that of the differences.

    Parameters
    ----------
    differences : ndarray of float, shape (n_pairs, n_folds)
    scored_to_trained : float
        Rows that a fold tests on over those that it trains on.

    Returns
    -------
    ndarray of float, shape (n_pairs,)
        NaN with fewer than two folds.
    """
    n_folds = differences.shape[1]
    if n_folds < 2:
        return np.full(len(differences), np.nan)
    return np.sqrt(differences.var(axis=1, ddof=1) * (1 / n_folds + scored_to_trained))


def is_beaten(scores: FloatArray, seconds: FloatArray, scored_to_trained: float, alpha: float) -> BoolArray:
    """Return which candidates are beaten by one that is no dearer, beyond what folds scatter.

    Each is compared with one rival: of all others that are no dearer, the one of the largest mean. The test
    is a paired t test, one-sided, at level ``alpha``, its variance corrected for overlapping training sets.
    Two or three folds may agree by accident, above all in counts of few rows; so no variance counts as less
    than the mean of all pairs', and without any nothing is decided.

    Parameters
    ----------
    scores : ndarray of float, shape (n_candidates, n_folds)
        Larger is better. A candidate with NaN is neither beaten nor a rival.
    seconds : ndarray of float, shape (n_candidates,)
    scored_to_trained : float
        Rows that a fold tests on over those that it trains on.
    alpha : float
        0 for none to be beaten.

    Returns
    -------
    ndarray of bool, shape (n_candidates,)
    """
    n_candidates, n_folds = scores.shape
    beaten = np.zeros(n_candidates, dtype=bool)
    means = scores.mean(axis=1)
    pairs = _rivals(means, seconds)
    if n_folds < 2 or alpha == 0 or not pairs:
        return beaten
    behind, ahead = (np.array(part) for part in zip(*pairs.items(), strict=True))
    differences = scores[ahead] - scores[behind]
    errors = standard_errors(differences, scored_to_trained)
    errors = np.maximum(errors, np.sqrt(np.mean(errors**2)))
    ratios = np.divide(differences.mean(axis=1), errors, out=np.zeros(len(errors)), where=errors > 0)
    beaten[behind] = ratios > stats.t.ppf(1 - alpha, n_folds - 1)
    return beaten


def _rivals(means: FloatArray, seconds: FloatArray) -> dict[int, int]:
    """Return the best of those that are no dearer than each candidate, if it is better."""
    rivals = {}
    for at in np.flatnonzero(np.isfinite(means)):
        no_dearer = np.flatnonzero((seconds <= seconds[at]) & (means > means[at]))
        if len(no_dearer):
            rivals[int(at)] = int(no_dearer[np.argmax(means[no_dearer])])
    return rivals


def pareto_front(scores: FloatArray, seconds: FloatArray, eligible: Array) -> IntArray:
    """Return the places of the candidates that none is better than for no more seconds, cheapest first.

    Of equals the first is taken.

    Parameters
    ----------
    scores, seconds : ndarray of float, shape (n_candidates,)
    eligible : ndarray of bool, shape (n_candidates,)
        Which of them count.
    """
    front: list[int] = []
    places = np.flatnonzero(eligible)
    for at in places[np.lexsort((places, -scores[places], seconds[places]))]:
        if not front or scores[at] > scores[front[-1]]:
            front.append(int(at))
    return np.array(front, dtype=np.int64)
