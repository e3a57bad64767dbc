"""ONNX networks as float networks.

Whatever no input has an influence on is computed once, by onnx's own reference evaluator.

A graph is read for one row: encrypted values have the very shapes that it gives them then, an axis of rows of
one element among them. In one that was exported for a fixed number of rows, movements are traced on so many.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from skfhe.exceptions import UnsupportedOperatorError
from skfhe.importers._onnx import (
    elementwise,
    flow,
    functions,
    layer_handlers,
    movement,
    normalization,
    quantizers,
    recurrent,
)
from skfhe.importers._onnx.call import INTEGERS, Call
from skfhe.importers._onnx.elementwise import COMPARISONS, FUNCTIONS
from skfhe.importers._onnx.model import (
    DOMAINS,
    are_whole,
    batch_of,
    check_inputs,
    checked,
    declared_inputs,
    loaded,
    opset_of,
    read_names,
)
from skfhe.importers._onnx.quantizers import ON_CONSTANTS, QUANTIZED_DOMAINS
from skfhe.importers._onnx.refusals import CONVERTERS, ON_ENCRYPTED, REASONS
from skfhe.importers._onnx.rows import place_rows
from skfhe.importers._onnx.tails import FUNCTIONS as AFTER_DECRYPTION
from skfhe.importers._onnx.tails import Tail, computed_after_decryption
from skfhe.importers._operators import MOVEMENT
from skfhe.importers._replacements import advice
from skfhe.network import NO_OPERATOR, NetworkBuilder, Node, cut_tail

__all__ = ["Reader", "read_onnx"]

HANDLERS = layer_handlers.HANDLERS.joined(
    elementwise.HANDLERS,
    movement.HANDLERS,
    normalization.HANDLERS,
    quantizers.HANDLERS,
    recurrent.HANDLERS,
)
"""By operator, for nodes that have an encrypted input."""


def read_onnx(onnx_model: Any, inputs: Sequence[Tensor], looks_up_outputs: bool = False) -> NetworkBuilder:
    """Read an ONNX network.

    Parameters
    ----------
    onnx_model : onnx.ModelProto, str or path-like
        The model, or the file that holds it.
    inputs : sequence of Tensor, each of shape (n_rows, …)
        Calibration rows. If they have one axis more than the graph declares, each row is a whole input.
    looks_up_outputs : bool
        Whether what the network ends in is evaluated encrypted, where it can be.

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
    model = checked(loaded(onnx_model))
    declared = declared_inputs(model)
    whole = are_whole(declared, inputs)
    check_inputs(declared, inputs, whole)
    batch = None if whole else batch_of(declared)
    reader = Reader(model, inputs, batch, whole, decrypts=not looks_up_outputs)
    try:
        return _placed(reader)
    except UnsupportedOperatorError:
        if not reader.has_decrypted:
            raise
    return _placed(Reader(model, inputs, batch, whole))


def _placed(reader: Reader) -> NetworkBuilder:
    """Return what a reader reads, its outputs of the shape that a row of them has."""
    with torch.no_grad():
        reader.build.outputs.extend(reader.read())
        if not reader.whole:
            place_rows(reader)
    if reader.has_decrypted:
        cut_tail(reader.build, combining=True)
    return reader.build


