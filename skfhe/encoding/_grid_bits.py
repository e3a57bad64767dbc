"""Rows on grids, as the bits that say which boundaries of its grid each value exceeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from skfhe._typing import IntArray
from skfhe.encoding._grid_encoder import ClippingWatch, GridEncoder

__all__ = ["GridBitsEncoder"]


@dataclass(frozen=True, eq=False)
class GridBitsEncoder:
    """Encodes boundaries of grids as bits, whether a value's integer is beyond.

    Any function of a feature's integer is linear in the bits of all its boundaries.

    Parameters
    ----------
    levels : GridEncoder
        Of the features.
    positions : ndarray of int64, shape (n_bits,)
        For each bit, its feature's place among those of ``levels``.
    boundaries : ndarray of int64, shape (n_bits,)
        A bit is 1 if the integer is at least this.

    Examples
    --------
    >>> from skfhe.encoding import ClippingWatch, FeatureGrid, GridEncoder
    >>> grid = FeatureGrid(np.zeros(1), np.ones(1), np.array([-1]), np.array([2]))
    >>> feature = np.array([0])
    >>> levels = GridEncoder(feature, grid, ClippingWatch(feature, grid, np.ones(1), None, 0.0, None))
    >>> encoder = GridBitsEncoder(levels, np.zeros(3, dtype=int), np.array([0, 1, 2]))
    >>> encoder.encode(np.array([[-9.0], [0.2], [1.0]]))[0].tolist()
    [[0, 0, 0], [1, 0, 0], [1, 1, 0]]
    """

    levels: GridEncoder
    positions: IntArray
    boundaries: IntArray

    def __post_init__(self) -> None:
        if self.positions.ndim != 1 or self.positions.shape != self.boundaries.shape:
            raise ValueError(
                f"expected a place and a boundary of each bit, got {self.positions.shape} and "
                f"{self.boundaries.shape}"
            )
        n_features = len(self.levels.features)
        if len(self.positions) and not 0 <= self.positions.min() <= self.positions.max() < n_features:
            raise ValueError(f"bits are of {n_features} features, got others")

    @property
    def features(self) -> IntArray:
        """Which features of a row are read."""
        return self.levels.features

    @property
    def watch(self) -> ClippingWatch:
        """Of values that are not represented."""
        return self.levels.watch

    def encode(self, X: Any) -> tuple[IntArray]:
        """Return the bits of rows as the only input of a program.

        Parameters
        ----------
        X : {ndarray, sparse matrix} of float, shape (n_rows, n_features)

        Returns
        -------
        tuple of ndarray of int64, shape (n_rows, n_bits)
        """
        (q,) = self.levels.encode(X)
        return ((q[:, self.positions] >= self.boundaries).astype(np.int64),)
