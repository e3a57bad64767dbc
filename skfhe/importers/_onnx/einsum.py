"""Sums of products over named axes, by one product of matrices for each pair of factors."""

from __future__ import annotations

import string
from typing import Any

import torch
from torch import Tensor

from skfhe.importers._onnx.call import Call, double
from skfhe.network import NetworkBuilder, Node, layers

__all__ = ["einsum"]


def einsum(call: Call) -> Node:
    """Append the sum of products that the equation of a node describes."""
    build = call.build
    values: list[Any] = [v if isinstance(v, Node) else double(v) for v in call.inputs]
    terms, result = _explicit(call.attributes["equation"], [len(v.shape) for v in values])
    factors = list(zip(values, terms, strict=True))
    first, names = _diagonal(build, *factors[0])
    for position, (value, term) in enumerate(factors[1:], 1):
        second, others = _diagonal(build, value, term)
        later = result + "".join(t for _, t in factors[position + 1 :])
        first, names = _pair(build, first, names, second, others, later)
    gone = [axis for axis, name in enumerate(names) if name not in result]
    if gone:
        first = first.sum(gone) if isinstance(first, Tensor) else build.total(first, gone, keepdim=False)
        names = "".join(name for name in names if name in result)
    order = [names.index(name) for name in result]
    found = _moved(build, first, lambda t: t.permute(order))
    assert isinstance(found, Node)
    return found


def _moved(build: NetworkBuilder, x: Node | Tensor, function: Any) -> Any:
    return function(x) if isinstance(x, Tensor) else build.move(x, function)


def _explicit(equation: str, ranks: list[int]) -> tuple[list[str], str]:
    """Return the names of axes of each factor and of the result, ellipses written out."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    free = [name for name in string.ascii_letters if name not in equation]
    most = max(
        (rank - len(term.replace("...", "")) for term, rank in zip(terms, ranks, strict=True)), default=0
    )
    dots = "".join(free[:most])
    written = []
    for term, rank in zip(terms, ranks, strict=True):
        n = rank - len(term.replace("...", ""))
        written.append(term.replace("...", dots[len(dots) - n :] if n else ""))
    if arrow:
        return written, right.replace("...", dots)
    counts = "".join(term.replace("...", "") for term in terms)
    return written, dots + "".join(sorted(name for name in set(counts) if counts.count(name) == 1))


def _diagonal(build: NetworkBuilder, x: Any, names: str) -> tuple[Any, str]:
    """Return a factor of which no two axes have one name."""
    while len(set(names)) < len(names):
        name = next(name for name in names if names.count(name) > 1)
        i, j = names.index(name), names.rindex(name)
        x = _moved(build, x, lambda t, i=i, j=j: t.diagonal(dim1=i, dim2=j))
        names = "".join(n for axis, n in enumerate(names) if axis not in (i, j)) + name
    return x, names


def _pair(build: NetworkBuilder, a: Any, of_a: str, b: Any, of_b: str, later: str) -> tuple[Any, str]:
    """Return the product of two factors, summed over what nothing later needs."""
    both = [n for n in of_a if n in of_b and n in later]
    summed = [n for n in of_a if n in of_b and n not in later]
    left, right = [n for n in of_a if n not in of_b], [n for n in of_b if n not in of_a]
    sizes = dict(zip(of_b, b.shape, strict=True)) | {
        n: s for n, s in zip(of_a, a.shape, strict=True) if s != 1 or n not in of_b
    }

    def matrix(x: Any, names: str, rows: list[str], columns: list[str]) -> Any:
        order = [names.index(n) for n in (*both, *rows, *columns)]
        shape = [sizes[n] for n in (*both, *rows, *columns)]
        batch = [sizes[n] for n in both]
        n_rows = torch.Size([sizes[n] for n in rows]).numel()
        return _moved(build, x, lambda t: t.permute(order).expand(shape).reshape(*batch, n_rows, -1))

    x, y = matrix(a, of_a, left, summed), matrix(b, of_b, summed, right)
    if isinstance(x, Tensor) and isinstance(y, Tensor):
        found: Any = x @ y
    else:
        found = layers.matmul(build, x, y)
    names = "".join((*both, *left, *right))
    shape = [sizes[n] for n in names]
    return _moved(build, found, lambda t: t.reshape(shape)), names
