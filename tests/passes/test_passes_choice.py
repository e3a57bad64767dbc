"""What passes choose is the best there is: compared with every choice, or worked out by hand."""

import itertools

import numpy as np
import pytest

from skfhe.cost import DEFAULT_P_ERROR, estimate_cost, truncated_lookup_complexity
from skfhe.cost._prices import lookup_complexity
from skfhe.passes import (
    drop_idle_channels,
    fuse_lookups,
    merge_equal_values,
    optimize,
    round_constant_cells,
    shift_accumulators,
)
from skfhe.program import ProgramBuilder, ops, run, verify
from tests.conftest import random_inputs


def looked_up(tables, low, high, start=None):
    """Return a program: elements in [low, high], a layer that can add constants, a table each."""
    tables = np.atleast_2d(tables)
    n = len(tables)
    builder = ProgramBuilder()
    x = builder.input(np.full(n, low), np.full(n, high), label="x")
    h = builder.add(ops.Linear(np.eye(n, dtype=int), np.zeros(n, dtype=int)), x, label="h")
    lookup = ops.Lookup(tables, np.full(n, low if start is None else start))
    return builder.finish(builder.add(lookup, h, label="y"))


def choices(table, low, high):
    """Yield every way to clear bits: how many, and the bits of the accumulator that is shifted for it.

    Cells of 2**lsbs arguments begin at some ``shift``, the last multiple at or below ``low``; the table must
    not change within one.
    """
    arguments = np.arange(low, high + 1)
    for lsbs in range(1, (high - low).bit_length() + 1):
        for shift in range(low - (1 << lsbs) + 1, low + 1):
            cells = (arguments - shift) >> lsbs
            changes_within = (np.diff(table) != 0) & (np.diff(cells) == 0)
            if not changes_within.any() and cells[0] < cells[-1]:
                yield lsbs, (high - shift).bit_length()


PRICES = {
    "the cost model's": lambda bits, lsbs: truncated_lookup_complexity(bits, lsbs, DEFAULT_P_ERROR),
    "bits alone": lambda bits, lsbs: bits - lsbs,
    "clearing is dear": lambda bits, lsbs: 2 ** (bits - lsbs) + 9 * lsbs,
    "each bit counts": lambda bits, lsbs: 3.0 * bits - 2.9 * lsbs,
}


@pytest.mark.parametrize("name", PRICES)
@pytest.mark.parametrize("low", [-37, 0, 5])
def test_no_other_clearing_of_low_bits_is_cheaper(name, low):
    """Tables that change at multiples of a power of two from anywhere; all shifts and numbers of bits."""
    price = PRICES[name]
    rng = np.random.default_rng(low + 50)
    n_cleared = 0
    for lsbs, length in itertools.product((0, 1, 2, 3, 4), (9, 16, 31, 33, 64, 100)):
        offset = int(rng.integers(0, 1 << lsbs))
        values = rng.integers(0, 3, size=200)
        table = values[(np.arange(length) + offset) >> lsbs]
        high = low + length - 1
        program = looked_up(table, low, high)
        cleared = round_constant_cells(program, price)
        verify(cleared)
        now = (high - low).bit_length()
        best = min([price(now, 0), *(price(bits, n) for n, bits in choices(table, low, high))])
        removed = [value for value in cleared.values if isinstance(value.op, ops.Truncate)]
        if removed:
            (truncate,) = removed
            argument = cleared.values[truncate.arguments[0]].type
            assert argument.min >= 0
            assert price(argument.bits, truncate.op.lsbs) == best < price(now, 0)
            n_cleared += 1
        elif len(set(table)) > 1:
            assert best == price(now, 0)
        rows = np.arange(low, high + 1)[:, None]
        np.testing.assert_array_equal(run(cleared, rows)[0], run(program, rows)[0])
    assert n_cleared > 0


def test_what_is_no_cheaper_is_not_cleared():
    """Nor is one bit more cleared than is paid for: the fewest of those that cost the least."""
    program = looked_up(np.arange(64) >> 3, 0, 63)
    assert str(round_constant_cells(program, lambda bits, lsbs: 1.0)) == str(program)
    cleared = round_constant_cells(program, lambda bits, lsbs: 1.0 if lsbs >= 2 else 2.0)
    assert [v.op.lsbs for v in cleared.values if isinstance(v.op, ops.Truncate)] == [2]


