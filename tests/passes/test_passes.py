"""Every pass keeps what the program computes, and makes cheaper what it claims to."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skfhe.passes import (
    DEFAULT_PASSES,
    drop_idle_channels,
    drop_unused_inputs,
    drop_unused_values,
    fuse_lookups,
    merge_equal_values,
    optimize,
    shift_accumulators,
)
from skfhe.program import Program, ProgramBuilder, ops, run, verify
from tests.conftest import perceptron, random_inputs


def table(values, start=0):
    return ops.Lookup(np.atleast_2d(values), np.full(len(np.atleast_2d(values)), start))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_default_passes_keep_the_outputs(seed):
    rng = np.random.default_rng(seed)
    program = perceptron(rng, table_bits=int(rng.integers(1, 4)))
    (x,) = random_inputs(program, 64, rng)
    np.testing.assert_array_equal(run(optimize(program), x)[0], run(program, x)[0])


@pytest.mark.parametrize("rewrite", DEFAULT_PASSES)
def test_passes_are_pure(rewrite):
    program = perceptron(np.random.default_rng(0))
    before = str(program)
    rewrite(program)
    assert str(program) == before


def test_shift_starts_every_accumulator_at_zero():
    """The width then follows the interval's length: [-9, 6] takes 5 bits signed, 4 unsigned."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(2), np.array([6, 9]), label="x")
    h = builder.add(ops.Linear(np.array([[1], [-1]]), np.zeros(1, int)), x, label="h")
    y = builder.add(table(np.arange(16) ** 2, start=-9), h, label="y")
    program = builder.finish(y)
    shifted = shift_accumulators(program)
    assert (program.accumulator_bits, shifted.accumulator_bits) == ([5], [4])
    x = np.array([[0, 9], [6, 0], [3, 4]])
    np.testing.assert_array_equal(run(shifted, x)[0], run(program, x)[0])


def lookup_of_images(shape, low, high, rng):
    """Return one table a channel of (C, H, W) values in [low, high]."""
    tables = rng.integers(0, 9, size=(shape[0], 1, 1, high - low + 1))
    return ops.Lookup(tables, np.full((shape[0], 1, 1), low))


def test_shift_of_a_convolution_is_one_a_channel():
    """Padding makes the edges' intervals shorter: the shift is what the lowest position needs."""
    rng = np.random.default_rng(0)
    builder = ProgramBuilder()
    x = builder.input(np.zeros((2, 4, 4)), np.full((2, 4, 4), 3), label="x")
    op = ops.Convolution(rng.integers(-2, 3, size=(3, 2, 3, 3)), np.array([7, -9, 0]), padding=(1, 1, 1, 1))
    h = builder.add(op, x, label="h")
    kind = builder.type_of(h)
    y = builder.add(lookup_of_images(kind.shape, kind.min, kind.max, rng), h, label="y")
    program = builder.finish(y)
    shifted = optimize(program, [shift_accumulators])
    np.testing.assert_array_equal(shifted.values[1].type.low.min(axis=(1, 2)), 0)
    rows = random_inputs(program, 50, rng)
    np.testing.assert_array_equal(run(shifted, *rows)[0], run(program, *rows)[0])


