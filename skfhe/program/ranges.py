"""Range analysis: the interval of each operation's result from those of its arguments.

Interval arithmetic over the whole interval of every input, so a stated range is a proof: no input that
the quantizer can produce leads outside it. For a linear layer the ends are

    low_j  = bias_j + sum_i min(w_ij * low_i, w_ij * high_i)
    high_j = bias_j + sum_i max(w_ij * low_i, w_ij * high_i)

which both are reached when the elements of the argument vary independently.
"""

from functools import singledispatch

import numpy as np

from skfhe.program import ops
from skfhe.program.types import IntegerType

__all__ = ["infer_type"]


@singledispatch
def infer_type(op: ops.Op, *arguments: IntegerType) -> IntegerType:
    """Return the type of the result of ``op``.

    Parameters
    ----------
    op : Op
    *arguments : IntegerType
        Types of the arguments, in order.

    Returns
    -------
    IntegerType

    Raises
    ------
    ValueError
        If the arguments' shapes or intervals do not fit the operation.
    """
    raise TypeError(f"{type(op).__name__} is not an operation of the program")


@infer_type.register
def _(op: ops.Input) -> IntegerType:
    return IntegerType(op.low, op.high)


@infer_type.register
def _(op: ops.Linear, x: IntegerType) -> IntegerType:
    n_inputs, n_outputs = op.weight.shape
    if not x.shape or x.shape[-1] != n_inputs or op.bias.shape != (n_outputs,):
        raise ValueError(
            f"Linear with weight {op.weight.shape} and bias {op.bias.shape} does not fit {x.shape}"
        )
    positive, negative = np.maximum(op.weight, 0), np.minimum(op.weight, 0)
    return IntegerType(
        x.low @ positive + x.high @ negative + op.bias,
        x.high @ positive + x.low @ negative + op.bias,
    )


def _same_shape(op: ops.Op, x: IntegerType, y: IntegerType) -> None:
    if x.shape != y.shape:
        raise ValueError(f"{type(op).__name__} needs one shape, got {x.shape} and {y.shape}")


@infer_type.register
def _(op: ops.Add, x: IntegerType, y: IntegerType) -> IntegerType:
    _same_shape(op, x, y)
    return IntegerType(x.low + y.low, x.high + y.high)


@infer_type.register
def _(op: ops.Subtract, x: IntegerType, y: IntegerType) -> IntegerType:
    _same_shape(op, x, y)
    return IntegerType(x.low - y.high, x.high - y.low)


@infer_type.register
def _(op: ops.Sum, x: IntegerType) -> IntegerType:
    return IntegerType(x.low.sum(axis=op.axis), x.high.sum(axis=op.axis))


@infer_type.register
def _(op: ops.Reshape, x: IntegerType) -> IntegerType:
    return IntegerType(x.low.reshape(op.shape), x.high.reshape(op.shape))


@infer_type.register
def _(op: ops.Gather, x: IntegerType) -> IntegerType:
    return IntegerType(np.take(x.low, op.indices, axis=op.axis), np.take(x.high, op.indices, axis=op.axis))


@infer_type.register
def _(op: ops.Concatenate, *arguments: IntegerType) -> IntegerType:
    return IntegerType(
        np.concatenate([x.low for x in arguments], axis=op.axis),
        np.concatenate([x.high for x in arguments], axis=op.axis),
    )


@infer_type.register
def _(op: ops.Bound, x: IntegerType) -> IntegerType:
    if x.max < op.low or x.min > op.high:
        raise ValueError(f"[{op.low}, {op.high}] is stated of a value in [{x.min}, {x.max}], which misses it")
    return IntegerType.of(op.low, op.high, x.shape)


@infer_type.register
def _(op: ops.Lookup, x: IntegerType) -> IntegerType:
    n_tables, length = op.tables.shape
    if n_tables != 1 and (not x.shape or x.shape[-1] != n_tables):
        raise ValueError(f"{n_tables} tables do not fit the last axis of {x.shape}")
    first, last = x.low - op.start, x.high - op.start
    if np.any(first < 0) or np.any(last >= length):
        raise ValueError("a lookup's argument reaches outside its table")
    low, high = np.empty_like(x.low), np.empty_like(x.high)
    for position in np.ndindex(x.shape):
        table = op.tables[0 if n_tables == 1 else position[-1]]
        reached = table[first[position] : last[position] + 1]
        low[position], high[position] = reached.min(), reached.max()
    return IntegerType(low, high)


@infer_type.register
def _(op: ops.Round, x: IntegerType) -> IntegerType:
    half = (1 << op.lsbs) >> 1
    return IntegerType(((x.low + half) >> op.lsbs) << op.lsbs, ((x.high + half) >> op.lsbs) << op.lsbs)
