"""Weights that fit an accumulator, by construction.

An accumulator of P bits holds an interval of length 2**P - 1. A neuron with integer weights q whose inputs
each span r integers needs r * ‖q‖₁ of it. Its offset is free: it is added before the lookup and undone in it.
So it may spend

    B = floor((2**P - 1) / r)

on the sum of its weights' magnitudes. `BudgetedWeights` quantizes each neuron to exactly that: of all the
units ``(i, k)``, the k-th unit of magnitude of weight i, it keeps the B with the largest
``|w_i| / (k - 1/2)``. These are the units that rounding ``|w| / t`` would keep at the scale t at which
they sum to B, so no search for t is needed.
"""

import math

import torch
from brevitas.inject import ExtendedInjector
from brevitas.proxy import WeightQuantProxyFromInjector
from torch import Tensor, nn

__all__ = ["BudgetedWeightQuant", "BudgetedWeights", "largest_magnitude", "weight_budget"]


def weight_budget(n_accum_bits: int, input_span: int) -> int:
    """Return the sum of magnitudes that a neuron's integer weights may have.

    Parameters
    ----------
    n_accum_bits : int
        Bits of the accumulator.
    input_span : int
        Largest minus smallest integer of each input.

    Returns
    -------
    int
        0 if not even one weight of ±1 fits.

    References
    ----------
    Colbert et al., "A2Q: Accumulator-Aware Quantization with Guaranteed Overflow Avoidance", ICCV 2023,
    bounds the same norm; here the offset of the accumulator is free, which doubles the budget.

    Examples
    --------
    >>> weight_budget(n_accum_bits=4, input_span=1), weight_budget(7, 3)
    (15, 42)
    """
    return ((1 << n_accum_bits) - 1) // input_span


def largest_magnitude(n_bits: int) -> int:
    """Return the largest magnitude of a weight of ``n_bits`` bits, on a grid symmetric about zero."""
    return max(1, (1 << (n_bits - 1)) - 1)


class BudgetedWeights(nn.Module):
    """Quantizes a weight matrix so that no neuron exceeds its budget.

    Parameters
    ----------
    budget : int
        Sum of the magnitudes of a neuron's integer weights, at most.
    magnitude : int
        Largest magnitude of one weight.
    bit_width : int
        Bits of a weight, stated to whoever reads the quantized tensor.

    Notes
    -----
    In evaluation the full constraint always holds. In training the budget can be relaxed by `relax`, to let a
    network find its weights before it has to do with few of them, and equal weights at the edge of the
    budget are all kept. Gradients pass straight through.
    """

    steps: Tensor
    zero_point: Tensor
    bit_width: Tensor

    def __init__(self, budget: int, magnitude: int, bit_width: int) -> None:
        super().__init__()
        self.budget = self.relaxed_budget = budget
        self.magnitude = magnitude
        self.register_buffer("steps", torch.arange(1, magnitude + 1) - 0.5, persistent=False)
        self.register_buffer("zero_point", torch.tensor(0.0), persistent=False)
        self.register_buffer("bit_width", torch.tensor(float(bit_width)), persistent=False)
        levels = 2 * magnitude + 1
        self.natural_step = (1.2 + 0.4 * math.log2(levels)) / (levels / 2)
        """Step of a mean-squared-error optimal grid for normal weights of unit variance, approximately."""

    def relax(self, share: float, n_inputs: int) -> None:
        """Let training spend more: ``share`` 0 allows every weight, 1 the budget, geometrically."""
        everything = max(self.budget, n_inputs * self.magnitude)
        self.relaxed_budget = round(everything ** (1 - share) * self.budget**share)

    def forward(self, weight: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the quantized weights as floats, their scale a neuron, zero point and bit-width."""
        with torch.no_grad():
            magnitude = weight.abs()
            q = self._magnitudes(magnitude)
            squares = (q * q).sum(dim=1, keepdim=True).clamp_min_(1.0)
            scale = (q * magnitude).sum(dim=1, keepdim=True).div_(squares).clamp_min_(1e-8)
            value = q.copysign_(weight).mul_(scale)
        if self.training:
            value = weight + (value - weight).detach()
        return value, scale, self.zero_point, self.bit_width

    def _magnitudes(self, magnitude: Tensor) -> Tensor:
        """Return the magnitudes of the integer weights."""
        budget = self.relaxed_budget if self.training else self.budget
        n_inputs = magnitude.shape[1]
        step = torch.linalg.vector_norm(magnitude, dim=1, keepdim=True) * (self.natural_step / n_inputs**0.5)
        thresholds = None
        if budget < n_inputs * self.magnitude:
            thresholds = (magnitude.unsqueeze(-1) / self.steps).flatten(1)
            largest = thresholds.topk(budget + 1, dim=1).values
            step = torch.maximum(step, largest[:, budget - 1 :].mean(dim=1, keepdim=True))
        q = (magnitude / step.clamp_min_(1e-12)).add_(0.5).floor_().clamp_max_(self.magnitude)
        if thresholds is not None and not self.training:
            over = q.sum(dim=1, keepdim=True) > budget
            if over.any():  # equal weights at the edge of the budget: keep the first ones
                q = torch.where(over, self._first_units(thresholds, budget, magnitude.shape), q)
        return q

    def _first_units(self, thresholds: Tensor, budget: int, shape: torch.Size) -> Tensor:
        order = thresholds.argsort(dim=1, descending=True, stable=True)[:, :budget]
        units = torch.zeros_like(thresholds).scatter_(1, order, 1.0)
        return units.view(*shape, -1).sum(dim=-1)


class BudgetedWeightQuant(ExtendedInjector):
    """Brevitas weight quantizer made of `BudgetedWeights`.

    A layer passes ``weight_budget``, ``weight_magnitude`` and ``weight_bit_width``.
    """

    proxy_class = WeightQuantProxyFromInjector
    tensor_quant = BudgetedWeights
    signed = True
    narrow_range = True
