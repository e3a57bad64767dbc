"""Prices by the equation that the cost model states, and by the engine's own statistics.

A lookup's result that reaches a sum of b bits with weights w must keep b + log2 ‖w‖ bits, which the tests
work out for each operation by hand. Weights are swept, so that the demands meet every step of the prices.
"""

import itertools
import math

import numpy as np
import pytest

from skfhe.circuit import (
    ErrorRate,
    compile_program,
    estimate_cost,
    lookup_complexity,
    lookup_costs,
    lookup_seconds,
    precision_steps,
)
from skfhe.circuit.cost import count_bootstraps
from skfhe.circuit.demands import bits_read
from skfhe.program import ProgramBuilder, ops
from tests.conftest import perceptron

P_ERROR = 2.0**-40
SWEEP = (1, 2, 3, 5, 11, 45, 181, 724, 1448, 2897, 11585)  # half bits among them


def identity(bits, low=0):
    return ops.Lookup(low + np.arange(1 << bits)[None], np.array([low]))


def column(*weights):
    return ops.Linear(np.array(weights, dtype=np.int64)[:, None], np.zeros(1, dtype=np.int64))


class Chain:
    """A program of one input that is looked up, and what is done with the results."""

    def __init__(self, n, bits=3):
        self.builder = ProgramBuilder()
        self.input = self.builder.input(np.zeros(n), np.full(n, (1 << bits) - 1), label="input")
        self.first = self.at = self.builder.add(identity(bits), self.input, label="first")

    def add(self, op, *others):
        self.at = self.builder.add(op, self.at, *others, label=type(op).__name__)
        return self

    @property
    def bits(self):
        """Bits of what was added last."""
        return self.builder.type_of(self.at).bits

    def finish(self, *more):
        return self.builder.finish(self.at, *more)


def assert_priced(program, *demands, p_error=P_ERROR):
    """Compare complexity with the sum over (count, bits, precision), and seconds with at least theirs."""
    cost = estimate_cost(program)
    expected = sum(n * lookup_complexity(bits, precision, p_error) for n, bits, precision in demands)
    assert cost.complexity == pytest.approx(expected, rel=1e-9)
    assert cost.seconds > sum(n * lookup_seconds(bits, precision, p_error) for n, bits, precision in demands)


