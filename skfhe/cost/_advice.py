"""What reading fewer bits would save: the price of a program, were its accumulators rounded further.

A program is priced as if it were rounded: with the same sums, and lookups that read fewer bits of them. It
is never evaluated, so its tables stay as they are. What rounding does to results is for others to measure.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np

from skfhe._typing import RoundingMethod
from skfhe.cost._error_rate import ErrorRate
from skfhe.cost._estimate import Cost, estimate_cost, layer_costs
from skfhe.cost._rules import bits_read
from skfhe.program import Program, Value, infer_type, ops

__all__ = ["Advice", "advise", "as_if_rounded"]

FEWEST_BITS = 3
"""Lookups of fewer bits tell little of an accumulator, and cost little less."""
MOST_BITS = 8
"""Lookups of more bits are out of reach under encryption, but for very few."""
STEPS = 3
LEAST_SAVED = 0.02
"""Share of the complexity below which a saving is not worth a line."""


@dataclass(frozen=True)
class Advice:
    """What rounding accumulators further would save.

    Parameters
    ----------
    layer : str
        Label of the layer whose accumulators are rounded; "" for all of the program.
    n_bits : int
        Bits that its lookups then read at most.
    lookup_bits : int
        Bits that the widest of them read now.
    method : {"exact", "approximate"}
        How they are rounded.
    saved : float
        Share of the program's complexity that it takes off, in (0, 1]; NaN if the program cannot be evaluated
        as it is, and could be so.
    seconds : float
        Estimated seconds of one row then, on the same machine as `Cost.seconds`.
    """

    layer: str
    n_bits: int
    lookup_bits: int
    method: RoundingMethod
    saved: float
    seconds: float

    def __str__(self) -> str:
        instead = f" instead of {self.lookup_bits}" if self.n_bits < self.lookup_bits else ""
        what = f"{self.layer!r} alone" if self.layer else "all layers"
        effect = f"{self.saved:.0%} less, " if math.isfinite(self.saved) else "can be compiled, "
        return (
            f"{what}, accumulators rounded to {self.n_bits} bits{instead} ({self.method}): {effect}"
            f"about {_readable(self.seconds)} a row"
        )


def _readable(seconds: float) -> str:
    """Return a time to two digits, in the largest unit that there is more than two of."""
    size, unit = seconds, "s"
    for larger, factor in (("min", 60), ("h", 60), ("days", 24)):
        if size < 2 * factor:
            break
        size, unit = size / factor, larger
    return f"{size:.0f} {unit}" if size >= 9.95 else f"{size:.2g} {unit}"


def advise(program: Program, error_rate: ErrorRate | None = None) -> list[Advice]:
    """Say what rounding accumulators further would save, where it saves something.

    Parameters
    ----------
    program : Program
    error_rate : ErrorRate, optional
        2**-40 a lookup by default.

    Returns
    -------
    list of Advice
        First of the layer that costs most, by one step; then of all layers, step by step. Empty if nothing
        helps.
    """
    bits = {position: bits_read(program, position) for position in program.lookups}
    if not bits:
        return []
    now = estimate_cost(program, error_rate)
    widest = max(bits.values())
    found = []
    if not now.refusal:
        found.append(_of_dearest(program, bits, now, error_rate))
    steps = range(min(widest, MOST_BITS), FEWEST_BITS - 1, -1)
    for n_bits in steps:
        found.append(_cheapest(program, bits, n_bits, now, error_rate))
    helpful = [advice for advice in found if advice is not None]
    return helpful[: STEPS + 1]


def _of_dearest(
    program: Program, bits: dict[int, int], now: Cost, error_rate: ErrorRate | None
) -> Advice | None:
    work: dict[str, float] = {}
    for position, cost in layer_costs(program, error_rate).items():
        if position in bits:
            label = program.values[position].label
            work[label] = work.get(label, 0.0) + cost.complexity
    layer = max(work, key=lambda label: work[label])
    own = {position: n for position, n in bits.items() if program.values[position].label == layer}
    n_bits = max(own.values()) - 1
    if len(work) == 1 or n_bits < FEWEST_BITS:
        return None
    return _cheapest(program, own, n_bits, now, error_rate, layer)


def _cheapest(
    program: Program,
    bits: dict[int, int],
    n_bits: int,
    now: Cost,
    error_rate: ErrorRate | None,
    layer: str = "",
) -> Advice | None:
    """Return what rounding lookups to so many bits saves, by the method that saves more, if it does."""
    methods: list[RoundingMethod] = ["exact", "approximate"]
    costs = [
        (estimate_cost(as_if_rounded(program, bits, n_bits, method), error_rate), method)
        for method in methods
    ]
    cost, method = min(costs, key=lambda pair: pair[0].complexity)
    if cost.refusal:
        return None
    saved = math.nan if now.refusal else 1 - cost.complexity / now.complexity
    if saved < LEAST_SAVED:
        return None
    return Advice(layer, n_bits, max(bits.values()), method, saved, cost.seconds)


def as_if_rounded(
    program: Program, positions: Collection[int], n_bits: int, method: RoundingMethod
) -> Program:
    """Return a program for its price alone: some lookups read ``n_bits`` bits of what they read now.

    Parameters
    ----------
    program : Program
    positions : collection of int
        Of the lookups. Those that read as few bits already stay as they are.
    n_bits : int
    method : {"exact", "approximate"}

    Returns
    -------
    Program
        Not to be evaluated: its tables are those of the lookups as they were.
    """
    lsbs: dict[int, int] = {}
    places = {position: _place(program, position) for position in program.lookups}
    for position in positions:
        more = bits_read(program, position) - n_bits
        if more >= 0 and (method == "approximate" or not _on_circle(program, position)):
            before = _lsbs(program, places[position])
            if before + more:
                lsbs[places[position]] = max(lsbs.get(places[position], 0), before + more)
    values: list[Value] = []
    at: list[int] = []
    for position, value in enumerate(program.values):
        arguments = tuple(at[argument] for argument in value.arguments)
        if position in lsbs:
            values.extend(
                _rounding(values[arguments[0]], arguments[0], len(values), lsbs[position], method, program)
            )
            arguments = (len(values) - 1,)
        if position not in lsbs or not isinstance(value.op, ops.Round | ops.Truncate):
            place = places.get(position)
            if isinstance(value.op, ops.Lookup) and place in lsbs:
                step = value.op.step << (lsbs[place] - _lsbs(program, place))
                value = replace(value, op=replace(value.op, step=step))
            values.append(replace(value, arguments=arguments))
        at.append(len(values) - 1)
    return Program(tuple(values), tuple(at[position] for position in program.outputs), program.range_source)


def _place(program: Program, lookup: int) -> int:
    """Return the position of what rounds the argument of a lookup, or, before which that is to be put."""
    place = at = lookup
    while True:
        (argument,) = program.values[at].arguments
        op = program.values[argument].op
        if isinstance(op, ops.Round | ops.Truncate):
            return argument
        if not isinstance(op, ops.Bound | ops.Modulo):
            return place
        place, at = argument if isinstance(op, ops.Modulo) else place, argument


def _on_circle(program: Program, lookup: int) -> bool:
    return isinstance(program.values[program.values[lookup].arguments[0]].op, ops.Modulo)


def _lsbs(program: Program, place: int) -> int:
    """Return the bits that are removed there already."""
    op = program.values[place].op
    return op.lsbs if isinstance(op, ops.Round | ops.Truncate) else 0


def _rounding(
    value: Value, position: int, n_values: int, lsbs: int, method: RoundingMethod, program: Program
) -> list[Value]:
    """Return the values that round one, the last of them rounded, to follow after so many others."""
    if method == "exact":
        return [_appended(ops.Truncate(lsbs), value, position)]
    top = (1 << value.type.bits) - 1 - (1 << lsbs >> 1)
    if program.range_source == "proven" or value.type.min < 0 or value.type.max <= top:
        return [_appended(ops.Round(lsbs, method), value, position)]
    # calibrated intervals end where rounding up needs no more bits
    high = np.maximum(value.type.low, np.minimum(value.type.high, top))
    bound = _appended(ops.Bound(value.type.low, high), value, position)
    return [bound, _appended(ops.Round(lsbs, method), bound, n_values)]


def _appended(op: ops.Op, value: Value, position: int) -> Value:
    return Value(op, (position,), infer_type(op, value.type), value.label)
