"""Networks on the checkerboard: float, pruned, and trained with Brevitas under a budget for accumulators.

Labels belong to grid points, and the points are then jittered, so a twentieth of the rows, near the squares'
edges, carries the label of the other side. `ceiling` is the accuracy of whoever knows the squares.
"""

from dataclasses import dataclass

import brevitas.nn as qnn
import numpy as np
import torch
from brevitas.core.bit_width import BitWidthImplType
from brevitas.core.quant import QuantType
from brevitas.core.restrict_val import FloatToIntImplType, RestrictValueType
from brevitas.core.scaling import ScalingImplType
from brevitas.core.zero_point import ZeroZeroPoint
from brevitas.inject import ExtendedInjector
from brevitas.quant.solver import ActQuantSolver, WeightQuantSolver
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn.utils import prune

from benchmarks.datasets import checkerboard

__all__ = ["Rows", "accuracy", "ceiling", "rows_of", "train_float", "train_quantized"]

N_BITS = 3
HIGHEST = 3
"""Largest integer of a narrow, signed range of three bits; steps are thirds."""
ACCUMULATOR_BITS = 6


@dataclass(frozen=True)
class Rows:
    """9,500 training and 500 test points, float32 and int64."""

    X: NDArray[np.float32]
    y: NDArray[np.int64]
    X_test: NDArray[np.float32]
    y_test: NDArray[np.int64]


def rows_of(seed: int) -> Rows:
    """Return the split of one seed."""
    X, y = checkerboard()
    a, b, c, d = train_test_split(X.astype(np.float32), y, test_size=500, random_state=seed)
    return Rows(a, c, b, d)


