"""The Brevitas network behind the neural network estimators."""

from typing import Any

import brevitas.nn as qnn
import torch
from brevitas.quant import (
    Int8ActPerTensorFloatMinMaxInit,
    Int8WeightPerChannelFloat,
    Int32Bias,
    Uint8ActPerTensorFloatMaxInit,
)
from brevitas.quant_tensor import IntQuantTensor
from torch import Tensor, nn

from skfhe.exceptions import AccumulatorBudgetError
from skfhe.neural_network.budget import BudgetedWeightQuant, largest_magnitude, weight_budget

__all__ = ["BudgetedMLP", "HiddenLayer", "ThermometerInput", "check_activation"]

SKIP_WEIGHT_BITS = 6
"""Bits of the skip connection's weights. It reads fresh ciphertexts and no lookup reads it: they are free."""


class ThermometerInput(nn.Module):
    """Turns floats into the bits ``x[:, features] > thresholds``.

    Parameters
    ----------
    features, thresholds : Tensor of shape (n_bits,)
        int64 and float64. The comparison is made in float64 whatever the network's dtype is.
    noise : float
        Standard deviation of the Gaussian noise added to the floats in training, in units of the mean
        distance between two neighbouring thresholds of the feature. It smooths what the network
        makes of the steps between bits, and so regularizes.
    """

    features: Tensor
    thresholds: Tensor
    step: Tensor

    def __init__(self, features: Tensor, thresholds: Tensor, noise: float) -> None:
        super().__init__()
        self.noise = noise
        self.register_buffer("features", features, persistent=False)
        self.register_buffer("thresholds", thresholds, persistent=False)
        step = torch.zeros(int(features.max()) + 1, dtype=torch.float64)
        for feature in features.unique():
            own = thresholds[features == feature]
            if len(own) > 1:
                step[feature] = (own.max() - own.min()) / (len(own) - 1)
        self.register_buffer("step", step[features], persistent=False)

    def forward(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        """Return the bits as floats 0 and 1 of ``dtype``, shape (n_rows, n_bits)."""
        x = x.to(torch.float64)
        if self.training and self.noise > 0:
            noise = torch.randn(x.shape, dtype=x.dtype, device=x.device) * self.noise
            return (x[:, self.features] + noise[:, self.features] * self.step > self.thresholds).to(dtype)
        return self.compare(x).to(dtype)

    def compare(self, x: Tensor) -> Tensor:
        """Return the bits of ``x`` in float64, as bool, without noise."""
        return x[:, self.features] > self.thresholds


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
        self.linear = qnn.QuantLinear(
            n_inputs,
            n_neurons,
            bias=False,
            weight_quant=BudgetedWeightQuant,
            weight_budget=budget,
            weight_magnitude=largest_magnitude(n_w_bits),
            weight_bit_width=max(2, n_w_bits),  # -1, 0 and 1 take two
        )
        self.norm = _BatchNorm(n_neurons)
        self.activation = activation()
        low, high = _typical_range(self.activation)
        self.quantizer = (
            qnn.QuantIdentity(
                act_quant=Uint8ActPerTensorFloatMaxInit,
                bit_width=n_a_bits,
                max_val=high,
                return_quant_tensor=True,
            )
            if low >= 0
            else qnn.QuantIdentity(
                act_quant=Int8ActPerTensorFloatMinMaxInit,
                bit_width=n_a_bits,
                min_val=-max(-low, high),
                max_val=max(-low, high),
                return_quant_tensor=True,
            )
        )

    def forward(self, x: "Tensor | IntQuantTensor") -> IntQuantTensor:
        """Return the quantized activations."""
        return self.quantizer(self.activation(self.norm(self.linear(x))))


class BudgetedMLP(nn.Module):
    """A multilayer perceptron whose accumulators fit ``n_accum_bits`` bits for every input.

    Parameters
    ----------
    features, thresholds : Tensor of shape (n_bits,)
        The input encoding, see `ThermometerInput`.
    n_outputs : int
        Classes or targets.
    n_hidden : int
        Neurons of each hidden layer.
    n_layers : int
        Linear layers, the output layer included.
    n_w_bits, n_a_bits, n_accum_bits : int
        Bits of hidden weights, of hidden activations, and of the accumulators that lookups read.
    n_output_w_bits : int
        Bits of the output layer's weights, whose accumulators no lookup reads.
    activation_function : type
        Class of a univariate torch activation.
    input_noise : float
        See `ThermometerInput`.
    level_weights : Tensor of shape (n_bits, n_features), optional
        See `ThresholdEncoder.level_weights`. If given, a linear function of the features' levels is added
        to the scores, around the hidden layers.

    Attributes
    ----------
    budgets : list of int
        For each hidden layer, the largest sum of magnitudes of one neuron's integer weights.

    Raises
    ------
    AccumulatorBudgetError
        If a budget is zero; the message names the layer and the smallest width that would do.
    """

    encoder: ThermometerInput
    hidden: Any
    output: Any
    skip: Any
    level_weights: Tensor

    def __init__(
        self,
        features: Tensor,
        thresholds: Tensor,
        n_outputs: int,
        n_hidden: int,
        n_layers: int,
        n_w_bits: int,
        n_a_bits: int,
        n_accum_bits: int,
        n_output_w_bits: int,
        activation_function: type[nn.Module],
        input_noise: float,
        level_weights: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.encoder = ThermometerInput(features, thresholds, input_noise)
        self.budgets: list[int] = []
        layers = []
        n_inputs, span = len(features), 1
        for index in range(n_layers - 1):
            budget = weight_budget(n_accum_bits, span)
            if budget < 1:
                raise AccumulatorBudgetError(
                    f"module__n_accum_bits={n_accum_bits} leaves hidden layer {index + 1} without a "
                    f"single weight: its inputs have {n_a_bits} bits, and one weight of 1 already "
                    f"needs as many; the smallest module__n_accum_bits that would do is {n_a_bits}, "
                    "or lower module__n_a_bits"
                )
            self.budgets.append(budget)
            layers.append(HiddenLayer(n_inputs, n_hidden, budget, n_w_bits, activation_function, n_a_bits))
            n_inputs, span = n_hidden, (1 << n_a_bits) - 1
        self.hidden = nn.ModuleList(layers)
        self.output = qnn.QuantLinear(
            n_inputs,
            n_outputs,
            bias=True,
            weight_quant=Int8WeightPerChannelFloat,
            weight_bit_width=n_output_w_bits,
            bias_quant=Int32Bias,
            return_quant_tensor=True,
        )
        self.skip = None
        if level_weights is not None:
            self.register_buffer("level_weights", level_weights.to(torch.float32), persistent=False)
            self.skip = qnn.QuantLinear(
                level_weights.shape[1],
                n_outputs,
                bias=False,
                weight_quant=Int8WeightPerChannelFloat,
                weight_bit_width=SKIP_WEIGHT_BITS,
            )

    @property
    def level_center(self) -> int:
        """The level that the skip connection takes for zero."""
        return int(self.level_weights.sum(dim=0).max()) // 2

    @property
    def level_step(self) -> float:
        """What one level is to the skip connection: all of them span 4."""
        return 4.0 / float(self.level_weights.sum(dim=0).max())

    def encode(self, x: Tensor) -> IntQuantTensor:
        """Return the bits of the input as a quantized tensor of scale 1."""
        weight = self.output.weight
        one = torch.ones((), dtype=weight.dtype, device=weight.device)
        bits = self.encoder(x, weight.dtype)
        return IntQuantTensor(bits, one, 0 * one, one, signed=False, training=self.training)

    def forward(self, x: Tensor, sample_weight: Tensor | None = None) -> Tensor:
        """Return the scores, shape (n_rows, n_outputs).

        ``sample_weight`` is not used: it travels with the rows for the loss.
        """
        h: Tensor | IntQuantTensor = self.encode(x)
        for layer in self.hidden:
            h = layer(h)
        scores = self.output(h).value
        if self.skip is None:
            return scores
        exact = self.encoder.compare(x.to(torch.float64)).to(scores.dtype)  # a linear function needs no noise
        levels = exact @ self.level_weights - self.level_center
        return scores + self.skip(levels * self.level_step)

    def relax(self, share: float) -> None:
        """Set the budget of training: ``share`` 0 allows every weight, 1 the full constraint."""
        for layer in self.hidden:
            layer.linear.weight_quant.tensor_quant.relax(share, layer.linear.in_features)


def _typical_range(activation: nn.Module) -> tuple[float, float]:
    """Range of an activation over most of a normalized input, to start its quantizer from."""
    with torch.no_grad():
        wide = activation(torch.linspace(-8.0, 8.0, 801))
        usual = activation(torch.linspace(-2.5, 2.5, 251))
    low = float(usual.min()) if float(wide.min()) < -1e-6 else 0.0
    high = float(usual.abs().max())
    return low, max(high, 1e-2)


def check_activation(activation: object) -> type[nn.Module]:
    """Return ``activation`` if it is the class of a univariate torch activation.

    Univariate means that each element of the result depends on the element at its place alone:
    only such a function can be looked up in a table.

    Raises
    ------
    ValueError
        If it is not a class of torch modules, cannot be made without arguments, or is not univariate.
    """
    hint = "use a univariate one, such as torch.nn.ReLU, torch.nn.Sigmoid or torch.nn.GELU"
    if not (isinstance(activation, type) and issubclass(activation, nn.Module)):
        raise ValueError(
            "module__activation_function must be a class of torch activations such as torch.nn.ReLU, "
            f"got {activation!r}"
        )
    try:
        function = activation().eval()
        x = torch.linspace(-4.0, 4.0, 24).reshape(6, 4)
        with torch.no_grad():
            together = function(x)
            alone = torch.stack([function(v.reshape(1, 1)).reshape(()) for v in x.flatten()])
    except Exception as error:
        raise ValueError(
            f"module__activation_function={activation.__name__} cannot be applied element by element "
            f"({error}); {hint}"
        ) from error
    univariate = isinstance(together, Tensor) and together.shape == x.shape
    if not univariate or not torch.allclose(together, alone.reshape(x.shape), atol=1e-6):
        raise ValueError(
            f"module__activation_function={activation.__name__} mixes elements, so no table can "
            f"stand for it; {hint}"
        )
    if next(function.parameters(), None) is not None:
        raise ValueError(
            f"module__activation_function={activation.__name__} has parameters of its own; {hint}"
        )
    return activation
