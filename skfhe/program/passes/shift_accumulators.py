"""Move every value that a lookup reads to start at zero.

An accumulator in [-9, 6] takes 5 bits in two's complement, and 4 bits once 9 is added: the width
then follows the length of the interval alone. The shift is a constant added to the bias of a linear layer or
a convolution, or to the results of another lookup, which costs nothing, and the lookup undoes it.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from skfhe.program import ops
from skfhe.program.graph import Program
from skfhe.program.rewriting import readers, replace_ops

__all__ = ["shift_accumulators"]

IntArray = NDArray[np.int64]


class _Source(NamedTuple):
    """A value that can take up a shift, and the values from there to the lookup, these included."""

    position: int
    sign: int
    bounds: list[tuple[int, int]]
    """Bounds on the way, each with the sign that the shift has there."""


def shift_accumulators(program: Program) -> Program:
    """Return ``program`` with the arguments of lookups shifted to ``[0, high - low]``.

    Where a linear layer, a convolution or a lookup is read by one lookup and nothing else, directly or
    through bounds, sums and differences that nothing else reads. There is one shift for each element of the
    bias, or for each table: the least lower end that any element of the argument has.
    """
    reads = readers(program)
    replacements: dict[int, ops.Op] = {}
    for position in program.lookups:
        (argument,) = program.values[position].arguments
        source = _source(program, reads, argument)
        if source is None:
            continue
        low = np.atleast_1d(program.values[argument].type.low)
        before = replacements.get(source.position, program.values[source.position].op)
        before, shift = _shifted(before, low, source.sign)
        if not shift.any():
            continue
        replacements[source.position] = before
        for bound, sign in source.bounds:
            op = replacements.get(bound, program.values[bound].op)
            assert isinstance(op, ops.Bound)
            replacements[bound] = ops.Bound(op.low - sign * shift, op.high - sign * shift)
        lookup = replacements.get(position, program.values[position].op)
        assert isinstance(lookup, ops.Lookup)
        start = lookup.start - shift
        tables = np.broadcast_to(lookup.tables, (*start.shape, lookup.tables.shape[-1]))
        replacements[position] = ops.Lookup(tables, start)
    return replace_ops(program, replacements)


def _source(program: Program, reads: list[list[int]], position: int, sign: int = 1) -> _Source | None:
    """Find what can take up a shift of the value at ``position``, which only one lookup needs shifted."""
    if len(reads[position]) != 1:
        return None
    value = program.values[position]
    if isinstance(value.op, ops.Linear | ops.Convolution | ops.Lookup):
        return _Source(position, sign, [])
    if isinstance(value.op, ops.Bound):
        found = _source(program, reads, value.arguments[0], sign)
        return found and _Source(found.position, found.sign, [*found.bounds, (position, sign)])
    if isinstance(value.op, ops.Add | ops.Subtract):
        signs = (sign, sign if isinstance(value.op, ops.Add) else -sign)
        candidates = (_source(program, reads, a, s) for a, s in zip(value.arguments, signs, strict=True))
        return next((found for found in candidates if found is not None), None)
    return None


def _shifted(op: ops.Op, low: IntArray, sign: int) -> tuple[ops.Op, IntArray]:
    """Return ``op`` with its results less ``sign`` times a shift, and the shift, broadcast to elements.

    The shift is the least of ``low`` over the elements that one number of ``op`` decides about.
    """
    if isinstance(op, ops.Linear):
        shift = _least(low, (*[1] * (low.ndim - 1), low.shape[-1]))
        return ops.Linear(op.weight, op.bias - sign * shift.ravel()), shift.ravel()
    if isinstance(op, ops.Convolution):
        shift = _least(low, (len(low), 1, 1))
        return replace(op, bias=op.bias - sign * shift.ravel()), shift
    assert isinstance(op, ops.Lookup)
    shift = _least(low, (*[1] * (low.ndim - op.start.ndim), *op.start.shape))
    shift = shift.reshape(op.start.shape)
    return ops.Lookup(op.tables - sign * shift[..., None], op.start), shift


def _least(low: IntArray, shape: tuple[int, ...]) -> IntArray:
    """Return the minimum of ``low`` over the axes that ``shape`` has as 1, which are kept."""
    axes = tuple(axis for axis, size in enumerate(shape) if size == 1)
    return low.min(axis=axes, keepdims=True)
