"""ONNX operators over several elements of a row: reductions, softmax, normalizations, order."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from skfhe.importers._handlers import HandlerTable
from skfhe.importers._onnx.call import Call
from skfhe.network import Node, composed

__all__ = ["HANDLERS"]

HANDLERS = HandlerTable()
"""For calls that have an encrypted input."""
MOST_COMPARED = 64
"""Elements that are ranked or sorted; there is a lookup for each pair of them."""


# -------------------------------------------------------------------------------------------- reductions


@HANDLERS.handles("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd")
def _reduce(call: Call) -> Node:
    return _reduced(call, call.encrypted(), call.proto.op_type)


@HANDLERS.handles("ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp")
def _reduce_function(call: Call) -> Node:
    x, name, build = call.encrypted(), call.proto.op_type, call.build
    if name == "ReduceLogSumExp" and not _is_left_out(call):
        axes = call.axes(x, 1) or list(range(len(x.shape)))
        return composed.log_sum_exp(build, x, axes, bool(call.attributes["keepdims"]))
    before = {"ReduceL1": torch.abs, "ReduceLogSum": None, "ReduceLogSumExp": torch.exp}.get(
        name, torch.square
    )
    after = {"ReduceL2": torch.sqrt, "ReduceLogSum": torch.log, "ReduceLogSumExp": torch.log}.get(name)
    values = x if before is None else build.univariate(x, before)
    total = _reduced(call, values, "ReduceSum")
    return total if after is None else build.univariate(total, after)


def _is_left_out(call: Call) -> bool:
    """Whether a reduction over no axes is asked for."""
    return bool(call.attributes.get("noop_with_empty_axes")) and call.axes(call.encrypted(), 1) is None


def _reduced(call: Call, x: Node, name: str) -> Node:
    build = call.build
    if _is_left_out(call):
        return x
    axes = call.axes(x, 1)
    axes = list(range(len(x.shape))) if axes is None else axes
    keepdim = bool(call.attributes["keepdims"])
    if not axes:
        return x
    if name in ("ReduceMax", "ReduceMin"):
        return build.extremum_over(x, axes, keepdim, largest=name == "ReduceMax")
    if name == "ReduceProd":
        return composed.product(build, x, axes, keepdim)
    if name == "ReduceSum":
        return build.total(x, axes, keepdim)
    mean = composed.mean(build, x, axes, keepdim)
    return build.univariate(mean, torch.trunc) if call.holds_integers() else mean


@HANDLERS.handles("CumProd")
def _cumulative_product(call: Call) -> Node:
    x, build = call.encrypted(0), call.build
    axis = call.axis(x, int(call.given(1)))
    exclusive, reverse = call.attributes["exclusive"], call.attributes["reverse"]
    n = x.shape[axis]
    parts = composed.split(build, x, axis, [1] * n)
    parts = parts[::-1] if reverse else parts
    done = [parts[0]]
    for part in parts[1:]:
        done.append(build.elementwise(torch.mul, done[-1], part, kind="multiply"))
    if exclusive:
        done = [build.constant(x, torch.ones(parts[0].shape, dtype=torch.float64)), *done[:-1]]
    return build.concatenate(done[::-1] if reverse else done, axis) if n > 1 else done[0]


# ------------------------------------------------------------------------------- softmax, normalizations


def _softmax_axes(call: Call, x: Node) -> list[int]:
    axis = call.axis(x, call.attributes["axis"])
    return [axis] if call.opset >= 13 else list(range(axis, len(x.shape)))


@HANDLERS.handles("Softmax", "LogSoftmax")
def _softmax(call: Call) -> Node:
    x = call.encrypted()
    function = composed.softmax if call.proto.op_type == "Softmax" else composed.log_softmax
    return function(call.build, x, _softmax_axes(call, x))


@HANDLERS.handles("LayerNormalization", "RMSNormalization")
def _layer_normalization(call: Call) -> Any:
    x, build, attributes = call.encrypted(0), call.build, call.attributes
    axes = list(range(call.axis(x, attributes["axis"]), len(x.shape)))
    centers = call.proto.op_type == "LayerNormalization"
    epsilon = attributes["epsilon"]
    normal = composed.standardized(build, x, axes, epsilon, about_mean=centers)
    result = _scaled(call, normal, 1, 2)
    wanted = [bool(name) for name in call.proto.output[1:]]
    if not any(wanted):
        return result
    mean = composed.mean(build, x, axes, keepdim=True)
    squares = build.univariate(composed.centered(build, x, axes), torch.square)
    variance = composed.mean(build, squares, axes, keepdim=True)
    return [result, mean, build.univariate(variance, lambda v: torch.rsqrt(v + epsilon))]


def _scaled(call: Call, x: Node, scale: int, bias: int) -> Node:
    """Append a product and a sum with inputs that broadcast against ``x``, be they constants or not."""
    build, factor, offset = call.build, call.input(scale), call.input(bias)
    if factor is not None and not isinstance(factor, Node):
        if not isinstance(offset, Node):
            shift = 0.0 if offset is None else call.floats_of(offset)
            return build.affine(x, call.floats_of(factor), shift)
        x = build.affine(x, call.floats_of(factor))
    elif factor is not None:
        x = build.elementwise(torch.mul, x, factor, kind="multiply")
    if offset is None:
        return x
    if isinstance(offset, Node):
        return build.elementwise(torch.add, x, offset, kind="add")
    return build.affine(x, 1.0, call.floats_of(offset))


@HANDLERS.handles("InstanceNormalization")
def _instance_normalization(call: Call) -> Node:
    x, scale, bias = call.encrypted(0), call.given(1), call.given(2)
    normal = composed.standardized(call.build, x, list(range(2, len(x.shape))), call.attributes["epsilon"])
    across = (-1, *(1,) * (len(x.shape) - 2))
    return call.build.affine(normal, scale.reshape(across), bias.reshape(across))


@HANDLERS.handles("GroupNormalization")
def _group_normalization(call: Call) -> Node:
    x, scale, bias, build = call.encrypted(0), call.given(1), call.given(2), call.build
    groups, shape = call.attributes["num_groups"], x.shape
    apart = build.move(x, lambda t: t.reshape(t.shape[0], groups, -1))
    normal = composed.standardized(build, apart, [2], call.attributes["epsilon"])
    normal = build.move(normal, lambda t: t.reshape(shape))
    across = (-1, *(1,) * (len(shape) - 2))
    return build.affine(normal, scale.reshape(across), bias.reshape(across))


@HANDLERS.handles("MeanVarianceNormalization")
def _mean_variance_normalization(call: Call) -> Node:
    x, build = call.encrypted(), call.build
    axes = [call.axis(x, axis) for axis in call.attributes.get("axes") or (0, 2, 3)]
    deviation = composed.centered(build, x, axes)
    variance = composed.mean(build, build.univariate(deviation, torch.square), axes, keepdim=True)
    inverse = build.univariate(variance, lambda v: 1 / (v.clamp(min=0).sqrt() + 1e-9))
    return build.elementwise(torch.mul, deviation, inverse, kind="multiply")


@HANDLERS.handles("LpNormalization")
def _lp_normalization(call: Call) -> Node:
    x, build, p = call.encrypted(), call.build, call.attributes["p"]
    axis = call.axis(x, call.attributes["axis"])
    sums = composed.absolute_power_sum(build, x, [axis], p, keepdim=True)
    inverse = build.univariate(sums, lambda s: torch.where(s > 0, s ** (-1 / p), torch.zeros_like(s)))
    return build.elementwise(torch.mul, x, inverse, kind="multiply")


@HANDLERS.handles("LRN")
def _local_response_normalization(call: Call) -> Node:
    x, build, attributes = call.encrypted(), call.build, call.attributes
    size, alpha, beta, bias = (attributes[name] for name in ("size", "alpha", "beta", "bias"))
    channel = torch.arange(x.shape[1])
    ahead = channel[:, None] - channel[None]  # of a channel that is read, from the one that is written
    band = (ahead >= -((size - 1) // 2)) & (ahead <= size // 2)
    squares = build.univariate(x, torch.square)
    sums = composed.weighted(build, squares, 1, band.double() * (alpha / size))
    inverse = build.univariate(sums, lambda s: (bias + s) ** -beta)
    return build.elementwise(torch.mul, x, inverse, kind="multiply")


# ------------------------------------------------------------------------------------------------- order


def _few(call: Call, n: int) -> None:
    if n > MOST_COMPARED:
        raise call.build.unsupported(
            f"it compares {n} elements with each other, {n * (n - 1) // 2} lookups",
            f"{MOST_COMPARED} elements at most, or decrypt its argument and apply it in the clear,",
        )


@HANDLERS.handles("ArgMax", "ArgMin")
def _argument(call: Call) -> Node:
    x = call.encrypted()
    axis = call.axis(x, call.attributes["axis"])
    _few(call, x.shape[axis])
    found = composed.argument(
        call.build,
        x,
        axis,
        largest=call.proto.op_type == "ArgMax",
        first=not call.attributes.get("select_last_index"),
    )
    return found if call.attributes["keepdims"] else composed.squeezed(call.build, found, [axis])


@HANDLERS.handles("Hardmax")
def _hardmax(call: Call) -> Node:
    x, build = call.encrypted(), call.build
    axes = _softmax_axes(call, x)
    shape = x.shape
    flat = build.move(
        x, lambda t: t.reshape(*shape[: axes[0]], math.prod(shape[a] for a in axes), *shape[axes[-1] + 1 :])
    )
    _few(call, flat.shape[axes[0]])
    place = composed.ranks(build, flat, axes[0], largest=True)
    chosen = build.univariate(place, lambda r: (r.round() == 0).double())
    return build.move(chosen, lambda t: t.reshape(shape))


@HANDLERS.handles("TopK")
def _top(call: Call) -> Any:
    x, build, attributes = call.encrypted(0), call.build, call.attributes
    k = int(attributes["k"]) if "k" in attributes else int(call.given(1).reshape(()))
    axis, largest = call.axis(x, attributes["axis"]), bool(attributes.get("largest", 1))
    _few(call, x.shape[axis])
    values = composed.sort_few(build, x, axis, largest=largest, count=k)
    if len(call.proto.output) < 2 or not call.proto.output[1]:
        return values
    place = composed.ranks(build, x, axis, largest=largest)
    rest = len(x.shape) - axis - 1
    wanted = torch.arange(k, dtype=torch.float64).reshape(-1, 1, *(1,) * rest)

    def beside(t: Tensor) -> Tensor:
        return t.unsqueeze(axis).expand(*t.shape[:axis], k, *t.shape[axis:])

    chosen = build.univariate(build.move(place, beside), lambda r: (r.round() == wanted).double())
    weight = torch.arange(x.shape[axis], dtype=torch.float64)[:, None]
    found = composed.weighted(build, chosen, axis + 1, weight)
    return [values, composed.squeezed(build, found, [axis + 1])]
