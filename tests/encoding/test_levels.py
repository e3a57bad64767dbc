import numpy as np
import pytest

from skfhe.encoding import BlockEncoder, calibrate_levels


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
