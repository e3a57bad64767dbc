"""What a program will cost under encryption, predicted before it is compiled.

Nearly all of the time of a program with lookups goes into these; without, into encryption. What they demand
is derived from the program (`skfhe.cost._demands`), what the engine asks for it was measured
(`skfhe.cost._prices`). At the measured error rates from 2**-40 up, over programs of every kind, the
prediction stays within these factors of what the engine says of the compiled circuit: complexity 1.3, bytes
of ciphertexts 1.5, bytes of keys 2. At smaller rates, and between two measured ones, where a price may step
up, it is within 2. One exception is known: of inputs that are looked up as they are and are also summed and
looked up wider, the bytes can be told twice too large, for the engine chooses both sizes together.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from skfhe.cost._demands import INPUT, Demands, demands, rounds_exactly, takes_clipping
from skfhe.cost._error_rate import ErrorRate
from skfhe.cost._limits import refusal
from skfhe.cost._prices import (
    MAX_CRT_BITS,
    WORD_BYTES,
    LookupPrice,
    crt_price,
    levelled_dimension,
    lookup_price,
    precision_limit,
    seconds_a_operation,
    seconds_of,
)
from skfhe.program import Program, independent_parts, ops

__all__ = ["Cost", "count_bootstraps", "estimate_cost", "lookup_costs", "lookup_p_error"]

FACTORS = {"complexity": 1.3, "input_bytes": 1.5, "output_bytes": 1.5, "key_bytes": 2.0}
"""Prediction and engine differ at most by these factors, either way, at the measured error rates from 2**-40
up; tests hold both to them."""


@dataclass(frozen=True)
class Cost:
    """Predicted cost of one row, alone in its call.

    Rows of one call share what is paid a call, so a row among many is cheaper: see ``seconds_a_call``.

    Parameters
    ----------
    lookups : mapping of int to int
        Number of lookups by the bits they read, after rounding.
    complexity : float
        Elementary operations, as the engine counts them. Infinite if it cannot evaluate the program.
    seconds : float
        Estimated seconds of encryption, evaluation and decryption, on the machine the cost table was
        measured on.
    input_bytes, output_bytes : int
        Size of the ciphertexts that go up to the server, and that come down from it.
    key_bytes : int
        Size of the evaluation keys, which the server is given once, however many rows follow. 0 without
        lookups.
    seconds_a_call : float
        Share of ``seconds`` that is paid once a call, however many rows it has.
    refusal : str or None
        Why the engine cannot evaluate the program at this error rate: compiling it would raise a
        `CompilationError`. None if nothing speaks against it.
    """

    lookups: Mapping[int, int] = field(default_factory=dict)
    complexity: float = 0.0
    seconds: float = 0.0
    input_bytes: int = 0
    output_bytes: int = 0
    key_bytes: int = 0
    seconds_a_call: float = 0.0
    refusal: str | None = None

    @property
    def n_lookups(self) -> int:
        """Lookups of all widths."""
        return sum(self.lookups.values())

    def __str__(self) -> str:
        widths = ", ".join(f"{n} × {bits}-bit" for bits, n in sorted(self.lookups.items()))
        lookups = f"lookups: {widths or 'none'}"
        if self.refusal:
            return f"{lookups}; cannot be compiled: {self.refusal}"
        keys = f"keys of {_readable(self.key_bytes)}" if self.key_bytes else "no evaluation keys"
        return (
            f"{lookups}; complexity {self.complexity / 1e6:.0f} M; about {self.seconds:.2g} s a row; "
            f"{_readable(self.input_bytes)} up, {_readable(self.output_bytes)} down; {keys}"
        )


def _readable(n_bytes: int) -> str:
    """Return a number of bytes to two digits or more, in decimal units."""
    size, unit = float(n_bytes), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 999.5:
            break
        size, unit = size / 1000, larger
    return f"{size:.1f} {unit}" if size < 9.95 and unit != "B" else f"{size:.0f} {unit}"


@dataclass(frozen=True)
class _PartCost:
    """What one part of a program is predicted to cost."""

    complexity: float
    lookup_seconds: float
    call_seconds: float
    input_bytes: int
    output_bytes: int
    key_bytes: int


class _Refused(Exception):
    """The engine has no parameters for a part; the message says for what of it."""


def estimate_cost(program: Program, error_rate: ErrorRate | None = None) -> Cost:
    """Predict the cost of one row.

    Parameters
    ----------
    program : Program
    error_rate : ErrorRate, optional
        2**-40 a lookup by default.

    Returns
    -------
    Cost
    """
    p_error = lookup_p_error(program, error_rate or ErrorRate())
    lookups = _lookups(program)
    try:
        reason = refusal(program)
        if reason is not None:
            raise _Refused(reason)
        parts = [_part_cost(part.program, p_error) for part in independent_parts(program)]
    except _Refused as refused:
        return Cost(dict(lookups), np.inf, np.inf, seconds_a_call=np.inf, refusal=str(refused))
    call = sum(part.call_seconds for part in parts)
    return Cost(
        dict(lookups),
        sum(part.complexity for part in parts),
        call + sum(part.lookup_seconds for part in parts),
        sum(part.input_bytes for part in parts),
        sum(part.output_bytes for part in parts),
        sum(part.key_bytes for part in parts),
        call,
    )


def _lookups(program: Program) -> Counter[int]:
    """Return the number of lookups of each width."""
    found: Counter[int] = Counter()
    for part in independent_parts(program):
        for reading in demands(part.program).readings:
            if isinstance(part.program.values[reading.position].op, ops.Lookup):
                found[reading.bits] += reading.count
    return found


def lookup_costs(program: Program, error_rate: ErrorRate | None = None) -> dict[int, tuple[int, float]]:
    """Return what each lookup layer of one row is predicted to cost, the rounding before it included.

    Parameters
    ----------
    program : Program
    error_rate : ErrorRate, optional
        2**-40 a lookup by default.

    Returns
    -------
    dict
        From the position of a lookup to the bits that it reads and its complexity, in elementary operations.
    """
    p_error = lookup_p_error(program, error_rate or ErrorRate())
    found = demands(program)
    bits = {reading.position: reading.bits for reading in found.readings}
    complexities = _complexities(found, p_error)
    complexity = {reading.position: reading.count * complexities[reading.bits] for reading in found.readings}
    costs = {}
    for position in program.lookups:
        price, rounded = complexity[position], program.values[position].arguments[0]
        while isinstance(program.values[rounded].op, ops.Bound):
            (rounded,) = program.values[rounded].arguments
        costs[position] = (
            bits[position],
            price + complexity.get(rounded, 0.0) * (rounded != position),
        )
    return costs


def count_bootstraps(program: Program) -> int:
    """Return how often one row can go wrong: its lookups, and those that rounding is made of.

    Exact rounding removes one bit at a time, each by a lookup of its own; approximate rounding takes one
    where it cuts off what overflows.
    """
    rounding = 0
    for position, value in enumerate(program.values):
        if rounds_exactly(value):
            rounding += value.type.size * value.op.lsbs  # type: ignore[attr-defined]
        elif takes_clipping(program, position):
            rounding += value.type.size
    return sum(program.values[position].type.size for position in program.lookups) + rounding


def lookup_p_error(program: Program, error_rate: ErrorRate) -> float:
    """Return the probability with which one lookup may go wrong, for a row to keep an error rate.

    Without lookups it is that of one integer of the outputs.
    """
    outputs = sum(program.values[position].type.size for position in program.outputs)
    return error_rate.per_lookup(count_bootstraps(program) or outputs)


def _complexities(found: Demands, p_error: float) -> dict[int, float]:
    """Return the complexity of a lookup of each width, infinite if there are no parameters."""
    widths = {reading.bits for reading in found.readings}
    prices = {bits: lookup_price(bits, found.precision.get(bits, 0.0), p_error) for bits in widths}
    if None in prices.values():
        residues = _on_residues(found, p_error)
        prices = dict.fromkeys(widths, residues) if residues else prices
    return {bits: np.inf if price is None else price.complexity for bits, price in prices.items()}


def _on_residues(found: Demands, p_error: float) -> LookupPrice | None:
    """Return what every lookup of a program costs on residues, or None if it cannot be evaluated so."""
    widest = max(found.block_bits.values(), default=0)
    if not found.residues or not found.readings or widest > MAX_CRT_BITS:
        return None
    return crt_price(widest, found.log2_norm, p_error)


def _part_cost(program: Program, p_error: float) -> _PartCost:
    """Return what a part costs in the engine's way to evaluate it: on residues only if there is no other."""
    found = demands(program)
    if not found.readings:
        return _levelled_cost(program, found, p_error)
    try:
        return _native_cost(program, found, p_error)
    except _Refused:
        residues = _on_residues(found, p_error)
        if residues is None:
            raise
        return _residue_cost(program, found, residues)


