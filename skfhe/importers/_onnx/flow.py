"""Control flow that constants decide: branches are chosen, and loops unrolled, while the graph is read."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from skfhe.importers._onnx.call import Call, double
from skfhe.network import Node

if TYPE_CHECKING:
    from skfhe.importers._onnx.reader import Reader

__all__ = ["branch", "unrolled"]

MOST_STEPS = 1024
"""Longer loops are not unrolled."""


def branch(reader: Reader, call: Call) -> list[Any]:
    """Evaluate one branch of a conditional whose condition is a constant."""
    wanted = "then_branch" if bool(np.all(call.inputs[0])) else "else_branch"
    (graph,) = (a.g for a in call.proto.attribute if a.name == wanted)
    return _evaluated(reader, graph, {})


def _evaluated(reader: Reader, graph: onnx.GraphProto, given: dict[str, Any]) -> list[Any]:
    """Evaluate a graph within the one that is being read."""
    types = dict(reader.types)
    with reader.scope(reader.values | given, types):
        reader.walk(graph)
        return [reader.values[output.name] for output in graph.output]


def unrolled(reader: Reader, call: Call) -> list[Any]:
    """Evaluate a loop, step by step."""
    (graph,) = (a.g for a in call.proto.attribute if a.name == "body")
    return _loop(reader, call, graph) if call.proto.op_type == "Loop" else _scan(reader, call, graph)


def _constant(call: Call, value: Any, what: str) -> Any:
    if isinstance(value, Node):
        raise call.build.unsupported(f"its {what} is encrypted", "a constant number of steps")
    return value


def _loop(reader: Reader, call: Call, graph: onnx.GraphProto) -> list[Any]:
    n_steps = _constant(call, call.input(0), "number of steps")
    condition = _constant(call, call.input(1), "condition")
    carried = call.inputs[2:]
    names = [value.name for value in graph.input]
    collected: list[list[Any]] = []
    step = 0
    while (n_steps is None or step < int(n_steps)) and (condition is None or bool(np.all(condition))):
        if step == MOST_STEPS:
            raise call.build.unsupported(f"it takes more than {MOST_STEPS} steps", "fewer")
        start = [np.array(step, dtype=np.int64), np.array(True), *carried]
        condition, *found = _evaluated(reader, graph, dict(zip(names, start, strict=False)))
        condition = _constant(call, condition, "condition")
        carried = found[: len(carried)]
        collected.append(found[len(carried) :])
        step += 1
    n_scans = len(graph.output) - 1 - len(carried)
    if n_scans and not collected:
        raise call.build.unsupported("it takes no step, and its results are stacked", "one step at least")
    return [*carried, *(_stacked(call, [c[i] for c in collected], 0) for i in range(n_scans))]


def _scan(reader: Reader, call: Call, graph: onnx.GraphProto) -> list[Any]:
    attributes = call.attributes
    if call.opset < 9:
        return _scan_of_batch(reader, call, graph)
    n_scanned = attributes["num_scan_inputs"]
    n_carried = len(call.inputs) - n_scanned
    carried, scanned = call.inputs[:n_carried], call.inputs[n_carried:]
    n_results = len(graph.output) - n_carried
    axes = attributes.get("scan_input_axes") or [0] * n_scanned
    backwards = attributes.get("scan_input_directions") or [0] * n_scanned
    names = [value.name for value in graph.input]
    n_steps = scanned[0].shape[axes[0]]
    collected: list[list[Any]] = []
    for step in range(n_steps):
        parts = [
            _taken(call, value, n_steps - 1 - step if back else step, axis)
            for value, axis, back in zip(scanned, axes, backwards, strict=True)
        ]
        found = _evaluated(reader, graph, dict(zip(names, [*carried, *parts], strict=True)))
        carried = found[:n_carried]
        collected.append(found[n_carried:])
    out_axes = attributes.get("scan_output_axes") or [0] * n_results
    turned = attributes.get("scan_output_directions") or [0] * n_results
    stacks = [
        _stacked(call, [c[i] for c in (collected[::-1] if turned[i] else collected)], out_axes[i])
        for i in range(n_results)
    ]
    return [*carried, *stacks]


def _scan_of_batch(reader: Reader, call: Call, graph: onnx.GraphProto) -> list[Any]:
    """Evaluate a scan of opset 8, whose inputs have an axis of examples before that of steps."""
    if call.input(0) is not None or any(call.attributes.get("directions") or []):
        raise call.build.unsupported("its sequences have lengths or directions", "Scan of opset 9")
    kept = [a for a in call.proto.attribute if a.name != "directions"]
    proto = onnx.NodeProto(op_type="Scan", input=call.proto.input[1:], output=call.proto.output)
    proto.attribute.extend(kept)
    each = []
    for example in range(call.inputs[1].shape[0]):
        parts = [_taken(call, value, example, 0) for value in call.inputs[1:]]
        each.append(_scan(reader, replace(call, proto=proto, inputs=parts, opset=9), graph))
    return [_stacked(call, list(values), 0) for values in zip(*each, strict=True)]


def _taken(call: Call, value: Any, index: int, axis: int) -> Any:
    """Return one element along an axis."""
    if isinstance(value, Node):
        return call.build.move(value, lambda t: t.select(axis, index))
    return np.take(value, index, axis)


def _stacked(call: Call, values: list[Any], axis: int) -> Any:
    """Return values along a new axis."""
    if not any(isinstance(value, Node) for value in values):
        return np.stack(values, axis)
    first = next(value for value in values if isinstance(value, Node))
    nodes = [v if isinstance(v, Node) else call.build.constant(first, double(v)) for v in values]
    axis = axis % (len(first.shape) + 1)
    raised = [call.build.move(node, lambda t: t.unsqueeze(axis)) for node in nodes]
    return call.build.concatenate(raised, axis)
