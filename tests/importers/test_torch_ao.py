"""Networks of torch.ao.quantization: the program computes the integers of prepared and of converted ones."""

import copy
import warnings

import numpy as np
import pytest
import torch
import torch.ao.quantization as ao
from torch import nn
from torch.ao.nn.quantized import FloatFunctional
from torch.ao.quantization import quantize_fx

from skfhe import compile_torch_model
from skfhe.exceptions import UnsupportedOperatorError
from skfhe.importers import quantize_torch_model

pytestmark = pytest.mark.filterwarnings("ignore")


def few_bits(kind, per_channel, bits=3):
    """Configure quantizers of 3 bits for values and of 2 for weights."""
    observer = ao.MovingAveragePerChannelMinMaxObserver if per_channel else ao.MovingAverageMinMaxObserver
    scheme = torch.per_channel_symmetric if per_channel else torch.per_tensor_symmetric
    return ao.QConfig(
        activation=kind.with_args(
            observer=ao.MovingAverageMinMaxObserver,
            quant_min=0,
            quant_max=(1 << bits) - 1,
            dtype=torch.quint8,
        ),
        weight=kind.with_args(
            observer=observer, quant_min=-2, quant_max=1, dtype=torch.qint8, qscheme=scheme
        ),
    )


CONFIGURED = {
    "fused": few_bits(ao.FusedMovingAvgObsFakeQuantize, False),
    "apart": few_bits(ao.FakeQuantize, True),
}


class Eager(nn.Module):
    """Stubs around fused layers, and a sum that is quantized."""

    def __init__(self):
        super().__init__()
        self.enter, self.leave = ao.QuantStub(), ao.DeQuantStub()
        self.conv, self.norm, self.relu = nn.Conv2d(1, 2, 2), nn.BatchNorm2d(2), nn.ReLU()
        self.inner, self.inner_relu = nn.Linear(8, 3), nn.ReLU()
        self.outer = nn.Linear(3, 3)
        self.sum = FloatFunctional()

    def forward(self, x):
        x = self.relu(self.norm(self.conv(self.enter(x))))
        x = self.inner_relu(self.inner(torch.flatten(x, 1)))
        return self.leave(self.sum.add(x, self.outer(x)))


class Traced(nn.Module):
    """What FX rewrites itself: functions, operators, and concatenation."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 2, 2), nn.BatchNorm2d(2)
        self.inner, self.outer = nn.Linear(8, 3), nn.Linear(3, 3)

    def forward(self, x):
        x = torch.relu(self.norm(self.conv(x)))
        x = nn.functional.relu(self.inner(torch.flatten(x, 1)))
        y = self.outer(x)
        return torch.cat([x + y, torch.sigmoid(y)], 1)


def prepared(mode, configuration, X):
    torch.manual_seed(0)
    if mode == "eager":
        net = ao.fuse_modules_qat(Eager().train(), [["conv", "norm", "relu"], ["inner", "inner_relu"]])
        net.qconfig = configuration
        net = ao.prepare_qat(net)
    else:
        mapping = ao.QConfigMapping().set_global(configuration)
        fixed = ao.get_default_qat_qconfig_mapping("x86").object_type_qconfigs[torch.sigmoid]
        net = quantize_fx.prepare_qat_fx(
            Traced().train(), mapping.set_object_type(torch.sigmoid, fixed), (torch.from_numpy(X).float(),)
        )
    with torch.no_grad():
        for _ in range(3):
            net(torch.from_numpy(X).float())
    return net.eval()


@pytest.fixture(scope="module")
def X():
    return np.random.default_rng(0).normal(size=(60, 1, 3, 3))


@pytest.mark.parametrize("configuration", CONFIGURED)
@pytest.mark.parametrize("mode", ["eager", "fx"])
def test_outputs_equal_those_of_prepared_and_converted_networks(mode, configuration, X):
    """Also beyond the rows that ranges were observed on, where all quantizers clip."""
    net = prepared(mode, CONFIGURED[configuration], X)
    convert = ao.convert if mode == "eager" else quantize_fx.convert_fx
    converted = convert(copy.deepcopy(net))
    state = {name: value.clone() for name, value in net.state_dict().items()}
    rows = np.concatenate([X, 4 * X[:20]])
    for each in (net, converted):
        module = quantize_torch_model(each, X, import_qat=True)
        frozen = copy.deepcopy(each).apply(ao.disable_observer)
        exact = frozen(torch.from_numpy(rows).float()).detach().numpy()
        np.testing.assert_allclose(module.forward(rows), exact, rtol=0, atol=1e-5)
    for name, value in net.state_dict().items():
        assert torch.equal(value, state[name])


def test_a_prepared_network_encrypted():
    """Quantizers of 2 bits leave lookups of at most 6."""
    torch.manual_seed(0)
    X = np.random.default_rng(0).normal(size=(50, 3))
    net = nn.Sequential(ao.QuantStub(), nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 2), ao.DeQuantStub())
    net.qconfig = few_bits(ao.FusedMovingAvgObsFakeQuantize, False, bits=2)
    net = ao.prepare_qat(net.train())
    with torch.no_grad():
        net(torch.from_numpy(X).float())
    module = compile_torch_model(net.eval(), X, import_qat=True)
    assert max(module.accumulator_bits_) <= 6
    exact = net.apply(ao.disable_observer)(torch.from_numpy(X[:4]).float()).detach().numpy()
    np.testing.assert_allclose(module.forward(X[:4], fhe="execute"), exact, rtol=0, atol=1e-5)


def test_what_torch_does_to_quantized_tensors():
    """Pools keep the format, averages are rounded to it, sigmoid has one of its own."""

    class Pooled(nn.Module):
        def __init__(self):
            super().__init__()
            self.enter = torch.ao.nn.quantized.Quantize(0.3, 4, torch.quint8)
            self.leave = torch.ao.nn.quantized.DeQuantize()

        def forward(self, x):
            x = self.enter(x)
            return self.leave(nn.functional.avg_pool2d(x, 2)), torch.sigmoid(x.flatten(1)).dequantize()

    X = np.random.default_rng(0).normal(size=(40, 1, 2, 2))
    module = quantize_torch_model(Pooled(), X, import_qat=True)
    for found, exact in zip(module.forward(X), Pooled()(torch.from_numpy(X).float()), strict=True):
        np.testing.assert_allclose(found, exact.numpy(), rtol=0, atol=1e-5)


def test_kernels_without_counterpart_are_named():
    class Normalized(nn.Module):
        def forward(self, x):
            x = torch.quantize_per_tensor(x, 0.1, 0, torch.qint8)
            return torch.ops.quantized.layer_norm(x, [3], None, None, 1e-5, 0.1, 0).dequantize()

    net = nn.Sequential(Normalized(), torch.ao.nn.quantized.DeQuantize())
    with warnings.catch_warnings(), pytest.raises(UnsupportedOperatorError, match="quantized::layer_norm"):
        quantize_torch_model(net, np.zeros((5, 3)), import_qat=True)
