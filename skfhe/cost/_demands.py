"""What a program demands of the engine: which lookups it takes, and how precise their results have to be.

The engine divides a program into *blocks*: values that sums, selections and rounding connect, all of one
width, that of the widest. Lookups lead from block to block. All lookups of one width share parameters and
keys; a block's ciphertexts are those of the narrowest lookups that it collects, or, where it collects none,
of those that read it.

Noise is followed element by element, apart for each width of the lookups that it comes from and for the
inputs, as a variance in units of that of one result.
"""

from dataclasses import dataclass, field

import numpy as np

from skfhe._typing import FloatArray
from skfhe.program import Program, Value, bit_width, correlate, ops

__all__ = ["INPUT", "Demands", "Reading", "bits_read", "demands", "rounds_exactly", "takes_clipping"]

Noise = dict[int, FloatArray]

INPUT = -1
"""Where the noise of inputs is kept, among that of lookups by their bits."""

CLIPPED_BITS = 5
"""From so many bits on, the engine cuts off what approximate rounding overflows by a lookup of one bit less,
rather than to read one bit more."""

CAST_BITS = 8
"""Up to so many bits, the engine reads a value of a wider block by its own bits, beyond by the block's."""

SHARED, SHARED_BY_LOWEST = 0.75, 1.25
"""Bits that a result must be more precise when a lookup reads it, whose own noise takes a share of the sum's.

Measured on chains of two lookups of one width, and on truncation, whose lookups of lowest bits read each
other's results; without it, prices of deep networks are one step too low.
"""


@dataclass(frozen=True)
class Reading:
    """Lookups of one value.

    Parameters
    ----------
    position : int
        The program value: a lookup, or what is rounded.
    bits : int
        Bits that they read; 0 for the lowest bit of a wider value.
    count : int
        How many there are in one row.
    source : int
        The block that they read.
    """

    position: int
    bits: int
    count: int
    source: int


@dataclass
class Demands:
    """What a program demands that is compiled as one.

    Parameters
    ----------
    readings : list of Reading
    precision : dict of int to float
        For each width of lookups, the bits that their results have to keep, and `INPUT` for those of the
        inputs.
    widest : dict of int to int
        The position of the value that demands it.
    block_of : list of int
        The block of each value, named by its first value.
    block_bits : dict of int to int
        Bits of each block's values.
    collected : dict of int to set of int
        Bits of the lookups whose results each block collects.
    log2_norm : float
        Of the weights of the largest sum that a lookup reads.
    residues : bool
        Whether the engine may run it on residues: nothing is rounded or read in part.
    """

    readings: list[Reading] = field(default_factory=list)
    precision: dict[int, float] = field(default_factory=dict)
    widest: dict[int, int] = field(default_factory=dict)
    block_of: list[int] = field(default_factory=list)
    block_bits: dict[int, int] = field(default_factory=dict)
    collected: dict[int, set[int]] = field(default_factory=dict)
    log2_norm: float = 0.0
    residues: bool = True

    def bits_of(self, block: int) -> int:
        """Return the bits of the lookups whose ciphertexts the values of a block are."""
        if self.collected.get(block):
            return min(self.collected[block])
        readers = {reading.bits for reading in self.readings if reading.source == block}
        return readers.pop() if len(readers) == 1 else min(reading.bits for reading in self.readings)


def rounds_exactly(value: Value) -> bool:
    """Whether a value is rounded bit by bit, each by a lookup."""
    return isinstance(value.op, ops.Truncate) or (
        isinstance(value.op, ops.Round) and value.op.method == "exact"
    )


def takes_clipping(program: Program, position: int) -> bool:
    """Whether the engine takes a lookup to cut off what a value overflows by, rounded up approximately."""
    value = program.values[position]
    if not isinstance(value.op, ops.Round) or value.op.method == "exact":
        return False
    before = program.values[value.arguments[0]].type.bits
    return _rounded_bits(program, position, value) > before and before - value.op.lsbs >= CLIPPED_BITS


