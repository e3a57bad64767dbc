"""How much noise ciphertexts need, by the length of their masks."""

import math

__all__ = ["smallest_variance"]

_SLOPE, _BIAS, _SMALLEST = -0.025696778711484593, 2.675931372549016, -62.0
"""Of log2(σ / 2**64) in the dimension, for 128 bits of security, fitted by the engine's authors to what the
Lattice Estimator says; σ is never below four units of 2**-64."""


def smallest_variance(dimension: int) -> float:
    """Return the variance of noise that LWE or GLWE with binary keys needs for 128 bits of security.

    The engine's parameters lie on this curve.

    Parameters
    ----------
    dimension : int
        Words of a mask; of GLWE, polynomials times their size.

    Returns
    -------
    float
        As a fraction of the square of the modulus.
    """
    return math.exp2(2 * max(_SLOPE * dimension + _BIAS, _SMALLEST))
