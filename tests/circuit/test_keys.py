"""Evaluation keys can go anywhere, secret ones nowhere."""

import hashlib
import json
import pickle
import struct
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from skfhe.circuit import (
    Batch,
    ClientSession,
    EvaluationKeys,
    _bindings,
    _host,
    compile_program,
    generate_keys,
)
from skfhe.circuit._engine import fhe
from skfhe.circuit._frames import pack, unpack
from skfhe.circuit._key_messages import key_message, key_parameters, key_words, words_bytes
from skfhe.exceptions import CiphertextMismatchError, ForkedProcessError
from skfhe.program import run
from tests.circuit.two_parts import two_parts
from tests.conftest import random_inputs
from tests.encryption.by_engine import engine_keyset

MAGIC = b"skfhe-ek"


@pytest.fixture(scope="module")
def circuit():
    circuit = compile_program(two_parts(), batch_sizes=(1, 2))
    circuit.keygen()
    return circuit


@pytest.fixture(scope="module")
def data(circuit):
    return circuit.session.evaluation_keys.to_bytes()


@pytest.fixture(scope="module")
def unnamed(circuit):
    """A session whose keys nobody has asked the name of."""
    session = ClientSession(circuit.compiled.specs)
    session.keygen()
    return session


@pytest.fixture
def unread(monkeypatch):
    """The engine reads no keys."""
    monkeypatch.setattr(_bindings, "read_public_keyset", lambda message: pytest.fail("given to the engine"))


def one_row(circuit, session=None):
    return (session or circuit.session).encrypt(*random_inputs(circuit.program, 1, np.random.default_rng(0)))


def sealed(nonce, parameters, words):
    """Return bytes of keys of any content, named by it, as someone makes them who knows how."""
    blocks = [nonce, *parameters, *words]
    hashed = MAGIC + b"".join(len(block).to_bytes(8, "little") + block for block in blocks)
    return pack(MAGIC, {"id": hashlib.sha256(hashed).hexdigest()}, blocks)


def named(keys, batch):
    """Return ``batch`` as if it were encrypted under ``keys``."""
    header, blocks = unpack(b"skfhe-ct", batch.to_bytes(), "a batch")
    return Batch.from_bytes(pack(b"skfhe-ct", header | {"key_id": str(keys.id)}, blocks))


