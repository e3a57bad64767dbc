"""Products of the quantized row, sums in limbs: integers that are exact whatever their size."""

import itertools

import numpy as np
import pytest

from skfhe.encoding import ClippingWatch, FeatureGrid, GridEncoder, LimbDecoder, MonomialEncoder

TERMS = np.array(
    [[-1, -1, 0], [-1, 0, 0], [0, 0, 0], [-1, 0, 1], [0, 0, 1], [0, 1, 1], [1, 1, 2], [-1, -1, -1]]
)


def encoder(low, high, terms=TERMS, shifts=None, step=0.25):
    low, high = np.array(low), np.array(high)
    every = np.arange(len(low))
    grid = FeatureGrid(np.zeros(len(low)), np.full(len(low), step), low, high)
    watch = ClippingWatch(every, grid, (high - low) * step, None, 0.0, None)
    shifts = np.zeros(len(terms), dtype=np.int64) if shifts is None else shifts
    return MonomialEncoder(GridEncoder(every, grid, watch), terms, shifts)


@pytest.mark.parametrize(
    ("low", "high"),
    [([-2, -3, -1], [3, 2, 1]), ([1, -3, 0], [2, -1, 2]), ([-3, 0, -2], [-1, 2, -1]), ([0, 0, 0], [0, 1, 2])],
)
def test_intervals_are_those_of_all_rows_that_there_are(low, high):
    """Even powers are not negative, and both ends of every product are reached."""
    found = encoder(low, high, shifts=np.arange(len(TERMS)))
    ranges = [range(a, b + 1) for a, b in zip(low, high, strict=True)]
    (products,) = found.encode(np.array([*itertools.product(*ranges)]) * 0.25)
    for end, expected in zip(found.interval, (products.min(axis=0), products.max(axis=0)), strict=True):
        np.testing.assert_array_equal(end, expected)


def test_products_are_of_the_very_integers_that_are_sent():
    """At the widest that there are, too: rounded apart, a square would belong to another value."""
    rows = np.random.default_rng(0).uniform(-3e5, 3e5, size=(50, 3))
    terms = np.array([[-1, -1, 0], [-1, 1, 2], [0, 1, 2]])
    found = encoder([-(2**20)] * 3, [2**20] * 3, terms, np.array([40, 20, 0]))
    (products,) = found.encode(rows)
    (q,) = found.factors.encode(rows)
    for row, (a, b, c) in zip(products.tolist(), q.tolist(), strict=True):
        assert row == [a << 40, b * c << 20, a * b * c]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"terms": np.array([[0, 3]])}, "products are of 3 features"),
        ({"terms": np.array([[-2, 0]])}, "products are of 3 features"),
        ({"terms": np.array([[1, 0]])}, "ascending order"),
        ({"terms": np.empty((1, 0), dtype=np.int64)}, "expected factors"),
        ({"terms": np.array([[0, 0]]), "shifts": np.array([0, 0])}, "expected factors and a shift"),
        ({"terms": np.array([[0, 0]]), "shifts": np.array([-1])}, "shifted by 0 to 61 bits"),
        ({"terms": np.array([[0, 0]]), "shifts": np.array([59])}, "more than 62 bits"),
        ({"terms": np.array([[0] * 40])}, "more than 62 bits"),
    ],
)
def test_what_would_overflow_or_read_elsewhere_is_refused(changed, said):
    with pytest.raises(ValueError, match=said):
        encoder([-4, -4, -4], [4, 4, 4], **changed)


@pytest.mark.parametrize("bits", [1, 20, 40, 61])
def test_limbs_are_joined_exactly(bits):
    """Beyond 64 bits, where floats would not do and integers of 64 bits would wrap, without a word."""
    rng = np.random.default_rng(0)
    limbs = rng.integers(-(2**50), 2**50, size=(20, 3, 2))
    decoder = LimbDecoder(bits, 3, np.array([0.5, 2.0]), np.array([1.0, -np.inf]))
    found = decoder.joined(limbs.reshape(20, 6)).tolist()
    for row, expected in zip(found, limbs.tolist(), strict=True):
        assert row == [sum(limb[score] << (bits * i) for i, limb in enumerate(expected)) for score in (0, 1)]
    scores = decoder.decode(limbs.reshape(20, 6))
    assert scores.dtype == np.float64
    np.testing.assert_array_equal(scores[:, 0], [float(first) * 0.5 + 1.0 for first, _ in found])


@pytest.mark.parametrize(
    ("bits", "n_limbs", "n_offsets"), [(0, 2, 1), (63, 1, 1), (10, 0, 1), (50, 11, 1), (10, 2, 2)]
)
def test_limbs_that_no_file_of_ours_has_are_refused(bits, n_limbs, n_offsets):
    with pytest.raises(ValueError, match="expected"):
        LimbDecoder(bits, n_limbs, np.ones(1), np.ones(n_offsets))
