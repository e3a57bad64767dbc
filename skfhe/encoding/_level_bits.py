"""Levels as bits: whether each digit of a level reaches each of its values."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from skfhe._typing import IntArray
from skfhe.encoding._dense import dense
from skfhe.encoding._levels import Levels

__all__ = ["LevelBitsEncoder"]

HIGH, LOW, MISSING = range(3)
"""What a bit is about: ``level // radix``, ``level % radix``, or whether the value is missing."""


@dataclass(frozen=True, eq=False)
class LevelBitsEncoder:
    """Encodes levels as bits, each saying whether a digit of the level reaches a value.

    A level is ``radix * high + low``. With a radix of 1 there is no low digit, and a bit for each boundary
    says whether the row exceeds it. A larger radix takes fewer bits: for a feature of n boundaries,
    ``n // radix`` of the high digit and at most ``radix - 1`` of the low one. A level then reaches
    ``radix * h + l`` if two of these three are so: its high digit reaches h, the high digit reaches h + 1,
    the low digit reaches l.

    All bits of a feature are sent, whichever of its boundaries are asked about. A feature with a level for
    missing values has one bit more, which says that the value is missing; all others are 0 then.

    Parameters
    ----------
    quantizer : Levels
        Of the encoded features.
    features : ndarray of int64, shape (n_encoded,)
        Which features of a row these are.
    radix : int, default=1

    Examples
    --------
    >>> import numpy as np
    >>> levels = Levels(3, [np.arange(7) + 0.5], np.array([False]))
    >>> rows = np.array([[4.0], [7.0]])
    >>> LevelBitsEncoder(levels, np.array([0])).encode(rows)[0]
    array([[1, 1, 1, 1, 0, 0, 0],
           [1, 1, 1, 1, 1, 1, 1]])
    >>> LevelBitsEncoder(levels, np.array([0]), radix=4).encode(rows)[0]  # 10 and 13, base 4
    array([[1, 0, 0, 0],
           [1, 1, 1, 1]])
    """

    quantizer: Levels
    features: IntArray
    radix: int = 1

    def __post_init__(self) -> None:
        if self.features.shape != (self.quantizer.n_features,) or (self.features < 0).any():
            raise ValueError(f"expected the numbers of {self.quantizer.n_features} features")
        if not 1 <= self.radix <= 1 << self.quantizer.n_bits:
            raise ValueError(f"expected a radix of 1 to {1 << self.quantizer.n_bits}, got {self.radix}")
        if not self.n_bits:
            raise ValueError("expected a feature with boundaries, or with a level for missing values")

    @property
    def n_bits(self) -> int:
        """Bits that are sent of a row."""
        return int(self._lengths.sum())

    @cached_property
    def _lengths(self) -> IntArray:
        """How many bits each feature has about each of the three, shape (n_encoded, 3)."""
        lasts = np.array([len(boundaries) for boundaries in self.quantizer.boundaries], dtype=np.int64)
        low = np.minimum(self.radix - 1, lasts)
        return np.stack([lasts // self.radix, low, self.quantizer.missing.astype(np.int64)], axis=1)

    @cached_property
    def _begins(self) -> IntArray:
        """Where the bits about each of the three begin, shape (n_encoded, 3)."""
        lengths = self._lengths.ravel()
        return (np.cumsum(lengths) - lengths).reshape(-1, 3)

    @cached_property
    def bits(self) -> tuple[IntArray, IntArray, IntArray]:
        """Encoded feature of each bit, what it is about, and the value to be reached; of shape (n_sent,)."""
        lengths = self._lengths.ravel()
        feature, about = divmod(np.repeat(np.arange(len(lengths)), lengths), 3)
        reached = 1 + np.arange(self.n_bits) - np.repeat(self._begins.ravel(), lengths)
        return feature, about, reached

    def _position(self, feature: int, about: int, reached: int) -> int | None:
        """Where it is sent whether a digit reaches a value, or None if it always or never does."""
        inside = 1 <= reached <= self._lengths[feature, about]
        return int(self._begins[feature, about]) + reached - 1 if inside else None

    def deciding(self, feature: int, level: int) -> list[int | None]:
        """Return which bits decide whether a feature's level is at least ``level``.

        Parameters
        ----------
        feature : int
            Number of the encoded feature.
        level : int
            From 1 to the number of its boundaries.

        Returns
        -------
        list of int or None
            One bit that says it, or three of which two have to be 1. None in place of the first stands for
            1, of the second for 0: no level has a high digit below 0, or one above that of the last level.
        """
        high, low = divmod(level, self.radix)
        if not low:
            return [self._position(feature, HIGH, high)]
        found = [self._position(feature, HIGH, high), self._position(feature, HIGH, high + 1)]
        last = self._position(feature, LOW, low)
        return [*found, last] if found != [None, None] else [last]

    def missing(self, feature: int) -> int:
        """Return which bit says that the value of an encoded feature is missing."""
        return int(self._begins[feature, MISSING])

    def encode(self, X: Any) -> tuple[IntArray]:
        """Return the bits, shape (n_rows, n_sent), as the only input of a program.

        Parameters
        ----------
        X : {ndarray, sparse matrix} of float, shape (n_rows, n_features)
            All features of the rows. NaN stands for a missing value.

        Returns
        -------
        tuple of ndarray of int64
            0 or 1.

        Raises
        ------
        ValueError
            If ``X`` misses values of a feature that missed none when its levels were chosen.
        """
        levels = self.quantizer.quantize(dense(X[:, self.features]), self.features)
        missing = (levels == (1 << self.quantizer.n_bits) - 1) & self.quantizer.missing
        levels = np.where(missing, 0, levels)
        digits = np.stack([levels // self.radix, levels % self.radix, missing])
        feature, about, reached = self.bits
        return ((reached <= digits[about, :, feature].T).astype(np.int64),)
