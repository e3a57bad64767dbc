"""Where a network's tail begins, and the tail written down: what is computed after decryption.

A layer with weights, or a quantizer, is evaluated encrypted, and so is all that leads to one. Of the rest, a
function of several encrypted values that is not their sum (a softmax, an argmax, a norm, a product) would
take lookups, if it can be evaluated encrypted at all. It belongs to whoever decrypts, with everything behind
it. Functions of single elements alone do not begin a tail: a table decodes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skfhe.encoding import Tail
from skfhe.network._aten import UntraceableError, traced
from skfhe.network._builder import NetworkBuilder, unsupported
from skfhe.network._node import Node
from skfhe.network._operations import (
    Affine,
    AfterDecryption,
    Concatenate,
    Convolution,
    Elementwise,
    Extremum,
    Linear,
    MatMul,
    Move,
    Quantize,
    Source,
    Univariate,
)
from skfhe.network._tape import Tape

__all__ = ["Cut", "after_decryption", "ancestors", "cut_tail"]

WITH_WEIGHTS = (
    *("linear", "addmm", "baddbmm", "mm", "matmul", "bmm", "mv", "conv", "einsum", "embedding", "bilinear"),
    *("lstm", "gru", "rnn", "Gemm", "MatMul", "Conv", "QLinear", "LSTM", "GRU", "RNN", "Einsum"),
)
"""How operators are called whose constants are weights, whatever their values."""
WITHOUT_WEIGHTS = (
    *("sum", "mean", "avg_pool", "adaptive_avg", "upsample", "cumsum", "trapezoid", "var", "std"),
    *("Reduce", "AveragePool", "GlobalAveragePool", "Resize", "Upsample", "CumSum", "Mean", "Sum"),
)
"""How operators are called whose coefficients are part of what they are."""
MOST_DECRYPTED = 4096
"""Elements of a row that are decrypted in place of fewer ones, for lookups that are not needed then."""
_OF_ONE_OR_SUMS = (Source, Univariate, Affine, Move, Linear, Convolution, Concatenate, Quantize)
"""Operations whose results are functions of single elements, or sums: with these no tail begins."""
MOST_PRODUCTS = 1 << 24
"""Products of a row that a convolution without weights takes at most where it is a step of a tail."""


def after_decryption(build: NetworkBuilder, function: Callable[..., Any], *arguments: Node) -> Any:
    """Append what ``function`` computes of several values, on all of their elements together.

    It is computed by whoever decrypts, of floats, and so is all that follows.

    Parameters
    ----------
    build : NetworkBuilder
    function : callable
        In torch, from one row of each argument to a tensor, or to several.
    *arguments : Node

    Returns
    -------
    Node, or list of Node if the function returns several tensors

    Raises
    ------
    UnsupportedOperatorError
        If the function has no counterpart in NumPy.
    """
    try:
        tail = traced(function, [x.reference for x in arguments])
    except UntraceableError as error:
        raise build.unsupported(str(error)) from error
    with torch.no_grad():
        result = function(*(x.reference[0] for x in arguments))
    nodes = []
    for number in tail.results:
        tape = Tape(tail.given)
        alone = tape.finish([tape.inline(Tail(tail.given, tail.steps, (number,)), range(len(tail.given)))[0]])
        nodes.append(build.add(AfterDecryption(alone), *arguments))
    return nodes[0] if isinstance(result, Tensor) else nodes


@dataclass(frozen=True, eq=False)
class Cut:
    """What of a network is evaluated encrypted, and what follows.

    Parameters
    ----------
    outputs : sequence of Node
        What is decrypted.
    tail : Tail or None
        What is computed of that; None if nothing is, and ``outputs`` are those of the network.
    """

    outputs: Sequence[Node]
    tail: Tail | None


def cut_tail(network: NetworkBuilder, combining: bool) -> Cut:
    """Return where a network is cut.

    Parameters
    ----------
    network : NetworkBuilder
    combining : bool
        Whether functions that could be evaluated encrypted belong to the tail, too, where they combine
        several values.

    Raises
    ------
    UnsupportedOperatorError
        If a layer with weights needs the result of what cannot be evaluated encrypted.
    """
    if combining not in network.cuts:  # it is the same however the network is quantized
        cut = _found(network, combining)
        places = {id(node): place for place, node in enumerate(network.nodes)}
        network.cuts[combining] = [places[id(node)] for node in cut.outputs], cut.tail
    outputs, tail = network.cuts[combining]
    return Cut([network.nodes[place] for place in outputs], tail)


def _found(network: NetworkBuilder, combining: bool) -> Cut:
    """Find where a network is cut."""
    graph = _Graph(network)
    graph.check_readers()
    if combining:
        try:
            return graph.cut(graph.beginnings(), climbing=True)
        except UntraceableError:
            pass  # what can be evaluated encrypted is
    forced = [node for node in graph.nodes if isinstance(node.operation, AfterDecryption)]
    try:
        return graph.cut(forced, climbing=combining)
    except UntraceableError as error:
        raise unsupported(
            forced[0].name, forced[0].label, f"it has to wait for decryption, and what follows: {error}"
        ) from error


class _Graph:
    """The nodes that outputs depend on, and what is known of each."""

    def __init__(self, network: NetworkBuilder) -> None:
        self.outputs = network.outputs
        used = ancestors(network.outputs)
        self.nodes = [node for node in network.nodes if id(node) in used]
        self.readers: dict[int, list[Node]] = {id(node): [] for node in self.nodes}
        self.after_weights: set[int] = set()
        self.keys: dict[int, int] = {}
        for node in self.nodes:
            for argument in node.arguments:
                self.readers[id(argument)].append(node)
            if _has_weights(node) or any(id(a) in self.after_weights for a in node.arguments):
                self.after_weights.add(id(node))
            self.keys[id(node)] = self._key(node)
        self.before_weights: set[int] = set()
        for node in reversed(self.nodes):
            if _has_weights(node) or any(id(r) in self.before_weights for r in self.readers[id(node)]):
                self.before_weights.add(id(node))

    def _key(self, node: Node) -> int:
        """Return which value's elements those of a node are functions of, one by one."""
        keys = {self.keys[id(argument)] for argument in node.arguments}
        single = isinstance(node.operation, Univariate | Affine | Elementwise) and len(keys) == 1
        return keys.pop() if single else id(node)

    def check_readers(self) -> None:
        """Raise an error for a layer with weights that reads what has to wait for decryption."""
        for node in self.nodes:
            if isinstance(node.operation, AfterDecryption) and id(node) in self.before_weights:
                layer = next(n for n in self.nodes if _has_weights(n) and id(node) in ancestors([n]))
                raise unsupported(
                    node.name,
                    node.label,
                    f"it has to wait for decryption, and {layer.label!r} reads its result",
                )

    def beginnings(self) -> list[Node]:
        """Return the nodes that a tail can begin with."""
        return [node for node in self.nodes if self._begins(node)]

    def _begins(self, node: Node) -> bool:
        operation = node.operation
        if isinstance(operation, AfterDecryption):
            return True
        if id(node) in self.before_weights or id(node) not in self.after_weights:
            return False
        if isinstance(operation, Elementwise):
            return operation.kind not in ("add", "subtract") and self.keys[id(node)] == id(node)
        return not isinstance(operation, _OF_ONE_OR_SUMS)

    def cut(self, beginnings: Sequence[Node], climbing: bool) -> Cut:
        """Return the network cut before nodes and all that depends on them.

        Raises
        ------
        UntraceableError
            If an operation behind the cut has no steps.
        """
        behind = {id(node) for node in beginnings}
        for node in self.nodes:
            if any(id(argument) in behind for argument in node.arguments):
                behind.add(id(node))
        if not behind:
            return Cut(self.outputs, None)
        while climbing and (above := self._free(behind)):
            behind |= above
        boundary = self._boundary(behind)
        return Cut(boundary, self._written(behind, boundary))

    def _boundary(self, behind: set[int]) -> list[Node]:
        """Return what has to be decrypted: outputs, and what is read behind the cut."""
        found = [node for node in self.outputs if id(node) not in behind]
        found += [a for node in self.nodes if id(node) in behind for a in node.arguments]
        return [node for node in dict.fromkeys(found) if id(node) not in behind]

    def _free(self, behind: set[int]) -> set[int]:
        """Return nodes before the cut that are better put behind it, with what leads to them.

        They take no lookup there. Without lookups before they have to have as many elements as what they are
        computed of, so that no more is decrypted than there has to be.
        """
        boundary = self._boundary(behind)
        for node in boundary:
            if _has_weights(node) or isinstance(node.operation, Source):
                continue
            known = {id(other) for other in boundary if other is not node} | behind
            between, roots = self._above(node, known)
            if any(isinstance(root.operation, Source) for root in roots):
                continue
            size = sum(root.reference[0].numel() for root in roots)
            looks_up = any(_looks_up(each) for each in self.nodes if id(each) in between)
            if size <= (MOST_DECRYPTED if looks_up else node.reference[0].numel()):
                return between
        return set()

    def _above(self, node: Node, known: set[int]) -> tuple[set[int], list[Node]]:
        """Return what leads to a node behind the last layers with weights, and of what it is computed."""
        between: set[int] = set()
        roots: dict[Node, None] = {}
        waiting = [node]
        while waiting:
            each = waiting.pop()
            if id(each) in known or id(each) in between:
                continue
            if _has_weights(each) or isinstance(each.operation, Source):
                roots[each] = None
            else:
                between.add(id(each))
                waiting.extend(each.arguments)
        return between, list(roots)

    def _written(self, behind: set[int], boundary: Sequence[Node]) -> Tail:
        tape = Tape([node.shape for node in boundary])
        numbers = {id(node): number for number, node in enumerate(boundary)}
        for node in self.nodes:
            if id(node) in behind:
                numbers[id(node)] = _write(tape, node, [numbers[id(a)] for a in node.arguments])
        return tape.finish([numbers[id(node)] for node in self.outputs])


