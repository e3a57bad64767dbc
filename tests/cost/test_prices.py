"""Prices by the equations that the cost model states, worked out by hand, and by the engine's own statistics.

What is paid for lookups of so many bits and so much precision is the table's; what follows from it, the
equations of `LookupPrice`. `tests.cost.test_demands` has what operations demand.
"""

import itertools
import math
from statistics import NormalDist

import numpy as np
import pytest

from skfhe.cost import _estimate, levelled_p_error
from skfhe.cost._demands import INPUT, demands
from skfhe.cost._error_rate import ErrorRate
from skfhe.cost._estimate import FACTORS, Cost, LayerCost, estimate_cost, layer_costs
from skfhe.cost._prices import (
    LookupPrice,
    crt_price,
    levelled_dimension,
    lookup_complexity,
    lookup_price,
    lookup_seconds,
    precision_limit,
    precision_steps,
    seconds_a_operation,
    seconds_of,
)
from skfhe.program import ProgramBuilder, ops
from tests.conftest import perceptron
from tests.cost.priced import (
    P_ERROR,
    READ,
    Chain,
    assert_engine_s,
    bit,
    column,
    identity,
    price,
    scaled,
)

# Prices


@pytest.mark.parametrize(("bits", "precision"), [(1, 7), (4, 8), (6, 10)])
@pytest.mark.parametrize("p_error", [P_ERROR, 5e-2])
def test_one_lookup_costs_what_the_engine_says(bits, precision, p_error):
    """Its result is an output of so many bits."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(2), np.full(2, (1 << bits) - 1), label="x")
    table = (np.arange(1 << bits) % 2 * ((1 << precision) - 1))[None]
    program = builder.finish(builder.add(ops.Lookup(table, np.zeros(1, int)), x, label="y"))
    assert_engine_s(program, rel=0.02, keys=0.1, error_rate=ErrorRate(p_error))
    predicted = estimate_cost(program, ErrorRate(p_error)).complexity
    assert predicted == 2 * lookup_complexity(bits, precision, p_error)


@pytest.mark.parametrize("p_error", [P_ERROR, 1e-3, 3e-8])
def test_prices_rise_at_their_steps_and_nowhere_else(p_error):
    """Beyond a step the price is higher within a bit; past the last there is none."""
    for bits in range(10):
        steps = precision_steps(bits, p_error)
        assert steps == sorted(set(steps))
        last = steps[-1]
        prices = {e: lookup_complexity(bits, e, p_error) for e in range(last + 1)}
        assert [e for e in range(2, last) if prices[e + 1] > prices[e]] == steps[:-1]
        assert all(prices[e + 1] >= prices[e] for e in range(last))
        assert last <= precision_limit(bits, p_error) < last + 1
        assert lookup_price(bits, last + 1, p_error) is None
    assert precision_steps(4, P_ERROR) == [9, 17, 20, 22, 24, 25, 26, 27, 28, 29]
    # a squared norm of 38 raises 17 bits to 19.62396, which were measured to three decimals
    at = 17 + 0.5 * math.log2(38)
    assert price(5, 19.4) == price(5, at) != price(5, 19.63)


def test_precision_is_limited_and_what_is_beyond_runs_on_residues():
    """There the precision counts as bits of the widest value, of which 16 are the most."""
    for bits in (3, 10):
        limit = precision_limit(bits, P_ERROR)
        assert lookup_price(bits, limit, P_ERROR) is not None
        assert lookup_price(bits, limit + 0.01, P_ERROR) is None
        beyond = crt_price(16, math.inf, P_ERROR)
        assert lookup_complexity(bits, limit + 0.01, P_ERROR) == beyond.complexity
    assert lookup_complexity(11, 9.0, P_ERROR) == crt_price(11, math.inf, P_ERROR).complexity
    assert lookup_complexity(11, 11.5, P_ERROR) == crt_price(12, math.inf, P_ERROR).complexity
    for bits in (11, 16, 17, 40):
        assert lookup_price(bits, 3.0, P_ERROR) is None
        assert precision_limit(bits, P_ERROR) == 0.0
    assert lookup_complexity(17, 9, P_ERROR) == math.inf
    assert crt_price(17, 0.0, P_ERROR) is None


def test_prices_follow_the_bits_that_are_read():
    """Each bit more is dearer, the lowest bit of a wider value cheapest; far out it doubles the price."""
    prices = [lookup_complexity(bits, 9, P_ERROR) for bits in range(11)]
    assert all(1.02 < after / before < 3.5 for before, after in itertools.pairwise(prices))
    assert [after / before > 2.1 for before, after in itertools.pairwise(prices)] == [False] * 4 + [True] * 6


def test_prices_between_two_error_rates_lie_between_theirs():
    rates = np.geomspace(0.05, P_ERROR, 60)
    prices = [lookup_complexity(4, 9, rate) for rate in rates]
    assert all(before < after < 1.05 * before for before, after in itertools.pairwise(prices))
    # A stricter rate costs precision: for twice as many deviations of the noise, one bit.
    limits = [precision_limit(4, rate) for rate in rates]
    deviations = [NormalDist().inv_cdf(1 - rate / 2) for rate in rates]
    assert limits + np.log2(deviations) == pytest.approx(limits[-1] + math.log2(deviations[-1]), abs=1.5)
    # Just beside a measured rate, what a lookup costs is nearly the same; beyond the largest, all of it is.
    for precision in range(2, 29):
        beside = lookup_complexity(4, precision, 1.0001e-5)
        assert lookup_complexity(4, precision, 1e-5) == pytest.approx(beside, rel=0.01)
    assert lookup_price(4, 9, 0.9) == lookup_price(4, 9, 0.25)


def test_the_nearer_error_rate_decides_whether_there_are_parameters():
    """At 2**-52 there are some for 10 bits, at 2**-64 there are none."""
    assert lookup_price(10, 3.0, 2.0**-53) == lookup_price(10, 3.0, 2.0**-57) is not None
    assert lookup_price(10, 3.0, 2.0**-60) is None
    assert precision_limit(10, 2.0**-57) > 20 > precision_limit(10, 2.0**-60) == 0.0


@pytest.mark.parametrize("bits", [12, 14])
def test_wide_lookups_run_on_residues(bits):
    """There are no parameters for one ciphertext an integer from 11 bits on."""
    chain = Chain(2, 1).add(column(2**bits - 8, 7)).add(bit(2**bits))
    found = demands(chain.finish())
    assert found.residues
    assert_engine_s(chain.finish(), rel=0.05)
    price = crt_price(bits, found.log2_norm, P_ERROR)
    assert estimate_cost(chain.finish()).complexity == 3 * price.complexity


def test_prices_on_residues_follow_the_widest_value_and_the_noise():
    """A price is given up to 16 bits; the noise counts up to that of the last that was measured."""
    prices = [crt_price(bits, 0.0, P_ERROR).complexity for bits in range(1, 17)]
    assert prices[:5] == prices[:1] * 5  # measured from 5 bits on
    assert len(set(prices[4:])) == 12
    assert prices[15] > 4 * prices[0]
    for bits in (6, 16):
        noisy = [crt_price(bits, at, P_ERROR).complexity for at in (0.0, 2.0, 4.0, 5.0, math.inf)]
        assert noisy == sorted(noisy)
        assert noisy[-1] == noisy[-2] == noisy[-3]
        strict = crt_price(bits, 0.0, 2.0**-128).complexity
        assert strict > crt_price(bits, 0.0, P_ERROR).complexity > crt_price(bits, 0.0, 0.01).complexity


@pytest.mark.parametrize("rate", [P_ERROR, 0.01, 1e-7])
def test_sums_without_lookups_have_the_dimensions_that_the_engine_says(rate):
    for n, weight in ((1, 1), (9, 100), (30, 2**20)):
        builder = ProgramBuilder()
        x = builder.input(np.zeros(n), np.full(n, 7), label="x")
        program = builder.finish(builder.add(column(*[weight] * n), x, label="y"))
        assert_engine_s(program, error_rate=ErrorRate(rate))


def test_dimensions_without_lookups_follow_the_precision_to_its_limit():
    kept = np.arange(1.0, 57.0, 0.25)
    dimensions = [levelled_dimension(e, P_ERROR) for e in kept]
    assert 0 <= min(np.diff(dimensions)) <= max(np.diff(dimensions)) < 30
    assert dimensions[-1] > 4 * dimensions[0]
    limits = [next(e for e in range(1, 99) if levelled_dimension(e, p) is None) for p in (2.0**-128, 0.01)]
    assert limits == [57, 59]
    assert levelled_dimension(20, 2.0**-45) > levelled_dimension(20, P_ERROR) > levelled_dimension(20, 0.01)


def test_narrow_lookups_take_more_seconds_for_their_complexity():
    rates = [seconds_a_operation(bits) for bits in range(14)]
    assert rates[2] > 1.2 * rates[3] > 1.3 * rates[4] > 1.3 * rates[5]
    assert len(set(rates[1:6])) == 5  # each width that was timed has a rate of its own
    assert rates[0] == rates[1] != rates[6] != rates[5]
    assert rates[6:] == rates[6:7] * 8
    for bits in (0, 3, 12):
        assert lookup_seconds(bits, 9, P_ERROR) == rates[bits] * lookup_complexity(bits, 9, P_ERROR)


KEYS = LookupPrice(1e8, 2, 512, 3, 700, 5, packing_levels=4, blocks=3)
"""1024 dimensions; a keyswitch from as many is 2 · 1024 · 5 · 701 operations."""


def test_keys_follow_from_their_parameters():
    """A bootstrap key is one GGSW a small dimension, a keyswitch key one LWE a level and large dimension."""
    assert KEYS.dimension == 1024
    assert KEYS.shape == (2, 512)
    assert KEYS.bootstrap_bytes == 700 * 3 * 3 * 3 * 512 * 8
    assert KEYS.keyswitch_bytes(800) == 800 * 5 * 701 * 8
    assert KEYS.packing_bytes == 3 * 1025 * 4 * 3 * 512 * 8


def test_reading_fewer_dimensions_takes_fewer_small_ones():
    """Half of the dimensions, and 0.5**0.09 = 0.9395 of the small ones, 658; of more, as many."""
    assert KEYS.reading(1024) is KEYS
    rotation = 1e8 - 2 * 1024 * 5 * 701
    fewer = KEYS.reading(512)
    assert fewer.lwe_dimension == 658
    assert fewer.complexity == pytest.approx(0.5**0.09 * rotation + 2 * 512 * 5 * 659)
    more = KEYS.reading(2048)
    assert more.lwe_dimension == 700
    assert more.complexity == pytest.approx(rotation + 2 * 2048 * 5 * 701)
    assert (more.dimension, more.packing_levels, more.blocks) == (1024, 4, 3)


# Costs


def words_of(up, down, summed):
    """Return the seconds of so many words."""
    return (
        up * seconds_of("encrypted_word")
        + down * seconds_of("decrypted_word")
        + summed * seconds_of("summed_word")
    )


def test_sums_cost_their_words():
    """Without lookups, complexity is the dimension. Moving and bounding elements costs nothing."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros((1, 4, 5)), np.full((1, 4, 5), 3), label="x")
    kernel = ops.Convolution(np.ones((2, 1, 2, 3), dtype=int), np.zeros(2, dtype=int))
    y = builder.add(kernel, x, label="y")  # 2 × 3 × 3 sums of 6 products
    y = builder.add(ops.Reshape((18,)), y, label="y")
    y = builder.add(ops.Linear(np.ones((18, 5), dtype=int), np.zeros(5, dtype=int)), y, label="y")
    y = builder.add(ops.Bound(0, 1000), builder.add(ops.Add(), y, y, label="y"), label="y")
    y = builder.add(ops.Subtract(), y, builder.add(ops.Gather(np.arange(5), 0), y, label="y"), label="y")
    z = builder.add(ops.Sum(axis=0), y, label="z")
    program = builder.finish(z, y)
    found = estimate_cost(program)
    words = levelled_dimension(demands(program).precision[INPUT], levelled_p_error(P_ERROR)) + 1
    assert found.complexity == words - 1
    assert found.lookups == {}
    assert (found.input_bytes, found.expanded_bytes, found.key_bytes) == (20 * 8, 20 * words * 8, 0)
    assert 6 * words * 8 / 5 < found.output_bytes < 6 * words * 8 / 2
    products = 18 * 6 + 5 * 18 + 5 + 5 + 1
    assert found.seconds_a_call == seconds_of("call")
    assert found.seconds == pytest.approx(
        seconds_of("call") + words_of(20 * words, 6 * words, products * words)
    )


