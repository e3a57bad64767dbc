"""ONNX networks as float networks.

Whatever no input has an influence on is computed once, by onnx's own reference evaluator. The same evaluator
traces what only moves elements. Functions of elements are written out in torch: they are tabulated in double
precision over thousands of integers, for which the reference evaluator is too slow, and some of its functions
round to single precision.

The first axis of every encrypted value is its rows. A graph that was exported for a fixed number of rows is
evaluated on so many at a time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, checker, defs, helper, inliner, numpy_helper, shape_inference
from onnx.reference import ReferenceEvaluator
from torch import Tensor
from torch.nn import functional

from skfhe.importers import layers
from skfhe.importers.layers import Window
from skfhe.importers.network import EXAMPLE_ROWS, NetworkBuilder, Node, unsupported
from skfhe.importers.operators import MOVEMENT, advice

__all__ = ["read_onnx"]

Array = NDArray[Any]
Handler = Callable[["_Call"], Any]

OLDEST_OPSET = 7
"""Before, arithmetic broadcast by attributes of its own."""
EVALUATED_AS = 19
"""Opset in which the evaluator has DequantizeLinear and all modes of Resize."""

_HANDLERS: dict[str, Handler] = {}
_DOMAINS = ("", "ai.onnx")
_RANDOM = frozenset({"Bernoulli", "Multinomial", "RandomNormal", "RandomUniform"})
_RANDOM |= {"RandomNormalLike", "RandomUniformLike"}
_INTEGERS = {
    getattr(TensorProto, name): (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
    if signed
    else (0, (1 << bits) - 1)
    for bits in (2, 4, 8, 16, 32, 64)
    for name, signed in ((f"INT{bits}", True), (f"UINT{bits}", False))
    if hasattr(TensorProto, name)
}
"""Element types that are integers, and their least and greatest."""
_FLOATS = frozenset({TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.FLOAT, TensorProto.DOUBLE})

_NAMED_AS_IN_TORCH = (
    *("Abs", "Sign", "Sqrt", "Exp", "Log", "Erf", "Round", "Floor", "Ceil", "Reciprocal", "Pow"),
    *("Sin", "Cos", "Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Tanh", "Asinh", "Acosh", "Atanh"),
    *("Relu", "Sigmoid"),
)
# Functions of elements, of the constants among them too; attributes are passed by name.
_FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    **{name: getattr(torch, name.lower()) for name in _NAMED_AS_IN_TORCH},
    "Mod": lambda a, b, fmod: torch.fmod(a, b) if fmod else torch.remainder(a, b),
    "Equal": torch.eq,
    "Less": torch.lt,
    "LessOrEqual": torch.le,
    "Greater": torch.gt,
    "GreaterOrEqual": torch.ge,
    "And": torch.logical_and,
    "Or": torch.logical_or,
    "Xor": torch.logical_xor,
    "Not": torch.logical_not,
    "LeakyRelu": lambda x, alpha: torch.where(x < 0, alpha * x, x),
    "PRelu": lambda x, slope: torch.where(x < 0, slope * x, x),
    "Elu": lambda x, alpha: torch.where(x < 0, alpha * torch.expm1(x), x),
    "Selu": lambda x, alpha, gamma: gamma * torch.where(x < 0, alpha * torch.expm1(x), x),
    "Celu": lambda x, alpha: torch.where(x < 0, alpha * torch.expm1(x / alpha), x),
    "Gelu": lambda x, approximate: functional.gelu(x, approximate=approximate),
    "HardSigmoid": lambda x, alpha, beta: (alpha * x + beta).clamp(0.0, 1.0),
    "HardSwish": functional.hardswish,
    "Swish": lambda x, alpha: x * torch.sigmoid(alpha * x),
    "Mish": functional.mish,
    "Softplus": functional.softplus,
    "Softsign": functional.softsign,
    "Shrink": lambda x, bias, lambd: torch.where(
        x < -lambd, x + bias, torch.where(x > lambd, x - bias, torch.zeros_like(x))
    ),
    "ThresholdedRelu": lambda x, alpha: torch.where(x > alpha, x, torch.zeros_like(x)),
}
_COMPARISONS = frozenset({"Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"})


def read_onnx(onnx_model: Any, inputs: Sequence[Tensor]) -> NetworkBuilder:
    """Read an ONNX network.

    Parameters
    ----------
    onnx_model : onnx.ModelProto, str or path-like
        The model, or the file that holds it.
    inputs : sequence of Tensor, each of shape (n_rows, …)
        Calibration rows.

    Returns
    -------
    NetworkBuilder

    Raises
    ------
    UnsupportedOperatorError
    FileNotFoundError
    TypeError
    ValueError
        If the file or the model is not valid, or the inputs are not what the graph declares.
    """
    model = _checked(_loaded(onnx_model))
    with torch.no_grad():
        return _Reader(model, inputs).read()


def _loaded(onnx_model: Any) -> onnx.ModelProto:
    """Return the model, loaded if it is a path."""
    if isinstance(onnx_model, onnx.ModelProto):
        return onnx_model
    if not isinstance(onnx_model, str | os.PathLike):
        raise TypeError(
            f"onnx_model must be an onnx.ModelProto or the path of a file, got {type(onnx_model).__name__}; "
            "save a torch network with torch.onnx.export first, or use compile_torch_model"
        )
    path = os.fspath(onnx_model)
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"there is no file {path!r}; give the path of a model saved by onnx.save or torch.onnx.export"
        )
    try:
        return onnx.load(path)
    except Exception as error:  # decoding errors, and those of weights in files of their own
        raise ValueError(
            f"{path!r} could not be read as an ONNX model: {error}; give a file saved by onnx.save or "
            "torch.onnx.export, with its weights beside it if they are in files of their own"
        ) from error


def _checked(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a valid model without functions of its own, its values' types inferred."""
    try:
        checker.check_model(model)
    except Exception as error:
        raise ValueError(f"the ONNX model is not valid: {error}; export or save it again") from error
    opset = _opset(model)
    if opset < OLDEST_OPSET:
        raise ValueError(
            f"the ONNX model is written in opset {opset}, expected {OLDEST_OPSET} or later; convert it with "
            "onnx.version_converter.convert_version(model, 13)"
        )
    if model.graph.sparse_initializer:
        raise ValueError("the ONNX model has sparse initializers; store them dense")
    if model.functions:
        model = inliner.inline_local_functions(model)
    try:
        return shape_inference.infer_shapes(model)
    except Exception:  # types are of use, not needed: without them integers are taken for floats
        return model


