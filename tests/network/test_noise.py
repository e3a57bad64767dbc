"""The error of approximate rounding in the clear: a normal one, as an encrypted run has it."""

from statistics import NormalDist

import numpy as np
import pytest

from skfhe.circuit import compile_program
from skfhe.cost import DEFAULT_P_ERROR, ErrorRate
from skfhe.network import RoundingNoise, run_with_noise
from skfhe.program import ProgramBuilder, ops, run


def rounded(highest, lsbs):
    """Return the program that rounds [0, highest] and looks up the number of the multiple."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(1), np.full(1, highest), label="x")
    y = builder.add(ops.Round(lsbs, "approximate"), x, label="x")
    cells = np.arange(((highest + (1 << lsbs) // 2) >> lsbs) + 1)
    return builder.finish(builder.add(ops.Lookup(cells[None], np.array([0]), 1 << lsbs), y, label="x"))


def test_multiples_stay_and_others_take_one_of_their_two_neighbours():
    x = np.repeat(np.arange(64)[:, None], 200, axis=1)
    found = RoundingNoise(DEFAULT_P_ERROR).rounded(ops.Round(3, "approximate"), x)
    np.testing.assert_array_equal(found[::8], x[::8])
    assert (abs(found - x) < 8).all()
    assert (found % 8 == 0).all()


@pytest.mark.parametrize("p_error", [DEFAULT_P_ERROR, 1e-2])
def test_half_a_cell_is_as_many_deviations_as_the_error_rate_says(p_error):
    """A value half a unit below a tie is rounded up when a normal variable exceeds that."""
    op, noise = ops.Round(5, "approximate"), RoundingNoise(p_error)
    up = (noise.rounded(op, np.full(20_000, 15)) == 32).mean()
    assert up == pytest.approx(1 - NormalDist().cdf(0.5 * noise.half_cell / 16), abs=0.015)


def test_the_seed_decides():
    x = np.arange(1000)[:, None]
    program = rounded(1007, 4)
    first, second, other = (
        run_with_noise(program, RoundingNoise(DEFAULT_P_ERROR, seed), x)[0][0] for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, second)
    assert (first != other).any()


@pytest.mark.parametrize("p_error", [DEFAULT_P_ERROR, pytest.param(1e-3, marks=pytest.mark.slow)])
def test_the_engine_simulates_as_many_neighbours(p_error):
    """By distance from the tie; the engine's own noise may be a little less than it could be."""
    program = rounded(240, 4)
    x = np.repeat(np.arange(200, 232), 500)[:, None]
    nearest = run(program, x)[0]
    simulated = compile_program(program, ErrorRate(p_error)).simulate(x)[0]
    modelled = run_with_noise(program, RoundingNoise(p_error), x)[0][0]
    shares = [(found != nearest).reshape(-1, 500).mean(axis=1) for found in (simulated, modelled)]
    assert np.abs(shares[0] - shares[1]).max() < 0.15
    assert shares[1].mean() == pytest.approx(shares[0].mean(), abs=0.02)


def test_rows_that_leave_an_interval_are_told_and_read_the_nearest_cell():
    builder = ProgramBuilder()
    x = builder.input(np.zeros(1), np.full(1, 31), label="x")
    y = builder.add(ops.Bound(0, 15), x, label="x")
    program = builder.finish(builder.add(ops.Lookup(np.arange(16)[None], np.array([0])), y, label="x"))
    (found,), left = run_with_noise(program, RoundingNoise(0.01), np.array([[3], [20]]))
    assert found.tolist() == [[3], [15]]
    assert left.tolist() == [False, True]
