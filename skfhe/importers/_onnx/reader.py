"""ONNX networks as float networks.

Whatever no input has an influence on is computed once, by onnx's own reference evaluator.

A graph is read for one row, wherever the rows are in its tensors, and then compared with onnx's evaluator on
several. One that was exported for a fixed number of rows names that number in places: what these do is traced
on so many rows.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from onnx import checker, helper, inliner, numpy_helper, shape_inference
from onnx.reference import ReferenceEvaluator
from torch import Tensor

from skfhe.exceptions import UnsupportedOperatorError
from skfhe.importers._onnx import elementwise, layer_handlers
from skfhe.importers._onnx.call import Call
from skfhe.importers._onnx.elementwise import COMPARISONS, FUNCTIONS
from skfhe.importers._operators import MOVEMENT
from skfhe.importers._replacements import advice
from skfhe.importers._rows import COMPARED_ROWS, departing, mixes_rows, mixing, place_outputs, replaced
from skfhe.network import NO_OPERATOR, NetworkBuilder, Node

__all__ = ["read_onnx"]

HANDLERS = layer_handlers.HANDLERS.joined(elementwise.HANDLERS)
"""By operator, for nodes that have an encrypted input."""
OLDEST_OPSET = 7
"""Before, arithmetic broadcast by attributes of its own."""

_DOMAINS = ("", "ai.onnx")
_RANDOM = frozenset({"Bernoulli", "Multinomial", "RandomNormal", "RandomUniform"})
_RANDOM |= {"RandomNormalLike", "RandomUniformLike"}


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
        self.inputs = inputs
        self.declared = declared
        for value, node in zip(declared, self.build.inputs, strict=True):
            self.values[value.name] = self.build.reshape(node, (1, *node.shape))
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
        self._compare()
        return self.build

    def _compare(self) -> None:
        """Have onnx's evaluator say whether rows depend on each other, and where they are in the outputs."""
        outputs = [output.name for output in self.model.graph.output]
        n_rows = self.batch or COMPARED_ROWS
        picked = torch.arange(n_rows) % len(self.inputs[0])
        if self.batch is None:
            together, alone = self._evaluated(outputs, picked), self._alone(outputs, picked)
            if together is not None and alone is not None and self._fits(alone):
                if not place_outputs(self.build, together, alone, precise=False):
                    raise self._departing(picked)
                return
        elif n_rows > 1:
            names = self._encrypted_names()
            rows = [self._outputs_of(names, given) for given in replaced(self.inputs, n_rows)]
            runs = [values for values in rows if values is not None]
            found = mixing(runs) if len(runs) == len(rows) else None
            if found is not None:
                raise self._mixes(names[found])
        for index, output in enumerate(self.build.outputs):
            if output.shape[:1] == (1,):
                self.build.outputs[index] = self.build.reshape(output, output.shape[1:])

    def _fits(self, alone: Sequence[Tensor]) -> bool:
        """Whether onnx's evaluator, which errs in old releases, finds as many elements as were read."""
        return all(
            values[0].numel() == output.reference[0].numel()
            for values, output in zip(alone, self.build.outputs, strict=True)
        )

    def _departing(self, picked: Tensor) -> ValueError:
        """Return the error that names the first operator whose results for several rows are of their own."""
        names = self._encrypted_names()
        together, alone = self._evaluated(names, picked), self._alone(names, picked)
        if together is not None and alone is not None:
            each = [[value[row] for value in alone] for row in range(len(picked))]
            found = departing(together, each)
            if found is not None:
                return self._mixes(names[found])
        return ValueError(
            f"the ONNX network computes something else for {len(picked)} rows than for one; its result for a "
            "row may not depend on other rows, or on their number"
        )

    def _mixes(self, name: str) -> UnsupportedOperatorError:
        proto = next(proto for proto in self.model.graph.node if name in proto.output)
        return mixes_rows(proto.op_type, proto.name or f"{proto.op_type}:{proto.output[0]}")

    def _encrypted_names(self) -> list[str]:
        names = [name for proto in self.model.graph.node for name in proto.output]
        return [name for name in names if isinstance(self.values.get(name), Node)]

    def _alone(self, names: Sequence[str], picked: Tensor) -> list[Tensor] | None:
        """Return values of the graph for each of some rows, along a first axis."""
        each = []
        for row in picked:
            values = self._evaluated(names, row[None])
            if values is None:
                return None
            each.append(values)
        return [torch.stack(values) for values in zip(*each, strict=True)]

    def _evaluated(self, names: Sequence[str], picked: Tensor) -> list[Tensor] | None:
        return self._outputs_of(names, [rows[picked] for rows in self.inputs])

    def _outputs_of(self, names: Sequence[str], inputs: Sequence[Tensor]) -> list[Tensor] | None:
        """Return values of the graph for some rows; None if onnx's evaluator cannot compute them."""
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        del model.graph.output[:]
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
        feeds = {}
        for value, rows in zip(self.declared, inputs, strict=True):
            kind = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
            feeds[value.name] = rows.numpy().astype(kind)
        try:
            with np.errstate(all="ignore"):
                found: Any = ReferenceEvaluator(model).run(None, feeds)
            return [torch.from_numpy(np.asarray(value).astype(np.float64)) for value in found]
        except Exception:  # operators that the evaluator has in other opsets alone
            return None

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
        self.build.at(name, proto.name or f"{name}:{proto.output[0]}")
        if proto.domain not in _DOMAINS:
            reason = f"it is an operator of {proto.domain!r}, not of ONNX"
            raise self.build.unsupported(reason, advice(name, "onnx"))
        inputs = [self.values[i] for i in proto.input]
        if name == "If" and not isinstance(inputs[0], Node):
            return self._branch(proto, bool(np.all(inputs[0])))
        if any(a.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS) for a in proto.attribute):
            raise self.build.unsupported("it has a graph of its own", "a graph without control flow")
        if name in _RANDOM:
            raise self.build.unsupported("its results are random", "a constant")
        call = Call(self.build, proto, inputs, self.opset, self.batch, self.types)
        if not any(isinstance(value, Node) for value in inputs):
            return call.run(*inputs)
        if name in HANDLERS:
            return HANDLERS[name](call)
        if name in MOVEMENT["onnx"]:
            return call.move()
        if name in FUNCTIONS:
            return call.elementwise(FUNCTIONS[name], "compare" if name in COMPARISONS else "")
        raise self.build.unsupported(NO_OPERATOR, advice(name, "onnx"))

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
