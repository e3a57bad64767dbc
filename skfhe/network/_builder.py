"""Float networks, as frontends write them, whatever they read them from.

Building executes: each operation is evaluated on the calibration rows as it is added, once, so that every
value knows its shape and the floats that the original network has there.

A network is written down for one row. The shape of a value is that of the framework's tensor when the
network is called with one row, wherever in it the axis of the rows is: an input of shape (1, 3) may be
transposed, joined with another axis and split again. Functions that frontends give to a builder act on such
a tensor, and axes count its axes. That rows do not depend on each other is for readers to check.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from skfhe.encoding import Structure, Tail
from skfhe.exceptions import UnsupportedOperatorError
from skfhe.network._node import Node
from skfhe.network._operations import (
    Affine,
    Concatenate,
    Elementwise,
    Extremum,
    Linear,
    Move,
    Operation,
    Source,
    Univariate,
)

__all__ = ["EXAMPLE_ROWS", "NO_OPERATOR", "NetworkBuilder", "unsupported"]

NO_OPERATOR = "it is none of the operators in docs/your_own_network.md"
"""Why most of the operators that cannot be imported cannot."""
EXAMPLE_ROWS = 3
"""Rows that what was read is tried on."""


class NetworkBuilder:
    """Collects the nodes of a network in the order of their evaluation.

    Parameters
    ----------
    inputs : sequence of Tensor, each of shape (n_rows, …)
        Calibration rows of each input; one of integers is encrypted as what it is.
    names : sequence of str
        Names of the inputs.

    Attributes
    ----------
    structure : Structure or None
        What the network returns, unless that is its only output, or all of them in a tuple.
    cuts : dict of bool to (list of int, Tail or None)
        Where its tail was found to begin; see `skfhe.network._tails`.
    """

    def __init__(self, inputs: Sequence[Tensor], names: Sequence[str]) -> None:
        self.nodes: list[Node] = []
        self.inputs: list[Node] = []
        self.outputs: list[Node] = []
        self.structure: Structure | None = None
        self.cuts: dict[bool, tuple[list[int], Tail | None]] = {}
        self.name, self.label = "", ""
        for index, (rows, name) in enumerate(zip(inputs, names, strict=True)):
            whole = None if rows.is_floating_point() else (int(rows.min()), int(rows.max()))
            node = Node(Source(index, whole), (), "input", name, rows.to(torch.float64))
            self.nodes.append(node)
            self.inputs.append(node)

    def at(self, name: str, label: str) -> None:
        """Say which operator of the user's network the following nodes stand for."""
        self.name, self.label = name, label

    def unsupported(self, reason: str, instead: str = "") -> UnsupportedOperatorError:
        """Return the error that the current operator is not supported as it is used."""
        return unsupported(self.name, self.label, reason, instead)

    def add(self, operation: Operation, *arguments: Node, reference: Tensor | None = None) -> Node:
        """Append the value that ``operation`` computes from ``arguments``.

        ``reference`` is what it makes of their floats on the calibration rows, where that is known already.
        """
        if reference is None:
            with torch.no_grad():
                reference = operation.evaluate(*(a.reference for a in arguments))
        node = Node(operation, arguments, self.name, self.label, reference)
        for argument in arguments:
            argument.readers += 1
        self.nodes.append(node)
        return node

    def reach(self, x: Node, low: int, high: int) -> None:
        """Say that an input of integers may hold those from ``low`` to ``high``, whatever was calibrated on.

        Of no effect on other values.
        """
        while isinstance(x.operation, Move):
            (x,) = x.arguments
        if isinstance(x.operation, Source) and x.operation.whole is not None:
            ends = (*x.operation.whole, low, high)
            x.operation = replace(x.operation, whole=(min(ends), max(ends)))

    def affine(self, x: Node, scale: Any = 1.0, offset: Any = 0.0) -> Node:
        """Append ``scale * x + offset``, with constants that broadcast against it."""
        scale, offset = (torch.as_tensor(value, dtype=torch.float64) for value in (scale, offset))
        x = self.broadcast(x, torch.broadcast_shapes(scale.shape, offset.shape, x.shape))
        return self.add(Affine(scale, offset), x)

    def univariate(self, x: Node, function: Callable[[Tensor], Tensor]) -> Node:
        """Append ``function(x)``, element by element."""
        operation = Univariate(function)
        with torch.no_grad():
            shape = operation.evaluate(x.reference[0]).shape
        return self.add(operation, self.broadcast(x, shape))

    def elementwise(self, function: Callable[..., Tensor], *arguments: Node, kind: str = "") -> Node:
        """Append a function of several values, broadcast to one shape; see `Elementwise`."""
        operation = Elementwise(function, kind)
        try:
            with torch.no_grad():
                shape = operation.evaluate(*(x.reference[0] for x in arguments)).shape
        except RuntimeError as error:
            raise self.unsupported(f"its arguments do not fit: {error}") from error
        return self.add(operation, *(self.broadcast(x, shape) for x in arguments))

    def broadcast(self, x: Node, shape: Sequence[int]) -> Node:
        """Return ``x`` repeated to ``shape``."""
        return x if x.shape == tuple(shape) else self.move(x, lambda tensor: tensor.expand(tuple(shape)))

    def reshape(self, x: Node, shape: Sequence[int]) -> Node:
        """Return the elements of ``x`` in ``shape``."""
        return x if x.shape == tuple(shape) else self.move(x, lambda tensor: tensor.reshape(tuple(shape)))

    def move(self, x: Node, function: Callable[[Tensor], Any], fill: float = 0.0) -> Any:
        """Append what ``function`` does, which only moves elements.

        The function is traced on a tensor that holds positions, counted from 1, in place of values. A zero
        in its result is an element that it made up, and stands for ``fill``.

        Parameters
        ----------
        x : Node
        function : callable
            From a tensor of the shape of ``x`` to one, or to several.
        fill : float
            What made-up elements hold.

        Returns
        -------
        Node, or list of Node if the function returns several tensors
        """
        positions = torch.arange(1, math.prod(x.shape) + 1, dtype=torch.float64)
        found = function(positions.reshape(x.shape))
        if isinstance(found, Tensor):
            return self._moved(x, found, fill)
        return [self._moved(x, tensor, fill) for tensor in found]

    def _moved(self, x: Node, positions: Tensor, fill: float) -> Node:
        indices = positions.long() - 1
        if indices.shape == x.shape and torch.equal(indices.flatten(), torch.arange(indices.numel())):
            return x
        return self.add(Move(indices, fill), x)

    def arrange(self, function: Callable[..., Tensor], *arguments: Node) -> Node:
        """Append what ``function`` makes of several values, which only moves their elements."""
        sizes = [math.prod(x.shape) for x in arguments]
        flat = [self.reshape(x, (-1,)) for x in arguments]

        def of_joined(elements: Tensor) -> Tensor:
            parts = zip(elements.split(sizes), arguments, strict=True)
            return function(*(part.reshape(x.shape) for part, x in parts))

        return self.move(self.concatenate(flat, 0), of_joined)

    def linear(self, x: Node, weight: Tensor, bias: Tensor | None = None) -> Node:
        """Append ``x @ weight + bias`` over the last axis; ``weight`` is (n_inputs, n_outputs)."""
        weight = weight.to(torch.float64)
        n_outputs = weight.shape[1]
        bias = torch.zeros(n_outputs, dtype=torch.float64) if bias is None else bias.to(torch.float64)
        return self.add(Linear(weight, bias.expand(n_outputs).contiguous()), x)

    def total(self, x: Node, axes: Sequence[int], keepdim: bool, scale: float = 1.0) -> Node:
        """Append the sum over ``axes``, times ``scale``."""
        rest = [axis for axis in range(len(x.shape)) if axis not in axes]
        count = math.prod(x.shape[axis] for axis in axes)
        kept = [1 if axis in axes else n for axis, n in enumerate(x.shape)]
        shape = kept if keepdim else [x.shape[axis] for axis in rest]
        last = self.move(x, lambda tensor: tensor.permute((*rest, *axes)).reshape(-1, count))
        return self.reshape(self.linear(last, torch.full((count, 1), scale)), shape)

    def extremum(self, x: Node, windows: Callable[[Tensor], Tensor], largest: bool) -> Node:
        """Append the extremum over the members of windows.

        ``windows`` maps positions of the shape of ``x`` to (n_members, *shape of the result); a member of
        position 0 is one that does not count.
        """
        positions = torch.arange(1, math.prod(x.shape) + 1, dtype=torch.float64).reshape(x.shape)
        members = windows(positions).long() - 1
        members = torch.where(members < 0, members.amax(dim=0, keepdim=True), members)
        return self.add(Extremum(members, largest), x)

    def extremum_over(self, x: Node, axes: Sequence[int], keepdim: bool, largest: bool) -> Node:
        """Append the extremum over ``axes``."""
        rest = [axis for axis in range(len(x.shape)) if axis not in axes]
        shape = [1 if axis in axes else n for axis, n in enumerate(x.shape)]
        shape = shape if keepdim else [x.shape[axis] for axis in rest]
        return self.extremum(x, lambda tensor: tensor.permute((*axes, *rest)).reshape(-1, *shape), largest)

    def constant(self, x: Node, value: Tensor) -> Node:
        """Append a constant, as a value that ``x`` has no influence on."""
        return self.affine(self.add(Move(torch.full(tuple(value.shape), -1)), x), 1.0, value)

    def choose(self, condition: Node, a: Any, b: Any) -> Node:
        """Append ``where(condition, a, b)`` of an encrypted condition, one choice being constant or both."""
        zero = torch.zeros((), dtype=torch.float64)
        constants: list[Any] = [
            v if isinstance(v, Node) else torch.as_tensor(v, dtype=torch.float64) for v in (a, b)
        ]
        nodes = [v for v in constants if isinstance(v, Node)]
        if not nodes:
            yes, no = constants
            return self.univariate(condition, lambda c: torch.where(c != 0, yes + zero, no + zero))
        if isinstance(constants[0], Node):
            return self.elementwise(lambda c, x: torch.where(c != 0, x, constants[1]), condition, *nodes)
        return self.elementwise(lambda c, x: torch.where(c != 0, constants[0], x), condition, *nodes)

    def select(self, mask: Tensor, a: Any, b: Any) -> Node:
        """Append ``where(mask, a, b)`` of a constant mask: elements of the one and of the other."""
        nodes = [v for v in (a, b) if isinstance(v, Node)]
        shape = torch.broadcast_shapes(
            *(v.shape if isinstance(v, Node) else torch.as_tensor(v).shape for v in (a, b)), mask.shape
        )
        mask = mask.bool().expand(shape)
        if len(nodes) == 1:
            chosen = mask if isinstance(a, Node) else ~mask
            other = torch.as_tensor(b if isinstance(a, Node) else a, dtype=torch.float64)
            x = self.broadcast(nodes[0], shape)
            return self.affine(x, chosen.double(), torch.where(chosen, 0.0, other))
        both = self.concatenate([self.reshape(self.broadcast(x, shape), (-1,)) for x in nodes], 0)
        size = mask.numel()
        indices = torch.arange(size).reshape(mask.shape) + torch.where(mask, 0, size)
        return self.add(Move(indices), both)

    def concatenate(self, arguments: Sequence[Node], axis: int) -> Node:
        """Append values joined along ``axis``."""
        return self.add(Concatenate(axis), *arguments)


def unsupported(name: str, label: str, reason: str, instead: str = "") -> UnsupportedOperatorError:
    """Return the error that an operator is not supported, or not as it is used."""
    way_out = f"; use {instead} instead" if instead else ""
    return UnsupportedOperatorError(f"{name!r} at {label!r} cannot be evaluated encrypted: {reason}{way_out}")
