"""Affine quantizers: integers on an evenly spaced grid of floats."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from skfhe._typing import FloatArray, IntArray

__all__ = ["AffineEncoder", "AffineQuantizer"]

MOST_BITS = 62
"""Of integers that are computed with in 64 bits."""


@dataclass(frozen=True, eq=False)
class AffineQuantizer:
    """``x ≈ scale * (q - zero_point)`` with ``q`` an integer of ``n_bits`` bits.

    Parameters
    ----------
    n_bits : int
        Bits of the integers.
    signed : bool
        Two's complement if True, unsigned otherwise.
    scale : float or ndarray of shape (n_channels,)
        Distance between two neighbouring floats of the grid, positive; one for all, or one a
        channel of the last axis.
    zero_point : int or ndarray of shape (n_channels,), default=0
        The integer that stands for 0; a float where 0 lies between two integers.
    limits : tuple of int, default=None
        Smallest and largest integer in use; by default all of ``n_bits`` bits are.

    References
    ----------
    Jacob et al., "Quantization and Training of Neural Networks for Efficient
    Integer-Arithmetic-Only Inference", CVPR 2018, equation 1.

    Examples
    --------
    >>> quantizer = AffineQuantizer(n_bits=3, signed=True, scale=0.5)
    >>> q = quantizer.quantize([-9.0, -0.3, 0.2, 0.8])
    >>> q
    array([-4, -1,  0,  2])
    >>> quantizer.dequantize(q)
    array([-2. , -0.5,  0. ,  1. ])
    """

    n_bits: int
    signed: bool
    scale: float | FloatArray
    zero_point: float | IntArray = 0
    limits: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.n_bits < 1:
            raise ValueError(f"n_bits must be at least 1, got {self.n_bits}")
        if self.n_bits > MOST_BITS:
            raise ValueError(f"n_bits must be at most {MOST_BITS}, got {self.n_bits}")
        if not np.all(np.isfinite(self.scale)) or np.any(np.asarray(self.scale) <= 0):
            raise ValueError(f"scale must be positive and finite, got {self.scale}")
        if (
            self.limits is not None
            and not self._of_bits[0] <= self.limits[0] <= self.limits[1] <= self._of_bits[1]
        ):
            raise ValueError(f"limits must lie in {list(self._of_bits)}, got {self.limits}")
        if not np.all(np.isfinite(self.zero_point)):
            raise ValueError(f"zero_point must be finite, got {self.zero_point}")

    @property
    def _of_bits(self) -> tuple[int, int]:
        """Smallest and largest integer of ``n_bits`` bits."""
        half = 1 << (self.n_bits - 1)
        return (-half, half - 1) if self.signed else (0, 2 * half - 1)

    @property
    def low(self) -> int:
        """Smallest integer."""
        return (self.limits or self._of_bits)[0]

    @property
    def high(self) -> int:
        """Largest integer."""
        return (self.limits or self._of_bits)[1]

    def quantize(self, x: ArrayLike) -> IntArray:
        """Return the nearest integers, ties to even; floats outside the grid are clipped to its ends.

        Parameters
        ----------
        x : array-like of float, shape (…, n_channels)

        Returns
        -------
        ndarray of int64, of the shape of ``x``
        """
        q = np.rint(np.asarray(x, dtype=np.float64) / self.scale + self.zero_point)
        return np.clip(q, self.low, self.high).astype(np.int64)

    def dequantize(self, q: ArrayLike) -> FloatArray:
        """Return the floats that the integers ``q`` stand for, as float64."""
        return (np.asarray(q, dtype=np.int64) - self.zero_point) * np.asarray(self.scale)


@dataclass(frozen=True, eq=False)
class AffineEncoder:
    """Encodes each input of a model by a quantizer of its own, or by several.

    Parameters
    ----------
    quantizers : sequence of (int, AffineQuantizer)
        For each input of the program, which of the model's inputs it encodes, and how.

    Examples
    --------
    >>> half, third = (AffineQuantizer(n_bits=4, signed=True, scale=scale) for scale in (1 / 2, 1 / 3))
    >>> AffineEncoder([(0, half), (0, third)]).encode([[1.0]])
    (array([[2]]), array([[3]]))
    """

    quantizers: Sequence[tuple[int, AffineQuantizer]]

    def encode(self, *rows: ArrayLike) -> tuple[IntArray, ...]:
        """Return the integers of each input of the program, from rows of each input of the model."""
        return tuple(quantizer.quantize(rows[index]) for index, quantizer in self.quantizers)
