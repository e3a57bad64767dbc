"""Networks that count modulo a power of two: Brevitas, program and ciphertexts are one function."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn

from skfhe.circuit import compile_program
from skfhe.encoding import calibrate_thresholds
from skfhe.neural_network import NeuralNetClassifier, NeuralNetRegressor, TentWave
from skfhe.neural_network._mlp_network import in_double_precision, lower_mlp
from skfhe.neural_network._wrapping import FixedSteps, WrappingLayer, initial_spread
from skfhe.program import is_negacyclic, ops, run, trace
from tests.neural_network.small_networks import small_network

QUICK = {"max_epochs": 5, "random_state": 0}
WRAPPING = {"accumulator": "wrapping", "activation_function": TentWave, "n_a_bits": 3, "n_w_bits": 3}


def dense_network(n_layers=2, n_accum_bits=3, seed=0, **options):
    """Return an untrained network whose weights are anything up to ±3, and its encoder."""
    torch.manual_seed(seed)
    X = np.random.default_rng(seed).normal(size=(80, 4))
    encoder = calibrate_thresholds(X, 4)
    module = small_network(
        encoder, n_layers=n_layers, n_accum_bits=n_accum_bits, **{**WRAPPING, "n_hidden": 5} | options
    )
    for layer in module.hidden:
        nn.init.normal_(layer.linear.weight, std=1.5)
    return module.eval(), encoder, 3 * X


def worst_rows(program, n_random=0):
    """Return all zeros, all ones, and for each neuron of the first layer the inputs of its extreme sums."""
    layer = next(value.op for value in program.values if isinstance(value.op, ops.Linear))
    width = len(layer.weight)
    rows = [np.zeros((1, width)), np.ones((1, width)), (layer.weight > 0).T, (layer.weight < 0).T]
    bits = np.concatenate([*rows, np.random.default_rng(0).random((n_random, width)) > 0.5]).astype(np.int64)
    others = [program.values[p].type for p in program.inputs[1:]]
    ends = np.arange(len(bits)) % 2 == 0
    return [bits, *(np.where(ends[:, None], kind.low, kind.high) for kind in others)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_wave_is_exactly_antisymmetric_under_half_a_period(dtype):
    """On multiples of a power of two, where floats are exact; so is its quantizer, ties included."""
    x = torch.arange(-4096, 4096, dtype=dtype) / 64
    wave = TentWave()
    torch.testing.assert_close(wave(x + 2.0), -wave(x), atol=0.0, rtol=0.0)
    inside = x[x.abs() <= 1]
    torch.testing.assert_close(wave(inside), inside, atol=0.0, rtol=0.0)
    for n_bits in range(1, 6):
        steps = FixedSteps(n_bits)
        torch.testing.assert_close(steps(-inside)[0], -steps(inside)[0], atol=0.0, rtol=0.0)
        assert (steps(inside)[0] / steps.scale).abs().max().round() == steps.magnitude


@pytest.mark.parametrize("n_layers", [2, 3, 4])
@pytest.mark.parametrize("n_accum_bits", [1, 2, 3, 5])
@pytest.mark.parametrize("skip", [False, True])
def test_every_layer_s_integers_equal_brevitas(n_layers, n_accum_bits, skip):
    """Layer by layer, up to the sign that the passes give a table, and the scores."""
    module, encoder, X = dense_network(n_layers, n_accum_bits, skip_connection=skip)
    program, kept, decoders = lower_mlp(module)
    inputs = [encoder.select(kept[0]).quantize(X), *(encoder.levels(X)[:, k] for k in kept[1:])]
    values = trace(program, *inputs)
    double = in_double_precision(module)
    with torch.no_grad():
        h = double.encode(double.encoder.counts(torch.as_tensor(X)))
        found = []
        for layer in double.hidden:
            h = layer(h)
            found.append(torch.round(h.value / h.scale).numpy().astype(np.int64))
        scores = double(torch.as_tensor(X)).numpy()
    for position, integers in zip(program.lookups, found, strict=True):
        columns = {column.tobytes() for column in np.ascontiguousarray(integers.T)}
        for column in np.ascontiguousarray(values[position].T):
            assert column.tobytes() in columns
    outputs = [values[position] for position in program.outputs]
    decoded = sum(decoder.decode(q) for decoder, q in zip(decoders, outputs, strict=True))
    np.testing.assert_allclose(decoded, scores, atol=1e-12)
    assert set(program.accumulator_bits) <= {n_accum_bits}


@pytest.mark.parametrize("n_layers", [2, 3])
def test_training_computes_what_brevitas_computes(n_layers):
    module, _, X = dense_network(n_layers)
    counts = module.train().encoder.counts(torch.as_tensor(X))
    torch.testing.assert_close(
        module._scores_in_training(counts), module._scores(counts), atol=1e-5, rtol=1e-5
    )
    module(torch.as_tensor(X)).square().sum().backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("n_layers", [2, 3])
@pytest.mark.parametrize("skip", [False, True])
def test_encrypted_equals_clear_however_far_sums_leave_what_is_declared(n_layers, skip):
    """All zeros, all ones, and what drives each neuron to its ends: worst cases of any data."""
    module, _, _ = dense_network(n_layers, n_hidden=4 if n_layers == 2 else 3, skip_connection=skip)
    program, _, _ = lower_mlp(module)
    inputs = worst_rows(program, n_random=60 if (n_layers, skip) == (2, True) else 0)
    sums = trace(program, *inputs)[program.values[program.lookups[0]].arguments[0] - 1]
    assert np.ptp(sums) > 4 * 2**3
    assert set(program.accumulator_bits) == {3}
    circuit = compile_program(program)
    circuit.keygen()
    encrypted = circuit.execute(*inputs)
    for ours, clear in zip(encrypted, run(program, *inputs), strict=True):
        np.testing.assert_array_equal(ours, clear)


def test_even_weights_do_not_change_what_a_half_circle_is():
    """A neuron whose weights have a common factor must not be counted in steps of it."""
    module, encoder, X = dense_network(n_w_bits=4)
    with torch.no_grad():
        module.hidden[0].linear.weight.mul_(1.4).div_(2).round_().mul_(2)
    program, kept, decoders = lower_mlp(module)
    outputs = run(program, encoder.select(kept[0]).quantize(X), encoder.levels(X)[:, kept[1]])
    with torch.no_grad():
        exact = in_double_precision(module)(torch.as_tensor(X)).numpy()
    scores = sum(decoder.decode(q) for decoder, q in zip(decoders, outputs, strict=True))
    np.testing.assert_allclose(scores, exact, atol=1e-12)


def test_sums_that_cannot_wrap_are_looked_up_as_they_are():
    """An interval within the declared bits needs no residues, and takes a narrower table."""
    module, _, _ = dense_network()
    with torch.no_grad():
        module.hidden[0].linear.weight[:, 3:] = 0.0
        module.hidden[0].linear.weight[:, :3] = 1.0
    program, _, _ = lower_mlp(module)
    assert not any(isinstance(value.op, ops.Modulo) for value in program.values)
    assert set(program.accumulator_bits) <= {1, 2}


def test_lookups_read_the_whole_circle(iris):
    model = NeuralNetClassifier(**QUICK).fit(*iris)
    program = model.program_
    for position in program.lookups:
        (read,) = program.values[position].arguments
        if isinstance(program.values[read].op, ops.Modulo):
            assert program.values[read].op.n_bits == 4
            assert is_negacyclic(program.values[position].op, 4)


# The estimators


@pytest.mark.parametrize("estimator", [NeuralNetClassifier, NeuralNetRegressor])
@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_estimators_of_any_depth_pickle_clone_and_go_on(estimator, n_layers, iris):
    X, y = iris
    model = estimator(module__accumulator="wrapping", module__n_layers=n_layers, warm_start=True, **QUICK)
    model.fit(X, y)
    loaded = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    assert clone(model).get_params()["module__accumulator"] == "wrapping"
    for one in (loaded.fit(X, y), loaded.partial_fit(X, y)):
        assert max(one.accumulator_bits_, default=3) <= 3
    assert loaded.n_iter_ == 11


def test_no_weight_is_pruned_for_the_accumulator_s_sake(iris):
    model = NeuralNetClassifier(**QUICK).fit(*iris)
    assert all(isinstance(layer, WrappingLayer) for layer in model.module_.hidden)
    assert model.pruning_factor_ == model.module_.hidden[0].linear.in_features == 16
    weight = model.module_.hidden[0].linear.quant_weight()
    np.testing.assert_array_equal(weight.value.numpy(force=True), weight.int().numpy())
    assert weight.int().abs().max() <= 3


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({}, "wrapping"),
        ({"module__activation_function": TentWave}, "wrapping"),
        ({"module__activation_function": nn.Sigmoid}, "bounded"),
        ({"rounding_threshold_bits": 3}, "bounded"),
        ({"module__accumulator": "bounded"}, "bounded"),
        ({"module__accumulator": "bounded", "module__activation_function": TentWave}, "bounded"),
    ],
)
def test_auto_is_bounded_where_only_that_can_do_what_is_asked_for(options, kind, iris):
    model = NeuralNetClassifier(max_epochs=2, random_state=0, **options).fit(*iris)
    assert isinstance(model.module_.hidden[0], WrappingLayer) == (kind == "wrapping")


def test_auto_is_bounded_for_features_of_few_values(iris):
    model = NeuralNetClassifier(max_epochs=2, random_state=0).fit(np.round(iris[0] / 2), iris[1])
    assert model.module_.budgets == [15]


def test_few_inputs_begin_with_larger_weights():
    """Sums that hardly move would see a point of the wave."""
    spreads = [initial_spread(n, half=8) for n in (0, 5, 50, 200)]
    assert spreads == sorted(spreads, reverse=True)
    assert spreads[-1] == 0.3 < spreads[-2] < spreads[-3] < 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"module__activation_function": nn.ReLU}, "ReLU does not suit.*TentWave.*accumulator='bounded'"),
        ({"rounding_threshold_bits": 2}, "rounding_threshold_bits=2 does not suit.*accumulator='bounded'"),
    ],
)
def test_what_does_not_suit_wrapping_is_named(options, message, iris):
    with pytest.raises(ValueError, match=message):
        NeuralNetClassifier(module__accumulator="wrapping", **options, **QUICK).fit(*iris)


def test_rounding_a_trained_wrapping_network_is_refused(iris):
    model = NeuralNetClassifier(**QUICK).fit(*iris)
    before = model.predict_proba(iris[0])
    with pytest.raises(ValueError, match=r"nothing to round.*accumulator='bounded' and call fit"):
        model.set_params(rounding_threshold_bits=2).lower()
    np.testing.assert_array_equal(model.predict_proba(iris[0]), before)
    with pytest.raises(ValueError, match=r"module__accumulator.* changed"):
        model.partial_fit(*iris)
