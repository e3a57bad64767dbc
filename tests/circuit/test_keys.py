"""Evaluation keys can go anywhere, secret ones nowhere."""

import pickle

import numpy as np
import pytest

from skfhe.circuit import Batch, ClientSession, EvaluationKeys, compile_program
from skfhe.circuit._engine import fhe
from skfhe.circuit._frames import pack, unpack
from skfhe.exceptions import CiphertextMismatchError
from skfhe.program import run
from tests.circuit.two_parts import two_parts
from tests.conftest import random_inputs


@pytest.fixture(scope="module")
def circuit():
    circuit = compile_program(two_parts(), batch_sizes=(1, 2))
    circuit.keygen()
    return circuit


@pytest.fixture(scope="module")
def data(circuit):
    return circuit.session.evaluation_keys.to_bytes()


def test_keys_that_came_as_bytes_run_a_circuit(circuit, data):
    """Read on first use, and serialized again as they were."""
    keys = EvaluationKeys.from_bytes(data)
    assert keys.to_bytes() == data
    inputs = random_inputs(circuit.program, 2, np.random.default_rng(0))
    results = circuit.compiled.run(circuit.encrypt(*inputs), keys)
    for found, wanted in zip(circuit.decrypt(results), run(circuit.program, *inputs), strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert keys.to_bytes() == data


def test_compressed_keys_and_inputs_go_through_bytes():
    """Their sizes are other ones, which the parameters tell. The engine itself encrypts such inputs."""
    options = fhe.Configuration(compress_evaluation_keys=True, compress_input_ciphertexts=True)
    circuit = compile_program(two_parts(), configuration=options, batch_sizes=(1,))
    keys = circuit.session.evaluation_keys.to_bytes()
    assert len(keys) < circuit.statistics["key_bytes"] / 2
    inputs = random_inputs(circuit.program, 1, np.random.default_rng(0))
    parts = circuit.compiled.specs.parts
    assert all(part.frames(1, "inputs") is None and part.frames(1, "results") for part in parts)
    encrypted = circuit.encrypt(*inputs)
    assert not any(isinstance(ciphertext, bytes) for part in encrypted.ciphertexts for ciphertext in part)
    batch = Batch.from_bytes(encrypted.to_bytes())
    results = circuit.compiled.run(batch, EvaluationKeys.from_bytes(keys))
    for found, wanted in zip(circuit.decrypt(results), run(circuit.program, *inputs), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_secret_keys_and_sessions_are_not_pickled(circuit):
    for secret in (circuit.session._keys, circuit.session):
        with pytest.raises(TypeError, match="secret keys"):
            pickle.dumps(secret)


def test_keys_of_other_parameters_are_refused_unread(circuit):
    """Given to the engine, they would end the process. The names agree, as after a mistake in storing."""
    other = compile_program(two_parts(bits=3), batch_sizes=(1, 2))
    batch = circuit.encrypt(*random_inputs(circuit.program, 1, np.random.default_rng(0)))
    parameters = tuple(part.parameters for part in other.compiled.specs.parts)
    wrong = EvaluationKeys(circuit.session.key_id, parameters, [b"", b""])
    with pytest.raises(CiphertextMismatchError, match="generated for other parameters"):
        circuit.compiled.run(batch, wrong)
    with pytest.raises(CiphertextMismatchError, match="other keys"):
        circuit.compiled.run(batch, ClientSession(circuit.compiled.specs).evaluation_keys)
    with pytest.raises(TypeError, match="expected EvaluationKeys, got KeySet"):
        circuit.compiled.run(batch, circuit.session._keys)


def test_keys_larger_than_their_parameters_are_refused_unread(circuit, data):
    header, blocks = unpack(b"skfhe-ek", data, "evaluation keys")
    keys = EvaluationKeys.from_bytes(pack(b"skfhe-ek", header, [*blocks[:3], blocks[2] + blocks[3]]))
    batch = circuit.encrypt(*random_inputs(circuit.program, 1, np.random.default_rng(0)))
    with pytest.raises(CiphertextMismatchError, match="expected at most"):
        circuit.compiled.run(batch, keys)


def test_foreign_and_incomplete_bytes_are_refused(circuit, data):
    for wrong in (b"", data[:-1], data[:100], data + b"x", circuit.session._keys.native[0].serialize()):
        with pytest.raises(ValueError, match="evaluation keys"):
            EvaluationKeys.from_bytes(wrong)
    two = [b"", b""]
    for header, blocks in (({}, two), ({"id": 3}, two), ({"id": "x"}, two[:1]), ({"id": "x"}, [])):
        with pytest.raises(ValueError, match="header of evaluation keys"):
            EvaluationKeys.from_bytes(pack(b"skfhe-ek", header, blocks))