def test_a_lookup_costs_its_bootstrap_its_keyswitch_and_its_ciphertexts():
    """Four results are summed; five bits of these are read from the ciphertexts of the first lookups."""
    chain = Chain(4).add(column(1, 1, 1, 1)).add(bit(29))
    first, second = price(3, 5 + 1.0 + READ), price(5, 1.0)
    assert second.dimension > first.dimension
    second = second.reading(first.dimension)
    found = estimate_cost(chain.finish())
    assert found.complexity == 4 * first.complexity + second.complexity
    bootstrap = first.bootstrap_bytes + second.bootstrap_bytes
    switches = first.keyswitch_bytes(first.dimension) + second.keyswitch_bytes(first.dimension)
    assert found.key_bytes == bootstrap + switches
    assert (found.input_bytes, found.expanded_bytes) == (4 * 8, 4 * (first.dimension + 1) * 8)
    assert (second.dimension + 1) * 8 / 7 < found.output_bytes < (second.dimension + 1) * 8 / 3.5
    assert found.seconds_a_call == pytest.approx(seconds_of("call") + bootstrap * seconds_of("key_byte"))
    lookups = 4 * first.complexity * seconds_a_operation(3) + second.complexity * seconds_a_operation(5)
    narrow, wide = first.dimension + 1, second.dimension + 1
    assert found.seconds == pytest.approx(
        found.seconds_a_call + lookups + words_of(4 * narrow, wide, 4 * narrow)
    )


