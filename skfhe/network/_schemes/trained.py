"""Networks trained with quantizers: integers are read off, exactly, or the network is refused."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from torch import Tensor

from skfhe._typing import FloatArray, IntArray
from skfhe.encoding import AffineQuantizer
from skfhe.network._cells import rounded, values_taken
from skfhe.network._emitter import Emitter
from skfhe.network._node import Node
from skfhe.network._operations import Quantize
from skfhe.network._schemes.calibration import calibrate_grid
from skfhe.network._schemes.input_quantizers import (
    InputQuantizer,
    probe_range,
    quantizer_behind,
    read_quantizer,
)
from skfhe.network._schemes.scheme import Scheme
from skfhe.network._schemes.weights import integer_grid
from skfhe.network._symbolic import Grid, RawInput, Symbolic

__all__ = ["Trained"]


MOST_BITS = 12
"""Wider integers than these are no quantizer's, but floats that happen to have a common divisor."""
EXACT = 1e-9
"""Relative difference up to which two scales count as one."""
LARGEST_FACTOR = 64
OTHERWISE = (
    "use post-training quantization for what the network does not quantize: "
    "compile_brevitas_qat_model(net, inputset, n_bits=…), or compile_torch_model(net, inputset, n_bits=…) "
    "without import_qat"
)
"""What to do with networks that quantize only in part."""


