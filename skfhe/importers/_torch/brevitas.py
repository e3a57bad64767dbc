"""Brevitas networks as networks that torch.export captures, with quantizers as single operators.

The network runs as it is written, on Brevitas' own layers and quantized tensors. Only what quantizes is
replaced in a copy: quantized weights and biases are those of a run on real rows, and a quantizer of values is
a call of ``skfhe::quantize``, which names it by its number. What it does to floats, the very Brevitas module
says. Scales, zero points and bit-widths are `Known`: Brevitas and users' code compare and combine them.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any

import torch
from brevitas.nn import quant_mha
from brevitas.nn.mixin.base import QuantLayerMixin
from brevitas.proxy.parameter_quant import ParameterQuantProxyFromInjector
from brevitas.proxy.quant_proxy import QuantProxyFromInjector
from brevitas.proxy.runtime_quant import FusedActivationQuantProxy, TruncQuantProxyFromInjector
from brevitas.quant_tensor import IntQuantTensor, QuantTensor, int_torch_handler
from brevitas.quant_tensor.base_quant_tensor import IntMixin
from torch import Tensor, nn
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils._pytree import tree_map

from skfhe.importers._torch.known import Known
from skfhe.importers._torch.quantizers import Quantizers
from skfhe.network import Quantize, unsupported

__all__ = ["capturable", "has_brevitas_layers"]

FAR = 1e12
"""A float beyond the range of any quantizer."""
_ZERO = Known.of(torch.zeros(1, dtype=torch.float64))
_CAPTURING = threading.Lock()


def has_brevitas_layers(net: nn.Module) -> bool:
    """Whether a network has layers or quantizers of Brevitas."""
    return any(isinstance(module, QuantLayerMixin | QuantProxyFromInjector) for module in net.modules())


def capturable(net: nn.Module, inputs: Sequence[Tensor]) -> tuple[nn.Module, Quantizers]:
    """Return a copy of ``net`` that torch.export captures, and its quantizers.

    Parameters
    ----------
    net : nn.Module
        In double precision and evaluation mode.
    inputs : sequence of Tensor
        Some rows, on which quantizers of parameters see what reaches their layers.

    Returns
    -------
    net : nn.Module
    quantizers : Quantizers
        Filled while ``net`` is captured.

    Raises
    ------
    UnsupportedOperatorError
        While ``net`` is captured, for a quantizer that has no integers of one scale, or whose scale depends
        on the data.
    """
    copied = copy.deepcopy(net)
    recorded = _Recorded(copied, inputs)
    quantizers = Quantizers()
    stubs: dict[int, nn.Module] = {}
    for path, module in list(copied.named_modules()):
        if isinstance(module, TruncQuantProxyFromInjector) and module.is_quant_enabled:
            module.tensor_quant = _Truncation(module.tensor_quant, quantizers, _layer(path))
        for name, child in list(module._modules.items()):
            if isinstance(child, FusedActivationQuantProxy):
                stub = stubs.setdefault(id(child), _Quantizer(child, quantizers, _layer(path)))
                setattr(module, name, stub)
    run = copied.forward

    @wraps(run)
    def forward(*args: Any, **kwargs: Any) -> Any:
        recorded.rewind()
        with _without_values():
            return _unpacked(run(*args, **kwargs))

    copied.forward = forward
    return copied, quantizers


def _layer(path: str) -> str:
    """Return the layer that a quantizer belongs to."""
    return path.rpartition(".")[0] or path


def _unpacked(value: Any) -> Any:
    """Return what a network returns with values in place of quantized tensors."""
    return tree_map(_value, value, is_leaf=lambda leaf: isinstance(leaf, QuantTensor))


@contextmanager
def _without_values() -> Iterator[None]:
    """Have Brevitas not look at values that are not there; on real rows it did."""
    own = int_torch_handler.create_int_quant_tensor

    def create(
        tensor: Tensor, scale: Any, bit_width: Any, zero_point: Any, signed: Any, training: Any
    ) -> IntQuantTensor:
        if not isinstance(zero_point, Known):  # Brevitas made up a zero
            zero_point = _ZERO
        return own(tensor, scale, bit_width, zero_point, signed, training)

    def are_one(tensors: Sequence[Any]) -> bool:
        values = [_value(tensor) for tensor in tensors]
        return all(value is values[0] for value in values)

    replaced = [
        (IntMixin, "is_valid", property(lambda _: True)),
        (int_torch_handler, "create_int_quant_tensor", create),
        (quant_mha, "check_tensors_same_ptr", are_one),
    ]
    with _CAPTURING:
        before = [(owner, name, getattr(owner, name)) for owner, name, _ in replaced]
        for owner, name, value in replaced:
            setattr(owner, name, value)
        try:
            yield
        finally:
            for owner, name, value in before:
                setattr(owner, name, value)


def _value(tensor: Any) -> Any:
    return tensor.value if isinstance(tensor, QuantTensor) else tensor


class _Recorded:
    """Quantized weights and biases, as a run of the network has them.

    Some quantizers choose them by what reaches the layer: biases by the scale of its input, weights that fit
    an accumulator by the bits of its input. They are played back in the order in which they were asked for.
    """

    def __init__(self, net: nn.Module, inputs: Sequence[Tensor]) -> None:
        self.results: dict[nn.Module, list[Any]] = {}
        self.next: dict[nn.Module, int] = {}
        hooks = []
        for module in net.modules():
            if isinstance(module, ParameterQuantProxyFromInjector):
                self.results[module] = []
                hooks.append(module.register_forward_hook(self._record))
        try:
            with torch.no_grad():
                net(*(x[:1].double() if x.is_floating_point() else x[:1] for x in inputs))
        except Exception as error:
            raise ValueError(
                f"{type(net).__name__} does not run on the inputset in double precision: {error}; give one "
                "array for each input of the network, with rows of the shape that it takes"
            ) from error
        finally:
            for hook in hooks:
                hook.remove()
        for module in self.results:
            module.forward = self._play(module)

    def _record(self, module: nn.Module, _: Any, result: Any) -> None:
        self.results[module].append(_known(result))

    def _play(self, module: nn.Module) -> Callable[..., Any]:
        def forward(*args: Any, **kwargs: Any) -> Any:
            position = self.next.get(module, 0)
            self.next[module] = position + 1
            return self.results[module][position]

        return forward

    def rewind(self) -> None:
        """Start from the first ones again."""
        self.next = {}


def _known(value: Any) -> Any:
    if isinstance(value, QuantTensor):
        return type(value)(*(_known(field) for field in value))
    return Known.of(value) if isinstance(value, Tensor) else value


class _Quantizer(nn.Module):
    """An activation and a quantizer, which it leaves to `Quantize`."""

    def __init__(self, fused: Any, quantizers: Quantizers, path: str) -> None:
        super().__init__()
        self._own = [fused]  # hidden from torch.export, which would take its parameters' values
        self.quantizers, self.path = quantizers, path
        self.known: dict[tuple[int, ...], tuple[Quantize, tuple[Known, ...]]] = {}

    @property
    def activation_impl(self) -> Any:
        """What Brevitas reads where a quantizer is switched off."""
        return self._own[0].activation_impl

    @property
    def tensor_quant(self) -> Any:
        """What Brevitas reads to quantize constants."""
        return self._own[0].tensor_quant

    def forward(self, x: Tensor) -> tuple[Any, ...]:
        if isinstance(x, Known):
            with _disable_current_modes():
                return _known_tuple(self._own[0](x.plain()))
        shape = tuple(x.shape)
        if shape not in self.known:
            self.known[shape] = _described(self._own[0], shape, self.path)
        quantizer, metadata = self.known[shape]
        return self.quantizers.apply(quantizer, x), *metadata


class _Truncation(nn.Module):
    """A quantizer that drops low bits of integers that it is told the scale of."""

    def __init__(self, truncation: Any, quantizers: Quantizers, path: str) -> None:
        super().__init__()
        self._own = [truncation]  # hidden from torch.export, as above
        self.quantizers, self.path = quantizers, path

    def forward(self, x: Tensor, scale: Any, zero_point: Any, bit_width: Any, signed: Any) -> tuple[Any, ...]:
        told = [v.plain() if isinstance(v, Known) else v for v in (scale, zero_point, bit_width, signed)]

        def quantizer(floats: Tensor) -> Any:
            return self._own[0](floats, *told)

        described, metadata = _described(quantizer, tuple(x.shape), self.path)
        return self.quantizers.apply(described, x), *metadata


def _known_tuple(values: Any) -> tuple[Any, ...]:
    return tuple(Known.of(v) if isinstance(v, Tensor) else v for v in values)


def _described(
    quantizer: Callable[[Tensor], Any], shape: tuple[int, ...], path: str
) -> tuple[Quantize, tuple[Known, ...]]:
    """Describe a quantizer of tensors of a shape; return its scale, zero point and bit-width, too."""
    with _disable_current_modes():
        ends = [quantizer(torch.full(shape, end, dtype=torch.float64)) for end in (-FAR, 0.0, FAR)]
        if any(len(results) != 4 or results[1] is None for results in ends):
            raise unsupported("quantizer", path, "it has no integers of one scale", "one of integers")
        _, scale, zero_point, bit_width = ends[1]
        if any(not torch.equal(results[1], scale) for results in ends):
            raise unsupported(
                "quantizer", path, "its scale is computed from the data that it quantizes", "a constant scale"
            )

        def integers(floats: Tensor) -> Tensor:
            rows = floats.reshape(-1, *shape[1:]) if shape[:1] == (1,) else floats
            with torch.no_grad():
                value, *_ = quantizer(rows)
                return torch.round(value / scale + zero_point).reshape(floats.shape)

        low, high = (
            int(reached(torch.round(results[0] / scale + zero_point)))
            for reached, results in ((torch.min, ends[0]), (torch.max, ends[2]))
        )
        limits = min(low, high), max(low, high)
        described = Quantize(integers, scale.double(), zero_point.double(), *limits)
    return described, _known_tuple((scale, zero_point, bit_width))
