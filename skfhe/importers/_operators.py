"""The operators that can be imported: what they are called, and what they cost.

One table for both frontends and for the documentation, `docs/your_own_network.md`.

Add an operator
---------------

1. Names. A network that has it raises an `UnsupportedOperatorError`, which names it as the reader sees it: by
   its ATen name in torch, by its type in ONNX.

2. A row of `OPERATORS`. Its kind decides who reads it:

   movement
       Each result is an element of the argument, or a constant. Both readers let the framework move numbers
       and see where they went; nothing more is to be written.
   elementwise
       A function of elements. torch's reader tabulates torch's own function; for ONNX it is written in torch,
       in ``FUNCTIONS`` of `skfhe.importers._onnx.elementwise`.
   parts
       Written with other operators, in `skfhe.importers._torch.decompositions`, before the network is read.
   linear, extremum, order
       Everything else. It needs a handler.

3. A handler, where the kind is not enough: in `skfhe.importers._torch.handlers` and in
   `skfhe.importers._onnx.layer_handlers`, registered with ``@HANDLERS.handles(name)``. It is given what the
   operator was called with, and writes it down by the methods of `NetworkBuilder` and the functions of
   `skfhe.network.layers`: ``univariate``, ``linear``, ``total``, ``move``, ``extremum`` and so on, or
   ``linear_map`` for any linear function of a row. What cannot be encrypted raises
   ``build.unsupported(reason, instead)``. A linear map of torch that takes nothing but its own arguments
   needs no handler, only its name in ``_LINEAR_MAPS`` of `skfhe.importers._torch.reader`.

   What the network's operations cannot say needs a new one: its ``evaluate`` in `skfhe.network._operations`,
   its ``lower_…`` in `skfhe.network._lowering`. Few do.

4. Examples: a network for each way of calling it in ``tests/importers/torch_examples``, a graph in
   ``tests/importers/onnx_examples.py``. Tests compare each with torch, or onnxruntime, and say which name,
   handler or row has none.

5. If `skfhe.importers._replacements` says what to use in its place, that goes.

6. How far its examples are from torch: ``python -m benchmarks.networks.operators --write`` measures them all
   and writes `skfhe.importers._errors`; with ``--operators NAME`` those of some rows alone.

7. The documentation: ``python -m skfhe.importers._operators`` prints the table that
   ``docs/your_own_network.md`` shows between its marks.
"""

from dataclasses import dataclass

from skfhe.importers._errors import ERRORS

__all__ = ["ELEMENTWISE", "MOVEMENT", "NAMES", "OPERATORS", "Operator", "operator_table"]

FREE = "no lookup"
UNIVARIATE = "one lookup an element, shared with what follows it"
SUM = "no lookup; one an element where the two need a common grid first"
DIFFERENCE = "one lookup an element"
PRODUCT = "one or two lookups an element"
WIDE = "; sums of squares of 8-bit values have 17 bits and more: rounded, or in the clear"


@dataclass(frozen=True)
class Operator:
    """One row of the operator table.

    Parameters
    ----------
    name : str
    kind : {"linear", "movement", "elementwise", "extremum", "order", "parts"}
    torch : tuple of str
        ATen names, without overloads.
    onnx : tuple of str
        ONNX operator types.
    cost : str
        Lookups that it takes under encryption.
    """

    name: str
    kind: str
    torch: tuple[str, ...]
    onnx: tuple[str, ...]
    cost: str


def _row(name: str, kind: str, torch: str, onnx: str, cost: str) -> Operator:
    return Operator(name, kind, tuple(torch.split()), tuple(onnx.split()), cost)


def _activation(name: str, onnx: str = "", torch: str | None = None) -> Operator:
    return _row(name, "elementwise", name if torch is None else torch, onnx, UNIVARIATE)


