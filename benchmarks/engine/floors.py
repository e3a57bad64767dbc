"""What stands between the seconds of a model's row and those of the lookups that it takes.

The floor of a model is its lookups and nothing else: as many of the same widths, whose results keep the same
precision, so that the engine gives them the same parameters. What one takes is measured on circuits that do
nothing else, of two sizes, so that what is paid once a call stays out of it.

The rest of a row is divided into

- keys: preparing the bootstrap keys, once a call;
- waiting: lookups of one layer are shared out among the cores, and some wait where they do not divide;
- sums, by the words that they multiply and add and the package's price of one;
- the rest of the evaluation, the expansion of the inputs' ciphertexts most of all;
- encryption and decryption;
- Python: encoding, decoding, and what is done around the calls.
"""

import math
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from rich.table import Table

from benchmarks.engine.cost_table import BITS_TIMED, reading
from benchmarks.measure import seconds
from skfhe.circuit import Circuit, compile_program
from skfhe.cost import ErrorRate, engine_p_error, lookup_p_error
from skfhe.cost._demands import Demands, demands
from skfhe.cost._part_cost import part_cost
from skfhe.cost._prices import lookup_price
from skfhe.program import Program, independent_parts

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
FEW, MANY = 2 * CORES, 10 * CORES
SHARES = ("floor", "keys", "waiting", "sums", "rest_of_run", "encryption", "decryption", "python")


@dataclass(frozen=True)
class Bare:
    """One lookup alone.

    Parameters
    ----------
    complexity : float
        Of one, as the engine counts it.
    lookup_seconds : float
        Of one among many, all cores busy.
    key_seconds : float
        What a call takes beside its lookups.
    key_bytes : int
        Of the bootstrap key.
    """

    complexity: float
    lookup_seconds: float
    key_seconds: float
    key_bytes: int


def result_bits(bits: int, precision: float, p_error: float) -> int:
    """Return the width of results that the engine keeps by the same parameters as a precision."""
    wanted = lookup_price(bits, precision, p_error)
    above = max(1, math.ceil(precision))
    for width in (above, above - 1):
        if width and lookup_price(bits, width, p_error) == wanted:
            return width
    return above


@cache
def bare(bits: int, precision: float, p_error: float, repetitions: int = 15) -> Bare | None:
    """Measure a lookup of ``bits`` bits whose result keeps a precision, or return None if none does.

    Those of the lowest bit of a value, and of so many bits that their keys take long to generate, are told by
    the seconds of the nearest that are measured and by their own complexity.
    """
    price = lookup_price(bits, precision, p_error)
    if price is None:
        return None
    nearest = min(max(bits, BITS_TIMED[0]), BITS_TIMED[-1])
    if nearest != bits:
        known = bare(nearest, float(nearest), p_error, repetitions)
        assert known is not None
        return Bare(
            price.complexity,
            known.lookup_seconds * price.complexity / known.complexity,
            known.key_seconds * price.bootstrap_bytes / known.key_bytes,
            price.bootstrap_bytes,
        )
    width = result_bits(bits, precision, p_error)
    taken, circuit = [], None
    for count in (FEW, MANY):
        circuit = compile_program(reading(bits, count, width), ErrorRate(p_error), batch_sizes=(1,))
        circuit.keygen()
        ciphertext = circuit.encrypt(np.zeros((1, count), dtype=np.int64))
        taken.append(seconds(lambda c=circuit, x=ciphertext: c.run(x), repetitions, warm_up=2))
    lookup = (taken[1] - taken[0]) / (MANY - FEW)
    key_bytes = circuit.statistics["bootstrap_key_bytes"]
    return Bare(circuit.complexity / MANY, lookup, max(0.0, taken[0] - FEW * lookup), key_bytes)


@dataclass(frozen=True)
class Floor:
    """What a program's lookups take, and what of a call goes with them.

    Parameters
    ----------
    complexity : float
        Of a row's bare lookups, as the engine counts it.
    lookups : float
        Seconds of a row's bare lookups.
    keys, waiting, sums : float
        Seconds of a call, of the keys, of lookups that wait for a core, and of sums.
    """

    complexity: float
    lookups: float
    keys: float
    waiting: float
    sums: float


def _parts(program: Program) -> Iterable[tuple[Program, Demands]]:
    return ((part.program, demands(part.program)) for part in independent_parts(program))


def floor(program: Program, error_rate: ErrorRate, n_rows: int = 1) -> Floor | None:
    """Measure the floor of a program, ``n_rows`` in a call, or return None if it runs on residues."""
    p_error = engine_p_error(program, lookup_p_error(program, error_rate))
    complexity = lookups = keys = waiting = sums = 0.0
    for part, found in _parts(program):
        known = {}
        for bits in {each.bits for each in found.readings}:
            one = bare(bits, found.precision.get(bits, 0.0), p_error)
            if one is None:
                return None
            known[bits] = one
        for each in found.readings:
            one = known[each.bits]
            complexity += each.count * one.complexity
            lookups += each.count * one.lookup_seconds
            waiting += (-each.count * n_rows % CORES) * one.lookup_seconds
        keys += sum(one.key_seconds for one in known.values())
        sums += n_rows * part_cost(part, found, p_error).summed_seconds
    return Floor(complexity, lookups, keys, waiting, sums)


def between(
    circuit: Circuit, inputs: tuple[np.ndarray, ...], row: float, repetitions: int = 15
) -> dict[str, float]:
    """Return the shares of the seconds of a row, in one call of its own.

    Parameters
    ----------
    circuit : Circuit
        With keys.
    inputs : tuple of ndarray
        Of one row, encoded.
    row : float
        Seconds of a row, from the estimator's input to its result.
    repetitions : int, default=15

    Returns
    -------
    dict of str to float
        The `SHARES`, which add up to ``row``, and ``"floor_complexity"``; empty if it runs on residues.
    """
    found = floor(circuit.program, circuit.error_rate)
    if found is None:
        return {}
    ciphertext = circuit.encrypt(*inputs)
    result = circuit.run(ciphertext)

    def timed(call: Callable[[], Any]) -> float:
        return seconds(call, repetitions, warm_up=1)

    encryption = timed(lambda: circuit.encrypt(*inputs))
    run = timed(lambda: circuit.run(ciphertext))
    decryption = timed(lambda: circuit.decrypt(result))
    known = {"floor": found.lookups, "keys": found.keys, "waiting": found.waiting, "sums": found.sums}
    return known | {
        "rest_of_run": run - sum(known.values()),
        "encryption": encryption,
        "decryption": decryption,
        "python": row - run - encryption - decryption,
        "floor_complexity": found.complexity,
    }


def between_table(labels: list[list[str]], results: list[dict[str, Any]], *head: str) -> Table:
    """Return what stands between each row and its floor, in milliseconds; nothing of those not measured."""
    table = Table(*head, "M of bare lookups", "M", "row / floor", "row, ms", *SHARES, box=None)
    for label, r in zip(labels, results, strict=True):
        if "floor" not in r:
            continue
        table.add_row(
            *label,
            f"{r['floor_complexity'] / 1e6:.0f}",
            f"{r['complexity'] / 1e6:.0f}",
            f"{r['row'] / r['floor']:.2f}" if r["floor"] else "",
            *(f"{1e3 * r[name]:.1f}" for name in ("row", *SHARES)),
        )
    return table
