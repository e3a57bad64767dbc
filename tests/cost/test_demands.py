"""What operations demand of lookups, by the equations that the cost model states, worked out by hand.

All values that sums connect have the bits of the widest. A lookup's result that reaches one of b bits with
weights w must keep b + log2 ‖w‖ bits, and 0.75 more if it is a lookup that reads the sum. Weights are swept,
so that the demands meet every step of the prices.
"""

import math

import numpy as np
import pytest

from skfhe.cost._demands import INPUT, demands
from skfhe.cost._estimate import LayerCost, count_bootstraps, estimate_cost, layer_costs
from skfhe.cost._prices import lookup_complexity
from skfhe.cost._rules import bits_read
from skfhe.program import ProgramBuilder, ops
from tests.cost.priced import (
    P_ERROR,
    READ,
    SWEEP,
    Chain,
    assert_demands,
    assert_engine_s,
    bit,
    column,
    identity,
    price,
    scaled,
)

# What operations demand


@pytest.mark.parametrize("weight", SWEEP)
def test_a_weighed_result_keeps_as_many_bits_more(weight):
    for bits in (1, 2, 4):
        chain = Chain(3, bits).add(scaled(3, -weight))
        kept = chain.bits + math.log2(weight)
        assert_demands(chain.finish(), {INPUT: bits, bits: kept}, (bits, 3))
        assert estimate_cost(chain.finish()).complexity == 3 * lookup_complexity(bits, kept, P_ERROR)


@pytest.mark.parametrize("weight", SWEEP)
def test_the_norm_of_all_weights_of_a_sum_counts(weight):
    """Of two outputs the second has the larger norm, √(3² + 4²) = 5."""
    weights = np.array([[1, 3], [1, -4]]) * weight
    chain = Chain(2).add(ops.Linear(weights, np.zeros(2, dtype=int)))
    assert_demands(chain.finish(), {INPUT: 3, 3: chain.bits + math.log2(5 * weight)}, (3, 2))


@pytest.mark.parametrize("combine", [ops.Add, ops.Subtract])
def test_sums_of_two_add_their_noise(combine):
    """Of two results weighed by w, √2 w; of one and an input, each its own, of the width of the sum."""
    for weight in SWEEP:
        chain = Chain(2).add(scaled(2, weight))
        other = chain.builder.add(identity(3), chain.input, label="other")
        chain.add(combine(), chain.builder.add(scaled(2, weight), other, label="other"))
        kept = chain.bits + math.log2(weight) + 0.5
        assert_demands(chain.finish(), {INPUT: 3, 3: kept}, (3, 2), (3, 2))

        chain = Chain(2).add(scaled(2, weight))
        chain.add(combine(), chain.input)
        kept = chain.bits + math.log2(weight)
        assert_demands(chain.finish(), {INPUT: chain.bits, 3: kept}, (3, 2))


def test_a_sum_over_an_axis_is_a_linear_layer_of_ones():
    for n in (1, 2, 5, 40, 300):
        summed = Chain(n).add(ops.Sum(axis=0))
        assert_demands(summed.finish(), {INPUT: 3, 3: summed.bits + 0.5 * math.log2(n)}, (3, n))
        assert (
            demands(Chain(n).add(column(*[1] * n)).finish()).precision == demands(summed.finish()).precision
        )
        rows = Chain((2, n)).add(ops.Sum(axis=1))
        assert_demands(rows.finish(), {INPUT: 3, 3: rows.bits + 0.5 * math.log2(n)}, (3, 2 * n))


@pytest.mark.parametrize("weight", SWEEP)
def test_a_convolution_counts_its_taps_beside_the_padding_too(weight):
    """Two taps at each of three positions: w (1, 2), so √5 w; the first position sees one and a zero."""
    kernel = ops.Convolution(np.array([[[[1, 2]]]]) * weight, np.zeros(1, dtype=int), padding=(0, 1, 0, 0))
    chain = Chain((1, 1, 3)).add(kernel)
    assert_demands(chain.finish(), {INPUT: 3, 3: chain.bits + math.log2(weight) + 0.5 * math.log2(5)}, (3, 3))


