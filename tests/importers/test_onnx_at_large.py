"""ONNX beyond single operators: graphs without rows, loops, other domains, quantized exports."""

import logging

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

from skfhe.exceptions import UnsupportedOperatorError
from skfhe.importers import quantize_onnx_model, quantize_torch_model
from tests.importers.onnx_examples import SINGLE, F, graph, node, normal
from tests.importers.onnx_runtime import assert_agree, exported, floats, runtime


def foreign(kind, domain, **attributes):
    """Return a model of one operator that is not ONNX's own."""
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in "xy"]
    made = helper.make_node(kind, ["x"], ["y"], domain=domain, **attributes)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid(domain, 1)]
    return helper.make_model(
        helper.make_graph([made], "example", value[:1], value[1:]), opset_imports=opsets, ir_version=10
    )


@pytest.mark.parametrize(
    ("kind", "instead"),
    [("Scaler", "a Pipeline that prepares data in the clear"), ("LinearRegressor", r"skfhe\.convert with")],
)
def test_operators_of_classical_models_are_answered_with_the_converter(kind, instead):
    with pytest.raises(UnsupportedOperatorError, match=f"it belongs to 'ai.onnx.ml'.*; use {instead}"):
        quantize_onnx_model(foreign(kind, "ai.onnx.ml"), normal(5, 4))


def test_modules_of_torch_jit_are_told_what_to_do():
    traced = torch.jit.trace(nn.Linear(2, 1), torch.zeros(1, 2))
    with pytest.raises(TypeError, match=r"scripted or traced from, or save it with torch\.onnx\.export"):
        quantize_torch_model(traced, normal(5, 2))


def test_rows_of_one_axis_more_than_declared_are_whole_inputs():
    """A graph without an axis of rows is computed for each row alone, whatever mixes within it."""
    nodes = [node("Softmax", "x", "s", axis=0), node("ReduceSum", "s", "y", keepdims=0, axes=[1])]
    model = graph(nodes, {"x": (4,)}, {}, opset=11, rows=3)
    X = normal(6, 3, 4)
    expected = np.stack([runtime(model, [row])[0] for row in X])
    assert_agree(floats(model, [X]), [expected], SINGLE)
    assert quantize_onnx_model(model, X, rounding_threshold_bits=10).forward(X).shape == (6, 3)


def test_integers_that_would_wrap_around_are_refused():
    nodes = [
        node("Cast", "x", "i", to=TensorProto.UINT8),
        node("Sub", "i,c", "d"),
        node("Cast", "d", to=TensorProto.FLOAT),
    ]
    model = graph(nodes, {"x": (2,)}, {"c": np.uint8(3)})
    assert_agree(floats(model, [F([[3, 5], [4, 9]])]), [F([[0, 2], [1, 6]])], SINGLE)
    with pytest.raises(UnsupportedOperatorError, match=r"leave \[0, 255\] and would wrap around"):
        quantize_onnx_model(model, F([[1, 5], [4, 9]]))


def test_loops_of_a_constant_number_of_steps_are_unrolled():
    kind = helper.make_tensor_type_proto
    values = {
        "i": kind(TensorProto.INT64, []),
        "go": kind(TensorProto.BOOL, []),
        "h": kind(TensorProto.FLOAT, ["n", 2]),
    }
    inputs = [helper.make_value_info(name, value) for name, value in values.items()]
    results = {"go_on": values["go"], "next": values["h"], "seen": values["h"]}
    outputs = [helper.make_value_info(name, value) for name, value in results.items()]
    nodes = [
        node("Identity", "go", "go_on"),
        node("MatMul", "h,w", "v"),
        node("Tanh", "v", "next"),
        node("Identity", "next", "seen"),
    ]
    body = helper.make_graph(nodes, "body", inputs, outputs)
    model = graph(
        [node("Loop", "m,c,x", "y,z", body=body)],
        {"x": (2,)},
        {"m": np.array(3), "c": np.array(True), "w": normal(2, 2)},
        ("y",),
    )
    X = normal(6, 2)
    assert_agree(floats(model, [X]), runtime(model, [X]), SINGLE)


class Rows:
    """Calibration data as onnxruntime's quantizer takes them."""

    def __init__(self, X):
        self.rows = iter(X[:, None])

    def get_next(self):
        row = next(self.rows, None)
        return None if row is None else {"x0": row}


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.conv = nn.Conv2d(1, 3, 3, stride=2), nn.Conv2d(3, 3, 3, padding=1)
        self.head = nn.Linear(3, 2)

    def forward(self, x):
        h = torch.relu(self.stem(x))
        h = torch.cat([torch.relu(h + self.conv(h)), torch.sigmoid(h)], dim=1)
        return self.head(h[:, 1:4].mean((2, 3)))


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("kind", ["QDQ", "QOperator"])
def test_networks_quantized_by_onnxruntime_are_read_as_what_they_compute(kind, per_channel, tmp_path):
    """Every quantizer's integers agree: one that did not would show as a step of the next one's grid."""
    quantization = pytest.importorskip("onnxruntime.quantization")
    torch.manual_seed(0)
    X = normal(16, 1, 7, 7)
    exported(Residual(), [X], tmp_path / "float.onnx", opset_version=17)
    logging.disable(logging.WARNING)
    try:
        quantization.quantize_static(
            tmp_path / "float.onnx",
            tmp_path / "quantized.onnx",
            Rows(X),
            quant_format=quantization.QuantFormat[kind],
            per_channel=per_channel,
        )
    finally:
        logging.disable(logging.NOTSET)
    model = onnx.load(tmp_path / "quantized.onnx")
    kinds = {n.op_type for n in model.graph.node}
    assert ("QLinearAdd" in kinds) == ("QGemm" in kinds) == (kind == "QOperator")
    assert_agree(floats(model, [X]), runtime(model, [X]), 1e-6)


@pytest.mark.parametrize("kind", ["bipolar", "truncated"])
def test_networks_exported_as_qonnx_are_imported_exactly(kind, tmp_path):
    pytest.importorskip("onnxoptimizer", reason="Brevitas exports with it")
    import brevitas.nn as qnn
    from brevitas import quant
    from brevitas.export import export_qonnx

    torch.manual_seed(0)
    first = qnn.QuantIdentity(bit_width=4, return_quant_tensor=True)
    last = qnn.QuantLinear(8, 3, bias=True, weight_bit_width=3)
    if kind == "bipolar":
        binary = qnn.QuantLinear(
            32, 8, bias=False, weight_quant=quant.SignedBinaryWeightPerTensorConst, weight_scaling_init=0.1
        )
        sign = qnn.QuantIdentity(
            quant.SignedBinaryActPerTensorConst, scaling_init=1.0, min_val=-1.0, max_val=1.0
        )
        net = nn.Sequential(nn.Flatten(), first, binary, sign, last)
    else:
        net = nn.Sequential(first, qnn.TruncAvgPool2d(2, bit_width=4), nn.Flatten(), last)
    X = torch.from_numpy(normal(60, 2, 4, 4))
    for _ in range(3):
        net.train()(X)
    export_qonnx(net.eval(), args=X[:1], export_path=str(tmp_path / "net.onnx"), dynamo=False)
    kinds = {n.op_type for n in onnx.load(tmp_path / "net.onnx").graph.node}
    assert {"bipolar": "BipolarQuant", "truncated": "Trunc"}[kind] in kinds
    module = quantize_onnx_model(tmp_path / "net.onnx", X, import_qat=True)
    assert_agree(module.forward(X), [net.double()(X.double()).detach().numpy()], 1e-5)