@pytest.mark.parametrize(("bits", "precision"), [(1, 7), (2, 12), (4, 8), (6, 10)])
@pytest.mark.parametrize("p_error", [2.0**-40, 5e-2])
def test_one_lookup_costs_what_the_engine_says(bits, precision, p_error):
    """Its result is an output of so many bits."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(2), np.full(2, (1 << bits) - 1), label="x")
    table = (np.arange(1 << bits) % 2 * ((1 << precision) - 1))[None]
    program = builder.finish(builder.add(ops.Lookup(table, np.zeros(1, int)), x, label="y"))
    engine = compile_program(program, ErrorRate(p_error), batch_sizes=(1,)).complexity
    assert 2 * lookup_complexity(bits, precision, p_error) == pytest.approx(engine, rel=0.05)
    assert estimate_cost(program, ErrorRate(p_error)).complexity == pytest.approx(engine, rel=0.05)


@pytest.mark.parametrize("bits", range(1, 10))
@pytest.mark.parametrize("p_error", [2.0**-40, 1e-3])
def test_prices_rise_at_their_steps_and_nowhere_else(bits, p_error):
    """Right beyond a step the price is higher, up to the next one it stays, and past the last it stays."""
    steps = precision_steps(bits, p_error)
    assert steps == sorted(set(steps))
    last = steps[-1]
    price = {e: lookup_complexity(bits, e, p_error) for e in range(2, last + 3)}
    assert [e for e in range(2, last) if price[e + 1] > price[e]] == steps[:-1]
    assert price[last] == price[last + 1] == price[last + 2]
    for e in range(2, last):
        just_beyond = lookup_complexity(bits, e + 0.01, p_error)
        assert (just_beyond > price[e]) == (e in steps)
        assert just_beyond <= price[e + 1]
    assert lookup_complexity(bits, 0, p_error) == price[2]


def test_prices_follow_the_bits_that_are_read():
    """Below one bit there is no lookup; each bit more is dearer, and far out it doubles the price."""
    prices = [lookup_complexity(bits, 9, P_ERROR) for bits in range(1, 16)]
    assert all(1.02 < after / before < 3.5 for before, after in itertools.pairwise(prices))
    assert lookup_complexity(0, 9, P_ERROR) == prices[0]
    assert lookup_complexity(23, 9, P_ERROR) == 8 * lookup_complexity(20, 9, P_ERROR)


def test_prices_between_two_error_rates_lie_between_theirs():
    rates = np.geomspace(5e-2, 2.0**-40, 60)
    prices = [lookup_complexity(4, 9, rate) for rate in rates]
    assert all(before <= after for before, after in itertools.pairwise(prices))
    assert len(set(prices)) > 50  # not in steps
    ends = lookup_complexity(4, 9, 1e-5), lookup_complexity(4, 9, 1e-4)
    assert lookup_complexity(4, 9, math.sqrt(1e-5 * 1e-4)) == pytest.approx(sum(ends) / 2)


def test_narrow_lookups_take_more_seconds_for_their_complexity():
    rates = [lookup_seconds(bits, 9, P_ERROR) / lookup_complexity(bits, 9, P_ERROR) for bits in range(1, 13)]
    assert rates[1] > 1.2 * rates[2] > 1.3 * rates[3] > 1.3 * rates[4]
    assert len(set(rates[:5])) == 5  # each width that was timed has a rate of its own
    assert rates[8:] == pytest.approx([rates[8]] * 4)
    seconds = [lookup_seconds(bits, 9, P_ERROR) for bits in range(3, 13)]
    assert seconds == sorted(seconds)


@pytest.mark.parametrize("weight", SWEEP)
def test_a_weighed_result_keeps_as_many_bits_more(weight):
    for bits in (1, 2, 4):
        chain = Chain(3, bits).add(ops.Linear(np.eye(3, dtype=int) * -weight, np.zeros(3, dtype=int)))
        assert_priced(chain.finish(), (3, bits, chain.bits + math.log2(weight)))


@pytest.mark.parametrize("weight", SWEEP)
def test_the_norm_of_all_weights_of_a_sum_counts(weight):
    """Of two outputs the second has the larger norm, √(3² + 4²) = 5."""
    weights = np.array([[1, 3], [1, -4]]) * weight
    chain = Chain(2).add(ops.Linear(weights, np.zeros(2, dtype=int)))
    assert_priced(chain.finish(), (2, 3, chain.bits + math.log2(5 * weight)))


@pytest.mark.parametrize("weight", SWEEP)
@pytest.mark.parametrize("combine", [ops.Add, ops.Subtract])
def test_sums_of_two_add_their_noise(combine, weight):
    """Of two results weighed by w, √2 w; of one and an input, which has no noise, w."""
    chain = Chain(2).add(ops.Linear(np.eye(2, dtype=int) * weight, np.zeros(2, dtype=int)))
    other = chain.builder.add(identity(3, 0), chain.input, label="other")
    other = chain.builder.add(
        ops.Linear(np.eye(2, dtype=int) * weight, np.zeros(2, dtype=int)), other, label="other"
    )
    chain.add(combine(), other)
    assert_priced(chain.finish(), (4, 3, chain.bits + math.log2(weight) + 0.5))

    chain = Chain(2).add(ops.Linear(np.eye(2, dtype=int) * weight, np.zeros(2, dtype=int)))
    chain.add(combine(), chain.input)
    assert_priced(chain.finish(), (2, 3, chain.bits + math.log2(weight)))


@pytest.mark.parametrize("n", [1, 2, 5, 40, 300])
def test_a_sum_over_an_axis_is_a_linear_layer_of_ones(n):
    summed = Chain(n).add(ops.Sum(axis=0))
    assert_priced(summed.finish(), (n, 3, summed.bits + 0.5 * math.log2(n)))
    ones = Chain(n).add(column(*[1] * n))
    assert estimate_cost(summed.finish()).complexity == estimate_cost(ones.finish()).complexity
    rows = Chain((2, n)).add(ops.Sum(axis=1)).finish()
    assert estimate_cost(rows).complexity == pytest.approx(2 * estimate_cost(ones.finish()).complexity)


@pytest.mark.parametrize("weight", SWEEP)
def test_a_convolution_counts_its_taps_beside_the_padding_too(weight):
    """Two taps at each of three positions: w (1, 2), so √5 w; the first position sees one and a zero."""
    kernel = ops.Convolution(np.array([[[[1, 2]]]]) * weight, np.zeros(1, dtype=int), padding=(0, 1, 0, 0))
    chain = Chain((1, 1, 3)).add(kernel)
    assert_priced(chain.finish(), (3, 3, chain.bits + math.log2(weight) + 0.5 * math.log2(5)))


@pytest.mark.parametrize("weight", SWEEP)
def test_moving_elements_moves_their_noise(weight):
    """One element of four is weighed; it is joined, reshaped and selected, or left out."""
    weights = np.diag([1, 1, weight, 1])
    chain = Chain(4).add(ops.Linear(weights, np.zeros(4, dtype=int)))
    chain.add(ops.Concatenate(axis=0), chain.input).add(ops.Reshape((2, 4)))
    kept = chain.builder.add(ops.Gather(np.array([2]), axis=1), chain.at, label="kept")
    both = chain.bits + math.log2(weight)
    assert_priced(chain.finish(kept), (4, 3, both))
    chain.at = chain.builder.add(ops.Gather(np.array([0, 1, 3]), axis=1), chain.at, label="others")
    assert_priced(chain.finish(), (4, 3, chain.bits))


@pytest.mark.parametrize("weight", SWEEP)
def test_the_bits_of_a_bound_count(weight):
    """What is known to lie in [0, 7] is looked up, or put out, in 3 bits."""
    chain = Chain(2).add(column(weight, weight)).add(ops.Bound(0, 7))
    noise = math.log2(weight) + 0.5
    # The sum itself is not read: only its bound is.
    assert_priced(chain.finish(), (2, 3, 3 + noise))
    chain.add(identity(3))
    assert_priced(chain.finish(), (2, 3, 3 + noise), (1, 3, 3 + noise))


@pytest.mark.parametrize("weight", SWEEP)
def test_a_lookup_reads_what_was_summed_and_starts_afresh(weight):
    """Its argument asks for precision, its own result does for the output's 2 bits alone."""
    chain = Chain(2, 1).add(column(weight, weight))
    read = chain.bits
    chain.add(ops.Lookup(np.zeros((1, 2 * weight + 1), dtype=int) + 3, np.zeros(1, dtype=int)))
    first = (2, 1, read + math.log2(weight) + 0.5)
    # All lookups of one width have the parameters of the most demanding: here two widths, as read > 1.
    assert_priced(chain.finish(), first, (1, read, 2))


