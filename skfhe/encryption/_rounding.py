"""Words of results, rounded to the bits that decryption needs.

Whoever evaluates may round a ciphertext: it takes no key, and tells nothing that the ciphertext does not.
Of *q* bits that are kept of each word, a mask's word *a* becomes *a + r*, where *r* lies within half a unit,
Δ/2 with Δ = 2**(64 − q). The phase then differs by Σ *r* (½ − *s*) if ½ Σ *r* is added to the body before
that is rounded, too: the key's bits *s* are zero or one, so each *r* counts by half of it, with one sign or
the other, whatever the key is. Masks are uniform (by LWE indistinguishable from it), so the *r* are
independent and uniform, and so is the body's. The variance of all that is

    V = (1 + n / 4) Δ² / 12,

and as a sum of uniform numbers with zero mean it is strictly sub-Gaussian: its moment-generating function is
at most that of a normal number of this variance. (What integers are off their mean, by a unit of 2**-64 for
each word of a mask, is nothing against half a cell.)

`bits_to_keep` chooses *q*. Let *p* be the rate asked for at which one integer may be decrypted wrongly, *T*
half a cell, σ² the variance of the noise before rounding, and N(v) a normal number of variance *v*. The
engine's parameters make sure that the probability of abs(N(σ²)) > T is at most *p*, that is σ ≤ T / z with
*z* the quantile of *p*.

- If σ² is known, noise and rounding together are sub-Gaussian, and wrong at a rate of
  2 exp(−T² / 2(σ² + V)) at most. The fewest bits for which this is at most *p* are enough.
- If it is not, or leaves no room for that: the fewest bits for which the probability of
  abs(N(T² / z² + V)) > T is at most 1.07 *p*. V is then some thousandths of T² / z² (2.6 at p = 2**-40). So
  the rate stays below *p* wherever the parameters leave that much of the variance, and is 7 % above it at
  most where they leave nothing. (With so small a share, what the sum differs by from a normal number of its
  variance, beginning with a smaller fourth moment, does not count.)
"""

import math
from statistics import NormalDist

import numpy as np

from skfhe.encryption._frame import Words

__all__ = ["bits_to_keep", "n_packed", "pack_bits", "rounded", "rounding_variance", "unpack_bits"]

WORD_BITS = 64
MOST_RISE = 1.07
_CHUNK_WORDS = 1 << 15


def rounding_variance(dimension: int, bits: int) -> float:
    """Return the variance that rounding adds to a phase, as a fraction of the square of the modulus.

    Parameters
    ----------
    dimension : int
        Of the mask.
    bits : int
        That are kept of each word.
    """
    return (1 + dimension / 4) / 12 * 4.0**-bits if bits < WORD_BITS else 0.0


def bits_to_keep(dimension: int, half_cell: float, p_error: float, variance: float | None) -> int:
    """Return the bits of each word that decryption needs; the module says why.

    Parameters
    ----------
    dimension : int
        Of the mask.
    half_cell : float
        How far noise may lead, as a fraction of the modulus; see `CiphertextParameters.half_cell`.
    p_error : float
        That an integer may be decrypted wrongly with, in (0, 1).
    variance : float or None
        Of the noise, as a fraction of the square of the modulus, or a bound on it. None if nothing is known
        of it but that it keeps ``p_error``.

    Returns
    -------
    int
        At most 64, which is all of them.
    """
    quantile = -NormalDist().inv_cdf(p_error / 2)
    largest = (half_cell / quantile) ** 2

    def enough(bits: int) -> bool:
        added = rounding_variance(dimension, bits)
        if variance is not None and 2 * math.exp(-(half_cell**2) / (2 * (variance + added))) <= p_error:
            return True
        return math.erfc(half_cell / math.sqrt(2 * (largest + added))) <= MOST_RISE * p_error

    return next(bits for bits in range(1, WORD_BITS + 1) if bits == WORD_BITS or enough(bits))


def _kind(bits: int) -> type[np.unsignedinteger]:
    """Return the narrowest unsigned integers of so many bits."""
    return np.uint16 if bits <= 16 else np.uint32 if bits <= 32 else np.uint64


def rounded(words: Words, bits: int) -> Words:
    """Return the uppermost bits of the words of ciphertexts, rounded.

    Parameters
    ----------
    words : ndarray of uint64, shape (number of ciphertexts, dimension + 1)
        Masks and bodies.
    bits : int

    Returns
    -------
    ndarray of unsigned integers, same shape
        Modulo ``2**bits``, of the narrowest kind that has them.
    """
    found = np.empty(words.shape, dtype=_kind(bits))
    if bits == WORD_BITS:
        found[:] = words
        return found
    shift, half = np.uint64(WORD_BITS - bits), np.uint64(1 << (WORD_BITS - bits - 1))
    below = np.uint64((1 << (WORD_BITS - bits)) - 1)
    n_rows = max(1, _CHUNK_WORDS // words.shape[1])
    for start in range(0, len(words), n_rows):
        part = words[start : start + n_rows] + half
        # What was added to a word of a mask is half - (part & below); to the body goes half of their sum.
        added = (part[:, :-1] & below) >> np.uint64(1)
        part[:, -1] += np.uint64((words.shape[1] - 1) * int(half) // 2 % 2**64) - added.sum(axis=1)
        found[start : start + n_rows] = part >> shift
    return found


def n_packed(n: int, bits: int) -> int:
    """Return the bytes that `pack_bits` makes of ``n`` words."""
    return -(-n * bits // 8)


def pack_bits(values: Words, bits: int) -> bytes:
    """Return numbers of so many bits one after the other, the lowest bits first.

    Parameters
    ----------
    values : ndarray of unsigned integers
        Below ``2**bits``.
    bits : int

    Returns
    -------
    bytes
    """
    # 64 numbers fill as many words of 64 bits as they have bits.
    n_groups = -(-values.size // WORD_BITS)
    padded = np.zeros(n_groups * WORD_BITS, dtype=np.uint64)
    padded[: values.size] = values.reshape(-1)
    columns = np.ascontiguousarray(padded.reshape(n_groups, WORD_BITS).T)
    packed = np.zeros((bits, n_groups), dtype=np.uint64)
    for i, column in enumerate(columns):
        word, shift = divmod(i * bits, WORD_BITS)
        packed[word] |= column << np.uint64(shift)
        if shift + bits > WORD_BITS:
            packed[word + 1] |= column >> np.uint64(WORD_BITS - shift)
    return packed.T.astype("<u8").tobytes()[: n_packed(values.size, bits)]


def unpack_bits(data: bytes, n: int, bits: int) -> Words:
    """Return what `pack_bits` was given.

    Parameters
    ----------
    data : bytes
        Of `n_packed` bytes.
    n : int
    bits : int

    Returns
    -------
    ndarray of unsigned integers, shape (n,)
    """
    assert len(data) == n_packed(n, bits)
    n_groups = -(-n // WORD_BITS)
    padded = data + bytes(n_groups * bits * 8 - len(data))
    packed = np.ascontiguousarray(np.frombuffer(padded, dtype="<u8").reshape(n_groups, bits).T)
    found = np.empty((WORD_BITS, n_groups), dtype=_kind(bits))
    below = np.uint64((1 << bits) - 1)
    for i in range(WORD_BITS):
        word, shift = divmod(i * bits, WORD_BITS)
        value = packed[word] >> np.uint64(shift)
        if shift + bits > WORD_BITS:
            value |= packed[word + 1] << np.uint64(WORD_BITS - shift)
        found[i] = value & below
    return np.ascontiguousarray(found.T).reshape(-1)[:n]
