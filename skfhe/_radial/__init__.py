"""Radial kernels on encrypted data: a lookup for each support vector.

The client sends for each feature the bits that say which boundaries of a grid its value exceeds. Any function
of a feature is linear in these, so the squared distance to a vector is a sum of integers: for each feature
``(x_f - v_f)**2``, in units of its own for each vector. The sum is rounded, exactly, to what a lookup reads,
which makes ``exp(-gamma * distance)`` of it, times the vector's coefficient. The results are added.

It takes one lookup for each vector and each score that it has a coefficient for, so it is for few vectors: up
to 50 or so. For more, a map that approximates the kernel is applied by the client, before a linear model.

A family of estimators is in a room of its own: it describes what was fitted as `RadialScores`, and the rows
as a `RadialCalibration`. `lower_radial` warns of what is dear and of what is coarse; the family warns of rows
that are clipped, by ``model.encoder.watch``, as linear models do.
"""

from skfhe._radial.calibration import KERNEL_BITS, RANGE_MARGIN, RadialCalibration, check_kernel_bits
from skfhe._radial.lower import lower_radial
from skfhe._radial.scores import RadialScores

__all__ = [
    "KERNEL_BITS",
    "RANGE_MARGIN",
    "RadialCalibration",
    "RadialScores",
    "check_kernel_bits",
    "lower_radial",
]
