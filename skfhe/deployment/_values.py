"""What files hold of objects: JSON values, and arrays beside them.

An object is written field by field, and read by constructing it. Only classes of the table `CLASSES` are, and
what a field may be follows from its annotation: whatever else is there is refused, by place and reason.
Nothing is imported by a name that is read, nothing called but these classes, which check what they are given.

A class is added by a line in the table. It has to be a dataclass of numbers, texts, arrays and other such
classes, whose ``__post_init__`` refuses what would misbehave later.
"""

from __future__ import annotations

import math
import typing
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

from skfhe._typing import Array
from skfhe.deployment._value_types import (
    array_kind,
    members,
    narrowed,
    number_type,
    of_each,
    read_float,
    read_labels,
    said,
    widens,
    written_float,
    written_labels,
)

__all__ = ["CLASSES", "Entry", "class_named", "from_values", "to_values"]

MOST_NESTED = 64


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


_ENCODING, _PROGRAM, _OPS = "skfhe.encoding", "skfhe.program", "skfhe.program.ops"
_STEPS = "skfhe.deployment._steps"
_CIRCUIT, _PREDICTORS = "skfhe.circuit", "skfhe.deployment._predictors"
_COMBINED = "skfhe.deployment._combined"

CLASSES: dict[str, Entry] = {
    # Rows to integers.
    "AffineEncoder": Entry(_ENCODING, "Encoder"),
    "AffineQuantizer": Entry(_ENCODING, "Quantizer"),
    "AnswersEncoder": Entry(_ENCODING, "Encoder"),
    "BlockEncoder": Entry(_ENCODING, "Encoder"),
    "Categories": Entry(_ENCODING, "Categories"),
    "ClippingWatch": Entry(_ENCODING, "Watch"),
    "DigitSums": Entry(_ENCODING, "Digits"),
    "FeatureGrid": Entry(_ENCODING, "Grid"),
    "GridBitsEncoder": Entry(_ENCODING, "Encoder"),
    "GridEncoder": Entry(_ENCODING, "Encoder"),
    "LevelBitsEncoder": Entry(_ENCODING, "Encoder"),
    "Levels": Entry(_ENCODING, "Quantizer", non_finite=("boundaries",)),
    "MonomialEncoder": Entry(_ENCODING, "Encoder"),
    "NamedCategories": Entry(_ENCODING, "NamedCategories"),
    "Rule": Entry(_ENCODING, "Rule"),
    "SplitEncoder": Entry(_ENCODING, "Encoder", non_finite=("thresholds",)),
    "ThermometerEncoder": Entry(_ENCODING, "Encoder"),
    "ThresholdEncoder": Entry(_ENCODING, "Thresholds", non_finite=("thresholds",)),
    # Integers to scores, scores to predictions.
    "AffineDecoder": Entry(_ENCODING, "Decoder"),
    "DigitSumDecoder": Entry(_ENCODING, "Decoder"),
    "LeafDecoder": Entry(_ENCODING, "Decoder"),
    "LeafMedianDecoder": Entry(_ENCODING, "Decoder"),
    "LeafSumDecoder": Entry(_ENCODING, "Decoder"),
    "LeafTableDecoder": Entry(_ENCODING, "Decoder"),
    "LimbDecoder": Entry(_ENCODING, "Decoder", non_finite=("offset",)),
    "OutputDecoders": Entry(_ENCODING, "Decoder"),
    "ScoresDecoder": Entry(_ENCODING, "Decoder"),
    "SummedDecoders": Entry(_ENCODING, "Decoder"),
    "TableDecoder": Entry(_ENCODING, "OutputDecoder"),
    "TailDecoder": Entry(_ENCODING, "Decoder"),
    "Tail": Entry(_ENCODING, "Tail"),
    "TailAlong": Entry(_ENCODING, "TailStep"),
    "TailConstant": Entry(_ENCODING, "TailStep", non_finite=("values",)),
    "TailElementwise": Entry(_ENCODING, "TailStep"),
    "TailGather": Entry(_ENCODING, "TailStep"),
    "TailJoin": Entry(_ENCODING, "TailStep"),
    "TailMatMul": Entry(_ENCODING, "TailStep"),
    "TailOver": Entry(_ENCODING, "TailStep"),
    "TailTake": Entry(_ENCODING, "TailStep", non_finite=("fill",)),
    "Structure": Entry(_ENCODING, "Structure"),
    "ClassFractions": Entry(_ENCODING, "Head"),
    "Discriminants": Entry(_ENCODING, "Head"),
    "Distances": Entry(_ENCODING, "Head"),
    "Indicators": Entry(_ENCODING, "Head"),
    "Inliers": Entry(_ENCODING, "Head"),
    "LogDensities": Entry(_ENCODING, "Head"),
    "Margins": Entry(_ENCODING, "Head"),
    "NearestVotes": Entry(_ENCODING, "Head"),
    "PairVotes": Entry(_ENCODING, "Head"),
    "PathLengths": Entry(_ENCODING, "Head"),
    "Projections": Entry(_ENCODING, "Head"),
    "RowSquares": Entry(_ENCODING, "Squares"),
    "SoftVotes": Entry(_ENCODING, "Head"),
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
    "Modulo": Entry(_OPS, "Op"),
    "Reshape": Entry(_OPS, "Op"),
    "Round": Entry(_OPS, "Op"),
    "Subtract": Entry(_OPS, "Op"),
    "Sum": Entry(_OPS, "Op"),
    "Truncate": Entry(_OPS, "Op"),
    # Circuits.
    "CircuitSpecs": Entry(_CIRCUIT, "CircuitSpecs"),
    "PartSpecs": Entry("skfhe.circuit._specs", "PartSpecs"),
    "SavedProgram": Entry("skfhe.deployment._programs", "SavedProgram"),
    # Steps before a predictor.
    "Binarizer": Entry(f"{_STEPS}.scalers", "Step"),
    "ColumnPart": Entry(f"{_STEPS}.composition", "ColumnPart"),
    "ColumnTransformer": Entry(f"{_STEPS}.composition", "Step"),
    "FeatureCategories": Entry(f"{_STEPS}.categories", "FeatureCategories", non_finite=("values",)),
    "FeatureUnion": Entry(f"{_STEPS}.composition", "Step"),
    "FittedOn": Entry(f"{_STEPS}.rows", "FittedOn"),
    "Identity": Entry(f"{_STEPS}.composition", "Step"),
    "KBinsDiscretizer": Entry(f"{_STEPS}.curves", "Step", non_finite=("edges",)),
    "KeptStep": Entry(f"{_STEPS}.trusted", "Step"),
    "MinMaxScaler": Entry(f"{_STEPS}.scalers", "Step", non_finite=("scale", "offset")),
    "Missing": Entry(f"{_STEPS}.imputers", "Missing", non_finite=("value",)),
    "MissingIndicator": Entry(f"{_STEPS}.imputers", "Step"),
    "Named": Entry(f"{_STEPS}.composition", "Step"),
    "Normalizer": Entry(f"{_STEPS}.scalers", "Step"),
    "OneHotEncoder": Entry(f"{_STEPS}.encoders", "Step"),
    "OrdinalEncoder": Entry(f"{_STEPS}.encoders", "Step", non_finite=("unknown", "missing")),
    "Pipeline": Entry(f"{_STEPS}.composition", "Step"),
    "PolynomialFeatures": Entry(f"{_STEPS}.curves", "Step"),
    "PowerTransformer": Entry(f"{_STEPS}.curves", "Step", non_finite=("powers",)),
    "Projection": Entry(f"{_STEPS}.projections", "Step"),
    "QuantileTransformer": Entry(f"{_STEPS}.curves", "Step", non_finite=("quantiles",)),
    "RandomFeatures": Entry(f"{_STEPS}.kernels", "Step"),
    "Scaler": Entry(f"{_STEPS}.scalers", "Step", non_finite=("center", "scale")),
    "Selection": Entry(f"{_STEPS}.projections", "Step"),
    "SimpleImputer": Entry(f"{_STEPS}.imputers", "Step", non_finite=("fills",)),
    "SplineTransformer": Entry(f"{_STEPS}.splines", "Step"),
    "TargetEncoder": Entry(f"{_STEPS}.encoders", "Step", non_finite=("encodings", "defaults")),
    "UnionPart": Entry(f"{_STEPS}.composition", "UnionPart"),
    "AfterSteps": Entry(f"{_STEPS}.after_steps", "Predictor"),
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
    "OfArray": Entry(_COMBINED, "Predictor"),
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
    "ShapedRows": Entry("skfhe.deployment._rows", "Rows"),
    "BinarizedRows": Entry("skfhe.deployment._library_rows", "Rows"),
    "HistogramRows": Entry("skfhe.deployment._library_rows", "Rows"),
    "IndicatorRows": Entry("skfhe.deployment._library_rows", "Rows"),
    "LightGBMRows": Entry("skfhe.deployment._library_rows", "Rows"),
    "NamedRows": Entry("skfhe.deployment._library_rows", "Rows"),
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
        for member in members(annotation):
            written = self._one(value, member, where, non_finite)
            if written is not MISSING:
                return written
        raise TypeError(f"{where} is {said(value)}, a {type(value).__name__}; expected {annotation}")

    def _one(self, value: Any, annotation: Any, where: str, non_finite: bool) -> Any:
        """Return how a value of this annotation is written, or MISSING if it is of another."""
        origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
        if annotation in (bool, int, float, str, type(None), bytes):
            return self._scalar(value, annotation, where, non_finite)
        if origin is typing.Literal:
            return value if isinstance(value, str | int) and value in arguments else MISSING
        kind = array_kind(annotation)
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
            given = of_each(annotation, len(value))
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
            return written_float(value, where, non_finite)
        return value if type(value) is annotation else MISSING

    def _array(self, value: Array, kind: np.dtype | None, where: str, non_finite: bool) -> Any:
        if kind is None and value.dtype.kind in "UO":
            return written_labels(value, where)
        if (kind is None and value.dtype.kind not in "biuf") or value.dtype.itemsize > 8:
            raise TypeError(
                f"{where} is an array of {value.dtype}; files hold numbers, truth values and texts"
            )
        if kind is not None and value.dtype != kind and not widens(value.dtype, kind):
            raise TypeError(f"{where} is an array of {value.dtype}, expected {kind}")
        if value.dtype.kind == "f" and not non_finite and not np.isfinite(value).all():
            raise ValueError(f"{where} has numbers that are not finite")
        number = self._number(narrowed(value))
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
            raise ValueError(f"{where} is {said(name or values)}; expected one of {', '.join(admitted)}")
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
        for member in members(annotation):
            if _looks_like(value, member):
                return self._one(value, member, where, non_finite, depth)
        names = [name for member in members(annotation) for name in _entry_of(member)]
        if names:
            raise ValueError(f"{where} is {said(value)}; expected one of {', '.join(names)}")
        raise ValueError(f"{where} is {said(value)}, which does not fit {annotation}")

    def _one(self, value: Any, annotation: Any, where: str, non_finite: bool, depth: int) -> Any:
        origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
        if annotation is float and isinstance(value, dict):
            return read_float(value, where, non_finite)
        if annotation is bytes:
            found = self._array_numbered(value["bytes"], where)
            if found.dtype != np.uint8 or found.ndim != 1:
                raise ValueError(f"{where} is an array of {found.dtype}, expected bytes")
            return found.tobytes()
        if type(value) is int and not -(2**63) <= value < 2**63:
            raise ValueError(f"{where} is {said(value)}, which no 64 bits hold")
        if annotation is float and not math.isfinite(value):
            raise ValueError(f"{where} is {value}")
        if annotation in (bool, int, float, str, type(None)) or origin is typing.Literal:
            return value
        kind = array_kind(annotation)
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
            of = of_each(annotation, len(value))
            if of is None:
                raise ValueError(f"{where} has {len(value)} elements, which does not fit {annotation}")
            return tuple(
                self.value(each, hint, f"{where}[{i}]", non_finite, depth + 1)
                for i, (each, hint) in enumerate(zip(value, of, strict=True))
            )
        return self.object(value, _entry_of(annotation), where, depth)

    def _array_numbered(self, number: Any, where: str) -> Array:
        if type(number) is not int or not 0 <= number < len(self._arrays):
            raise ValueError(f"{where} refers to array {said(number)}, of {len(self._arrays)}")
        return self._arrays[number]

    def _array(self, value: dict[str, Any], kind: np.dtype | None, where: str, non_finite: bool) -> Array:
        if "array" not in value:
            if kind is not None:
                raise ValueError(f"{where} holds texts; expected an array of {kind}")
            return read_labels(value, where)
        expected = {"array"} if kind is not None else {"array", "dtype"}
        if value.keys() != expected:
            raise ValueError(f"{where} is {said(value)}; expected the fields {sorted(expected)}")
        found = self._array_numbered(value["array"], where)
        if kind is None:
            kind = number_type(value["dtype"], where)
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
    if array_kind(annotation) is not False:
        return isinstance(value, dict) and not {"array", "texts", "objects"}.isdisjoint(value)
    if origin is dict:
        return isinstance(value, dict)
    if origin in (tuple, list, Sequence, frozenset):
        return isinstance(value, list)
    return isinstance(value, dict) and value.get("class") in _entry_of(annotation)
