"""Hidden layers whose sums are counted modulo a power of two.

A bootstrap reads the whole circle of ``2**(P + 1)`` residues at the price of P bits if the upper half of its
table is the negative of the lower. So the weights need no budget: whatever a sum comes to, its residue is
what the layer is defined on. What the activation has to be is periodic, and antisymmetric under half a
period. `TentWave` is, and it has a slope everywhere, so gradients do not vanish however far a sum goes.
"""

import math
from typing import Any

import brevitas.nn as qnn
import torch
from brevitas.inject import ExtendedInjector
from brevitas.proxy import ActQuantProxyFromInjector, WeightQuantProxyFromInjector
from brevitas.quant_tensor import IntQuantTensor
from torch import Tensor, nn

from skfhe.neural_network._budget import largest_magnitude

__all__ = ["TentWave", "WrappingLayer"]

INITIAL_SPREAD = 0.3
"""Standard deviation of the weights before training, in units of the integers that they are rounded to: most
begin as zeros. Few inputs take larger weights, see `initial_spread`."""


class TentWave(nn.Module):
    """Periodic activation of straight lines: ``x`` from -1 to 1, back from 1 to -1, and so on.

    Its period is 4, and ``f(x + 2) == -f(x)``. It is what wrapping hidden layers apply, whose sums are
    counted modulo a power of two.

    Examples
    --------
    >>> import torch
    >>> from skfhe.neural_network import TentWave
    >>> TentWave()(torch.tensor([0.0, 0.75, 1.0, 1.25, 2.0, 3.0, 4.75])).tolist()
    [0.0, 0.75, 1.0, 0.75, 0.0, -1.0, 0.75]
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return the wave's values at ``x``."""
        return 1.0 - (torch.remainder(x + 1.0, 4.0) - 2.0).abs()