def test_results_of_a_wider_lookup_are_converted_by_a_key_of_their_own():
    chain = Chain(2, 6)
    other = chain.builder.input(np.zeros(3), np.full(3, 7), label="other")
    narrow = chain.builder.add(column(1, 1, 1), chain.builder.add(identity(3), other, label="o"), label="o")
    program = chain.add(ops.Concatenate(axis=0), narrow).finish()
    wide, narrow = price(6, 6.0), price(3, 6 + 0.5 * math.log2(3))
    assert wide.shape != narrow.shape
    conversion = wide.dimension * (narrow.dimension + 1)
    found = estimate_cost(program)
    assert found.complexity == 2 * (wide.complexity + 2 * conversion) + 3 * narrow.complexity
    keys = (price.bootstrap_bytes + price.keyswitch_bytes(price.dimension) for price in (wide, narrow))
    assert found.key_bytes == sum(keys) + 8 * conversion
    assert 3 * (narrow.dimension + 1) * 8 / 5 < found.output_bytes < 3 * (narrow.dimension + 1) * 8 / 3.5
    assert_engine_s(program, rel=0.05)
    # results of two widths need none if their ciphertexts have one shape
    chain = Chain(2, 3)
    other = chain.builder.input(np.zeros(2), np.full(2, 3), label="other")
    program = chain.add(ops.Add(), chain.builder.add(identity(2), other, label="o")).finish()
    assert price(3, 4.5).shape != price(2, 4.5).shape or estimate_cost(program).complexity == 2 * (
        price(3, 4.0).complexity + price(2, 4.0).complexity
    )


