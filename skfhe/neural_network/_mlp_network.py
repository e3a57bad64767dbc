"""From the trained Brevitas network to the integer program.

The network is written down as a float network, and lowered and rounded as any imported one is: a hidden layer
becomes a linear layer on integers and one lookup a neuron, whose tables are filled by
running its batch normalization, activation and quantizer, in double precision, on every accumulator that can
occur.
"""

import copy

import numpy as np
import torch
from torch import Tensor

from skfhe._typing import BoolArray, FloatArray, IntArray, Rounding
from skfhe.encoding import AffineDecoder
from skfhe.network import Emitter, Grid, NetworkBuilder, Node, Quantize, Symbolic, Trained, lower_network
from skfhe.neural_network._budget import largest_magnitude
from skfhe.neural_network._budgeted_mlp import BudgetedMLP, HiddenLayer
from skfhe.neural_network._wrapping import WrappingLayer
from skfhe.passes import (
    DEFAULT_PASSES,
    drop_unused_inputs,
    narrow_lookups,
    optimize,
    protect_roundings,
)
from skfhe.program import Program

__all__ = ["in_double_precision", "lower_mlp"]

MOST_WEIGHT_BITS = 8
"""Of a hidden layer's weights."""


def in_double_precision(module: BudgetedMLP) -> BudgetedMLP:
    """Return a copy of ``module`` in double precision and evaluation mode, on the CPU."""
    return copy.deepcopy(module).to("cpu").double().eval()


def lower_mlp(
    module: BudgetedMLP, rounding: Rounding | None = None
) -> tuple[Program, list[BoolArray], list[AffineDecoder]]:
    """Lower a trained network.

    Parameters
    ----------
    module : BudgetedMLP
    rounding : tuple of int and {"exact", "approximate"}, default=None
        Bits that accumulators are rounded to before they are looked up, and how.

    Returns
    -------
    program : Program
        Takes the bits of the input encoding that are kept, returns the output accumulators. With a skip
        connection it takes the levels, too, and returns the skip connection's accumulators apart: they
        are added in the clear, where they cost the lookups no precision.
    kept : list of ndarray of bool
        Which bits, and which features' levels, the program reads.
    decoders : list of AffineDecoder
        Turn the accumulators into scores, which are their sum.
    """
    module = in_double_precision(module)
    with torch.no_grad():
        network, highest = _network(module)
        lowered = lower_network(network, _EncodedInputs(highest, rounding))
    decoders: list[AffineDecoder] = []
    for decoder in lowered.decoders:
        if not isinstance(decoder, AffineDecoder):
            raise TypeError(f"the output layer is linear, and was given a {type(decoder).__name__}")
        decoders.append(decoder)
    narrow, doubled = narrow_lookups(optimize(lowered.program, [*DEFAULT_PASSES, protect_roundings]))
    program, kept = drop_unused_inputs(narrow)
    return program, kept, [each.of_doubled(times) for each, times in zip(decoders, doubled, strict=True)]


class _EncodedInputs(Trained):
    """The scheme of a network whose inputs arrive as integers.

    Parameters
    ----------
    highest : list of ndarray of int64
        For each input, the largest integer of each element; the smallest is 0.
    rounding : tuple of int and {"exact", "approximate"}, default=None
        See `lower_mlp`.
    """

    def __init__(self, highest: list[IntArray], rounding: Rounding | None) -> None:
        super().__init__(Emitter("proven", margin=0.0, rounding=rounding), n_bits=None)
        self.highest = highest

    def input(self, node: Node, index: int) -> Symbolic:
        """Take over an input of the network."""
        high = self.highest[index]
        rows = node.reference.numpy().astype(np.int64)
        position = self.emitter.input(np.zeros_like(high), high, rows, node.label)
        return Symbolic.on_grid(position, node.reference, Grid.of(1.0, 0.0, node.shape))

    def weights(
        self, weight: FloatArray, sample: FloatArray, wanted: FloatArray
    ) -> tuple[IntArray, FloatArray]:
        """Return the integers that the weights are; those of wrapping layers as they count, not divided."""
        integers = np.rint(weight)
        small = np.abs(weight).max(initial=0.0) <= largest_magnitude(MOST_WEIGHT_BITS)
        if small and np.allclose(weight, integers, rtol=0.0, atol=1e-9):
            return integers.astype(np.int64), np.ones(weight.shape[1])
        return super().weights(weight, sample, wanted)


def _network(module: BudgetedMLP) -> tuple[NetworkBuilder, list[IntArray]]:
    """Write the network down as a function of its encoded inputs, with the largest integers of these."""
    highest = [np.ones(len(module.kept_bits), dtype=np.int64)]
    names = ["input bits"]
    if module.skip is not None:
        highest.append(module.skip.level_weights.sum(dim=0).numpy().astype(np.int64))
        names.append("input levels")
    build = NetworkBuilder([torch.zeros(1, len(high)) for high in highest], names)
    value, scale = build.inputs[0], torch.ones((), dtype=torch.float64)
    for index, layer in enumerate(module.hidden, start=1):
        build.at("linear", f"hidden layer {index}")
        weight = layer.linear.quant_weight().value.T
        if isinstance(layer, WrappingLayer):
            weight = weight / scale  # sums are integers
        value = build.linear(value, weight)
        quantizer = _quantizer(layer)
        value, scale = build.add(quantizer, value), quantizer.scale
    build.at("linear", "output layer")
    weight = module.output.quant_weight()
    scale = scale * weight.scale.flatten()
    bias = torch.round(module.output.bias / scale) * scale
    build.outputs.append(build.linear(value, weight.value.T, bias))
    if module.skip is not None:
        build.at("linear", "skip connection")
        weight = module.skip.linear.quant_weight().value.T * module.skip.step
        bias = -module.skip.center * weight.sum(dim=0)
        varies = torch.from_numpy(highest[1] > 0)  # a constant level need not be sent
        build.outputs.append(build.linear(build.inputs[1], weight * varies[:, None], bias))
    return build, highest


def _quantizer(layer: HiddenLayer | WrappingLayer) -> Quantize:
    """Describe what a layer makes of the sums of its weighted inputs."""

    def integers(sums: Tensor) -> Tensor:
        activations = layer.of_sums(sums)
        return torch.round(activations.value / activations.scale)

    scale = layer.of_sums(torch.zeros(1, layer.linear.out_features, dtype=torch.float64)).scale
    zero = torch.zeros((), dtype=torch.float64)
    if isinstance(layer, WrappingLayer):
        return Quantize(integers, scale, zero, -layer.magnitude, layer.magnitude, layer.modulo_bits)
    half = 1 << (int(layer.quantizer.act_quant.bit_width()) - 1)
    low, high = (-half, half - 1) if layer.quantizer.act_quant.is_signed else (0, 2 * half - 1)
    return Quantize(integers, scale, zero, low, high)
