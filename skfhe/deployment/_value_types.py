"""Annotations of fields, and how numbers and texts are written, for `skfhe.deployment._values`."""

from __future__ import annotations

import math
import types
import typing
from typing import Any, Literal

import numpy as np

from skfhe._typing import Array

__all__ = [
    "array_kind",
    "members",
    "narrowed",
    "number_type",
    "of_each",
    "read_float",
    "read_labels",
    "said",
    "widens",
    "written_float",
    "written_labels",
]

MOST_LABEL_BYTES = 1 << 28
"""Of an array of texts, which takes the width of its widest for each."""
IDLE_WIDTH = 1024
"""Letters that an array of texts may be wide without having such a text."""


def members(annotation: Any) -> tuple[Any, ...]:
    """Return the alternatives of a union, or what is no union alone."""
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        return tuple(each for member in typing.get_args(annotation) for each in members(member))
    return (annotation,)


def array_kind(annotation: Any) -> np.dtype | Literal[False] | None:
    """Return the type of an annotated array, None for any, or False if no array is meant."""
    if typing.get_origin(annotation) is not np.ndarray:
        return False
    (scalar,) = typing.get_args(typing.get_args(annotation)[1])
    return None if scalar is Any or isinstance(scalar, typing.TypeVar) else np.dtype(scalar)


def of_each(annotation: Any, length: int) -> list[Any] | None:
    """Return the annotation of each element of a sequence, or None if it cannot be of this length."""
    arguments = typing.get_args(annotation)
    if typing.get_origin(annotation) is not tuple or arguments[-1] is Ellipsis:
        return [arguments[0]] * length
    return list(arguments) if len(arguments) == length else None


def said(value: Any) -> str:
    """Return how a value is shown in a message, however long it is."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"


def written_float(value: float, where: str, non_finite: bool) -> Any:
    """Return how a number is written: as JSON has it, or by its name where JSON has none."""
    if math.isfinite(value):
        return value
    if not non_finite:
        raise ValueError(f"{where} is {value}, and has to be finite")
    return {"float": str(value)}


def widens(given: np.dtype, kind: np.dtype) -> bool:
    """Whether a type of integers holds all of another's."""
    return kind.kind == "i" and given.kind in "iu" and np.can_cast(given, kind)


def narrowed(value: Array) -> Array:
    """Return integers in the narrowest signed type that holds them all, anything else as it is."""
    if value.dtype.kind not in "iu" or not value.size:
        return value
    low, high = int(value.min()), int(value.max())
    for kind in (np.int8, np.int16, np.int32):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return value.astype(kind)
    return value


def written_labels(value: Array, where: str) -> dict[str, Any]:
    """Return how texts, or objects that are plain, are written: as JSON."""
    if value.dtype.kind == "U":
        texts = value.ravel().tolist()
        width = min(value.dtype.itemsize // 4, max([IDLE_WIDTH, *map(len, texts)]))
        return {"texts": texts, "width": width, "shape": [*value.shape]}
    found = []
    for each in value.ravel():
        if isinstance(each, np.generic):
            each = each.item()
        if each is not None and type(each) not in (str, int, float, bool):
            raise TypeError(
                f"{where} holds {said(each)}, a {type(each).__name__}; files hold objects that are texts, "
                "numbers or None"
            )
        found.append(written_float(each, where, True) if isinstance(each, float) else each)
    return {"objects": found, "shape": [*value.shape]}


def number_type(name: Any, where: str) -> np.dtype:
    """Return a type of numbers by its name."""
    names = ("bool", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)))
    if name not in (*names, "float16", "float32", "float64"):
        raise ValueError(f"{where} has the type {said(name)}")
    return np.dtype(name)


def read_float(value: dict[str, Any], where: str, non_finite: bool) -> float:
    """Return a number that was written by its name."""
    if not non_finite or value.keys() != {"float"} or value["float"] not in ("nan", "inf", "-inf"):
        raise ValueError(f"{where} is {said(value)}, and has to be a finite number")
    return float(value["float"])


def read_labels(value: dict[str, Any], where: str) -> Array:
    """Return an array of texts or of objects."""
    texts = "texts" in value
    expected = {"texts", "width", "shape"} if texts else {"objects", "shape"}
    shape, found = value.get("shape"), value.get("texts" if texts else "objects")
    if (
        value.keys() != expected
        or not isinstance(found, list)
        or not isinstance(shape, list)
        or not all(type(n) is int and n >= 0 for n in shape)
        or math.prod(shape) != len(found)
        or len(shape) > 8
    ):
        raise ValueError(f"{where} is no array of texts or objects: {said(value)}")
    if not texts:
        array = np.empty(len(found), dtype=object)
        for i, each in enumerate(found):
            array[i] = _object_label(each, where)
        return array.reshape(shape)
    width = value["width"]
    if not all(isinstance(each, str) for each in found) or type(width) is not int:
        raise ValueError(f"{where} holds something else than texts")
    longest = max(map(len, found), default=0)
    if not longest <= width <= max(longest, IDLE_WIDTH) or 4 * width * len(found) > MOST_LABEL_BYTES:
        raise ValueError(f"{where} has {len(found)} texts of up to {longest} letters in width {width}")
    return np.array(found, dtype=f"<U{width}").reshape(shape)


def _object_label(value: Any, where: str) -> Any:
    if isinstance(value, dict):
        return read_float(value, where, True)
    if value is not None and type(value) not in (str, int, float, bool):
        raise ValueError(f"{where} holds {said(value)}")
    return value
