"""Operators of torch by their parts: what they compute, written with operators that can be encrypted.

torch's own decompositions end in operators of their own (``var_mean``, ``as_strided``), and are written for
speed in the clear. These are written for few lookups: what is linear stays together, and of two forms of the
same function the one with fewer products is taken. They are entries of a table for
``ExportedProgram.run_decompositions``; each takes what the operator was called with, on tensors of any shape,
and may use operators that have an entry themselves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from skfhe.importers._torch.recurrent import gru, gru_cell, lstm, lstm_cell, rnn, rnn_cell

__all__ = ["DECOMPOSITIONS", "by_parts"]

DECOMPOSITIONS: dict[str, Callable[..., Any]] = {}
"""By ATen name with its overload; "name" stands for "name.default"."""
_aten = torch.ops.aten


def by_parts(exported: Any) -> Any:
    """Return an exported program whose operators are decomposed, where there is one to decompose.

    Parameters
    ----------
    exported : torch.export.ExportedProgram

    Returns
    -------
    torch.export.ExportedProgram
        The very program if no operator of it has an entry: it keeps its operators.
    """
    called = {node.target for node in exported.graph.nodes if node.op == "call_function"}
    if not called & set(_table()):
        return exported
    return exported.run_decompositions(_table())


def _table() -> dict[Any, Callable[..., Any]]:
    """Return the decompositions of the operators that this torch has; the receiver may change it."""
    table = {}
    for name, function in DECOMPOSITIONS.items():
        packet, _, overload = name.partition(".")
        operator = getattr(getattr(_aten, packet, None), overload or "default", None)
        if operator is not None:
            table[operator] = function
    return table


def _decomposes(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        for name in names:
            DECOMPOSITIONS[name] = function
        return function

    return register


# ------------------------------------------------------------------------------------------ normalization


def _axes(x: Tensor, dims: Any) -> list[int]:
    """Return all axes for None or an empty list, otherwise those given, counted from 0."""
    if dims is None or (not isinstance(dims, int) and len(dims) == 0):
        return list(range(x.ndim))
    return [dim % x.ndim for dim in ([dims] if isinstance(dims, int) else dims)]


def _count(x: Tensor, axes: Sequence[int]) -> int:
    return math.prod(x.shape[axis] for axis in axes)


def _centred(x: Tensor, axes: Sequence[int]) -> Tensor:
    return x - x.mean(list(axes), keepdim=True)


def _with_parameters(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    x = x if weight is None else x * weight
    return x if bias is None else x + bias


def _standardized(x: Tensor, axes: Sequence[int], epsilon: float) -> Tensor:
    centred = _centred(x, axes)
    return centred * torch.rsqrt(centred.square().mean(list(axes), keepdim=True) + epsilon)


@_decomposes("layer_norm")
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


@_decomposes("rms_norm")
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


@_decomposes("group_norm")
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


@_decomposes("instance_norm")
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


@_decomposes("scaled_dot_product_attention")
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
    return functional.dropout(weights, dropout, True) @ value if dropout else weights @ value


# --------------------------------------------------------------------------------------------- statistics


def _variance(x: Tensor, dims: Any, correction: float | None, keepdim: bool) -> tuple[Tensor, Tensor]:
    """Return the variance and the mean over axes."""
    axes = _axes(x, dims)
    correction = 1 if correction is None else correction
    mean = x.mean(axes, keepdim=True)
    n = _count(x, axes)
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

    @_decomposes(name)
    def of_all(x: Tensor, unbiased: bool = True) -> Any:
        return found(x, None, int(unbiased), False)

    @_decomposes(f"{name}.dim")
    def over(x: Tensor, dim: Any, unbiased: bool = True, keepdim: bool = False) -> Any:
        return found(x, dim, int(unbiased), keepdim)

    @_decomposes(f"{name}.correction")
    def corrected(x: Tensor, dim: Any = None, *, correction: Any = None, keepdim: bool = False) -> Any:
        return found(x, dim, correction, keepdim)


for _name in ("var", "std"):
    _statistic(_name, _name == "std", with_mean=False)
    _statistic(f"{_name}_mean", _name == "std", with_mean=True)


# -------------------------------------------------------------------------------------------------- norms


@_decomposes("linalg_vector_norm")
def _vector_norm(x: Tensor, ord: float = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None):
    axes = _axes(x, dim)
    if ord == math.inf:
        return x.abs().amax(axes, keepdim)
    if ord == -math.inf:
        return x.abs().amin(axes, keepdim)
    if ord == 0:
        return (x != 0).to(x.dtype).sum(axes, keepdim)
    powers = x.square() if ord == 2 else x.abs() if ord == 1 else x.abs() ** ord
    total = powers.sum(axes, keepdim)
    return total if ord == 1 else total.sqrt() if ord == 2 else total ** (1 / ord)


@_decomposes("linalg_norm")
def _linalg_norm(x: Tensor, ord: Any = None, dim: Any = None, keepdim: bool = False, *, dtype: Any = None):
    if ord is None:
        return _vector_norm(x, 2, dim, keepdim)
    n_axes = x.ndim if dim is None else 1 if isinstance(dim, int) else len(dim)
    if n_axes == 1:
        return _vector_norm(x, ord, dim, keepdim)
    return torch.linalg.matrix_norm(x, ord, dim or (-2, -1), keepdim)


@_decomposes("linalg_matrix_norm", "linalg_matrix_norm.str_ord")
def _matrix_norm(
    x: Tensor, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, *, dtype: Any = None
):
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


@_decomposes("pairwise_distance")
def _pairwise_distance(
    x: Tensor, y: Tensor, p: float = 2, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    return _vector_norm(x - y + eps, p, -1, keepdim)


@_decomposes("cdist")
def _cdist(x: Tensor, y: Tensor, p: float = 2, compute_mode: int | None = None) -> Tensor:
    return _vector_norm(x.unsqueeze(-2) - y.unsqueeze(-3), p, -1)


@_decomposes("cosine_similarity")
def _cosine_similarity(x: Tensor, y: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """Multiply by both norms' reciprocals at once: by an exponential of the sum of their logarithms."""
    logs = [v.square().sum(dim).clamp_min(eps * eps).log() for v in (x, y)]
    return (x * y).sum(dim) * torch.exp(-0.5 * (logs[0] + logs[1]))


