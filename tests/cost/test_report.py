"""A report says of any program where its accumulators and its costs are."""

from collections import Counter

import numpy as np
import pytest

from skfhe.cost import ErrorRate, Report, estimate_cost
from skfhe.cost._estimate import layer_costs
from skfhe.program import ProgramBuilder, ops
from tests.cost.test_cost import PROGRAMS, lookups, parts


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_report_agrees_with_program_and_prediction(name):
    """Of linear models, trees, ensembles and networks, with any rounding."""
    program = PROGRAMS[name]()
    rows = Report.of(program).rows
    read = [row for row in rows if row.lookups]
    assert [row.accumulator_bits for row in read] == program.accumulator_bits
    assert all(row.lookup_bits <= row.accumulator_bits for row in read)
    found = Counter()
    for row in read:
        found[row.lookup_bits] += row.lookups
    assert found == estimate_cost(program).lookups
    assert {row.range_source for row in rows} == {"proven"}
    outputs = [row for row in rows if not row.lookups]
    assert all(row.lookup_bits == 0 for row in outputs)
    assert sum(row.cost_share for row in rows) == pytest.approx(1.0 if read else 0.0)


def test_shares_are_those_of_the_error_rate():
    """Lookups of 2 and of 4 bits: at a stricter rate the wider ones take another share."""
    program = parts()
    shares = []
    for rate in (ErrorRate(0.05), ErrorRate(), ErrorRate(None, 1e-15)):
        costs = layer_costs(program, rate).values()
        total = sum(cost.complexity for cost in costs)
        shares.append([row.cost_share for row in Report.of(program, rate).rows])
        assert shares[-1] == [cost.complexity / total for cost in costs]
    assert shares[0] != shares[1] != shares[2]


def test_bounds_seen_on_data_are_told_from_proven_ones():
    """Of a calibrated program a layer without a bound, of its accumulator or rounded, is still proven."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(2), np.full(2, 7), label="x")
    total = builder.add(ops.Linear(np.ones((2, 1), int), np.zeros(1, int)), x, label="sum")
    bound = builder.add(ops.Bound(0, 7), total, label="sum")
    y = builder.add(ops.Lookup(np.arange(8)[None] % 4, np.array([0])), bound, label="bounded")
    z = builder.add(ops.Lookup(np.arange(4)[None], np.array([0])), y, label="not")
    rounded = builder.add(ops.Bound(0, 6), builder.add(ops.Truncate(1), total, label="r"), label="r")
    r = builder.add(ops.Lookup(np.arange(4)[None], np.array([0]), 2), rounded, label="rounded and bounded")
    for source in ("proven", "calibrated"):
        rows = Report.of(builder.finish(z, r, range_source=source)).rows
        assert [row.range_source for row in rows] == [source, "proven", source]
        assert [row.bits_in for row in rows] == [3, 2, 3]
        assert [row.accumulator_bits for row in rows] == [3, 2, 4]


def test_what_is_summed_many_times_over_is_walked_once():
    """Forty doublings have 2**40 ways back to the input."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(1), np.full(1, 1), label="x")
    for _ in range(40):
        x = builder.add(ops.Add(), x, x, label="double")
    (row,) = Report.of(builder.finish(x)).rows
    assert (row.bits_in, row.accumulator_bits) == (1, 41)


def test_a_report_of_what_cannot_be_evaluated_gives_widths_and_no_shares():
    program = lookups(4, 31)
    assert [layer.complexity for layer in layer_costs(program).values()] == [np.inf] * 2
    rows = Report.of(program).rows
    assert [(row.accumulator_bits, row.lookup_bits, row.lookups) for row in rows] == [(5, 4, 3), (16, 0, 0)]
    assert np.isnan([row.cost_share for row in rows]).all()
    assert "nan%" in str(Report(rows))
