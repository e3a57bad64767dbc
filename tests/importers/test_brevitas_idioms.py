"""Brevitas networks that handle quantized tensors themselves: they are captured as they are written."""

import brevitas
import brevitas.nn as qnn
import numpy as np
import pytest
import torch
from brevitas import quant as value_quantizers
from brevitas.nn.utils import merge_bn
from brevitas.quant import (
    Int8ActPerTensorFloat,
    Int8WeightPerTensorFixedPoint,
    Int16Bias,
    Int32Bias,
    TruncTo8bit,
)
from brevitas.quant_tensor import IntQuantTensor, QuantTensor
from packaging.version import Version
from torch import nn
from torch.utils._pytree import tree_leaves

from skfhe.importers import quantize_brevitas_qat_model, quantize_torch_model
from skfhe.importers._torch.reader import in_double_precision

WITH = {"return_quant_tensor": True}


class Written(nn.Module):
    """Layers, and what is done with them."""

    def __init__(self, compute, **layers):
        super().__init__()
        self.compute = compute
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x):
        return self.compute(self, x)


def identity(bits=3, **options):
    return qnn.QuantIdentity(bit_width=bits, **WITH, **options)


def relu(bits=3):
    return qnn.QuantReLU(bit_width=bits, **WITH)


def linear(n_inputs, n_outputs, **options):
    return qnn.QuantLinear(n_inputs, n_outputs, True, weight_bit_width=3, **options)


def metadata():
    """Values, scales and bit-widths are looked at and computed with."""

    def compute(self, x):
        q = self.enter(x)
        assert isinstance(q, QuantTensor)
        assert isinstance(q, IntQuantTensor)
        hidden = self.relu(self.inner(q.value))
        if hidden.bit_width == 3 and hidden.scale > 0 and not hidden.signed and hidden.zero_point == 0:
            return self.outer(hidden), hidden.scale * hidden.int(float_datatype=True)
        return None

    return Written(compute, enter=identity(), inner=linear(4, 3), relu=relu(), outer=linear(3, 2))


def sums():
    """Quantized tensors of one quantizer are added, subtracted and joined; a layer is used twice."""

    def compute(self, x):
        a = self.enter(x)
        b = self.enter(self.inner(a))
        joined = torch.cat([a, b], dim=1) + IntQuantTensor.cat([b, self.enter(self.inner(b))], dim=1)
        assert isinstance(joined, IntQuantTensor)
        return self.outer(joined), self.between(a - b), self.product(a * b)

    return Written(
        compute,
        enter=identity(),
        inner=linear(4, 4, bias_quant=Int32Bias),
        outer=linear(8, 2),
        between=relu(),
        product=identity(),
    )


def shared_quantizers():
    """One quantizer of values, and one of weights, in two layers each."""
    first, inner = identity(), linear(4, 4)
    second = qnn.QuantIdentity(act_quant=first.act_quant, **WITH)
    outer = qnn.QuantLinear(4, 2, True, weight_quant=inner.weight_quant)

    def compute(self, x):
        a = self.first(x)
        return self.outer(a + self.second(self.inner(a)))

    return Written(compute, first=first, second=second, inner=inner, outer=outer)


def quantized_biases():
    """A layer's quantized result is what the next takes; biases have scales of the sums, or their own."""
    return nn.Sequential(
        identity(2),
        linear(4, 3, bias_quant=Int32Bias, **WITH),
        linear(3, 3, bias_quant=Int32Bias, **WITH),
        relu(),
        linear(3, 2, bias_quant=Int16Bias),
    )


def images():
    """Pools that shift, batch norm that was merged, padding, upsampling and a scale for each channel."""
    convolution, norm = qnn.QuantConv2d(1, 2, 3, padding=1, weight_bit_width=3), nn.BatchNorm2d(2)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([0.7, -1.2]))
        norm.running_mean.copy_(torch.tensor([0.1, -0.3]))
    merge_bn(convolution, norm)
    return nn.Sequential(
        identity(),
        convolution,
        relu(),
        qnn.TruncAvgPool2d(2, bit_width=3),
        qnn.QuantUpsample(scale_factor=2),
        qnn.TruncAdaptiveAvgPool2d(1, bit_width=3, trunc_quant=TruncTo8bit),
        qnn.QuantScaleBias(2, True, weight_bit_width=3),
        identity(),
        nn.Flatten(),
        linear(2, 2),
    )


def functions():
    """Functions of torch that take quantized tensors, between layers."""

    def compute(self, x):
        q = self.enter(x)
        large = nn.functional.max_pool2d(q, 2)
        moved = q.transpose(2, 3).reshape(q.shape[0], -1)
        return {"large": self.outer(torch.flatten(large, 1)), "moved": self.moved(moved), "entered": q}

    return Written(compute, enter=identity(), outer=linear(4, 2), moved=linear(16, 1))


