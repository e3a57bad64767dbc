"""Low bits that a lookup does not depend on are cleared, and no others."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skfhe.cost import estimate_cost
from skfhe.passes import optimize, round_constant_cells, shift_accumulators
from skfhe.program import ProgramBuilder, ops, run
from tests.conftest import random_inputs


def requantized(arguments, lsbs, residue, cells):
    """Return tables that hold each of ``cells`` for 2**lsbs arguments, from ``residue`` on."""
    index = (arguments - residue[..., None]) >> lsbs
    return np.take_along_axis(cells, index % cells.shape[-1], axis=-1)


def layer(rng, kind, lsbs, bounded=False, branch=False):
    """Build inputs, a layer with an own shift of its channels, and its lookup, requantized by 2**lsbs."""
    builder = ProgramBuilder()
    if kind == "linear":
        x = builder.input(np.zeros(4), np.full(4, 7), label="x")
        op = ops.Linear(rng.integers(-3, 4, size=(4, 3)), rng.integers(-20, 20, size=3))
        channels = (3,)
    else:
        x = builder.input(np.zeros((2, 3, 3)), np.full((2, 3, 3), 3), label="x")
        weight = rng.integers(-2, 3, size=(3, 2, 2, 2))
        op = ops.Convolution(weight, rng.integers(-20, 20, size=3), padding=(1, 0, 0, 1))
        channels = (3, 1, 1)
    h = builder.add(op, x, label="layer")
    if bounded:
        h = builder.add(ops.Bound(builder.type_of(h).low, builder.type_of(h).high), h, label="layer")
    if branch:
        shape = builder.type_of(h).shape
        other = builder.input(np.full(shape, -5), np.full(shape, 5), label="other")
        h = builder.add(ops.Subtract(), other, h, label="layer")
    read = builder.type_of(h)
    residue = rng.integers(0, 1 << lsbs, size=channels)
    cells = np.stack([rng.permutation(64) for _ in range(3)]).reshape(*channels, 64)
    tables = requantized(np.arange(read.min, read.max + 1), lsbs, residue, cells)
    y = builder.add(ops.Lookup(tables, np.full(channels, read.min)), h, label="lookup")
    return builder.finish(y)


def removed(program):
    return [value.op.lsbs for value in program.values if isinstance(value.op, ops.Truncate)]


def free_clearing(bits, lsbs):
    """Price bits alone, so that as many are cleared as can be."""
    return bits - lsbs


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["linear", "convolution"]),
    st.integers(1, 4),
    st.booleans(),
    st.booleans(),
)
def test_outputs_stay_whatever_is_cleared(seed, kind, lsbs, bounded, branch):
    """Each channel has a residue of its own; the layer may be bounded, and subtracted from something."""
    rng = np.random.default_rng(seed)
    program = layer(rng, kind, lsbs, bounded, branch)
    rows = random_inputs(program, 50, rng)
    for price in (free_clearing, None):
        cleared = optimize(
            program, [lambda p, price=price: round_constant_cells(p, *([price] if price else []))]
        )
        np.testing.assert_array_equal(run(cleared, *rows)[0], run(program, *rows)[0])
        again = optimize(optimize(cleared))
        np.testing.assert_array_equal(run(again, *rows)[0], run(program, *rows)[0])


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["linear", "convolution"]), st.integers(2, 4))
def test_all_bits_that_say_nothing_are_cleared_and_no_bit_is_paid_for_it(seed, kind, lsbs):
    """What is left of the width holds the cells that the longest interval can span, and no more."""
    program = shift_accumulators(layer(np.random.default_rng(seed), kind, lsbs))
    cleared = round_constant_cells(program, free_clearing)
    (before,), (after,) = program.lookups, cleared.lookups
    length = program.values[program.values[before].arguments[0]].type.max
    cells = (length >> lsbs) + 2  # the interval may begin and end within a cell
    lookup = cleared.values[after].op
    assert lookup.tables.shape[-1] <= 2 ** max(1, (cells - 1).bit_length())


@pytest.mark.parametrize("scale", [1.0, 1.5, 3.0, 5.0])
def test_other_tables_are_left_alone(scale):
    """Cells of one, or of lengths that alternate, or of no power of two, leave no bit that says nothing."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(2), np.full(2, 100), label="x")
    h = builder.add(ops.Linear(np.ones((2, 1), dtype=int), np.zeros(1, dtype=int)), x, label="h")
    y = builder.add(
        ops.Lookup(np.floor(np.arange(201) / scale).astype(int)[None], np.array([0])), h, label="y"
    )
    program = builder.finish(y)
    assert removed(round_constant_cells(program, free_clearing)) == []


def test_one_channel_that_needs_the_bits_keeps_them_for_all():
    builder = ProgramBuilder()
    x = builder.input(np.zeros(2), np.full(2, 31), label="x")
    h = builder.add(ops.Linear(np.eye(2, dtype=int), np.zeros(2, dtype=int)), x, label="h")
    tables = np.stack([np.arange(32) >> 3, np.arange(32) >> 1])
    program = builder.finish(builder.add(ops.Lookup(tables, np.zeros(2, dtype=int)), h, label="y"))
    assert removed(round_constant_cells(program, free_clearing)) == [1]