def test_a_program_on_residues_has_a_ciphertext_for_each():
    chain = Chain(2, 1).add(column(2000, 7)).add(bit(2008))
    program = chain.finish()
    price = crt_price(11, demands(program).log2_norm, P_ERROR)
    found = estimate_cost(program)
    words = price.blocks * (price.dimension + 1)
    assert price.blocks > 1
    assert found.complexity == 3 * price.complexity
    assert (found.input_bytes, found.expanded_bytes) == (2 * price.blocks * 8, 2 * words * 8)
    assert words * 8 / 5 < found.output_bytes < words * 8 / 3
    bootstrap = price.bootstrap_bytes + price.packing_bytes
    assert found.key_bytes == bootstrap + price.keyswitch_bytes(price.dimension)
    assert found.seconds_a_call == pytest.approx(seconds_of("call") + bootstrap * seconds_of("key_byte"))
    lookups = 3 * price.complexity * seconds_a_operation(16)
    assert found.seconds == pytest.approx(
        found.seconds_a_call + lookups + words_of(2 * words, words, 2 * words)
    )
    # all lookups have the parameters of residues, the narrow ones too
    assert list(layer_costs(program).values()) == [
        LayerCost(1, 2 * price.complexity),
        LayerCost(11, price.complexity),
    ]