def recurrent(kind, **options):
    def compute(self, x):
        states, _ = self.cells(self.enter(x))
        return self.outer(states)

    cells = kind(
        2,
        2,
        batch_first=True,
        weight_bit_width=3,
        io_quant=Int8ActPerTensorFloat,
        io_bit_width=3,
        gate_acc_bit_width=3,
        **options,
    )
    return lambda: Written(compute, enter=identity(), cells=cells, outer=linear(2, 1))


NETWORKS = {
    "metadata": (metadata, (4,)),
    "sums": (sums, (4,)),
    "shared quantizers": (shared_quantizers, (4,)),
    "quantized biases": (quantized_biases, (4,)),
    "images": (images, (1, 4, 4)),
    "functions": (functions, (1, 4, 4)),
    "recurrent": (recurrent(qnn.QuantRNN), (3, 2)),
    "LSTM": (
        recurrent(qnn.QuantLSTM, sigmoid_bit_width=3, tanh_bit_width=3, cell_state_bit_width=3),
        (2, 2),
    ),
}


def seen(make, row, n_passes=5):
    """Return a network that has seen rows, and these with rows beyond them."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    net, X = make().train(), rng.normal(size=(60, *row))
    with torch.no_grad():
        for _ in range(n_passes):
            net(torch.from_numpy(X).float())
    return net, X, np.concatenate([X, 3 * rng.normal(size=(40, *row))])


def outputs(net, rows):
    """Return the network's outputs in double precision and evaluation mode."""
    result = in_double_precision(net)(torch.from_numpy(rows))
    leaves = tree_leaves(result, is_leaf=lambda leaf: isinstance(leaf, QuantTensor))
    return [getattr(leaf, "value", leaf).detach().numpy() for leaf in leaves]


def leaves_of(found):
    return (
        list(found.values()) if isinstance(found, dict) else [*found] if isinstance(found, tuple) else [found]
    )


@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_equal_brevitas(name):
    if name in ("sums", "metadata") and Version(brevitas.__version__) < Version("0.12.1"):
        pytest.skip("Brevitas does not count in double precision")
    net, X, rows = seen(*NETWORKS[name])
    module = quantize_brevitas_qat_model(net, X)
    found, exact = leaves_of(module.forward(rows)), outputs(net, rows)
    assert len(found) == len(exact)
    for ours, theirs in zip(found, exact, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9)


def test_the_entry_for_torch_takes_brevitas_networks_and_the_other_way_round_it_is_named():
    net, X, rows = seen(quantized_biases, (4,))
    module = quantize_torch_model(net, X)
    np.testing.assert_allclose(module.forward(rows), outputs(net, rows)[0], rtol=0, atol=1e-9)
    with pytest.raises(ValueError, match=r"Linear has no layer.*Brevitas; compile_torch_model"):
        quantize_brevitas_qat_model(nn.Linear(4, 2), X)


def test_power_of_two_scales_stay_cheap_with_quantized_biases():
    """Then sums are often halfway between two integers, which are rounded to the even one."""

    def make():
        two = {"weight_quant": Int8WeightPerTensorFixedPoint, "weight_bit_width": 4, "bias_quant": Int32Bias}
        fixed = {"act_quant": value_quantizers.Int8ActPerTensorFixedPoint}
        unsigned = {"act_quant": value_quantizers.Uint8ActPerTensorFixedPoint}
        return nn.Sequential(
            identity(4, **fixed),
            qnn.QuantLinear(10, 8, True, **two),
            qnn.QuantReLU(bit_width=3, **WITH, **unsigned),
            qnn.QuantLinear(8, 3, True, **two),
        )

    net, X, rows = seen(make, (10,))
    module = quantize_brevitas_qat_model(net, X)
    np.testing.assert_allclose(module.forward(rows), outputs(net, rows)[0], rtol=0, atol=1e-9)
    assert "Modulo" in [type(value.op).__name__ for value in module.program_.values]


def test_what_a_network_does_not_quantize_is_quantized_after_training_if_bits_are_given():
    """A float layer in the middle and one at the end; the integers before them are the network's own."""
    torch.manual_seed(0)
    net = nn.Sequential(
        identity(), linear(4, 6), relu(), nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 2), nn.Sigmoid()
    )
    unpacked = Written(lambda self, x: self.rest(self.first(x).value), first=net[:3], rest=net[3:])
    X = np.random.default_rng(0).normal(size=(300, 4))
    unpacked(torch.from_numpy(X).float())
    with pytest.raises(ValueError, match=r"weights of 'rest.3'.*n_bits=…"):
        quantize_brevitas_qat_model(unpacked, X)
    (exact,) = outputs(unpacked, X)
    errors = []
    for n_bits in (3, 5):
        module = quantize_brevitas_qat_model(unpacked, X, n_bits=n_bits)
        errors.append(np.abs(module.forward(X) - exact).max())
    assert errors[1] < min(errors[0], 0.05)
    only_hidden, X, rows = seen(lambda: nn.Sequential(net[0], net[1], net[2], linear(6, 2)), (4,))
    module = quantize_brevitas_qat_model(only_hidden, X, n_bits=2)
    np.testing.assert_allclose(module.forward(rows), outputs(only_hidden, rows)[0], rtol=0, atol=1e-9)
