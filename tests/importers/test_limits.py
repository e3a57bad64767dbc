"""A network too wide for lookups is evaluated in the clear and refused by name where it is compiled.

What the error advises helps.
"""

import brevitas.nn as qnn
import numpy as np
import pytest
import torch
from torch import nn

from skfhe.exceptions import CompilationError, UnsupportedOperatorError
from skfhe.importers import (
    compile_brevitas_qat_model,
    compile_onnx_model,
    compile_torch_model,
    quantize_brevitas_qat_model,
    quantize_onnx_model,
    quantize_torch_model,
)
from skfhe.network import _cells as cells
from tests.importers.onnx_examples import Example, node, normal
from tests.importers.torch_examples import Function

X = np.random.default_rng(0).normal(size=(100, 60))
ROUNDING_OF_SIX = "round accumulators before they are looked up, rounding_threshold_bits=6"


@pytest.fixture(scope="module")
def float_net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(60, 2), nn.Sigmoid(), nn.Linear(2, 1))


@pytest.fixture(scope="module")
def trained_net():
    torch.manual_seed(0)
    net = nn.Sequential(
        qnn.QuantIdentity(bit_width=8),
        qnn.QuantLinear(60, 2, bias=True, weight_bit_width=8),
        qnn.QuantReLU(bit_width=3),
        qnn.QuantLinear(2, 1, bias=True, weight_bit_width=3),
    )
    net.train()(torch.from_numpy(X).float())
    return net.eval()


def refused(quantize, *arguments, **options):
    with pytest.raises(CompilationError) as caught:
        quantize(*arguments, **options)
    return str(caught.value)


def test_float_networks_are_advised_to_round_or_to_take_fewer_bits(float_net):
    message = refused(compile_torch_model, float_net, X, n_bits=9, rounding_threshold_bits=None)
    assert message.startswith("the accumulator of '0' takes 20 bits, and a lookup reads at most 16; ")
    assert message.endswith(f"; {ROUNDING_OF_SIX}, or lower n_bits")
    wide = quantize_torch_model(float_net, X, n_bits=9, rounding_threshold_bits=None)
    assert wide.accumulator_bits_ == [20]
    wanted = float_net.double()(torch.from_numpy(X)).detach().numpy()
    assert np.abs(wide.forward(X) - wanted).max() <= 0.02 * np.ptp(wanted)
    message = refused(wide.compile)
    assert message.startswith("the lookup of '0' reads 20 bits, and the engine takes at most 16; ")
    assert message.endswith(f"; {ROUNDING_OF_SIX}, or lower n_bits")
    assert quantize_torch_model(float_net, X, n_bits=9, rounding_threshold_bits=6).cost_.lookups == {6: 2}
    assert quantize_torch_model(float_net, X, n_bits=6).accumulator_bits_ <= [16]


def test_too_little_rounding_is_advised_against(float_net):
    message = refused(compile_torch_model, float_net, X, n_bits=14, rounding_threshold_bits=17)
    assert message.endswith("; lower rounding_threshold_bits from 17 to 6, or lower n_bits")


def test_onnx_networks_are_advised_as_those_of_torch():
    weight = normal(60, 2)
    example = Example([node("MatMul", "x,w", "h"), node("Sigmoid", "h")], {"x": (60,)}, {"w": weight})
    options = {"op_inputs": 10, "model_outputs": 4}
    message = refused(compile_onnx_model, example.model(), X, n_bits=options, rounding_threshold_bits=None)
    assert message.endswith(f"; {ROUNDING_OF_SIX}, or lower n_bits")
    assert quantize_onnx_model(example.model(), X, options, rounding_threshold_bits=6).cost_.lookups == {6: 2}


def test_trained_networks_are_not_told_to_lower_n_bits(trained_net):
    """Their bit-widths are in the network."""
    message = refused(compile_brevitas_qat_model, trained_net, X)
    assert message.endswith(f"; {ROUNDING_OF_SIX}, or train the network with fewer bits")
    module = quantize_brevitas_qat_model(trained_net, X, rounding_threshold_bits=6)
    assert module.cost_.lookups == {6: 2}
    assert module.accumulator_bits_[0] > 16


