"""What of an ONNX network runs after decryption, as far as its graph tells.

Nodes from which no layer with weights can be reached form the tail. Those that combine several elements are
left to whoever decrypts there, and so is what cannot be evaluated encrypted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import onnx
import torch
from torch import Tensor

from skfhe.importers._onnx.call import Call
from skfhe.importers._onnx.model import DOMAINS, read_names
from skfhe.network import AfterDecryption, NetworkBuilder, Node, after_decryption

__all__ = ["FUNCTIONS", "Tail", "computed_after_decryption"]

_WEIGHTED = frozenset(
    (
        *("Gemm", "MatMul", "Conv", "ConvTranspose", "Einsum", "DeformConv", "MatMulInteger", "ConvInteger"),
        *("QLinearConv", "QLinearMatMul", "DFT", "STFT", "GridSample", "RoiAlign"),
    )
)
"""Operators that have weights, unless all their inputs depend on the network's."""
_ALWAYS_WEIGHTED = frozenset(("LSTM", "GRU", "RNN", "QuantizeLinear", "DynamicQuantizeLinear"))

Function = Callable[..., Any]
FUNCTIONS: dict[str, Function] = {}
"""By operator: what it computes of its inputs for one row, in torch; the first argument is the call."""
_OF_POSITIONS = frozenset(("Gather", "GatherElements", "Cast"))
"""Operators that are left to whoever decrypts where one of their inputs is, and not otherwise."""


class Tail:
    """The nodes of a graph that no layer with weights depends on.

    Parameters
    ----------
    graph : onnx.GraphProto
    """

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._ranks = {tensor.name: len(tensor.dims) for tensor in graph.initializer}
        depends = {value.name for value in graph.input if value.name not in self._ranks}
        weighted: set[str] = set()
        after_weights: set[str] = set()
        before_weights: set[str] = set()
        for node in graph.node:
            read = set(_read_by(node))
            for value in node.attribute if node.op_type == "Constant" else ():
                if value.name == "value":
                    self._ranks[node.output[0]] = len(value.t.dims)
            if not read & depends:
                continue
            depends.update(node.output)
            if self._has_weights(node, depends):
                weighted.add(_key(node))
            if _key(node) in weighted or read & after_weights:
                after_weights.update(node.output)
        for node in reversed(graph.node):
            if _key(node) in weighted or before_weights.intersection(node.output):
                before_weights.update(_read_by(node))
        self._nodes = {
            _key(node)
            for node in graph.node
            if _key(node) not in weighted
            and after_weights.intersection(node.output)
            and not before_weights.intersection(node.output)
        }
        self._waiting: set[int] = set()
        self._n_seen = 0

    def __contains__(self, node: onnx.NodeProto) -> bool:
        return _key(node) in self._nodes

    def combines(self, node: onnx.NodeProto) -> bool:
        """Whether an operator is left to whoever decrypts though it might be evaluated encrypted."""
        return node in self and node.op_type in FUNCTIONS and node.op_type not in _OF_POSITIONS

    def waits(self, build: NetworkBuilder, nodes: list[Node]) -> bool:
        """Whether some of a network's values are computed after decryption."""
        for node in build.nodes[self._n_seen :]:
            waits = isinstance(node.operation, AfterDecryption)
            if waits or any(id(argument) in self._waiting for argument in node.arguments):
                self._waiting.add(id(node))
        self._n_seen = len(build.nodes)
        return any(id(node) in self._waiting for node in nodes)

    def _has_weights(self, node: onnx.NodeProto, depends: set[str]) -> bool:
        name = node.op_type
        if node.domain not in DOMAINS or name in _ALWAYS_WEIGHTED:
            return True
        constant = [i for i in node.input if i and i not in depends]
        if name == "Gather":  # of a vector it is a function of single elements
            return node.input[0] in constant and self._ranks.get(node.input[0]) != 1
        inner = [each for graph in _graphs(node) for each in graph.node]
        if inner:
            names = {each.op_type for each in inner}
            return bool(names & (_WEIGHTED | _ALWAYS_WEIGHTED | {"Gather", "If", "Loop", "Scan"}))
        return name in _WEIGHTED and (bool(constant) or name in ("DFT", "STFT"))


