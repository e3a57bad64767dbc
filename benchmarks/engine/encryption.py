"""Encryption in NumPy beside the engine's: ``python -m benchmarks.engine.encryption``.

The first table has processor nanoseconds for a byte of expanded ciphertext, at several dimensions: masks,
noise and bodies; expansion in the engine's frame; both, read by the engine; decryption; and what the engine
takes itself. The second has processor milliseconds for a row of a logistic regression in batches of 8,
encrypted, run and decrypted, once with the engine's encryption and once with ours. Least of several
repetitions, all in one process; on a machine that does other things the ratios tell more than the numbers.
The third has the bytes of one row on the wire, up and down, by how much the engine's ciphertexts are larger,
and the bits that results keep of a word.
"""

import argparse
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, load_iris

from skfhe.circuit import Circuit, compile_program
from skfhe.circuit._bindings import compiler, value
from skfhe.circuit._memory import kept_memory
from skfhe.encryption import Frame, Seeded, encrypt, expand, new_seed
from skfhe.ensemble import RandomForestClassifier
from skfhe.linear_model import LogisticRegression
from skfhe.neural_network import NeuralNetClassifier
from skfhe.program import ProgramBuilder, ops
from skfhe.tree import DecisionTreeClassifier
from tests.encryption.by_engine import EngineClient, engine_keyset

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


def engine_of(circuit: Circuit) -> EngineClient:
    """Return the engine's client under the present keys of a circuit of one part."""
    keys, (part,) = circuit.session._present_keys(), circuit.compiled.specs.parts
    parameters = part.parameters
    return EngineClient(parameters, engine_keyset(parameters, keys.of(parameters)), f"rows_{N_ROWS}")


def by_the_engine(circuit: Circuit, inputs: list[Any]) -> Callable[[], Any]:
    """Return what encrypts, runs and decrypts one batch by the engine alone, as if we knew no encryption."""
    (part,) = circuit.compiled.parts
    engine, evaluation = engine_of(circuit), circuit.session.evaluation_keys.keyset(part.specs.parameters)
    server = part.function(N_ROWS)._server

    client = engine._client  # without serializing between the two, as the engine's own objects do

    def work() -> Any:
        given = [client.prepare_input(value(x), i) for i, x in enumerate(inputs)]
        results = server.call(given, evaluation)
        return [client.process_output(y, i).to_py_val() for i, y in enumerate(results)]

    return work


def a_byte(bits: int, repetitions: int) -> None:
    """Print a line of the first table."""
    circuit = wide(bits)
    x = np.ones((N_ROWS, 64), dtype=np.int64)
    (part,), engine, seed = circuit.compiled.specs.parts, engine_of(circuit), new_seed()
    (form,), secret = part.forms("inputs"), circuit.session._present_keys().of(part.parameters)
    frame = Frame(form.of_rows(N_ROWS))
    bodies, n_bytes = encrypt(x, secret[form.key_id], form, seed, 0), 8 * frame.parameters.n_words
    data = expand([Seeded(bodies, seed, 0, 0)], form, frame)
    calls = {
        "encrypt": lambda: encrypt(x, secret[form.key_id], form, seed, 0),
        "expand": lambda: expand([Seeded(bodies, seed, 0, 0)], form, frame),
        "engine reads": lambda: compiler.TransportValue.deserialize(data),
        "all of it": lambda: compiler.TransportValue.deserialize(
            expand([Seeded(encrypt(x, secret[form.key_id], form, seed, 0), seed, 0, 0)], form, frame)
        ),
        "engine": lambda: engine._client.prepare_input(value(x), 0),
    }
    found = {name: least(call, repetitions) / n_bytes * 1e9 for name, call in calls.items()}
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


def wire() -> None:
    """Print the third table: bytes of a row each way, for models as they come."""
    cancer, iris = load_breast_cancer(return_X_y=True), load_iris(return_X_y=True)
    models = {
        "tree, iris": DecisionTreeClassifier(max_depth=3, random_state=0).fit(*iris),
        "forest, cancer": RandomForestClassifier(10, max_depth=4, random_state=0).fit(*cancer),
        "network, iris": NeuralNetClassifier(random_state=0).fit(*iris),
        "linear, cancer": LogisticRegression(max_iter=500).fit(*cancer),
        "linear, digits": LogisticRegression(max_iter=500).fit(*load_digits(return_X_y=True)),
    }
    for name, model in models.items():
        circuit = compile_program(model.program_, batch_sizes=(1,))
        parts, up, down = circuit.compiled.specs.parts, 0, 0
        for part in parts:
            up += sum(8 * form.n_words for form in part.forms("inputs"))
            down += sum(8 * form.n_words for form in part.forms("results"))
        sent = circuit.statistics
        print(f"{name:>15} {sent['input_bytes']:9} {up / sent['input_bytes']:7.0f} times", end="")
        bits = sorted({bits for part in parts for bits in part.result_bits})
        print(f" {sent['output_bytes']:9} {down / sent['output_bytes']:7.2f} times, bits {bits}")


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
    print("\nbytes a row            up                     down")
    wire()


if __name__ == "__main__":
    main()
