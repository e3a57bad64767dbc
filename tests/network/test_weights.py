"""Integer weights: read off where there are some, chosen against all choices where there are none."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skfhe.network._schemes.weights import choose_integers, integer_grid


def chosen(weights, n_bits, sample):
    """Return integers and scales for weights whose inputs arrive as they are."""
    return choose_integers(weights, n_bits, sample, sample @ weights)


def best_products(weights, highest, sample, fractions=None):
    """Return the least mean squared error of products with one column of integers times a scale."""
    centred = sample - sample.mean(axis=0)
    moments = centred.T @ centred / len(sample)
    integers = np.array(list(itertools.product(range(-highest, highest + 1), repeat=len(weights))))
    dots, squares = integers @ moments @ weights, np.einsum("ij,jk,ik->i", integers, moments, integers)
    if fractions is None:
        scales = np.divide(dots, squares, out=np.zeros_like(dots), where=squares > 0)[:, None]
    else:
        scales = np.abs(weights).max() / highest * fractions[None]
    return (weights @ moments @ weights - 2 * scales * dots[:, None] + scales**2 * squares[:, None]).min()


def error_of(weights, integers, scales, sample):
    centred = sample - sample.mean(axis=0)
    return np.square(centred @ (integers * scales - weights)).mean()


@pytest.mark.parametrize("n_bits", [1, 2, 3, 4])
def test_on_inputs_that_vary_alone_no_integers_are_better(n_bits):
    """Errors cannot make each other good there; against all integers and a fine raster of scales."""
    rng = np.random.default_rng(n_bits)
    highest = max(1, 2 ** (n_bits - 1) - 1)
    spread = np.array([1.0, 0.5, 2.0])
    sample = np.array(list(itertools.product((-1, 1), repeat=3))) * spread + 7.0
    ratios = []
    for _ in range(20):
        weights = rng.normal(size=(3, 1))
        integers, scales = chosen(weights, n_bits, sample)
        assert np.abs(integers).max() <= highest
        best = best_products(weights[:, 0], highest, sample, np.linspace(0.4, 1, 61))
        ratios.append(error_of(weights, integers, scales, sample) / best)
    assert np.median(ratios) < 1.1
    assert np.mean(ratios) < 1.5


@pytest.mark.parametrize("n_bits", [2, 3, 4])
def test_on_correlated_inputs_errors_are_made_good(n_bits):
    """Over many draws the error is nearer to the least of all integers than rounding alone comes."""
    rng = np.random.default_rng(0)
    highest = 2 ** (n_bits - 1) - 1
    found, plain, best = [], [], []
    for _ in range(12):
        factor = rng.normal(size=(200, 1))
        sample = factor + 0.3 * rng.normal(size=(200, 4))
        weights = rng.uniform(0.2, 1, size=(4, 1))
        integers, scales = chosen(weights, n_bits, sample)
        step = np.abs(weights).max(axis=0) / highest
        found.append(error_of(weights, integers, scales, sample))
        plain.append(error_of(weights, np.rint(weights / step), step, sample))
        best.append(best_products(weights[:, 0], highest, sample))
    assert np.mean(found) < 0.5 * np.mean(plain)
    assert np.mean(found) < 12 * np.mean(best)


def test_two_inputs_that_are_the_same_share_what_is_rounded_off():
    """1 and 0.4 + 0.4: rounded alone both 0.4 are 0. Of equal columns one takes up what the other lost."""
    rng = np.random.default_rng(0)
    same = rng.normal(size=(300, 1))
    sample = np.hstack([4 * rng.normal(size=(300, 1)), same, same + 0.01 * rng.normal(size=(300, 1))])
    integers, scales = chosen(np.array([[1.0], [0.4], [0.4]]), 2, sample)
    assert integers[0, 0] == 1
    assert sorted(integers[1:, 0].tolist()) == [0, 1]
    assert scales[0] == pytest.approx(1, abs=0.11)


def test_columns_of_zeros_and_pruned_weights_stay_zero_and_others_do_not_care():
    rng = np.random.default_rng(0)
    sample = rng.normal(size=(50, 3))
    weights = np.array([[0.0, 0.7], [0.0, 0.0], [0.0, -0.2]])
    integers, scales = chosen(weights, 3, sample)
    assert integers[:, 0].tolist() == [0, 0, 0]
    assert scales[0] == 1
    assert integers[1, 1] == 0
    alone, scale = chosen(weights[[0, 2], 1:], 3, sample[:, [0, 2]])
    assert integers[[0, 2], 1].tolist() == alone[:, 0].tolist()
    assert scales[1] == pytest.approx(scale[0])


def test_one_row_of_calibration_says_nothing_and_is_enough():
    """Without variance every input counts alike, and the integers are those of rounding."""
    weights = np.array([[3.0, 0.5], [-1.0, 0.25], [2.0, -0.75]])
    integers, scales = chosen(weights, 3, np.array([[5.0, 5.0, 5.0]]))
    np.testing.assert_allclose(integers * scales, weights, atol=1e-12)
    assert np.abs(integers).max(axis=0).tolist() == [3, 3]


@pytest.mark.parametrize("n_bits", [1, 2, 3, 6])
def test_integers_up_to_the_last_of_so_many_bits_are_read_off(n_bits):
    """Magnitudes up to 2**n_bits - 1: one more needs a bit more."""
    highest = 2**n_bits - 1
    column = np.array([[highest], [-1.0], [0.0]]) * 0.37
    integers, scales = integer_grid(column, n_bits)
    assert integers.tolist() == [[highest], [-1], [0]]
    assert scales == pytest.approx([0.37])
    assert integer_grid(np.array([[highest + 1], [-1.0], [0.0]]), n_bits) is None
    assert integer_grid(np.array([[highest + 1], [-1.0], [0.0]]), n_bits + 1) is not None


def test_what_float32_rounds_off_is_no_weight_and_more_is():
    """A millionth of the largest weight is rounding, a hundred-thousandth is a weight that no grid holds."""
    assert integer_grid(np.array([[3.0], [1.0], [1e-6]]), 3)[0].tolist() == [[3], [1], [0]]
    assert integer_grid(np.array([[3.0], [1.0], [3e-5]]), 3) is None
    assert integer_grid(np.array([[3.0], [1.0 + 2e-6]]), 3)[0].tolist() == [[3], [1]]
    assert integer_grid(np.array([[3.0], [1.0 + 2e-5]]), 3) is None
    many = np.r_[np.arange(1.0, 16), 9.5]  # the ninth magnitude decides
    assert integer_grid(many[:, None], 4) is None
    assert integer_grid(many[:, None] * 0.1, 5)[0].max() == 30


def test_choosing_weights_on_data_beats_rounding_them():
    """On correlated inputs, an error in one weight is made good in another."""
    rng = np.random.default_rng(0)
    sample = rng.normal(size=(500, 4)) @ rng.normal(size=(4, 12)) + 0.1 * rng.normal(size=(500, 12))
    weights = rng.normal(size=(5, 12)).T
    integers, scales = chosen(weights, 3, sample)
    assert np.abs(integers).max() <= 3
    step = np.abs(weights).max(axis=0) / 3
    rounded = np.rint(weights / step) * step

    def error(w):
        return np.square((sample - sample.mean(axis=0)) @ (w - weights)).mean()

    assert error(integers * scales) < error(rounded) / 2


def test_weights_make_good_what_the_sample_lost():
    """A sample that arrives scaled by 0.9 has weights grow by as much."""
    rng = np.random.default_rng(0)
    sample = rng.normal(size=(1000, 4))
    weights = rng.normal(size=(3, 4)).T
    integers, scales = choose_integers(weights, 8, 0.9 * sample, sample @ weights)
    np.testing.assert_allclose(integers * scales, weights / 0.9, atol=0.05)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_integer_grids_are_found_exactly(n_bits, seed):
    """Integers times a scale come back, divided by their common divisor."""
    rng = np.random.default_rng(seed)
    integers = rng.integers(-(2**n_bits) + 1, 2**n_bits, size=(7, 4))
    scales = rng.uniform(0.01, 10, size=4)
    found = integer_grid((integers * scales).astype(np.float32).astype(float), n_bits)
    assert found is not None
    divisors = np.maximum(np.gcd.reduce(integers, axis=0), 1)
    np.testing.assert_array_equal(found[0] * divisors, integers)