@pytest.mark.parametrize(("bits", "lsbs"), [(5, 1), (6, 2), (7, 3), (8, 4), (9, 5), (10, 6), (11, 7)])
def test_the_price_of_clearing_is_that_of_the_prediction(bits, lsbs):
    """One lookup of what is kept, and one for each bit that is cleared, each keeping the accumulator's bits.

    It is a bit too high where results keep fewer bits, as here.
    """
    table = (np.arange(1 << bits) >> lsbs) % 16
    program = looked_up(table, 0, (1 << bits) - 1)
    cleared = round_constant_cells(program, lambda bits, lsbs: -lsbs)
    assert [v.op.lsbs for v in cleared.values if isinstance(v.op, ops.Truncate)] == [lsbs]
    predicted = estimate_cost(cleared).complexity
    assert predicted <= PRICES["the cost model's"](bits, lsbs) < 1.2 * predicted
    assert estimate_cost(round_constant_cells(program)).complexity <= estimate_cost(program).complexity


def test_bits_are_cleared_by_the_prices_that_lookups_have():
    """Down to four, below which a lookup saves less than a bit costs. Of eleven left there is no price."""
    price = PRICES["the cost model's"]
    for bits in range(2, 12):
        found = min(range(bits), key=lambda lsbs: price(bits, lsbs))
        assert found == max(0, bits - 4)
    assert [price(bits, 1) for bits in (12, 14, 17)] == [np.inf] * 3
    assert price(12, 0) < np.inf
    for bits in range(1, 12):
        assert price(bits, 0) == lookup_complexity(bits, bits, DEFAULT_P_ERROR)


def test_changes_at_the_ends_of_an_interval_count_inside_it_alone():
    """Arguments 0 to 7; the table reaches from -4 to 11 and changes outside of them wherever it likes.

    Inside it changes at 4. So two bits go: cells from 0, and the lookup reads one bit.
    """
    table = np.r_[[7, 8, 7, 8], np.repeat([1, 2], 4), [7, 8, 7, 8]]
    program = looked_up(table, 0, 7, start=-4)
    cleared = round_constant_cells(program, PRICES["bits alone"])
    assert [v.op.lsbs for v in cleared.values if isinstance(v.op, ops.Truncate)] == [2]
    assert cleared.values[cleared.lookups[0]].op.tables.tolist() == [[1, 2]]


@pytest.mark.parametrize(("change", "lsbs"), [(1, 3), (3, 3), (7, 3), (0, None), (8, None)])
def test_a_single_change_may_be_anywhere_between_two_arguments(change, lsbs):
    """Arguments 0 to 7: one bit says on which side of a change they are. At an end nothing changes."""
    program = looked_up(np.where(np.arange(8) < change, 5, 6), 0, 7)
    cleared = round_constant_cells(program, PRICES["bits alone"])
    assert [v.op.lsbs for v in cleared.values if isinstance(v.op, ops.Truncate)] == [lsbs] * (
        lsbs is not None
    )


