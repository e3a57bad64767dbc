"""The Brevitas network behind the neural network estimators."""

from typing import Any

import brevitas.nn as qnn
import torch
from brevitas.quant import Int32Bias
from brevitas.quant_tensor import IntQuantTensor
from torch import Tensor, nn

from skfhe.exceptions import AccumulatorBudgetError
from skfhe.neural_network._activation import LearnedScaleQuant, typical_range
from skfhe.neural_network._budget import BudgetedWeightQuant, largest_magnitude, weight_budget
from skfhe.neural_network._wrapping import WrappingLayer

__all__ = ["BudgetedMLP", "HiddenLayer", "ThermometerInput"]

SKIP_WEIGHT_BITS = 6
"""Bits of the skip connection's weights, rounded after training: so many that there is nothing to train for.

It reads fresh ciphertexts and no lookup reads it: they are free."""

DISCRETE = 8
"""Thresholds up to which the values of a feature are taken for different things, not points of a scale."""


class ThermometerInput(nn.Module):
    """Turns floats into the bits ``x[:, features] > thresholds``, by way of counts.

    A feature's count is how many of its thresholds a float passes. The bits follow from it exactly, in any
    dtype, and training computes the counts once, not in every epoch.

    Parameters
    ----------
    features, thresholds : Tensor of shape (n_bits,)
        int64 and float64; a feature's thresholds stand in ascending order.
    n_features : int
    noise : float
        Standard deviation of the Gaussian noise added to the counts in training. It smooths what the network
        makes of the steps between bits, and so regularizes. See `noise_spread` for features of few values.
    """

    features: Tensor
    thresholds: Tensor
    bit_features: Tensor
    ranks: Tensor
    spread: Tensor

    def __init__(self, features: Tensor, thresholds: Tensor, n_features: int, noise: float) -> None:
        super().__init__()
        n_thresholds = torch.bincount(features, minlength=n_features)
        first = n_thresholds.cumsum(0) - n_thresholds
        order = torch.argsort(features, stable=True)
        ranks = torch.empty_like(features)
        ranks[order] = torch.arange(len(features)) - first[features[order]]
        self.register_buffer("features", features, persistent=False)
        self.register_buffer("thresholds", thresholds, persistent=False)
        self.register_buffer("bit_features", features, persistent=False)
        self.register_buffer("ranks", ranks + 0.5, persistent=False)
        self.register_buffer("spread", noise_spread(n_thresholds, noise), persistent=False)

    def counts(self, x: Tensor) -> Tensor:
        """Return the thresholds of each feature that the floats pass, shape (n_rows, n_features)."""
        passed = (x.to(torch.float64)[:, self.features] > self.thresholds).to(self.ranks.dtype)
        counts = torch.zeros(len(x), len(self.spread), dtype=passed.dtype, device=passed.device)
        return counts.index_add_(1, self.features, passed)

    def forward(self, counts: Tensor) -> Tensor:
        """Return the bits as floats 0 and 1 of the dtype of ``counts``, shape (n_rows, n_bits)."""
        if self.training:
            counts = torch.addcmul(counts, torch.randn_like(counts), self.spread)
        return (counts.index_select(1, self.bit_features) > self.ranks).to(counts.dtype)

    def select(self, kept: Tensor) -> None:
        """Keep the bits with the indices ``kept``."""
        self.bit_features, self.ranks = self.bit_features[kept], self.ranks[kept]


def noise_spread(n_thresholds: Tensor, noise: float) -> Tensor:
    """Return the standard deviation of each feature's noise in training, in steps between its thresholds.

    Noise stands for what a step does not mean: on a fine grid, two sides of a threshold are nearly the same.
    The values of a feature that has few of them are different things, and noise that turns one into another
    keeps a network from learning what depends on them. So a feature of up to `DISCRETE` thresholds gets none,
    one of twice as many all of it, and those between a part.
    """
    return noise * ((n_thresholds.float() - DISCRETE) / DISCRETE).clamp(0.0, 1.0)


