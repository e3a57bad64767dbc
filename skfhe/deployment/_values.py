"""What files hold of objects: JSON values, and arrays beside them.

An object is written field by field, and read by constructing it. Only classes of the table `CLASSES` are, and
what a field may be follows from its annotation: whatever else is there is refused, by place and reason.
Nothing is imported by a name that is read, nothing called but these classes, which check what they are given.

A class is added by a line in the table. It has to be a dataclass of numbers, texts, arrays and other such
classes, whose ``__post_init__`` refuses what would misbehave later.
"""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from functools import cache
from importlib import import_module
from typing import Any, Literal

import numpy as np

from skfhe._typing import Array

__all__ = ["CLASSES", "Entry", "class_named", "from_values", "to_values"]

MOST_NESTED = 64
MOST_LABEL_BYTES = 1 << 28
"""Of an array of texts, which takes the width of its widest for each."""


@dataclass(frozen=True)
class Entry:
    """Where a class is, and where it may stand.

    Parameters
    ----------
    module : str
    kind : str
        Of what it is one: fields annotated by a protocol of this name take it.
    non_finite : tuple of str, default=()
        Fields of floats that may be infinite or NaN.
    """

    module: str
    kind: str
    non_finite: tuple[str, ...] = ()


IDLE_WIDTH = 1024
"""Letters that an array of texts may be wide without having such a text."""

_ENCODING, _PROGRAM, _OPS = "skfhe.encoding", "skfhe.program", "skfhe.program.ops"
_CIRCUIT, _PREDICTORS = "skfhe.circuit", "skfhe.deployment._predictors"
_COMBINED = "skfhe.deployment._combined"

CLASSES: dict[str, Entry] = {
    # Rows to integers.
    "AffineEncoder": Entry(_ENCODING, "Encoder"),
    "AffineQuantizer": Entry(_ENCODING, "Quantizer"),
    "BlockEncoder": Entry(_ENCODING, "Encoder"),
    "Categories": Entry(_ENCODING, "Categories"),
    "ClippingWatch": Entry(_ENCODING, "Watch"),
    "FeatureGrid": Entry(_ENCODING, "Grid"),
    "GridEncoder": Entry(_ENCODING, "Encoder"),
    "Levels": Entry(_ENCODING, "Quantizer", non_finite=("boundaries",)),
    "Rule": Entry(_ENCODING, "Rule"),
    "SplitEncoder": Entry(_ENCODING, "Encoder", non_finite=("thresholds",)),
    "ThermometerEncoder": Entry(_ENCODING, "Encoder"),
    "ThresholdEncoder": Entry(_ENCODING, "Thresholds", non_finite=("thresholds",)),
    # Integers to scores, scores to predictions.
    "AffineDecoder": Entry(_ENCODING, "Decoder"),
    "LeafDecoder": Entry(_ENCODING, "Decoder"),
    "LeafSumDecoder": Entry(_ENCODING, "Decoder"),
    "OutputDecoders": Entry(_ENCODING, "Decoder"),
    "SummedDecoders": Entry(_ENCODING, "Decoder"),
    "TableDecoder": Entry(_ENCODING, "OutputDecoder"),
    "ClassFractions": Entry(_ENCODING, "Head"),
    "Margins": Entry(_ENCODING, "Head"),
    "Values": Entry(_ENCODING, "Head"),
    # Programs.
    "IntegerType": Entry(_PROGRAM, "IntegerType"),
    "Program": Entry(_PROGRAM, "Program"),
    "Value": Entry(_PROGRAM, "Value"),
    "Add": Entry(_OPS, "Op"),
    "Bound": Entry(_OPS, "Op"),
    "Concatenate": Entry(_OPS, "Op"),
    "Convolution": Entry(_OPS, "Op"),
    "Gather": Entry(_OPS, "Op"),
    "Input": Entry(_OPS, "Op"),
    "Linear": Entry(_OPS, "Op"),
    "Lookup": Entry(_OPS, "Op"),
    "Reshape": Entry(_OPS, "Op"),
    "Round": Entry(_OPS, "Op"),
    "Subtract": Entry(_OPS, "Op"),
    "Sum": Entry(_OPS, "Op"),
    "Truncate": Entry(_OPS, "Op"),
    # Circuits.
    "CircuitSpecs": Entry(_CIRCUIT, "CircuitSpecs"),
    "PartSpecs": Entry("skfhe.circuit._specs", "PartSpecs"),
    "SavedProgram": Entry("skfhe.deployment._programs", "SavedProgram"),
    # The client's half.
    "ClientModel": Entry("skfhe.deployment._client_model", "ClientModel"),
    "EstimatorPredictor": Entry(_PREDICTORS, "Predictor"),
    "ModulePredictor": Entry(_PREDICTORS, "Predictor"),
    # Meta-estimators.
    "AdaBoosted": Entry(_COMBINED, "Predictor"),
    "Averaged": Entry(_COMBINED, "Predictor"),
    "Bagged": Entry(_COMBINED, "Predictor"),
    "Calibrated": Entry(_COMBINED, "Predictor"),
    "MedianBoosted": Entry(_COMBINED, "Predictor"),
    "MultiOutput": Entry(_COMBINED, "Predictor"),
    "OfColumns": Entry(_COMBINED, "Predictor"),
    "OneVsOne": Entry(_COMBINED, "Predictor"),
    "OneVsRest": Entry(_COMBINED, "Predictor"),
    "OutputCode": Entry(_COMBINED, "Predictor"),
    "Retargeted": Entry(_COMBINED, "Predictor"),
    "Thresholded": Entry(_COMBINED, "Predictor"),
    "Voting": Entry(_COMBINED, "Predictor"),
    "Isotonic": Entry(_COMBINED, "Calibrator"),
    "Sigmoid": Entry(_COMBINED, "Calibrator"),
    "Temperature": Entry(_COMBINED, "Calibrator"),
    "RowRules": Entry("skfhe.deployment._rows", "Rows"),
    "HistogramRows": Entry("skfhe.deployment._library_rows", "Rows"),
    "LightGBMRows": Entry("skfhe.deployment._library_rows", "Rows"),
    "XGBoostRows": Entry("skfhe.deployment._library_rows", "Rows", non_finite=("missing",)),
}
"""Every class that files can hold. A name that was released keeps its meaning."""


