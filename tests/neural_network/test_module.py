"""Training calls the quantizers directly; it must compute what the Brevitas layers compute."""

import pytest
import torch
from torch import nn

from skfhe.neural_network.module import ThermometerInput
from skfhe.quantization import calibrate_thresholds
from tests.neural_network.networks import small_network


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
    direct = module._scores_in_training(X)
    through_brevitas = module._scores(X)
    torch.testing.assert_close(direct, through_brevitas, atol=1e-5, rtol=1e-5)


def test_gradients_reach_every_parameter():
    module, X = network()
    module.train()(X).square().sum().backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("offset", [0.0, 1e9])
def test_bits_in_training_are_those_of_evaluation(scale, offset):
    """In float32, too: a feature far from zero keeps its resolution. At most ties may differ."""
    torch.manual_seed(0)
    X = offset + scale * torch.arange(200, dtype=torch.float64)[:, None] / 7
    encoder = calibrate_thresholds(X.numpy(), 4)
    features, thresholds = torch.as_tensor(encoder.features), torch.as_tensor(encoder.thresholds)
    layer = ThermometerInput(features, thresholds, n_features=1, noise=0.0)
    exact = layer.eval()(X, torch.float32)
    assert (layer.train()(X, torch.float32) != exact).float().mean() < 1e-2
    assert 0 < exact.mean() < 1


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
