"""Tables of functions: how they are evaluated, and what stands in cells where a function is undefined.

A cell stands for all floats that are rounded to its integer. The function may be undefined at the integer's
own float though the network never leaves the function's domain: 1 / x at the integer that small numbers of
either sign are rounded to, the logarithm at one whose float is a little below zero. Such a cell holds what
the nearest defined one holds, the lower of two.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from skfhe._typing import Array, BoolArray, FloatArray, IntArray
from skfhe.cost import MAX_CELLS
from skfhe.exceptions import CompilationError

__all__ = ["UNDEFINED", "fill_undefined", "rounded", "tabulated", "values_taken"]


UNDEFINED = int(np.iinfo(np.int64).min)
"""Stands in a table of integers for a cell where the function is undefined."""
MAX_EVALUATIONS = 1 << 30
"""Floats that a function is evaluated on for one lookup; elements with the same function share a table."""
CHUNK = 1 << 22
"""Floats that are evaluated at a time."""


def rounded(floats: FloatArray) -> IntArray:
    """Return the nearest integers, and `UNDEFINED` for infinity and NaN."""
    defined = np.isfinite(floats)
    return np.where(defined, np.rint(np.where(defined, floats, 0.0)), UNDEFINED).astype(np.int64)


def tabulated(
    evaluate: Callable[[Tensor], Tensor],
    encode: Callable[[FloatArray], IntArray],
    arguments: FloatArray,
    shape: tuple[int, ...],
    label: str,
) -> IntArray:
    """Return tables of ``encode(evaluate(arguments))``, one for each element or for all that share it.

    Parameters
    ----------
    evaluate : callable
        From integers (n,) to floats (n, *shape).
    encode : callable
        From floats (n, *shape) to integers, `UNDEFINED` among them.
    arguments : ndarray of float64, shape (n,)
    shape : tuple of int
        Of a row.
    label : str
        Where the lookup stands in the network.

    Returns
    -------
    ndarray of int64, shape (*leading, n)
        ``leading`` broadcasts to ``shape``: its axes have length 1 where all elements along them agree.

    Raises
    ------
    CompilationError
        If the tables would be too large, before they are.
    ValueError
        If an element is undefined in all cells.
    """
    size = int(np.prod(shape, dtype=np.int64))
    _check_size(size * len(arguments), MAX_EVALUATIONS, len(arguments), size, label)
    n = max(1, CHUNK // max(1, size))
    parts: list[IntArray] = []
    n_cells = 0
    for start in range(0, len(arguments), n):
        integers = encode(evaluate(torch.from_numpy(arguments[start : start + n])).numpy())
        parts.append(_shared(np.moveaxis(integers, 0, -1)))
        n_cells += parts[-1].size
        _check_size(n_cells, MAX_CELLS, len(arguments), size, label)
    leading = np.broadcast_shapes(*(part.shape[:-1] for part in parts))
    _check_size(int(np.prod(leading)) * len(arguments), MAX_CELLS, len(arguments), size, label)
    tables = np.concatenate([np.broadcast_to(p, (*leading, p.shape[-1])) for p in parts], axis=-1)
    return _shared(fill_undefined(tables, tables != UNDEFINED, label))


def values_taken(
    evaluate: Callable[[Tensor], Tensor], low: IntArray, high: IntArray, label: str
) -> FloatArray:
    """Return the finite floats, each once and ascending, that a function takes.

    Parameters
    ----------
    evaluate : callable
        From integers (n,) to floats (n, *row).
    low, high : ndarray of int64, shape (*row,)
        Between which integers each element lies.
    label : str

    Raises
    ------
    CompilationError
        If there would be too many to evaluate, or to keep.
    """
    first, last = int(low.min()), int(high.max())
    n_integers, size = last - first + 1, low.size
    _check_size(n_integers * size, MAX_EVALUATIONS, n_integers, size, label)
    step = max(1, CHUNK // max(1, size))
    taken = np.zeros(0)
    for start in range(first, last + 1, step):
        integers = torch.arange(start, min(start + step, last + 1))
        floats = evaluate(integers).numpy()
        column = integers.numpy().reshape(-1, *(1,) * low.ndim)
        inside = np.broadcast_to((column >= low) & (column <= high), floats.shape)
        found = floats[inside]
        taken = np.union1d(taken, found[np.isfinite(found)])
        _check_size(len(taken), MAX_CELLS, n_integers, size, label)
    return taken


def _check_size(wanted: int, most: int, n_integers: int, size: int, label: str) -> None:
    if wanted > most:
        raise CompilationError(
            f"the tables of {label!r} would take more than {most} cells: {n_integers} integers "
            f"({max(1, n_integers - 1).bit_length()} bits) for each of its {size} elements"
        )


def _shared(tables: IntArray) -> IntArray:
    """Return tables with axes of length 1 where all along them agree; the last axis is the cells'."""
    for axis in range(tables.ndim - 1):
        first = tables.take([0], axis=axis)
        if np.array_equal(np.broadcast_to(first, tables.shape), tables):
            tables = first
    return np.ascontiguousarray(tables)


def fill_undefined(tables: Array, defined: BoolArray, label: str) -> Array:
    """Return ``tables`` with every undefined cell replaced by the nearest defined one of its own table.

    Parameters
    ----------
    tables : ndarray, shape (*leading, n)
    defined : ndarray of bool, of the same shape
    label : str
        Where they stand in the network.

    Raises
    ------
    ValueError
        If a table has no defined cell.

    Examples
    --------
    >>> import numpy as np
    >>> inverse = np.array([-0.5, -1.0, np.inf, 1.0])
    >>> fill_undefined(inverse, np.isfinite(inverse), "inverse")
    array([-0.5, -1. , -1. ,  1. ])
    """
    if defined.all():
        return tables
    if not defined.any(axis=-1).all():
        raise ValueError(
            f"the function at {label!r} is infinite or NaN at every integer that its argument can take, and "
            "the network is not on the calibration rows; clamp the argument of what has a pole or a domain "
            "(division, log, sqrt)"
        )
    n = tables.shape[-1]
    cells = np.arange(n)
    lower = np.maximum.accumulate(np.where(defined, cells, -1), axis=-1)
    upper = np.minimum.accumulate(np.where(defined, cells, n)[..., ::-1], axis=-1)[..., ::-1]
    take_lower = (lower >= 0) & ((upper == n) | (cells - lower <= upper - cells))
    return np.take_along_axis(tables, np.where(take_lower, lower, upper), axis=-1)
