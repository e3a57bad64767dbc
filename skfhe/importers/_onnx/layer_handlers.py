"""ONNX operators on whole tensors: shapes, movement, linear layers, poolings and reductions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from onnx import helper
from torch import Tensor
from torch.nn import functional

from skfhe._typing import Array
from skfhe.importers._handlers import HandlerTable
from skfhe.importers._onnx.call import EVALUATED_AS, Call, double, evaluated
from skfhe.network import Node, Window, layers

__all__ = ["HANDLERS"]

HANDLERS = HandlerTable()
"""For calls that have an encrypted input."""


# ------------------------------------------------------------------------------------------------ shapes


@HANDLERS.handles("Shape")
def _shape(call: Call) -> Array:
    shape = _shape_of(call)
    return shape[call.attributes.get("start", 0) : call.attributes.get("end")]


@HANDLERS.handles("Size")
def _size(call: Call) -> Array:
    return np.array(np.prod(_shape_of(call)), dtype=np.int64)


def _shape_of(call: Call) -> Array:
    """Return the shape of the input, in a graph that was exported for several rows with so many of them."""
    shape = call.encrypted().shape
    return np.array((call.rows, *shape[1:]) if shape[:1] == (1,) else shape, dtype=np.int64)


@HANDLERS.handles("Identity")
def _identity(call: Call) -> Node:
    return call.encrypted()


@HANDLERS.handles("Dropout")
def _dropout(call: Call) -> Node:
    training = call.constant(2)
    if training is not None and bool(np.all(training)):
        raise call.build.unsupported("it is in training mode", "the network in evaluation mode")
    return call.encrypted()


# ---------------------------------------------------------------------------------------------- movement


@HANDLERS.handles("Gather")
def _gather(call: Call) -> list[Node]:
    if isinstance(call.inputs[1], Node):
        raise call.build.unsupported("its input 'indices' is encrypted", "one-hot rows and MatMul")
    return call.move()


@HANDLERS.handles("Concat")
def _concat(call: Call) -> Node:
    first = call.nodes[0]
    axis = call.axis(first, call.attributes["axis"])
    parts = [v if isinstance(v, Node) else call.build.constant(first, call.floats_of(v)) for v in call.inputs]
    return call.build.concatenate(parts, axis)


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
        x, lambda rows: torch.from_numpy(np.pad(rows.numpy()[cropped], added, mode=mode)), fill=fill
    )


@HANDLERS.handles("Resize", "Upsample")
def _resize(call: Call) -> Node:
    x, attributes, build = call.encrypted(), call.attributes, call.build
    rank = len(x.shape)
    old = call.proto.op_type == "Upsample" or call.opset < 11
    scales = attributes["scales"] if "scales" in attributes else call.constant(1 if old else 2)
    sizes = None if old else call.constant(3)
    by_size = scales is None or not len(scales)
    values = sizes if by_size else scales
    if values is None or not len(values):
        raise build.unsupported("it has neither scales nor sizes", "one of them as a constant")
    before = tuple(_shape_of(call)) if by_size else (1,) * rank
    axes = [int(axis) % rank for axis in attributes.get("axes") or range(rank)]
    changed = {axis: v for axis, v in zip(axes, values, strict=True) if v != before[axis]}
    if not changed:
        return x
    mode = "linear" if attributes["mode"] == "bilinear" else attributes["mode"]
    coordinates = "asymmetric" if old else attributes["coordinate_transformation_mode"]
    if coordinates == "tf_crop_and_resize":
        raise build.unsupported("it crops (tf_crop_and_resize)", "Slice, and Resize of its result")
    if attributes.get("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise build.unsupported("it keeps the aspect ratio", "scales")
    passed = ("cubic_coeff_a", "exclude_outside", "antialias")
    proto = helper.make_node(
        "Resize",
        ["x", "", "", "changed"] if by_size else ["x", "", "changed"],
        ["y"],
        axes=list(changed),
        mode=mode,
        coordinate_transformation_mode=coordinates,
        nearest_mode=attributes.get("nearest_mode", "floor"),
        **{name: attributes[name] for name in passed if name in attributes},
    )
    feed = np.array(list(changed.values()), dtype=np.int64 if by_size else np.float32)

    def resized(rows: Tensor) -> Tensor:
        feeds = {"x": rows.numpy(), "changed": feed}
        return torch.from_numpy(evaluated(proto, feeds, max(call.opset, EVALUATED_AS), build)[0])

    return build.move(x, resized) if mode == "nearest" else layers.linear_map(build, x, resized)


# ---------------------------------------------------------------------------------------- linear layers


@HANDLERS.handles("Gemm")
def _gemm(call: Call) -> Node:
    attributes, build = call.attributes, call.build
    x, weight = call.encrypted(0), call.given(1)
    weight = weight.T if attributes["transB"] else weight
    if attributes["transA"]:
        if len(x.shape) == 2 and x.shape[0] != len(weight):
            raise build.unsupported("it transposes the rows (transA=1), and sums over them", "transA=0")
        x = build.move(x, lambda tensor: tensor.T)
    bias = call.inputs[2] if len(call.inputs) > 2 else None
    if bias is None or isinstance(bias, Node):
        product = build.linear(x, attributes["alpha"] * weight)
        if bias is None:
            return product
        return build.elementwise(torch.add, product, build.affine(bias, attributes["beta"]), kind="add")
    row = call.floats_of(bias)
    if row.ndim < 2 or len(row) == 1:
        return build.linear(x, attributes["alpha"] * weight, attributes["beta"] * row.reshape(-1))
    return build.affine(build.linear(x, attributes["alpha"] * weight), 1.0, attributes["beta"] * row)


@HANDLERS.handles("MatMul")
def _matmul(call: Call) -> Node:
    a, b = (v if isinstance(v, Node) else double(v) for v in call.inputs)
    if isinstance(a, Tensor) and b.shape[:1] == (1,) and len(b.shape) == 2 and a.shape[-1] != 1:
        raise call.build.unsupported(
            "a constant on the left multiplies the rows, which are encrypted apart",
            "Gemm with the constant as B",
        )
    return layers.matmul(call.build, a, b)


def _window(call: Call, x: Node, kernel: Sequence[int]) -> Window:
    """Return the window that the attributes of a convolution or pooling describe."""
    n_axes = len(kernel)
    if len(x.shape) != n_axes + 2:
        raise call.build.unsupported(
            f"it has a kernel of {n_axes} axes for a tensor of shape {x.shape}", "shape (n, channels, *axes)"
        )
    strides = list(call.attributes.get("strides") or [1] * n_axes)
    dilation = list(call.attributes.get("dilations") or [1] * n_axes)
    pads = list(call.attributes.get("pads") or [0] * (2 * n_axes))
    padding = list(zip(pads[:n_axes], pads[n_axes:], strict=True))
    auto = call.attributes.get("auto_pad", "NOTSET")
    if auto == "VALID":
        padding = [(0, 0)] * n_axes
    elif auto in ("SAME_UPPER", "SAME_LOWER"):
        padding = []
        for size, k, stride, d in zip(x.shape[2:], kernel, strides, dilation, strict=True):
            total = max(0, (-(-size // stride) - 1) * stride + d * (k - 1) + 1 - size)
            less, more = total // 2, total - total // 2
            padding.append((less, more) if auto == "SAME_UPPER" else (more, less))
    return Window(kernel, strides, padding, dilation)


@HANDLERS.handles("Conv")
def _conv(call: Call) -> Node:
    x, weight = call.encrypted(0), call.given(1)
    window = _window(call, x, list(weight.shape[2:]))
    return layers.convolution(call.build, x, weight, call.floats(2), window, call.attributes["group"])


@HANDLERS.handles("ConvTranspose")
def _conv_transpose(call: Call) -> Node:
    x, weight, bias = call.encrypted(0), call.given(1), call.floats(2)
    n_axes = weight.ndim - 2
    if n_axes not in (1, 2):
        raise call.build.unsupported(f"it has {n_axes} spatial axes", "one or two spatial axes")
    window = _window(call, x, list(weight.shape[2:]))
    added = list(call.attributes.get("output_padding") or [0] * n_axes)
    padding = list(window.padding)
    auto = call.attributes["auto_pad"]
    shape = call.attributes.get("output_shape")
    if auto.startswith("SAME") and not shape:
        shape = [size * stride for size, stride in zip(x.shape[2:], window.strides, strict=True)]
    if shape:
        padding = []
        for axis, wanted in enumerate(list(shape)[-n_axes:]):
            extent = window.dilation[axis] * (window.kernel[axis] - 1) + 1
            total = window.strides[axis] * (x.shape[axis + 2] - 1) + added[axis] + extent - wanted
            less, more = total // 2, total - total // 2
            padding.append((less, more) if auto == "SAME_UPPER" else (more, less))
    crop = [
        n for axis in reversed(range(n_axes)) for n in (-padding[axis][0], added[axis] - padding[axis][1])
    ]
    transpose: Any = functional.conv_transpose1d if n_axes == 1 else functional.conv_transpose2d
    group, strides, dilation = call.attributes["group"], window.strides, window.dilation

    def function(rows: Tensor) -> Tensor:
        whole = transpose(rows, weight, None, strides, 0, 0, group, dilation)
        cropped = functional.pad(whole, crop)
        return cropped if bias is None else cropped + bias.reshape(-1, *(1,) * n_axes)

    return layers.linear_map(call.build, x, function)


@HANDLERS.handles("BatchNormalization")
def _batch_normalization(call: Call) -> Node:
    if call.attributes.get("training_mode", 0):
        raise call.build.unsupported("it is in training mode", "the network in evaluation mode")
    scale, bias, mean, variance = (call.given(index) for index in range(1, 5))
    return layers.batch_norm(
        call.build, call.encrypted(0), scale, bias, mean, variance, call.attributes["epsilon"]
    )


@HANDLERS.handles("CumSum")
def _cumsum(call: Call) -> Node:
    x = call.encrypted(0)
    axis = call.axis(x, int(call.given(1)))
    exclusive, reverse = call.attributes["exclusive"], call.attributes["reverse"]

    def function(rows: Tensor) -> Tensor:
        rows = rows.flip(axis) if reverse else rows
        sums = rows.cumsum(axis) - (rows if exclusive else 0)
        return sums.flip(axis) if reverse else sums

    return layers.linear_map(call.build, x, function)


# ------------------------------------------------------------------------------- poolings and reductions


@HANDLERS.handles("AveragePool")
def _average_pool(call: Call) -> Node:
    x = call.encrypted()
    declared = _window(call, x, list(call.attributes["kernel_shape"]))
    window = declared.with_ceil(x.shape[2:]) if call.attributes.get("ceil_mode") else declared
    share = torch.ones((), dtype=torch.float64)
    for axis, size in enumerate(x.shape[2:]):
        kernel, stride, dilation = window.kernel[axis], window.strides[axis], window.dilation[axis]
        (before, after), (_, end) = declared.padding[axis], window.padding[axis]
        starts = torch.arange(0, before + size + end - dilation * (kernel - 1), stride)
        read = starts[:, None] + dilation * torch.arange(kernel)
        inside = (read >= before) & (read < before + size)
        counted = read < before + size + after if call.attributes.get("count_include_pad") else inside
        share = share[..., None] * (inside.sum(dim=1) / counted.sum(dim=1).double())
    return layers.average_pool(call.build, x, window, lambda ones: share.expand(1, 1, *share.shape))


@HANDLERS.handles("MaxPool")
def _max_pool(call: Call) -> Node:
    x = call.encrypted()
    window = _window(call, x, list(call.attributes["kernel_shape"]))
    if call.attributes.get("ceil_mode"):
        window = window.with_ceil(x.shape[2:])
    return layers.max_pool(call.build, x, window)


@HANDLERS.handles("GlobalAveragePool", "GlobalMaxPool")
def _global_pool(call: Call) -> Node:
    x = call.encrypted()
    axes = list(range(2, len(x.shape)))
    if call.proto.op_type == "GlobalMaxPool":
        return call.build.extremum_over(x, axes, keepdim=True, largest=True)
    return call.build.affine(call.build.total(x, axes, keepdim=True), 1.0 / np.prod(x.shape[2:]))


@HANDLERS.handles("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin")
def _reduce(call: Call) -> Node:
    x, name, build = call.encrypted(), call.proto.op_type, call.build
    chosen = call.constant(1)
    given = call.attributes.get("axes") if chosen is None else chosen.ravel().tolist()
    if not given and call.attributes.get("noop_with_empty_axes"):
        return x
    axes = sorted({call.axis(x, int(axis)) for axis in given or range(len(x.shape))})
    keepdim = bool(call.attributes["keepdims"])
    if name in ("ReduceMax", "ReduceMin"):
        return build.extremum_over(x, axes, keepdim, largest=name == "ReduceMax")
    total = build.total(x, axes, keepdim)
    if name == "ReduceSum":
        return total
    mean = build.affine(total, 1.0 / np.prod([x.shape[axis] for axis in axes]))
    return build.univariate(mean, torch.trunc) if call.holds_integers() else mean
