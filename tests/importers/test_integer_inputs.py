"""Inputs that torch takes as integers, alone and beside others."""

import numpy as np
import pytest
import torch
from torch import nn

from skfhe.importers import quantize_torch_model
from skfhe.importers._torch.integers import as_taken
from tests.importers.torch_examples import Function


class Described(nn.Module):
    """Numbers of words and measurements."""

    def __init__(self):
        super().__init__()
        self.words, self.head = nn.Embedding(9, 3, padding_idx=0), nn.Linear(5, 2)

    def forward(self, x, y):
        return self.head(torch.cat([self.words(y).sum(1), x], 1))


@pytest.fixture(scope="module")
def described():
    torch.manual_seed(0)
    return Described().double().eval()


def inputs():
    rng = np.random.default_rng(0)
    return rng.integers(-3, 4, (100, 2)).astype(np.float64), rng.integers(0, 9, (100, 4))


def test_only_inputs_that_are_not_taken_as_floats_become_integers(described):
    taken = as_taken(described, [torch.from_numpy(x).double() for x in inputs()])
    assert [x.dtype for x in taken] == [torch.float64, torch.int64]
    whole = [torch.ones(2, 4, dtype=torch.float64)]
    assert as_taken(nn.Linear(4, 2).double(), whole)[0].dtype == torch.float64


def test_integers_are_encrypted_without_rounding_over_the_whole_vocabulary(described):
    """Whatever their bits are: of 9 words in 3 bits, not one is taken for another."""
    X, Y = inputs()
    module = quantize_torch_model(
        described, (X, Y), {"model_inputs": 3, "op_inputs": 8}, rounding_threshold_bits=8, margin=1.0
    )
    np.testing.assert_array_equal(module.quantize_input(X, Y)[1], Y)
    wanted = described(torch.from_numpy(X), torch.from_numpy(Y)).detach().numpy()
    assert np.square(module.forward(X, Y) - wanted).mean() <= 0.1**2 * wanted.var()


def test_a_network_that_takes_neither_is_refused_with_its_own_error():
    net = Function(lambda x: x @ torch.ones(3, 2, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"torch\.export could not capture Function"):
        quantize_torch_model(net, np.ones((20, 4)))
