"""Levels of features, compared with every choice there is, and the blocks that they are sent in."""

import itertools

import numpy as np
import pytest

from skfhe.encoding import BlockEncoder, LevelQuantizer, calibrate_levels


@pytest.mark.parametrize("n_bits", [1, 2, 3, 4])
def test_levels_hold_about_equally_many_rows(n_bits):
    X = np.random.default_rng(0).lognormal(size=(4000, 2))
    levels = calibrate_levels(X, n_bits).quantize(X)
    counts = np.bincount(levels[:, 0])
    assert len(counts) == 2**n_bits
    assert counts.max() - counts.min() <= 2


def test_few_values_are_kept_exactly():
    X = np.array([[1.0, 5.0], [2.0, 5.0], [9.0, 5.0]])
    quantizer = calibrate_levels(X, 2)
    np.testing.assert_array_equal(quantizer.dequantize(quantizer.quantize(X)), X)


@pytest.mark.parametrize("n_bits", [1, 3])
def test_each_level_stands_for_a_value_of_its_own(n_bits):
    """So training on the values and comparing levels agree; ties pile up in this data."""
    X = np.random.default_rng(0).integers(0, 40, size=(300, 3)) ** 2.0
    X[::9, 1] = np.nan
    quantizer = calibrate_levels(X, n_bits)
    levels = quantizer.quantize(X)
    again = quantizer.quantize(quantizer.dequantize(levels))
    np.testing.assert_array_equal(again, levels)
    assert levels.max() < 2**n_bits


def test_order_is_kept():
    X = np.random.default_rng(0).normal(size=(500, 1))
    quantizer = calibrate_levels(X, 3)
    rows = np.sort(np.r_[X[:, 0], -9.0, 9.0])[:, None]
    assert (np.diff(quantizer.quantize(rows)[:, 0]) >= 0).all()


@pytest.mark.parametrize("n_bits", [1, 2, 4, 6])
@pytest.mark.parametrize("with_missing", [False, True])
def test_blocks_say_as_much_as_levels(n_bits, with_missing):
    """Their counts add up to the level, and a missing value is the largest count in every block."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3))
    if with_missing:
        X[::5, 1] = np.nan
    quantizer = calibrate_levels(X, n_bits)
    encoder = BlockEncoder(quantizer, np.arange(3), 2)
    (counts,), levels = encoder.encode(X), quantizer.quantize(X)
    assert 0 <= counts.min() <= counts.max() <= 3
    for feature in range(3):
        of_feature = counts[:, encoder.blocks[0] == feature]
        missing = np.isnan(X[:, feature])
        np.testing.assert_array_equal(of_feature[~missing].sum(axis=1), levels[~missing, feature])
        assert (of_feature[missing] == 3).all()
        if with_missing and feature == 1:
            assert (of_feature[~missing] < 3).all()


def test_number_of_blocks_follows_the_boundaries_alone():
    """All blocks are sent, so nothing is said of which of them a model looks at."""
    X = np.random.default_rng(0).normal(size=(300, 2))
    encoder = BlockEncoder(calibrate_levels(X, 4), np.arange(2), 2)
    assert np.bincount(encoder.blocks[0]).tolist() == [5, 5]


def test_wrong_rows_are_named():
    quantizer = calibrate_levels(np.arange(12.0).reshape(6, 2), 2)
    with pytest.raises(ValueError, match=r"expected shape \(n_rows, 2\), got \(1, 3\)"):
        quantizer.quantize([[1.0, 2.0, 3.0]])
    with pytest.raises(ValueError, match=r"features \[1\] have missing values"):
        quantizer.quantize([[1.0, np.nan]])


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
