"""Softmax is taken in the form that errs little for what the calibration rows hold."""

import numpy as np
import pytest
import torch

from skfhe.network import NetworkBuilder, probabilities
from skfhe.network._operations import Extremum

X = np.random.default_rng(0).normal(size=(200, 2, 4))


def built(function, X):
    network = NetworkBuilder([torch.from_numpy(X)], ["x"])
    network.outputs.append(function(network, network.inputs[0]))
    return network


def subtracts_maxima(network):
    return any(isinstance(node.operation, Extremum) for node in network.nodes)


FUNCTIONS = {
    "softmax": (lambda build, x: probabilities.softmax(build, x, 0), lambda x: x.softmax(1)),
    "log_softmax": (lambda build, x: probabilities.log_softmax(build, x, 1), lambda x: x.log_softmax(2)),
    "log_sum_exp": (
        lambda build, x: probabilities.log_sum_exp(build, x, [0, 1], keepdim=True),
        lambda x: x.logsumexp((1, 2), keepdim=True),
    ),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("deviation", [0.5, 8.0])
def test_both_forms_are_the_function_itself_in_floats(name, deviation):
    function, exact = FUNCTIONS[name]
    network = built(function, deviation * X)
    assert subtracts_maxima(network) == (deviation > 1)
    torch.testing.assert_close(network.outputs[0].reference, exact(torch.from_numpy(deviation * X)))


@pytest.mark.parametrize("low", [-np.inf, -1e9, -1e4])
def test_masks_count_for_nothing_and_are_never_on_a_grid(low):
    """Also a group that has no member left, where torch's safe form is 0."""
    keeps = torch.tensor([[True, False, True, False], [False] * 4])

    def masked(build, x):
        return probabilities.softmax(build, build.select(keeps, x, low), 1)

    network = built(masked, X)
    logits = torch.where(keeps, torch.from_numpy(X), -torch.inf)
    exact = torch._safe_softmax(logits, -1) if low == -np.inf else torch.where(keeps, logits, low).softmax(-1)
    found = network.outputs[0].reference
    torch.testing.assert_close(found[:, 0], exact[:, 0])
    assert torch.isfinite(found).all()
    if low == -np.inf:
        torch.testing.assert_close(found, exact)
