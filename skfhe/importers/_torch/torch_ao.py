"""Networks of ``torch.ao.quantization``: those that were prepared, which round floats, and converted ones.

A prepared network's fake quantizers become single operators, as they stand: observers no longer observe. A
converted network holds integers, which torch's kernels multiply. It is captured with floats in their place,
whose quantizers are those that the kernels end with; how a tensor is quantized is kept beside it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.ao import nn as ao_nn
from torch.ao.quantization import disable_observer
from torch.ao.quantization.fake_quantize import FakeQuantizeBase
from torch.ao.quantization.observer import ObserverBase
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

from skfhe.importers._torch.known import Known
from skfhe.importers._torch.quantizers import Quantizers, affine_quantizer
from skfhe.network import Quantize, unsupported

__all__ = ["has_ao_quantizers", "observing_no_more", "with_quantizers"]

_PER_CHANNEL = (torch.per_channel_affine, torch.per_channel_symmetric)
_PACKED = "torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized"


def has_ao_quantizers(net: nn.Module) -> bool:
    """Whether a network was prepared or converted by ``torch.ao.quantization``."""
    return _is_converted(net) or any(
        isinstance(module, FakeQuantizeBase | ObserverBase) for module in net.modules()
    )


def _is_converted(net: nn.Module) -> bool:
    return any(type(module).__module__.startswith(_PACKED) and _quantizes(module) for module in net.modules())


def _quantizes(module: nn.Module) -> bool:
    return not isinstance(module, ao_nn.quantized.FloatFunctional | ao_nn.quantized.FXFloatFunctional)


def observing_no_more(net: nn.Module) -> nn.Module:
    """Return ``net``, whose ranges no longer follow what it is called with; it is changed."""
    return net.apply(disable_observer)


def with_quantizers(net: nn.Module) -> tuple[nn.Module, Quantizers]:
    """Return a copy of ``net`` that torch.export captures, and its quantizers.

    Parameters
    ----------
    net : nn.Module
        In double precision and evaluation mode.

    Returns
    -------
    net : nn.Module
    quantizers : Quantizers
        Filled while ``net`` is captured.
    """
    quantizers = Quantizers()
    copied = _as_module(copy.deepcopy(net))
    stubs: dict[int, nn.Module] = {}
    for module in list(copied.modules()):
        if isinstance(module, FakeQuantizeBase):
            continue
        for name, child in list(module._modules.items()):  # named_children() names shared ones once
            if isinstance(child, FakeQuantizeBase | ObserverBase):
                stub = stubs.setdefault(id(child), _plain(child, quantizers))
                setattr(module, name, stub)
        if type(module).__module__.startswith(_PACKED) or isinstance(net, torch.fx.GraphModule):
            for name, buffer in list(module.named_buffers(recurse=False)):
                if buffer.numel() > 1:
                    continue
                delattr(module, name)
                setattr(module, name, Known.of(buffer))  # kernels take them as numbers
        packed: Any = getattr(module, "_packed_params", None)
        if isinstance(packed, torch.ScriptObject):
            setattr(module, "_packed_params", _Packed(packed))  # noqa: B010
    if _is_converted(copied):
        run = copied.forward

        @wraps(run)
        def forward(*args: Any, **kwargs: Any) -> Any:
            with _OnFloats(quantizers):
                return run(*args, **kwargs)

        copied.forward = forward
    return copied, quantizers


def _as_module(net: nn.Module) -> nn.Module:
    """Return a network that was traced as any other, whose ``forward`` torch.export calls."""
    if not isinstance(net, torch.fx.GraphModule):
        return net
    module = nn.Module()
    module.__dict__.update({name: value for name, value in net.__dict__.items() if name != "_graph"})
    module.forward = MethodType(type(net).forward, module)
    return module


class _Packed:
    """Parameters of a kernel, hidden from torch.export, which would ask for their fields."""

    def __init__(self, parameters: torch.ScriptObject) -> None:
        self._parameters = parameters

    def __getattr__(self, name: str) -> Any:
        return getattr(object.__getattribute__(self, "_parameters"), name)


def _plain(module: nn.Module, quantizers: Quantizers) -> nn.Module:
    if isinstance(module, FakeQuantizeBase) and bool(module.fake_quant_enabled[0] == 1):
        return _FakeQuantizer(module, quantizers)
    return nn.Identity()


class _FakeQuantizer(nn.Module):
    """A fake quantizer as it stands, as one operator."""

    def __init__(self, module: Any, quantizers: Quantizers) -> None:
        super().__init__()
        self.quantizers = [quantizers]
        observer = module.activation_post_process
        self.limits = int(observer.quant_min), int(observer.quant_max)
        self.axis = int(module.ch_axis) if module.qscheme in _PER_CHANNEL else None
        self.own = (module.scale.detach().clone(), module.zero_point.detach().double().round())
        self.described: dict[int, Quantize] = {}

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim not in self.described:
            with _disable_current_modes():
                described = affine_quantizer(*self.own, self.limits, x.ndim, self.axis)
            self.described[x.ndim] = described
        return self.quantizers[0].apply(self.described[x.ndim], x)


@dataclass(frozen=True)
class _Format:
    """How a tensor is quantized."""

    scale: float
    zero_point: int
    dtype: torch.dtype = torch.quint8


_FIXED = {
    "sigmoid": _Format(1 / 256, 0),
    "hardsigmoid": _Format(1 / 256, 0),
    "tanh": _Format(2 / 256, 128),
}
"""What torch quantizes the results of some functions of quantized tensors by."""
_SAME = frozenset(
    (
        *(
            "flatten",
            "reshape",
            "view",
            "permute",
            "transpose",
            "squeeze",
            "unsqueeze",
            "__getitem__",
            "chunk",
        ),
        *("split", "max_pool1d", "max_pool2d", "boolean_dispatch", "relu", "relu_", "clamp", "hardtanh"),
        *("contiguous", "clone", "detach", "dropout", "unflatten", "narrow", "select", "expand", "pad", "t"),
        *("amax", "amin", "max_pool1d_with_indices", "max_pool2d_with_indices", "unbind", "to", "min", "max"),
    )
)
"""Functions whose results are quantized tensors' elements, or limits that are among them."""
_AVERAGES = frozenset(
    (
        *("mean", "avg_pool1d", "avg_pool2d", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "interpolate"),
        *("avg_pool3d", "adaptive_avg_pool3d", "leaky_relu", "hardswish", "elu", "relu6", "upsample"),
    )
)
"""Functions whose results are quantized as their argument."""


