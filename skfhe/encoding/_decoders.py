"""Decoders: from integers that were decrypted to the floats that they stand for."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from skfhe._typing import FloatArray, IntArray

__all__ = [
    "AffineDecoder",
    "Decoder",
    "LeafDecoder",
    "LeafSumDecoder",
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


@dataclass(frozen=True, eq=False)
class LeafSumDecoder:
    """From sums of leaf values, as integers, to scores.

    What a wrong lookup brings out of the sums that there can be is taken for the nearest of them.

    Parameters
    ----------
    scale : float
        What one unit of a sum is worth.
    least : ndarray of int64, shape (n_computed,)
        Sums of no leaf values at all.
    span : ndarray of int64, shape (n_computed,)
        How far beyond them the sums can reach.
    columns : ndarray of int64, shape (n_computed,)
        The scores that the sums are.
    remainders : tuple of (int, tuple of int)
        Scores that are 1 less some others; if there are any, 1 is a multiple of the scale.
    n_outputs : int
        Scores of a row.
    error : float, default=0
        No score is farther than this from that of the float leaf values.

    Examples
    --------
    >>> import numpy as np
    >>> one, least, span = np.array([1]), np.array([0]), np.array([4])
    >>> LeafSumDecoder(0.25, least, span, one, ((0, (1,)),), 2).decode(np.array([[3]]))
    array([[0.25, 0.75]])
    """

    scale: float
    least: IntArray
    span: IntArray
    columns: IntArray
    remainders: tuple[tuple[int, tuple[int, ...]], ...]
    n_outputs: int
    error: float = 0.0

    def __post_init__(self) -> None:
        if not self.least.shape == self.span.shape == self.columns.shape or self.least.ndim != 1:
            raise ValueError(
                "least, span and columns must be one-dimensional and of one length, got "
                f"{self.least.shape}, {self.span.shape} and {self.columns.shape}"
            )
        if (self.span < 0).any() or not 0 < self.scale < np.inf:
            raise ValueError("span must not be negative, and scale be positive and finite")
        known = [
            *self.columns.tolist(),
            *(n for output, others in self.remainders for n in (output, *others)),
        ]
        if not all(0 <= column < self.n_outputs for column in known):
            raise ValueError(f"scores are numbered below {self.n_outputs}, got {sorted(set(known))}")
        if self.n_outputs > len(set(known)) or (self.remainders and not round(1 / self.scale)):
            raise ValueError(f"expected that each of {self.n_outputs} scores is computed")

    def decode(self, sums: IntArray) -> FloatArray:
        """Return the scores, shape (n_rows, n_outputs)."""
        integers = np.clip(sums, 0, self.span) + self.least
        if not self.remainders:
            scores = np.zeros((len(sums), self.n_outputs))
            scores[:, self.columns] = integers * self.scale
            return scores
        # Votes of trees are counted, so that classes with equally many have equal scores.
        one = round(1 / self.scale)
        counts = np.zeros((len(sums), self.n_outputs), dtype=np.int64)
        counts[:, self.columns] = integers
        for output, others in self.remainders:
            counts[:, output] = one - counts[:, list(others)].sum(axis=1)
        return counts / one


@dataclass(frozen=True, eq=False)
class LeafDecoder:
    """From the number of one of a single tree's different leaves to its scores.

    A number beyond the last, as a wrong lookup can make it, is taken for the nearest.

    Parameters
    ----------
    least, span : int
        The first leaf's number, less that of what the program returns, and the number of those behind it.
    leaves : ndarray of float64, shape (n_different, n_outputs)
        Their scores.
    error : float, default=0
        They are exact.

    Examples
    --------
    >>> import numpy as np
    >>> LeafDecoder(0, 1, np.array([[0.5], [1.25]])).decode(np.array([[1], [7]]))
    array([[1.25],
           [1.25]])
    """

    least: int
    span: int
    leaves: FloatArray
    error: float = 0.0

    def __post_init__(self) -> None:
        if self.leaves.ndim != 2 or not 0 <= self.least <= self.least + self.span < len(self.leaves):
            raise ValueError(
                f"leaves {self.least} to {self.least + self.span} are not all among {self.leaves.shape}"
            )

    def decode(self, numbers: IntArray) -> FloatArray:
        """Return the scores, shape (n_rows, n_outputs)."""
        return self.leaves[np.clip(numbers[:, 0], 0, self.span) + self.least]


Decoder = AffineDecoder | SummedDecoders | OutputDecoders | LeafSumDecoder | LeafDecoder
"""What turns the outputs of a program into floats: ``decode`` takes an array for each of them."""