class _BatchNorm(nn.BatchNorm1d):
    """Batch normalization that takes a training batch of one row, by its running statistics."""

    def forward(self, input: Tensor) -> Tensor:
        if self.training and len(input) == 1:
            return nn.functional.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(input)


class HiddenLayer(nn.Module):
    """Linear, batch norm, activation, quantizer: under encryption one linear layer and one lookup.

    Its sums stay within a budget; those of a `WrappingLayer` need none.

    Parameters
    ----------
    n_inputs, n_neurons : int
    budget, n_w_bits : int
        What one neuron may spend, and bits of a weight.
    activation : type
        Class of a univariate torch activation.
    n_a_bits : int
        Bits of the result.
    """

    linear: Any
    quantizer: Any

    def __init__(
        self,
        n_inputs: int,
        n_neurons: int,
        budget: int,
        n_w_bits: int,
        activation: type[nn.Module],
        n_a_bits: int,
    ) -> None:
        super().__init__()
        self.linear = _budgeted_linear(n_inputs, n_neurons, budget, n_w_bits)
        self.norm = _BatchNorm(n_neurons)
        self.activation = activation()
        low, high = typical_range(self.activation)
        self.quantizer = qnn.QuantIdentity(
            act_quant=LearnedScaleQuant,
            bit_width=n_a_bits,
            signed=low < 0,
            max_val=max(-low, high),
            return_quant_tensor=True,
        )

    def forward(self, x: "Tensor | IntQuantTensor") -> IntQuantTensor:
        """Return the quantized activations."""
        return self.of_sums(self.linear(x))

    def relax(self, share: float) -> None:
        """Set the budget of training: ``share`` 0 allows every weight, 1 the full constraint."""
        self.linear.weight_quant.tensor_quant.relax(share, self.linear.in_features)

    def of_sums(self, sums: Tensor) -> IntQuantTensor:
        """Return the quantized activations of the sums of the weighted inputs."""
        return self.quantizer(self.activation(self.norm(sums)))

    def forward_in_training(self, x: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        """Return the values of `forward` and their scale, as plain tensors; ``scale`` is that of ``x``."""
        h = nn.functional.linear(x, self.linear.weight_quant.tensor_quant(self.linear.weight)[0])
        h = self.activation(self.norm(h))
        value, scale, _, _ = self.quantizer.act_quant.fused_activation_quant_proxy.tensor_quant(h)
        return value, scale


class BudgetedMLP(nn.Module):
    """A multilayer perceptron whose accumulators are read in ``n_accum_bits`` bits, for every input.

    Parameters
    ----------
    features, thresholds : Tensor of shape (n_bits,)
        The input encoding, see `ThermometerInput`.
    level_weights : Tensor of shape (n_bits, n_features)
        See `ThresholdEncoder.level_weights`.
    n_outputs : int
        Classes or targets.
    n_hidden : int
        Neurons of each hidden layer.
    n_layers : int
        Linear layers, the output layer included.
    n_w_bits, n_a_bits, n_accum_bits : int
        Bits of hidden weights, of hidden activations, and of the accumulators that lookups read.
    n_output_w_bits, n_output_bits : int
        Bits of the output layer's weights and of its accumulators, which no lookup reads.
    activation_function : type
        Class of a univariate torch activation.
    input_noise : float
        See `ThermometerInput`.
    skip_connection : bool
        Whether a linear function of the features' levels is added to the scores, around the hidden layers.
    accumulator : {"bounded", "wrapping"}, default="bounded"
        Whether the hidden layers are `HiddenLayer`, whose sums stay within ``n_accum_bits`` bits, or
        `WrappingLayer`, whose sums are counted modulo ``2**(n_accum_bits + 1)``. These apply their own
        activation.

    Attributes
    ----------
    budgets : list of int
        For each bounded hidden layer, the largest sum of magnitudes of one neuron's integer weights.
    kept_bits : Tensor of int64
        Indices of the input bits that `prune_inputs` left to the first hidden layer, at first all.

    Raises
    ------
    AccumulatorBudgetError
        If a budget is zero; the message names the layer and the smallest width that would do.

    Notes
    -----
    In evaluation the layers run as Brevitas layers. In training the same quantizers are called directly, on
    plain tensors: that leaves out Brevitas' bookkeeping, most of the time of a step in a network this small.
    """

    encoder: ThermometerInput
    hidden: Any
    output: Any
    skip: Any
    kept_bits: Tensor

    def __init__(
        self,
        features: Tensor,
        thresholds: Tensor,
        level_weights: Tensor,
        n_outputs: int,
        n_hidden: int,
        n_layers: int,
        n_w_bits: int,
        n_a_bits: int,
        n_accum_bits: int,
        n_output_w_bits: int,
        n_output_bits: int,
        activation_function: type[nn.Module],
        input_noise: float,
        skip_connection: bool,
        accumulator: str = "bounded",
    ) -> None:
        super().__init__()
        n_features = level_weights.shape[1]
        self.encoder = ThermometerInput(features, thresholds, n_features, input_noise)
        self.budgets: list[int] = []
        layers: list[nn.Module] = []
        n_inputs, span = len(features), 1
        for index in range(n_layers - 1):
            if accumulator == "wrapping":
                layers.append(WrappingLayer(n_inputs, n_hidden, n_w_bits, n_accum_bits, n_a_bits))
                n_inputs, span = n_hidden, 2 * largest_magnitude(n_a_bits)
                continue
            budget = _checked_budget(f"hidden layer {index + 1}", "n_accum_bits", n_accum_bits, span)
            self.budgets.append(budget)
            layers.append(HiddenLayer(n_inputs, n_hidden, budget, n_w_bits, activation_function, n_a_bits))
            n_inputs, span = n_hidden, (1 << n_a_bits) - 1
        self.hidden = nn.ModuleList(layers)
        budget = _checked_budget("the output layer", "n_output_bits", n_output_bits, span)
        self.output = _budgeted_linear(
            n_inputs, n_outputs, budget, n_output_w_bits, bias_quant=Int32Bias, return_quant_tensor=True
        )
        self.register_buffer("kept_bits", torch.arange(len(features)))
        self.skip = SkipConnection(level_weights, n_outputs) if skip_connection else None

    @property
    def pruning_factor(self) -> int:
        """Largest number of non-zero weights that a neuron may have: the hidden layers', or the output's."""
        if any(isinstance(layer, WrappingLayer) for layer in self.hidden):
            return max(layer.linear.in_features for layer in self.hidden)
        return max(self.budgets, default=self.output.weight_quant.tensor_quant.budget)

    def encode(self, counts: Tensor) -> IntQuantTensor:
        """Return the bits of the input as a quantized tensor of scale 1."""
        bits = self.encoder(counts)
        one = torch.ones((), dtype=bits.dtype, device=bits.device)
        return IntQuantTensor(bits, one, 0 * one, one, signed=False, training=self.training)

    def forward(
        self, x: Tensor | None = None, sample_weight: Tensor | None = None, counts: Tensor | None = None
    ) -> Tensor:
        """Return the scores, shape (n_rows, n_outputs).

        Rows come as floats ``x``, or as ``counts`` of `ThermometerInput`, which need not be computed in every
        epoch anew. ``sample_weight`` is not used: it travels with the rows for the loss.
        """
        if counts is None:
            assert x is not None
            counts = self.encoder.counts(x)
        scores = self._scores_in_training(counts) if self.training else self._scores(counts)
        return scores if self.skip is None else scores + self.skip(counts)

    def _scores(self, counts: Tensor) -> Tensor:
        h = self.encode(counts)
        for layer in self.hidden:
            h = layer(h)
        return self.output(h).value

    def _scores_in_training(self, counts: Tensor) -> Tensor:
        h = self.encoder(counts)
        scale = torch.ones((), dtype=h.dtype, device=h.device)
        for layer in self.hidden:
            h, scale = layer.forward_in_training(h, scale)
        weight, weight_scale, _, _ = self.output.weight_quant.tensor_quant(self.output.weight)
        bias = self.output.bias
        with torch.no_grad():
            step = weight_scale.flatten() * scale
            rounding = torch.round(bias / step).mul_(step).sub_(bias)
        return nn.functional.linear(h, weight, bias + rounding)

    def train(self, mode: bool = True) -> "BudgetedMLP":
        """Set training or evaluation mode; nothing is done if the network already is in it."""
        return super().train(mode) if mode != self.training else self

    def relax(self, share: float) -> None:
        """Set the budgets of training: ``share`` 0 allows every weight, 1 the full constraint."""
        for layer in self.hidden:
            if isinstance(layer, HiddenLayer):
                layer.relax(share)

    def rank_inputs(self, n_kept: int) -> Tensor:
        """Return the indices of the ``n_kept`` inputs of the first hidden layer with the largest Σ w²."""
        weight = self.hidden[0].linear.weight.detach()
        strength = weight.square().sum(dim=0)
        return strength.topk(min(n_kept, len(strength))).indices.sort().values

    def prune_inputs(self, kept: Tensor) -> None:
        """Let the first hidden layer read those of its inputs with the indices ``kept`` alone."""
        linear = self.hidden[0].linear
        linear.weight.data = linear.weight.data[:, kept]
        linear.weight.grad = None
        linear.in_features = len(kept)
        self.encoder.select(kept)
        self.kept_bits = self.kept_bits[kept]


class SkipConnection(nn.Module):
    """A linear function of the features' levels.

    Parameters
    ----------
    level_weights : Tensor of shape (n_bits, n_features)
        See `ThresholdEncoder.level_weights`.
    n_outputs : int

    Attributes
    ----------
    level_weights : Tensor of shape (n_bits, n_features)
    center : int
        The level that counts as zero.
    step : float
        What one level counts: all of them span 4.
    """

    level_weights: Tensor
    level_steps: Tensor

    def __init__(self, level_weights: Tensor, n_outputs: int) -> None:
        super().__init__()
        n_features = level_weights.shape[1]
        self.register_buffer("level_weights", level_weights.to(torch.float32), persistent=False)
        everything = n_features * largest_magnitude(SKIP_WEIGHT_BITS)
        self.linear = _budgeted_linear(n_features, n_outputs, everything, SKIP_WEIGHT_BITS)
        nn.init.zeros_(self.linear.weight)
        highest = int(level_weights.sum(dim=0).max())
        self.center = highest // 2
        self.step = 4.0 / highest
        self.register_buffer("level_steps", self.level_weights.max(dim=0).values, persistent=False)

    def forward(self, counts: Tensor) -> Tensor:
        """Return what is added to the scores, shape (n_rows, n_outputs).

        A linear function needs no noise in training: that would only attenuate it.
        """
        weight = self.linear.weight
        if not self.training:
            weight = self.linear.weight_quant.tensor_quant(weight)[0]
        return nn.functional.linear((counts * self.level_steps - self.center) * self.step, weight)


def _budgeted_linear(n_inputs: int, n_outputs: int, budget: int, n_w_bits: int, **options: Any) -> Any:
    """Return a Brevitas linear layer whose weights are those of `BudgetedWeights`."""
    return qnn.QuantLinear(
        n_inputs,
        n_outputs,
        bias="bias_quant" in options,
        weight_quant=BudgetedWeightQuant,
        weight_budget=budget,
        weight_magnitude=largest_magnitude(n_w_bits),
        weight_bit_width=max(2, n_w_bits),  # -1, 0 and 1 take two
        **options,
    )


def _checked_budget(layer: str, parameter: str, n_bits: int, span: int) -> int:
    budget = weight_budget(n_bits, span)
    n_a_bits = span.bit_length()
    if budget < 1:
        raise AccumulatorBudgetError(
            f"module__{parameter}={n_bits} leaves {layer} without a single weight: its inputs have "
            f"{n_a_bits} bits, and one weight of 1 already needs as many; the smallest module__{parameter} "
            f"that would do is {n_a_bits}, or lower module__n_a_bits"
        )
    return budget
