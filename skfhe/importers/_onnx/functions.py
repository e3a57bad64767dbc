"""Operators that onnx itself defines as functions of others, and the types of what a node yields."""

from __future__ import annotations

from collections.abc import Iterator

import onnx
from onnx import FunctionProto, TensorProto, TypeProto, defs, helper, shape_inference

from skfhe.importers._onnx.call import Call

__all__ = ["body_of", "instantiated", "output_types"]


def body_of(call: Call) -> FunctionProto | None:
    """Return the function that an operator is defined as, for the types of its inputs; None if it is none."""
    proto = call.proto
    if not defs.has(proto.op_type, call.opset, proto.domain):
        return None
    schema = defs.get_schema(proto.op_type, call.opset, proto.domain)
    if schema.has_function:
        body: FunctionProto = schema.function_body
        return body
    if not schema.has_context_dependent_function:
        return None
    types = [_type(call, index).SerializeToString() for index in range(len(proto.input))]
    versions = [v for v in schema.context_dependent_function_opset_versions if v <= call.opset]
    version = max(versions, default=schema.since_version)
    found = schema.get_context_dependent_function_with_opset_version(
        version, proto.SerializeToString(), types
    )
    if not found:
        return None
    body = FunctionProto()
    body.ParseFromString(found)
    return body


def instantiated(body: FunctionProto, call: Call) -> Iterator[onnx.NodeProto]:
    """Yield the nodes of a function with the attributes that it is called with."""
    defaults = {a.name: a for a in body.attribute_proto}
    given = defaults | {a.name: a for a in call.default_attributes()}
    given |= {a.name: a for a in call.proto.attribute}
    for node in body.node:
        yield _with_attributes(node, given)


def _with_attributes(node: onnx.NodeProto, given: dict[str, onnx.AttributeProto]) -> onnx.NodeProto:
    made = onnx.NodeProto()
    made.CopyFrom(node)
    del made.attribute[:]
    for attribute in node.attribute:
        if attribute.ref_attr_name:
            if attribute.ref_attr_name not in given:
                continue
            value = onnx.AttributeProto()
            value.CopyFrom(given[attribute.ref_attr_name])
            value.name = attribute.name
        else:
            value = onnx.AttributeProto()
            value.CopyFrom(attribute)
            if value.HasField("g"):
                nodes = [_with_attributes(inner, given) for inner in value.g.node]
                del value.g.node[:]
                value.g.node.extend(nodes)
        made.attribute.append(value)
    return made


def output_types(call: Call) -> dict[str, int]:
    """Return the element types of a node's results, as far as onnx infers them."""
    proto = call.proto
    if not defs.has(proto.op_type, call.opset, proto.domain):
        return {}
    schema = defs.get_schema(proto.op_type, call.opset, proto.domain)
    types = {name: _type(call, index) for index, name in enumerate(proto.input) if name}
    opset = [helper.make_opsetid(proto.domain, call.opset)]
    try:
        found = shape_inference.infer_node_outputs(schema, proto, types, opset_imports=opset)
    except Exception:  # types are of use, not needed
        return {}
    return {name: value.tensor_type.elem_type for name, value in found.items()}


def _type(call: Call, index: int) -> TypeProto:
    """Return the type of an input."""
    value = call.input(index)
    if value is None:
        return TypeProto()
    made: TypeProto = helper.make_tensor_type_proto(call.type_of(index) or TensorProto.FLOAT, value.shape)
    return made