def _rounded_bits(program: Program, position: int, stated: Value) -> int:
    """Bits of a rounded value of ``stated`` type, read in an interval that holds the unrounded, too."""
    if isinstance(program.values[position].op, ops.Truncate):
        return stated.type.bits
    before = program.values[program.values[position].arguments[0]].type
    return bit_width(min(stated.type.min, before.min), max(stated.type.max, before.max))


def bits_read(program: Program, position: int) -> int:
    """Bits of the table that a lookup uses: those its argument keeps after rounding."""
    (read,) = program.values[position].arguments
    rounded = _unbounded(program, read)
    value = program.values[rounded]
    if not isinstance(value.op, ops.Round | ops.Truncate):
        return program.values[read].type.bits
    bits = _rounded_bits(program, rounded, program.values[read])
    if isinstance(value.op, ops.Truncate):
        # what has fewer bits after truncation is still looked up in those of the accumulator
        bits = max(bits, program.values[value.arguments[0]].type.bits)
    return bits - value.op.lsbs - takes_clipping(program, rounded)


def _reads_rounded(program: Program, position: int) -> bool:
    (read,) = program.values[position].arguments
    return isinstance(program.values[_unbounded(program, read)].op, ops.Round | ops.Truncate)


def _unbounded(program: Program, position: int) -> int:
    while isinstance(program.values[position].op, ops.Bound):
        (position,) = program.values[position].arguments
    return position


def demands(program: Program) -> Demands:
    """Return what a program demands that is compiled as one.

    Parameters
    ----------
    program : Program

    Returns
    -------
    Demands
    """
    found = Demands(block_of=_blocks(program))
    found.block_bits = _block_bits(program, found.block_of)
    found.readings = _readings(program, found)
    bits = {reading.position: reading.bits for reading in found.readings}
    for reading in found.readings:
        target = found.block_of[reading.position]
        found.collected.setdefault(target, set()).add(reading.bits)
    noise: list[Noise] = []
    for position, value in enumerate(program.values):
        noise.append(_noise(program, position, bits.get(position, 0), [noise[a] for a in value.arguments]))
    for reading in found.readings:
        _demand_reading(found, program, reading, noise)
    for position in program.outputs:
        _demand(found, noise[position], found.block_bits[found.block_of[position]], position)
    return found


def _demand(found: Demands, noise: Noise, bits: int, position: int, shared: float = 0.0) -> None:
    """Note what reading a value with ``noise`` by ``bits`` bits demands of where the noise comes from."""
    for source, variance in noise.items():
        largest = float(variance.max(initial=0.0))
        if largest > 0.0:
            needed = bits + 0.5 * np.log2(max(largest, 1.0)) + (0.0 if source == INPUT else shared)
            if needed > found.precision.get(source, 0.0):
                found.precision[source] = float(needed)
                found.widest[source] = position


def _demand_reading(found: Demands, program: Program, reading: Reading, noise: list[Noise]) -> None:
    value = program.values[reading.position]
    (argument,) = value.arguments
    read = noise[argument]
    bits, width = reading.bits, found.block_bits[reading.source]
    if isinstance(value.op, ops.Lookup):
        rounded = _reads_rounded(program, reading.position)
        if rounded or bits != width:  # the engine cannot do this on residues
            found.residues = False
        if not rounded:  # to read it by its own bits, the engine shifts it, and its noise, by those above
            bits = width
        total = sum((variance for variance in read.values()), np.zeros(1))
        found.log2_norm = max(found.log2_norm, 0.5 * float(np.log2(max(float(np.max(total)), 1.0))))
    elif rounds_exactly(value):
        bits = width - 1  # it takes the value apart from the lowest bit on, which is half of its first cell
        for cleared in range(1, value.op.lsbs):  # type: ignore[attr-defined]
            own = {0: np.full(1, float(cleared))}
            _demand(found, own, bits - cleared, reading.position, SHARED_BY_LOWEST)
    _demand(found, read, bits, reading.position, SHARED)


