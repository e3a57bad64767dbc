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
from skfhe.cost._rules import bootstraps, counts_modulo, rounded_bits, rounds_exactly, variance
from skfhe.program import Program, bit_width, blocks, declared_types, is_approximate, ops

__all__ = ["INPUT", "Demands", "Reading", "demands"]

Noise = dict[int, FloatArray]

INPUT = -1
"""Where the noise of inputs is kept, among that of lookups by their bits."""

CAST_BITS = 8
"""Up to so many bits, the engine reads a value of a wider block by its own bits, beyond by the block's."""

SHARED, SHARED_BY_LOWEST = 0.45, 1.25
"""Bits that a result must be more precise when a lookup reads it, whose own noise takes a share of the sum's.

Measured on chains of two lookups of one width, where steps of 3 and 4 bits come 0.4 to 0.5 bits early, and on
truncation, whose lookups of lowest bits read each other's results; without it, prices of deep networks are
one step too low. Over the bit before such a step the engine switches keys ever more precisely, up to a tenth
dearer, which is not told.
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
        Whether the engine may run it on residues: nothing is rounded, read in part or counted
        modulo a power of two.
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


def demands(program: Program) -> Demands:
    """Return what a program demands that is compiled as one.

    Parameters
    ----------
    program : Program

    Returns
    -------
    Demands
    """
    found = Demands(block_of=blocks(program))
    found.block_bits = _block_bits(program, found.block_of)
    found.readings = _readings(program, found)
    read = {reading.position: reading for reading in found.readings}
    for reading in found.readings:
        target = found.block_of[reading.position]
        found.collected.setdefault(target, set()).add(reading.bits)
    noise: list[Noise] = []
    for position, value in enumerate(program.values):
        noise.append(_noise(program, position, read.get(position), [noise[a] for a in value.arguments]))
    for reading in found.readings:
        _demand_reading(found, program, reading, noise)
    for position in program.outputs:
        _demand(found, noise[position], found.block_bits[found.block_of[position]], position)
    return found


def _demand(found: Demands, noise: Noise, bits: int, position: int, shared: float = 0.0) -> None:
    """Note what reading a value with ``noise`` by ``bits`` bits demands of where the noise comes from."""
    for source, variances in noise.items():
        largest = float(variances.max(initial=0.0))
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
        rounded = bool(program.roundings_of(reading.position))
        circle = isinstance(program.values[argument].op, ops.Modulo)
        if rounded or circle or bits != width:  # the engine cannot do this on residues
            found.residues = False
        if circle:  # it is shifted likewise, and may be rounded then
            bits += width - (program.values[argument].op.n_bits - 1)  # type: ignore[attr-defined]
        elif not rounded:  # to read it by its own bits, the engine shifts it, and its noise, by those above
            bits = width
        total = sum(read.values(), np.zeros(1))
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
        bits, count = bootstraps(value.op, program, position)
        if not count:
            continue
        source = found.block_of[value.arguments[0]]
        is_lookup = isinstance(value.op, ops.Lookup)
        circle = isinstance(program.values[value.arguments[0]].op, ops.Modulo)
        if is_lookup and bits > CAST_BITS and not circle and not program.roundings_of(position):
            bits = found.block_bits[source]
        readings.append(Reading(position, bits, count, source))
    return readings


def _block_bits(program: Program, block_of: list[int]) -> dict[int, int]:
    bits: dict[int, int] = {}
    bounded = {value.arguments[0] for value in program.values if isinstance(value.op, ops.Bound)}
    declared = declared_types(program)
    for position, value in enumerate(program.values):
        # of what is bounded, the engine is told the stated interval
        widths = [] if position in bounded else [declared[position].bits]
        on_circle = is_approximate(value.op) and counts_modulo(program, position)
        if isinstance(value.op, ops.Round) and not on_circle:
            widths = [rounded_bits(program, position, value)]
        if isinstance(value.op, ops.Linear | ops.Convolution):  # constants share the width
            for constant in (value.op.weight, value.op.bias):
                if constant.size:
                    widths.append(bit_width(int(constant.min()), int(constant.max())))
        block = block_of[position]
        bits[block] = max([bits.get(block, 1), *widths])
    return bits


def _noise(program: Program, position: int, reading: Reading | None, arguments: list[Noise]) -> Noise:
    """Variance of each element by where it comes from, in units of that of one result.

    ``reading`` are the lookups that the value takes, if it takes any.
    """
    value = program.values[position]
    op, shape = value.op, value.type.shape
    if isinstance(op, ops.Input):
        return {INPUT: variance(op)}
    if isinstance(op, ops.Lookup):
        return {reading.bits: variance(op, np.zeros(shape))} if reading else {}
    sources = sorted(set().union(*arguments))
    empty = [np.zeros(program.values[a].type.shape) for a in value.arguments]
    noise = {
        source: variance(op, *(found.get(source, none) for found, none in zip(arguments, empty, strict=True)))
        for source in sources
    }
    if reading:  # what rounds it, as many for each element
        noise[reading.bits] = noise.get(reading.bits, 0.0) + np.full(shape, reading.count / value.type.size)
    return noise
