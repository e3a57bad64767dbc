"""What to use in place of operators that cannot be imported, where that is known.

Names in braces are operators of the tables in `skfhe.importers._operators`. What stands here computes the
same, or says what is given up. For other operators there is no advice: one spelled alike is of no use.
"""

import re

__all__ = ["advice", "suggested"]

_IN_THE_CLEAR = "decrypt its argument and apply it in the clear,"

_TORCH: dict[str, str] = {
    "softmax": f"{{exp}}, {{sum}} and {{div}}, or {_IN_THE_CLEAR}",
    "log_softmax": f"{{exp}}, {{sum}}, {{log}} and {{sub}}, or {_IN_THE_CLEAR}",
    "logsumexp": "{exp}, {sum} and {log}",
    "scaled_dot_product_attention": "{matmul}, {exp}, {sum} and {div}",
    **dict.fromkeys(("argmax", "argmin", "argsort", "mode"), _IN_THE_CLEAR),
    "topk": f"{{amax}} if the largest alone counts, or {_IN_THE_CLEAR}",
    **dict.fromkeys(
        ("sort", "msort", "median", "kthvalue"), f"{{maximum}} and {{minimum}} of pairs, or {_IN_THE_CLEAR}"
    ),
    **dict.fromkeys(
        (
            *("layer_norm", "native_layer_norm", "group_norm", "native_group_norm", "instance_norm"),
            *("rms_norm", "_fused_rms_norm"),
        ),
        "{mean}, {square}, {rsqrt} and {mul}, or a network trained with {batch_norm}, whose statistics are "
        "constants,",
    ),
    "embedding": "one-hot inputs and {linear}",
    **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu"), "{conv1d} or {linear} over a window"),
    **dict.fromkeys(("var", "var_mean"), "{mean} and {square}"),
    **dict.fromkeys(("std", "std_mean"), "{mean}, {square} and {sqrt}"),
    **dict.fromkeys(("norm", "linalg_vector_norm"), "{square}, {sum} and {sqrt}"),
    **dict.fromkeys(("nonzero", "masked_select"), "{where}, which keeps the shape,"),
    **dict.fromkeys(("scatter_add", "index_add"), "{matmul} by a constant matrix of zeros and ones"),
    **dict.fromkeys(("einsum", "tensordot", "inner", "bilinear"), "{matmul}"),
    **dict.fromkeys(("addcmul", "lerp"), "{mul} and {add}"),
    **dict.fromkeys(("prod", "cumprod"), "{mul} of its parts"),
    "avg_pool3d": "{avg_pool2d} and {avg_pool1d}, one after the other",
    "max_pool3d": "{max_pool2d} and {max_pool1d}, one after the other",
    "conv3d": "{conv2d} of slices, and their sum",
    **dict.fromkeys(("rand_like", "randn_like", "bernoulli", "normal"), "a constant: nothing may be random,"),
    "any": "{amax} of truth values",
    "all": "{amin} of truth values",
    **dict.fromkeys(
        ("upsample_bicubic2d", "_upsample_bicubic2d_aa"), "{matmul} by a constant matrix, or a bilinear mode"
    ),
    "logit": "{div} and {log}",
    "sinc": "{sin} and {div}",
    "xlogy": "{log} and {mul}",
}
_ONNX: dict[str, str] = {
    "NonZero": "{Where}, which keeps the shape,",
    "FusedMatMul": "{MatMul}",
    "FusedGemm": "{Gemm}",
    "FusedConv": "{Conv}",
    "BiasGelu": "{Add} and {Gelu}",
    "FastGelu": "{Gelu}",
    "QuickGelu": "{Sigmoid} and {Mul}",
    "MaxRoiPool": "{RoiAlign}",
    "DynamicQuantizeLinear": "{QuantizeLinear}, whose scale is a constant,",
}
_INSTEAD = {"torch": _TORCH, "onnx": _ONNX}


def advice(name: str, framework: str) -> str:
    """Return what to use in place of an operator, or an empty string if nothing is known to help.

    Parameters
    ----------
    name : str
    framework : {"torch", "onnx"}

    Examples
    --------
    >>> advice("logsumexp", "torch"), advice("lgamma", "torch")
    ('exp, sum and log', '')
    """
    return re.sub(r"[{}]", "", _INSTEAD[framework].get(name, ""))


def suggested(framework: str) -> dict[str, list[str]]:
    """Return the operators that are suggested in place of others, by the names of these."""
    return {name: re.findall(r"\{(\w+)\}", text) for name, text in _INSTEAD[framework].items()}