def ancestors(nodes: Iterable[Node]) -> set[int]:
    """Nodes that these depend on, and themselves."""
    found: set[int] = set()
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if id(node) not in found:
            found.add(id(node))
            waiting.extend(node.arguments)
    return found


def _looks_up(node: Node) -> bool:
    """Whether a node would take lookups before the cut, or one more in a table."""
    operation = node.operation
    if isinstance(operation, Elementwise):
        return operation.kind not in ("add", "subtract")
    return not isinstance(operation, _OF_ONE_OR_SUMS) or isinstance(operation, Univariate)


def _has_weights(node: Node) -> bool:
    operation = node.operation
    if isinstance(operation, Quantize):
        return True
    if not isinstance(operation, Linear | Convolution):
        return False
    if node.name.startswith(WITH_WEIGHTS):
        return True
    magnitudes = operation.weight[operation.weight != 0].abs()
    plain = len(magnitudes) == 0 or bool(magnitudes.max() == magnitudes.min())
    return not plain and not node.name.startswith(WITHOUT_WEIGHTS)


def _write(tape: Tape, node: Node, arguments: Sequence[int]) -> int:
    """Append an operation to a tape, and return the number of its value."""
    operation = node.operation
    if isinstance(operation, AfterDecryption):
        return tape.inline(operation.tail, arguments)[0]
    if isinstance(operation, Move):
        return tape.take(arguments[0], operation.indices.numpy(), operation.fill)
    if isinstance(operation, Concatenate):
        return tape.join(arguments, operation.axis)
    if isinstance(operation, MatMul):
        return tape.matmul(*arguments)
    if isinstance(operation, Extremum):
        members = tape.take(arguments[0], operation.members.numpy())
        return tape.over("max" if operation.largest else "min", members, [0], False)
    if isinstance(operation, Convolution):
        return _write_convolution(tape, operation, arguments[0], node.shape)

    def of_row(*rows: Tensor) -> Tensor:
        return operation.evaluate(*(row[None] for row in rows))[0]

    return tape.inline(traced(of_row, [a.reference for a in node.arguments]), arguments)[0]


