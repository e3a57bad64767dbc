"""Drop neurons that say nothing: a lookup that is constant over its range, or that nobody weighs.

Between two layers, a channel whose lookup returns one value for every input that can occur is a constant: it
moves into the next bias. A channel whose outgoing weights are all zero has no effect. Either way its lookups
are saved.
"""

from dataclasses import replace

import numpy as np

from skfhe._typing import Array, BoolArray
from skfhe.passes._rewriting import readers, replace_ops
from skfhe.program import IntegerType, Program, ops

__all__ = ["drop_idle_channels"]


BETWEEN = (ops.Lookup, ops.Bound, ops.Modulo, ops.Round, ops.Truncate)


def drop_idle_channels(program: Program) -> Program:
    """Return ``program`` without idle channels in every chain of a layer, a lookup and a layer.

    The layers are linear ones on rows of one axis, or convolutions of one group; there may be bounds and
    rounding between them and the lookup. Next to zeros that a convolution pads with, only zero counts as
    constant. The last channel of a chain is kept even if it is idle, so that shapes never become empty. All
    are, where the others are so narrow that rounding between the layers would leave nothing of them.
    """
    reads = readers(program)
    replacements: dict[int, ops.Op] = {}

    def current(position: int) -> ops.Op:
        return replacements.get(position, program.values[position].op)

    for position in program.lookups:
        chain = _chain(program, reads, position)
        if chain is None:
            continue
        source, *between, reader = chain
        before, after = current(source), current(reader)
        kind = program.values[position].type
        if isinstance(before, ops.Linear) and isinstance(after, ops.Linear) and len(kind.shape) == 1:
            inputs, outputs = 0, 1
            outgoing = after.weight
        elif isinstance(before, ops.Convolution) and isinstance(after, ops.Convolution):
            if before.groups > 1 or after.groups > 1:
                continue
            inputs, outputs = 1, 0
            outgoing = np.moveaxis(after.weight, 1, 0)
        else:
            continue
        n_channels = kind.shape[0]
        low = kind.low.reshape(n_channels, -1).min(axis=1)
        constant = low == kind.high.reshape(n_channels, -1).max(axis=1)
        if isinstance(after, ops.Convolution) and any(after.padding):
            constant &= low == 0
        keep = ~constant & outgoing.reshape(n_channels, -1).any(axis=1)
        keep[0] |= not keep.any()
        if keep.all() or not _leaves_bits(program, between, keep):
            continue
        folded = np.where(keep | ~constant, 0, low) @ outgoing.reshape(*outgoing.shape[:2], -1).sum(axis=2)
        replacements[source] = replace(
            before, weight=before.weight.compress(keep, axis=outputs), bias=before.bias[keep]
        )
        for at in between:
            replacements[at] = _of_channels(current(at), keep, len(kind.shape))
        replacements[reader] = replace(
            after, weight=after.weight.compress(keep, axis=inputs), bias=after.bias + folded
        )
    return replace_ops(program, replacements)


def _leaves_bits(program: Program, between: list[int], keep: BoolArray) -> bool:
    """Whether rounding leaves something of the kept channels."""
    for position in between:
        value = program.values[position]
        if isinstance(value.op, ops.Round | ops.Truncate):
            read = program.values[value.arguments[0]].type
            if value.op.lsbs >= IntegerType(read.low[keep], read.high[keep]).bits:
                return False
    return True


def _chain(program: Program, reads: list[list[int]], lookup: int) -> list[int] | None:
    """Return the positions of a layer, one lookup among bounds and rounding, and a layer, or None."""
    chain = [lookup]
    while isinstance(program.values[chain[0]].op, BETWEEN):
        (argument,) = program.values[chain[0]].arguments
        if isinstance(program.values[argument].op, ops.Lookup) or len(reads[argument]) != 1:
            return None
        chain.insert(0, argument)
    while isinstance(program.values[chain[-1]].op, BETWEEN):
        if len(reads[chain[-1]]) != 1 or reads[chain[-1]][0] < 0:
            return None
        chain.append(reads[chain[-1]][0])
        if isinstance(program.values[chain[-1]].op, ops.Lookup):
            return None
    return chain


def _of_channels(op: ops.Op, keep: BoolArray, n_axes: int) -> ops.Op:
    """Return an operation of `BETWEEN` for the kept channels, the first of a row's ``n_axes`` axes."""

    def take(array: Array, axes: int) -> Array:
        return array.compress(keep, axis=0) if axes == n_axes and len(array) > 1 else array

    if isinstance(op, ops.Modulo | ops.Round | ops.Truncate):
        return op
    if isinstance(op, ops.Bound):
        return ops.Bound(take(op.low, op.low.ndim), take(op.high, op.high.ndim))
    assert isinstance(op, ops.Lookup)
    return replace(op, tables=take(op.tables, op.start.ndim), start=take(op.start, op.start.ndim))
