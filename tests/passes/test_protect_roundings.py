"""Near a tie, approximate rounding may take a neighbour that the bits of the value do not hold."""

import numpy as np
import pytest

from skfhe.circuit import compile_program
from skfhe.cost import ErrorRate
from skfhe.passes import protect_roundings
from skfhe.program import ProgramBuilder, bit_width, ops, run, verify
from tests.network.test_noise import rounded


def bits_held(program):
    """Return the bits of each rounded value, before or after, and the largest that it may be near a tie."""
    found = []
    for value in program.values:
        if isinstance(value.op, ops.Round):
            before = program.values[value.arguments[0]].type
            step = 1 << value.op.lsbs
            neighbour = value.type.high + np.where(before.high > value.type.high, step, 0)
            least = min(before.min, value.type.min)  # as the engine takes the two, with one sign
            bits = max(before.bits, bit_width(least, value.type.max))
            found.append((1 << (bits - (least < 0)), int(neighbour.max())))
    return found


@pytest.mark.parametrize("lsbs", [1, 2, 3])
@pytest.mark.parametrize("lowest", [0, -1, -3, -20])
def test_every_neighbour_is_held(lowest, lsbs):
    """Results are the same but for what is rounded up to a power of two: the last cell below is read."""
    for highest in range(16, 66):
        builder = ProgramBuilder()
        x = builder.input(np.full(2, lowest), np.array([highest, 3]), label="x")
        y = builder.add(ops.Round(lsbs, "approximate"), x, label="x")
        read = builder.type_of(y)
        cells = np.arange((read.max - read.min >> lsbs) + 1)[None]
        lookup = ops.Lookup(cells, np.array([read.min]), 1 << lsbs)
        program = builder.finish(builder.add(lookup, y, label="x"))
        protected = protect_roundings(program)
        verify(protected)
        assert all(largest < limit for limit, largest in bits_held(protected))
        rows = np.stack([np.arange(lowest, highest + 1), np.full(highest - lowest + 1, 3)], axis=1)
        limit = 1 << (program.values[0].type.bits - (lowest < 0))
        before, after = run(program, rows)[0], run(protected, rows)[0]
        up = rows[:, 0] + (1 << lsbs) // 2 >= limit
        np.testing.assert_array_equal(after[~up], before[~up])
        np.testing.assert_array_equal(after[up, 0], before[up, 0] - 1)


def test_what_is_held_already_stays_as_it_is():
    program = rounded(240, 4)
    assert protect_roundings(program) is program


def test_what_cutting_off_narrows_is_held_too():
    """Of the second value, 15 is rounded up to 16 and 13 is not; 13 is all that is left of it."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(1), np.full(1, 14), label="x")
    for table in ([0, 1, 2, 13, 15], [0, 1, 2, 3, 4]):
        x = builder.add(ops.Round(2, "approximate"), x, label="x")
        x = builder.add(ops.Lookup(np.array([table]), np.array([0]), 4), x, label="x")
    protected = protect_roundings(builder.finish(x))
    verify(protected)
    assert all(largest < limit for limit, largest in bits_held(protected))


def test_the_top_cell_does_not_wrap_in_the_engine():
    """Unprotected, 247 is read as 0 in every third simulation: 256 is where the circle of 8 bits ends."""
    x = np.full((300, 1), 247)
    found = [
        compile_program(program, ErrorRate(2**-40)).simulate(x)[0]
        for program in (rounded(247, 4), protect_roundings(rounded(247, 4)))
    ]
    assert (found[0] == 0).any()
    assert (found[1] == 15).all()


def test_the_top_cell_does_not_wrap_where_all_that_is_negative_is_rounded_to_zero():
    """The result is in [0, 128], in 8 bits; with the sign that the engine keeps it takes 9."""
    builder = ProgramBuilder()
    x = builder.input(np.full(1, -3), np.full(1, 127), label="x")
    h = builder.add(ops.Round(3, "approximate"), x, label="x")
    table = np.arange(17)[None]
    protected = protect_roundings(
        builder.finish(builder.add(ops.Lookup(table, np.array([0]), 8), h, label="x"))
    )
    found = compile_program(protected, ErrorRate(2**-40)).simulate(
        np.repeat([[-3], [126], [127]], 100, axis=0)
    )
    assert set(found[0][:100].ravel()) == {0}
    assert set(found[0][100:].ravel()) == {15}


@pytest.mark.parametrize("moved", [False, True])
def test_a_value_that_is_rounded_in_two_ways_takes_a_bit_more(moved):
    """Guarded against both, it would end the process: the engine misses a key. It may be moved between."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(2), np.full(2, 255), label="x")
    outputs = []
    for lsbs in (4, 5):
        h = builder.add(ops.Round(lsbs, "approximate"), x, label="h")
        cells = np.arange((256 >> lsbs) + 1)[None]
        outputs.append(builder.add(ops.Lookup(cells, np.array([0]), 1 << lsbs), h, label="h"))
        if moved:
            x = builder.add(ops.Gather(np.arange(2), 0), x, label="moved")
    program = builder.finish(*outputs)
    protected = protect_roundings(program)
    verify(protected)
    assert all(largest < limit for limit, largest in bits_held(protected))
    rows = np.repeat(np.arange(256)[:, None], 2, axis=1)
    for before, after, last in zip(run(program, rows), run(protected, rows), (15, 7), strict=True):
        np.testing.assert_array_equal(after, np.minimum(before, last))
    found = compile_program(protected, ErrorRate(2**-40)).simulate(np.array([[0, 255]]))
    assert [y.tolist() for y in found] == [[[0, 15]], [[0, 7]]]
