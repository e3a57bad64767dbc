"""ONNX networks agree with onnxruntime, operator by operator and as a whole."""

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto
from torch import nn

from skfhe.importers import compile_onnx_model, quantize_onnx_model
from skfhe.importers._operators import OPERATORS
from tests.importers.onnx_examples import (
    EXAMPLES,
    SINGLE,
    graph,
    integers,
    node,
    normal,
)
from tests.importers.onnx_parts import ONLY_IN_ONNX, PARTS
from tests.importers.onnx_runtime import assert_agree, evaluated, exported, floats, runtime


def test_every_operator_of_the_table_has_an_example():
    shown = {n.op_type for example in (*EXAMPLES.values(), *PARTS.values()) for n in example.nodes}
    assert {name for operator in OPERATORS for name in operator.onnx} <= shown


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_operator_agrees_with_onnxruntime(name):
    """The float network to single precision, and the integer network as well."""
    example = EXAMPLES[name]
    if example.opset > onnx.defs.onnx_opset_version():
        pytest.skip(f"onnx {onnx.__version__} has no operators of opset {example.opset}")
    model, arrays = example.model(), example.arrays()
    expected = runtime(model, arrays)
    assert_agree(floats(model, arrays), expected, SINGLE)
    module = quantize_onnx_model(model, tuple(arrays), example.n_bits, calibration="minmax")
    assert_agree(module.forward(*arrays), expected, example.tolerance)


@pytest.mark.parametrize("name", PARTS)
def test_an_operator_of_parts_agrees_with_onnxruntime(name):
    """The float network: what it is made of are operators whose integers are compared above."""
    example = PARTS[name]
    if "eight-bit floats" in name:
        pytest.importorskip("ml_dtypes")
    if example.opset > onnx.defs.onnx_opset_version():
        pytest.skip(f"onnx {onnx.__version__} has no operators of opset {example.opset}")
    model, arrays = example.model(), example.arrays(n_rows=4)
    expected = runtime(model, arrays) if name not in ONLY_IN_ONNX else evaluated(model, arrays)
    assert_agree(floats(model, arrays), expected, SINGLE)


# --------------------------------------------------------------------------------------------- whole networks


def relative_error(module, model, arrays):
    """Root mean square of the error, relative to the standard deviation of the result; the worst output's."""
    results = module.forward(*arrays)
    results = results if isinstance(results, tuple) else (results,)
    pairs = list(zip(results, runtime(model, arrays), strict=True))
    assert all(a.shape == b.shape for a, b in pairs)
    return max(float(np.sqrt(np.mean((a - b) ** 2)) / b.std()) for a, b in pairs)


EIGHT_BITS = 0.02
"""A value of normal distribution that is rounded to 8 bits over six standard deviations errs by 0.7 % of one,
and so do weights; the errors of three layers add up as squares."""


def perceptron():
    return nn.Sequential(nn.Linear(10, 12), nn.GELU(), nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 3))


def image_network():
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Conv2d(4, 6, 3, stride=2, padding=1),
        nn.LeakyReLU(0.2),
        nn.MaxPool2d(2, 1),
        nn.Flatten(),
        nn.Linear(6, 3),
    )


