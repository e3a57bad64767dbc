"""Products of torch, sums of them, and functions of elements, by their parts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from skfhe.importers._handlers import HandlerTable
from skfhe.importers._torch.statistics import axes_of, count

__all__ = ["PARTS"]

PARTS = HandlerTable()
"""By ATen name with its overload; "name" stands for "name.default"."""


# --------------------------------------------------------------------------------- products and their sums


@PARTS.handles("addcmul")
def _addcmul(x: Tensor, a: Tensor, b: Tensor, *, value: float = 1) -> Tensor:
    return x + a * b * value


@PARTS.handles("addcdiv")
def _addcdiv(x: Tensor, a: Tensor, b: Tensor, *, value: float = 1) -> Tensor:
    return x + a / b * value


@PARTS.handles("lerp.Scalar", "lerp.Tensor")
def _lerp(start: Tensor, end: Tensor, weight: Any) -> Tensor:
    return start + weight * (end - start)


@PARTS.handles("baddbmm")
def _plus_product(x: Tensor, a: Tensor, b: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    return x * beta + _product(a, b) * alpha


def _product(a: Tensor, b: Tensor) -> Tensor:
    return a @ b if b.ndim > 1 else (a @ b.unsqueeze(-1)).squeeze(-1)


@PARTS.handles("linalg_vecdot")
def _vecdot(a: Tensor, b: Tensor, *, dim: int = -1) -> Tensor:
    return (a * b).sum(dim)


@PARTS.handles("linalg_cross", "cross")
def _cross(a: Tensor, b: Tensor, *dims: Any, dim: int | None = None) -> Tensor:
    shape = torch.broadcast_shapes(a.shape, b.shape)
    given = dims[0] if dims else dim
    axis = shape.index(3) if given is None else given
    first, second = ([x.expand(shape).roll(-shift, axis) for shift in (1, 2)] for x in (a, b))
    return first[0] * second[1] - first[1] * second[0]


@PARTS.handles("bilinear")
def _bilinear(x: Tensor, y: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Multiply by the weights first, which are constants: fewer products of two values are left."""
    n_outputs, n_x, n_y = weight.shape
    projected = functional.linear(x, weight.transpose(1, 2).reshape(n_outputs * n_y, n_x))
    products = projected.unflatten(-1, (n_outputs, n_y)) * y.unsqueeze(-2)
    return products.sum(-1) if bias is None else products.sum(-1) + bias


