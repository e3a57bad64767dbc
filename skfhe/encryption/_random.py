"""Random numbers from AES in counter mode, under keys that the operating system gives.

Nothing is kept between calls: whoever asks brings a seed, or a fresh one is drawn. So there is no state
that two threads could share or a forked process could repeat.
"""

import os

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes

from skfhe._typing import FloatArray, IntArray

__all__ = ["SEED_BYTES", "new_seed", "noise", "stream"]

SEED_BYTES = 16
"""Of a key of AES-128."""
_BLOCK_BYTES = 16
_UNIT = 2.0**-53


def new_seed() -> bytes:
    """Return a seed that nobody had before, from the operating system."""
    return os.urandom(SEED_BYTES)


def stream(seed: bytes, number: int, start: int = 0) -> CipherContext:
    """Return what turns zeros into one of the random streams of a seed.

    Streams of one seed have counters of their own: the number fills the upper half of the first counter
    block, and no stream is as long as 2**64 blocks.

    Parameters
    ----------
    seed : bytes
        Sixteen, the key of AES-128 in counter mode.
    number : int
        Which of the streams, from 0 to 2**64 - 1.
    start : int, default=0
        Bytes of the stream that are left out: it is as if they had been written before.

    Returns
    -------
    CipherContext
        Its ``update_into(zeros, buffer)`` writes as many bytes as there are zeros.
    """
    if len(seed) != SEED_BYTES:
        raise ValueError(f"expected a seed of {SEED_BYTES} bytes, got {len(seed)}")
    block, within = divmod(start, _BLOCK_BYTES)
    first = number.to_bytes(8, "big") + block.to_bytes(8, "big")
    context = Cipher(algorithms.AES(seed), modes.CTR(first)).encryptor()
    context.update(bytes(within))
    return context


def noise(n: int, variance: float) -> IntArray:
    """Return secret Gaussian integers, from a key that is drawn for this call and forgotten after it.

    Pairs of uniform numbers of 53 bits become pairs of normal ones (Box and Muller), which are scaled and
    rounded to the nearest integer. What is farther than 8.57 standard deviations does not occur; its
    probability would be 10**-17.

    Parameters
    ----------
    n : int
    variance : float
        As a fraction of the square of the modulus 2**64.

    Returns
    -------
    ndarray of int64, shape (n,)
    """
    half = (n + 1) // 2
    zeros = bytes(2 * half * 8)
    words = np.frombuffer(stream(new_seed(), 0).update(zeros), dtype="<u8").reshape(2, half)
    return np.rint(_normal(words)[:n] * (variance**0.5 * 2.0**64)).astype(np.int64)


def _normal(words: IntArray) -> FloatArray:
    """Return independent standard normal numbers, two for each column of two uniform words."""
    radius, angle = words >> np.uint64(11)
    distance = np.sqrt(-2 * np.log((radius + 1.0) * _UNIT))  # the argument is in (0, 1]
    turned = angle * (2 * np.pi * _UNIT)
    return np.concatenate([distance * np.cos(turned), distance * np.sin(turned)])
