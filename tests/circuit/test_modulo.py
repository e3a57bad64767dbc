"""Lookups that read the whole circle, whatever the engine is told and however far an accumulator goes."""

import numpy as np
import pytest
from concrete import fhe
from numpy.testing import assert_array_equal

from skfhe.circuit import compile_program
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
