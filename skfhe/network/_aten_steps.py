"""The operators of ATen that run after decryption, as steps of tails; `skfhe.network._aten` traces to them.

A writer gets a tape, and the arguments of the operator, in which values on the tape stand for tensors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skfhe.network._tape import Tape

__all__ = [
    "MOVEMENT",
    "NAMES",
    "WRITERS",
    "OnTape",
    "UntraceableError",
    "apply",
    "flat",
    "moved",
    "number_of",
]


class UntraceableError(Exception):
    """A function cannot be written as a tail; the message says which operator is in the way."""


@dataclass(frozen=True)
class OnTape:
    """A value on the tape, as opposed to a number."""

    number: int


def flat(value: Any) -> list[Any]:
    if isinstance(value, list | tuple):
        return [leaf for item in value for leaf in flat(item)]
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in flat(item)]
    return [value]


def number_of(tape: Tape, value: Any) -> int:
    """Return the number of a value, which a constant gets by being written."""
    if isinstance(value, OnTape):
        return value.number
    if isinstance(value, Tensor):
        return tape.constant(value.detach().numpy())
    if isinstance(value, bool | int | float):
        return tape.constant(value)
    raise UntraceableError(f"it takes {value!r}, which is no number")


def apply(tape: Tape, function: str, *arguments: Any) -> OnTape:
    return OnTape(tape.elementwise(function, *(number_of(tape, x) for x in arguments)))


def _shape(tape: Tape, x: OnTape) -> tuple[int, ...]:
    return tape.shapes[x.number]


# Functions of elements.

NAMES: dict[str, tuple[str, int]] = {
    **{name: (name, 1) for name in ("exp", "exp2", "expm1", "log", "log10", "log1p", "log2", "sqrt")},
    **{name: (name, 1) for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh", "erf", "erfc", "sign")},
    **{name: (name, 1) for name in ("ceil", "floor", "trunc", "isnan", "isinf", "reciprocal")},
    **{name: (f"arc{name[1:]}", 1) for name in ("acos", "acosh", "asin", "asinh", "atan", "atanh")},
    **{name: (name, 2) for name in ("copysign", "fmod", "hypot", "maximum", "minimum", "remainder")},
    **{f"logical_{name}": (f"logical_{name}", 2) for name in ("and", "or", "xor")},
    **{f"bitwise_{name}": (f"logical_{name}", 2) for name in ("and", "or", "xor")},
    "abs": ("absolute", 1),
    "logical_not": ("logical_not", 1),
    "bitwise_not": ("logical_not", 1),
    "neg": ("negative", 1),
    "sigmoid": ("logistic", 1),
    "atan2": ("arctan2", 2),
    "mul": ("multiply", 2),
    "pow": ("power", 2),
    "eq": ("equal", 2),
    "ge": ("greater_equal", 2),
    "gt": ("greater", 2),
    "le": ("less_equal", 2),
    "lt": ("less", 2),
    "ne": ("not_equal", 2),
    "where": ("where", 3),
}
"""Operators that are one function of elements: its name here, and how many values it takes."""

WRITERS: dict[str, Callable[..., Any]] = {}


def _writes(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def register(writer: Callable[..., Any]) -> Callable[..., Any]:
        WRITERS.update(dict.fromkeys(names, writer))
        return writer

    return register


@_writes("clone", "alias", "detach", "lift_fresh_copy", "contiguous")
def _same(tape: Tape, x: Any, **kwargs: Any) -> Any:
    return x


@_writes("copy")
def _copy(tape: Tape, x: Any, source: Any, *rest: Any) -> OnTape:
    shape = _shape(tape, x) if isinstance(x, OnTape) else tuple(x.shape)
    number = number_of(tape, source)
    size = math.prod(tape.shapes[number])
    return OnTape(tape.take(number, np.broadcast_to(np.arange(size).reshape(tape.shapes[number]), shape)))


@_writes("_to_copy")
def _cast(tape: Tape, x: Any, dtype: Any = None, **kwargs: Any) -> Any:
    if dtype is None:
        return x
    if dtype == torch.bool:
        return apply(tape, "truth", x)
    return apply(tape, "float" if dtype.is_floating_point else "integer", x)


@_writes("add")
def _add(tape: Tape, a: Any, b: Any, alpha: Any = 1) -> OnTape:
    return apply(tape, "add", a, b if alpha == 1 else apply(tape, "multiply", b, alpha))


@_writes("sub")
def _subtract(tape: Tape, a: Any, b: Any, alpha: Any = 1) -> OnTape:
    return apply(tape, "subtract", a, b if alpha == 1 else apply(tape, "multiply", b, alpha))


@_writes("div")
def _divide(tape: Tape, a: Any, b: Any, rounding_mode: str | None = None) -> OnTape:
    quotient = apply(tape, "divide", a, b)
    return quotient if rounding_mode is None else apply(tape, rounding_mode, quotient)


@_writes("clamp")
def _clamp(tape: Tape, x: Any, low: Any = None, high: Any = None) -> Any:
    x = x if low is None else apply(tape, "maximum", x, low)
    return x if high is None else apply(tape, "minimum", x, high)


@_writes("clamp_min")
def _clamp_min(tape: Tape, x: Any, low: Any) -> Any:
    return _clamp(tape, x, low)


@_writes("clamp_max")
def _clamp_max(tape: Tape, x: Any, high: Any) -> Any:
    return _clamp(tape, x, None, high)


@_writes("hardtanh")
def _hardtanh(tape: Tape, x: Any, low: float = -1.0, high: float = 1.0) -> Any:
    return _clamp(tape, x, low, high)


@_writes("round")
def _round(tape: Tape, x: Any, decimals: int = 0) -> OnTape:
    if decimals == 0:
        return apply(tape, "round", x)
    return apply(
        tape, "divide", apply(tape, "round", apply(tape, "multiply", x, 10.0**decimals)), 10.0**decimals
    )


@_writes("relu")
def _relu(tape: Tape, x: Any) -> OnTape:
    return apply(tape, "maximum", x, 0.0)


@_writes("leaky_relu")
def _leaky_relu(tape: Tape, x: Any, slope: float = 0.01) -> OnTape:
    return apply(tape, "where", apply(tape, "greater", x, 0.0), x, apply(tape, "multiply", x, slope))


@_writes("elu")
def _elu(tape: Tape, x: Any, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> OnTape:
    below = apply(tape, "multiply", apply(tape, "expm1", apply(tape, "multiply", x, input_scale)), alpha)
    return apply(tape, "multiply", apply(tape, "where", apply(tape, "greater", x, 0.0), x, below), scale)


@_writes("gelu")
def _gelu(tape: Tape, x: Any, approximate: str = "none") -> OnTape:
    if approximate == "none":
        share = apply(tape, "erf", apply(tape, "multiply", x, math.sqrt(0.5)))
    else:
        cube = apply(tape, "multiply", apply(tape, "power", x, 3.0), 0.044715)
        inner = apply(tape, "multiply", apply(tape, "add", x, cube), math.sqrt(2 / math.pi))
        share = apply(tape, "tanh", inner)
    half = apply(tape, "multiply", apply(tape, "add", share, 1.0), 0.5)
    return apply(tape, "multiply", x, half)


@_writes("rsqrt")
def _rsqrt(tape: Tape, x: Any) -> OnTape:
    return apply(tape, "reciprocal", apply(tape, "sqrt", x))


@_writes("full_like")
def _full_like(tape: Tape, x: OnTape, value: Any, **kwargs: Any) -> Tensor:
    return torch.full(_shape(tape, x), value, dtype=kwargs.get("dtype"))


# Functions of several elements.


def _axes(tape: Tape, x: OnTape, dims: Any) -> list[int]:
    if isinstance(dims, int):
        return [dims]
    return list(range(len(_shape(tape, x)))) if dims is None or not len(dims) else list(dims)


def _over(function: str) -> Callable[..., OnTape]:
    def write(tape: Tape, x: OnTape, dims: Any = None, keepdim: bool = False, **kwargs: Any) -> OnTape:
        axes = _axes(tape, x, dims)
        return OnTape(tape.over(function, x.number, axes, keepdim)) if _shape(tape, x) else x

    return write


for _name, _function in (
    *(("sum", "sum"), ("mean", "mean"), ("amax", "max"), ("amin", "min"), ("prod", "prod")),
    *(("any", "any"), ("all", "all")),
):
    WRITERS[_name] = _over(_function)


def _positions(function: str) -> Callable[..., OnTape]:
    def write(tape: Tape, x: OnTape, dim: int | None = None, keepdim: bool = False) -> OnTape:
        if dim is None:
            x, dim = OnTape(tape.reshape(x.number, (math.prod(_shape(tape, x)),))), 0
        return OnTape(tape.over(function, x.number, [dim], keepdim))

    return write


WRITERS["argmax"], WRITERS["argmin"] = _positions("argmax"), _positions("argmin")


def _extremum(function: str) -> Callable[..., tuple[OnTape, OnTape]]:
    def write(tape: Tape, x: OnTape, dim: int, keepdim: bool = False) -> tuple[OnTape, OnTape]:
        values = tape.over(function, x.number, [dim], keepdim)
        return OnTape(values), OnTape(tape.over(f"arg{function}", x.number, [dim], keepdim))

    return write


WRITERS["max"], WRITERS["min"] = _extremum("max"), _extremum("min")


def _along(function: str) -> Callable[..., OnTape]:
    def write(tape: Tape, x: OnTape, dim: int, *rest: Any, **kwargs: Any) -> OnTape:
        return OnTape(tape.along(function, x.number, dim)) if _shape(tape, x) else x

    return write


for _name in ("softmax", "log_softmax"):
    WRITERS[f"_{_name}"] = _along(_name)
WRITERS["cumsum"], WRITERS["cumprod"] = _along("cumsum"), _along("cumprod")


WRITERS["cummax"] = lambda tape, x, dim: (_along("cummax")(tape, x, dim), None)
WRITERS["cummin"] = lambda tape, x, dim: (_along("cummin")(tape, x, dim), None)


@_writes("sort")
def _sort(tape: Tape, x: OnTape, *args: Any, **kwargs: Any) -> tuple[OnTape, OnTape]:
    given = [v for v in args if isinstance(v, bool) or v is None], [v for v in args if type(v) is int]
    dim = kwargs.get("dim", given[1][0] if given[1] else -1)
    flags = given[0][1:] if len(args) > 1 and (isinstance(args[0], bool) or args[0] is None) else given[0]
    descending = "_descending" if kwargs.get("descending", bool(flags and flags[0])) else ""
    found = (tape.along(f"{what}{descending}", x.number, dim) for what in ("sort", "argsort"))
    values, positions = found
    return OnTape(values), OnTape(positions)


@_writes("topk")
def _topk(
    tape: Tape, x: OnTape, k: int, dim: int = -1, largest: bool = True, *rest: Any, **kwargs: Any
) -> tuple[OnTape, ...]:
    both = _sort(tape, x, dim=dim, descending=largest)
    return tuple(_first(tape, each, dim, 0, k) for each in both)


def _first(tape: Tape, x: OnTape, dim: int, start: int, end: int) -> OnTape:
    shape = _shape(tape, x)
    indices = np.arange(math.prod(shape)).reshape(shape)
    return OnTape(tape.take(x.number, np.take(indices, np.arange(start, end), axis=dim)))


@_writes("kthvalue")
def _kth(tape: Tape, x: OnTape, k: int, dim: int = -1, keepdim: bool = False) -> tuple[OnTape, ...]:
    both = _sort(tape, x, dim=dim)
    found = [_first(tape, each, dim, k - 1, k) for each in both]
    if keepdim:
        return tuple(found)
    shape = tuple(np.delete(_shape(tape, found[0]), dim))
    return tuple(OnTape(tape.reshape(each.number, shape)) for each in found)


@_writes("median")
def _median(tape: Tape, x: OnTape, dim: int | None = None, keepdim: bool = False) -> Any:
    if dim is None:
        flat = OnTape(tape.reshape(x.number, (math.prod(_shape(tape, x)),)))
        return _kth(tape, flat, (_shape(tape, flat)[0] + 1) // 2, 0)[0]
    return _kth(tape, x, (_shape(tape, x)[dim] + 1) // 2, dim, keepdim)


@_writes("var")
def _variance(tape: Tape, x: OnTape, dims: Any = None, correction: Any = 1, keepdim: bool = False) -> OnTape:
    axes = _axes(tape, x, dims)
    count = math.prod(_shape(tape, x)[axis] for axis in axes)
    mean = OnTape(tape.over("mean", x.number, axes, True))
    centred = apply(tape, "subtract", x, mean)
    total = tape.over("sum", apply(tape, "multiply", centred, centred).number, axes, keepdim)
    return apply(tape, "divide", OnTape(total), max(0.0, count - (1 if correction is None else correction)))


@_writes("linalg_vector_norm")
def _norm(
    tape: Tape, x: OnTape, order: float = 2.0, dims: Any = None, keepdim: bool = False, **kwargs: Any
) -> OnTape:
    axes, size = _axes(tape, x, dims), apply(tape, "absolute", x)
    if math.isinf(order):
        return OnTape(tape.over("max" if order > 0 else "min", size.number, axes, keepdim))
    if order == 0:
        return OnTape(tape.over("sum", apply(tape, "not_equal", x, 0.0).number, axes, keepdim))
    powers = size if order == 1 else apply(tape, "power", size, float(order))
    total = OnTape(tape.over("sum", powers.number, axes, keepdim))
    if order == 1:
        return total
    return apply(tape, "sqrt", total) if order == 2 else apply(tape, "power", total, 1 / order)


def _standardized(tape: Tape, x: OnTape, axes: list[int], epsilon: float) -> OnTape:
    mean = OnTape(tape.over("mean", x.number, axes, True))
    centred = apply(tape, "subtract", x, mean)
    variance = _variance(tape, x, axes, 0, True)
    return apply(tape, "multiply", centred, _rsqrt(tape, apply(tape, "add", variance, epsilon)))


@_writes("native_layer_norm")
def _layer_norm(tape: Tape, x: OnTape, shape: Any, weight: Any, bias: Any, epsilon: float) -> Any:
    rank = len(_shape(tape, x))
    result = _standardized(tape, x, list(range(rank - len(shape), rank)), epsilon)
    result = result if weight is None else apply(tape, "multiply", result, weight)
    return (result if bias is None else apply(tape, "add", result, bias), None, None)


@_writes("native_group_norm")
def _group_norm(
    tape: Tape, x: OnTape, weight: Any, bias: Any, n: int, c: int, size: int, groups: int, epsilon: float
) -> Any:
    shape = _shape(tape, x)
    grouped = OnTape(tape.reshape(x.number, (n, groups, -1)))
    result = OnTape(tape.reshape(_standardized(tape, grouped, [2], epsilon).number, shape))
    across = (c, *(1,) * (len(shape) - 2))
    result = result if weight is None else apply(tape, "multiply", result, weight.reshape(across))
    return (result if bias is None else apply(tape, "add", result, bias.reshape(across)), None, None)


@_writes("_cdist_forward")
def _distances(tape: Tape, a: Any, b: Any, order: float, mode: Any = None) -> OnTape:
    left, right = (OnTape(number_of(tape, x)) for x in (a, b))
    rows, columns = _shape(tape, left), _shape(tape, right)
    first = OnTape(tape.reshape(left.number, (*rows[:-1], 1, rows[-1])))
    second = OnTape(tape.reshape(right.number, (*columns[:-2], 1, *columns[-2:])))
    return _norm(tape, apply(tape, "subtract", first, second), order, [-1])


@_writes("gather")
def _gather(tape: Tape, x: Any, dim: int, index: Any, **kwargs: Any) -> OnTape:
    return OnTape(tape.gather(number_of(tape, x), number_of(tape, index), dim))


@_writes("cat")
def _cat(tape: Tape, parts: Sequence[Any], dim: int = 0) -> OnTape:
    return OnTape(tape.join([number_of(tape, part) for part in parts], dim))


@_writes("mm", "bmm")
def _matmul(tape: Tape, a: Any, b: Any) -> OnTape:
    return OnTape(tape.matmul(number_of(tape, a), number_of(tape, b)))


@_writes("addmm")
def _addmm(tape: Tape, bias: Any, a: Any, b: Any, beta: Any = 1, alpha: Any = 1) -> OnTape:
    product = apply(tape, "multiply", _matmul(tape, a, b), alpha) if alpha != 1 else _matmul(tape, a, b)
    return apply(tape, "add", product, bias if beta == 1 else apply(tape, "multiply", bias, beta))


# Movements.

MOVEMENT = frozenset(
    (
        *("view", "_unsafe_view", "reshape", "permute", "transpose", "t", "expand", "slice", "select"),
        *("squeeze", "unsqueeze", "flip", "roll", "repeat", "as_strided", "unfold", "constant_pad_nd"),
        *("index", "index_select", "diagonal", "split", "split_with_sizes", "unbind", "narrow"),
        *("slice_scatter", "select_scatter", "diagonal_scatter", "index_put", "view_copy"),
    )
)


def _indexed(tape: Tape, values: Any, indices: Sequence[Any]) -> OnTape:
    """Append elements at positions that are values themselves, counted on the first axes."""
    x = OnTape(number_of(tape, values))
    if any(index is None for index in indices):
        raise UntraceableError("'index' reads positions that are no constants, on axes behind another")
    shape = _shape(tape, x)
    sizes = [math.prod(shape[axis + 1 :]) for axis in range(len(indices))]
    rest = shape[len(indices) :]
    position: Any = 0
    for index, size, length in zip(indices, sizes, shape, strict=False):
        from_end = apply(tape, "add", index, length)
        own = apply(tape, "where", apply(tape, "less", index, 0), from_end, index)
        position = apply(tape, "add", position, apply(tape, "multiply", own, size))
    where = _shape(tape, position)
    column = OnTape(tape.reshape(position.number, (*where, *(1,) * len(rest))))
    every = apply(tape, "add", column, torch.arange(math.prod(rest)).reshape(rest))
    flat = OnTape(tape.reshape(every.number, (-1,)))
    found = tape.gather(tape.reshape(x.number, (-1,)), flat.number, 0)
    return OnTape(tape.reshape(found, (*where, *rest)))


def moved(tape: Tape, target: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """Append what an operator does that only moves elements: it is applied to their positions."""
    name = getattr(target, "__name__", "").split(".")[0]
    if name.startswith("index") and any(
        isinstance(x, OnTape) for x in flat(args[1 : 2 + (name == "index_select")])
    ):
        if name != "index":
            raise UntraceableError(f"{name!r} reads positions that are no constants")
        return _indexed(tape, args[0], args[1])
    args, kwargs = _mapped(
        (args, kwargs),
        lambda x: OnTape(number_of(tape, x)) if isinstance(x, Tensor) and x.is_floating_point() else x,
    )
    values = list(dict.fromkeys(x for x in flat((args, kwargs)) if isinstance(x, OnTape)))
    sizes = [math.prod(_shape(tape, x)) for x in values]
    starts = np.cumsum([0, *sizes])
    source = values[0].number
    if len(values) > 1:
        source = tape.join([tape.reshape(x.number, (n,)) for x, n in zip(values, sizes, strict=True)], 0)
    positions = {
        x: torch.arange(start + 1, start + n + 1).reshape(_shape(tape, x))
        for x, start, n in zip(values, starts, sizes, strict=False)
    }
    fill = 0.0
    if name == "constant_pad_nd":
        fill = float(args[2]) if len(args) > 2 else 0.0
        args = args[:2]
    own, named = _mapped((args, kwargs), lambda x: positions.get(x, x) if isinstance(x, OnTape) else x)
    found = target(*own, **named)
    taken = [
        OnTape(tape.take(source, each.numpy() - 1, fill))
        for each in (found if isinstance(found, tuple | list) else [found])
    ]
    return taken if isinstance(found, tuple | list) else taken[0]


def _mapped(value: Any, function: Callable[[Any], Any]) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(_mapped(item, function) for item in value)
    if isinstance(value, dict):
        return {key: _mapped(item, function) for key, item in value.items()}
    return function(value)
