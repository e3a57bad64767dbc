"""Graphs for each way of calling each operator of ONNX, and what they are made with.

Inputs lie on a grid of ``2**n_bits`` floats, and weights are small integers times a power of 2: ``n_bits``
bits hold both exactly, and so every result must equal onnxruntime's up to single precision, discontinuous
functions included.
"""

from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = [
    "EXAMPLES",
    "PAIR",
    "SERIES",
    "SINGLE",
    "Example",
    "F",
    "graph",
    "integers",
    "node",
    "normal",
    "one",
    "small_integers",
]

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
        known = inferred[value.name].HasField("tensor_type")
        value.type.CopyFrom(inferred[value.name] if known else given[0].type)
    return model


def node(kind, inputs="x", outputs="y", **attributes):
    return helper.make_node(kind, inputs.split(","), outputs.split(","), **attributes)


def small_integers(*shape, seed=0, span=4):
    """Weights that three or four bits hold, scaled."""
    integers = np.random.default_rng(seed).integers(-span, span + 1, size=shape)
    integers.flat[0] = span
    return (integers / 8).astype(np.float32)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


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
    "Size": Example(
        [node("Size", "x", "n"), node("Cast", "n", "c", to=TensorProto.FLOAT), node("Div", "x,c")], rows=3
    ),
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
