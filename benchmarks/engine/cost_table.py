"""Measure what lookups, ciphertexts and calls cost: ``python -m benchmarks.engine.cost_table``.

The cost model reads two parts, written to ``skfhe/cost/cost_table.json``. The first asks the engine for its
parameters (operations, dimensions, levels) on a grid of bits read, precision kept and error rates; what it
answers is the same on every machine. The second (``--part seconds``) times calls, encryption and decryption,
in processor time of quiet runs.
"""

import argparse
import itertools
import json
import math
import os
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from skfhe.circuit import Circuit, compile_program
from skfhe.encryption import rounded
from skfhe.program import Program, ProgramBuilder, ops

P_ERROR = (
    2.0**-160,
    2.0**-128,
    2.0**-96,
    2.0**-80,
    2.0**-64,
    2.0**-52,
    2.0**-40,
    2.0**-35,
    2.0**-30,
    1e-6,
    1e-5,
    1e-4,
    1e-3,
    1e-2,
    5e-2,
    0.25,
)
MAX_BITS = 16
FRACTIONS = 16  # measured precisions within a bit, a sixteenth apart from 5 bits on
CRT_BITS = 5  # narrower ones are never cheaper in residues
CRT_WEIGHTS = (1, 2, 3, 4, 6, 8, 12, 16)  # beyond, the engine expects no more noise
N_LOOKUPS = 4
Cell = list[int]
BITS_TIMED = range(1, 7)  # keys of wider lookups take long to generate, and their rates no longer differ
TARGET = Path(__file__).parents[2] / "skfhe" / "cost" / "cost_table.json"


# --- The engine's parameters -------------------------------------------------------------------------------


def scaled(value: str, kind: str, n: int | str, bits: int, weight: int) -> tuple[list[str], str]:
    """Return MLIR that multiplies ``value``, by factors that ``bits`` bits hold, and the result."""
    lines, factors = [], []
    while weight >= 2**bits and weight % 2 == 0:
        factors.append(math.gcd(weight, 2 ** (bits - 1) if bits > 1 else 2))
        weight //= factors[-1]
    for i, factor in enumerate([*factors, weight]):
        lines += [
            f"%w{i} = arith.constant dense<{factor}> : tensor<{n}xi{bits + 1}>",
            f'%m{i} = "FHELinalg.mul_eint_int"({value}, %w{i}) : ({kind}, tensor<{n}xi{bits + 1}>) -> {kind}',
        ]
        value = f"%m{i}"
    return lines, value


def four_squares(number: int) -> list[int]:
    """Return four integers whose squares add up to a number, which there are of any.

    Examples
    --------
    >>> four_squares(31)
    [1, 1, 2, 5]
    """
    found = itertools.combinations_with_replacement(range(math.isqrt(number), -1, -1), 4)
    return sorted(next(weights for weights in found if sum(weight**2 for weight in weights) == number))


def summed(bits: int, bits_out: int, factor: int, squared_norm: int) -> str:
    """Return MLIR of a sum of four lookups, times ``factor`` and by weights of a squared norm.

    Lookups of 0 bits are those of the lowest bit of a value. The sum is a product of matrices: for what the
    engine calls a dot product it does not ask for the precision.
    """
    read, weights = f"tensor<1x4x!FHE.eint<{bits or 2}>>", f"tensor<4x1xi{bits_out + 1}>"
    kept, total = (f"tensor<1x{n}x!FHE.eint<{bits_out}>>" for n in (4, 1))
    cells, table = ",".join(str(i % 2) for i in range(2**bits)), f"tensor<{2**bits}xi64>"
    body = [f'%y = "FHELinalg.lsb"(%x) : ({read}) -> {kept}']
    if bits:
        body = [
            f"%t = arith.constant dense<[{cells}]> : {table}",
            f'%y = "FHELinalg.apply_lookup_table"(%x, %t) : ({read}, {table}) -> {kept}',
        ]
    lines, value = scaled("%y", kept, "1x4", bits_out, factor) if factor > 1 else ([], "%y")
    column = [[weight] for weight in four_squares(squared_norm)]
    body += [
        *lines,
        f"%c = arith.constant dense<{column}> : {weights}",
        f'%s = "FHELinalg.matmul_eint_int"({value}, %c) : ({kept}, {weights}) -> {total}',
    ]
    text = "\n".join(body)
    return f"func.func @main(%x: {read}) -> {total} {{\n{text}\nreturn %s : {total}\n}}"


