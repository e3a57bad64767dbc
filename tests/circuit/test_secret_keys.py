"""Secret keys are kept by their owner, in a form of their own, and the engine is not needed to read them."""

import copy
import pickle
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from skfhe.circuit import (
    Batch,
    ClientSession,
    EvaluationKeys,
    SecretKeys,
    compile_program,
    generate_keys,
)
from skfhe.circuit._frames import pack, unpack
from skfhe.circuit._key_generation import random_bits
from skfhe.circuit._key_messages import key_message, key_parameters, secret_dimensions
from skfhe.circuit._keys import SECRET_MAGIC
from skfhe.exceptions import CiphertextMismatchError
from skfhe.program import ProgramBuilder, ops, run
from tests.circuit.test_host import environment
from tests.circuit.two_parts import two_parts
from tests.conftest import random_inputs

BLOCKED = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("concrete", "mlir", "torch", "sklearn", "scipy", "pandas"):
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Blocked())
import pickle
from skfhe.circuit import Batch, ClientSession, SecretKeys
"""
WITHOUT_KEYS = """
specs, inputs = pickle.load(sys.stdin.buffer)
session = ClientSession(specs)
def send(message):
    pickle.dump(message, sys.stdout.buffer)
    sys.stdout.buffer.flush()
send((session.evaluation_keys.to_bytes(), session.encrypt(*inputs).to_bytes()))
send(session.decrypt(Batch.from_bytes(pickle.load(sys.stdin.buffer))))
"""
WITH_KEYS = """
specs, inputs, keys, passphrase = pickle.load(sys.stdin.buffer)
session = ClientSession(specs, SecretKeys.from_bytes(keys, passphrase))
def send(message):
    pickle.dump(message, sys.stdout.buffer)
    sys.stdout.buffer.flush()
send((None, session.encrypt(*inputs).to_bytes()))
send(session.decrypt(Batch.from_bytes(pickle.load(sys.stdin.buffer))))
"""


def parameters(compiled):
    return [part.parameters for part in compiled.specs.parts]


def levelled(sign=1):
    """Build a program of sums, as a linear model has them."""
    builder = ProgramBuilder()
    z = builder.input(np.full(4, -3), np.full(4, 3), label="z")
    weight = sign * (np.arange(8).reshape(4, 2) - 3)
    return builder.finish(builder.add(ops.Linear(weight, np.zeros(2, int)), z, label="linear"))


def equal_parts(n_parts=4, bits=2):
    """Build lookups that share nothing, so that each is a part of its own, and all need equal keys."""
    builder = ProgramBuilder()
    table = ops.Lookup(np.arange(2**bits)[None, ::-1].copy(), np.zeros(1, dtype=np.int64))
    outputs = []
    for i in range(n_parts):
        x = builder.input(np.zeros(2), np.full(2, 2**bits - 1), label=f"x{i}")
        outputs.append(builder.add(table, x, label=f"lookup {i}"))
    return builder.finish(*outputs)


@pytest.fixture(scope="module")
def compiled():
    return compile_program(two_parts(), batch_sizes=(1, 2)).compiled


@pytest.fixture(scope="module")
def linear():
    return compile_program(levelled(), batch_sizes=(1, 2)).compiled


@pytest.fixture(scope="module")
def keys(compiled):
    return generate_keys(parameters(compiled), to_send=True)


def secrets_of(keys):
    """Return each secret key as words, as bytes and packed."""
    forms = []
    for words in (words for of_one in keys._secret.values() for words in of_one):
        bits = words.astype(np.uint8)
        packed = [np.packbits(bits, bitorder=order).tobytes() for order in ("big", "little")]
        forms += [words.tobytes(), bits.tobytes(), *packed]
    return forms


def assert_runs(compiled, session, evaluation):
    inputs = random_inputs(compiled.program, 2, np.random.default_rng(0))
    batch = Batch.from_bytes(session.encrypt(*inputs).to_bytes())
    result = Batch.from_bytes(compiled.run(batch, evaluation).to_bytes())
    for got, wanted in zip(session.decrypt(result), run(compiled.program, *inputs), strict=True):
        np.testing.assert_array_equal(got, wanted)


def converse(script, compiled, evaluation, folder, *given):
    """Let a client of its own process encrypt and decrypt what is run here."""
    inputs = random_inputs(compiled.program, 2, np.random.default_rng(0))
    with subprocess.Popen(
        [sys.executable, "-c", BLOCKED + script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(folder),
    ) as client:
        pickle.dump((compiled.specs, inputs, *given), client.stdin)
        client.stdin.flush()
        sent, batch = pickle.load(client.stdout)
        evaluation = evaluation or EvaluationKeys.from_bytes(sent)
        pickle.dump(compiled.run(Batch.from_bytes(batch), evaluation).to_bytes(), client.stdin)
        client.stdin.flush()
        outputs = pickle.load(client.stdout)
        client.wait(timeout=60)
    for got, wanted in zip(outputs, run(compiled.program, *inputs), strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_a_linear_model_needs_no_engine_not_even_for_keys(linear, tmp_path):
    """Its import is blocked where keys are generated; the server's half runs under them here."""
    converse(WITHOUT_KEYS, linear, None, tmp_path)


