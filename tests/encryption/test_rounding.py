"""Rounded results decrypt to the same integers, at the error rate that was asked for."""

import math
from statistics import NormalDist

import numpy as np
import pytest

from skfhe.encryption import bits_to_keep, decrypt, n_packed, new_seed, pack_bits, rounded, rounding_variance
from skfhe.encryption import unpack_bits as unpack
from tests.encryption.descriptions import form_of, gate, sealed


def phases(words, key, bits=64):
    """Return phases as fractions of the modulus."""
    found = words[:, -1] - words[:, :-1] @ key.astype(words.dtype)
    return (found.astype(np.uint64) << np.uint64(64 - bits)).view(np.int64) / 2.0**64


def ciphertexts(n, dimension, key, noise, rng):
    """Return uniform masks, and bodies whose phases are ``noise``, in units of the least bit."""
    words = np.frombuffer(rng.bytes(8 * n * (dimension + 1)), dtype=np.uint64).reshape(n, -1).copy()
    words[:, -1] = words[:, :-1] @ key + noise.astype(np.int64).view(np.uint64)
    return words


@pytest.mark.parametrize("ones", ["none", "all", "some"])
@pytest.mark.parametrize("bits", [5, 13, 16, 20, 32, 40])
def test_rounding_adds_the_variance_that_is_stated(bits, ones):
    """Whatever the key is; without a drift. The bounds are 6 standard deviations of 20,000 samples."""
    n, dimension, rng = 20_000, 48, np.random.default_rng(bits)
    key = {"none": np.zeros(48), "all": np.ones(48), "some": rng.integers(0, 2, 48)}[ones].astype(np.uint64)
    words = ciphertexts(n, dimension, key, np.zeros(n), rng)
    difference = phases(rounded(words, bits), key, bits) - phases(words, key)
    variance = rounding_variance(dimension, bits)
    assert abs(np.mean(difference**2) / variance - 1) < 6 * (2 / n) ** 0.5
    assert abs(difference.mean()) < 6 * (variance / n) ** 0.5
    assert np.mean(difference**4) < 3.2 * variance**2  # of a normal number 3, and of what is less heavy fewer


def test_all_bits_are_kept_as_they_are():
    words = np.frombuffer(np.random.default_rng(0).bytes(120), dtype=np.uint64).reshape(3, 5)
    np.testing.assert_array_equal(rounded(words, 64), words)
    assert rounding_variance(5, 64) == 0.0


@pytest.mark.parametrize(
    "given", [gate((50, 8), width=3, dimension=700), gate((50, 8), 20, True, 1412, 2.0**-90)]
)
def test_rounded_ciphertexts_decrypt_to_the_same_integers(given):
    """Of residues, too; and what is zero, mask and body, to zero."""
    rng = np.random.default_rng(0)
    form, frame = form_of(given)
    key = rng.integers(0, 2, form.dimension).astype(np.uint64)
    x = (
        rng.integers(-(2 ** (form.width - 1)), 2 ** (form.width - 1), (50, 8))
        if form.signed
        else (rng.integers(0, 2**form.width, (50, 8)))
    )
    words = frame.words(sealed(x, key, form, new_seed()))
    bits = bits_to_keep(form.dimension, form.half_cell, 2.0**-40, form.variance)
    assert 5 < bits - form.width < 12
    kept = rounded(words, bits)
    np.testing.assert_array_equal(decrypt(kept, key, form, bits), x)
    again = unpack(pack_bits(kept, bits), kept.size, bits).reshape(kept.shape)
    np.testing.assert_array_equal(again, kept)
    assert again.dtype == kept.dtype
    assert not decrypt(rounded(np.zeros_like(words), bits), key, form, bits).any()


def test_rounded_residues_decrypt_to_the_same_integers():
    form, frame = form_of(gate((50, 8), 12, True, 700, moduli=(7, 8, 9, 11)))
    rng = np.random.default_rng(0)
    key, x = rng.integers(0, 2, 700).astype(np.uint64), rng.integers(-2048, 2048, (50, 8))
    bits = bits_to_keep(form.dimension, form.half_cell, 2.0**-40, None)
    assert bits < 17
    words = rounded(frame.words(sealed(x, key, form, new_seed())), bits)
    np.testing.assert_array_equal(decrypt(words, key, form, bits), x)


