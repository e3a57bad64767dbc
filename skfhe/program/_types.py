"""The type of a program value: a shape and, element by element, an integer interval."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from skfhe._typing import IntArray

__all__ = ["IntegerType", "bit_width"]


def bit_width(low: int, high: int) -> int:
    """Return the bits that hold every integer of ``[low, high]``.

    Parameters
    ----------
    low, high : int
        Ends of the interval, both included.

    Returns
    -------
    int
        Bits, at least 1. A negative ``low`` makes the encoding two's complement, whose sign takes
        one bit; otherwise it is unsigned.

    Examples
    --------
    >>> bit_width(0, 15), bit_width(-8, 7), bit_width(-1, 15)
    (4, 4, 5)
    """
    if low >= 0:
        return max(1, int(high).bit_length())
    return max(int(-low - 1).bit_length(), int(high).bit_length() if high > 0 else 0) + 1


@dataclass(frozen=True, eq=False)
class IntegerType:
    """Shape of one row of a value and the interval of each of its elements.

    Parameters
    ----------
    low, high : ndarray of int64
        Ends of the intervals, both included, of the same shape: the value's, without the rows.
    """

    low: IntArray
    high: IntArray

    def __post_init__(self) -> None:
        if self.low.shape != self.high.shape:
            raise ValueError(
                f"low and high must have the same shape, got {self.low.shape} and {self.high.shape}"
            )
        if np.any(self.low > self.high):
            raise ValueError("low must not exceed high in any element")

    @classmethod
    def of(cls, low: ArrayLike, high: ArrayLike, shape: tuple[int, ...]) -> "IntegerType":
        """Build the type of ``shape`` with ends broadcast from ``low`` and ``high``."""
        return cls(
            np.broadcast_to(np.asarray(low, dtype=np.int64), shape).copy(),
            np.broadcast_to(np.asarray(high, dtype=np.int64), shape).copy(),
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one row."""
        return self.low.shape

    @property
    def size(self) -> int:
        """Elements in one row."""
        return int(self.low.size)

    @property
    def min(self) -> int:
        """Smallest integer that any element can take."""
        return int(self.low.min()) if self.low.size else 0

    @property
    def max(self) -> int:
        """Largest integer that any element can take."""
        return int(self.high.max()) if self.high.size else 0

    @property
    def bits(self) -> int:
        """Bits that hold every element."""
        return bit_width(self.min, self.max)

    def contains(self, values: IntArray) -> bool:
        """Whether every row of ``values`` lies in the intervals."""
        return bool(np.all(values >= self.low) and np.all(values <= self.high))
