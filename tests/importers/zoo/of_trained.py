"""Networks that quantize themselves: by Brevitas, by torch.ao, or by arithmetic of their own."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable
from typing import Any

import brevitas.nn as qnn
import numpy as np
import onnx
import torch
from brevitas.export import export_onnx_qcdq, export_qonnx
from brevitas.quant import (
    Int8ActPerTensorFixedPoint,
    Int8ActPerTensorFloat,
    Int8WeightPerChannelFloat,
    Int8WeightPerTensorFixedPoint,
    Int32Bias,
    Uint8ActPerTensorFixedPoint,
)
from brevitas.quant.binary import SignedBinaryActPerTensorConst, SignedBinaryWeightPerTensorConst
from brevitas.quant.ternary import SignedTernaryWeightPerTensorConst
from brevitas.quant_tensor import QuantTensor
from torch import Tensor, nn
from torch.ao import quantization
from torch.ao.nn.quantized import FloatFunctional
from torch.ao.quantization import fake_quantize, observer
from torch.nn import functional

from tests.importers.zoo.specimen import Network, network

BITS = 3


def linear(n_read: int, n_made: int, **options: object) -> nn.Module:
    return qnn.QuantLinear(n_read, n_made, bias=True, weight_bit_width=BITS, **options)


def quantizer(**options: object) -> nn.Module:
    return qnn.QuantIdentity(bit_width=BITS, **options)


def seen(net: nn.Module, *shapes: tuple[int, ...]) -> nn.Module:
    """Show a network some rows, from which its quantizers learn their scales."""
    net.train()
    with torch.no_grad():
        for _ in range(3):
            net(*(3 * torch.rand(64, *shape) - 1.5 for shape in shapes))
    return net.eval()


def perceptron(**options: object) -> nn.Module:
    layers = [quantizer(), linear(4, 4, **options), qnn.QuantReLU(bit_width=BITS), linear(4, 2, **options)]
    return seen(nn.Sequential(*layers), (4,))


class Convolutional(nn.Module):
    """Convolutions with batch norm, a pooling that truncates, and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.image = quantizer(return_quant_tensor=True)
        self.conv = qnn.QuantConv2d(
            1, 2, 2, weight_bit_width=BITS, weight_quant=Int8WeightPerChannelFloat, bias=False
        )
        self.norm, self.drop = nn.BatchNorm2d(2), nn.Dropout(0.2)
        self.act = qnn.QuantReLU(bit_width=BITS, return_quant_tensor=True)
        self.head = linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.norm(self.conv(self.image(x))))
        return self.head(self.drop(x).flatten(1))


class Careful(nn.Module):
    """A network that looks at what its quantizers return."""

    def __init__(self) -> None:
        super().__init__()
        self.given, self.first = quantizer(return_quant_tensor=True), linear(4, 4, return_quant_tensor=False)
        self.act, self.second = qnn.QuantReLU(bit_width=BITS, return_quant_tensor=True), linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.given(x)
        assert isinstance(x, QuantTensor)
        y = self.act(self.first(x))
        assert y.is_valid if hasattr(y, "is_valid") else True
        return self.second(y).value if hasattr(self.second(y), "value") else self.second(y)


class ByValue(nn.Module):
    """Values and scales of quantized tensors, taken apart."""

    def __init__(self) -> None:
        super().__init__()
        self.given, self.layer = quantizer(return_quant_tensor=True), linear(4, 3)
        self.again, self.head = quantizer(), linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        q = self.given(x)
        y = self.layer(q)
        y = getattr(y, "value", y)
        return self.head(self.again(torch.relu(y + 0.0 * q.scale)))


class SharedQuantizer(nn.Module):
    """Two branches under one quantizer, whose quantized tensors are added or joined."""

    def __init__(self, joined: bool) -> None:
        super().__init__()
        self.given = quantizer()
        self.first, self.second = linear(4, 3), linear(4, 3)
        self.shared = quantizer(return_quant_tensor=True)
        self.head = linear(6 if joined else 3, 2)
        self.joined = joined

    def forward(self, x: Tensor) -> Tensor:
        x = self.given(x)
        a, b = self.shared(self.first(x)), self.shared(self.second(x))
        return self.head(torch.cat([a, b], dim=1) if self.joined else a + b)


