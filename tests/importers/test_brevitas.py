"""Brevitas networks: the program computes the integers that the network has in double precision."""

import brevitas.nn as qnn
import numpy as np
import pytest
import torch
from brevitas.core.bit_width import BitWidthImplType
from brevitas.core.quant import QuantType
from brevitas.core.restrict_val import FloatToIntImplType, RestrictValueType
from brevitas.core.scaling import ScalingImplType
from brevitas.core.zero_point import ZeroZeroPoint
from brevitas.inject import ExtendedInjector
from brevitas.nn.quant_layer import QuantNonLinearActLayer
from brevitas.quant import (
    Int8ActPerTensorFixedPoint,
    Int8ActPerTensorFloat,
    Int8WeightPerChannelFloat,
    Int8WeightPerTensorFixedPoint,
    Int32Bias,
    ShiftedUint8ActPerTensorFloat,
    ShiftedUint8WeightPerTensorFloat,
    Uint8ActPerTensorFixedPoint,
)
from brevitas.quant.binary import SignedBinaryActPerTensorConst, SignedBinaryWeightPerTensorConst
from brevitas.quant.scaled_int import (
    Int8AccumulatorAwareWeightQuant,
    Int8AccumulatorAwareZeroCenterWeightQuant,
)
from brevitas.quant.solver import ActQuantSolver, WeightQuantSolver
from brevitas.quant.ternary import SignedTernaryWeightPerTensorConst
from dependencies import value
from torch import nn
from torch.nn.utils import prune

from skfhe.exceptions import UnsupportedOperatorError
from skfhe.importers import quantize_brevitas_qat_model
from skfhe.importers._torch.brevitas import capturable
from skfhe.importers._torch.reader import in_double_precision, read_torch
from skfhe.network._emitter import Emitter
from skfhe.network._lowering import lower_network
from skfhe.network._schemes.trained import Trained
from skfhe.program import ops, trace
from tests.importers.torch_examples import Function


class ConstantQuant(ExtendedInjector):
    """Quantizers configured by hand, as in the step-by-step guides: constant scales, narrow signed ranges."""

    bit_width_impl_type = BitWidthImplType.CONST
    scaling_impl_type = ScalingImplType.CONST
    restrict_scaling_type = RestrictValueType.FP
    zero_point_impl = ZeroZeroPoint
    float_to_int_impl_type = FloatToIntImplType.ROUND
    scaling_per_output_channel = False
    narrow_range = True
    signed = True

    @value
    def quant_type(bit_width):
        if bit_width is None:
            return QuantType.FP
        return QuantType.BINARY if bit_width == 1 else QuantType.INT


class ConstantWeightQuant(ConstantQuant, WeightQuantSolver):
    scaling_const = 1.0


class ConstantActQuant(ConstantQuant, ActQuantSolver):
    min_val = -1.0
    max_val = 1.0


class Configured(nn.Module):
    """The guides' network: ReLU between a layer and a signed quantizer, biases in float, pruned weights."""

    def __init__(self, n_hidden=20, n_bits=3):
        super().__init__()
        weights = {"weight_quant": ConstantWeightQuant, "weight_bit_width": n_bits, "bias_quant": None}
        self.quant_inp = qnn.QuantIdentity(act_quant=ConstantActQuant, bit_width=n_bits)
        self.fc1 = qnn.QuantLinear(10, n_hidden, True, **weights)
        self.q1 = qnn.QuantIdentity(act_quant=ConstantActQuant, bit_width=n_bits, return_quant_tensor=True)
        self.fc2 = qnn.QuantLinear(n_hidden, n_hidden, True, **weights)
        self.q2 = qnn.QuantIdentity(act_quant=ConstantActQuant, bit_width=n_bits, return_quant_tensor=True)
        self.fc3 = qnn.QuantLinear(n_hidden, 2, True, **weights)
        for layer in (self.fc1, self.fc2, self.fc3):
            nn.init.uniform_(layer.weight, -1, 1)
            prune.l1_unstructured(layer, "weight", amount=0.5)

    def forward(self, x):
        x = self.q1(torch.relu(self.fc1(self.quant_inp(x))))
        return self.fc3(self.q2(torch.relu(self.fc2(x))))


class Residual(nn.Module):
    """A sum of two values that share a quantizer, or have one each."""

    def __init__(self, shared):
        super().__init__()
        self.first = qnn.QuantIdentity(bit_width=3)
        self.second = self.first if shared else qnn.QuantIdentity(bit_width=3)
        self.inner = qnn.QuantLinear(10, 10, True, weight_bit_width=2)
        self.third = qnn.QuantReLU(bit_width=3)
        self.outer = qnn.QuantLinear(10, 2, True, weight_bit_width=3)

    def forward(self, x):
        x = self.first(x)
        return self.outer(self.third(x + self.second(torch.relu(self.inner(x)))))