def test_keys_are_sent_in_a_fourth_of_their_bytes_and_run_a_circuit(circuit, data):
    """Expanded on first use, and sent again as they came."""
    assert 4 * len(data) < circuit.statistics["key_bytes"]
    keys = EvaluationKeys.from_bytes(data)
    inputs = random_inputs(circuit.program, 2, np.random.default_rng(0))
    batch = Batch.from_bytes(circuit.encrypt(*inputs).to_bytes())
    results = Batch.from_bytes(circuit.compiled.run(batch, keys).to_bytes())
    assert results.key_id == keys.id == str(circuit.session.key_id)
    for found, wanted in zip(circuit.decrypt(results), run(circuit.program, *inputs), strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert keys.to_bytes() == data == circuit.session.evaluation_keys.to_bytes()
    for part in circuit.compiled.specs.parts:
        assert keys.keyset(part.parameters) is keys.keyset(part.parameters)


def test_keys_without_lookups_are_a_nonce_and_parameters(circuit, data):
    """Nothing of them depends on the secret keys: what tells them apart is the nonce."""
    _, (nonce, _, parameters, _, words) = unpack(MAGIC, data, "evaluation keys")
    assert (len(nonce), len(parameters) < 250, words) == (16, True, b"")
    alone = (circuit.compiled.specs.parts[1].parameters,)
    first, second = (generate_keys(alone).evaluation.to_bytes() for _ in range(2))
    assert len(first) == len(second) < 500
    assert first != second


def test_what_the_engine_is_configured_to_compress_is_sent_in_the_same_form(circuit, data):
    """It is compressed already, and nothing depends on the engine's own way."""
    options = fhe.Configuration(compress_evaluation_keys=True, compress_input_ciphertexts=True)
    other = compile_program(two_parts(), configuration=options, batch_sizes=(1,))
    parameters = compile_program(two_parts(), batch_sizes=(1,)).compiled.specs.parts
    assert [part.parameters for part in other.compiled.specs.parts] == [
        part.parameters for part in parameters
    ]
    assert options.compress_evaluation_keys


def test_the_message_is_what_the_engine_writes(circuit):
    """Read by the engine, it is the same keys with the same parameters, to the last bit."""
    for part in circuit.compiled.specs.parts:
        keyset = engine_keyset(part.parameters, circuit.session._keys.of(part.parameters))
        written = _bindings.compressed_keys(part.parameters, keyset)
        parameters = key_parameters(part.parameters)
        words = key_words(parameters, written)
        assert len(words) == words_bytes(parameters)
        read = _bindings.read_public_keyset(key_message(parameters) + words)
        assert read.serialize() == written


def test_no_two_keys_have_the_same_seed(circuit, data):
    """Not those of one set, nor those of the same secret keys: they would have masks in common."""
    _, blocks = unpack(MAGIC, data, "evaluation keys")
    part = circuit.compiled.specs.parts[0]
    keyset = engine_keyset(part.parameters, circuit.session._keys.of(part.parameters))
    again = key_words(blocks[1], _bindings.compressed_keys(part.parameters, keyset))
    (key,) = json.loads(blocks[1])["lweKeyswitchKeys"]
    second = -16 - 8 * key["params"]["levelCount"] * key["params"]["inputLweDimension"]
    seeds = [words[at:][:16] for words in (blocks[3], again) for at in (0, second)]
    assert len(set(seeds)) == 4
    assert len(set(np.concatenate([np.frombuffer(seed, dtype=np.uint64) for seed in seeds]))) == 8


def test_the_name_is_a_hash_of_all_that_is_sent(circuit, data):
    header, blocks = unpack(MAGIC, data, "evaluation keys")
    hashed = MAGIC + b"".join(len(block).to_bytes(8, "little") + block for block in blocks)
    assert header == {"id": hashlib.sha256(hashed).hexdigest()}
    assert blocks[1:3] == [key_parameters(part.parameters) for part in circuit.compiled.specs.parts]
    assert header["id"] == circuit.session.key_id == str(circuit.session.evaluation_keys.id)


def test_what_stays_in_the_process_needs_no_name(circuit, unnamed, monkeypatch):
    """To find it takes as long as to generate keys. Two key sets are known to differ without it."""
    session, other = unnamed, circuit.session
    monkeypatch.setattr(_bindings, "compressed_keys", lambda *_: pytest.fail("made to be sent"))
    batch = one_row(circuit, session)
    result = circuit.compiled.run(batch, session.evaluation_keys)
    session.decrypt(result)
    assert batch.key_id == session.key_id
    for use in (other.decrypt, lambda batch: circuit.compiled.run(batch, other.evaluation_keys)):
        with pytest.raises(CiphertextMismatchError):
            use(result)
    repr((session.key_id, session.evaluation_keys, batch))


def test_a_forked_child_gives_keys_no_second_name(circuit, data, unnamed, monkeypatch):
    """It has the name that was found before, and is refused what would make other keys to be sent."""
    batch = one_row(circuit, unnamed)
    monkeypatch.setattr(_host, "_current", _host.Process(frozenset({_host.Work.KEY_GENERATION})))
    assert circuit.session.evaluation_keys.to_bytes() == data
    for use in (batch.to_bytes, unnamed.evaluation_keys.to_bytes, lambda: str(unnamed.key_id)):
        with pytest.raises(ForkedProcessError, match="making evaluation keys to be sent"):
            use()
    assert unnamed.key_id == batch.key_id


def test_secret_keys_and_sessions_are_not_pickled(circuit):
    for secret in (circuit.session._keys, circuit.session):
        with pytest.raises(TypeError, match="secret keys"):
            pickle.dumps(secret)


def test_evaluation_keys_are_pickled_as_they_are_sent(circuit, data):
    """In their process they refer to the secret keys, which must not come along."""
    pickled = pickle.dumps(circuit.session.evaluation_keys)
    assert data in pickled
    assert len(pickled) < len(data) + 1000
    assert pickle.loads(pickled).to_bytes() == data
    for part in circuit.compiled.specs.parts:
        for words in circuit.session._keys.of(part.parameters):
            bits = words[:256]
            assert set(bits) == {0, 1}
            packed = [np.packbits(bits.astype(bool), bitorder=order).tobytes() for order in ("big", "little")]
            assert not any(
                form in pickled for form in (bits.tobytes(), bits.astype(np.uint8).tobytes(), *packed)
            )


def test_secret_keys_are_refused_by_name(circuit, unread):
    """A whole key set would be read by the engine as if it were evaluation keys."""
    for part in circuit.compiled.specs.parts:
        keyset = engine_keyset(part.parameters, circuit.session._keys.of(part.parameters))
        for secret in (keyset, *keyset.get_client_keys().get_secret_keys()):
            with pytest.raises(ValueError, match="these are secret keys"):
                EvaluationKeys.from_bytes(secret.serialize())
    for passphrase in (None, "correct horse"):
        with pytest.raises(ValueError, match="these are secret keys"):
            EvaluationKeys.from_bytes(circuit.session._keys.to_bytes(passphrase))


def test_keys_that_do_not_fit_are_refused_unread(circuit, data, unread):
    """Given to the engine, most would end the process. The names agree, as after a mistake in storing."""
    _, (nonce, *parameters, lookup_words, no_words) = unpack(MAGIC, data, "evaluation keys")
    wider = compile_program(two_parts(bits=3), batch_sizes=(1, 2)).compiled.specs.parts
    batch = one_row(circuit)
    for message, changed, words in (
        ("other parameters", [key_parameters(part.parameters) for part in wider], [lookup_words, b""]),
        ("other parameters", parameters[::-1], [no_words, lookup_words]),
        ("other parameters", parameters[1:] * 2, [no_words] * 2),
        ("other parameters", parameters[:1], [lookup_words]),
        ("other parameters", [*parameters, parameters[1]], [lookup_words, no_words, no_words]),
        ("other parameters", [parts.parameters for parts in circuit.compiled.specs.parts], [b"", b""]),
        ("bytes of evaluation keys number 0, got 0", parameters, [no_words, lookup_words]),
        ("bytes of evaluation keys number 0", parameters, [lookup_words + bytes(8), no_words]),
        ("bytes of evaluation keys number 0", parameters, [lookup_words[:-1], no_words]),
        ("expected 0 bytes of evaluation keys number 1, got 8", parameters, [lookup_words, bytes(8)]),
    ):
        keys = EvaluationKeys.from_bytes(sealed(nonce, changed, words))
        with pytest.raises(CiphertextMismatchError, match=message):
            circuit.compiled.run(named(keys, batch), keys)
    with pytest.raises(TypeError, match="expected EvaluationKeys, got SecretKeys"):
        circuit.compiled.run(batch, circuit.session._keys)


def test_each_single_parameter_is_compared(circuit, data, unread):
    """Dimensions, levels, bases, variances, names of keys, compression: there is none that is overlooked."""
    _, (nonce, *parameters, lookup_words, no_words) = unpack(MAGIC, data, "evaluation keys")
    batch, text = one_row(circuit), parameters[0]
    numbers = [at for at in range(len(text)) if text[at : at + 1].isdigit()]
    assert len(numbers) > 60
    for at in numbers:
        other = text[:at] + str((text[at] - ord("0") + 1) % 10).encode() + text[at + 1 :]
        keys = EvaluationKeys.from_bytes(sealed(nonce, [other, parameters[1]], [b"", no_words]))
        with pytest.raises(CiphertextMismatchError, match="other parameters"):
            circuit.compiled.run(named(keys, batch), keys)
    for changed in (text.replace(b"seed", b"none", 1), text.replace(b"binary", b"ternary", 1)):
        keys = EvaluationKeys.from_bytes(sealed(nonce, [changed, parameters[1]], [lookup_words, no_words]))
        with pytest.raises(CiphertextMismatchError, match="other parameters"):
            circuit.compiled.run(named(keys, batch), keys)


def test_circuits_of_equal_parameters_share_keys_if_the_names_say_so(circuit, data):
    other = compile_program(two_parts(weight=-1), batch_sizes=(1, 2))
    assert [key_parameters(part.parameters) for part in other.compiled.specs.parts] == [
        key_parameters(part.parameters) for part in circuit.compiled.specs.parts
    ]
    keys = EvaluationKeys.from_bytes(data)
    with pytest.raises(CiphertextMismatchError, match="another circuit"):
        other.compiled.run(one_row(circuit), keys)
    with pytest.raises(CiphertextMismatchError, match="other keys"):
        other.compiled.run(one_row(other), keys)
    sharing = ClientSession(other.compiled.specs, circuit.session._keys)
    inputs = random_inputs(other.program, 1, np.random.default_rng(0))
    result = other.compiled.run(sharing.encrypt(*inputs), keys)
    for found, wanted in zip(sharing.decrypt(result), run(other.program, *inputs), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_any_words_are_keys(circuit, data):
    """What the engine is given of others cannot harm it: results under such keys are any numbers."""
    _, (nonce, *parameters, words, no_words) = unpack(MAGIC, data, "evaluation keys")
    rng = np.random.default_rng(0)
    for any_words in (rng.bytes(len(words)), b"\xff" * len(words), bytes(len(words))):
        keys = EvaluationKeys.from_bytes(sealed(nonce, parameters, [any_words, no_words]))
        result = circuit.compiled.run(named(keys, one_row(circuit)), keys)
        assert result.key_id == keys.id != circuit.session.key_id


def test_foreign_and_incomplete_bytes_are_refused(circuit, data):
    for wrong in (b"", data[:-1], data[:100], data + b"x", one_row(circuit).to_bytes()):
        with pytest.raises(ValueError, match="evaluation keys"):
            EvaluationKeys.from_bytes(wrong)
    with pytest.raises(TypeError, match="expected the bytes of evaluation keys, got str"):
        EvaluationKeys.from_bytes("skfhe-ek")
    two = [bytes(16), b"", b""]
    for header, blocks in (
        *(({}, two), ({"id": 3}, two), ({"id": "x"}, two[:2]), ({"id": "x"}, two[:1]), ({"id": "x"}, [])),
        ({"id": "x"}, [bytes(15), b"", b""]),
    ):
        with pytest.raises(ValueError, match="header of evaluation keys"):
            EvaluationKeys.from_bytes(pack(MAGIC, header, blocks))


def test_altered_keys_are_refused(data):
    """One bit of the name, of the nonce, of the parameters, of any word."""
    for place in (*range(20, 90, 7), 120, 800, *np.random.default_rng(0).integers(len(data), size=10)):
        altered = bytearray(data)
        altered[place] ^= 1
        with pytest.raises(ValueError, match="evaluation keys"):
            EvaluationKeys.from_bytes(bytes(altered))


def test_keys_of_kinds_that_are_not_sent_are_refused(circuit):
    text = key_parameters(circuit.compiled.specs.parts[0].parameters)
    for changed in (
        text.replace(b'"native":{}', b'"integer":{"modulus":7}', 1),
        text.replace(b'"polynomialSize":', b'"polynomialSize":9999', 1),
        text.replace(b'"seed"', b'"none"', 1),
    ):
        assert changed != text
        for use in (words_bytes, key_message):
            with pytest.raises(ValueError, match=r"(not|cannot be) sent"):
                use(changed)


def small_parameters():
    """Return the description of keys of all kinds, so small that thousands are mutated in seconds."""
    form = {"integerPrecision": 64, "keyType": "binary", "modulus": {"modulus": {"native": {}}}}
    levels = {"levelCount": 2, "baseLog": 3, "variance": 1e-9, "inputLweDimension": 3, **form}
    glwe = {"glweDimension": 1, "polynomialSize": 4}
    names = {"id": 0, "inputId": 0, "outputId": 1}
    keyset = {
        "lweSecretKeys": [],
        "lweBootstrapKeys": [{**names, "compression": "none", "params": levels | glwe}],
        "lweKeyswitchKeys": [{**names, "compression": "none", "params": levels | {"outputLweDimension": 4}}],
        "packingKeyswitchKeys": [
            {**names, "compression": "none", "params": levels | glwe | {"innerLweDimension": 5}}
        ],
    }
    nothing = {kind: [] for kind in keyset}
    return tuple(json.dumps({"keyset": each, "circuits": []}).encode() for each in (keyset, nothing))


def test_packing_keys_are_stated_as_the_engine_states_them():
    """As it was seen to write those of a lookup of 12 bits, which take half a gigabyte.

    A message that has them is read and written by the engine, which leaves the words as they are.
    """
    (description, _), rng = small_parameters(), np.random.default_rng(0)
    described = json.loads(key_parameters(description))
    sizes = {"levelCount": 2, "baseLog": 16, "glweDimension": 2, "polynomialSize": 1024}
    sizes |= {"inputLweDimension": 2048, "innerLweDimension": 781, "variance": 8.442253112932959e-31}
    large = json.loads(json.dumps(described))
    large["packingKeyswitchKeys"][0]["params"] |= sizes
    stated = struct.pack("<6IdII", 2, 16, 2, 1024, 2048, 781, sizes["variance"], 64, 0)
    assert stated in key_message(json.dumps(large).encode())
    parameters = json.dumps(described).encode()
    words = rng.bytes(words_bytes(parameters))
    keyset = _bindings.read_public_keyset(key_message(parameters) + words)
    assert key_words(parameters, keyset.serialize()) == words


def test_keys_are_expanded_once_for_all_threads(monkeypatch):
    described = [key_parameters(each) for each in small_parameters()]
    keys = EvaluationKeys.from_bytes(
        sealed(bytes(16), described, [bytes(words_bytes(each)) for each in described])
    )
    read = []

    def reader(message):
        read.append(message)
        time.sleep(0.05)
        return object()

    monkeypatch.setattr(_bindings, "read_public_keyset", reader)
    with ThreadPoolExecutor(4) as threads:
        assert len(set(threads.map(keys.keyset, small_parameters()[:1] * 8))) == 1
    assert len(read) == 1


def mutated(data, rng):
    """Return ``data`` with bits flipped, bytes cut off, moved, repeated or left out, other numbers."""
    changed = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        at, other = sorted(int(place) for place in rng.integers(len(changed) + 1, size=2))
        kind = rng.integers(7)
        if kind == 0:
            for place in rng.integers(len(changed), size=rng.integers(1, 9)):
                changed[place] ^= 1 << rng.integers(8)
        elif kind == 1:
            del changed[max(at, 1) :]
        elif kind == 2:
            del changed[at : at + rng.integers(1, 17)]
        elif kind == 3:
            changed[at:at] = changed[other : other + rng.integers(1, 200)]
        elif kind == 4:
            changed[at : at + 8] = changed[other : other + 8]
        elif kind == 5:
            changed[at:at] = rng.bytes(rng.integers(1, 33))
        else:  # numbers of the header and of the parameters: lengths, above all
            digits = [place for place, byte in enumerate(changed) if 48 <= byte < 58]
            for place in rng.choice(digits, size=min(3, len(digits)), replace=False) if digits else ():
                changed[place] = 48 + rng.integers(10)
        changed = changed or bytearray(b"s")
    return bytes(changed)


def mutated_and_sealed(data, rng):
    """Return keys of which some blocks are mutated, by someone who names them by what they are then."""
    _, blocks = unpack(MAGIC, data, "evaluation keys")
    for _ in range(rng.integers(1, 3)):
        at = rng.integers(len(blocks))
        kind = rng.integers(6)
        if kind == 0 and len(blocks) > 1:
            del blocks[at]
        elif kind == 1:
            blocks.insert(at, blocks[rng.integers(len(blocks))])
        elif kind == 2:
            blocks[at] = rng.bytes(len(blocks[at]))
        else:
            blocks[at] = mutated(blocks[at] or b"0", rng)
    n_parts = len(blocks) // 2
    return sealed(blocks[0], blocks[1 : 1 + n_parts], blocks[1 + n_parts :])


@pytest.mark.parametrize("n_mutations", [300, pytest.param(10_000, marks=pytest.mark.slow)])
def test_mutated_keys_are_refused_or_harmless(n_mutations, monkeypatch):
    """Nothing but words of the right number reaches the engine, whoever made and named the keys.

    All else of what it reads is of the circuit's parameters, compared to the bit; and any words are keys.
    """
    parameters = small_parameters()
    described = [key_parameters(each) for each in parameters]
    heads = {key_message(each): words_bytes(each) for each in described}
    assert sorted(heads.values()) == [0, 1488]
    rng = np.random.default_rng(0)
    data = sealed(bytes(16), described, [rng.bytes(words_bytes(each)) for each in described])
    read = []

    def reader(message):
        read.append(message)
        assert any(message[: -n or None] == head for head, n in heads.items())

    monkeypatch.setattr(_bindings, "read_public_keyset", reader)
    n_accepted, longest = 0, 0.0
    tracemalloc.start()
    for i in range(n_mutations):
        changed = (mutated if i % 2 else mutated_and_sealed)(data, rng)
        start = time.process_time()
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        try:
            keys = EvaluationKeys.from_bytes(changed)
            keys.check(parameters)
        except (ValueError, CiphertextMismatchError):
            pass
        else:
            n_accepted += 1
            assert i % 2 == 0 or changed == data
            for each in parameters:
                keys.keyset(each)
        longest = max(longest, time.process_time() - start)
        assert tracemalloc.get_traced_memory()[1] - before < 20 * len(changed) + 100_000
        # Some of those that are sealed have other words of the same number, and no more than that.
        assert len(read) == 2 * n_accepted
    tracemalloc.stop()
    assert 0 < n_accepted < n_mutations / 4
    assert longest < 1.0
