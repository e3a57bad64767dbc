"""Decoders: from integers that were decrypted to the floats that they stand for."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from skfhe._typing import FloatArray

__all__ = ["AffineDecoder", "TableDecoder"]


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

    def decode(self, q: ArrayLike) -> FloatArray:
        """Return the floats of integers, both of shape (n_rows, *row)."""
        return np.asarray(q, dtype=np.int64) * self.scale + self.offset


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

    def decode(self, q: ArrayLike) -> FloatArray:
        """Return the floats of integers, both of shape (n_rows, *row); beyond the table, of its ends."""
        cells = (np.asarray(q, dtype=np.int64) - self.start) // self.step
        cells = np.clip(cells, 0, self.table.shape[-1] - 1)
        return np.take_along_axis(self.table[None], cells[..., None], axis=-1)[..., 0]
