"""The compiled half goes to another process without keys, and runs there what it could not decrypt."""

import pickle
import subprocess
import sys

import numpy as np
import pytest

from skfhe.circuit import Batch, CompiledCircuit, compile_program
from skfhe.cost import ErrorRate
from skfhe.program import ProgramBuilder, ops, run
from tests.circuit.test_host import environment
from tests.circuit.two_parts import two_parts
from tests.conftest import random_inputs

SERVER = """
import pickle, sys
from skfhe.circuit import Batch, EvaluationKeys
compiled, keys, batch = pickle.load(sys.stdin.buffer)
results = pickle.loads(compiled).run(Batch.from_bytes(batch), EvaluationKeys.from_bytes(keys))
sys.stdout.buffer.write(results.to_bytes())
"""


@pytest.fixture(scope="module")
def circuit():
    return compile_program(two_parts(), batch_sizes=(1, 2))


def test_calls_take_as_many_rows_as_have_room_for_their_ciphertexts():
    """The engine takes no array of half a gigabyte, which 32 rows of some thousand inputs would be."""
    sizes = {}
    for n_inputs in (100, 1500, 20_000):
        builder = ProgramBuilder()
        x = builder.input(np.zeros(n_inputs), np.ones(n_inputs), label="x")
        first = builder.add(ops.Gather(np.arange(4), 0), x, label="four")
        looked_up = builder.add(ops.Lookup(np.array([[0, 1]]), np.array([0])), first, label="table")
        compiled = CompiledCircuit(builder.finish(looked_up), ErrorRate(), None, None)
        sizes[n_inputs] = compiled.batch_sizes
    assert sizes == {100: (1, 8, 32), 1500: (1, 8), 20_000: (1,)}


def secret_bits(circuit):
    """Return the words of each secret key, one for each bit."""
    return [words.tobytes() for keys in circuit.session._keys._secret.values() for words in keys]


def leaks(payload, circuit):
    """Whether a secret key of ``circuit`` is in ``payload``, as words or as bytes, or packed."""
    for words in secret_bits(circuit):
        bits = np.frombuffer(words, dtype=np.uint64).astype(np.uint8)
        assert set(bits.tolist()) == {0, 1}
        packed = [np.packbits(bits, bitorder=order).tobytes() for order in ("big", "little")]
        if any(form in payload for form in (words, bits.tobytes(), *packed)):
            return True
    return False


def test_a_server_process_runs_what_it_cannot_decrypt(circuit, tmp_path):
    """It gets the compiled half, evaluation keys and a batch, and compiles anew: ids and parameters agree.

    The search for secret keys finds them where they are: in what their owner keeps.
    """
    inputs = random_inputs(circuit.program, 2, np.random.default_rng(0))
    batch = circuit.session.encrypt(*inputs)
    parts = pickle.dumps(circuit.compiled), circuit.session.evaluation_keys.to_bytes(), batch.to_bytes()
    payload = pickle.dumps(parts)
    assert not leaks(payload, circuit)
    assert not leaks(pickle.dumps(batch), circuit)
    assert not leaks((repr(batch) + repr(circuit.session) + repr(circuit.session._keys)).encode(), circuit)
    assert leaks(pickle.dumps((*parts, circuit.session._keys.to_bytes())), circuit)
    done = subprocess.run(
        [sys.executable, "-c", SERVER],
        input=payload,
        capture_output=True,
        timeout=240,
        env=environment(tmp_path),
    )
    assert done.returncode == 0, done.stderr.decode()
    found = circuit.session.decrypt(Batch.from_bytes(done.stdout))
    for got, wanted in zip(found, run(circuit.program, *inputs), strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_a_pickled_circuit_has_no_key_and_keeps_its_name(circuit):
    """A compiled half alone, and one with a session beside it."""
    circuit.keygen()
    for half in (circuit.compiled, circuit):
        text = pickle.dumps(half)
        assert len(text) < 20_000
        assert not leaks(text, circuit)
    loaded = pickle.loads(pickle.dumps(circuit))
    assert loaded.session.key_id is None
    assert loaded.compiled.specs.circuit_id == circuit.compiled.specs.circuit_id


def test_the_name_of_a_circuit_tells_its_content():
    """Equal for what computes the same on the same ciphertexts, and different for anything else."""
    made = [
        compile_program(two_parts(), batch_sizes=(1,)),
        compile_program(two_parts(), batch_sizes=(1,)),
        compile_program(two_parts(weight=-1), batch_sizes=(1,)),
        compile_program(two_parts(bits=3), batch_sizes=(1,)),
        compile_program(two_parts(), batch_sizes=(1, 2)),
    ]
    names = [circuit.compiled.specs.circuit_id for circuit in made]
    assert names[0] == names[1]
    assert len({*names}) == len(names) - 1


def test_a_compiled_half_has_no_way_to_decrypt(circuit):
    assert not {"session", "decrypt", "encrypt", "keygen"} & {*dir(circuit.compiled)}
    assert {*vars(circuit.compiled)} == {
        *("program", "error_rate", "configuration", "batch_sizes", "_seconds", "parts", "specs")
    }
