"""ONNX networks agree with onnxruntime, operator by operator and as a whole.

Examples of single operators get inputs that lie on a grid of ``2**n_bits`` floats, and weights that are small
integers times a power of 2: ``n_bits`` bits hold both exactly, and so every result must equal onnxruntime's
up to single precision, discontinuous functions included.
"""

import warnings
from dataclasses import dataclass, field

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from skfhe.exceptions import UnsupportedOperatorError
from skfhe.importers import compile_onnx_model, quantize_onnx_model
from skfhe.importers.onnx_graph import read_onnx
from skfhe.importers.operators import OPERATORS

STEP = 1 / 64
SINGLE = 2e-5
"""Relative to the largest result: a few operations in single precision."""


@dataclass
class Example:
    """A graph of one operator, or of a few.

    Parameters
    ----------
    nodes : list of NodeProto
    inputs : dict
        Shape of a row of each input.
    constants : dict
        Initializers.
    outputs : tuple of str
    low : float
        Inputs lie on ``low + k * step`` for k in [0, 2**n_bits).
    step : float
    n_bits : int
    opset : int
    rows : str or int
        Declared size of the first axis.
    tolerance : float
        Of the integer network's results, relative to the largest.
    """

    nodes: list
    inputs: dict = field(default_factory=lambda: {"x": (4,)})
    constants: dict = field(default_factory=dict)
    outputs: tuple = ("y",)
    low: float = -2.0
    step: float = STEP
    n_bits: int = 8
    opset: int = 21
    rows: str | int = "n"
    tolerance: float = SINGLE

    def model(self):
        return graph(self.nodes, self.inputs, self.constants, self.outputs, self.opset, self.rows)

    def arrays(self, n_rows=48, seed=0):
        """Draw inputs on the grid, its ends among them for every element."""
        rng = np.random.default_rng(seed)
        arrays = []
        for shape in self.inputs.values():
            integers = rng.integers(0, 1 << self.n_bits, size=(n_rows, *shape))
            integers[0], integers[1] = 0, (1 << self.n_bits) - 1
            arrays.append((self.low + self.step * integers).astype(np.float32))
        return arrays


def graph(nodes, inputs, constants, outputs=("y",), opset=21, rows="n"):
    """Make a model; results may be of any type and shape."""
    given = [helper.make_tensor_value_info(k, TensorProto.FLOAT, [rows, *v]) for k, v in inputs.items()]
    results = [helper.make_empty_tensor_value_info(name) for name in outputs]
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    made = helper.make_graph(nodes, "example", given, results, tensors)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    inferred = {value.name: value.type for value in onnx.shape_inference.infer_shapes(model).graph.output}
    for value in model.graph.output:
        value.type.CopyFrom(inferred[value.name])
    return model


def node(kind, inputs="x", outputs="y", **attributes):
    return helper.make_node(kind, inputs.split(","), outputs.split(","), **attributes)


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


def small_integers(*shape, seed=0, span=4):
    """Weights that three or four bits hold, scaled."""
    integers = np.random.default_rng(seed).integers(-span, span + 1, size=shape)
    integers.flat[0] = span
    return (integers / 8).astype(np.float32)


def one(kind, constants=None, **options):
    """Return an example of a single operator, whose attributes are those options that Example has not."""
    constants = constants or {}
    of_example = {k: options.pop(k) for k in list(options) if k in Example.__dataclass_fields__}
    inputs = of_example.get("inputs", {"x": (4,)})
    outputs = of_example.get("outputs", ("y",))
    made = node(kind, ",".join((*inputs, *constants)), ",".join(outputs), **options)
    return Example([made], constants=constants, **of_example)


def between(kind, constants=None, **options):
    """Return an example of a function that takes numbers of another type, behind comparisons with 0."""
    names = ("a", "b", "c")[: 1 if kind == "Not" else 2]
    compared = [node("Greater", f"x{name},zero", name) for name in names]
    inputs = {f"x{name}": (4,) for name in names}
    made = [*compared, node(kind, ",".join(names), "z"), node("Cast", "z", "y", to=TensorProto.FLOAT)]
    return Example(made, inputs, {"zero": np.float32(0)}, **options)


F = np.float32
PAIR = {"x": (4,), "z": (4,)}
IMAGE = {"x": (2, 6, 5)}
SERIES = {"x": (2, 7)}
UNIT = {"low": -128 / 160, "step": 1 / 160}
POSITIVE = {"low": 0.5}


