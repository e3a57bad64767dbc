"""Measure what lookups cost, for the cost model: ``python -m benchmarks.cost_table``.

Compiles small circuits over a grid of bits read, precision kept and error rates, reads the complexity
from the engine's statistics, times a batch of lookups once, and writes ``skfhe/circuit/cost_table.json``.
"""

import json
import platform
import time
from pathlib import Path

import numpy as np

from skfhe.circuit import ErrorRate, compile_program
from skfhe.exceptions import CompilationError
from skfhe.program import Program, ProgramBuilder, ops

BITS = range(1, 10)
BITS_TIMED = range(1, 7)  # the keys of wider lookups take long to generate, and their rates no longer differ
PRECISION = range(2, 25)
MAX_OUTPUT_BITS = 16
P_ERROR = (2.0**-40, 2.0**-30, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 5e-2)
N_LOOKUPS = 4
TARGET = Path(__file__).parent.parent / "skfhe" / "circuit" / "cost_table.json"


def lookups(bits: int, precision: int, n: int = N_LOOKUPS) -> Program:
    """Return ``n`` lookups of ``bits`` bits, whose results must keep ``precision`` bits.

    That is an output of so many bits, or, beyond the widest, one multiplied by a power of two first.
    """
    scale = 2 ** max(0, precision - MAX_OUTPUT_BITS)
    largest = (2 ** min(precision, MAX_OUTPUT_BITS) - 1) // scale
    builder = ProgramBuilder()
    x = builder.input(np.zeros(n), np.full(n, 2**bits - 1), label="input")
    table = (np.arange(2**bits) % 2 * largest)[None, :]
    y = builder.add(ops.Lookup(table, np.zeros(1, dtype=np.int64)), x, label="lookup")
    if scale > 1:
        linear = ops.Linear(np.eye(n, dtype=np.int64) * scale, np.zeros(n, dtype=np.int64))
        y = builder.add(linear, y, label="output")
    return builder.finish(y)


def complexity(bits: int, precision: int, p_error: float) -> float:
    try:
        circuit = compile_program(lookups(bits, precision), ErrorRate(p_error), None, (1,))
    except CompilationError:
        return float("nan")
    return circuit.complexity / N_LOOKUPS


def seconds(program: Program, repetitions: int = 5) -> tuple[float, float]:
    """Median seconds of one call, and the complexity of the call."""
    circuit = compile_program(program, batch_sizes=(1,))
    x = np.zeros((1, *program.values[0].type.shape), dtype=np.int64)
    ciphertext = circuit.encrypt(x)
    circuit.run(ciphertext, 1)
    taken = []
    for _ in range(repetitions):
        start = time.perf_counter()
        circuit.run(ciphertext, 1)
        taken.append(time.perf_counter() - start)
    return float(np.median(taken)), circuit.complexity


def main() -> None:
    grid = np.array([[[complexity(b, e, p) for e in PRECISION] for b in BITS] for p in P_ERROR])
    # A cell that the engine could not compile is priced at the next one that it could.
    for column in range(len(PRECISION) - 2, -1, -1):
        missing = np.isnan(grid[:, :, column])
        grid[:, :, column][missing] = grid[:, :, column + 1][missing]
    grid = np.maximum.accumulate(grid, axis=2)
    rates = []
    for bits in BITS_TIMED:
        small, _ = seconds(lookups(bits, bits, n=2))
        large, work = seconds(lookups(bits, bits, n=66))
        rates.append((large - small) / (work * 64 / 66))
    small, work = seconds(lookups(4, 4, n=2))
    per_complexity = rates[BITS_TIMED.index(4)]
    builder = ProgramBuilder()
    x = builder.input(np.zeros(8), np.full(8, 15), label="input")
    linear = ops.Linear(np.ones((8, 1), dtype=np.int64), np.zeros(1, dtype=np.int64))
    levelled, _ = seconds(builder.finish(builder.add(linear, x, label="linear")))
    table = {
        "machine": f"{platform.processor() or platform.machine()}, {platform.system()}, 2 cores",
        "engine": "concrete-python 2.11.0",
        "seconds_per_complexity": rates,
        "seconds_per_call": max(0.0, small - per_complexity * work),
        "seconds_per_levelled_call": levelled,
        "grid": {
            "p_error": list(P_ERROR),
            "bits": list(BITS),
            "precision": list(PRECISION),
            "complexity": np.round(grid).tolist(),
        },
    }
    TARGET.write_text(json.dumps(table, indent=None) + "\n", encoding="utf-8")
    print(f"{per_complexity * 1e9:.3f} s per 1000 M, {table['seconds_per_call']:.3f} s a call")


if __name__ == "__main__":
    main()
