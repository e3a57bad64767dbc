"""What a program will cost under encryption, predicted before it is compiled.

Nearly all of the time of a program with lookups goes into these; without, into encryption. What they demand
is derived from the program (`skfhe.cost._demands`), what the engine asks for it was measured
(`skfhe.cost._prices`). Parts of a program that share no value are compiled apart, and so priced apart
(`skfhe.cost._part_cost`).

At the measured error rates from 2**-40 up, over programs of every kind, the prediction stays within these
factors of what the engine says of the compiled circuit: complexity 1.3, bytes
of expanded ciphertexts 1.5, of results 2.25, of keys 2. At smaller rates, and between two measured ones,
where a price may step up, all others are within 2, too. What goes up is exact. Lookups of one width that are
summed are told to a percent unless they ask for a precision within a sixteenth of a bit of a step; it is sums
of lookups of several widths that the factor is for. One exception is known: of
inputs that are looked up as they are and are also summed and looked up wider, the bytes of ciphertexts can be
told twice too large, for the engine chooses both sizes together.
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from skfhe.cost._demands import Demands, demands
from skfhe.cost._error_rate import ErrorRate
from skfhe.cost._limits import refusal
from skfhe.cost._machine import Work, machine
from skfhe.cost._part_cost import PartCost, Refused, part_cost
from skfhe.cost._prices import seconds_of
from skfhe.cost._rules import bootstraps
from skfhe.cost._shared_noise import engine_p_error
from skfhe.exceptions import CompilationError
from skfhe.program import Part, Program, independent_parts, ops

__all__ = [
    "FACTORS",
    "Cost",
    "LayerCost",
    "count_bootstraps",
    "estimate_cost",
    "key_generation_seconds",
    "layer_costs",
    "lookup_p_error",
    "readable_bytes",
    "readable_seconds",
]

FACTORS = {"complexity": 1.3, "output_bytes": 2.25, "expanded_bytes": 1.5, "key_bytes": 2.0}
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
        Estimated seconds of encryption, evaluation and decryption, on this machine if ``skfhe bench`` has
        measured it, and otherwise on the machine that the cost table was measured on.
    input_bytes, output_bytes : int
        What goes up to the server, and what comes down from it; a batch has some hundred bytes besides, for
        all of its rows.
    key_bytes : int
        Size of the evaluation keys, which the server is given once, however many rows follow. 0 without
        lookups.
    seconds_a_call : float
        Share of ``seconds`` that is paid once a call, however many rows it has.
    refusal : str or None
        Why the engine cannot evaluate the program at this error rate: compiling it would raise a
        `CompilationError`. None if nothing speaks against it.
    expanded_bytes : int
        Size of the inputs' ciphertexts as the server evaluates them.
    key_seconds : float
        Estimated seconds of generating the keys, on the same machine as ``seconds``.
    reference_seconds : float
        The same as ``seconds``, on the machine of the cost table whatever was measured: what is chosen by it
        is chosen alike on all machines.
    """

    lookups: Mapping[int, int] = field(default_factory=dict)
    complexity: float = 0.0
    seconds: float = 0.0
    input_bytes: int = 0
    output_bytes: int = 0
    key_bytes: int = 0
    seconds_a_call: float = 0.0
    refusal: str | None = None
    expanded_bytes: int = 0
    key_seconds: float = 0.0
    reference_seconds: float = 0.0

    @property
    def n_lookups(self) -> int:
        """Lookups of all widths."""
        return sum(self.lookups.values())

    def __str__(self) -> str:
        widths = ", ".join(f"{n} × {bits}-bit" for bits, n in sorted(self.lookups.items()))
        lookups = f"lookups: {widths or 'none'}"
        if self.refusal:
            return f"{lookups}; cannot be compiled: {self.refusal}"
        keys = f"keys of {readable_bytes(self.key_bytes)}" if self.key_bytes else "no evaluation keys"
        return (
            f"{lookups}; complexity {self.complexity / 1e6:.0f} M; "
            f"about {readable_seconds(self.seconds)} a row; "
            f"{readable_bytes(self.input_bytes)} up, {readable_bytes(self.output_bytes)} down; {keys}"
        )


def readable_bytes(n_bytes: int) -> str:
    """Return a number of bytes to two digits or more, in decimal units.

    Examples
    --------
    >>> readable_bytes(344), readable_bytes(13_200)
    ('344 B', '13 kB')
    """
    size, unit = float(n_bytes), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 999.5:
            break
        size, unit = size / 1000, larger
    return f"{size:.1f} {unit}" if size < 9.95 and unit != "B" else f"{size:.0f} {unit}"


def readable_seconds(seconds: float) -> str:
    """Return a time to two digits or more, without powers of ten from a hundred seconds on.

    Examples
    --------
    >>> readable_seconds(0.01234), readable_seconds(123.4)
    ('0.012 s', '123 s')
    """
    return f"{seconds:.2g} s" if seconds < 99.5 else f"{seconds:.0f} s"