def class_named(name: str) -> type:
    """Return a class of the table."""
    found: type = getattr(import_module(CLASSES[name].module), name)
    return found


class _Names(dict):
    """Names in annotations that a module imports for annotations alone: classes and kinds of the table."""

    def __missing__(self, name: str) -> type:
        if name in CLASSES:
            return class_named(name)
        if any(entry.kind == name for entry in CLASSES.values()):
            return type(name, (), {"_is_protocol": True})
        raise KeyError(name)


@cache
def _annotations(name: str) -> dict[str, Any]:
    """Return the annotation of each field of a class."""
    cls = class_named(name)
    found = typing.get_type_hints(cls, localns=_Names())
    return {field.name: found[field.name] for field in fields(cls) if field.init}


def _entry_of(annotation: Any) -> tuple[str, ...]:
    """Return the names of the classes that an annotation by a class or a kind admits."""
    if not isinstance(annotation, type):
        return ()
    name = annotation.__name__
    if name in CLASSES and class_named(name) is annotation:
        return (name,)
    return tuple(each for each, entry in CLASSES.items() if entry.kind == name)


def _members(annotation: Any) -> tuple[Any, ...]:
    """Return the alternatives of a union, or what is no union alone."""
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        return tuple(each for member in typing.get_args(annotation) for each in _members(member))
    return (annotation,)


def _array_kind(annotation: Any) -> np.dtype | Literal[False] | None:
    """Return the type of an annotated array, None for any, or False if no array is meant."""
    if typing.get_origin(annotation) is not np.ndarray:
        return False
    (scalar,) = typing.get_args(typing.get_args(annotation)[1])
    return None if scalar is Any or isinstance(scalar, typing.TypeVar) else np.dtype(scalar)