def _levelled_cost(program: Program, found: Demands, p_error: float) -> _PartCost:
    """Return what a part without lookups costs: its ciphertexts."""
    dimension = levelled_dimension(found.precision.get(INPUT, 1.0), p_error)
    if dimension is None:
        label = program.values[found.widest[INPUT]].label
        raise _Refused(
            f"{label!r} must keep {found.precision[INPUT]:.1f} bits (its own, and those by which its weights "
            "raise the noise), more than any ciphertext of the engine does"
        )
    return _ciphertext_cost(program, found, dict.fromkeys(found.block_bits, dimension), 1, float(dimension))


def _prices(program: Program, found: Demands, p_error: float) -> dict[int, LookupPrice]:
    """Return the price of the lookups of each width."""
    prices = {}
    for bits in sorted({reading.bits for reading in found.readings}):
        precision = found.precision.get(bits, 0.0)
        price = lookup_price(bits, precision, p_error)
        if price is None:
            raise _Refused(_why(program, found, bits, p_error))
        prices[bits] = price
    return prices


def _why(program: Program, found: Demands, bits: int, p_error: float) -> str:
    """Say why lookups of so many bits have no parameters."""
    position = next(reading.position for reading in found.readings if reading.bits == bits)
    value = program.values[position]
    lookup = f"the lookup of {value.label!r} reads {bits} bits"
    if rounds_exactly(value):
        accumulator = program.values[value.arguments[0]].type.bits
        lookup = f"the rounding of {value.label!r} reads an accumulator of {accumulator} bits one by one"
    elif not isinstance(value.op, ops.Lookup):
        lookup = f"the rounding of {value.label!r} reads {bits} bits to cut off what overflows"
    limit = precision_limit(bits, p_error)
    if not limit:
        return f"{lookup}, and {_why_not_on_residues(program, found)}"
    label = program.values[found.widest[bits]].label
    return (
        f"{lookup}, and its results must keep {found.precision[bits]:.1f} bits for {label!r} (its own, and "
        f"those by which weights raise the noise), where the engine keeps at most {limit:.1f}"
    )


