import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skfhe.encoding import AffineQuantizer, ThresholdEncoder, calibrate_thresholds


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
