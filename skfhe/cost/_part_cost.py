"""What one part of a program costs, in the way that the engine chooses to evaluate it.

A part is compiled as one. Its integers are a ciphertext each if there are parameters for that, and residues
otherwise; without lookups nothing but the ciphertexts is paid.
"""

from dataclasses import dataclass, field, replace
from statistics import NormalDist

from skfhe.cost._demands import INPUT, Demands, Reading
from skfhe.cost._machine import Lookups, Work
from skfhe.cost._prices import (
    MAX_CRT_BITS,
    LookupPrice,
    crt_price,
    levelled_dimension,
    lookup_price,
    precision_limit,
    seconds_a_operation,
    seconds_of,
)
from skfhe.cost._rules import products, rounds_exactly
from skfhe.cost._shared_noise import levelled_p_error, noise_gains
from skfhe.encryption import WORD_BYTES, bits_to_keep, n_packed
from skfhe.program import Program, ops

__all__ = ["PartCost", "Refused", "part_cost"]

LARGEST_MODULUS = 16
"""Of those that the engine splits integers by."""


@dataclass(frozen=True)
class PartCost:
    """What one part of a program is predicted to cost.

    Parameters
    ----------
    complexity : float
        Elementary operations of one row.
    row_seconds, call_seconds : float
        What each row takes, and each call, on the machine that the cost table was measured on.
    row, call : Work
        The same for any machine.
    input_bytes, output_bytes, expanded_bytes, key_bytes : int
    summed_seconds : float
        What the sums of a row take of its seconds.
    work : dict of int to float
        The share of the complexity that the lookups of each value take, by the value's position in the part.
    """

    complexity: float
    row_seconds: float
    call_seconds: float
    row: Work
    call: Work
    input_bytes: int
    output_bytes: int
    expanded_bytes: int
    key_bytes: int = 0
    summed_seconds: float = 0.0
    work: dict[int, float] = field(default_factory=dict)


class Refused(Exception):
    """The engine has no parameters for a part; the message says for what of it."""


def part_cost(program: Program, found: Demands, p_error: float) -> PartCost:
    """Return what a part costs in the engine's way to evaluate it: on residues only if there is no other.

    Parameters
    ----------
    program : Program
        The part.
    found : Demands
        Of the part.
    p_error : float
        Probability that one lookup reads a wrong cell.

    Returns
    -------
    PartCost

    Raises
    ------
    Refused
        If there are no parameters for it.
    """
    if not found.readings:
        return _levelled_cost(program, found, p_error)
    try:
        return _native_cost(program, found, p_error)
    except Refused:
        residues = _on_residues(found, p_error)
        if residues is None:
            raise
        return _residue_cost(program, found, residues, p_error)


def _levelled_cost(program: Program, found: Demands, p_error: float) -> PartCost:
    """Return what a part without lookups costs: its ciphertexts."""
    precision = found.precision.get(INPUT, 1.0)
    dimension = levelled_dimension(precision, levelled_p_error(p_error))
    dimension = dimension or levelled_dimension(precision, p_error)
    if dimension is None:
        label = program.values[found.widest[INPUT]].label
        raise Refused(
            f"{label!r} must keep {found.precision[INPUT]:.1f} bits (its own, and those by which its weights "
            "raise the noise), more than any ciphertext of the engine does"
        )
    dimensions = dict.fromkeys(found.block_bits, dimension)
    ciphertexts = _ciphertext_cost(program, found, dimensions, 1, p_error)
    return replace(ciphertexts, complexity=float(dimension))


def _native_cost(program: Program, found: Demands, p_error: float) -> PartCost:
    """Return what a part costs whose integers are one ciphertext each."""
    prices = _prices(program, found, p_error)
    homes = {block: found.bits_of(block) for block in found.block_bits}
    dimensions = {block: prices[bits].dimension for block, bits in homes.items()}
    read: dict[int, int] = {}
    for reading in found.readings:
        read[reading.bits] = max(read.get(reading.bits, 0), dimensions[reading.source])
    prices = {bits: price.reading(read[bits]) for bits, price in prices.items()}
    work: dict[int, float] = {}
    lookups = []
    switches, conversions = set(), set()
    for reading in found.readings:
        price = prices[reading.bits]
        work[reading.position] = reading.count * price.complexity
        switches.add((dimensions[reading.source], reading.bits))
        target = found.block_of[reading.position]
        home = prices[homes[target]]
        if homes[target] != reading.bits and home.shape != price.shape:
            conversions.add((reading.bits, homes[target]))
            work[reading.position] += reading.count * 2.0 * price.dimension * (home.dimension + 1)
        lookups.append(_lookups(price, reading, work[reading.position]))
    seconds = sum(work[reading.position] * seconds_a_operation(reading.bits) for reading in found.readings)
    bootstrap = sum(price.bootstrap_bytes for price in prices.values())
    keys = bootstrap + sum(prices[bits].keyswitch_bytes(source) for source, bits in switches)
    for source, target in conversions:
        keys += prices[source].dimension * (prices[target].dimension + 1) * WORD_BYTES
    ciphertexts = _ciphertext_cost(program, found, dimensions, 1, p_error)
    return _with_lookups(ciphertexts, work, lookups, seconds, bootstrap, keys)