class RoundedWeights(nn.Module):
    """Quantizes weights to the nearest integers up to a magnitude; their scale is 1.

    Parameters
    ----------
    magnitude : int
    bit_width : int
        Bits of a weight, stated to whoever reads the quantized tensor.
    """

    one: Tensor
    zero_point: Tensor
    bit_width: Tensor

    def __init__(self, magnitude: int, bit_width: int) -> None:
        super().__init__()
        self.magnitude = magnitude
        self.register_buffer("one", torch.tensor(1.0), persistent=False)
        self.register_buffer("zero_point", torch.tensor(0.0), persistent=False)
        self.register_buffer("bit_width", torch.tensor(float(bit_width)), persistent=False)

    def forward(self, weight: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the integers as floats, their scale, zero point and bit-width; gradients pass through."""
        with torch.no_grad():
            value = weight.round().clamp_(-self.magnitude, self.magnitude)
        if self.training:
            value = weight + (value - weight).detach()
        return value, self.one, self.zero_point, self.bit_width


class RoundedWeightQuant(ExtendedInjector):
    """Brevitas weight quantizer made of `RoundedWeights`.

    A layer passes ``weight_magnitude`` and ``weight_bit_width``.
    """

    proxy_class = WeightQuantProxyFromInjector
    tensor_quant = RoundedWeights
    signed = True
    narrow_range = True


class FixedSteps(nn.Module):
    """Quantizes [-1, 1] to the nearest multiples of ``1 / magnitude``, which is an odd function.

    Parameters
    ----------
    bit_width : int
    """

    scale: Tensor
    zero_point: Tensor
    bit_width: Tensor

    def __init__(self, bit_width: int) -> None:
        super().__init__()
        self.magnitude = largest_magnitude(bit_width)
        self.register_buffer("scale", torch.tensor(1.0 / self.magnitude), persistent=False)
        self.register_buffer("zero_point", torch.tensor(0.0), persistent=False)
        self.register_buffer("bit_width", torch.tensor(float(max(2, bit_width))), persistent=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the quantized values as floats, their scale, zero point and bit-width."""
        return (x * self.magnitude).round() * self.scale, self.scale, self.zero_point, self.bit_width


class FixedStepsQuant(ExtendedInjector):
    """Brevitas activation quantizer made of `FixedSteps`; a layer passes ``bit_width``."""

    proxy_class = ActQuantProxyFromInjector
    tensor_quant = FixedSteps
    signed = True
    narrow_range = True


class _Wave(torch.autograd.Function):
    """The quantized wave of sums and a bias, with the gradient of the wave without rounding, in one node."""

    @staticmethod
    def forward(ctx: Any, sums: Tensor, bias: Tensor, per_unit: float, magnitude: int) -> Tensor:
        phase = (sums + _residues(bias, per_unit)).add_(0.5).mul_(per_unit).add_(1.0)
        phase = torch.remainder(phase, 4.0).sub_(2.0)  # falls where positive
        ctx.save_for_backward(phase)
        ctx.per_unit = per_unit
        return (1.0 - phase.abs()).mul_(magnitude).round_().div_(magnitude)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        (phase,) = ctx.saved_tensors
        (gradient,) = gradients
        slope = gradient * phase.sign() * -ctx.per_unit
        return slope, slope.sum(dim=0), None, None


def initial_spread(n_inputs: int, half: int) -> float:
    """Return the standard deviation of new weights: sums of bits have to spread over an eighth of the period.

    Parameters
    ----------
    n_inputs : int
    half : int
        Half of the wave's period.
    """
    return max(INITIAL_SPREAD, half / 4 * math.sqrt(2 / max(n_inputs, 1)))


def _residues(bias: Tensor, per_unit: float) -> Tensor:
    """Return a bias as integers, modulo the period of a wave that rises by ``per_unit`` a step."""
    return torch.remainder(torch.floor(bias), 4.0 / per_unit)


class WrappingLayer(nn.Module):
    """Linear with integer weights, tent wave, quantizer: under encryption one linear layer and one lookup.

    Parameters
    ----------
    n_inputs, n_neurons : int
    n_w_bits : int
        Bits of a weight.
    n_accum_bits : int
        P: sums are counted modulo ``2**(P + 1)``, one period of the wave.
    n_a_bits : int
        Bits of the result, on a grid symmetric about zero.
    """

    linear: Any
    quantizer: Any

    def __init__(
        self, n_inputs: int, n_neurons: int, n_w_bits: int, n_accum_bits: int, n_a_bits: int
    ) -> None:
        super().__init__()
        self.linear = qnn.QuantLinear(
            n_inputs,
            n_neurons,
            bias=False,
            weight_quant=RoundedWeightQuant,
            weight_magnitude=largest_magnitude(n_w_bits),
            weight_bit_width=max(2, n_w_bits),  # -1, 0 and 1 take two
        )
        half = 1 << n_accum_bits
        nn.init.normal_(self.linear.weight, std=initial_spread(n_inputs, half))
        self.modulo_bits = n_accum_bits + 1
        self.per_unit = 2.0 / half
        self.magnitude = largest_magnitude(n_a_bits)
        self.bias = nn.Parameter(torch.empty(n_neurons).uniform_(-half / 4, half / 4))
        self.activation = TentWave()
        self.quantizer = qnn.QuantIdentity(
            act_quant=FixedStepsQuant, bit_width=n_a_bits, return_quant_tensor=True
        )

    def forward(self, x: IntQuantTensor) -> IntQuantTensor:
        """Return the quantized activations."""
        return self.of_sums(self.linear(x) / x.scale)

    def of_sums(self, sums: Tensor) -> IntQuantTensor:
        """Return the quantized activations of the sums of the weighted inputs, counted in their steps."""
        steps = torch.round(sums) + _residues(self.bias, self.per_unit) + 0.5
        return self.quantizer(self.activation(steps * self.per_unit))

    def forward_in_training(self, x: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        """Return the values of `forward` and their scale, as plain tensors."""
        weight = self.linear.weight_quant.tensor_quant(self.linear.weight)[0]
        quantizer = self.quantizer.act_quant.fused_activation_quant_proxy.tensor_quant
        sums = nn.functional.linear(x / scale, weight)
        return _Wave.apply(sums, self.bias, self.per_unit, self.magnitude), quantizer.scale
