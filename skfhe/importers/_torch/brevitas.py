"""Brevitas networks as plain torch networks whose quantizers are single operators.

torch.export does not go through Brevitas' own tensors. So each Brevitas layer of a copy is replaced by a
plain one: quantized weights become constants, and each quantizer of activations a call of
``skfhe::quantize``, which names the quantizer by its number. What that does to floats, the very Brevitas
module says.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import brevitas.nn as qnn
import torch
from brevitas.nn.mixin.base import QuantLayerMixin
from brevitas.nn.quant_layer import QuantNonLinearActLayer, QuantWeightBiasInputOutputLayer
from torch import Tensor, library, nn
from torch.nn import functional

from skfhe.network import EXAMPLE_ROWS, Quantize, unsupported

__all__ = ["plain_layers"]

_UNCHANGED: tuple[type[nn.Module], ...] = (nn.Dropout, nn.MaxPool1d, nn.MaxPool2d, nn.Upsample)
"""Layers that are torch's own in Brevitas, too."""


@library.custom_op("skfhe::quantize", mutates_args=())
def _quantize(x: Tensor, quantizer: int) -> Tensor:
    """Stand for a quantizer in a captured graph."""
    return x.clone()


@_quantize.register_fake
def _fake_quantize(x: Tensor, quantizer: int) -> Tensor:
    return torch.empty_like(x)


def plain_layers(net: nn.Module, inputs: Sequence[Tensor]) -> tuple[nn.Module, list[Quantize]]:
    """Return a copy of ``net`` without Brevitas layers, and its quantizers.

    Parameters
    ----------
    net : nn.Module
        In double precision and evaluation mode.
    inputs : sequence of Tensor
        Some rows, on which quantizers of parameters see what reaches their layers.

    Returns
    -------
    net : nn.Module
    quantizers : list of Quantize
        What the calls of ``skfhe::quantize`` stand for, by their number.

    Raises
    ------
    UnsupportedOperatorError
        For a Brevitas layer that has no plain counterpart.
    """
    parameters = _quantized_parameters(net, inputs)
    quantizers: list[Quantize] = []

    def plain(module: nn.Module, path: str) -> nn.Module:
        if isinstance(module, QuantWeightBiasInputOutputLayer):
            return _PlainLayer(module, parameters[path], quantizers, path)
        if isinstance(module, QuantNonLinearActLayer):
            fused = module.act_quant.fused_activation_quant_proxy  # holds the activation, quantized or not
            activation = None if fused is None else fused.activation_impl
            return nn.Sequential(
                _Quantizer(module.input_quant, quantizers),
                _Quantizer(module.act_quant, quantizers, activation),
            )
        if isinstance(module, qnn.QuantEltwiseAdd):
            return _PlainSum(module, quantizers)
        base = next((kind for kind in _UNCHANGED if isinstance(module, kind)), None)
        if base is not None:
            return _as_plain(module, base)
        if isinstance(module, QuantLayerMixin):
            raise unsupported(
                type(module).__name__,
                path,
                "this Brevitas layer has no counterpart",
                "QuantLinear, QuantConv1d, QuantConv2d, QuantIdentity, QuantReLU or torch's own layers",
            )
        for name, child in list(module.named_children()):
            setattr(module, name, plain(child, f"{path}.{name}" if path else name))
        return module

    return plain(copy.deepcopy(net), ""), quantizers


def _as_plain(module: nn.Module, base: type[nn.Module]) -> nn.Module:
    """Return torch's own layer ``base`` with the settings of a Brevitas layer that adds none."""
    plain = base.__new__(base)
    plain.__dict__.update(module.__dict__)
    return plain


