"""What the engine is given: signs and widths of every value, and tables no larger than it reads."""

import numpy as np
import pytest

from skfhe.circuit import compile_program
from skfhe.cost._rules import bits_read
from skfhe.program import ProgramBuilder, ops, run
from skfhe.program._interpreter import trace
from tests.conftest import random_inputs

ZERO = np.zeros(1, dtype=int)


def mixed(builder, shape=(2, 3)):
    """Append a signed input whose elements can be negative in the first place of the last axis alone."""
    low = np.zeros(shape, dtype=int)
    low[..., 0] = -4
    return builder.input(low, np.full(shape, 3), label="x")


def gathered(builder):
    return builder.add(ops.Gather(np.array([1, 2]), -1), mixed(builder), label="y")


def picked(builder):
    return builder.add(ops.Gather(np.array([2, 1, 2]), -1), mixed(builder), label="y")


def bounded(builder):
    y = builder.add(ops.Gather(np.array([0, 2]), -1), mixed(builder), label="y")
    return builder.add(ops.Bound([-4, 0], 3), y, label="bounded")


def padded_twice(builder):
    """Zeros meet a value that is never negative, and is an element of one that is."""
    y = builder.add(ops.Gather(np.array([1, 2]), -1), mixed(builder, (1, 2, 3)), label="y")
    sum_ = ops.Convolution(np.ones((1, 1, 2, 2), dtype=int), ZERO, padding=(1, 1, 0, 0))
    y = builder.add(sum_, y, label="once")
    return builder.add(sum_, y, label="twice")


def joined(builder):
    x = mixed(builder, (3,))
    unsigned = builder.input(np.zeros(2), np.full(2, 3), label="unsigned")
    both = builder.add(ops.Concatenate(0), x, unsigned, label="both")
    y = builder.add(ops.Gather(np.array([3, 4]), 0), both, label="unsigned again")
    z = builder.add(ops.Concatenate(0), y, unsigned, label="joined again")
    return builder.add(ops.Reshape((2, 2)), z, label="reshaped")


@pytest.mark.parametrize("build", [gathered, picked, bounded, padded_twice, joined])
def test_elements_of_a_signed_value_may_never_be_negative(build):
    """The engine moves ciphertexts as they are: what is moved keeps its sign, whatever its interval."""
    builder = ProgramBuilder()
    program = builder.finish(build(builder))
    assert_encrypted_equals_clear(program)


def assert_encrypted_equals_clear(program, n_rows=9):
    rows = random_inputs(program, n_rows, np.random.default_rng(0))
    expected = run(program, *rows)
    circuit = compile_program(program, batch_sizes=(1, 8))
    for mode in (circuit.simulate, circuit.execute):
        for found, wanted in zip(mode(*rows), expected, strict=True):
            np.testing.assert_array_equal(found, wanted)


def random_program(rng, lookups):
    """Build a program of movements, sums and layers on mixed signs; every value that is left is an output."""
    builder = ProgramBuilder()
    shapes = [(4,), (2, 3), (1, 3, 3)]
    values = []
    for shape in (shapes[rng.integers(3)], shapes[rng.integers(3)]):
        low = rng.integers(-4, 3, shape)
        values.append(builder.input(low, low + rng.integers(0, 5, shape), label="input"))
    while len(values) < 9:
        x = values[rng.integers(len(values))]
        kind = builder.type_of(x)
        alike = [v for v in values if builder.type_of(v).shape == kind.shape]
        other = alike[rng.integers(len(alike))]
        axis = int(rng.integers(len(kind.shape)))
        n, last = kind.shape[axis], kind.shape[-1]
        never_negative = [i for i in range(n) if np.take(kind.low, i, axis=axis).min() >= 0]
        choices = [
            (ops.Gather(np.array(never_negative or [0]), axis), x),
            (ops.Gather(rng.integers(0, n, rng.integers(1, n + 2)), axis), x),
            (ops.Reshape((kind.size,) if len(kind.shape) > 1 else (1, n)), x),
            (ops.Concatenate(axis), x, other),
            (ops.Add(), x, other),
            (ops.Subtract(), x, other),
            (ops.Linear(rng.integers(-1, 2, (last, 2)), rng.integers(-3, 8, 2)), x),
        ]
        if len(kind.shape) == 3:
            padding = tuple(rng.integers(0, 2, 4))
            kernel = rng.integers(-1, 2, (1, kind.shape[0], 2, 2))
            if min(kind.shape[1:]) > 1:
                choices.append((ops.Convolution(kernel, rng.integers(-2, 5, 1), padding=padding), x))
        op, *arguments = choices[rng.integers(len(choices))]
        y = builder.add(op, *arguments, label=type(op).__name__)
        if lookups and 2 < builder.type_of(y).bits < 6 and rng.random() < 0.3:
            lsbs = int(rng.integers(1, 3))
            rounding = ops.Truncate(lsbs) if rng.random() < 0.5 else ops.Round(lsbs, "exact")
            y = builder.add(rounding, y, label="rounded")
            read = builder.type_of(y)
            cells = rng.integers(-3, 4, (1, (read.max - read.min) // (1 << lsbs) + 1))
            y = builder.add(ops.Lookup(cells, np.array([read.min]), 1 << lsbs), y, label="looked up")
        if builder.type_of(y).bits <= 8 and builder.type_of(y).size <= 40:
            values.append(y)
    return builder.finish(*dict.fromkeys(values[2:]))


@pytest.mark.parametrize("seed", range(4))
def test_random_programs_of_mixed_signs_are_evaluated_as_in_the_clear(seed):
    assert_encrypted_equals_clear(random_program(np.random.default_rng(seed), lookups=False))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 115))
