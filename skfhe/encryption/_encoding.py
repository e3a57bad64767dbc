"""Integers as the engine has them in the upper bits of a word, and back.

An integer *x* of *w* bits is ``x * 2**(63 - w)``, in two's complement. Where the engine has no parameters for
that it splits integers into residues by the Chinese remainder theorem: *r* modulo *m* is the word
``floor(r * 2**64 / m)``, and each residue a ciphertext of its own.
"""

import math
from functools import cache

import numpy as np

from skfhe._typing import IntArray
from skfhe.encryption._ciphertext_parameters import CiphertextParameters
from skfhe.encryption._frame import Words

__all__ = ["decode", "encode"]


@cache
def _words_of(modulus: int) -> Words:
    """Return the word of each residue."""
    return np.array([(residue << 64) // modulus for residue in range(modulus)], dtype=np.uint64)


@cache
def _joining(moduli: tuple[int, ...]) -> IntArray:
    """Return what residues are multiplied by to be summed to the integer that has them."""
    product = math.prod(moduli)
    return np.array([product // m * pow(product // m, -1, m) for m in moduli], dtype=np.int64)


def encode(x: IntArray, parameters: CiphertextParameters) -> Words:
    """Return a word for each ciphertext of some integers, in order.

    Parameters
    ----------
    x : ndarray of int64
        Modulo ``2**(width + 1)``, or modulo the product of the moduli.
    parameters : CiphertextParameters

    Returns
    -------
    ndarray of uint64, one axis
    """
    flat = x.astype(np.int64).reshape(-1)
    if not parameters.moduli:
        words: Words = flat.view(np.uint64) << np.uint64(63 - parameters.width)
        return words
    return np.stack([_words_of(m)[flat % m] for m in parameters.moduli], axis=1).reshape(-1)


def decode(phases: Words, parameters: CiphertextParameters) -> IntArray:
    """Return the integers of words that noise was added to.

    What is in the upper ``width + 1`` bits, rounded, is an integer modulo ``2**(width + 1)``, whose sign is
    read by the engine's rule: as in two's complement of ``width`` bits where the uppermost bit is zero, and
    of one bit more where it is one. An integer of residues is below the product of the moduli, and negative
    from its half on.

    Parameters
    ----------
    phases : ndarray of uint64, one axis
        A word for each ciphertext.
    parameters : CiphertextParameters

    Returns
    -------
    ndarray of int64, one axis
    """
    if parameters.moduli:
        return _joined(phases.reshape(-1, len(parameters.moduli)), parameters)
    shift = 63 - parameters.width
    found = ((phases + np.uint64(1 << (shift - 1))) >> np.uint64(shift)).astype(np.int64)
    if parameters.signed:
        half, whole = 1 << (parameters.width - 1), 1 << parameters.width
        found -= np.where(found < half, 0, np.where(found < whole, whole, 2 * whole))
    return found


def _joined(phases: Words, parameters: CiphertextParameters) -> IntArray:
    moduli = np.array(parameters.moduli, dtype=np.uint64)
    high, low = phases >> np.uint64(32), phases & np.uint64(2**32 - 1)
    products = high * moduli + (low * moduli >> np.uint64(32))  # of phase and modulus, over 2**32
    residues = ((products + np.uint64(2**31)) >> np.uint64(32)) % moduli
    product = math.prod(parameters.moduli)
    found: IntArray = (residues.astype(np.int64) * _joining(parameters.moduli) % product).sum(
        axis=1
    ) % product
    return found - np.where(found >= product // 2, product, 0) if parameters.signed else found