def test_programs_side_by_side_cost_their_sum():
    """Parts that share no value are compiled apart, and so priced apart; those of equal keys share these."""

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
    assert 0 < alone["levelled"].seconds < alone["light"].seconds < alone["heavy"].seconds
    for which in itertools.combinations_with_replacement(alone, 2):
        both = beside(*which)
        for name in {*FACTORS, "seconds", "seconds_a_call", "n_lookups"} - {"key_bytes"}:
            assert getattr(both, name) == pytest.approx(sum(getattr(alone[kind], name) for kind in which))
        assert both.key_bytes == pytest.approx(sum(alone[kind].key_bytes for kind in {*which}))


def test_a_shared_error_rate_is_shared_by_all_lookups():
    """Six lookups that may all together err with 0.001: each by the root, which costs more."""
    program = Chain(6).finish()
    each = 1 - (1 - 1e-3) ** (1 / 6)
    found = estimate_cost(program, ErrorRate(None, 1e-3)).complexity
    assert found == pytest.approx(6 * lookup_complexity(3, 3, each))
    assert found > estimate_cost(program, ErrorRate(1e-3)).complexity
    (layer,) = layer_costs(program, ErrorRate(None, 1e-3)).values()
    assert layer == LayerCost(3, pytest.approx(found))
    builder = ProgramBuilder()
    x = builder.input(np.zeros(3), np.full(3, 7), label="x")
    program = builder.finish(x, builder.add(scaled(3, 2**20), x, label="y"))  # six integers, no lookup
    assert estimate_cost(program, ErrorRate(None, 1e-3)) == estimate_cost(program, ErrorRate(each))


def test_refusals_name_the_lookup_and_what_its_results_are_for():
    program = Chain(2).add(column(2**13, 2**13)).finish()
    limit = precision_limit(3, P_ERROR)
    assert estimate_cost(program).refusal == (
        "the lookup of 'first' reads 3 bits, and its results must keep 30.5 bits for 'Linear' (its own, and "
        f"those by which weights raise the noise), where the engine keeps at most {limit:.1f}"
    )


