"""Normalization, attention, statistics and norms of torch by their parts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from skfhe.importers._handlers import HandlerTable

__all__ = ["PARTS", "axes_of", "count"]

PARTS = HandlerTable()
"""By ATen name with its overload; "name" stands for "name.default"."""


# ------------------------------------------------------------------------------------------ normalization


def axes_of(x: Tensor, dims: Any) -> list[int]:
    """Return all axes for None or an empty list, otherwise those given, counted from 0."""
    if dims is None or (not isinstance(dims, int) and len(dims) == 0):
        return list(range(x.ndim))
    return [dim % x.ndim for dim in ([dims] if isinstance(dims, int) else dims)]


def count(x: Tensor, axes: Sequence[int]) -> int:
    return math.prod(x.shape[axis] for axis in axes)


def _centred(x: Tensor, axes: Sequence[int]) -> Tensor:
    return x - x.mean(list(axes), keepdim=True)


def _with_parameters(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    x = x if weight is None else x * weight
    return x if bias is None else x + bias


def _standardized(x: Tensor, axes: Sequence[int], epsilon: float) -> Tensor:
    centred = _centred(x, axes)
    return centred * torch.rsqrt(centred.square().mean(list(axes), keepdim=True) + epsilon)


@PARTS.handles("layer_norm")
def _layer_norm(
    x: Tensor,
    shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    *rest: Any,
) -> Tensor:
    axes = list(range(x.ndim - len(shape), x.ndim))
    return _with_parameters(_standardized(x, axes, eps), weight, bias)


@PARTS.handles("rms_norm")
def _rms_norm(
    x: Tensor, shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    axes = list(range(x.ndim - len(shape), x.ndim))
    epsilon = torch.finfo(x.dtype).eps if eps is None else eps
    scale = torch.rsqrt(x.square().mean(axes, keepdim=True) + epsilon)
    return _with_parameters(x * scale, weight, None)


def _across(parameter: Tensor | None, x: Tensor) -> Tensor | None:
    """Return a parameter of each channel, which broadcasts against a batch."""
    return None if parameter is None else parameter.reshape(1, -1, *(1,) * (x.ndim - 2))


@PARTS.handles("group_norm")
def _group_norm(
    x: Tensor,
    n_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    *rest: Any,
) -> Tensor:
    normal = _standardized(x.reshape(x.shape[0], n_groups, -1), [2], eps).reshape(x.shape)
    return _with_parameters(normal, _across(weight, x), _across(bias, x))


@PARTS.handles("instance_norm")
def _instance_norm(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor | None,
    variance: Tensor | None,
    use_input_stats: bool,
    momentum: float,
    eps: float,
    *rest: Any,
) -> Tensor:
    if not use_input_stats:
        return functional.batch_norm(x, mean, variance, weight, bias, False, momentum, eps)
    normal = _standardized(x, list(range(2, x.ndim)), eps)
    return _with_parameters(normal, _across(weight, x), _across(bias, x))


# ---------------------------------------------------------------------------------------------- attention


@PARTS.handles("scaled_dot_product_attention")
def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    dropout: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    if enable_gqa:
        n_copies = query.shape[-3] // key.shape[-3]
        key, value = (x.repeat_interleave(n_copies, -3) for x in (key, value))
    logits = (query * (query.shape[-1] ** -0.5 if scale is None else scale)) @ key.mT
    if is_causal:
        mask = torch.ones(logits.shape[-2:], dtype=torch.bool).tril()
    if mask is not None:
        keeps = mask.dtype == torch.bool
        logits = torch.where(mask, logits, -math.inf) if keeps else logits + mask
    weights = logits.softmax(-1) if mask is None else torch._safe_softmax(logits, -1)
    found = functional.dropout(weights, dropout, True) @ value if dropout else weights @ value
    # torch's own results lie in memory by tokens, then heads, which views of them rely on
    return found.transpose(1, 2).contiguous().transpose(1, 2) if found.ndim == 4 else found


# --------------------------------------------------------------------------------------------- statistics


def _variance(x: Tensor, dims: Any, correction: float | None, keepdim: bool) -> tuple[Tensor, Tensor]:
    """Return the variance and the mean over axes."""
    axes = axes_of(x, dims)
    correction = 1 if correction is None else correction
    mean = x.mean(axes, keepdim=True)
    n = count(x, axes)
    variance = (x - mean).square().sum(axes, keepdim=True) / max(n - correction, 0)
    if keepdim:
        return variance, mean
    shape = [size for axis, size in enumerate(x.shape) if axis not in axes]
    return variance.reshape(shape), mean.reshape(shape)


def _statistic(name: str, root: bool, with_mean: bool) -> None:
    """Register the overloads of ``var``, ``std``, ``var_mean`` and ``std_mean``."""

    def found(x: Tensor, dims: Any, correction: float | None, keepdim: bool) -> Any:
        variance, mean = _variance(x, dims, correction, keepdim)
        first = variance.sqrt() if root else variance
        return (first, mean) if with_mean else first

    @PARTS.handles(name)
    def of_all(x: Tensor, unbiased: bool = True) -> Any:
        return found(x, None, int(unbiased), False)

    @PARTS.handles(f"{name}.dim")
    def over(x: Tensor, dim: Any, unbiased: bool = True, keepdim: bool = False) -> Any:
        return found(x, dim, int(unbiased), keepdim)

    @PARTS.handles(f"{name}.correction")
    def corrected(x: Tensor, dim: Any = None, *, correction: Any = None, keepdim: bool = False) -> Any:
        return found(x, dim, correction, keepdim)


for _name in ("var", "std"):
    _statistic(_name, _name == "std", with_mean=False)
    _statistic(f"{_name}_mean", _name == "std", with_mean=True)


# -------------------------------------------------------------------------------------------------- norms


@PARTS.handles("linalg_vector_norm")
def _vector_norm(
    x: Tensor, ord: float = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    axes = axes_of(x, dim)
    if ord == math.inf:
        return x.abs().amax(axes, keepdim)
    if ord == -math.inf:
        return x.abs().amin(axes, keepdim)
    if ord == 0:
        return (x != 0).to(x.dtype).sum(axes, keepdim)
    powers = x.square() if ord == 2 else x.abs() if ord == 1 else x.abs() ** ord
    total = powers.sum(axes, keepdim)
    return total if ord == 1 else total.sqrt() if ord == 2 else total ** (1 / ord)


@PARTS.handles("linalg_norm")
def _linalg_norm(
    x: Tensor, ord: Any = None, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    if ord is None:
        return _vector_norm(x, 2, dim, keepdim)
    n_axes = x.ndim if dim is None else 1 if isinstance(dim, int) else len(dim)
    if n_axes == 1:
        return _vector_norm(x, ord, dim, keepdim)
    return torch.linalg.matrix_norm(x, ord, dim or (-2, -1), keepdim)


@PARTS.handles("linalg_matrix_norm", "linalg_matrix_norm.str_ord")
def _matrix_norm(
    x: Tensor, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    if ord == "fro":
        return _vector_norm(x, 2, dim, keepdim)
    row, column = (axis % x.ndim for axis in dim)
    if ord in ("nuc", 2, -2):  # refused by the name of what it takes
        values = torch.linalg.svdvals(x.movedim((row, column), (-2, -1)))
        found = values.sum(-1) if ord == "nuc" else values.amax(-1) if ord > 0 else values.amin(-1)
        return found.unsqueeze(min(row, column)).unsqueeze(max(row, column)) if keepdim else found
    summed, rest = (row, column) if abs(ord) == 1 else (column, row)
    sums = x.abs().sum(summed, keepdim=True)
    found = sums.amax([rest], keepdim=True) if ord > 0 else sums.amin([rest], keepdim=True)
    return found if keepdim else found.squeeze([row, column])


@PARTS.handles("pairwise_distance")
def _pairwise_distance(
    x: Tensor, y: Tensor, p: float = 2, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    return _vector_norm(x - y + eps, p, -1, keepdim)


@PARTS.handles("cdist")
def _cdist(x: Tensor, y: Tensor, p: float = 2, compute_mode: int | None = None) -> Tensor:
    return _vector_norm(x.unsqueeze(-2) - y.unsqueeze(-3), p, -1)


@PARTS.handles("cosine_similarity")
def _cosine_similarity(x: Tensor, y: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """Multiply by both norms' reciprocals at once: by an exponential of the sum of their logarithms."""
    logs = [v.square().sum(dim).clamp_min(eps * eps).log() for v in (x, y)]
    return (x * y).sum(dim) * torch.exp(-0.5 * (logs[0] + logs[1]))
