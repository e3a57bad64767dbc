"""Error rates keep all their digits, are what the engine gets, and stay within what it can do."""

from fractions import Fraction

import numpy as np
import pytest

from skfhe.circuit import compile_program
from skfhe.circuit._engine import fhe
from skfhe.cost._error_rate import SMALLEST_P_ERROR, ErrorRate, resolve_error_rate
from skfhe.program import ProgramBuilder, ops
from tests.cost.test_cost import network, parts, sums


@pytest.mark.parametrize("exponent", [-38, -20, -15, -8, -3])
@pytest.mark.parametrize("n", [1, 2, 100, 10**6])
def test_shares_of_a_small_rate_are_not_rounded_away(exponent, n):
    """For a small rate, the share of one among n lookups is the n-th part."""
    rate = 10.0**exponent
    share = ErrorRate(None, rate).per_lookup(n)
    assert rate / n <= share <= rate / n * (1 + rate)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.999])
def test_shares_of_a_large_rate_make_the_whole(rate):
    share = ErrorRate(None, rate).per_lookup(7)
    assert 1 - (1 - share) ** 7 == pytest.approx(rate)


@pytest.mark.parametrize("name", ["p_error", "global_p_error"])
@pytest.mark.parametrize("rate", [5e-324, 1e-300, np.float64(2.0**-129), Fraction(1, 10**400)])
def test_rates_below_what_the_engine_can_do_are_refused(name, rate):
    """At the smallest float it aborts the process."""
    rates = {"p_error": None, "global_p_error": None} | {name: rate}
    with pytest.raises(ValueError, match=rf"{name}=.* is smaller than 2\*\*-128"):
        resolve_error_rate(**rates)
    if not isinstance(rate, Fraction):
        with pytest.raises(ValueError, match=r"smaller than 2\*\*-128"):
            resolve_error_rate(None, None, fhe.Configuration(**{name: float(rate)}))


@pytest.mark.parametrize("rate", [np.float32(0.01), np.float64(0.01), Fraction(1, 100), SMALLEST_P_ERROR])
def test_rates_of_any_number_type(rate):
    assert resolve_error_rate(rate, None).p_error == float(rate)
    assert type(resolve_error_rate(None, rate).global_p_error) is float


@pytest.mark.parametrize(
    "rate", [np.float64("nan"), np.inf, Fraction(0), 1 - 2.0**-60, Fraction(10**400), -1e-3]
)
def test_rates_that_are_no_probability_are_refused(rate):
    with pytest.raises(ValueError, match="must lie in"):
        resolve_error_rate(rate, None)


@pytest.mark.parametrize("rate", [True, "0.1", 1j, np.array(0.1)])
def test_what_is_no_number_is_refused(rate):
    with pytest.raises(TypeError, match="must be a number"):
        resolve_error_rate(None, rate)


def test_the_smallest_rate_compiles():
    circuit = compile_program(network(), ErrorRate(SMALLEST_P_ERROR), batch_sizes=(1,))
    assert circuit.statistics["p_error"] <= SMALLEST_P_ERROR


@pytest.mark.parametrize("rate", [1e-3, 1e-15])
@pytest.mark.parametrize("program", [network, parts], ids=["one part", "parts"])
def test_a_global_rate_is_that_of_one_row_whatever_the_batch_sizes(program, rate):
    """One row's lookups share it. Rows of one call are runs of their own, and so are other batch sizes."""
    alone = compile_program(program(), ErrorRate(None, rate), batch_sizes=(1,))
    among = compile_program(program(), ErrorRate(None, rate), batch_sizes=(1, 8, 32))
    for circuit in (alone, among):
        n = circuit.statistics["lookups"]
        assert 0.1 * rate < n * circuit.statistics["p_error"] <= rate * 1.001
    assert among.complexity == pytest.approx(alone.complexity, rel=1e-3)


def test_a_small_global_rate_of_two_parts_costs_what_its_share_does():
    """Rounded to zero, the share of each part would cost many times as much."""
    builder = ProgramBuilder()
    table = ops.Lookup(np.arange(8)[None, ::-1].copy(), np.zeros(1, dtype=np.int64))
    inputs = [builder.input(np.zeros(2), np.full(2, 7), label=name) for name in "xy"]
    program = builder.finish(*(builder.add(table, x, label="z") for x in inputs))
    whole = compile_program(program, ErrorRate(None, 1e-15), batch_sizes=(1,))
    share = compile_program(program, ErrorRate(1e-15 / 4), batch_sizes=(1,))
    assert whole.complexity == share.complexity


def test_without_lookups_the_outputs_share_a_global_rate():
    circuit = compile_program(sums(20, 10), ErrorRate(None, 1e-6), batch_sizes=(1,))
    assert circuit.statistics["p_error"] <= 1e-7
