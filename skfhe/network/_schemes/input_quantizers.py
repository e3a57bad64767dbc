"""The quantizer of an input, read off what the network does to it before its first layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skfhe._typing import FloatArray
from skfhe.encoding import AffineQuantizer
from skfhe.network._operations import Quantize
from skfhe.network._schemes.weights import integer_grid
from skfhe.network._symbolic import Evaluate
from skfhe.program import bit_width

__all__ = ["InputQuantizer", "probe_range", "quantizer_behind", "read_quantizer"]


N_PROBES = 20_001
MOST_MISSES = 1e-3
"""Share of probes that may differ from a quantizer found by its thresholds: those that lie on one."""


@dataclass(frozen=True, eq=False)
class InputQuantizer:
    """A quantizer, and the floats ``scale * (q - zero)`` that its integers stand for behind it.

    These differ from what is quantized, where the network scales and shifts its input first.
    """

    quantizer: AffineQuantizer
    scale: Any
    zero: Any

    def shaped(self, shape: tuple[int, ...]) -> InputQuantizer:
        """Return it for an input of another shape, with the same elements."""
        scale, zero_point = self.quantizer.scale, self.quantizer.zero_point
        if np.ndim(scale):
            scale = np.asarray(scale).reshape(shape)
        if np.ndim(zero_point):
            zero_point = np.asarray(zero_point).reshape(shape)
        return replace(self, quantizer=replace(self.quantizer, scale=scale, zero_point=zero_point))


def probe_range(rows: Tensor) -> Tensor:
    """Return floats that try out what is done to an input: an even grid, values that occur, and far ends."""
    values = rows.flatten().unique()
    low, high = float(values.min()), float(values.max())
    reach = max(high - low, abs(high), abs(low), 1e-3)
    grid = torch.linspace(low - 3 * reach, high + 3 * reach, N_PROBES, dtype=torch.float64)
    ends = torch.tensor([-1e6 * reach, 1e6 * reach], dtype=torch.float64)
    return torch.cat([ends[:1], torch.cat([grid, values[:N_PROBES]]).sort()[0], ends[1:]])


def quantizer_behind(before: Evaluate, operation: Quantize, probes: Tensor) -> InputQuantizer | None:
    """Return the quantizer of an input that reaches ``operation`` through an affine function.

    Parameters
    ----------
    before : callable
        From floats (n,) to floats (n, *row): what reaches the quantizer when the input holds each float.
    operation : Quantize
    probes : Tensor of float64
        Floats to check the result on.

    Returns
    -------
    InputQuantizer
        With one scale and zero point, or with one for each element.
    None
        If the function is not affine and increasing, or the quantizer not even.
    """
    offset, one = before(torch.tensor([0.0, 1.0], dtype=torch.float64)).numpy()
    slope = one - offset
    column = probes.numpy().reshape(-1, *(1,) * slope.ndim)
    reached = before(probes).numpy()
    if np.any(slope <= 0) or not np.allclose(reached, column * slope + offset, rtol=1e-9, atol=1e-9):
        return None
    scale, zero = operation.scale.numpy(), operation.zero_point.numpy()
    own_scale, own_zero = (
        v.ravel()[0] if np.all(v == v.ravel()[0]) else v
        for v in np.broadcast_arrays(scale / slope, zero + offset / scale)
    )
    limits = (operation.low, operation.high)
    found = AffineQuantizer(max(1, bit_width(*limits)), limits[0] < 0, own_scale, own_zero, limits)
    integers = operation.function(before(probes)).numpy()
    if np.mean(found.quantize(np.broadcast_to(column, integers.shape)) != integers) > MOST_MISSES:
        return None
    return InputQuantizer(found, scale, zero)


def read_quantizer(
    levels: Callable[[Tensor], FloatArray], probes: Tensor, n_bits: int
) -> InputQuantizer | None:
    """Return the quantizer that a function of one float amounts to.

    Its integers change at thresholds, which bisection finds; an affine quantizer has them evenly spaced.

    Parameters
    ----------
    levels : callable
        From floats (n,) to floats (n,): what the network makes of the input.
    probes : Tensor of float64
        Floats to try, ascending.
    n_bits : int
        Most bits that the quantizer may have.

    Returns
    -------
    InputQuantizer or None
        None if the function's values lie on no grid of so many bits, or its thresholds are not even.
    """
    values = levels(probes)
    distinct = np.unique(values)
    if len(distinct) < 2 or len(distinct) > 1 << n_bits:
        return None
    found = integer_grid(np.diff(distinct)[:, None], n_bits)
    if found is None:
        return None
    (scale,) = found[1]
    on_zero = integer_grid(distinct[:, None], n_bits)
    zero = 0.0 if on_zero is not None and np.isclose(on_zero[1][0], scale) else -distinct[0] / scale
    integers = np.rint(values / scale + zero)
    limits = int(integers.min()), int(integers.max())
    width = max(1, bit_width(*limits))
    if zero == 0.0:
        direct = AffineQuantizer(width, limits[0] < 0, scale, zero, limits)
        if np.array_equal(direct.quantize(probes.numpy()), integers):
            return InputQuantizer(direct, scale, zero)
    changes = np.flatnonzero(np.diff(integers))
    if np.any(np.diff(integers)[changes] != 1):
        return None
    low, high = probes[changes].clone(), probes[changes + 1].clone()
    for _ in range(80):
        middle = (low + high) / 2
        above = torch.from_numpy(np.rint(levels(middle) / scale + zero) > integers[changes])
        low, high = torch.where(above, low, middle), torch.where(above, middle, high)
    thresholds = high.numpy()  # the first floats that count as more
    step = scale if len(thresholds) < 2 else (thresholds[-1] - thresholds[0]) / (len(thresholds) - 1)
    zero_point = float(np.mean(integers[changes] + 0.5 - thresholds / step))
    for nearby in (zero_point, np.nextafter(zero_point, np.inf)):  # a threshold may belong to either side
        quantizer = AffineQuantizer(width, limits[0] < 0, float(step), float(nearby), limits)
        if np.array_equal(quantizer.quantize(probes.numpy()), integers):
            return InputQuantizer(quantizer, scale, zero)
    if np.mean(quantizer.quantize(probes.numpy()) != integers) > MOST_MISSES:
        return None
    return InputQuantizer(quantizer, scale, zero)