class _OnFloats(TorchFunctionMode):
    """Has a converted network computed on floats: what its quantized tensors stand for."""

    def __init__(self, quantizers: Quantizers) -> None:
        super().__init__()
        self.quantizers = quantizers
        self.formats: Any = WeakTensorKeyDictionary()
        self.described: dict[_Format, Quantize] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", str(func))
        if str(func).startswith("quantized."):
            return self._kernel(str(func).split(".")[1], *args, **kwargs)
        if name == "quantize_per_tensor":
            return self._quantized(args[0], _Format(float(args[1]), int(args[2]), args[3]))
        if name == "dequantize":
            return args[0] + 0.0 if self._format(args[0]) else args[0]
        given = [self._format(leaf) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        formats = [each for each in given if each is not None]
        if not formats or name in ("__get__", "size", "dim", "numel", "is_floating_point"):
            return func(*args, **kwargs)
        return self._of_quantized(name, func, args, kwargs, formats[0])

    def _of_quantized(self, name: str, func: Any, args: Any, kwargs: Any, own: _Format) -> Any:
        """Apply a function of torch's own to quantized tensors."""
        result = func(*args, **kwargs)
        if name in _FIXED:
            return self._quantized(result, _FIXED[name])
        if name in _AVERAGES or name in ("cat", "concat", "stack"):
            return self._quantized(result, own)
        if name in _SAME:
            for leaf in tree_leaves(result):
                if isinstance(leaf, Tensor):
                    self.formats[leaf] = own
            return result
        raise unsupported(
            name, name, "it is none that torch applies to quantized tensors", "dequantize first"
        )

    def _format(self, tensor: Any) -> _Format | None:
        found: _Format | None = self.formats.get(tensor) if isinstance(tensor, Tensor) else None
        return found

    def _quantized(self, x: Tensor, own: _Format) -> Tensor:
        if own not in self.described:
            limits = torch.iinfo(own.dtype)
            with _disable_current_modes():
                quantizer = affine_quantizer(own.scale, own.zero_point, (limits.min, limits.max))
            self.described[own] = quantizer
        result = self.quantizers.apply(self.described[own], x)
        self.formats[result] = own
        return result

    def _kernel(self, name: str, *args: Any, **kwargs: Any) -> Tensor:
        """Do what a kernel of quantized tensors does to floats."""
        layer, activation = name, None
        for suffix, function in _ACTIVATIONS.items():
            if name.endswith(suffix) and name not in _KERNELS:
                layer, activation = name.removesuffix(suffix), function
        if layer not in _KERNELS:
            raise unsupported(
                f"quantized::{name}", name, "this kernel has no counterpart in floats", "the prepared network"
            )
        own = self._format(next(leaf for leaf in tree_leaves(args) if isinstance(leaf, Tensor)))
        result, scale, zero_point = _KERNELS[layer](own, *args, **kwargs)
        if activation is not None:
            result = activation(result)
        dtype = own.dtype if own is not None else torch.quint8
        return self._quantized(result, _Format(float(scale), int(zero_point), dtype))


_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"_relu": torch.relu, "_relu6": functional.relu6}


