"""What to use in place of operators that cannot be imported, where that is known.

Names in braces are operators of the tables in `skfhe.importers._operators`. What stands here computes the
same, or says what is given up. For other operators there is no advice: one spelled alike is of no use.
"""

import re

__all__ = ["advice", "suggested"]

_IN_THE_CLEAR = "decrypt its argument and apply it in the clear,"

_TORCH: dict[str, str] = {
    **dict.fromkeys(("argmax", "argmin", "argsort", "mode"), _IN_THE_CLEAR),
    **dict.fromkeys(("nonzero", "masked_select"), "{where}, which keeps the shape,"),
    **dict.fromkeys(("scatter_add", "index_add"), "{matmul} by a constant matrix of zeros and ones"),
    **dict.fromkeys(("rand_like", "randn_like", "bernoulli", "normal"), "a constant: nothing may be random,"),
    **dict.fromkeys(
        ("linalg_svdvals", "linalg_eigvalsh"),
        f"the Frobenius norm, {{linalg_matrix_norm}}, or {_IN_THE_CLEAR}",
    ),
    "renorm": "{linalg_vector_norm}, {clamp} and {div}",
    "logcumsumexp": "{exp}, {cumsum} and {log}",
    "native_batch_norm": "{batch_norm} with running statistics",
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
    >>> advice("logcumsumexp", "torch"), advice("lgamma", "torch")
    ('exp, cumsum and log', '')
    """
    return re.sub(r"[{}]", "", _INSTEAD[framework].get(name, ""))


def suggested(framework: str) -> dict[str, list[str]]:
    """Return the operators that are suggested in place of others, by the names of these."""
    return {name: re.findall(r"\{(\w+)\}", text) for name, text in _INSTEAD[framework].items()}