def test_lookups_of_one_width_cost_what_the_most_demanding_does():
    """A result of 3 bits and one weighed by a thousand, both of lookups of 3 bits."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(2), np.full(2, 7), label="x")
    light = builder.add(identity(3), x, label="light")
    heavy = builder.add(ops.Lookup(np.arange(8)[None, ::-1].copy(), np.array([0])), x, label="heavy")
    weighed = builder.add(column(1000, 1000), heavy, label="weighed")
    program = builder.finish(light, weighed)
    demand = builder.type_of(weighed).bits + math.log2(1000) + 0.5
    assert lookup_complexity(3, demand, P_ERROR) > lookup_complexity(3, 3, P_ERROR)
    assert_priced(program, (4, 3, demand))
    costs = lookup_costs(program)
    assert costs == {
        position: (3, pytest.approx(2 * lookup_complexity(3, demand, P_ERROR))) for position in (light, heavy)
    }


@pytest.mark.parametrize("weight", SWEEP)
def test_of_several_readers_the_most_demanding_counts(weight):
    """A result is an output as it is, and weighed in another."""
    for order in (0, 1):
        chain = Chain(1)
        chain.add(column(weight))
        outputs = (chain.at, chain.first)[:: 1 - 2 * order]
        program = chain.builder.finish(*outputs)
        assert_priced(program, (1, 3, chain.bits + math.log2(weight)))


def rounded(op, lsbs):
    """Return a chain of three elements of 6 bits whose low bits go before a lookup, and what it reads."""
    chain = Chain(3, 3).add(ops.Linear(np.eye(3, dtype=int) * 8, np.zeros(3, dtype=int)))
    assert chain.bits == 6
    chain.add(ops.Truncate(lsbs) if op == "truncate" else ops.Round(lsbs, op))
    width = chain.bits - lsbs
    table = np.zeros((1, (56 >> lsbs) + 2), dtype=int) + 3
    return chain.add(ops.Lookup(table, np.array([0]), 1 << lsbs)), width


@pytest.mark.parametrize("lsbs", [1, 2, 3])
@pytest.mark.parametrize("op", ["exact", "truncate"])
def test_bits_that_are_removed_exactly_are_paid_one_by_one(op, lsbs):
    """Each by a lookup of 1 bit that sees the accumulator of 6 bits with its noise; what is left is fresh."""
    chain, width = rounded(op, lsbs)
    read = chain.builder.type_of(chain.at - 1).bits
    program = chain.finish()
    demands = {3: 6 + 3.0}
    demands[width] = max(demands.get(width, 0), 2.0)
    assert_priced(program, (3, 3, demands[3]), (3, width, demands[width]), (3 * lsbs, 1, 6))
    assert count_bootstraps(program) == 6 + 3 * lsbs
    assert bits_read(program, chain.at) == width
    per_bit = lookup_complexity(1, 6 if op == "truncate" else read, P_ERROR)
    found = lookup_costs(program)[chain.at]
    assert found[0] == width
    assert found[1] == pytest.approx(3 * (lookup_complexity(width, demands[width], P_ERROR) + lsbs * per_bit))
    assert estimate_cost(program).lookups == ({3: 6} if width == 3 else {3: 3, width: 3})


@pytest.mark.parametrize("lsbs", [1, 2, 3])
def test_approximate_rounding_takes_no_lookups_and_keeps_the_noise(lsbs):
    """The first lookups' results are weighed by 8, so they keep 3 bits more than what is read."""
    chain, width = rounded("approximate", lsbs)
    program = chain.finish()
    assert count_bootstraps(program) == estimate_cost(program).n_lookups == 6
    assert bits_read(program, chain.at) == width
    least = 3 * lookup_complexity(3, width + 3.0, P_ERROR) + 3 * lookup_complexity(width, 2.0, P_ERROR)
    assert estimate_cost(program).complexity >= least