class BrevitasSum(nn.Module):
    """Brevitas' own sum, which quantizes its arguments."""

    def __init__(self):
        super().__init__()
        self.first = qnn.QuantIdentity(bit_width=3, return_quant_tensor=True)
        self.inner = qnn.QuantLinear(10, 10, True, weight_bit_width=3)
        self.sum = qnn.QuantEltwiseAdd(
            input_quant=Int8ActPerTensorFloat,
            input_bit_width=3,
            output_quant=Int8ActPerTensorFloat,
            output_bit_width=3,
            return_quant_tensor=True,
        )
        self.outer = qnn.QuantLinear(10, 2, True, weight_bit_width=3)

    def forward(self, x):
        x = self.first(x)
        return self.outer(self.sum(x, torch.relu(self.inner(x))))


class Scaled(nn.Module):
    """An input that is shifted and scaled in float before its quantizer."""

    def __init__(self):
        super().__init__()
        self.quantizer = qnn.QuantIdentity(bit_width=3)
        self.layer = qnn.QuantLinear(10, 3, True, weight_bit_width=3)

    def forward(self, x):
        return self.layer(self.quantizer((x - 0.3) * 2.5))


def mlp(weights, first=None, hidden=None, last=None, n_weight_bits=3):
    """Return two linear layers with the given quantizers."""
    return nn.Sequential(
        first or qnn.QuantIdentity(bit_width=4, return_quant_tensor=True),
        qnn.QuantLinear(10, 8, True, weight_bit_width=n_weight_bits, **weights),
        nn.BatchNorm1d(8),
        hidden or qnn.QuantReLU(bit_width=3, return_quant_tensor=True),
        qnn.QuantLinear(8, 3, True, weight_bit_width=n_weight_bits, **(last or weights)),
    )


def conv2d():
    return nn.Sequential(
        qnn.QuantIdentity(bit_width=3),
        qnn.QuantConv2d(2, 4, 3, padding=1, stride=2, weight_bit_width=3, bias=True),
        nn.BatchNorm2d(4),
        qnn.QuantReLU(bit_width=2),
        qnn.QuantConv2d(4, 4, 2, groups=2, weight_bit_width=2, weight_quant=Int8WeightPerChannelFloat),
        qnn.QuantTanh(bit_width=3),
        nn.MaxPool2d(2),
        nn.Flatten(),
        qnn.QuantLinear(4, 3, True, weight_bit_width=3),
    )


def conv1d():
    return nn.Sequential(
        qnn.QuantIdentity(bit_width=3),
        qnn.QuantConv1d(2, 4, 3, padding=1, stride=2, weight_bit_width=3),
        nn.BatchNorm1d(4),
        qnn.QuantReLU(bit_width=3),
        qnn.QuantConv1d(4, 4, 3, groups=2, dilation=2, weight_bit_width=3),
        qnn.QuantSigmoid(bit_width=3),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        qnn.QuantLinear(4, 2, True, weight_bit_width=3),
    )


