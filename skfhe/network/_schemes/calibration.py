"""Ranges of values from calibration rows."""

from typing import Literal

import numpy as np

from skfhe._typing import FloatArray

__all__ = ["Calibration", "calibrate_grid"]

Calibration = Literal["mse", "minmax", "percentile"]

PERCENTILE = 99.9
MAX_VALUES = 4096
"""Values a channel that a range is chosen on."""


def calibrate_grid(
    values: FloatArray, n_bits: int, axis: int | None, method: Calibration
) -> tuple[FloatArray, FloatArray]:
    """Choose an evenly spaced grid of ``2**n_bits`` floats for values, on which 0 lies.

    Parameters
    ----------
    values : ndarray of float64, shape (n_rows, *row)
    n_bits : int
    axis : int or None
        Axis of a row along which each channel has a grid of its own; None for one grid.
    method : {"mse", "minmax", "percentile"}
        Whether the range is shrunk as long as rounding and clipping then err less in the mean square, or is
        that of all values, or that of the middle 99.9 % of them. The first finds a minimum, which with one or
        two bits need not be the least.

    Returns
    -------
    scale, zero_point : ndarray of float64
        ``scale * (q - zero_point)`` for q in [0, 2**n_bits), broadcastable against a row; zero points are
        whole numbers.
    """
    rank = values.ndim - 1
    if axis is None:
        channels = values.reshape(1, -1)
        shape: tuple[int, ...] = (1,) * rank
    else:
        axis %= rank
        channels = np.moveaxis(values, axis + 1, 0).reshape(values.shape[axis + 1], -1)
        shape = tuple(-1 if a == axis else 1 for a in range(rank))
    if channels.shape[1] > MAX_VALUES and method != "minmax":
        picked = np.linspace(0, channels.shape[1] - 1, MAX_VALUES).astype(np.int64)
        ends = np.stack([channels.argmin(axis=1), channels.argmax(axis=1)], axis=1)
        channels = np.concatenate([channels[:, picked], np.take_along_axis(channels, ends, axis=1)], axis=1)
    low, high = channels.min(axis=1), channels.max(axis=1)
    constant = high - low <= 1e-12 * np.maximum(np.abs(high), np.abs(low))
    if method == "percentile":
        low, high = np.percentile(channels, [100 - PERCENTILE, PERCENTILE], axis=1)
    # a constant channel takes the range of all, or spans from 0: it may not stay constant
    low = np.where(constant, min(0.0, float(low.min())), low)
    high = np.where(constant, max(0.0, float(high.max())), high)
    high = np.where(high > low, high, low + 1.0)
    if method == "mse":
        low, high = _least_error(channels, low, high, n_bits)
    scale = (high - low) / ((1 << n_bits) - 1)
    return scale.reshape(shape), np.rint(-low / scale).reshape(shape)


def _least_error(
    channels: FloatArray, low: FloatArray, high: FloatArray, n_bits: int
) -> tuple[FloatArray, FloatArray]:
    """Shrink ranges, one end after the other, as long as rounding and clipping then err less."""
    steps = (1 << n_bits) - 1

    def error(low: FloatArray, high: FloatArray) -> FloatArray:
        scale = ((high - low) / steps)[:, None]
        zero = np.rint(-low[:, None] / scale)
        rounded = scale * (np.clip(np.rint(channels / scale + zero), 0, steps) - zero)
        return np.square(channels - rounded).mean(axis=1)

    fractions = np.linspace(0.0, 0.6, 25)
    length, least = high - low, error(low, high)
    for end in ("high", "low", "high"):
        start_low, start_high = low, high
        for fraction in fractions:
            tried_low = (
                low if end == "high" else np.where(start_low >= 0, start_low, start_low + fraction * length)
            )
            tried_high = start_high - fraction * length if end == "high" else high
            fits = tried_high > tried_low + 1e-9 * length
            tried = np.where(fits, error(tried_low, np.where(fits, tried_high, tried_low + length)), np.inf)
            better = tried < least
            low, high = np.where(better, tried_low, low), np.where(better, tried_high, high)
            least = np.minimum(tried, least)
    return low, high
