"""One node of an ONNX graph: its inputs, and its evaluation.

Onnx's own reference evaluator computes what is constant, and traces what only moves elements.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, defs, helper
from onnx.reference import ReferenceEvaluator
from torch import Tensor

from skfhe._typing import Array
from skfhe.network import NetworkBuilder, Node

__all__ = [
    "EVALUATED_AS",
    "INTEGERS",
    "Call",
    "double",
    "evaluated",
]

EVALUATED_AS = 19
"""Opset in which the evaluator has DequantizeLinear and all modes of Resize."""
INTEGERS = {
    getattr(TensorProto, name): (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
    if signed
    else (0, (1 << bits) - 1)
    for bits in (2, 4, 8, 16, 32, 64)
    for name, signed in ((f"INT{bits}", True), (f"UINT{bits}", False))
    if hasattr(TensorProto, name)
}
"""Element types that are integers, and their least and greatest."""


@dataclass(frozen=True)
class Call:
    """One node of the graph, and its inputs.

    Parameters
    ----------
    build : NetworkBuilder
    proto : onnx.NodeProto
    inputs : list of Node, ndarray or None
        Encrypted values, constants, and what was left out.
    opset : int
    batch : int or None
        Number of rows that the graph was exported for.
    types : dict
        Element types of the graph's values, where they are known.
    """

    build: NetworkBuilder
    proto: onnx.NodeProto
    inputs: list[Any]
    opset: int
    batch: int | None
    types: dict[str, int]

    @property
    def rows(self) -> int:
        """Number of rows that movements are traced on."""
        return self.batch or 1

    @cached_property
    def attributes(self) -> dict[str, Any]:
        """Attributes by name, and the defaults of those left out."""
        found = {
            a.name: helper.get_attribute_value(a) for a in (*self.default_attributes(), *self.proto.attribute)
        }
        return {name: v.decode() if isinstance(v, bytes) else v for name, v in found.items()}

    def default_attributes(self) -> list[onnx.AttributeProto]:
        """Return the attributes that are left out, with their defaults."""
        if not defs.has(self.proto.op_type, self.opset, self.proto.domain):
            return []
        schema = defs.get_schema(self.proto.op_type, self.opset, self.proto.domain)
        return [a.default_value for a in schema.attributes.values() if a.default_value.type]

    @property
    def nodes(self) -> list[Node]:
        """Encrypted inputs."""
        return [value for value in self.inputs if isinstance(value, Node)]

    def input_name(self, index: int) -> str:
        """Return what ONNX calls an input of the operator."""
        if not defs.has(self.proto.op_type, self.opset, self.proto.domain):
            return self.proto.input[index]
        formal = defs.get_schema(self.proto.op_type, self.opset, self.proto.domain).inputs
        return formal[min(index, len(formal) - 1)].name

    def input(self, index: int) -> Any:
        """Return an input, or None if it was left out."""
        return self.inputs[index] if index < len(self.inputs) else None

    def encrypted(self, index: int = 0) -> Node:
        """Return an input that must be encrypted."""
        value = self.inputs[index]
        if not isinstance(value, Node):
            raise self.build.unsupported(
                f"its input {self.input_name(index)!r} is a constant, and another one is encrypted",
                f"the encrypted value as {self.input_name(index)!r}",
            )
        return value

    def node(self, index: int) -> Node:
        """Return an input as a value of the network, be it encrypted or constant."""
        value = self.inputs[index]
        if isinstance(value, Node):
            return value
        return self.build.constant(self.nodes[0], self.floats_of(value))

    def constant(self, index: int) -> Array | None:
        """Return an input that must be a constant; None if it was left out."""
        value = self.input(index)
        if isinstance(value, Node):
            raise self.build.unsupported(
                f"its input {self.input_name(index)!r} is encrypted", "a constant, such as an initializer"
            )
        return value

    def floats(self, index: int) -> Tensor | None:
        """Return a constant input in double precision; None if it was left out."""
        value = self.constant(index)
        return None if value is None else double(value)

    def given(self, index: int) -> Tensor:
        """Return a constant input in double precision that must not be left out."""
        value = self.floats(index)
        if value is None:
            raise self.build.unsupported(
                f"its input {self.input_name(index)!r} is missing", "all of its inputs"
            )
        return value

    def type_of(self, index: int = 0) -> int:
        """Return the element type of an input, 0 if it is not known."""
        value = self.input(index)
        if value is not None and not isinstance(value, Node):
            return int(helper.np_dtype_to_tensor_dtype(value.dtype))
        return self.types.get(self.proto.input[index], 0)

    def holds_integers(self, index: int = 0) -> bool:
        """Whether an input is known to be of an integer type."""
        return self.type_of(index) in INTEGERS

    def axis(self, x: Node, axis: int) -> int:
        """Return an axis of a value, counted from 0."""
        rank = len(x.shape)
        if not -max(rank, 1) <= axis < max(rank, 1):
            raise self.build.unsupported(f"axis {axis} is none of the {rank} that its input has")
        return axis % max(rank, 1)

    def axes(self, x: Node, index: int) -> list[int] | None:
        """Return the axes in an attribute, or in an input; None for all of them."""
        chosen = self.constant(index)
        given = self.attributes.get("axes") if chosen is None else chosen.ravel().tolist()
        if not given:
            return None
        return sorted({self.axis(x, int(axis)) for axis in given})

    def run(self, *values: Any) -> list[Array]:
        """Compute the node by the reference evaluator."""
        names = [f"input {i}" if value is not None else "" for i, value in enumerate(values)]
        results = [f"output {i}" if name else "" for i, name in enumerate(self.proto.output)]
        proto = onnx.NodeProto()
        proto.CopyFrom(self.proto)
        del proto.input[:], proto.output[:]
        proto.input.extend(names)
        proto.output.extend(results)
        opset = max(self.opset, EVALUATED_AS) if proto.op_type == "DequantizeLinear" else self.opset
        return evaluated(proto, dict(zip(names, values, strict=True)), opset, self.build)

    def move(self) -> list[Node]:
        """Append the movement that the node is of its first input."""
        for index in range(1, len(self.inputs)):
            self.constant(index)
        return self.moved(self.encrypted(), lambda tensor: self.run(tensor, *self.inputs[1:]))

    def moved(self, x: Node, function: Callable[[Array], Sequence[Array]]) -> list[Node]:
        """Append movements of ``x``, which a graph that was exported for several rows names for so many."""

        def of_one(positions: Tensor) -> list[Tensor]:
            if self.rows == 1 or x.shape[:1] != (1,):
                return [torch.from_numpy(np.array(v)) for v in function(positions.numpy())]
            size = positions.numel()
            each = positions + size * torch.arange(self.rows).reshape(-1, *(1,) * (positions.ndim - 1))
            return [self._first(torch.from_numpy(np.array(v)), size) for v in function(each.numpy())]

        moved: list[Node] = self.build.move(x, of_one)
        return moved

    def _first(self, moved: Tensor, size: int) -> Tensor:
        """Return what belongs to the first of the rows that a graph was exported for."""
        if moved.ndim and len(moved) == self.rows:
            own = moved.long() - 1
            starts = size * torch.arange(self.rows).reshape(-1, *(1,) * (moved.ndim - 1))
            within = torch.where(own < 0, -1, own - starts)
            if bool(((within == within[:1]) & (within < size)).all()):
                return moved[:1]
        raise self.build.unsupported(
            f"it turns {self.rows} rows into a tensor of shape {tuple(moved.shape)}, and rows are encrypted "
            "apart",
            "a graph that was exported for one row",
        )

    def floats_of(self, value: Array) -> Tensor:
        """Return a constant in double precision, for one row if it holds the same for a fixed number."""
        constant = double(value)
        for_each = self.rows > 1 and constant.ndim and len(constant) == self.rows
        if not for_each or not any(
            node.shape[:1] == (1,) and len(node.shape) == constant.ndim for node in self.nodes
        ):
            return constant
        if not torch.equal(constant, constant[:1].expand_as(constant)):
            raise self.build.unsupported(
                f"a constant of shape {tuple(constant.shape)} differs from row to row"
            )
        return constant[:1]

    def elementwise(self, function: Callable[..., Tensor], kind: str = "") -> Node:
        """Append a function of all inputs, element by element; the node's attributes are passed by name."""
        distinct = list(dict.fromkeys(self.nodes))
        constants = [v if isinstance(v, Node) or v is None else self.floats_of(v) for v in self.inputs]
        attributes = self.attributes

        def of(*floats: Tensor) -> Tensor:
            given = dict(zip(distinct, floats, strict=True))
            values = [given[v] if isinstance(v, Node) else v for v in constants]
            return function(*values, **attributes).double()

        if len(distinct) == 1:
            return self.build.univariate(distinct[0], of)
        return self.build.elementwise(of, *distinct, kind=kind if len(distinct) == len(self.inputs) else "")


