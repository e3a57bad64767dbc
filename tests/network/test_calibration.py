"""Ranges chosen on calibration rows: grids worked out by hand, or against every choice."""

import itertools

import numpy as np
import pytest

from skfhe.network._schemes.calibration import MAX_VALUES, calibrate_grid


def rounded(values, scale, zero_point, n_bits):
    """Return the floats of a grid that stand for ``values``."""
    q = np.clip(np.rint(values / scale + zero_point), 0, 2**n_bits - 1)
    return scale * (q - zero_point)


def mean_squared_error(values, grid, n_bits):
    return np.square(values - rounded(values, *grid, n_bits)).mean()


def least_error(values, n_bits):
    """Return the least error of all ranges whose ends lie on a fine raster."""
    low, high = values.min(), values.max()
    raster = np.linspace(low, high, 61)
    steps = 2**n_bits - 1
    scales = [(b - a) / steps for a, b in itertools.combinations(raster, 2)]
    starts = [a for a, _ in itertools.combinations(raster, 2)]
    return min(
        mean_squared_error(values, (scale, np.rint(-start / scale)), n_bits)
        for scale, start in zip(scales, starts, strict=True)
    )


def samples():
    rng = np.random.default_rng(0)
    return {
        "normal": rng.normal(size=200),
        "one-sided": rng.exponential(size=200),
        "one-sided and negative": -1 - rng.exponential(size=200),
        "heavy tails": rng.standard_t(3, size=200),
        "two humps": np.r_[rng.normal(-4, 0.3, 100), rng.normal(2, 1, 100)],
        "mostly zero": np.r_[np.zeros(190), rng.normal(5, 1, 10)],
    }


@pytest.mark.parametrize("name", samples())
@pytest.mark.parametrize("n_bits", [1, 2, 3, 4])
def test_hardly_any_range_has_a_smaller_error_than_the_chosen_one(name, n_bits):
    """Against all pairs of ends, but where zero lies beyond them, which few bits reach badly.

    The range of all values is never better.
    """
    values = samples()[name]
    found = mean_squared_error(values, calibrate_grid(values[:, None], n_bits, 0, "mse"), n_bits)
    if values.max() >= 0:
        assert found <= 1.2 * least_error(values, n_bits)
    elif n_bits > 2:
        assert found <= 1.3 * least_error(values, n_bits)
    whole = mean_squared_error(values, calibrate_grid(values[:, None], n_bits, 0, "minmax"), n_bits)
    assert found <= whole * (1 + 1e-9)


@pytest.mark.parametrize("side", [1, -1])
def test_a_lone_value_far_off_is_clipped_on_either_side(side):
    """2,000 values in [-1, 1] and one at 2.4: at 3 bits a step of 2 / 7 errs less than one of 3.4 / 7.

    Up to 0.6 of the range may go, so the outlier alone is clipped.
    """
    values = side * np.r_[np.linspace(-1, 1, 2000), 2.4]
    scale, zero_point = calibrate_grid(values[:, None], 3, None, "mse")
    assert scale.item() == pytest.approx(2 / 7, rel=0.12)
    error = mean_squared_error(values, (scale, zero_point), 3)
    assert error <= 1.05 * least_error(values, 3)


def test_ranges_of_all_values_known_by_hand():
    """[-1, 2] at 2 bits are steps of 1, whose second integer is 0; [4, 7] begin at the integer -4."""
    for values, expected in [([-1, 0.5, 2], (1, 1)), ([4, 7], (1, -4)), ([-6, -3], (1, 6)), ([0, 6], (2, 0))]:
        found = calibrate_grid(np.array(values, dtype=float)[:, None], 2, None, "minmax")
        assert [float(each.item()) for each in found] == list(expected)


def test_percentiles_leave_a_thousandth_on_either_side():
    """Of 0 … 10,000 the middle 99.8 % reach from 10 to 9,990. At 1 bit that is one step."""
    values = np.random.default_rng(0).permutation(10_001).astype(float)[:, None]
    scale, zero_point = calibrate_grid(values, 1, None, "percentile")
    assert scale.item() == pytest.approx(9980, rel=0.001)
    assert zero_point.item() == 0


