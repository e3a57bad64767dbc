"""Quantizers that round half to even, by powers of two: low bits are cleared, and ties stay right."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skfhe.circuit import compile_program
from skfhe.cost import estimate_cost
from skfhe.passes import optimize, round_constant_cells, shift_accumulators
from skfhe.program import ProgramBuilder, ops, run
from tests.conftest import random_inputs


def requantized(rng, lsbs, levels, per_channel=True, span=7):
    """Build a layer whose results are divided by 2**lsbs, rounded half to even and clipped."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(3), np.full(3, span), label="x")
    op = ops.Linear(rng.integers(-2, 3, size=(3, 4)), rng.integers(-9, 10, size=4))
    h = builder.add(op, x, label="layer")
    read = builder.type_of(h)
    arguments = np.arange(read.min, read.max + 1)
    bias = rng.integers(0, 1 << lsbs, size=(4 if per_channel else 1, 1)) if rng.integers(2) else 0
    tables = np.clip(np.rint((arguments + bias) / 2**lsbs), *levels).astype(int)
    tables = np.broadcast_to(tables, (4 if per_channel else 1, len(arguments)))
    y = builder.add(ops.Lookup(tables, np.full(len(tables), read.min)), h, label="lookup")
    return builder.finish(y)


def cheap_ties(bits, lsbs):
    """Price lookups so that ties are decided wherever they can be."""
    return bits - lsbs if lsbs else bits / 4 if bits < 4 else bits


def kinds(program):
    return [type(value.op).__name__ for value in program.values]


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32 - 1), st.integers(1, 3), st.sampled_from([(-1, 3), (-99, 99), (0, 1)]), st.booleans()
)
def test_outputs_stay_ties_included(seed, lsbs, levels, per_channel):
    """Every tie that can occur does on some of the rows: accumulators take all integers of their interval."""
    rng = np.random.default_rng(seed)
    program = requantized(rng, lsbs, levels, per_channel)
    rows = random_inputs(program, 100, rng)
    for price in ({}, {"price": cheap_ties}):
        clear = partial(round_constant_cells, **price)
        cleared = optimize(program, [shift_accumulators, clear])
        np.testing.assert_array_equal(run(cleared, *rows)[0], run(program, *rows)[0])
        np.testing.assert_array_equal(run(optimize(cleared), *rows)[0], run(program, *rows)[0])


def test_ties_are_decided_by_a_lookup_of_the_low_bits_alone():
    """A table with changes at 2, 7, 10, 15, …: distances of 5 and 3, so that without ties no bit is spare."""
    program = shift_accumulators(requantized(np.random.default_rng(1), 2, (-99, 99)))
    cleared = round_constant_cells(program, cheap_ties)
    assert kinds(cleared) == ["Input", "Linear", "Modulo", "Lookup", "Add", "Add", "Truncate", "Lookup"]
    assert [v.op.n_bits for v in cleared.values if isinstance(v.op, ops.Modulo)] == [3]
    assert [v.op.lsbs for v in cleared.values if isinstance(v.op, ops.Truncate)] == [3]


@pytest.mark.parametrize("changes", [[8, 17, 26, 32], [3, 8, 14, 20]])
def test_changes_that_are_off_otherwise_are_left_alone(changes):
    """One argument off by turns is what ties do."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(1), np.full(1, 63), label="x")
    h = builder.add(ops.Linear(np.array([[1]]), np.array([0])), x, label="h")
    table = (np.arange(64)[:, None] >= np.array(changes)).sum(axis=1)[None]
    program = builder.finish(builder.add(ops.Lookup(table, np.array([0])), h, label="y"))
    assert kinds(round_constant_cells(program, cheap_ties)) == kinds(program)


def test_wide_accumulators_become_much_cheaper():
    program = shift_accumulators(requantized(np.random.default_rng(0), 2, (-1, 3)))
    cleared = round_constant_cells(program)
    assert "Truncate" in kinds(cleared)
    assert estimate_cost(cleared).complexity < 0.7 * estimate_cost(program).complexity


@pytest.mark.slow
def test_encrypted_ties_are_right():
    program = shift_accumulators(requantized(np.random.default_rng(0), 1, (-1, 3), span=3))
    cleared = round_constant_cells(program, lambda bits, lsbs: bits - 2 * lsbs if lsbs else bits)
    assert "Modulo" in kinds(cleared)
    rows = np.array(list(np.ndindex(4, 4, 4)))
    compiled = compile_program(cleared, batch_sizes=(64,))
    compiled.keygen()
    np.testing.assert_array_equal(compiled.execute(rows)[0], run(program, rows)[0])
