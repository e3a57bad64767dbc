"""A quantized module from floats to ciphertexts and back, and what it refuses."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from skfhe import compile_torch_model
from skfhe.circuit._engine import fhe
from skfhe.exceptions import AccumulatorOverflowError, CompilationError, NotCompiledError
from skfhe.importers import quantize_torch_model


class TwoInputs(nn.Module):
    """Two inputs of different shapes, two outputs."""

    def __init__(self):
        super().__init__()
        self.left = nn.Linear(3, 4)
        self.right = nn.Conv1d(1, 4, 3)

    def forward(self, a, b):
        h = torch.relu(self.left(a))
        g = self.right(b).mean(dim=2)
        return h + g, torch.cat([h, g], dim=1)


def test_encrypted_rows_equal_the_clear_integers(iris_module, iris):
    q = iris_module.quantize_input(iris[0][:9])
    clear = iris_module.quantized_forward(q)
    assert max(iris_module.cost_.lookups) <= 6
    np.testing.assert_array_equal(iris_module.quantized_forward(q, fhe="execute"), clear)
    np.testing.assert_array_equal(iris_module.quantized_forward(q, fhe="simulate"), clear)


def test_forward_is_its_three_steps(iris_module, iris):
    X = iris[0]
    q = iris_module.quantize_input(X)
    assert q.dtype == np.int64
    steps = iris_module.dequantize_output(iris_module.quantized_forward(q))
    np.testing.assert_array_equal(iris_module.forward(X), steps)
    assert steps.shape == (150, 3)


def test_two_bits_are_near_the_float_network(iris_module, iris_net, iris):
    X, y = iris
    assert np.mean(iris_module.forward(X).argmax(axis=1) == y) >= 0.9


@pytest.mark.parametrize(
    "rounding", [{"n_bits": 4, "method": "exact"}, {"n_bits": 4, "method": "approximate"}]
)
def test_rounded_lookups_run_encrypted(iris_net, iris, rounding):
    """Exact rounding computes the clear integers; approximate rounding may take a neighbouring cell."""
    X, _ = iris
    module = compile_torch_model(iris_net, X, n_bits=3, rounding_threshold_bits=rounding)
    assert max(module.cost_.lookups) <= 4 < max(module.accumulator_bits_)
    q = module.quantize_input(X[:4])
    clear, encrypted = module.quantized_forward(q), module.quantized_forward(q, fhe="execute")
    if rounding["method"] == "exact":
        np.testing.assert_array_equal(encrypted, clear)
    else:  # one step of each of the hidden values at most
        weights = next(v.op.weight for v in reversed(module.program_.values) if hasattr(v.op, "weight"))
        assert np.all(np.abs(encrypted - clear) <= np.abs(weights).sum(axis=0))


def test_several_inputs_and_outputs_run_encrypted():
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    A, B = rng.normal(size=(200, 3)), rng.normal(size=(200, 1, 6))
    net = TwoInputs()
    fine = quantize_torch_model(net, (A, B), n_bits=6)
    for ours, theirs in zip(
        fine.forward(A, B), net.double()(torch.from_numpy(A), torch.from_numpy(B)), strict=True
    ):
        assert np.sqrt(np.mean((ours - theirs.detach().numpy()) ** 2)) < 0.05 * theirs.std()
    module = compile_torch_model(net, (A, B), n_bits=2)
    assert max(module.cost_.lookups) <= 6
    q = module.quantize_input(A[:3], B[:3])
    assert [x.shape for x in q] == [(3, 3), (3, 1, 6)]
    for encrypted, clear in zip(
        module.quantized_forward(q, fhe="execute"), module.quantized_forward(*q), strict=True
    ):
        np.testing.assert_array_equal(encrypted, clear)


def test_a_compiled_module_survives_pickling(iris_module, iris):
    """It predicts encrypted without another compile, under keys of its own."""
    loaded = pickle.loads(pickle.dumps(iris_module))
    q = iris_module.quantize_input(iris[0][:2])
    np.testing.assert_array_equal(
        loaded.quantized_forward(q, fhe="execute"), iris_module.quantized_forward(q)
    )


def test_report_accounts_for_every_lookup(iris_module):
    report = iris_module.report()
    frame = report.to_frame()
    assert frame["lookups"].sum() == iris_module.cost_.n_lookups
    assert frame["cost_share"].sum() == pytest.approx(1)
    assert [b for b, n in zip(frame["accumulator_bits"], frame["lookups"], strict=True) if n] == (
        iris_module.accumulator_bits_
    )
    assert set(frame["range_source"]) <= {"proven", "calibrated"}
    assert list(frame["layer"]) == ["0", "2"]
    text = str(report).splitlines()
    assert len(text) == 1 + len(frame) + len(report.advice)
    assert "accumulator bits" in text[0]


@pytest.mark.parametrize(
    "kind", [np.float32, np.float64, np.int16, torch.float32, torch.bfloat16, torch.uint8, "frame"]
)
def test_rows_of_any_real_dtype(iris_module, kind):
    rows = np.array([[0, 1, 2, 1], [1, 0, 0, 2]])
    expected = iris_module.forward(rows.astype(np.float64))
    if kind == "frame":
        given = pd.DataFrame(rows)
    elif isinstance(kind, torch.dtype):
        given = torch.from_numpy(rows).to(kind)
    else:
        given = rows.astype(kind)
    np.testing.assert_array_equal(iris_module.forward(given), expected)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ((np.zeros((2, 5)),), r"shape \(n_rows, 4\), got \(2, 5\)"),
        ((np.zeros(4),), r"shape \(n_rows, 4\), got \(4,\)"),
        ((np.zeros((2, 4)), np.zeros((2, 4))), r"takes 1 input\(s\), got 2"),
        ((np.full((1, 4), np.nan),), "NaN or infinity"),
        (([["a", "b", "c", "d"]],), "must hold real numbers"),
        ((np.zeros((1, 4), dtype=complex),), "must hold real numbers"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(iris_module, given, reason):
    with pytest.raises(ValueError, match=reason):
        iris_module.forward(*given)


def test_floats_are_not_taken_for_integers(iris_module, iris):
    with pytest.raises(ValueError, match=r"takes integers.*quantize_input"):
        iris_module.quantized_forward(iris[0])


def test_modes_need_their_circuit(iris_net, iris):
    module = quantize_torch_model(iris_net, iris[0], n_bits=2)
    assert "not compiled" in repr(module)
    with pytest.raises(NotCompiledError, match="compile"):
        module.forward(iris[0], fhe="execute")
    with pytest.raises(ValueError, match="fhe must be one of"):
        module.forward(iris[0], fhe="yes")


@pytest.mark.parametrize(
    ("inputset", "reason"),
    [
        (np.zeros((0, 4)), "no rows"),
        ((), "empty tuple"),
        ([], "must have|no rows|capture"),
        (np.full((3, 4), np.inf), "NaN or infinity"),
        (np.float64(3), "rows as its first axis"),
        ((np.zeros((3, 4)), np.zeros((2, 4))), "same number of rows"),
        (np.zeros((3, 5)), "could not capture"),
        ((np.zeros((3, 4)), np.zeros((3, 4))), "could not capture"),
        ([["a"] * 4], "real numbers"),
    ],
)
def test_inputsets_that_do_not_fit_are_refused(iris_net, inputset, reason):
    with pytest.raises(ValueError, match=reason):
        quantize_torch_model(iris_net, inputset)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"n_bits": 0}, "n_bits must be an int"),
        ({"n_bits": 2.5}, "n_bits must be an int"),
        ({"n_bits": True}, "n_bits must be an int"),
        ({"n_bits": {"op_input": 3}}, "keys model_inputs, op_inputs, op_weights, model_outputs"),
        ({"n_bits": {}}, "n_bits must be"),
        ({"rounding_threshold_bits": 0}, "rounding_threshold_bits"),
        ({"calibration": "max"}, "calibration must be one of"),
        ({"range_source": "seen"}, "range_source must be"),
        ({"margin": -1}, "margin must be"),
    ],
)
def test_parameters_that_do_not_fit_are_refused(iris_net, iris, options, reason):
    with pytest.raises(ValueError, match=reason):
        quantize_torch_model(iris_net, iris[0], **options)


def test_the_network_must_be_one(iris):
    with pytest.raises(TypeError, match=r"torch\.nn\.Module, got ndarray"):
        quantize_torch_model(iris[0], iris[0])


def test_both_error_rates_are_refused(iris_net, iris):
    with pytest.raises(ValueError, match="p_error"):
        compile_torch_model(iris_net, iris[0], n_bits=2, p_error=0.1, global_p_error=0.1)


def test_error_rates_and_configurations_are_passed_on(iris_net, iris):
    configuration = fhe.Configuration(loop_parallelize=False)
    module = compile_torch_model(iris_net, iris[0], n_bits=2, p_error=0.01, configuration=configuration)
    assert module.fhe_circuit_.statistics["p_error"] <= 0.01
    assert module.cost_.complexity < quantize_torch_model(iris_net, iris[0], n_bits=2).cost_.complexity
    assert configuration.loop_parallelize is False


def test_an_accumulator_too_wide_for_lookups_names_its_layer_and_the_way_out():
    torch.manual_seed(0)
    net = nn.Sequential()
    net.add_module("wide", nn.Linear(200, 2))
    net.add_module("bend", nn.Sigmoid())
    net.add_module("last", nn.Linear(2, 1))
    X = np.random.default_rng(0).normal(size=(100, 200))
    message = r"'wide' takes 1[789] bits.* at most 16; .*, rounding_threshold_bits=6, or lower n_bits$"
    with pytest.raises(CompilationError, match=message):
        compile_torch_model(net, X, n_bits=8, rounding_threshold_bits=None)
    assert quantize_torch_model(net, X, n_bits=8, rounding_threshold_bits=6).cost_.lookups == {6: 2}


@pytest.mark.parametrize("mode", ["disable", "simulate", "execute"])
def test_overflow_of_a_calibrated_accumulator_names_its_layer(mode):
    """Inputs that are strongly correlated on the calibration rows, and are not afterwards."""
    torch.manual_seed(0)
    net = nn.Sequential()
    net.add_module("narrow", nn.Linear(12, 2))
    net.add_module("bend", nn.ReLU())
    net.add_module("last", nn.Linear(2, 1))
    with torch.no_grad():
        net.narrow.weight.copy_(torch.tensor([[1.0, -1.0] * 6] * 2))
    rng = np.random.default_rng(0)
    calm = np.repeat(rng.normal(size=(300, 1)), 12, axis=1)
    wild = np.tile([3.0, -3.0], (1, 6))
    module = compile_torch_model(net, calm, n_bits=2, margin=0.0)
    assert module.program_.range_source == "calibrated"
    assert "calibrated" in module.report().to_frame()["range_source"].tolist()
    module.forward(calm[:3] if mode == "execute" else calm, fhe=mode)
    with pytest.raises(AccumulatorOverflowError, match=r"'narrow' .*calibrated interval"):
        module.forward(wild, fhe=mode)
    proven = quantize_torch_model(net, calm, n_bits=2, range_source="proven")
    assert proven.accumulator_bits_[0] > module.accumulator_bits_[0]
    proven.forward(wild)
