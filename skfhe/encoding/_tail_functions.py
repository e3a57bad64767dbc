"""The functions that tails are made of, by name: a closed set, in NumPy.

Files name them, so that a name keeps its meaning. Truth values count as integers wherever they are computed
with. Floats that leave a function's domain become infinite or NaN, as in the networks that tails come from.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from skfhe._typing import Array
from skfhe.encoding._links import logistic

__all__ = ["ALONG", "ELEMENTWISE", "OVER", "POSITIONS"]


def _of_numbers(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that takes truth values for integers."""
    return lambda *x: function(*(v.astype(np.int64) if v.dtype == bool else v for v in x))


def _of_floats(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *x: function(*(np.asarray(v, dtype=np.float64) for v in x))


def _truth(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *x: function(*(v != 0 for v in x))


_erf = np.vectorize(math.erf, otypes=[np.float64])
_erfc = np.vectorize(math.erfc, otypes=[np.float64])

_OF_FLOATS = {
    "arccos": np.arccos,
    "arccosh": np.arccosh,
    "arcsin": np.arcsin,
    "arcsinh": np.arcsinh,
    "arctan": np.arctan,
    "arctanh": np.arctanh,
    "ceil": np.ceil,
    "cos": np.cos,
    "cosh": np.cosh,
    "erf": _erf,
    "erfc": _erfc,
    "exp": np.exp,
    "exp2": np.exp2,
    "expm1": np.expm1,
    "floor": np.floor,
    "log": np.log,
    "log10": np.log10,
    "log1p": np.log1p,
    "log2": np.log2,
    "logistic": logistic,
    "reciprocal": np.reciprocal,
    "round": np.rint,
    "sin": np.sin,
    "sinh": np.sinh,
    "sqrt": np.sqrt,
    "tan": np.tan,
    "tanh": np.tanh,
    "trunc": np.trunc,
    "arctan2": np.arctan2,
    "copysign": np.copysign,
    "divide": np.divide,
    "hypot": np.hypot,
    "power": np.power,
}
_OF_NUMBERS = {
    "absolute": np.absolute,
    "negative": np.negative,
    "sign": np.sign,
    "add": np.add,
    "fmod": np.fmod,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "multiply": np.multiply,
    "remainder": np.remainder,
    "subtract": np.subtract,
}
_OF_ANY = {
    "isinf": np.isinf,
    "isnan": np.isnan,
    "equal": np.equal,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
    "less": np.less,
    "less_equal": np.less_equal,
    "not_equal": np.not_equal,
}
_OF_TRUTH = {
    "logical_not": np.logical_not,
    "logical_and": np.logical_and,
    "logical_or": np.logical_or,
    "logical_xor": np.logical_xor,
}


def _integer(x: Array) -> Array:
    return np.trunc(x).astype(np.int64)


def _where(condition: Array, x: Array, y: Array) -> Array:
    return np.where(condition != 0, x, y)


def _counted(table: dict[str, Any], wrap: Callable[..., Any]) -> dict[str, tuple[int, Callable[..., Array]]]:
    """Return functions with the number of their arguments."""
    return {name: (getattr(function, "nin", 1), wrap(function)) for name, function in table.items()}


ELEMENTWISE: dict[str, tuple[int, Callable[..., Array]]] = {
    **_counted(_OF_FLOATS, _of_floats),
    **_counted(_OF_NUMBERS, _of_numbers),
    **_counted(_OF_ANY, lambda function: function),
    **_counted(_OF_TRUTH, _truth),
    "float": (1, lambda x: x.astype(np.float64)),
    "integer": (1, _integer),
    "truth": (1, lambda x: x != 0),
    "where": (3, _where),
}
"""Functions of elements, and of how many values each is."""


def _softmax(x: Array, axis: int) -> Array:
    powers = np.exp(x - x.max(axis=axis, keepdims=True))
    return powers / powers.sum(axis=axis, keepdims=True)


def _log_softmax(x: Array, axis: int) -> Array:
    shifted = x - x.max(axis=axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))


def _argsort_descending(x: Array, axis: int) -> Array:
    return np.argsort(np.negative(x), axis=axis, kind="stable")


ALONG: dict[str, Callable[[Array, int], Array]] = {
    "argsort": lambda x, axis: np.argsort(x, axis=axis, kind="stable"),
    "argsort_descending": _argsort_descending,
    "cummax": lambda x, axis: np.maximum.accumulate(x, axis=axis),
    "cummin": lambda x, axis: np.minimum.accumulate(x, axis=axis),
    "cumprod": lambda x, axis: np.cumprod(x, axis=axis),
    "cumsum": lambda x, axis: np.cumsum(x, axis=axis),
    "log_softmax": _log_softmax,
    "softmax": _softmax,
    "sort": lambda x, axis: np.sort(x, axis=axis),
    "sort_descending": lambda x, axis: np.take_along_axis(x, _argsort_descending(x, axis), axis=axis),
}
"""Functions along an axis that keep the shape."""

OVER: dict[str, Callable[..., Array]] = {
    "all": np.all,
    "any": np.any,
    "max": np.max,
    "mean": np.mean,
    "min": np.min,
    "prod": np.prod,
    "sum": np.sum,
}
"""Functions over axes, which are left with one element."""

POSITIONS: dict[str, Callable[..., Array]] = {"argmax": np.argmax, "argmin": np.argmin}
"""Functions over one axis that say where on it something is."""