def _readings(program: Program, found: Demands) -> list[Reading]:
    readings = []
    for position, value in enumerate(program.values):
        if isinstance(value.op, ops.Lookup):
            bits, count = bits_read(program, position), value.type.size
            if bits > CAST_BITS and not _reads_rounded(program, position):
                bits = found.block_bits[found.block_of[value.arguments[0]]]
        elif rounds_exactly(value):
            bits, count = 0, value.type.size * value.op.lsbs  # type: ignore[attr-defined]
        elif takes_clipping(program, position):
            argument = program.values[value.arguments[0]].type.bits
            bits, count = argument - value.op.lsbs - 1, value.type.size  # type: ignore[attr-defined]
        else:
            continue
        readings.append(Reading(position, bits, count, found.block_of[value.arguments[0]]))
    return readings


def _blocks(program: Program) -> list[int]:
    block_of = list(range(len(program.values)))
    for position, value in enumerate(program.values):
        if isinstance(value.op, ops.Lookup):
            continue
        for argument in value.arguments:
            first, second = sorted((block_of[argument], block_of[position]))
            block_of = [first if block == second else block for block in block_of]
    return block_of


def _block_bits(program: Program, block_of: list[int]) -> dict[int, int]:
    bits: dict[int, int] = {}
    bounded = {value.arguments[0] for value in program.values if isinstance(value.op, ops.Bound)}
    for position, value in enumerate(program.values):
        widths = [] if position in bounded else [value.type.bits]  # the engine is told the stated interval
        if isinstance(value.op, ops.Round):
            widths = [_rounded_bits(program, position, value)]
        if isinstance(value.op, ops.Linear | ops.Convolution):  # constants share the width
            for constant in (value.op.weight, value.op.bias):
                if constant.size:
                    widths.append(bit_width(int(constant.min()), int(constant.max())))
        block = block_of[position]
        bits[block] = max([bits.get(block, 1), *widths])
    return bits


def _noise(program: Program, position: int, bits: int, arguments: list[Noise]) -> Noise:
    """Variance of each element by where it comes from, in units of that of one result.

    ``bits`` are those of the lookups that the value takes, if it takes any.
    """
    value = program.values[position]
    op, shape = value.op, value.type.shape
    if isinstance(op, ops.Input):
        return {INPUT: np.ones(shape)}
    if isinstance(op, ops.Lookup):
        return {bits: np.ones(shape)}
    sources = sorted(set().union(*arguments))
    empty = [np.zeros(program.values[a].type.shape) for a in value.arguments]
    noise = {
        source: _through(op, [found.get(source, none) for found, none in zip(arguments, empty, strict=True)])
        for source in sources
    }
    if rounds_exactly(value):
        noise[0] = noise.get(0, 0.0) + np.full(shape, float(op.lsbs))  # type: ignore[attr-defined]
    elif takes_clipping(program, position):
        noise[bits] = noise.get(bits, 0.0) + np.ones(shape)
    return noise


def _through(op: ops.Op, arguments: list[FloatArray]) -> FloatArray:
    """Variance of each element of the result of a levelled operation."""
    if isinstance(op, ops.Linear):
        return arguments[0] @ op.weight.astype(float) ** 2
    if isinstance(op, ops.Convolution):
        return correlate(arguments[0][None], op.weight.astype(float) ** 2, op)[0]
    if isinstance(op, ops.Add | ops.Subtract):
        return arguments[0] + arguments[1]
    if isinstance(op, ops.Sum):
        return arguments[0].sum(axis=op.axis)
    if isinstance(op, ops.Reshape):
        return arguments[0].reshape(op.shape)
    if isinstance(op, ops.Gather):
        return np.take(arguments[0], op.indices, axis=op.axis)
    if isinstance(op, ops.Concatenate):
        return np.concatenate(arguments, axis=op.axis)
    assert isinstance(op, ops.Bound | ops.Round | ops.Truncate)
    return arguments[0]
