"""Thermometer bits of thresholds, and how thresholds are chosen."""

import numpy as np
import pytest

from skfhe.encoding import AffineQuantizer, ThresholdEncoder, calibrate_thresholds


def column(*values):
    return np.array(values, dtype=float)[:, None]


def test_thermometer_bits_hold_what_the_quantized_integer_holds():
    """The number of bits set is the k-bit integer of an even grid over the data's range."""
    X = np.random.default_rng(0).normal(size=(300, 2))
    bits = calibrate_thresholds(X, 3).quantize(X)
    low, high = X.min(axis=0), X.max(axis=0)
    expected = AffineQuantizer(3, False, (high - low) / 7).quantize(X - low)
    np.testing.assert_array_equal(bits.reshape(300, 2, 7).sum(axis=2), expected)


def test_few_distinct_values_are_kept_apart_exactly():
    X = np.array([[0.0, 5.0], [1.0, 5.0], [100.0, 5.0]])
    encoder = calibrate_thresholds(X, 2)
    np.testing.assert_array_equal(encoder.features, [0, 0])
    np.testing.assert_array_equal(encoder.quantize(X), [[0, 0], [1, 0], [1, 1]])


def test_values_beyond_the_range_are_clipped():
    X = np.linspace(0, 1, 50)[:, None]
    encoder = calibrate_thresholds(X, 3)
    np.testing.assert_array_equal(encoder.quantize([[-1e9], [1e9]]), encoder.quantize([[0.0], [1.0]]))


def test_constant_data_still_gives_a_bit():
    assert calibrate_thresholds(np.ones((5, 2)), 4).n_bits == 1


def test_encoder_refuses_other_shapes():
    encoder = ThresholdEncoder(2, np.array([1]), np.array([0.0]))
    with pytest.raises(ValueError, match=r"expected shape \(n_rows, 2\)"):
        encoder.quantize(np.zeros((1, 3)))


def test_thresholds_known_by_hand():
    """Five values at 2 bits: an even grid from 0 to 90, whose integers change at 15, 45 and 75."""
    encoder = calibrate_thresholds(column(0, 10, 20, 30, 90), 2)
    assert encoder.thresholds.tolist() == [15, 45, 75]
    assert encoder.features.tolist() == [0, 0, 0]
    assert encoder.quantize(column(15, 15.1, 80)).tolist() == [[0, 0, 0], [1, 0, 0], [1, 1, 1]]


def test_as_many_values_as_the_bits_hold_are_kept_apart():
    """Four at 2 bits, half-way between neighbours; with a fifth the grid is even."""
    assert calibrate_thresholds(column(0, 1, 10, 90), 2).thresholds.tolist() == [0.5, 5.5, 50]
    assert calibrate_thresholds(column(0, 1, 10, 60, 90), 2).thresholds.tolist() == [15, 45, 75]


def test_percentiles_leave_both_ends_outside():
    """Of 0 … 100, 10 percent at either end: the grid spans 10 to 90, and its step is 80 / 3."""
    values = np.arange(101.0)
    encoder = calibrate_thresholds(values[:, None], 2, percentile=10)
    np.testing.assert_allclose(encoder.thresholds, 10 + 80 / 3 * np.array([0.5, 1.5, 2.5]))


def test_percentiles_that_leave_nothing_give_way_to_the_range():
    """All but four of 100 values are equal, so that both percentiles are this value."""
    values = np.r_[np.zeros(96), 1, 2, 3, 9]
    encoder = calibrate_thresholds(values[:, None], 2, percentile=10)
    assert encoder.thresholds.tolist() == [1.5, 4.5, 7.5]


def test_steps_of_levels_make_all_features_span_alike():
    """Seven thresholds and two: a level of the second counts three, 7 // 2. A third feature has none."""
    encoder = ThresholdEncoder(3, np.array([0] * 7 + [1] * 2), np.r_[np.arange(7) + 0.5, 0.5, 1.5])
    assert encoder.level_weights.sum(axis=0).tolist() == [7, 6, 0]
    assert encoder.level_weights[[0, 6, 7, 8]].tolist() == [[1, 0, 0], [1, 0, 0], [0, 3, 0], [0, 3, 0]]
    assert encoder.levels([[3.0, 1.0, 4.0]]).tolist() == [[3, 3, 0]]


def test_a_column_of_one_value_gets_no_threshold_unless_all_are_such():
    X = np.array([[3.0, 1.0], [3.0, 2.0]])
    assert calibrate_thresholds(X, 3).features.tolist() == [1]
    constant = calibrate_thresholds(X[:, :1], 3)
    assert (constant.features.tolist(), constant.thresholds.tolist()) == ([0], [3.0])
    assert constant.quantize([[3.0], [3.1]]).tolist() == [[0], [1]]


def test_encoders_refuse_what_does_not_fit():
    for features, thresholds in [([[0]], [[0.5]]), ([0, 0], [0.5])]:
        with pytest.raises(ValueError, match="one-dimensional and of one length"):
            ThresholdEncoder(1, np.array(features), np.array(thresholds))
    encoder = ThresholdEncoder(2, np.array([0]), np.array([0.5]))
    for wrong in (np.zeros(2), np.zeros((1, 2, 2)), np.zeros((1, 1))):
        with pytest.raises(ValueError, match=r"expected shape \(n_rows, 2\)"):
            encoder.quantize(wrong)