class Trained(Scheme):
    """Reads grids off a network that quantizes its own values.

    Parameters
    ----------
    emitter : Emitter
    n_bits : int or None
        Bits of inputs that reach a layer without a quantizer; None refuses them.
    others : Scheme, default=None
        Chooses the integers of values and weights that the network does not quantize; None refuses them.
    """

    on_two_grids = True

    def __init__(self, emitter: Emitter, n_bits: int | None, others: Scheme | None = None) -> None:
        super().__init__(emitter)
        self.n_bits, self.others = n_bits, others
        self._chosen = False
        emitter.reads_packed = True  # no value can be narrower than it was trained to be
        self.inputs: list[Node] = []

    def narrower(self, n_bits: int) -> str:
        """Say how the user has two values of ``n_bits`` bits each."""
        return f"one quantizer for both, or quantizers of {n_bits} bits,"

    def input(self, node: Node, index: int) -> Symbolic | RawInput:
        """Take over an input, which is encrypted once a quantizer is found for it."""
        self.inputs.append(node)
        shape = node.shape

        def fill(floats: Tensor) -> Tensor:
            return floats.reshape(-1, *(1,) * len(shape)).expand(-1, *shape)

        return RawInput(index, shape, node.reference, fill, shared=node.readers > 1)

    def quantize(self, x: Symbolic | RawInput, operation: Quantize, reference: Tensor) -> Symbolic:
        """Apply a quantizer of the network's own, by the very integers that it yields."""
        if isinstance(x, RawInput):
            return self._quantized_input(x, operation, reference)
        return super().quantize(x, operation, reference)

    def operand(self, x: Any, axis: int | None) -> Symbolic:
        """Return ``x`` on the grid that its values lie on."""
        if isinstance(x, RawInput):
            return self._quantized_input(x, None, x.reference)
        if x.grid is not None:
            return x
        key = x.evaluate
        if key not in self._known:
            self._known[key] = self._on_own_grid(x)
        if self._known[key] is None:
            assert self.others is not None
            return self.others.operand(x, axis)
        return self._known[key]

    def _on_own_grid(self, x: Symbolic) -> Symbolic | None:
        """Look up a function whose values lie on a grid; None if they do not, and others see to it."""
        read = self.emitter.type_of(x.position)
        reached = values_taken(x.evaluate, read.low, read.high, self.emitter.label_of(x.position))
        if not reached.size:
            raise ValueError(f"the values of {self.emitter.label!r} are infinite or NaN whatever the input")
        offset = reached.min() if reached.min() > 0 or reached.max() < 0 else 0.0
        found = integer_grid((reached - offset)[:, None], MOST_BITS)
        if found is None and self.others is not None:
            return None
        if found is None:
            raise ValueError(
                f"the values of {self.emitter.label!r} reach a layer without having been quantized: they "
                f"take {len(reached)} floats that lie on no common grid; put a quantizer behind "
                f"it (brevitas.nn.QuantIdentity, or rounding to multiples of a scale), or {OTHERWISE}"
            )
        (scale,) = found[1]

        def encode(values: FloatArray) -> IntArray:
            inside = np.where(np.isfinite(values), np.clip(values, reached.min(), reached.max()), np.nan)
            return rounded((inside - offset) / scale)

        return self.emitter.tabulate(x, encode, Grid.of(scale, offset, x.shape))

    def _quantized_input(self, x: RawInput, operation: Quantize | None, reference: Tensor) -> Symbolic:
        """Append the program's input for a network's input and the quantizer that it goes through."""
        indices = np.arange(int(np.prod(x.shape, dtype=np.int64))).reshape(x.shape)
        for move in x.moves:
            taken = move.indices.numpy()
            indices = np.where(taken < 0, -1, indices.ravel()[np.maximum(taken, 0)])
        found = self._input_quantizer(x, indices, operation, reference)
        quantizer = found.quantizer
        key = (
            x.index,
            quantizer.limits,
            np.asarray(quantizer.scale).tobytes(),
            np.asarray(quantizer.zero_point).tobytes(),
        )
        if key not in self._known:
            node = self.inputs[x.index]
            self._known[key] = self.encrypt(x.index, x.shape, quantizer, node.reference, node.label)
        position = self.emitter.move(self._known[key], indices)
        offset = np.where(indices < 0, reference[0].numpy(), -found.zero * found.scale)
        grid = Grid.of(found.scale, offset, indices.shape)
        return Symbolic.on_grid(position, reference, grid, x.shared)

    def _input_quantizer(
        self, x: RawInput, indices: IntArray, operation: Quantize | None, reference: Tensor
    ) -> InputQuantizer:
        """Find the quantizer that does what the network does to an input, elements ``indices`` of it."""
        own = indices >= 0
        node = self.inputs[x.index]
        probes = probe_range(node.reference)
        after = x
        if operation is not None:
            in_order = np.array_equal(indices.ravel(), np.arange(np.prod(x.shape)))
            found = quantizer_behind(x.evaluate, operation, probes) if in_order else None
            if found is not None:
                return found.shaped(x.shape)
            after = x.through(operation.evaluate, reference)

        def levels(floats: Tensor) -> FloatArray:
            filled = after.evaluate(floats).numpy()[:, own]
            if not np.array_equal(filled, np.broadcast_to(filled[:, :1], filled.shape)):
                raise ValueError(
                    f"elements of the input {node.label!r} are treated differently before they are "
                    "quantized; put the quantizer (brevitas.nn.QuantIdentity) first"
                )
            return filled[:, 0]

        read = read_quantizer(levels, probes, MOST_BITS)
        if read is not None:
            return read
        unchanged = np.allclose(levels(probes), probes.numpy(), rtol=1e-12)
        if self.n_bits is None or not unchanged:
            by_range = ", or give n_bits to have it quantized by its range" if unchanged else ""
            raise ValueError(
                f"the input {node.label!r} reaches a layer without having been quantized evenly; put a "
                f"quantizer of one scale (brevitas.nn.QuantIdentity) first{by_range}"
            )
        scale, zero_point = (
            float(v.ravel()[0]) for v in calibrate_grid(node.reference.numpy(), self.n_bits, None, "minmax")
        )
        return InputQuantizer(AffineQuantizer(self.n_bits, False, scale, zero_point), scale, zero_point)

    def weights(
        self, weight: FloatArray, sample: FloatArray, wanted: FloatArray
    ) -> tuple[IntArray, FloatArray]:
        """Return the integers that the weights are, whatever the sample."""
        found = integer_grid(weight, MOST_BITS)
        if found is None and self.others is not None:
            self._chosen = True
            return self.others.weights(weight, sample, wanted)
        if found is None:
            raise ValueError(
                f"the weights of {self.emitter.label!r} lie on no common grid with its inputs; quantize both "
                f"(brevitas.nn.QuantLinear and the like), or {OTHERWISE}"
            )
        return found

    def rescaled(
        self, weight: FloatArray, sample: FloatArray, wanted: FloatArray, scales: FloatArray
    ) -> tuple[IntArray, FloatArray] | None:
        """Return integers at other scales for weights that were chosen."""
        if not self._chosen:
            return None
        assert self.others is not None
        return self.others.rescaled(weight, sample, wanted, scales)

    def corrected(self, x: Symbolic, axis: int) -> Symbolic:
        """Put the scales and offsets of chosen weights right; those of the network's own are."""
        if not self._chosen:
            return x
        assert self.others is not None
        self._chosen = False
        return self.others.corrected(x, axis)

    def aligned(self, a: Any, b: Any, looked_up: bool) -> tuple[Symbolic, int, Symbolic, int, Any] | None:
        """Return two values on a common grid, if one divides the other."""
        a, b = self.operand(a, None), self.operand(b, None)
        ratios = a.grid.scale / b.grid.scale
        ratio = float(ratios.ravel()[0])
        nearest = Fraction(ratio).limit_denominator(LARGEST_FACTOR)
        if nearest.numerator > LARGEST_FACTOR or np.any(np.abs(ratios / float(nearest) - 1) > EXACT):
            return None
        return a, nearest.numerator, b, nearest.denominator, b.grid.scale / nearest.denominator

    def decoded(self, x: Any) -> Symbolic:
        """Return an output as it is to be decrypted."""
        return self.operand(x, None) if isinstance(x, RawInput) else x
