"""Residues modulo a power of two: who may read them, and what an encrypted run declares of their values."""

import numpy as np
import pytest

from skfhe.program import ProgramBuilder, declared_types, infer_type, is_negacyclic, ops, run, verify

WAVE = ops.Lookup(np.array([[1, 2, 2, 0, -1, -2, -2, 0]]), np.array([0]))


class Residues:
    """A program of 40 bits, their sum, and the residues of that modulo 8."""

    def __init__(self, n_bits=3):
        self.builder = ProgramBuilder()
        self.x = self.builder.input(np.zeros(40), np.ones(40), label="bits")
        weight = np.full((40, 1), 5)
        self.sum = self.builder.add(ops.Linear(weight, np.array([-77])), self.x, label="sum")
        self.modulo = self.builder.add(ops.Modulo(n_bits), self.sum, label="residues")

    def add(self, op, *arguments):
        return self.builder.add(op, *arguments, label=type(op).__name__)

    def declared(self, *outputs):
        """Return (bits, whether there is a sign) of the input, the sum and the residues."""
        program = self.builder.finish(*outputs)
        verify(program)
        return [(kind.bits, kind.min < 0) for kind in declared_types(program)[:3]]


def test_residues_are_no_output():
    build = Residues()
    with pytest.raises(ValueError, match=r"%2 \(Modulo, 'residues'\) is an output; residues modulo 2\*\*3"):
        verify(build.builder.finish(build.modulo))


def test_residues_of_a_bound_of_what_is_rounded_are_refused():
    """The engine rounds where a lookup reads, which would be behind the bound."""
    build = Residues()
    rounded = build.add(ops.Round(1, "approximate"), build.sum)
    bounded = build.add(ops.Bound(-80, 130), rounded)
    residues = build.add(ops.Modulo(3), bounded)
    y = build.add(WAVE, residues)
    with pytest.raises(ValueError, match="of a bound of what is rounded approximately; bound it before"):
        verify(build.builder.finish(y))


def wrong_tables():
    half = np.array([1, 2, 2, 0])
    yield "not odd", np.concatenate([half, half]), 0, 1
    yield "one cell is not odd", np.concatenate([half, [-1, -2, -2, 1]]), 0, 1
    yield "more cells", np.concatenate([half, -half, half, -half]), 0, 1
    yield "starts elsewhere", np.concatenate([[7], half, -half]), -1, 1
    yield "two cells, which no lookup reads", [3, -3], 0, 4
    yield "steps", np.concatenate([half, -half]), 0, 2


@pytest.mark.parametrize("name", [name for name, *_ in wrong_tables()])
def test_residues_are_read_by_lookups_of_negacyclic_tables_alone(name):
    """The engine is given half a table: it could not read the other half otherwise."""
    cells, start, step = next(rest for found, *rest in wrong_tables() if found == name)
    build = Residues()
    op = ops.Lookup(np.array([cells]), np.array([start]), step)
    assert not is_negacyclic(op, 3)
    y = build.add(op, build.modulo)
    with pytest.raises(ValueError, match=r"Lookup.* reads %2, residues modulo 2\*\*3; these are read by"):
        verify(build.builder.finish(y))


def test_a_table_of_another_modulus_is_refused():
    build = Residues(n_bits=2)
    half = np.array([1, 2, 2, 0])
    y = build.add(ops.Lookup(np.concatenate([half, -half])[None], np.array([0])), build.modulo)
    with pytest.raises(ValueError, match=r"residues modulo 2\*\*2"):
        verify(build.builder.finish(y))


@pytest.mark.parametrize(
    "op",
    [
        ops.Linear(np.ones((1, 1), int), np.zeros(1, int)),
        ops.Add(),
        ops.Reshape((1, 1)),
        ops.Gather(np.array([0]), 0),
        ops.Bound(0, 3),
        ops.Round(1, "approximate"),
        ops.Truncate(1),
        ops.Modulo(2),
    ],
    ids=lambda op: type(op).__name__,
)
def test_nothing_but_lookups_reads_residues(op):
    build = Residues()
    y = build.add(op, *[build.modulo] * (1 + isinstance(op, ops.Add)))
    if isinstance(op, ops.Modulo):
        y = build.add(ops.Lookup(np.array([[1, 2, -1, -2]]), np.array([0])), y)
    with pytest.raises(ValueError, match="reads %2, residues modulo"):
        verify(build.builder.finish(y))


def test_what_is_read_by_residues_alone_has_room_for_these_alone():
    """One bit of three is the sign of the circle's half; inputs of one bit keep what they have."""
    build = Residues()
    assert build.declared(build.add(WAVE, build.modulo)) == [(1, False), (2, False), (2, False)]


