"""Exact integer products of the integers that rows are encoded to: what polynomial scores are linear in.

The client multiplies, so that what is encrypted is the product of the very integers whose first powers are
sent beside it. A square that was rounded by itself would not belong to the value that was rounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from skfhe._typing import IntArray
from skfhe.encoding._grid_encoder import ClippingWatch, GridEncoder

__all__ = ["MonomialEncoder"]

MOST_BITS = 62
"""Of products, which are computed in 64 bits."""


@dataclass(frozen=True, eq=False)
class MonomialEncoder:
    """Encodes products of features, which were encoded on grids.

    Parameters
    ----------
    factors : GridEncoder
        Of the features that are multiplied.
    terms : ndarray of int64, shape (n_terms, degree)
        For each product, its factors: positions among the features of ``factors``, ascending, and -1 for
        none.
    shifts : ndarray of int64, shape (n_terms,)
        Each product is multiplied by two to this power, so that all are of about one size.

    Examples
    --------
    >>> from skfhe.encoding import FeatureGrid
    >>> half = FeatureGrid(np.zeros(2), np.full(2, 0.5), np.full(2, -8), np.full(2, 8))
    >>> feature = np.arange(2)
    >>> watch = ClippingWatch(feature, half, np.full(2, 8.0), None, 0.0, None)
    >>> terms = np.array([[-1, 0], [-1, 1], [0, 0], [0, 1]])
    >>> encoder = MonomialEncoder(GridEncoder(feature, half, watch), terms, np.array([2, 2, 0, 0]))
    >>> encoder.encode(np.array([[1.5, -0.5]]))[0].tolist()
    [[12, -4, 9, -3]]
    >>> encoder.interval[0].tolist(), encoder.interval[1].tolist()
    ([-32, -32, 0, -64], [32, 32, 64, 64])
    """

    factors: GridEncoder
    terms: IntArray
    shifts: IntArray

    def __post_init__(self) -> None:
        n_factors = len(self.factors.features)
        if self.terms.ndim != 2 or not self.terms.shape[1] or self.shifts.shape != self.terms.shape[:1]:
            raise ValueError(
                f"expected factors and a shift of each product, got {self.terms.shape}, {self.shifts.shape}"
            )
        if self.terms.size and not -1 <= self.terms.min() <= self.terms.max() < n_factors:
            raise ValueError(f"products are of {n_factors} features, got others")
        if (np.diff(self.terms, axis=1) < 0).any():
            raise ValueError("expected the factors of each product in ascending order")
        if ((self.shifts < 0) | (self.shifts >= MOST_BITS)).any():
            raise ValueError(f"products are shifted by 0 to {MOST_BITS - 1} bits, got others")
        grid = self.factors.grid
        ends = np.maximum(np.abs(grid.low.astype(np.float64)), np.abs(grid.high.astype(np.float64)))
        sizes = np.append(ends, 1.0)[self.terms]
        with np.errstate(divide="ignore"):
            if (np.log2(sizes).sum(axis=1) + self.shifts > MOST_BITS).any():
                raise ValueError(f"products of these integers have more than {MOST_BITS} bits")

    @property
    def features(self) -> IntArray:
        """Which features of a row are read."""
        return self.factors.features

    @property
    def watch(self) -> ClippingWatch:
        """Of values that are not represented."""
        return self.factors.watch

    @property
    def interval(self) -> tuple[IntArray, IntArray]:
        """The smallest and the largest integer of each product."""
        low, high = np.ones((2, len(self.terms)), dtype=np.int64)
        # a factor that follows itself is a power, which is not negative if it is even
        power = np.zeros(len(self.terms), dtype=np.int64)
        for column in range(self.terms.shape[1] + 1):
            last = column == self.terms.shape[1]
            ends = last or self.terms[:, column] != self.terms[:, column - 1]
            done = np.flatnonzero((power > 0) & ends)
            factor = self.terms[done, column - 1]
            lowest, highest = _of_power(
                self.factors.grid.low[factor], self.factors.grid.high[factor], power[done]
            )
            so_far = (low[done], high[done])
            corners = np.stack([end * other for end in so_far for other in (lowest, highest)])
            low[done], high[done] = corners.min(axis=0), corners.max(axis=0)
            power[done] = 0
            if not last:
                power += self.terms[:, column] >= 0
        return low << self.shifts, high << self.shifts

    def encode(self, X: Any) -> tuple[IntArray]:
        """Return the integers of rows as the only input of a program.

        Parameters
        ----------
        X : {ndarray, sparse matrix} of float, shape (n_rows, n_features)

        Returns
        -------
        tuple of ndarray of int64, shape (n_rows, n_terms)
        """
        (q,) = self.factors.encode(X)
        factors = np.concatenate([q, np.ones((len(q), 1), dtype=np.int64)], axis=1)
        found = factors[:, self.terms[:, 0]]
        for column in self.terms.T[1:]:
            found *= factors[:, column]
        return (found << self.shifts,)


def _of_power(low: IntArray, high: IntArray, power: IntArray) -> tuple[IntArray, IntArray]:
    """Return the interval of the powers of integers from ``low`` to ``high``."""
    ends = np.stack([low**power, high**power])
    least, most = ends.min(axis=0), ends.max(axis=0)
    return np.where((power % 2 == 0) & (low < 0) & (high > 0), 0, least), most
