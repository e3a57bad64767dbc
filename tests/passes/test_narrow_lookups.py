"""Tables as sums of negacyclic ones: exact on every cell that occurs, and cheaper in whole."""

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skfhe.circuit import compile_program
from skfhe.cost import ErrorRate, estimate_cost
from skfhe.passes import narrow_lookups, optimize, shift_accumulators
from skfhe.passes._narrow_lookups import _candidates, _Narrowing, _reached, _Unfit
from skfhe.passes._negacyclic import split_tables
from skfhe.program import ProgramBuilder, ops, run, verify
from tests.conftest import random_inputs
from tests.cost.test_cost import differences


def arc(n_cells, n_bits, n_tables=3, start=0):
    """Return which cells of a circle occur: so many from ``start`` on."""
    live = np.zeros((n_tables, 1 << n_bits), dtype=bool)
    live[:, (start + np.arange(n_cells)) % (1 << n_bits)] = True
    return live


def assert_split(tables, live, split):
    """Parts are negacyclic, each on its circle, and add up to the multiple wherever a cell occurs."""
    residues = np.arange(tables.shape[-1])
    total = split.constants[:, None] + np.zeros_like(tables)
    for n_bits, part in split.parts:
        assert part.shape == (len(tables), 1 << n_bits)
        half = part.shape[-1] // 2
        np.testing.assert_array_equal(part[:, half:], -part[:, :half])
        total = total + part[:, residues % (1 << n_bits)]
    np.testing.assert_array_equal(total[live], (tables << split.doubled)[live])


