import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skfhe.neural_network._budget import BudgetedWeights, largest_magnitude, weight_budget


@pytest.mark.parametrize(
    ("n_accum_bits", "span", "budget"),
    [
        (7, 9, 14),  # the rule of the overflow-free products of two 2-bit numbers: 127 // (3 * 3)
        (4, 1, 15),
        (4, 7, 2),
        (2, 7, 0),
    ],
)
def test_budget_by_hand(n_accum_bits, span, budget):
    assert weight_budget(n_accum_bits, span) == budget


@pytest.mark.parametrize(("n_bits", "magnitude"), [(1, 1), (2, 1), (3, 3), (4, 7)])
def test_magnitudes(n_bits, magnitude):
    assert largest_magnitude(n_bits) == magnitude


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**31 - 1), st.integers(1, 40), st.integers(1, 7), st.booleans())
def test_no_neuron_ever_exceeds_its_budget(seed, budget, magnitude, with_ties):
    """Whatever the weights, equal ones included: sum of magnitudes <= budget, each <= magnitude."""
    torch.manual_seed(seed)
    weight = torch.randn(5, 12)
    if with_ties:
        weight = weight.round()
    quantizer = BudgetedWeights(budget, magnitude, 4).eval()
    value, scale, _, _ = quantizer(weight)
    q = value / scale
    torch.testing.assert_close(q, q.round())
    assert q.abs().max() <= magnitude + 1e-4
    assert q.abs().sum(dim=1).max() <= budget + 1e-3


def test_the_largest_weights_are_kept_and_signs_stay():
    weight = torch.tensor([[0.1, -3.0, 2.0, 0.2, -0.15, 2.5]])
    value, scale, _, _ = BudgetedWeights(3, 1, 2).eval()(weight)
    assert (value / scale).round().tolist() == [[0, -1, 1, 0, 0, 1]]


def test_relaxing_affects_training_alone():
    quantizer = BudgetedWeights(2, 1, 2)
    weight = torch.randn(4, 30)

    def kept():
        return int((quantizer(weight)[0].abs() > 1e-6).sum(dim=1).max())

    quantizer.train().relax(0.0, n_inputs=30)
    assert kept() > 2
    quantizer.relax(1.0, n_inputs=30)
    assert kept() == 2
    quantizer.relax(0.0, n_inputs=30)
    quantizer.eval()
    assert kept() == 2


def test_gradients_pass_straight_through():
    weight = torch.randn(3, 8, requires_grad=True)
    BudgetedWeights(4, 1, 2).train()(weight)[0].sum().backward()
    torch.testing.assert_close(weight.grad, torch.ones_like(weight))