def _said(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"


# Writing.


def to_values(obj: Any) -> tuple[Any, list[Array]]:
    """Return what a file holds of an object.

    Parameters
    ----------
    obj : object
        Of a class of the table.

    Returns
    -------
    values : dict
        Of what JSON can say.
    arrays : list of ndarray
        That these refer to by number; equal ones are one.

    Raises
    ------
    TypeError
        If something in it is of no class that files hold, or not of the type of its field.
    ValueError
        If a number is not finite where it has to be.
    """
    writer = _Writer()
    return writer.object(obj, type(obj).__name__), writer.arrays


class _Writer:
    """Turns objects to values, and collects arrays."""

    def __init__(self) -> None:
        self.arrays: list[Array] = []
        self._numbers: dict[Any, int] = {}

    def object(self, obj: Any, where: str) -> dict[str, Any]:
        name = type(obj).__name__
        if name not in CLASSES or class_named(name) is not type(obj):
            raise TypeError(f"{where} is a {type(obj).__module__}.{name}, which files do not hold")
        non_finite = CLASSES[name].non_finite
        found = {"class": name}
        for field, annotation in _annotations(name).items():
            found[field] = self.value(
                getattr(obj, field), annotation, f"{where}.{field}", field in non_finite
            )
        return found

    def value(self, value: Any, annotation: Any, where: str, non_finite: bool) -> Any:
        for member in _members(annotation):
            written = self._one(value, member, where, non_finite)
            if written is not MISSING:
                return written
        raise TypeError(f"{where} is {_said(value)}, a {type(value).__name__}; expected {annotation}")

    def _one(self, value: Any, annotation: Any, where: str, non_finite: bool) -> Any:
        """Return how a value of this annotation is written, or MISSING if it is of another."""
        origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
        if annotation in (bool, int, float, str, type(None), bytes):
            return self._scalar(value, annotation, where, non_finite)
        if origin is typing.Literal:
            return value if isinstance(value, str | int) and value in arguments else MISSING
        kind = _array_kind(annotation)
        if kind is not False:
            if not isinstance(value, np.ndarray | np.generic):
                return MISSING
            return self._array(np.asarray(value), kind, where, non_finite)
        if origin is dict:
            if not isinstance(value, Mapping):
                return MISSING
            return {
                self.value(key, str, where, False): self.value(
                    each, arguments[1], f"{where}[{key!r}]", non_finite
                )
                for key, each in value.items()
            }
        if origin is frozenset:
            if not isinstance(value, frozenset):
                return MISSING
            return [self.value(each, arguments[0], where, False) for each in sorted(value)]
        if origin in (tuple, list, Sequence):
            if not isinstance(value, tuple | list):
                return MISSING
            given = _each(annotation, len(value))
            if given is None:
                return MISSING
            return [
                self.value(each, of, f"{where}[{i}]", non_finite)
                for i, (each, of) in enumerate(zip(value, given, strict=True))
            ]
        admitted = _entry_of(annotation)
        if not admitted:
            raise TypeError(f"{where} is annotated {annotation}, which files do not hold")
        return self.object(value, where) if type(value).__name__ in admitted else MISSING

    def _scalar(self, value: Any, annotation: type, where: str, non_finite: bool) -> Any:
        if isinstance(value, np.generic):
            value = value.item()
        if annotation is bytes:
            if not isinstance(value, bytes):
                return MISSING
            return {"bytes": self._number(np.frombuffer(value, dtype=np.uint8))}
        if annotation is float and type(value) in (int, float):
            return _real(value, where, non_finite)
        return value if type(value) is annotation else MISSING

    def _array(self, value: Array, kind: np.dtype | None, where: str, non_finite: bool) -> Any:
        if kind is None and value.dtype.kind in "UO":
            return _labels(value, where)
        if (kind is None and value.dtype.kind not in "biuf") or value.dtype.itemsize > 8:
            raise TypeError(
                f"{where} is an array of {value.dtype}; files hold numbers, truth values and texts"
            )
        if kind is not None and value.dtype != kind and not _widens(value.dtype, kind):
            raise TypeError(f"{where} is an array of {value.dtype}, expected {kind}")
        if value.dtype.kind == "f" and not non_finite and not np.isfinite(value).all():
            raise ValueError(f"{where} has numbers that are not finite")
        number = self._number(_narrowed(value))
        return {"array": number} if kind is not None else {"array": number, "dtype": value.dtype.name}

    def _number(self, value: Array) -> int:
        """Return the number of an array, which equal ones share."""
        data = np.ascontiguousarray(value).reshape(value.shape)
        data = data.astype(data.dtype.newbyteorder("<"), copy=False)
        key = (data.dtype.str, data.shape, data.tobytes())
        if key not in self._numbers:
            self._numbers[key] = len(self.arrays)
            self.arrays.append(data)
        return self._numbers[key]


def _widens(given: np.dtype, kind: np.dtype) -> bool:
    """Whether a type of integers holds all of another's."""
    return kind.kind == "i" and given.kind in "iu" and np.can_cast(given, kind)


def _each(annotation: Any, length: int) -> list[Any] | None:
    """Return the annotation of each element of a sequence, or None if it cannot be of this length."""
    arguments = typing.get_args(annotation)
    if typing.get_origin(annotation) is not tuple or arguments[-1] is Ellipsis:
        return [arguments[0]] * length
    return list(arguments) if len(arguments) == length else None


def _real(value: float, where: str, non_finite: bool) -> Any:
    if math.isfinite(value):
        return value
    if not non_finite:
        raise ValueError(f"{where} is {value}, and has to be finite")
    return {"float": str(value)}


def _narrowed(value: Array) -> Array:
    """Return integers in the narrowest signed type that holds them all, anything else as it is."""
    if value.dtype.kind not in "iu" or not value.size:
        return value
    low, high = int(value.min()), int(value.max())
    for kind in (np.int8, np.int16, np.int32):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return value.astype(kind)
    return value


def _labels(value: Array, where: str) -> dict[str, Any]:
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
                f"{where} holds {_said(each)}, a {type(each).__name__}; files hold objects that are texts, "
                "numbers or None"
            )
        found.append(_real(each, where, True) if isinstance(each, float) else each)
    return {"objects": found, "shape": [*value.shape]}


