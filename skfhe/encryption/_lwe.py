"""Encryption, expansion of seeds, and decryption of LWE ciphertexts modulo 2**64.

A ciphertext is a mask of uniform words and a body, which is the inner product of mask and key, plus the
noise, plus the integer in the upper bits. Masks are a random stream of the batch's seed, so that seed and
bodies are all that has to be sent; see the room's docstring. Each ciphertext has a stretch of the stream for
itself, as long as its mask and one word more, so that those of any rows can be expanded without the others.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from skfhe._typing import IntArray
from skfhe.encryption._ciphertext_parameters import WORD_BYTES, CiphertextParameters
from skfhe.encryption._encoding import decode, encode
from skfhe.encryption._frame import Frame, Words
from skfhe.encryption._random import noise, stream

__all__ = ["Seeded", "decrypt", "encrypt", "expand"]

_CHUNK_BYTES = 1 << 18
"""Masks are made and used in pieces that stay in a core's cache."""
_BLOCK_BYTES = 16
"""Some releases of cryptography want room for one block more than they write; in a frame it is there."""


@dataclass(frozen=True, eq=False)
class Seeded:
    """Rows of an array as `encrypt` returns them, for `expand`.

    Parameters
    ----------
    bodies : bytes or memoryview
        Of these rows.
    seed, number
        Those of `encrypt`.
    first : int
        Which row of the array the first of them is.
    """

    bodies: bytes | memoryview
    seed: bytes
    number: int
    first: int


def encrypt(x: IntArray, key: Words, parameters: CiphertextParameters, seed: bytes, number: int) -> bytes:
    """Encrypt rows of integers.

    Parameters
    ----------
    x : ndarray of int64
        Rows of the parameters' shape; modulo ``2**(width + 1)``, or the product of the moduli.
    key : ndarray of uint64, shape (dimension,)
        Zeros and ones.
    parameters : CiphertextParameters
        Of one row.
    seed : bytes
        From `new_seed`, for one batch. It is public.
    number : int
        Names the array within its batch. **No two arrays may be encrypted with the same seed and number**:
        the difference of their bodies would be that of the integers, but for noise.

    Returns
    -------
    bytes
        A body of eight bytes for each ciphertext, in order.
    """
    assert x.shape[1:] == parameters.shape
    assert key.shape == (parameters.dimension,)
    bodies = encode(x, parameters)
    bodies += noise(len(bodies), parameters.variance).view(np.uint64)
    row_bytes = (parameters.dimension + 1) * WORD_BYTES
    masks = bytearray(max(_CHUNK_BYTES, row_bytes) + _BLOCK_BYTES)
    context = stream(seed, number)
    for start, stop, zeros in _pieces(len(bodies), row_bytes):
        context.update_into(zeros, masks)
        words = np.frombuffer(masks, dtype="<u8", count=len(zeros) // WORD_BYTES)
        bodies[start:stop] += _product(words.reshape(stop - start, -1)[:, :-1], key)
    return bodies.astype("<u8").tobytes()


def expand(rows: Iterable[Seeded], parameters: CiphertextParameters, frame: Frame) -> bytes:
    """Return ciphertexts in the engine's frame, of rows that may be of several batches.

    Parameters
    ----------
    rows : iterable of Seeded
        Put into the frame one after the other.
    parameters : CiphertextParameters
        Of one row.
    frame : Frame
        For at least as many rows. Those that are left are zero, mask and body: what anyone can make without
        a key, and whatever comes of it means nothing.

    Returns
    -------
    bytes
        The frame with each ciphertext in it, its mask and its body.
    """
    row_bytes = (parameters.dimension + 1) * WORD_BYTES
    filled = frame.empty()
    view = memoryview(filled)
    words = np.frombuffer(filled, dtype="<u8", count=frame.parameters.n_words, offset=frame.begin)
    words = words.reshape(-1, parameters.dimension + 1)
    at = 0
    for each in rows:
        bodies = np.frombuffer(each.bodies, dtype="<u8")
        context = stream(each.seed, each.number, each.first * parameters.size * row_bytes)
        for start, _, zeros in _pieces(len(bodies), row_bytes):
            context.update_into(zeros, view[frame.begin + (at + start) * row_bytes :])
        words[at : at + len(bodies), -1] = bodies
        at += len(bodies)
    return bytes(filled)


def _pieces(size: int, row_bytes: int) -> Iterator[tuple[int, int, memoryview]]:
    """Yield the first of some ciphertexts, the one behind the last, and as many zeros, until ``size``."""
    n_rows = max(1, min(_CHUNK_BYTES // row_bytes, size))
    zeros = memoryview(bytes(n_rows * row_bytes))
    for start in range(0, size, n_rows):
        stop = min(start + n_rows, size)
        yield start, stop, zeros[: (stop - start) * row_bytes]


def _product(masks: Words, key: Words) -> Words:
    """Return the inner product of each mask with the key, modulo what one of their words can have."""
    products: Words = np.einsum("ij,j->i", masks, key)
    return products


def decrypt(words: Words, key: Words, parameters: CiphertextParameters, bits: int = 64) -> IntArray:
    """Decrypt rows of ciphertexts.

    Parameters
    ----------
    words : ndarray of unsigned integers, shape (number of ciphertexts, dimension + 1)
        Of ``bits`` bits each.
    key : ndarray of uint64, shape (dimension,)
    parameters : CiphertextParameters
        Of one row.
    bits : int, default=64
        That `rounded` has kept of each word.

    Returns
    -------
    ndarray of int64
        Rows of the parameters' shape.
    """
    phases = words[:, -1] - _product(words[:, :-1], key.astype(words.dtype))
    return decode(phases.astype(np.uint64) << np.uint64(64 - bits), parameters).reshape(-1, *parameters.shape)
