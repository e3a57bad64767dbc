"""Objects and what files hold of them."""

import datetime
import json

import numpy as np
import pytest

from skfhe.deployment._value_types import array_kind, members
from skfhe.deployment._values import CLASSES, class_named, from_values, to_values
from skfhe.encoding import (
    AffineDecoder,
    AffineEncoder,
    AffineQuantizer,
    BlockEncoder,
    Categories,
    ClassFractions,
    ClippingWatch,
    DigitSumDecoder,
    FeatureGrid,
    GridEncoder,
    LeafDecoder,
    LeafMedianDecoder,
    LeafSumDecoder,
    LeafTableDecoder,
    LevelBitsEncoder,
    Levels,
    Margins,
    OutputDecoders,
    PathLengths,
    Rule,
    SplitEncoder,
    SummedDecoders,
    TableDecoder,
    ThermometerEncoder,
    ThresholdEncoder,
    Values,
)

ONE, HALVES = np.array([1, 0]), np.array([0.5, -0.5])
GRID = FeatureGrid(HALVES, np.array([0.5, 2.0]), np.array([-4, 0]), np.array([4, 300]))
THRESHOLDS = ThresholdEncoder(2, np.array([0, 0, 1]), np.array([-1.0, np.inf, 0.0]))
NAMES = np.array(["nö", "", "a\0b"])
OBJECTS = np.array(["a", 1, 2.5, None, True, np.nan], dtype=object)
EXAMPLES = [
    AffineQuantizer(3, True, 0.5),
    AffineQuantizer(3, False, np.array([0.5, 2.0]), zero_point=np.array([1, 2]), limits=(0, 3)),
    AffineEncoder([(0, AffineQuantizer(3, True, 0.5)), (1, AffineQuantizer(8, True, 0.1, 0.25))]),
    ClippingWatch(ONE, GRID, HALVES, HALVES, 7.5, None),
    GridEncoder(ONE, GRID, ClippingWatch(ONE, GRID, HALVES, None, 7.5, -1.0)),
    BlockEncoder(Levels(3, [HALVES[::-1], HALVES[:0]], np.array([False, True])), ONE, 2),
    LevelBitsEncoder(Levels(3, [HALVES[::-1], HALVES[:0]], np.array([False, True])), ONE, 2),
    SplitEncoder(
        3,
        Rule("<=", "float32"),
        np.array([0, 2]),
        np.array([np.inf, 0.0]),
        np.array([True, False]),
        ((1, Categories(frozenset({1, 5}), frozenset(), True)),),
    ),
    ThermometerEncoder(THRESHOLDS, np.array([2])),
    ThermometerEncoder(THRESHOLDS, np.array([2]), np.array([1]), np.array([2])),
    AffineDecoder(HALVES, HALVES),
    SummedDecoders([AffineDecoder(HALVES, HALVES)]),
    OutputDecoders([AffineDecoder(HALVES, HALVES), TableDecoder(-1, np.ones((2, 3)), 2)]),
    LeafSumDecoder(0.25, ONE, ONE, np.array([1, 2]), ((0, (1, 2)),), 3, 0.5),
    LeafDecoder(0, 1, np.ones((2, 3))),
    DigitSumDecoder(
        ONE, ONE, ONE, ONE * 0, np.array([3]), LeafSumDecoder(0.25, ONE[:1], ONE[:1], ONE[1:], (), 1)
    ),
    LeafTableDecoder(np.array([1, 2]), np.ones((3, 2)), HALVES),
    LeafMedianDecoder(np.array([1, 2]), np.ones(3), HALVES),
    PathLengths(20.0, -0.55),
    LeafSumDecoder(0.25, ONE, ONE, ONE, (), 2, multiple=4),
    LeafDecoder(0, 1, np.ones((2, 3)), multiple=2),
    ClassFractions((3, 3), 3, (NAMES, np.array([1, 2, 3], dtype=np.uint8))),
    ClassFractions((6,), 6, (OBJECTS,)),
    Margins("softmax", 2.0, True, 0.5, (np.array([False, True]),)),
    Values("exp", False, HALVES, -1.5),
    Values(),
]


def there_and_back(obj, kind=None):
    values, arrays = to_values(obj)
    return from_values(json.loads(json.dumps(values, allow_nan=False)), arrays, kind or type(obj).__name__)


def assert_same(one, other):
    """Compare objects field by field."""
    if isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        assert one.shape == other.shape
        if one.dtype == object:
            assert list(map(repr, one)) == list(map(repr, other))
        else:
            np.testing.assert_array_equal(one, other)
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)
    elif type(one).__name__ in CLASSES:
        assert type(one) is type(other)
        for name in type(one).__dataclass_fields__:
            assert_same(getattr(one, name), getattr(other, name))
    else:
        assert one == other
        assert type(one) is type(other)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda each: type(each).__name__)
def test_what_was_written_is_read(example):
    assert_same(example, there_and_back(example))


def test_every_class_of_the_table_can_be_written():
    """Its fields are annotated by what files hold: that shows when the first is written, not before."""
    from skfhe.deployment import _values

    for name in CLASSES:
        assert class_named(name).__name__ == name
        for annotation in _values._annotations(name).values():
            for member in members(annotation):
                assert _known(_values, member), (name, member)


