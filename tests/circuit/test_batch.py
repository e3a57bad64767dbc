"""Ciphertexts are refused by whatever they do not belong to: decrypted there, they would be any numbers."""

import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from skfhe.circuit import Batch, _session, compile_program
from skfhe.circuit._bindings import ServerFunction
from skfhe.circuit._engine import fhe
from skfhe.circuit._frames import pack, unpack
from skfhe.cost._error_rate import ErrorRate
from skfhe.exceptions import CiphertextMismatchError, InsecureKeyCacheWarning
from skfhe.program import ProgramBuilder, ops, run
from tests.conftest import random_inputs

MAGIC = b"skfhe-ct"


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


def rewritten(batch, blocks=None, seed=None, **fields):
    """Return bytes of a batch whose header says something else, or that has other ciphertexts."""
    header, (present_seed, *present) = unpack(MAGIC, batch.to_bytes(), "a batch")
    blocks = [present_seed if seed is None else seed, *(present if blocks is None else blocks)]
    return pack(MAGIC, header | fields, blocks)


def test_a_batch_goes_through_bytes(circuit):
    """Inputs and results, by which nothing is lost: not the row count, nor whose they are."""
    batch = Batch.from_bytes(circuit.encrypt(np.array([[1, 2], [3, 4]])).to_bytes())
    assert (len(batch), batch.holds, batch.key_id) == (2, "inputs", circuit.session.key_id)
    result = Batch.from_bytes(circuit.run(batch).to_bytes())
    np.testing.assert_array_equal(circuit.decrypt(result)[0], [[7], [15]])
    assert batch.to_bytes() == Batch.from_bytes(batch.to_bytes()).to_bytes()


@pytest.mark.parametrize("n_rows", [1, 2])
def test_inputs_are_sent_as_a_seed_and_eight_bytes_for_each_integer(circuit, n_rows):
    data = circuit.encrypt(np.zeros((n_rows, 2), dtype=np.int64)).to_bytes()
    _, blocks = unpack(MAGIC, data, "a batch")
    assert [len(block) for block in blocks] == [16, 8 * 2 * n_rows]
    assert len(data) < 16 + 8 * 2 * n_rows + 300


def test_masks_of_batches_are_never_the_same(circuit):
    """Neither in turn nor in threads; what is equal in the clear is not when encrypted."""
    x = np.zeros((2, 2), dtype=np.int64)
    with ThreadPoolExecutor(4) as pool:
        batches = [circuit.encrypt(x) for _ in range(50)] + [
            *pool.map(lambda _: circuit.encrypt(x), range(100))
        ]
    assert len({batch.seed for batch in batches}) == 150
    bodies = [np.frombuffer(batch.ciphertexts[0][0], dtype="<u8") for batch in batches]
    assert len(np.unique(bodies)) == 150 * x.size


def test_foreign_and_incomplete_bytes_are_refused(circuit):
    batch = circuit.encrypt(np.array([[0, 7]]))
    data = batch.to_bytes()
    keys = circuit.session.evaluation_keys.to_bytes()
    for wrong in (b"", data[:-1], data[:30], data + b"x", batch.ciphertexts[0][0], keys):
        with pytest.raises(ValueError, match="a batch of ciphertexts"):
            Batch.from_bytes(wrong)
    for fields in (
        {"holds": "keys"},
        {"n_rows": 0},
        {"n_rows": True},
        {"n_rows": "1"},
        {"circuit_id": None},
        {"key_id": 3},
        {"ciphertexts": [2]},
        {"ciphertexts": [2, -1]},
        {"ciphertexts": 1},
        {"ciphertexts": []},
        {"n_rows": 2**40},
        {"bits": [64]},
        {"bits": None},
        {"more": 1},
    ):
        with pytest.raises(ValueError, match="header of a batch"):
            Batch.from_bytes(rewritten(batch, **fields))