def lookups(bits: int, bits_out: int, weight: int, again: bool = False, n: int = N_LOOKUPS) -> str:
    """Return MLIR of ``n`` lookups, their results times ``weight``, and with ``again`` lookups of these."""
    read, kept = f"tensor<{n}x!FHE.eint<{bits}>>", f"tensor<{n}x!FHE.eint<{bits_out}>>"
    lines, value = scaled("%y", kept, n, bits_out, weight)

    def lookup(name: str, argument: str, n_bits: int, kind: str) -> str:
        cells, table = ",".join(str(i % 2) for i in range(2**n_bits)), f"tensor<{2**n_bits}xi64>"
        return (
            f"{name}t = arith.constant dense<[{cells}]> : {table}\n"
            f'{name} = "FHELinalg.apply_lookup_table"({argument}, {name}t) : ({kind}, {table}) -> {kept}'
        )

    body = [lookup("%y", "%x", bits, read), *lines]
    if again:
        body.append(lookup("%z", value, bits_out, kept))
        value = "%z"
    text = "\n".join(body)
    return f"func.func @main(%x: {read}) -> {kept} {{\n{text}\nreturn {value} : {kept}\n}}"


def sums(bits: int, weight: int, n: int = N_LOOKUPS) -> str:
    """Return MLIR of ``n`` inputs multiplied by ``weight``."""
    kind = f"tensor<{n}x!FHE.eint<{bits}>>"
    lines, value = scaled("%x", kind, n, bits, weight)
    text = "\n".join(lines)
    return f"func.func @main(%x: {kind}) -> {kind} {{\n{text}\nreturn {value} : {kind}\n}}"


def ask(mlir: str, p_error: float, encoding: str) -> tuple[float, dict[str, Any], list[int]] | None:
    """Return the engine's complexity, keys and blocks of an output, or None if it finds no parameters."""
    from concrete.compiler import (
        Backend,
        CompilationOptions,
        Compiler,
        OptimizerMultiParameterStrategy,
        OptimizerStrategy,
        lookup_runtime_lib,
    )
    from concrete.fhe.compilation.configuration import SecurityLevel
    from mlir._mlir_libs._concretelang._compiler import Encoding

    options = CompilationOptions(Backend.CPU)
    options.set_p_error(p_error)
    options.set_global_p_error(1.0)
    options.set_optimizer_strategy(OptimizerStrategy.DAG_MULTI)
    options.set_optimizer_multi_parameter_strategy(OptimizerMultiParameterStrategy.PRECISION)
    options.set_security_level(SecurityLevel.SECURITY_128_BITS)
    options.force_encoding(getattr(Encoding, encoding))
    directory = tempfile.mkdtemp()
    try:
        compiler = Compiler(
            directory,
            lookup_runtime_lib(),
            generate_shared_lib=False,
            generate_program_info=True,
            generate_compilation_feedback=True,
        )
        library = compiler.compile(mlir, options)
        feedback = library.get_program_compilation_feedback()
        information = json.loads(library.get_program_info().serialize())
    except RuntimeError as error:
        if "NoParametersFound" not in str(error):
            raise
        return None
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    blocks = feedback.circuit_feedbacks[0].crt_decompositions_of_outputs[0]
    return feedback.complexity, information["keyset"], blocks


def demands() -> list[tuple[float, int, int, int]]:
    """Return precisions, ascending, each with the bits, the factor and the squared norm that demand it."""
    found = []
    for whole in range(1, 64):
        below = {1: 0, 2: 0, 3: 1, 4: 1}.get(whole, 2)  # bits that the norm makes up for
        bits = min(MAX_BITS, whole - below)
        least = 4**below
        finest = {round(least * 4 ** (part / FRACTIONS)) for part in range(FRACTIONS)} - {4 * least}
        factor = 2 ** (whole - below - bits)
        found += [
            (bits + math.log2(factor) + math.log2(squared) / 2, bits, factor, squared)
            for squared in sorted(finest)
        ]
    return found


