"""Tails: steps after decryption, on all outputs together, and files that were written to do harm."""

import json

import numpy as np
import pytest

from skfhe.deployment._values import from_values, to_values
from skfhe.encoding import (
    AffineDecoder,
    OutputDecoders,
    ScoresDecoder,
    Structure,
    TableDecoder,
    Tail,
    TailAlong,
    TailConstant,
    TailDecoder,
    TailElementwise,
    TailGather,
    TailJoin,
    TailMatMul,
    TailOver,
    TailTake,
    structured,
)
from skfhe.encoding._tail_functions import ALONG, ELEMENTWISE, OVER, POSITIONS

ROWS = np.random.default_rng(0).normal(size=(5, 3, 4))


def of_one(*steps, shape=(3, 4)):
    """Return a tail that takes one value."""
    return Tail([shape], steps, [len(steps)])


EVERY = {
    **{
        name: TailElementwise(name, tuple(range(n_arguments)))
        for name, (n_arguments, _) in ELEMENTWISE.items()
    },
    **{name: TailOver(name, 0, (1,), True) for name in (*OVER, *POSITIONS)},
    **{name: TailAlong(name, 0, 1) for name in ALONG},
    "take": TailTake(0, np.array([[0, -1], [11, 5]]), 2.5),
    "join": TailJoin((0, 1), 1),
    "matrices": TailMatMul(0, 3),
    "constant": TailConstant(np.array([1.0, np.inf])),
}


@pytest.mark.parametrize("name", EVERY)
def test_a_step_knows_its_shape_and_keeps_rows_apart(name):
    """So a file can be checked before rows come, and what one row gives does not depend on others."""
    given = [ROWS, ROWS[::-1], ROWS > 0, ROWS.transpose(0, 2, 1)]
    tail = Tail([x.shape[1:] for x in given], [EVERY[name]], [4])
    (together,) = tail.apply(*given)
    assert together.shape[1:] == tail.shapes()[4]
    alone = [tail.apply(*(x[row : row + 1] for x in given))[0][0] for row in range(len(ROWS))]
    np.testing.assert_array_equal(together, np.stack(alone))


def test_functions_along_an_axis_are_what_they_are_called():
    def found(name):
        return of_one(TailAlong(name, 0, 1)).apply(ROWS)[0]

    powers = np.exp(ROWS)
    np.testing.assert_allclose(found("softmax"), powers / powers.sum(axis=2, keepdims=True))
    np.testing.assert_allclose(np.exp(found("log_softmax")), found("softmax"))
    order = found("argsort_descending")
    np.testing.assert_array_equal(np.take_along_axis(ROWS, order, axis=2), found("sort_descending"))
    np.testing.assert_array_equal(found("sort_descending")[..., ::-1], found("sort"))
    np.testing.assert_array_equal(found("cummax")[..., -1], ROWS.max(axis=2))


def test_large_scores_have_a_softmax():
    huge = np.array([[1e4, 1e4, -1e4, 0.0]])
    (found,) = of_one(TailAlong("softmax", 0, 0), shape=(4,)).apply(huge)
    np.testing.assert_array_equal(found, [[0.5, 0.5, 0.0, 0.0]])


def test_truth_values_count_as_integers():
    """The sum of two is no logical or: networks count how many conditions hold."""
    steps = [TailConstant(np.zeros(())), TailElementwise("greater", (0, 1)), TailElementwise("add", (2, 2))]
    (found,) = Tail([(3, 4)], steps, [3]).apply(ROWS)
    np.testing.assert_array_equal(found, 2 * (ROWS > 0))


def test_elements_are_gathered_at_computed_positions():
    steps = [TailOver("argmax", 0, (1,), True), TailGather(0, 1, 1)]
    (found,) = of_one(*steps).apply(ROWS)
    np.testing.assert_array_equal(found[..., 0], ROWS.max(axis=2))
    beyond = Tail([(4,), (1,)], [TailGather(0, 1, 0)], [2])
    with pytest.raises(ValueError, match="beyond the axis"):
        beyond.apply(ROWS[:, 0], np.full((5, 1), 4))


HALVES = AffineDecoder(np.full(3, 0.5), np.zeros(3))
TABLE = TableDecoder(0, np.tile([[0.0, 1.0, 4.0]], (3, 1)))


