"""A network for one way of calling an operator, its rows, and how far it may be from torch.

Rows are uniform, so that ``n`` bits err by ``1 / (2**n - 1)`` of a value's standard deviation: 0.4 % at 8
bits. A sum of several values deviates by about a sixth of its range, and calibrated bounds add up to half of
that range on both sides; rounded to 8 bits it errs by up to 1.4 % of its deviation. Values whose sum or
difference is looked up have 7 bits then: 0.8 % each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

__all__ = [
    "RARE",
    "Example",
    "Function",
    "errors",
    "example",
    "fresh_rows",
    "normalized",
    "rows",
    "univariate",
]

N_ROWS = 200
BOUND = 0.02
"""Of a few quantizations to 8 bits, one after the other."""
FAR = 0.05
"""A function that jumps is either near or, next to a jump, far off; in units of its deviation."""
RARE = 0.01
"""Rows that reach hidden values beyond those of ``N_ROWS`` calibration rows."""


class Function(nn.Module):
    """A function as a network."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *x: Tensor) -> Any:
        return self.function(*x)


@dataclass(frozen=True)
class Example:
    """One network.

    Parameters
    ----------
    name : str
    net : nn.Module
    shapes : tuple of tuple of int
        Shape of a row of each input.
    span : tuple of float
        Inputs are uniform in it.
    bound : float
        Of the relative error, or with ``jumps`` of the share of elements that are far off.
    rounding : int or None
        ``rounding_threshold_bits``, where an accumulator of many bits is looked up.
    jumps : bool
        Whether the function is discontinuous: a rounded argument may lie on the other side of a jump.
    n_bits : int
        For values, weights and outputs.
    """

    name: str
    net: nn.Module
    shapes: tuple[tuple[int, ...], ...]
    span: tuple[float, float] = (-2.0, 2.0)
    bound: float = BOUND
    rounding: int | None = None
    jumps: bool = False
    n_bits: int = 8


def example(name: str, net: Callable[..., Any], *shapes: tuple[int, ...], **options: Any) -> Example:
    module = net if isinstance(net, nn.Module) else Function(net)
    return Example(name, module, shapes or ((6,),), **options)


def univariate(
    name: str, function: Callable[[Tensor], Tensor], low: float = -2.0, high: float = 2.0, **options: Any
):
    return example(name, function, (6,), span=(low, high), **options)


def rows(of: Example, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Draw rows for each input of an example."""
    rng = np.random.default_rng(seed)
    return tuple(rng.uniform(*of.span, (N_ROWS, *shape)) for shape in of.shapes)


def fresh_rows(of: Example, calibration: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """Draw other rows within the range of those of a calibration."""
    return tuple(
        np.clip(x, seen.min(axis=0), seen.max(axis=0))
        for x, seen in zip(rows(of, seed=1), calibration, strict=True)
    )


def errors(of: Example, found: Any, inputs: tuple[np.ndarray, ...], rare: float = 0.0) -> list[float]:
    """Return the error of each output.

    That is the root mean square over the original's deviation, without the ``rare`` part of the rows that is
    farthest off: some rows that were not calibrated on reach hidden values beyond all that were seen. With
    ``jumps`` it is the share of elements that are far off.
    """
    net = of.net.double().eval()
    with torch.no_grad():
        wanted = net(*(torch.from_numpy(x.copy()) for x in inputs))
    found = found if isinstance(found, tuple) else (found,)
    wanted = tuple(wanted) if isinstance(wanted, tuple | list) else (wanted,)
    assert len(found) == len(wanted)
    result = []
    for y, tensor in zip(found, wanted, strict=True):
        y_torch = tensor.double().numpy()
        assert y.shape == y_torch.shape
        off = np.abs(y - y_torch).reshape(len(y), -1) / (float(y_torch.std()) or 1.0)
        nearest = np.argsort(off.max(axis=1))[: int(np.ceil(len(off) * (1 - rare)))]
        result.append(float(np.mean(off > FAR)) if of.jumps else float(np.sqrt(np.mean(off[nearest] ** 2))))
    return result


def normalized(net: nn.Module) -> nn.Module:
    """Give batch normalizations statistics and parameters that matter."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.uniform_(-1, 1)
            module.running_var.uniform_(0.3, 2)
            if module.affine:
                nn.init.uniform_(module.weight, -1.5, 1.5)
                nn.init.uniform_(module.bias, -1, 1)
    return net