class TwoBranches(nn.Module):
    """Two inputs, a sum of branches, two outputs."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(5, 6), nn.Linear(4, 6)
        self.inner, self.last = nn.Linear(6, 6), nn.Linear(6, 2)

    def forward(self, a, b):
        h = torch.relu(self.first(a)) + torch.relu(self.second(b))
        h = h + torch.relu(self.inner(h))
        return self.last(h), torch.sigmoid(h).mean(dim=1, keepdim=True)


@pytest.mark.parametrize("rows", ["n", None])
@pytest.mark.parametrize(
    ("make", "shapes"), [(perceptron, [(10,)]), (image_network, [(2, 8, 8)]), (TwoBranches, [(5,), (4,)])]
)
def test_exported_networks_agree_with_onnxruntime(make, shapes, rows, tmp_path):
    """For any number of rows, and exported for one row, with its reshapes to (1, …)."""
    torch.manual_seed(0)
    arrays = [normal(300, *shape, seed=index) for index, shape in enumerate(shapes)]
    given = arrays if rows else [array[:1] for array in arrays]
    model = exported(make(), given, tmp_path / "net.onnx", rows)
    assert_agree(floats(model, arrays), runtime(model, arrays), SINGLE)
    module = quantize_onnx_model(tmp_path / "net.onnx", tuple(arrays), 8, rounding_threshold_bits=10)
    assert relative_error(module, model, arrays) < EIGHT_BITS


def test_shapes_computed_from_shapes_are_constants(tmp_path):
    """Exported reshapes read the input's shape, gather, multiply and join parts of it."""

    class Reshaping(nn.Module):
        def forward(self, x):
            n, channels, height, width = x.shape
            x = x.reshape(n, channels * height, width).transpose(1, 2)
            x = x.reshape(x.size(0), -1, height).expand(-1, -1, height)
            return x.flatten(1) + torch.ones(n, 1) * torch.arange(float(channels * height * width))

    x = normal(7, 2, 3, 4)
    model = exported(Reshaping(), [x], tmp_path / "net.onnx")
    assert {"Shape", "Gather", "Concat"} <= {n.op_type for n in model.graph.node}
    assert_agree(floats(model, [x]), runtime(model, [x]), SINGLE)


def test_a_graph_for_two_rows_is_evaluated_on_two_at_a_time():
    nodes = [
        node("Reshape", "x,shape", "h"),
        node("Split", "h", "a,b", axis=2, num_outputs=2),
        node("Add", "a,b"),
    ]
    model = graph(nodes, {"x": (6,)}, {"shape": integers(2, 3, 2)}, rows=2)
    x = normal(10, 6)
    assert_agree(floats(model, [x]), runtime(model, [x]), SINGLE)


def keras_image_network(rng):
    """What tf2onnx makes of Conv2D(same), BatchNormalization, MaxPooling2D, Flatten and two Dense layers."""
    nodes = [
        node("Transpose", "input_1", "t0", perm=[0, 3, 1, 2]),
        node(
            "Conv",
            "t0,conv/kernel,conv/bias",
            "c0",
            auto_pad="SAME_UPPER",
            strides=[2, 2],
            kernel_shape=[3, 3],
        ),
        node("Mul", "c0,bn/scale", "c1"),
        node("Add", "c1,bn/offset", "c2"),
        node("Relu", "c2", "r0"),
        node("MaxPool", "r0", "p0", auto_pad="VALID", kernel_shape=[2, 2], strides=[2, 2]),
        node("Transpose", "p0", "t1", perm=[0, 2, 3, 1]),
        node("Shape", "t1", "s0"),
        node("Cast", "s0", "s1", to=TensorProto.INT32),
        node("Slice", "s1,0,1,0", "s2"),
        node("Concat", "s2,-1", "s3", axis=0),
        node("Cast", "s3", "s4", to=TensorProto.INT64),
        node("Reshape", "t1,s4", "flat"),
        node("MatMul", "flat,dense/kernel", "d0"),
        node("Add", "d0,dense/bias", "d1"),
        node("Sigmoid", "d1", "a0"),
        node("MatMul", "a0,dense_1/kernel", "d2"),
        node("Add", "d2,dense_1/bias", "Identity:0"),
    ]
    constants = {
        "conv/kernel": rng.normal(size=(4, 2, 3, 3)) / 4,
        "conv/bias": rng.normal(size=4),
        "bn/scale": rng.uniform(0.5, 1.5, size=(1, 4, 1, 1)),
        "bn/offset": rng.normal(size=(1, 4, 1, 1)),
        "dense/kernel": rng.normal(size=(16, 5)) / 4,
        "dense/bias": rng.normal(size=5),
        "dense_1/kernel": rng.normal(size=(5, 3)),
        "dense_1/bias": rng.normal(size=3),
    }
    numbers = {"0": integers(0), "1": integers(1), "-1": np.array([-1], dtype=np.int32)}
    return nodes, {k: v.astype(np.float32) for k, v in constants.items()} | numbers, (8, 8, 2)