@PARTS.handles("prod.dim_int")
def _prod(x: Tensor, dim: int, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    factors = list(x.unbind(dim))
    while len(factors) > 1:
        pairs = [a * b for a, b in zip(factors[::2], factors[1::2], strict=False)]
        factors = pairs + factors[len(pairs) * 2 :]
    return factors[0].unsqueeze(dim) if keepdim else factors[0]


@PARTS.handles("prod")
def _prod_of_all(x: Tensor, *, dtype: Any = None) -> Tensor:
    return _prod(x.reshape(-1), 0)


@PARTS.handles("cumprod")
def _cumprod(x: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    first, *others = x.unbind(dim)
    products = [first]
    for factor in others:
        products.append(products[-1] * factor)
    return torch.stack(products, dim)


@PARTS.handles("tensordot")
def _tensordot(a: Tensor, b: Tensor, dims_a: Sequence[int], dims_b: Sequence[int]) -> Tensor:
    summed_a, summed_b = [dim % a.ndim for dim in dims_a], [dim % b.ndim for dim in dims_b]
    rest_a = [axis for axis in range(a.ndim) if axis not in summed_a]
    rest_b = [axis for axis in range(b.ndim) if axis not in summed_b]
    n_terms = count(a, summed_a)
    left = a.permute(rest_a + summed_a).reshape(-1, n_terms)
    right = b.permute(summed_b + rest_b).reshape(n_terms, -1)
    return (left @ right).reshape([a.shape[i] for i in rest_a] + [b.shape[i] for i in rest_b])


@PARTS.handles("inner")
def _inner(a: Tensor, b: Tensor) -> Tensor:
    if a.ndim == 0 or b.ndim == 0:
        return a * b
    return _tensordot(a, b, [-1], [-1])


@PARTS.handles("einsum")
def _einsum(equation: str, tensors: Sequence[Tensor], *, path: Any = None) -> Tensor:
    """Contract the first two tensors, and their product with the next."""
    terms, wanted = _spelled_out(equation, [x.ndim for x in tensors])
    spread = [_diagonal(x, term) for x, term in zip(tensors, terms, strict=True)]
    (x, term), *others = spread
    for index, (y, other) in enumerate(others):
        needed = set(wanted).union(*(later for _, later in others[index + 1 :]))
        x, term = _contracted(x, term, y, other, needed)
    summed = [axis for axis, letter in enumerate(term) if letter not in wanted]
    x = x.sum(summed) if summed else x
    term = [letter for letter in term if letter in wanted]
    return x.permute([term.index(letter) for letter in wanted])


def _spelled_out(equation: str, ranks: Sequence[int]) -> tuple[list[list[str]], list[str]]:
    """Return the letters of each tensor's axes and of the result's, digits for those of an ellipsis."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    given = left.split(",")
    n_more = max(
        [
            rank - len(term.replace("...", ""))
            for term, rank in zip(given, ranks, strict=True)
            if "..." in term
        ],
        default=0,
    )

    def letters(term: str, n_of_ellipsis: int) -> list[str]:
        before, dots, after = term.partition("...")
        return [*before, *(str(-i) for i in range(n_of_ellipsis if dots else 0, 0, -1)), *after]

    terms = [letters(t, rank - len(t.replace("...", ""))) for t, rank in zip(given, ranks, strict=True)]
    if arrow:
        return terms, letters(right, n_more)
    flat = [letter for term in terms for letter in term]
    once = sorted(letter for letter in set(flat) if flat.count(letter) == 1 and letter.isalpha())
    return terms, letters("...", n_more) + once


def _diagonal(x: Tensor, term: list[str]) -> tuple[Tensor, list[str]]:
    """Take the diagonal over axes of the same letter."""
    for letter in dict.fromkeys(term):
        while term.count(letter) > 1:
            first = term.index(letter)
            second = term.index(letter, first + 1)
            x = x.diagonal(0, first, second)
            term = [v for axis, v in enumerate(term) if axis not in (first, second)] + [letter]
    return x, term


def _contracted(
    x: Tensor, term: list[str], y: Tensor, other: list[str], needed: set[str]
) -> tuple[Tensor, list[str]]:
    """Return the product of two tensors, summed over what is not needed later, as one matrix product."""
    for tensor, own, foreign in ((x, term, other), (y, other, term)):
        alone = [axis for axis, v in enumerate(own) if v not in needed and v not in foreign]
        if alone:
            tensor, own = tensor.sum(alone), [v for axis, v in enumerate(own) if axis not in alone]
        if foreign is other:
            x, term = tensor, own
        else:
            y, other = tensor, own
    batch = [v for v in term if v in other and v in needed]
    summed = [v for v in term if v in other and v not in needed]
    rows, columns = [v for v in term if v not in other], [v for v in other if v not in term]
    sizes = {
        v: n for own, shape in ((term, x.shape), (other, y.shape)) for v, n in zip(own, shape, strict=True)
    }
    for own, shape in ((term, x.shape), (other, y.shape)):
        sizes |= {v: n for v, n in zip(own, shape, strict=True) if n != 1}

    def matrix(tensor: Tensor, own: list[str], *groups: list[str]) -> Tensor:
        moved = tensor.permute([own.index(v) for group in groups for v in group])
        moved = moved.expand([sizes[v] for group in groups for v in group])
        return moved.reshape([math.prod(sizes[v] for v in group) for group in groups])

    if not summed:
        left = matrix(x, term, batch, rows).unsqueeze(2)
        product = left * matrix(y, other, batch, columns).unsqueeze(1)
    else:
        product = matrix(x, term, batch, rows, summed) @ matrix(y, other, batch, summed, columns)
    result = batch + rows + columns
    return product.reshape([sizes[v] for v in result]), result


@PARTS.handles("kron")
def _kron(a: Tensor, b: Tensor) -> Tensor:
    rank = max(a.ndim, b.ndim)
    a, b = (x.reshape(*(1,) * (rank - x.ndim), *x.shape) for x in (a, b))
    left = a.reshape([n for size in a.shape for n in (size, 1)])
    right = b.reshape([n for size in b.shape for n in (1, size)])
    return (left * right).reshape([n * m for n, m in zip(a.shape, b.shape, strict=True)])


@PARTS.handles("linalg_multi_dot")
def _multi_dot(tensors: Sequence[Tensor]) -> Tensor:
    first, *others = tensors
    for other in others:
        first = _product(first, other)
    return first


# ------------------------------------------------------------------------------------- functions of elements


@PARTS.handles("logit")
def _logit(x: Tensor, eps: float | None = None) -> Tensor:
    x = x if eps is None else x.clamp(eps, 1 - eps)
    return torch.log(x / (1 - x))


@PARTS.handles("logaddexp")
def _logaddexp(x: Tensor, y: Tensor) -> Tensor:
    return y + functional.softplus(x - y, threshold=math.inf)


@PARTS.handles("hypot")
def _hypot(x: Tensor, y: Tensor) -> Tensor:
    return torch.sqrt(x.square() + y.square())


@PARTS.handles("sinc")
def _sinc(x: Tensor) -> Tensor:
    return torch.where(x == 0, 1.0, torch.sin(math.pi * x) / (math.pi * x))


@PARTS.handles("xlogy.Tensor")
def _xlogy(x: Tensor, y: Tensor) -> Tensor:
    return x * torch.log(y)


@PARTS.handles("diff")
def _diff(x: Tensor, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None) -> Tensor:
    parts = [part for part in (prepend, x, append) if part is not None]
    x = torch.cat(parts, dim) if len(parts) > 1 else x
    for _ in range(n):
        size = x.shape[dim]
        x = x.narrow(dim, 1, size - 1) - x.narrow(dim, 0, size - 1)
    return x


@PARTS.handles("any.dim", "any.dims", "any")
def _any(x: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    return (x != 0).to(torch.float64).amax(axes_of(x, dim), keepdim) > 0.5


@PARTS.handles("all.dim", "all.dims", "all")
def _all(x: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    return (x != 0).to(torch.float64).amin(axes_of(x, dim), keepdim) > 0.5


@PARTS.handles("count_nonzero", "count_nonzero.dim_IntList")
def _count_nonzero(x: Tensor, dim: Any = None) -> Tensor:
    return (x != 0).to(torch.float64).sum(axes_of(x, dim)).round().to(torch.int64)


@PARTS.handles("embedding_bag", "embedding_bag.padding_idx")
def _embedding_bag(weight: Tensor, indices: Tensor, offsets: Tensor, *rest: Any) -> tuple[Tensor, ...]:
    """Take all indices for those of one bag, as they are in one row."""
    _, mode, _, sample_weights, *_ = *rest, *(None,) * 4
    if len(offsets) != 1:
        raise NotImplementedError("a row holds one bag")
    vectors = functional.embedding(indices, weight)
    if sample_weights is not None:
        vectors = vectors * sample_weights.unsqueeze(-1)
    bag = vectors.amax(0) if mode == 2 else vectors.mean(0) if mode == 1 else vectors.sum(0)
    nothing = torch.zeros(0, dtype=torch.int64)
    return bag.unsqueeze(0), nothing, nothing, nothing
