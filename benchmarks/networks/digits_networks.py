"""A convolutional network on the digits, and its training.

One convolution, read by lookups of 4 bits whatever the image, and one linear layer that sees the image, too.
Three things keep it cheap under encryption:

- Only the convolution's results are looked up, and large kernels at few places say more for their number
  than small ones at many.
- Each kernel has a budget, the magnitudes that an accumulator of 4 bits can hold, and is trained under it.
- What is linear in the image costs no lookup, so the image goes to the classifier past the convolution. It
  and the activations have one step of quantization in common, 5 of 16 shades: they join as they are.
"""

import math

import brevitas.nn as qnn
import numpy as np
import torch
from brevitas.inject import ExtendedInjector
from brevitas.inject.enum import ScalingImplType
from brevitas.proxy import WeightQuantProxyFromInjector
from brevitas.quant import Int8WeightPerTensorFloat, Uint8ActPerTensorFloat
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

from skfhe.neural_network._budget import BudgetedWeights, weight_budget

STEP = 5 / 16
"""Of image and activations. Shades are 16ths, so none lies on the edge between two integers."""
IMAGE_BITS = 2
BATCH = 32
RAMP = 0.4
"""Share of the epochs in which the kernels' budget narrows."""


def digits_split() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the images, with shades from 0 to 1, and their digits.

    Returns
    -------
    X_train, X_test : ndarray of float32, shape (1347, 1, 8, 8) and (450, 1, 8, 8)
    y_train, y_test : ndarray of int64
    """
    X, y = load_digits(return_X_y=True)
    images = (X / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    return tuple(train_test_split(images, y, test_size=0.25, stratify=y, random_state=0))


def accuracy(net: nn.Module, X: np.ndarray, y: np.ndarray) -> float:
    """Return the share of rows whose largest output is that of their label."""
    with torch.no_grad():
        return float((net(torch.from_numpy(X)).argmax(dim=1).numpy() == y).mean())


class BudgetedKernels(BudgetedWeights):
    """A budget for each kernel of a convolution."""

    def forward(self, weight: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the quantized weights as floats, a scale a kernel, zero point and bit-width."""
        value, scale, *others = super().forward(weight.flatten(1))
        return value.view_as(weight), scale.view(-1, 1, 1, 1), *others


class BudgetedKernelQuant(ExtendedInjector):
    """Brevitas weight quantizer made of `BudgetedKernels`."""

    proxy_class = WeightQuantProxyFromInjector
    tensor_quant = BudgetedKernels
    signed = True
    narrow_range = True


class CommonStep(Uint8ActPerTensorFloat):
    """Multiples of `STEP` from zero."""

    scaling_impl_type = ScalingImplType.CONST
    min_val = 0.0
    max_val = None


class DigitsCNN(nn.Module):
    """One convolution and one linear layer, quantized end to end.

    Parameters
    ----------
    n_channels : int, default=24
        Of the convolution; each is looked up at four places.
    kernel_size, stride : int, default=7 and 1
    activation_bits, classifier_bits : int, default=3 and 5
    accumulator_bits : int, default=4
        Bits of the sums that lookups read.
    """

    def __init__(
        self,
        n_channels: int = 24,
        kernel_size: int = 7,
        stride: int = 1,
        activation_bits: int = 3,
        classifier_bits: int = 5,
        accumulator_bits: int = 4,
    ) -> None:
        super().__init__()
        self.n_activations = n_channels * ((8 - kernel_size) // stride + 1) ** 2
        self.image = qnn.QuantIdentity(**_grid(IMAGE_BITS))
        self.conv = qnn.QuantConv2d(
            1,
            n_channels,
            kernel_size,
            stride,
            bias=False,
            weight_quant=BudgetedKernelQuant,
            weight_budget=weight_budget(accumulator_bits, 2**IMAGE_BITS - 1),
            weight_magnitude=1,
            weight_bit_width=2,
        )
        self.norm = nn.BatchNorm2d(n_channels)
        self.activations = qnn.QuantIdentity(**_grid(activation_bits))
        self.classifier = qnn.QuantLinear(
            64 + self.n_activations,
            10,
            bias=True,
            weight_quant=Int8WeightPerTensorFloat,
            weight_bit_width=classifier_bits,
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return one score a digit."""
        x = self.image(x)
        h = self.activations(torch.abs(self.norm(self.conv(x))))
        return self.classifier(torch.cat([x.flatten(1), h.flatten(1)], dim=1))

    def relax(self, share: float) -> None:
        """Let the kernels spend more in training: all weights at share 0, the budget at 1."""
        quantizer = self.conv.weight_quant.tensor_quant
        quantizer.relax(share, self.conv.weight[0].numel())


def _grid(bits: int) -> dict[str, object]:
    return {"act_quant": CommonStep.let(max_val=STEP * (2**bits - 1)), "bit_width": bits}


def distorted(images: Tensor) -> Tensor:
    """Return images turned, shifted and scaled a little, each in its own way, with a little noise.

    Normal, of standard deviations 5 degrees, 0.2 pixels, 3 % and 0.05 shades.
    """
    n = len(images)
    angle, zoom = torch.randn(n) * math.radians(5), 1 + 0.03 * torch.randn(n)
    shift = 0.2 * 2 / 8 * torch.randn(2, n)
    rows = [
        zoom * angle.cos(),
        -zoom * angle.sin(),
        shift[0],
        zoom * angle.sin(),
        zoom * angle.cos(),
        shift[1],
    ]
    grid = nn.functional.affine_grid(
        torch.stack(rows, dim=1).view(n, 2, 3), images.shape, align_corners=False
    )
    moved = nn.functional.grid_sample(images, grid, align_corners=False)
    return moved + 0.05 * torch.randn_like(moved)


def train_digits_cnn(
    seed: int = 0,
    data: tuple[np.ndarray, np.ndarray] | None = None,
    epochs: int = 300,
    **settings: int,
) -> DigitsCNN:
    """Train the network.

    Parameters
    ----------
    seed : int, default=0
    data : (X, y), default=None
        What to train on; None for the training part of the split.
    epochs : int, default=300
    **settings
        Of `DigitsCNN`.

    Returns
    -------
    DigitsCNN
        In evaluation mode.
    """
    torch.manual_seed(seed)
    X, y = data if data is not None else digits_split()[::2]
    images, labels = torch.from_numpy(X), torch.from_numpy(y)
    net = DigitsCNN(**settings)
    lr, steps = 0.02, epochs * (len(X) // BATCH)
    optimizer = torch.optim.Adam(net.parameters(), lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps, pct_start=0.1)
    for epoch in range(epochs):
        net.relax(min(1.0, (epoch + 1) / (RAMP * epochs)))
        order = torch.randperm(len(X))[: len(X) // BATCH * BATCH]
        for rows in order.split(BATCH):
            optimizer.zero_grad()
            scores = net(distorted(images[rows]))
            nn.functional.cross_entropy(scores, labels[rows], label_smoothing=0.1).backward()
            optimizer.step()
            schedule.step()
    return net.eval()
