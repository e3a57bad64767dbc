"""Quantizers of networks as one operator, ``skfhe::quantize``, which names them by their number."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, library

from skfhe.network import Quantize

__all__ = ["Quantizers", "affine_quantizer"]


@library.custom_op("skfhe::quantize", mutates_args=())
def _quantize(x: Tensor, quantizer: int) -> Tensor:
    """Stand for a quantizer in a captured graph."""
    return x.clone()


@_quantize.register_fake
def _fake_quantize(x: Tensor, quantizer: int) -> Tensor:
    return torch.empty_like(x)


class Quantizers(list[Quantize]):
    """What calls of ``skfhe::quantize`` stand for, by their number; filled while a network is captured."""

    def apply(self, quantizer: Quantize, x: Tensor) -> Tensor:
        """Have a quantizer captured as one operator."""
        if quantizer not in self:
            self.append(quantizer)
        applied: Tensor = torch.ops.skfhe.quantize(x, self.index(quantizer))
        return applied


def affine_quantizer(
    scale: Any, zero_point: Any, limits: tuple[int, int], rank: int = 0, axis: int | None = None
) -> Quantize:
    """Return torch's quantizer ``round(x / scale) + zero_point``, clipped.

    Parameters
    ----------
    scale, zero_point : float or Tensor
        One, or one for each position along ``axis`` of a tensor of so many axes.
    limits : tuple of int
        Of the integers.
    rank : int
    axis : int, optional
    """
    scale, zero_point = (torch.as_tensor(v).detach().double() for v in (scale, zero_point))
    if axis is not None:
        across = [1] * rank
        across[axis] = -1
        scale, zero_point = scale.reshape(across), zero_point.reshape(across)
    elif scale.numel() == 1:
        scale, zero_point = scale.reshape(()), zero_point.reshape(())

    def integers(floats: Tensor) -> Tensor:
        return (torch.round(floats / scale) + zero_point).clamp(*limits)

    return Quantize(integers, scale, zero_point, *limits)
