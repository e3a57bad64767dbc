"""Affine grids: what they hold, and what lies at their ends."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skfhe.encoding import AffineQuantizer


@pytest.mark.parametrize(
    ("n_bits", "signed", "ends"),
    [
        (1, False, (0, 1)),
        (1, True, (-1, 0)),
        (2, False, (0, 3)),
        (2, True, (-2, 1)),
        (8, False, (0, 255)),
        (8, True, (-128, 127)),
    ],
)
def test_integers_are_all_of_n_bits_bits(n_bits, signed, ends):
    """2**n_bits of them: from 0, or in two's complement."""
    quantizer = AffineQuantizer(n_bits, signed, 1.0)
    assert (quantizer.low, quantizer.high) == ends
    assert quantizer.quantize([-1e9, 1e9]).tolist() == list(ends)


@pytest.mark.parametrize(("signed", "ends"), [(False, (0, 7)), (True, (-4, 3))])
def test_limits_may_reach_from_end_to_end_and_no_further(signed, ends):
    low, high = ends
    for limits in [(low, high), (low, low), (high, high), (low + 1, high - 1)]:
        quantizer = AffineQuantizer(3, signed, 1.0, limits=limits)
        assert (quantizer.low, quantizer.high) == limits
        assert quantizer.quantize([-99, 99]).tolist() == list(limits)
    for limits in [(low - 1, high), (low, high + 1), (high, low), (low + 2, low + 1)]:
        with pytest.raises(ValueError, match="limits must lie in"):
            AffineQuantizer(3, signed, 1.0, limits=limits)


def test_the_smallest_number_of_bits_is_one():
    assert AffineQuantizer(1, False, 1.0).quantize([0.4, 0.6]).tolist() == [0, 1]
    with pytest.raises(ValueError, match="n_bits must be at least 1, got 0"):
        AffineQuantizer(0, False, 1.0)


@pytest.mark.parametrize("scale", [np.array([1.0, 0.0]), np.array([1.0, -2.0]), np.array([1.0, np.inf])])
def test_every_scale_must_be_positive_and_finite(scale):
    with pytest.raises(ValueError, match="scale must be positive and finite"):
        AffineQuantizer(2, False, scale)


def test_small_scales_are_taken():
    """A scale below one is as good as any."""
    assert AffineQuantizer(4, False, 1e-3).quantize([0.0049, 0.0051]).tolist() == [5, 5]


def test_ties_go_to_the_even_integer():
    """1.5 steps are 2, 2.5 steps are 2; the zero point is added before."""
    quantizer = AffineQuantizer(4, False, 0.5, 1)
    assert quantizer.quantize([0.25, 0.75, 1.25]).tolist() == [2, 2, 4]  # 1.5, 2.5, 3.5
    assert quantizer.dequantize([0, 1, 4]).tolist() == [-0.5, 0.0, 1.5]


def test_each_channel_has_its_scale_and_zero_point():
    """Channel 0 counts tenths from 1, channel 1 threes from 2."""
    quantizer = AffineQuantizer(4, False, np.array([0.1, 3.0]), np.array([1, 2]))
    assert quantizer.quantize([[0.5, 7.0], [-0.3, -9.0]]).tolist() == [[6, 4], [0, 0]]
    np.testing.assert_allclose(quantizer.dequantize([[6, 4], [0, 0]]), [[0.5, 6.0], [-0.1, -6.0]])


@given(
    st.integers(1, 8),
    st.booleans(),
    st.floats(1e-3, 1e3),
    st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=20),
)
def test_affine_error_is_at_most_half_a_step_inside_the_grid(n_bits, signed, scale, x):
    quantizer = AffineQuantizer(n_bits, signed, scale)
    x = np.array(x)
    q = quantizer.quantize(x)
    assert q.min() >= quantizer.low
    assert q.max() <= quantizer.high
    clipped = np.clip(x, quantizer.low * scale, quantizer.high * scale)
    assert np.all(np.abs(quantizer.dequantize(q) - clipped) <= scale * 0.5 * (1 + 1e-9))


def test_affine_quantizing_is_idempotent():
    quantizer = AffineQuantizer(4, True, np.array([0.1, 3.0]), np.array([1, -2]))
    q = np.array([[-8, 7], [3, 0]])
    np.testing.assert_array_equal(quantizer.quantize(quantizer.dequantize(q)), q)


@pytest.mark.parametrize("bad", [{"n_bits": 0}, {"scale": 0.0}, {"scale": np.nan}])
def test_affine_refuses_nonsense(bad):
    with pytest.raises(ValueError, match="must be"):
        AffineQuantizer(**{"n_bits": 3, "signed": False, "scale": 1.0} | bad)
