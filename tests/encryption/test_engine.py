"""The engine decrypts what we encrypt, and we what it encrypts, in frames that are equal byte by byte."""

import math

import numpy as np
import pytest

from skfhe.circuit._bindings import generate_keyset, secret_words
from skfhe.encryption import decrypt, new_seed
from tests.encryption.by_engine import EngineClient
from tests.encryption.descriptions import description, form_of, gate, sealed

GATES = {
    "unsigned": gate((2, 3), width=4),
    "signed": gate((2, 3), width=4, signed=True),
    "one row": gate((1, 5), width=2),
    "one axis": gate((7,), width=3, signed=True, dimension=17),
    "three axes": gate((2, 3, 4), width=6, signed=True),
    "five axes": gate((1, 2, 3, 1, 2), width=5),
    "one bit": gate((2, 2), width=1),
    "one bit with a sign": gate((2, 2), width=1, signed=True),
    "narrow, of wide keys": gate((2, 2), width=2, dimension=4096, variance=4.7e-38),
    "wide": gate((2, 3), width=30, signed=True, dimension=1501, variance=1e-26),
    "wider": gate((2, 3), width=40, dimension=2048, variance=1e-31),
    "batch of 8": gate((8, 6), width=7, signed=True),
    "batch of 32": gate((32, 5), width=3, dimension=700),
    "residues": gate((2, 3), width=11, moduli=(5, 7, 8, 9), dimension=2048, variance=8.4e-31),
    "residues with a sign": gate((4, 3), width=12, signed=True, moduli=(7, 8, 9, 11)),
    "one residue": gate((2, 3), width=2, signed=True, moduli=(8,)),
    "residues, one axis": gate((5,), width=15, signed=True, moduli=(11, 13, 15, 16), dimension=17),
    "residues, three axes": gate((2, 1, 3), width=4, moduli=(5, 8)),
}


def lists_of(*gates):
    """Return what one row of each is and their frames, the engine's own client, and the secret words."""
    text = description(*gates)
    keyset = generate_keyset(text, None)
    forms, frames = zip(*(form_of(each) for each in gates), strict=True)
    return forms, frames, EngineClient(text, keyset, "rows_1"), secret_words(keyset)


def integers(frame, modulo=False):
    """Return integers of a frame's shape, both ends among them.

    With ``modulo``, all that the uppermost ``width + 1`` bits can have, or all residues.
    """
    rng = np.random.default_rng(0)
    parameters = frame.parameters
    if modulo:
        low, high = (
            0,
            (math.prod(parameters.moduli) if parameters.moduli else 2 ** (parameters.width + 1)) - 1,
        )
    elif parameters.signed:
        low, high = -(2 ** (parameters.width - 1)), 2 ** (parameters.width - 1) - 1
    else:
        low, high = 0, 2**parameters.width - 1
    x = rng.integers(low, high, parameters.shape, endpoint=True)
    x.flat[:2] = low, high
    return x


@pytest.fixture(scope="module", params=GATES)
def case(request):
    (form,), (frame,), engine, (key,) = lists_of(GATES[request.param])
    return form, frame, engine, key


def test_the_engine_decrypts_ours(case):
    form, frame, engine, key = case
    x = integers(frame)
    (found,) = engine.decrypt(sealed(x, key, form, new_seed()))
    np.testing.assert_array_equal(found, x)


def test_we_decrypt_the_engines(case):
    form, frame, engine, key = case
    x = integers(frame)
    (ciphertext,) = engine.encrypt(x)
    np.testing.assert_array_equal(decrypt(frame.words(ciphertext), key, form), x)


def test_integers_beyond_their_width_are_read_as_the_engine_reads_them(case):
    """Sums may fill one bit more than the width; what that means, and its sign, is the engine's rule."""
    form, frame, engine, key = case
    x = integers(frame, modulo=True)
    expanded = sealed(x, key, form, new_seed())
    (expected,) = engine.decrypt(expanded)
    np.testing.assert_array_equal(decrypt(frame.words(expanded), key, form), expected)


def test_frames_are_the_engines_byte_by_byte(case):
    """Of zeros; the words themselves are random."""
    form, frame, engine, key = case
    x = np.zeros(frame.parameters.shape, dtype=np.int64)
    theirs = bytearray(engine.encrypt(x)[0])
    ours = bytearray(sealed(x, key, form, new_seed()))
    assert len(ours) == len(theirs) == frame.n_bytes
    words = slice(frame.begin, frame.begin + 8 * frame.parameters.n_words)
    assert ours[words] != theirs[words]
    ours[words] = theirs[words] = bytes(8 * frame.parameters.n_words)
    assert ours == theirs == frame.empty()


def test_several_arrays_of_several_keys():
    """Each array has its own key, by the engine's count, and a number in the batch."""
    gates = (
        gate((2, 3), width=5, signed=True),
        gate((2, 4), width=3, dimension=700, key_id=1),
        gate((2,), width=2),
    )
    forms, frames, engine, keys = lists_of(*gates)
    assert [len(key) for key in keys] == [600, 700]
    inputs, seed = [integers(frame) for frame in frames], new_seed()
    expanded = [
        sealed(x, keys[form.key_id], form, seed, i)
        for i, (x, form) in enumerate(zip(inputs, forms, strict=True))
    ]
    for found, x in zip(engine.decrypt(*expanded), inputs, strict=True):
        np.testing.assert_array_equal(found, x)
    for ciphertext, x, form, frame in zip(engine.encrypt(*inputs), inputs, forms, frames, strict=True):
        np.testing.assert_array_equal(decrypt(frame.words(ciphertext), keys[form.key_id], form), x)


def test_the_engines_noise_is_what_we_take_it_for():
    """Noise of its ciphertexts, seen with the key, has the variance that we read from the parameters.

    The bound is 6 standard deviations of a sample variance.
    """
    (form,), (frame,), engine, (key,) = lists_of(gate((4, 1000), width=4, dimension=600, variance=1e-15))
    (ciphertext,) = engine.encrypt(np.zeros(frame.parameters.shape, dtype=np.int64))
    words = frame.words(ciphertext)
    noise = (words[:, -1] - words[:, :-1] @ key).view(np.int64) / 2.0**64
    assert abs(np.mean(noise**2) / form.variance - 1) < 6 * (2 / len(noise)) ** 0.5
