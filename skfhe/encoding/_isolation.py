"""The head of isolation forests: a row that few splits tell from all others is an outlier."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skfhe._typing import FloatArray, IntArray
from skfhe.encoding._heads import _median

__all__ = ["PathLengths"]


@dataclass(frozen=True, eq=False)
class PathLengths:
    """Scores that are lengths of paths through trees, summed over the trees.

    Parameters
    ----------
    usual : float
        The sum for a row like any other, which `score_samples` has at -0.5; 0 if paths have no length.
    offset : float, default=-0.5
        Rows of smaller `score_samples` are outliers.

    Examples
    --------
    >>> head = PathLengths(20.0)
    >>> lengths = np.array([[40.0], [20.0], [10.0]])
    >>> head.score_samples(lengths).round(3).tolist()
    [-0.25, -0.5, -0.707]
    >>> head.predict(lengths).tolist()
    [1, 1, -1]
    """

    usual: float
    offset: float = -0.5

    def __post_init__(self) -> None:
        if not 0 <= self.usual < np.inf or not np.isfinite(self.offset):
            raise ValueError(
                "expected a finite length that is not negative, and an offset, got "
                f"{self.usual} and {self.offset}"
            )

    def score_samples(self, scores: FloatArray) -> FloatArray:
        """Return how usual rows are, from -1 to 0, shape (n_rows,)."""
        relative = scores[:, 0] / self.usual if self.usual else np.ones(len(scores))
        found: FloatArray = -(2.0**-relative)
        return found

    def decision_function(self, scores: FloatArray) -> FloatArray:
        """Return `score_samples` less the offset, which is negative for outliers, shape (n_rows,)."""
        return self.score_samples(scores) - self.offset

    def predict(self, scores: FloatArray) -> IntArray:
        """Return -1 for outliers and 1 for other rows, shape (n_rows,)."""
        return np.where(self.decision_function(scores) < 0, -1, 1)

    def relevance(self, scores: FloatArray) -> float:
        """Return the size of an error of a score that would matter to a typical row.

        The median distance of the scores from another decision.
        """
        if not self.usual or not -1 < self.offset < 0:
            return float(scores.std()) or 1.0
        return _median(np.abs(scores[:, 0] + self.usual * np.log2(-self.offset)))

    def error_of(self, error: float) -> float:
        """Return how far `score_samples` can be off where scores are by ``error`` at most.

        Examples
        --------
        >>> PathLengths(20.0).error_of(20.0)
        1.0
        """
        return float(np.expm1(np.log(2) * error / self.usual)) if self.usual else 0.0
