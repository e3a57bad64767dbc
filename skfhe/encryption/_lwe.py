"""Encryption, expansion of seeds, and decryption of LWE ciphertexts modulo 2**64.

A ciphertext is a mask of uniform words and a body, which is the inner product of mask and key, plus the
noise, plus the integer in the upper bits. Masks are a random stream of the batch's seed, so that seed and
bodies are all that has to be sent; see the room's docstring.
"""

from collections.abc import Iterator

import numpy as np

from skfhe._typing import IntArray
from skfhe.encryption._ciphertext_parameters import WORD_BYTES, CiphertextParameters
from skfhe.encryption._frame import Frame, Words
from skfhe.encryption._random import noise, stream

__all__ = ["decrypt", "encrypt", "expand"]

_CHUNK_BYTES = 1 << 18
"""Masks are made and used in pieces that stay in a core's cache."""
_BLOCK_BYTES = 16
"""Some releases of cryptography want room for one block more than they write; in a frame it is there."""


def encrypt(x: IntArray, key: Words, parameters: CiphertextParameters, seed: bytes, number: int) -> bytes:
    """Encrypt integers.

    Parameters
    ----------
    x : ndarray of int64
        Of the parameters' shape; modulo ``2**(width + 1)``.
    key : ndarray of uint64, shape (dimension,)
        Zeros and ones.
    parameters : CiphertextParameters
    seed : bytes
        From `new_seed`, for one batch. It is public.
    number : int
        Names the array within its batch. **No two arrays may be encrypted with the same seed and number**:
        the difference of their bodies would be that of the integers, but for noise.

    Returns
    -------
    bytes
        A body of eight bytes for each integer, in order.
    """
    assert x.shape == parameters.shape
    assert key.shape == (parameters.dimension,)
    encoded = x.astype(np.int64).reshape(-1).view(np.uint64) << np.uint64(63 - parameters.width)
    bodies = encoded + noise(parameters.size, parameters.variance).view(np.uint64)
    row_bytes = (parameters.dimension + 1) * WORD_BYTES
    n_rows = min(max(1, _CHUNK_BYTES // row_bytes), parameters.size)
    masks = bytearray(n_rows * row_bytes + _BLOCK_BYTES)
    words = np.frombuffer(masks, dtype="<u8", count=n_rows * row_bytes // WORD_BYTES)
    mask = words.reshape(n_rows, -1)[:, :-1]
    context = stream(seed, number)
    for start, zeros in _pieces(parameters.size, n_rows, row_bytes):
        context.update_into(zeros, masks)
        part = bodies[start : start + n_rows]
        part += _product(mask[: len(part)], key)
    return bodies.astype("<u8").tobytes()


def expand(bodies: bytes, frame: Frame, seed: bytes, number: int) -> bytes:
    """Return the ciphertexts that `encrypt` returned the bodies of.

    Parameters
    ----------
    bodies : bytes
    frame : Frame
        Of the parameters that were encrypted with.
    seed, number
        Those of `encrypt`.

    Returns
    -------
    bytes
        The frame with each ciphertext in it, its mask and its body.
    """
    parameters = frame.parameters
    assert len(bodies) == parameters.size * WORD_BYTES
    row_bytes = (parameters.dimension + 1) * WORD_BYTES
    n_rows = min(max(1, _CHUNK_BYTES // row_bytes), parameters.size)
    context = stream(seed, number)
    filled = frame.empty()
    view = memoryview(filled)
    for start, zeros in _pieces(parameters.size, n_rows, row_bytes):
        context.update_into(zeros, view[frame.begin + start * row_bytes :])
    words = np.frombuffer(filled, dtype="<u8", count=parameters.n_words, offset=frame.begin)
    words.reshape(parameters.size, -1)[:, -1] = np.frombuffer(bodies, dtype="<u8")
    return bytes(filled)


def _pieces(size: int, n_rows: int, row_bytes: int) -> Iterator[tuple[int, memoryview]]:
    """Yield the number of the first of at most ``n_rows`` ciphertexts, and zeros for them, until ``size``."""
    zeros = memoryview(bytes(n_rows * row_bytes))
    for start in range(0, size, n_rows):
        yield start, zeros[: min(n_rows, size - start) * row_bytes]


def _product(masks: Words, key: Words) -> Words:
    """Return the inner product of each mask with the key, modulo 2**64."""
    products: Words = np.einsum("ij,j->i", masks, key)
    return products


def decrypt(words: Words, key: Words, parameters: CiphertextParameters) -> IntArray:
    """Decrypt ciphertexts.

    What is in the upper ``width + 1`` bits, rounded, is an integer modulo ``2**(width + 1)``, whose sign is
    read by the engine's rule: as in two's complement of ``width`` bits where the uppermost bit is zero, and
    of one bit more where it is one.

    Parameters
    ----------
    words : ndarray of uint64, shape (size, dimension + 1)
    key : ndarray of uint64, shape (dimension,)
    parameters : CiphertextParameters

    Returns
    -------
    ndarray of int64
        Of the parameters' shape.
    """
    shift = 63 - parameters.width
    phases = words[:, -1] - _product(words[:, :-1], key)
    found = ((phases + np.uint64(1 << (shift - 1))) >> np.uint64(shift)).astype(np.int64)
    if parameters.signed:
        half, whole = 1 << (parameters.width - 1), 1 << parameters.width
        found -= np.where(found < half, 0, np.where(found < whole, whole, 2 * whole))
    return found.reshape(parameters.shape)
