"""Imported networks read accumulators by narrower lookups where that is cheaper, and give the same floats."""

from unittest import mock

import numpy as np
import pytest
import torch
from torch import nn

from skfhe.importers import _lowered, quantize_torch_model
from skfhe.importers._entries import compile_torch_model
from skfhe.network import _emitter


def relu_network(n_inputs=8, n_hidden=3, seed=0):
    """Return a network of one hidden layer with weights of -1, 0 and 1, and rows for it."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(n_inputs, n_hidden), nn.ReLU(), nn.Linear(n_hidden, 2))
    with torch.no_grad():
        net[0].weight.copy_(torch.randint(-1, 2, (n_hidden, n_inputs)).float())
    return net, np.random.default_rng(seed).random((300, n_inputs))


def as_they_are(net, X, n_bits, **options):
    """Quantize with every lookup as it is, in the same intervals."""
    with (
        mock.patch.object(_lowered, "narrow_lookups", lambda p, _: (p, (0,) * len(p.outputs))),
        mock.patch.object(_lowered, "_counts_modulo", return_value=True),
    ):
        return quantize_torch_model(net, X, n_bits, **options)


def is_narrow(module):
    return any(type(value.op).__name__ == "Modulo" for value in module.program_.values)


@pytest.mark.parametrize(("op_inputs", "model_outputs"), [(4, False), (2, True)])
@pytest.mark.parametrize("rounding", [None, 5, 6])
def test_floats_are_those_of_lookups_as_they_are(rounding, op_inputs, model_outputs):
    """Decoders undo the multiples exactly; integers of an output quantizer are none."""
    net, X = relu_network()
    if model_outputs:
        net.append(nn.Sigmoid())
    n_bits = {"op_inputs": op_inputs, "op_weights": 2, **({"model_outputs": 4} if model_outputs else {})}
    options = {"rounding_threshold_bits": rounding and {"n_bits": rounding, "method": "approximate"}}
    before = as_they_are(net, X, n_bits, **options)
    narrow = quantize_torch_model(net, X, n_bits, **options)
    if rounding and not is_narrow(narrow):  # its intervals are wider then, and others rounded to
        return
    assert is_narrow(narrow)
    assert (narrow.cost_.complexity < before.cost_.complexity) == is_narrow(narrow)
    np.testing.assert_array_equal(narrow.forward(X), before.forward(X))
    q, one = (m.quantized_forward(m.quantize_input(X)) for m in (narrow, before))
    times = int(np.abs(q).max() // np.abs(one).max())
    assert times == 1 if model_outputs else times in (1, 2, 4, 8)
    np.testing.assert_array_equal(q, times * one)


def test_a_table_decodes_multiples():
    """An output that is no affine function of an accumulator is decoded by a table, from multiples, too."""
    net, X = relu_network()
    net.append(nn.Sigmoid())
    n_bits = {"op_inputs": 3, "op_weights": 2}
    before, narrow = as_they_are(net, X, n_bits), quantize_torch_model(net, X, n_bits)
    assert is_narrow(narrow)
    np.testing.assert_array_equal(narrow.forward(X), before.forward(X))


def test_a_narrow_network_runs_encrypted():
    net, X = relu_network(n_inputs=6, n_hidden=2)
    module = compile_torch_model(net, X, {"op_inputs": 2, "op_weights": 2})
    assert is_narrow(module)
    assert max(module.accumulator_bits_) <= 4
    np.testing.assert_array_equal(module.forward(X[:8], fhe="execute"), module.forward(X[:8]))


def test_intervals_are_as_wide_as_their_bits_hold_where_nothing_is_narrowed():
    """Cells are left free for narrower lookups alone: exact rounding and dear outputs have none."""
    net, X = relu_network()
    for rounding in ({"n_bits": 4, "method": "exact"}, None):
        with mock.patch.object(_lowered, "narrow_lookups", lambda p, _: (p, (0,) * len(p.outputs))):
            module = quantize_torch_model(net, X, 4, rounding_threshold_bits=rounding)
            with mock.patch.object(_emitter, "_is_cheaper", return_value=False):
                never_free = quantize_torch_model(net, X, 4, rounding_threshold_bits=rounding)
        assert str(module.program_) == str(never_free.program_)


def test_prices_at_the_error_rate_asked_for_decide():
    """They differ: at 5 % one lookup of 5 bits is cheaper than one of 4 and one of 3."""
    net, X = relu_network(n_hidden=3)
    rates = []
    with mock.patch.object(
        _lowered, "narrow_lookups", side_effect=lambda p, rate: (rates.append(rate), (p, (0,)))[1]
    ):
        compile_torch_model(net, X, {"op_inputs": 2, "op_weights": 2}, p_error=0.05)
        quantize_torch_model(net, X, {"op_inputs": 2, "op_weights": 2})
    assert [rate and rate.p_error for rate in dict.fromkeys(rates)] == [0.05, None]


def test_a_report_names_each_of_the_lookups():
    """All lookups that stand for a layer's have its name, and their accumulator the bits of their circle."""
    net, X = relu_network()
    module = quantize_torch_model(net, X, {"op_inputs": 4, "op_weights": 2})
    rows = [row for row in module.report().rows if row.lookups]
    assert len(rows) == len(module.accumulator_bits_)
    assert len({row.layer for row in rows}) == 1
    assert [row.lookup_bits for row in rows] == module.accumulator_bits_
