"""Tables of a lookup, broadcast against what reads them."""

from __future__ import annotations

import numpy as np

from skfhe._typing import IntArray
from skfhe.program import ops

__all__ = ["extremes", "is_negacyclic", "leading_shape", "read_tables", "table_numbers"]


def leading_shape(op: ops.Lookup, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of ``op``'s tables as an array that broadcasts against rows of ``shape``.

    One table, of the leading shape (1,), fits rows without axes, too.

    Raises
    ------
    ValueError
        If the tables do not broadcast to ``shape``.
    """
    leading = op.tables.shape[:-1]
    if op.start.shape != leading:
        raise ValueError(f"tables {op.tables.shape} need one start each, got starts {op.start.shape}")
    if leading == (1,):
        return ()
    try:
        fits = np.broadcast_shapes(leading, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"tables {op.tables.shape} do not fit rows of shape {shape}")
    return leading


def table_numbers(op: ops.Lookup, shape: tuple[int, ...]) -> IntArray:
    """Return which table each element of a row of ``shape`` reads, counted in C order."""
    numbers = np.arange(op.start.size).reshape(leading_shape(op, shape))
    return np.broadcast_to(numbers, shape)


def read_tables(tables: IntArray, index: IntArray) -> IntArray:
    """Return ``tables`` at ``index``, along the last axis, with the axes before it broadcast.

    Indices outside a table read its ends.

    Examples
    --------
    >>> read_tables(np.array([[5, 6, 7], [0, 1, 2]]), np.array([[2, 3]]))
    array([[7, 7],
           [2, 2]])
    """
    leading = np.broadcast_shapes(tables.shape[:-1], index.shape[:-1])
    return np.take_along_axis(
        np.broadcast_to(tables, (*leading, tables.shape[-1])),
        np.broadcast_to(np.clip(index, 0, tables.shape[-1] - 1), (*leading, index.shape[-1])),
        axis=-1,
    )


def extremes(op: ops.Lookup, first: IntArray, last: IntArray) -> tuple[IntArray, IntArray]:
    """Return the smallest and the largest result of each element that reads the cells ``first`` to ``last``.

    Elements that read the same cells of one table, such as those of a convolution away from its edges, are
    looked at once.
    """
    length = op.tables.shape[-1]
    offset = table_numbers(op, first.shape) * length
    cells = op.tables.reshape(-1)
    n_cells = len(cells) + 1
    spans, inverse = np.unique((offset + first) * n_cells + offset + last + 1, return_inverse=True)
    # Each second segment lies between two spans, and is left out. The cell appended is of no span: it lets
    # the last one end where the tables do.
    ends = np.stack(np.divmod(spans, n_cells), axis=1).ravel()
    cells = np.append(cells, cells[-1:])
    return tuple(
        ufunc.reduceat(cells, ends)[::2][inverse.reshape(first.shape)] for ufunc in (np.minimum, np.maximum)
    )


def is_negacyclic(op: ops.Lookup, n_bits: int) -> bool:
    """Whether tables say what a lookup reads of integers modulo ``2**n_bits``.

    They have a cell for each, or for each multiple of their step, at least four, and those of the second half
    are those of the first with the other sign.

    Examples
    --------
    >>> is_negacyclic(ops.Lookup(np.array([[3, 5, -3, -5]]), np.array([0])), 2)
    True
    """
    if op.tables.shape[-1] * op.step != 1 << n_bits or op.tables.shape[-1] < 4 or op.start.any():
        return False
    half = op.tables.shape[-1] // 2
    return bool(np.array_equal(op.tables[..., half:], -op.tables[..., :half]))
