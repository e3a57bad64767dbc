"""ONNX operators that move elements, and those that take some by constant indices."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from onnx import helper
from torch import Tensor

from skfhe._typing import Array
from skfhe.importers._handlers import HandlerTable
from skfhe.importers._onnx.call import EVALUATED_AS, Call, evaluated
from skfhe.importers._onnx.linear_maps import linear_map
from skfhe.network import Node, composed

__all__ = ["HANDLERS"]

HANDLERS = HandlerTable()
"""For calls that have an encrypted input."""


# ------------------------------------------------------------------------------------------------ shapes


@HANDLERS.handles("Shape")
def _shape(call: Call) -> Array:
    shape = np.array(_sizes(call, call.encrypted()), dtype=np.int64)
    return shape[call.attributes.get("start", 0) : call.attributes.get("end")]


def _sizes(call: Call, x: Node) -> tuple[int, ...]:
    """Return the shape that a value has in the graph."""
    return (call.rows, *x.shape[1:]) if x.shape[:1] == (1,) else x.shape


@HANDLERS.handles("Size")
def _size(call: Call) -> Array:
    return np.array(np.prod(_sizes(call, call.encrypted()), dtype=np.int64), dtype=np.int64)


@HANDLERS.handles("EyeLike")
def _eye_like(call: Call) -> Array:
    return call.run(np.zeros(call.encrypted().shape, dtype=np.float32))[0]


@HANDLERS.handles("ReverseSequence")
def _reverse_sequence(call: Call) -> Any:
    return call.move()


@HANDLERS.handles("OptionalHasElement")
def _has_element(call: Call) -> Array:
    return np.array(True)


@HANDLERS.handles("Identity", "OptionalGetElement")
def _identity(call: Call) -> Node:
    return call.encrypted()


@HANDLERS.handles("Dropout")
def _dropout(call: Call) -> Any:
    training, ratio = call.constant(2), call.constant(1)
    if training is not None and bool(np.all(training)) and not (ratio is not None and float(ratio) == 0.0):
        raise call.build.unsupported("it is in training mode", "the network in evaluation mode")
    x = call.encrypted()
    return [x, np.ones(x.shape, dtype=bool)]


# ---------------------------------------------------------------------------------------------- movement


@HANDLERS.handles("Gather")
def _gather(call: Call) -> Any:
    data, indices = call.inputs
    if not isinstance(indices, Node):
        return call.move()
    if isinstance(data, Node):
        raise call.build.unsupported(
            "its inputs are both encrypted", "one-hot rows and MatMul, or constant indices"
        )
    axis = call.attributes["axis"] % data.ndim
    table = torch.from_numpy(np.moveaxis(data, axis, 0).astype(np.float64))
    n, width = len(table), int(np.prod(table.shape[1:], dtype=np.int64))
    rank = len(indices.shape)
    raised = call.build.move(indices, lambda t: t[..., None])
    if width <= n:
        flat = table.reshape(n, width).T.contiguous()
        column = torch.arange(width)
        wide = call.build.broadcast(raised, (*indices.shape, width))
        found = call.build.univariate(wide, lambda i: flat[column, _as_index(i, n)])
    else:
        chosen = torch.arange(n, dtype=torch.float64)
        wide = call.build.broadcast(raised, (*indices.shape, n))
        one_hot = call.build.univariate(wide, lambda i: (_as_index(i, n) == chosen).double())
        found = call.build.linear(one_hot, table.reshape(n, width))
    shape = (*indices.shape, *table.shape[1:])
    order = [*range(rank, rank + axis), *range(rank), *range(rank + axis, len(shape))]
    return call.build.move(found, lambda t: t.reshape(shape).permute(order))


def _as_index(i: Tensor, n: int) -> Tensor:
    """Return indices as they count from the start."""
    i = torch.nan_to_num(i).round()
    return torch.where(i < 0, i + n, i).clamp(0, n - 1).long()


@HANDLERS.handles("OneHot")
def _one_hot(call: Call) -> Node:
    indices, values = call.encrypted(0), call.given(2)
    depth, axis = int(call.given(1)), call.attributes["axis"]
    off, on = (float(v) for v in values)
    axis = axis % (len(indices.shape) + 1)
    place = torch.arange(depth, dtype=torch.float64).reshape(-1, *(1,) * (len(indices.shape) - axis))
    raised = call.build.move(indices, lambda t: t.unsqueeze(axis))
    wide = call.build.broadcast(raised, (*indices.shape[:axis], depth, *indices.shape[axis:]))
    return call.build.univariate(
        wide, lambda i: torch.where(torch.where(i < 0, i + depth, i) == place, on, off)
    )


@HANDLERS.handles("Compress")
def _compress(call: Call) -> Any:
    if isinstance(call.inputs[1], Node):
        raise call.build.unsupported(
            "the shape of its result depends on its input 'condition', which is encrypted",
            "Where, which keeps the shape,",
        )
    return call.move()


@HANDLERS.handles("Concat")
def _concat(call: Call) -> Node:
    first = call.nodes[0]
    axis = call.axis(first, call.attributes["axis"])
    parts = [call.node(i) for i, v in enumerate(call.inputs) if 0 not in v.shape]
    return call.build.concatenate(parts, axis) if len(parts) > 1 else parts[0]


@HANDLERS.handles("MaxUnpool")
def _max_unpool(call: Call) -> Any:
    x, indices = call.encrypted(0), call.given(1).long()
    shape = call.constant(2)
    found = call.run(np.zeros(x.shape, dtype=np.float32), call.inputs[1])[0].shape
    wanted = found if shape is None else tuple(int(n) for n in shape)
    size = int(np.prod(wanted))

    def spread(t: Tensor) -> Tensor:
        flat = torch.zeros(size, dtype=t.dtype)
        flat[indices.flatten()] = t.flatten()
        return flat.reshape(wanted)

    if shape is not None and found != wanted:  # indices count within the smaller result
        places = torch.arange(1, int(np.prod(found)) + 1).reshape(found)
        corner = tuple(slice(0, n) for n in found)
        whole = torch.zeros(wanted, dtype=torch.int64)
        whole[corner] = places
        order = torch.zeros(int(np.prod(found)), dtype=torch.int64)
        order[whole[whole > 0] - 1] = (whole.flatten() > 0).nonzero().flatten()
        indices = order[indices]
    return call.build.move(x, spread)


@HANDLERS.handles("Pad")
def _pad(call: Call) -> Node:
    x, rank = call.encrypted(), len(call.encrypted().shape)
    if call.opset < 11:
        pads, fill = list(call.attributes["pads"]), call.attributes["value"]
        axes = list(range(rank))
    else:
        pads = call.given(1).long().tolist()
        value, chosen = call.floats(2), call.constant(3)
        fill = 0.0 if value is None or not value.numel() else float(value)
        axes = list(range(rank)) if chosen is None else [int(a) % rank for a in chosen]
    width = [(0, 0)] * rank
    for axis, before, after in zip(axes, pads[: len(axes)], pads[len(axes) :], strict=True):
        width[axis] = (int(before), int(after))
    cropped = tuple(
        slice(max(0, -before), size - max(0, -after))
        for (before, after), size in zip(width, x.shape, strict=True)
    )
    added = [(max(0, before), max(0, after)) for before, after in width]
    mode: Any = call.attributes["mode"]
    return call.build.move(
        x, lambda t: torch.from_numpy(np.pad(t.numpy()[cropped], added, mode=mode)), fill=fill
    )


@HANDLERS.handles("Resize", "Upsample")
def _resize(call: Call) -> Node:
    x, attributes, build = call.encrypted(), call.attributes, call.build
    rank = len(x.shape)
    old = call.proto.op_type == "Upsample" or call.opset < 11
    mode = "linear" if attributes["mode"] == "bilinear" else attributes["mode"]
    scales = attributes["scales"] if "scales" in attributes else call.constant(1 if old else 2)
    sizes = None if old else call.constant(3)
    by_size = scales is None or not len(scales)
    values = sizes if by_size else scales
    if values is None or not len(values):
        raise build.unsupported("it has neither scales nor sizes", "one of them as a constant")
    before = _sizes(call, x) if by_size else (1,) * rank
    axes = [int(axis) % rank for axis in attributes.get("axes") or range(rank)]
    changed = {axis: v for axis, v in zip(axes, values, strict=True) if v != before[axis]}
    crops = attributes.get("coordinate_transformation_mode") == "tf_crop_and_resize"
    keeps = attributes.get("keep_aspect_ratio_policy", "stretch")
    if crops or keeps != "stretch":
        changed = dict(zip(axes, values, strict=True))
    if not changed:
        return x
    passed = (
        *("cubic_coeff_a", "exclude_outside", "antialias", "extrapolation_value"),
        "keep_aspect_ratio_policy",
    )
    proto = helper.make_node(
        "Resize",
        ["x", "roi" if crops else "", "", "changed"] if by_size else ["x", "roi" if crops else "", "changed"],
        ["y"],
        axes=[axis + 1 for axis in changed],
        mode=mode,
        coordinate_transformation_mode=(
            "asymmetric" if old else attributes["coordinate_transformation_mode"]
        ),
        nearest_mode=attributes.get("nearest_mode", "floor"),
        **{name: attributes[name] for name in passed if name in attributes},
    )
    feeds: dict[str, Any] = {
        "changed": np.array(list(changed.values()), dtype=np.int64 if by_size else np.float32)
    }
    if crops:
        feeds["roi"] = call.constant(1)

    def resized(several: Tensor) -> Tensor:
        found = evaluated(proto, {"x": several.numpy(), **feeds}, max(call.opset, EVALUATED_AS), build)
        return torch.from_numpy(found[0])

    if mode == "nearest" and not crops:
        return build.move(x, lambda t: resized(t[None])[0])
    return linear_map(build, x, resized)


# ---------------------------------------------------------------------------------------------- scattering


@HANDLERS.handles("ScatterElements", "Scatter", "ScatterND", "TensorScatter")
def _scatter(call: Call) -> Node:
    """Append a tensor with parts of another one in it, at constant places."""
    name = call.proto.op_type
    at, what = (2, 1) if name == "TensorScatter" else (1, 2)
    data, updates = call.node(0), call.node(what)
    indices = None if call.constant(at) is None else call.floats_of(call.inputs[at]).long().numpy()
    reduction = call.attributes.get("reduction", "none")

    def placed(a: Tensor, b: Tensor, reduction: str = "none") -> Tensor:
        given = [a.numpy(), None, b.numpy()]
        if name == "TensorScatter":
            given = [a.numpy(), b.numpy(), indices]
        else:
            given[1] = indices
        proto = _with_reduction(call, reduction)
        feeds = {f"i{i}": v for i, v in enumerate(given) if v is not None}
        return torch.from_numpy(evaluated(proto, feeds, max(call.opset, 16), call.build)[0])

    if reduction in (None, "none"):
        return call.build.arrange(placed, data, updates)
    functions: dict[str, tuple[Any, str]] = {
        "add": (torch.add, "add"),
        "mul": (torch.mul, "multiply"),
        "max": (torch.maximum, "maximum"),
        "min": (torch.minimum, "minimum"),
    }
    function, kind = functions[reduction]
    n = int(np.prod(updates.shape, dtype=np.int64))
    target = _targets(lambda a, b: placed(a, b, "add"), data.shape, updates.shape)
    flat, parts = (call.build.move(v, lambda t: t.reshape(-1)) for v in (data, updates))
    while len(target):
        _, first = np.unique(target, return_index=True)
        taken, places = torch.from_numpy(first), torch.from_numpy(target[first])
        old = composed.picked(call.build, flat, places)
        new = composed.picked(call.build, parts, taken)
        both = call.build.elementwise(function, old, new, kind=kind)

        def put(a: Tensor, b: Tensor, places: Tensor = places) -> Tensor:
            return a.index_put((places,), b)

        flat = call.build.arrange(put, flat, both)
        rest = torch.from_numpy(np.setdiff1d(np.arange(n), first))
        parts = composed.picked(call.build, parts, rest)
        target, n = target[rest.numpy()], len(rest)
    return call.build.move(flat, lambda t: t.reshape(data.shape))


def _with_reduction(call: Call, reduction: str) -> Any:
    kept = {a.name: helper.get_attribute_value(a) for a in call.proto.attribute if a.name != "reduction"}
    names = [f"i{i}" if value is not None else "" for i, value in enumerate(call.inputs)]
    if reduction != "none":
        kept["reduction"] = reduction
    name = call.proto.op_type
    return helper.make_node("ScatterElements" if name == "Scatter" else name, names, ["y"], **kept)


def _targets(added: Any, shape: tuple[int, ...], parts: tuple[int, ...]) -> Array:
    """Return where in the flattened tensor each element of the flattened updates goes."""
    n = int(np.prod(parts, dtype=np.int64))
    nothing = torch.zeros(shape, dtype=torch.float64)
    each = torch.eye(n, dtype=torch.float64).reshape(n, *parts)
    return np.array([int(added(nothing, one).flatten().argmax()) for one in each], dtype=np.int64)