@pytest.mark.parametrize("passphrase", [None, "correct horse"])
def test_with_keys_at_hand_no_circuit_needs_the_engine(compiled, keys, passphrase, tmp_path):
    converse(WITH_KEYS, compiled, keys.evaluation, tmp_path, keys.to_bytes(passphrase), passphrase)


def test_the_engine_is_loaded_for_keys_of_lookups_alone(compiled, tmp_path):
    with pytest.raises((EOFError, BrokenPipeError)):
        converse(WITHOUT_KEYS, compiled, None, tmp_path)


def test_bits_of_the_operating_system_are_unbiased_and_independent():
    """Of 2**20 bits, half are ones, and half of all neighbours are equal, within 6 standard deviations."""
    bits = random_bits(2**20)
    assert (bits.dtype, bits.shape, set(bits)) == (np.uint64, (2**20,), {0, 1})
    for share in (bits.mean(), *((bits[:-lag] == bits[lag:]).mean() for lag in (1, 2, 7, 8, 64))):
        assert abs(share - 0.5) < 6 * 0.5 / 2**10
    assert len({random_bits(613).tobytes() for _ in range(100)}) == 100
    assert [len(random_bits(n)) for n in (1, 7, 8, 9)] == [1, 7, 8, 9]


def test_evaluation_keys_without_lookups_are_a_constant(linear):
    """Nothing of the secret bits is in them, so that they can be made without the engine."""
    first, second = (generate_keys(parameters(linear)) for _ in range(2))
    (each,) = parameters(linear)
    assert secret_dimensions(key_parameters(each)) == (len(first.of(each)[0]),)
    assert (first.of(each)[0] != second.of(each)[0]).any()
    blocks = [unpack(b"skfhe-ek", keys.evaluation.to_bytes(), "keys")[1] for keys in (first, second)]
    assert blocks[0][1:] == blocks[1][1:] == [key_parameters(each), b""]
    assert len(key_message(key_parameters(each))) == 64
    assert first.id != second.id


@pytest.mark.parametrize("to_send", [True, False])
def test_keys_to_send_and_keys_to_run_with_decrypt_alike(compiled, to_send):
    keys = generate_keys(parameters(compiled), to_send=to_send)
    assert_runs(compiled, ClientSession(compiled.specs, keys), keys.evaluation)
    assert_runs(compiled, ClientSession(compiled.specs, keys), pickle.loads(pickle.dumps(keys.evaluation)))


def test_parts_of_equal_parameters_share_keys(keys):
    """They are generated, sent and expanded once, whichever of the parts runs first."""
    compiled = compile_program(equal_parts(), batch_sizes=(1, 2)).compiled
    of_parts = parameters(compiled)
    assert len(of_parts) == 4
    assert len(set(map(key_parameters, of_parts))) == 1
    shared = generate_keys(of_parts, to_send=True)
    evaluation = EvaluationKeys.from_bytes(shared.evaluation.to_bytes())
    assert_runs(compiled, ClientSession(compiled.specs, shared), evaluation)
    assert len({id(evaluation.keyset(each)) for each in of_parts}) == 1
    alone = generate_keys(of_parts[:1], to_send=True)
    assert len(shared.evaluation.to_bytes()) == len(alone.evaluation.to_bytes())
    assert compiled.statistics["key_bytes"] == compiled.parts[0].module.key_bytes
    assert compiled.cost.key_bytes == pytest.approx(compiled.statistics["key_bytes"], rel=0.5)