def _write_convolution(tape: Tape, operation: Convolution, x: int, shape: tuple[int, ...]) -> int:
    """Append a convolution, as sums over the elements that each result reads."""
    channels, height, width = tape.shapes[x]
    n_outputs = len(operation.weight)
    if int(np.prod(shape)) * operation.weight[0].numel() > MOST_PRODUCTS:
        raise UntraceableError("its convolution reads too many elements")
    positions = torch.arange(1, channels * height * width + 1, dtype=torch.float64)
    top, left, bottom, right = operation.padding
    padded = torch.nn.functional.pad(
        positions.reshape(1, channels, height, width), (left, right, top, bottom)
    )
    patches = torch.nn.functional.unfold(
        padded, operation.weight.shape[2:], operation.dilation, 0, operation.strides
    )
    by_channel = patches[0].reshape(channels, -1, patches.shape[-1])
    group = torch.arange(n_outputs) // (n_outputs // operation.groups)
    read = by_channel.reshape(operation.groups, -1, patches.shape[-1])[group]  # (outputs, read, positions)
    taken = tape.take(x, read.long().numpy() - 1)
    weight = tape.constant(operation.weight.reshape(n_outputs, -1, 1).numpy())
    total = tape.over("sum", tape.elementwise("multiply", taken, weight), [1], False)
    bias = tape.constant(operation.bias[:, None].numpy())
    return tape.reshape(tape.elementwise("add", total, bias), shape)