def _opset(model: onnx.ModelProto) -> int:
    return max((o.version for o in model.opset_import if o.domain in _DOMAINS), default=OLDEST_OPSET)


class _Reader:
    """Walks over a graph."""

    def __init__(self, model: onnx.ModelProto, inputs: Sequence[Tensor]) -> None:
        self.model, self.opset = model, _opset(model)
        graph = model.graph
        constants = {tensor.name for tensor in graph.initializer}
        declared = [value for value in graph.input if value.name not in constants]
        self.batch = _batch(declared)
        _check_inputs(declared, inputs)
        self.build = NetworkBuilder(inputs, [value.name for value in declared])
        self.values: dict[str, Any] = {"": None}
        self.values |= {value.name: node for value, node in zip(declared, self.build.inputs, strict=True)}
        self.types: dict[str, int] = {}
        self.wanted = set(_read_names(graph))

    def read(self) -> NetworkBuilder:
        graph = self.model.graph
        self._walk(graph)
        for output in graph.output:
            value = self.values[output.name]
            if not isinstance(value, Node):
                raise ValueError(
                    f"output {output.name!r} does not depend on the network's input; remove it from the graph"
                )
            self.build.outputs.append(value)
        return self.build

    def _walk(self, graph: onnx.GraphProto) -> None:
        """Evaluate the nodes of a graph, which are in topological order."""
        for value in (*graph.input, *graph.value_info, *graph.output):
            self.types[value.name] = value.type.tensor_type.elem_type
        for tensor in graph.initializer:
            self.values[tensor.name] = numpy_helper.to_array(tensor)
            self.types[tensor.name] = tensor.data_type
        for proto in graph.node:
            try:
                results = self._call(proto)
            except (RuntimeError, IndexError) as error:  # torch's errors of shapes
                raise ValueError(
                    f"{self.build.name!r} at {self.build.label!r} does not run on the inputset: {error}; "
                    "give rows of the shape that the network was exported for"
                ) from error
            results = results if isinstance(results, list | tuple) else [results]
            for index, name in enumerate(proto.output):
                if index < len(results):
                    self.values[name] = results[index]
                elif name in self.wanted:
                    raise self.build.unsupported(
                        f"its output {name!r} is read", f"its output {proto.output[0]!r} alone"
                    )

    def _call(self, proto: onnx.NodeProto) -> Any:
        """Return the result of a node, or the list of its results."""
        name = proto.op_type
        label = proto.name or f"{name}:{proto.output[0]}"
        self.build.at(name, label)
        if proto.domain not in _DOMAINS:
            reason = f"it is an operator of {proto.domain!r}, not of ONNX"
            raise unsupported(name, label, reason, advice(name, "onnx"))
        inputs = [self.values[i] for i in proto.input]
        if name == "If" and not isinstance(inputs[0], Node):
            return self._branch(proto, bool(np.all(inputs[0])))
        if any(a.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS) for a in proto.attribute):
            raise unsupported(name, label, "it has a graph of its own", "a graph without control flow")
        if name in _RANDOM:
            raise unsupported(name, label, "its results are random", "a constant")
        call = _Call(self.build, proto, inputs, self.opset, self.batch, self.types)
        if not any(isinstance(value, Node) for value in inputs):
            return call.run(*inputs)
        handler = _HANDLERS.get(name)
        if handler is not None:
            return handler(call)
        if name in MOVEMENT["onnx"]:
            return call.move()
        if name in _FUNCTIONS:
            return call.elementwise(_FUNCTIONS[name], "compare" if name in _COMPARISONS else "")
        raise unsupported(name, label, "there is no such operator", advice(name, "onnx"))

    def _branch(self, proto: onnx.NodeProto, condition: bool) -> list[Any]:
        """Evaluate one branch of a conditional whose condition is a constant."""
        wanted = "then_branch" if condition else "else_branch"
        (graph,) = (a.g for a in proto.attribute if a.name == wanted)
        self._walk(graph)
        return [self.values[output.name] for output in graph.output]


