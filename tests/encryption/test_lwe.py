"""Seed and bodies are all that is sent: they expand to ciphertexts that the key decrypts."""

import hashlib

import numpy as np
import pytest

from skfhe.encryption import Seeded, _lwe, decrypt, encrypt, expand, new_seed
from skfhe.exceptions import CiphertextMismatchError
from tests.encryption.descriptions import form_of, gate, sealed

SEED = bytes(range(16))
ANSWER = "290e741c3d79c3558cc5ea9f8acd44d5383674f5a7dc69bb0fb6822247cf9ff1"


def key_of(dimension):
    return np.random.default_rng(0).integers(0, 2, dimension).astype(np.uint64)


def made(shape=(3, 2), dimension=600, **options):
    """Return what one row is, the frame of all, and a key."""
    return *form_of(gate(shape, dimension=dimension, **options)), key_of(dimension)


def test_expansion_is_as_it_was(monkeypatch):
    """A known answer, without noise: what has been sent must be read in the same way for ever."""
    monkeypatch.setattr(_lwe, "noise", lambda n, variance: np.zeros(n, dtype=np.int64))
    form, frame, key = made(signed=True)
    x = np.array([[-8, 7], [0, 1], [-1, 3]])
    words = frame.words(sealed(x, key, form, SEED, 2))
    assert hashlib.sha256(words.tobytes()).hexdigest() == ANSWER
    # The same by the definition: every ciphertext is one stretch of the stream whose last word is the body.
    uniform = np.frombuffer(_lwe.stream(SEED, 2).update(bytes(8 * words.size)), "<u8").reshape(words.shape)
    np.testing.assert_array_equal(words[:, :-1], uniform[:, :-1])
    scaled = [int(v) << 59 for v in x.flat]
    expected = [
        (sum(int(a) for a, s in zip(row[:-1], key, strict=True) if s) + m) % 2**64
        for row, m in zip(uniform, scaled, strict=True)
    ]
    np.testing.assert_array_equal(words[:, -1], np.array(expected, dtype=np.uint64))


@pytest.mark.parametrize("chunk", [1, 9000, 20_000, 10**6])
def test_pieces_that_masks_are_made_in_do_not_matter(monkeypatch, chunk):
    """One ciphertext, one and a fraction, some, and all at a time."""
    form, frame, key = made((7, 3), dimension=613)
    x = np.arange(21).reshape(7, 3) % 16
    monkeypatch.setattr(_lwe, "_CHUNK_BYTES", chunk)
    rows = Seeded(encrypt(x, key, form, SEED, 0), SEED, 0, 0)
    expanded = expand([rows], form, frame)
    monkeypatch.undo()
    assert expanded == expand([rows], form, frame)
    np.testing.assert_array_equal(decrypt(frame.words(expanded), key, form), x)


@pytest.mark.parametrize("dimension", [16, 17, 18, 613])
def test_rows_are_expanded_from_their_place_in_the_stream(dimension):
    """Any of them, with those of another batch before, and zeros behind: each is as in the whole."""
    form, frame, key = made((7, 3), dimension=dimension)
    x, seeds = np.arange(21).reshape(7, 3) % 16, (SEED, new_seed())
    bodies = [encrypt(x, key, form, seed, number) for number, seed in enumerate(seeds)]
    whole = [
        frame.words(expand([Seeded(bodies[i], seeds[i], i, 0)], form, frame)).reshape(7, 3, -1)
        for i in (0, 1)
    ]
    for i, (first, last), (start, stop) in ((0, (0, 7), (0, 0)), (0, (1, 4), (6, 7)), (1, (5, 7), (0, 4))):
        rows = [
            Seeded(bodies[i][24 * first : 24 * last], seeds[i], i, first),
            Seeded(memoryview(bodies[1 - i])[24 * start : 24 * stop], seeds[1 - i], 1 - i, start),
        ]
        words = frame.words(expand(rows, form, frame)).reshape(7, 3, -1)
        n = last - first
        np.testing.assert_array_equal(words[:n], whole[i][first:last])
        np.testing.assert_array_equal(words[n : n + stop - start], whole[1 - i][start:stop])
        assert not words[n + stop - start :].any()


def test_a_batch_has_eight_bytes_for_each_integer():
    form, _, key = made((32, 5))
    assert len(encrypt(np.zeros((32, 5), dtype=np.int64), key, form, SEED, 0)) == 8 * 32 * 5


def test_bodies_are_uniform_without_the_key():
    """Of equal integers, new seeds. The bound is of a chi-square, exceeded with a probability of 10**-9."""
    form, _, key = made((100, 40))
    zeros = np.zeros((100, 40), dtype=np.int64)
    data = b"".join(encrypt(zeros, key, form, new_seed(), 0) for _ in range(5))
    counts = np.bincount(np.frombuffer(data, dtype=np.uint8), minlength=256)
    expected = len(data) / 256
    assert ((counts - expected) ** 2 / expected).sum() < 255 + 2 * (255 * 20.8) ** 0.5 + 2 * 20.8


def test_masks_differ_by_ciphertext_array_and_batch():
    """Not one word is there twice, and encrypting the same again has other noise, too."""
    form, frame, key = made((4, 5))
    x = np.zeros((4, 5), dtype=np.int64)
    seeds = [(new_seed(), number) for _ in range(3) for number in (0, 1)]
    words = [frame.words(sealed(x, key, form, *s)) for s in seeds]
    assert len(np.unique(np.concatenate(words))) == sum(each.size for each in words)
    again = frame.words(sealed(x, key, form, *seeds[0]))
    np.testing.assert_array_equal(again[:, :-1], words[0][:, :-1])
    assert (again[:, -1] != words[0][:, -1]).all()


def test_another_key_seed_number_or_place_decrypts_to_something_else():
    form, frame, key = made((8, 8), width=6)
    x = np.zeros((8, 8), dtype=np.int64)
    bodies = encrypt(x, key, form, SEED, 0)

    def found(seed, number, first, key):
        return decrypt(frame.words(expand([Seeded(bodies, seed, number, first)], form, frame)), key, form)

    for wrong in ((SEED, 1, 0, key), (new_seed(), 0, 0, key), (SEED, 0, 1, key), (SEED, 0, 0, 1 - key)):
        assert (found(*wrong) != x).mean() > 0.8
    np.testing.assert_array_equal(found(SEED, 0, 0, key), x)


def test_every_byte_around_the_words_is_compared():
    """Each bit of them, shorter and longer ones; bits of the words are anyone's to change."""
    form, frame, key = made((1, 2), dimension=3)
    data = sealed(np.array([[1, 2]]), key, form, SEED)
    inside = range(frame.begin, frame.begin + 8 * form.n_words)
    for place in range(len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[place] ^= 1 << bit
            if place in inside:
                assert frame.words(bytes(changed)).shape == (2, 4)
            else:
                with pytest.raises(CiphertextMismatchError, match="around the words"):
                    frame.words(bytes(changed))
    for wrong in (b"", data[:-1], data[:-8], data + bytes(8), data * 2):
        with pytest.raises(CiphertextMismatchError, match=f"{len(data)} bytes, got {len(wrong)}"):
            frame.words(wrong)
