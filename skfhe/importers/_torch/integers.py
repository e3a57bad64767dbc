"""Inputs that are integers to torch: numbers of words or classes, which index tables."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from skfhe.importers._torch.handlers import HANDLERS
from skfhe.network import NetworkBuilder, Node

__all__ = ["as_taken"]

MOST_INPUTS = 6
"""Of so many inputs that hold integers, all combinations are tried."""


def as_taken(net: nn.Module, inputs: Sequence[Tensor]) -> list[Tensor]:
    """Return inputs with those as integers that the network does not take as floats.

    Parameters
    ----------
    net : nn.Module
        In double precision and evaluation mode.
    inputs : sequence of Tensor of float64, each of shape (n_rows, …)

    Returns
    -------
    list of Tensor
        As they are, if the network takes them so, or none of them otherwise.
    """
    whole = [index for index, x in enumerate(inputs) if bool((x == x.round()).all())]
    if not whole or len(whole) > MOST_INPUTS or _takes(net, inputs):
        return list(inputs)
    for n in range(1, len(whole) + 1):
        for picked in itertools.combinations(whole, n):
            tried = [x.long() if index in picked else x for index, x in enumerate(inputs)]
            if _takes(net, tried):
                return tried
    return list(inputs)


def _takes(net: nn.Module, inputs: Sequence[Tensor]) -> bool:
    for dtype in (torch.float64, torch.float32):
        called = net if dtype == torch.float64 else copy.deepcopy(net).to(dtype)
        try:
            with torch.no_grad():
                called(*(x[:1].to(dtype) if x.is_floating_point() else x[:1] for x in inputs))
        except Exception:
            continue
        return True
    return False


@HANDLERS.handles("embedding")
def _embedding(build: NetworkBuilder, weight: Any, indices: Any, *rest: Any, **kwargs: Any) -> Node:
    """Look each element of a vector up in its column of the table."""
    if isinstance(weight, Node):
        raise build.unsupported("its table is encrypted", "one_hot and matmul")
    n_words, size = weight.shape
    build.reach(indices, 0, n_words - 1)
    table, columns = weight.detach().double(), torch.arange(size)
    repeated = build.move(indices, lambda tensor: tensor.unsqueeze(-1).expand(*tensor.shape, size))
    return build.univariate(repeated, lambda x: table[x.round().long().clamp(0, n_words - 1), columns])


@HANDLERS.handles("one_hot")
def _one_hot(build: NetworkBuilder, indices: Node, num_classes: int = -1) -> Node:
    n_classes = int(num_classes) if num_classes > 0 else int(indices.reference.max()) + 1
    build.reach(indices, 0, n_classes - 1)
    classes = torch.arange(n_classes, dtype=torch.float64)
    repeated = build.move(indices, lambda tensor: tensor.unsqueeze(-1).expand(*tensor.shape, n_classes))
    return build.univariate(repeated, lambda x: (x.round() == classes).double())