def test_each_channel_of_any_axis_has_a_grid_of_its_own():
    values = np.zeros((5, 2, 3))
    values[0], values[1] = [[3, 6, 9], [12, 15, 18]], [[-3, -6, -9], [0, 0, 0]]
    for axis, expected, shape in [(1, [5, 7, 9], (1, 3)), (-1, [5, 7, 9], (1, 3)), (0, [6, 6], (2, 1))]:
        scale, zero_point = calibrate_grid(values, 2, axis, "minmax")
        assert scale.shape == zero_point.shape == shape
        assert scale.ravel().tolist() == expected
    scale, _ = calibrate_grid(values, 2, None, "minmax")
    assert (scale.shape, scale.item()) == ((1, 1), 9)


@pytest.mark.parametrize("method", ["minmax", "percentile", "mse"])
def test_a_constant_channel_takes_the_range_of_the_others(method):
    """Channel 1 is always 2, the others span [0, 3] and [-3, 0]: it takes [-3, 3], and zero alike."""
    rng = np.random.default_rng(0)
    values = np.stack([np.r_[0, 3, rng.uniform(0, 3, 98)], np.full(100, 2.0), np.zeros(100)], axis=1)
    values[:, 2] = -values[:, 0]
    scale, zero_point = calibrate_grid(values, 3, 0, method)
    if method == "minmax":
        np.testing.assert_allclose(scale * 7, [3, 6, 3])
    assert abs(rounded(values, scale, zero_point, 3) - values)[:, 1].max() <= scale[1] / 2 + 1e-12
    assert 0 <= zero_point[1] <= 7


@pytest.mark.parametrize(("value", "length"), [(5.0, 5.0), (-4.0, 4.0), (0.0, 1.0)])
def test_constant_values_alone_span_from_zero(value, length):
    scale, zero_point = calibrate_grid(np.full((9, 1), value), 2, None, "minmax")
    assert scale.item() == pytest.approx(length / 3)
    assert rounded(np.array([value]), scale, zero_point, 2) == pytest.approx(value)


def test_values_that_differ_by_rounding_alone_are_constant():
    values = 5.0 + np.array([0, 1e-15, -1e-15])
    assert calibrate_grid(values[:, None], 2, None, "minmax")[0].item() == pytest.approx(5 / 3)
    apart = 5.0 + np.array([0, 1e-9])
    assert calibrate_grid(apart[:, None], 2, None, "minmax")[0].item() == pytest.approx(1e-9 / 3, rel=1e-3)


@pytest.mark.parametrize("n", [MAX_VALUES, MAX_VALUES + 1, 3 * MAX_VALUES])
@pytest.mark.parametrize("at", [1, -2])
def test_ends_count_however_many_values_are_left_out(n, at):
    """One value in so many is far enough off to be worth its place at 8 bits, wherever it lies."""
    values = np.linspace(-1, 1, n)
    values[at] = 1.5
    scale, zero_point = calibrate_grid(values[:, None], 8, None, "mse")
    assert abs(rounded(np.array([1.0, -1.0]), scale, zero_point, 8) - [1, -1]).max() <= scale.item()
    assert calibrate_grid(values[:, None], 8, None, "minmax")[0].item() == 2.5 / 255


@pytest.mark.parametrize("method", ["mse", "minmax", "percentile"])
@pytest.mark.parametrize("axis", [None, 0])
def test_grids_hold_zero_and_the_range(method, axis):
    rng = np.random.default_rng(0)
    values = np.abs(rng.normal(size=(500, 3))) * [1, 5, 20] + [0, 1, -4]
    scale, zero_point = calibrate_grid(values, 4, axis, method)
    assert np.all(zero_point == np.rint(zero_point))
    assert scale.size == (1 if axis is None else 3)
    levels = np.rint(values / scale + zero_point)
    inside = np.mean((levels >= 0) & (levels <= 15))
    assert inside == 1 if method == "minmax" else inside > 0.9


def test_mean_squared_error_clips_a_heavy_tail():
    """One value in a thousand far away is not worth a fifteen times coarser grid."""
    values = np.concatenate([np.random.default_rng(0).normal(size=(3999, 1)), [[60.0]]])

    def error(method):
        scale, zero = calibrate_grid(values, 4, 0, method)
        return np.square(values - scale * (np.clip(np.rint(values / scale + zero), 0, 15) - zero)).mean()

    assert error("mse") <= error("minmax")
    assert error("mse") <= error("percentile") * 1.01
