"""ONNX's quantizers, and layers whose results are quantized: of ONNX, of onnxruntime and of QONNX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from onnx import TensorProto, helper
from torch import Tensor

from skfhe.importers._handlers import HandlerTable
from skfhe.importers._onnx.call import INTEGERS, Call, double
from skfhe.importers._onnx.elementwise import FUNCTIONS, rounded_to
from skfhe.importers._onnx.layer_handlers import averaged, convolved, product
from skfhe.network import Node, Quantize, composed

__all__ = ["FOREIGN", "HANDLERS", "ON_CONSTANTS", "QUANTIZED_DOMAINS"]

HANDLERS = HandlerTable()
"""For calls that have an encrypted input."""
FOREIGN = HandlerTable()
"""For operators of other domains."""
QUANTIZED_DOMAINS = ("com.microsoft", "qonnx.custom_op.general", "onnx.brevitas")
"""Domains of onnxruntime, of QONNX, and of Brevitas' older exports."""


# ---------------------------------------------------------------------------- quantizers of ONNX's own


def _across(call: Call, shape: tuple[int, ...], value: Tensor) -> Tensor:
    """Return a scale or zero point so that it broadcasts against a tensor of a shape."""
    if value.numel() == 1:
        return value.reshape(())
    axis = int(call.attributes.get("axis", 1)) % len(shape)
    if value.ndim == 1:
        return value.reshape(-1, *(1,) * (len(shape) - axis - 1))
    block = call.attributes.get("block_size") or -(-shape[axis] // value.shape[axis])
    return value.repeat_interleave(block, axis).narrow(axis, 0, shape[axis])


def _grid(call: Call, shape: tuple[int, ...], at: int = 1) -> tuple[Tensor, Tensor]:
    """Return the scale and zero point of a quantizer, inputs ``at`` and the one after it."""
    if isinstance(call.input(at), Node):
        raise call.build.unsupported(
            f"its input {call.input_name(at)!r} is encrypted: a scale that is chosen while running",
            "a constant scale, such as an initializer",
        )
    scale, zero_point = call.given(at), call.floats(at + 1)
    zero_point = torch.zeros_like(scale) if zero_point is None else zero_point
    return _across(call, shape, scale), _across(call, shape, zero_point)


def _type_at(call: Call, at: int) -> int:
    """Return the type of the zero point at input ``at``, which is that of the integers."""
    if call.constant(at) is not None:
        return int(helper.np_dtype_to_tensor_dtype(call.inputs[at].dtype))
    return int(call.attributes.get("output_dtype") or TensorProto.UINT8)


def _quantized(call: Call, x: Node, at: int) -> Node:
    """Append the integers of a quantizer, whose scale and zero point are inputs ``at`` and after it."""
    scale, zero_point = _grid(call, x.shape, at)
    to = _type_at(call, at + 1)
    if to not in INTEGERS:
        saturates = bool(call.attributes.get("saturate", 1))
        return call.build.univariate(x, lambda v: rounded_to(v / scale, to, saturates))
    low, high = INTEGERS[to]
    return call.build.univariate(x, lambda v: (torch.round(v / scale) + zero_point).clamp(low, high))


def _real(call: Call, at: int, scale_at: int | None = None) -> Any:
    """Append what the integers at input ``at`` stand for; constants are returned as such."""
    value = call.input(at)
    scale, zero_point = _grid(call, value.shape, at + 1 if scale_at is None else scale_at)
    if isinstance(value, Node):
        return call.build.affine(value, scale, -zero_point * scale)
    return (double(value) - zero_point) * scale


@HANDLERS.handles("QuantizeLinear")
def _quantize(call: Call) -> Node:
    return _quantized(call, call.encrypted(0), 1)


@HANDLERS.handles("DequantizeLinear")
def _dequantize(call: Call) -> Node:
    call.encrypted(0)
    found: Node = _real(call, 0)
    return found


FOREIGN.handles("QuantizeLinear")(_quantize)
FOREIGN.handles("DequantizeLinear")(_dequantize)


# ----------------------------------------------------------------------- layers on integers, as ONNX's own


@HANDLERS.handles("QLinearConv")
def _quantized_convolution(call: Call) -> Node:
    weight, zero_point, scale = call.given(3), call.floats(5), call.given(4)
    channels = (-1, *(1,) * (weight.ndim - 1))
    zero_point = torch.zeros(1, dtype=torch.float64) if zero_point is None else zero_point
    real = (weight - zero_point.reshape(channels)) * scale.reshape(channels)
    bias = call.floats(8)
    if bias is not None:
        bias = bias * scale.reshape(-1) * call.given(1).reshape(())
    call.encrypted(0)
    return _quantized(call, convolved(call, _real(call, 0), real, bias), 6)


@HANDLERS.handles("QLinearMatMul")
def _quantized_product(call: Call) -> Node:
    a, b = (_of_matrix(call, at) for at in (0, 3))
    return _quantized(call, product(call.build, a, b), 6)


def _of_matrix(call: Call, at: int) -> Any:
    """Append a factor's floats: scales are those of the first one's rows, or of the second one's columns."""
    value, scale, zero_point = call.input(at), call.given(at + 1), call.given(at + 2)
    if scale.ndim == 1 and scale.numel() > 1:
        shape = (-1, 1) if at == 0 else (-1,)
        scale, zero_point = scale.reshape(shape), zero_point.reshape(shape)
    elif scale.numel() == 1:
        scale, zero_point = scale.reshape(()), zero_point.reshape(())
    if isinstance(value, Node):
        return call.build.affine(value, scale, -zero_point * scale)
    return (double(value) - zero_point) * scale


@HANDLERS.handles("MatMulInteger")
def _integer_product(call: Call) -> Node:
    factors = []
    for at, shape in ((0, (-1, 1)), (1, (-1,))):
        value, zero_point = call.input(at), call.floats(at + 2)
        value = value if isinstance(value, Node) else double(value)
        if zero_point is not None:
            zero_point = zero_point.reshape(shape) if zero_point.numel() > 1 else zero_point.reshape(())
            value = (
                call.build.affine(value, 1.0, -zero_point) if isinstance(value, Node) else value - zero_point
            )
        factors.append(value)
    return product(call.build, *factors)


@HANDLERS.handles("ConvInteger")
def _integer_convolution(call: Call) -> Node:
    x, weight = call.encrypted(0), call.given(1)
    of_x, of_weight = call.floats(2), call.floats(3)
    if of_x is not None:
        x = call.build.affine(x, 1.0, -of_x.reshape(()))
    if of_weight is not None:
        weight = weight - of_weight.reshape(-1, *(1,) * (weight.ndim - 1))
    return convolved(call, x, weight, None)


# ----------------------------------------------------------------------------- those of onnxruntime's own


def _combined(call: Call, function: Callable[..., Tensor], kind: str) -> Node:
    a, b = _real(call, 0), _real(call, 3)
    build = call.build
    if isinstance(a, Node) and isinstance(b, Node):
        return build.elementwise(function, a, b, kind=kind)
    x, constant = (a, b) if isinstance(a, Node) else (b, a)
    return build.affine(x, 1.0, constant) if kind == "add" else build.affine(x, constant)


@FOREIGN.handles("QLinearAdd", "QLinearMul")
def _quantized_arithmetic(call: Call) -> Node:
    add = call.proto.op_type == "QLinearAdd"
    return _quantized(call, _combined(call, *((torch.add, "add") if add else (torch.mul, "multiply"))), 6)


@FOREIGN.handles("QLinearSigmoid", "QLinearLeakyRelu")
def _quantized_activation(call: Call) -> Node:
    function = FUNCTIONS[call.proto.op_type.removeprefix("QLinear")]
    options = {"alpha": call.attributes.get("alpha", 0.01)} if call.proto.op_type.endswith("Relu") else {}
    return _quantized(call, call.build.univariate(_real(call, 0), lambda v: function(v, **options)), 3)


@FOREIGN.handles("QLinearSoftmax")
def _quantized_softmax(call: Call) -> Node:
    x = _real(call, 0)
    axis = call.axis(x, call.attributes.get("axis", -1))
    return _quantized(call, composed.softmax(call.build, x, [axis]), 3)


@FOREIGN.handles("QLinearGlobalAveragePool")
def _quantized_global_average(call: Call) -> Node:
    x = _real(call, 0)
    rank = len(x.shape)
    axes = list(range(1, rank - 1)) if call.attributes.get("channels_last") else list(range(2, rank))
    return _quantized(call, composed.mean(call.build, x, axes, keepdim=True), 3)


@FOREIGN.handles("QLinearReduceMean")
def _quantized_mean(call: Call) -> Node:
    x = _real(call, 0)
    axes = [call.axis(x, axis) for axis in call.attributes["axes"]]
    keepdim = bool(call.attributes.get("keepdims", 1))
    return _quantized(call, composed.mean(call.build, x, axes, keepdim), 3)


@FOREIGN.handles("QLinearAveragePool")
def _quantized_average_pool(call: Call) -> Node:
    if call.attributes.get("channels_last"):
        raise call.build.unsupported("its channels come last", "channels after the rows")
    return _quantized(call, averaged(call, _real(call, 0)), 3)


@FOREIGN.handles("QLinearConcat")
def _quantized_concatenation(call: Call) -> Node:
    parts = [_real(call, at) for at in range(2, len(call.inputs), 3)]
    first = next(part for part in parts if isinstance(part, Node))
    nodes = [p if isinstance(p, Node) else call.build.constant(first, p) for p in parts]
    axis = call.axis(first, call.attributes["axis"])
    return _quantized(call, call.build.concatenate(nodes, axis), 0)


@FOREIGN.handles("QGemm")
def _quantized_gemm(call: Call) -> Node:
    attributes, build = call.attributes, call.build
    a, b = _real(call, 0), call.given(3)
    scale, zero_point = call.given(4).reshape(-1), call.given(5).reshape(-1)
    if attributes.get("transA"):
        a = build.move(a, lambda t: t.mT)
    across = (-1, 1) if attributes.get("transB") and scale.numel() > 1 else (-1,)
    weight = (b - zero_point.reshape(across)) * scale.reshape(across)
    weight = weight.T if attributes.get("transB") else weight
    alpha, bias = attributes.get("alpha", 1.0), call.floats(6)
    if bias is not None:
        bias = bias.reshape(-1) * (alpha * call.given(1).reshape(()) * scale)
    found = build.linear(a, alpha * weight, bias)
    return found if call.input(7) is None else _quantized(call, found, 7)


# ------------------------------------------------------------------------- QONNX, as Brevitas exports it

_ROUNDING: dict[str, Callable[[Tensor], Tensor]] = {
    "ROUND": torch.round,
    "HALF_EVEN": torch.round,
    "CEIL": torch.ceil,
    "FLOOR": torch.floor,
    "UP": lambda v: torch.sign(v) * torch.ceil(v.abs()),
    "DOWN": torch.trunc,
    "ROUND_TO_ZERO": torch.trunc,
    "HALF_UP": lambda v: torch.sign(v) * torch.floor(v.abs() + 0.5),
    "HALF_DOWN": lambda v: torch.sign(v) * torch.ceil(v.abs() - 0.5),
}


def _rounding(call: Call, default: str) -> Callable[[Tensor], Tensor]:
    name = call.attributes.get("rounding_mode", default).upper()
    if name not in _ROUNDING:
        raise call.build.unsupported(f"it rounds by {name!r}", f"one of {', '.join(_ROUNDING)}")
    return _ROUNDING[name]


def _limits(call: Call, bits: float, signed: bool) -> tuple[float, float]:
    narrow = bool(call.attributes.get("narrow", 0))
    if signed:
        return -(2 ** (bits - 1)) + narrow, 2 ** (bits - 1) - 1
    return 0.0, 2**bits - 1 - narrow


def _by_row(call: Call, x: Any, value: Tensor) -> Tensor:
    """Return a scale or zero point of as many axes as ``x`` at most."""
    return value.reshape(()) if value.numel() == 1 else value


def _described(call: Call) -> Quantize:
    """Describe the quantizer that a Quant, BipolarQuant or Trunc node is."""
    x = call.input(0)
    scale = _by_row(call, x, call.given(1))
    if call.proto.op_type == "BipolarQuant":
        return Quantize(
            lambda v: torch.where(v >= 0, 1.0, -1.0).double(), scale, torch.zeros_like(scale), -1, 1
        )
    zero_point = _by_row(call, x, call.given(2))
    bits = float(call.given(3))
    signed = bool(call.attributes.get("signed", 1))
    if call.proto.op_type in ("Quant", "IntQuant"):
        round_to = _rounding(call, "ROUND")
        low, high = _limits(call, bits, signed)
        return Quantize(
            lambda v: round_to(v / scale + zero_point).clamp(low, high),
            scale,
            zero_point,
            int(low),
            int(high),
        )
    return _truncation(call, scale, zero_point, bits, signed)


def _truncation(call: Call, scale: Tensor, zero_point: Tensor, bits: float, signed: bool) -> Quantize:
    round_to = _rounding(call, "FLOOR")
    if len(call.inputs) == 5:  # the older form, which keeps the scale
        step = 2.0 ** (bits - float(call.given(4)))
        low, high = _limits(call, float(call.given(4)), signed)

        def shifted(v: Tensor) -> Tensor:
            return round_to(torch.round(v / scale + zero_point) / step)

        return Quantize(shifted, scale, zero_point, int(low), int(high))
    wanted = _by_row(call, call.input(0), call.given(4))
    low, high = _limits(call, float(call.given(5)), signed)
    step_of = wanted / scale
    zero = zero_point / step_of

    def truncated(v: Tensor) -> Tensor:
        return round_to(torch.round(v / scale + zero_point) / step_of).clamp(low, high)

    return Quantize(truncated, wanted, zero, int(low), int(high))


@FOREIGN.handles("Quant", "IntQuant", "BipolarQuant", "Trunc")
def _quant(call: Call) -> Node:
    return call.build.add(_described(call), call.encrypted(0))


def _quant_of_constant(call: Call) -> Any:
    return _described(call).evaluate(double(call.inputs[0])).numpy()


def _constant_dequantized(call: Call) -> Any:
    return _real(call, 0).numpy()


ON_CONSTANTS: dict[str, Callable[[Call], Any]] = {
    **dict.fromkeys(("Quant", "IntQuant", "BipolarQuant", "Trunc"), _quant_of_constant),
    "DequantizeLinear": _constant_dequantized,
}
"""For calls of other domains' operators on constants."""
