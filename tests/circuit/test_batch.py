"""Ciphertexts are refused by whatever they do not belong to: decrypted there, they would be any numbers."""

import numpy as np
import pytest

from skfhe.circuit import compile_program
from skfhe.circuit._engine import fhe
from skfhe.cost._error_rate import ErrorRate
from skfhe.exceptions import CiphertextMismatchError, InsecureKeyCacheWarning
from skfhe.program import ProgramBuilder, ops, run
from tests.conftest import random_inputs


def levelled(weight=1):
    """Return a program without lookups, whose keys are generated in no time."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(2), np.full(2, 7), label="x")
    linear = ops.Linear(np.array([[weight], [3]]), np.array([0]))
    return builder.finish(builder.add(linear, x, label="y"))


@pytest.fixture(scope="module")
def circuit():
    return compile_program(levelled(), batch_sizes=(1, 2))


def test_a_batch_tells_what_it_holds(circuit):
    batch = circuit.encrypt(np.array([[1, 2], [3, 4]]))
    assert (len(batch), batch.holds) == (2, "inputs")
    result = circuit.run(batch)
    assert (len(result), result.holds) == (2, "results")
    np.testing.assert_array_equal(circuit.decrypt(result)[0], [[7], [15]])


@pytest.mark.parametrize(
    ("weight", "batch_sizes", "message"),
    [(2, (1, 2), "another circuit"), (1, (1,), "another circuit"), (1, (1, 2), "other keys")],
)
def test_ciphertexts_of_another_model_or_compile_are_refused(circuit, weight, batch_sizes, message):
    """Another model, the same with other options, and the same compiled twice, which has keys of its own."""
    other = compile_program(levelled(weight), batch_sizes=batch_sizes)
    x = np.array([[0, 7]])
    encrypted = circuit.encrypt(x)
    for use, batch in ((other.run, encrypted), (other.decrypt, circuit.run(encrypted))) * 2:
        with pytest.raises(CiphertextMismatchError, match=message):
            use(batch)
        if use == other.decrypt:
            other.keygen()


def test_ciphertexts_of_replaced_keys_are_refused():
    circuit = compile_program(levelled(), batch_sizes=(1,))
    encrypted = circuit.encrypt(np.array([[0, 7]]))
    result = circuit.run(encrypted)
    circuit.keygen(force=True)
    for use, batch in ((circuit.run, encrypted), (circuit.decrypt, result)):
        with pytest.raises(CiphertextMismatchError, match="other keys"):
            use(batch)
    np.testing.assert_array_equal(circuit.execute(np.array([[0, 7]]))[0], [[21]])


def test_the_order_of_steps_is_checked(circuit):
    batch = circuit.encrypt(np.array([[0, 7]]))
    with pytest.raises(CiphertextMismatchError, match="expected encrypted results, got inputs"):
        circuit.decrypt(batch)
    with pytest.raises(CiphertextMismatchError, match="expected encrypted inputs, got results"):
        circuit.run(circuit.run(batch))
    with pytest.raises(TypeError, match="expected a Batch"):
        circuit.run(batch.ciphertexts)


def test_wrong_lookups_stay_in_the_interval_of_the_output():
    """At the ends of a table a wrong cell can be one outside of it, where the bootstrap reads other numbers.

    The lookups' own results are looked at first, to see that it happens: with 256 of them at an error rate of
    0.3, half of the errors lead outwards.
    """
    builder = ProgramBuilder()
    x = builder.input(np.zeros(64), np.full(64, 7), label="x")
    table = ops.Lookup(np.arange(3, 11)[None], np.array([0]))
    circuit = compile_program(
        builder.finish(builder.add(table, x, label="y")), ErrorRate(0.3), batch_sizes=(4,)
    )
    rows = np.repeat([[0], [0], [7], [7]], 64, axis=1)
    results = circuit.run(circuit.encrypt(rows))
    (raw,) = circuit.session._functions(circuit.session._keys, 4)[0].decrypt(*results.ciphertexts[0])
    assert ((raw < 3) | (raw > 10)).any()
    for outputs in (circuit.decrypt(results), circuit.execute(rows), circuit.simulate(rows)):
        assert ((outputs[0] >= 3) & (outputs[0] <= 10)).all()
        assert (outputs[0] != run(circuit.program, rows)[0]).any()


def test_an_insecure_key_cache_is_warned_of(tmp_path):
    configuration = fhe.Configuration(
        enable_unsafe_features=True, use_insecure_key_cache=True, insecure_key_cache_location=tmp_path
    )
    with pytest.warns(InsecureKeyCacheWarning, match=f"{tmp_path.name}.* everyone on this machine can read"):
        circuit = compile_program(levelled(), configuration=configuration, batch_sizes=(1,))
    inputs = random_inputs(circuit.program, 1, np.random.default_rng(0))
    np.testing.assert_array_equal(circuit.execute(*inputs)[0], run(circuit.program, *inputs)[0])
