"""Training calls the quantizers directly; it must compute what the Brevitas layers compute."""

import numpy as np
import pytest
import torch
from torch import nn

from skfhe.encoding import calibrate_thresholds
from skfhe.neural_network._budgeted_mlp import ThermometerInput, noise_spread
from tests.neural_network.small_networks import small_network


def network(**options):
    torch.manual_seed(0)
    X = torch.randn(80, 5, dtype=torch.float64)
    return small_network(calibrate_thresholds(X.numpy(), 3), **{"n_layers": 3} | options), X


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh])
def test_training_computes_what_brevitas_computes(activation):
    """Same batch statistics, same budgets: the scores differ by rounding of floats alone."""
    module, X = network(activation_function=activation)
    module.train()
    module.relax(1.0)
    assert module(X).requires_grad
    counts = module.encoder.counts(X)
    direct = module._scores_in_training(counts)
    through_brevitas = module._scores(counts)
    torch.testing.assert_close(direct, through_brevitas, atol=1e-5, rtol=1e-5)


def test_gradients_reach_every_parameter():
    module, X = network()
    module.train()(X).square().sum().backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("values", [[0.0, 1e-9, 1.0], [1e16, 1e16 + 2, 1e16 + 4], [-1e308, 5e-324, 1e308]])
def test_bits_in_training_are_those_of_evaluation_whatever_the_scale(values):
    """Both follow from the counts of thresholds passed, which are exact in float32 as well."""
    X = np.array(values)[:, None]
    encoder = calibrate_thresholds(X, 4)
    layer = ThermometerInput(
        torch.as_tensor(encoder.features), torch.as_tensor(encoder.thresholds), n_features=1, noise=0.0
    )
    counts = layer.counts(torch.as_tensor(X))
    assert counts.flatten().tolist() == [0, 1, 2]
    np.testing.assert_array_equal(counts, encoder.counts(X))
    for mode in (True, False):
        np.testing.assert_array_equal(layer.train(mode)(counts), encoder.quantize(X))


def test_noise_leaves_features_of_few_values_alone():
    """A bit or a rank must not turn into another; a fine grid gets all of the noise."""
    n_thresholds = torch.tensor([0, 1, 8, 12, 16, 31])
    assert noise_spread(n_thresholds, 2.0).tolist() == [0, 0, 0, 1, 2, 2]


def test_pruning_keeps_the_strongest_inputs_and_nothing_else_changes():
    module, X = network(n_layers=2)
    weight = module.hidden[0].linear.weight
    with torch.no_grad():
        weight[:, 4:] = 0.0
    before = module.eval()(X)
    kept = module.rank_inputs(4)
    assert kept.tolist() == [0, 1, 2, 3]
    module.prune_inputs(kept)
    assert module.kept_bits.tolist() == [0, 1, 2, 3]
    torch.testing.assert_close(module(X), before)