def _residue_cost(program: Program, found: Demands, price: LookupPrice, p_error: float) -> PartCost:
    """Return what a part costs whose integers are residues, one ciphertext each."""
    work = {reading.position: reading.count * price.complexity for reading in found.readings}
    dimensions = dict.fromkeys(found.block_bits, price.dimension)
    ciphertexts = _ciphertext_cost(program, found, dimensions, price.blocks, p_error)
    lookups = [_lookups(price, reading, work[reading.position]) for reading in found.readings]
    seconds = sum(work.values()) * seconds_a_operation(MAX_CRT_BITS)
    bootstrap = price.bootstrap_bytes + price.packing_bytes
    keys = bootstrap + price.keyswitch_bytes(price.dimension)
    return _with_lookups(ciphertexts, work, lookups, seconds, bootstrap, keys)


def _lookups(price: LookupPrice, reading: Reading, operations: float) -> Lookups:
    """Return the lookups of one value, of known operations."""
    return Lookups(price.polynomial_size, price.bootstrap_levels, reading.count, operations)


def _with_lookups(
    ciphertexts: PartCost,
    work: dict[int, float],
    lookups: list[Lookups],
    seconds: float,
    bootstrap: int,
    keys: int,
) -> PartCost:
    """Return what a part costs of known ciphertexts, with lookups that take some work and seconds a row."""
    return replace(
        ciphertexts,
        complexity=sum(work.values()),
        row_seconds=ciphertexts.row_seconds + seconds,
        call_seconds=ciphertexts.call_seconds + bootstrap * seconds_of("key_byte"),
        row=replace(ciphertexts.row, lookups=tuple(lookups)),
        call=Work({**ciphertexts.call.amounts, "key_byte": bootstrap}),
        key_bytes=keys,
        work=work,
    )


def _ciphertext_cost(
    program: Program, found: Demands, dimensions: dict[int, int], blocks: int, p_error: float
) -> PartCost:
    """Return what the ciphertexts of a part cost, and the sums of them."""

    def ciphertexts(positions: tuple[int, ...]) -> list[tuple[int, int]]:
        """Return the number of ciphertexts of each value, and its block."""
        return [(program.values[at].type.size * blocks, found.block_of[at]) for at in positions]

    def words(positions: tuple[int, ...]) -> int:
        return sum(n * (dimensions[block] + 1) for n, block in ciphertexts(positions))

    def result_bytes(n: int, block: int, gain: float | None) -> int:
        """Return the bytes of rounded results, whose noise mostly has half of the room or less."""
        half_cell = 2.0 ** -(found.block_bits[block] + 2) if blocks == 1 else 0.5 / LARGEST_MODULUS
        largest = (half_cell / NormalDist().inv_cdf(p_error / 2)) ** 2
        variance = largest / (2 if found.readings else 3) if blocks == 1 and gain is not None else None
        bits = bits_to_keep(dimensions[block], half_cell, p_error, variance)
        return n_packed(n * (dimensions[block] + 1), bits)

    up, down = words(program.inputs), words(program.outputs)
    summed = sum(
        products(value.op, value.type.size) * blocks * (dimensions[found.block_of[position]] + 1)
        for position, value in enumerate(program.values)
    )
    summing = summed * seconds_of("summed_word")
    seconds = up * seconds_of("encrypted_word") + down * seconds_of("decrypted_word") + summing
    return PartCost(
        complexity=0.0,
        row_seconds=seconds,
        call_seconds=seconds_of("call"),
        row=Work({"encrypted_word": up, "decrypted_word": down, "summed_word": summed}),
        call=Work({"call": 1}),
        input_bytes=sum(n for n, _ in ciphertexts(program.inputs)) * WORD_BYTES,
        output_bytes=sum(
            result_bytes(n, block, gain)
            for (n, block), gain in zip(ciphertexts(program.outputs), noise_gains(program), strict=True)
        ),
        expanded_bytes=up * WORD_BYTES,
        summed_seconds=summing,
    )


def _prices(program: Program, found: Demands, p_error: float) -> dict[int, LookupPrice]:
    """Return the price of the lookups of each width."""
    prices = {}
    for bits in sorted({reading.bits for reading in found.readings}):
        price = lookup_price(bits, found.precision.get(bits, 0.0), p_error)
        if price is None:
            raise Refused(_why(program, found, bits, p_error))
        prices[bits] = price
    return prices


def _on_residues(found: Demands, p_error: float) -> LookupPrice | None:
    """Return what every lookup of a program costs on residues, or None if it cannot be evaluated so."""
    widest = max(found.block_bits.values(), default=0)
    if not found.residues or widest > MAX_CRT_BITS:
        return None
    return crt_price(widest, found.log2_norm, p_error)


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
        return f"{needed} nothing is rounded, read in part or counted modulo a power of two"
    block, bits = max(found.block_bits.items(), key=lambda found: found[1])
    values = [value for value, its in zip(program.values, found.block_of, strict=True) if its == block]
    label = max(values, key=lambda value: value.type.bits).label
    return f"{needed} no value has more than {MAX_CRT_BITS} bits; {label!r} has {bits}"