def _key(node: onnx.NodeProto) -> str:
    """Return what no other node of a graph has: a name among its outputs."""
    return next(name for name in (*node.output, "") if name or not any(node.output))


def _graphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        yield from attribute.graphs
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g


def _read_by(node: onnx.NodeProto) -> Iterator[str]:
    """Yield the names that a node reads, in graphs of its own too."""
    yield from (name for name in node.input if name)
    for graph in _graphs(node):
        yield from read_names(graph)


def computed_after_decryption(call: Call) -> list[Any]:
    """Append an operator as what whoever decrypts computes.

    Returns
    -------
    list of Node or None
        Its results; None for those without a name.

    Raises
    ------
    UnsupportedOperatorError
        If it has no counterpart there.
    """
    function, distinct = FUNCTIONS[call.proto.op_type], list(dict.fromkeys(call.nodes))
    given = [v if isinstance(v, Node) or v is None else call.floats_of(v) for v in call.inputs]

    def of_row(*rows: Tensor) -> Any:
        row = dict(zip(distinct, rows, strict=True))
        results = function(call, *(row[v] if isinstance(v, Node) else v for v in given))
        return results[: len(call.proto.output)] if isinstance(results, list) else results

    found = after_decryption(call.build, of_row, *distinct)
    results = found if isinstance(found, list) else [found]
    return [result if name else None for result, name in zip(results, call.proto.output, strict=False)]


def _computes(*names: str) -> Callable[[Function], Function]:
    def register(function: Function) -> Function:
        FUNCTIONS.update(dict.fromkeys(names, function))
        return function

    return register


def _over_last_axes(call: Call, x: Tensor, function: Callable[[Tensor, int], Tensor]) -> Tensor:
    """Apply a function over an axis: before opset 13, over that one and all behind it."""
    axis = call.axis(call.encrypted(), call.attributes["axis"])
    if call.opset >= 13:
        return function(x, axis)
    flat = x.reshape(*x.shape[:axis], math.prod(x.shape[axis:]))
    return function(flat, axis).reshape(x.shape)


@_computes("Softmax", "LogSoftmax", "Hardmax")
def _softmax(call: Call, x: Tensor) -> Tensor:
    named: dict[str, Callable[[Tensor, int], Tensor]]
    named = {"Softmax": torch.softmax, "LogSoftmax": torch.log_softmax, "Hardmax": _hardmax}
    return _over_last_axes(call, x, named[call.proto.op_type])


def _hardmax(x: Tensor, axis: int) -> Tensor:
    places = torch.arange(x.shape[axis]).reshape(-1, *(1,) * (x.ndim - axis - 1))
    return (x.argmax(axis, keepdim=True) == places).double()


@_computes("ArgMax", "ArgMin")
def _argument(call: Call, x: Tensor) -> Tensor:
    axis = call.axis(call.encrypted(), call.attributes["axis"])
    function = torch.argmax if call.proto.op_type == "ArgMax" else torch.argmin
    keeps = bool(call.attributes["keepdims"])
    if call.attributes.get("select_last_index"):
        return x.shape[axis] - 1 - function(x.flip(axis), axis, keepdim=keeps)
    return function(x, axis, keepdim=keeps)


@_computes("TopK")
def _top(call: Call, x: Tensor, k: Tensor | None = None) -> list[Tensor]:
    number = int(call.attributes["k"]) if k is None else int(call.given(1).reshape(()))
    axis = call.axis(call.encrypted(), call.attributes["axis"])
    largest = bool(call.attributes.get("largest", 1))
    return [v.narrow(axis, 0, number) for v in torch.sort(x, dim=axis, descending=largest, stable=True)]


# ----------------------------------------------------------------------------- reductions, normalizations


