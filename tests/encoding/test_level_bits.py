"""Bits of levels: what they are, and that they decide every boundary."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from skfhe.encoding import LevelBitsEncoder, Levels, calibrate_levels

RADICES = (1, 2, 3, 4, 8)


def levels_of(*lengths, missing, n_bits=3):
    """Return levels with boundaries at 0.5, 1.5, … of features, as many as each of ``lengths``."""
    return Levels(n_bits, [np.arange(n) + 0.5 for n in lengths], np.array(missing))


def test_bits_known_by_hand():
    """Two boundaries, a level for missing values, and a feature of which only those are told apart."""
    levels = levels_of(2, 3, 0, missing=[False, True, True])
    encoder = LevelBitsEncoder(levels, np.array([0, 2, 3]))
    rows = np.array([[1.0, 9.0, 2.0, 0.0], [7.0, 9.0, np.nan, np.nan]])
    assert encoder.encode(rows)[0].tolist() == [[1, 0, 1, 1, 0, 0, 0], [1, 1, 0, 0, 0, 1, 1]]
    assert encoder.n_bits == 7
    assert [encoder.missing(1), encoder.missing(2)] == [5, 6]
    assert encoder.deciding(0, 2) == [1]
    assert encoder.deciding(1, 1) == [2]


def test_digits_known_by_hand():
    """Radix 3 of levels 0 to 6: the high digit reaches 1 and 2, the low one 1 and 2."""
    encoder = LevelBitsEncoder(levels_of(6, missing=[False]), np.array([0]), radix=3)
    assert encoder.encode(np.arange(7.0)[:, None])[0].tolist() == [
        [0, 0, 0, 0],
        [0, 0, 1, 0],
        [0, 0, 1, 1],
        [1, 0, 0, 0],
        [1, 0, 1, 0],
        [1, 0, 1, 1],
        [1, 1, 0, 0],
    ]
    assert encoder.deciding(0, 1) == [None, 0, 2]
    assert encoder.deciding(0, 3) == [0]
    assert encoder.deciding(0, 5) == [0, 1, 3]
    assert encoder.deciding(0, 6) == [1]
    short = LevelBitsEncoder(levels_of(5, missing=[False]), np.array([0]), radix=4)
    assert short.deciding(0, 5) == [0, None, 1]
    assert LevelBitsEncoder(levels_of(5, missing=[False]), np.array([0]), radix=8).deciding(0, 4) == [3]


@pytest.mark.parametrize("radix", RADICES)
@pytest.mark.parametrize("n_bits", [3, 5])
def test_the_majority_of_what_decides_is_whether_the_level_is_reached(radix, n_bits):
    """Of every boundary and every row; a missing value reaches none, and is the only one to say so."""
    rng = np.random.default_rng(radix)
    X = rng.normal(size=(200, 3))
    X[:, 2] = np.round(X[:, 2])
    X[::7, 1] = np.nan
    quantizer = calibrate_levels(X, n_bits)
    encoder = LevelBitsEncoder(quantizer.levels, np.arange(3), radix)
    (bits,) = encoder.encode(X)
    assert bits.shape == (200, encoder.n_bits)
    assert set(np.unique(bits)) == {0, 1}
    levels = np.where(np.isnan(X), 0, quantizer.quantize(X))
    for feature, boundaries in enumerate(quantizer.boundaries):
        for level in range(1, 1 + len(boundaries)):
            found = encoder.deciding(feature, level)
            known = [at == 0 for at, bit in enumerate(found) if bit is None]
            votes = sum(known) + bits[:, [bit for bit in found if bit is not None]].sum(axis=1)
            np.testing.assert_array_equal(votes >= (1 if len(found) == 1 else 2), levels[:, feature] >= level)
    np.testing.assert_array_equal(bits[:, encoder.missing(1)], np.isnan(X[:, 1]))
    assert bits[np.isnan(X[:, 1])][:, encoder.bits[0] == 1].sum(axis=1).tolist() == [1] * 29


@pytest.mark.parametrize("radix", RADICES)
def test_bits_follow_the_boundaries_alone(radix):
    """All of them are sent, so nothing is said of which a model asks about."""
    encoder = LevelBitsEncoder(
        levels_of(7, 7, 3, missing=[False, True, False], n_bits=4), np.arange(3), radix
    )
    sent = [n // radix + min(radix - 1, n) for n in (7, 7, 3)]
    assert np.bincount(encoder.bits[0]).tolist() == [sent[0], sent[1] + 1, sent[2]]


def test_sparse_rows_are_encoded_as_dense_ones():
    X = np.array([[0.0, 2.0], [1.0, 0.0], [3.0, 5.0]])
    encoder = LevelBitsEncoder(calibrate_levels(X, 2).levels, np.arange(2), 2)
    np.testing.assert_array_equal(encoder.encode(csr_matrix(X))[0], encoder.encode(X)[0])


def test_a_value_may_not_miss_where_none_did():
    """Its feature is named as rows have it, not as those do that are encoded."""
    encoder = LevelBitsEncoder(levels_of(3, missing=[False]), np.array([1]))
    with pytest.raises(ValueError, match=r"features \[1\] have missing values"):
        encoder.encode(np.array([[1.0, np.nan]]))


@pytest.mark.parametrize(
    ("features", "radix", "message"),
    [
        ([0, 1], 1, "numbers of 1 features"),
        ([-1], 1, "numbers of 1 features"),
        ([0], 0, "radix of 1 to 8"),
        ([0], 9, "radix of 1 to 8"),
    ],
)
def test_what_does_not_fit_is_refused(features, radix, message):
    with pytest.raises(ValueError, match=message):
        LevelBitsEncoder(levels_of(3, missing=[False]), np.array(features), radix)


def test_nothing_to_send_is_refused():
    with pytest.raises(ValueError, match="expected a feature with boundaries"):
        LevelBitsEncoder(levels_of(0, missing=[False]), np.array([0]))