@dataclass(frozen=True)
class LayerCost:
    """Predicted cost of one layer of lookups, or of one output that no lookup reads.

    Parameters
    ----------
    bits : int
        Bits that a lookup reads; 0 for an output.
    complexity : float
        Elementary operations of one row, the rounding before it included. Infinite if the engine cannot
        evaluate the program.
    """

    bits: int
    complexity: float


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
    parts = _parts(program)
    lookups: Counter[int] = Counter()
    for position, bits in _bits(parts).items():
        lookups[bits] += program.values[position].type.size
    try:
        costs = _part_costs(program, parts, error_rate)
    except Refused as refused:
        never = Cost(dict(lookups), math.inf, math.inf, seconds_a_call=math.inf, refusal=str(refused))
        return replace(never, reference_seconds=math.inf, key_seconds=math.inf)
    call = sum(cost.call_seconds for cost in costs)
    reference = call + sum(cost.row_seconds for cost in costs)
    # Parts that need equal keys share them, and keys of one size are taken to be equal.
    key_bytes = sum({cost.key_bytes for cost in costs})
    here = machine()
    if here is not None:
        call = sum(here.seconds_of(cost.call) for cost in costs)
    return Cost(
        dict(lookups),
        sum(cost.complexity for cost in costs),
        reference if here is None else call + sum(here.seconds_of(cost.row) for cost in costs),
        sum(cost.input_bytes for cost in costs),
        sum(cost.output_bytes for cost in costs),
        key_bytes,
        call,
        expanded_bytes=sum(cost.expanded_bytes for cost in costs),
        key_seconds=key_generation_seconds(key_bytes),
        reference_seconds=reference,
    )


def key_generation_seconds(key_bytes: int) -> float:
    """Return about how long it takes to generate evaluation keys of so many bytes.

    Parameters
    ----------
    key_bytes : int
        As they are evaluated with, `Cost.key_bytes`.

    Returns
    -------
    float
    """
    here = machine()
    if here is None:
        return key_bytes * seconds_of("generated_byte")
    return here.seconds_of(Work({"generated_byte": key_bytes}))


def layer_costs(program: Program, error_rate: ErrorRate | None = None) -> dict[int, LayerCost]:
    """Predict what each layer costs of the complexity that `estimate_cost` predicts for the lookups.

    Parameters
    ----------
    program : Program
    error_rate : ErrorRate, optional
        2**-40 a lookup by default.

    Returns
    -------
    dict of int to LayerCost
        By the positions of the lookups, and of outputs that are none, in the program's order. Rounding counts
        with the first of them that what was rounded reaches.
    """
    parts = _parts(program)
    bits = _bits(parts)
    layers = sorted({*bits, *program.outputs})
    try:
        costs = _part_costs(program, parts, error_rate)
    except Refused:
        return {position: LayerCost(bits.get(position, 0), math.inf) for position in layers}
    work: dict[int, float] = {}
    for (part, _), cost in zip(parts, costs, strict=True):
        work |= {part.values[at]: complexity for at, complexity in cost.work.items()}
    return {
        position: LayerCost(bits.get(position, 0), sum(work.pop(at, 0.0) for at in _layer(program, position)))
        for position in layers
    }


def _parts(program: Program) -> list[tuple[Part, Demands]]:
    """Return what the engine compiles apart, and what each part demands."""
    return [(part, demands(part.program)) for part in independent_parts(program)]


def _bits(parts: list[tuple[Part, Demands]]) -> dict[int, int]:
    """Return the bits that each lookup reads, by its position in the whole program."""
    return {
        part.values[reading.position]: reading.bits
        for part, found in parts
        for reading in found.readings
        if isinstance(part.program.values[reading.position].op, ops.Lookup)
    }


def _part_costs(
    program: Program, parts: list[tuple[Part, Demands]], error_rate: ErrorRate | None
) -> list[PartCost]:
    """Return what each part costs, or raise `Refused`."""
    reason = refusal(program)
    if reason is not None:
        raise Refused(reason)
    try:
        p_error = engine_p_error(program, lookup_p_error(program, error_rate or ErrorRate()))
    except CompilationError as error:
        raise Refused(str(error)) from error
    return [part_cost(part.program, found, p_error) for part, found in parts]


def _layer(program: Program, position: int) -> set[int]:
    """Return the positions of a value and of those that it is made of since the last lookups."""
    found: set[int] = set()
    waiting = [position]
    while waiting:
        at = waiting.pop()
        if at == position or not isinstance(program.values[at].op, ops.Lookup):
            waiting.extend(set(program.values[at].arguments) - found)
            found.add(at)
    return found


def count_bootstraps(program: Program) -> int:
    """Return how often one row can go wrong: its lookups, and those that rounding is made of.

    Exact rounding removes one bit at a time, each by a lookup of its own; approximate rounding takes one
    where it cuts off what overflows.
    """
    return sum(bootstraps(value.op, program, at)[1] for at, value in enumerate(program.values))


def lookup_p_error(program: Program, error_rate: ErrorRate) -> float:
    """Return the probability with which one lookup may go wrong, for a row to keep an error rate.

    Without lookups it is that of one integer of the outputs.
    """
    outputs = sum(program.values[position].type.size for position in program.outputs)
    return error_rate.per_lookup(count_bootstraps(program) or outputs)
