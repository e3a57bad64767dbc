"""Rows are encrypted apart: what takes elements of several together is refused, whatever it is read with."""

import numpy as np
import pytest
import torch
from torch import nn

from skfhe.exceptions import UnsupportedOperatorError
from skfhe.importers import quantize_torch_model

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(100, 4))
SORTED = np.vstack([ROWS[:50] - 3, ROWS[50:] + 3])


class Of(nn.Module):
    """A function of rows and of layers."""

    def __init__(self, function, *widths):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList(nn.Linear(*width) for width in widths)
        self.function = function

    def forward(self, x):
        return self.function(self.layers, x)


@pytest.mark.parametrize(
    ("function", "rows", "operator"),
    [
        # one row, as for torch.export: several of it are equal, and so is their mean to each
        (lambda f, x: f[0](x - x.mean(0)), ROWS[:1], "mean"),
        # the first rows are equal, and no others
        (lambda f, x: f[0](x - x.mean(0)), np.vstack([np.ones((5, 4)), ROWS]), "mean"),
        (lambda f, x: f[0](x.cumsum(0)), np.vstack([np.zeros((5, 4)), ROWS]), "cumsum"),
        # neighbours of sorted data have the same label
        (lambda f, x: f[0](x.roll(1, 0)).argmax(1), SORTED, "roll"),
        # few of the rows jump, as undecided steps do
        (lambda f, x: f[1](((f[0](x) - 0.2 * f[0](x).mean(0)) * 2).round()), ROWS, "mean"),
    ],
)
def test_mixed_rows_are_found_on_rows_that_hide_it(function, rows, operator):
    with pytest.raises(UnsupportedOperatorError, match=f"^'{operator}' .* mixes rows"):
        quantize_torch_model(Of(function, (4, 3), (3, 2)), rows, n_bits=8)


@pytest.mark.parametrize(
    "function",
    [
        lambda f, x: torch.stack([f[0](x).squeeze(), f[1](x).squeeze()]),
        lambda f, x: torch.cat([f[0](x).squeeze()[None], f[1](x).squeeze()[None]]),
    ],
)
def test_a_squeeze_that_drops_the_axis_of_one_row_alone_means_the_others(function):
    net = Of(function, (4, 1), (4, 1))
    expected = net(torch.from_numpy(ROWS).float()).detach().numpy().T
    module = quantize_torch_model(net, ROWS, n_bits=8, rounding_threshold_bits=None)
    np.testing.assert_allclose(module.forward(ROWS), expected, atol=0.03)
