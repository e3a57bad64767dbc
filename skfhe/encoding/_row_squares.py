"""The part of a squared distance that is the row's own: the client adds it, and need not send it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from skfhe._typing import FloatArray
from skfhe.encoding._dense import dense
from skfhe.encoding._grid_encoder import GridEncoder

__all__ = ["RowSquares"]

BLOCK = 1 << 22
"""Numbers that are computed with at a time."""


@dataclass(frozen=True, eq=False)
class RowSquares:
    """A weighted sum of squares of a row as it is encoded, and what it adds to scores.

    Squared distances are ``|x - m|² - 2 (c - m)·(x - m) + |c - m|²``. The server computes what depends on
    ``c``, and the client adds the first term, of the very numbers that its integers stand for.

    Parameters
    ----------
    middle : ndarray of float64, shape (n_features,)
        What rows are compared with, ``m``.
    factor : ndarray of float64, shape (n_features,)
        What each feature's square counts.
    times : ndarray of float64, shape (n_scores,)
        How often each score gets the sum: 1, 0 or -1.
    """

    middle: FloatArray
    factor: FloatArray
    times: FloatArray

    def __post_init__(self) -> None:
        if self.middle.ndim != 1 or self.factor.shape != self.middle.shape or self.times.ndim != 1:
            raise ValueError(
                "expected a middle and a factor of each feature, and a number for each score, got the shapes "
                f"{self.middle.shape}, {self.factor.shape} and {self.times.shape}"
            )

    def of(self, X: Any, encoder: GridEncoder) -> FloatArray:
        """Return the sums of rows, shape (n_rows,).

        Parameters
        ----------
        X : {ndarray, sparse matrix} of float, shape (n_rows, n_features)
        encoder : GridEncoder
            Features that it encodes count as what their integers stand for, others as they are.
        """
        found = np.zeros(X.shape[0])
        grid = encoder.grid
        varies = grid.low < grid.high  # a program without weights has an input that says nothing
        sent = encoder.features[varies]
        size = max(1, BLOCK // max(X.shape[1], 1))
        for start in range(0, X.shape[0], size):
            some = X[start : start + size]
            rows = np.array(dense(some), dtype=np.float64)
            (integers,) = encoder.encode(some)
            rows[:, sent] = (grid.origin + grid.step * integers)[:, varies]
            found[start : start + size] = (np.square(rows - self.middle) * self.factor).sum(axis=1)
        return found

    def added(self, scores: FloatArray, X: Any, encoder: GridEncoder) -> FloatArray:
        """Return scores with what is the rows' own, shape (n_rows, n_scores)."""
        return scores + self.of(X, encoder)[:, None] * self.times
