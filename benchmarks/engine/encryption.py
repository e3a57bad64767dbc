"""Encryption in NumPy beside the engine's: ``python -m benchmarks.engine.encryption``.

The first table has processor nanoseconds for a byte of expanded ciphertext, at several dimensions: masks,
noise and bodies; expansion in the engine's frame; both, read by the engine; decryption; and what the engine
takes itself. The second has processor milliseconds for a row of a logistic regression in batches of 8,
encrypted, run and decrypted, once with the engine's encryption and once with ours. Least of several
repetitions, all in one process; on a machine that does other things the ratios tell more than the numbers.
"""

import argparse
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits

from skfhe.circuit import Circuit, compile_program
from skfhe.circuit._bindings import compiler
from skfhe.circuit._memory import kept_memory
from skfhe.encryption import expand, new_seed
from skfhe.linear_model import LogisticRegression
from skfhe.program import ProgramBuilder, ops

N_ROWS = 8


def least(call: Callable[[], Any], repetitions: int) -> float:
    """Return the least processor seconds that ``call`` takes, after one call that is not counted."""
    taken = []
    with kept_memory():  # as in a run
        for _ in range(repetitions + 1):
            start = time.process_time()
            call()
            taken.append(time.process_time() - start)
    return min(taken[1:])


def wide(bits: int, n: int = 64) -> Circuit:
    """Return a compiled sum whose ciphertexts are the longer, the more bits it has."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(n), np.full(n, 7), label="x")
    weight = np.ones((n, 1), dtype=np.int64)
    weight[0] = 2**bits
    return compile_program(
        builder.finish(builder.add(ops.Linear(weight, np.array([0])), x, label="y")), batch_sizes=(N_ROWS,)
    )


def by_the_engine(circuit: Circuit, inputs: list[Any]) -> Callable[[], Any]:
    """Return what encrypts, runs and decrypts one batch by the engine alone, as if we knew no encryption."""
    session = circuit.session
    keys = session._present_keys()
    function = session._function(keys, 0, N_ROWS)
    server, evaluation = circuit.compiled.parts[0].function(N_ROWS), session.evaluation_keys.keyset(0)
    return lambda: function.decrypt(*server.run(evaluation, function.encrypt(*inputs)))


def a_byte(bits: int, repetitions: int) -> None:
    """Print a line of the first table."""
    circuit = wide(bits)
    inputs = [np.ones((N_ROWS, 64), dtype=np.int64)]
    session, specs = circuit.session, circuit.compiled.specs.parts[0]
    keys = session._present_keys()
    engine = session._function(keys, 0, N_ROWS)
    ((frame,), seed) = specs.frames(N_ROWS, "inputs"), new_seed()
    ((bodies,), n_bytes) = session._encrypt(keys, 0, inputs, seed), 8 * frame.parameters.n_words
    data = expand(bodies, frame, seed, 0)
    form = frame.parameters
    calls = {
        "encrypt": lambda: session._encrypt(keys, 0, inputs, seed),
        "expand": lambda: expand(bodies, frame, seed, 0),
        "engine reads": lambda: compiler.TransportValue.deserialize(data),
        "all of it": lambda: compiler.TransportValue.deserialize(
            expand(session._encrypt(keys, 0, inputs, seed)[0], frame, seed, 0)
        ),
        "engine": lambda: engine.encrypt(*inputs),
    }
    found = {name: least(call, repetitions) / n_bytes * 1e9 for name, call in calls.items()}
    assert frame.words(data).shape == (form.size, form.dimension + 1)
    print(f"{form.dimension:9}", *(f"{value:11.3f}" for value in found.values()), end="")
    print(f"{found['engine'] / found['all of it']:9.1f} times")


def a_row(name: str, X: Any, y: Any, repetitions: int) -> None:
    """Print a line of the second table."""
    model = LogisticRegression(max_iter=500).fit(X, y)
    circuit = compile_program(model.program_, batch_sizes=(N_ROWS,))
    low, high = circuit.compiled.specs.inputs[0].low, circuit.compiled.specs.inputs[0].high
    x = np.random.default_rng(0).integers(low, high, (N_ROWS, *np.shape(low)), endpoint=True)
    theirs = least(by_the_engine(circuit, [x]), repetitions) / N_ROWS * 1e3
    ours = least(lambda: circuit.decrypt(circuit.run(circuit.encrypt(x))), repetitions) / N_ROWS * 1e3
    print(f"{name:>9} {theirs:11.3f} {ours:11.3f} {theirs / ours:9.1f} times")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=20)
    repetitions = parser.parse_args().repetitions
    warnings.simplefilter("ignore")
    print("ns a byte", "    encrypt", "     expand", "engine reads", "  all of it", "     engine")
    for bits in (2, 12, 24):
        a_byte(bits, repetitions)
    print("\nms a row ", "     engine", "       ours")
    for name, load in (("cancer", load_breast_cancer), ("digits", load_digits)):
        a_row(name, *load(return_X_y=True), repetitions)


if __name__ == "__main__":
    main()