POWER_OF_TWO = {"weight_quant": Int8WeightPerTensorFixedPoint}
NETWORKS = {
    "configured by hand": (Configured, (10,)),
    "per tensor": (lambda: mlp({}), (10,)),
    "per channel": (lambda: mlp({"weight_quant": Int8WeightPerChannelFloat}), (10,)),
    "power of two": (
        lambda: mlp(
            POWER_OF_TWO,
            qnn.QuantIdentity(bit_width=4, act_quant=Int8ActPerTensorFixedPoint),
            qnn.QuantReLU(bit_width=3, act_quant=Uint8ActPerTensorFixedPoint),
        ),
        (10,),
    ),
    "zero points": (
        lambda: mlp(
            {"weight_quant": ShiftedUint8WeightPerTensorFloat},
            qnn.QuantIdentity(bit_width=4, act_quant=ShiftedUint8ActPerTensorFloat),
            qnn.QuantIdentity(bit_width=3, act_quant=ShiftedUint8ActPerTensorFloat),
        ),
        (10,),
    ),
    "quantized bias": (lambda: mlp({"bias_quant": Int32Bias}), (10,)),
    "bounded accumulators": (
        lambda: mlp(
            {"weight_quant": Int8AccumulatorAwareWeightQuant, "weight_accumulator_bit_width": 10},
            n_weight_bits=4,
        ),
        (10,),
    ),
    "bounded accumulators, centred": (
        lambda: mlp(
            {"weight_quant": Int8AccumulatorAwareZeroCenterWeightQuant, "weight_accumulator_bit_width": 10},
            n_weight_bits=4,
        ),
        (10,),
    ),
    "binary and ternary": (
        lambda: mlp(
            {"weight_quant": SignedBinaryWeightPerTensorConst, "weight_scaling_init": 0.1},
            qnn.QuantIdentity(act_quant=SignedBinaryActPerTensorConst, max_val=1.0),
            qnn.QuantIdentity(act_quant=SignedBinaryActPerTensorConst, max_val=1.0),
            {
                "weight_quant": SignedTernaryWeightPerTensorConst,
                "weight_scaling_init": 0.1,
                "weight_threshold": 0.5,
            },
        ),
        (10,),
    ),
    "hard tanh": (
        lambda: mlp(
            {},
            qnn.QuantHardTanh(bit_width=3, min_val=-2, max_val=2),
            qnn.QuantHardTanh(bit_width=3, min_val=-1, max_val=1),
        ),
        (10,),
    ),
    "quantizers inside layers": (
        lambda: nn.Sequential(
            qnn.QuantLinear(
                10,
                8,
                True,
                weight_bit_width=3,
                input_quant=Int8ActPerTensorFloat,
                input_bit_width=4,
                output_quant=Int8ActPerTensorFloat,
                output_bit_width=4,
            ),
            nn.ReLU(),
            qnn.QuantIdentity(bit_width=3),
            qnn.QuantLinear(8, 3, True, weight_bit_width=3),
        ),
        (10,),
    ),
    "normalized input": (
        lambda: nn.Sequential(
            nn.BatchNorm1d(10), qnn.QuantIdentity(bit_width=3), qnn.QuantLinear(10, 3, True)
        ),
        (10,),
    ),
    "scaled input": (Scaled, (10,)),
    "float activation at the end": (lambda: nn.Sequential(mlp({}), nn.Sigmoid()), (10,)),
    "residual, one quantizer": (lambda: Residual(shared=True), (10,)),
    "residual, two quantizers": (lambda: Residual(shared=False), (10,)),
    "Brevitas sum": (BrevitasSum, (10,)),
    "activation without a quantizer": (
        lambda: mlp({}, hidden=nn.Sequential(qnn.QuantReLU(act_quant=None), qnn.QuantIdentity(bit_width=3))),
        (10,),
    ),
    "input that is moved": (lambda: nn.Sequential(nn.Flatten(), nn.ZeroPad1d((0, 2)), mlp({})), (2, 4)),
    "conv2d": (conv2d, (2, 8, 8)),
    "conv1d": (conv1d, (2, 16)),
}


def trained(name):
    """Return a network whose learned scales and statistics have seen data, and rows beyond that data."""
    make, row = NETWORKS[name]
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    net = make().train()
    X = rng.normal(size=(200, *row))
    with torch.no_grad():
        for _ in range(20):
            net(torch.from_numpy(X).float())
    return net, X, np.concatenate([X, rng.normal(scale=5, size=(200, *row))])


def floats(result):
    return getattr(result, "value", result).detach().numpy()


@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_equal_brevitas(name):
    net, X, rows = trained(name)
    module = quantize_brevitas_qat_model(net, X)
    exact = floats(in_double_precision(net)(torch.from_numpy(rows)))
    np.testing.assert_allclose(module.forward(rows), exact, rtol=0, atol=1e-9)
    assert module.program_.range_source == "proven"


@pytest.mark.parametrize(
    "name", ["configured by hand", "per channel", "power of two", "quantized bias", "conv1d"]
)
def test_every_quantizer_s_integers_equal_brevitas(name):
    """Quantizer by quantizer, before passes rewrite the program: lookups stand in the order of quantizers."""
    net, X, rows = trained(name)
    double = in_double_precision(net)
    expected = []
    for layer in double.modules():
        if isinstance(layer, QuantNonLinearActLayer):
            layer.act_quant.register_forward_hook(
                lambda _, __, q: expected.append((q.value / q.scale + q.zero_point).round().numpy())
            )
    calibration = [torch.from_numpy(X)]
    plain, quantizers = capturable(in_double_precision(net), calibration)
    scheme = Trained(Emitter("proven", 0.0, None), None)
    lowered = lower_network(read_torch(plain, calibration, quantizers, in_double_precision(net)), scheme)
    ((_, quantizer),) = lowered.quantizers
    values = trace(lowered.program, quantizer.quantize(rows))
    found = [values[lowered.program.inputs[0]], *(values[position] for position in lowered.program.lookups)]
    with torch.no_grad():
        double(torch.from_numpy(rows))
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours.reshape(theirs.shape), theirs)