def _known(module, annotation):
    """Whether an annotation is one that is written and read."""
    import typing

    if annotation in (bool, int, float, str, bytes, type(None)):
        return True
    if array_kind(annotation) is not False or typing.get_origin(annotation) is typing.Literal:
        return True
    arguments = [a for a in typing.get_args(annotation) if a is not Ellipsis]
    if arguments:
        return all(_known(module, m) for a in arguments for m in members(a))
    return bool(module._entry_of(annotation))


def test_arrays_that_are_equal_are_held_once():
    _, arrays = to_values(SummedDecoders([AffineDecoder(HALVES, HALVES), AffineDecoder(HALVES, HALVES)]))
    assert len(arrays) == 1


def test_integers_take_as_many_bytes_as_they_need():
    """And are wide again when they are read, as what computes with them expects."""
    _, arrays = to_values(LeafSumDecoder(1.0, ONE, ONE * 300, ONE, (), 2))
    assert {array.dtype.str for array in arrays} == {"|i1", "<i2"}
    assert there_and_back(LeafSumDecoder(1.0, ONE, ONE * 300, ONE, (), 2)).span.dtype == np.int64


def test_what_no_file_holds_is_not_written():
    days = np.array([datetime.date(2020, 1, 1), datetime.date(2020, 1, 2)], dtype=object)
    with pytest.raises(TypeError, match="files hold objects that are texts, numbers or None"):
        to_values(Margins("logistic", labels=(days,)))
    with pytest.raises(TypeError, match="datetime64"):
        to_values(Margins("logistic", labels=(days.astype("datetime64[D]"),)))
    with pytest.raises(TypeError, match="files do not hold"):
        to_values(object())
    with pytest.raises(ValueError, match="not finite"):
        to_values(AffineDecoder(HALVES * np.nan, HALVES))


DECODER = {"class": "AffineDecoder", "scale": {"array": 0}, "offset": {"array": 0}}
MARGINS = {"class": "Margins", "link": "softmax", "factor": 1.0, "zero_wins": False, "boundary": 0.0}
HOSTILE = {
    "a class that there is not": ({"class": "System"}, "Decoder", "expected one of"),
    "a class of another kind": (MARGINS, "Decoder", "expected one of AffineDecoder"),
    "no class": ([], "Decoder", "expected one of"),
    "a class that is no name": ({"class": ["AffineDecoder"]}, "Decoder", "expected one of"),
    "a name of Python": ({"class": "__class__"}, "Decoder", "expected one of"),
    "a field too many": (DECODER | {"more": 1}, "Decoder", "has not: more"),
    "a field too few": (
        {"class": "AffineDecoder", "scale": {"array": 0}},
        "Decoder",
        "lacks the field offset",
    ),
    "a number for an array": (DECODER | {"scale": 1.0}, "Decoder", "does not fit"),
    "an array that there is not": (DECODER | {"scale": {"array": 9}}, "Decoder", "array 9, of 3"),
    "an array before the first": (DECODER | {"scale": {"array": -1}}, "Decoder", "array -1"),
    "an array by a truth value": (DECODER | {"scale": {"array": True}}, "Decoder", "array True"),
    "integers for floats": (DECODER | {"scale": {"array": 1}}, "Decoder", "an array of int64"),
    "another shape": (DECODER | {"scale": {"array": 2}}, "Decoder", "must have one shape"),
    "a text for a number": (MARGINS | {"factor": "1"}, "Head", "does not fit"),
    "a truth value for a number": (MARGINS | {"factor": True}, "Head", "does not fit"),
    "a link that there is not": (MARGINS | {"link": "eval"}, "Head", "does not fit"),
    "an infinite number": (MARGINS | {"factor": {"float": "inf"}}, "Head", "finite"),
    "too large a number": (MARGINS | {"factor": 10**400}, "Head", "no 64 bits hold"),
    "labels of two targets": (
        MARGINS | {"labels": [{"array": 1, "dtype": "int64"}] * 2},
        "Head",
        "one target",
    ),
    "labels of a type": (MARGINS | {"labels": [{"array": 1, "dtype": "object"}]}, "Head", "has the type"),
    "too wide labels": (
        MARGINS | {"labels": [{"texts": ["a"] * 1000, "width": 1 << 20, "shape": [1000]}]},
        "Head",
        "in width",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_values_that_are_not_as_they_are_written_are_refused(case):
    values, kind, message = HOSTILE[case]
    arrays = [HALVES, np.array([1, 2]), np.ones((2, 2))]
    with pytest.raises(ValueError, match=message):
        from_values(values, arrays, kind)


def test_deep_values_are_refused():
    deep = {"class": "SummedDecoders", "decoders": []}
    for _ in range(100):
        deep = {"class": "SummedDecoders", "decoders": [deep]}
    with pytest.raises(ValueError, match="expected one of AffineDecoder"):
        from_values(deep, [], "Decoder")


def test_arrays_that_were_read_cannot_be_changed():
    """They are views of one buffer, which others may look at."""
    values, arrays = to_values(AffineDecoder(HALVES.copy(), HALVES.copy()))
    for array in arrays:
        array.flags.writeable = False
    found = from_values(values, arrays, "Decoder")
    with pytest.raises(ValueError, match="read-only"):
        found.scale[0] = 1
