"""Graphs of operators that are read as what they are made of, and of others whose integers are wide.

Compared as float networks alone: see `tests.importers.onnx_examples` for what they are made of.
"""

import numpy as np
from onnx import TensorProto

from tests.importers.onnx_examples import (
    IMAGE,
    POSITIVE,
    SERIES,
    Example,
    F,
    integers,
    node,
    normal,
    one,
    small_integers,
)

__all__ = ["ONLY_IN_ONNX", "PARTS"]

SEQUENCE = {"x": (5, 2)}
"""Recurrent layers have their steps first; rows are the second axis."""


def behind_cast(*nodes, to=TensorProto.INT32, inputs=None, constants=None, **options):
    """Return an example of operators on integers, behind casts of small numbers and before one to floats."""
    inputs = inputs or {"x": (4,)}
    casts = [node("Cast", name, f"{name}i", to=to) for name in inputs]
    back = node("Cast", "r", "y", to=TensorProto.FLOAT)
    return Example([*casts, *nodes, back], inputs, constants or {}, low=0.0, step=1.0, n_bits=3, **options)


def recurrent(kind, gates, *, batch_first=False, **options):
    """Return an example of a recurrent layer of three units, all of its steps and its last state."""
    n = 2 if options.get("direction") == "bidirectional" else 1
    constants = {
        "w": normal(n, gates * 3, 2, seed=1),
        "r": normal(n, gates * 3, 3, seed=2),
        "b": normal(n, gates * 6, seed=3),
    }
    nodes = [
        node("Transpose", "x", "s", perm=[1, 0, 2]),
        node(kind, "s,w,r,b", "h,y", hidden_size=3, **options),
        node("Transpose", "h", "z", perm=[2, 0, 1, 3]),
    ]
    return Example(nodes, SEQUENCE, constants, outputs=("z",))


def reduced(kind, **options):
    return one(kind, {"axes": integers(1)}, inputs={"x": (3, 2)}, **options)


def scattered(reduction):
    indices = np.array([[0, 2, 0 if reduction != "none" else 1]], dtype=np.int64)
    return one(
        "ScatterElements",
        {"i": np.tile(indices, (4, 1)), "u": np.tile(F([[2, 3, -1]]), (4, 1))},
        rows=4,
        axis=1,
        reduction=reduction,
    )