def test_scales_that_put_half_of_the_values_on_ties():
    """Multiples of 0.1 times multiples of 0.1, rounded to multiples of 0.2: every odd sum is a tie."""
    torch.manual_seed(0)
    constant = {"scaling_impl_type": "const"}
    net = nn.Sequential(
        qnn.QuantIdentity(bit_width=4, scaling_init=0.7, **constant),
        qnn.QuantLinear(
            10, 10, False, weight_bit_width=4, weight_scaling_impl_type="const", weight_scaling_init=0.7
        ),
        qnn.QuantReLU(bit_width=4, scaling_init=3.0, **constant),
        qnn.QuantLinear(10, 2, False, weight_bit_width=3),
    )
    nn.init.uniform_(net[1].weight, -0.7, 0.7)
    X = np.random.default_rng(0).normal(size=(1000, 10))
    exact = floats(in_double_precision(net)(torch.from_numpy(X)))
    np.testing.assert_allclose(quantize_brevitas_qat_model(net, X).forward(X), exact, atol=1e-9)


def test_power_of_two_scales_become_rounding():
    """Scales that are powers of two make a requantization a shift: its table is constant on cells."""
    torch.manual_seed(0)
    X = np.random.default_rng(0).normal(size=(300, 10))
    net = nn.Sequential(
        qnn.QuantIdentity(bit_width=4, act_quant=Int8ActPerTensorFixedPoint),
        qnn.QuantLinear(10, 8, True, weight_bit_width=3, **POWER_OF_TWO),
        qnn.QuantReLU(bit_width=3, act_quant=Uint8ActPerTensorFixedPoint),
        qnn.QuantLinear(8, 3, True, weight_bit_width=3),
    )
    net(torch.from_numpy(X).float())
    module = quantize_brevitas_qat_model(net, X)
    np.testing.assert_allclose(
        module.forward(X), floats(in_double_precision(net)(torch.from_numpy(X))), atol=1e-9
    )
    program = module.program_
    assert any(isinstance(v.op, ops.Round | ops.Truncate) for v in program.values)


def test_accumulator_aware_weights_keep_their_bound():
    """A signed accumulator of 10 bits that Brevitas promises is one of at most 10 bits here."""
    for name in ("bounded accumulators", "bounded accumulators, centred"):
        net, X, _ = trained(name)
        module = quantize_brevitas_qat_model(net, X)
        assert max(*module.accumulator_bits_, *module.output_bits_) <= 10


def test_pruned_weights_stay_zero_and_the_network_unchanged():
    net, X, _ = trained("configured by hand")
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    module = quantize_brevitas_qat_model(net, X)
    weights = module.program_.values[1].op.weight
    assert np.mean(weights == 0) >= 0.5
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, before[name])
    assert net.fc1.training
    assert prune.is_pruned(net)


def test_what_is_not_quantized_is_refused_by_name():
    X = np.random.default_rng(0).normal(size=(50, 10))
    no_input = nn.Sequential(qnn.QuantLinear(10, 2, True, weight_bit_width=3))
    with pytest.raises(ValueError, match=r"input.*without having been quantized.*QuantIdentity"):
        quantize_brevitas_qat_model(no_input, X)
    assert quantize_brevitas_qat_model(no_input, X, n_bits=5).encoder_.quantizers[0][1].n_bits == 5
    no_hidden = nn.Sequential(
        qnn.QuantIdentity(bit_width=3),
        qnn.QuantLinear(10, 4, True, weight_bit_width=3),
        nn.Sigmoid(),
        qnn.QuantLinear(4, 2, True, weight_bit_width=3),
    )
    with pytest.raises(ValueError, match=r"'3' reach.*without having been quantized"):
        quantize_brevitas_qat_model(no_hidden, X)
    float_weights = nn.Sequential(qnn.QuantIdentity(bit_width=3), nn.Linear(10, 2))
    with pytest.raises(ValueError, match=r"weights of '1' lie on no common grid"):
        quantize_brevitas_qat_model(float_weights, X)


def test_an_input_whose_elements_are_treated_differently_is_refused():
    """Its integers would be those of one quantizer, and the network has several."""
    factors = torch.arange(1.0, 11.0)
    net = nn.Sequential(
        Function(lambda x: x.exp() * factors), qnn.QuantIdentity(bit_width=3), qnn.QuantLinear(10, 2, True)
    )
    with pytest.raises(ValueError, match="elements of the input 'input' are treated differently"):
        quantize_brevitas_qat_model(net, np.random.default_rng(0).normal(size=(50, 10)))


def test_quantizers_without_integers_are_named():
    minifloat = pytest.importorskip("brevitas.quant.float").Fp8e4m3ActPerTensorFloat
    net = nn.Sequential(qnn.QuantIdentity(act_quant=minifloat), qnn.QuantLinear(4, 2, True))
    with pytest.raises(UnsupportedOperatorError, match=r"'0'.*no integers of one scale"):
        quantize_brevitas_qat_model(net, np.zeros((5, 4)))