def _batch(declared: Sequence[onnx.ValueInfoProto]) -> int | None:
    """Return the number of rows that a graph was exported for; None if it takes any."""
    sizes = {}
    for value in declared:
        shape = _declared_shape(value)
        if shape and shape[0] is not None:
            sizes[value.name] = shape[0]
    if len(set(sizes.values())) > 1:
        raise ValueError(
            f"the first axis of every input must be the rows, as many in each; the graph declares {sizes}; "
            "export the network with rows first"
        )
    return next(iter(sizes.values()), None)


def _declared_shape(value: onnx.ValueInfoProto) -> list[int | None] | None:
    """Return the sizes of a value's axes, None for those that are not fixed; None if nothing is declared."""
    kind = value.type.tensor_type
    if not kind.HasField("shape"):
        return None
    return [d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else None for d in kind.shape.dim]


def _check_inputs(declared: Sequence[onnx.ValueInfoProto], inputs: Sequence[Tensor]) -> None:
    """Raise an error unless the calibration rows are such as the graph takes."""
    names = ", ".join(repr(value.name) for value in declared)
    if len(declared) != len(inputs):
        raise ValueError(
            f"the network takes {len(declared)} input(s) ({names}), got {len(inputs)} array(s); give "
            "inputset as a tuple of one array for each"
        )
    if not declared:
        raise ValueError("the network has no inputs: there is nothing to encrypt")
    for value, rows in zip(declared, inputs, strict=True):
        if not value.type.HasField("tensor_type"):
            raise ValueError(
                f"input {value.name!r} of the network is not a tensor; give it one tensor for each"
            )
        shape = _declared_shape(value)
        if shape is None:
            continue
        if not shape:
            raise ValueError(
                f"input {value.name!r} of the network is a single number; give it an axis of rows"
            )
        got = tuple(rows.shape[1:])
        fits = len(got) == len(shape) - 1 and all(n in (None, m) for n, m in zip(shape[1:], got, strict=True))
        if not fits:
            expected = ", ".join("any" if n is None else str(n) for n in shape[1:])
            raise ValueError(
                f"input {value.name!r} of the network has rows of shape ({expected}), got {got}; "
                "reshape them, or export the network for the shape they have"
            )


def _read_names(graph: onnx.GraphProto) -> Iterator[str]:
    """Yield the names of all values that a graph, or one within it, reads or returns."""
    yield from (output.name for output in graph.output)
    for node in graph.node:
        yield from node.input
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _read_names(inner)