def test_bytes_are_compared_with_the_circuit_before_the_engine_reads_them(circuit, monkeypatch):
    """Names, rows, numbers and sizes: what the engine is given has the form of what the circuit takes."""
    batch = circuit.encrypt(np.array([[0, 7]]))
    ((bodies,),) = batch.ciphertexts
    result = circuit.run(batch)
    _, (_, packed) = unpack(MAGIC, result.to_bytes(), "a batch")
    monkeypatch.setattr(ServerFunction, "run", lambda *given: pytest.fail("given to the engine"))
    for message, data in (
        ("another circuit", rewritten(batch, circuit_id="0")),
        ("other keys", rewritten(batch, key_id="0")),
        ("expected encrypted inputs", result.to_bytes()),
        (r"expected \[1\] ciphertext\(s\) .* got \[2\]", rewritten(batch, [bodies] * 2, ciphertexts=[2])),
        (r"expected \[1\] ciphertext\(s\) .* got \[0, 1\]", rewritten(batch, ciphertexts=[0, 1])),
        ("2 row.s. in 32 bytes of ciphertexts, got 16", rewritten(batch, n_rows=2)),
        ("1 row.s. in 16 bytes of ciphertexts, got 8", rewritten(batch, [bodies[:8]])),
        ("expected a seed of 16 bytes, got 0", rewritten(batch, seed=b"")),
        ("expected a seed of 16 bytes, got 17", rewritten(batch, seed=batch.seed + b"x")),
    ):
        with pytest.raises(CiphertextMismatchError, match=message):
            circuit.run(Batch.from_bytes(data))
    with pytest.raises(CiphertextMismatchError, match="16 bytes of ciphertexts, got ndarray"):
        circuit.run(replace(batch, ciphertexts=result.ciphertexts))
    ((bits,),) = result.bits
    for message, data in (
        ("expected encrypted results", batch.to_bytes()),
        ("of 2 row.s. in", rewritten(result, n_rows=2)),
        ("of 1 row.s. in", rewritten(result, [packed[:-1]])),
        ("of 1 row.s. in", rewritten(result, [packed + b"x"])),
        (rf"expected words of \(\({bits},\),\) bits, got", rewritten(result, bits=[bits - 1])),
        ("expected a seed of 0 bytes, got 16", rewritten(result, seed=bytes(16))),
    ):
        with pytest.raises(CiphertextMismatchError, match=message):
            circuit.decrypt(Batch.from_bytes(data))


def mutated(data, rng):
    """Return bytes that a careless or hostile sender could send in the place of ``data``."""
    kind = rng.integers(6)
    changed = bytearray(data)
    if kind == 0:  # some bytes, mostly of the header
        for _ in range(rng.integers(1, 4)):
            changed[rng.integers(min(len(data), rng.choice([14, 400, len(data)])))] = rng.integers(256)
    elif kind == 1:
        del changed[rng.integers(len(data)) :]
    elif kind == 2:
        changed += rng.bytes(rng.integers(1, 100))
    elif kind == 3:  # numbers of the header become others, small and large
        places = [i for i, byte in enumerate(data[14:400], 14) if byte in b"0123456789"]
        place = rng.choice(places)
        changed[place : place + 1] = str(rng.choice([0, 7, 10**6, 2**40, 10**30])).encode()
        size = int.from_bytes(data[10:14], "little") + len(changed) - len(data)
        changed[10:14] = size.to_bytes(4, "little")
    elif kind == 4:
        start, stop = np.sort(rng.integers(len(data), size=2))
        changed[start:stop] = rng.bytes(int(stop - start))
    else:
        changed = bytearray(data[:8] + rng.bytes(rng.integers(0, 300)))
    return bytes(changed)


@pytest.mark.parametrize("n", [500, pytest.param(10_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("holds", ["inputs", "results"])
def test_mutated_bytes_are_refused_or_decrypt_to_something(circuit, holds, n, monkeypatch):
    """By an error that says what is wrong with them, without much memory and before the engine is called.

    Changed words are words as well: nobody can tell them from others.
    """
    rng = np.random.default_rng(n)
    batch = circuit.encrypt(np.array([[0, 7], [1, 2], [3, 4]]))
    data = (batch if holds == "inputs" else circuit.run(batch)).to_bytes()
    monkeypatch.setattr(ServerFunction, "run", lambda *given: pytest.fail("given to the engine"))
    accepted, refusals = 0, set()
    tracemalloc.start()
    try:
        for _ in range(n):
            changed = mutated(data, rng)
            try:
                found = Batch.from_bytes(changed)
                if holds == "results":
                    (y,) = circuit.decrypt(found)
                    assert y.shape == (len(found), 1)
                else:
                    circuit.compiled.specs.check_batch(found, "inputs", circuit.session.key_id)
                accepted += 1
                assert len(found) == len(batch)
            except ValueError as error:
                refusals.add(str(error)[:25])
        assert tracemalloc.get_traced_memory()[1] < 100 * len(data) + 2**21
    finally:
        tracemalloc.stop()
    assert accepted < n / 3
    assert len(refusals) > 5


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
    keys, (part,) = circuit.session._keys, circuit.compiled.specs.parts
    (raw,) = _session._decrypted(part, keys.of(part.parameters), results.ciphertexts[0], 4)
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
