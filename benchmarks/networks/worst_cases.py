"""Networks whose accumulators wrap, driven to both ends: ``python -m benchmarks.networks.worst_cases``.

Random programs of one layer and of two that count modulo a power of two, and trained networks, are
run encrypted on rows that drive every accumulator as far as it goes in both directions, whatever bits
are declared of it: in the first layer exactly, by the signs of its weights, in a deeper one by a search that
keeps whatever drives it further. Every integer that is decrypted is compared with the clear one; none may
differ.

Then trained networks are encrypted at larger error rates: the share of rows with another integer in their
outputs, beside what it can be at most, the number of lookups times the rate, and the accuracy.
"""

import argparse
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from benchmarks.datasets import load
from skfhe.circuit import compile_program
from skfhe.cost import ErrorRate, count_bootstraps
from skfhe.neural_network import NeuralNetClassifier
from skfhe.passes import optimize
from skfhe.program import Program, ProgramBuilder, independent_parts, ops, run_batched, trace

STEPS, CANDIDATES, FLIPPED = 40, 64, 0.1


# --- Programs ----------------------------------------------------------------------------------------------


def waves(n: int, bits: int, largest: int, rng: np.random.Generator) -> ops.Lookup:
    """Return random tables of ``2**(bits + 1)`` cells, whose second half is the first with the other sign."""
    half = rng.integers(-largest, largest + 1, size=(n, 2**bits))
    return ops.Lookup(np.concatenate([half, -half], axis=1), np.zeros(n, dtype=np.int64))


def wrapping_program(n_layers: int, bits: int, rng: np.random.Generator, width: int = 6) -> Program:
    """Return a random network of layers that read ``bits`` bits, of sums that go far beyond them."""
    builder = ProgramBuilder()
    n_inputs = 10
    h = builder.input(np.zeros(n_inputs), np.full(n_inputs, 3), label="input")
    for layer in range(n_layers):
        weight = rng.integers(-4, 5, size=(builder.type_of(h).shape[0], width))
        bias = rng.integers(-200, 201, size=width)
        h = builder.add(ops.Linear(weight, bias), h, label=f"layer {layer}")
        h = builder.add(ops.Modulo(bits + 1), h, label=f"layer {layer}")
        h = builder.add(waves(width, bits, 3, rng), h, label=f"layer {layer}")
    output = ops.Linear(rng.integers(-3, 4, size=(width, 2)), np.zeros(2, dtype=np.int64))
    return optimize(builder.finish(builder.add(output, h, label="output")))


def accumulators(program: Program) -> list[int]:
    """Return the values whose sums lookups read, before these are reduced."""
    read = []
    for position in program.lookups:
        (source,) = program.values[position].arguments
        while isinstance(program.values[source].op, ops.Modulo | ops.Bound | ops.Round | ops.Truncate):
            (source,) = program.values[source].arguments
        read.append(source)
    return list(dict.fromkeys(read))


def wraps(program: Program) -> bool:
    """Whether some of a program's lookups read modulo a power of two."""
    return any(isinstance(value.op, ops.Modulo) for value in program.values)


# --- Rows --------------------------------------------------------------------------------------------------


def ends(program: Program, rng: np.random.Generator) -> np.ndarray:
    """Return rows of a program of one input that drive each accumulator to its lowest and highest."""
    (start,) = program.inputs
    given = program.values[start].op
    assert isinstance(given, ops.Input)
    low, high = given.low.astype(np.int64), given.high.astype(np.int64)
    found = [low, high]
    for position in accumulators(program):
        value = program.values[position]
        if isinstance(value.op, ops.Linear) and value.arguments == (start,):
            for weights in value.op.weight.T:
                found += [np.where(weights > 0, high, low), np.where(weights < 0, high, low)]
            continue
        for element in range(value.type.size):
            found += [searched(program, position, element, sign, rng) for sign in (-1, 1)]
    return np.unique(np.stack(found), axis=0)


def searched(
    program: Program, position: int, element: int, sign: int, rng: np.random.Generator
) -> np.ndarray:
    """Return a row that drives an element far up, or down if ``sign`` is -1: flips are kept that do."""
    given = program.values[program.inputs[0]].op
    assert isinstance(given, ops.Input)
    low, high = given.low.astype(np.int64), given.high.astype(np.int64)
    rows = rng.integers(low, high + 1, size=(CANDIDATES, *low.shape))
    for _ in range(STEPS):
        reached = sign * trace(program, rows)[position].reshape(len(rows), -1)[:, element]
        best = rows[int(reached.argmax())]
        flips = rng.random(rows.shape) < FLIPPED
        flips[0] = False
        rows = np.where(flips, rng.integers(low, high + 1, size=rows.shape), best)
    return rows[0]


# --- Comparisons -------------------------------------------------------------------------------------------


