"""Linear functions of a tensor, written as the matrix that they are."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from skfhe.importers._onnx.call import Call
from skfhe.network import NetworkBuilder, Node

__all__ = ["linear_map", "linear_run"]

MOST_WEIGHTS = 1 << 24
"""Of a matrix without a structure that the program knows."""


def linear_map(build: NetworkBuilder, x: Node, function: Callable[[Tensor], Tensor]) -> Node:
    """Append a linear function, plus a constant, of a tensor.

    ``function`` takes several tensors at once, along an axis before their own.
    """
    size = math.prod(x.shape)
    bias = function(torch.zeros(1, *x.shape, dtype=torch.float64))
    if size * bias.numel() > MOST_WEIGHTS:
        raise build.unsupported(f"it would take a matrix of {size} × {bias.numel()} weights")
    basis = function(torch.eye(size, dtype=torch.float64).reshape(size, *x.shape)) - bias
    flat = build.move(x, lambda t: t.reshape(-1))
    result = build.linear(flat, basis.reshape(size, -1), bias.flatten())
    shape = bias.shape[1:]
    made: Node = build.move(result, lambda t: t.reshape(shape))
    sample = x.reference[:1]
    if not torch.allclose(function(sample), made.reference[:1], rtol=1e-4, atol=1e-6, equal_nan=True):
        raise build.unsupported("it is no linear function of its encrypted input", "one that is")
    return made


def linear_run(call: Call, index: int = 0) -> Node:
    """Append what the node is of its input ``index``, of which it is a linear function."""
    for other in range(len(call.inputs)):
        if other != index:
            call.constant(other)

    def function(several: Tensor) -> Tensor:
        each = []
        for one in several:
            given = [*call.inputs[:index], one.numpy(), *call.inputs[index + 1 :]]
            each.append(torch.as_tensor(call.run(*given)[0]).double())
        return torch.stack(each)

    return linear_map(call.build, call.encrypted(index), function)