PARTS = {
    # ---------------------------------------------------------------------------------- softmax, norms
    "Softmax": one("Softmax", inputs={"x": (3, 4)}, axis=1),
    "Softmax of all further axes": one("Softmax", inputs={"x": (2, 4)}, axis=1, opset=11),
    "Softmax of a wide range": one("Softmax", low=-60.0, step=0.5),
    "LogSoftmax": one("LogSoftmax"),
    "ReduceLogSumExp": reduced("ReduceLogSumExp", opset=18),
    "LayerNormalization": one(
        "LayerNormalization", {"s": normal(4), "b": normal(4, seed=1)}, inputs={"x": (3, 4)}
    ),
    "LayerNormalization of two axes": one(
        "LayerNormalization", {"s": normal(3, 4)}, inputs={"x": (3, 4)}, axis=-2, opset=17
    ),
    "RMSNormalization": one("RMSNormalization", {"s": normal(4)}, inputs={"x": (3, 4)}, opset=23),
    "GroupNormalization": one(
        "GroupNormalization", {"s": normal(4), "b": normal(4, seed=1)}, inputs={"x": (4, 3)}, num_groups=2
    ),
    "InstanceNormalization": one(
        "InstanceNormalization", {"s": normal(2), "b": normal(2, seed=1)}, inputs=IMAGE
    ),
    "MeanVarianceNormalization": one("MeanVarianceNormalization", inputs=IMAGE, axes=[2, 3]),
    "LpNormalization": one("LpNormalization", axis=1, p=2),
    "LRN": one("LRN", inputs={"x": (5, 2, 2)}, size=3, alpha=0.5),
    # ---------------------------------------------------------------------------------------- reductions
    **{kind: reduced(kind) for kind in ("ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceProd")},
    "ReduceLogSum": reduced("ReduceLogSum", **POSITIVE),
    "CumProd": one("CumProd", {"axis": np.int64(1)}, exclusive=1, opset=26),
    "Det": one("Det", inputs={"x": (3, 3)}),
    "LpPool": one("LpPool", inputs=IMAGE, kernel_shape=[2, 2], p=2),
    "GlobalLpPool": one("GlobalLpPool", inputs=IMAGE, p=2),
    # ------------------------------------------------------------------------------------------ products
    "Einsum by a constant": one(
        "Einsum", {"w": small_integers(3, 4)}, inputs={"x": (2, 4)}, equation="bij,kj->bki"
    ),
    "Einsum of two": one("Einsum", inputs={"x": (2, 3), "z": (3, 2)}, equation="bij,bjk->bik"),
    "Einsum of a diagonal": one("Einsum", inputs={"x": (3, 3)}, equation="...ii->...i"),
    "Attention": one("Attention", inputs={"x": (1, 3, 2), "k": (1, 3, 2), "v": (1, 3, 2)}, opset=23),
    # -------------------------------------------------------------------------------------- recurrent layers
    "RNN": recurrent("RNN", 1),
    "RNN both ways": recurrent("RNN", 1, direction="bidirectional", activations=["Relu", "Tanh"]),
    "GRU": recurrent("GRU", 3),
    "GRU, linear before reset": recurrent("GRU", 3, linear_before_reset=1),
    "LSTM": recurrent("LSTM", 4),
    "LSTM backwards": recurrent("LSTM", 4, direction="reverse", input_forget=1),
    # --------------------------------------------------------------------------------------------- order
    **{
        f"{kind}, {last}": Example(
            [node(kind, "x", "i", axis=1, select_last_index=last), node("Cast", "i", to=TensorProto.FLOAT)],
            step=1.0,
            n_bits=2,
        )
        for kind, last in (("ArgMax", 0), ("ArgMin", 1))
    },
    "Hardmax": one("Hardmax"),
    "TopK": Example([node("TopK", "x,k", "y,i", axis=1)], {"x": (5,)}, {"k": integers(3)}),
    "TopK, its indices": Example(
        [node("TopK", "x,k", "v,i", axis=1, largest=0), node("Cast", "i", to=TensorProto.FLOAT)],
        {"x": (5,)},
        {"k": integers(3)},
    ),
    "MaxPool, its indices": Example(
        [
            node("MaxPool", "x", "v,i", kernel_shape=[2], pads=[1, 0]),
            node("Cast", "i", to=TensorProto.FLOAT),
        ],
        SERIES,
        rows=1,
    ),
    # -------------------------------------------------------------------------------------- linear maps
    "DFT": Example(
        [node("Unsqueeze", "x,axis", "c"), node("DFT", "c", axis=1)],
        {"x": (6,)},
        {"axis": integers(2)},
        opset=17,
    ),
    "STFT": Example(
        [node("STFT", "x,step,w,n")],
        {"x": (8, 1)},
        {"step": np.int64(2), "w": F([0.5, 1, 1, 0.5]), "n": np.int64(4)},
        opset=17,
    ),
    "GridSample": one(
        "GridSample", {"g": np.tanh(normal(1, 3, 2, 2))}, inputs={"x": (2, 4, 4)}, rows=1, opset=16
    ),
    "DeformConv": one(
        "DeformConv",
        {"w": small_integers(2, 2, 2, 2), "o": normal(1, 8, 3, 3) / 4},
        inputs={"x": (2, 4, 4)},
        rows=1,
        kernel_shape=[2, 2],
    ),
    **{
        f"RoiAlign, {mode}": one(
            "RoiAlign",
            {"r": F([[0.2, 0.3, 3, 3.2]]), "b": integers(0)},
            inputs={"x": (2, 4, 4)},
            rows=1,
            output_height=2,
            output_width=2,
            sampling_ratio=2,
            mode=mode,
        )
        for mode in ("avg", "max")
    },
    "Col2Im": one("Col2Im", {"s": integers(3, 3), "k": integers(2, 2)}, inputs={"x": (4, 4)}),
    # ------------------------------------------------------------------------------- quantized layers
    "MatMulInteger": behind_cast(
        node("MatMulInteger", "xi,w,za,zb", "r"),
        to=TensorProto.UINT8,
        constants={
            "w": np.array([[1, 2], [3, 4], [5, 0], [7, 1]], np.uint8),
            "za": np.uint8(2),
            "zb": np.uint8(3),
        },
    ),
    "ConvInteger": behind_cast(
        node("ConvInteger", "xi,w,za", "r"),
        to=TensorProto.UINT8,
        inputs=SERIES | {"x": (1, 4, 4)},
        constants={"w": np.arange(4, dtype=np.uint8).reshape(1, 1, 2, 2), "za": np.uint8(2)},
    ),
    "QLinearConv": behind_cast(
        node("QLinearConv", "xi,sx,zx,w,sw,zw,sy,zy,b", "r"),
        to=TensorProto.UINT8,
        inputs={"x": (2, 3, 3)},
        constants={
            **{"sx": F(0.3), "zx": np.uint8(3), "w": np.arange(16, dtype=np.int8).reshape(2, 2, 2, 2) - 8},
            **{"sw": F([0.1, 0.07]), "zw": np.zeros(2, np.int8), "sy": F(0.21), "zy": np.uint8(20)},
            "b": np.array([3, -5], np.int32),
        },
    ),
    "QLinearMatMul": behind_cast(
        node("QLinearMatMul", "xi,sx,zx,w,sw,zw,sy,zy", "r"),
        to=TensorProto.UINT8,
        constants={
            **{"sx": F(0.3), "zx": np.uint8(3), "w": np.arange(8, dtype=np.uint8).reshape(4, 2)},
            **{"sw": F(0.1), "zw": np.uint8(3), "sy": F(0.21), "zy": np.uint8(20)},
        },
    ),
    "scales of blocks": Example(
        [
            node("QuantizeLinear", "x,s,z", "q", block_size=2, axis=1),
            node("DequantizeLinear", "q,s,z", block_size=2, axis=1),
        ],
        {"x": (4,)},
        {"s": F([[0.25, 0.125]]), "z": np.array([[3, 5]], np.uint8)},
        rows=1,
    ),
    "casts to eight-bit floats": Example(
        [node("Cast", "x", "a", to=TensorProto.FLOAT8E4M3FN), node("Cast", "a", to=TensorProto.FLOAT)]
    ),
    # ------------------------------------------------------------------------------ indices and movement
    **{
        f"Gather of a constant by encrypted indices, {width}": behind_cast(
            node("Gather", "c,xi", "r"), constants={"c": normal(8, width)}
        )
        for width in (2, 12)
    },
    "OneHot": behind_cast(node("OneHot", "xi,d,v", "r"), constants={"d": np.int64(8), "v": F([-1, 2])}),
    **{f"ScatterElements, {kind}": scattered(kind) for kind in ("none", "add", "mul", "max")},
    "ScatterND": Example(
        [node("ScatterND", "x,i,u")],
        {"x": (4,)},
        {"i": np.array([[0, 2], [0, 1]], np.int64), "u": F([5, 6])},
        rows=1,
    ),
    "TensorScatter": Example(
        [node("TensorScatter", "x,u", axis=1)], {"x": (4, 2), "u": (2, 2)}, rows=1, opset=24
    ),
    "Scatter": Example(
        [node("Scatter", "x,i,u", axis=1)],
        {"x": (4,)},
        {"i": np.array([[0, 2]], np.int64), "u": F([[5, 6]])},
        rows=1,
        opset=9,
    ),
    "Compress": one("Compress", {"c": np.array([True, False, True, True])}, axis=1),
    "MaxUnpool": one(
        "MaxUnpool",
        {"i": np.array([[[1, 3, 5]]], np.int64)},
        inputs={"x": (1, 3)},
        rows=1,
        kernel_shape=[2],
        strides=[2],
    ),
    "ReverseSequence": one("ReverseSequence", {"n": integers(2)}, rows=1, batch_axis=0, time_axis=1),
    "EyeLike": Example([node("EyeLike", "x", "e"), node("Add", "x,e")], {"x": (3,)}, rows=1),
    "OptionalGetElement": Example(
        [
            node("OptionalHasElement", "x", "h"),
            node("Cast", "h", "c", to=TensorProto.FLOAT),
            node("OptionalGetElement", "x", "v"),
            node("Mul", "v,c"),
        ],
        opset=18,
    ),
    # ----------------------------------------------------------------------------------------------- bits
    "BitShift": behind_cast(
        node("BitShift", "xi,one", "r", direction="LEFT"),
        to=TensorProto.UINT8,
        constants={"one": np.uint8(1)},
    ),
    **{
        f"Bitwise{kind}": behind_cast(node(f"Bitwise{kind}", "xi,zi", "r"), inputs={"x": (4,), "z": (4,)})
        for kind in ("And", "Or", "Xor")
    },
    "BitwiseNot": behind_cast(node("BitwiseNot", "xi", "r")),
    "BitCast": behind_cast(node("BitCast", "xi", "r", to=TensorProto.UINT32), opset=26),
    **{
        kind: Example(
            [
                node("Log", "x", "v"),
                node(kind, "v", "b"),
                node("Cast", "b", to=TensorProto.FLOAT),
            ],
            low=low,
            step=1.0,
            n_bits=2,
        )
        for kind, low in (("IsInf", 0.0), ("IsNaN", -1.0))
    },
    # ----------------------------------------------------------------------------------- bodies of onnx's own
    "CastLike with a constant": Example(
        [node("CastLike", "x,c", "v"), node("CastLike", "c,v", "d"), node("Add", "v,d")],
        constants={"c": F(1)},
    ),
    "RotaryEmbedding": one(
        "RotaryEmbedding",
        {"c": normal(1, 3, 2), "s": normal(1, 3, 2, seed=1)},
        inputs={"x": (1, 3, 4)},
        rows=1,
        opset=23,
    ),
}
ONLY_IN_ONNX = {
    "CumProd",
    "TensorScatter",
    "BitCast",
    "MeanVarianceNormalization",
    "Attention",
    "BitwiseNot",
    "OptionalGetElement",
    "OneHot",
}
"""What onnxruntime has not, or computes as NaN on rows of one value."""
