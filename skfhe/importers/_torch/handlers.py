"""The operators of torch that are more than a function of elements or a movement, one handler each."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from skfhe.importers._handlers import HandlerTable
from skfhe.network import NetworkBuilder, Node, Quantize, Window, layers

__all__ = ["FAKE_QUANTIZERS", "HANDLERS", "POSITIONS", "fake_quantizer", "in_double", "map_leaves"]

HANDLERS = HandlerTable()
"""By ATen name. A handler returns None where it leaves the call to the generic rules."""
POSITIONS = object()
"""Stands for the positions of extrema, which nothing may read."""


def map_leaves(value: Any, function: Callable[[Any], Any]) -> Any:
    """Return nested lists, tuples and dicts with ``function`` applied to what they hold."""
    if isinstance(value, list | tuple):
        mapped = [map_leaves(item, function) for item in value]
        return mapped if isinstance(value, list) else tuple(mapped)
    if isinstance(value, dict):
        return {key: map_leaves(item, function) for key, item in value.items()}
    return function(value)


def in_double(value: Any) -> Any:
    """Return constants detached, and in double precision if they are floats."""
    return map_leaves(
        value,
        lambda x: (
            (x.detach().double() if x.is_floating_point() else x.detach()) if isinstance(x, Tensor) else x
        ),
    )


@HANDLERS.handles("linear")
def _linear(build: NetworkBuilder, x: Any, weight: Any, bias: Any = None) -> Node:
    if not isinstance(x, Node) or isinstance(weight, Node) or isinstance(bias, Node):
        raise build.unsupported("its weights are encrypted", "matmul")
    return build.linear(x, weight.T, bias)


@HANDLERS.handles("addmm")
def _addmm(build: NetworkBuilder, bias: Any, a: Any, b: Any, *, beta: float = 1, alpha: float = 1) -> Node:
    product = build.affine(layers.matmul(build, a, b), alpha)
    if isinstance(bias, Node):
        return build.elementwise(torch.add, product, build.affine(bias, beta), kind="add")
    return build.affine(product, 1.0, beta * bias)


@HANDLERS.handles("matmul", "mm", "bmm", "mv")
def _matmul(build: NetworkBuilder, a: Any, b: Any) -> Node:
    return layers.matmul(build, a, b)


def _per_axis(value: Any, n_axes: int) -> list[int]:
    values = list(value) if isinstance(value, list | tuple) else [value]
    return [int(v) for v in (values * n_axes if len(values) == 1 else values)]


def _spatial_axes(build: NetworkBuilder) -> int:
    """Return the number in the operator's name."""
    return next(n for n in (1, 2, 3) if f"{n}d" in build.name)