def test_a_channel_that_is_constant_allows_any_number_of_bits():
    builder = ProgramBuilder()
    x = builder.input(np.zeros(2), np.full(2, 31), label="x")
    h = builder.add(ops.Linear(np.eye(2, dtype=int), np.zeros(2, dtype=int)), x, label="h")
    tables = np.stack([np.arange(32) >> 3, np.full(32, 9)])
    program = builder.finish(builder.add(ops.Lookup(tables, np.zeros(2, dtype=int)), h, label="y"))
    assert removed(round_constant_cells(program, free_clearing)) == [3]
    constant = builder.finish(builder.add(ops.Lookup(tables[1:], np.zeros(1, dtype=int)), h, label="y"))
    assert removed(round_constant_cells(constant, free_clearing)) == []


def test_a_comparison_needs_one_bit():
    """A step anywhere is put on the middle of a range that is as wide as the accumulator's."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(1), np.full(1, 200), label="x")
    h = builder.add(ops.Linear(np.ones((1, 1), dtype=int), np.zeros(1, dtype=int)), x, label="h")
    program = builder.finish(
        builder.add(ops.Lookup((np.arange(201) >= 77)[None].astype(int), np.array([0])), h, label="y")
    )
    cleared = round_constant_cells(program, free_clearing)
    (lookup,) = cleared.lookups
    assert cleared.values[lookup].op.tables.tolist() == [[0, 1]]
    rows = np.arange(201)[:, None]
    np.testing.assert_array_equal(run(cleared, rows)[0], rows >= 77)


@pytest.mark.parametrize("kind", ["linear", "convolution"])
def test_cost_goes_down_where_bits_are_cleared(kind):
    program = shift_accumulators(layer(np.random.default_rng(0), kind, 2))
    cleared = round_constant_cells(program)
    assert removed(cleared) == [2]
    before, after = estimate_cost(program), estimate_cost(cleared)
    assert after.complexity < before.complexity
    assert after.seconds < before.seconds
    assert cleared.accumulator_bits[0] <= program.accumulator_bits[0] + 1


def test_narrow_lookups_are_not_worth_a_clearing():
    builder = ProgramBuilder()
    x = builder.input(np.zeros(1), np.full(1, 15), label="x")
    h = builder.add(ops.Linear(np.ones((1, 1), dtype=int), np.zeros(1, dtype=int)), x, label="h")
    program = builder.finish(
        builder.add(ops.Lookup((np.arange(16) >> 1)[None], np.zeros(1, dtype=int)), h, label="y")
    )
    assert removed(round_constant_cells(program)) == []


def requantized_sum(builder, bits, lsbs, label):
    """Look up a sum of ``bits`` bits in a table that changes at multiples of 2**lsbs."""
    x = builder.input(np.zeros(1), np.full(1, (1 << bits) - 1), label="x")
    h = builder.add(ops.Linear(np.ones((1, 1), dtype=int), np.zeros(1, dtype=int)), x, label="h")
    table = (np.arange(1 << bits) >> lsbs)[None] % 2
    return builder.add(ops.Lookup(table, np.zeros(1, dtype=int)), h, label=label)


@pytest.mark.parametrize(("bits", "lsbs", "cleared"), [(12, 1, []), (12, 2, [2]), (13, 2, []), (13, 3, [3])])
def test_what_runs_on_residues_alone_is_cleared_only_if_it_then_needs_none(bits, lsbs, cleared):
    """More than 10 bits are looked up on residues, where nothing can be cleared, however cheap it seems."""
    builder = ProgramBuilder()
    program = builder.finish(requantized_sum(builder, bits, lsbs, "y"))
    assert removed(round_constant_cells(program)) == cleared
    assert estimate_cost(round_constant_cells(program)).refusal is None
    assert removed(round_constant_cells(program, lambda bits, lsbs: 0 if lsbs == 1 else 1)) == []


@pytest.mark.parametrize("together", [True, False])
def test_nothing_is_cleared_beside_what_runs_on_residues_alone(together):
    """Of an accumulator of 9 bits 5 are cleared, unless a sum joins its lookup to one that needs residues."""
    builder = ProgramBuilder()
    narrow, wide = requantized_sum(builder, 9, 5, "narrow"), requantized_sum(builder, 12, 0, "wide")
    outputs = [builder.add(ops.Add(), narrow, wide, label="sum")] if together else [narrow, wide]
    program = builder.finish(*outputs)
    cleared = round_constant_cells(program)
    assert removed(cleared) == ([] if together else [5])
    assert estimate_cost(program).refusal is estimate_cost(cleared).refusal is None


def test_what_others_read_is_left_alone():
    program = layer(np.random.default_rng(0), "linear", 2)
    builder = ProgramBuilder()
    for value in program.values:
        builder.add(value.op, *value.arguments, label=value.label)
    assert removed(round_constant_cells(builder.finish(*program.outputs, 1), free_clearing)) == []
