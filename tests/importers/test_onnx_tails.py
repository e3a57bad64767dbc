"""What ONNX networks end in is computed after decryption, as onnxruntime computes it."""

import numpy as np
import pytest
from onnx import TensorProto

from skfhe.encoding import OutputDecoders, TailDecoder
from skfhe.importers import compile_onnx_model, quantize_onnx_model
from tests.importers.onnx_examples import Example, F, integers, node, normal, small_integers
from tests.importers.onnx_runtime import floats, runtime

LAYER = node("MatMul", "x,w", "h")
CONSTANTS = {
    "w": small_integers(4, 5),
    "k": integers(3),
    "axes": integers(1),
    "s": normal(5),
    "labels": F([3, 1, 4, 1, 5]),
    "depth": integers(5),
    "off_on": F([0, 2]),
    "v": small_integers(5, 3),
    "wide": normal(4, 70),
    "one": np.array(1, dtype=np.int64),
}
FLOATS, POSITIONS = ("float64",), ("int64",)
ENDINGS = {
    "Softmax": ([node("Softmax", "h", axis=1)], FLOATS, 21),
    "Softmax of all further axes": ([node("Softmax", "h", axis=1)], FLOATS, 11),
    "LogSoftmax": ([node("LogSoftmax", "h")], FLOATS, 21),
    "Hardmax": ([node("Hardmax", "h")], FLOATS, 21),
    "ArgMax": ([node("ArgMax", "h", axis=1)], POSITIONS, 21),
    "ArgMin, the last": ([node("ArgMin", "h", axis=1, keepdims=0, select_last_index=1)], POSITIONS, 21),
    "TopK": ([node("TopK", "h,k", "y,i", axis=1)], FLOATS + POSITIONS, 21),
    "TopK, the least": ([node("TopK", "h,k", "y,i", largest=0)], FLOATS + POSITIONS, 21),
    "LpNormalization": ([node("LpNormalization", "h", axis=1, p=1)], FLOATS, 21),
    "ReduceL2": ([node("ReduceL2", "h,axes")], FLOATS, 21),
    "ReduceProd": ([node("ReduceProd", "h,axes", keepdims=0)], FLOATS, 21),
    "ReduceLogSumExp": ([node("ReduceLogSumExp", "h,axes")], FLOATS, 21),
    "LayerNormalization": ([node("LayerNormalization", "h,s")], FLOATS, 21),
    "its position picks": (
        [node("ArgMax", "h", "p", axis=1), node("GatherElements", "h,p", axis=1)],
        FLOATS,
        21,
    ),
    "labels": ([node("ArgMax", "h", "p", axis=1, keepdims=0), node("Gather", "labels,p")], FLOATS, 21),
    "OneHot": (
        [node("ArgMax", "h", "p", axis=1, keepdims=0), node("OneHot", "p,depth,off_on")],
        FLOATS,
        21,
    ),
    "positions as floats": (
        [node("ArgMax", "h", "p", axis=1), node("Cast", "p", to=TensorProto.FLOAT)],
        FLOATS,
        21,
    ),
}


def network(nodes, dtypes=FLOATS, opset=21):
    read = {name for each in nodes for name in each.input}
    outputs = ("y", "i") if len(dtypes) > 1 else ("y",)
    constants = {name: value for name, value in CONSTANTS.items() if name in read}
    example = Example(nodes, constants=constants, outputs=outputs, opset=opset)
    model = example.model()
    for output, dtype in zip(model.graph.output, dtypes, strict=True):
        if dtype == "int64":
            output.type.tensor_type.elem_type = TensorProto.INT64
    return model, example.arrays()


def listed(results):
    return list(results) if isinstance(results, tuple) else [results]


@pytest.mark.parametrize("name", ENDINGS)
def test_an_ending_is_that_of_onnxruntime_and_takes_no_lookup(name):
    """Inputs and weights lie on grids: equal logits are equal in both, and the first of them counts."""
    nodes, dtypes, opset = ENDINGS[name]
    model, arrays = network([LAYER, *nodes], dtypes, opset)
    for found, expected in zip(floats(model, arrays), runtime(model, arrays), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    module = quantize_onnx_model(model, arrays[0], n_bits=8)
    assert module.cost_.n_lookups == 0
    assert isinstance(module.decoder_, TailDecoder)
    assert tuple(each.dtype.name for each in listed(module.forward(*arrays))) == dtypes


@pytest.mark.parametrize("name", ["ArgMax", "Softmax"])
def test_outputs_asked_for_in_bits_are_looked_up(name):
    model, arrays = network([LAYER, *ENDINGS[name][0]])
    module = quantize_onnx_model(model, arrays[0], n_bits={"op_inputs": 3, "model_outputs": 3})
    assert isinstance(module.decoder_, OutputDecoders)
    assert module.cost_.n_lookups > 0


def test_what_a_layer_with_weights_reads_is_evaluated_encrypted():
    """The first ArgMax leads to a layer, and the second one behind it does not."""
    nodes = [
        LAYER,
        node("Hardmax", "h", "p"),
        node("MatMul", "p,v", "q"),
        node("ArgMax", "q", axis=1, keepdims=0),
    ]
    model, arrays = network(nodes, POSITIONS)
    module = quantize_onnx_model(model, arrays[0], n_bits=8)
    assert module.cost_.n_lookups > 0
    assert module.forward(*arrays).dtype == np.int64


def test_an_ending_without_layers_is_evaluated_encrypted():
    model, arrays = network([node("Softmax", "x", axis=1)])
    assert quantize_onnx_model(model, arrays[0], n_bits=4).cost_.n_lookups > 0


def test_more_elements_than_can_be_compared_are_once_decrypted():
    model, arrays = network([node("MatMul", "x,wide", "h"), node("ArgMax", "h", axis=1)], POSITIONS)
    bits = {"op_inputs": 4, "model_outputs": 4}
    assert isinstance(quantize_onnx_model(model, arrays[0], n_bits=bits).decoder_, TailDecoder)


def test_an_ending_that_numpy_does_not_have_is_evaluated_encrypted():
    """Nothing is refused for what would have waited for decryption."""
    nodes = [LAYER, node("ArgMax", "h", "p", axis=1), node("BitwiseAnd", "p,one")]
    model, arrays = network(nodes, POSITIONS)
    module = quantize_onnx_model(model, arrays[0], n_bits=4)
    assert module.cost_.n_lookups > 0
    (expected,) = runtime(model, arrays)
    np.testing.assert_array_equal(floats(model, arrays)[0], expected)


def test_encrypted_rows_give_what_the_module_gives():
    layers = [LAYER, node("Relu", "h", "r"), node("MatMul", "r,v", "z")]
    nodes = [*layers, node("TopK", "z,k", "y,i", axis=1)]
    model, arrays = network(nodes, FLOATS + POSITIONS)
    module = compile_onnx_model(model, arrays[0], n_bits=2, rounding_threshold_bits=4)
    assert 0 < max(module.cost_.lookups, default=0) <= 6
    rows = arrays[0][:2]
    for found, clear in zip(module.forward(rows, fhe="execute"), module.forward(rows), strict=True):
        np.testing.assert_array_equal(found, clear)
