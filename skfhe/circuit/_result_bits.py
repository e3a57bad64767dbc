"""How many bits of the words of results decryption needs, by what is known of their noise.

A result is a sum of inputs or of results of lookups. Inputs have the variance that they are encrypted with.
That of lookups follows from the keys: a bootstrap of dimension *n* with *l* levels of base *B*, polynomials
of *N* coefficients and *k* + 1 of them in a ciphertext, and a key of variance σ² has

    n · [ l (k + 1) N (B² + 2) / 12 · σ²  +  (1 + k N / 2) / (24 B^(2l))  +  2**−108.577 · l B² N² (k + 1) ]

up to terms of the size of a unit: what the key's noise, the decomposition and the transform in double
precision add (Chillotti, Gama, Georgieva and Izabachène, "TFHE: fast fully homomorphic encryption over the
torus", J. Cryptology 2020; in this form, with the last term from experiments, in the noise model that the
engine's optimizer works with, ``concrete-cpu-noise-model``). Where results of one key are
converted to another, a key switch of *l* levels of base *B* from a key of *n* bits adds

    n · [ l (B² + 2) / 12 · σ² + 1 / (24 B^(2l)) ].

As these are models of noise, and not bounds, twice as much is taken.
"""

import json
from collections.abc import Mapping
from typing import Any

from skfhe.circuit._specs import row_forms
from skfhe.cost import noise_gains
from skfhe.encryption import bits_to_keep
from skfhe.program import Program

__all__ = ["bootstrap_variance", "result_bits"]

MARGIN = 2.0
_TRANSFORM = 2.0 ** (22 - 2.57722494 - 128)
"""Of the variance that the transform adds; see the module."""


def result_bits(program: Program, parameters: bytes, p_error: float) -> tuple[int, ...]:
    """Return the bits to keep of the words of each output.

    Parameters
    ----------
    program : Program
        A part that is compiled as one.
    parameters : bytes
        The engine's description of its keys and ciphertexts.
    p_error : float
        That one integer may be decrypted wrongly with.

    Returns
    -------
    tuple of int
    """
    keyset = json.loads(parameters)["keyset"]
    fresh = max(form.variance for form in row_forms(parameters, "inputs"))
    found = []
    for form, gain in zip(row_forms(parameters, "results"), noise_gains(program), strict=True):
        variance = None
        if gain is not None and not form.moduli:
            variance = gain * max(fresh, MARGIN * _lookup_variance(keyset, form.key_id))
        found.append(bits_to_keep(form.dimension, form.half_cell, p_error, variance))
    return tuple(found)


def _lookup_variance(keyset: Mapping[str, Any], key_id: int) -> float:
    """Return the largest variance that the result of a lookup has, under one of the secret keys."""
    bootstraps = [bootstrap_variance(key["params"]) for key in keyset["lweBootstrapKeys"]]
    switches = [
        _switch_variance(key["params"]) for key in keyset["lweKeyswitchKeys"] if key["outputId"] == key_id
    ]
    return max(bootstraps, default=0.0) + max(switches, default=0.0)


def bootstrap_variance(values: Mapping[str, Any]) -> float:
    """Return the variance of the noise of a lookup's result, as a fraction of the square of the modulus.

    Parameters
    ----------
    values : mapping
        What the engine's description says of the bootstrap key.
    """
    k, size, levels = values["glweDimension"], values["polynomialSize"], values["levelCount"]
    base = 2.0 ** values["baseLog"]
    of_key = levels * (k + 1) * size * (base**2 + 2) / 12 * values["variance"]
    of_decomposition = (1 + k * size / 2) / 24 * base ** (-2 * levels)
    of_transform = _TRANSFORM * levels * base**2 * size**2 * (k + 1)
    dimension: int = values["inputLweDimension"]
    return dimension * (of_key + of_decomposition + of_transform)


def _switch_variance(values: Mapping[str, Any]) -> float:
    """Return the variance of the noise that a key switch adds."""
    base, levels = 2.0 ** values["baseLog"], values["levelCount"]
    of_key = levels * (base**2 + 2) / 12 * values["variance"]
    dimension: int = values["inputLweDimension"]
    return dimension * (of_key + base ** (-2 * levels) / 24)
