"""What each operation adds to the cost of a program: its lookups, the noise of its result, its products.

Each is one function with a rule for every operation, and a new one needs a rule in all three. Noise is a
variance, in units of that of one lookup's result or of one input.
"""

from functools import singledispatch

import numpy as np

from skfhe._typing import FloatArray
from skfhe.program import Program, Value, bit_width, correlate, ops

__all__ = [
    "bits_read",
    "bootstraps",
    "counts_modulo",
    "products",
    "rounded_bits",
    "rounds_exactly",
    "variance",
]

CLIPPED_BITS = 5
"""From so many bits on, the engine cuts off what approximate rounding overflows by a lookup of one bit less,
rather than to read one bit more."""


# --- Lookups -----------------------------------------------------------------------------------------------


@singledispatch
def bootstraps(op: ops.Op, program: Program, position: int) -> tuple[int, int]:
    """Return what lookups an operation takes, of a table or those that rounding is made of.

    Parameters
    ----------
    op : Op
        The operation of the value.
    program : Program
    position : int
        Where the value stands in the program.

    Returns
    -------
    bits : int
        What each reads; 0 for the lowest bit of a wider value.
    count : int
        How many there are in one row; 0 if the operation takes none.
    """
    raise TypeError(f"{type(op).__name__} is not an operation of the program")


@bootstraps.register
def _bootstraps_of_lookup(op: ops.Lookup, program: Program, position: int) -> tuple[int, int]:
    return bits_read(program, position), program.values[position].type.size


@bootstraps.register
def _bootstraps_of_rounding(op: ops.Round | ops.Truncate, program: Program, position: int) -> tuple[int, int]:
    value = program.values[position]
    if rounds_exactly(value):
        return 0, value.type.size * op.lsbs
    if _takes_clipping(program, position):
        return program.values[value.arguments[0]].type.bits - op.lsbs - 1, value.type.size
    return 0, 0


@bootstraps.register
def _bootstraps_of_none(
    op: ops.Input
    | ops.Linear
    | ops.Convolution
    | ops.Add
    | ops.Subtract
    | ops.Sum
    | ops.Reshape
    | ops.Gather
    | ops.Concatenate
    | ops.Bound
    | ops.Modulo,
    program: Program,
    position: int,
) -> tuple[int, int]:
    return 0, 0


def rounds_exactly(value: Value) -> bool:
    """Whether a value is rounded bit by bit, each by a lookup."""
    return isinstance(value.op, ops.Truncate) or (
        isinstance(value.op, ops.Round) and value.op.method == "exact"
    )


def _takes_clipping(program: Program, position: int) -> bool:
    """Whether the engine takes a lookup to cut off what a value overflows by, rounded up approximately."""
    value = program.values[position]
    if not isinstance(value.op, ops.Round) or value.op.method == "exact" or counts_modulo(program, position):
        return False
    before = program.values[value.arguments[0]].type.bits
    return rounded_bits(program, position, value) > before and before - value.op.lsbs >= CLIPPED_BITS


def counts_modulo(program: Program, position: int) -> bool:
    """Whether nothing but residues modulo powers of two is taken of a value."""
    found = [value.op for value in program.values if position in value.arguments]
    modulo = [isinstance(op, ops.Modulo) for op in found]
    return bool(modulo) and all(modulo) and position not in program.outputs


def rounded_bits(program: Program, position: int, stated: Value) -> int:
    """Bits of a rounded value of ``stated`` type, read in an interval that holds the unrounded, too."""
    if isinstance(program.values[position].op, ops.Truncate):
        return stated.type.bits
    before = program.values[program.values[position].arguments[0]].type
    return bit_width(min(stated.type.min, before.min), max(stated.type.max, before.max))


def bits_read(program: Program, position: int) -> int:
    """Bits of the table that a lookup uses: those its argument keeps after rounding."""
    read = program.values[program.values[position].arguments[0]]
    if isinstance(read.op, ops.Modulo):
        step: int = program.values[position].op.step  # type: ignore[attr-defined]
        return read.op.n_bits - step.bit_length()
    roundings = program.roundings_of(position)
    if not roundings:
        return read.type.bits
    rounded, op = roundings[0], program.values[roundings[0]].op
    assert isinstance(op, ops.Round | ops.Truncate)
    bits = rounded_bits(program, rounded, read)
    if isinstance(op, ops.Truncate):
        # what has fewer bits after truncation is still looked up in those of the accumulator
        bits = max(bits, program.values[program.values[rounded].arguments[0]].type.bits)
    return bits - op.lsbs - _takes_clipping(program, rounded)


# --- Noise -------------------------------------------------------------------------------------------------


@singledispatch
def variance(op: ops.Op, *arguments: FloatArray) -> FloatArray:
    """Return the variance of each element of a result, apart from what lookups of its rounding add.

    Parameters
    ----------
    op : Op
    *arguments : ndarray of float64
        Variances of the elements of each argument.

    Returns
    -------
    ndarray of float64
    """
    raise TypeError(f"{type(op).__name__} is not an operation of the program")


@variance.register
def _variance_of_input(op: ops.Input) -> FloatArray:
    return np.ones(op.low.shape)


@variance.register
def _variance_of_lookup(op: ops.Lookup, x: FloatArray) -> FloatArray:
    return np.ones_like(x)


@variance.register
def _variance_of_linear(op: ops.Linear, x: FloatArray) -> FloatArray:
    return x @ op.weight.astype(float) ** 2


@variance.register
def _variance_of_convolution(op: ops.Convolution, x: FloatArray) -> FloatArray:
    return correlate(x[None], op.weight.astype(float) ** 2, op)[0]


@variance.register
def _variance_of_two(op: ops.Add | ops.Subtract, x: FloatArray, y: FloatArray) -> FloatArray:
    return x + y


@variance.register
def _variance_of_sum(op: ops.Sum, x: FloatArray) -> FloatArray:
    return x.sum(axis=op.axis)


@variance.register
def _variance_of_reshape(op: ops.Reshape, x: FloatArray) -> FloatArray:
    return x.reshape(op.shape)


@variance.register
def _variance_of_gather(op: ops.Gather, x: FloatArray) -> FloatArray:
    return np.take(x, op.indices, axis=op.axis)


@variance.register
def _variance_of_concatenate(op: ops.Concatenate, *arguments: FloatArray) -> FloatArray:
    return np.concatenate(arguments, axis=op.axis)


@variance.register
def _variance_of_same(op: ops.Bound | ops.Modulo | ops.Round | ops.Truncate, x: FloatArray) -> FloatArray:
    return x


# --- Products ----------------------------------------------------------------------------------------------


@singledispatch
def products(op: ops.Op, size: int) -> int:
    """Return how many ciphertexts are multiplied by weights and added for a result of ``size`` elements.

    Parameters
    ----------
    op : Op
    size : int

    Returns
    -------
    int
    """
    raise TypeError(f"{type(op).__name__} is not an operation of the program")


@products.register
def _products_of_linear(op: ops.Linear, size: int) -> int:
    return size * op.weight.shape[0]


@products.register
def _products_of_convolution(op: ops.Convolution, size: int) -> int:
    return size * int(np.prod(op.weight.shape[1:]))


@products.register
def _products_of_sum(op: ops.Add | ops.Subtract | ops.Sum, size: int) -> int:
    return size


@products.register
def _products_of_none(
    op: ops.Input
    | ops.Reshape
    | ops.Gather
    | ops.Concatenate
    | ops.Bound
    | ops.Modulo
    | ops.Lookup
    | ops.Round
    | ops.Truncate,
    size: int,
) -> int:
    return 0
