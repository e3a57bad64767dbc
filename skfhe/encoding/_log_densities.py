"""Heads of models whose scores are logarithms of joint probabilities, one a class or a component."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skfhe._typing import Array, FloatArray
from skfhe.encoding._heads import Labels, _gap, _labels, _median

__all__ = ["LogDensities"]


@dataclass(frozen=True, eq=False)
class LogDensities:
    """Scores that are logarithms of the probability of a class and a row in it, up to a term of the row's.

    Parameters
    ----------
    labels : tuple of ndarray, default=()
        The classes, as those of the only target; without them their positions are predicted.
    ratio : bool, default=False
        Whether what tells two classes apart is the logarithm of their ratio, and not both scores.

    Examples
    --------
    >>> head = LogDensities((np.array(["no", "yes"]),))
    >>> scores = np.array([[-1000.0, -1001.0], [-2.0, -2.0]])
    >>> head.predict(scores).tolist()
    ['no', 'no']
    >>> head.predict_proba(scores).round(2).tolist()
    [[0.73, 0.27], [0.5, 0.5]]
    >>> head.score_samples(scores).round(2).tolist()
    [-999.69, -1.31]
    """

    labels: Labels = ()
    ratio: bool = False

    def __post_init__(self) -> None:
        if len(self.labels) > 1 or any(names.ndim != 1 or not len(names) for names in self.labels):
            raise ValueError(f"expected the labels of one target, got {self.labels}")

    def predict(self, scores: FloatArray) -> Array:
        """Return the most probable classes, the first of equal ones, shape (n_rows,)."""
        return _labels([scores.argmax(axis=1)], self.labels)

    def score_samples(self, scores: FloatArray) -> FloatArray:
        """Return the logarithm of each row's probability density, shape (n_rows,)."""
        largest = scores.max(axis=1)
        with np.errstate(under="ignore"):
            found: FloatArray = largest + np.log(np.exp(scores - largest[:, None]).sum(axis=1))
        return found

    def predict_log_proba(self, scores: FloatArray) -> FloatArray:
        """Return the logarithm of the probability of each class, shape (n_rows, n_classes)."""
        return scores - self.score_samples(scores)[:, None]

    def predict_proba(self, scores: FloatArray) -> FloatArray:
        """Return the probability of each class, shape (n_rows, n_classes)."""
        with np.errstate(under="ignore"):
            return np.exp(self.predict_log_proba(scores))

    def decision_function(self, scores: FloatArray) -> FloatArray:
        """Return the scores, or how much that of the second of two classes is larger."""
        return scores[:, 1] - scores[:, 0] if self.ratio and scores.shape[1] == 2 else scores

    def relevance(self, scores: FloatArray) -> float:
        """Return the size of an error of a score that would matter to a typical row.

        Half the median distance of the two largest; where there is one alone, the standard deviation.
        """
        if scores.shape[1] > 1:
            return _median(_gap(scores))
        return float(scores.std()) or 1.0
