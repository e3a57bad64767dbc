"""Sums that add one ciphertext's noise more than once keep the error rate that was asked for.

The engine takes what it adds for independent. What the variance really is follows from the coefficients that
each element of an input, or of a lookup's results, has in a sum, and these are found here by the interpreter.
"""

import math

import numpy as np
import pytest

from skfhe.circuit import compile_program
from skfhe.cost import ErrorRate, engine_p_error, estimate_cost
from skfhe.cost._rules import variance
from skfhe.cost._shared_noise import EXACT, shared_noise
from skfhe.exceptions import CompilationError
from skfhe.program import ProgramBuilder, ops, run


def begun(*shape, low=-3, high=1):
    builder = ProgramBuilder()
    return builder, builder.input(np.full(shape, low), np.full(shape, high), label="x")


def doubled(times, shape=(4,)):
    builder, y = begun(*shape)
    for _ in range(times):
        y = builder.add(ops.Add(), y, y, label="doubled")
    return builder.finish(y)


def linear(weight):
    weight = np.asarray(weight)
    return ops.Linear(weight, np.zeros(weight.shape[1], dtype=np.int64))


def by_coefficients(program):
    """The factor of the only output, from what the interpreter makes of each element by itself."""
    (position,) = program.inputs
    kind = program.values[position].type
    (origin,) = run(program, kind.low[None])
    units = kind.low + np.eye(kind.size, dtype=np.int64).reshape(kind.size, *kind.shape)
    (moved,) = run(program, units)
    true = np.square((moved - origin).astype(float)).sum(axis=0)
    taken = {}
    for at, value in enumerate(program.values):
        taken[at] = variance(value.op, *(taken[a] for a in value.arguments))
    (output,) = program.outputs
    reached = taken[output] > 0
    return max(1.0, float((true[reached] / taken[output][reached]).max(initial=1.0)))


@pytest.mark.parametrize("times", [1, 2, 3])
def test_doubling_by_adding_doubles_the_factor(times):
    """Its variance is 4 times that of a value, where two independent ones have 2 times."""
    assert shared_noise(doubled(times)) == 2.0**times


@pytest.mark.parametrize(
    "op",
    [
        linear([[1, -2], [3, 0], [0, 5], [1, 1]]),
        ops.Sum(0),
        ops.Gather(np.array([3, 0, 1]), 0),
        ops.Reshape((2, 2)),
        ops.Round(1, "approximate"),
        ops.Lookup(np.arange(5)[None], np.array([-3])),
    ],
    ids=lambda op: type(op).__name__,
)
def test_what_reads_each_element_once_shares_nothing(op):
    builder, x = begun(4)
    assert shared_noise(builder.finish(builder.add(op, x, label="y"))) == 1.0


def test_a_convolution_of_an_input_shares_nothing():
    builder, x = begun(1, 5, 5)
    op = ops.Convolution(np.ones((2, 1, 3, 3), dtype=np.int64), np.zeros(2, dtype=np.int64))
    assert shared_noise(builder.finish(builder.add(op, x, label="y"))) == 1.0


def test_an_element_that_is_repeated_and_summed_is_added_to_itself():
    builder, x = begun(2)
    repeated = builder.add(ops.Gather(np.array([0, 0, 1]), 0), x, label="repeated")
    program = builder.finish(builder.add(ops.Sum(0), repeated, label="sum"))
    assert shared_noise(program) == pytest.approx((4 + 1) / 3)


def test_a_lookup_between_makes_noise_of_its_own():
    builder, x = begun(3)
    y = builder.add(linear(np.ones((3, 2), dtype=np.int64)), x, label="sums")
    low, high = builder.type_of(y).min, builder.type_of(y).max
    looked_up = builder.add(
        ops.Lookup(np.arange(high - low + 1)[None] % 4, np.array([low])), y, label="table"
    )
    beside = builder.add(ops.Add(), looked_up, y, label="residual")  # a lookup's result, and what it read
    assert shared_noise(builder.finish(builder.add(ops.Gather(np.array([0]), 0), beside, label="one"))) == 1.0
    together = builder.add(linear([[1], [1]]), y, label="again")
    assert shared_noise(builder.finish(together)) == pytest.approx(2.0)