def differing(program: Program, rows: np.ndarray, p_error: float) -> np.ndarray:
    """Return of each integer of the encrypted outputs whether it differs from the clear one, rows first."""
    circuit = compile_program(program, ErrorRate(p_error))
    circuit.keygen()
    pairs = zip(circuit.execute(rows), run_batched(program, rows), strict=True)
    return np.concatenate([(e != c).reshape(len(rows), -1) for e, c in pairs], axis=1)


def driven(name: str, program: Program, limit: int, rng: np.random.Generator) -> tuple[list[str], int]:
    """Return a line about a program on the rows that drive its accumulators, and how many integers differ."""
    rows = ends(program, rng)
    rows = rows[rng.permutation(len(rows))[:limit]]
    reached = trace(program, rows)
    intervals = [f"{reached[at].min()} … {reached[at].max()}" for at in accumulators(program)]
    read = [str(bits) for bits in sorted(set(lookup_bits(program)))]
    wrong = differing(program, rows, 2.0**-40)
    counts = [str(len(rows)), f"{int(wrong.sum())} of {wrong.size}"]
    return [name, "yes" if wraps(program) else "no", ", ".join(read), "; ".join(intervals), *counts], int(
        wrong.sum()
    )


def lookup_bits(program: Program) -> list[int]:
    """Return the bits of each value that is looked up, those that are declared if it wraps."""
    read = (program.values[program.values[position].arguments[0]] for position in program.lookups)
    return [v.op.n_bits - 1 if isinstance(v.op, ops.Modulo) else v.type.bits for v in read]


# --- Trained networks --------------------------------------------------------------------------------------


def networks(name: str, epochs: int) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """Return networks trained on three quarters of the data, by how they count, and the other rows."""
    X, y = load(name)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, stratify=y, random_state=0)
    scaler = StandardScaler().fit(X_train)
    kinds: dict[str, dict[str, Any]] = {
        kind: {"module__accumulator": kind} for kind in ("bounded", "wrapping")
    }
    if "module__accumulator" not in NeuralNetClassifier().get_params():
        kinds = {"bounded": {}}
    made = {
        kind: NeuralNetClassifier(max_epochs=epochs, random_state=0, **settings).fit(
            scaler.transform(X_train), y_train
        )
        for kind, settings in kinds.items()
    }
    return made, scaler.transform(X_test), y_test


def hidden(program: Program) -> Program:
    """Return the part of a network that has lookups; the skip connection shares no value with it."""
    (found,) = (part.program for part in independent_parts(program) if part.program.lookups)
    return found


def at_rate(model: Any, X: np.ndarray, y: np.ndarray, p_error: float) -> list[str]:
    """Return what an error rate does to a network: rows that differ, at most, and accuracies."""
    model.compile(p_error=p_error)
    program, inputs = model.program_, model.encoder_.encode(X)
    pairs = zip(model.fhe_circuit_.execute(*inputs), run_batched(program, *inputs), strict=True)
    differ = np.any([np.any(e != c, axis=tuple(range(1, e.ndim))) for e, c in pairs], axis=0)
    lookups = count_bootstraps(program)
    clear, encrypted = model.predict(X), model.predict(X, fhe="execute")
    return [
        f"{p_error:.0e}",
        str(lookups),
        f"{differ.mean():.3f} of {len(X)}",
        f"{min(1.0, lookups * p_error):.3f}",
        f"{np.mean(clear == y):.3f}",
        f"{np.mean(encrypted == y):.3f}",
        f"{model.fhe_circuit_.complexity / 1e6:.0f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--programs", type=int, default=3, help="random programs of each depth and width")
    parser.add_argument("--bits", type=int, nargs="*", default=[1, 2, 3, 4], help="that lookups read")
    parser.add_argument("--rows", type=int, default=64, help="at most, of each program")
    parser.add_argument("--data", nargs="*", default=["breast_cancer", "digits"])
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--p-error", type=float, nargs="*", default=[1e-2, 1e-3])
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    console = Console(width=200)
    table = Table("program", "wraps", "bits read", "accumulators reach", "rows", "integers wrong", box=None)
    total = 0
    for n_layers in (1, 2):
        for bits in arguments.bits:
            for number in range(arguments.programs):
                name = f"{n_layers} layers, {bits} bits, {number}"
                line, wrong = driven(name, wrapping_program(n_layers, bits, rng), arguments.rows, rng)
                table.add_row(*line)
                total += wrong
    rates = Table("data", "accumulators", "p_error", "lookups", "rows that differ", "at most", "clear",
                  "encrypted", "M", box=None)  # fmt: skip
    for data in arguments.data:
        models, X, y = networks(data, arguments.epochs)
        for kind, model in models.items():
            line, wrong = driven(f"{data}, {kind}", hidden(model.program_), arguments.rows, rng)
            table.add_row(*line)
            total += wrong
            for p_error in arguments.p_error:
                rates.add_row(data, kind, *at_rate(model, X[: arguments.rows], y[: arguments.rows], p_error))
    console.print(table)
    console.print(f"\n{total} integers wrong in all\n")
    console.print(rates)


if __name__ == "__main__":
    main()