RATES = (2.0**-128, 2.0**-40, 1e-6, 1e-3, 0.05, 0.3)


@pytest.mark.parametrize("p_error", RATES)
@pytest.mark.parametrize("dimension", [512, 2048, 32768])
def test_where_nothing_is_known_the_rate_rises_by_seven_percent_at_most(p_error, dimension):
    """And with one bit fewer by more."""
    half = 2.0**-9
    bits = bits_to_keep(dimension, half, p_error, None)
    largest = (half / NormalDist().inv_cdf(p_error / 2)) ** 2

    def rate(bits):
        return math.erfc(half / math.sqrt(2 * (largest + rounding_variance(dimension, bits))))

    assert p_error * 0.999 < rate(bits) <= 1.07 * p_error < rate(bits - 1)
    # Of a variance that leaves hardly any room the rate stays below what was asked for.
    assert math.erfc(half / math.sqrt(2 * (0.9 * largest + rounding_variance(dimension, bits)))) < p_error


@pytest.mark.parametrize("p_error", RATES)
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_where_the_noise_is_known_to_be_small_fewer_bits_keep_the_rate(p_error, share):
    """By a bound on all sub-Gaussian numbers; one bit fewer does not keep it."""
    dimension, half = 2048, 2.0**-6
    chernoff = half**2 / (2 * math.log(2 / p_error))  # the largest variance that it allows
    bits = bits_to_keep(dimension, half, p_error, share * chernoff)
    assert share * chernoff + rounding_variance(dimension, bits) <= chernoff
    assert share * chernoff + rounding_variance(dimension, bits - 1) > chernoff
    assert bits <= bits_to_keep(dimension, half, p_error, None)


def wrong(bits, noise, key, words, half):
    """Return how often a phase leaves the cell of zero."""
    return np.mean(np.abs(phases(rounded(words, bits), key, bits)) > half)


def test_ciphertexts_at_the_limit_go_wrong_at_the_rate_that_was_asked_for():
    """Of 400,000 with an error rate of 2 %; with four bits fewer much more often.

    The bounds are 6 standard deviations of a binomial number.
    """
    n, dimension, p_error, half = 400_000, 16, 0.02, 2.0**-5
    rng = np.random.default_rng(0)
    key = rng.integers(0, 2, dimension).astype(np.uint64)
    sigma = half / -NormalDist().inv_cdf(p_error / 2)
    noise = rng.normal(0, sigma * 2.0**64, n)
    words = ciphertexts(n, dimension, key, noise, rng)
    deviation = (p_error / n) ** 0.5
    bits = bits_to_keep(dimension, half, p_error, None)
    assert abs(wrong(64, noise, key, words, half) - p_error) < 6 * deviation
    assert wrong(bits, noise, key, words, half) < 1.07 * p_error + 6 * deviation
    assert wrong(bits - 4, noise, key, words, half) > 1.5 * p_error


@pytest.mark.parametrize("bits", [*range(1, 18), 31, 32, 33, 47, 63, 64])
@pytest.mark.parametrize("n", [1, 2, 63, 64, 65, 1000])
def test_bits_are_packed_one_number_after_the_other(bits, n):
    """As one long integer has them, the first number lowest; rows and columns do not matter."""
    values = np.frombuffer(np.random.default_rng(bits).bytes(8 * n), dtype=np.uint64) >> np.uint64(64 - bits)
    values[0] = 2**bits - 1
    data = pack_bits(values, bits)
    whole = sum(int(value) << (i * bits) for i, value in enumerate(values))
    assert data == whole.to_bytes(n_packed(n, bits), "little")
    np.testing.assert_array_equal(unpack(data, n, bits), values)
    if n == 1000:
        assert pack_bits(values.reshape(10, 100), bits) == data