@pytest.mark.parametrize("n_bits", [3, 4, 5, 6, 7])
def test_random_tables_take_as_many_parts_as_cells_ask_for(n_bits):
    """Of 2**d cells, half take one part, 3/4 two and 7/8 three, wherever on the circle they are."""
    rng = np.random.default_rng(n_bits)
    whole = 1 << n_bits
    for n_cells in range(whole // 2, whole + 1):
        tables = rng.integers(-50, 50, (3, whole))
        live = arc(n_cells, n_bits, start=int(rng.integers(whole)))
        split = split_tables(tables, live)
        # remainders are known on what is beyond a half, a quarter, an eighth; one cell alone is constant
        most = min(3, n_bits - 1)  # a circle has four residues at least
        enough = next((n for n in range(1, most + 1) if n_cells <= whole - (whole >> n) + 1), None)
        if split is None:
            assert enough is None
            continue
        assert enough is None or len(split.parts) == enough
        assert [bits for bits, _ in split.parts] == [n_bits - n for n in range(len(split.parts))]
        assert_split(tables, live, split)


@pytest.mark.parametrize("start", [0, 5])
def test_odd_functions_and_steps_take_one_part_of_the_whole_circle(start):
    u = np.arange(-16, 16)
    functions = {
        "sign": np.where(u < 0, -1, 1),
        "step": (u >= 0) * 3,
        "|u|": abs(u),
        "|u + 1/2|": abs(2 * u + 1),
    }
    for tables in functions.values():
        rolled = np.roll(tables, start)[None]
        split = split_tables(rolled, np.ones((1, 32), dtype=bool))
        assert [bits for bits, _ in split.parts] == [5]
        assert_split(rolled, np.ones((1, 32), dtype=bool), split)


def test_clipped_ramps_take_one_part_where_their_ends_meet():
    """0 at the first 8 cells, 7 at the last 8: what is half a circle apart adds up to 7."""
    u = np.arange(24)
    table = np.pad(np.clip(u - 8, 0, 7), (0, 8))[None]
    split = split_tables(table, arc(24, 5, 1))
    assert [bits for bits, _ in split.parts] == [5]
    assert split.constants.tolist() == [7]
    assert_split(table, arc(24, 5, 1), split)


def test_without_a_constant_a_table_takes_more_parts():
    table = np.pad(np.clip(np.arange(24) - 8, 0, 7), (0, 8))[None]
    split = split_tables(table, arc(24, 5, 1), shifted=False)
    assert [bits for bits, _ in split.parts] == [5, 4]
    assert not split.constants.any()
    assert_split(table, arc(24, 5, 1), split)


def test_constant_tables_take_no_part():
    split = split_tables(np.full((2, 8), 5), arc(6, 3, 2))
    assert (split.parts, split.constants.tolist(), split.doubled) == ((), [5, 5], 0)


def summed(program, builder, size, n, rng, weight=1):
    return builder.add(
        ops.Linear(rng.integers(-weight, weight + 1, (size, n)), rng.integers(-9, 10, n)),
        program,
        label="sum",
    )


def count(n_cells, n, seed=0, tables=None, rounding=0, n_out=2, depth=1, per_channel=True):
    """Build ``depth`` layers of ``n`` lookups, the first of sums in [0, n_cells - 1] times 2**rounding."""
    rng = np.random.default_rng(seed)
    builder = ProgramBuilder()
    x = builder.input(np.zeros(n_cells - 1), np.ones(n_cells - 1), label="x")
    ones = np.full((n_cells - 1, n), 1 << rounding)
    h = builder.add(ops.Linear(ones, rng.integers(-9, 9, n) << rounding), x, label="sum")
    for _ in range(depth):
        if rounding:
            h = builder.add(ops.Round(rounding, "approximate"), h, label="rounded")
        read = builder.type_of(h)
        cells = (read.max - read.min >> rounding) + 1
        chosen = rng.integers(0, 4, (n if per_channel else 1, cells)) if tables is None else tables(cells)
        lookup = ops.Lookup(chosen, np.full(len(chosen), read.min), 1 << rounding)
        h = builder.add(lookup, h, label="looked up")
        last = h
        h = summed(h, builder, n, n, rng)
        rounding = 0
    y = summed(last, builder, n, n_out, rng, weight=2)
    return optimize(builder.finish(y))


def counts(program):
    """Return rows of every count, from the first to the last."""
    n = program.values[program.inputs[0]].type.size
    return (np.arange(n)[None] < np.arange(n + 1)[:, None]).astype(np.int64)


def all_narrow(program):
    """Return a program with everything narrowed that can be, whatever it costs."""
    return _Narrowing(program, _candidates(program)).apply()


def assert_multiples(program, narrow, doubled, rows):
    verify(narrow)
    for wanted, found, times in zip(run(program, *rows), run(narrow, *rows), doubled, strict=True):
        np.testing.assert_array_equal(found, wanted << times)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_outputs_are_multiples_of_what_they_were(seed):
    """On every count: tables of 5 to 56 cells, deep, rounded, one a channel or one for all."""
    rng = np.random.default_rng(seed)
    n_bits = int(rng.integers(3, 7))
    program = count(
        int((1 << n_bits) * rng.choice([0.6, 0.75, 0.85])),
        int(rng.integers(1, 4)),
        seed,
        rounding=int(rng.choice([0, 0, 2])),
        depth=int(rng.integers(1, 4)),
        per_channel=bool(rng.integers(2)),
    )
    assert_multiples(program, *narrow_lookups(program), [counts(program)])
    with suppress(_Unfit):  # of sums of nothing, no bit would be left
        assert_multiples(program, *all_narrow(program), [counts(program)])


@pytest.mark.parametrize("p_error", [2.0**-40, 1e-3])
def test_what_is_narrowed_is_cheaper(p_error):
    rate = ErrorRate(p_error)
    for n_cells in (12, 24, 28, 48, 56, 96, 128):
        program = count(n_cells, 3)
        narrow, doubled = narrow_lookups(program, rate)
        before, after = estimate_cost(program, rate), estimate_cost(narrow, rate)
        assert (after.complexity < before.complexity) == (narrow is not program)
        assert after.seconds <= before.seconds
        assert any(doubled) <= (narrow is not program)


def test_prices_of_the_field():
    """One lookup of 5 bits and one of 4 take 1.6 times less than one of 6, with twofold outputs."""
    program = count(48, 3)
    narrow, doubled = narrow_lookups(program)
    assert (program.accumulator_bits, narrow.accumulator_bits, doubled) == ([6], [5, 4], (1,))
    assert estimate_cost(program).complexity > 1.6 * estimate_cost(narrow).complexity
    assert differences(narrow) == []


@pytest.mark.parametrize("n_cells", [24, 28, 48, 96])
def test_prices_are_the_engine_s(n_cells):
    program = count(n_cells, 3)
    assert differences(all_narrow(program)[0]) == []


def assert_encrypted(program, narrow, doubled, rows):
    circuit = compile_program(narrow, batch_sizes=(len(rows),))
    wanted = run(program, rows)[0] << doubled[0]
    np.testing.assert_array_equal(circuit.simulate(rows)[0], wanted)
    np.testing.assert_array_equal(circuit.execute(rows)[0], wanted)


def test_every_cell_is_read_as_it_was():
    """24 cells of 5 bits by 4 and 3."""
    program = count(24, 1)
    narrow, doubled = narrow_lookups(program)
    assert narrow.accumulator_bits == [4, 3]
    assert_encrypted(program, narrow, doubled, counts(program))


@pytest.mark.slow
@pytest.mark.parametrize("n_cells", [48, 56])
def test_every_cell_of_six_bits_is_read_as_it_was(n_cells):
    program = count(n_cells, 2)
    assert_encrypted(program, *all_narrow(program), counts(program))


@pytest.mark.slow
def test_a_sign_of_six_bits_is_one_lookup_of_five():
    program = count(59, 1, tables=lambda n: np.where(np.arange(n) < 29, -1, 1)[None], per_channel=False)
    narrow, doubled = narrow_lookups(program)
    assert narrow.accumulator_bits == [5]
    assert_encrypted(program, narrow, doubled, counts(program))


def test_sums_of_multiples_are_read_by_their_upper_bits():
    """A second layer reads twofold sums, narrowed as well, by cells for each multiple of two."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(9), np.ones(9), label="x")
    h = builder.add(ops.Linear(np.ones((9, 2), int), np.array([0, 1])), x, label="sum")
    cells = np.array([[0, 3, 1, 2, 3, 0, 1, 1, 3, 3, 0], [0, 0, 2, 2, 3, 1, 1, 3, 3, 0, 2]])
    h = builder.add(ops.Lookup(cells, np.zeros(2, int)), h, label="first")
    h = builder.add(ops.Linear(np.array([[2], [1]]), np.array([0])), h, label="sum")
    h = builder.add(ops.Lookup(np.array([[5, 0, 1, 7, 2, 2, 6, 3, 1, 3]]), np.array([0])), h, label="second")
    program = builder.finish(builder.add(ops.Linear(np.array([[3]]), np.array([-4])), h, label="y"))
    narrow, doubled = all_narrow(program)
    assert (narrow.accumulator_bits, doubled) == ([3, 2, 4, 3], (1,))
    assert [narrow.values[at].op.step for at in narrow.lookups] == [1, 1, 2, 2]
    assert_encrypted(program, narrow, doubled, counts(program))


def test_what_is_returned_as_it_was_looked_up_stays():
    """Integers of an output quantizer are the network's own."""
    program = count(48, 3)
    looked_up = program.lookups[0]
    again = type(program)(program.values, (looked_up,), program.range_source)
    narrow, doubled = narrow_lookups(again)
    assert (narrow, doubled) == (again, (0,))


def test_sums_with_inputs_stay():
    """Ciphertexts of inputs have their own unit."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(47), np.ones(47), label="x")
    h = builder.add(ops.Linear(np.ones((47, 1), int), np.zeros(1, int)), x, label="sum")
    table = np.random.default_rng(0).integers(0, 4, (1, 48))
    y = builder.add(ops.Lookup(table, np.array([0])), h, label="looked up")
    first = builder.add(ops.Gather(np.array([0]), 0), x, label="first")
    program = builder.finish(builder.add(ops.Add(), y, first, label="y"))
    assert _candidates(program)
    with pytest.raises(_Unfit):
        all_narrow(program)
    assert narrow_lookups(program) == (program, (0,))


@pytest.mark.parametrize("padding", [(0, 0, 0, 0), (1, 0, 0, 1)])
@pytest.mark.parametrize("ramp", [False, True])
def test_convolutions_behind_narrow_lookups(ramp, padding):
    """A constant goes into the next bias; where zeros that pad an image stand beside it, there is none."""
    rng = np.random.default_rng(0)
    builder = ProgramBuilder()
    x = builder.input(np.zeros((3, 3, 3)), np.full((3, 3, 3), 7), label="x")
    h = builder.add(ops.Convolution(np.ones((2, 3, 1, 2), int), np.array([3, -5])), x, label="sum")
    cells = np.array([np.clip(np.arange(43) - 12, 0, 4), np.clip(np.arange(43) - 20, 0, 4)])
    if not ramp:
        cells = rng.integers(0, 4, cells.shape)
    lookup = ops.Lookup(cells[:, None, None], np.array([3, -5])[:, None, None])
    h = builder.add(lookup, h, label="looked up")
    op = ops.Convolution(rng.integers(-2, 3, (2, 2, 2, 2)), np.array([3, -4]), padding=padding)
    program = optimize(builder.finish(builder.add(op, h, label="y")))
    narrow, doubled = narrow_lookups(program)
    assert len(narrow.lookups) == (1 if ramp and not any(padding) else 2)
    assert_multiples(program, narrow, doubled, random_inputs(program, 200, rng))


def test_what_can_be_less_at_the_edges_of_an_image_stays_so():
    """Elements of one table have intervals of their own, and so have sums with them, which are looked up."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros((1, 1, 5)), np.full((1, 1, 5), 15), label="x")
    three = ops.Convolution(np.ones((1, 1, 1, 3), int), np.zeros(1, int), padding=(0, 1, 0, 1))
    total = builder.add(three, x, label="total")  # up to 45, and to 30 at both ends
    narrow = builder.add(ops.Lookup(np.arange(46)[None] // 5, np.array([0])), total, label="narrow")
    few = ops.Lookup((np.array([1, 0, 0, 0, 1]) * 9)[:, None] * (np.arange(16) > 7), np.zeros(5, int))
    edges = builder.add(few, x, label="edges")
    both = builder.add(ops.Add(), narrow, edges, label="both")
    assert builder.type_of(both).max == 15
    y = builder.add(ops.Lookup(np.arange(16)[None] % 7, np.array([0])), both, label="y")
    program = builder.finish(builder.add(ops.Reshape((5,)), y, label="y"))
    found, factors = narrow_lookups(program)
    assert factors == (0,)
    assert found is not program
    verify(found)
    rows = np.random.default_rng(0).integers(0, 16, (200, 1, 1, 5))
    rows[0], rows[1] = 0, 15
    np.testing.assert_array_equal(run(found, rows)[0], run(program, rows)[0])


def test_other_lookups_of_the_same_sums_are_multiplied():
    """Two layers' results meet in one sum, of which one is narrowed: outputs have one unit."""
    rng = np.random.default_rng(3)
    builder = ProgramBuilder()
    x = builder.input(np.zeros(47), np.ones(47), label="x")
    wide = builder.add(ops.Linear(np.ones((47, 2), int), np.zeros(2, int)), x, label="wide")
    wide = builder.add(ops.Lookup(rng.integers(0, 4, (2, 48)), np.zeros(2, int)), wide, label="wide")
    few = builder.add(ops.Gather(np.array([0, 1]), 0), x, label="few")
    few = builder.add(ops.Lookup(np.array([[3, 1]]), np.array([0])), few, label="few")
    both = builder.add(ops.Concatenate(0), wide, few, label="both")
    both = builder.add(ops.Bound(0, 3), both, label="both")
    y = builder.add(ops.Linear(rng.integers(-3, 4, (4, 2)), np.array([7, -2])), both, label="y")
    z = builder.add(ops.Linear(rng.integers(-1, 2, (4, 2)), np.array([7, -2])), both, label="z")
    read = builder.type_of(z)
    cells = rng.integers(0, 3, (1, (read.max - read.min) // 2 + 2))
    z = builder.add(ops.Round(1, "exact"), z, label="z")
    z = builder.add(ops.Lookup(cells, np.array([builder.type_of(z).min]), 2), z, label="z")
    program = optimize(builder.finish(y, z), [shift_accumulators])
    narrow, doubled = _Narrowing(
        program, {program.lookups[0]: _candidates(program)[program.lookups[0]]}
    ).apply()
    assert doubled == (1, 0)
    assert_multiples(program, narrow, doubled, [counts(program)])


@pytest.mark.parametrize(("high", "last"), [(32, 8), (33, 9), (35, 9), (36, 9), (37, 10)])
def test_approximate_rounding_may_lead_beyond_the_last_cell(high, last):
    """Near a tie its neighbour occurs as well: above the middle of the last cell, one cell more counts."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(1), np.full(1, high), label="x")
    h = builder.add(ops.Linear(np.array([[1]]), np.array([0])), x, label="sum")
    h = builder.add(ops.Round(2, "approximate"), h, label="rounded")
    program = builder.finish(builder.add(ops.Lookup(np.arange(11)[None], np.array([0]), 4), h, label="y"))
    low, high = _reached(program, program.lookups[0])
    assert (low.tolist(), high.tolist()) == ([0], [last])


def rounded_ramp(n_cells, table):
    """Build a sum in [0, 4 * n_cells - 4], rounded approximately to multiples of 4, and a lookup of these."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(n_cells - 1), np.full(n_cells - 1, 4), label="x")
    h = builder.add(ops.Linear(np.ones((n_cells - 1, 1), int), np.zeros(1, int)), x, label="sum")
    h = builder.add(ops.Round(2, "approximate"), h, label="rounded")
    h = builder.add(ops.Lookup(table[None], np.array([0]), 4), h, label="looked up")
    return builder.finish(builder.add(ops.Linear(np.array([[1]]), np.array([0])), h, label="y"))


def test_what_is_rounded_approximately_is_read_once():
    """Near a tie two lookups might take different neighbours, and their sum be that of neither cell."""
    ramp = np.clip(np.arange(12) - 4, 0, 3)
    narrow, doubled = all_narrow(rounded_ramp(12, ramp))
    assert (len(narrow.lookups), doubled, narrow.accumulator_bits) == (1, (1,), [5])
    assert estimate_cost(narrow).lookups == {3: 1}
    several = np.random.default_rng(0).integers(0, 4, 12)
    assert not _candidates(rounded_ramp(12, several))


def test_a_narrow_lookup_of_what_is_rounded_takes_a_neighbour_at_most():
    program = rounded_ramp(12, np.clip(np.arange(12) - 4, 0, 3))
    narrow, _ = all_narrow(program)
    sums = np.arange(45)
    rows = np.array([[4] * (n // 4) + [n % 4] * (n < 44) + [0] * (10 - n // 4) for n in sums])[:, :11]
    found = compile_program(narrow, batch_sizes=(45,)).execute(rows)[0][:, 0]
    ramp = 2 * np.clip(np.arange(13) - 4, 0, 3)
    below, above = ramp[sums // 4], ramp[-(-sums // 4)]
    assert ((found == below) | (found == above)).all()
    whole = sums % 4 == 0
    np.testing.assert_array_equal(found[whole], 2 * run(program, rows)[0][whole, 0])