def test_outputs_are_decoded_and_combined():
    steps = [TailElementwise("add", (0, 1)), TailOver("argmin", 2, (0,))]
    decoder = TailDecoder([HALVES, TABLE], Tail([(3,), (3,)], steps, [2, 3]))
    total, smallest = decoder.decode([[2, 4, 6]], [[2, 0, 1]])
    np.testing.assert_array_equal(total, [[5.0, 2.0, 4.0]])
    np.testing.assert_array_equal(smallest, [1])
    assert (total.dtype, smallest.dtype) == (np.float64, np.int64)
    with pytest.raises(ValueError, match=r"has 2 output\(s\), got 1"):
        decoder.decode([[2, 4, 6]])
    with pytest.raises(ValueError, match="expected rows of shapes"):
        decoder.decode([[[2, 4, 6]]], [[2, 0, 1]])


def test_scores_are_the_only_output_flat():
    tail = Tail([(3,)], [TailTake(0, np.array([[2, 1], [0, -1]]))], [1])
    decoder = ScoresDecoder(TailDecoder([HALVES], tail))
    assert (decoder.n_scores, decoder.n_outputs) == (4, 1)
    np.testing.assert_array_equal(decoder.decode([[2, 4, 6]]), [[3.0, 2.0, 1.0, 0.0]])
    with pytest.raises(ValueError, match="one output that has elements"):
        ScoresDecoder(OutputDecoders([HALVES, HALVES]))


HOSTILE = {
    "an unknown function": lambda: TailElementwise("system", (0,)),
    "an unknown sum": lambda: TailOver("eval", 0, (0,)),
    "an unknown order": lambda: TailAlong("exec", 0, 0),
    "too few arguments": lambda: TailElementwise("where", (0, 1)),
    "an axis twice": lambda: TailOver("sum", 0, (0, 0)),
    "positions over two axes": lambda: TailOver("argmax", 0, (0, 1)),
    "texts": lambda: TailConstant(np.array(["a"])),
    "a later value": lambda: of_one(TailElementwise("exp", (1,))),
    "a negative value": lambda: of_one(TailElementwise("exp", (-1,))),
    "a result that there is not": lambda: Tail([(3,)], [], [1]),
    "an axis that there is not": lambda: of_one(TailAlong("softmax", 0, 2)),
    "a negative axis": lambda: of_one(TailOver("sum", 0, (-1,))),
    "elements that there are not": lambda: of_one(TailTake(0, np.array([12]))),
    "matrices that do not fit": lambda: of_one(TailMatMul(0, 0)),
    "nothing joined": lambda: TailJoin((), 0),
    "parts that do not fit": lambda: Tail([(3, 4), (4, 3)], [TailJoin((0, 1), 0)], [2]),
    "shapes that do not broadcast": lambda: Tail([(3,), (4,)], [TailElementwise("add", (0, 1))], [2]),
    "no elements to choose from": lambda: of_one(TailOver("max", 0, (0,)), shape=(0,)),
    "a negative length": lambda: of_one(shape=(-3,)),
    "more than memory holds": lambda: of_one(shape=(2**40,)),
    "many axes": lambda: of_one(shape=(1,) * 40),
    "growth step by step": lambda: Tail(
        [(2**12, 1), (1, 2**12)], [TailElementwise("add", (0, 1)) for _ in range(2)], [3]
    ),
    "a decoder of another shape": lambda: TailDecoder([HALVES], of_one()),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_would_misbehave_later_is_no_tail(name):
    with pytest.raises(ValueError):  # noqa: PT011  each says what it was given
        HOSTILE[name]()


def test_files_hold_tails_and_structures():
    value = Structure("value")
    pair = Structure("named tuple", "Pair", ("a", "b"), (value, Structure("list", parts=(value,))))
    steps = [EVERY["take"], TailAlong("softmax", 0, 0), EVERY["constant"], TailGather(0, 1, 0)]
    decoder = TailDecoder(
        [AffineDecoder(np.ones(12), np.zeros(12))],
        Tail([(12,)], [TailOver("argmax", 0, (0,), True), TailGather(0, 1, 0), *steps[:3]], [5, 2, 3]),
    )
    for original, kind in ((decoder, "Decoder"), (pair, "Structure")):
        values, arrays = to_values(original)
        read = from_values(json.loads(json.dumps(values)), arrays, kind)
        assert to_values(read)[0] == values


def test_structures_hold_values_in_their_places():
    value = Structure("value")
    whole = Structure("dict", keys=("x", "y"), parts=(Structure("list", parts=(value, value)), value))
    assert structured([1, 2, 3], whole) == {"x": [1, 2], "y": 3}
    assert structured([1], None) == 1
    assert structured([1, 2], None) == (1, 2)
    with pytest.raises(ValueError, match=r"expected 3 value\(s\), got 1"):
        structured([1], whole)
    for keys, name in ((("a", "a"), "P"), (("a", "class"), "P"), (("a", "_b"), "P"), (("a", "b"), "1")):
        with pytest.raises(ValueError, match=r"fit|named tuple"):
            Structure("named tuple", name, keys, (value, value))