def double(value: Array) -> Tensor:
    """Return a constant in double precision."""
    return torch.from_numpy(np.asarray(value).astype(np.float64))


def evaluated(proto: onnx.NodeProto, feeds: dict[str, Any], opset: int, build: NetworkBuilder) -> list[Array]:
    """Compute one node by the reference evaluator; an output that nobody reads gives an empty array."""
    kept = [name for name in proto.output if name]
    feeds = {name: np.asarray(value) for name, value in feeds.items() if name}
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in (*feeds, *kept)]
    graph = helper.make_graph([proto], "node", values[: len(feeds)], values[len(feeds) :])
    opsets = [helper.make_opsetid("", opset)]
    if proto.domain:
        opsets.append(helper.make_opsetid(proto.domain, 1))
    model = helper.make_model(graph, opset_imports=opsets)
    try:
        with np.errstate(all="ignore"):
            found = ReferenceEvaluator(model).run(None, feeds)
    except Exception as error:
        shapes = ", ".join(str(tuple(value.shape)) for value in feeds.values())
        raise build.unsupported(f"onnx could not compute it on shapes {shapes}: {error}") from error
    assert isinstance(found, list)
    if not all(isinstance(value, np.ndarray | np.generic) for value in found):
        raise build.unsupported("it does not return tensors", "operators that do, Split or Concat among them")
    results = dict(zip(kept, found, strict=True))
    return [np.asarray(results.get(name, np.empty(0))) for name in proto.output]