def test_arrays_under_one_key_have_masks_of_their_own():
    """Were two alike, the difference of bodies would tell that of integers: here, that both are zero.

    A difference of equal masks is one of noise alone. Of other masks, one run in 10**7 has one as small.
    """
    compiled = compile_program(equal_parts(), batch_sizes=(1,)).compiled
    session = ClientSession(compiled.specs)
    zeros = [np.zeros((1, 2), dtype=np.int64)] * 4
    batch, other = session.encrypt(*zeros), session.encrypt(*zeros)
    bodies = [np.frombuffer(array, dtype="<u8") for each in (batch, other) for (array,) in each.ciphertexts]
    bodies = np.concatenate(bodies)
    differences = (bodies[:, None] - bodies[None, :]).view(np.int64)[~np.eye(len(bodies), dtype=bool)]
    noise = max(form.variance for part in compiled.specs.parts for form in part.forms("inputs")) ** 0.5
    assert len(bodies) == 16
    assert np.abs(differences / 2.0**64).min() > 10 * 2**0.5 * noise


def test_circuits_share_keys_where_their_parameters_allow(compiled, linear, keys):
    other = compile_program(two_parts(weight=-1), batch_sizes=(1, 2)).compiled
    for each in (compiled, other):
        assert_runs(each, ClientSession(each.specs, keys), keys.evaluation)
    with pytest.raises(CiphertextMismatchError, match="secret keys were generated for other parameters"):
        ClientSession(linear.specs, keys)


