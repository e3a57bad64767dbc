"""Range analysis: the interval of each operation's result from those of its arguments.

Interval arithmetic over the whole interval of every input, so a stated range is a proof: no input that
the quantizer can produce leads outside it. For a linear layer the ends are

    low_j  = bias_j + sum_i min(w_ij * low_i, w_ij * high_i)
    high_j = bias_j + sum_i max(w_ij * low_i, w_ij * high_i)

which both are reached when the elements of the argument vary independently. Convolutions are alike, with
zeros around the argument.
"""

from functools import singledispatch

import numpy as np

from skfhe.program import ops
from skfhe.program._integer_products import convolve, multiply, output_size
from skfhe.program._tables import extremes, leading_shape
from skfhe.program._types import IntegerType

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
def _type_of_input(op: ops.Input) -> IntegerType:
    return IntegerType(op.low, op.high)


@infer_type.register
def _type_of_linear(op: ops.Linear, x: IntegerType) -> IntegerType:
    n_inputs, n_outputs = op.weight.shape
    if not x.shape or x.shape[-1] != n_inputs or op.bias.shape != (n_outputs,):
        raise ValueError(
            f"Linear with weight {op.weight.shape} and bias {op.bias.shape} does not fit {x.shape}"
        )
    positive, negative = np.maximum(op.weight, 0), np.minimum(op.weight, 0)
    return IntegerType(
        multiply(x.low, positive) + multiply(x.high, negative) + op.bias,
        multiply(x.high, positive) + multiply(x.low, negative) + op.bias,
    )


@infer_type.register
def _type_of_convolution(op: ops.Convolution, x: IntegerType) -> IntegerType:
    _check_convolution(op, x.shape)
    ends = np.stack([x.low, x.high])
    positive, negative = (convolve(ends, op, part(op.weight, 0)) for part in (np.maximum, np.minimum))
    bias = op.bias[:, None, None]
    return IntegerType(positive[0] + negative[1] + bias, positive[1] + negative[0] + bias)


def _check_convolution(op: ops.Convolution, shape: tuple[int, ...]) -> None:
    if op.weight.ndim != 4 or op.bias.shape != op.weight.shape[:1]:
        raise ValueError(
            f"Convolution needs weights (C_out, C_in // groups, height, width) and a bias (C_out,), got "
            f"{op.weight.shape} and {op.bias.shape}"
        )
    if min(*op.strides, *op.dilation, op.groups) < 1 or min(op.padding) < 0 or len(op.weight) % op.groups:
        raise ValueError(
            f"Convolution takes positive strides, dilation and groups that divide C_out={len(op.weight)}, "
            f"and no negative padding, got {op.strides}, {op.dilation}, {op.groups} and {op.padding}"
        )
    if len(shape) != 3 or shape[0] != op.weight.shape[1] * op.groups:
        raise ValueError(
            f"Convolution of {op.groups} group(s) with weights {op.weight.shape} does not fit {shape}"
        )
    if min(output_size(op, *shape[1:])) < 1:
        raise ValueError(f"the kernel of a Convolution with weights {op.weight.shape} is larger than {shape}")


def _same_shape(op: ops.Op, x: IntegerType, y: IntegerType) -> None:
    if x.shape != y.shape:
        raise ValueError(f"{type(op).__name__} needs one shape, got {x.shape} and {y.shape}")


@infer_type.register
def _type_of_add(op: ops.Add, x: IntegerType, y: IntegerType) -> IntegerType:
    _same_shape(op, x, y)
    return IntegerType(x.low + y.low, x.high + y.high)


@infer_type.register
def _type_of_subtract(op: ops.Subtract, x: IntegerType, y: IntegerType) -> IntegerType:
    _same_shape(op, x, y)
    return IntegerType(x.low - y.high, x.high - y.low)


@infer_type.register
def _type_of_sum(op: ops.Sum, x: IntegerType) -> IntegerType:
    return IntegerType(x.low.sum(axis=op.axis), x.high.sum(axis=op.axis))


@infer_type.register
def _type_of_reshape(op: ops.Reshape, x: IntegerType) -> IntegerType:
    return IntegerType(x.low.reshape(op.shape), x.high.reshape(op.shape))


@infer_type.register
def _type_of_gather(op: ops.Gather, x: IntegerType) -> IntegerType:
    return IntegerType(np.take(x.low, op.indices, axis=op.axis), np.take(x.high, op.indices, axis=op.axis))


@infer_type.register
def _type_of_concatenate(op: ops.Concatenate, *arguments: IntegerType) -> IntegerType:
    return IntegerType(
        np.concatenate([x.low for x in arguments], axis=op.axis),
        np.concatenate([x.high for x in arguments], axis=op.axis),
    )


@infer_type.register
def _type_of_bound(op: ops.Bound, x: IntegerType) -> IntegerType:
    stated = IntegerType.of(op.low, op.high, x.shape)
    misses = (x.high < stated.low) | (x.low > stated.high)
    if misses.any():
        at = tuple(int(i[0]) for i in np.nonzero(misses))
        raise ValueError(
            f"[{stated.low[at]}, {stated.high[at]}] is stated of a value in [{x.low[at]}, {x.high[at]}], "
            "which misses it"
        )
    return stated


@infer_type.register
def _type_of_lookup(op: ops.Lookup, x: IntegerType) -> IntegerType:
    start = op.start.reshape(leading_shape(op, x.shape))
    first, last = (x.low - start) // op.step, (x.high - start) // op.step
    if np.any(first < 0) or np.any(last >= op.tables.shape[-1]):
        raise ValueError("a lookup's argument reaches outside its table")
    return IntegerType(*extremes(op, first, last))


@infer_type.register
def _type_of_round(op: ops.Round, x: IntegerType) -> IntegerType:
    _check_bits_left(op, x)
    half = (1 << op.lsbs) >> 1
    return IntegerType(((x.low + half) >> op.lsbs) << op.lsbs, ((x.high + half) >> op.lsbs) << op.lsbs)


@infer_type.register
def _type_of_truncate(op: ops.Truncate, x: IntegerType) -> IntegerType:
    _check_bits_left(op, x)
    return IntegerType((x.low >> op.lsbs) << op.lsbs, (x.high >> op.lsbs) << op.lsbs)


@infer_type.register
def _type_of_modulo(op: ops.Modulo, x: IntegerType) -> IntegerType:
    if op.n_bits < 2:
        raise ValueError(f"Modulo takes 2 bits or more, of which a lookup reads one less, got {op.n_bits}")
    return IntegerType.of(0, (1 << op.n_bits) - 1, x.shape)


def _check_bits_left(op: ops.Round | ops.Truncate, x: IntegerType) -> None:
    if op.lsbs >= x.bits:
        raise ValueError(f"{type(op).__name__} of {op.lsbs} bits leaves none of {x.bits}")