class Added(nn.Module):
    """Brevitas' own layer for sums."""

    def __init__(self) -> None:
        super().__init__()
        self.given, self.inner = quantizer(return_quant_tensor=True), linear(4, 4)
        self.add = qnn.QuantEltwiseAdd(input_bit_width=BITS, output_bit_width=BITS)
        self.head = linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.given(x)
        return self.head(self.add(x, self.inner(x)))


class TwoGrids(nn.Module):
    """A sum of values under quantizers of their own, before a quantizer."""

    def __init__(self) -> None:
        super().__init__()
        self.x, self.y = quantizer(), qnn.QuantIdentity(bit_width=BITS + 1)
        self.first, self.second = linear(3, 3), linear(2, 3)
        self.total, self.head = quantizer(), linear(3, 2)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.head(self.total(self.first(self.x(x)) + self.second(self.y(y))))


class Partly(nn.Module):
    """A network of which only the first layers quantize."""

    def __init__(self) -> None:
        super().__init__()
        self.quantized = nn.Sequential(quantizer(), linear(4, 4), qnn.QuantReLU(bit_width=BITS))
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.quantized(x))


class Blocks(nn.Module):
    """Slices of the input through one layer, joined again, with a quantizer before each layer."""

    def __init__(self) -> None:
        super().__init__()
        self.given, self.layer, self.joined = quantizer(), linear(2, 2), quantizer()
        self.head = linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.given(x)
        parts = [self.layer(x[:, i : i + 2]) for i in range(0, 6, 2)]
        return self.head(self.joined(torch.relu(torch.cat(parts, dim=1))))


class Moved(nn.Module):
    """Quantized images, padded, shuffled and summed."""

    def __init__(self) -> None:
        super().__init__()
        self.given = qnn.QuantIdentity(bit_width=4)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.pad(functional.pad(self.given(x), (1, 1, 0, 1)), (0, 0, 1, 0))
        x = x.reshape(len(x), 2, 1, *x.shape[2:]).transpose(1, 2).flatten(1, 2)
        return torch.cat([x.sum(dim=-1), x[..., :1].expand(-1, -1, -1, 4).mean(dim=-1)], dim=1)