# --------------------------------------------------------------------------------- products and their sums


@_decomposes("addcmul")
def _addcmul(x: Tensor, a: Tensor, b: Tensor, *, value: float = 1) -> Tensor:
    return x + a * b * value


@_decomposes("addcdiv")
def _addcdiv(x: Tensor, a: Tensor, b: Tensor, *, value: float = 1) -> Tensor:
    return x + a / b * value


@_decomposes("lerp.Scalar", "lerp.Tensor")
def _lerp(start: Tensor, end: Tensor, weight: Any) -> Tensor:
    return start + weight * (end - start)


@_decomposes("baddbmm")
def _plus_product(x: Tensor, a: Tensor, b: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    return x * beta + _product(a, b) * alpha


def _product(a: Tensor, b: Tensor) -> Tensor:
    return a @ b if b.ndim > 1 else (a @ b.unsqueeze(-1)).squeeze(-1)


@_decomposes("linalg_vecdot")
def _vecdot(a: Tensor, b: Tensor, *, dim: int = -1) -> Tensor:
    return (a * b).sum(dim)


@_decomposes("linalg_cross", "cross")
def _cross(a: Tensor, b: Tensor, *dims: Any, dim: int | None = None) -> Tensor:
    shape = torch.broadcast_shapes(a.shape, b.shape)
    given = dims[0] if dims else dim
    axis = shape.index(3) if given is None else given
    first, second = ([x.expand(shape).roll(-shift, axis) for shift in (1, 2)] for x in (a, b))
    return first[0] * second[1] - first[1] * second[0]


@_decomposes("bilinear")
def _bilinear(x: Tensor, y: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Multiply by the weights first, which are constants: fewer products of two values are left."""
    n_outputs, n_x, n_y = weight.shape
    projected = functional.linear(x, weight.transpose(1, 2).reshape(n_outputs * n_y, n_x))
    products = projected.unflatten(-1, (n_outputs, n_y)) * y.unsqueeze(-2)
    return _with_parameters(products.sum(-1), None, bias)


@_decomposes("prod.dim_int")
def _prod(x: Tensor, dim: int, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    factors = list(x.unbind(dim))
    while len(factors) > 1:
        pairs = [a * b for a, b in zip(factors[::2], factors[1::2], strict=False)]
        factors = pairs + factors[len(pairs) * 2 :]
    return factors[0].unsqueeze(dim) if keepdim else factors[0]


@_decomposes("prod")
def _prod_of_all(x: Tensor, *, dtype: Any = None) -> Tensor:
    return _prod(x.reshape(-1), 0)


@_decomposes("cumprod")
def _cumprod(x: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    first, *others = x.unbind(dim)
    products = [first]
    for factor in others:
        products.append(products[-1] * factor)
    return torch.stack(products, dim)


@_decomposes("tensordot")
def _tensordot(a: Tensor, b: Tensor, dims_a: Sequence[int], dims_b: Sequence[int]) -> Tensor:
    summed_a, summed_b = [dim % a.ndim for dim in dims_a], [dim % b.ndim for dim in dims_b]
    rest_a = [axis for axis in range(a.ndim) if axis not in summed_a]
    rest_b = [axis for axis in range(b.ndim) if axis not in summed_b]
    n_terms = _count(a, summed_a)
    left = a.permute(rest_a + summed_a).reshape(-1, n_terms)
    right = b.permute(summed_b + rest_b).reshape(n_terms, -1)
    return (left @ right).reshape([a.shape[i] for i in rest_a] + [b.shape[i] for i in rest_b])


@_decomposes("inner")
def _inner(a: Tensor, b: Tensor) -> Tensor:
    if a.ndim == 0 or b.ndim == 0:
        return a * b
    return _tensordot(a, b, [-1], [-1])


@_decomposes("einsum")
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


@_decomposes("kron")
def _kron(a: Tensor, b: Tensor) -> Tensor:
    rank = max(a.ndim, b.ndim)
    a, b = (x.reshape(*(1,) * (rank - x.ndim), *x.shape) for x in (a, b))
    left = a.reshape([n for size in a.shape for n in (size, 1)])
    right = b.reshape([n for size in b.shape for n in (1, size)])
    return (left * right).reshape([n * m for n, m in zip(a.shape, b.shape, strict=True)])


@_decomposes("linalg_multi_dot")
def _multi_dot(tensors: Sequence[Tensor]) -> Tensor:
    first, *others = tensors
    for other in others:
        first = _product(first, other)
    return first


# ------------------------------------------------------------------------------------- functions of elements


@_decomposes("logit")
def _logit(x: Tensor, eps: float | None = None) -> Tensor:
    x = x if eps is None else x.clamp(eps, 1 - eps)
    return torch.log(x / (1 - x))


@_decomposes("logaddexp")
def _logaddexp(x: Tensor, y: Tensor) -> Tensor:
    return y + functional.softplus(x - y, threshold=math.inf)


@_decomposes("hypot")
def _hypot(x: Tensor, y: Tensor) -> Tensor:
    return torch.sqrt(x.square() + y.square())


@_decomposes("sinc")
def _sinc(x: Tensor) -> Tensor:
    return torch.where(x == 0, 1.0, torch.sin(math.pi * x) / (math.pi * x))


@_decomposes("xlogy.Tensor")
def _xlogy(x: Tensor, y: Tensor) -> Tensor:
    return x * torch.log(y)


@_decomposes("diff")
def _diff(x: Tensor, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None) -> Tensor:
    parts = [part for part in (prepend, x, append) if part is not None]
    x = torch.cat(parts, dim) if len(parts) > 1 else x
    for _ in range(n):
        size = x.shape[dim]
        x = x.narrow(dim, 1, size - 1) - x.narrow(dim, 0, size - 1)
    return x


@_decomposes("any.dim", "any.dims", "any")
def _any(x: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    return (x != 0).to(torch.float64).amax(_axes(x, dim), keepdim) > 0.5


@_decomposes("all.dim", "all.dims", "all")
def _all(x: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    return (x != 0).to(torch.float64).amin(_axes(x, dim), keepdim) > 0.5


@_decomposes("count_nonzero", "count_nonzero.dim_IntList")
def _count_nonzero(x: Tensor, dim: Any = None) -> Tensor:
    return (x != 0).to(torch.float64).sum(_axes(x, dim)).round().to(torch.int64)


@_decomposes("embedding_bag", "embedding_bag.padding_idx")
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


# ------------------------------------------------------------------------------------------------ recurrent

DECOMPOSITIONS["lstm.input"] = lstm
DECOMPOSITIONS["gru.input"] = gru
DECOMPOSITIONS["lstm_cell"] = lstm_cell
DECOMPOSITIONS["gru_cell"] = gru_cell
for _name, _function in (("tanh", torch.tanh), ("relu", torch.relu)):
    DECOMPOSITIONS[f"rnn_{_name}.input"] = rnn(_function)
    DECOMPOSITIONS[f"rnn_{_name}_cell"] = rnn_cell(_function)
