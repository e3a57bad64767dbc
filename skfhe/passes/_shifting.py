"""Shift what a lookup reads by constants, which costs nothing in a bias or in another lookup's tables."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from skfhe._typing import IntArray
from skfhe.program import Program, leading_shape, ops

__all__ = ["ShiftableLookup", "find_shiftable", "granularity", "greatest", "least"]


@dataclass(frozen=True)
class ShiftableLookup:
    """A lookup, and the value before it whose operation can add a constant.

    That value reaches the lookup through bounds, sums and differences that nothing else reads.

    Parameters
    ----------
    lookup, source : int
        Positions of both in the program.
    sign : {1, -1}
        How the source counts in what the lookup reads.
    bounds : tuple of (int, int)
        Positions of the bounds between them, each with the sign of what it bounds in what the lookup reads.
    granularity : tuple of int
        Shape of a shift, with as many axes as a row of what the lookup reads: the operation has one constant
        for all elements along an axis of length 1.
    multiple : int
        What a shift must be a multiple of, for values between them are rounded to its multiples.
    """

    lookup: int
    source: int
    sign: int
    bounds: tuple[tuple[int, int], ...]
    granularity: tuple[int, ...]
    multiple: int

    def shift(self, program: Program, replacements: dict[int, ops.Op], shift: IntArray) -> None:
        """Add to ``replacements`` what makes the lookup read ``shift`` less.

        Parameters
        ----------
        program : Program
        replacements : dict of int to Op
            Operations that replace those of the program; changed in place.
        shift : ndarray of int64, shape granularity
        """

        def current(position: int) -> ops.Op:
            return replacements.get(position, program.values[position].op)

        replacements[self.source] = _add_constant(current(self.source), -self.sign * shift)
        for position, sign in self.bounds:
            bound = current(position)
            assert isinstance(bound, ops.Bound)
            replacements[position] = ops.Bound(bound.low - sign * shift, bound.high - sign * shift)
        lookup = current(self.lookup)
        assert isinstance(lookup, ops.Lookup)
        start = np.asarray(lookup.start - shift)
        tables = np.broadcast_to(lookup.tables, (*start.shape, lookup.tables.shape[-1]))
        replacements[self.lookup] = replace(lookup, tables=tables, start=start)


def find_shiftable(program: Program, reads: list[list[int]], lookup: int) -> ShiftableLookup | None:
    """Return what can shift the argument of the lookup at a position, or None if nothing can.

    Parameters
    ----------
    program : Program
    reads : list of list of int
        The program's `readers`.
    lookup : int
    """
    shape = program.values[program.values[lookup].arguments[0]].type.shape

    def search(
        position: int, sign: int, bounds: tuple[tuple[int, int], ...], multiple: int
    ) -> ShiftableLookup | None:
        if len(reads[position]) != 1:
            return None
        value = program.values[position]
        if isinstance(value.op, ops.Lookup) and isinstance(program.values[value.arguments[0]].op, ops.Modulo):
            return None  # with a constant, its tables would not be negacyclic
        if isinstance(value.op, ops.Linear | ops.Convolution | ops.Lookup):
            return ShiftableLookup(lookup, position, sign, bounds, granularity(value.op, shape), multiple)
        if isinstance(value.op, ops.Bound):
            return search(value.arguments[0], sign, (*bounds, (position, sign)), multiple)
        if isinstance(value.op, ops.Round | ops.Truncate):
            return search(value.arguments[0], sign, bounds, max(multiple, 1 << value.op.lsbs))
        if isinstance(value.op, ops.Add | ops.Subtract):
            x, y = value.arguments
            other = sign if isinstance(value.op, ops.Add) else -sign
            return search(x, sign, bounds, multiple) or search(y, other, bounds, multiple)
        return None

    return search(program.values[lookup].arguments[0], 1, (), 1)


def least(values: IntArray, shape: tuple[int, ...]) -> IntArray:
    """Return the minimum of ``values`` along the axes that ``shape`` has as 1, which are kept."""
    return np.array(values.min(axis=_shared(shape), keepdims=True))


def greatest(values: IntArray, shape: tuple[int, ...]) -> IntArray:
    """Return the maximum of ``values`` along the axes that ``shape`` has as 1, which are kept."""
    return np.array(values.max(axis=_shared(shape), keepdims=True))


def _shared(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(axis for axis, size in enumerate(shape) if size == 1)


def granularity(op: ops.Op, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of an operation's constants, with as many axes as rows of ``shape``, of its result."""
    if isinstance(op, ops.Linear):
        return (*[1] * (len(shape) - 1), shape[-1])
    if isinstance(op, ops.Convolution):
        return (shape[0], 1, 1)
    assert isinstance(op, ops.Lookup)
    leading = leading_shape(op, shape)
    return (*[1] * (len(shape) - len(leading)), *leading)


def _add_constant(op: ops.Op, constant: IntArray) -> ops.Op:
    """Return ``op`` with ``constant``, in its granularity, added to its results."""
    if isinstance(op, ops.Linear | ops.Convolution):
        return replace(op, bias=op.bias + constant.ravel())
    assert isinstance(op, ops.Lookup)
    # its own axes: an earlier shift may have split the table
    own = constant.reshape(constant.shape[constant.ndim - op.start.ndim :])
    return replace(op, tables=op.tables + own[..., None])
