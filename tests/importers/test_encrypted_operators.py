"""Operators that are lowered in ways of their own, encrypted: integer by integer as in the clear."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from skfhe.importers import quantize_torch_model
from tests.importers.torch_examples import Function

N_ROWS = 3
WIDEST = 6


class Residual(nn.Module):
    """A sum of two values whose scales have no simple ratio."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(3, 3)

    def forward(self, x):
        return functional.relu(x + 0.37 * functional.relu(self.inner(x)))


def moved(x):
    """Select, repeat, reorder, pad and write: in the middle of a network, before a function."""
    y = functional.pad(x.flip(2), (1, 0), value=0.5)[:, [1, 0, 1]]
    z = torch.cat([y.mT[:, 1:], x.new_full((len(x), 1, 3), -0.5)], dim=1)
    z[:, 0] = x.roll(1, 2)[:, 0].repeat_interleave(2, 1)[:, :3]
    return functional.relu(z).sum(2)


class Words(nn.Module):
    """Sums the vectors of words, which are given by their numbers."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(6, 2)
        self.head = nn.Linear(2, 2)

    def forward(self, x):
        return self.head(self.words(x).sum(1))


def joined(x, y):
    """Values of different widths, rounded together."""
    total = x.sum(1, keepdim=True) * 1.5 + y @ torch.tensor([[1.0], [0.3], [-0.8]]).to(y)
    return functional.relu(torch.cat([total, x], dim=1))


NETWORKS = {
    "convolution with padding and groups": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 2, 2, padding=1, groups=2), nn.ReLU(), nn.Conv2d(2, 1, 2, stride=2)
        ),
        [(2, 3, 2)],
        2,
        None,
    ),
    "convolution along one axis": (
        lambda: nn.Sequential(nn.Conv1d(2, 2, 3, padding="same", dilation=2), nn.Tanh(), nn.Flatten()),
        [(2, 4)],
        2,
        None,
    ),
    "max pool": (lambda: nn.MaxPool2d((3, 2), stride=2, padding=1), [(1, 4, 3)], 3, None),
    "average pool, then a function": (
        lambda: nn.Sequential(nn.AvgPool2d(2, 1, padding=1, count_include_pad=False), nn.Sigmoid()),
        [(1, 2, 2)],
        3,
        None,
    ),
    "product, packed": (lambda: Function(lambda x, y: x * y), [(3,), (3,)], 2, None),
    "product, by squares": (lambda: Function(lambda x, y: x * (y + 0.3)), [(2, 1), (2, 2)], 3, 4),
    "quotient": (lambda: Function(lambda x, y: x / (y + 3)), [(3,), (3,)], 2, None),
    "matmul": (lambda: Function(lambda x, y: x @ y), [(2, 2), (2, 2)], 3, None),
    "choice": (lambda: Function(lambda c, x, y: torch.where(c > 0, x, y)), [(2,), (2,), (2,)], 2, None),
    "choice of a constant": (
        lambda: Function(lambda c, x: torch.where(c > 0, x, 0.5)),
        [(3,), (3,)],
        3,
        None,
    ),
    "maximum": (lambda: Function(torch.maximum), [(2, 2), (2, 2)], 3, None),
    "comparison and logic": (lambda: Function(lambda x, y: (x > y) & (x > 0)), [(2, 2), (2, 2)], 3, None),
    "movement": (lambda: Function(moved), [(2, 2)], 3, None),
    "residual": (Residual, [(3,)], 3, None),
    "rounded beside each other": (lambda: Function(joined), [(3,), (3,)], 3, 4),
    "sort": (lambda: Function(lambda x: x.sort(1)[0]), [(4,)], 3, None),
    "softmax of widely spread logits": (lambda: Function(lambda x: (4 * x).softmax(1)), [(3,)], 3, 4),
    "layer norm": (lambda: nn.LayerNorm(3), [(3,)], 3, 4),
}


DEAR = (
    *("softmax of widely spread logits", "layer norm", "residual", "average pool, then a function", "sort"),
    *("comparison and logic", "convolution with padding and groups", "choice of a constant"),
    "rounded beside each other",
)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in DEAR else []) for name in NETWORKS]
)
def test_encrypted_results_are_those_in_the_clear(name):
    make, shapes, n_bits, rounding = NETWORKS[name]
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    X = tuple(rng.uniform(-2, 2, (200, *shape)) for shape in shapes)
    widths = {"op_inputs": n_bits, "model_outputs": n_bits}
    module = quantize_torch_model(make(), X, widths, rounding_threshold_bits=rounding)
    assert module.cost_.lookups
    assert max(module.cost_.lookups) <= WIDEST
    module.compile()
    encoded = module.quantize_input(*(x[:N_ROWS] for x in X))
    clear = module.quantized_forward(encoded)
    assert np.ptp(clear) > 0
    np.testing.assert_array_equal(module.quantized_forward(encoded, fhe="execute"), clear)


def test_numbers_of_words_are_encrypted_as_they_are():
    """Also those of the vocabulary that no calibration row holds."""
    torch.manual_seed(0)
    net = Words()
    X = np.random.default_rng(0).integers(1, 5, (100, 2))
    module = quantize_torch_model(net, X, 3)
    words = np.array([[0, 5], [1, 4], [5, 0]])
    np.testing.assert_array_equal(module.quantize_input(words), words)
    wanted = net.double()(torch.from_numpy(words)).detach().numpy()
    assert np.abs(module.forward(words) - wanted).max() <= 0.5 * np.abs(wanted).max()
    module.compile()
    encoded = module.quantize_input(words)
    np.testing.assert_array_equal(
        module.quantized_forward(encoded, fhe="execute"), module.quantized_forward(encoded)
    )
