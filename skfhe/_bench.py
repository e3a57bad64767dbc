"""What ``skfhe bench`` measures: lookups of a few kinds, sums, encryption, decryption, calls and keys.

Every kind of work is told from the others by two programs that differ in it alone. Lookups are timed with all
threads busy, which are those that OpenMP would take in this process.
"""

import itertools
import os
import platform
import re
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from skfhe.circuit import Circuit, compile_program
from skfhe.cost import DEFAULT_P_ERROR, Machine, lookup_shape
from skfhe.program import Program, ProgramBuilder, ops

__all__ = ["STEPS", "measure_machine"]

LOOKUPS = ((1, 2), (1, 6), (2, 2), (2, 16), (3, 3), (3, 12), (4, 4), (4, 12), (5, 5), (5, 11))
"""Bits that lookups read, and bits that their results keep: of each polynomial size one whose bootstrap keys
have one level, and one with two. Keys of wider ones take long to generate, and their rates hardly differ."""
STEPS = len(LOOKUPS) + 1
ROWS = 5
"""Of the larger of two calls."""
MANY = 50
"""Inputs, or outputs, of the larger of two sums: as many as rows often have. A word of thousands takes twice
as long, for they are more than caches hold."""
SIDES = 32
ENOUGH = 0.6
"""Share of the processors that lookups have on a machine that does nothing else, and more."""
LEAST = 1e-15
"""Seconds; where a difference of two times is lost in their noise."""


def measure_machine(step: Callable[[str], Any] = lambda what: None) -> Machine:
    """Measure this machine, in about half a minute on two processors.

    Parameters
    ----------
    step : callable, optional
        Called after each of `STEPS`, with what was measured.

    Returns
    -------
    Machine

    Warns
    -----
    UserWarning
        If other programs had the processors meanwhile.
    """
    seconds = _levelled()
    step("sums, encryption and decryption")
    threads = _threads()
    rates: dict[int, list[float]] = {}
    generated, prepared, shares, key_bytes = 0.0, [], [], 0
    for bits, kept in LOOKUPS:
        circuit = compile_program(_reading(bits, kept, threads), batch_sizes=(1, ROWS))
        start = time.perf_counter()
        circuit.keygen()
        generated += time.perf_counter() - start
        few = _times(circuit, 1)[1]
        begun = time.process_time(), time.perf_counter()
        many = _times(circuit, ROWS)[1]
        busy = (time.process_time() - begun[0]) / (time.perf_counter() - begun[1])
        shares.append(busy / _processors(threads))
        row = (many - few) / (ROWS - 1)
        size = lookup_shape(bits, kept, DEFAULT_P_ERROR)
        rates.setdefault(size, []).append(max(LEAST, row / circuit.cost.complexity))
        prepared.append((few - row - seconds["call"]) / circuit.statistics["bootstrap_key_bytes"])
        key_bytes += circuit.statistics["key_bytes"]
        step(f"lookups of {bits} bits, results of {kept}")
    if (share := statistics.median(shares)) < ENOUGH:
        warnings.warn(
            f"this machine was busy: lookups had {share:.0%} of {_processors(threads)} processors, "
            "so that seconds are too many. Measure again when it does nothing else",
            UserWarning,
            stacklevel=2,
        )
    seconds["key_byte"] = max(LEAST, statistics.median(prepared))
    seconds["generated_byte"] = generated / key_bytes
    return Machine(
        name=_shown(platform.node()),
        processor=_shown(_processor()),
        cpus=os.cpu_count() or 1,
        threads=threads,
        measured=datetime.now(UTC).isoformat(timespec="seconds"),
        engine=f"concrete-python {version('concrete-python')}",
        seconds=seconds,
        operations={size: (one, two) for size, (one, two) in rates.items()},
    )


def _levelled() -> dict[str, float]:
    """Return what is measured without lookups."""
    one, wide, tall, both = (_of_sums(*shape) for shape in ((1, 1), (MANY, 1), (1, MANY), (MANY, SIDES)))
    (e1, r1, d1, _), (e2, r2, _, words), (_, r3, d3, out), (_, r4, _, _) = one, wide, tall, both
    summed = max(LEAST, (r4 - r2) / ((SIDES - 1) * words))
    return {
        "call": e1 + r1 + d1,
        "encrypted_word": max(LEAST, (e2 + r2 - e1 - r1) / words - summed),
        "decrypted_word": max(LEAST, (d3 + r3 - d1 - r1) / (MANY * out) - summed),
        "summed_word": summed,
    }


def _of_sums(n_inputs: int, n_outputs: int) -> tuple[float, float, float, float]:
    """Return the seconds of encryption, run and decryption of a row of sums, and the words of its inputs."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(n_inputs), np.full(n_inputs, 255), label="input")
    weight = np.random.default_rng(0).integers(-127, 128, (n_inputs, n_outputs))
    linear = ops.Linear(weight, np.zeros(n_outputs, dtype=np.int64))
    circuit = compile_program(builder.finish(builder.add(linear, x, label="sums")), batch_sizes=(1,))
    return *_times(circuit, 1), circuit.statistics["expanded_bytes"] / 8


def _reading(bits: int, kept: int, n: int) -> Program:
    """Return ``n`` lookups that read ``bits`` bits, with results of ``kept`` bits."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(n), np.full(n, 2**bits - 1), label="input")
    table = np.arange(2**bits) % 2 * (2**kept - 1)
    lookup = ops.Lookup(table[None], np.zeros(1, dtype=np.int64))
    return builder.finish(builder.add(lookup, x, label="lookup"))


def _times(circuit: Circuit, n_rows: int) -> tuple[float, float, float]:
    """Return the median seconds of encrypting, running and decrypting rows."""
    x = np.zeros((n_rows, *circuit.program.values[0].type.shape), dtype=np.int64)
    circuit.decrypt(circuit.run(circuit.encrypt(x)))  # sets memory aside that later calls use again
    taken = [_timed(circuit, x) for _ in _repetitions()]
    encryption, run, decryption = np.median(taken, axis=0)
    return float(encryption), float(run), float(decryption)


def _repetitions() -> Iterator[int]:
    """Count for half a second, but to 3 at least and to 100 at most."""
    start = time.perf_counter()
    for number in range(100):
        yield number
        if number >= 2 and time.perf_counter() - start > 0.5:
            return


def _timed(circuit: Circuit, x: Any) -> list[float]:
    marks, value = [time.perf_counter()], x
    for step in (circuit.encrypt, circuit.run, circuit.decrypt):
        value = step(value)
        marks.append(time.perf_counter())
    return [after - before for before, after in itertools.pairwise(marks)]


def _threads() -> int:
    """Return how many threads OpenMP takes here."""
    given = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if given.isdigit() and int(given) > 0:
        return int(given)
    return _available()


def _processors(threads: int) -> int:
    """Return how many processors so many threads can have: if there are more of them, they wait."""
    return min(threads, _available())


def _available() -> int:
    """Return how many processors this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _shown(text: str) -> str:
    """Return a name that can be written to a file of a machine."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:256]


def _processor() -> str:
    """Return the processor's name."""
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text("utf-8"))
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()
