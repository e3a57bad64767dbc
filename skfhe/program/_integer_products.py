"""Products of integers with clear weights, exact and fast: what linear layers and convolutions share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from skfhe._typing import Array, IntArray
from skfhe.program import ops

__all__ = ["convolve", "correlate", "multiply", "output_size"]


def multiply(x: IntArray, weight: Array) -> IntArray:
    """Return ``x @ weight``, exactly."""
    return _exactly(np.matmul, x, weight, np.abs(weight).sum(axis=0, dtype=np.int64))


def convolve(x: IntArray, op: ops.Convolution, weight: Array | None = None) -> IntArray:
    """Return the convolution of rows (n_rows, C_in, H, W), exactly and without the bias.

    Parameters
    ----------
    x : ndarray of int64
    op : Convolution
    weight : ndarray of int, default=None
        Used in place of the operation's own.
    """
    weight = op.weight if weight is None else weight

    def product(x: Array, weight: Array) -> Array:
        return correlate(x, weight, op)

    return _exactly(product, x, weight, np.abs(weight).sum(axis=(1, 2, 3), dtype=np.int64))


def output_size(op: ops.Convolution, height: int, width: int) -> tuple[int, int]:
    """Return height and width of the result of ``op`` on rows of ``height`` and ``width``."""
    top, left, bottom, right = op.padding
    return (
        (height + top + bottom - op.dilation[0] * (op.weight.shape[2] - 1) - 1) // op.strides[0] + 1,
        (width + left + right - op.dilation[1] * (op.weight.shape[3] - 1) - 1) // op.strides[1] + 1,
    )


def _exactly(
    product: Callable[[Array, Array], Array], x: IntArray, weight: Array, sums: IntArray
) -> IntArray:
    """Return ``product(x, weight)``, through floats where they hold every partial sum: that is much faster.

    ``sums`` holds, for each result, the sum of the absolute weights it takes.
    """
    largest = int(np.abs(x).max(initial=0)) * int(sums.max(initial=0))
    for kind, exact in ((np.float32, 1 << 24), (np.float64, 1 << 53)):
        if largest <= exact:
            return product(x.astype(kind), weight.astype(kind)).astype(np.int64)
    return product(x, weight.astype(np.int64))


def correlate(x: Array, weight: Array, op: ops.Convolution) -> Array:
    """Return the convolution of rows with ``weight`` in place of the operation's own, in the type of ``x``.

    One matrix product for each position of the kernel is added up: a copy of all patches would be larger than
    the rows by the kernel's size.
    """
    n_rows, n_channels, *size = x.shape
    top, left, bottom, right = op.padding
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    height, width = output_size(op, *size)
    by_group = weight.reshape(op.groups, -1, *weight.shape[1:])
    result = np.zeros((n_rows, op.groups, by_group.shape[1], height * width), dtype=x.dtype)
    for i, j in np.ndindex(*weight.shape[2:]):
        down, across = i * op.dilation[0], j * op.dilation[1]
        seen = padded[
            :,
            :,
            down : down + (height - 1) * op.strides[0] + 1 : op.strides[0],
            across : across + (width - 1) * op.strides[1] + 1 : op.strides[1],
        ]
        seen = seen.reshape(n_rows, op.groups, n_channels // op.groups, height * width)
        result += by_group[:, :, :, i, j] @ seen
    return result.reshape(n_rows, len(weight), height, width)
