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


def is_beaten(
    scores: FloatArray, seconds: FloatArray, scored_to_trained: float, alpha: float, tolerance: float = 0.0
) -> BoolArray:
    """Return which candidates are beaten by one that is no dearer, beyond what folds scatter.

    Each is compared with one rival: of all others that are no dearer and are not beaten themselves, the one
    of the largest mean. The test is a paired t test, one-sided, at level ``alpha``, its variance corrected
    for overlapping training sets. Two or three folds may agree by accident, above all in counts of few rows;
    so no variance counts as less than the median of all pairs', and without any nothing is decided.

    Parameters
    ----------
    scores : ndarray of float, shape (n_candidates, n_folds)
        Larger is better. A candidate with NaN is neither beaten nor a rival.
    seconds : ndarray of float, shape (n_candidates,)
    scored_to_trained : float
        Rows that a fold tests on over those that it trains on.
    alpha : float
        0 for none to be beaten.
    tolerance : float, default=0
        By how much a candidate has to be better than one that is no dearer, not to be beaten by it.

    Returns
    -------
    ndarray of bool, shape (n_candidates,)
    """
    n_candidates, n_folds = scores.shape
    beaten = np.zeros(n_candidates, dtype=bool)
    means = scores.mean(axis=1)
    if n_folds < 2 or alpha == 0:
        return beaten
    # of candidates that cost the same the better comes first: each one's rivals are before it
    order = np.lexsort((np.arange(n_candidates), -means, seconds))
    order = order[np.isfinite(means[order])]

    def against_rival(place: int) -> FloatArray | None:
        rivals = order[:place][~beaten[order[:place]]]
        if not len(rivals):
            return None
        return scores[rivals[np.argmax(means[rivals])]] - scores[order[place]]

    pairs = [pair for pair in map(against_rival, range(len(order))) if pair is not None]
    floor = np.median(standard_errors(np.array(pairs), scored_to_trained)) if pairs else 0.0
    least = stats.t.ppf(1 - alpha, n_folds - 1)
    for place, at in enumerate(order):
        pair = against_rival(place)
        if pair is not None:
            error = max(standard_errors(pair[np.newaxis], scored_to_trained)[0], floor)
            beaten[at] = error > 0 and pair.mean() + tolerance > least * error
    return beaten


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
