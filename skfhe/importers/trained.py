"""Networks trained with quantizers: integers are read off, exactly, or the network is refused."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skfhe.importers.calibration import calibrate_grid
from skfhe.importers.emitter import Emitter
from skfhe.importers.encrypted import Encrypted, Grid, RawInput
from skfhe.importers.network import Node, Quantize
from skfhe.importers.scheme import Scheme
from skfhe.importers.weights import integer_grid
from skfhe.program import bit_width
from skfhe.quantization import AffineQuantizer

__all__ = ["Trained"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MOST_BITS = 12
"""Wider integers than these are no quantizer's, but floats that happen to have a common divisor."""
EXACT = 1e-9
"""Relative difference up to which two scales count as one."""
LARGEST_FACTOR = 64
N_PROBES = 20_001


class Trained(Scheme):
    """Reads grids off a network that quantizes its own values.

    Parameters
    ----------
    emitter : Emitter
    n_bits : int or None
        Bits of inputs that reach a layer without a quantizer; None refuses them.
    """

    def __init__(self, emitter: Emitter, n_bits: int | None) -> None:
        super().__init__(emitter)
        self.n_bits = n_bits
        self.inputs: list[Node] = []

    def input(self, node: Node, index: int) -> RawInput:
        self.inputs.append(node)
        shape = node.shape

        def fill(floats: Tensor) -> Tensor:
            return floats.reshape(-1, *(1,) * len(shape)).expand(-1, *shape)

        return RawInput(index, shape, node.reference, fill, shared=node.readers > 1)

    def quantize(self, x: Encrypted | RawInput, operation: Quantize, reference: Tensor) -> Encrypted:
        if isinstance(x, RawInput):
            return self._quantized_input(x.through(operation.evaluate, reference), operation)
        scale, zero_point = operation.scale.numpy(), operation.zero_point.numpy()
        grid = Grid.of(scale, -zero_point * scale, x.shape)

        def encode(floats: FloatArray) -> IntArray:
            return operation.function(torch.from_numpy(floats)).numpy().astype(np.int64)

        return self.emitter.tabulate(replace(x, reference=reference), encode, grid)

    def operand(self, x: Any, axis: int | None) -> Encrypted:
        if isinstance(x, RawInput):
            return self._quantized_input(x, None)
        if x.grid is not None:
            return x
        key = x.evaluate
        if key not in self._known:
            self._known[key] = self._on_own_grid(x)
        return self._known[key]

    def _on_own_grid(self, x: Encrypted) -> Encrypted:
        """Look up a function whose values lie on a grid."""
        read = self.emitter.type_of(x.position)
        floats = x.evaluate(torch.arange(read.min, read.max + 1)).numpy()
        integers = np.arange(read.min, read.max + 1).reshape(-1, *(1,) * len(x.shape))
        reached = floats[np.broadcast_to((integers >= read.low) & (integers <= read.high), floats.shape)]
        offset = reached.min() if reached.min() > 0 or reached.max() < 0 else 0.0
        found = integer_grid((np.unique(reached) - offset)[None], MOST_BITS)
        if found is None:
            raise ValueError(
                f"the values of {self.emitter.label!r} reach a layer without having been quantized: they take "
                f"{len(np.unique(reached))} floats that lie on no common grid; put a quantizer behind it "
                "(brevitas.nn.QuantIdentity, or rounding to multiples of a scale), or import the network "
                "with post-training quantization"
            )
        (scale,) = found[1]

        def encode(values: FloatArray) -> IntArray:
            inside = np.clip(np.nan_to_num(values), reached.min(), reached.max())
            return np.rint((inside - offset) / scale).astype(np.int64)

        return self.emitter.tabulate(x, encode, Grid.of(scale, offset, x.shape))

    def _quantized_input(self, x: RawInput, operation: Quantize | None) -> Encrypted:
        """Append the program's input for a network's input and the quantizer that it goes through."""
        indices = np.arange(int(np.prod(x.shape, dtype=np.int64))).reshape(x.shape)
        for move in x.moves:
            taken = move.indices.numpy()
            indices = np.where(taken < 0, -1, indices.ravel()[np.maximum(taken, 0)])
        quantizer, scale = self._input_quantizer(x, indices >= 0, operation)
        key = (x.index, quantizer.limits, float(quantizer.scale), float(quantizer.zero_point))
        if key not in self._known:
            node = self.inputs[x.index]
            self._known[key] = self.encrypt(x.index, x.shape, quantizer, node.reference, node.label)
        position = self.emitter.move(self._known[key], indices)
        zero = operation.zero_point.numpy() if operation is not None else round(float(quantizer.zero_point))
        offset = np.where(indices < 0, x.reference[0].numpy(), -zero * scale)
        grid = Grid.of(np.broadcast_to(scale, indices.shape), offset, indices.shape)
        return Encrypted.on_grid(position, x.reference, grid, x.shared)

    def _input_quantizer(
        self, x: RawInput, own: NDArray[np.bool_], operation: Quantize | None
    ) -> tuple[AffineQuantizer, float]:
        """Find the affine quantizer that does what the network does to an input, and the scale of its floats."""
        node = self.inputs[x.index]
        rows = node.reference.flatten().unique()
        low, high = float(rows.min()), float(rows.max())
        reach = max(high - low, abs(high), abs(low), 1e-3)
        probes = torch.cat(
            [
                torch.linspace(low - 3 * reach, high + 3 * reach, N_PROBES, dtype=torch.float64),
                rows[:N_PROBES],
            ]
        ).sort()[0]
        probes = torch.cat([torch.tensor([-1e6 * reach]), probes, torch.tensor([1e6 * reach])])

        def levels(floats: Tensor) -> FloatArray:
            filled = x.evaluate(floats).numpy()[:, own]
            if not np.array_equal(filled, np.broadcast_to(filled[:, :1], filled.shape)):
                raise ValueError(
                    f"elements of the input {node.label!r} are treated differently before they are quantized; "
                    "put the quantizer (brevitas.nn.QuantIdentity) first"
                )
            return filled[:, 0]

        values = levels(probes)
        if operation is not None:
            scale, zero = float(operation.scale.max()), float(operation.zero_point.max())
            integers = np.rint(values / scale + zero)
            limits = (operation.low, operation.high)
        else:
            found = integer_grid(np.unique(values)[None], MOST_BITS)
            if found is None or len(np.unique(values)) > 1 << MOST_BITS:
                return self._chosen(x, node, values, probes)
            (scale,), zero = found[1], 0.0
            integers = np.rint(values / scale)
            limits = (int(integers.min()), int(integers.max()))
            if limits[0] >= 0:
                zero = 0.0
        n_bits = max(1, bit_width(*limits))
        direct = AffineQuantizer(n_bits, limits[0] < 0, scale, zero, limits)
        if np.array_equal(direct.quantize(probes.numpy()), integers):
            return direct, scale
        return self._bisected(levels, probes, integers, n_bits, limits, scale, zero, node), scale

    @staticmethod
    def _bisected(
        levels: Any,
        probes: Tensor,
        integers: FloatArray,
        n_bits: int,
        limits: tuple[int, int],
        scale: float,
        zero: float,
        node: Node,
    ) -> AffineQuantizer:
        """Find a quantizer behind an affine function from the floats at which its integers change."""
        changes = np.flatnonzero(np.diff(integers))
        low, high = probes[changes].clone(), probes[changes + 1].clone()
        for _ in range(80):
            middle = (low + high) / 2
            above = torch.from_numpy(np.rint(levels(middle) / scale + zero) > integers[changes])
            low, high = torch.where(above, low, middle), torch.where(above, middle, high)
        thresholds = ((low + high) / 2).numpy()
        steps = integers[changes + 1] - integers[changes]
        if len(thresholds) and np.all(steps == 1):
            step = 1.0 if len(thresholds) < 2 else (thresholds[-1] - thresholds[0]) / (len(thresholds) - 1)
            zero_point = float(np.mean(integers[changes] + 0.5 - thresholds / step))
            found = AffineQuantizer(n_bits, limits[0] < 0, step, zero_point, limits)
            if np.mean(found.quantize(probes.numpy()) != integers) < 1e-3:
                return found
        raise ValueError(
            f"the input {node.label!r} is not quantized evenly by the network; put a quantizer with one scale "
            "(brevitas.nn.QuantIdentity) first"
        )

    def _chosen(
        self, x: RawInput, node: Node, values: FloatArray, probes: Tensor
    ) -> tuple[AffineQuantizer, float]:
        """Choose a grid for an input that the network does not quantize."""
        if self.n_bits is None or not np.allclose(values, probes.numpy(), rtol=1e-12):
            raise ValueError(
                f"the input {node.label!r} reaches a layer without having been quantized; put a quantizer "
                "(brevitas.nn.QuantIdentity) first, or give n_bits to have it quantized by its range"
            )
        scale, zero_point = calibrate_grid(node.reference.numpy(), self.n_bits, None, "minmax")
        quantizer = AffineQuantizer(self.n_bits, False, float(scale.ravel()[0]), int(zero_point.ravel()[0]))
        return quantizer, float(scale.ravel()[0])

    def weights(
        self, weight: FloatArray, sample: FloatArray | None, wanted: FloatArray | None
    ) -> tuple[IntArray, FloatArray]:
        found = integer_grid(weight, MOST_BITS)
        if found is None:
            raise ValueError(
                f"the weights of {self.emitter.label!r} lie on no common grid with its inputs; quantize both "
                "(brevitas.nn.QuantLinear and the like), or import the network with post-training quantization"
            )
        return found

    def aligned(self, a: Any, b: Any, looked_up: bool) -> tuple[Encrypted, int, Encrypted, int, Any] | None:
        a, b = self.operand(a, None), self.operand(b, None)
        ratios = a.grid.scale / b.grid.scale
        ratio = float(ratios.ravel()[0])
        nearest = Fraction(ratio).limit_denominator(LARGEST_FACTOR)
        if nearest.numerator > LARGEST_FACTOR or np.any(np.abs(ratios / float(nearest) - 1) > EXACT):
            return None
        return a, nearest.numerator, b, nearest.denominator, b.grid.scale / nearest.denominator

    def decoded(self, x: Any) -> Encrypted:
        return self.operand(x, None) if isinstance(x, RawInput) else x
