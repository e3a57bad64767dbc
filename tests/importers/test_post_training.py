"""Post-training quantization: calibration, integer weights, and what follows from the number of bits."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from skfhe.importers import quantize_torch_model
from skfhe.network._schemes.calibration import calibrate_grid
from skfhe.network._schemes.weights import choose_integers, integer_grid


def relative_error(module, net, X):
    exact = net.double()(torch.from_numpy(X)).detach().numpy()
    return np.sqrt(np.mean((module.forward(X) - exact) ** 2)) / exact.std()


def perceptron(seed=0):
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, 2))
    return net, np.random.default_rng(seed).normal(size=(600, 6))


def test_error_falls_with_bits():
    """A bit more halves the step of every grid, and so about halves the error: 3 bits more, eight times."""
    net, X = perceptron()
    errors = [
        relative_error(quantize_torch_model(net, X[:400], n_bits=bits), net, X[400:]) for bits in range(2, 7)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[4] < errors[1] / 4


def test_choosing_weights_on_data_beats_rounding_them():
    """On correlated inputs, an error in one weight is made good in another."""
    rng = np.random.default_rng(0)
    sample = rng.normal(size=(500, 4)) @ rng.normal(size=(4, 12)) + 0.1 * rng.normal(size=(500, 12))
    weights = rng.normal(size=(5, 12))
    integers, scales = choose_integers(weights, 3, sample)
    assert np.abs(integers).max() <= 3
    step = np.abs(weights).max(axis=1, keepdims=True) / 3
    rounded = np.rint(weights / step) * step

    def error(w):
        return np.square((sample - sample.mean(axis=0)) @ (w - weights).T).mean()

    assert error(integers * scales[:, None]) < error(rounded) / 2


def test_weights_make_good_what_the_sample_lost():
    """A sample that arrives scaled by 0.9 has weights grow by as much."""
    rng = np.random.default_rng(0)
    sample = rng.normal(size=(1000, 4))
    weights = rng.normal(size=(3, 4))
    integers, scales = choose_integers(weights, 8, 0.9 * sample, sample @ weights.T)
    np.testing.assert_allclose(integers * scales[:, None], weights / 0.9, atol=0.05)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_integer_grids_are_found_exactly(n_bits, seed):
    """Integers times a scale come back, divided by their common divisor."""
    rng = np.random.default_rng(seed)
    integers = rng.integers(-(2**n_bits) + 1, 2**n_bits, size=(4, 7))
    scales = rng.uniform(0.01, 10, size=4)
    found = integer_grid((integers * scales[:, None]).astype(np.float32).astype(float), n_bits)
    assert found is not None
    divisors = np.maximum(np.gcd.reduce(integers, axis=1), 1)
    np.testing.assert_array_equal(found[0] * divisors[:, None], integers)


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


def test_constant_features_are_quantized():
    """A feature that never varied on the calibration rows is encoded on a grid that holds its value."""
    net = nn.Linear(3, 1)
    X = np.random.default_rng(0).normal(size=(100, 3))
    X[:, 1] = 7.0
    assert relative_error(quantize_torch_model(net, X, n_bits=8), net, X) < 0.05


def test_a_single_row_is_enough_to_be_quantized():
    net, X = perceptron()
    assert np.isfinite(quantize_torch_model(net, X[:1], n_bits=4).forward(X[:1])).all()


def test_pruned_weights_stay_zero():
    net, X = perceptron()
    torch.nn.utils.prune.l1_unstructured(net[2], "weight", amount=100)
    module = quantize_torch_model(net, X, n_bits=3)
    hidden = [v.op.weight for v in module.program_.values if hasattr(v.op, "weight")][1]
    assert np.sum(hidden != 0) <= 44


def test_model_outputs_has_the_last_function_looked_up():
    net = nn.Sequential(nn.Linear(4, 2), nn.Sigmoid())
    torch.manual_seed(0)
    X = np.random.default_rng(0).normal(size=(300, 4))
    in_clear = quantize_torch_model(net, X, n_bits=4)
    encrypted = quantize_torch_model(net, X, n_bits={"op_inputs": 4, "model_outputs": 3})
    assert in_clear.cost_.n_lookups == 0
    assert encrypted.cost_.n_lookups == 2
    assert len(np.unique(encrypted.forward(X))) <= 2 * 2**3
    assert relative_error(in_clear, net, X) < relative_error(encrypted, net, X) < 0.3


@pytest.mark.parametrize(
    "quantizer",
    [
        lambda x: torch.clamp(torch.round(x / 0.25), -4, 3) * 0.25,
        lambda x: x + (torch.clamp(torch.round(x * 4), -4, 3) / 4 - x).detach(),
        lambda x: torch.fake_quantize_per_tensor_affine(x, 0.25, 1, -4, 3),
        lambda x: torch.clamp(torch.floor(2 * x + 3), 0, 7) / 7,
        lambda x: torch.sign(x - 0.1),
        lambda x: (x > 0.2).to(x.dtype),
    ],
)
def test_plain_torch_quantizers_are_read_off(quantizer):
    """Whatever rounds, on inputs, values and weights: the integers follow from the floats that it yields."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(5, 6), nn.Linear(6, 2)

        def forward(self, x):
            def layer(linear, x):
                weight = torch.clamp(torch.round(linear.weight * 8), -3, 3) / 8
                return nn.functional.linear(quantizer(x), weight, linear.bias)

            return layer(self.last, torch.tanh(layer(self.first, x)))

    torch.manual_seed(0)
    net = Net().double()
    X = np.random.default_rng(0).normal(size=(300, 5))
    module = quantize_torch_model(net, X, import_qat=True)
    assert module.program_.range_source == "proven"
    np.testing.assert_allclose(module.forward(X), net(torch.from_numpy(X)).detach().numpy(), atol=1e-9)


def test_float_networks_are_not_taken_for_quantized_ones():
    net, X = perceptron()
    with pytest.raises(ValueError, match="post-training quantization"):
        quantize_torch_model(net, X, import_qat=True)
