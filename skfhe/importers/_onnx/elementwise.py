"""ONNX operators element by element: functions, arithmetic, types and quantizers.

Functions of elements are written out in torch: they are tabulated in double precision over thousands of
integers, for which onnx's reference evaluator is too slow, and some of its functions round to single
precision.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import torch
from onnx import TensorProto, helper
from torch import Tensor
from torch.nn import functional

from skfhe.importers._handlers import HandlerTable
from skfhe.importers._onnx.call import INTEGERS, Call
from skfhe.network import Node

__all__ = ["COMPARISONS", "FUNCTIONS", "HANDLERS"]

HANDLERS = HandlerTable()
"""For calls that have an encrypted input."""

_FLOATS = frozenset({TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.FLOAT, TensorProto.DOUBLE})
_NAMED_AS_IN_TORCH = (
    *("Abs", "Sign", "Sqrt", "Exp", "Log", "Erf", "Round", "Floor", "Ceil", "Reciprocal", "Pow"),
    *("Sin", "Cos", "Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Tanh", "Asinh", "Acosh", "Atanh"),
    *("Relu", "Sigmoid"),
)
FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    **{name: getattr(torch, name.lower()) for name in _NAMED_AS_IN_TORCH},
    "Mod": lambda a, b, fmod: torch.fmod(a, b) if fmod else torch.remainder(a, b),
    "Equal": torch.eq,
    "Less": torch.lt,
    "LessOrEqual": torch.le,
    "Greater": torch.gt,
    "GreaterOrEqual": torch.ge,
    "And": torch.logical_and,
    "Or": torch.logical_or,
    "Xor": torch.logical_xor,
    "Not": torch.logical_not,
    "LeakyRelu": lambda x, alpha: torch.where(x < 0, alpha * x, x),
    "PRelu": lambda x, slope: torch.where(x < 0, slope * x, x),
    "Elu": lambda x, alpha: torch.where(x < 0, alpha * torch.expm1(x), x),
    "Selu": lambda x, alpha, gamma: gamma * torch.where(x < 0, alpha * torch.expm1(x), x),
    "Celu": lambda x, alpha: torch.where(x < 0, alpha * torch.expm1(x / alpha), x),
    "Gelu": lambda x, approximate: functional.gelu(x, approximate=approximate),
    "HardSigmoid": lambda x, alpha, beta: (alpha * x + beta).clamp(0.0, 1.0),
    "HardSwish": functional.hardswish,
    "Swish": lambda x, alpha: x * torch.sigmoid(alpha * x),
    "Mish": functional.mish,
    "Softplus": functional.softplus,
    "Softsign": functional.softsign,
    "Shrink": lambda x, bias, lambd: torch.where(
        x < -lambd, x + bias, torch.where(x > lambd, x - bias, torch.zeros_like(x))
    ),
    "ThresholdedRelu": lambda x, alpha: torch.where(x > alpha, x, torch.zeros_like(x)),
}
"""Functions of elements, of the constants among them too; attributes are passed by name."""
COMPARISONS = frozenset({"Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"})
"""Functions that compare two values."""


# ------------------------------------------------------------------------ arithmetic, element by element


@HANDLERS.handles("Add", "Sub")
def _add(call: Call) -> Node:
    a, b = call.inputs
    subtract = call.proto.op_type == "Sub"
    if isinstance(a, Node) and isinstance(b, Node):
        function, kind = (torch.sub, "subtract") if subtract else (torch.add, "add")
        return call.build.elementwise(function, a, b, kind=kind)
    if isinstance(a, Node):
        b = call.floats_of(b)
        return call.build.affine(a, 1.0, -b if subtract else b)
    return call.build.affine(b, -1.0 if subtract else 1.0, call.floats_of(a))


@HANDLERS.handles("Mul")
def _multiply(call: Call) -> Node:
    a, b = call.inputs
    if isinstance(a, Node) and isinstance(b, Node):
        return call.build.elementwise(torch.mul, a, b, kind="multiply")
    x, factor = (a, b) if isinstance(a, Node) else (b, a)
    return call.build.affine(x, call.floats_of(factor))


@HANDLERS.handles("Div")
def _divide(call: Call) -> Node:
    if call.holds_integers():
        return call.elementwise(lambda a, b: torch.div(a, b, rounding_mode="trunc"))
    a, b = call.inputs
    if isinstance(a, Node) and not isinstance(b, Node):
        return call.build.affine(a, 1.0 / call.floats_of(b))
    return call.elementwise(torch.div, "divide")


@HANDLERS.handles("Neg")
def _negative(call: Call) -> Node:
    return call.build.affine(call.encrypted(), -1.0)


@HANDLERS.handles("Sum", "Mean", "Max", "Min")
def _accumulate(call: Call) -> Node:
    """Append a function of any number of values: of the constants first, then of two at a time."""
    build, name = call.build, call.proto.op_type
    function, kind = {
        "Max": (torch.maximum, "maximum"),
        "Min": (torch.minimum, "minimum"),
    }.get(name, (torch.add, "add"))
    nodes = call.nodes
    constants = [call.floats_of(value) for value in call.inputs if not isinstance(value, Node)]
    result = nodes[0]
    if constants:
        constant = reduce(function, constants)
        if kind == "add":
            result = build.affine(result, 1.0, constant)
        else:
            result = build.univariate(result, lambda values: function(values, constant))
    for node in nodes[1:]:
        result = build.elementwise(function, result, node, kind=kind)
    return build.affine(result, 1.0 / len(call.inputs)) if name == "Mean" else result


@HANDLERS.handles("Clip")
def _clip(call: Call) -> Node:
    if call.opset < 11:
        low, high = (torch.tensor(call.attributes[name]) for name in ("min", "max"))
    else:
        least, most = call.floats(1), call.floats(2)
        low = torch.tensor(-torch.inf) if least is None else least
        high = torch.tensor(torch.inf) if most is None else most
    return call.build.univariate(call.encrypted(), lambda rows: torch.minimum(torch.maximum(rows, low), high))


@HANDLERS.handles("Where")
def _where(call: Call) -> Node:
    build = call.build
    condition, a, b = (v if isinstance(v, Node) else call.floats_of(v) for v in call.inputs)
    if isinstance(condition, Node) and isinstance(a, Node) and isinstance(b, Node):
        return build.elementwise(lambda c, x, y: torch.where(c != 0, x, y), condition, a, b, kind="where")
    if isinstance(condition, Node):
        return build.choose(condition, a, b)
    assert isinstance(condition, Tensor)
    return build.select(condition, a, b)


# ----------------------------------------------------------------------------------- types and quantizers


@HANDLERS.handles("Cast", "CastLike")
def _cast(call: Call) -> Node:
    x = call.inputs[0]
    if not isinstance(x, Node):
        return call.run(*call.inputs[:1])  # type: ignore[return-value]
    if call.proto.op_type == "Cast":
        to = call.attributes["to"]
    else:
        to = call.types.get(call.proto.input[1], TensorProto.UNDEFINED)
    if to in _FLOATS:
        return x
    if to == TensorProto.BOOL:
        return call.build.univariate(x, lambda rows: rows != 0)
    if to in INTEGERS:
        return x if call.holds_integers() else call.build.univariate(x, torch.trunc)
    kind = TensorProto.DataType.Name(to)
    raise call.build.unsupported(f"it casts to {kind}", "float, an integer type or bool")


def _grid(call: Call, x: Node) -> tuple[Tensor, Tensor]:
    """Return the scale and zero point of a quantizer, so that they broadcast against ``x``."""
    scale, zero_point = call.given(1), call.floats(2)
    zero_point = torch.zeros_like(scale) if zero_point is None else zero_point
    if scale.numel() == 1:
        return scale.reshape(()), zero_point.reshape(())
    if scale.ndim != 1:
        raise call.build.unsupported(
            "its scales are those of blocks", "a scale for the tensor or for each channel"
        )
    axis = call.axis(x, call.attributes["axis"])
    across = [1] * len(x.shape)
    across[axis] = -1
    return scale.reshape(across), zero_point.reshape(across)


@HANDLERS.handles("QuantizeLinear")
def _quantize(call: Call) -> Node:
    x = call.encrypted(0)
    scale, zero_point = _grid(call, x)
    to = call.attributes.get("output_dtype") or TensorProto.UINT8
    if call.constant(2) is not None:
        to = helper.np_dtype_to_tensor_dtype(call.inputs[2].dtype)
    if to not in INTEGERS:
        kind = TensorProto.DataType.Name(to)
        raise call.build.unsupported(f"it quantizes to {kind}", "a zero point of type int8 or uint8")
    low, high = INTEGERS[to]
    return call.build.univariate(x, lambda rows: (torch.round(rows / scale) + zero_point).clamp(low, high))


@HANDLERS.handles("DequantizeLinear")
def _dequantize(call: Call) -> Node:
    x = call.encrypted(0)
    scale, zero_point = _grid(call, x)
    return call.build.affine(x, scale, -zero_point * scale)