def test_bits_are_read_through_a_bound_of_what_was_rounded():
    """[0, 31] in steps of 4 are eight cells, 3 bits; a bound of what is not rounded has its own bits."""
    chain = Chain(1, 6).add(ops.Round(2, "approximate")).add(ops.Bound(0, 31))
    chain.add(ops.Lookup(np.arange(8)[None], np.array([0]), 4))
    assert bits_read(chain.finish(), chain.at) == 3
    chain = Chain(1, 6).add(ops.Bound(0, 31)).add(ops.Bound(0, 15)).add(identity(4))
    assert bits_read(chain.finish(), chain.at) == 4


def test_programs_side_by_side_cost_their_sum():
    """Parts that share no value are compiled apart, and so priced apart; no lookup, no complexity."""

    def beside(*which):
        builder = ProgramBuilder()
        outputs = []
        for kind in which:
            x = builder.input(np.zeros(2), np.full(2, 7), label=kind)
            if kind != "levelled":
                x = builder.add(identity(3), x, label=kind)
            weights = {"light": (1, 1), "heavy": (900, 900), "levelled": (2, 1)}[kind]
            outputs.append(builder.add(column(*weights), x, label=kind))
        return estimate_cost(builder.finish(*outputs))

    alone = {kind: beside(kind) for kind in ("light", "heavy", "levelled")}
    assert alone["levelled"].complexity == alone["levelled"].n_lookups == 0
    assert 0 < alone["levelled"].seconds < alone["light"].seconds < alone["heavy"].seconds
    for which in itertools.product(alone, repeat=2):
        both = beside(*which)
        assert both.complexity == pytest.approx(sum(alone[kind].complexity for kind in which))
        seconds = [alone[kind].seconds for kind in which]
        assert max(seconds) < both.seconds <= sum(seconds) * (1 + 1e-9)
        assert both.n_lookups == sum(alone[kind].n_lookups for kind in which)


def test_a_shared_error_rate_is_shared_by_all_lookups():
    """Six lookups that may all together err with 0.001: each by the root, which costs more."""
    program = Chain(6).finish()
    each = 1 - (1 - 1e-3) ** (1 / 6)
    found = estimate_cost(program, ErrorRate(None, 1e-3)).complexity
    assert found == pytest.approx(6 * lookup_complexity(3, 3, each))
    assert found > estimate_cost(program, ErrorRate(1e-3)).complexity
    (cost,) = lookup_costs(program, ErrorRate(None, 1e-3)).values()
    assert cost == (3, pytest.approx(found))


def every_kind(rng):
    """Yield small programs of several kinds, by name."""
    yield "perceptron", perceptron(rng, n_hidden=8, span=1)
    chain = Chain((2, 8), 2).add(ops.Sum(axis=1)).add(ops.Bound(0, 15)).add(identity(4))
    yield "sums", chain.add(column(3, 7)).finish()
    chain = Chain(12, 2)
    chain.add(ops.Subtract(), chain.input).add(ops.Gather(np.array([0, 3, 3, 5]), axis=0))
    chain.add(ops.Linear(np.eye(4, dtype=int) * 90, np.zeros(4, dtype=int)))
    yield "differences", chain.finish()
    chain = Chain((2, 3, 3), 2)
    chain.add(ops.Convolution(rng.integers(-1, 2, size=(2, 2, 2, 2)), np.zeros(2, dtype=int)))
    yield "convolution", chain.finish()
    chain = Chain(8, 3).add(ops.Linear(np.eye(8, dtype=int) * 8, np.zeros(8, dtype=int))).add(ops.Truncate(3))
    yield "cleared bits", chain.add(ops.Lookup(np.arange(9)[None], np.array([0]), 8)).finish()


@pytest.mark.parametrize("number", range(5))
def test_programs_of_every_kind_cost_what_the_engine_says(number):
    name, program = list(every_kind(np.random.default_rng(0)))[number]
    circuit = compile_program(program, batch_sizes=(1,))
    assert circuit.statistics["lookups"] == count_bootstraps(program)
    assert 1 / 1.25 < circuit.cost.complexity / circuit.complexity < 1.25, name
