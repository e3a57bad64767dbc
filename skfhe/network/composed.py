"""Operators made of others, in the form that suits encryption, for both frontends.

Sums are free, a lookup is not, and what is divided by is encrypted, too: so a softmax is an exponential of a
difference in place of a quotient, and a deviation from a mean is one linear map.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from skfhe.network._builder import NetworkBuilder
from skfhe.network._node import Node

__all__ = [
    "absolute_power_sum",
    "argument",
    "centered",
    "log_softmax",
    "log_sum_exp",
    "mean",
    "picked",
    "product",
    "ranks",
    "softmax",
    "sort_few",
    "split",
    "squeezed",
    "standardized",
    "weighted",
]

MOST_SPREAD = 30.0
"""Logits that lie further apart than this within a row have their maximum subtracted before exponentials."""


def log_sum_exp(build: NetworkBuilder, x: Node, axes: Sequence[int], keepdim: bool) -> Node:
    """Append log Σ exp x.

    The exponentials share one grid: where logits lie so far apart that small ones would vanish on it, as
    calibration shows, they are counted from their maximum, at a lookup for each comparison.
    """
    finite = x.reference[torch.isfinite(x.reference)]
    spread = float(finite.max() - finite.min()) if finite.numel() else 0.0
    if spread <= MOST_SPREAD:
        return build.univariate(
            build.total(build.univariate(x, torch.exp), axes, keepdim), lambda s: torch.log(s)
        )
    largest = build.extremum_over(x, axes, keepdim=True, largest=True)
    excess = build.elementwise(_difference, x, largest, kind="subtract")
    sums = build.total(build.univariate(excess, torch.exp), axes, keepdim=True)
    found = build.elementwise(torch.add, build.univariate(sums, torch.log), largest, kind="add")
    return found if keepdim else squeezed(build, found, axes)


def _difference(a: Tensor, b: Tensor) -> Tensor:
    """Return a - b, of infinities too: what is infinitely less than the maximum stays so."""
    return torch.where(torch.isinf(a) & (a < 0), a, a - b)


def log_softmax(build: NetworkBuilder, x: Node, axes: Sequence[int]) -> Node:
    """Append x − log Σ exp x."""
    return build.elementwise(_difference, x, log_sum_exp(build, x, axes, keepdim=True), kind="subtract")


def softmax(build: NetworkBuilder, x: Node, axes: Sequence[int]) -> Node:
    """Append exp(x − log Σ exp x): two lookups an element and one a row, and no product."""
    return build.univariate(log_softmax(build, x, axes), torch.exp)


def mean(build: NetworkBuilder, x: Node, axes: Sequence[int], keepdim: bool) -> Node:
    """Append the mean over ``axes``."""
    total = build.total(x, axes, keepdim)
    return build.affine(total, 1.0 / math.prod(x.shape[axis] for axis in axes))


def along(build: NetworkBuilder, x: Node, axes: Sequence[int], function: Callable[[Node], Node]) -> Node:
    """Append what ``function`` makes of the last axis of ``x``, into which ``axes`` are put together."""
    rest = [axis for axis in range(len(x.shape)) if axis not in axes]
    order = [*rest, *axes]
    count = math.prod(x.shape[axis] for axis in axes)
    last = build.move(x, lambda t: t.permute(order).reshape(-1, count))
    back = [order.index(axis) for axis in range(len(order))]
    shape = [x.shape[axis] for axis in order]
    made: Node = build.move(function(last), lambda t: t.reshape(shape).permute(back))
    return made


def centered(build: NetworkBuilder, x: Node, axes: Sequence[int]) -> Node:
    """Append the deviation from the mean over ``axes``, as one linear map of small integers over n."""
    count = math.prod(x.shape[axis] for axis in axes)
    weight = torch.eye(count, dtype=torch.float64) - 1.0 / count
    return along(build, x, axes, lambda last: build.linear(last, weight))


def standardized(
    build: NetworkBuilder, x: Node, axes: Sequence[int], epsilon: float, *, about_mean: bool = True
) -> Node:
    """Append x over its root mean square over ``axes``, about its mean or about zero."""
    deviation = centered(build, x, axes) if about_mean else x
    variance = mean(build, build.univariate(deviation, torch.square), axes, keepdim=True)
    inverse = build.univariate(variance, lambda v: torch.rsqrt(v + epsilon))
    return build.elementwise(torch.mul, deviation, inverse, kind="multiply")


def absolute_power_sum(
    build: NetworkBuilder, x: Node, axes: Sequence[int], power: float, keepdim: bool
) -> Node:
    """Append Σ |x|ᵖ over ``axes``."""
    return build.total(build.univariate(x, lambda v: torch.abs(v) ** power), axes, keepdim)


def product(build: NetworkBuilder, x: Node, axes: Sequence[int], keepdim: bool) -> Node:
    """Append the product over ``axes``, two by two."""
    for axis in axes:
        while x.shape[axis] > 1:
            half = x.shape[axis] // 2
            first, second, rest = split(build, x, axis, [half, half, x.shape[axis] - 2 * half])
            both = build.elementwise(torch.mul, first, second, kind="multiply")
            x = build.concatenate([both, rest], axis) if rest.reference.numel() else both
    return x if keepdim else squeezed(build, x, axes)


def split(build: NetworkBuilder, x: Node, axis: int, sizes: list[int]) -> list[Node]:
    """Append parts along ``axis``."""
    parts: list[Node] = build.move(x, lambda t: t.split(sizes, dim=axis))
    return parts


def picked(build: NetworkBuilder, x: Node, key: Any) -> Node:
    """Append ``x[key]``."""
    moved: Node = build.move(x, lambda t: t[key])
    return moved


def squeezed(build: NetworkBuilder, x: Node, axes: Sequence[int]) -> Node:
    """Append ``x`` without axes of one element."""
    shape = [n for axis, n in enumerate(x.shape) if axis not in axes]
    moved: Node = build.move(x, lambda t: t.reshape(shape))
    return moved


def ranks(build: NetworkBuilder, x: Node, axis: int, *, largest: bool, first: bool = True) -> Node:
    """Append how many along ``axis`` come before each element, by one comparison a pair.

    Among equals the ``first`` comes first, or else the last.
    """
    n = x.shape[axis]
    last: Node = build.move(x, lambda t: t.movedim(axis, -1))
    if n == 1:
        return build.constant(x, torch.zeros(x.shape))
    i, j = torch.triu_indices(n, n, 1)
    left, right = picked(build, last, (..., i)), picked(build, last, (..., j))

    def later(a: Tensor, b: Tensor) -> Tensor:
        """Whether the left one of a pair comes after the right one."""
        if largest:
            return (a < b) if first else (a <= b)
        return (a > b) if first else (a >= b)

    after = build.elementwise(lambda a, b: later(a, b).double(), left, right, kind="compare")
    pair = torch.arange(len(i))
    weight = torch.zeros(len(i), n, dtype=torch.float64)
    weight[pair, i], weight[pair, j] = 1.0, -1.0
    counts = build.linear(after, weight, torch.arange(n, dtype=torch.float64))
    moved: Node = build.move(counts, lambda t: t.movedim(-1, axis))
    return moved


def argument(build: NetworkBuilder, x: Node, axis: int, *, largest: bool, first: bool = True) -> Node:
    """Append where along ``axis`` the extremum is, the axis being kept."""
    place = ranks(build, x, axis, largest=largest, first=first)
    chosen = build.univariate(place, lambda r: (r.round() == 0).double())
    return weighted(build, chosen, axis, torch.arange(x.shape[axis], dtype=torch.float64)[:, None])


def weighted(build: NetworkBuilder, x: Node, axis: int, weight: Tensor) -> Node:
    """Append ``x @ weight`` along ``axis``."""
    last = build.move(x, lambda t: t.movedim(axis, -1))
    moved: Node = build.move(build.linear(last, weight), lambda t: t.movedim(-1, axis))
    return moved


def sort_few(build: NetworkBuilder, x: Node, axis: int, *, largest: bool, count: int | None = None) -> Node:
    """Append the sorted elements along ``axis``, by a network of maxima and minima of neighbours.

    Only the first ``count`` are put in their places.
    """
    n = x.shape[axis]
    count = n if count is None else count
    parts = split(build, x, axis, [1] * n)
    high, low = ("maximum", "minimum") if largest else ("minimum", "maximum")
    functions = {"maximum": torch.maximum, "minimum": torch.minimum}
    for place in range(min(count, n - 1)):
        for i in range(n - 1, place, -1):
            a, b = parts[i - 1], parts[i]
            parts[i - 1] = build.elementwise(functions[high], a, b, kind=high)
            parts[i] = build.elementwise(functions[low], a, b, kind=low)
    return build.concatenate(parts[:count], axis)