@dataclass(frozen=True)
class _Call:
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
        return self.batch or EXAMPLE_ROWS

    @cached_property
    def attributes(self) -> dict[str, Any]:
        """Attributes by name, and the defaults of those left out."""
        schema = defs.get_schema(self.proto.op_type, self.opset)
        given = [a.default_value for a in schema.attributes.values() if a.default_value.type]
        found = {a.name: helper.get_attribute_value(a) for a in (*given, *self.proto.attribute)}
        return {name: v.decode() if isinstance(v, bytes) else v for name, v in found.items()}

    @property
    def nodes(self) -> list[Node]:
        """Encrypted inputs."""
        return [value for value in self.inputs if isinstance(value, Node)]

    def input_name(self, index: int) -> str:
        """Return what ONNX calls an input of the operator."""
        formal = defs.get_schema(self.proto.op_type, self.opset).inputs
        return formal[min(index, len(formal) - 1)].name

    def encrypted(self, index: int = 0) -> Node:
        """Return an input that must be encrypted."""
        value = self.inputs[index]
        if not isinstance(value, Node):
            raise self.build.unsupported(
                f"its input {self.input_name(index)!r} is a constant, and another one is encrypted",
                f"the encrypted value as {self.input_name(index)!r}",
            )
        return value

    def constant(self, index: int) -> Array | None:
        """Return an input that must be a constant; None if it was left out."""
        value = self.inputs[index] if index < len(self.inputs) else None
        if isinstance(value, Node):
            raise self.build.unsupported(
                f"its input {self.input_name(index)!r} is encrypted", "a constant, such as an initializer"
            )
        return value

    def floats(self, index: int) -> Tensor | None:
        """Return a constant input in double precision; None if it was left out."""
        value = self.constant(index)
        return None if value is None else _double(value)

    def given(self, index: int) -> Tensor:
        """Return a constant input in double precision that must not be left out."""
        value = self.floats(index)
        if value is None:
            raise self.build.unsupported(
                f"its input {self.input_name(index)!r} is missing", "all of its inputs"
            )
        return value

    def holds_integers(self, index: int = 0) -> bool:
        """Whether an input is known to be of an integer type."""
        return self.types.get(self.proto.input[index], 0) in _INTEGERS

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
        return _evaluated(proto, dict(zip(names, values, strict=True)), opset, self.build)

    def move(self) -> list[Node]:
        """Append the movement that the node is of its first input."""
        for index in range(1, len(self.inputs)):
            self.constant(index)
        x = self.encrypted()
        return self.build.move(
            x, lambda positions: self.by_batch(lambda rows: self.run(rows, *self.inputs[1:]), positions)
        )

    def by_batch(self, function: Callable[[Array], Sequence[Array]], positions: Tensor) -> list[Tensor]:
        """Apply a function to as many rows at a time as the graph was exported for.

        ``positions`` are the numbers from 1 that `NetworkBuilder.move` traces with; they are continued to
        fill the last batch.
        """
        n_rows, size = len(positions), positions[0].numel()
        n_batches = -(-n_rows // self.rows)
        continued = torch.arange(1, n_batches * self.rows * size + 1, dtype=torch.float64)
        batches = continued.reshape(n_batches, self.rows, *positions.shape[1:]).numpy()
        each = [[torch.from_numpy(np.array(v)) for v in function(batch)] for batch in batches]
        for moved in (value for values in each for value in values):
            if moved.ndim == 0 or len(moved) != self.rows:
                raise self.build.unsupported(
                    f"it turns {self.rows} rows into a tensor of shape {tuple(moved.shape)}, and rows are "
                    "encrypted apart",
                    "operations within a row, the first axis being the rows",
                )
        return [torch.cat(values)[:n_rows] for values in zip(*each, strict=True)]

    def row_axis(self, x: Node, axis: int) -> int:
        """Return the axis of a row for an axis of a tensor."""
        rank = len(x.shape) + 1
        if not -rank <= axis < rank:
            raise self.build.unsupported(f"axis {axis} is none of the {rank} that its input has")
        if axis % rank == 0:
            raise self.build.mixes_rows()
        return axis % rank - 1

    def of_one_rank(self, nodes: Sequence[Node]) -> list[Node]:
        """Return encrypted values with as many axes each, so that broadcasting them aligns their rows."""
        rank = max(len(node.shape) for node in nodes)
        if self.batch != 1 and any(len(node.shape) < rank for node in nodes):
            shapes = ", ".join(str(("n_rows", *node.shape)) for node in nodes)
            raise self.build.unsupported(
                f"the rows of one encrypted input meet another axis of the other: {shapes}",
                "Unsqueeze before it",
            )

        def raised(node: Node) -> Node:
            shape = (1,) * (rank - len(node.shape)) + node.shape
            return self.build.move(node, lambda rows: rows.reshape(len(rows), *shape))

        return [raised(node) for node in nodes]

    def elementwise(self, function: Callable[..., Tensor], kind: str = "") -> Node:
        """Append a function of all inputs, element by element; the node's attributes are passed by name."""
        distinct = list(dict.fromkeys(self.nodes))
        raised = self.of_one_rank(distinct)
        constants = [
            v if isinstance(v, Node) or v is None else self.build.row_constant(_double(v), raised[0])
            for v in self.inputs
        ]
        attributes = self.attributes

        def of(*floats: Tensor) -> Tensor:
            given = dict(zip(distinct, floats, strict=True))
            values = [given[v] if isinstance(v, Node) else v for v in constants]
            return function(*values, **attributes).double()

        if len(raised) == 1:
            return self.build.univariate(raised[0], of)
        return self.build.elementwise(of, *raised, kind=kind if len(distinct) == len(self.inputs) else "")


def _double(value: Array) -> Tensor:
    return torch.from_numpy(np.asarray(value).astype(np.float64))


def _evaluated(
    proto: onnx.NodeProto, feeds: dict[str, Any], opset: int, build: NetworkBuilder
) -> list[Array]:
    """Compute one node by the reference evaluator; an output that nobody reads gives an empty array."""
    kept = [name for name in proto.output if name]
    feeds = {name: np.asarray(value) for name, value in feeds.items() if name}
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in (*feeds, *kept)]
    graph = helper.make_graph([proto], "node", values[: len(feeds)], values[len(feeds) :])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
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


def _handles(*names: str) -> Callable[[Handler], Handler]:
    def register(handler: Handler) -> Handler:
        for name in names:
            _HANDLERS[name] = handler
        return handler

    return register


# ------------------------------------------------------------------------------------------------ shapes


