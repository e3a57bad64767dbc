"""Quantiles of the normal distribution, by the functions of C that SciPy calls, in its order of operations.

The rational approximations are those of the Cephes library, ``ndtri``.
"""

from __future__ import annotations

import math

import numpy as np

from skfhe._typing import Array, FloatArray

__all__ = ["normal_quantiles"]

TAIL = 0.13533528323661269189
"""exp(-2), the probability at which another approximation begins."""
ROOT_OF_TWO_PI = 2.50662827463100050242
MIDDLE = (
    (-59.96335010141079, 98.00107541859997, -56.67628574690703, 13.931260938727968, -1.2391658386738125),
    (
        1.0,
        1.9544885833814176,
        4.676279128988815,
        86.36024213908905,
        -225.46268785411937,
        200.26021238006066,
        -82.03722561683334,
        15.90562251262117,
        -1.1833162112133,
    ),
)
NEAR_TAIL = (
    (
        4.0554489230596245,
        31.525109459989388,
        57.16281922464213,
        44.08050738932008,
        14.684956192885803,
        2.1866330685079025,
        -0.1402560791713545,
        -0.03504246268278482,
        -0.0008574567851546854,
    ),
    (
        1.0,
        15.779988325646675,
        45.39076351288792,
        41.3172038254672,
        15.04253856929075,
        2.504649462083094,
        -0.14218292285478779,
        -0.03808064076915783,
        -0.0009332594808954574,
    ),
)
FAR_TAIL = (
    (
        3.2377489177694603,
        6.915228890689842,
        3.9388102529247444,
        1.3330346081580755,
        0.20148538954917908,
        0.012371663481782003,
        0.00030158155350823543,
        2.6580697468673755e-06,
        6.239745391849833e-09,
    ),
    (
        1.0,
        6.02427039364742,
        3.6798356385616087,
        1.3770209948908132,
        0.21623699359449663,
        0.013420400608854318,
        0.00032801446468212774,
        2.8924786474538068e-06,
        6.790194080099813e-09,
    ),
)
"""Numerators and denominators, the highest power first."""


def _ratio(x: float, polynomials: tuple[tuple[float, ...], tuple[float, ...]]) -> tuple[float, float]:
    """Return numerator and denominator by Horner's rule."""
    above, below = 0.0, 0.0
    for coefficient in polynomials[0]:
        above = above * x + coefficient
    for coefficient in polynomials[1]:
        below = below * x + coefficient
    return above, below


def _quantile(probability: float) -> float:
    if not 0 < probability < 1:
        return {0.0: -math.inf, 1.0: math.inf}.get(probability, math.nan)
    lower = probability <= 1 - TAIL
    y = probability if lower else 1 - probability
    if y > TAIL:
        y -= 0.5
        square = y * y
        above, below = _ratio(square, MIDDLE)
        return (y + y * (square * above / below)) * ROOT_OF_TWO_PI
    x = math.sqrt(-2.0 * math.log(y))
    z = 1.0 / x
    above, below = _ratio(z, NEAR_TAIL if x < 8.0 else FAR_TAIL)
    quantile = (x - math.log(x) / x) - z * above / below
    return -quantile if lower else quantile


def normal_quantiles(probabilities: Array) -> FloatArray:
    """Return quantiles of the standard normal distribution, shape (n,), in the probabilities' precision."""
    quantiles = np.array([_quantile(float(each)) for each in probabilities], dtype=np.float64)
    return quantiles if probabilities.dtype == np.float64 else quantiles.astype(np.float32).astype(np.float64)