class Binary(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        scaled = {"scaling_init": 0.5, "scaling_const": 0.5}
        self.layers = nn.Sequential(
            quantizer(),
            qnn.QuantLinear(
                4, 6, bias=True, weight_quant=SignedBinaryWeightPerTensorConst, weight_scaling_const=0.3
            ),
            qnn.QuantIdentity(act_quant=SignedBinaryActPerTensorConst, **scaled),
            qnn.QuantLinear(
                6, 2, bias=True, weight_quant=SignedTernaryWeightPerTensorConst, weight_scaling_const=0.3
            ),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def fixed_point() -> nn.Module:
    """Scales that are powers of two, and biases of integers."""
    weights = {
        "weight_quant": Int8WeightPerTensorFixedPoint,
        "bias_quant": Int32Bias,
        "weight_bit_width": BITS,
    }
    return seen(
        nn.Sequential(
            qnn.QuantIdentity(act_quant=Int8ActPerTensorFixedPoint, bit_width=BITS, return_quant_tensor=True),
            qnn.QuantLinear(4, 4, bias=True, **weights),
            qnn.QuantReLU(act_quant=Uint8ActPerTensorFixedPoint, bit_width=BITS, return_quant_tensor=True),
            qnn.QuantLinear(4, 2, bias=True, **weights),
        ),
        (4,),
    )


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.given = quantizer(return_quant_tensor=True)
        widths = {"weight_bit_width": BITS, "io_quant": Int8ActPerTensorFloat.let(bit_width=BITS)}
        self.layer = qnn.QuantLSTM(2, 2, **widths)
        self.head = linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(self.given(x.transpose(0, 1)))[0][-1])


# ------------------------------------------------------------------------------------------------ torch.ao


def ao_config(reduced: bool = True) -> quantization.QConfig:
    """Few bits for values and weights, with fused fake-quantize modules as torch uses by default."""
    highest = (1 << BITS) - 1
    values = fake_quantize.FusedMovingAvgObsFakeQuantize.with_args(
        observer=observer.MovingAverageMinMaxObserver, quant_min=0, quant_max=highest, dtype=torch.quint8
    )
    weights = fake_quantize.FakeQuantize.with_args(
        observer=observer.MovingAveragePerChannelMinMaxObserver,
        quant_min=-(highest // 2),
        quant_max=highest // 2,
        dtype=torch.qint8,
        qscheme=torch.per_channel_symmetric,
        ch_axis=0,
    )
    return quantization.QConfig(activation=values, weight=weights)


class Stubs(nn.Module):
    """A network between torch.ao's stubs."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.quant, self.inner, self.dequant = quantization.QuantStub(), inner, quantization.DeQuantStub()

    def forward(self, x: Tensor) -> Tensor:
        return self.dequant(self.inner(self.quant(x)))


class AddedByFunctional(nn.Module):
    """A residual block, its sum by torch.ao's module for sums."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.sum = nn.Sequential(nn.Linear(4, 4), nn.ReLU()), FloatFunctional()
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.sum.add(x, self.inner(x)))


def prepared(inner: nn.Module, shape: tuple[int, ...], fused: list[list[str]] | None = None) -> nn.Module:
    """Prepare a network for training with torch.ao, and show it rows."""
    net = Stubs(inner)
    net.train()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that torch.ao is to move to torchao
        if fused:
            quantization.fuse_modules_qat(net, fused, inplace=True)
        net.qconfig = ao_config()
        quantization.prepare_qat(net, inplace=True)
        seen(net, shape)
        net.apply(quantization.disable_observer)
    return net


def converted(inner: nn.Module, shape: tuple[int, ...], fused: list[list[str]] | None = None) -> nn.Module:
    """Quantize a network with torch.ao after training, to its own integer layers."""
    net = Stubs(inner).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if fused:
            quantization.fuse_modules(net, fused, inplace=True)
        net.qconfig = quantization.get_default_qconfig("x86")
        quantization.prepare(net, inplace=True)
        with torch.no_grad():
            net(3 * torch.rand(64, *shape) - 1.5)
        quantization.convert(net, inplace=True)
    return net


def ao_perceptron() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))


def ao_convolutions() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 2, 2), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))


# ------------------------------------------------------------------------------------ own arithmetic


class Rounded(torch.autograd.Function):
    @staticmethod
    def forward(context: object, x: Tensor) -> Tensor:
        return torch.round(x)

    @staticmethod
    def backward(context: object, gradient: Tensor) -> Tensor:
        return gradient


class OwnRounding(nn.Module):
    """Weights and values rounded to multiples of steps, by arithmetic."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = _multiples(x, 0.5, 3)
        x = functional.linear(x, _multiples(self.first.weight, 0.25, 3), self.first.bias)
        x = _multiples(torch.relu(x), 0.25, 7)
        return functional.linear(x, _multiples(self.second.weight, 0.25, 3), self.second.bias)


def _multiples(x: Tensor, step: float, most: int) -> Tensor:
    return torch.clamp(torch.round(x / step), -most, most) * step


class FakeQuantized(nn.Module):
    """torch's own fake-quantize functions, called by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.fake_quantize_per_tensor_affine(x, 0.25, 0, -7, 7)
        weight = torch.fake_quantize_per_channel_affine(
            self.layer.weight, torch.tensor([0.1, 0.2, 0.15]), torch.zeros(3, dtype=torch.int32), 0, -3, 3
        )
        x = functional.linear(x, weight.to(x.dtype), self.layer.bias)
        return torch.fake_quantize_per_tensor_affine(x, 0.3, 2, 0, 7)


