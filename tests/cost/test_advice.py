"""What rounding further would save: prices of programs that are rounded so, and only what helps."""

import numpy as np
import pytest

from skfhe.cost import Advice, Report, estimate_cost
from skfhe.cost._advice import FEWEST_BITS, LEAST_SAVED, advise, as_if_rounded
from skfhe.cost._rules import bits_read
from skfhe.program import ProgramBuilder, ops
from tests.cost.test_cost import lookups, sums

N_BITS = 4
ROUNDINGS = {
    "exact": lambda bits: ops.Truncate(bits - N_BITS),
    "approximate": lambda bits: ops.Round(bits - N_BITS, "approximate"),
}


def read_bits(program):
    return [bits_read(program, position) for position in program.lookups]


def layer(builder, x, weights, label, rounding=None):
    """Append sums of what is at least 0, and a lookup of 3 bits; one that is rounded first, if told so."""
    x = builder.add(ops.Linear(weights, np.zeros(weights.shape[1], int)), x, label=label)
    step = 1
    if rounding is not None:
        rounding = rounding(builder.type_of(x).bits)
        x, step = builder.add(rounding, x, label=label), 1 << rounding.lsbs
    cells = np.arange(builder.type_of(x).max // step + 1)[None] % 8
    return builder.add(ops.Lookup(cells, np.array([0]), step), x, label=label)


def network(rounding=None):
    """Two layers of accumulators of 7 bits, up to 84."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(4), np.full(4, 7), label="x")
    x = layer(builder, x, np.full((4, 4), 3), "first", rounding)
    return builder.finish(layer(builder, x, np.full((4, 2), 3), "second", rounding))


@pytest.mark.parametrize("method", ROUNDINGS)
@pytest.mark.parametrize("before", [None, 1])
def test_the_price_is_that_of_the_program_rounded_so(method, before):
    """Whether it was not rounded before or by one bit: same sums, same lookups, so the same price."""
    started = None
    if before is not None:
        started = {"exact": ops.Truncate, "approximate": lambda n: ops.Round(n, "approximate")}[method]
    program = network(started and (lambda bits: started(before)))
    wanted = network(ROUNDINGS[method])
    priced = as_if_rounded(program, program.lookups, N_BITS, method)
    assert read_bits(priced) == read_bits(wanted) != read_bits(program)
    assert estimate_cost(priced).complexity == pytest.approx(estimate_cost(wanted).complexity)


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.034, "0.034 s"), (9.96, "10 s"), (119, "119 s"), (150, "2.5 min"), (7200, "2 h")]
)
def test_times_are_said_in_their_units(seconds, said):
    line = str(Advice("conv", 5, 6, "approximate", 0.5, seconds))
    assert line.startswith(
        "'conv' alone, accumulators rounded to 5 bits instead of 6 (approximate): 50% less"
    )
    assert line.endswith(f"about {said} a row")


def test_lookups_that_read_as_few_bits_stay_as_they_are():
    program = network(ROUNDINGS["exact"])
    same = as_if_rounded(program, program.lookups, N_BITS, "exact")
    assert estimate_cost(same) == estimate_cost(program)
    other = as_if_rounded(program, program.lookups, N_BITS, "approximate")
    assert estimate_cost(other).complexity < estimate_cost(program).complexity
    assert read_bits(other) == read_bits(program)


def two_layers():
    """A layer of 60 lookups of 7 bits, one of 3 lookups of 8."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(60), np.full(60, 7), label="x")
    x = layer(builder, x, np.eye(60, dtype=int) * 18, "many")
    return builder.finish(layer(builder, x, np.eye(60, 3, dtype=int) * 36, "few"))


def test_the_dearest_layer_comes_first_and_each_step_saves_more():
    program = two_layers()
    first, *steps = advise(program)
    assert (first.layer, first.n_bits, first.lookup_bits) == ("many", 6, 7)
    assert [advice.layer for advice in steps] == [""] * len(steps)
    saved = [advice.saved for advice in steps]
    assert all(LEAST_SAVED <= share < 1 for share in (first.saved, *saved))
    assert saved == sorted(saved)
    now = estimate_cost(program)
    for advice in steps:
        then = estimate_cost(as_if_rounded(program, program.lookups, advice.n_bits, advice.method))
        assert (advice.saved, advice.seconds) == (1 - then.complexity / now.complexity, then.seconds)


@pytest.mark.parametrize("program", [sums(3, 2), lookups(FEWEST_BITS, FEWEST_BITS)])
def test_nothing_is_said_where_nothing_helps(program):
    assert advise(program) == []
    assert "rounded" not in str(Report.of(program))


def test_of_what_cannot_be_evaluated_it_says_how_it_could_be():
    program = lookups(4, 31)
    assert estimate_cost(program).refusal
    assert advise(program) == []  # its results have to keep 31 bits, however they are looked up
    wide = two_accumulators_of(17)
    assert estimate_cost(wide).refusal
    said = str(Report.of(wide)).splitlines()[-1]
    assert "can be compiled" in said
    assert np.isnan(advise(wide)[0].saved)


def two_accumulators_of(n_bits):
    builder = ProgramBuilder()
    x = builder.input(np.zeros(2), np.full(2, 3), label="x")
    return builder.finish(layer(builder, x, np.eye(2, dtype=int) * ((1 << n_bits) // 3), "wide"))