@_computes("ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp", "ReduceProd")
def _reduced(call: Call, x: Tensor, *axes_given: Tensor | None) -> Tensor:
    name, axes = call.proto.op_type, call.axes(call.encrypted(), 1)
    if call.holds_integers() or (axes is None and call.attributes.get("noop_with_empty_axes")):
        raise ValueError("it is one of integers, or over no axes")
    axes, keeps = axes or list(range(x.ndim)), bool(call.attributes["keepdims"])
    if name == "ReduceLogSumExp":
        return torch.logsumexp(x, axes, keepdim=keeps)
    if name == "ReduceProd":
        for axis in reversed(axes):
            x = x.prod(axis, keepdim=keeps)
        return x
    before = x.abs() if name == "ReduceL1" else x if name == "ReduceLogSum" else x * x
    total = before.sum(axes, keepdim=keeps)
    return {"ReduceL2": torch.sqrt, "ReduceLogSum": torch.log}.get(name, lambda t: t)(total)


@_computes("LpNormalization")
def _lp_normalization(call: Call, x: Tensor) -> Tensor:
    axis, p = call.axis(call.encrypted(), call.attributes["axis"]), float(call.attributes["p"])
    size = torch.linalg.vector_norm(x, p, axis, keepdim=True)
    return torch.where(size > 0, x / torch.where(size > 0, size, 1.0), 0.0)


@_computes("LayerNormalization", "RMSNormalization")
def _layer_normalization(call: Call, x: Tensor, scale: Tensor, bias: Tensor | None = None) -> list[Tensor]:
    axes = list(range(call.axis(call.encrypted(), call.attributes["axis"]), x.ndim))
    mean = x.mean(axes, keepdim=True)
    centered = x - mean if call.proto.op_type == "LayerNormalization" else x
    inverse = torch.rsqrt((centered * centered).mean(axes, keepdim=True) + call.attributes["epsilon"])
    result = centered * inverse * scale
    return [result if bias is None else result + bias, mean, inverse]


@_computes("InstanceNormalization", "GroupNormalization")
def _group_normalization(call: Call, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    groups = call.attributes.get("num_groups", x.shape[1])
    apart = x.reshape(x.shape[0], groups, -1)
    centered = apart - apart.mean(2, keepdim=True)
    variance = (centered * centered).mean(2, keepdim=True)
    normal = (centered * torch.rsqrt(variance + call.attributes["epsilon"])).reshape(x.shape)
    across = (-1, *(1,) * (x.ndim - 2))
    return normal * scale.reshape(across) + bias.reshape(across)


@_computes("MeanVarianceNormalization")
def _mean_variance_normalization(call: Call, x: Tensor) -> Tensor:
    axes = [call.axis(call.encrypted(), axis) for axis in call.attributes.get("axes") or (0, 2, 3)]
    centered = x - x.mean(axes, keepdim=True)
    return centered / ((centered * centered).mean(axes, keepdim=True).sqrt() + 1e-9)


# ----------------------------------------------------------------------------- what reads positions


@_computes("GatherElements")
def _gather_elements(call: Call, x: Tensor, indices: Tensor) -> Tensor:
    axis = call.attributes["axis"] % x.ndim
    return torch.gather(x, axis, _from_start(indices, x.shape[axis]))


@_computes("Gather")
def _gather(call: Call, x: Tensor, indices: Tensor) -> Tensor:
    axis, rank = call.attributes["axis"] % x.ndim, indices.ndim
    taken = x.movedim(axis, 0)[_from_start(indices, x.shape[axis])]
    return taken.permute(
        *range(rank, rank + axis), *range(rank), *range(rank + axis, taken.ndim)
    )  # what was before the axis, the indices, what was behind it


def _from_start(indices: Tensor, n: int) -> Tensor:
    return torch.where(indices < 0, indices + n, indices).long()


@_computes("Cast")
def _cast(call: Call, x: Tensor) -> Tensor:
    floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE)
    if call.attributes["to"] not in floats or not call.holds_integers():
        raise ValueError("it is not one of integers to floats")
    return x + 0.0
