"""Sums of values on different grids: every pair of integers leads to the integer that the network has."""

import brevitas.nn as qnn
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from skfhe import compile_brevitas_qat_model
from skfhe.importers import quantize_brevitas_qat_model
from skfhe.importers._torch.reader import in_double_precision
from skfhe.network._two_grids import find_multipliers, near_multipliers


@settings(max_examples=60, deadline=None)
@given(
    st.floats(0.05, 20),
    st.tuples(st.integers(-4, 0), st.integers(1, 11)),
    st.tuples(st.integers(-4, 0), st.integers(1, 11)),
    st.floats(0.3, 8),
    st.booleans(),
)
def test_every_pair_leads_to_the_same_as_the_sum_of_floats(ratio, first, second, step, subtracts):
    """Both side by side do always; the multipliers found take no more bits than that."""
    sign = -1 if subtracts else 1

    def value(a, b):
        return (a + sign * ratio * b)[:, None] + torch.tensor([0.0, 0.3])

    def quantized(x):
        return torch.clamp(torch.round(x / step), -2, 3)

    found = find_multipliers(value, [quantized], (first, second), sign * ratio, 16)
    a, b = (
        v.ravel() for v in np.meshgrid(np.arange(first[0], first[1] + 1), np.arange(second[0], second[1] + 1))
    )
    sums = found.first * a + found.second * b - found.low
    assert sums.min() == 0
    assert sums.max() < (first[1] - first[0] + 1) * (second[1] - second[0] + 1)
    exact = quantized(value(torch.from_numpy(a), torch.from_numpy(b)))
    torch.testing.assert_close(quantized(value(*found.pair(torch.from_numpy(sums)))), exact, rtol=0, atol=0)


def test_few_levels_take_few_bits():
    """A sign of a + 0.34 b: thirds do, and 7 + 2 · 7 of 3 steps take 5 bits in place of 6 side by side."""
    found = find_multipliers(
        lambda a, b: (a + 0.34 * b)[:, None], [lambda x: (x >= 3).double()], ((0, 7), (0, 7)), 0.34, 16
    )
    assert (found.first * 7 + found.second * 7).bit_length() <= 5


def test_what_takes_as_many_values_as_a_float_needs_both_integers():
    assert (
        find_multipliers(lambda a, b: (a + 0.3333 * b)[:, None], [torch.exp], ((0, 63), (0, 63)), 0.3333, 16)
        is None
    )


class Residual(nn.Module):
    """A sum of two values with a scale each, moved and joined before it is quantized."""

    def __init__(self, n_bits, hidden_bits=3):
        super().__init__()
        self.first, self.second = (qnn.QuantIdentity(bit_width=n_bits) for _ in range(2))
        self.inner = qnn.QuantLinear(2, 2, True, weight_bit_width=2)
        self.third = qnn.QuantReLU(bit_width=hidden_bits)
        self.outer = qnn.QuantLinear(4, 2, True, weight_bit_width=2)

    def forward(self, x):
        x = self.first(x)
        total = x + self.second(self.inner(x))
        return self.outer(self.third(torch.cat([total.flip(1), x], dim=1)))


class Selected(nn.Module):
    """A sum of two values with a scale each, joined to another and selected again before it is quantized."""

    def __init__(self):
        super().__init__()
        self.first, self.second = (qnn.QuantIdentity(bit_width=3) for _ in range(2))
        self.third = qnn.QuantReLU(bit_width=2)
        self.outer = qnn.QuantLinear(2, 2, True, weight_bit_width=2)

    def forward(self, x):
        x = self.first(x)
        total = x + self.second(0.7 * x.flip(1))
        return self.outer(self.third(torch.cat([x[:, :1], total], dim=1)[:, 1:]))


@pytest.fixture(scope="module")
def X():
    return np.random.default_rng(0).normal(size=(100, 2))


def residual(n_bits, **options):
    torch.manual_seed(0)
    return Residual(n_bits, **options)


def seen(net, X):
    with torch.no_grad():
        net(torch.from_numpy(X).float())
    return net, in_double_precision(net)(torch.from_numpy(X)).detach().numpy()


@pytest.mark.parametrize("n_bits", [3, 6])
def test_networks_with_sums_on_two_grids_are_exact(n_bits, X):
    """Six bits beside six were too many for one lookup."""
    net, exact = seen(residual(n_bits), X)
    module = quantize_brevitas_qat_model(net, X)
    np.testing.assert_allclose(module.forward(X), exact, rtol=0, atol=1e-9)


def test_what_is_joined_to_others_stays_where_it_is(X):
    """What is selected behind a concatenation is told by its place among the others."""
    net, exact = seen(Selected(), X)
    module = quantize_brevitas_qat_model(net, X)
    np.testing.assert_allclose(module.forward(X), exact, rtol=0, atol=1e-9)


@pytest.mark.parametrize("rounding", [2, 4, 7])
def test_rounding_refuses_nothing_that_is_taken_without(rounding, X):
    net, exact = seen(residual(3), X)
    module = quantize_brevitas_qat_model(net, X, rounding_threshold_bits=rounding)
    error = np.abs(module.forward(X) - exact).max()
    assert error <= (1e-9 if rounding == 7 else np.ptp(exact))


def test_a_sum_on_two_grids_encrypted(X):
    net, exact = seen(residual(2, hidden_bits=2), X)
    module = compile_brevitas_qat_model(net, X)
    assert max(module.accumulator_bits_) <= 6
    np.testing.assert_allclose(module.forward(X[:3], fhe="execute"), exact[:3], rtol=0, atol=1e-5)


@pytest.mark.parametrize("n_bits", [6, 7])
def test_wide_sums_on_two_grids_are_rounded_as_others_are(n_bits, X):
    """Sixteen bits side by side could not be. Rounding may need one more bit."""
    net, exact = seen(residual(8, hidden_bits=8), X)
    rounding = {"n_bits": n_bits, "method": "approximate"}
    module = quantize_brevitas_qat_model(net, X, rounding_threshold_bits=rounding)
    assert max(module.cost_.lookups) <= n_bits + 1
    assert np.abs(module.forward(X) - exact).max() <= 3 * np.ptp(exact) / (1 << n_bits)


@pytest.mark.parametrize("ratio", [0.37, -2.6])
def test_near_multipliers_leave_pairs_in_the_order_of_their_sums(ratio):
    found = near_multipliers(((-8, 7), (0, 15)), ratio, 10)
    a, b = (v.ravel() for v in np.meshgrid(np.arange(-8, 8), np.arange(16)))
    sums = found.first * a + found.second * b - found.low
    assert sums.min() == 0
    assert sums.max() < 1 << 10
    p, q = (v.numpy() for v in found.pair(torch.from_numpy(sums)))
    np.testing.assert_allclose(p + ratio * q, a + ratio * b, atol=0.5)
