"""What counts as an ONNX model, and what is said of a model or an inputset that is none."""

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

from skfhe.importers import quantize_onnx_model
from skfhe.importers._onnx.reader import read_onnx
from tests.importers.onnx_examples import (
    PAIR,
    SINGLE,
    F,
    graph,
    node,
    normal,
    small_integers,
)
from tests.importers.onnx_runtime import assert_agree, floats, runtime


def linear_model():
    return graph([node("Gemm", "x,w,b")], {"x": (4,)}, {"w": small_integers(4, 3), "b": F([1, 2, 3])})


def test_a_model_is_read_from_a_file_or_from_memory(tmp_path):
    model, x = linear_model(), [torch.from_numpy(normal(5, 4))]
    onnx.save(model, tmp_path / "net.onnx")
    expected = read_onnx(model, x).outputs[0].reference
    for given in (tmp_path / "net.onnx", str(tmp_path / "net.onnx")):
        assert torch.equal(read_onnx(given, x).outputs[0].reference, expected)


def test_initializers_among_the_inputs_are_constants():
    model, x = linear_model(), normal(5, 4)
    for tensor in model.graph.initializer:
        model.graph.input.append(helper.make_tensor_value_info(tensor.name, TensorProto.FLOAT, tensor.dims))
    assert_agree(floats(model, [x]), runtime(model, [x]), SINGLE)


def test_functions_of_the_model_are_inlined():
    opset = [helper.make_opsetid("", 21)]
    twice = helper.make_function("own", "Twice", ["a"], ["b"], [node("Add", "a,a", "b")], opset)
    call = helper.make_node("Twice", ["x"], ["y"], domain="own")
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in "xy"]
    model = helper.make_model(
        helper.make_graph([call], "example", value[:1], value[1:]),
        opset_imports=[*opset, helper.make_opsetid("own", 1)],
        functions=[twice],
        ir_version=10,
    )
    x = normal(5, 4)
    assert_agree(floats(model, [x]), [2 * x], SINGLE)


def test_a_conditional_of_constants_is_one_of_its_branches():
    branches = {
        name: helper.make_graph(
            [node(kind, "x", f"{name}/y")],
            name,
            [],
            [helper.make_tensor_value_info(f"{name}/y", TensorProto.FLOAT, ["n", 4])],
        )
        for name, kind in (("then_branch", "Relu"), ("else_branch", "Neg"))
    }
    for condition in (True, False):
        model = graph([node("If", "c", "y", **branches)], {"x": (4,)}, {"c": np.array([condition])})
        x = normal(5, 4)
        assert_agree(floats(model, [x]), runtime(model, [x]), SINGLE)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ("absent.onnx", FileNotFoundError, "there is no file 'absent.onnx'; give the path"),
        (nn.Linear(2, 2), TypeError, "must be an onnx.ModelProto or the path of a file, got Linear"),
        (b"bytes", TypeError, "got bytes"),
        (onnx.ModelProto(), ValueError, "the ONNX model is not valid"),
    ],
)
def test_what_is_no_model_is_refused(given, error, message):
    with pytest.raises(error, match=message):
        quantize_onnx_model(given, normal(5, 4))


def test_a_file_that_holds_no_model_is_refused(tmp_path):
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(ValueError, match=r"text\.onnx' could not be read as an ONNX model"):
        quantize_onnx_model(tmp_path / "text.onnx", normal(5, 4))


@pytest.mark.parametrize(
    ("inputset", "message"),
    [
        ((normal(5, 4), normal(5, 4)), r"takes 1 input\(s\) \('x'\), got 2 array\(s\)"),
        (normal(5, 3), r"'x' of the network has rows of shape \(4\), got \(3,\)"),
        (normal(5, 4, 1), r"'x' of the network has rows of shape \(4\), got \(4, 1\)"),
    ],
)
def test_inputsets_that_do_not_fit_are_refused(inputset, message):
    with pytest.raises(ValueError, match=message):
        quantize_onnx_model(linear_model(), inputset)


def test_rows_that_the_network_does_not_run_on_are_refused():
    """The graph leaves the size of an axis open, and a layer in it does not."""
    model = graph([node("Gemm", "x,w")], {"x": ("k",)}, {"w": normal(3, 2)})
    with pytest.raises(
        ValueError, match=r"'Gemm' at 'Gemm:y' does not run on the inputset: .* give rows of the shape"
    ):
        quantize_onnx_model(model, normal(5, 4))


def test_inputs_with_different_numbers_of_rows_are_refused():
    model = graph([node("Add", "x,z")], PAIR, {})
    for value, rows in zip(model.graph.input, (1, 5), strict=True):
        value.type.tensor_type.shape.dim[0].dim_value = rows
    with pytest.raises(
        ValueError, match=r"must be the rows, as many in each; the graph declares \{'x': 1, 'z': 5\}"
    ):
        quantize_onnx_model(model, (normal(5, 4), normal(5, 4)))


def test_an_output_without_influence_of_the_input_is_refused():
    model = graph([node("Relu"), node("Neg", "c", "z")], {"x": (4,)}, {"c": F([1])}, ("y", "z"))
    with pytest.raises(ValueError, match="output 'z' does not depend on the network's input; remove it"):
        quantize_onnx_model(model, normal(5, 4))