def keras_series_network(rng):
    """What tf2onnx makes of Conv1D(valid), LeakyReLU, GlobalAveragePooling1D, Reshape and Dense."""
    nodes = [
        node("Unsqueeze", "input_1,one", "e0"),
        node("Transpose", "e0", "t0", perm=[0, 3, 1, 2]),
        node("Conv", "t0,conv/kernel,conv/bias", "c0", auto_pad="VALID", strides=[1, 1], dilations=[1, 2]),
        node("Transpose", "c0", "t1", perm=[0, 2, 3, 1]),
        node("Squeeze", "t1,one", "s0"),
        node("LeakyRelu", "s0", "r0", alpha=0.3),
        node("ReduceMean", "r0,one", "m0", keepdims=0),
        node("Reshape", "m0,shape", "m1"),
        node("MatMul", "m1,dense/kernel", "d0"),
        node("Add", "d0,dense/bias", "d1"),
        node("Flatten", "d1", "Identity:0"),
    ]
    constants = {
        "conv/kernel": rng.normal(size=(5, 3, 1, 3)),
        "conv/bias": rng.normal(size=5),
        "dense/kernel": rng.normal(size=(5, 2)),
        "dense/bias": rng.normal(size=2),
    }
    numbers = {"one": integers(1), "shape": integers(0, -1, 5)}
    return nodes, {k: v.astype(np.float32) for k, v in constants.items()} | numbers, (12, 3)


@pytest.mark.parametrize("network", [keras_image_network, keras_series_network])
def test_keras_networks_agree_with_onnxruntime(network):
    """Channels come last, and rows have a name that tf2onnx made up."""
    nodes, constants, shape = network(np.random.default_rng(0))
    model = graph(nodes, {"input_1": shape}, constants, ("Identity:0",), 18, "unk__12")
    x = normal(300, *shape)
    assert_agree(floats(model, [x]), runtime(model, [x]), SINGLE)
    module = quantize_onnx_model(model, x, 8, rounding_threshold_bits=10)
    assert relative_error(module, model, [x]) < EIGHT_BITS


# -------------------------------------------------------------------------------------------------- encrypted


def test_an_onnx_network_runs_encrypted(tmp_path):
    """Integers after decryption are those computed in the clear."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 2))
    x = normal(100, 3)
    model = exported(net, [x], tmp_path / "net.onnx")
    module = compile_onnx_model(model, x, n_bits=2)
    assert max(module.accumulator_bits_) <= 6
    q = module.quantize_input(x[:3])
    np.testing.assert_array_equal(
        module.quantized_forward(q, fhe="execute"), module.quantized_forward(q, fhe="disable")
    )


@pytest.mark.parametrize(
    ("nodes", "constants", "where"),
    [
        ([node("Transpose", perm=[1, 0])], {}, lambda y: y.T),
        ([node("Reshape", "x,shape")], {"shape": integers(-1, 2)}, lambda y: y.reshape(-1, 2, 2)),
        ([node("Concat", "x,x", axis=0)], {}, lambda y: y.reshape(2, -1, 4).transpose(1, 0, 2)),
    ],
)
def test_rows_may_be_anywhere_in_a_tensor(nodes, constants, where):
    """What counts is that no two rows meet; outputs have the rows first."""
    model, X = graph(nodes, {"x": (4,)}, constants), normal(7, 4)
    (found,) = floats(model, [X])
    np.testing.assert_allclose(found, where(runtime(model, [X])[0]), atol=1e-6)