# Reading.


def from_values(values: Any, arrays: Sequence[Array], kind: str) -> Any:
    """Return the object that `to_values` was given.

    Parameters
    ----------
    values : dict
        As read from JSON.
    arrays : sequence of ndarray
        Used as they are where their type is that of the field.
    kind : str
        A kind, or the name of a class.

    Returns
    -------
    object

    Raises
    ------
    ValueError
        If anything is not as it would have been written: the message names the place.
    """
    admitted = (kind,) if kind in CLASSES else tuple(n for n, entry in CLASSES.items() if entry.kind == kind)
    return _Reader(arrays).object(values, admitted, kind, 0)


_FAULTS = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, MemoryError)
"""What a class can raise for fields of the right types that do not fit each other."""


class _Reader:
    """Makes objects of values."""

    def __init__(self, arrays: Sequence[Array]) -> None:
        self._arrays = arrays

    def object(self, values: Any, admitted: tuple[str, ...], where: str, depth: int) -> Any:
        if depth > MOST_NESTED:
            raise ValueError(f"objects are nested deeper than {MOST_NESTED}")
        name = values.get("class") if isinstance(values, dict) else None
        if not isinstance(name, str) or name not in admitted:
            raise ValueError(f"{where} is {_said(name or values)}; expected one of {', '.join(admitted)}")
        cls, annotations = class_named(name), _annotations(name)
        unknown = values.keys() - annotations.keys() - {"class"}
        if unknown:
            raise ValueError(f"{where} has fields that {name} has not: {', '.join(sorted(unknown))}")
        non_finite = CLASSES[name].non_finite
        given = {}
        for field in fields(cls):
            if not field.init:
                continue
            if field.name in values:
                at = f"{where}.{field.name}"
                given[field.name] = self.value(
                    values[field.name], annotations[field.name], at, field.name in non_finite, depth + 1
                )
            elif field.default is MISSING and field.default_factory is MISSING:
                raise ValueError(f"{where} lacks the field {field.name} of {name}")
        try:
            return cls(**given)
        except _FAULTS as error:
            raise ValueError(f"{where} cannot be a {name}: {error}") from error

    def value(self, value: Any, annotation: Any, where: str, non_finite: bool, depth: int) -> Any:
        if depth > MOST_NESTED:
            raise ValueError(f"{where} is nested deeper than {MOST_NESTED}")
        for member in _members(annotation):
            if _looks_like(value, member):
                return self._one(value, member, where, non_finite, depth)
        names = [name for member in _members(annotation) for name in _entry_of(member)]
        if names:
            raise ValueError(f"{where} is {_said(value)}; expected one of {', '.join(names)}")
        raise ValueError(f"{where} is {_said(value)}, which does not fit {annotation}")

    def _one(self, value: Any, annotation: Any, where: str, non_finite: bool, depth: int) -> Any:
        origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
        if annotation is float and isinstance(value, dict):
            return self._float(value, where, non_finite)
        if annotation is bytes:
            found = self._array_numbered(value["bytes"], where)
            if found.dtype != np.uint8 or found.ndim != 1:
                raise ValueError(f"{where} is an array of {found.dtype}, expected bytes")
            return found.tobytes()
        if type(value) is int and not -(2**63) <= value < 2**63:
            raise ValueError(f"{where} is {_said(value)}, which no 64 bits hold")
        if annotation is float and not math.isfinite(value):
            raise ValueError(f"{where} is {value}")
        if annotation in (bool, int, float, str, type(None)) or origin is typing.Literal:
            return value
        kind = _array_kind(annotation)
        if kind is not False:
            return self._array(value, kind, where, non_finite)
        if origin is dict:
            return {
                key: self.value(each, arguments[1], f"{where}[{key!r}]", non_finite, depth + 1)
                for key, each in value.items()
            }
        if origin is frozenset:
            elements = [self.value(each, arguments[0], where, False, depth + 1) for each in value]
            if len(set(elements)) != len(elements):
                raise ValueError(f"{where} has equal elements")
            return frozenset(elements)
        if origin in (tuple, list, Sequence):
            of = _each(annotation, len(value))
            if of is None:
                raise ValueError(f"{where} has {len(value)} elements, which does not fit {annotation}")
            return tuple(
                self.value(each, hint, f"{where}[{i}]", non_finite, depth + 1)
                for i, (each, hint) in enumerate(zip(value, of, strict=True))
            )
        return self.object(value, _entry_of(annotation), where, depth)

    def _float(self, value: dict[str, Any], where: str, non_finite: bool) -> float:
        if not non_finite or value.keys() != {"float"} or value["float"] not in ("nan", "inf", "-inf"):
            raise ValueError(f"{where} is {_said(value)}, and has to be a finite number")
        return float(value["float"])

    def _array_numbered(self, number: Any, where: str) -> Array:
        if type(number) is not int or not 0 <= number < len(self._arrays):
            raise ValueError(f"{where} refers to array {_said(number)}, of {len(self._arrays)}")
        return self._arrays[number]

    def _array(self, value: dict[str, Any], kind: np.dtype | None, where: str, non_finite: bool) -> Array:
        if "array" not in value:
            if kind is not None:
                raise ValueError(f"{where} holds texts; expected an array of {kind}")
            return self._labels(value, where)
        expected = {"array"} if kind is not None else {"array", "dtype"}
        if value.keys() != expected:
            raise ValueError(f"{where} is {_said(value)}; expected the fields {sorted(expected)}")
        found = self._array_numbered(value["array"], where)
        if kind is None:
            kind = _number_type(value["dtype"], where)
        if found.dtype != kind:
            if not (found.dtype.kind == "i" and kind.kind in "iu"):
                raise ValueError(f"{where} is an array of {found.dtype}, expected {kind}")
            low, high = (int(found.min()), int(found.max())) if found.size else (0, 0)
            if not np.iinfo(kind).min <= low <= high <= np.iinfo(kind).max:
                raise ValueError(f"{where} has integers that {kind} does not hold")
            found = found.astype(kind)
            found.flags.writeable = False
        if kind.kind == "f" and not non_finite and not np.isfinite(found).all():
            raise ValueError(f"{where} has numbers that are not finite")
        return found

    def _labels(self, value: dict[str, Any], where: str) -> Array:
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
            raise ValueError(f"{where} is no array of texts or objects: {_said(value)}")
        if not texts:
            array = np.empty(len(found), dtype=object)
            for i, each in enumerate(found):
                array[i] = self._object_label(each, where)
            return array.reshape(shape)
        width = value["width"]
        if not all(isinstance(each, str) for each in found) or type(width) is not int:
            raise ValueError(f"{where} holds something else than texts")
        longest = max(map(len, found), default=0)
        if not longest <= width <= max(longest, IDLE_WIDTH) or 4 * width * len(found) > MOST_LABEL_BYTES:
            raise ValueError(f"{where} has {len(found)} texts of up to {longest} letters in width {width}")
        return np.array(found, dtype=f"<U{width}").reshape(shape)

    def _object_label(self, value: Any, where: str) -> Any:
        if isinstance(value, dict):
            return self._float(value, where, True)
        if value is not None and type(value) not in (str, int, float, bool):
            raise ValueError(f"{where} holds {_said(value)}")
        return value


def _number_type(name: Any, where: str) -> np.dtype:
    """Return a type of numbers by its name."""
    names = ("bool", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)))
    if name not in (*names, "float16", "float32", "float64"):
        raise ValueError(f"{where} has the type {_said(name)}")
    return np.dtype(name)


def _looks_like(value: Any, annotation: Any) -> bool:
    """Whether a JSON value can be meant by an annotation that is no union."""
    if annotation is float:
        return type(value) in (int, float) or (isinstance(value, dict) and "float" in value)
    if annotation in (bool, int, str, type(None)):
        return type(value) is annotation
    if annotation is bytes:
        return isinstance(value, dict) and value.keys() == {"bytes"}
    origin = typing.get_origin(annotation)
    if origin is typing.Literal:
        return any(type(value) is type(each) and value == each for each in typing.get_args(annotation))
    if _array_kind(annotation) is not False:
        return isinstance(value, dict) and not {"array", "texts", "objects"}.isdisjoint(value)
    if origin is dict:
        return isinstance(value, dict)
    if origin in (tuple, list, Sequence, frozenset):
        return isinstance(value, list)
    return isinstance(value, dict) and value.get("class") in _entry_of(annotation)
