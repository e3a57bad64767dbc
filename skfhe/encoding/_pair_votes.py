"""Heads of classifiers that tell every two classes apart, which then vote."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from skfhe._typing import Array, FloatArray, IntArray
from skfhe.encoding._heads import Labels, _labels, _median
from skfhe.encoding._links import logistic

__all__ = ["PairVotes"]

LEAST_PROBABILITY = 1e-7
"""Of a class, between two of them."""


@dataclass(frozen=True, eq=False)
class PairVotes:
    """Scores of every two of the classes, in the order (0, 1), (0, 2), …; positive ones speak for the first.

    Two classes have one score alone, which speaks for the second where it is positive.

    Parameters
    ----------
    n_classes : int
    one_vs_rest : bool, default=True
        Whether `decision_function` has a score of each class, its votes and how sure they are, and not of
        each pair.
    break_ties : bool, default=False
        Whether classes of equally many votes are told apart by how sure these are, and not by their order.
    slopes, intercepts : ndarray of float64, shape (n_pairs,) or (0,)
        Of the logistic functions that probabilities of pairs follow by [1]_, if there are some.
    labels : tuple of ndarray, default=()
        The classes, as those of the only target.

    References
    ----------
    .. [1] Platt, "Probabilistic Outputs for Support Vector Machines", Advances in Large Margin Classifiers,
       1999.
    .. [2] Wu, Lin and Weng, "Probability Estimates for Multi-class Classification by Pairwise Coupling",
       JMLR 5, 2004: the second of its methods gives the probabilities of classes, of two as well.

    Examples
    --------
    >>> head = PairVotes(3, labels=(np.array(["a", "b", "c"]),))
    >>> scores = np.array([[1.0, -1.0, 2.0], [-1.0, 0.5, 3.0]])
    >>> head.predict(scores).tolist()
    ['a', 'b']
    >>> head.decision_function(scores).round(2).tolist()
    [[1.0, 1.17, 0.83], [0.89, 2.27, -0.26]]
    """

    n_classes: int
    one_vs_rest: bool = True
    break_ties: bool = False
    slopes: FloatArray = field(default_factory=lambda: np.empty(0))
    intercepts: FloatArray = field(default_factory=lambda: np.empty(0))
    labels: Labels = ()

    def __post_init__(self) -> None:
        if not 2 <= self.n_classes <= 1 << 12:
            raise ValueError(f"expected 2 to {1 << 12} classes, got {self.n_classes}")
        if self.slopes.shape != self.intercepts.shape or self.slopes.shape not in ((0,), (self.n_scores,)):
            raise ValueError(f"expected a logistic function of each of {self.n_scores} pairs")
        if self.labels and [names.shape for names in self.labels] != [(self.n_classes,)]:
            raise ValueError(f"expected labels of {self.n_classes} classes, got {self.labels}")

    @property
    def n_scores(self) -> int:
        """How many pairs there are."""
        return self.n_classes * (self.n_classes - 1) // 2

    @property
    def _pairs(self) -> IntArray:
        return np.array([*combinations(range(self.n_classes), 2)], dtype=np.int64)

    def _for_the_first(self, scores: FloatArray) -> FloatArray:
        return -scores if self.n_classes == 2 else scores

    def _won(self, first: Array) -> FloatArray:
        """Return the votes of each class, shape (n_rows, n_classes)."""
        votes = np.zeros((len(first), self.n_classes))
        for column, (one, other) in zip(first.T, self._pairs, strict=True):
            votes[:, one] += column
            votes[:, other] += ~column
        return votes

    def predict(self, scores: FloatArray) -> Array:
        """Return the classes of most votes, shape (n_rows,); of several, the first, or the surest."""
        if self.break_ties and self.one_vs_rest and self.n_classes > 2:
            return _labels([self.decision_function(scores).argmax(axis=1)], self.labels)
        return _labels([self._won(self._for_the_first(scores) > 0).argmax(axis=1)], self.labels)

    def decision_function(self, scores: FloatArray) -> FloatArray:
        """Return the score of the second of two classes, or of each class, or of each pair."""
        if self.n_classes == 2:
            return scores[:, 0]
        if not self.one_vs_rest:
            return scores
        sure = np.zeros((len(scores), self.n_classes))
        for column, (one, other) in zip(scores.T, self._pairs, strict=True):
            sure[:, one] += column
            sure[:, other] -= column
        # votes are whole numbers, and less than half a one breaks ties alone
        return self._won(scores >= 0) + sure / (3 * (np.abs(sure) + 1))

    def predict_proba(self, scores: FloatArray) -> FloatArray:
        """Return the probability of each class, shape (n_rows, n_classes)."""
        if not len(self.slopes):
            raise ValueError("this model was not trained to tell probabilities")
        first = logistic(-(self._for_the_first(scores) * self.slopes + self.intercepts))
        first = np.clip(first, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
        between = np.zeros((len(scores), self.n_classes, self.n_classes))
        one, other = self._pairs.T
        between[:, one, other], between[:, other, one] = first, 1 - first
        return _coupled(between)

    def relevance(self, scores: FloatArray) -> float:
        """Return the size of an error of a score that would matter to a typical row.

        The median distance of the scores from another decision.
        """
        return _median(np.abs(scores).ravel())


def _coupled(between: FloatArray) -> FloatArray:
    """Return the probabilities of classes from those between every two of them.

    They minimize the sum over pairs of ``(between[j, i] * p[i] - between[i, j] * p[j])**2``, class by class
    in turn, until that is within a tolerance which depends on the number of classes.
    """
    n_rows, n_classes, _ = between.shape
    product = -between.swapaxes(1, 2) * between
    product[:, range(n_classes), range(n_classes)] = np.square(between).sum(axis=1)
    found = np.full((n_rows, n_classes), 1 / n_classes)
    running = np.arange(n_rows)
    for _ in range(max(100, n_classes)):
        matrix, p = product[running], found[running]
        each = np.einsum("rij,rj->ri", matrix, p)
        total = (p * each).sum(axis=1)
        unfinished = np.abs(each - total[:, None]).max(axis=1) >= 0.005 / n_classes
        running, matrix = running[unfinished], matrix[unfinished]
        p, each, total = p[unfinished], each[unfinished], total[unfinished]
        if not len(running):
            break
        for i in range(n_classes):
            own = matrix[:, i, i]
            change = (total - each[:, i]) / own
            p[:, i] += change
            shrink = 1 + change
            total = (total + change * (change * own + 2 * each[:, i])) / shrink**2
            each = (each + change[:, None] * matrix[:, i]) / shrink[:, None]
            p /= shrink[:, None]
        found[running] = p
    return found