@_handles("Shape")
def _shape(call: _Call) -> Array:
    shape = np.array([call.rows, *call.encrypted().shape], dtype=np.int64)
    return shape[call.attributes.get("start", 0) : call.attributes.get("end")]


@_handles("Size")
def _size(call: _Call) -> Array:
    return np.array(call.rows * int(np.prod(call.encrypted().shape, dtype=np.int64)), dtype=np.int64)


@_handles("Identity")
def _identity(call: _Call) -> Node:
    return call.encrypted()


@_handles("Dropout")
def _dropout(call: _Call) -> Node:
    training = call.constant(2)
    if training is not None and bool(np.all(training)):
        raise call.build.unsupported("it is in training mode", "the network in evaluation mode")
    return call.encrypted()


# ---------------------------------------------------------------------------------------------- movement


@_handles("Gather")
def _gather(call: _Call) -> list[Node]:
    if isinstance(call.inputs[1], Node):
        raise call.build.unsupported("its input 'indices' is encrypted", "one-hot rows and MatMul")
    return call.move()


@_handles("Concat")
def _concat(call: _Call) -> Node:
    first = call.nodes[0]
    axis = call.row_axis(first, call.attributes["axis"])
    parts = [v if isinstance(v, Node) else call.build.constant(first, _double(v)) for v in call.inputs]
    return call.build.concatenate(parts, axis)


@_handles("Pad")
def _pad(call: _Call) -> Node:
    x, rank = call.encrypted(), len(call.encrypted().shape) + 1
    if call.opset < 11:
        pads, fill = list(call.attributes["pads"]), call.attributes["value"]
        axes = list(range(rank))
    else:
        pads = call.given(1).long().tolist()
        value, chosen = call.floats(2), call.constant(3)
        fill = 0.0 if value is None or not value.numel() else float(value)
        axes = list(range(rank)) if chosen is None else [int(a) % rank for a in chosen]
    width = [(0, 0)] * rank
    for axis, before, after in zip(axes, pads[: len(axes)], pads[len(axes) :], strict=True):
        width[axis] = (int(before), int(after))
    if width[0] != (0, 0):
        raise call.build.unsupported(
            "it pads the rows, which are encrypted apart", "pads of 0 along the first axis"
        )
    cropped = tuple(
        slice(max(0, -before), size - max(0, -after))
        for (before, after), size in zip(width, (EXAMPLE_ROWS, *x.shape), strict=True)
    )
    added = [(max(0, before), max(0, after)) for before, after in width]
    mode: Any = call.attributes["mode"]
    return call.build.move(
        x, lambda rows: torch.from_numpy(np.pad(rows.numpy()[cropped], added, mode=mode)), fill=fill
    )


