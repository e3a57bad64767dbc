"""ONNX's linear layers and poolings."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from onnx import helper
from torch import Tensor
from torch.nn import functional

from skfhe.importers._handlers import HandlerTable
from skfhe.importers._onnx.call import Call, double
from skfhe.importers._onnx.einsum import einsum
from skfhe.importers._onnx.linear_maps import linear_map, linear_run
from skfhe.network import NetworkBuilder, Node, Window, composed, layers

__all__ = ["HANDLERS", "averaged", "convolved", "product", "window_of"]

HANDLERS = HandlerTable()
"""For calls that have an encrypted input."""


# ---------------------------------------------------------------------------------------- linear layers


@HANDLERS.handles("Gemm")
def _gemm(call: Call) -> Node:
    attributes, build = call.attributes, call.build
    a, b = (v if isinstance(v, Node) else double(v) for v in call.inputs[:2])
    inner = b.shape[-1 if attributes["transB"] else 0]
    if attributes["transA"] and isinstance(a, Node) and a.shape[0] != inner:
        raise build.unsupported("it transposes the rows (transA=1), and sums over them", "transA=0")
    if isinstance(b, Node) and a.shape[0 if attributes["transA"] else -1] != inner:
        raise build.unsupported("its input 'B' is encrypted", "a constant, such as an initializer")
    a, b = (
        _transposed(build, v) if turned else v
        for v, turned in ((a, attributes["transA"]), (b, attributes["transB"]))
    )
    alpha, beta, c = attributes["alpha"], attributes["beta"], call.input(2)
    if isinstance(b, Tensor) and isinstance(a, Node):
        if c is None:
            return build.linear(a, alpha * b)
        if not isinstance(c, Node):
            row = call.floats_of(c)
            if row.ndim < 2 or len(row) == 1:
                return build.linear(a, alpha * b, beta * row.reshape(-1))
    if isinstance(a, Node) or isinstance(b, Node):
        found = product(build, a, b)
        found = found if alpha == 1 else build.affine(found, alpha)
        if c is None:
            return found
        if not isinstance(c, Node):
            return build.affine(found, 1.0, beta * call.floats_of(c))
        return build.elementwise(torch.add, found, build.affine(c, beta), kind="add")
    assert isinstance(c, Node)
    return build.affine(c, beta, alpha * a @ b)


def _transposed(build: NetworkBuilder, x: Node | Tensor) -> Node | Tensor:
    return x.mT if isinstance(x, Tensor) else build.move(x, lambda t: t.mT)


@HANDLERS.handles("MatMul")
def _matmul(call: Call) -> Node:
    a, b = (v if isinstance(v, Node) else call.floats_of(v) for v in call.inputs)
    if isinstance(a, Tensor) and b.shape[:1] == (1,) and len(b.shape) == 2 and a.shape[-1] != 1:
        raise call.build.unsupported(
            "a constant on the left multiplies the rows, which are encrypted apart",
            "Gemm with the constant as B",
        )
    return product(call.build, a, b)


def product(build: NetworkBuilder, a: Node | Tensor, b: Node | Tensor) -> Node:
    """Append ``a @ b`` of which one or both are encrypted, as NumPy multiplies arrays of any rank."""
    of_row, of_column = len(a.shape) == 1, len(b.shape) == 1
    if isinstance(a, Node) and isinstance(b, Tensor) and b.ndim == 2:
        return build.linear(a, b)

    def raised(x: Node | Tensor, axis: int) -> Any:
        return x.unsqueeze(axis) if isinstance(x, Tensor) else build.move(x, lambda t: t.unsqueeze(axis))

    a = raised(a, 0) if of_row else a
    b = raised(b, -1) if of_column else b
    found = layers.matmul(build, a, b)
    if of_column:
        found = build.move(found, lambda t: t.squeeze(-1))
    return build.move(found, lambda t: t.squeeze(-1 if of_column else -2)) if of_row else found


def window_of(call: Call, x: Node, kernel: Sequence[int]) -> Window:
    """Return the window that the attributes of a convolution or pooling describe."""
    n_axes = len(kernel)
    if len(x.shape) != n_axes + 2:
        raise call.build.unsupported(
            f"it has a kernel of {n_axes} axes for a tensor of shape {x.shape}",
            "tensors of shape (rows, channels, *axes)",
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
    return convolved(call, call.encrypted(0), call.given(1), call.floats(2))


def convolved(call: Call, x: Node, weight: Tensor, bias: Tensor | None) -> Node:
    """Append the convolution that the attributes of a node describe."""
    window, groups = window_of(call, x, list(weight.shape[2:])), call.attributes["group"]
    if weight.ndim < 5:
        return layers.convolution(call.build, x, weight, bias, window, groups)
    pads = _pads(window)

    def function(several: Tensor) -> Tensor:
        padded = functional.pad(several.flatten(0, 1), pads)
        found = functional.conv3d(padded, weight, bias, window.strides, 0, window.dilation, groups)
        return found.unflatten(0, several.shape[:2])

    return linear_map(call.build, x, function)


def _pads(window: Window) -> list[int]:
    """Return padding as torch takes it, the last axis first."""
    return [n for pair in reversed(window.padding) for n in pair]


@HANDLERS.handles("ConvTranspose")
def _conv_transpose(call: Call) -> Node:
    x, weight, bias = call.encrypted(0), call.given(1), call.floats(2)
    n_axes = weight.ndim - 2
    if n_axes not in (1, 2, 3):
        raise call.build.unsupported(f"it has {n_axes} spatial axes", "one to three spatial axes")
    window = window_of(call, x, list(weight.shape[2:]))
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
    transpose: Any = getattr(functional, f"conv_transpose{n_axes}d")
    group, strides, dilation = call.attributes["group"], window.strides, window.dilation

    def function(several: Tensor) -> Tensor:
        whole = transpose(several.flatten(0, 1), weight, None, strides, 0, 0, group, dilation)
        cropped = functional.pad(whole, crop)
        cropped = cropped if bias is None else cropped + bias.reshape(-1, *(1,) * n_axes)
        return cropped.unflatten(0, several.shape[:2])

    return linear_map(call.build, x, function)


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
    n = x.shape[axis]
    weight = torch.triu(torch.ones(n, n, dtype=torch.float64), 1 if exclusive else 0)
    return composed.weighted(call.build, x, axis, weight.T if reverse else weight)


@HANDLERS.handles("GridSample", "DeformConv", "Col2Im", "DFT", "STFT")
def _linear_in_first(call: Call) -> Node:
    """Append what is linear in its first input, the others being constants."""
    return linear_run(call)


@HANDLERS.handles("RoiAlign")
def _aligned_regions(call: Call) -> Node:
    """Append averages of samples within regions, or maxima of the weighted corners of each sample."""
    attributes, build = call.attributes, call.build
    if attributes.get("mode", "avg") == "avg":
        return linear_run(call)
    n, height, width = (attributes[k] for k in ("sampling_ratio", "output_height", "output_width"))
    if n < 1:
        raise build.unsupported("its number of samples differs from region to region", "a sampling_ratio")
    single = {"mode": "avg", "sampling_ratio": 1, "output_height": n * height, "output_width": n * width}
    proto = helper.make_node("RoiAlign", list(call.proto.input), ["y"], **(attributes | single))
    of_samples = replace(call, proto=proto)
    x = call.encrypted(0)
    basis = torch.eye(math.prod(x.shape), dtype=torch.float64).reshape(-1, *x.shape)
    weights = torch.stack([double(of_samples.run(one.numpy(), *call.inputs[1:])[0]) for one in basis], -1)
    found, members = weights.topk(min(4, weights.shape[-1]), dim=-1)  # the four corners of each sample

    def by_bin(t: Tensor) -> Tensor:
        t = t.unflatten(3, (width, n)).unflatten(2, (height, n))
        return t.permute(0, 1, 2, 4, 3, 5, 6).flatten(4)

    taken = by_bin(members)
    corners = build.move(x, lambda t: t.flatten()[taken])
    weighted = build.affine(corners, by_bin(found))
    return build.extremum_over(weighted, [4], keepdim=False, largest=True)


HANDLERS.handles("Einsum")(einsum)


# ---------------------------------------------------------------------------------------------- poolings


def _shares(call: Call, x: Node, declared: Window, window: Window) -> Tensor:
    """Return, for each window of an average, one over how many elements count."""
    share = torch.ones((), dtype=torch.float64)
    for axis, size in enumerate(x.shape[2:]):
        kernel, stride, dilation = window.kernel[axis], window.strides[axis], window.dilation[axis]
        (before, after), (_, end) = declared.padding[axis], window.padding[axis]
        starts = torch.arange(0, before + size + end - dilation * (kernel - 1), stride)
        read = starts[:, None] + dilation * torch.arange(kernel)
        inside = (read >= before) & (read < before + size)
        counted = read < before + size + after if call.attributes.get("count_include_pad") else inside
        share = share[..., None] / counted.sum(dim=1).double()
    return share


@HANDLERS.handles("AveragePool")
def _average_pool(call: Call) -> Node:
    return averaged(call, call.encrypted())


def averaged(call: Call, x: Node) -> Node:
    """Append the averages over windows that the attributes of a node describe."""
    declared = window_of(call, x, list(call.attributes["kernel_shape"]))
    window = declared.with_ceil(x.shape[2:]) if call.attributes.get("ceil_mode") else declared
    share = _shares(call, x, declared, window)
    sums = _window_sums(call, x, window)
    return call.build.affine(sums, share.ravel()[0] if torch.all(share == share.ravel()[0]) else share)


def _window_sums(call: Call, x: Node, window: Window) -> Node:
    """Append the sums over windows."""
    channels = x.shape[1]
    ones = torch.ones(channels, 1, *window.kernel, dtype=torch.float64)
    if len(window.kernel) < 3:
        return layers.convolution(call.build, x, ones, None, window, channels)
    pads = _pads(window)

    def function(several: Tensor) -> Tensor:
        padded = functional.pad(several.flatten(0, 1), pads)
        found = functional.conv3d(padded, ones, None, window.strides, 0, window.dilation, channels)
        return found.unflatten(0, several.shape[:2])

    return linear_map(call.build, x, function)


@HANDLERS.handles("LpPool")
def _lp_pool(call: Call) -> Node:
    x, p = call.encrypted(), float(call.attributes["p"])
    window = window_of(call, x, list(call.attributes["kernel_shape"]))
    if call.attributes.get("ceil_mode"):
        window = window.with_ceil(x.shape[2:])
    powers = call.build.univariate(x, lambda v: v.abs() ** p)
    return call.build.univariate(_window_sums(call, powers, window), lambda v: v.clamp(min=0) ** (1 / p))


@HANDLERS.handles("MaxPool")
def _max_pool(call: Call) -> Any:
    x = call.encrypted()
    window = window_of(call, x, list(call.attributes["kernel_shape"]))
    if call.attributes.get("ceil_mode"):
        window = window.with_ceil(x.shape[2:])
    largest = layers.max_pool(call.build, x, window)
    if len(call.proto.output) < 2 or not call.proto.output[1]:
        return largest
    return [largest, _places_of_largest(call, x, window)]


def _places_of_largest(call: Call, x: Node, window: Window) -> Node:
    """Append where the maximum of each window stands, counted through the whole tensor."""
    pads = _pads(window)
    members = math.prod(window.kernel)

    def taken(t: Tensor) -> Tensor:
        t = functional.pad(t, pads)
        for axis, (k, stride, d) in enumerate(
            zip(window.kernel, window.strides, window.dilation, strict=True)
        ):
            t = t.unfold(2 + axis, d * (k - 1) + 1, stride)[..., ::d]
        t = t.flatten(-len(window.kernel))
        some = t.amax(dim=-1, keepdim=True)  # what is padding counts as a member that is there
        return torch.where(t == 0, some, t)

    positions = taken(torch.arange(1, math.prod(x.shape) + 1, dtype=torch.float64).reshape(x.shape)) - 1
    windows = call.build.move(x, taken)
    place = composed.ranks(call.build, windows, windows.shape[-1:] and len(windows.shape) - 1, largest=True)
    if call.attributes.get("storage_order"):
        rows, columns = x.shape[-2:]
        within = positions % (rows * columns)
        positions = (
            positions - within + within % columns * rows + torch.div(within, columns, rounding_mode="floor")
        )
    chosen = call.build.univariate(place, lambda r: (r.round() == 0).double())
    found = call.build.total(call.build.affine(chosen, positions), [len(windows.shape) - 1], keepdim=False)
    assert members == windows.shape[-1]
    return found


@HANDLERS.handles("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
def _global_pool(call: Call) -> Node:
    x, name, build = call.encrypted(), call.proto.op_type, call.build
    axes = list(range(2, len(x.shape)))
    if name == "GlobalMaxPool":
        return build.extremum_over(x, axes, keepdim=True, largest=True)
    if name == "GlobalAveragePool":
        return composed.mean(build, x, axes, keepdim=True)
    p = float(call.attributes["p"])
    return build.univariate(composed.absolute_power_sum(build, x, axes, p, True), lambda v: v ** (1 / p))


@HANDLERS.handles("Det")
def _determinant(call: Call) -> Node:
    """Append determinants of small matrices, by all permutations."""
    x, build = call.encrypted(), call.build
    n = x.shape[-1]
    if n > 3:
        raise build.unsupported(f"it is of matrices of {n} × {n}", "matrices of up to 3 × 3")
    total: Node | None = None
    for order in itertools.permutations(range(n)):
        sign = math.prod(1 if a < b else -1 for a, b in itertools.combinations(order, 2))
        term: Node | None = None
        for i, j in enumerate(order):
            part = composed.picked(build, x, (..., i, j))
            term = part if term is None else build.elementwise(torch.mul, term, part, kind="multiply")
        assert term is not None
        if total is None:
            total = build.affine(term, sign) if sign < 0 else term
        else:
            function, kind = (torch.add, "add") if sign > 0 else (torch.sub, "subtract")
            total = build.elementwise(function, total, term, kind=kind)
    assert total is not None
    return total