@pytest.mark.parametrize("weight", SWEEP)
def test_moving_elements_moves_their_noise(weight):
    """One element of four is weighed; it is joined, reshaped and selected, or left out.

    Where it is left out, the width that it gave all stays, and so does what is demanded: that of the block.
    """
    chain = Chain(4).add(ops.Linear(np.diag([1, 1, weight, 1]), np.zeros(4, dtype=int)))
    width = chain.bits
    chain.add(ops.Concatenate(axis=0), chain.input).add(ops.Reshape((2, 4)))
    kept = chain.builder.add(ops.Gather(np.array([2]), axis=1), chain.at, label="kept")
    others = chain.builder.add(ops.Gather(np.array([0, 1, 3]), axis=1), chain.at, label="others")
    assert_demands(chain.finish(kept), {INPUT: width, 3: width + math.log2(weight)}, (3, 4))
    assert_demands(chain.builder.finish(others), {INPUT: width, 3: width}, (3, 4))


def test_weights_have_the_width_of_what_they_weigh():
    """Sums that are known to lie in [0, 7], with a weight of 45, 6 bits."""
    chain = Chain(2).add(column(45, 45)).add(ops.Bound(0, 7))
    assert_demands(chain.finish(), {INPUT: 3, 3: 6 + math.log2(45) + 0.5}, (3, 2))
    assert_engine_s(chain.finish())


def test_what_is_read_by_fewer_bits_than_its_block_has_is_shifted_with_its_noise():
    """A lookup of 3 bits of a sum in 6 bits costs 3 bits, and asks for the precision of 6."""
    chain = Chain(2).add(column(45, 45)).add(ops.Bound(0, 7)).add(identity(3))
    assert_demands(chain.finish(), {INPUT: 3, 3: 6 + math.log2(45) + 0.5 + READ}, (3, 2), (3, 1))
    assert_engine_s(chain.finish())

    chain = Chain(2).add(scaled(2, 50))
    again = chain.builder.add(identity(3), chain.first, label="again")
    chain.add(ops.Bound(0, 7))
    # 50 makes 6 bits; the first results are read as they are
    assert_demands(chain.finish(again), {INPUT: 3, 3: 6 + math.log2(50)}, (3, 2), (3, 2))
    assert_engine_s(chain.finish(again))


@pytest.mark.parametrize(("bits", "read"), [(8, 8), (9, 11)])
def test_wide_lookups_read_all_bits_of_their_block(bits, read):
    """Up to 8 bits the engine reads a value by its own width, beyond by that of the sums it is part of."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(2), np.full(2, 2**bits - 1), label="x")
    y = builder.add(bit(2**bits), x, label="y")
    total = builder.add(column(2, 1), x, label="sum")
    program = builder.finish(y, total)
    noise = 0.5 * math.log2(5)
    assert builder.type_of(total).bits == bits + 2
    assert_demands(program, {INPUT: bits + 2 + noise, read: 1.0}, (read, 2))
    assert demands(program).residues == (bits > 8)  # nothing is read in part
    assert_engine_s(program, rel=0.15)


def test_a_lookup_reads_what_was_summed_and_starts_afresh():
    """Its argument asks for precision, its own result does for the output's bit alone."""
    for weight in SWEEP[:3]:
        chain = Chain(2, 1).add(column(weight, weight))
        read, noise = chain.bits, math.log2(weight) + 0.5
        chain.add(bit(2 * weight + 1))
        program = chain.finish()
        found = demands(program)
        assert_demands(program, {INPUT: 1, 1: read + noise + READ, read: 1.0}, (1, 2), (read, 1))
        assert found.residues
        assert found.log2_norm == pytest.approx(noise)


def test_of_several_readers_the_most_demanding_counts():
    """A result is an output as it is, and weighed in another; either may come first."""
    for order in (1, -1):
        chain = Chain(1).add(column(45))
        program = chain.builder.finish(*(chain.at, chain.first)[::order])
        assert_demands(program, {INPUT: 3, 3: 9 + math.log2(45)}, (3, 1))
        assert demands(program).widest[3] == chain.at


