"""ONNX models as they are given: loaded, checked, and what they declare of their inputs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import onnx
from onnx import checker, inliner, shape_inference, version_converter
from torch import Tensor

__all__ = [
    "DOMAINS",
    "are_whole",
    "batch_of",
    "check_inputs",
    "checked",
    "declared_inputs",
    "loaded",
    "opset_of",
    "read_names",
]

OLDEST_OPSET = 7
"""Before, arithmetic broadcast by attributes of its own."""
DOMAINS = ("", "ai.onnx")
"""Names of ONNX's own operators."""


def loaded(onnx_model: Any) -> onnx.ModelProto:
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


def checked(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a valid model without functions of its own, its values' types inferred."""
    try:
        checker.check_model(model)
    except Exception as error:
        raise ValueError(f"the ONNX model is not valid: {error}; export or save it again") from error
    opset = opset_of(model)
    if opset < OLDEST_OPSET:
        model = _converted(model, opset)
    if model.graph.sparse_initializer:
        raise ValueError("the ONNX model has sparse initializers; store them dense")
    if model.functions:
        model = inliner.inline_local_functions(model)
    try:
        return shape_inference.infer_shapes(model)
    except Exception:  # types are of use, not needed: without them integers are taken for floats
        return model


def _converted(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """Return the model in an opset that can be read."""
    try:
        return version_converter.convert_version(model, 13)
    except Exception as error:
        raise ValueError(
            f"the ONNX model is written in opset {opset}, expected {OLDEST_OPSET} or later, and onnx "
            f"does not convert it: {error}; export it again in a later one"
        ) from error


def opset_of(model: onnx.ModelProto) -> int:
    """Return the version of ONNX's operators that a model is written in."""
    return max((o.version for o in model.opset_import if o.domain in DOMAINS), default=OLDEST_OPSET)


def declared_inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """Return what a graph takes, without initializers, which may be named among its inputs."""
    constants = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in constants]


def batch_of(declared: Sequence[onnx.ValueInfoProto]) -> int | None:
    """Return the number of rows that a graph was exported for; None if it takes any."""
    sizes = {}
    for value in declared:
        shape = declared_shape(value)
        if shape and shape[0] is not None:
            sizes[value.name] = shape[0]
    if len(set(sizes.values())) > 1:
        raise ValueError(
            f"the first axis of every input must be the rows, as many in each; the graph declares {sizes}; "
            "export the network with rows first, or give arrays of one axis more, whose rows are whole inputs"
        )
    return next(iter(sizes.values()), None)


def declared_shape(value: onnx.ValueInfoProto) -> list[int | None] | None:
    """Return the sizes of a value's axes, None for those that are not fixed; None if nothing is declared."""
    kind = value.type.tensor_type
    if not kind.HasField("shape"):
        return None
    return [d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else None for d in kind.shape.dim]


def are_whole(declared: Sequence[onnx.ValueInfoProto], inputs: Sequence[Tensor]) -> bool:
    """Whether each calibration row is all of a tensor that the graph takes, which has no axis of rows."""
    shapes = [declared_shape(value) for value in declared]
    return len(shapes) == len(inputs) and all(
        shape is not None and _fits(shape, rows) for shape, rows in zip(shapes, inputs, strict=True)
    )


def _fits(shape: Sequence[int | None], rows: Tensor) -> bool:
    """Whether rows have a shape, of which some axes may have any size."""
    got = rows.shape[1:]
    return len(got) == len(shape) and all(n in (None, m) for n, m in zip(shape, got, strict=True))


def check_inputs(declared: Sequence[onnx.ValueInfoProto], inputs: Sequence[Tensor], whole: bool) -> None:
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
        shape = declared_shape(value)
        if shape is None:
            continue
        if not shape and not whole:
            raise ValueError(
                f"input {value.name!r} of the network is a single number; give it an axis of rows"
            )
        of_row = shape if whole else shape[1:]
        if not _fits(of_row, rows):
            expected, got = ", ".join("any" if n is None else str(n) for n in of_row), tuple(rows.shape[1:])
            raise ValueError(
                f"input {value.name!r} of the network has rows of shape ({expected}), got {got}; "
                "reshape them, or export the network for the shape they have"
            )


def read_names(graph: onnx.GraphProto) -> Iterator[str]:
    """Yield the names of all values that a graph, or one within it, reads or returns."""
    yield from (output.name for output in graph.output)
    for node in graph.node:
        yield from node.input
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from read_names(inner)