@pytest.mark.parametrize("passphrase", [None, "correct horse", "パスワード"])
def test_written_keys_are_read_as_they_were(compiled, keys, passphrase):
    """A bit for each bit, so that they are small; and their evaluation keys are read when needed."""
    read = []
    data = keys.to_bytes(passphrase)
    n_bits = sum(sum(secret_dimensions(key_parameters(each))) for each in parameters(compiled))
    assert n_bits / 8 < len(data) < n_bits / 8 + 2000
    again = SecretKeys.from_bytes(data, passphrase, lambda: read.append(1) or keys.evaluation.to_bytes())
    assert (again.id, again.created, again.expires) == (keys.id, keys.created, None)
    for each in parameters(compiled):
        for ours, theirs in zip(again.of(each), keys.of(each), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    session = ClientSession(compiled.specs, again)
    session.encrypt(*random_inputs(compiled.program, 1, np.random.default_rng(0)))
    assert read == []
    assert_runs(compiled, session, session.evaluation_keys)
    assert session.evaluation_keys.to_bytes() == keys.evaluation.to_bytes()
    assert read == [1]


def test_evaluation_keys_that_are_missing_or_of_others_are_told(compiled, keys):
    data = keys.to_bytes()
    with pytest.raises(ValueError, match="evaluation keys are not beside"):
        SecretKeys.from_bytes(data).evaluation.to_bytes()
    others = generate_keys(parameters(compiled), to_send=True).evaluation
    with pytest.raises(ValueError, match=f"expected the evaluation keys {keys.id}"):
        SecretKeys.from_bytes(data, evaluation_keys=others.to_bytes).evaluation.to_bytes()


def test_passphrases_are_asked_for_and_compared(keys):
    """Keys without one are refused to who expects one: somebody else may have put them there."""
    sealed, plain = keys.to_bytes("correct horse"), keys.to_bytes()
    for data, passphrase, message in (
        (sealed, "Correct horse", "passphrase is another one"),
        (sealed, None, "protected by a passphrase, and none was given"),
        (plain, "correct horse", "not protected by a passphrase"),
    ):
        with pytest.raises(ValueError, match=message):
            SecretKeys.from_bytes(data, passphrase)
    for wrong in ("", b"correct horse", 3):
        with pytest.raises(ValueError, match="a passphrase is text"):
            keys.to_bytes(wrong)


def test_no_two_files_are_sealed_alike(keys):
    """Salt and nonce are drawn anew; what is sealed is nothing but noise to others."""
    one, other = (keys.to_bytes("correct horse") for _ in range(2))
    said = [unpack(SECRET_MAGIC, data, "secret keys")[0]["protection"] for data in (one, other)]
    assert said[0]["salt"] != said[1]["salt"]
    assert said[0]["nonce"] != said[1]["nonce"]
    assert {name: said[0][name] for name in ("kdf", "n", "r", "p", "cipher")} == {
        **{"kdf": "scrypt", "n": 2**15, "r": 8, "p": 3},
        "cipher": "AES-256-GCM",
    }
    assert one[-200:] != other[-200:]
    for data in (one, other):
        assert not any(form in data for form in secrets_of(keys))
    assert any(form in keys.to_bytes() for form in secrets_of(keys))


@pytest.mark.parametrize("passphrase", [None, "correct horse"])
def test_altered_keys_are_refused(linear, passphrase):
    """Every byte, one after the other, but for the passphrase a sample: each takes a fifth of a second."""
    keys = generate_keys(parameters(linear))
    data = keys.to_bytes(passphrase)
    rng = np.random.default_rng(0)
    places = range(len(data)) if passphrase is None else rng.choice(len(data), size=40, replace=False)
    for place in places:
        altered = bytearray(data)
        altered[place] ^= int(rng.integers(1, 256))
        with pytest.raises(ValueError, match=r"secret keys|protection|parameters"):
            SecretKeys.from_bytes(bytes(altered), passphrase)
    for wrong in (b"", data[:-1], data[:50], data + b"x", keys.evaluation.to_bytes()):
        with pytest.raises(ValueError, match="secret keys"):
            SecretKeys.from_bytes(wrong, passphrase)


@pytest.mark.parametrize(
    "changed",
    [
        *({"n": 2**18}, {"n": 2**40}, {"n": 2**15 + 1}, {"n": 1}, {"n": 2.0**15}, {"n": True}),
        *({"r": 2**20}, {"r": 0}, {"r": -8}, {"p": 17}, {"p": 0}, {"p": "3"}, {"n": None}),
        *({"kdf": "none"}, {"cipher": "none"}, {"salt": ""}, {"salt": 3}, {"nonce": "00"}, {"more": 1}),
    ],
)
def test_files_made_to_harm_take_no_memory(keys, changed, monkeypatch):
    """What they ask of scrypt is bounded before it is called: 128 MiB and some seconds."""
    from skfhe.encryption import _sealing

    monkeypatch.setattr(_sealing, "Scrypt", lambda **_: pytest.fail("called"))
    header, blocks = unpack(SECRET_MAGIC, keys.to_bytes(), "secret keys")
    header["protection"] = _sealing.new_protection() | changed
    with pytest.raises(ValueError, match="protection by a passphrase"):
        SecretKeys.from_bytes(pack(SECRET_MAGIC, header, blocks), "correct horse")


@pytest.mark.parametrize(
    "text",
    [
        *(b"", b"[]", b"3", b"{}", b'{"lweSecretKeys": []}', b'{"lweSecretKeys": {}}', b"[" * 100_000),
        b'{"lweSecretKeys": [{"id": 0, "params": {"integerPrecision": 64, "keyType": "binary", '
        b'"lweDimension": 1000000000000}}]}',
        b'{"lweSecretKeys": [{"id": 0, "params": {"integerPrecision": 64, "keyType": "binary", '
        b'"lweDimension": 3}}], "lweBootstrapKeys": 3}',
    ],
)
def test_parameters_made_to_harm_are_refused(keys, text):
    """They are read before the checksum is known to be right, which anyone can make."""
    header, (nonce, *_, sealed) = unpack(SECRET_MAGIC, keys.to_bytes(), "secret keys")
    with pytest.raises(ValueError, match="parameters"):
        SecretKeys.from_bytes(pack(SECRET_MAGIC, header, [nonce, text, sealed]))


@pytest.mark.parametrize(
    "changed",
    [{"id": 3}, {"created": "now"}, {"created": None}, {"expires": 3}, {"protection": 3}, {"more": 1}],
)
def test_headers_that_cannot_be_are_refused(keys, changed):
    header, blocks = unpack(SECRET_MAGIC, keys.to_bytes(), "secret keys")
    with pytest.raises(ValueError, match="header of secret keys"):
        SecretKeys.from_bytes(pack(SECRET_MAGIC, header | changed, blocks))


def test_dates_are_kept(linear):
    now = datetime.now(UTC)
    created = now - timedelta(2)
    for lifetime, expired in ((timedelta(1), True), (timedelta(3), False), (None, False)):
        keys = generate_keys(parameters(linear), created=created, lifetime=lifetime)
        for each in (keys, SecretKeys.from_bytes(keys.to_bytes())):
            assert (each.created, each.expired) == (created, expired)
            assert each.expires == (created + lifetime if lifetime else None)


def test_secret_keys_are_shown_pickled_and_copied_nowhere(keys):
    for use in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="secret keys are not pickled"):
            use(keys)
    assert repr(keys) == str(keys) == f"{keys}" == "SecretKeys(of 2 parameters)"
    for given in (keys.evaluation.to_bytes(), pickle.dumps(keys.evaluation)):
        assert not any(form in given for form in secrets_of(keys))
