"""Operations on every argument of small intervals: what they compute, and that their intervals are tight."""

import itertools
import math

import numpy as np
import pytest

from skfhe.exceptions import AccumulatorOverflowError
from skfhe.program import (
    IntegerType,
    ProgramBuilder,
    bit_width,
    evaluate,
    independent_parts,
    infer_type,
    ops,
    run,
    run_batched,
    trace,
)
from skfhe.program._integer_products import multiply
from skfhe.program._tables import extremes, read_tables


def every_row(kind):
    """Return all rows of a type, whose elements vary independently."""
    spans = [range(low, high + 1) for low, high in zip(kind.low.ravel(), kind.high.ravel(), strict=True)]
    return np.array(list(itertools.product(*spans)), dtype=np.int64).reshape(-1, *kind.shape)


def interval(low, high):
    return IntegerType(np.array(low, dtype=np.int64), np.array(high, dtype=np.int64))


def at_each(f, *arguments):
    """Apply a function of Python integers to every element."""
    return np.vectorize(f, otypes=[np.int64])(*arguments)


SIGNED = interval([-2, 0, -3], [1, 2, -1])
IMAGE = interval([[[-1, 0], [2, -2]]], [[[1, 1], [2, 0]]])
PLAIN = ops.Lookup(np.array([[3, -5, 0, 7, 7, -1, 2]]), np.array([-3]))
OWN = ops.Lookup(np.array([[9, 1, 4, 4], [0, 0, 1, 5], [-1, -2, 8, -3]]), np.array([-2, -1, -4]))
STEPS = ops.Lookup(np.array([[5, 1, 7, -2]]), np.array([-3]), 2)
CASES = {
    "linear": (
        ops.Linear(np.array([[1, -2], [0, 3], [-1, 1]]), np.array([4, -9])),
        [SIGNED],
        lambda x: np.array([[a - c + 4, -2 * a + 3 * b + c - 9] for a, b, c in x]),
    ),
    "linear of several rows": (
        ops.Linear(np.array([[2], [-1]]), np.array([1])),
        [interval([[0, -1], [1, 2]], [[1, 1], [1, 3]])],
        lambda x: 2 * x[..., :1] - x[..., 1:] + 1,
    ),
    "convolution": (
        ops.Convolution(np.array([[[[1, -2]]], [[[0, 3]]]]), np.array([5, -1]), padding=(0, 1, 0, 0)),
        [IMAGE],
        lambda x: np.stack(
            [
                np.stack([5 - 2 * x[:, 0, :, 0], 5 + x[:, 0, :, 0] - 2 * x[:, 0, :, 1]], axis=2),
                np.stack([-1 + 3 * x[:, 0, :, 0], -1 + 3 * x[:, 0, :, 1]], axis=2),
            ],
            axis=1,
        ),
    ),
    "add": (ops.Add(), [SIGNED, interval([0, -1, 5], [2, 0, 5])], lambda x, y: x + y),
    "subtract": (ops.Subtract(), [SIGNED, interval([0, -1, 5], [2, 0, 5])], lambda x, y: x - y),
    "sum": (ops.Sum(axis=0), [SIGNED], lambda x: x[:, 0] + x[:, 1] + x[:, 2]),
    "sum of columns": (ops.Sum(axis=1), [IMAGE], lambda x: x[:, :, 0] + x[:, :, 1]),
    "sum of rows": (ops.Sum(axis=-1), [IMAGE], lambda x: x[..., 0] + x[..., 1]),
    "reshape": (ops.Reshape((2, 2)), [IMAGE], lambda x: x[:, 0]),
    "gather": (ops.Gather(np.array([2, 0, 0]), axis=0), [SIGNED], lambda x: x[:, [2, 0, 0]]),
    "gather from the end": (ops.Gather(np.array([1]), axis=-1), [IMAGE], lambda x: x[..., 1:]),
    "concatenate": (
        ops.Concatenate(axis=0),
        [SIGNED, interval([7], [8])],
        lambda x, y: np.array([[*a, *b] for a, b in zip(x, y, strict=True)]),
    ),
    "one table": (PLAIN, [SIGNED], lambda x: at_each(lambda q: PLAIN.tables[0, q + 3], x)),
    "a table each": (
        OWN,
        [SIGNED],
        lambda x: np.stack([OWN.tables[k, x[:, k] - OWN.start[k]] for k in range(3)], axis=1),
    ),
    "every second argument": (
        STEPS,
        [SIGNED],
        lambda x: at_each(lambda q: STEPS.tables[0, (q + 3) // 2], x),
    ),
    **{
        f"round {lsbs} bits": (
            ops.Round(lsbs, "exact"),
            [interval([-9, 0], [6, 11])],
            lambda x, unit=1 << lsbs: at_each(lambda q: math.floor(q / unit + 0.5) * unit, x),
        )
        for lsbs in range(4)
    },
    **{
        f"modulo {1 << n_bits}": (
            ops.Modulo(n_bits),
            [interval([-9, 0], [6, 11])],
            lambda x, period=1 << n_bits: at_each(lambda q: q - math.floor(q / period) * period, x),
        )
        for n_bits in (2, 3)
    },
    **{
        f"truncate {lsbs} bits": (
            ops.Truncate(lsbs),
            [interval([-9, 0], [6, 11])],
            lambda x, unit=1 << lsbs: at_each(lambda q: math.floor(q / unit) * unit, x),
        )
        for lsbs in range(4)
    },
}


@pytest.mark.parametrize("name", CASES)
def test_results_follow_from_the_definition_and_fill_their_intervals(name):
    """On every argument, results equal the definition's; both ends of each interval occur, nothing beyond."""
    op, kinds, definition = CASES[name]
    rows = [every_row(kind) for kind in kinds]
    if len(rows) == 2:
        first, second = (np.arange(len(each)) for each in rows)
        pairs = np.array(list(itertools.product(first, second)))
        rows = [each[pairs[:, k]] for k, each in enumerate(rows)]
    found = evaluate(op, *rows)
    expected = definition(*rows)
    np.testing.assert_array_equal(found, expected)
    kind = infer_type(op, *kinds)
    assert kind.shape == found.shape[1:]
    np.testing.assert_array_equal(kind.low, expected.min(axis=0))
    np.testing.assert_array_equal(kind.high, expected.max(axis=0))


def test_the_extremes_of_a_table_are_those_between_two_cells():
    """All pairs of cells, in two tables, the last cell of the last one included."""
    tables = np.array([[4, -7, 2, 9, 0], [1, 5, -3, -3, 8]])
    op = ops.Lookup(tables, np.zeros(2, dtype=int))
    for first, last in itertools.combinations_with_replacement(range(5), 2):
        low, high = extremes(op, np.array([first, 4 - last]), np.array([last, 4 - first]))
        cells = tables[0, first : last + 1], tables[1, 4 - last : 5 - first]
        assert low.tolist() == [min(each) for each in cells]
        assert high.tolist() == [max(each) for each in cells]


def test_tables_read_outside_give_their_ends():
    tables = np.array([[5, 6, 7]])
    assert read_tables(tables, np.array([[-9, -1, 0, 1, 2, 3, 9]])).tolist() == [[5, 5, 5, 6, 7, 7, 7]]


@pytest.mark.parametrize(
    ("op", "kind", "message"),
    [
        (ops.Linear(np.ones((2, 1), int), np.zeros(1, int)), SIGNED, "does not fit"),
        (ops.Linear(np.ones((3, 2), int), np.zeros(1, int)), SIGNED, "does not fit"),
        (ops.Linear(np.ones((1, 1), int), np.zeros(1, int)), interval(0, 1), "does not fit"),
        (ops.Truncate(3), interval([0], [7]), "leaves none of 3"),
        (ops.Modulo(1), interval([0], [7]), "takes 2 bits or more"),
        (ops.Truncate(4), interval([0], [7]), "leaves none of 3"),
        (ops.Lookup(np.zeros((1, 3), int), np.array([0])), interval([0], [3]), "outside its table"),
        (ops.Lookup(np.zeros((1, 3), int), np.array([1])), interval([0], [2]), "outside its table"),
        (ops.Bound(4, 9), interval([0], [3]), "misses it"),
        (ops.Bound(-9, -1), interval([0], [3]), "misses it"),
        (ops.Convolution(np.ones((1, 1, 3, 1), int), np.zeros(1, int)), IMAGE, "larger than"),
        (ops.Convolution(np.ones((1, 1, 1, 3), int), np.zeros(1, int)), IMAGE, "larger than"),
        (ops.Convolution(np.ones((1, 2, 1, 1), int), np.zeros(1, int)), IMAGE, "does not fit"),
        (ops.Convolution(np.ones((1, 1, 1, 1), int), np.zeros(1, int)), SIGNED, "does not fit"),
        (ops.Convolution(np.ones((1, 1, 1, 1), int), np.zeros(2, int)), IMAGE, "needs weights"),
    ],
)
def test_what_does_not_fit_is_refused(op, kind, message):
    with pytest.raises(ValueError, match=message):
        infer_type(op, kind)


@pytest.mark.parametrize(
    ("op", "kind", "expected"),
    [
        (ops.Truncate(2), interval([0], [7]), (0, 4)),  # one bit of three is left
        (ops.Lookup(np.arange(3)[None], np.array([0])), interval([0], [2]), (0, 2)),
        (ops.Modulo(2), interval([0], [1]), (0, 3)),  # all residues, whatever occurs
        (ops.Bound(3, 9), interval([0], [3]), (3, 9)),  # one integer in common
        (ops.Bound(-9, 0), interval([0], [3]), (-9, 0)),
        (
            ops.Convolution(np.ones((1, 1, 2, 2), int), np.zeros(1, int)),
            IMAGE,
            (-1, 4),
        ),  # as large as the row
    ],
)
def test_what_just_fits_is_taken(op, kind, expected):
    found = infer_type(op, kind)
    assert (found.min, found.max) == expected


def test_a_kernel_may_need_its_padding():
    """Three taps down on two rows need one row of zeros, on either side."""
    for padding in [(1, 0, 0, 0), (0, 0, 1, 0)]:
        op = ops.Convolution(np.ones((1, 1, 3, 1), int), np.zeros(1, int), padding=padding)
        assert infer_type(op, IMAGE).shape == (1, 1, 2)


@pytest.mark.parametrize("large", [2**23, 2**24, 2**25, 2**52, 2**53, 2**54, 2**60])
def test_sums_at_the_ends_of_what_floats_hold_are_exact(large):
    """Odd sums near the powers of two from which on float32 and float64 hold even integers alone."""
    weight = np.array([[1], [1]])
    for x in range(large // 2 - 2, large // 2 + 3):
        assert multiply(np.array([[x, x - 1], [-x, 1 - x]]), weight).tolist() == [[2 * x - 1], [1 - 2 * x]]
        assert multiply(np.array([[2 * x, 1]]), weight).tolist() == [[2 * x + 1]]


def test_every_small_interval_takes_the_fewest_bits():
    """b bits hold [0, 2**b - 1], or [-2**(b - 1), 2**(b - 1) - 1] with a sign; the least b is 1."""
    for low, high in itertools.combinations_with_replacement(range(-9, 10), 2):
        ends = [(0, 2**b - 1) if low >= 0 else (-(2 ** (b - 1)), 2 ** (b - 1) - 1) for b in range(1, 7)]
        least = next(b for b, (first, last) in enumerate(ends, start=1) if first <= low and high <= last)
        assert bit_width(low, high) == least


def test_cells_that_a_table_does_not_have_are_named():
    op = ops.Lookup(np.arange(4)[None], np.array([1]))
    with pytest.raises(AccumulatorOverflowError, match=r"asked for the cells \[-1, 4\] of tables of 4"):
        evaluate(op, np.array([[0, 3, 5]]))
    assert evaluate(op, np.array([[1, 4]])).tolist() == [[0, 3]]
    assert evaluate(op, np.zeros((0, 2), dtype=int)).shape == (0, 2)


def test_an_empty_type_has_no_bits_to_hold_but_one():
    kind = interval(np.zeros((0, 2)), np.zeros((0, 2)))
    assert (kind.min, kind.max, kind.bits, kind.size) == (0, 0, 1, 0)


def test_an_interval_may_be_of_one_integer():
    one = interval([4], [4])
    assert one.contains(np.array([[4]]))
    assert not one.contains(np.array([[5]]))
    assert not one.contains(np.array([[3]]))
    with pytest.raises(ValueError, match="same shape"):
        interval([0, 0], [1])


def test_an_overflow_names_the_element_that_is_farthest_out_and_counts_them():
    """Elements 0 and 2 leave by 1 and by 5, element 1 reaches its end."""
    builder = ProgramBuilder()
    x = builder.input(np.full(3, -9), np.full(3, 9), label="x")
    bound = builder.add(ops.Bound([-2, -2, -2], [3, 3, 3]), x, label="stated")
    program = builder.finish(bound)
    message = r"'stated' reached \[-7, 2\], outside its proven interval \[-2, 3\], in 2 of its 3 element"
    with pytest.raises(AccumulatorOverflowError, match=message):
        run(program, np.array([[4, 3, 2], [0, -2, -7]]))
    inside = np.array([[3, 3, 3], [-2, -2, -2]])
    np.testing.assert_array_equal(run(program, inside)[0], inside)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 4, 5])
def test_batches_cover_all_rows_once(batch_size):
    builder = ProgramBuilder()
    x = builder.input(np.zeros(1), np.full(1, 9), label="x")
    program = builder.finish(builder.add(ops.Add(), x, x, label="twice"))
    for n_rows in range(6):
        rows = np.arange(n_rows)[:, None]
        np.testing.assert_array_equal(run_batched(program, rows, batch_size=batch_size)[0], 2 * rows)


def test_parts_known_by_hand():
    """Inputs 0 and 2 meet, input 1 goes alone, input 3 reaches no output; outputs keep their order."""
    builder = ProgramBuilder()
    a, b, c, d = (builder.input(np.zeros(1), np.full(1, 3), label=name) for name in "abcd")
    alone = builder.add(ops.Add(), b, b, label="b + b")
    met = builder.add(ops.Subtract(), c, a, label="c - a")
    builder.add(ops.Add(), d, d, label="unread")
    again = builder.add(ops.Add(), met, c, label="2c - a")
    program = builder.finish(again, alone, met)
    parts = independent_parts(program)
    assert [(part.inputs, part.outputs) for part in parts] == [((0, 2), (0, 2)), ((1,), (1,))]
    assert [len(part.program.values) for part in parts] == [4, 2]
    rows = [np.array([[k]]) for k in (1, 2, 3, 0)]
    whole = run(program, *rows)
    for part in parts:
        found = run(part.program, *(rows[i] for i in part.inputs))
        assert [f.tolist() for f in found] == [whole[i].tolist() for i in part.outputs]


def test_values_of_all_positions_are_traced():
    builder = ProgramBuilder()
    x = builder.input(np.zeros(2), np.full(2, 3), label="x")
    total = builder.add(ops.Sum(axis=0), x, label="sum")
    values = trace(builder.finish(total), np.array([[1, 3], [0, 2]]))
    assert [value.tolist() for value in values] == [[[1, 3], [0, 2]], [4, 2]]