@pytest.mark.parametrize("n_bits", [3, 4])
def test_what_was_rounded_before_is_not_rounded_again(n_bits):
    """By two bits or by one, so that the table has a cell for every fourth or every second argument."""
    step = 1 << (5 - n_bits)
    builder = ProgramBuilder()
    x = builder.input(np.zeros(1), np.full(1, 31), label="x")
    h = builder.add(ops.Linear(np.ones((1, 1), dtype=int), np.zeros(1, dtype=int)), x, label="h")
    h = builder.add(ops.Truncate(5 - n_bits), h, label="h")
    table = ops.Lookup(np.repeat([1, 2, 3, 4], 8 // step)[None], np.zeros(1, dtype=int), step)
    program = builder.finish(builder.add(table, h, label="y"))
    assert str(round_constant_cells(program, PRICES["bits alone"])) == str(program)


@pytest.mark.parametrize("step", [2, 4])
def test_tables_of_every_few_arguments_are_left_alone(step):
    """Arguments between two cells read the lower one; such a table says nothing of single arguments."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(1), np.full(1, 31), label="x")
    h = builder.add(ops.Linear(np.ones((1, 1), dtype=int), np.zeros(1, dtype=int)), x, label="h")
    table = np.repeat([3, 1, 4, 1], 8 // step)[None]
    program = builder.finish(builder.add(ops.Lookup(table, np.array([0]), step), h, label="y"))
    kept = round_constant_cells(program, PRICES["bits alone"])
    rows = np.arange(32)[:, None]
    np.testing.assert_array_equal(run(kept, rows)[0], run(program, rows)[0])
    assert str(kept) == str(program)


@pytest.mark.parametrize("ends", [(-9, 6), (-1, 0), (1, 8), (3, 3), (-7, -4), (0, 5)])
def test_shifted_accumulators_have_the_width_of_their_length(ends):
    low, high = ends
    table = np.arange(high - low + 1) ** 2
    program = looked_up(table, low, high)
    shifted = shift_accumulators(program)
    read = shifted.values[shifted.values[shifted.lookups[0]].arguments[0]].type
    assert (read.min, read.max) == (0, high - low)
    rows = np.arange(low, high + 1)[:, None]
    np.testing.assert_array_equal(run(shifted, rows)[0].ravel(), table)


def test_each_element_of_a_bias_is_shifted_by_the_least_that_reads_it():
    """A layer on three rows has one bias for them: the least of their lower ends, -2 and 1, goes to zero."""
    builder = ProgramBuilder()
    x = builder.input([[-2, 3], [0, 1], [5, 2]], [[1, 4], [1, 9], [6, 2]], label="x")
    h = builder.add(ops.Linear(np.eye(2, dtype=int), np.zeros(2, dtype=int)), x, label="h")
    y = builder.add(ops.Lookup(np.arange(20)[None] ** 2, np.array([-5])), h, label="y")
    program = builder.finish(y)
    shifted = shift_accumulators(program)
    assert shifted.values[1].type.low.tolist() == [[0, 2], [2, 0], [7, 1]]
    rows = random_inputs(program, 30, np.random.default_rng(0))
    np.testing.assert_array_equal(run(shifted, *rows)[0], run(program, *rows)[0])


@pytest.mark.parametrize(("low", "high", "expected"), [(-5, 6, 0), (9, 18, 0), (12, 13, 12)])
def test_a_shift_through_rounding_keeps_a_cell_to_read(low, high, expected):
    """Rounded down to fours: [-8, 4] moves by 8, [8, 16] by -8; at [12, 12] nothing is left to tell apart."""
    builder = ProgramBuilder()
    x = builder.input(np.full(1, low), np.full(1, high), label="x")
    h = builder.add(ops.Linear(np.eye(1, dtype=int), np.zeros(1, dtype=int)), x, label="h")
    h = builder.add(ops.Truncate(2), h, label="h")
    y = builder.add(ops.Lookup(np.arange(9)[None], np.array([-16]), 4), h, label="y")
    program = builder.finish(y)
    shifted = shift_accumulators(program)
    verify(shifted)
    read = shifted.values[2].type
    assert read.min == expected
    rows = np.arange(low, high + 1)[:, None]
    np.testing.assert_array_equal(run(shifted, rows)[0], run(program, rows)[0])


def test_one_element_that_can_be_shifted_is_enough():
    """Rounded down to fours, the first lies in [8, 16] and the second in [12, 12], one cell."""
    builder = ProgramBuilder()
    x = builder.input([9, 12], [18, 13], label="x")
    h = builder.add(ops.Linear(np.eye(2, dtype=int), np.zeros(2, dtype=int)), x, label="h")
    h = builder.add(ops.Truncate(2), h, label="h")
    program = builder.finish(builder.add(ops.Lookup(np.arange(9)[None], np.array([-16]), 4), h, label="y"))
    shifted = shift_accumulators(program)
    assert shifted.values[2].type.low.tolist() == [0, 0]
    assert shifted.values[2].type.high.tolist() == [8, 0]
    rows = random_inputs(program, 20, np.random.default_rng(0))
    np.testing.assert_array_equal(run(shifted, *rows)[0], run(program, *rows)[0])


def perceptron(tables, outgoing, starts=0):
    tables = np.array(tables)
    n = len(tables)
    builder = ProgramBuilder()
    x = builder.input(np.zeros(n), np.full(n, tables.shape[1] - 1), label="x")
    h = builder.add(ops.Linear(np.eye(n, dtype=int), np.zeros(n, dtype=int)), x, label="h")
    h = builder.add(ops.Lookup(tables, np.full(n, starts)), h, label="h")
    outgoing = np.array(outgoing)
    return builder.finish(builder.add(ops.Linear(outgoing, np.arange(outgoing.shape[1])), h, label="y"))


@pytest.mark.parametrize(
    ("tables", "outgoing", "left"),
    [
        ([[0, 1], [5, 5], [1, 0]], [[1, 2], [3, 4], [5, 6]], 2),  # a constant goes into both biases
        ([[0, 1], [5, 6], [1, 0]], [[1, 2], [0, 0], [5, 6]], 2),  # nobody weighs the second
        ([[0, 1], [5, 6], [1, 0]], [[1, 2], [0, 1], [5, 0]], 3),  # each is weighed somewhere
        ([[5, 5], [5, 6]], [[1, 2], [3, 4]], 1),  # the first goes
        ([[5, 5], [-6, -6]], [[1, 2], [3, 4]], 1),  # of idle ones alone the first stays
        ([[0, 1], [1, 2]], [[0, 0], [0, 0]], 1),
    ],
)
def test_channels_that_are_left(tables, outgoing, left):
    program = perceptron(tables, outgoing)
    slim = drop_idle_channels(program)
    verify(slim)
    assert slim.values[slim.lookups[0]].type.size == left
    n = len(tables)
    rows = np.array(list(itertools.product((0, 1), repeat=n)))
    np.testing.assert_array_equal(run(slim, rows)[0], run(program, rows)[0])


def test_a_channel_is_constant_only_if_all_its_elements_are_the_same_constant():
    """Elements that are constant each by themselves, 2 and 3, cannot be one number in a bias."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros((1, 1, 2)), np.array([[[0, 0]]]), label="x")
    first = ops.Convolution(np.ones((2, 1, 1, 1), int), np.zeros(2, int))
    h = builder.add(first, x, label="first")
    tables = np.array([[[[2], [3]]], [[[4], [4]]]])
    h = builder.add(ops.Lookup(tables, np.zeros((2, 1, 2), int)), h, label="first")
    second = ops.Convolution(np.array([[[[1]], [[10]]]]), np.zeros(1, int))
    program = builder.finish(builder.add(second, h, label="second"))
    slim = drop_idle_channels(program)
    assert slim.values[slim.lookups[0]].type.shape[0] == 1
    rows = np.zeros((1, 1, 1, 2), dtype=int)
    np.testing.assert_array_equal(run(slim, rows)[0], [[[[42, 43]]]])


def test_layers_that_others_read_keep_their_channels():
    """The lookup's results are an output, too."""
    program = perceptron([[0, 1], [5, 5]], [[1], [1]])
    builder = ProgramBuilder()
    for value in program.values:
        builder.add(value.op, *value.arguments, label=value.label)
    for extra in (1, 2):
        both = builder.finish(*program.outputs, extra)
        assert str(drop_idle_channels(both)) == str(both)


def test_operations_are_equal_only_if_all_of_them_is():
    """Tables, starts, steps, arguments: a difference in one of these makes two values."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(1), np.full(1, 1), label="x")
    y = builder.input(np.zeros(1), np.full(1, 1), label="x")
    table = np.array([[1, 2, 3, 4]])
    made = [
        builder.add(op, at, label="made")
        for op in (
            ops.Lookup(table, np.array([0])),
            ops.Lookup(table, np.array([-1])),
            ops.Lookup(table, np.array([0]), 2),
            ops.Lookup(table + 1, np.array([0])),
        )
        for at in (x, x, y)
    ]
    total = made[0]
    for value in made[1:]:
        total = builder.add(ops.Add(), total, value, label="total")
    program = builder.finish(total)
    merged = merge_equal_values(program)
    assert len(merged.inputs) == 2
    assert len(merged.lookups) == 8
    rows = [np.array([[0], [1]]), np.array([[1], [1]])]
    np.testing.assert_array_equal(run(merged, *rows)[0], run(program, *rows)[0])


def test_a_lookup_whose_result_is_put_out_is_not_fused():
    program = looked_up([3, 1, 0, 2], 0, 3)
    assert str(fuse_lookups(program)) == str(program)
    assert len(optimize(program).lookups) == 1
