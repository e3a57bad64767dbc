"""Levels and thresholds are where they should be: hand-made cases, and the best of all for small columns."""

import itertools

import numpy as np
import pytest

from skfhe.encoding import (
    BlockEncoder,
    LevelQuantizer,
    ThresholdEncoder,
    calibrate_levels,
    calibrate_thresholds,
)


def column(*values):
    return np.array(values, dtype=float)[:, None]


def test_levels_known_by_hand():
    """Eight rows, four levels: two rows each. Boundaries lie half-way, levels stand for their median."""
    quantizer = calibrate_levels(column(0, 1, 10, 12, 20, 24, 30, 38), 2)
    assert quantizer.boundaries[0].tolist() == [5.5, 16, 27]
    assert quantizer.representatives[0].tolist() == [0.5, 11, 22, 34]
    assert quantizer.quantize(column(-7, 5.5, 5.6, 16, 27, 27.1, 99)).ravel().tolist() == [
        0,
        0,
        1,
        1,
        2,
        3,
        3,
    ]
    assert quantizer.dequantize(np.array([[0], [3]])).tolist() == [[0.5], [34]]


def test_a_missing_value_takes_one_level():
    """Six rows for three levels; the fourth is that of missing values."""
    quantizer = calibrate_levels(column(0, 1, 10, 12, 20, 24, np.nan), 2)
    assert quantizer.boundaries[0].tolist() == [5.5, 16]
    assert quantizer.representatives[0].tolist() == [0.5, 11, 22]
    assert quantizer.quantize(column(0, 11, 22, np.nan)).ravel().tolist() == [0, 1, 2, 3]
    floats = quantizer.dequantize(np.array([[0], [2], [3]])).ravel()
    assert floats[:2].tolist() == [0.5, 22]
    assert np.isnan(floats[2])


@pytest.mark.parametrize(("missing", "n_values"), [(False, 4), (True, 3)])
def test_as_many_values_as_levels_are_kept_and_one_more_is_not(missing, n_values):
    rows = column(*range(n_values), *[np.nan] * missing)
    assert calibrate_levels(rows, 2).representatives[0].tolist() == list(range(n_values))
    assert calibrate_levels(rows, 2).boundaries[0].tolist() == [k + 0.5 for k in range(n_values - 1)]
    more = column(*range(n_values + 1), *[np.nan] * missing)
    assert len(calibrate_levels(more, 2).representatives[0]) == n_values


def test_a_column_of_missing_values_alone_has_a_level_for_them():
    quantizer = calibrate_levels(np.array([[np.nan, 1.0], [np.nan, 2.0]]), 2)
    assert quantizer.quantize([[np.nan, 2.0], [5.0, 1.0]]).tolist() == [[3, 1], [0, 0]]


def test_ties_stay_in_one_level():
    """Five of eight rows are equal: they are one level, whatever is an even share of the rows."""
    quantizer = calibrate_levels(column(1, 3, 3, 3, 3, 3, 7, 9), 1)
    assert quantizer.boundaries[0].tolist() == [5.0]
    assert quantizer.representatives[0].tolist() == [3.0, 8.0]


@pytest.mark.parametrize("n_bits", [1, 2])
@pytest.mark.parametrize("missing", [False, True])
def test_no_boundaries_share_rows_out_more_evenly(n_bits, missing):
    """The largest level of distinct values is as small as any choice of boundaries can make it."""
    rng = np.random.default_rng(n_bits)
    n_levels = 2**n_bits - missing
    for n_rows in range(n_levels + 1, 12):
        values = rng.permutation(rng.choice(50, n_rows, replace=False)).astype(float)
        quantizer = calibrate_levels(column(*values, *[np.nan] * missing), n_bits)
        counts = np.bincount(quantizer.quantize(column(*values)).ravel(), minlength=n_levels)
        ways = itertools.combinations(range(1, n_rows), n_levels - 1)
        best = min(max(np.diff([0, *cuts, n_rows])) for cuts in ways)
        assert counts.max() == best
        assert len(counts) == n_levels
        medians = [
            np.median(values[quantizer.quantize(column(*values)).ravel() == k]) for k in range(n_levels)
        ]
        np.testing.assert_array_equal(quantizer.representatives[0], medians)


def test_levels_beyond_the_last_stand_for_the_last():
    quantizer = LevelQuantizer(2, [np.array([0.5])], [np.array([0.0, 7.0])], np.array([False]))
    assert quantizer.dequantize(np.arange(4)[:, None]).ravel().tolist() == [0, 7, 7, 7]


def test_rows_must_be_a_table_of_all_features():
    quantizer = calibrate_levels(column(0, 1, 2), 2)
    for wrong in (np.zeros(1), np.zeros((1, 1, 1)), np.zeros((2, 2))):
        with pytest.raises(ValueError, match=r"expected shape \(n_rows, 1\)"):
            quantizer.quantize(wrong)


def test_selected_features_keep_their_levels():
    X = np.array([[0, 10, np.nan], [1, 20, 5], [2, 30, 6]])
    quantizer = calibrate_levels(X, 2)
    selected = quantizer.select(np.array([2, 0]))
    assert selected.n_features == 2
    np.testing.assert_array_equal(selected.quantize(X[:, [2, 0]]), quantizer.quantize(X)[:, [2, 0]])
    assert selected.missing.tolist() == [True, False]


def test_blocks_known_by_hand():
    """Counts of 2 bits: three boundaries a block, two where the largest count is a missing value's.

    Seven boundaries are blocks from 0, 3 and 6; four with missing values are blocks from 0 and 2; a constant
    feature still is one block.
    """
    quantizer = LevelQuantizer(
        3,
        [np.arange(7) + 0.5, np.arange(4) + 0.5, np.zeros(0)],
        [np.arange(8.0), np.arange(5.0), np.zeros(1)],
        np.array([False, True, False]),
    )
    encoder = BlockEncoder(quantizer, np.arange(3), 2)
    assert encoder.sizes.tolist() == [3, 2, 3]
    feature, begin = encoder.blocks
    assert feature.tolist() == [0, 0, 0, 1, 1, 2]
    assert begin.tolist() == [0, 3, 6, 0, 2, 0]
    rows = np.array([[0.0, 0.0, 9.0], [3.0, 2.0, 0.0], [4.0, 3.0, 0.0], [7.0, 4.0, 0.0], [7.0, np.nan, 0.0]])
    assert encoder.encode(rows)[0].tolist() == [
        [0, 0, 0, 0, 0, 0],
        [3, 0, 0, 2, 0, 0],
        [3, 1, 0, 2, 1, 0],
        [3, 3, 1, 2, 2, 0],
        [3, 3, 1, 3, 3, 0],
    ]


@pytest.mark.parametrize("size", [3, 4])
def test_a_full_block_is_followed_by_another_only_if_boundaries_are_left(size):
    """Counts of 2 bits hold three boundaries: the fourth begins a block of its own."""
    quantizer = LevelQuantizer(3, [np.arange(size) + 0.5], [np.arange(size + 1.0)], np.array([False]))
    assert BlockEncoder(quantizer, np.array([0]), 2).blocks[1].tolist() == [0, 3][: size - 2]


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
