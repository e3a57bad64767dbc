"""ONNX operators element by element: functions, arithmetic, types and quantizers.

Functions of elements are written out in torch: they are tabulated in double precision over thousands of
integers, for which onnx's reference evaluator is too slow, and some of its functions round to single
precision.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
import torch
from onnx import TensorProto, defs, helper
from onnx.reference import ReferenceEvaluator
from torch import Tensor
from torch.nn import functional

from skfhe.importers._handlers import HandlerTable
from skfhe.importers._onnx.call import INTEGERS, Call, double
from skfhe.network import Node

__all__ = ["COMPARISONS", "FUNCTIONS", "HANDLERS", "rounded_to"]

HANDLERS = HandlerTable()
"""For calls that have an encrypted input."""

_FLOATS = frozenset({TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.FLOAT, TensorProto.DOUBLE})
_NARROW_FLOATS = frozenset(
    getattr(TensorProto, name)
    for name in (
        *("FLOAT8E4M3FN", "FLOAT8E4M3FNUZ", "FLOAT8E5M2", "FLOAT8E5M2FNUZ"),
        *("FLOAT8E8M0", "FLOAT4E2M1", "FLOAT6E2M3", "FLOAT6E3M2"),
    )
    if hasattr(TensorProto, name)
)
_FLOAT4 = getattr(TensorProto, "FLOAT4E2M1", None)
_NAMED_AS_IN_TORCH = (
    *("Abs", "Sign", "Sqrt", "Exp", "Log", "Erf", "Round", "Floor", "Ceil", "Reciprocal", "Pow"),
    *("Sin", "Cos", "Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Tanh", "Asinh", "Acosh", "Atanh"),
    *("Relu", "Sigmoid"),
)


def _long(x: Tensor) -> Tensor:
    return torch.nan_to_num(x).round().long()


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
    "IsNaN": torch.isnan,
    "BitwiseAnd": lambda a, b: torch.bitwise_and(_long(a), _long(b)),
    "BitwiseOr": lambda a, b: torch.bitwise_or(_long(a), _long(b)),
    "BitwiseXor": lambda a, b: torch.bitwise_xor(_long(a), _long(b)),
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
        constant = call.floats_of(b)
        return call.build.affine(a, 1.0, -constant if subtract else constant)
    return call.build.affine(b, -1.0 if subtract else 1.0, call.floats_of(a))


@HANDLERS.handles("Mul")
def _multiply(call: Call) -> Node:
    a, b = call.inputs
    if isinstance(a, Node) and isinstance(b, Node):
        return call.build.elementwise(torch.mul, a, b, kind="multiply")
    x, constant = (a, b) if isinstance(a, Node) else (b, a)
    return call.build.affine(x, call.floats_of(constant))


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
            wide = build.broadcast(result, torch.broadcast_shapes(result.shape, constant.shape))
            result = build.univariate(wide, lambda rows: function(rows, constant))
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


# ------------------------------------------------------------------------------------- types, bits, order


@HANDLERS.handles("Cast", "CastLike")
def _cast(call: Call) -> Any:
    x, build = call.input(0), call.build
    if not isinstance(x, Node):  # the type alone is that of an encrypted value
        return call.run(
            x, np.zeros(1, dtype=helper.tensor_dtype_to_np_dtype(call.type_of(1) or TensorProto.FLOAT))
        )
    to = call.attributes["to"] if call.proto.op_type == "Cast" else call.type_of(1) or TensorProto.FLOAT
    if to in _FLOATS:
        return x
    if to == TensorProto.BOOL:
        return build.univariate(x, lambda rows: rows != 0)
    if to in INTEGERS and call.type_of() not in _NARROW_FLOATS:
        if call.holds_integers() or call.type_of() == TensorProto.BOOL:
            return _wrapped(call, x, to)
        return build.univariate(x, torch.trunc)
    if to in _NARROW_FLOATS:
        return build.univariate(
            x, lambda rows: rounded_to(rows, to, bool(call.attributes.get("saturate", 1)))
        )
    name = TensorProto.DataType.Name(to)
    raise build.unsupported(f"it casts to {name}", "float, an integer type or bool")


def _wrapped(call: Call, x: Node, to: int) -> Node:
    """Append integers of another type, which wrap around only where the types' ranges make them."""
    (low, high), (least, most) = INTEGERS[to], INTEGERS.get(call.type_of(), (0, 1))
    if (low <= least and most <= high) or not (
        bool((x.reference < low).any()) or bool((x.reference > high).any())
    ):
        return x
    n = float(high - low + 1)
    return call.build.univariate(x, lambda rows: torch.remainder(rows - low, n) + low)


def rounded_to(floats: Tensor, to: int, saturates: bool) -> Tensor:
    """Round to a type of few bits, by way of single precision, as onnx does."""
    proto = helper.make_node(
        "Cast", ["x"], ["y"], to=to, **({} if to == _FLOAT4 else {"saturate": int(saturates)})
    )
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "xy"]
    graph = helper.make_graph([proto], "cast", value[:1], value[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", defs.onnx_opset_version())])
    (found,) = ReferenceEvaluator(model).run(None, {"x": floats.numpy().astype(np.float32)})
    return torch.from_numpy(np.asarray(found).astype(np.float64))


@HANDLERS.handles("BitShift")
def _bit_shift(call: Call) -> Node:
    left = call.attributes["direction"] == "LEFT"
    return call.elementwise(lambda a, b, **_: a * 2**b if left else torch.floor(a / 2**b), "")


@HANDLERS.handles("BitwiseNot")
def _bitwise_not(call: Call) -> Node:
    low, high = INTEGERS[call.type_of()]
    return call.build.affine(call.encrypted(), -1.0, float(low + high))


@HANDLERS.handles("BitCast")
def _bit_cast(call: Call) -> Node:
    kind = helper.tensor_dtype_to_np_dtype(call.type_of())
    return call.build.univariate(
        call.encrypted(), lambda rows: double(call.run(rows.numpy().astype(kind))[0])
    )


@HANDLERS.handles("IsInf")
def _is_infinite(call: Call) -> Node:
    negative, positive = call.attributes["detect_negative"], call.attributes["detect_positive"]
    return call.build.univariate(
        call.encrypted(),
        lambda rows: torch.isinf(rows) & ((rows > 0) if not negative else (rows < 0) | bool(positive)),
    )