def test_what_does_not_compile_is_advised_in_the_terms_of_the_call(float_net, trained_net):
    """Rounded to 6 bits, accumulators of 40 leave an encrypted run no room."""
    wide = quantize_torch_model(float_net, X, n_bits=16, rounding_threshold_bits=6)
    assert np.isfinite(wide.forward(X)).all()
    with pytest.raises(
        CompilationError, match=r"reads an accumulator of 3\d bits one by one, .*; lower n_bits$"
    ):
        wide.compile()
    assert quantize_torch_model(float_net, X, n_bits=8, rounding_threshold_bits=6).compile().complexity > 0
    trained = quantize_brevitas_qat_model(trained_net, X, rounding_threshold_bits=6)
    assert trained._advice == "train the network with fewer bits"


@pytest.mark.parametrize("method", ["exact", "approximate"])
def test_accumulators_of_any_width_are_evaluated_in_the_clear(float_net, method):
    """Their tables have as many cells as are left after rounding."""
    rounding = {"n_bits": 8, "method": method}
    module = quantize_torch_model(float_net, X, n_bits=16, rounding_threshold_bits=rounding)
    assert module.accumulator_bits_[0] > 30
    wanted = float_net.double()(torch.from_numpy(X)).detach().numpy()
    assert np.abs(module.forward(X) - wanted).max() <= 0.05 * np.ptp(wanted)
    for position in module.program_.lookups:
        assert module.program_.values[position].op.tables.size <= 2 * (2**8 + 1)


def test_maxima_of_wide_accumulators_are_refused_by_name():
    net = nn.Sequential(
        qnn.QuantIdentity(bit_width=8),
        qnn.QuantConv2d(1, 1, 4, bias=True, weight_bit_width=8),
        nn.MaxPool2d(2),
        qnn.QuantIdentity(bit_width=2),
    )
    images = X[:, :36].reshape(-1, 1, 6, 6)
    net.train()(torch.from_numpy(images).float())
    message = refused(compile_brevitas_qat_model, net.eval(), images, rounding_threshold_bits=6)
    assert message.startswith("the accumulator of '2' takes 19 bits, and a lookup reads at most 16; train")


def test_tables_of_their_own_for_each_element_have_a_bound(monkeypatch):
    """Elements that share a table take the cells of one."""
    monkeypatch.setattr(cells, "MAX_CELLS", 2**10)
    images = np.random.default_rng(0).uniform(0, 1, (50, 1, 8, 8))
    quantize_torch_model(nn.Sigmoid(), images, {"op_inputs": 8, "model_outputs": 3})
    slopes = torch.rand(8, 8)
    message = refused(
        quantize_torch_model,
        Function(lambda x: torch.sigmoid(slopes * x)),
        images,
        n_bits={"op_inputs": 8, "model_outputs": 3},
        rounding_threshold_bits=None,
    )
    assert "more than 1024 cells: 256 integers (8 bits) for each of its 64 elements" in message


def test_two_wide_values_are_advised_the_bits_that_fit():
    net = Function(lambda x: torch.pow(x[:, :2].abs() + 0.5, x[:, 2:4]))
    with pytest.raises(UnsupportedOperatorError, match=r"both reads 6 bits; use n_bits=3 instead"):
        quantize_torch_model(net, X[:, :4], n_bits=8, rounding_threshold_bits=6)
    quantize_torch_model(net, X[:, :4], n_bits=3, rounding_threshold_bits=6)


def test_n_bits_is_advised_for_inputs_that_it_quantizes(trained_net):
    """That is those that reach a layer as they are."""
    bare = nn.Sequential(*list(trained_net)[1:2])
    with pytest.raises(ValueError, match=r"quantized evenly; put .* first, or give n_bits to have"):
        quantize_brevitas_qat_model(bare, X)
    assert quantize_brevitas_qat_model(bare, X, n_bits=4).output_bits_
    changed = nn.Sequential(Function(torch.exp), *bare)
    for options in ({}, {"n_bits": 4}):
        with pytest.raises(
            ValueError, match=r"quantized evenly; put .* \(brevitas\.nn\.QuantIdentity\) first$"
        ):
            quantize_brevitas_qat_model(changed, X, **options)
