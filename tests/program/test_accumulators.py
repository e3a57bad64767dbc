"""The accumulator of a lookup is what was summed, whatever bounds and rounding stand between."""

import numpy as np
import pytest

from skfhe.cost import Report
from skfhe.program import ProgramBuilder, ops

WIDE = 63
BOUND, ROUND, TRUNCATE = ops.Bound(0, 31), ops.Round(2, "approximate"), ops.Truncate(3)


def chain(*between):
    """Return a program of a sum of 6 bits and its lookup, with operations in between, and their positions."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(1), np.full(1, WIDE), label="x")
    at = total = builder.add(ops.Linear(np.array([[1]]), np.array([0])), x, label="sum")
    positions = [total]
    for op in between:
        at = builder.add(op, at, label="between")
        positions.append(at)
    lookup = builder.add(ops.Lookup(np.arange(WIDE + 2)[None], np.array([0])), at, label="lookup")
    return builder.finish(lookup), lookup, positions


@pytest.mark.parametrize(
    ("between", "accumulator", "roundings"),
    [
        ((), 0, []),
        ((ROUND,), 0, [1]),
        ((TRUNCATE,), 0, [1]),
        ((BOUND,), 1, []),  # it tells of the sum itself
        ((BOUND, ROUND), 1, [2]),
        ((ROUND, BOUND), 0, [1]),  # it tells of what was rounded
        ((BOUND, TRUNCATE, BOUND), 1, [2]),
        ((ROUND, TRUNCATE), 0, [2, 1]),
        ((BOUND, ROUND, BOUND, TRUNCATE, BOUND), 1, [4, 2]),
    ],
)
def test_bounds_and_rounding_are_walked_back_to_what_was_summed(between, accumulator, roundings):
    program, lookup, positions = chain(*between)
    assert program.accumulator_of(lookup) == positions[accumulator]
    assert program.roundings_of(lookup) == [positions[at] for at in roundings]
    bits = 5 if accumulator else 6
    assert program.accumulator_bits == [bits]
    (row,) = Report.of(program).rows
    assert (row.layer, row.accumulator_bits, row.bits_in) == ("lookup", bits, 6)


def test_a_lookup_of_a_lookup_or_an_input_has_that_as_its_accumulator():
    builder = ProgramBuilder()
    x = builder.input(np.zeros(1), np.full(1, 7), label="x")
    first = builder.add(ops.Lookup(np.arange(8)[None] % 4, np.array([0])), x, label="first")
    second = builder.add(ops.Lookup(np.arange(4)[None], np.array([0])), first, label="second")
    program = builder.finish(second)
    assert [program.accumulator_of(lookup) for lookup in program.lookups] == [x, first]
    assert program.accumulator_bits == [3, 2]