def test_shift_goes_through_bounds():
    """The bound's width counts, not that of what interval arithmetic can prove."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(2), np.array([50, 50]), label="x")
    h = builder.add(ops.Linear(np.array([[1, 2], [-1, -2]]), np.zeros(2, int)), x, label="h")
    h = builder.add(ops.Bound([-5, -9], [10, 6]), h, label="h")
    y = builder.add(table(np.arange(20) ** 2, start=-9), h, label="y")
    program = builder.finish(y, range_source="calibrated")
    shifted = optimize(program)
    assert (program.accumulator_bits, shifted.accumulator_bits) == ([5], [4])
    assert shifted.values[2].type.low.tolist() == [0, 0]
    rows = np.array([[3, 7], [5, 2], [1, 1]])
    np.testing.assert_array_equal(run(shifted, rows)[0], run(program, rows)[0])


@pytest.mark.parametrize("combine", [ops.Add(), ops.Subtract()])
@pytest.mark.parametrize("branch", [0, 1])
@pytest.mark.parametrize("bounded", [False, True])
def test_shift_goes_through_sums_to_what_can_take_it_up(combine, branch, bounded):
    """One branch is a lookup that nothing else reads, the other is read twice and must stay."""
    rng = np.random.default_rng(branch)
    builder = ProgramBuilder()
    x = builder.input(np.zeros((2, 3)), np.full((2, 3), 7), label="x")
    y = builder.input(np.full((2, 3), -3), np.full((2, 3), 4), label="y")
    h = builder.add(ops.Lookup(rng.integers(-4, 4, size=(2, 1, 8)), np.zeros((2, 1), int)), x, label="h")
    h = builder.add(ops.Bound(-4, 3), h, label="h") if bounded else h
    total = builder.add(combine, *((h, y) if branch == 0 else (y, h)), label="sum")
    low, high = builder.type_of(total).min, builder.type_of(total).max
    z = builder.add(table(rng.integers(0, 9, size=high - low + 1), start=low), total, label="z")
    program = builder.finish(z, y)
    shifted = optimize(program, [shift_accumulators])
    position = shifted.values[shifted.lookups[-1]].arguments[0]
    np.testing.assert_array_equal(shifted.values[position].type.low.min(axis=1), 0)
    rows = random_inputs(program, 50, rng)
    for before, after in zip(run(program, *rows), run(shifted, *rows), strict=True):
        np.testing.assert_array_equal(after, before)


def test_what_others_read_is_not_shifted():
    builder = ProgramBuilder()
    x = builder.input(np.zeros(1), np.full(1, 3), label="x")
    h = builder.add(ops.Linear(np.array([[-1]]), np.zeros(1, int)), x, label="h")
    y = builder.add(table(np.arange(4), start=-3), h, label="y")
    program = builder.finish(y, h)
    assert str(shift_accumulators(program)) == str(program)


def test_lookups_in_a_row_become_one():
    builder = ProgramBuilder()
    x = builder.input(np.zeros(2), np.full(2, 3), label="x")
    y = builder.add(table([3, 1, 0, 2]), x, label="first")
    y = builder.add(table([[5, 6, 7, 8], [0, 1, 2, 3]]), y, label="second")
    y = builder.add(table(np.arange(9) * 10), y, label="third")
    program = builder.finish(y)
    fused = optimize(program)
    assert len(fused.lookups) == 1
    rows = np.array([[a, b] for a in range(4) for b in range(4)])
    np.testing.assert_array_equal(run(fused, rows)[0], run(program, rows)[0])


def test_a_lookup_that_others_read_is_not_fused():
    builder = ProgramBuilder()
    x = builder.input(np.zeros(1), np.full(1, 3), label="x")
    first = builder.add(table([3, 1, 0, 2]), x, label="first")
    second = builder.add(table([0, 1, 0, 1]), first, label="second")
    assert len(fuse_lookups(builder.finish(first, second)).lookups) == 2


def test_idle_channels_go():
    """One neuron is constant over its range, one has no outgoing weight: one of three is left."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(3), np.ones(3), label="x")
    h = builder.add(ops.Linear(np.eye(3, dtype=int), np.zeros(3, int)), x, label="h")
    h = builder.add(table([[0, 2], [5, 5], [1, 3]]), h, label="h")
    y = builder.add(ops.Linear(np.array([[1], [2], [0]]), np.array([7])), h, label="y")
    program = builder.finish(y)
    slim = drop_idle_channels(program)
    assert slim.values[slim.lookups[0]].type.size == 1
    rows = np.array([[a, b, c] for a in (0, 1) for b in (0, 1) for c in (0, 1)])
    np.testing.assert_array_equal(run(slim, rows)[0], run(program, rows)[0])
    smaller, (kept,) = drop_unused_inputs(slim)
    assert kept.tolist() == [True, False, False]
    np.testing.assert_array_equal(run(smaller, rows[:, kept])[0], run(program, rows)[0])


