"""The one road by which accumulators are rounded before they are looked up, and what "exact" means on it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skfhe.cost import estimate_cost
from skfhe.network import Emitter, Grid, Symbolic
from skfhe.network._cells import rounded
from skfhe.network._node import Node
from skfhe.network._operations import Source
from skfhe.program import ops, run, verify


def looked_up(low, high, rounding, function=lambda x: x):
    """Return the program that looks up twice a function of integers, which tells half integers apart."""
    low, high = np.asarray(low), np.asarray(high)
    reference = torch.from_numpy(low[None].astype(float))
    emitter = Emitter("proven", 0.0, rounding)
    emitter.node = Node(Source(0), (), "input", "h", reference)
    position = emitter.input(low, high, low[None], "h")
    x = Symbolic.on_grid(position, reference, Grid.of(1.0, 0.0, low.shape)).through(function, reference)
    result = emitter.tabulate(x, lambda floats: rounded(2 * floats), Grid.of(0.5, 0.0, low.shape))
    program = emitter.finish([result.position])
    verify(program)
    return program


def removed(program):
    """Return the bits that are removed before lookups, and whether exactly."""
    found = [value.op for value in program.values if isinstance(value.op, ops.Round | ops.Truncate)]
    return [(op.lsbs, isinstance(op, ops.Truncate) or op.method) for op in found]


@pytest.mark.parametrize(("n_bits", "lsbs"), [(6, 0), (5, 0), (4, 1), (3, 2), (2, 3), (1, 4)])
@pytest.mark.parametrize("low", [0, -16])
def test_exact_rounding_removes_bits_and_looks_up_the_middle_of_what_is_left(n_bits, lsbs, low):
    """[0, 31] and [-16, 15] have 5 bits: all in between two multiples of a unit take the middle's result."""
    program = looked_up([low], [low + 31], (n_bits, "exact"))
    assert removed(program) == ([(lsbs, True)] if lsbs else [])
    rows = np.arange(low, low + 32)
    unit = 1 << lsbs
    middles = rows // unit * unit + (unit - 1) / 2
    np.testing.assert_array_equal(run(program, rows[:, None])[0].ravel(), 2 * middles)


@pytest.mark.parametrize(("n_bits", "lsbs"), [(6, 0), (5, 0), (4, 1), (3, 2), (2, 3), (1, 4)])
@pytest.mark.parametrize("low", [0, -16])
def test_approximate_rounding_is_to_the_nearest(n_bits, lsbs, low):
    """Half up, so that the integers that a multiple stands for have their middle half a step below it."""
    program = looked_up([low], [low + 31], (n_bits, "approximate"))
    assert removed(program) == ([(lsbs, "approximate")] if lsbs else [])
    rows = np.arange(low, low + 32)
    unit = 1 << lsbs
    nearest = (rows + unit // 2) // unit * unit - (0.5 if lsbs else 0)
    np.testing.assert_array_equal(run(program, rows[:, None])[0].ravel(), 2 * nearest)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 1000), min_size=1, max_size=4), st.integers(1, 6))
def test_lookups_read_no_more_bits_than_were_asked_for_and_accumulators_keep_theirs(highest, n_bits):
    """Exact rounding never needs one more bit; the width that is reported is the one before rounding."""
    program = looked_up(np.zeros(len(highest), dtype=int), highest, (n_bits, "exact"))
    width = max(highest).bit_length()
    assert program.accumulator_bits == [width]
    assert max(estimate_cost(program).lookups) == min(width, n_bits)


def test_rounding_up_may_take_one_more_bit():
    """[0, 31] reaches 32 if it is rounded to the nearest multiple of 4, and [0, 29] does not."""
    for highest, bits in ((31, 4), (30, 4), (29, 3)):
        program = looked_up([0], [highest], (3, "approximate"))
        assert program.accumulator_bits == [5]
        assert max(estimate_cost(program).lookups) == bits


@pytest.mark.parametrize("method", ["exact", "approximate"])
@pytest.mark.parametrize("leading", [(2, 1, 1), (2, 2, 3), (3,), (1,)])
def test_tables_of_any_shape_are_read_at_the_middles(method, leading):
    """One function for all elements, or one for each channel, column or element."""
    rng = np.random.default_rng(0)
    factors = rng.integers(1, 9, size=leading)
    shape = (2, 2, 3)
    program = looked_up(
        np.zeros(shape, dtype=int), np.full(shape, 15), (2, method), lambda x: x * torch.from_numpy(factors)
    )
    rows = rng.integers(0, 16, size=(20, *shape))
    middles = rows // 4 * 4 + 1.5 if method == "exact" else (rows + 2) // 4 * 4 - 0.5
    np.testing.assert_array_equal(run(program, rows)[0], 2 * middles * factors)


def test_what_two_values_share_is_not_rounded():
    """Two values side by side lose no bits: the lowest are those of the second."""
    reference = torch.zeros(1, 1, dtype=torch.float64)
    emitter = Emitter("proven", 0.0, (2, "exact"))
    emitter.node = Node(Source(0), (), "input", "h", reference)
    position = emitter.input(np.array([0]), np.array([15]), np.array([[0]]), "h")
    pair = Symbolic(position, reference, None, lambda q: q.double().reshape(-1, 1), whole=True)
    result = emitter.tabulate(pair, rounded, Grid.of(1.0, 0.0, (1,)))
    assert removed(emitter.finish([result.position])) == []
