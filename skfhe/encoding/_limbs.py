"""Sums that one ciphertext cannot hold, in limbs: the weights' digits, each with a sum of its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from skfhe._typing import Array, FloatArray

__all__ = ["LimbDecoder"]

MOST_BITS_OF_SUMS = 512
MOST_BITS = 62
"""Of sums that are joined in 64 bits; wider ones are joined in integers of any size."""


@dataclass(frozen=True, eq=False)
class LimbDecoder:
    """``scale * sum of limb << (bits * position) + offset``, the sum in exact integers.

    Parameters
    ----------
    bits : int
        That each limb stands above the one before.
    n_limbs : int
        Of each score. A row has the lowest limbs of all scores first.
    scale, offset : ndarray of float64, shape (n_scores,)

    Examples
    --------
    >>> decoder = LimbDecoder(40, 2, np.array([0.5, 1.0]), np.array([0.0, -1.0]))
    >>> decoder.decode([[3, 0, 1, 2]]).tolist()
    [[549755813889.5, 2199023255551.0]]
    >>> LimbDecoder(62, 2, np.ones(1), np.zeros(1)).joined([[-1, 1 << 40]]).tolist()
    [[5070602400912917605986812821503]]
    """

    bits: int
    n_limbs: int
    scale: FloatArray
    offset: FloatArray

    def __post_init__(self) -> None:
        if self.scale.ndim != 1 or self.scale.shape != self.offset.shape:
            raise ValueError(
                f"expected a scale and an offset of each score, got {self.scale.shape}, {self.offset.shape}"
            )
        all_bits = self.bits * self.n_limbs
        if not 1 <= self.bits <= MOST_BITS or not 1 <= all_bits <= MOST_BITS_OF_SUMS:
            raise ValueError(
                f"expected limbs of 1 to {MOST_BITS} bits, {MOST_BITS_OF_SUMS} in all, got {self.n_limbs} of "
                f"{self.bits}"
            )

    @property
    def n_scores(self) -> int:
        """How many scores a row has."""
        return len(self.scale)

    def joined(self, q: ArrayLike) -> Array:
        """Return the sums that limbs, shape (n_rows, n_limbs * n_scores), are of.

        Returns
        -------
        ndarray of int64, or of Python's integers where these could be wider; shape (n_rows, n_scores)
        """
        limbs = np.asarray(q, dtype=np.int64)
        limbs = limbs.reshape(len(limbs), self.n_limbs, self.n_scores)
        sizes = np.abs(limbs.astype(np.float64)).max(axis=(0, 2), initial=0.0)
        weights = 2.0 ** (self.bits * np.arange(self.n_limbs))
        kind = np.int64 if sizes @ weights < 2.0**MOST_BITS else object
        found: Array = limbs[:, -1].astype(kind)
        for position in range(self.n_limbs - 2, -1, -1):
            found = found * (1 << self.bits) + limbs[:, position].astype(kind)
        return found

    def decode(self, q: ArrayLike) -> FloatArray:
        """Return the scores of limbs, shape (n_rows, n_scores)."""
        return self.joined(q).astype(np.float64) * self.scale + self.offset