def _why_not_on_residues(program: Program, found: Demands) -> str:
    """Say why lookups have no parameters that only programs on residues have at all."""
    needed = "the engine has parameters for that only where"
    if not found.residues:
        return f"{needed} nothing is rounded or read in part"
    block, bits = max(found.block_bits.items(), key=lambda found: found[1])
    values = [value for value, its in zip(program.values, found.block_of, strict=True) if its == block]
    label = max(values, key=lambda value: value.type.bits).label
    return f"{needed} no value has more than {MAX_CRT_BITS} bits; {label!r} has {bits}"


def _native_cost(program: Program, found: Demands, p_error: float) -> _PartCost:
    """Return what a part costs whose integers are one ciphertext each."""
    prices = _prices(program, found, p_error)
    homes = {block: found.bits_of(block) for block in found.block_bits}
    dimensions = {block: prices[bits].dimension for block, bits in homes.items()}
    read: dict[int, int] = {}
    for reading in found.readings:
        read[reading.bits] = max(read.get(reading.bits, 0), dimensions[reading.source])
    prices = {bits: price.reading(read[bits]) for bits, price in prices.items()}
    complexity = seconds = 0.0
    switches, conversions = set(), set()
    for reading in found.readings:
        price = prices[reading.bits]
        work = reading.count * price.complexity
        switches.add((dimensions[reading.source], reading.bits))
        target = found.block_of[reading.position]
        home = prices[homes[target]]
        if homes[target] != reading.bits and home.shape != price.shape:
            conversions.add((reading.bits, homes[target]))
            work += reading.count * 2.0 * price.dimension * (home.dimension + 1)
        complexity += work
        seconds += work * seconds_a_operation(reading.bits)
    bootstrap = sum(price.bootstrap_bytes for price in prices.values())
    keys = bootstrap + sum(prices[bits].keyswitch_bytes(source) for source, bits in switches)
    for source, target in conversions:
        keys += prices[source].dimension * (prices[target].dimension + 1) * WORD_BYTES
    shared = _ciphertext_cost(program, found, dimensions, 1, complexity)
    return _PartCost(
        complexity,
        seconds + shared.lookup_seconds,
        shared.call_seconds + bootstrap * seconds_of("key_byte"),
        shared.input_bytes,
        shared.output_bytes,
        keys,
    )


