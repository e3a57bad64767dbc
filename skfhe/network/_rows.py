"""A network on other rows than those that it was read with."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from skfhe._typing import FloatArray, IntArray
from skfhe.network._builder import NetworkBuilder
from skfhe.network._node import Node
from skfhe.network._operations import Source

__all__ = ["evaluate_network", "select_rows"]


def select_rows(network: NetworkBuilder, rows: IntArray) -> NetworkBuilder:
    """Return the network with some of its calibration rows.

    Parameters
    ----------
    network : NetworkBuilder
    rows : ndarray of int64

    Returns
    -------
    NetworkBuilder
    """
    picked = torch.from_numpy(np.asarray(rows, dtype=np.int64))
    copies: dict[int, Node] = {}
    for node in network.nodes:
        arguments = tuple(copies[id(argument)] for argument in node.arguments)
        copies[id(node)] = replace(node, arguments=arguments, reference=node.reference[picked])
    found = copy(network)
    found.nodes = [copies[id(node)] for node in network.nodes]
    found.inputs = [copies[id(node)] for node in network.inputs]
    found.outputs = [copies[id(node)] for node in network.outputs]
    return found


def evaluate_network(network: NetworkBuilder, inputs: Sequence[Tensor]) -> list[FloatArray]:
    """Return the float outputs of a network on rows of its inputs, by the operations that it was read as.

    Parameters
    ----------
    network : NetworkBuilder
    inputs : sequence of Tensor, each of shape (n_rows, *row)

    Returns
    -------
    list of ndarray of float64, each of shape (n_rows, *row)
    """
    last_use = {id(argument): at for at, node in enumerate(network.nodes) for argument in node.arguments}
    kept = {id(node) for node in network.outputs}
    values: dict[int, Tensor] = {}
    with torch.no_grad():
        for at, node in enumerate(network.nodes):
            if isinstance(node.operation, Source):
                values[id(node)] = inputs[node.operation.index].to(torch.float64)
            else:
                values[id(node)] = node.operation.evaluate(*(values[id(a)] for a in node.arguments))
            for argument in {id(a) for a in node.arguments} - kept:
                if last_use[argument] == at:
                    del values[argument]
    return [values[id(node)].numpy() for node in network.outputs]
