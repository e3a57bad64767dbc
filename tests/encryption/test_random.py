"""Masks are uniform and never repeated, noise is normal, and streams are those of the standard."""

import math
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from skfhe.encryption import _random, new_seed
from skfhe.encryption._random import noise, stream

KEY = "2b7e151628aed2a6abf7158809cf4f3c"
COUNTER = "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"
PLAIN = "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
PLAIN += "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
CIPHER = "874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff"
CIPHER += "5ae4df3edbd5d35e5b4f09020db03eab1e031dda2fbe03d1792170a0f3009cee"
N = 10**6


def test_the_generator_is_aes_in_counter_mode():
    """NIST SP 800-38A, F.5.1. Its counter is not one of ours, so the cipher is called as by `stream`."""
    cipher = _random.Cipher(
        _random.algorithms.AES(bytes.fromhex(KEY)), _random.modes.CTR(bytes.fromhex(COUNTER))
    )
    assert cipher.encryptor().update(bytes.fromhex(PLAIN)).hex() == CIPHER


def test_streams_begin_at_the_block_of_their_number():
    """Counter blocks, encrypted one by one: number and block, both in 8 bytes, the big end first."""
    key = bytes.fromhex(KEY)
    blocks = b"".join(n.to_bytes(8, "big") + i.to_bytes(8, "big") for n in (0, 5, 2**40) for i in range(3))
    encrypted = _random.Cipher(_random.algorithms.AES(key), _random.modes.ECB()).encryptor().update(blocks)
    assert b"".join(stream(key, n).update(bytes(48)) for n in (0, 5, 2**40)) == encrypted


@pytest.mark.parametrize("n_bytes", [0, 15, 17, 32])
def test_seeds_of_another_length_are_refused(n_bytes):
    """Of 32 bytes it would be another cipher."""
    with pytest.raises(ValueError, match=f"expected a seed of 16 bytes, got {n_bytes}"):
        stream(bytes(n_bytes), 0)


def chi_square_bound(degrees):
    """Return what a chi-square of so many degrees exceeds with a probability of 10**-9 or less.

    By lemma 1 of Laurent and Massart, "Adaptive estimation of a quadratic functional", Ann. Statist. 2000.
    """
    t = 9 * math.log(10)
    return degrees + 2 * math.sqrt(degrees * t) + 2 * t


def test_bytes_of_masks_are_uniform():
    """Each of their values, and each pair of neighbours, in 8 MB of streams of 8 seeds."""
    data = np.frombuffer(b"".join(stream(new_seed(), 3).update(bytes(N)) for _ in range(8)), dtype=np.uint8)
    for values, n in ((data, 256), (data.view("<u2"), 65536)):
        expected = values.size / n
        statistic = ((np.bincount(values, minlength=n) - expected) ** 2 / expected).sum()
        assert statistic < chi_square_bound(n - 1)


@pytest.mark.parametrize("sigma", [2.0**40, 1000.0, 30.0])
def test_noise_has_the_variance_asked_for(sigma):
    """Of a million samples: the sum of squares over the variance is a chi-square. Rounding adds 1/12."""
    e = noise(N, (sigma / 2**64) ** 2).astype(np.float64)
    statistic = (e**2).sum() / (sigma**2 + 1 / 12)
    assert abs(statistic - N) < chi_square_bound(N) - N
    assert abs(e.mean()) < 6 * sigma / math.sqrt(N)
    assert abs((e[: N // 2] * e[N // 2 :]).mean()) < 6 * sigma**2 / math.sqrt(N // 2)  # the two of each pair


@pytest.mark.parametrize("sigma", [0.7, 4.0, 4.6])
def test_narrow_noise_is_a_normal_number_rounded(sigma):
    """Where a unit is not small against it, the integers are counted, and compared with the cells."""
    e = noise(N, (sigma / 2**64) ** 2)
    most = int(4 * sigma)

    def below(x):
        return (1 + math.erf(x / sigma / math.sqrt(2))) / 2

    edges = [below(i - 0.5) for i in range(-most, most + 2)]
    expected = N * np.diff([0, *edges, 1])
    counts = np.bincount(np.clip(e, -most - 1, most + 1) + most + 1, minlength=len(expected))
    assert expected.min() > 5
    assert ((counts - expected) ** 2 / expected).sum() < chi_square_bound(len(expected) - 1)


def test_wide_noise_is_normal():
    """In 64 cells of equal probability, whose edges are found by bisection."""
    e = noise(N, 1e-15) / (1e-15**0.5 * 2.0**64)
    low, high = np.full(63, -9.0), np.full(63, 9.0)
    for _ in range(60):
        middle = (low + high) / 2
        probability = np.array([(1 + math.erf(x / math.sqrt(2))) / 2 for x in middle])
        above = probability > np.arange(1, 64) / 64
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    counts = np.bincount(np.searchsorted(low, e), minlength=64)
    assert ((counts - N / 64) ** 2 / (N / 64)).sum() < chi_square_bound(63)


def test_the_ends_of_the_uniform_numbers_are_finite():
    """A word of zeros is the outermost, at 8.57 standard deviations; one of ones is zero."""
    words = np.array([[0, 2**64 - 1], [0, 0]], dtype=np.uint64)
    np.testing.assert_allclose(_random._normal(words), [math.sqrt(-2 * math.log(2.0**-53)), 0, 0, 0])
    assert noise(0, 1e-15).shape == (0,)
    assert noise(3, 1e-15).shape == (3,)


def drawn(_):
    """Return a seed and some noise, as numbers."""
    return new_seed() + noise(2, 1e-15).tobytes()


def test_nothing_is_repeated_over_calls_threads_and_forks():
    """There is no state to be copied. Forked children begin as equal as they can, one after the other."""
    found = [drawn(i) for i in range(100)]
    with ThreadPoolExecutor(4) as pool:
        found += pool.map(drawn, range(200))
    for _ in range(4):
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.write(write, b"".join(drawn(i) for i in range(20)))
            os._exit(0)
        os.close(write)
        os.waitpid(pid, 0)
        with os.fdopen(read, "rb") as file:
            data = file.read()
        found += [data[i : i + 32] for i in range(0, len(data), 32)]
    assert len(found) == 380
    for start, end in ((0, 16), (16, 24), (24, 32)):
        assert len({each[start:end] for each in found}) == 380