def test_lookups_of_one_width_cost_what_the_most_demanding_does():
    """A result of 3 bits and one weighed by a thousand, both of lookups of 3 bits."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(2), np.full(2, 7), label="x")
    light = builder.add(identity(3), x, label="light")
    heavy = builder.add(ops.Lookup(np.arange(8)[None, ::-1].copy(), np.array([0])), x, label="heavy")
    weighed = builder.add(column(1000, 1000), heavy, label="weighed")
    program = builder.finish(light, weighed)
    kept = builder.type_of(weighed).bits + math.log2(1000) + 0.5
    assert lookup_complexity(3, kept, P_ERROR) > lookup_complexity(3, 3, P_ERROR)
    assert estimate_cost(program).complexity == 4 * lookup_complexity(3, kept, P_ERROR)
    each = LayerCost(3, 2 * lookup_complexity(3, kept, P_ERROR))
    assert layer_costs(program) == {light: each, heavy: each, weighed: LayerCost(0, 0.0)}


def test_results_of_two_widths_in_a_sum_have_the_ciphertexts_of_the_narrower():
    """Each width keeps what its own results need, and the wider are converted."""
    chain = Chain(2, 5)
    other = chain.builder.input(np.zeros(2), np.full(2, 7), label="other")
    other = chain.builder.add(scaled(2, 4), chain.builder.add(identity(3), other, label="o"), label="o")
    program = chain.add(ops.Add(), other).finish()
    found = demands(program)
    assert_demands(program, {INPUT: 5, 3: 6 + 2.0, 5: 6.0}, (5, 2), (3, 2))
    assert [found.bits_of(found.block_of[at]) for at in (chain.input, chain.first, chain.at)] == [5, 3, 3]


# Rounding


def rounded(op, lsbs, weight=8, bits=3):
    """Return a program whose sums of ``weight`` are looked up without low bits, and its values' positions."""
    chain = Chain(3, bits).add(scaled(3, weight))
    before = chain.bits
    chain.add(ops.Truncate(lsbs) if op == "truncate" else ops.Round(lsbs, op))
    cells = (chain.builder.type_of(chain.at).max >> lsbs) + 1
    chain.add(bit(cells, step=1 << lsbs))
    return chain.finish(), before, chain.at


@pytest.mark.parametrize("lsbs", [1, 2])
@pytest.mark.parametrize("op", ["exact", "truncate"])
def test_bits_that_are_removed_exactly_are_paid_one_by_one(op, lsbs):
    """Each by a lookup of the lowest bit, which is half of its first cell, so one bit less will do."""
    program, before, at = rounded(op, lsbs)
    left = before - lsbs
    read_rounded = left + 0.5 * math.log2(64 + lsbs) + READ
    reads_lowest = before - 1 + 3 + READ
    # what is cleared has noise of its own: the sum of as many lowest bits as there were, by 1.25 more
    own = max([left + 0.5 * math.log2(lsbs) + READ, *(before - 1 - n + 1.25 for n in range(1, lsbs))])
    precision = {INPUT: 3, 3: max(3 + before - 1 + READ, left + 3 + READ), 0: own, left: 1.0}
    assert precision[3] == reads_lowest >= read_rounded - 0.1
    assert_demands(program, precision, (3, 3), (0, 3 * lsbs), (left, 3))
    assert count_bootstraps(program) == 6 + 3 * lsbs
    assert bits_read(program, at) == left
    found = estimate_cost(program)
    assert found.lookups == {3: 3, left: 3}
    layer = layer_costs(program)[at]
    assert layer.bits == left
    lowest = price(0, own)
    reads = 3 * price(left, 1.0).reading(lowest.dimension).complexity  # what is rounded is theirs
    assert layer.complexity == pytest.approx(reads + 3 * lsbs * lowest.complexity)
    assert not demands(program).residues
    assert_engine_s(program, rel=0.07, keys=0.15)


def test_cleared_bits_have_noise_of_their_own():
    """Where many are, the first that are cleared are read by those that follow, and weigh most."""
    program, before, _ = rounded("truncate", 6, weight=100)
    assert before == 10
    assert demands(program).precision[0] == pytest.approx(10 - 1 - 1 + 1.25)
    program, _, _ = rounded("exact", 1, weight=100)
    assert demands(program).precision[0] == pytest.approx(10 - 1 + READ)


