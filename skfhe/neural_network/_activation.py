"""Activations: which can be looked up in a table, and how their results are quantized."""

from typing import Any

import torch
from brevitas.inject import ExtendedInjector
from brevitas.proxy import ActQuantProxyFromInjector
from torch import Tensor, nn

__all__ = ["LearnedScale", "LearnedScaleQuant", "check_activation", "typical_range"]


class _Quantize(torch.autograd.Function):
    """Round to multiples of the scale and clip, with the gradient of the function without rounding.

    One node of the graph in place of a dozen: a training step of these small networks is mostly such nodes.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, low: int, high: int) -> Tensor:
        steps = x / scale
        q = steps.round().clamp_(low, high)
        ctx.save_for_backward(steps, q)
        ctx.low, ctx.high = low, high
        return q * scale

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        steps, q = ctx.saved_tensors
        (gradient,) = gradients
        inside = ((steps >= ctx.low) & (steps <= ctx.high)).to(gradient.dtype)
        return gradient * inside, (gradient * torch.addcmul(q, steps, inside, value=-1)).sum(), None, None


class LearnedScale(nn.Module):
    """Quantizes a tensor with one scale, learned in training.

    Parameters
    ----------
    bit_width : int
    signed : bool
        Integers in [-2**(bit_width - 1), 2**(bit_width - 1) - 1], otherwise [0, 2**bit_width - 1].
    max_val : float
        Magnitude to begin with that the largest integer stands for.

    References
    ----------
    Esser et al., "Learned Step Size Quantization", ICLR 2020: the scale's gradient.
    """

    zero_point: Tensor
    bit_width: Tensor

    def __init__(self, bit_width: int, signed: bool, max_val: float) -> None:
        super().__init__()
        self.low = -(1 << (bit_width - 1)) if signed else 0
        self.high = self.low + (1 << bit_width) - 1
        self.scale = nn.Parameter(torch.tensor(max_val / max(-self.low, self.high)))
        self.register_buffer("zero_point", torch.tensor(0.0), persistent=False)
        self.register_buffer("bit_width", torch.tensor(float(bit_width)), persistent=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the quantized values as floats, their scale, zero point and bit-width."""
        scale = self.scale.abs()
        return _Quantize.apply(x, scale, self.low, self.high), scale, self.zero_point, self.bit_width


class LearnedScaleQuant(ExtendedInjector):
    """Brevitas activation quantizer made of `LearnedScale`.

    A layer passes ``bit_width``, ``signed`` and ``max_val``.
    """

    proxy_class = ActQuantProxyFromInjector
    tensor_quant = LearnedScale
    narrow_range = False


def typical_range(activation: nn.Module) -> tuple[float, float]:
    """Range of an activation over most of a normalized input, to start its quantizer from."""
    with torch.no_grad():
        wide = activation(torch.linspace(-8.0, 8.0, 801))
        usual = activation(torch.linspace(-2.5, 2.5, 251))
    low = float(usual.min()) if float(wide.min()) < -1e-6 else 0.0
    high = float(usual.abs().max())
    return low, max(high, 1e-2)


def check_activation(activation: object) -> type[nn.Module]:
    """Return ``activation`` if it is the class of a univariate torch activation.

    Univariate means that each element of the result depends on the element at its place alone:
    only such a function can be looked up in a table.

    Raises
    ------
    ValueError
        If it is not a class of torch modules, cannot be made without arguments, or is not univariate.
    """
    hint = "use a univariate one, such as torch.nn.ReLU, torch.nn.Sigmoid or torch.nn.GELU"
    if not (isinstance(activation, type) and issubclass(activation, nn.Module)):
        raise ValueError(
            "module__activation_function must be a class of torch activations such as torch.nn.ReLU, "
            f"got {activation!r}"
        )
    try:
        function = activation().eval()
        x = torch.linspace(-4.0, 4.0, 24).reshape(6, 4)
        with torch.no_grad():
            together = function(x)
            alone = torch.stack([function(v.reshape(1, 1)).reshape(()) for v in x.flatten()])
    except Exception as error:
        raise ValueError(
            f"module__activation_function={activation.__name__} cannot be applied element by element "
            f"({error}); {hint}"
        ) from error
    univariate = isinstance(together, Tensor) and together.shape == x.shape
    if not univariate or not torch.allclose(together, alone.reshape(x.shape), atol=1e-6):
        raise ValueError(
            f"module__activation_function={activation.__name__} mixes elements, so no table can "
            f"stand for it; {hint}"
        )
    if next(function.parameters(), None) is not None:
        raise ValueError(
            f"module__activation_function={activation.__name__} has parameters of its own; {hint}"
        )
    return activation
