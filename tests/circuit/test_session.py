"""The session half encrypts and decrypts by what it is told of a circuit, and compiles nothing."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
from mlir._mlir_libs._concretelang._compiler import Encoding

from skfhe.circuit import Batch, ClientSession, EvaluationKeys, _engine, compile_program
from skfhe.circuit._calls import plan_calls
from skfhe.circuit._specs import function_name
from skfhe.encryption import Frame, decrypt
from skfhe.exceptions import CiphertextMismatchError
from skfhe.program import ProgramBuilder, ops, run
from tests.circuit.test_host import environment
from tests.circuit.two_parts import two_parts
from tests.conftest import random_inputs
from tests.encryption.by_engine import EngineClient, engine_keyset

CLIENT = """
import pickle, sys
from skfhe.circuit import Batch, ClientSession
specs, inputs = pickle.load(sys.stdin.buffer)
session = ClientSession(specs)
def send(message):
    pickle.dump(message, sys.stdout.buffer)
    sys.stdout.buffer.flush()
send((session.evaluation_keys.to_bytes(), session.encrypt(*inputs).to_bytes()))
outputs = session.decrypt(Batch.from_bytes(pickle.load(sys.stdin.buffer)))
send((outputs, [name for name in ("concrete.fhe", "torch") if name in sys.modules]))
"""


@pytest.fixture(scope="module")
def compiled():
    return compile_program(two_parts(), batch_sizes=(1, 2)).compiled


def test_a_client_process_needs_the_specs_alone(compiled, tmp_path):
    """It generates keys, encrypts and decrypts without the engine's compiler, or torch, which that loads."""
    inputs = random_inputs(compiled.program, 2, np.random.default_rng(0))
    with subprocess.Popen(
        [sys.executable, "-c", CLIENT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(tmp_path),
    ) as client:
        pickle.dump((compiled.specs, inputs), client.stdin)
        client.stdin.flush()
        keys, batch = pickle.load(client.stdout)
        results = compiled.run(Batch.from_bytes(batch), EvaluationKeys.from_bytes(keys))
        pickle.dump(results.to_bytes(), client.stdin)
        client.stdin.flush()
        outputs, loaded = pickle.load(client.stdout)
        client.wait(timeout=60)
    assert loaded == []
    for got, wanted in zip(outputs, run(compiled.program, *inputs), strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_batches_of_every_size_give_the_clear_integers():
    """Two parts with keys of their own: lookups of unsigned integers, and sums of signed ones."""
    circuit = compile_program(two_parts(bits=3, weight=50), batch_sizes=(1, 8, 32))
    for n_rows in (1, 8, 32, 43):
        inputs = random_inputs(circuit.program, n_rows, np.random.default_rng(n_rows))
        found = circuit.decrypt(circuit.run(circuit.encrypt(*inputs)))
        for got, wanted in zip(found, run(circuit.program, *inputs), strict=True):
            np.testing.assert_array_equal(got, wanted)


def assert_we_read_each_others(compiled, n_rows):
    """What the session encrypts the engine decrypts, and the other way round, in each part of a circuit."""
    session = ClientSession(compiled.specs)
    inputs = random_inputs(compiled.program, n_rows, np.random.default_rng(0))
    batch = session.encrypt(*inputs)
    outputs = run(compiled.program, *inputs)
    keys = session._keys
    (call,) = plan_calls([n_rows], [n_rows])
    for i, given in enumerate(compiled.specs.scatter(inputs)):
        specs, part = compiled.specs.parts[i], compiled.parts[i]
        engine = EngineClient(
            specs.parameters,
            engine_keyset(specs.parameters, keys.of(specs.parameters)),
            function_name(n_rows),
        )
        server, evaluation = part.function(n_rows), session.evaluation_keys.keyset(specs.parameters)
        ours = server.run(evaluation, part._inputs(call, [(batch.ciphertexts[i], batch.seed)]))
        theirs = server.run(evaluation, engine.encrypt(*given))
        for results in (ours, theirs):
            by_engine = engine.decrypt(*results)
            for place, result, form, first in zip(
                specs.outputs, results, specs.forms("results"), by_engine, strict=True
            ):
                words = Frame(form.of_rows(n_rows)).words(result)
                np.testing.assert_array_equal(first, outputs[place])
                np.testing.assert_array_equal(
                    decrypt(words, keys.of(specs.parameters)[form.key_id], form), outputs[place]
                )


def test_the_engine_and_we_read_each_others_ciphertexts(compiled):
    assert_we_read_each_others(compiled, 2)


def in_residues(monkeypatch):
    """Let the engine split integers into residues, as for some wide lookups, whose keys take minutes."""
    plain = _engine.engine_server.CompilationOptions

    def residues(backend):
        options = plain(backend)
        options.force_encoding(Encoding.CRT)
        return options

    monkeypatch.setattr(_engine.engine_server, "CompilationOptions", residues)


def test_integers_that_are_split_into_residues_are_encrypted_here(monkeypatch):
    """Sums of them, whose keys are made in no time, of integers with a sign and without."""
    in_residues(monkeypatch)
    builder = ProgramBuilder()
    x = builder.input(np.full(3, -8), np.full(3, 7), label="x")
    z = builder.input(np.zeros(3), np.full(3, 200), label="z")
    linear = ops.Linear(np.array([[3, -5], [1, 0], [-2, 7]]), np.array([1, 2]))
    program = builder.finish(builder.add(linear, x, label="y"), builder.add(linear, z, label="t"))
    circuit = compile_program(program, batch_sizes=(1, 2))
    for part in circuit.compiled.specs.parts:
        assert all(len(form.moduli) >= 1 for holds in ("inputs", "results") for form in part.forms(holds))
    assert max(len(part.forms("results")[0].moduli) for part in circuit.compiled.specs.parts) > 1
    assert_we_read_each_others(circuit.compiled, 2)
    inputs = random_inputs(program, 5, np.random.default_rng(0))
    result = circuit.run(Batch.from_bytes(circuit.encrypt(*inputs).to_bytes()))
    for got, wanted in zip(
        circuit.decrypt(Batch.from_bytes(result.to_bytes())), run(program, *inputs), strict=True
    ):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.slow
def test_residues_are_looked_up_encrypted(monkeypatch):
    in_residues(monkeypatch)
    builder = ProgramBuilder()
    x = builder.input(np.full(2, -2), np.full(2, 1), label="x")
    table = ops.Lookup(np.array([[3, 1, 0, -2]]), np.array([-2]))
    circuit = compile_program(builder.finish(builder.add(table, x, label="y")), batch_sizes=(2,))
    (part,) = circuit.compiled.specs.parts
    assert part.forms("inputs")[0].moduli
    assert_we_read_each_others(circuit.compiled, 2)
    batch = Batch.from_bytes(circuit.encrypt(np.array([[-2, -1], [0, 1]])).to_bytes())
    result = Batch.from_bytes(circuit.run(batch).to_bytes())
    np.testing.assert_array_equal(circuit.decrypt(result)[0], [[3, 1], [0, -2]])


def test_specs_tell_nothing_of_weights_and_tables():
    """Programs that differ in these alone have the same specs, but for a hash that names them."""

    def specs(program):
        specs = compile_program(program, batch_sizes=(1,)).compiled.specs
        return pickle.dumps(specs).replace(specs.circuit_id.encode(), b"")

    mirrored = two_parts()
    values = [*mirrored.values]
    for position, value in enumerate(values):
        if hasattr(value.op, "weight"):
            op = type(value.op)(value.op.weight[::-1].copy(), value.op.bias)
        elif hasattr(value.op, "tables"):
            op = type(value.op)(value.op.tables[:, ::-1].copy(), value.op.start)
        else:
            continue
        values[position] = type(value)(op, value.arguments, value.type, value.label)
    other = type(mirrored)(tuple(values), mirrored.outputs)
    inputs = random_inputs(other, 3, np.random.default_rng(0))
    assert any((a != b).any() for a, b in zip(run(other, *inputs), run(mirrored, *inputs), strict=True))
    assert specs(mirrored) == specs(other)


def test_sessions_of_one_circuit_do_not_mix(compiled):
    """A server runs both, each under its own evaluation keys; neither decrypts what is the other's."""
    sessions = [ClientSession(compiled.specs) for _ in range(2)]
    inputs = random_inputs(compiled.program, 1, np.random.default_rng(0))
    results = [compiled.run(s.encrypt(*inputs), s.evaluation_keys) for s in sessions]
    for session, result in zip(sessions, results, strict=True):
        for got, wanted in zip(session.decrypt(result), run(compiled.program, *inputs), strict=True):
            np.testing.assert_array_equal(got, wanted)
    for session, result in zip(sessions, results[::-1], strict=True):
        with pytest.raises(CiphertextMismatchError, match="other keys"):
            session.decrypt(result)


def test_a_session_without_keys_generates_none_to_decrypt(compiled):
    session, other = ClientSession(compiled.specs), ClientSession(compiled.specs)
    result = compiled.run(
        other.encrypt(*random_inputs(compiled.program, 1, np.random.default_rng(0))), other.evaluation_keys
    )
    with pytest.raises(CiphertextMismatchError, match="other keys"):
        session.decrypt(result)
    assert session.key_id is None
    assert repr(session) == "ClientSession(without keys)"


def test_inputs_are_checked_before_keys_are_generated(compiled):
    session = ClientSession(compiled.specs)
    x, z = random_inputs(compiled.program, 1, np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"takes 2 input\(s\), got 1"):
        session.encrypt(x)
    with pytest.raises(
        ValueError, match=r"'z' takes 1 row\(s\) of shape \(4,\), got an array of shape \(1, 3\)"
    ):
        session.encrypt(x, z[:, 1:])
    with pytest.raises(
        ValueError, match=r"'z' takes 1 row\(s\) of shape \(4,\), got an array of shape \(2, 4\)"
    ):
        session.encrypt(x, np.repeat(z, 2, axis=0))
    with pytest.raises(ValueError, match=r"'x' takes integers in \[0, 3\]"):
        session.encrypt(x + 4, z)
    with pytest.raises(ValueError, match="at least one row, got none"):
        session.encrypt(x[:0], z[:0])
    assert session.key_id is None


def test_an_input_that_nothing_depends_on_is_not_encrypted():
    """It is of no part: no mask and no byte is spent on it."""
    builder = ProgramBuilder()
    unused = builder.input(np.zeros(3), np.full(3, 7), label="unused")
    used = builder.input(np.zeros(2), np.full(2, 7), label="used")
    y = builder.add(ops.Linear(np.array([[1], [2]]), np.array([0])), used, label="y")
    circuit = compile_program(builder.finish(y), batch_sizes=(1,))
    assert unused not in circuit.compiled.specs.parts[0].inputs
    rows = np.ones((1, 3), dtype=np.int64), np.array([[3, 2]])
    assert len(circuit.encrypt(*rows).ciphertexts[0]) == 1
    np.testing.assert_array_equal(circuit.execute(*rows)[0], [[7]])