def test_refusals_name_what_rounding_reads():
    """One bit after the other of 35, of which a lookup is cut off where it overflows."""

    def rounded_sum(rounding, bits):
        builder = ProgramBuilder()
        x = builder.input(np.zeros(2), np.full(2, 2 ** (bits - 1) - 1), label="x")
        y = builder.add(rounding, builder.add(column(1, 1), x, label="sum"), label="rounded")
        y = builder.add(bit((2**bits >> rounding.lsbs) + 1, step=1 << rounding.lsbs), y, label="y")
        return estimate_cost(builder.finish(y)).refusal

    assert rounded_sum(ops.Truncate(30), 35).startswith(
        "the rounding of 'rounded' reads an accumulator of 35 bits one by one, and its results must keep "
        "34.2 bits for 'rounded' (its own,"
    )
    clipped = rounded_sum(ops.Round(20, "approximate"), 33)
    assert clipped.startswith("the rounding of 'rounded' reads 12 bits to cut off what overflows, and the")


@pytest.mark.parametrize(
    ("weight", "rounding", "reason"),
    [
        (1, None, None),
        (99, None, "only where no value has more than 16 bits; 'Linear' has 20"),
        (
            1,
            ops.Round(1, "approximate"),
            "only where nothing is rounded, read in part or counted modulo a power of two",
        ),
    ],
)
def test_lookups_that_only_residues_allow_are_refused_where_these_are_not_used(weight, rounding, reason):
    builder = ProgramBuilder()
    x = builder.input(np.zeros(1), np.full(1, 2**13 - 2), label="x")
    y = builder.add(rounding, x, label="rounded") if rounding else x
    y = builder.add(ops.Lookup(np.arange(2**13)[None] // (1 + bool(rounding)), np.array([0])), y, label="y")
    program = builder.finish(builder.add(column(weight), y, label="Linear"))
    refusal = estimate_cost(program).refusal
    if reason is None:
        assert refusal is None
    else:
        assert refusal.startswith("the lookup of 'y' reads 1")
        assert refusal.endswith(f" bits, and the engine has parameters for that {reason}")


def test_nothing_costs_nothing():
    assert Cost() == Cost({}, 0.0, 0.0, 0, 0, 0, 0.0, None)
    assert Cost().n_lookups == 0


def test_the_stated_factors_are_those_that_tests_hold():
    stated = (
        "complexity {complexity:g}, bytes\nof expanded ciphertexts {expanded_bytes:g}, of results "
        "{output_bytes:g}, of keys {key_bytes:g}."
    )
    assert stated.format(**FACTORS) in _estimate.__doc__


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [
        *((0, "0 B"), (9, "9 B"), (999, "999 B"), (1000, "1.0 kB"), (9940, "9.9 kB"), (9960, "10 kB")),
        *((999_400, "999 kB"), (999_600, "1.0 MB"), (25_000_000, "25 MB"), (3 * 10**12, "3.0 TB")),
    ],
)
def test_bytes_are_written_to_two_digits(n_bytes, text):
    assert "; complexity 4000000 M; " in str(Cost(complexity=4e12))
    assert str(Cost(input_bytes=n_bytes)).split("; ")[3].startswith(f"{text} up")


def every_kind(rng):
    """Yield small programs of several kinds."""
    yield perceptron(rng, n_hidden=8, span=1)
    chain = Chain((2, 8), 2).add(ops.Sum(axis=1)).add(ops.Bound(0, 15)).add(identity(4))
    yield chain.add(column(3, 7)).finish()
    chain = Chain(12, 2)
    chain.add(ops.Subtract(), chain.input).add(ops.Gather(np.array([0, 3, 3, 5]), axis=0))
    yield chain.add(scaled(4, 90)).finish()
    chain = Chain((2, 3, 3), 2)
    yield chain.add(ops.Convolution(rng.integers(-1, 2, size=(2, 2, 2, 2)), np.zeros(2, dtype=int))).finish()
    chain = Chain(8, 3).add(scaled(8, 8)).add(ops.Truncate(3))
    yield chain.add(ops.Lookup(np.arange(9)[None], np.array([0]), 8)).finish()


@pytest.mark.parametrize("number", range(5))
def test_programs_of_every_kind_cost_what_the_engine_says(number):
    assert_engine_s(list(every_kind(np.random.default_rng(0)))[number], rel=0.15)