@pytest.mark.parametrize("method", [ops.Truncate(2), ops.Round(2, "exact")])
def test_shift_through_rounding_is_a_multiple_of_what_is_rounded_to(method):
    """[-9, 9] takes 5 bits, [3, 21] as many, but no sign, and what is rounded up or down stays the same."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(2), np.full(2, 9), label="x")
    h = builder.add(ops.Linear(np.array([[1], [-1]]), np.array([-1])), x, label="h")
    h = builder.add(method, h, label="h")
    low, high = builder.type_of(h).min, builder.type_of(h).max
    y = builder.add(ops.Lookup(np.arange((high - low) // 4 + 1)[None] ** 2, np.array([low]), 4), h, label="y")
    program = builder.finish(y)
    shifted = optimize(program, [shift_accumulators])
    assert (shifted.values[1].type.min, shifted.values[2].type.min) == (-10 - low, 0)
    rows = np.array([[a, b] for a in range(10) for b in range(10)])
    np.testing.assert_array_equal(run(shifted, rows)[0], run(program, rows)[0])


@pytest.mark.parametrize("padding", [(0, 0, 0, 0), (1, 0, 0, 1)])
def test_idle_channels_of_convolutions_go(padding):
    """Channels: busy, always 0, always 5, and without outgoing weight. 5 is no constant next to padding."""
    rng = np.random.default_rng(0)
    builder = ProgramBuilder()
    x = builder.input(np.zeros((2, 3, 3)), np.ones((2, 3, 3)), label="x")
    first = ops.Convolution(rng.integers(1, 3, size=(4, 2, 2, 2)), np.zeros(4, int), padding=(1, 1, 0, 0))
    h = builder.add(first, x, label="first")
    high = builder.type_of(h).high
    h = builder.add(ops.Bound(0, high), h, label="first")
    tables = np.stack([rng.permutation(high.max() + 1), *(np.full(high.max() + 1, i) for i in (0, 5, 7))])
    tables[3] += np.arange(high.max() + 1)
    lookup = ops.Lookup(tables[:, None, None], np.zeros((4, 1, 1), int))
    h = builder.add(lookup, h, label="first")
    h = builder.add(ops.Bound(builder.type_of(h).low, builder.type_of(h).high), h, label="first")
    weight = rng.integers(-3, 4, size=(3, 4, 2, 2)) * np.array([1, 1, 1, 0])[:, None, None]
    program = builder.finish(
        builder.add(ops.Convolution(weight, np.arange(3), padding=padding), h, label="y")
    )
    slim = optimize(program, [drop_idle_channels])
    assert slim.values[slim.lookups[0]].type.shape[0] == (2 if any(padding) else 1)
    rows = random_inputs(program, 50, rng)
    np.testing.assert_array_equal(run(slim, *rows)[0], run(program, *rows)[0])


def test_channels_of_grouped_convolutions_stay():
    builder = ProgramBuilder()
    x = builder.input(np.zeros((2, 3, 3)), np.ones((2, 3, 3)), label="x")
    first = ops.Convolution(np.ones((4, 1, 1, 1), int), np.zeros(4, int), groups=2)
    h = builder.add(table([0, 0]), builder.add(first, x, label="first"), label="first")
    y = builder.add(ops.Convolution(np.ones((1, 4, 1, 1), int), np.zeros(1, int)), h, label="y")
    program = builder.finish(y)
    assert str(drop_idle_channels(program)) == str(program)


def test_equal_values_are_computed_once_and_unused_ones_not_at_all():
    builder = ProgramBuilder()
    x = builder.input(np.zeros(1), np.full(1, 3), label="x")
    a = builder.add(table([0, 1, 4, 9]), x, label="a")
    b = builder.add(table([0, 1, 4, 9]), x, label="b")
    builder.add(table([1, 1, 1, 2]), x, label="unused")
    program = builder.finish(builder.add(ops.Add(), a, b, label="sum"))
    slim = drop_unused_values(merge_equal_values(program))
    assert len(slim.lookups) == 1
    np.testing.assert_array_equal(run(slim, np.array([[3]]))[0], [[18]])


def test_verify_refuses_what_is_not_well_formed():
    program = perceptron(np.random.default_rng(0))
    first, second, *rest = program.values
    with pytest.raises(ValueError, match="at least one output"):
        verify(Program(program.values, ()))
    with pytest.raises(ValueError, match="does not come before"):
        verify(Program((second, first, *rest), program.outputs))
    narrow = type(second)(second.op, second.arguments, first.type, second.label)
    with pytest.raises(ValueError, match="states"):
        verify(Program((first, narrow, *rest), program.outputs))


def test_idle_channels_are_dropped_behind_rounding():
    """A neuron that nobody weighs takes its rounding along."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(2), np.full(2, 7), label="x")
    h = builder.add(ops.Linear(np.array([[1, 2], [3, 1]]), np.zeros(2, int)), x, label="h")
    h = builder.add(ops.Truncate(2), h, label="h")
    h = builder.add(ops.Lookup(np.arange(9)[None], np.zeros(1, int), 4), h, label="h")
    y = builder.add(ops.Linear(np.array([[0], [2]]), np.ones(1, int)), h, label="y")
    program = builder.finish(y)
    dropped = drop_idle_channels(program)
    assert [v.type.size for v in dropped.values] == [2, 1, 1, 1, 1]
    inputs = random_inputs(program, 32, np.random.default_rng(0))
    np.testing.assert_array_equal(run(dropped, *inputs)[0], run(program, *inputs)[0])


