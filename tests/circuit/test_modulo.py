"""Lookups that read the whole circle, whatever the engine is told and however far an accumulator goes."""

import numpy as np
import pytest
from concrete import fhe
from numpy.testing import assert_array_equal

from skfhe.circuit import compile_program
from skfhe.passes import optimize
from skfhe.program import ProgramBuilder, ops, run


def negacyclic(half):
    half = np.atleast_2d(half)
    return ops.Lookup(np.concatenate([half, -half], axis=1), np.zeros(len(half), dtype=np.int64))


@pytest.mark.parametrize("option", [False, 2, True])
def test_residues_are_read_by_their_own_bits_whatever_the_configuration_says(option):
    """The engine's option to read all of a block by its widest value would lead round another circle."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(4), np.ones(4), label="bits")
    total = builder.add(ops.Linear((2 ** np.arange(4))[:, None], np.zeros(1, dtype=int)), x, label="sum")
    circle = builder.add(ops.Modulo(3), total, label="circle")
    narrow = builder.add(negacyclic([1, 2, 3, 4]), circle, label="narrow")
    wide = builder.add(ops.Lookup(np.arange(16)[None] * 7 % 11, np.array([0])), total, label="wide")
    program = builder.finish(builder.add(ops.Add(), narrow, wide, label="both"))
    configuration = fhe.Configuration(optimize_tlu_based_on_original_bit_width=option)
    compiled = compile_program(program, batch_sizes=(16,), configuration=configuration)
    rows = np.arange(16)[:, None] >> np.arange(4) & 1
    expected = run(program, rows)[0]
    assert_array_equal(compiled.simulate(rows)[0], expected)
    compiled.keygen()
    assert_array_equal(compiled.execute(rows)[0], expected)


def sum_of_tens():
    """Begin a program with a sum in [2, 23]."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(1), np.full(1, 7), label="x")
    return builder, builder.add(ops.Linear(np.array([[3]]), np.array([2])), x, label="sum")


def read_by_a_lookup(between=()):
    builder, y = sum_of_tens()
    for op in (ops.Modulo(3), negacyclic([1, -2, 3, 2]), *between):
        y = builder.add(op, y, label="residues")
    return builder.finish(
        builder.add(ops.Lookup(np.array([[1, 5, 2, 0, 3, 1, 2]]), np.array([-3])), y, label="y")
    )


def read_by_a_circle():
    builder, y = sum_of_tens()
    for op in (ops.Modulo(3), negacyclic([1, -2, 30, 2]), ops.Modulo(3), negacyclic([1, 2, 3, 2])):
        y = builder.add(op, y, label="residues")
    return builder.finish(y)


def rounded_exactly():
    builder, y = sum_of_tens()
    for op in (ops.Round(1, "exact"), ops.Modulo(3), negacyclic([1, 2, 3, 2])):
        y = builder.add(op, y, label="rounded")
    return builder.finish(y)


def bounded_and_an_output():
    builder, total = sum_of_tens()
    y = builder.add(ops.Bound(2, 23), total, label="bounded")
    for op in (ops.Modulo(3), negacyclic([1, 2, 3, 2])):
        y = builder.add(op, y, label="residues")
    return builder.finish(y, total)


@pytest.mark.parametrize(
    "program",
    [
        pytest.param(read_by_a_lookup(), id="a table that is not odd reads a wave"),
        pytest.param(read_by_a_lookup([ops.Bound(-3, 3)]), id="through a bound"),
        pytest.param(read_by_a_circle(), id="a wave reads a wave modulo a power of two"),
        pytest.param(rounded_exactly(), id="exact rounding before the circle"),
        pytest.param(bounded_and_an_output(), id="what is bounded for a circle is an output, too"),
    ],
)
def test_what_is_around_a_circle_is_evaluated_as_in_the_clear(program):
    """The engine is told nothing that holds on half of a circle alone, and computes nothing from that.

    It would compose the half of a table that it is given with the table behind it.
    """
    rows = np.arange(8)[:, None]
    expected = run(program, rows)
    for tried in (program, optimize(program)):
        compiled = compile_program(tried, batch_sizes=(8,))
        for found, wanted in zip(compiled.simulate(rows), expected, strict=True):
            assert_array_equal(found, wanted)


def test_a_table_behind_a_circle_is_read_apart():
    """See above, on ciphertexts."""
    program, rows = read_by_a_lookup(), np.arange(8)[:, None]
    compiled = compile_program(program, batch_sizes=(8,))
    assert_array_equal(compiled.execute(rows)[0], run(program, rows)[0])


def test_inputs_beyond_what_is_declared_are_encrypted_and_read():
    """An input that is read modulo 8 alone is declared with 2 bits; its integers may be any."""
    builder = ProgramBuilder()
    x = builder.input(np.full(2, -100), np.full(2, 100), label="x")
    circle = builder.add(ops.Modulo(3), x, label="circle")
    y = builder.add(negacyclic([[1, 5, 3, -2], [2, 2, 2, 2]]), circle, label="table")
    program = builder.finish(y)
    compiled = compile_program(program, batch_sizes=(16,))
    rows = np.random.default_rng(0).integers(-100, 101, size=(32, 2))
    rows[:4] = [[-100, 100], [100, -100], [-1, 0], [0, -1]]
    expected = run(program, rows)[0]
    assert_array_equal(compiled.simulate(rows)[0], expected)
    compiled.keygen()
    assert_array_equal(compiled.execute(rows)[0], expected)