def steps(points: list[float], cell: Callable[[int], Cell | None]) -> dict[str, list[Any]]:
    """Return the last point of each run of equal cells, and the cells; prices only rise along the points.

    From the first point without a cell on there is none.
    """
    known: dict[int, Cell | None] = {}

    def at(index: int) -> Cell | None:
        if index not in known:
            known[index] = cell(index)
        return known[index]

    def fill(low: int, high: int) -> None:
        if high - low > 1 and at(low) != at(high):
            fill(low, (low + high) // 2)
            fill((low + high) // 2, high)

    fill(0, len(points) - 1)
    found: dict[str, list[Any]] = {"up_to": [], "cells": []}
    for index in sorted(known):
        if known[index] is None:
            break
        if found["cells"] and found["cells"][-1] == known[index]:
            found["up_to"][-1] = round(points[index], 3)
        else:
            found["up_to"].append(round(points[index], 3))
            found["cells"].append(known[index])
    return found


def bootstrap(keys: dict[str, Any]) -> list[int]:
    """Return the parameters of the bootstrap key, and the levels of the keyswitch key."""
    (boot,) = (key["params"] for key in keys["lweBootstrapKeys"])
    (switch,) = (key["params"] for key in keys["lweKeyswitchKeys"])
    return [
        boot["glweDimension"],
        boot["polynomialSize"],
        boot["levelCount"],
        boot["inputLweDimension"],
        switch["levelCount"],
    ]


def native_steps(bits: int, p_error: float) -> dict[str, list[Any]]:
    """Return what one lookup costs, and the parameters of its keys, by the precision that its result keeps.

    One of 0 bits reads the lowest bit of a wider value.
    """
    points = demands()

    def cell(index: int) -> Cell | None:
        answer = ask(summed(bits, *points[index][1:]), p_error, "NATIVE")
        return None if answer is None else [round(answer[0] / N_LOOKUPS), *bootstrap(answer[1])]

    return steps([precision for precision, *_ in points], cell)


def crt_steps(bits: int, p_error: float) -> dict[str, list[Any]]:
    """Return what one lookup on residues costs, by the logarithm of the norm of what it reads."""

    def cell(index: int) -> Cell | None:
        weight = CRT_WEIGHTS[index]
        again = weight > 1  # two lookups with nothing between them become one
        answer = ask(lookups(bits, bits, weight, again), p_error, "CRT")
        if answer is None:
            return None
        complexity, keys, blocks = answer
        (packing,) = (key["params"] for key in keys["packingKeyswitchKeys"])
        n = 2 * N_LOOKUPS if again else N_LOOKUPS
        return [round(complexity / n), *bootstrap(keys), packing["levelCount"], len(blocks)]

    return steps([math.log2(weight) for weight in CRT_WEIGHTS], cell)


def levelled_steps(p_error: float) -> dict[str, list[Any]]:
    """Return the LWE dimension of a program without lookups, by the precision that its outputs keep."""
    points = [(whole, min(MAX_BITS, whole)) for whole in range(2, 64)]

    def cell(index: int) -> Cell | None:
        precision, bits = points[index]
        answer = ask(sums(bits, 2 ** (precision - bits)), p_error, "NATIVE")
        return None if answer is None else [answer[1]["lweSecretKeys"][0]["params"]["lweDimension"]]

    return steps([float(precision) for precision, _ in points], cell)


def of_rate(p_error: float) -> dict[str, Any]:
    """Return all steps at one error rate, by kind and bits."""
    return {
        "native": [native_steps(bits, p_error) for bits in range(MAX_BITS + 1)],
        "crt": [crt_steps(bits, p_error) for bits in range(CRT_BITS, MAX_BITS + 1)],
        "levelled": levelled_steps(p_error),
    }


def parameters() -> dict[str, Any]:
    """Return the engine's parameters on the whole grid."""
    with ProcessPoolExecutor() as pool:
        found = list(pool.map(of_rate, P_ERROR))
    by_kind = {kind: [of_one[kind] for of_one in found] for kind in found[0]}
    return {"engine": f"concrete-python {version('concrete-python')}", "p_error": list(P_ERROR)} | by_kind


# --- Seconds -----------------------------------------------------------------------------------------------


def reading(bits: int, n: int, kept: int | None = None) -> Program:
    """Return ``n`` lookups of ``bits`` bits whose results have ``kept`` bits, by default as many."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(n), np.full(n, 2**bits - 1), label="input")
    table = np.arange(2**bits) % 2 * (2 ** (bits if kept is None else kept) - 1)
    return builder.finish(
        builder.add(ops.Lookup(table[None], np.zeros(1, dtype=np.int64)), x, label="lookup")
    )


def summing(n_inputs: int, n_outputs: int) -> Program:
    """Return sums of 8-bit inputs with random weights."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(n_inputs), np.full(n_inputs, 255), label="input")
    weight = np.random.default_rng(0).integers(-127, 128, (n_inputs, n_outputs))
    linear = ops.Linear(weight, np.zeros(n_outputs, dtype=np.int64))
    return builder.finish(builder.add(linear, x, label="sums"))


def times(program: Program, repetitions: int = 7) -> tuple[Circuit, float, float, float]:
    """Return the circuit, and median processor seconds of encryption, run and decryption of a row."""
    circuit = compile_program(program, batch_sizes=(1,))
    x = np.zeros((1, *program.values[0].type.shape), dtype=np.int64)
    circuit.execute(x)
    taken = []
    for _ in range(repetitions):
        marks, value = [time.process_time()], x
        for step in (circuit.encrypt, circuit.run, circuit.decrypt):
            value = step(value)
            marks.append(time.process_time())
        taken.append(np.diff(marks))
    encryption, run, decryption = np.median(taken, axis=0)
    return circuit, float(encryption), float(run), float(decryption)


def rounding(circuit: Circuit, repetitions: int = 7) -> float:
    """Return the median processor seconds of rounding a word of a result."""
    (part,) = circuit.compiled.specs.parts
    (form,) = part.forms("results")
    n_words = form.of_rows(32).n_words
    words = np.frombuffer(np.random.default_rng(0).bytes(8 * n_words), dtype=np.uint64)
    taken = []
    for _ in range(repetitions):
        start = time.process_time()
        rounded(words.reshape(-1, form.dimension + 1), part.result_bits[0])
        taken.append(time.process_time() - start)
    return statistics.median(taken) / n_words


def seconds() -> dict[str, Any]:
    """Return what takes how long: lookups with all cores busy, everything else on one."""
    cores = os.cpu_count() or 1
    rates, per_key_byte, generated, key_bytes = [], [], 0.0, 0
    for bits in BITS_TIMED:
        _, _, small, _ = times(reading(bits, 2))
        circuit, _, large, _ = times(reading(bits, 18))
        start = time.process_time()
        circuit.keygen(force=True)
        generated += time.process_time() - start
        key_bytes += circuit.statistics["key_bytes"]
        rates.append((large - small) / 16 / (circuit.complexity / 18) / cores)
        prepared = small - (large - small) / 8
        per_key_byte.append(prepared / circuit.statistics["bootstrap_key_bytes"])
    n, m = 2000, 32
    few, encryption, run_few, decryption_few = times(summing(n, 1))
    _, _, run_many, decryption_many = times(summing(n, m))
    _, _, run_none, _ = times(summing(1, 1))
    words = few.statistics["expanded_bytes"] / 8
    summed = (run_many - run_few) / ((m - 1) * words)
    return {
        "operation": rates,
        "call": run_none,
        "key_byte": statistics.median(per_key_byte),
        "generated_byte": generated / key_bytes / cores,
        "encrypted_word": (encryption + run_few - run_none) / words - summed,
        "decrypted_word": (decryption_many - decryption_few) / ((m - 1) * words / n) + rounding(few),
        "summed_word": summed,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=("all", "parameters", "seconds"), default="all")
    part = parser.parse_args().part
    table = json.loads(TARGET.read_text("utf-8"))
    if part != "seconds":
        table |= parameters()
    if part != "parameters":
        table["machine"] = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"
        table["seconds"] = seconds()
        print(json.dumps(table["seconds"], indent=2))
    TARGET.write_text(json.dumps(table) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
