"""The NumPy interpreter: what every operation means, on clear integers.

An encrypted run computes these very integers; tests compare the two value by value.
"""

from collections.abc import Sequence
from functools import singledispatch

import numpy as np

from skfhe._typing import IntArray
from skfhe.exceptions import AccumulatorOverflowError
from skfhe.program import ops
from skfhe.program._graph import Program, Value
from skfhe.program._integer_products import convolve, multiply
from skfhe.program._tables import leading_shape, table_numbers

__all__ = ["evaluate", "run", "run_batched", "trace"]


@singledispatch
def evaluate(op: ops.Op, *arguments: IntArray) -> IntArray:
    """Apply ``op`` to arguments whose first axis is the rows."""
    raise TypeError(f"{type(op).__name__} is not an operation of the program")


@evaluate.register
def _evaluate_linear(op: ops.Linear, x: IntArray) -> IntArray:
    return multiply(x, op.weight) + op.bias


@evaluate.register
def _evaluate_convolution(op: ops.Convolution, x: IntArray) -> IntArray:
    return convolve(x, op) + op.bias[:, None, None]


@evaluate.register
def _evaluate_add(op: ops.Add, x: IntArray, y: IntArray) -> IntArray:
    return x + y


@evaluate.register
def _evaluate_subtract(op: ops.Subtract, x: IntArray, y: IntArray) -> IntArray:
    return x - y


@evaluate.register
def _evaluate_sum(op: ops.Sum, x: IntArray) -> IntArray:
    return x.sum(axis=_row_axis(op.axis))


@evaluate.register
def _evaluate_reshape(op: ops.Reshape, x: IntArray) -> IntArray:
    return x.reshape(x.shape[0], *op.shape)


@evaluate.register
def _evaluate_gather(op: ops.Gather, x: IntArray) -> IntArray:
    return np.take(x, op.indices, axis=_row_axis(op.axis))


@evaluate.register
def _evaluate_concatenate(op: ops.Concatenate, *arguments: IntArray) -> IntArray:
    return np.concatenate(arguments, axis=_row_axis(op.axis))


@evaluate.register
def _evaluate_bound(op: ops.Bound, x: IntArray) -> IntArray:
    return x


@evaluate.register
def _evaluate_lookup(op: ops.Lookup, x: IntArray) -> IntArray:
    shape, length = x.shape[1:], op.tables.shape[-1]
    cells = (x - op.start.reshape(leading_shape(op, shape))) // op.step
    if cells.size and (cells.min() < 0 or cells.max() >= length):
        raise AccumulatorOverflowError(
            f"a lookup was asked for the cells [{cells.min()}, {cells.max()}] of tables of {length}"
        )
    return np.take(op.tables, table_numbers(op, shape) * length + cells)


@evaluate.register
def _evaluate_round(op: ops.Round, x: IntArray) -> IntArray:
    return ((x + ((1 << op.lsbs) >> 1)) >> op.lsbs) << op.lsbs


@evaluate.register
def _evaluate_truncate(op: ops.Truncate, x: IntArray) -> IntArray:
    return (x >> op.lsbs) << op.lsbs


@evaluate.register
def _evaluate_modulo(op: ops.Modulo, x: IntArray) -> IntArray:
    return x & ((1 << op.n_bits) - 1)


def _row_axis(axis: int) -> int:
    """Axis of an array with rows in front that is ``axis`` of one row."""
    return axis if axis < 0 else axis + 1


def trace(program: Program, *inputs: IntArray) -> list[IntArray]:
    """Evaluate ``program`` and return every value of it.

    Parameters
    ----------
    program : Program
    *inputs : ndarray of int64, shape (n_rows, …)
        One for each input of the program, in order.

    Returns
    -------
    list of ndarray of int64
        The values in the program's order.

    Raises
    ------
    ValueError
        If an input has another shape than the program's.
    AccumulatorOverflowError
        If a value leaves its stated interval, before anything is computed from it. With proven ranges only
        an input outside its own interval can do that.
    """
    expected = program.inputs
    if len(inputs) != len(expected):
        raise ValueError(f"the program takes {len(expected)} input(s), got {len(inputs)}")
    given = dict(zip(expected, inputs, strict=True))
    values: list[IntArray] = []
    for position, value in enumerate(program.values):
        if position in given:
            result = np.asarray(given[position], dtype=np.int64)
            if result.shape[1:] != value.type.shape:
                raise ValueError(
                    f"input {value.label!r} must have shape (n_rows, "
                    f"{', '.join(map(str, value.type.shape))}), got {result.shape}"
                )
        else:
            result = evaluate(value.op, *(values[a] for a in value.arguments))
        if not value.type.contains(result):
            raise AccumulatorOverflowError(_overflow(program, value, result))
        values.append(result)
    return values


def _overflow(program: Program, value: Value, result: IntArray) -> str:
    """Say by how much ``result`` leaves the interval of ``value`` where it does most, and what helps."""
    low, high = result.min(axis=0), result.max(axis=0)
    excess = np.maximum(value.type.low - low, high - value.type.high)
    at = tuple(int(i) for i in np.unravel_index(int(excess.argmax()), excess.shape))
    if isinstance(value.op, ops.Input):
        advice = "quantize the input with the model's own quantizer"
    elif program.range_source == "calibrated":
        advice = "calibrate on more data like these rows, or with a larger margin"
    else:
        advice = "one of the bounds stated when the program was built does not hold"
    return (
        f"{value.label!r} reached [{low[at]}, {high[at]}], outside its {program.range_source} interval "
        f"[{value.type.low[at]}, {value.type.high[at]}], in {int((excess > 0).sum())} of its {excess.size} "
        f"element(s); {advice}"
    )


def run(program: Program, *inputs: IntArray) -> tuple[IntArray, ...]:
    """Evaluate ``program`` in the clear and return its outputs.

    Parameters and errors are those of `trace`.

    Returns
    -------
    tuple of ndarray of int64
        One for each output, rows first.
    """
    values = trace(program, *inputs)
    return tuple(values[position] for position in program.outputs)


def run_batched(program: Program, *inputs: IntArray, batch_size: int = 4096) -> tuple[IntArray, ...]:
    """Evaluate like `run`, in batches of rows that keep the memory bounded."""
    n_rows = len(inputs[0])
    batches: Sequence[tuple[IntArray, ...]] = [
        run(program, *(x[start : start + batch_size] for x in inputs))
        for start in range(0, max(n_rows, 1), batch_size)
    ]
    return tuple(np.concatenate(parts) for parts in zip(*batches, strict=True))