def test_a_layer_behind_a_layer_by_the_product_of_their_weights():
    rng = np.random.default_rng(0)
    first, second = rng.integers(-3, 4, (5, 4)), rng.integers(-3, 4, (4, 3))
    builder, x = begun(5)
    y = builder.add(linear(second), builder.add(linear(first), x, label="first"), label="second")
    expected = (
        np.square(first @ second).sum(axis=0) / (np.square(first) @ np.square(second)).sum(axis=0)
    ).max()
    assert shared_noise(builder.finish(y)) == pytest.approx(max(1.0, expected))


def test_an_average_of_overlapping_windows():
    builder, x = begun(1, 4, 4, low=0, high=1)
    windows = ops.Convolution(np.ones((1, 1, 3, 3), dtype=np.int64), np.zeros(1, dtype=np.int64))
    y = builder.add(ops.Reshape((4,)), builder.add(windows, x, label="windows"), label="flat")
    program = builder.finish(builder.add(ops.Sum(0), y, label="average"))
    # rows and columns are in 1, 2, 2 and 1 of two windows each
    assert shared_noise(program) == pytest.approx(np.square(np.outer([1, 2, 2, 1], [1, 2, 2, 1])).sum() / 36)
    assert shared_noise(program) == pytest.approx(by_coefficients(program))


@pytest.mark.parametrize("seed", range(30))
def test_random_sums_of_sums_by_their_coefficients(seed):
    rng = np.random.default_rng(seed)
    builder, x = begun(4)
    values = [x]
    for step in range(rng.integers(2, 7)):
        a, b = rng.choice(values, size=2)
        op = [
            linear(rng.integers(-2, 3, (4, 4))),
            ops.Gather(rng.integers(0, 4, 4), 0),
            ops.Add(),
            ops.Subtract(),
        ][rng.integers(4)]
        arguments = (a, b) if isinstance(op, ops.Add | ops.Subtract) else (a,)
        values.append(builder.add(op, *map(int, arguments), label=f"step {step}"))
    program = builder.finish(values[-1])
    assert shared_noise(program) == pytest.approx(by_coefficients(program))


def test_many_elements_are_estimated_on_the_safe_side():
    """By draws, whose error the largest of many alike exceeds."""
    assert EXACT < 64 * 32
    found = shared_noise(doubled(1, shape=(64, 32)))
    assert found == pytest.approx(2.0)  # signs squared are 1, so nothing is drawn that could be missed
    builder, x = begun(2048, low=0, high=1)
    pairs = np.zeros((2048, 1024), dtype=np.int64)
    pairs[np.arange(2048), np.arange(2048) // 2] = 1
    y = builder.add(linear(pairs), x, label="pairs")
    again = builder.add(
        ops.Add(), y, builder.add(ops.Gather(np.arange(1024)[::-1], 0), y, label="r"), label="sum"
    )
    assert 1.0 <= shared_noise(builder.finish(again)) < 1.3  # the truth is 1: no pair is added to itself
    twice = builder.add(ops.Add(), y, y, label="twice")
    assert 2.0 <= shared_noise(builder.finish(twice)) < 2.6


def test_the_same_bound_at_the_larger_variance_is_what_was_asked_for():
    """A normal variable of f times the variance exceeds the bound of the smaller rate as often as asked."""
    for factor, p_error in ((2.0, 1e-6), (4.0, 2.0**-40), (2.0, 0.05)):
        program = doubled(int(math.log2(factor)))
        smaller = engine_p_error(program, p_error)
        assert smaller < p_error
        low, high = 0.0, 60.0  # the bound, in standard deviations that the engine knows of
        for _ in range(200):
            middle = (low + high) / 2
            low, high = (middle, high) if math.erfc(middle / math.sqrt(2)) > smaller else (low, middle)
        assert math.erfc(low / math.sqrt(2 * factor)) == pytest.approx(p_error, rel=1e-6)
    assert engine_p_error(doubled(0), 2.0**-40) == 2.0**-40


def test_what_no_error_rate_makes_up_for_is_refused():
    program = doubled(4)
    with pytest.raises(CompilationError, match=r"'doubled' adds up sums of the same values.* 16 times"):
        compile_program(program)
    assert "16 times the variance" in estimate_cost(program).refusal
    assert estimate_cost(program, ErrorRate(2.0**-10)).refusal is None


def test_doubled_values_decrypt_to_their_multiple():
    """With parameters for independent noise, some 6 in 100 do not: of 2,048 values, that would show."""
    program = doubled(3)
    X = np.random.default_rng(0).integers(-3, 2, (512, 4))
    circuit = compile_program(program, ErrorRate(2.0**-20), batch_sizes=(1, 8))
    np.testing.assert_array_equal(circuit.execute(X)[0], 8 * X)