def _residue_cost(program: Program, found: Demands, price: LookupPrice) -> _PartCost:
    """Return what a part costs whose integers are residues, one ciphertext each."""
    complexity = sum(reading.count for reading in found.readings) * price.complexity
    dimensions = dict.fromkeys(found.block_bits, price.dimension)
    shared = _ciphertext_cost(program, found, dimensions, price.blocks, complexity)
    bootstrap = price.bootstrap_bytes + price.packing_bytes
    return _PartCost(
        complexity,
        complexity * seconds_a_operation(MAX_CRT_BITS) + shared.lookup_seconds,
        shared.call_seconds + bootstrap * seconds_of("key_byte"),
        shared.input_bytes,
        shared.output_bytes,
        bootstrap + price.keyswitch_bytes(price.dimension),
    )


def _ciphertext_cost(
    program: Program, found: Demands, dimensions: dict[int, int], blocks: int, complexity: float
) -> _PartCost:
    """Return what the ciphertexts of a part cost, and the sums of them."""

    def words(positions: tuple[int, ...]) -> int:
        return sum(
            program.values[position].type.size * blocks * (dimensions[found.block_of[position]] + 1)
            for position in positions
        )

    up, down = words(program.inputs), words(program.outputs)
    summed = sum(
        _products(value.op, value.type.size) * blocks * (dimensions[found.block_of[position]] + 1)
        for position, value in enumerate(program.values)
    )
    seconds = (
        up * seconds_of("encrypted_word")
        + down * seconds_of("decrypted_word")
        + summed * seconds_of("summed_word")
    )
    return _PartCost(complexity, seconds, seconds_of("call"), up * WORD_BYTES, down * WORD_BYTES, 0)


def _products(op: ops.Op, size: int) -> int:
    """Return how many ciphertexts are multiplied and added for a result of ``size`` elements."""
    if isinstance(op, ops.Linear):
        return size * op.weight.shape[0]
    if isinstance(op, ops.Convolution):
        return size * int(np.prod(op.weight.shape[1:]))
    return size if isinstance(op, ops.Add | ops.Subtract | ops.Sum) else 0
