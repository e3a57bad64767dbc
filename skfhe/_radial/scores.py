"""What fitted models with a radial kernel are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skfhe._typing import FloatArray
from skfhe.encoding import Head

__all__ = ["RadialScores"]


@dataclass(frozen=True, eq=False)
class RadialScores:
    """Scores ``dual @ exp(-gamma * |support - x|**2) + intercept``.

    Parameters
    ----------
    dual : ndarray of float64, shape (n_scores, n_vectors)
    support : ndarray of float64, shape (n_vectors, n_features)
    intercept : ndarray of float64, shape (n_scores,)
    gamma : float
    head : Head
        Scores to predictions.
    tolerance : float, default=0.0
        What training leaves undecided: scores that are nearer to zero count as of either sign.
    """

    dual: FloatArray
    support: FloatArray
    intercept: FloatArray
    gamma: float
    head: Head
    tolerance: float = 0.0

    def kernel(self, rows: FloatArray) -> FloatArray:
        """Return the kernel of rows and vectors, shape (n_rows, n_vectors)."""
        return np.exp(-self.gamma * self.distances(rows))

    def distances(self, rows: FloatArray) -> FloatArray:
        """Return the squared distances of rows from vectors, shape (n_rows, n_vectors)."""
        return np.stack([np.square(rows - vector).sum(axis=1) for vector in self.support], axis=1)

    def scores(self, rows: FloatArray) -> FloatArray:
        """Return the float scores, shape (n_rows, n_scores)."""
        return self.kernel(rows) @ self.dual.T + self.intercept
