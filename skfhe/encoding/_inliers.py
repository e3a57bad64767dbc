"""Heads of models that tell outliers from the rest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skfhe._typing import FloatArray, IntArray

__all__ = ["Inliers"]


@dataclass(frozen=True, eq=False)
class Inliers:
    """One score a row, positive for what is no outlier.

    Parameters
    ----------
    offset : float
        What `score_samples` has more than the scores.

    Examples
    --------
    >>> head = Inliers(2.0)
    >>> scores = np.array([[0.5], [-1.0]])
    >>> head.predict(scores).tolist(), head.score_samples(scores).tolist()
    ([1, -1], [2.5, 1.0])
    """

    offset: float

    def predict(self, scores: FloatArray) -> IntArray:
        """Return 1 for inliers and -1 for outliers, shape (n_rows,)."""
        return np.where(scores[:, 0] > 0, 1, -1)

    def decision_function(self, scores: FloatArray) -> FloatArray:
        """Return the scores, shape (n_rows,)."""
        return scores[:, 0]

    def score_samples(self, scores: FloatArray) -> FloatArray:
        """Return the scores before the offset is subtracted, shape (n_rows,)."""
        return scores[:, 0] + self.offset

    def relevance(self, scores: FloatArray) -> float:
        """Return the size of an error of a score that would matter to a typical row.

        The median distance of the scores from another decision.
        """
        distances = np.abs(scores[:, 0])
        return float(np.median(distances[distances > 0])) if distances.any() else 1.0