@_handles("Resize", "Upsample")
def _resize(call: _Call) -> Node:
    x, attributes, build = call.encrypted(), call.attributes, call.build
    rank = len(x.shape) + 1
    old = call.proto.op_type == "Upsample" or call.opset < 11
    scales = attributes["scales"] if "scales" in attributes else call.constant(1 if old else 2)
    sizes = None if old else call.constant(3)
    by_size = scales is None or not len(scales)
    values = sizes if by_size else scales
    if values is None or not len(values):
        raise build.unsupported("it has neither scales nor sizes", "one of them as a constant")
    before = (call.rows, *x.shape) if by_size else (1,) * rank
    axes = [int(axis) % rank for axis in attributes.get("axes") or range(rank)]
    changed = {axis: v for axis, v in zip(axes, values, strict=True) if v != before[axis]}
    if 0 in changed:
        raise build.mixes_rows()
    if not changed:
        return x
    mode = "linear" if attributes["mode"] == "bilinear" else attributes["mode"]
    coordinates = "asymmetric" if old else attributes["coordinate_transformation_mode"]
    if coordinates == "tf_crop_and_resize":
        raise build.unsupported("it crops (tf_crop_and_resize)", "Slice, and Resize of its result")
    if attributes.get("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise build.unsupported("it keeps the aspect ratio", "scales")
    passed = ("cubic_coeff_a", "exclude_outside", "antialias")
    proto = helper.make_node(
        "Resize",
        ["x", "", "", "changed"] if by_size else ["x", "", "changed"],
        ["y"],
        axes=list(changed),
        mode=mode,
        coordinate_transformation_mode=coordinates,
        nearest_mode=attributes.get("nearest_mode", "floor"),
        **{name: attributes[name] for name in passed if name in attributes},
    )
    feed = np.array(list(changed.values()), dtype=np.int64 if by_size else np.float32)

    def resized(rows: Tensor) -> Tensor:
        feeds = {"x": rows.numpy(), "changed": feed}
        return torch.from_numpy(_evaluated(proto, feeds, max(call.opset, EVALUATED_AS), build)[0])

    return build.move(x, resized) if mode == "nearest" else layers.linear_map(build, x, resized)


# ---------------------------------------------------------------------------------------- linear layers


@_handles("Gemm")
def _gemm(call: _Call) -> Node:
    attributes, build = call.attributes, call.build
    x, weight = call.encrypted(0), call.given(1)
    if attributes["transA"]:
        raise build.unsupported("it transposes the rows (transA=1)", "transA=0")
    weight = weight if attributes["transB"] else weight.T
    bias = call.inputs[2] if len(call.inputs) > 2 else None
    if bias is None or isinstance(bias, Node):
        product = build.linear(x, attributes["alpha"] * weight)
        if bias is None:
            return product
        if len(bias.shape) != 1:
            raise build.unsupported("the rows of C meet another axis of the product", "Unsqueeze before it")
        return build.elementwise(torch.add, product, build.affine(bias, attributes["beta"]), kind="add")
    row = build.row_constant(_double(bias), x)
    return build.linear(x, attributes["alpha"] * weight, attributes["beta"] * row)


@_handles("MatMul")
def _matmul(call: _Call) -> Node:
    a, b = call.inputs
    if isinstance(a, Node) and isinstance(b, Node):
        return layers.matmul(call.build, *call.of_one_rank([a, b]))
    if isinstance(a, Node):
        if not a.shape:
            raise call.build.unsupported(
                "it sums over the rows, which are encrypted apart", "rows of one axis or more"
            )
        return layers.matmul(call.build, a, _double(b))
    if len(b.shape) < 2:
        raise call.build.unsupported(
            "a constant on the left multiplies the rows, which are encrypted apart",
            "Gemm with the constant as B",
        )
    if a.ndim == 1:
        product = layers.matmul(call.build, _double(a[None]), b)
        return call.build.move(product, lambda rows: rows.squeeze(-2))
    return layers.matmul(call.build, _double(a), b)


def _window(call: _Call, x: Node, kernel: Sequence[int]) -> Window:
    """Return the window that the attributes of a convolution or pooling describe."""
    n_axes = len(kernel)
    if len(x.shape) != n_axes + 1:
        raise call.build.unsupported(
            f"it has a kernel of {n_axes} axes for rows of shape {x.shape}", "rows of shape (channels, *axes)"
        )
    strides = list(call.attributes.get("strides") or [1] * n_axes)
    dilation = list(call.attributes.get("dilations") or [1] * n_axes)
    pads = list(call.attributes.get("pads") or [0] * (2 * n_axes))
    padding = list(zip(pads[:n_axes], pads[n_axes:], strict=True))
    auto = call.attributes.get("auto_pad", "NOTSET")
    if auto == "VALID":
        padding = [(0, 0)] * n_axes
    elif auto in ("SAME_UPPER", "SAME_LOWER"):
        padding = []
        for size, k, stride, d in zip(x.shape[1:], kernel, strides, dilation, strict=True):
            total = max(0, (-(-size // stride) - 1) * stride + d * (k - 1) + 1 - size)
            less, more = total // 2, total - total // 2
            padding.append((less, more) if auto == "SAME_UPPER" else (more, less))
    return Window(kernel, strides, padding, dilation)


@_handles("Conv")
def _conv(call: _Call) -> Node:
    x, weight = call.encrypted(0), call.given(1)
    window = _window(call, x, list(weight.shape[2:]))
    return layers.convolution(call.build, x, weight, call.floats(2), window, call.attributes["group"])


@_handles("ConvTranspose")
def _conv_transpose(call: _Call) -> Node:
    x, weight, bias = call.encrypted(0), call.given(1), call.floats(2)
    n_axes = weight.ndim - 2
    if n_axes not in (1, 2):
        raise call.build.unsupported(f"it has {n_axes} spatial axes", "one or two spatial axes")
    window = _window(call, x, list(weight.shape[2:]))
    added = list(call.attributes.get("output_padding") or [0] * n_axes)
    padding = list(window.padding)
    auto = call.attributes["auto_pad"]
    shape = call.attributes.get("output_shape")
    if auto.startswith("SAME") and not shape:
        shape = [size * stride for size, stride in zip(x.shape[1:], window.strides, strict=True)]
    if shape:
        padding = []
        for axis, wanted in enumerate(list(shape)[-n_axes:]):
            extent = window.dilation[axis] * (window.kernel[axis] - 1) + 1
            total = window.strides[axis] * (x.shape[axis + 1] - 1) + added[axis] + extent - wanted
            less, more = total // 2, total - total // 2
            padding.append((less, more) if auto == "SAME_UPPER" else (more, less))
    crop = [
        n for axis in reversed(range(n_axes)) for n in (-padding[axis][0], added[axis] - padding[axis][1])
    ]
    transpose: Any = functional.conv_transpose1d if n_axes == 1 else functional.conv_transpose2d
    group, strides, dilation = call.attributes["group"], window.strides, window.dilation

    def function(rows: Tensor) -> Tensor:
        whole = transpose(rows, weight, None, strides, 0, 0, group, dilation)
        cropped = functional.pad(whole, crop)
        return cropped if bias is None else cropped + bias.reshape(-1, *(1,) * n_axes)

    return layers.linear_map(call.build, x, function)


@_handles("BatchNormalization")
def _batch_normalization(call: _Call) -> Node:
    if call.attributes.get("training_mode", 0):
        raise call.build.unsupported("it is in training mode", "the network in evaluation mode")
    scale, bias, mean, variance = (call.given(index) for index in range(1, 5))
    return layers.batch_norm(
        call.build, call.encrypted(0), scale, bias, mean, variance, call.attributes["epsilon"]
    )


@_handles("CumSum")
def _cumsum(call: _Call) -> Node:
    x = call.encrypted(0)
    axis = call.row_axis(x, int(call.given(1))) + 1
    exclusive, reverse = call.attributes["exclusive"], call.attributes["reverse"]

    def function(rows: Tensor) -> Tensor:
        rows = rows.flip(axis) if reverse else rows
        sums = rows.cumsum(axis) - (rows if exclusive else 0)
        return sums.flip(axis) if reverse else sums

    return layers.linear_map(call.build, x, function)


# ------------------------------------------------------------------------------- poolings and reductions


@_handles("AveragePool")
def _average_pool(call: _Call) -> Node:
    x = call.encrypted()
    declared = _window(call, x, list(call.attributes["kernel_shape"]))
    window = declared.with_ceil(x.shape[1:]) if call.attributes.get("ceil_mode") else declared
    share = torch.ones((), dtype=torch.float64)
    for axis, size in enumerate(x.shape[1:]):
        kernel, stride, dilation = window.kernel[axis], window.strides[axis], window.dilation[axis]
        (before, after), (_, end) = declared.padding[axis], window.padding[axis]
        starts = torch.arange(0, before + size + end - dilation * (kernel - 1), stride)
        read = starts[:, None] + dilation * torch.arange(kernel)
        inside = (read >= before) & (read < before + size)
        counted = read < before + size + after if call.attributes.get("count_include_pad") else inside
        share = share[..., None] * (inside.sum(dim=1) / counted.sum(dim=1).double())
    return layers.average_pool(call.build, x, window, lambda ones: share.expand(1, x.shape[0], *share.shape))


@_handles("MaxPool")
def _max_pool(call: _Call) -> Node:
    x = call.encrypted()
    window = _window(call, x, list(call.attributes["kernel_shape"]))
    if call.attributes.get("ceil_mode"):
        window = window.with_ceil(x.shape[1:])
    return layers.max_pool(call.build, x, window)


@_handles("GlobalAveragePool", "GlobalMaxPool")
def _global_pool(call: _Call) -> Node:
    x = call.encrypted()
    axes = list(range(1, len(x.shape)))
    if call.proto.op_type == "GlobalMaxPool":
        return call.build.extremum_over(x, axes, keepdim=True, largest=True)
    return call.build.affine(call.build.total(x, axes, keepdim=True), 1.0 / np.prod(x.shape[1:]))


@_handles("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin")
def _reduce(call: _Call) -> Node:
    x, name, build = call.encrypted(), call.proto.op_type, call.build
    chosen = call.constant(1)
    given = call.attributes.get("axes") if chosen is None else chosen.ravel().tolist()
    if not given and call.attributes.get("noop_with_empty_axes"):
        return x
    axes = sorted({call.row_axis(x, int(axis)) for axis in given or range(len(x.shape) + 1)})
    keepdim = bool(call.attributes["keepdims"])
    if name in ("ReduceMax", "ReduceMin"):
        return build.extremum_over(x, axes, keepdim, largest=name == "ReduceMax")
    total = build.total(x, axes, keepdim)
    if name == "ReduceSum":
        return total
    mean = build.affine(total, 1.0 / np.prod([x.shape[axis] for axis in axes]))
    return build.univariate(mean, torch.trunc) if call.holds_integers() else mean


# ------------------------------------------------------------------------ arithmetic, element by element


@_handles("Add", "Sub")
def _add(call: _Call) -> Node:
    a, b = call.inputs
    subtract = call.proto.op_type == "Sub"
    if isinstance(a, Node) and isinstance(b, Node):
        function, kind = (torch.sub, "subtract") if subtract else (torch.add, "add")
        return call.build.elementwise(function, *call.of_one_rank([a, b]), kind=kind)
    if isinstance(a, Node):
        return call.build.affine(a, 1.0, -_double(b) if subtract else _double(b))
    return call.build.affine(b, -1.0 if subtract else 1.0, _double(a))


@_handles("Mul")
def _multiply(call: _Call) -> Node:
    a, b = call.inputs
    if isinstance(a, Node) and isinstance(b, Node):
        return call.build.elementwise(torch.mul, *call.of_one_rank([a, b]), kind="multiply")
    return call.build.affine(a, _double(b)) if isinstance(a, Node) else call.build.affine(b, _double(a))


@_handles("Div")
def _divide(call: _Call) -> Node:
    if call.holds_integers():
        return call.elementwise(lambda a, b: torch.div(a, b, rounding_mode="trunc"))
    a, b = call.inputs
    if isinstance(a, Node) and not isinstance(b, Node):
        return call.build.affine(a, 1.0 / _double(b))
    return call.elementwise(torch.div, "divide")


@_handles("Neg")
def _negative(call: _Call) -> Node:
    return call.build.affine(call.encrypted(), -1.0)


@_handles("Sum", "Mean", "Max", "Min")
def _accumulate(call: _Call) -> Node:
    """Append a function of any number of values: of the constants first, then of two at a time."""
    build, name = call.build, call.proto.op_type
    function, kind = {
        "Max": (torch.maximum, "maximum"),
        "Min": (torch.minimum, "minimum"),
    }.get(name, (torch.add, "add"))
    nodes = call.of_one_rank(call.nodes)
    constants = [_double(value) for value in call.inputs if not isinstance(value, Node)]
    result = nodes[0]
    if constants:
        row = build.row_constant(reduce(function, constants), result)
        if kind == "add":
            result = build.affine(result, 1.0, row)
        else:
            result = build.univariate(result, lambda rows: function(rows, row))
    for node in nodes[1:]:
        result = build.elementwise(function, result, node, kind=kind)
    return build.affine(result, 1.0 / len(call.inputs)) if name == "Mean" else result


@_handles("Clip")
def _clip(call: _Call) -> Node:
    if call.opset < 11:
        low, high = (torch.tensor(call.attributes[name]) for name in ("min", "max"))
    else:
        least, most = call.floats(1), call.floats(2)
        low = torch.tensor(-torch.inf) if least is None else least
        high = torch.tensor(torch.inf) if most is None else most
    return call.build.univariate(call.encrypted(), lambda rows: torch.minimum(torch.maximum(rows, low), high))


@_handles("Where")
def _where(call: _Call) -> Node:
    build = call.build
    raised = iter(call.of_one_rank(call.nodes))
    condition, a, b = (next(raised) if isinstance(v, Node) else _double(v) for v in call.inputs)
    if isinstance(condition, Node) and isinstance(a, Node) and isinstance(b, Node):
        return build.elementwise(lambda c, x, y: torch.where(c != 0, x, y), condition, a, b, kind="where")
    if isinstance(condition, Node):
        return build.choose(condition, a, b)
    assert isinstance(condition, Tensor)
    return build.select(condition, a, b)


# ----------------------------------------------------------------------------------- types and quantizers


@_handles("Cast", "CastLike")
def _cast(call: _Call) -> Node:
    x = call.inputs[0]
    if not isinstance(x, Node):
        return call.run(*call.inputs[:1])  # type: ignore[return-value]
    if call.proto.op_type == "Cast":
        to = call.attributes["to"]
    else:
        to = call.types.get(call.proto.input[1], TensorProto.UNDEFINED)
    if to in _FLOATS:
        return x
    if to == TensorProto.BOOL:
        return call.build.univariate(x, lambda rows: rows != 0)
    if to in _INTEGERS:
        return x if call.holds_integers() else call.build.univariate(x, torch.trunc)
    kind = TensorProto.DataType.Name(to)
    raise call.build.unsupported(f"it casts to {kind}", "float, an integer type or bool")


def _grid(call: _Call, x: Node) -> tuple[Tensor, Tensor]:
    """Return the scale and zero point of a quantizer, so that they broadcast against a row."""
    scale, zero_point = call.given(1), call.floats(2)
    zero_point = torch.zeros_like(scale) if zero_point is None else zero_point
    if scale.numel() == 1:
        return scale.reshape(()), zero_point.reshape(())
    if scale.ndim != 1:
        raise call.build.unsupported(
            "its scales are those of blocks", "a scale for the tensor or for each channel"
        )
    axis = call.row_axis(x, call.attributes["axis"])
    across = [1] * len(x.shape)
    across[axis] = -1
    return scale.reshape(across), zero_point.reshape(across)


@_handles("QuantizeLinear")
def _quantize(call: _Call) -> Node:
    x = call.encrypted(0)
    scale, zero_point = _grid(call, x)
    to = call.attributes.get("output_dtype") or TensorProto.UINT8
    if call.constant(2) is not None:
        to = helper.np_dtype_to_tensor_dtype(call.inputs[2].dtype)
    if to not in _INTEGERS:
        kind = TensorProto.DataType.Name(to)
        raise call.build.unsupported(f"it quantizes to {kind}", "a zero point of type int8 or uint8")
    low, high = _INTEGERS[to]
    return call.build.univariate(x, lambda rows: (torch.round(rows / scale) + zero_point).clamp(low, high))


@_handles("DequantizeLinear")
def _dequantize(call: _Call) -> Node:
    x = call.encrypted(0)
    scale, zero_point = _grid(call, x)
    return call.build.affine(x, scale, -zero_point * scale)