OPERATORS: tuple[Operator, ...] = (
    _row("linear", "linear", "linear addmm", "Gemm", FREE),
    _row("matmul by constants", "linear", "matmul mm mv", "MatMul", FREE),
    _row("matmul of two encrypted", "linear", "matmul bmm", "MatMul", "two lookups a product"),
    _row("conv1d", "linear", "conv1d convolution", "Conv", FREE),
    _row("conv2d", "linear", "conv2d convolution", "Conv", FREE),
    _row("conv3d", "linear", "conv3d", "Conv", FREE),
    _row(
        "transposed convolution",
        "linear",
        "conv_transpose1d conv_transpose2d convolution",
        "ConvTranspose",
        FREE,
    ),
    _row(
        "batch_norm", "linear", "batch_norm _native_batch_norm_legit_no_training", "BatchNormalization", FREE
    ),
    _row("avg_pool", "linear", "avg_pool1d avg_pool2d", "AveragePool", FREE),
    _row(
        "adaptive and global avg_pool",
        "linear",
        "adaptive_avg_pool1d adaptive_avg_pool2d",
        "GlobalAveragePool",
        FREE,
    ),
    _row("upsample, linear", "linear", "upsample_linear1d upsample_bilinear2d", "Resize Upsample", FREE),
    _row("cumsum", "linear", "cumsum", "CumSum", FREE),
    _row("sum", "linear", "sum", "ReduceSum", FREE),
    _row("mean", "linear", "mean", "ReduceMean", FREE),
    _row(
        "dropout",
        "linear",
        "dropout feature_dropout alpha_dropout feature_alpha_dropout native_dropout",
        "Dropout",
        "nothing: left out",
    ),
    _row(
        "max_pool",
        "extremum",
        "max_pool1d max_pool2d max_pool1d_with_indices max_pool2d_with_indices",
        "MaxPool",
        "one lookup a member but one",
    ),
    _row(
        "adaptive and global max_pool",
        "extremum",
        "adaptive_max_pool1d adaptive_max_pool2d",
        "GlobalMaxPool",
        "one lookup a member but one",
    ),
    _row("amax, max over an axis", "extremum", "amax max", "ReduceMax", "one lookup a member but one"),
    _row("amin, min over an axis", "extremum", "amin min", "ReduceMin", "one lookup a member but one"),
    _row(
        "poolings of volumes",
        "linear",
        "avg_pool3d adaptive_avg_pool3d max_pool3d max_pool3d_with_indices adaptive_max_pool3d",
        "",
        "averages none, maxima one lookup a member but one",
    ),
    _row(
        "upsample, cubic",
        "linear",
        "upsample_bicubic2d _upsample_bicubic2d_aa _upsample_bilinear2d_aa",
        "",
        FREE,
    ),
    _row("upsample, trilinear", "linear", "upsample_trilinear3d", "", FREE),
    _row(
        "upsample of volumes, nearest",
        "movement",
        "upsample_nearest3d _upsample_nearest_exact3d",
        "",
        FREE,
    ),
    _row("transposed convolution of volumes", "linear", "conv_transpose3d", "", FREE),
    _row("fold", "linear", "col2im", "Col2Im", FREE),
    # --------------------------------------------------------------------------------------------- order
    _row("sort", "order", "sort", "", "one lookup a comparator of a sorting network: 19 for 8 elements"),
    _row("topk", "order", "topk", "TopK", "one lookup a comparator that a rank depends on"),
    _row(
        "median, kthvalue, quantile",
        "order",
        "median kthvalue quantile",
        "",
        "one lookup a comparator that a rank depends on",
    ),
    _row("cummax, cummin", "order", "cummax cummin", "", DIFFERENCE),
    _row("aminmax", "extremum", "aminmax", "", "one lookup a member but one, for each of both"),
    # ---------------------------------------------------------------------------------- integers as positions
    _row(
        "embedding",
        "elementwise",
        "embedding",
        "",
        "one lookup an element of the vector, of the index's bits",
    ),
    _row(
        "embedding_bag",
        "parts",
        "embedding_bag",
        "",
        "one lookup an element of each vector, of the index's bits",
    ),
    _row("one_hot", "elementwise", "one_hot", "OneHot", "one lookup a class, of the index's bits"),
    # ------------------------------------------------------------------------------- operators by their parts
    _row(
        "softmax",
        "order",
        "softmax _safe_softmax",
        "Softmax",
        "two or three lookups an element and one a group; six where logits are spread widely",
    ),
    _row(
        "log_softmax",
        "order",
        "log_softmax",
        "LogSoftmax",
        "two lookups an element and one a group; five where logits are spread widely",
    ),
    _row(
        "logsumexp",
        "order",
        "logsumexp",
        "ReduceLogSumExp",
        "one lookup an element and one a group; four where values are spread widely",
    ),
    _row("logaddexp", "parts", "logaddexp", "", "two lookups an element"),
    _row(
        "attention",
        "parts",
        "scaled_dot_product_attention",
        "",
        "two lookups a product of two values, and those of softmax" + WIDE,
    ),
    _row(
        "layer_norm",
        "parts",
        "layer_norm",
        "LayerNormalization",
        "four lookups an element and one a group" + WIDE,
    ),
    _row(
        "rms_norm", "parts", "rms_norm", "RMSNormalization", "four lookups an element and one a group" + WIDE
    ),
    _row(
        "group_norm",
        "parts",
        "group_norm",
        "GroupNormalization",
        "four lookups an element and one a group" + WIDE,
    ),
    _row(
        "instance_norm",
        "parts",
        "instance_norm",
        "InstanceNormalization",
        "four lookups an element and one a group" + WIDE,
    ),
    _row("var", "parts", "var var_mean", "", "one lookup an element" + WIDE),
    _row("std", "parts", "std std_mean", "", "one lookup an element and one a group" + WIDE),
    _row(
        "norms",
        "parts",
        "linalg_vector_norm linalg_norm linalg_matrix_norm",
        "ReduceL1 ReduceL2 LpNormalization",
        "one lookup an element and one a group" + WIDE,
    ),
    _row("distances", "parts", "pairwise_distance cdist", "", "one or two lookups an element" + WIDE),
    _row(
        "cosine_similarity",
        "parts",
        "cosine_similarity",
        "",
        "six lookups a pair of elements, and six a group" + WIDE,
    ),
    _row(
        "einsum", "parts", "einsum", "Einsum", "no lookup by constants; two lookups a product of two values"
    ),
    _row(
        "products of vectors",
        "parts",
        "linalg_vecdot cross linalg_cross tensordot inner kron linalg_multi_dot",
        "",
        "no lookup by constants; two lookups a product of two values",
    ),
    _row(
        "product plus something",
        "parts",
        "baddbmm addcmul addcdiv",
        "",
        "two lookups a product of two values, and those of the sum",
    ),
    _row(
        "lerp",
        "parts",
        "lerp",
        "",
        "no lookup by a constant where the two have a common grid; as a product by a value",
    ),
    _row("bilinear", "parts", "bilinear", "", "two lookups a product, of which there are inputs × outputs"),
    _row("prod", "parts", "prod cumprod", "ReduceProd CumProd", "two to four lookups a factor but one"),
    _row("logit", "parts", "logit", "", UNIVARIATE),
    _row("hypot", "parts", "hypot", "", "three lookups an element" + WIDE),
    _row("sinc, xlogy", "parts", "sinc xlogy", "", "one lookup an element; " + PRODUCT),
    _row("diff", "parts", "diff trapezoid", "", SUM),
    _row(
        "any, all, count_nonzero",
        "parts",
        "any all count_nonzero",
        "",
        "two lookups a truth value; its count none",
    ),
    _row("lstm", "parts", "lstm lstm_cell", "LSTM", "about 13 lookups a unit and step" + WIDE),
    _row("gru", "parts", "gru gru_cell", "GRU", "about 11 lookups a unit and step" + WIDE),
    _row(
        "rnn",
        "parts",
        "rnn_tanh rnn_relu rnn_tanh_cell rnn_relu_cell",
        "RNN",
        "one lookup a unit and step, and one an input where these are joined" + WIDE,
    ),
    # ------------------------------------------------------------------------------------------ movement
    _row("flatten", "movement", "flatten", "Flatten", FREE),
    _row(
        "reshape, view", "movement", "reshape view _unsafe_view unflatten view_as reshape_as", "Reshape", FREE
    ),
    _row(
        "transpose, permute",
        "movement",
        "transpose permute t swapaxes movedim moveaxis swapdims numpy_T mT mH adjoint",
        "Transpose",
        FREE,
    ),
    _row("squeeze", "movement", "squeeze", "Squeeze", FREE),
    _row("unsqueeze", "movement", "unsqueeze", "Unsqueeze", FREE),
    _row(
        "expand, repeat",
        "movement",
        "expand expand_as repeat repeat_interleave tile broadcast_to broadcast_tensors",
        "Expand Tile",
        FREE,
    ),
    _row(
        "concat, stack",
        "movement",
        "cat concat concatenate stack hstack dstack column_stack",
        "Concat",
        FREE,
    ),
    _row("slice, select, narrow", "movement", "slice select narrow diagonal", "Slice", FREE),
    _row(
        "split, chunk",
        "movement",
        "split split_with_sizes chunk unbind tensor_split hsplit unsafe_chunk unsafe_split",
        "Split",
        FREE,
    ),
    _row(
        "gather, index",
        "movement",
        "gather index index_select take_along_dim",
        "Gather GatherElements GatherND",
        FREE,
    ),
    _row(
        "pad",
        "movement",
        "pad constant_pad_nd",
        "Pad",
        FREE,
    ),
    _row("unfold", "movement", "unfold im2col", "", FREE),
    _row("flip, roll", "movement", "flip fliplr roll rot90", "", FREE),
    _row("tril, triu", "movement", "tril triu", "Trilu", FREE),
    _row(
        "pixel_shuffle",
        "movement",
        "pixel_shuffle pixel_unshuffle channel_shuffle",
        "DepthToSpace SpaceToDepth",
        FREE,
    ),
    _row(
        "upsample, nearest",
        "movement",
        "upsample_nearest1d upsample_nearest2d _upsample_nearest_exact1d _upsample_nearest_exact2d",
        "Resize Upsample",
        FREE,
    ),
    _row(
        "writing to parts",
        "movement",
        "select_scatter slice_scatter diagonal_scatter index_put copy fill zero",
        "",
        FREE,
    ),
    _row(
        "contiguous, clone, detach",
        "movement",
        "contiguous clone alias detach",
        "Identity",
        FREE,
    ),
    # ------------------------------------------------------------------------- arithmetic, element by element
    _row("add", "elementwise", "add", "Add Sum Mean", SUM),
    _row("subtract", "elementwise", "sub subtract rsub", "Sub", SUM),
    _row(
        "multiply",
        "elementwise",
        "mul multiply",
        "Mul",
        "no lookup by constants; encrypted × encrypted: " + PRODUCT,
    ),
    _row(
        "divide",
        "elementwise",
        "div divide true_divide floor_divide",
        "Div",
        "no lookup by constants; by an encrypted value: one to three lookups an element",
    ),
    _row("maximum", "elementwise", "maximum max fmax", "Max", DIFFERENCE),
    _row("minimum", "elementwise", "minimum min fmin", "Min", DIFFERENCE),
    _row(
        "comparisons",
        "elementwise",
        "eq ne lt le gt ge not_equal less less_equal greater greater_equal",
        "Equal Less LessOrEqual Greater GreaterOrEqual",
        DIFFERENCE,
    ),
    _row("where", "elementwise", "where masked_fill", "Where", "one or two lookups an element"),
    _row(
        "logical and, or, xor, not",
        "elementwise",
        "logical_and logical_or logical_xor logical_not bitwise_and bitwise_or bitwise_xor bitwise_not "
        "__and__ __or__ __xor__",
        "And Or Xor Not",
        DIFFERENCE,
    ),
    _activation("negative", "Neg", "neg negative"),
    _activation("abs", "Abs", "abs absolute"),
    _activation("sign", "Sign", "sign sgn"),
    _activation(
        "pow, square, sqrt, rsqrt, reciprocal",
        "Pow Sqrt Reciprocal",
        "pow square sqrt rsqrt reciprocal float_power",
    ),
    _activation("exp, exp2, expm1", "Exp", "exp exp2 expm1"),
    _activation("log, log2, log10, log1p", "Log", "log log2 log10 log1p"),
    _activation("round, floor, ceil, trunc, frac", "Round Floor Ceil", "round floor ceil trunc fix frac"),
    _activation("remainder, fmod", "Mod", "remainder fmod"),
    _activation("clamp", "Clip", "clamp clip clamp_min clamp_max"),
    _activation("sin, cos, tan", "Sin Cos Tan", "sin cos tan"),
    _activation("asin, acos, atan", "Asin Acos Atan", "asin acos atan arcsin arccos arctan"),
    _activation("sinh, cosh", "Sinh Cosh", "sinh cosh"),
    _activation("asinh, acosh, atanh", "Asinh Acosh Atanh", "asinh acosh atanh arcsinh arccosh arctanh"),
    _activation("erf, erfc", "Erf", "erf erfc"),
    _activation("casts", "Cast CastLike", "to _to_copy type_as"),
    _activation(
        "fake_quantize",
        "QuantizeLinear DequantizeLinear",
        "fake_quantize_per_tensor_affine fake_quantize_per_channel_affine",
    ),
    # ------------------------------------------------------------------------------------------ activations
    _activation("relu", "Relu"),
    _activation("relu6", "", "hardtanh"),
    _activation("leaky_relu", "LeakyRelu"),
    _activation("prelu", "PRelu", "prelu"),
    _activation("rrelu", "", "rrelu"),
    _activation("elu", "Elu"),
    _activation("selu", "Selu"),
    _activation("celu", "Celu"),
    _activation("gelu", "Gelu"),
    _activation("silu", "Swish", "silu"),
    _activation("sigmoid", "Sigmoid"),
    _activation("logsigmoid", "", "log_sigmoid"),
    _activation("hardsigmoid", "HardSigmoid"),
    _activation("hardswish", "HardSwish"),
    _activation("hardtanh", "", "hardtanh"),
    _activation("mish", "Mish"),
    _activation("softplus", "Softplus"),
    _activation("softsign", "Softsign", "abs add div"),
    _activation("tanh", "Tanh"),
    _activation("tanhshrink", "", "tanh sub"),
    _activation("softshrink", "", "softshrink"),
    _activation("hardshrink", "Shrink", "hardshrink"),
    _activation("threshold", "ThresholdedRelu", "threshold"),
    _row("glu", "elementwise", "glu", "", PRODUCT),
    # --------------------------------------------------------------------------- under names of ONNX alone
    _row(
        "other normalizations",
        "parts",
        "",
        "MeanVarianceNormalization LRN",
        "three or four lookups an element, one a group" + WIDE,
    ),
    _row(
        "sums of functions",
        "parts",
        "",
        "ReduceSumSquare ReduceLogSum LpPool GlobalLpPool",
        "one lookup an element and one a group" + WIDE,
    ),
    _row("determinant", "parts", "", "Det", "two to four lookups a factor but one"),
    _row(
        "argmax, argmin", "order", "", "ArgMax ArgMin Hardmax", "one lookup a pair of elements, one a result"
    ),
    _row(
        "linear maps by constants",
        "linear",
        "",
        "DFT STFT GridSample DeformConv RoiAlign MatMulInteger ConvInteger",
        FREE,
    ),
    _row("quantized layers", "linear", "", "QLinearConv QLinearMatMul", UNIVARIATE),
    _row(
        "scatter",
        "movement",
        "",
        "ScatterElements ScatterND Scatter TensorScatter",
        "no lookup; those of the reduction, if there is one",
    ),
    _row(
        "moves by constants",
        "movement",
        "",
        "Compress MaxUnpool ReverseSequence EyeLike OptionalGetElement OptionalHasElement",
        FREE,
    ),
    _row(
        "bits of integers",
        "elementwise",
        "",
        "BitShift BitwiseAnd BitwiseOr BitwiseXor BitwiseNot BitCast",
        DIFFERENCE,
    ),
    _activation("infinite, NaN", "IsInf IsNaN", ""),
)

ELEMENTWISE = {
    framework: frozenset(n for o in OPERATORS if o.kind == "elementwise" for n in getattr(o, framework))
    for framework in ("torch", "onnx")
}
MOVEMENT = {
    framework: frozenset(n for o in OPERATORS if o.kind == "movement" for n in getattr(o, framework))
    for framework in ("torch", "onnx")
}
NAMES = {
    framework: frozenset(n for o in OPERATORS for n in getattr(o, framework))
    for framework in ("torch", "onnx")
}


def operator_table() -> str:
    """Return the table of operators in Markdown.

    Returns
    -------
    str
    """
    lines = ["| operator | torch (ATen) | ONNX | under encryption | error |", "|---|---|---|---|--:|"]
    for operator in OPERATORS:
        names = (", ".join(f"`{name}`" for name in each) or "–" for each in (operator.torch, operator.onnx))
        error = _shown(*ERRORS[operator.name]) if operator.name in ERRORS else "–"
        lines.append(f"| {operator.name} | {' | '.join(names)} | {operator.cost} | {error} |")
    return "\n".join(lines)


def _shown(error: float, jumps: bool) -> str:
    return f"{100 * error:.1f} %{' off' if jumps else ''}"


if __name__ == "__main__":
    print(operator_table())