def test_a_lookup_that_was_split_by_a_shift_takes_up_another():
    """One table for both elements, split by the shift of what it reads, then shifted for the next lookup."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(2), np.full(2, 3), label="x")
    y = builder.input(np.zeros(2), np.full(2, 3), label="y")
    h = builder.add(ops.Linear(np.array([[-1, 0], [0, -2]]), np.zeros(2, int)), x, label="h")
    first = builder.add(table(np.arange(7) - 9, start=-6), h, label="first")
    total = builder.add(ops.Add(), first, y, label="total")
    second = builder.add(table(np.arange(10) ** 2, start=-9), total, label="second")
    program = builder.finish(second)
    shifted = shift_accumulators(program)
    assert [v.type.min for v in shifted.values if isinstance(v.op, ops.Add)] == [0]
    inputs = random_inputs(program, 64, np.random.default_rng(0))
    np.testing.assert_array_equal(run(shifted, *inputs)[0], run(program, *inputs)[0])


@pytest.mark.parametrize("rounding", [ops.Truncate(2), ops.Round(2, "approximate")])
def test_channels_are_kept_where_rounding_would_leave_nothing_of_the_others(rounding):
    """The first, of 2 bits, is looked up; the second, of 4, is constant, and is why 2 bits may be cleared."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(2), np.array([3, 15]), label="x")
    h = builder.add(ops.Linear(np.eye(2, dtype=int), np.zeros(2, int)), x, label="h")
    h = builder.add(rounding, h, label="h")
    tables = np.array([[0, 1, 2, 3, 4], [7, 7, 7, 7, 7]])
    h = builder.add(ops.Lookup(tables, np.zeros(2, int), step=4), h, label="h")
    y = builder.add(ops.Linear(np.array([[1], [1]]), np.zeros(1, int)), h, label="y")
    program = builder.finish(y)
    rewritten = optimize(program, [drop_idle_channels])
    (x,) = random_inputs(program, 64, np.random.default_rng(0))
    np.testing.assert_array_equal(run(rewritten, x)[0], run(program, x)[0])


def test_rounding_leaves_at_least_one_bit():
    builder = ProgramBuilder()
    x = builder.input(np.zeros(1), np.ones(1), label="x")
    for op in (ops.Truncate(1), ops.Round(1, "exact"), ops.Round(1, "approximate")):
        with pytest.raises(ValueError, match="of 1 bits leaves none of 1"):
            builder.add(op, x, label="y")