def test_what_is_cleared_twice_has_the_noise_of_both():
    """Weighed by 8, a result has a variance of 64, to which each cleared bit adds one."""
    chain = Chain(1).add(scaled(1, 8)).add(ops.Truncate(1)).add(ops.Truncate(2)).add(bit(16, step=4))
    assert demands(chain.finish()).log2_norm == pytest.approx(0.5 * math.log2(64 + 1 + 2))


@pytest.mark.parametrize("lsbs", [1, 2, 3])
def test_approximate_rounding_takes_no_lookups_and_keeps_the_noise(lsbs):
    """The first lookups' results are weighed by 8, so they keep 3 bits more than what is read."""
    program, before, at = rounded("approximate", lsbs)
    left = before - lsbs
    precision = {INPUT: 3, 3: left + 3 + READ, left: 1.0}
    if left == 3:
        precision.pop(left)
        precision[3] = 6 + READ
    assert_demands(program, precision, (3, 3), (left, 3))
    assert count_bootstraps(program) == estimate_cost(program).n_lookups == 6
    assert bits_read(program, at) == left
    assert_engine_s(program, keys=0.1)


def test_what_rounding_overflows_by_is_clipped_where_five_bits_are_left():
    """Rounded up, [0, 127] is up to 128: with 4 bits left one more is read, with 5 a lookup of 4 cuts it off.

    Where nothing overflows, nothing is cut off.
    """
    for high, lsbs, left, clipping in ((127, 3, 5, ()), (127, 2, 5, (4,)), (125, 2, 5, ()), (7, 2, 2, ())):
        builder = ProgramBuilder()
        x = builder.input(np.zeros(2), np.full(2, high), label="x")
        y = builder.add(ops.Round(lsbs, "approximate"), x, label="rounded")
        y = builder.add(bit((high + (1 << lsbs)) // (1 << lsbs) + 1, step=1 << lsbs), y, label="y")
        program = builder.finish(y)
        assert bits_read(program, y) == left
        assert count_bootstraps(program) == 2 + 2 * len(clipping)
        found = [(reading.bits, reading.count) for reading in demands(program).readings]
        assert found == [*((bits, 2) for bits in clipping), (left, 2)]
        if high == 127:
            assert_engine_s(program, keys=0.1)
        if clipping:  # fresh noise
            assert demands(program).precision[4] == pytest.approx(left + READ)


def test_bits_are_read_through_a_bound_of_what_was_rounded():
    """[0, 31] are 5 bits, but the engine reads the 6 that were rounded; what is not rounded has its own."""
    chain = Chain(1, 6).add(ops.Round(2, "approximate")).add(ops.Bound(0, 31)).add(bit(8, step=4))
    assert bits_read(chain.finish(), chain.at) == 4
    assert_engine_s(chain.finish(), keys=0.2)
    chain = Chain(1, 6).add(ops.Truncate(2)).add(ops.Bound(0, 31)).add(bit(8, step=4))
    assert bits_read(chain.finish(), chain.at) == 4
    chain = Chain(1, 6).add(ops.Bound(0, 31)).add(ops.Bound(0, 15)).add(identity(4))
    assert bits_read(chain.finish(), chain.at) == 4


@pytest.mark.parametrize(
    ("low", "high", "lsbs", "read"),
    [
        (-9, 3, 2, 3),  # to [-8, 4], 4 bits, but the interval of both has 5
        (-1, 63, 3, 5),  # to [0, 64]: with the -1 these have 8 bits, though either has 7
        (-1, 63, 2, 5),  # one bit of which is cut off
    ],
)
def test_signed_values_are_rounded_in_an_interval_of_both(low, high, lsbs, read):
    builder = ProgramBuilder()
    x = builder.input(np.full(1, low), np.full(1, high), label="x")
    y = builder.add(ops.Round(lsbs, "approximate"), x, label="rounded")
    kind = builder.type_of(y)
    table = 5 * np.arange(((kind.max - kind.min) >> lsbs) + 1)[None]
    y = builder.add(ops.Lookup(table, np.array([kind.min]), 1 << lsbs), y, label="y")
    program = builder.finish(y)
    assert bits_read(program, y) == read
    assert_engine_s(program, keys=0.1)
