"""From the trained Brevitas network to the integer program.

A hidden layer becomes a linear layer on integers and one lookup a neuron, into which the scales, batch
normalization, the activation and the quantizer are folded: the tables are filled by running those
very modules, in double precision, on every accumulator that can occur.
"""

import copy
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from skfhe.neural_network.module import BudgetedMLP, HiddenLayer
from skfhe.program import Program, ProgramBuilder, drop_unused_inputs, ops, optimize
from skfhe.program.passes import round_lookups
from skfhe.program.types import IntegerType
from skfhe.quantization import AffineQuantizer

__all__ = ["in_double_precision", "lower_mlp"]


def in_double_precision(module: BudgetedMLP) -> BudgetedMLP:
    """Return a copy of ``module`` in double precision and evaluation mode, on the CPU."""
    return copy.deepcopy(module).to("cpu").double().eval()


def lower_mlp(
    module: BudgetedMLP, rounding: tuple[int, Literal["exact", "approximate"]] | None = None
) -> tuple[Program, list[NDArray[np.bool_]], list[AffineQuantizer]]:
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
    output_quantizers : list of AffineQuantizer
        Turn the accumulators into scores, which are their sum.
    """
    module = in_double_precision(module)
    builder = ProgramBuilder()
    n_bits = len(module.encoder.thresholds)
    value = builder.input(np.zeros(n_bits), np.ones(n_bits), label="input bits")
    scale = torch.ones((), dtype=torch.float64)
    with torch.no_grad():
        for index, layer in enumerate(module.hidden, start=1):
            weight = layer.linear.quant_weight()
            linear = ops.Linear(_integers(weight).T, np.zeros(layer.linear.out_features, np.int64))
            value = builder.add(linear, value, label=f"hidden layer {index}")
            scale = scale * weight.scale.flatten()
            lookup = _lookup(layer, builder.type_of(value), scale)
            value = builder.add(lookup, value, label=f"hidden layer {index}")
            scale = layer.quantizer(torch.zeros(1, dtype=torch.float64)).scale
        weight = module.output.quant_weight()
        scale = (scale * weight.scale.flatten()).broadcast_to(module.output.out_features)
        bias = torch.round(module.output.bias / scale).numpy().astype(np.int64)
        offset = -_smallest(
            _integers(weight).T, builder.type_of(value)
        )  # unsigned, to need no bit for a sign
        outputs = [builder.add(ops.Linear(_integers(weight).T, offset), value, label="output layer")]
        scales, zero_points = [scale], [offset - bias]
        if module.skip is not None:
            highest = module.skip.level_weights.sum(dim=0).numpy()
            levels = builder.input(np.zeros(len(highest)), highest, label="input levels")
            weight = module.skip.linear.quant_weight()
            integers = _integers(weight).T
            bias = -module.skip.center * integers.sum(axis=0)
            linear = ops.Linear(integers * (highest > 0)[:, None], bias)  # a constant level need not be sent
            outputs.append(builder.add(linear, levels, label="skip connection"))
            zero_points.append(np.zeros_like(bias))
            scales.append((weight.scale.flatten() * module.skip.step).broadcast_to(integers.shape[1]))
    program, kept = drop_unused_inputs(optimize(builder.finish(*outputs)))
    if rounding is not None:
        program = optimize(program, [lambda p: round_lookups(p, *rounding)])
    quantizers = [
        AffineQuantizer(
            program.values[position].type.bits,
            program.values[position].type.signed,
            scale.numpy().copy(),
            zero_point,
        )
        for position, scale, zero_point in zip(program.outputs, scales, zero_points, strict=True)
    ]
    return program, kept, quantizers


def _integers(quantized: Any) -> NDArray[np.int64]:
    """Return the integers of a Brevitas tensor, whose own ``int`` refuses equal values of one bit."""
    return (quantized.value / quantized.scale).round().numpy().astype(np.int64)


def _smallest(weight: NDArray[np.int64], read: IntegerType) -> NDArray[np.int64]:
    """Return the smallest result of each column of ``weight`` on inputs of the type ``read``."""
    products = np.stack([weight * read.low[:, None], weight * read.high[:, None]])
    return products.min(axis=0).sum(axis=0)


def _lookup(layer: HiddenLayer, read: IntegerType, scale: torch.Tensor) -> ops.Lookup:
    """Tabulate what ``layer`` makes of every accumulator, neuron by neuron."""
    accumulators = torch.arange(read.min, read.max + 1, dtype=torch.float64)[:, None]
    activations = layer.quantizer(layer.activation(layer.norm(accumulators * scale)))
    tables = _integers(activations).T
    return ops.Lookup(tables, np.full(len(tables), read.min, dtype=np.int64))
