"""ONNX networks agree with onnxruntime, operator by operator and as a whole."""

import warnings

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from skfhe.exceptions import UnsupportedOperatorError
from skfhe.importers import compile_onnx_model, quantize_onnx_model
from skfhe.importers._onnx.reader import read_onnx
from skfhe.importers._operators import OPERATORS
from tests.importers.onnx_examples import (
    EXAMPLES,
    PAIR,
    SERIES,
    SINGLE,
    Example,
    F,
    graph,
    integers,
    node,
    one,
    small_integers,
)


def runtime(model, arrays):
    """Results of onnxruntime, for as many rows at a time as the graph takes."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    # its optimizations replace quantized layers by others that round differently
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    declared = session.get_inputs()
    names = [value.name for value in declared]
    n_rows = len(arrays[0])
    batch = declared[0].shape[0] if isinstance(declared[0].shape[0], int) else n_rows
    each = []
    for start in range(0, n_rows, batch):
        given = [np.asarray(array[start : start + batch], dtype=np.float32) for array in arrays]
        each.append(session.run(None, dict(zip(names, given, strict=True))))
    return [np.concatenate(parts).astype(np.float64) for parts in zip(*each, strict=True)]


def floats(model, arrays):
    """Results of the float network that is read from a model."""
    network = read_onnx(model, [torch.from_numpy(array) for array in arrays])
    return [output.reference.numpy() for output in network.outputs]


def assert_agree(results, expected, tolerance):
    results = results if isinstance(results, tuple | list) else (results,)
    assert len(results) == len(expected)
    for result, wanted in zip(results, expected, strict=True):
        assert result.shape == wanted.shape
        assert np.ptp(wanted) > 0
        assert np.abs(result - wanted).max() <= tolerance * np.abs(wanted).max()


def test_every_operator_of_the_table_has_an_example():
    shown = {n.op_type for example in EXAMPLES.values() for n in example.nodes}
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


# --------------------------------------------------------------------------------------------- whole networks


def exported(net, arrays, path, rows="n", **options):
    """Export a torch network; ``rows`` is a name for any number of them, or None for as many as given."""
    names = [f"x{index}" for index in range(len(arrays))]
    axes = {name: {0: rows} for name in names} if rows else None
    tensors = tuple(torch.as_tensor(array, dtype=torch.float32) for array in arrays)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that this exporter is the older one
        torch.onnx.export(
            net.eval(), tensors, str(path), dynamo=False, input_names=names, dynamic_axes=axes, **options
        )
    return onnx.load(path)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


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
    module = quantize_onnx_model(tmp_path / "net.onnx", tuple(arrays), rounding_threshold_bits=10)
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
    module = quantize_onnx_model(model, x, rounding_threshold_bits=10)
    assert relative_error(module, model, [x]) < EIGHT_BITS


# ----------------------------------------------------------------------------------------- trained quantizers


def quantized(name, x, bits, scale, signed=False, zero_point=0):
    """Nodes and constants that round a value to so many bits, as Brevitas writes them."""
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    kind = np.int8 if signed else np.uint8
    nodes = [
        node("QuantizeLinear", f"{x},{name}/scale,{name}/zero", f"{name}/q"),
        node("Clip", f"{name}/q,{name}/low,{name}/high", f"{name}/c"),
        node("DequantizeLinear", f"{name}/c,{name}/scale,{name}/zero", name),
    ]
    constants = {"scale": F(scale), "zero": kind(zero_point), "low": kind(low), "high": kind(high)}
    return nodes, {f"{name}/{key}": value for key, value in constants.items()}


def weights(name, rng, shape, scales, axis=0):
    """Nodes and constants of weights of three bits, a scale a channel."""
    constants = {
        f"{name}/q": rng.integers(-3, 4, size=shape).astype(np.int8),
        f"{name}/scale": F(scales),
        f"{name}/zero": np.zeros(len(scales), dtype=np.int8),
    }
    return [node("DequantizeLinear", f"{name}/q,{name}/scale,{name}/zero", name, axis=axis)], constants


@pytest.mark.parametrize("zero_point", [0, 5])
def test_quantizers_of_a_graph_are_read_off_exactly(zero_point):
    """Convolution, activation, pooling, dense layer: lookups do to the bit what the quantizers do."""
    rng = np.random.default_rng(0)
    parts = [
        quantized("xq", "x", 4, 0.21, zero_point == 0, zero_point),
        weights("w", rng, (3, 2, 3, 3), [0.11, 0.07, 0.31]),
        ([node("Conv", "xq,w,b", "c"), node("HardSwish", "c", "r")], {"b": F([0.3, -0.2, 0.1])}),
        quantized("rq", "r", 4, 0.17, False, zero_point // 2),
        ([node("MaxPool", "rq", "p", kernel_shape=[2, 2], strides=[2, 2]), node("Flatten", "p", "f")], {}),
        weights("v", rng, (4, 12), [0.013, 0.021, 0.017, 0.029]),
        ([node("Gemm", "f,v,d", "y", transB=1)], {"d": normal(4)}),
    ]
    nodes = [n for part, _ in parts for n in part]
    constants = {name: value for _, part in parts for name, value in part.items()}
    model = graph(nodes, {"x": (2, 6, 6)}, constants, opset=14)
    x = normal(200, 2, 6, 6, seed=3)
    module = quantize_onnx_model(model, x, import_qat=True)
    assert_agree(module.forward(x), runtime(model, [x]), 1e-5)


def test_networks_exported_by_brevitas_are_imported_exactly(tmp_path):
    pytest.importorskip("onnxoptimizer", reason="Brevitas exports with it")
    import brevitas.nn as qnn
    from brevitas.export import export_onnx_qcdq

    torch.manual_seed(0)
    net = nn.Sequential(
        qnn.QuantIdentity(bit_width=4, return_quant_tensor=True),
        qnn.QuantConv2d(2, 4, 3, bias=True, weight_bit_width=3),
        nn.BatchNorm2d(4),
        qnn.QuantReLU(bit_width=3, return_quant_tensor=True),
        nn.Flatten(),
        qnn.QuantLinear(16, 3, bias=True, weight_bit_width=3),
    )
    x = torch.from_numpy(normal(200, 2, 4, 4))
    for _ in range(5):
        net.train()(x)
    export_onnx_qcdq(net.eval(), args=x[:1], export_path=str(tmp_path / "net.onnx"), dynamo=False)
    module = quantize_onnx_model(tmp_path / "net.onnx", x, import_qat=True)
    assert_agree(module.forward(x), runtime(onnx.load(tmp_path / "net.onnx"), [x.numpy()]), 1e-5)
    assert_agree(module.forward(x), [net.double()(x.double()).detach().numpy()], 1e-5)


def test_quantizers_written_in_plain_arithmetic_are_read_off():
    """Rounding to multiples of a scale, as graphs were written before there were quantizers."""
    nodes = [
        *(
            node("Div", "x,s", "a"),
            node("Round", "a", "b"),
            node("Clip", "b,-8,7", "c"),
            node("Mul", "c,s", "d"),
        ),
        node("MatMul", "d,w", "e"),
        *(node("Mul", "e,ten", "g"), node("Floor", "g", "h"), node("Clip", "h,0,7", "y")),
    ]
    constants = {"s": F(0.25), "-8": F(-8), "7": F(7), "0": F(0), "ten": F(10), "w": small_integers(4, 3)}
    model = graph(nodes, {"x": (4,)}, constants)
    x = normal(100, 4)
    assert_agree(quantize_onnx_model(model, x, import_qat=True).forward(x), runtime(model, [x]), 1e-5)


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


# ----------------------------------------------------------------------------------------------- what is read


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


# ----------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ("absent.onnx", FileNotFoundError, "there is no file 'absent.onnx'; give the path"),
        (nn.Linear(2, 2), TypeError, "must be an onnx.ModelProto or the path of a file, got Linear"),
        (b"bytes", TypeError, "got bytes"),
        (onnx.ModelProto(), ValueError, "the ONNX model is not valid"),
        (graph([node("Relu")], {"x": (4,)}, {}, opset=6), ValueError, "opset 6, expected 7 or later"),
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


MIXED = "it mixes rows"
BLOCKS = {"s": F([[0.1, 0.2, 0.3, 0.4]]), "z": np.zeros((1, 4), dtype=np.int8)}
REFUSED = {
    "an operator that there is none for": (
        Example([node("Softmax")]),
        "'Softmax' at 'Softmax:y' cannot be evaluated encrypted: it is none of the operators in "
        r"docs/your_own_network\.md; use Exp, ReduceSum and Div, or decrypt",
    ),
    "one that others make up": (
        Example([helper.make_node("LpPool", ["x"], ["y"], "pool", kernel_shape=[2])], {"x": (2, 6)}),
        "'LpPool' at 'pool' cannot be evaluated encrypted: .*; use Abs, Pow and AveragePool instead",
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
        Example(
            [node("Cast", "x", "i", to=TensorProto.INT64), node("Gather", "c,i")],
            constants={"c": normal(9, 2)},
        ),
        "its input 'indices' is encrypted; use one-hot rows and MatMul instead",
    ),
    "constants convolved with encrypted weights": (
        Example([node("Conv", "c,x")], {"x": (2, 3)}, {"c": normal(1, 2, 5)}),
        "its input 'X' is a constant, and another one is encrypted; use the encrypted value as 'X' instead",
    ),
    "encrypted scales": (
        Example([node("QuantizeLinear", "x,z", "q"), node("DequantizeLinear", "q,c")], PAIR, {"c": F(1)}),
        "its input 'y_scale' is encrypted",
    ),
    "rows transposed": (Example([node("Transpose", perm=[1, 0])]), "turns 3 rows into a tensor of shape"),
    "rows reshaped": (one("Reshape", {"shape": integers(-1, 2)}), "turns 3 rows into a tensor of shape"),
    "a row selected": (one("Gather", {"indices": integers(0, 0, 0)}, axis=0), MIXED),
    "rows padded": (one("Pad", {"pads": integers(1, 0, 0, 0)}), "it pads the rows"),
    "rows joined": (one("Concat", inputs=PAIR, axis=0), MIXED),
    "rows summed": (one("ReduceSum"), MIXED + ", .*; use axes other than the first instead"),
    "rows summed up": (one("CumSum", {"axis": np.int64(0)}), MIXED),
    "rows resized": (one("Resize", {"r": F([]), "s": F([2, 1])}, mode="nearest"), MIXED),
    "rows multiplied": (
        Example([node("MatMul", "c,x")], constants={"c": normal(2, 3)}),
        "a constant on the left multiplies the rows",
    ),
    "rows transposed for a product": (
        Example([node("Gemm", "x,w", transA=1)], constants={"w": normal(3, 2)}),
        "it transposes the rows",
    ),
    "rows that meet another axis": (
        Example([node("Add", "x,z")], {"x": (4,), "z": (3, 4)}),
        "the rows of one encrypted input meet another axis",
    ),
    "constants for each row": (
        Example([node("Add", "x,c")], constants={"c": normal(3, 4)}),
        "differs from row to row",
    ),
    "indices of the maximum": (
        Example([node("MaxPool", "x", "y,i", kernel_shape=[2])], {"x": (2, 6)}, outputs=("y", "i")),
        "its output 'i' is read",
    ),
    "three axes": (
        one("Conv", {"w": normal(1, 1, 2, 2, 2)}, inputs={"x": (1, 3, 3, 3)}),
        "it has 3 spatial axes; use one or two spatial axes instead",
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
    "scales of blocks": (
        Example(
            [node("QuantizeLinear", "x,s,z", "q", block_size=2), node("DequantizeLinear", "q,one")],
            {"x": (2, 4)},
            {**BLOCKS, "s": normal(1, 2, 2), "z": np.zeros((1, 2, 2), dtype=np.int8), "one": F(1)},
        ),
        "its scales are those of blocks",
    ),
    "casts to eight-bit floats": (
        Example(
            [node("Cast", "x", "a", to=TensorProto.FLOAT8E4M3FN), node("Cast", "a", to=TensorProto.FLOAT)]
        ),
        "it casts to FLOAT8E4M3FN; use float, an integer type or bool instead",
    ),
    "resizing that crops": (
        one(
            "Resize",
            {"roi": F([0, 0, 0, 0, 1, 0.5]), "s": F([1, 1, 2])},
            inputs=SERIES,
            coordinate_transformation_mode="tf_crop_and_resize",
        ),
        "it crops",
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
