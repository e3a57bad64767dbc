"""Operators of ONNX that cannot be evaluated encrypted: the error says what, where and what else."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from skfhe.exceptions import UnsupportedOperatorError
from skfhe.importers import quantize_onnx_model
from tests.importers.onnx_examples import (
    PAIR,
    Example,
    F,
    graph,
    integers,
    node,
    normal,
    one,
)

MIXED = "it mixes rows"
REFUSED = {
    "an operator that there is none for": (
        Example(
            [helper.make_node("MaxRoiPool", ["x", "r"], ["y"], "pool", pooled_shape=[2, 2])],
            {"x": (1, 4, 4)},
            {"r": F([[0, 0, 0, 3, 3]])},
        ),
        "'MaxRoiPool' at 'pool' cannot be evaluated encrypted: it is none of the operators in "
        r"docs/your_own_network\.md; use RoiAlign instead",
    ),
    "shapes that depend on values": (
        Example([node("NonZero")]),
        "the shape of its result depends on the values, which are encrypted; use Where",
    ),
    "scales chosen while running": (
        Example([node("DynamicQuantizeLinear", "x", "y,s,z")]),
        "use QuantizeLinear, whose scale is a constant, instead",
    ),
    "random results": (
        Example([node("RandomNormalLike", "x", "r"), node("Add", "x,r")]),
        "its results are random",
    ),
    "encrypted weights": (
        Example([node("Gemm", "x,z")], {"x": (4,), "z": (3,)}),
        "its input 'B' is encrypted; use a constant",
    ),
    "encrypted indices": (
        Example([node("Cast", "x", "i", to=TensorProto.INT64), node("Gather", "x,i", axis=1)]),
        "its inputs are both encrypted; use one-hot rows and MatMul, or constant indices instead",
    ),
    "constants convolved with encrypted weights": (
        Example([node("Conv", "c,x")], {"x": (2, 3)}, {"c": normal(1, 2, 5)}),
        "its input 'X' is a constant, and another one is encrypted; use the encrypted value as 'X' instead",
    ),
    "encrypted scales": (
        Example([node("QuantizeLinear", "x,z", "q"), node("DequantizeLinear", "q,c")], PAIR, {"c": F(1)}),
        "its input 'y_scale' is encrypted",
    ),
    "a row selected": (one("Gather", {"indices": integers(0, 0, 0)}, axis=0), MIXED),
    "rows padded": (one("Pad", {"pads": integers(1, 0, 0, 0)}), MIXED),
    "rows summed": (one("ReduceSum"), MIXED + ", .*; use axes other than that of the rows instead"),
    "rows summed up": (one("CumSum", {"axis": np.int64(0)}), MIXED),
    "rows multiplied": (
        Example([node("MatMul", "c,x")], constants={"c": normal(2, 3)}),
        "a constant on the left multiplies the rows",
    ),
    "rows transposed for a product": (
        Example([node("Gemm", "x,w", transA=1)], constants={"w": normal(3, 2)}),
        "it transposes the rows",
    ),
    "statistics of the batch": (
        Example(
            [node("BatchNormalization", "x,a,a,a,a", "y,m,v", training_mode=1)],
            {"x": (2, 3)},
            {"a": F([1, 2])},
        ),
        "it is in training mode; use the network in evaluation mode instead",
    ),
    "dropout while training": (
        Example([node("Dropout", "x,r,t")], constants={"r": F(0.5), "t": np.array(True)}),
        "it is in training mode",
    ),
    "sequences": (
        Example([node("SequenceConstruct", "x,x", "s"), node("ConcatFromSequence", "s", axis=1)]),
        "'SequenceConstruct' at 'SequenceConstruct:s' cannot be evaluated .*: it is none of the operators",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_errors_say_what_where_and_what_else(name):
    example, message = REFUSED[name]
    with pytest.raises(UnsupportedOperatorError, match=message):
        quantize_onnx_model(example.model(), tuple(example.arrays(n_rows=5)))


def test_operators_of_other_domains_are_refused():
    fused = helper.make_node("FusedMatMul", ["x", "w"], ["y"], domain="com.microsoft")
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in "xy"]
    weight = [numpy_helper.from_array(normal(4, 4), "w")]
    model = helper.make_model(
        helper.make_graph([fused], "example", value[:1], value[1:], weight),
        opset_imports=[helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)],
    )
    with pytest.raises(
        UnsupportedOperatorError,
        match=r"'FusedMatMul' at 'FusedMatMul:y' .* of 'com\.microsoft', not of ONNX; use MatMul instead",
    ):
        quantize_onnx_model(model, normal(5, 4))


def test_control_flow_on_encrypted_values_is_refused():
    branch = helper.make_graph(
        [node("Relu", "x", "z")],
        "branch",
        [],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["n", 4])],
    )
    nodes = [
        node("Cast", "x", "c", to=TensorProto.BOOL),
        node("If", "c", "y", then_branch=branch, else_branch=branch),
    ]
    model = graph(nodes, {"x": (4,)}, {})
    with pytest.raises(UnsupportedOperatorError, match=r"'If' at 'If:y' cannot .* it has a graph of its own"):
        quantize_onnx_model(model, normal(5, 4))