def test_many_random_programs_are_evaluated_as_in_the_clear(seed):
    assert_encrypted_equals_clear(random_program(np.random.default_rng(seed), lookups=bool(seed % 5 == 0)))


@pytest.mark.parametrize(("low", "high", "lsbs"), [(-9, 3, 2), (-17, 9, 3)])
def test_rounding_may_leave_a_signed_value_fewer_bits(low, high, lsbs):
    """The engine takes another width behind rounding for an overflow, and would round by one bit less."""
    builder = ProgramBuilder()
    x = builder.input(np.full(1, low), np.full(1, high), label="x")
    rounded = builder.add(ops.Round(lsbs, "exact"), x, label="rounded")
    read = builder.type_of(rounded)
    assert read.bits < builder.type_of(x).bits
    table = 3 * np.arange((read.max - read.min) // (1 << lsbs) + 1)[None]
    y = builder.add(ops.Lookup(table, np.array([read.min]), 1 << lsbs), rounded, label="y")
    program = builder.finish(y)
    rows = np.arange(low, high + 1)[:, None]
    circuit = compile_program(program, batch_sizes=(1, 8))
    np.testing.assert_array_equal(circuit.simulate(rows)[0], run(program, rows)[0])
    assert bits_read(program, y) == builder.type_of(x).bits - lsbs


def rounded_sum(bits, rounding, signed=False):
    """Build a lookup of the top 4 bits of a sum of ``bits`` bits."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(4), np.full(4, 2 ** (bits - 2) - 1), label="x")
    bias = np.array([-(2 ** (bits - 1)) if signed else 0])
    y = builder.add(ops.Linear(np.ones((4, 1), dtype=int), bias), x, label="sum")
    assert builder.type_of(y).bits == bits
    y = builder.add(rounding, y, label="rounded")
    read = builder.type_of(y)
    table = np.arange((read.max - read.min) // (1 << rounding.lsbs) + 1)[None] % 16
    y = builder.add(ops.Lookup(table, np.array([read.min]), 1 << rounding.lsbs), y, label="looked up")
    return builder.finish(y)


@pytest.mark.parametrize("signed", [False, True])
def test_accumulators_may_be_wider_than_lookups(signed):
    """What counts is what is left of them; all of their carries are met."""
    program = rounded_sum(20, ops.Truncate(16), signed)
    largest = 2**18 - 1
    rows = np.array([[0, 0, 0, 0], [1, 0, 0, 0], [2**16 - 1, 0, 0, 0], [2**16, 0, 0, 0], [largest] * 4])
    rows = np.concatenate([rows, np.random.default_rng(0).integers(0, largest + 1, (11, 4))])
    circuit = compile_program(program, batch_sizes=(1, 16))
    np.testing.assert_array_equal(circuit.simulate(rows)[0], run(program, rows)[0])


@pytest.mark.parametrize("bits", [24, 40])
def test_tables_are_no_larger_than_what_is_left_after_rounding(bits):
    """Spread over all integers of 40 bits, one would take 8 TiB."""
    circuit = compile_program(rounded_sum(bits, ops.Round(bits - 4, "approximate")), batch_sizes=(1,))
    assert circuit.statistics["lookups"] == 1
    assert circuit.cost.lookups == {5: 1}


def test_values_of_a_random_program_stay_in_their_intervals():
    """The intervals that the engine is given are those that interval arithmetic proves."""
    for seed in range(20):
        program = random_program(np.random.default_rng(seed), lookups=True)
        rows = random_inputs(program, 50, np.random.default_rng(seed))
        for value, found in zip(program.values, trace(program, *rows), strict=True):
            assert value.type.contains(found)


def test_a_product_of_one_row_and_one_column_is_a_matrix_product():
    """For the dot product of two vectors, the engine asks for no precision of what is multiplied."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(30), np.full(30, 7), label="x")
    squares = builder.add(ops.Lookup(np.arange(8)[None] ** 2, np.array([0])), x, label="squares")
    weight = np.full((30, 1), 99)
    program = builder.finish(builder.add(ops.Linear(weight, np.zeros(1, dtype=int)), squares, label="sum"))
    circuit = compile_program(program, batch_sizes=(1,))
    assert "matmul_eint_int" in circuit.mlir
    assert "dot" not in circuit.mlir


@pytest.mark.parametrize("cell", [-3, 5])
def test_a_table_of_one_number_is_that_number_whatever_its_sign(cell):
    """The engine folds it, and took a negative one for one near 2**64."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(2), np.full(2, 7), label="x")
    y = builder.add(ops.Lookup(np.full((1, 8), cell), np.array([0])), x, label="y")
    compiled = compile_program(builder.finish(builder.add(ops.Add(), y, y, label="z")))
    compiled.keygen()
    np.testing.assert_array_equal(compiled.execute(np.array([[0, 5]]))[0], [[2 * cell, 2 * cell]])