class Reader:
    """Walks over a graph.

    Parameters
    ----------
    model : onnx.ModelProto
    inputs : sequence of Tensor
        Calibration rows.
    batch : int or None
        Number of rows that the graph was exported for.
    whole : bool
        Whether a row is all of a tensor that the graph takes, or one along its first axis.
    decrypts : bool
        Whether what combines several elements behind the last layer is computed after decryption, though it
        might be evaluated encrypted.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        inputs: Sequence[Tensor],
        batch: int | None,
        whole: bool,
        decrypts: bool = False,
    ) -> None:
        self.model, self.opset = model, opset_of(model)
        self.batch, self.inputs, self.declared = batch, inputs, declared_inputs(model)
        self.build = NetworkBuilder(inputs, [value.name for value in self.declared])
        self.values: dict[str, Any] = {"": None}
        for value, node in zip(self.declared, self.build.inputs, strict=True):
            self.values[value.name] = node if whole else self.build.reshape(node, (1, *node.shape))
        self.types: dict[str, int] = {}
        self.wanted = set(read_names(model.graph))
        self.within: onnx.NodeProto | None = None
        self.whole, self.decrypts, self.has_decrypted = whole, decrypts, False
        self.tail = Tail(model.graph)

    def read(self) -> list[Node]:
        """Return the graph's outputs."""
        graph = self.model.graph
        self.walk(graph)
        for output in graph.output:
            if not isinstance(self.values[output.name], Node):
                raise ValueError(
                    f"output {output.name!r} does not depend on the network's input; remove it from the graph"
                )
        return [self.values[output.name] for output in graph.output]

    def walk(self, graph: onnx.GraphProto) -> None:
        """Evaluate the nodes of a graph, which are in topological order."""
        for value in (*graph.input, *graph.value_info, *graph.output):
            self.types[value.name] = value.type.tensor_type.elem_type
        for tensor in graph.initializer:
            self.values[tensor.name] = numpy_helper.to_array(tensor)
            self.types[tensor.name] = tensor.data_type
        self.evaluate(graph.node)

    def evaluate(self, nodes: Iterable[onnx.NodeProto]) -> None:
        """Evaluate nodes, one after the other."""
        for proto in nodes:
            try:
                results = self._call(proto)
            except (RuntimeError, IndexError) as error:  # torch's errors of shapes
                raise ValueError(
                    f"{self.build.name!r} at {self.build.label!r} does not run on the inputset: {error}; "
                    "give rows of the shape that the network was exported for"
                ) from error
            results = results if isinstance(results, list | tuple) else [results]
            for index, name in enumerate(proto.output):
                if index < len(results) and (results[index] is not None or self.within is not None):
                    self.values[name] = results[index]
                    self._check_range(name)
                elif name and name in self.wanted:
                    raise self.build.unsupported(
                        f"its output {name!r} is read", f"its output {proto.output[0]!r} alone"
                    )

    def _check_range(self, name: str) -> None:
        """Raise an error if integers leave the range of their type, where they would wrap around."""
        value = self.values[name]
        if not isinstance(value, Node) or self.types.get(name) not in INTEGERS:
            return
        low, high = INTEGERS[self.types[name]]
        if bool(((value.reference < low) | (value.reference > high)).any()):
            raise self.build.unsupported(
                f"its integers leave [{low}, {high}] and would wrap around", "a wider integer type"
            )

    def _call(self, proto: onnx.NodeProto) -> Any:
        """Return the result of a node, or the list of its results."""
        name = proto.op_type
        if self.within is None:
            self.build.at(name, proto.name or f"{name}:{proto.output[0]}")
        inputs = [self.values[i] for i in proto.input]
        call = Call(self.build, proto, inputs, self.opset, self.batch, self.types)
        if proto.domain not in DOMAINS:
            return self._foreign(call)
        if name == "If" and not isinstance(inputs[0], Node):
            return flow.branch(self, call)
        if name in ("Loop", "Scan"):
            return flow.unrolled(self, call)
        if any(a.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS) for a in proto.attribute):
            raise self.build.unsupported("it has a graph of its own", "a graph without control flow")
        if any(name and not self.types.get(name) for name in proto.output):
            self.types |= functions.output_types(call)
        if name in REASONS:
            raise self.build.unsupported(REASONS[name], advice(name, "onnx"))
        if not call.nodes:
            return call.run(*inputs)
        if name in ON_ENCRYPTED:
            raise self.build.unsupported(ON_ENCRYPTED[name], advice(name, "onnx"))
        if name not in AFTER_DECRYPTION:
            return self._of_encrypted(call)
        in_tail = self.within is None and proto in self.tail
        if self.tail.waits(self.build, call.nodes) or (
            in_tail and self.decrypts and self.tail.combines(proto)
        ):
            with suppress(UnsupportedOperatorError):
                return self._decrypted(call)
        try:
            return self._of_encrypted(call)
        except UnsupportedOperatorError:
            if in_tail:
                with suppress(UnsupportedOperatorError):
                    return self._decrypted(call)
            raise

    def _decrypted(self, call: Call) -> list[Any]:
        """Return the results of an operator that is computed after decryption."""
        results = computed_after_decryption(call)
        self.has_decrypted = True
        return results

    def _of_encrypted(self, call: Call) -> Any:
        """Return the results of an operator of ONNX that is evaluated encrypted."""
        name = call.proto.op_type
        if name in HANDLERS:
            return HANDLERS[name](call)
        if name in MOVEMENT["onnx"]:
            return call.move()
        if name in FUNCTIONS:
            return call.elementwise(FUNCTIONS[name], "compare" if name in COMPARISONS else "")
        body = functions.body_of(call)
        if body is not None:
            return self._expanded(call, body)
        raise self.build.unsupported(NO_OPERATOR, advice(name, "onnx"))

    def _foreign(self, call: Call) -> Any:
        """Return the results of an operator that is not ONNX's own."""
        domain, name = call.proto.domain, call.proto.op_type
        if domain == "ai.onnx.ml":
            raise self.build.unsupported(
                "it belongs to 'ai.onnx.ml', whose operators are trees, linear models and what prepares data",
                CONVERTERS.get(name, ""),
            )
        if domain == "ai.onnx.preview.training":
            raise self.build.unsupported("it is a step of training", "the trained network")
        if domain in QUANTIZED_DOMAINS and name in ON_CONSTANTS and not call.nodes:
            return np.asarray(ON_CONSTANTS[name](call))
        if domain in QUANTIZED_DOMAINS and name in quantizers.FOREIGN:
            return quantizers.FOREIGN[name](call)
        body = functions.body_of(call)
        if body is not None:
            return self._expanded(call, body)
        reason = f"it is an operator of {domain!r}, not of ONNX"
        raise self.build.unsupported(reason, advice(name, "onnx"))

    def _expanded(self, call: Call, body: onnx.FunctionProto) -> list[Any]:
        """Evaluate the operators that a function is made of."""
        given = {name: call.input(index) for index, name in enumerate(body.input)}
        types = {
            name: call.type_of(index) for index, name in enumerate(body.input) if given[name] is not None
        }
        opset = next((o.version for o in body.opset_import if o.domain in DOMAINS), self.opset)
        outer, wanted = self.within, self.wanted
        with self.scope({"": None, **given}, types, opset):
            self.within = call.proto
            try:
                self.evaluate(functions.instantiated(body, call))
            finally:
                self.within, self.wanted = outer, wanted
            return [self.values.get(name) for name in body.output]

    @contextmanager
    def scope(
        self, values: dict[str, Any], types: dict[str, int], opset: int | None = None
    ) -> Iterator[None]:
        """Evaluate with values of other names, and put the present ones back afterwards."""
        before = self.values, self.types, self.opset
        self.values, self.types, self.opset = values, types, opset or self.opset
        try:
            yield
        finally:
            self.values, self.types, self.opset = before
