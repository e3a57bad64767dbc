"""Tables of each element, read after approximate rounding that may need one more bit."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import skfhe.circuit._compiled_part as compiled_part
from skfhe.circuit import compile_program
from skfhe.circuit._tables_apart import with_tables_apart
from skfhe.program import ProgramBuilder, ops, run

STEPS = np.array([1, 2, 3, 1])
"""What the tables go up by from cell to cell: four elements, two of which share a table."""
ROWS = np.random.default_rng(0).integers(0, 64, (8, 4))


@pytest.fixture(scope="module")
def program():
    """A value of 6 bits, rounded to multiples of 2 in [0, 64]."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(4, dtype=np.int64), np.full(4, 63, dtype=np.int64), label="x")
    rounded = builder.add(ops.Round(1, "approximate"), x, label="rounded")
    tables = STEPS[:, None] * np.arange(33)
    return builder.finish(
        builder.add(ops.Lookup(tables, np.zeros(4, dtype=np.int64), 2), rounded, label="looked up")
    )


def test_results_are_the_same(program):
    apart = with_tables_apart(program)
    assert len(apart.lookups) == 3
    assert_array_equal(run(apart, ROWS)[0], run(program, ROWS)[0])


def test_elements_that_take_fewer_integers_than_a_cell_stands_for():
    """Alone, they would have no bits left after rounding."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(3, dtype=np.int64), np.array([1, 63, 63]), label="x")
    rounded = builder.add(ops.Round(3, "approximate"), x, label="rounded")
    lookup = ops.Lookup(np.arange(1, 4)[:, None] * np.arange(9), np.zeros(3, dtype=np.int64), 8)
    program = builder.finish(builder.add(lookup, rounded, label="y"))
    apart = with_tables_apart(program)
    assert len(apart.lookups) == 3
    rows = ROWS[:, :3] % np.array([2, 64, 64])
    assert_array_equal(run(apart, rows)[0], run(program, rows)[0])


@pytest.mark.slow
def test_it_is_compiled_and_reads_a_neighbouring_cell_at_most(program, monkeypatch):
    """The engine cannot cut tables of each element to what rounding leaves: it is given one for each."""
    given = []
    monkeypatch.setattr(
        compiled_part, "with_tables_apart", lambda whole: given.append(with_tables_apart(whole)) or given[-1]
    )
    compiled = compile_program(program, batch_sizes=(8,))
    compiled.keygen()
    assert (np.abs(compiled.execute(ROWS)[0] - run(program, ROWS)[0]) <= STEPS).all()
    assert len(given) == 1
