"""The engine decrypts what we encrypt, and we what it encrypts, in frames that are equal byte by byte."""

import numpy as np
import pytest

from skfhe.circuit._bindings import ClientFunction, generate_keyset, secret_words
from skfhe.encryption import Frame, decrypt, encrypt, expand, new_seed, read_parameters
from tests.encryption.descriptions import description, gate

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
}


def lists_of(*gates):
    """Return parameters and keys of a circuit, the engine's function for it, and the secret words."""
    text = description(*gates)
    keyset = generate_keyset(text, None)
    return (
        [read_parameters(each) for each in gates],
        ClientFunction(text, keyset, "rows_1"),
        secret_words(keyset),
    )


def integers(parameters, modulo=False):
    """Return integers of the parameters' shape, both ends among them.

    With ``modulo``, all that the uppermost ``width + 1`` bits can have.
    """
    rng = np.random.default_rng(0)
    if modulo:
        low, high = 0, 2 ** (parameters.width + 1) - 1
    elif parameters.signed:
        low, high = -(2 ** (parameters.width - 1)), 2 ** (parameters.width - 1) - 1
    else:
        low, high = 0, 2**parameters.width - 1
    x = rng.integers(low, high, parameters.shape, endpoint=True)
    x.flat[:2] = low, high
    return x


@pytest.fixture(scope="module", params=GATES)
def case(request):
    (parameters,), function, (key,) = lists_of(GATES[request.param])
    return parameters, function, key


def test_the_engine_decrypts_ours(case):
    parameters, function, key = case
    x, seed = integers(parameters), new_seed()
    (found,) = function.decrypt(expand(encrypt(x, key, parameters, seed, 0), Frame(parameters), seed, 0))
    np.testing.assert_array_equal(found, x)


def test_we_decrypt_the_engines(case):
    parameters, function, key = case
    x = integers(parameters)
    (ciphertext,) = function.encrypt(x)
    words = Frame(parameters).words(ciphertext.serialize())
    np.testing.assert_array_equal(decrypt(words, key, parameters), x)


def test_integers_beyond_their_width_are_read_as_the_engine_reads_them(case):
    """Sums may fill one bit more than the width; what that means, and its sign, is the engine's rule."""
    parameters, function, key = case
    x, seed, frame = integers(parameters, modulo=True), new_seed(), Frame(parameters)
    expanded = expand(encrypt(x, key, parameters, seed, 0), frame, seed, 0)
    (expected,) = function.decrypt(expanded)
    np.testing.assert_array_equal(decrypt(frame.words(expanded), key, parameters), expected)


def test_frames_are_the_engines_byte_by_byte(case):
    """Of zeros; the words themselves are random."""
    parameters, function, key = case
    x, seed = np.zeros(parameters.shape, dtype=np.int64), new_seed()
    frame = Frame(parameters)
    (theirs,) = function.encrypt(x)
    theirs = bytearray(theirs.serialize())
    ours = bytearray(expand(encrypt(x, key, parameters, seed, 0), frame, seed, 0))
    assert len(ours) == len(theirs) == frame.n_bytes
    words = slice(frame.begin, frame.begin + 8 * parameters.n_words)
    assert ours[words] != theirs[words]
    ours[words] = theirs[words] = bytes(8 * parameters.n_words)
    assert ours == theirs == frame.empty()


def test_several_arrays_of_several_keys():
    """Each array has its own key, by the engine's count, and a number in the batch."""
    gates = (
        gate((2, 3), width=5, signed=True),
        gate((2, 4), width=3, dimension=700, key_id=1),
        gate((2,), width=2),
    )
    parameters, function, keys = lists_of(*gates)
    assert [len(key) for key in keys] == [600, 700]
    inputs, seed = [integers(each) for each in parameters], new_seed()
    expanded = [
        expand(encrypt(x, keys[each.key_id], each, seed, i), Frame(each), seed, i)
        for i, (x, each) in enumerate(zip(inputs, parameters, strict=True))
    ]
    for found, x in zip(function.decrypt(*expanded), inputs, strict=True):
        np.testing.assert_array_equal(found, x)
    for ciphertext, x, each in zip(function.encrypt(*inputs), inputs, parameters, strict=True):
        words = Frame(each).words(ciphertext.serialize())
        np.testing.assert_array_equal(decrypt(words, keys[each.key_id], each), x)


def test_the_engines_noise_is_what_we_take_it_for():
    """Noise of its ciphertexts, seen with the key, has the variance that we read from the parameters.

    The bound is 6 standard deviations of a sample variance.
    """
    (parameters,), function, (key,) = lists_of(gate((4, 1000), width=4, dimension=600, variance=1e-15))
    (ciphertext,) = function.encrypt(np.zeros(parameters.shape, dtype=np.int64))
    words = Frame(parameters).words(ciphertext.serialize())
    noise = (words[:, -1] - words[:, :-1] @ key).view(np.int64) / 2.0**64
    assert abs(np.mean(noise**2) / parameters.variance - 1) < 6 * (2 / parameters.size) ** 0.5