def _quantized_parameters(
    net: nn.Module, inputs: Sequence[Tensor]
) -> dict[str, tuple[Tensor, Tensor | None]]:
    """Return each layer's quantized weights and bias, as a run of the network has them.

    Some quantizers choose them by what reaches the layer: biases by the scale of its input, weights that fit
    an accumulator by the bits of its input.
    """
    found: dict[str, Tensor] = {}
    hooks = []
    layers = {k: m for k, m in net.named_modules() if isinstance(m, QuantWeightBiasInputOutputLayer)}
    for path, layer in layers.items():
        for kind in ("weight_quant", "bias_quant"):

            def keep(_: Any, __: Any, result: Any, key: str = f"{path} {kind}") -> None:
                found[key] = _value(result).detach().clone()

            hooks.append(getattr(layer, kind).register_forward_hook(keep))
    try:
        with torch.no_grad():
            net(*(x[:EXAMPLE_ROWS].double() for x in inputs))
    except Exception as error:
        raise ValueError(
            f"{type(net).__name__} does not run on the inputset in double precision: {error}; give one array "
            "for each input of the network, with rows of the shape that it takes"
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
    parameters = {}
    for path, layer in layers.items():
        bias = None if layer.bias is None else found.get(f"{path} bias_quant", layer.bias.detach().clone())
        weight = found.get(f"{path} weight_quant")
        parameters[path] = (layer.weight.detach().clone() if weight is None else weight, bias)
    return parameters


def _value(result: Any) -> Tensor:
    return result if isinstance(result, Tensor) and not hasattr(result, "value") else result.value


class _Quantizer(nn.Module):
    """One quantizer, or nothing where the proxy does not quantize."""

    def __init__(self, proxy: Any, quantizers: list[Quantize], function: nn.Module | None = None) -> None:
        super().__init__()
        self.number: int | None = None
        self.function = None
        if proxy is not None and getattr(proxy, "is_quant_enabled", False):
            self.number = len(quantizers)
            quantizers.append(_described(proxy))
        elif function is not None:
            self.function = function

    def forward(self, x: Tensor) -> Tensor:
        if self.number is None:
            return self.function(x) if self.function is not None else x
        return torch.ops.skfhe.quantize(x, self.number)


def _described(proxy: Any) -> Quantize:
    """Describe what a proxy of Brevitas does to floats, its activation included."""
    with torch.no_grad():
        sample = proxy(torch.zeros(1, dtype=torch.float64))
    scale, zero_point = (_row(torch.as_tensor(v).double()) for v in (sample.scale, sample.zero_point))

    def integers(floats: Tensor) -> Tensor:
        quantized = proxy(floats)
        return torch.round(quantized.value / quantized.scale + quantized.zero_point)

    ends = torch.full((2, *scale.shape), 1e12, dtype=torch.float64) * torch.tensor([-1.0, 1.0]).reshape(
        2, *(1,) * scale.ndim
    )
    with torch.no_grad():
        reached = integers(ends)
    return Quantize(integers, scale, zero_point, int(reached.min()), int(reached.max()))


def _row(value: Tensor) -> Tensor:
    """Return a scale or zero point without the axis of the rows."""
    return value[0] if value.ndim > 1 else value.squeeze()


class _PlainLayer(nn.Module):
    """A linear or convolutional layer with constant, already quantized weights."""

    def __init__(
        self, layer: Any, parameters: tuple[Tensor, Tensor | None], quantizers: list[Quantize], path: str
    ) -> None:
        super().__init__()
        functions = {
            qnn.QuantLinear: functional.linear,
            qnn.QuantConv1d: functional.conv1d,
            qnn.QuantConv2d: functional.conv2d,
            qnn.QuantConvTranspose1d: functional.conv_transpose1d,
            qnn.QuantConvTranspose2d: functional.conv_transpose2d,
        }
        self.function = next((f for kind, f in functions.items() if isinstance(layer, kind)), None)
        if self.function is None:
            raise unsupported(
                type(layer).__name__,
                path,
                "of Brevitas' layers with weights, only QuantLinear, QuantConv1d, QuantConv2d and their "
                "transposed forms can be",
            )
        self.input_quantizer = _Quantizer(layer.input_quant, quantizers)
        self.output_quantizer = _Quantizer(layer.output_quant, quantizers)
        weight, bias = parameters
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)
        self.options: dict[str, Any] = {}
        if not isinstance(layer, qnn.QuantLinear):
            self.options = {
                "stride": layer.stride,
                "padding": layer.padding,
                "dilation": layer.dilation,
                "groups": layer.groups,
            }
            if "transpose" in self.function.__name__:
                self.options["output_padding"] = layer.output_padding
            if getattr(layer, "padding_mode", "zeros") != "zeros":
                raise unsupported(
                    type(layer).__name__, path, f"padding_mode={layer.padding_mode!r}", "'zeros'"
                )

    def forward(self, x: Tensor) -> Tensor:
        function: Any = self.function
        return self.output_quantizer(
            function(self.input_quantizer(x), self.weight, self.bias, **self.options)
        )


class _PlainSum(nn.Module):
    """A sum whose arguments are quantized by one quantizer."""

    def __init__(self, layer: Any, quantizers: list[Quantize]) -> None:
        super().__init__()
        self.input_quantizer = _Quantizer(layer.input_quant, quantizers)
        self.output_quantizer = _Quantizer(layer.output_quant, quantizers)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.output_quantizer(self.input_quantizer(a) + self.input_quantizer(b))
