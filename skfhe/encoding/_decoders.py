"""Decoders: from integers that were decrypted to the floats that they stand for."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from skfhe._typing import FloatArray, IntArray

__all__ = [
    "AffineDecoder",
    "OutputDecoders",
    "SummedDecoders",
    "TableDecoder",
]


@dataclass(frozen=True, eq=False)
class AffineDecoder:
    """``scale * q + offset``.

    Parameters
    ----------
    scale, offset : ndarray of float64
        Of the shape of a row.

    Examples
    --------
    >>> import numpy as np
    >>> AffineDecoder(np.array([0.5, 2.0]), np.array([0.0, -1.0])).decode([[2, 3]])
    array([[1., 5.]])
    """

    scale: FloatArray
    offset: FloatArray

    def __post_init__(self) -> None:
        scale, offset = np.shape(self.scale), np.shape(self.offset)
        if scale != offset:
            raise ValueError(f"scale and offset must have one shape, got {scale} and {offset}")

    def decode(self, q: ArrayLike) -> FloatArray:
        """Return the floats of integers, both of shape (n_rows, *row)."""
        return np.asarray(q, dtype=np.int64) * self.scale + self.offset

    def of_doubled(self, times: int) -> "AffineDecoder":
        """Return the decoder of integers that were doubled so often, which gives the same floats."""
        return AffineDecoder(self.scale / (1 << times), self.offset)


@dataclass(frozen=True, eq=False)
class TableDecoder:
    """A table of floats for each element.

    Parameters
    ----------
    start : int
        The integer that the first cell stands for.
    table : ndarray of float64, shape (*row, n)
    step : int, default=1
        Integers that a cell stands for.

    Examples
    --------
    >>> import numpy as np
    >>> TableDecoder(-1, np.array([[0.1, 0.5, 0.9]])).decode([[-1], [1]])
    array([[0.1],
           [0.9]])
    """

    start: int
    table: FloatArray
    step: int = 1

    def __post_init__(self) -> None:
        if self.step < 1 or not self.table.ndim or not self.table.shape[-1]:
            raise ValueError(f"expected cells, and a positive step, got {self.table.shape} and {self.step}")

    def decode(self, q: ArrayLike) -> FloatArray:
        """Return the floats of integers, both of shape (n_rows, *row); beyond the table, of its ends."""
        cells = (np.asarray(q, dtype=np.int64) - self.start) // self.step
        cells = np.clip(cells, 0, self.table.shape[-1] - 1)
        return np.take_along_axis(self.table[None], cells[..., None], axis=-1)[..., 0]

    def of_doubled(self, times: int) -> "TableDecoder":
        """Return the decoder of integers that were doubled so often, which gives the same floats."""
        return TableDecoder(self.start << times, self.table, self.step << times)


@dataclass(frozen=True, eq=False)
class SummedDecoders:
    """The sum of what the outputs of a program stand for.

    Parameters
    ----------
    decoders : sequence of AffineDecoder
        One for each output; all are of one shape.

    Examples
    --------
    >>> import numpy as np
    >>> halves, tens = (AffineDecoder(np.array([scale]), np.array([0.0])) for scale in (0.5, 10.0))
    >>> SummedDecoders([halves, tens]).decode(np.array([[3]]), np.array([[2]]))
    array([[21.5]])
    """

    decoders: Sequence[AffineDecoder]

    def __post_init__(self) -> None:
        if len({np.shape(decoder.scale) for decoder in self.decoders}) != 1:
            raise ValueError("expected decoders, all of one shape")

    def decode(self, *outputs: IntArray) -> FloatArray:
        """Return the floats of integers, all of shape (n_rows, *row)."""
        floats = [decoder.decode(q) for decoder, q in zip(self.decoders, outputs, strict=True)]
        return sum(floats[1:], start=floats[0])


@dataclass(frozen=True, eq=False)
class OutputDecoders:
    """A decoder for each output of a program.

    Parameters
    ----------
    decoders : sequence of AffineDecoder or TableDecoder
    """

    decoders: Sequence[AffineDecoder | TableDecoder]

    def decode(self, *outputs: IntArray) -> tuple[FloatArray, ...]:
        """Return the floats of each output.

        Raises
        ------
        ValueError
            If there are more or fewer outputs than decoders.
        """
        if len(outputs) != len(self.decoders):
            raise ValueError(f"the network has {len(self.decoders)} output(s), got {len(outputs)}")
        return tuple(decoder.decode(q) for decoder, q in zip(self.decoders, outputs, strict=True))
