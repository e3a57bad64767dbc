"""Types that annotations share."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Array",
    "BoolArray",
    "FheMode",
    "FloatArray",
    "IntArray",
    "RangeSource",
    "Rounding",
    "RoundingMethod",
]

Array = NDArray[Any]
IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

FheMode = Literal["disable", "simulate", "execute"]
"""How a program is evaluated: its integers in the clear, with the engine's errors, or encrypted."""
RangeSource = Literal["proven", "calibrated"]
"""Whether intervals follow from interval arithmetic, or were seen on calibration rows, with a margin."""
RoundingMethod = Literal["exact", "approximate"]
Rounding = tuple[int, RoundingMethod]
"""Bits that accumulators are rounded to before they are looked up, and how."""