def as_onnx(export: Callable[..., Any]) -> Callable[[nn.Module, list[np.ndarray]], Any]:
    """Return how Brevitas exports a network itself."""

    def exported(net: nn.Module, rows: list[np.ndarray]) -> Any:
        file = io.BytesIO()
        with warnings.catch_warnings(), contextlib.redirect_stdout(None):
            warnings.simplefilter("ignore")
            example = torch.as_tensor(rows[0][:1], dtype=torch.float32)
            export(net.float(), example, file, dynamo=False, input_names=["x"], dynamic_axes={"x": {0: "n"}})
        return onnx.load_from_string(file.getvalue())

    return exported


def trained() -> list[Network]:
    def brevitas(name: str, make: object, *shapes: tuple[int, ...], **options: object) -> Network:
        options = {"bound": 1e-4} | options
        return network(f"Brevitas: {name}", make, *shapes, by="brevitas", **options)

    def ao(name: str, make: object, *shapes: tuple[int, ...], **options: object) -> Network:
        return network(f"torch.ao: {name}", make, *shapes, by="torch qat", **options)

    by_itself = {"by": "onnx qat", "bound": 1e-4}
    conv = [["inner.0", "inner.1", "inner.2"]]
    return [
        brevitas("perceptron", perceptron),
        brevitas("perceptron, scales by channel", lambda: perceptron(weight_quant=Int8WeightPerChannelFloat)),
        brevitas("convolutions", lambda: seen(Convolutional(), (1, 3, 3)), (1, 3, 3)),
        brevitas("asserts", lambda: seen(Careful(), (4,))),
        brevitas("values and scales", lambda: seen(ByValue(), (4,))),
        brevitas("sum under one quantizer", lambda: seen(SharedQuantizer(False), (4,))),
        brevitas("concatenation under one quantizer", lambda: seen(SharedQuantizer(True), (4,))),
        brevitas("QuantEltwiseAdd", lambda: seen(Added(), (4,))),
        brevitas("sum on two grids", lambda: seen(TwoGrids(), (3,), (2,)), (3,), (2,)),
        brevitas("quantized in part", lambda: seen(Partly(), (4,)), options={"n_bits": 5}, bound=0.1),
        brevitas("slices through one layer", lambda: seen(Blocks(), (6,)), (6,)),
        brevitas("pads and sums", lambda: seen(Moved(), (2, 2, 1)), (2, 2, 1)),
        brevitas("binary and ternary", lambda: seen(Binary(), (4,))),
        brevitas("powers of two and Int32Bias", fixed_point),
        brevitas("QuantLSTM", lambda: seen(Recurrent(), (2, 2)), (2, 2), slow=True),
        network("Brevitas: given to compile_torch_model", perceptron, by="torch qat", bound=1e-4),
        network("Brevitas: exported as QCDQ", perceptron, export=as_onnx(export_onnx_qcdq), **by_itself),
        network("Brevitas: exported as QONNX", perceptron, export=as_onnx(export_qonnx), **by_itself),
        ao("prepare_qat", lambda: prepared(ao_perceptron(), (4,)), bound=1e-3),
        ao("prepare_qat, fused", lambda: prepared(ao_convolutions(), (1, 3, 3), conv), (1, 3, 3), bound=1e-3),
        ao("prepare_qat, FloatFunctional", lambda: prepared(AddedByFunctional(), (4,)), bound=1e-3),
        ao("converted", lambda: converted(ao_perceptron(), (4,)), bound=0.1),
        ao("converted, fused", lambda: converted(ao_convolutions(), (1, 3, 3), conv), (1, 3, 3), bound=0.1),
        network("own rounding", OwnRounding, by="torch qat", options={"n_bits": 6}, bound=1e-4),
        network("fake-quantize functions", FakeQuantized, by="torch qat", bound=1e-3),
    ]