def squares(X: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the colour of the square that each point lies in."""
    column, row = (np.rint(3 * X.astype(np.float64)).astype(np.int64) % 2).T
    return column ^ row


def ceiling(rows: Rows) -> float:
    """Return the test accuracy of whoever knows the squares."""
    return float(np.mean(squares(rows.X_test) == rows.y_test))


def accuracy(scores: NDArray[np.float64], y: NDArray[np.int64]) -> float:
    """Return the share of rows whose largest score is that of their class."""
    return float(np.mean(scores.argmax(axis=1) == y))


class FloatNet(nn.Module):
    """Three linear layers and ReLU."""

    def __init__(self, n_hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(2, n_hidden)
        self.fc2 = nn.Linear(n_hidden, n_hidden)
        self.fc3 = nn.Linear(n_hidden, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores of both classes."""
        return self.fc3(torch.relu(self.fc2(torch.relu(self.fc1(x)))))


class _Quant(ExtendedInjector):
    bit_width_impl_type = BitWidthImplType.CONST
    scaling_impl_type = ScalingImplType.CONST
    restrict_scaling_type = RestrictValueType.FP
    zero_point_impl = ZeroZeroPoint
    float_to_int_impl_type = FloatToIntImplType.ROUND
    scaling_per_output_channel = False
    narrow_range = True
    signed = True
    quant_type = QuantType.INT


class _WeightQuant(_Quant, WeightQuantSolver):
    scaling_const = 1.0


class _ActQuant(_Quant, ActQuantSolver):
    min_val = -1.0
    max_val = 1.0


def _linear(n_inputs: int, n_outputs: int) -> qnn.QuantLinear:
    layer = qnn.QuantLinear(
        n_inputs, n_outputs, True, weight_quant=_WeightQuant, weight_bit_width=N_BITS, bias_quant=None
    )
    nn.init.uniform_(layer.weight, -1, 1)
    return layer


def _identity() -> qnn.QuantIdentity:
    return qnn.QuantIdentity(act_quant=_ActQuant, bit_width=N_BITS, return_quant_tensor=True)


class QuantizedNet(nn.Module):
    """The same with weights and values of three bits, in steps of a third."""

    def __init__(self, n_hidden: int) -> None:
        super().__init__()
        self.q0, self.fc1 = _identity(), _linear(2, n_hidden)
        self.q1, self.fc2 = _identity(), _linear(n_hidden, n_hidden)
        self.q2, self.fc3 = _identity(), _linear(n_hidden, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores of both classes."""
        x = self.q1(torch.relu(self.fc1(self.q0(x))))
        return self.fc3(self.q2(torch.relu(self.fc2(x))))


def train_float(n_hidden: int, seed: int, non_zero: int | None = None, epochs: int = 60) -> FloatNet:
    """Train in float.

    Parameters
    ----------
    n_hidden : int
        Neurons of each hidden layer.
    seed : int
        Of the split, the weights and the batches.
    non_zero : int, optional
        Weights that each neuron keeps; the others are pruned in the course of training, the smallest first.
    epochs : int, default=60

    Returns
    -------
    FloatNet
        In evaluation mode, pruning made permanent.
    """
    torch.manual_seed(seed)
    net = FloatNet(n_hidden)
    layers = [net.fc1, net.fc2, net.fc3]

    def constrain(share: float) -> None:
        for layer in layers if non_zero is not None else ():
            kept = round(layer.in_features ** (1 - share) * min(non_zero, layer.in_features) ** share)
            _mask(layer, _largest(layer, kept))

    _train(net, rows_of(seed), epochs, 0.01, constrain)
    return _permanent(net, layers)


def train_quantized(
    seed: int, n_hidden: int = 100, non_zero: int = 30, n_accum_bits: int = ACCUMULATOR_BITS, epochs: int = 40
) -> QuantizedNet:
    """Train with quantizers, pruned, and with accumulators that no input leads past their bits.

    A neuron's accumulator spans its sum of magnitudes times the span of its inputs: 6 steps of the network's
    inputs, 3 behind ReLU. So many units of magnitude are left to each neuron as its bits hold; the smallest
    weights go first.

    Parameters
    ----------
    seed : int
    n_hidden, non_zero : int
        Neurons of each hidden layer, and weights that each keeps at most.
    n_accum_bits : int
        Bits of the accumulators that lookups read.
    epochs : int, default=40

    Returns
    -------
    QuantizedNet
        In evaluation mode, pruning made permanent.
    """
    torch.manual_seed(seed)
    net = QuantizedNet(n_hidden)
    spans = [(net.fc1, 2 * HIGHEST), (net.fc2, HIGHEST), (net.fc3, None)]

    def constrain(share: float) -> None:
        net.eval()
        for layer, span in spans:
            full = layer.in_features
            mask = _largest(layer, round(full ** (1 - share) * min(non_zero, full) ** share))
            if span is not None:
                budget = ((1 << n_accum_bits) - 1) // span
                most = full * HIGHEST
                allowed = round(most ** (1 - share) * min(budget, most) ** share)
                mask = _within(layer, mask, allowed)
            _mask(layer, mask)

    _train(net, rows_of(seed), epochs, 0.02, constrain)
    return _permanent(net, [layer for layer, _ in spans])


def _train(net: nn.Module, rows: Rows, epochs: int, lr: float, constrain: object) -> None:
    """Train with Adam in one cycle; ``constrain(share)`` tightens from 0 to 1 over the first 60 % of it."""
    X, y = torch.from_numpy(rows.X), torch.from_numpy(rows.y)
    optimizer = torch.optim.Adam(net.parameters(), lr)
    steps = epochs * -(-len(X) // 256)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps, pct_start=0.1)
    for epoch in range(1, epochs + 1):
        net.train()
        for batch in torch.randperm(len(X)).split(256):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(X[batch]), y[batch]).backward()
            optimizer.step()
            schedule.step()
        constrain(min(1.0, epoch / (0.6 * epochs)))  # type: ignore[operator]


def _largest(layer: nn.Linear, kept: int) -> Tensor:
    """Return a mask of each neuron's ``kept`` largest weights."""
    order = layer.weight.detach().abs().argsort(dim=1, descending=True)
    rank = torch.arange(order.shape[1]).expand_as(order)
    return torch.zeros_like(layer.weight).scatter_(1, order, (rank < kept).float())


def _within(layer: qnn.QuantLinear, mask: Tensor, allowed: int) -> Tensor:
    """Return ``mask`` without the smallest weights, as many as take each neuron past its magnitudes."""
    with torch.no_grad():
        magnitudes = (layer.quant_weight().value * HIGHEST).round().abs() * mask
    order = layer.weight.detach().abs().argsort(dim=1, descending=True)
    fits = magnitudes.gather(1, order).cumsum(dim=1) <= allowed
    return mask * torch.zeros_like(mask).scatter_(1, order, fits.float())


def _mask(layer: nn.Linear, mask: Tensor) -> None:
    prune.custom_from_mask(layer, "weight", mask)


def _permanent(net: nn.Module, layers: list[nn.Linear]) -> nn.Module:
    for layer in layers:
        if prune.is_pruned(layer):
            prune.remove(layer, "weight")
    return net.eval()