def test_what_others_read_as_well_is_declared_as_it_is():
    """The sum lies in [-77, 123]: as an output, or looked up, it keeps 8 bits."""
    for output in (True, False):
        build = Residues()
        y = build.add(WAVE, build.modulo)
        wide = build.sum
        if not output:
            wide = build.add(ops.Lookup(np.arange(201)[None] % 3, np.array([-77])), build.sum)
        assert build.declared(y, wide) == [(1, False), (8, True), (2, False)]


def test_a_bound_is_declared_with_what_others_read_of_its_argument():
    """Both are the same ciphertexts."""
    for output, bits in ((True, 8), (False, 2)):
        build = Residues()
        bounded = build.add(ops.Bound(-77, 123), build.sum)
        y = build.add(WAVE, build.add(ops.Modulo(3), bounded))
        kinds = declared_types(build.builder.finish(y, *[build.sum] * output))
        assert kinds[bounded].bits == kinds[build.sum].bits == bits


def test_of_two_moduli_the_larger_is_declared():
    build = Residues()
    more = build.add(ops.Modulo(5), build.sum)
    half = np.arange(16)
    z = build.add(ops.Lookup(np.concatenate([half, -half])[None], np.array([0])), more)
    assert build.declared(build.add(WAVE, build.modulo), z) == [(1, False), (4, False), (2, False)]


def test_sums_of_sums_follow_what_is_read_of_them():
    """What is known modulo 8 of a sum follows from its terms modulo 8; of a rounded value it does not."""
    for op, expected in ((ops.Reshape((1, 1)), 2), (ops.Round(1, "exact"), 8)):
        build = Residues()
        y = build.add(op, build.sum)
        y = build.add(ops.Modulo(3), y)
        program = build.builder.finish(build.add(WAVE, y))
        assert declared_types(program)[build.sum].bits == expected


def test_a_value_narrower_than_its_modulus_is_declared_as_it_is():
    builder = ProgramBuilder()
    x = builder.input(np.zeros(1), np.ones(1), label="x")
    y = builder.add(WAVE, builder.add(ops.Modulo(3), x, label="residues"), label="wave")
    program = builder.finish(y)
    assert [kind.bits for kind in declared_types(program)] == [1, 2, 3]
    np.testing.assert_array_equal(run(program, np.array([[0], [1]]))[0], [[1], [2]])


@pytest.mark.parametrize("n_bits", [2, 5, 63])
def test_residues_fill_their_interval(n_bits):
    builder = ProgramBuilder()
    builder.input(np.full(2, -(2**40)), np.full(2, 2**40), label="x")
    kind = infer_type(ops.Modulo(n_bits), builder.finish(0).values[0].type)
    assert (kind.min, kind.max, kind.shape) == (0, (1 << n_bits) - 1, (2,))


def rounded_residues(lsbs, step, method="approximate", n_bits=4):
    build = Residues()
    rounded = build.add(ops.Round(lsbs, method), build.sum)
    build.rounded = build.add(ops.Modulo(n_bits), rounded)
    half = np.arange((1 << n_bits) // step // 2) + 1
    lookup = ops.Lookup(np.concatenate([half, -half])[None], np.array([0]), step)
    return build.builder.finish(build.add(lookup, build.rounded))


def test_rounded_residues_are_read_by_tables_of_their_multiples():
    """Sums of -77 to 123, modulo 16 in steps of 4: a negacyclic table of four cells, read by one bit."""
    program = rounded_residues(2, 4)
    verify(program)
    rows = (np.arange(40)[None] < np.arange(41)[:, None]).astype(int)
    sums = 5 * np.arange(41) - 77
    expected = np.array([1, 2, -1, -2])[(sums + 2) // 4 % 4]
    np.testing.assert_array_equal(run(program, rows)[0][:, 0], expected)
    # the last multiple of the first half is 4, so that rounding up never needs one more bit
    types = [declared_types(program)[at] for at in (1, 3, 4)]
    assert [(kind.min, kind.max) for kind in types] == [(0, 7), (0, 7), (0, 4)]
    assert program.accumulator_bits == [3]


@pytest.mark.parametrize(
    ("lsbs", "step", "method"),
    [(2, 1, "approximate"), (2, 2, "approximate"), (1, 4, "approximate"), (2, 4, "exact")],
)
def test_steps_are_those_of_the_rounding(lsbs, step, method):
    """And exact rounding is none that a circle has: it takes lookups of its own."""
    with pytest.raises(ValueError, match="has a cell for each multiple of"):
        verify(rounded_residues(lsbs, step, method))