def _parameters(own: _Format | None, packed: Any) -> tuple[Tensor, Tensor | None]:
    """Return a layer's weights and bias, as its kernel has them: QNNPACK's rounds biases to its steps."""
    with _disable_current_modes():
        weight, bias = packed.unpack()[:2]
        if bias is None:
            return _exact(weight), None
        bias = bias.detach().double()
        if torch.backends.quantized.engine == "qnnpack" and own is not None:
            step = own.scale * _scales(weight)
            bias = torch.round(bias / step) * step
        return _exact(weight), bias


def _scales(weight: Tensor) -> Tensor:
    if weight.qscheme() in _PER_CHANNEL:
        return weight.q_per_channel_scales().double()
    return torch.tensor(weight.q_scale(), dtype=torch.float64)


def _exact(weight: Tensor) -> Tensor:
    """Return quantized weights as floats, in double precision."""
    integers, scales = weight.int_repr().double(), _scales(weight)
    if not scales.ndim:
        return (integers - weight.q_zero_point()) * scales
    across = [1] * weight.ndim
    across[weight.q_per_channel_axis()] = -1
    return (integers - weight.q_per_channel_zero_points().double().reshape(across)) * scales.reshape(across)


def _linear(own: Any, x: Tensor, packed: Any, scale: float, zero_point: int) -> tuple[Tensor, float, int]:
    return functional.linear(x, *_parameters(own, packed)), scale, zero_point


def _convolution(function: Callable[..., Tensor]) -> Callable[..., tuple[Tensor, float, int]]:
    def convolved(
        own: Any, x: Tensor, packed: Any, scale: float, zero_point: int
    ) -> tuple[Tensor, float, int]:
        n = x.ndim - 2
        strides, padding, dilation = (
            tuple(v[-n:]) for v in (packed.stride(), packed.padding(), packed.dilation())
        )
        weight, bias = _parameters(own, packed)
        if weight.ndim > x.ndim:  # one-dimensional kernels are packed as two-dimensional ones
            weight = weight.squeeze(2)
        if packed.transpose():
            rest = tuple(packed.output_padding()[-n:]), packed.groups(), dilation
            return function(x, weight, bias, strides, padding, *rest), scale, zero_point
        return function(x, weight, bias, strides, padding, dilation, packed.groups()), scale, zero_point

    return convolved


def _of_two(function: Callable[..., Tensor]) -> Callable[..., tuple[Tensor, float, int]]:
    def applied(own: Any, x: Tensor, y: Tensor, scale: float, zero_point: int) -> tuple[Tensor, float, int]:
        return function(x, y), scale, zero_point

    return applied


def _of_one(function: Callable[..., Tensor]) -> Callable[..., tuple[Tensor, float, int]]:
    def applied(own: Any, x: Tensor, scale: float, zero_point: int) -> tuple[Tensor, float, int]:
        return function(x), scale, zero_point

    return applied


def _cat(
    own: Any, tensors: list[Tensor], dim: int, scale: float | None = None, zero_point: int | None = None
) -> tuple[Tensor, float, int]:
    joined = torch.cat(tensors, dim)
    return joined, own.scale if scale is None else scale, own.zero_point if zero_point is None else zero_point


def _leaky(own: Any, x: Tensor, slope: float, inplace: bool, scale: float, zero_point: int) -> Any:
    return functional.leaky_relu(x, slope), scale, zero_point


def _elu(own: Any, x: Tensor, scale: float, zero_point: int, alpha: float = 1.0, *_: Any) -> Any:
    return functional.elu(x, alpha), scale, zero_point


def _batch_norm(
    own: Any, x: Tensor, weight: Any, bias: Any, mean: Any, variance: Any, eps: float, *ends: Any
) -> Any:
    mean, variance, weight, bias = (v if v is None else v.double() for v in (mean, variance, weight, bias))
    return functional.batch_norm(x, mean, variance, weight, bias, False, 0.0, eps), *ends


_KERNELS: dict[str, Callable[..., Any]] = {
    "linear": _linear,
    "conv1d": _convolution(functional.conv1d),
    "conv2d": _convolution(functional.conv2d),
    "conv3d": _convolution(functional.conv3d),
    "conv_transpose1d": _convolution(functional.conv_transpose1d),
    "conv_transpose2d": _convolution(functional.conv_transpose2d),
    "add": _of_two(torch.add),
    "mul": _of_two(torch.mul),
    "matmul": _of_two(torch.matmul),
    "cat": _cat,
    "sigmoid": _of_one(torch.sigmoid),
    "hardswish": _of_one(functional.hardswish),
    "leaky_relu": _leaky,
    "elu": _elu,
    "batch_norm2d": _batch_norm,
}
"""Functions of the format of the first tensor and the kernel's arguments, which return the format as well."""
