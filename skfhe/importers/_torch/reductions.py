"""Operators of torch that take the elements along an axis together: softmax, and elements in order."""

from __future__ import annotations

import math
from typing import Any

import torch

from skfhe.importers._torch.handlers import HANDLERS, POSITIONS
from skfhe.network import NetworkBuilder, Node, probabilities, rankings

__all__: list[str] = []


def _axis(x: Node, dim: int) -> int:
    return dim % max(1, len(x.shape))


def _raised(build: NetworkBuilder, x: Node) -> Node:
    """Return ``x``, a single element as a vector."""
    return x if x.shape else build.reshape(x, (1,))


@HANDLERS.handles("softmax", "_safe_softmax")
def _softmax(build: NetworkBuilder, x: Node, dim: int, *rest: Any, **kwargs: Any) -> Node:
    found = probabilities.softmax(build, _raised(build, x), _axis(x, dim))
    return build.reshape(found, x.shape)


@HANDLERS.handles("log_softmax")
def _log_softmax(build: NetworkBuilder, x: Node, dim: int, *rest: Any, **kwargs: Any) -> Node:
    found = probabilities.log_softmax(build, _raised(build, x), _axis(x, dim))
    return build.reshape(found, x.shape)


@HANDLERS.handles("logsumexp")
def _log_sum_exp(build: NetworkBuilder, x: Node, dim: Any, keepdim: bool = False) -> Node:
    dims = [dim] if isinstance(dim, int) else list(dim)
    axes = sorted(_axis(x, each) for each in dims) or list(range(len(x.shape)))
    return probabilities.log_sum_exp(build, x, axes, keepdim)


@HANDLERS.handles("cummax", "cummin")
def _cumulative(build: NetworkBuilder, x: Node, dim: int) -> Any:
    found = rankings.cumulative_extremum(build, x, _axis(x, dim), build.name == "cummax")
    return found, POSITIONS


@HANDLERS.handles("sort")
def _sort(build: NetworkBuilder, x: Node, dim: int = -1, descending: bool = False, **kwargs: Any) -> Any:
    axis = _axis(x, kwargs.get("dim", dim))
    ranks = range(x.shape[axis])
    falling = kwargs.get("descending", descending)
    return rankings.ranked(build, x, axis, ranks[::-1] if falling else ranks), POSITIONS


@HANDLERS.handles("topk")
def _topk(
    build: NetworkBuilder, x: Node, k: int, dim: int = -1, largest: bool = True, in_order: bool = True
) -> Any:
    axis = _axis(x, dim)
    n = x.shape[axis]
    ranks = range(n - 1, n - 1 - k, -1) if largest else range(k)
    return rankings.ranked(build, x, axis, ranks), POSITIONS


def _of_rank(build: NetworkBuilder, x: Node, axis: int, rank: int, keepdim: bool) -> Node:
    found = rankings.ranked(build, x, axis, [rank])
    return found if keepdim else build.reshape(found, (*x.shape[:axis], *x.shape[axis + 1 :]))


@HANDLERS.handles("kthvalue")
def _kth_value(build: NetworkBuilder, x: Node, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    return _of_rank(build, x, _axis(x, dim), k - 1, keepdim), POSITIONS


@HANDLERS.handles("median")
def _median(build: NetworkBuilder, x: Node, dim: int | None = None, keepdim: bool = False) -> Any:
    if dim is None:
        n = math.prod(x.shape)
        return build.reshape(rankings.ranked(build, build.reshape(x, (n,)), 0, [(n - 1) // 2]), ())
    axis = _axis(x, dim)
    return _of_rank(build, x, axis, (x.shape[axis] - 1) // 2, keepdim), POSITIONS


@HANDLERS.handles("quantile")
def _quantile(
    build: NetworkBuilder,
    x: Node,
    q: float,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
) -> Node:
    """Interpolate between two elements in order."""
    if not isinstance(q, float | int):
        raise build.unsupported("it takes several quantiles", "one after the other")
    flat = build.reshape(x, (math.prod(x.shape),)) if dim is None else x
    axis = 0 if dim is None else _axis(x, dim)
    place = q * (flat.shape[axis] - 1)
    below, above = math.floor(place), math.ceil(place)
    rule = {"lower": 0.0, "higher": 1.0, "midpoint": 0.5, "nearest": float(round(place) - below)}
    share = rule.get(interpolation, place - below) if above > below else 0.0
    first, second = (_of_rank(build, flat, axis, rank, keepdim) for rank in (below, above))
    if dim is None and keepdim:
        first, second = (build.reshape(v, (1,) * len(x.shape)) for v in (first, second))
    if share in (0.0, 1.0):
        return second if share else first
    shares = (build.affine(first, 1 - share), build.affine(second, share))
    return build.elementwise(torch.add, *shares, kind="add")


@HANDLERS.handles("aminmax")
def _both_extrema(build: NetworkBuilder, x: Node, *, dim: int | None = None, keepdim: bool = False) -> Any:
    axes = list(range(len(x.shape))) if dim is None else [_axis(x, dim)]
    return tuple(build.extremum_over(x, axes, keepdim, largest) for largest in (False, True))
