"""Post-training quantization: grids and integer weights for a network trained in float."""

from __future__ import annotations

import numpy as np
import torch

from skfhe._typing import FloatArray, IntArray
from skfhe.encoding import AffineQuantizer
from skfhe.network._cells import UNDEFINED, rounded
from skfhe.network._emitter import Emitter
from skfhe.network._node import Node
from skfhe.network._operations import Source
from skfhe.network._schemes.calibration import Calibration, calibrate_grid
from skfhe.network._schemes.scheme import Scheme
from skfhe.network._schemes.weights import choose_integers, integer_grid
from skfhe.network._symbolic import Grid, Symbolic

__all__ = ["PostTraining"]


FEWEST_SAMPLES = 32
"""Fewer calibration values than these do not say how to correct a channel, or that an input is whole."""
MANY_VALUES = 4096
"""So many show whether all are few different ones."""
SEEN = 8
"""Levels that the calibration rows do not reach so often each are not taken for all that there are."""
ALIGNMENT = 0.25
"""How far two grids may be apart when they are added as they are, in steps of the finer result."""


class PostTraining(Scheme):
    """Chooses grids from the calibration rows.

    Parameters
    ----------
    emitter : Emitter
    model_inputs, op_inputs, op_weights : int
        Bits of the network's inputs, of the values that linear layers, products and extrema take, and of
        weights.
    model_outputs : int or None
        Bits of outputs that are not linear in an accumulator; None leaves their function to whoever
        decrypts.
    calibration : {"mse", "minmax", "percentile"}
    """

    def __init__(
        self,
        emitter: Emitter,
        model_inputs: int,
        op_inputs: int,
        op_weights: int,
        model_outputs: int | None,
        calibration: Calibration,
    ) -> None:
        super().__init__(emitter)
        self.model_inputs, self.op_inputs, self.op_weights = model_inputs, op_inputs, op_weights
        self.model_outputs = model_outputs
        self.calibration = calibration

    @property
    def looks_up_outputs(self) -> bool:
        """Whether outputs were asked to be looked up, as far as they can be."""
        return self.model_outputs is not None

    @property
    def term_bits(self) -> int:
        """Bits of values whose sum or difference is looked up: one less than a rounded lookup reads."""
        rounding = self.emitter.rounding
        return self.op_inputs if rounding is None else max(1, min(self.op_inputs, rounding[0] - 1))

    def narrower(self, n_bits: int) -> str:
        """Say how the user has two values of ``n_bits`` bits each."""
        return f"n_bits={n_bits}"

    def input(self, node: Node, index: int) -> Symbolic:
        """Quantize an input, each feature of a flat one by itself, or leave integers as they are.

        They are if the network takes integers, and if the bits hold all that lie between those of the rows.
        """
        if isinstance(node.operation, Source) and node.operation.whole is not None:
            return self._integers(node, index, *node.operation.whole)
        axis = 0 if len(node.shape) == 1 else None
        values = node.reference.numpy()
        if len(values) >= FEWEST_SAMPLES and np.array_equal(values, np.rint(values)):
            low, high = int(values.min()), int(values.max())
            if 0 < high - low < 1 << self.model_inputs:
                return self._integers(node, index, low, high)
        scale, zero_point = calibrate_grid(values, self.model_inputs, axis, self.calibration)
        quantizer = AffineQuantizer(self.model_inputs, False, scale, zero_point.astype(np.int64))
        position = self.encrypt(index, node.shape, quantizer, node.reference, node.label)
        grid = Grid.of(scale, -zero_point * scale, node.shape)
        return Symbolic.on_grid(position, node.reference, grid, node.readers > 1)

    def _integers(self, node: Node, index: int, low: int, high: int) -> Symbolic:
        n_bits = max(1, int(high - low).bit_length())
        quantizer = AffineQuantizer(n_bits, False, 1.0, -low)
        position = self.encrypt(index, node.shape, quantizer, node.reference, node.label)
        grid = Grid.of(1.0, float(low), node.shape)
        return Symbolic.on_grid(position, node.reference, grid, node.readers > 1)

    def operand(self, x: Symbolic, axis: int | None) -> Symbolic:
        """Return ``x`` on a grid of few bits, looked up unless it already is."""
        n_bits = self.op_inputs if axis is not None else self.term_bits
        narrow = self.emitter.type_of(x.position).bits <= n_bits + (axis is not None)
        narrow |= axis is not None and self.emitter.is_fresh(x.position)
        if x.grid is not None and narrow and _uniform(x.grid, axis):
            return x
        return self.quantized(x, None if x.shared else axis, n_bits)

    def quantized(self, x: Symbolic, axis: int | None, n_bits: int) -> Symbolic:
        """Look ``x`` up on a grid of its own; once, however often it is asked for."""
        key = (x.evaluate, axis, n_bits)
        if key not in self._known:
            values = x.reference.numpy()
            if not np.isfinite(values).all():
                raise ValueError(
                    f"{self.emitter.label!r} reads infinite values or NaN on the calibration rows; clamp the "
                    "arguments of what has a pole (division, log, sqrt), or leave out the rows that reach it"
                )
            few = _few_levels(values, n_bits)
            if few is None:
                scale, zero_point = calibrate_grid(values, n_bits, axis, self.calibration)
            else:
                scale, zero_point, n_bits = few
            self._known[key] = self.on_grid(x, scale, zero_point, n_bits)
        return self._known[key]

    def factor(self, x: Symbolic) -> Symbolic:
        """Return ``x`` on a grid of few bits whose scale may vary from element to element."""
        narrow = self.emitter.type_of(x.position).bits <= self.term_bits
        return x if x.grid is not None and narrow else self.operand(x, None)

    def narrowed(self, x: Symbolic, most: int) -> Symbolic:
        """Return ``x`` in few bits, looked up if it has more, or if it takes so few values that fewer do."""
        n_bits = self.emitter.type_of(x.position).bits
        if x.grid is not None:
            return x if n_bits <= max(most, self.term_bits) else self.operand(x, None)
        few = _few_levels(x.reference.numpy(), n_bits)
        return x if few is None and n_bits <= most else self.operand(x, None)

    def on_grid(self, x: Symbolic, scale: FloatArray, zero_point: FloatArray, n_bits: int) -> Symbolic:
        """Look ``x`` up as the integers of a grid, clipped to ``n_bits`` bits."""

        def encode(floats: FloatArray) -> IntArray:
            integers = rounded(floats / scale + zero_point)
            return np.where(integers == UNDEFINED, UNDEFINED, np.clip(integers, 0, (1 << n_bits) - 1))

        return self.emitter.tabulate(x, encode, Grid.of(scale, -zero_point * scale, x.shape))

    def weights(
        self, weight: FloatArray, sample: FloatArray, wanted: FloatArray
    ) -> tuple[IntArray, FloatArray]:
        """Return the integers that the weights are, if they are few, or chosen ones."""
        exact = integer_grid(weight, self.op_weights - 1)
        if exact is not None:
            return exact
        return choose_integers(weight, self.op_weights, sample, wanted)

    def rescaled(
        self, weight: FloatArray, sample: FloatArray, wanted: FloatArray, least: FloatArray, cell: int
    ) -> tuple[IntArray, FloatArray] | None:
        """Return integers at other scales; None if the weights are few integers as they are."""
        if integer_grid(weight, self.op_weights - 1) is not None:
            return None
        return choose_integers(weight, self.op_weights, sample, wanted, (least, cell))

    def corrected(self, x: Symbolic, axis: int) -> Symbolic:
        """Fit each channel's scale and offset to the original's floats, by least squares."""
        assert x.grid is not None
        axes = tuple(a for a in range(x.reference.ndim) if a != axis % len(x.shape) + 1)
        values = self.emitter.samples[x.position] * x.grid.scale + x.grid.offset
        wanted = x.reference.numpy()
        if values.size // values.shape[axis % len(x.shape) + 1] < FEWEST_SAMPLES:
            return x
        mean, wanted_mean = values.mean(axis=axes, keepdims=True), wanted.mean(axis=axes, keepdims=True)
        variance = np.square(values - mean).mean(axis=axes, keepdims=True)
        covariance = ((values - mean) * (wanted - wanted_mean)).mean(axis=axes, keepdims=True)
        slope = np.divide(covariance, variance, out=np.ones_like(variance), where=variance > 1e-12)
        slope = np.where(slope > 0, slope, 1.0)[0]
        grid = Grid(x.grid.scale * slope, slope * (x.grid.offset - mean[0]) + wanted_mean[0])
        return Symbolic.on_grid(x.position, x.reference, grid, x.shared)

    def aligned(
        self, a: Symbolic, b: Symbolic, looked_up: bool
    ) -> tuple[Symbolic, int, Symbolic, int, float]:
        """Return two values on a common grid: as they are, or looked up for it."""
        n_bits = self.term_bits if looked_up else self.op_inputs
        widest = max(self.emitter.type_of(x.position).bits for x in (a, b))
        direct = self._ratio(a, b) if not looked_up or widest <= n_bits else None
        if direct is not None:
            return direct
        both = torch.stack([a.reference, b.reference], dim=1).numpy()
        scale, _ = calibrate_grid(both, n_bits, None, self.calibration)
        a, b = (self._on_step(x, float(scale.ravel()[0])) for x in (a, b))
        assert a.grid is not None
        return a, 1, b, 1, float(a.grid.scale.ravel()[0])

    def _on_step(self, x: Symbolic, step: float) -> Symbolic:
        """Look ``x`` up on the grid of multiples of ``step``, as many of them as it spans."""
        low, high = float(x.reference.min()), float(x.reference.max())
        zero_point = np.rint(-low / step)
        n_bits = max(1, int(np.ceil(np.log2((high - low) / step + 1 - 1e-9))))
        return self.on_grid(x, np.array(step), zero_point, n_bits)

    def _ratio(self, a: Symbolic, b: Symbolic) -> tuple[Symbolic, int, Symbolic, int, float] | None:
        """Return how to add two values as they are, if the finer grid nearly divides the coarser."""
        if a.grid is None or b.grid is None or not (_uniform(a.grid, None) and _uniform(b.grid, None)):
            return None
        scales = [float(x.grid.scale.ravel()[0]) for x in (a, b) if x.grid is not None]
        if min(scales) <= 0:
            return None
        coarse = int(scales[1] > scales[0])
        ratio = scales[coarse] / scales[1 - coarse]
        multiplier = int(np.rint(ratio))
        spread = self.emitter.type_of((a, b)[coarse].position)
        error = abs(ratio - multiplier) * scales[1 - coarse] * (spread.max - spread.min)
        step = float((a.reference + b.reference).max() - (a.reference + b.reference).min()) / (
            (1 << self.op_inputs) - 1
        )
        if error > ALIGNMENT * step:
            return None
        multipliers = [1, 1]
        multipliers[coarse] = multiplier
        return a, multipliers[0], b, multipliers[1], scales[1 - coarse]

    def decoded(self, x: Symbolic) -> Symbolic:
        """Return an output, looked up if its bits were asked for."""
        if x.grid is None and self.model_outputs is not None:
            return self.quantized(x, None, self.model_outputs)
        return x


def _few_levels(values: FloatArray, n_bits: int) -> tuple[FloatArray, FloatArray, int] | None:
    """Return scale, zero point and bits of a grid that holds ``values`` exactly in less than ``n_bits`` bits.

    Truth values, signs and rounded values lie on one.
    """
    most = min(1 << (n_bits - 1), values.size // SEEN)
    if len(np.unique(values.ravel()[:MANY_VALUES])) > most:
        return None
    levels = np.unique(values)
    if not 1 < len(levels) <= most:
        return None
    found = integer_grid((levels - levels[0])[:, None], n_bits - 1)
    if found is None:
        return None
    (scale,) = found[1]
    zero_point = -levels[0] / scale
    if abs(zero_point - np.rint(zero_point)) < 1e-9:
        zero_point = np.rint(zero_point)
    return np.array(scale), np.array(zero_point), int(found[0].max()).bit_length()


def _uniform(grid: Grid, axis: int | None) -> bool:
    """Whether the scale varies along ``axis`` alone."""
    scale = grid.scale
    if axis is not None:
        scale = np.moveaxis(scale, axis, -1).reshape(-1, scale.shape[axis])
        return bool(np.all(scale == scale[:1]))
    return bool(np.all(scale == scale.ravel()[0]))