@HANDLERS.handles("conv1d", "conv2d", "conv3d", "convolution")
def _convolution(
    build: NetworkBuilder,
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: Any = 1,
    *transposed: Any,
) -> Node | None:
    if isinstance(weight, Node) or isinstance(bias, Node):
        raise build.unsupported("its weights are encrypted", "matmul")
    if transposed:  # aten.convolution has transposed, output_padding before groups
        is_transposed, _, groups = groups, *transposed
        if is_transposed:
            return None
    kernel = list(weight.shape[2:])
    n_axes = len(kernel)
    strides, dilations = _per_axis(stride, n_axes), _per_axis(dilation, n_axes)
    if isinstance(padding, str):
        total = [d * (k - 1) if padding == "same" else 0 for d, k in zip(dilations, kernel, strict=True)]
        pads = [(t // 2, t - t // 2) for t in total]
    else:
        pads = [(p, p) for p in _per_axis(padding, n_axes)]
    return layers.convolution(build, x, weight, bias, Window(kernel, strides, pads, dilations), groups)


@HANDLERS.handles("batch_norm", "_native_batch_norm_legit_no_training")
def _batch_norm(
    build: NetworkBuilder, x: Node, weight: Any, bias: Any, mean: Any, variance: Any, *rest: Any
) -> Any:
    functional_form = len(rest) > 2  # training, momentum, epsilon, cudnn_enabled; otherwise momentum, epsilon
    if mean is None or variance is None or (functional_form and rest[0]):
        raise build.unsupported("its statistics are those of the rows", "batch_norm with running statistics")
    epsilon = rest[-2] if functional_form else rest[-1]
    result = layers.batch_norm(build, x, weight, bias, mean, variance, float(epsilon))
    return result if functional_form else (result, None, None)


@HANDLERS.handles("dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout", "native_dropout")
def _dropout(build: NetworkBuilder, x: Node, p: float, train: bool) -> Any:
    if train and p > 0:
        raise build.unsupported("its results are random", "torch.nn.Dropout, or training=self.training,")
    return (x, None) if build.name == "native_dropout" else x


@HANDLERS.handles("avg_pool1d", "avg_pool2d", "avg_pool3d")
def _avg_pool(
    build: NetworkBuilder,
    x: Node,
    kernel_size: Any,
    stride: Any = (),
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Node:
    n_axes = _spatial_axes(build)
    kernel = _per_axis(kernel_size, n_axes)
    strides = _per_axis(stride, n_axes) if stride not in ((), [], None) else kernel
    pads = _per_axis(padding, n_axes)
    window = Window(kernel, strides, [(p, p) for p in pads], [1] * n_axes)
    if ceil_mode:
        window = window.with_ceil(x.shape[-n_axes:])

    def average(rows: Tensor) -> Tensor:
        if n_axes == 1:
            return functional.avg_pool1d(rows, kernel, strides, pads, ceil_mode, count_include_pad)
        pool = functional.avg_pool2d if n_axes == 2 else functional.avg_pool3d
        return pool(rows, kernel, strides, pads, ceil_mode, count_include_pad, divisor_override)

    return layers.average_pool(build, x, window, average)


@HANDLERS.handles("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d")
def _adaptive_avg_pool(build: NetworkBuilder, x: Node, output_size: Any) -> Node | None:
    window = _adaptive(build, x, output_size)
    if window is None:
        return None
    pool: Any = (functional.avg_pool1d, functional.avg_pool2d, functional.avg_pool3d)[len(window.kernel) - 1]
    return layers.average_pool(build, x, window, lambda rows: pool(rows, window.kernel, window.strides))


@HANDLERS.handles("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d")
def _adaptive_max_pool(build: NetworkBuilder, x: Node, output_size: Any) -> Any:
    n_axes = _spatial_axes(build)
    return (layers.adaptive_max_pool(build, x, _per_axis(output_size, n_axes)), POSITIONS)


def _adaptive(build: NetworkBuilder, x: Node, output_size: Any) -> Window | None:
    n_axes = _spatial_axes(build)
    sizes, wanted = x.shape[-n_axes:], _per_axis(output_size, n_axes)
    if any(size % n for size, n in zip(sizes, wanted, strict=True)):
        return None
    kernel = [size // n for size, n in zip(sizes, wanted, strict=True)]
    return Window(kernel, kernel, [(0, 0)] * n_axes, [1] * n_axes)


@HANDLERS.handles(*(f"max_pool{n}d{form}" for n in (1, 2, 3) for form in ("", "_with_indices")))
def _max_pool(
    build: NetworkBuilder,
    x: Node,
    kernel_size: Any,
    stride: Any = (),
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> Any:
    n_axes = _spatial_axes(build)
    kernel = _per_axis(kernel_size, n_axes)
    strides = _per_axis(stride, n_axes) if stride not in ((), [], None) else kernel
    pads = [(p, p) for p in _per_axis(padding, n_axes)]
    window = Window(kernel, strides, pads, _per_axis(dilation, n_axes))
    if ceil_mode:
        window = window.with_ceil(x.shape[-n_axes:])
    result = layers.max_pool(build, x, window)
    return (result, POSITIONS) if build.name.endswith("indices") else result


def _axes(x: Node, dims: Any) -> list[int]:
    """Return axes counted from 0; all of them if none are given."""
    rank = len(x.shape)
    given = [dims] if isinstance(dims, int) else list(dims or range(rank))
    return [dim % rank for dim in given] if rank else []


@HANDLERS.handles("sum")
def _sum(build: NetworkBuilder, x: Node, dims: Any = None, keepdim: bool = False, **kwargs: Any) -> Node:
    return build.total(x, _axes(x, dims), keepdim)


@HANDLERS.handles("mean")
def _mean(build: NetworkBuilder, x: Node, dims: Any = None, keepdim: bool = False, **kwargs: Any) -> Node:
    axes = _axes(x, dims)
    return build.affine(build.total(x, axes, keepdim), 1.0 / math.prod(x.shape[axis] for axis in axes))


@HANDLERS.handles("amax")
def _amax(build: NetworkBuilder, x: Node, dims: Any = (), keepdim: bool = False) -> Node:
    return build.extremum_over(x, _axes(x, dims), keepdim, largest=True)


@HANDLERS.handles("amin")
def _amin(build: NetworkBuilder, x: Node, dims: Any = (), keepdim: bool = False) -> Node:
    return build.extremum_over(x, _axes(x, dims), keepdim, largest=False)


@HANDLERS.handles("max", "min")
def _extremum(build: NetworkBuilder, x: Any, dim: Any = None, keepdim: bool = False) -> Any:
    if isinstance(dim, Node | Tensor):
        return None
    largest = build.name == "max"
    return (build.extremum_over(x, _axes(x, dim), keepdim, largest), POSITIONS)


@HANDLERS.handles("cat", "concat", "concatenate")
def _cat(build: NetworkBuilder, tensors: Any, dim: int = 0) -> Node:
    first = next(x for x in tensors if isinstance(x, Node))
    parts = [x if isinstance(x, Node) else build.constant(first, x) for x in tensors]
    parts = [x for x in parts if x.shape != (0,)]  # torch leaves them out, whatever the others' shape
    return build.concatenate(parts, dim % len(first.shape))


@HANDLERS.handles("stack")
def _stack(build: NetworkBuilder, tensors: Any, dim: int = 0) -> Node:
    first = next(x for x in tensors if isinstance(x, Node))
    at = dim % (len(first.shape) + 1)
    nodes = [x if isinstance(x, Node) else build.constant(first, x) for x in tensors]
    raised = [build.move(x, lambda tensor: tensor.unsqueeze(at)) for x in nodes]
    return _cat(build, raised, at)


@HANDLERS.handles("hstack", "dstack", "column_stack")
def _stacked(build: NetworkBuilder, tensors: Any) -> Node:
    function = getattr(torch, build.name)
    return build.arrange(lambda *rows: function(rows), *_as_nodes(build, *tensors))


def _as_nodes(build: NetworkBuilder, *values: Any) -> list[Node]:
    """Return values with constants among them as nodes."""
    first = next(x for x in values if isinstance(x, Node))
    return [x if isinstance(x, Node) else build.constant(first, x) for x in values]


@HANDLERS.handles("select_scatter", "slice_scatter", "diagonal_scatter")
def _scatter(build: NetworkBuilder, x: Any, part: Any, *where: Any, **kwargs: Any) -> Node:
    function = getattr(torch.ops.aten, build.name)
    return build.arrange(
        lambda rows, written: function(rows, written, *where, **kwargs), *_as_nodes(build, x, part)
    )


@HANDLERS.handles("index_put")
def _index_put(build: NetworkBuilder, x: Any, indices: Any, part: Any, accumulate: bool = False) -> Node:
    if accumulate:
        raise build.unsupported("it adds to what is there", "add")
    if any(isinstance(index, Node) for index in indices):
        if (
            len(indices) > 1
            or not isinstance(part, Tensor)
            or part.numel() > 1
            or tuple(indices[0].shape) != tuple(x.shape)
        ):
            raise build.unsupported("its positions are encrypted", "where")
        return _masked_fill(build, x, indices[0], part)
    shape = torch.ops.aten.index(torch.zeros(x.shape), indices).shape
    part = build.broadcast(part, shape) if isinstance(part, Node) else part.expand(shape)
    return build.arrange(
        lambda rows, written: torch.ops.aten.index_put(rows, indices, written), *_as_nodes(build, x, part)
    )


@HANDLERS.handles("copy")
def _copy(build: NetworkBuilder, x: Any, source: Any, *rest: Any) -> Any:
    return build.broadcast(source, x.shape) if isinstance(source, Node) else source.expand(*x.shape)


@HANDLERS.handles("broadcast_tensors")
def _broadcast_tensors(build: NetworkBuilder, tensors: Any) -> list[Any]:
    shape = torch.broadcast_shapes(*(x.shape for x in tensors))
    return [build.broadcast(x, shape) if isinstance(x, Node) else x.expand(shape) for x in tensors]


@HANDLERS.handles("view_as", "reshape_as", "expand_as")
def _shaped_as(build: NetworkBuilder, x: Node, other: Any) -> Node:
    shape = tuple(other.shape)
    return build.broadcast(x, shape) if build.name == "expand_as" else build.reshape(x, shape)


@HANDLERS.handles("pad", "constant_pad_nd")
def _pad(build: NetworkBuilder, x: Node, pad: Any, mode: Any = "constant", value: Any = None) -> Node:
    if not isinstance(mode, str):
        mode, value = "constant", mode
    if mode == "constant":
        return build.move(x, lambda rows: functional.pad(rows, pad), fill=float(value or 0.0))
    return build.move(x, lambda rows: functional.pad(rows, pad, mode=mode))


@HANDLERS.handles("masked_fill")
def _masked_fill(build: NetworkBuilder, x: Any, mask: Any, value: Any) -> Node:
    if isinstance(value, Node):
        raise build.unsupported("what it fills in is encrypted", "where")
    return _where(build, mask, value, x)


@HANDLERS.handles("where")
def _where(build: NetworkBuilder, condition: Any, a: Any, b: Any) -> Node:
    if isinstance(condition, Node) and isinstance(a, Node) and isinstance(b, Node):
        return build.elementwise(lambda c, x, y: torch.where(c != 0, x, y), condition, a, b, kind="where")
    if isinstance(condition, Node):
        return build.choose(condition, a, b)
    return build.select(condition, a, b)


@HANDLERS.handles("add", "sub", "subtract", "rsub")
def _add(build: NetworkBuilder, a: Any, b: Any, *scale: Any, alpha: Any = 1) -> Node:
    sign = -1.0 if build.name in ("sub", "subtract", "rsub") else 1.0
    factor = float(scale[0] if scale else alpha)
    if build.name == "rsub":
        a, b = b, a
    if isinstance(a, Node) and isinstance(b, Node):
        b = build.affine(b, factor) if factor != 1 else b
        function, kind = (torch.add, "add") if sign > 0 else (torch.sub, "subtract")
        return build.elementwise(function, a, b, kind=kind)
    if isinstance(a, Node):
        return build.affine(a, 1.0, sign * factor * b)
    return build.affine(b, sign * factor, a)


@HANDLERS.handles("mul", "multiply")
def _multiply(build: NetworkBuilder, a: Any, b: Any) -> Node:
    if isinstance(a, Node) and isinstance(b, Node):
        return build.elementwise(torch.mul, a, b, kind="multiply")
    return build.affine(a, b) if isinstance(a, Node) else build.affine(b, a)


@HANDLERS.handles("div", "divide", "true_divide")
def _divide(build: NetworkBuilder, a: Any, b: Any, *, rounding_mode: Any = None) -> Node | None:
    if not isinstance(b, Node):
        return None if rounding_mode else build.affine(a, 1.0 / torch.as_tensor(b, dtype=torch.float64))
    if not isinstance(a, Node):
        return None
    quotient = build.elementwise(torch.div, a, b, kind="divide")
    if rounding_mode is None:
        return quotient
    return build.univariate(quotient, torch.floor if rounding_mode == "floor" else torch.trunc)


@HANDLERS.handles("floor_divide")
def _floor_divide(build: NetworkBuilder, a: Any, b: Any) -> Node | None:
    return _divide(build, a, b, rounding_mode="floor")


@HANDLERS.handles("neg", "negative")
def _negative(build: NetworkBuilder, x: Node) -> Node:
    return build.affine(x, -1.0)


@HANDLERS.handles("to", "_to_copy", "type_as")
def _cast(build: NetworkBuilder, x: Any, *args: Any, **kwargs: Any) -> Any:
    if not isinstance(x, Node):
        return in_double(x)
    given = [*args, *kwargs.values()]
    dtypes = [
        v if isinstance(v, torch.dtype) else v.dtype for v in given if isinstance(v, torch.dtype | Tensor)
    ]
    if not dtypes or dtypes[0].is_floating_point:
        return x
    if dtypes[0] == torch.bool:
        return build.univariate(x, lambda rows: rows != 0)
    # integers stay what they are, though a quantized one may lie just below
    whole = torch.equal(x.reference, x.reference.round())
    return build.univariate(x, torch.round if whole else torch.trunc)


@HANDLERS.handles("glu")
def _glu(build: NetworkBuilder, x: Node, dim: int = -1) -> Node:
    a, b = build.move(x, lambda rows: rows.chunk(2, dim))
    return build.elementwise(torch.mul, a, build.univariate(b, torch.sigmoid), kind="multiply")


@HANDLERS.handles("prelu")
def _prelu(build: NetworkBuilder, x: Node, weight: Any) -> Node:
    if isinstance(weight, Node):
        raise build.unsupported("its slopes are encrypted", "where and mul")
    if weight.numel() > 1 and len(x.shape) > 1:  # a slope for each channel
        weight = weight.reshape(-1, *(1,) * (len(x.shape) - 2))
    return build.univariate(x, lambda values: torch.where(values < 0, weight * values, values))


@HANDLERS.handles("rrelu")
def _rrelu(
    build: NetworkBuilder, x: Node, lower: float = 1 / 8, upper: float = 1 / 3, *training: Any
) -> Node:
    if training and training[0]:
        raise build.unsupported("its results are random", "torch.nn.RReLU, or training=self.training,")
    return build.univariate(x, lambda rows: functional.leaky_relu(rows, (lower + upper) / 2))


FAKE_QUANTIZERS = ("fake_quantize_per_tensor_affine", "fake_quantize_per_channel_affine")


@HANDLERS.handles(*FAKE_QUANTIZERS)
def _fake_quantize(build: NetworkBuilder, x: Node, *parameters: Any, **kwargs: Any) -> Node:
    return build.add(fake_quantizer(len(x.shape), *parameters, **kwargs), x)


def fake_quantizer(rank: int, scale: Any, zero_point: Any, *rest: Any, **kwargs: Any) -> Quantize:
    """Return the quantizer of a tensor of so many axes, the last parameters of which are its limits."""
    *axis, low, high = *rest, *kwargs.values()
    scale, zero_point = (torch.as_tensor(v, dtype=torch.float64) for v in (scale, zero_point))
    if axis:
        across = (-1, *(1,) * (rank - 1 - axis[0]))
        scale, zero_point = scale.reshape(across), zero_point.reshape(across)

    def integers(floats: Tensor) -> Tensor:
        return (torch.round(floats / scale) + zero_point).clamp(low, high)

    return Quantize(integers, scale, zero_point, low, high)
