"""Passes on residues modulo a power of two: constants as small as can be, and outputs as they were."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skfhe.passes import drop_idle_channels, fuse_lookups, optimize, reduce_residues
from skfhe.program import ProgramBuilder, ops, run
from tests.circuit.test_residues import random_residues, wave
from tests.conftest import random_inputs


def assert_same_outputs(program, rewritten, n_rows=64):
    rows = random_inputs(program, n_rows, np.random.default_rng(0))
    for found, wanted in zip(run(rewritten, *rows), run(program, *rows), strict=True):
        np.testing.assert_array_equal(found, wanted)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_passes_keep_the_outputs(seed):
    program = random_residues(np.random.default_rng(seed))
    assert_same_outputs(program, optimize(program, [reduce_residues]))
    assert_same_outputs(program, optimize(program))


def residues_of(layer, shape=(3,), n_bits=4, high=7, n_tables=None, then=()):
    rng = np.random.default_rng(0)
    builder = ProgramBuilder()
    x = builder.input(np.zeros(shape), np.full(shape, high), label="x")
    h = builder.add(layer, x, label="sum")
    h = builder.add(ops.Modulo(n_bits), h, label="sum")
    op = wave(rng.integers(-3, 4, (n_tables or 1, 1 << (n_bits - 1))))
    if n_tables and len(shape) == 3:
        op = ops.Lookup(op.tables[:, None, None], op.start[:, None, None])
    h = builder.add(op, h, label="wave")
    for more in then:
        h = builder.add(more, h, label="more")
    return builder.finish(h)


@pytest.mark.parametrize("n_tables", [None, 2])
@pytest.mark.parametrize("convolution", [False, True])
def test_constants_are_no_wider_than_what_is_read(convolution, n_tables):
    """Biases end in the first half of the circle, weights in [-half, half)."""
    rng = np.random.default_rng(1)
    if convolution:
        layer = ops.Convolution(rng.integers(-99, 99, (2, 1, 2, 2)), np.array([77, -5]), padding=(1, 0, 0, 1))
        program = residues_of(layer, (1, 3, 3), n_tables=n_tables)
    else:
        program = residues_of(
            ops.Linear(rng.integers(-99, 99, (3, 2)), np.array([77, -5])), n_tables=n_tables
        )
    reduced = optimize(program, [reduce_residues])
    op = reduced.values[1].op
    assert op.bias.min() >= 0
    assert op.bias.max() < 8
    assert op.weight.min() >= -8
    assert op.weight.max() < 8
    assert_same_outputs(program, reduced)


def test_what_others_read_keeps_its_constants():
    builder = ProgramBuilder()
    x = builder.input(np.zeros(1), np.ones(1), label="x")
    h = builder.add(ops.Linear(np.array([[7]]), np.array([45])), x, label="sum")
    y = builder.add(wave([1, 2]), builder.add(ops.Modulo(2), h, label="sum"), label="wave")
    program = builder.finish(y, h)
    assert str(reduce_residues(program)) == str(program)
    assert reduce_residues(program).values[1].op is program.values[1].op


def test_a_lookup_of_residues_takes_up_one_that_is_odd():
    """2x + 0 after a wave is a wave; x squared is none, and stays apart."""
    layer = ops.Linear(np.full((3, 1), 5), np.array([3]))
    cells = np.arange(-3, 4)
    for table, fused in ((2 * cells, True), (cells**2, False)):
        program = residues_of(layer, then=[ops.Lookup(table[None], np.array([-3]))])
        rewritten = optimize(program, [fuse_lookups])
        assert len(rewritten.lookups) == 2 - fused
        assert_same_outputs(program, rewritten)


def test_idle_channels_go_before_residues():
    """A neuron whose wave nobody weighs, and one whose wave is zero everywhere."""
    half = np.array([[1, 2, 3, 1], [0, 0, 0, 0], [2, 1, 1, 2]])
    builder = ProgramBuilder()
    x = builder.input(np.zeros(3), np.full(3, 7), label="x")
    h = builder.add(ops.Linear(np.arange(9).reshape(3, 3), np.array([1, 2, 30])), x, label="sum")
    h = builder.add(wave(half), builder.add(ops.Modulo(3), h, label="sum"), label="wave")
    y = builder.add(ops.Linear(np.array([[1], [1], [0]]), np.array([4])), h, label="y")
    program = builder.finish(y)
    dropped = optimize(program, [drop_idle_channels])
    assert dropped.values[1].type.size == 1
    assert_same_outputs(program, dropped)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_several_moduli_bounds_and_rounding_share_a_bias(seed):
    """Only the widest circle is turned by a half of it; bounds move along, and still hold."""
    rng = np.random.default_rng(seed)
    rounding, bounded = bool(rng.integers(2)), bool(rng.integers(2))
    builder = ProgramBuilder()
    x = builder.input(np.zeros(3), np.full(3, 7), label="x")
    bias = rng.integers(-99, 99, 2)
    h = builder.add(ops.Linear(rng.integers(-5, 6, (3, 2)), bias), x, label="sum")
    if bounded:
        kind = builder.type_of(h)
        h = builder.add(ops.Bound(kind.low, kind.high), h, label="bounded")
    if rounding:
        h = builder.add(ops.Round(1, "approximate"), h, label="rounded")
    results = []
    for n_bits in (4, 3):
        residues = builder.add(ops.Modulo(n_bits), h, label="residues")
        half = rng.integers(-3, 4, (2, 1 << (n_bits - 1 - rounding)))
        op = ops.Lookup(wave(half).tables, np.zeros(2, int), 1 + rounding)
        results.append(builder.add(op, residues, label="wave"))
    program = builder.finish(*results)
    reduced = optimize(program, [reduce_residues])
    assert reduced.values[1].op.bias.min() >= 0
    assert reduced.values[1].op.bias.max() < 8
    assert_same_outputs(program, reduced)
