"""Layers as both frontends write them: convolutions, poolings, normalization, products.

Tensors are (n, channels, *spatial), as in the frameworks, n being 1 unless other axes were joined with that
of the rows; one without the first axis is taken as it is, too. Windows over one or two spatial axes are
described per axis; one spatial axis is lowered as an image of height 1, several images as one tall image.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

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
    """Append a convolution over up to three axes of (n, channels, *spatial) or (channels, *spatial)."""
    n_axes = weight.ndim - 2
    if len(x.shape) not in (n_axes + 1, n_axes + 2):
        raise build.unsupported(
            f"a tensor of shape {x.shape} is not channels of {n_axes} spatial axes", "unsqueeze before it"
        )
    if n_axes == 3:
        return _of_volumes(build, x, weight, bias, window, groups)
    if n_axes not in (1, 2):
        raise build.unsupported(f"it has {n_axes} spatial axes", "one, two or three spatial axes")
    weight = weight.to(torch.float64)
    bias = torch.zeros(len(weight), dtype=torch.float64) if bias is None else bias.to(torch.float64)
    if n_axes == 1:
        weight, images = weight.unsqueeze(-2), build.reshape(x, (*x.shape[:-1], 1, x.shape[-1]))
        window = Window(
            (1, *window.kernel), (1, *window.strides), ((0, 0), *window.padding), (1, *window.dilation)
        )
    else:
        images = x
    n_images = x.shape[0] if len(x.shape) == n_axes + 2 else 1
    image = build.reshape(images, images.shape[-3:]) if n_images == 1 else images
    convolve = _of_image if n_images == 1 else _of_images
    result = convolve(build, image, weight, bias, window, groups)
    height, width = result.shape[-2:]
    spatial = (width,) if n_axes == 1 else (height, width)
    batch = x.shape[:1] if len(x.shape) == n_axes + 2 else ()
    return build.reshape(result, (*batch, len(weight), *spatial))


def _of_volumes(
    build: NetworkBuilder, x: Node, weight: Tensor, bias: Tensor | None, window: Window, groups: int
) -> Node:
    """Append a convolution over three axes: of images with the channels of all slices that are read."""
    depth, (stride, dilation) = weight.shape[2], (window.strides[0], window.dilation[0])
    before, after = window.padding[0]
    size = x.shape[-3] + before + after
    n_slices = (size - dilation * (depth - 1) - 1) // stride + 1
    read = torch.arange(n_slices)[:, None] * stride + torch.arange(depth) * dilation
    volumes = x if len(x.shape) == 5 else build.reshape(x, (1, *x.shape))

    def slices(tensor: Tensor) -> Tensor:
        taken = functional.pad(tensor, (0, 0, 0, 0, before, after))[:, :, read]
        return taken.transpose(1, 2).flatten(2, 3).flatten(0, 1)

    images = build.move(volumes, slices)
    rest = Window(window.kernel[1:], window.strides[1:], window.padding[1:], window.dilation[1:])
    result = convolution(build, images, weight.flatten(1, 2), bias, rest, groups)
    turned = build.move(result, lambda tensor: tensor.unflatten(0, (-1, n_slices)).transpose(1, 2))
    return turned if len(x.shape) == 5 else build.reshape(turned, turned.shape[1:])


def _of_image(
    build: NetworkBuilder, x: Node, weight: Tensor, bias: Tensor, window: Window, groups: int
) -> Node:
    """Append the convolution of one image."""
    (top, bottom), (left, right) = window.padding
    strides, dilation = tuple(window.strides), tuple(window.dilation)
    return build.add(
        Convolution(weight, bias, strides, (top, left, bottom, right), dilation, groups),  # type: ignore[arg-type]
        x,
    )


def _of_images(
    build: NetworkBuilder, x: Node, weight: Tensor, bias: Tensor, window: Window, groups: int
) -> Node:
    """Append the convolution of several images: one above the other, so that all have the same weights.

    Each is padded by itself, to a height that is a multiple of the stride; results that read two images are
    left out.
    """
    (top, bottom), (left, right) = window.padding
    n_images, channels, height = x.shape[:3]
    padded_height, stride = height + top + bottom, window.strides[0]
    pitch = -(-padded_height // stride) * stride
    padded = build.move(
        x, lambda images: functional.pad(images, (left, right, top, bottom + pitch - padded_height))
    )
    tall = build.move(padded, lambda images: images.transpose(0, 1).reshape(channels, n_images * pitch, -1))
    alone = Window(window.kernel, window.strides, ((0, 0), (0, 0)), window.dilation)
    result = _of_image(build, tall, weight, bias, alone, groups)
    n_rows = (padded_height - window.dilation[0] * (window.kernel[0] - 1) - 1) // stride + 1
    first = torch.arange(n_images)[:, None] * (pitch // stride) + torch.arange(n_rows)
    return build.move(result, lambda tall: tall[:, first].transpose(0, 1))


def average_pool(build: NetworkBuilder, x: Node, window: Window, average: Callable[[Tensor], Tensor]) -> Node:
    """Append an average over windows: their sums, and then what ``average`` makes of ones at each place.

    ``average`` maps (1, 1, *spatial) to (1, 1, *spatial of the result).
    """
    n_axes = len(window.kernel)
    spatial = x.shape[len(x.shape) - n_axes :]
    images = x if len(x.shape) == n_axes + 2 else build.reshape(x, (1, *x.shape))
    channels = images.shape[1]
    ones = torch.ones(channels, 1, *window.kernel)
    sums = convolution(build, images, ones, None, window, channels)
    all_ones = torch.ones(1, 1, *spatial, dtype=torch.float64)
    padding = [n for pair in reversed(window.padding) for n in pair]
    convolve: Any = (functional.conv1d, functional.conv2d, functional.conv3d)[n_axes - 1]
    count = convolve(
        functional.pad(all_ones, padding), ones[:1].double(), None, window.strides, 0, window.dilation
    )
    share = average(all_ones) / count
    uniform = torch.all(share == share.ravel()[0])
    averaged = build.affine(sums, share.ravel()[0] if uniform else share)
    return build.reshape(averaged, (*x.shape[: len(x.shape) - n_axes], *averaged.shape[-n_axes:]))


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
        axis = len(x.shape) - len(taken) + index
        if torch.equal(read, torch.arange(x.shape[axis])[None]):
            continue

        def members(tensor: Tensor, read: Tensor = read, axis: int = axis) -> Tensor:
            picked = tensor.index_select(axis, read.clamp(min=0).flatten()).unflatten(axis, read.shape)
            none = (read < 0).reshape(*read.shape, *(1,) * (tensor.ndim - axis - 1))
            return torch.where(none, 0.0, picked).movedim(axis, 0)

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
    """Append a normalization by constant statistics of each channel, the second axis."""
    mean, variance = mean.to(torch.float64), variance.to(torch.float64)
    scale = torch.rsqrt(variance + epsilon)
    if weight is not None:
        scale = scale * weight.to(torch.float64)
    offset = -mean * scale
    if bias is not None:
        offset = offset + bias.to(torch.float64)
    across = (-1, *(1,) * (len(x.shape) - 2))
    return build.affine(x, scale.reshape(across), offset.reshape(across))


def matmul(build: NetworkBuilder, a: Node | Tensor, b: Node | Tensor) -> Node:
    """Append ``a @ b`` of which one or both are encrypted."""
    if isinstance(a, Node) and isinstance(b, Node):
        return _product(build, a, b)
    if isinstance(a, Node):
        assert isinstance(b, Tensor)
        if b.ndim == 1:
            return build.reshape(build.linear(a, b[:, None]), a.shape[:-1])
        if b.ndim == 2:
            return build.linear(a, b)
        constant = b.double()
        return linear_map(build, a, lambda tensor: tensor @ constant)
    assert isinstance(a, Tensor)
    assert isinstance(b, Node)
    if a.ndim <= 2 and len(b.shape) <= 2:
        columns = b if len(b.shape) == 1 else build.move(b, lambda tensor: tensor.T)
        rows = a.reshape(-1, a.shape[-1])
        product = build.linear(columns, rows.T)
        turned = product if len(b.shape) == 1 else build.move(product, lambda tensor: tensor.T)
        return build.reshape(turned, (*a.shape[:-1], *b.shape[1:]))
    constant = a.double()
    return linear_map(build, b, lambda tensor: constant @ tensor)


def _product(build: NetworkBuilder, a: Node, b: Node) -> Node:
    """Append the product of two encrypted matrices, vectors or stacks of matrices."""
    left = build.reshape(a, (1, *a.shape)) if len(a.shape) == 1 else a
    right = build.reshape(b, (*b.shape, 1)) if len(b.shape) == 1 else b
    batch = torch.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    left = build.broadcast(left, (*batch, *left.shape[-2:]))
    right = build.broadcast(right, (*batch, *right.shape[-2:]))
    rows = left.shape[-2:-1] if len(a.shape) > 1 else ()
    columns = right.shape[-1:] if len(b.shape) > 1 else ()
    return build.reshape(build.add(MatMul(), left, right), (*batch, *rows, *columns))


def linear_map(build: NetworkBuilder, x: Node, function: Callable[[Tensor], Tensor]) -> Node:
    """Append a linear function of a tensor of the shape of ``x``, written as the matrix that it is."""
    size = math.prod(x.shape)
    with torch.no_grad():
        bias = function(torch.zeros(x.shape, dtype=torch.float64))
        if size * bias.numel() > MOST_DENSE_WEIGHTS:
            raise build.unsupported(f"it would take a matrix of {size} × {bias.numel()} weights")
        basis = torch.eye(size, dtype=torch.float64).reshape(size, *x.shape)
        matrix = _of_each(function, basis).reshape(size, -1) - bias.reshape(1, -1)
    result = build.linear(build.reshape(x, (-1,)), matrix, bias.flatten())
    several = x.reference[:EXAMPLE_ROWS]
    exact = torch.stack([function(tensor) for tensor in several])
    if not torch.allclose(exact.flatten(1), result.reference[:EXAMPLE_ROWS]):
        raise build.unsupported("it is not linear")
    return build.reshape(result, bias.shape)


def _of_each(function: Callable[[Tensor], Tensor], tensors: Tensor) -> Tensor:
    """Apply a function to each of several tensors, together if it takes them along its first axis."""
    if tensors.ndim > 1 and tensors.shape[1] == 1:
        try:
            together = function(tensors.flatten(0, 1))
        except Exception:
            together = tensors[:0]
        first, last = (function(tensors[index]) for index in (0, -1))
        alike = len(first) == 1 and together.shape == (len(tensors), *first.shape[1:])
        if alike and torch.equal(together[:1], first) and torch.equal(together[-1:], last):
            return together
    return torch.stack([function(tensor) for tensor in tensors])
