"""Layers as both frontends write them: convolutions, poolings, normalization, products.

Windows over one or two spatial axes are described per axis; a row of one axis is lowered as an image of
height 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from skfhe.network._builder import EXAMPLE_ROWS, NetworkBuilder
from skfhe.network._node import Node
from skfhe.network._operations import Convolution, MatMul

__all__ = [
    "Window",
    "adaptive_max_pool",
    "average_pool",
    "batch_norm",
    "convolution",
    "linear_map",
    "matmul",
    "max_pool",
]

MOST_DENSE_WEIGHTS = 1 << 24
"""A linear operation without a structure that the program knows is written as a matrix, up to this size."""


class Window:
    """How a kernel moves over the spatial axes.

    Parameters
    ----------
    kernel, strides, dilation : sequence of int
        One for each spatial axis.
    padding : sequence of (int, int)
        Before and after each axis.
    """

    def __init__(
        self,
        kernel: Sequence[int],
        strides: Sequence[int],
        padding: Sequence[tuple[int, int]],
        dilation: Sequence[int],
    ) -> None:
        self.kernel, self.strides = tuple(kernel), tuple(strides)
        self.padding, self.dilation = tuple(padding), tuple(dilation)

    def with_ceil(self, sizes: Sequence[int]) -> Window:
        """Return the window with as much padding after each axis as rounding sizes up reads.

        A window that would begin in the padding after the axis is not counted, as in torch.
        """
        padding = []
        for size, kernel, stride, (before, after), dilation in zip(
            sizes, self.kernel, self.strides, self.padding, self.dilation, strict=True
        ):
            extent = dilation * (kernel - 1) + 1
            n = -(-(size + before + after - extent) // stride) + 1
            if (n - 1) * stride >= size + before:
                n -= 1
            padding.append((before, max(after, (n - 1) * stride + extent - size - before)))
        return Window(self.kernel, self.strides, padding, self.dilation)


def convolution(
    build: NetworkBuilder, x: Node, weight: Tensor, bias: Tensor | None, window: Window, groups: int
) -> Node:
    """Append a convolution over one or two axes."""
    if len(x.shape) != weight.ndim - 1:
        raise build.unsupported(
            f"rows of {len(x.shape)} axes are not channels of {weight.ndim - 2} spatial axes",
            "unsqueeze before it",
        )
    weight = weight.to(torch.float64)
    bias = torch.zeros(len(weight), dtype=torch.float64) if bias is None else bias.to(torch.float64)
    if weight.ndim == 3:
        x = build.move(x, lambda rows: rows.unsqueeze(-2))
        weight = weight.unsqueeze(-2)
    if weight.ndim != 4:
        raise build.unsupported(f"it has {weight.ndim - 2} spatial axes", "one or two spatial axes")
    flat = len(window.kernel) == 1
    (down, right), (dilated_down, dilated_right) = (
        (1,) * flat + values for values in (window.strides, window.dilation)
    )
    (top, bottom), (left, end) = ((0, 0),) * flat + window.padding
    padding, dilation = (top, left, bottom, end), (dilated_down, dilated_right)
    operation = Convolution(weight, bias, (down, right), padding, dilation, groups)
    result = build.add(operation, x)
    return build.move(result, lambda rows: rows.squeeze(-2)) if flat else result


def average_pool(build: NetworkBuilder, x: Node, window: Window, average: Callable[[Tensor], Tensor]) -> Node:
    """Append an average over windows: their sums, and then what ``average`` makes of ones at each place."""
    if len(x.shape) == len(window.kernel):
        pooled = average_pool(build, build.move(x, lambda rows: rows.unsqueeze(1)), window, average)
        return build.move(pooled, lambda rows: rows.squeeze(1))
    channels = x.shape[0]
    ones = torch.ones(channels, 1, *window.kernel)
    sums = convolution(build, x, ones, None, window, channels)
    counts = sums.operation if isinstance(sums.operation, Convolution) else sums.arguments[0].operation
    all_ones = torch.ones(1, *x.shape, dtype=torch.float64)
    image = all_ones if len(window.kernel) == 2 else all_ones.unsqueeze(-2)
    count = counts.evaluate(image)[0].reshape(sums.shape)
    share = average(all_ones)[0] / count
    return build.affine(sums, share.ravel()[0] if torch.all(share == share.ravel()[0]) else share)


def max_pool(build: NetworkBuilder, x: Node, window: Window) -> Node:
    """Append the maximum over windows, one axis after the other."""
    sizes = x.shape[len(x.shape) - len(window.kernel) :]
    taken = []
    for size, kernel, stride, (before, after), dilation in zip(
        sizes, window.kernel, window.strides, window.padding, window.dilation, strict=True
    ):
        n = (size + before + after - dilation * (kernel - 1) - 1) // stride + 1
        read = torch.arange(kernel)[:, None] * dilation + torch.arange(n) * stride - before
        taken.append(torch.where(read < size, read, -1))
    return _largest(build, x, taken)


def adaptive_max_pool(build: NetworkBuilder, x: Node, wanted: Sequence[int]) -> Node:
    """Append the maximum over as many windows an axis as wanted, which are as even as they can be."""
    taken = []
    for size, n in zip(x.shape[len(x.shape) - len(wanted) :], wanted, strict=True):
        start = torch.arange(n) * size // n
        end = -(-(torch.arange(n) + 1) * size // n)
        read = start + torch.arange(int((end - start).max()))[:, None]
        taken.append(torch.where(read < end, read, -1))
    return _largest(build, x, taken)


def _largest(build: NetworkBuilder, x: Node, taken: Sequence[Tensor]) -> Node:
    """Append maxima along the last axes.

    ``taken`` is, for each of the axes, the positions on it that are compared, shape (n_members, n_results);
    negative ones do not count.
    """
    for index, read in enumerate(taken):
        axis = len(x.shape) + 1 - len(taken) + index
        if torch.equal(read, torch.arange(x.shape[axis - 1])[None]):
            continue

        def members(rows: Tensor, read: Tensor = read, axis: int = axis) -> Tensor:
            picked = rows.index_select(axis, read.clamp(min=0).flatten()).unflatten(axis, read.shape)
            none = (read < 0).reshape(*read.shape, *(1,) * (rows.ndim - axis - 1))
            return torch.where(none, 0.0, picked).movedim(axis, 1)

        x = build.extremum(x, members, largest=True)
    return x


def batch_norm(
    build: NetworkBuilder,
    x: Node,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor,
    variance: Tensor,
    epsilon: float,
) -> Node:
    """Append a normalization by constant statistics of each channel, the first axis of a row."""
    mean, variance = mean.to(torch.float64), variance.to(torch.float64)
    scale = torch.rsqrt(variance + epsilon)
    if weight is not None:
        scale = scale * weight.to(torch.float64)
    offset = -mean * scale
    if bias is not None:
        offset = offset + bias.to(torch.float64)
    across = (-1, *(1,) * (len(x.shape) - 1))
    return build.affine(x, scale.reshape(across), offset.reshape(across))


def matmul(build: NetworkBuilder, a: Node | Tensor, b: Node | Tensor) -> Node:
    """Append ``a @ b`` of which one or both are encrypted."""
    if isinstance(a, Node) and isinstance(b, Node):
        if min(len(a.shape), len(b.shape)) < 2:
            raise build.unsupported(
                "rows of one axis cannot be multiplied with each other", "multiply and sum"
            )
        batch = torch.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        a = build.broadcast(a, (*batch, *a.shape[-2:]))
        b = build.broadcast(b, (*batch, *b.shape[-2:]))
        return build.add(MatMul(), a, b)
    if isinstance(a, Node):
        assert isinstance(b, Tensor)
        if b.ndim == 1:
            summed = build.linear(a, b[:, None])
            return build.move(summed, lambda rows: rows.squeeze(-1))
        if b.ndim == 2 and len(a.shape) >= 1:
            return build.linear(a, b)
        constant = build.row_constant(b.double(), a)
        return linear_map(build, a, lambda rows: rows @ constant)
    assert isinstance(a, Tensor)
    assert isinstance(b, Node)
    if len(b.shape) < 2:
        raise build.mixes_rows()
    if a.ndim == 2 and len(b.shape) == 2:
        turned = build.linear(build.move(b, lambda rows: rows.mT), a.T)
        return build.move(turned, lambda rows: rows.mT)
    constant = build.row_constant(a.double(), b)
    return linear_map(build, b, lambda rows: constant @ rows)


def linear_map(build: NetworkBuilder, x: Node, function: Callable[[Tensor], Tensor]) -> Node:
    """Append a linear function of a row, written as the matrix that it is."""
    size = x.reference[0].numel()
    with torch.no_grad():
        bias = function(torch.zeros(1, *x.shape, dtype=torch.float64))
        if size * bias.numel() > MOST_DENSE_WEIGHTS:
            raise build.unsupported(f"it would take a matrix of {size} × {bias.numel()} weights")
        basis = function(torch.eye(size, dtype=torch.float64).reshape(size, *x.shape)) - bias
    flat = build.move(x, lambda rows: rows.reshape(len(rows), -1))
    result = build.linear(flat, basis.reshape(size, -1), bias.flatten())
    result = build.move(result, lambda rows: rows.reshape(len(rows), *bias.shape[1:]))
    several = x.reference[:EXAMPLE_ROWS]
    if not torch.allclose(function(several), result.reference[:EXAMPLE_ROWS]):
        raise build.mixes_rows()
    return result