def integers(*values):
    return np.array(values, dtype=np.int64)


EXAMPLES = {
    # ------------------------------------------------------------------------------------------------- linear
    "Gemm": one("Gemm", {"w": small_integers(4, 3), "b": F([0.3, 0.1, -2])}),
    "Gemm, transposed and scaled": one(
        "Gemm", {"w": small_integers(3, 4), "b": F([[0.3, 0.1, -2]])}, transB=1, alpha=0.5, beta=2.0
    ),
    "Gemm without bias": one("Gemm", {"w": small_integers(4, 3)}),
    "Gemm with encrypted bias": Example(
        [node("Gemm", "x,w,z", "y", beta=0.5)],
        {"x": (4,), "z": (3,)},
        {"w": small_integers(4, 3)},
    ),
    "MatMul": one("MatMul", {"w": small_integers(4, 3)}),
    "MatMul by a vector": one("MatMul", {"w": small_integers(4)}),
    "MatMul of rows of two axes": one("MatMul", {"w": small_integers(4, 3)}, inputs={"x": (2, 4)}),
    "MatMul from the left": Example([node("MatMul", "w,x")], {"x": (2, 4)}, {"w": small_integers(3, 2)}),
    "MatMul by a batch of matrices": one("MatMul", {"w": small_integers(2, 4, 3)}, inputs={"x": (2, 5, 4)}),
    "MatMul of two encrypted": one("MatMul", inputs={"x": (2, 3), "z": (3, 2)}),
    "Conv of one axis": one("Conv", {"w": small_integers(3, 2, 3), "b": F([1, 0, -1])}, inputs=SERIES),
    "Conv of two axes": one("Conv", {"w": small_integers(3, 2, 3, 2), "b": F([1, 0, -1])}, inputs=IMAGE),
    "Conv, uneven padding and strides": one(
        "Conv", {"w": small_integers(3, 2, 3, 2)}, inputs=IMAGE, pads=[1, 0, 2, 1], strides=[2, 1]
    ),
    "Conv, dilated": one("Conv", {"w": small_integers(3, 2, 2, 2)}, inputs=IMAGE, dilations=[2, 3]),
    "Conv in groups": one("Conv", {"w": small_integers(4, 1, 3, 3)}, inputs=IMAGE, group=2),
    **{
        f"Conv, {auto}": one(
            "Conv", {"w": small_integers(2, 2, 2, 3)}, inputs=IMAGE, auto_pad=auto, strides=[2, 2]
        )
        for auto in ("SAME_UPPER", "SAME_LOWER", "VALID")
    },
    "ConvTranspose": one(
        "ConvTranspose", {"w": small_integers(2, 3, 3, 2), "b": F([1, 0, -1])}, inputs=IMAGE, strides=[2, 1]
    ),
    "ConvTranspose, padded": one(
        "ConvTranspose",
        {"w": small_integers(2, 3, 3, 3)},
        inputs=IMAGE,
        strides=[2, 2],
        pads=[1, 0, 1, 1],
        output_padding=[1, 0],
    ),
    "ConvTranspose of one axis": one(
        "ConvTranspose", {"w": small_integers(2, 2, 3)}, inputs=SERIES, dilations=[2], group=2
    ),
    "ConvTranspose to a shape": one(
        "ConvTranspose", {"w": small_integers(2, 2, 3)}, inputs=SERIES, strides=[2], output_shape=[14]
    ),
    **{
        f"ConvTranspose, {auto}": one(
            "ConvTranspose", {"w": small_integers(2, 2, 2, 3)}, inputs=IMAGE, auto_pad=auto, strides=[1, 2]
        )
        for auto in ("SAME_UPPER", "SAME_LOWER")
    },
    "BatchNormalization": one(
        "BatchNormalization",
        {"scale": F([0.5, -2]), "b": F([0.1, 3]), "mean": F([0.2, -0.3]), "var": F([0.5, 2])},
        inputs=IMAGE,
        epsilon=1e-3,
    ),
    "CumSum": one("CumSum", {"axis": np.int64(1)}),
    "CumSum, exclusive and reversed": one(
        "CumSum", {"axis": np.int64(-2)}, inputs={"x": (3, 2)}, exclusive=1, reverse=1
    ),
    # -------------------------------------------------------------------------------- poolings and reductions
    "AveragePool": one("AveragePool", inputs=IMAGE, kernel_shape=[2, 2], strides=[2, 2]),
    "AveragePool of one axis": one("AveragePool", inputs=SERIES, kernel_shape=[3], pads=[1, 1]),
    "AveragePool, padding counted": one(
        "AveragePool", inputs=IMAGE, kernel_shape=[3, 2], pads=[1, 0, 2, 1], count_include_pad=1
    ),
    "AveragePool, padding left out": one("AveragePool", inputs=IMAGE, kernel_shape=[3, 2], pads=[1, 0, 2, 1]),
    **{
        f"AveragePool, sizes rounded up, padding counted: {counted}": one(
            "AveragePool",
            inputs=IMAGE,
            kernel_shape=[3, 3],
            strides=[2, 2],
            pads=[1, 1, 1, 1],
            ceil_mode=1,
            count_include_pad=counted,
        )
        for counted in (0, 1)
    },
    "AveragePool, SAME_LOWER": one(
        "AveragePool", inputs=IMAGE, kernel_shape=[2, 2], strides=[2, 2], auto_pad="SAME_LOWER"
    ),
    "GlobalAveragePool": one("GlobalAveragePool", inputs=IMAGE),
    "MaxPool": one("MaxPool", inputs=IMAGE, kernel_shape=[2, 3], strides=[2, 1]),
    "MaxPool, padded and dilated": one(
        "MaxPool", inputs=IMAGE, kernel_shape=[2, 2], pads=[1, 0, 1, 1], dilations=[2, 1]
    ),
    "MaxPool, sizes rounded up": one(
        "MaxPool", inputs=IMAGE, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1
    ),
    "MaxPool of one axis": one(
        "MaxPool", inputs=SERIES, kernel_shape=[2], strides=[2], auto_pad="SAME_UPPER"
    ),
    "GlobalMaxPool": one("GlobalMaxPool", inputs={"x": (2, 2, 3)}),
    **{
        f"{name}, {opset}": one(
            name,
            {} if attribute else {"axes": integers(-1)},
            inputs={"x": (3, 2)},
            opset=opset,
            keepdims=keepdims,
            **({"axes": [1]} if attribute else {}),
        )
        for name, changed in (("ReduceSum", 13), ("ReduceMean", 18), ("ReduceMax", 18), ("ReduceMin", 18))
        for opset, attribute, keepdims in ((11, True, 0), (21, False, 1), (changed, False, 0))
    },
    "ReduceMax to a single number": one("ReduceMax", {"axes": integers(1)}, keepdims=0),
    "ReduceSum of nothing": one("ReduceSum", noop_with_empty_axes=1),
    "Dropout": one("Dropout"),
    "Identity": one("Identity"),
    # ----------------------------------------------------------------------------------------------- movement
    "Flatten": one("Flatten", inputs=IMAGE),
    "Reshape": one("Reshape", {"shape": integers(0, -1, 5)}, inputs=IMAGE),
    "Reshape for one row": one("Reshape", {"shape": integers(1, 30, 2)}, inputs=IMAGE, rows=1),
    "Reshape to a single number": Example(
        [node("ReduceSum", "x,axes", "h"), node("Reshape", "h,shape")],
        {"x": (3,)},
        {"axes": integers(1), "shape": integers(-1)},
    ),
    "Transpose": one("Transpose", inputs=IMAGE, perm=[0, 3, 1, 2]),
    "Squeeze": one("Squeeze", {"axes": integers(2)}, inputs={"x": (3, 1, 2)}),
    "Squeeze by attribute": one("Squeeze", inputs={"x": (3, 1, 2)}, axes=[-2], opset=11),
    "Unsqueeze": one("Unsqueeze", {"axes": integers(1, -1)}),
    "Expand": one("Expand", {"shape": integers(1, 3, 4)}, inputs={"x": (1, 4)}),
    "Tile": one("Tile", {"repeats": integers(1, 2, 3)}, inputs={"x": (2, 3)}),
    "Concat": one("Concat", inputs={"x": (2, 3), "z": (2, 1)}, axis=-1),
    "Concat with a constant": Example(
        [
            node("Shape", "x", "shape", end=1),
            node("Concat", "shape,one", "full", axis=0),
            node("Expand", "c,full", "row"),
            node("Concat", "row,x", "y", axis=1),
        ],
        constants={"one": integers(2), "c": F([0.5, -1])},
    ),
    "Slice": one(
        "Slice",
        {"starts": integers(4, 0), "ends": integers(-7, 2), "axes": integers(2, 1), "steps": integers(-2, 1)},
        inputs=IMAGE,
    ),
    "Slice by attributes": one("Slice", inputs=IMAGE, starts=[1], ends=[3], axes=[-1], opset=9),
    "Split": one("Split", {"split": integers(1, 3)}, outputs=("y", "z"), axis=1),
    "Split into equal parts": one(
        "Split", outputs=("y", "z", "w"), axis=1, inputs={"x": (6,)}, num_outputs=3
    ),
    "Gather": one("Gather", {"indices": integers(2, 0, -1)}, axis=1),
    "Gather of one": one("Gather", {"indices": np.int64(1)}, inputs=IMAGE, axis=2),
    "GatherElements": one("GatherElements", {"indices": integers(2, 0, 0)[None]}, axis=1, rows=1),
    "GatherND": one("GatherND", {"indices": integers(2, 0)[None, :, None]}, batch_dims=1, rows=1),
    **{
        f"Pad, {mode}": one("Pad", {"pads": integers(0, 0, 1, 2, 0, 0, 2, 1)}, inputs=IMAGE, mode=mode)
        for mode in ("constant", "reflect", "edge", "wrap")
    },
    "Pad with a value": one(
        "Pad", {"pads": integers(1, 2), "value": F(-3), "axes": integers(-1)}, inputs={"x": (2, 3)}
    ),
    "Pad, cropping": one("Pad", {"pads": integers(0, -1, 0, 1)}),
    "Pad by attributes": one("Pad", pads=[0, 1, 0, 2], value=0.5, opset=10),
    "Trilu": one("Trilu", {"k": np.int64(1)}, inputs={"x": (3, 4)}, upper=0),
    "DepthToSpace": one("DepthToSpace", inputs={"x": (8, 2, 3)}, blocksize=2, mode="CRD"),
    "SpaceToDepth": one("SpaceToDepth", inputs={"x": (2, 4, 6)}, blocksize=2),
    "Resize, nearest": one(
        "Resize",
        {"roi": F([]), "scales": F([1, 1, 2, 3])},
        inputs=IMAGE,
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    ),
    "Resize, nearest to a size": Example(
        [node("Resize", "x,,,sizes", mode="nearest", axes=[3, 2])], IMAGE, {"sizes": integers(3, 9)}
    ),
    **{
        f"Resize, linear, {mode}": Example(
            [node("Resize", "x,,scales", mode="linear", coordinate_transformation_mode=mode)],
            {"x": (2, 4, 3)},
            {"scales": F([1, 1, 2, 2])},
        )
        for mode in ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")
    },
    "Resize, linear to a size": Example(
        [
            node("Shape", "x", "shape"),
            node("Gather", "shape,01", "begin"),
            node("Concat", "begin,79", "sizes", axis=0),
            node("Resize", "x,,,sizes", mode="linear"),
        ],
        {"x": (2, 4, 3)},
        {"01": integers(0, 1), "79": integers(7, 9)},
    ),
    "Resize, cubic": Example(
        [node("Resize", "x,,scales", mode="cubic")],
        {"x": (1, 5, 4)},
        {"scales": F([1, 1, 2, 1])},
        tolerance=0.01,
    ),
    "Resize of opset 10": one("Resize", {"scales": F([1, 1, 2, 2])}, inputs=IMAGE, opset=10, mode="nearest"),
    "Upsample": one("Upsample", {"scales": F([1, 1, 2, 3])}, inputs=IMAGE, opset=9, mode="nearest"),
    "Upsample, linear": one(
        "Upsample", {"scales": F([1, 1, 2, 2])}, inputs={"x": (2, 4, 3)}, opset=9, mode="linear"
    ),
    # --------------------------------------------------------------------------------------------- arithmetic
    "Add": one("Add", {"c": F([1, 0.3, -2, 7])}),
    "Add of two encrypted": one("Add", inputs=PAIR),
    "Add of two encrypted, one of them repeated": one("Add", inputs={"x": (3, 4), "z": (1, 4)}),
    "Add of a value to itself": Example([node("Add", "x,x")]),
    "Sum": one("Sum", {"c": F([0.5])}, inputs={"x": (4,), "z": (4,), "w": (4,)}),
    "Mean": one("Mean", inputs=PAIR),
    "Sub": one("Sub", {"c": F([[1, 0.3, -2, 7]])}),
    "Sub from a constant": Example([node("Sub", "c,x")], constants={"c": F(0.7)}),
    "Sub of two encrypted": one("Sub", inputs=PAIR),
    "Mul": one("Mul", {"c": F([1, 0.3, -2, 7])}),
    "Mul of two encrypted": one("Mul", inputs=PAIR),
    "Div": one("Div", {"c": F([1, 0.3, -2, 7])}),
    "Div of a constant": Example([node("Div", "c,x")], constants={"c": F([1, 0.3, -2, 7])}, **POSITIVE),
    "Div of two encrypted": Example([node("Div", "x,z")], PAIR, low=0.5, step=0.25, n_bits=3),
    "Div of integers": Example(
        [
            node("Cast", "x", "a", to=TensorProto.INT64),
            node("Div", "a,three", "b"),
            node("Cast", "b", "y", to=TensorProto.FLOAT),
        ],
        constants={"three": np.int64(3)},
        low=-128.0,
        step=1.0,
    ),
    **{name: one(name, {"c": F([1, 0.25, -1, 0])}) for name in ("Max", "Min")},
    **{f"{name} of two encrypted": one(name, inputs=PAIR) for name in ("Max", "Min")},
    **{
        f"{name} of many": Example(
            [node(name, "x,c,z,c,w")], {"x": (4,), "z": (4,), "w": (4,)}, {"c": F(0.5)}
        )
        for name in ("Max", "Min")
    },
    **{
        name: Example(
            [node(name, "x,c", "b"), node("Cast", "b", "y", to=TensorProto.FLOAT)],
            constants={"c": F([1, 0.25, -1, 0])},
            n_bits=4,
            step=0.25,
        )
        for name in ("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual")
    },
    **{
        f"{name} of two encrypted": Example(
            [node(name, "x,z", "b"), node("Cast", "b", "y", to=TensorProto.FLOAT)], PAIR, step=0.5
        )
        for name in ("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual")
    },
    "Where, constant condition": Example(
        [node("Where", "c,x,z")], PAIR, {"c": np.array([True, False, False, True])}
    ),
    "Where, constant condition and choice": Example(
        [node("Where", "c,x,d")],
        constants={"c": np.array([True, False, False, True]), "d": F([[1, 2, 3, 4]])},
    ),
    "Where, constant choices": Example(
        [node("Greater", "x,zero", "c"), node("Where", "c,d,e")],
        constants={"zero": F(0), "d": F([1, 2, 3, 4]), "e": F(-1)},
    ),
    "Where, all encrypted": Example(
        [node("Greater", "x,zero", "c"), node("Where", "c,z,w")],
        {"x": (4,), "z": (4,), "w": (4,)},
        {"zero": F(0)},
    ),
    "Where, one constant choice": Example(
        [node("Greater", "x,zero", "c"), node("Where", "c,z,zero")], PAIR, {"zero": F(0)}
    ),
    **{name: between(name) for name in ("And", "Or", "Xor", "Not")},
    "And with a constant": Example(
        [node("Less", "x,zero", "a"), node("And", "a,c", "b"), node("Cast", "b", "y", to=TensorProto.FLOAT)],
        constants={"zero": F(0), "c": np.array([True, True, False, False])},
    ),
    **{name: one(name) for name in ("Neg", "Abs", "Sign", "Round", "Floor", "Ceil", "Exp", "Erf")},
    "Pow": one("Pow", {"c": F([2, 3, 1, 0])}),
    "Pow by integers": one("Pow", {"c": np.int64(3)}),
    "Pow of a constant": Example([node("Pow", "c,x")], constants={"c": F(2)}),
    **{name: one(name, **POSITIVE) for name in ("Sqrt", "Reciprocal", "Log")},
    **{name: one(name) for name in ("Sin", "Cos", "Sinh", "Cosh", "Atan", "Asinh", "Tanh")},
    **{name: one(name, **UNIT) for name in ("Tan", "Asin", "Acos", "Atanh")},
    "Acosh": one("Acosh", low=1.0),
    "Mod": one("Mod", {"c": F([0.75, 0.5, -0.75, 2])}, fmod=1),
    "Mod of integers": Example(
        [
            node("Cast", "x", "a", to=TensorProto.INT64),
            node("Mod", "a,c", "b"),
            node("Cast", "b", "y", to=TensorProto.FLOAT),
        ],
        constants={"c": integers(3, -3, 5, 7)},
        low=-128.0,
        step=1.0,
    ),
    "Clip": one("Clip", {"min": F(-0.5), "max": F(0.75)}),
    "Clip from below": one("Clip", {"min": F(-0.5)}),
    "Clip from above": Example([node("Clip", "x,,max")], constants={"max": F(0.5)}),
    "Clip by attributes": one("Clip", min=-0.5, max=0.75, opset=6 + 1),
    "Cast": Example(
        [node("Cast", "x", "a", to=TensorProto.INT32), node("Cast", "a", "y", to=TensorProto.FLOAT)]
    ),
    "Cast to bool": Example(
        [node("Cast", "x", "a", to=TensorProto.BOOL), node("Cast", "a", "y", to=TensorProto.FLOAT)]
    ),
    "CastLike": Example(
        [node("CastLike", "x,c", "a"), node("CastLike", "a,x")], constants={"c": np.zeros(1, dtype=np.int32)}
    ),
    "QuantizeLinear and DequantizeLinear": Example(
        [node("QuantizeLinear", "x,s,z", "q"), node("DequantizeLinear", "q,s,z")],
        constants={"s": F(0.07), "z": np.int8(3)},
    ),
    "QuantizeLinear that saturates": Example(
        [node("QuantizeLinear", "x,s", "q"), node("DequantizeLinear", "q,s")], constants={"s": F(1 / 256)}
    ),
    "QuantizeLinear, a scale a channel": Example(
        [node("QuantizeLinear", "x,s,z", "q", axis=-2), node("DequantizeLinear", "q,s,z", axis=1)],
        {"x": (3, 2)},
        {"s": F([0.07, 0.01, 0.3]), "z": np.array([1, 250, 0], dtype=np.uint8)},
    ),
    "QuantizeLinear to 16 bits": Example(
        [node("QuantizeLinear", "x,s,z", "q"), node("DequantizeLinear", "q,s,z")],
        constants={"s": F(0.037), "z": np.int16(-300)},
    ),
    # -------------------------------------------------------------------------------------------- activations
    **{
        name: one(name)
        for name in (
            *("Relu", "LeakyRelu", "Elu", "Selu", "Celu", "Gelu", "Sigmoid", "HardSigmoid", "HardSwish"),
            *("Mish", "Softplus", "Softsign", "Shrink", "ThresholdedRelu"),
        )
    },
    "LeakyRelu with alpha": one("LeakyRelu", alpha=-0.3),
    "PRelu": one("PRelu", {"slope": F([0.1, -0.3, 2, 0])}),
    "PRelu of channels": one("PRelu", {"slope": F([0.1, -0.3]).reshape(2, 1, 1)}, inputs=IMAGE),
    "Elu with alpha": one("Elu", alpha=0.4),
    "Selu with alpha and gamma": one("Selu", alpha=1.2, gamma=0.8),
    "Celu with alpha": one("Celu", alpha=2.5),
    "Gelu, approximate": one("Gelu", approximate="tanh"),
    "HardSigmoid with alpha and beta": one("HardSigmoid", alpha=0.4, beta=0.0),
    "Swish with alpha": one("Swish", alpha=1.5, opset=24),
    "Shrink with lambda and bias": one("Shrink", lambd=0.75, bias=0.25),
    "ThresholdedRelu with alpha": one("ThresholdedRelu", alpha=0.5),
}


def test_every_operator_of_the_table_has_an_example():
    shown = {n.op_type for example in EXAMPLES.values() for n in example.nodes}
    assert {name for operator in OPERATORS for name in operator.onnx} <= shown


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_operator_agrees_with_onnxruntime(name):
    """The float network to single precision, and the integer network as well."""
    example = EXAMPLES[name]
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
        "'Softmax' at 'Softmax:y' cannot be evaluated encrypted: there is no such operator; use sigmoid",
    ),
    "one whose nearest is named": (
        Example([helper.make_node("LpPool", ["x"], ["y"], "pool", kernel_shape=[2])], {"x": (2, 6)}),
        "'LpPool' at 'pool' cannot be evaluated encrypted: there is no such operator; use .*Pool instead",
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
        "'SequenceConstruct' at 'SequenceConstruct:s' cannot be evaluated .*: there is no such operator",
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
