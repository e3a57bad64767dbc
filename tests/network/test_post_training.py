"""Post-training quantization: what networks become, and what follows from the number of bits."""

import numpy as np
import pytest
import torch
from torch import nn

from skfhe.importers import quantize_torch_model
from skfhe.program import evaluate, ops
from tests.importers.torch_examples import Function

MARGIN = 0.1
ROUNDING = {"n_bits": 4, "method": "approximate"}


def relative_error(module, net, X):
    exact = net.double()(torch.from_numpy(X)).detach().numpy()
    return np.sqrt(np.mean((module.forward(X) - exact) ** 2)) / exact.std()


def perceptron(seed=0):
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, 2))
    return net, np.random.default_rng(seed).normal(size=(600, 6))


def test_error_falls_with_bits():
    """A bit more halves the step of every grid, and so about halves the error: 3 bits more, eight times."""
    net, X = perceptron()
    errors = [
        relative_error(quantize_torch_model(net, X[:400], n_bits=bits), net, X[400:]) for bits in range(2, 7)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[4] < errors[1] / 4


def test_constant_features_are_quantized():
    """A feature that never varied on the calibration rows is encoded on a grid that holds its value."""
    net = nn.Linear(3, 1)
    X = np.random.default_rng(0).normal(size=(100, 3))
    X[:, 1] = 7.0
    assert relative_error(quantize_torch_model(net, X, n_bits=8), net, X) < 0.05


def test_a_single_row_is_enough_to_be_quantized():
    net, X = perceptron()
    assert np.isfinite(quantize_torch_model(net, X[:1], n_bits=4).forward(X[:1])).all()


def test_pruned_weights_stay_zero():
    net, X = perceptron()
    torch.nn.utils.prune.l1_unstructured(net[2], "weight", amount=100)
    module = quantize_torch_model(net, X, n_bits=3)
    hidden = [v.op.weight for v in module.program_.values if hasattr(v.op, "weight")][1]
    assert np.sum(hidden != 0) <= 44


def test_model_outputs_has_the_last_function_looked_up():
    net = nn.Sequential(nn.Linear(4, 2), nn.Sigmoid())
    torch.manual_seed(0)
    X = np.random.default_rng(0).normal(size=(300, 4))
    in_clear = quantize_torch_model(net, X, n_bits=4)
    encrypted = quantize_torch_model(net, X, n_bits={"op_inputs": 4, "model_outputs": 3})
    assert in_clear.cost_.n_lookups == 0
    assert encrypted.cost_.n_lookups == 2
    assert len(np.unique(encrypted.forward(X))) <= 2 * 2**3
    assert relative_error(in_clear, net, X) < relative_error(encrypted, net, X) < 0.3


@pytest.mark.parametrize(
    "quantizer",
    [
        lambda x: torch.clamp(torch.round(x / 0.25), -4, 3) * 0.25,
        lambda x: x + (torch.clamp(torch.round(x * 4), -4, 3) / 4 - x).detach(),
        lambda x: torch.fake_quantize_per_tensor_affine(x, 0.25, 1, -4, 3),
        lambda x: torch.clamp(torch.floor(2 * x + 3), 0, 7) / 7,
        lambda x: torch.sign(x - 0.1),
        lambda x: (x > 0.2).to(x.dtype),
    ],
)
def test_plain_torch_quantizers_are_read_off(quantizer):
    """Whatever rounds, on inputs, values and weights: the integers follow from the floats that it yields."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(5, 6), nn.Linear(6, 2)

        def forward(self, x):
            def layer(linear, x):
                weight = torch.clamp(torch.round(linear.weight * 8), -3, 3) / 8
                return nn.functional.linear(quantizer(x), weight, linear.bias)

            return layer(self.last, torch.tanh(layer(self.first, x)))

    torch.manual_seed(0)
    net = Net().double()
    X = np.random.default_rng(0).normal(size=(300, 5))
    module = quantize_torch_model(net, X, import_qat=True)
    assert module.program_.range_source == "proven"
    np.testing.assert_allclose(module.forward(X), net(torch.from_numpy(X)).detach().numpy(), atol=1e-9)


def test_fake_quantized_weights_are_read_off():
    """What torch's own quantizer makes of constants is computed once, in double precision."""

    def layer(x):
        weight = torch.fake_quantize_per_tensor_affine(torch.linspace(-1, 1, 10), 0.125, 0, -7, 7)
        return torch.fake_quantize_per_tensor_affine(x, 0.25, 0, -8, 7) @ weight.reshape(5, 2).to(x)

    X = np.random.default_rng(0).normal(size=(300, 5))
    module = quantize_torch_model(Function(layer), X, import_qat=True)
    np.testing.assert_allclose(module.forward(X), layer(torch.from_numpy(X)).numpy(), atol=1e-9)
    (weight,) = (v.op.weight for v in module.program_.values if hasattr(v.op, "weight"))
    assert np.abs(weight).max() == 7


def test_float_networks_are_not_taken_for_quantized_ones():
    net, X = perceptron()
    with pytest.raises(ValueError, match="post-training quantization"):
        quantize_torch_model(net, X, import_qat=True)


def columns(n, low=-1.0, high=1.0, rows=400):
    """Return rows whose every column has the same range, and is a permutation of an even grid."""
    rng = np.random.default_rng(0)
    return np.stack([rng.permutation(np.linspace(low, high, rows)) for _ in range(n)], axis=1)


def values_of(module, *kinds):
    return [value for value in module.program_.values if type(value.op).__name__ in kinds]


@pytest.mark.parametrize(
    ("function", "n_cells"),
    [
        (lambda x: torch.sign(x - 0.1), 2),
        (lambda x: (x > 0.2).to(x.dtype), 2),
        (lambda x: torch.round(2 * x), 5),
        (lambda x: torch.floor(3 * x), 6),  # 3 is reached by 1 alone
    ],
)
def test_functions_of_few_values_take_no_more_bits_than_these(function, n_cells):
    """-1 and 1 take one bit, five values three, whatever was asked for; their sums are as few."""
    X = columns(3)
    module = quantize_torch_model(Function(lambda x: function(x).sum(1, keepdim=True)), X, n_bits=4)
    (lookup,) = values_of(module, "Lookup")
    assert (lookup.type.min, lookup.type.max) == (0, n_cells - 1)
    sums = module.forward(X)
    assert len(np.unique(sums)) <= 3 * n_cells - 2
    exact = function(torch.from_numpy(X)).sum(1, keepdim=True).numpy()
    assert np.corrcoef(sums[:, 0], exact[:, 0])[0, 1] > 0.95


def test_many_values_take_the_bits_that_were_asked_for():
    net = Function(lambda x: torch.exp(x).sum(1, keepdim=True))
    bits = {"model_inputs": 6, "op_inputs": 3}
    (lookup,) = values_of(quantize_torch_model(net, columns(3), n_bits=bits, calibration="minmax"), "Lookup")
    assert (lookup.type.min, lookup.type.max) == (0, 7)


@pytest.mark.parametrize(
    ("factor", "added"), [(1.0, True), (2.0, True), (3.0, True), (1.5, False), (2.5, False)]
)
@pytest.mark.parametrize("larger", [0, 1])
def test_grids_are_added_as_they_are_where_one_step_divides_the_other(factor, added, larger):
    """Inputs of 4 bits on [-1, 1] and on that times a factor: a step of the second is so many of the first.

    Where the factor is a whole number nothing is looked up, and the sum is that of the two grids exactly.
    """
    one, other = columns(2), columns(2)[::-1].copy() * factor
    inputs = (one, other) if larger else (other, one)
    rows = tuple(x[:, None, :] for x in inputs)  # not flat: one grid for all elements of an input
    module = quantize_torch_model(Function(lambda x, y: x + y), rows, n_bits=4, calibration="minmax")
    assert (module.cost_.n_lookups == 0) == added
    total = sum(rows)
    step = 2 / 15
    tolerance = (1 + factor) * step / 2 if added else (1 + factor) * step * 1.2
    assert np.abs(module.forward(*rows) - total).max() <= tolerance + 1e-9
    if added:
        summed = module.program_.values[module.program_.outputs[0]]
        assert summed.type.max - summed.type.min == 15 * (1 + factor)


def test_what_is_not_added_as_it_is_comes_in_the_bits_that_were_asked_for():
    """Looked up on one grid that holds both: the wider range takes all 4 bits, half of it about half."""
    rows = tuple(x[:, None, :] for x in (columns(2), columns(2)[::-1] * 2.5))
    module = quantize_torch_model(Function(lambda x, y: x + y), rows, n_bits=4, calibration="minmax")
    spans = [lookup.type.max - lookup.type.min + 1 for lookup in values_of(module, "Lookup")]
    assert max(spans) in (16, 17)
    assert min(spans) in (7, 8)


@pytest.mark.parametrize("factor", [1.0, 3.0, 2.5])
def test_single_elements_are_added_too(factor):
    rows = tuple(x[:, None, :] for x in (columns(1), columns(1)[::-1] * factor))
    module = quantize_torch_model(Function(lambda x, y: x + y), rows, n_bits=4, calibration="minmax")
    step = 2 / 15
    assert np.abs(module.forward(*rows) - sum(rows)).max() <= (1 + factor) * step * 1.2


@pytest.mark.parametrize(("rounding", "widest"), [(None, 5), (3, 3), (4, 4)])
def test_differences_are_looked_up_in_the_bits_that_rounding_keeps(rounding, widest):
    """A maximum looks a difference up: with rounding to k bits its terms have one less, so it has k."""
    X = columns(4)
    net = Function(lambda x: torch.maximum(x[:, :2] * 1.0, torch.tanh(3 * x[:, 2:])))
    module = quantize_torch_model(net, X, n_bits=4, rounding_threshold_bits=rounding)
    differences = values_of(module, "Subtract")
    assert [value.type.bits for value in differences] == [widest]
    assert not values_of(module, "Round")
    error = module.forward(X) - net(torch.from_numpy(X)).numpy()
    assert np.sqrt(np.mean(error**2)) < {None: 0.1, 4: 0.2, 3: 0.35}[rounding]


@pytest.mark.parametrize("bits", [1, 2, 3, 5])
def test_outputs_take_the_bits_that_were_asked_for(bits):
    """A sigmoid of n_bits is one of 2**n_bits floats, none far from the right one."""
    X = columns(2, -4, 4)
    module = quantize_torch_model(
        Function(torch.sigmoid), X, n_bits={"model_inputs": 5, "op_inputs": 5, "model_outputs": bits}
    )
    (lookup,) = values_of(module, "Lookup")
    assert (lookup.type.min, lookup.type.max) == (0, 2**bits - 1)
    exact = 1 / (1 + np.exp(-X))
    assert np.abs(module.forward(X) - exact).mean() < 0.6 / 2**bits + 0.02


def test_each_feature_of_flat_inputs_has_its_own_range():
    X = columns(3) * [1, 10, 100] + [0, 5, -300]
    module = quantize_torch_model(Function(lambda x: x * 1.0), X, n_bits=5, calibration="minmax")
    steps = np.array([2, 20, 200]) / 31
    # Zero lies on the grid, so that all of it may move by half a step; each value then rounds by as much.
    assert (np.abs(module.forward(X) - X).max(axis=0) <= steps * 1.001).all()
    images = quantize_torch_model(Function(lambda x: x * 1.0), X[:, None], n_bits=5, calibration="minmax")
    assert np.abs(images.forward(X[:, None]) - X[:, None]).max() > 2


def test_results_of_a_layer_are_fitted_to_the_network_s():
    """Their mean is the float results', and so is their slope, however coarse the integers are."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 3))
    X = np.random.default_rng(0).normal(size=(500, 6))
    module = quantize_torch_model(net, X, n_bits=2)
    exact = net.double()(torch.from_numpy(X)).detach().numpy()
    found = module.forward(X)
    np.testing.assert_allclose(found.mean(axis=0), exact.mean(axis=0), atol=1e-9)
    for k in range(3):
        slope = np.polyfit(found[:, k], exact[:, k], 1)[0]
        assert slope == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(("n_rows", "fitted"), [(31, False), (32, True)])
def test_few_rows_say_nothing_of_a_layer_s_slope(n_rows, fitted):
    """32 values for each output are enough to fit it, fewer are not."""
    torch.manual_seed(0)
    net = nn.Linear(4, 2)
    X = np.random.default_rng(0).normal(size=(n_rows, 4))
    module = quantize_torch_model(net, X, n_bits=2)
    difference = module.forward(X) - net.double()(torch.from_numpy(X)).detach().numpy()
    assert (np.abs(difference.mean(axis=0)).max() < 1e-9) == fitted


def test_a_condition_is_answered_in_one_bit_before_it_is_read_beside_a_value():
    """Four bits of each would be eight; the condition alone takes two values, so that five bits are read."""
    X = columns(4)
    net = Function(lambda x: torch.where(x[:, :2] > 0.1, x[:, 2:] * 1.0, 0.5 * x[:, 2:].flip(1)))
    module = quantize_torch_model(net, X, n_bits=4)
    condition, *chosen = values_of(module, "Lookup")
    assert (condition.type.min, condition.type.max) == (0, 1)
    assert module.cost_.lookups == {4: 2, 5: 4}
    assert len(chosen) == 2
    error = module.forward(X) - net(torch.from_numpy(X)).numpy()
    # Rows next to the jump may fall on its other side; the rest is off by a step of 4 bits or so.
    assert np.median(np.abs(error)) < 2 / 15


@pytest.mark.parametrize(("largest", "exact"), [(7, True), (8, False)])
def test_weights_that_are_integers_of_so_many_bits_are_taken_as_they_are(largest, exact):
    """Four bits hold -7 to 7 times a scale. 8 needs rounding, and calibration rows then have a say in it."""
    rng = np.random.default_rng(0)
    weights = rng.integers(-3, 4, size=(2, 6))
    weights[:, 0], weights[:, 1] = largest, 1
    net = nn.Linear(6, 2)
    net.weight.data = torch.from_numpy(weights * 0.25).float()
    X = rng.normal(size=(200, 2)) @ rng.normal(size=(2, 6)) + 0.1 * rng.normal(size=(200, 6))
    rows = np.stack([X, X[::-1]], axis=1)  # not flat: one scale for all features
    module = quantize_torch_model(net, rows, n_bits={"model_inputs": 6, "op_weights": 4})
    (linear,) = (value.op for value in module.program_.values if hasattr(value.op, "weight"))
    assert np.array_equal(linear.weight, weights.T) == exact
    assert np.abs(linear.weight).max() == 7


def test_poles_are_refused_where_calibration_rows_reach_them():
    X = columns(2)
    X[0, 0] = 0.0
    with pytest.raises(ValueError, match="infinite values or NaN on the calibration rows"):
        quantize_torch_model(Function(lambda x: (1 / x).sum(1, keepdim=True)), X, n_bits=4)


def filled_shares(module, X, n_channels):
    """Return how much of its cells each channel of a rounded accumulator reaches with margins."""
    values, known = module.program_.values, []
    inputs = iter([module.quantize_input(X)])
    for value in values:
        arguments = [known[a] for a in value.arguments]
        known.append(next(inputs) if isinstance(value.op, ops.Input) else evaluate(value.op, *arguments))
    for value in values:
        if isinstance(value.op, ops.Round | ops.Truncate):
            (read,) = value.arguments
            cells = 1 << values[read].type.bits - value.op.lsbs
            rows = known[read].reshape(len(X), n_channels, -1)
            seen = rows.max(axis=(0, 2)) - rows.min(axis=(0, 2))
            yield (1 + 2 * MARGIN) * seen / (cells << value.op.lsbs)


@pytest.mark.parametrize("method", ["approximate", "exact"])
def test_rounded_accumulators_fill_their_bits(method):
    """One that just takes a bit more is rounded to half as many steps, which costs as much and errs more."""
    for seed in range(5):
        net, X = perceptron(seed)
        options = {"n_bits": {"op_inputs": 5, "op_weights": 8}, "margin": MARGIN}
        rounding = {"n_bits": 5, "method": method}
        module = quantize_torch_model(net, X, rounding_threshold_bits=rounding, **options)
        for share in filled_shares(module, X, 12):
            assert 0.8 < share.max() <= 1.01


def test_weights_that_fill_accumulators_keep_to_their_bits():
    net, X = perceptron()
    options = {"n_bits": {"op_inputs": 5, "op_weights": 4}, "rounding_threshold_bits": ROUNDING}
    module = quantize_torch_model(net, X, **options)
    weights = [value.op.weight for value in module.program_.values if isinstance(value.op, ops.Linear)]
    assert max(np.abs(weight).max() for weight in weights) == 7


def test_groups_of_a_convolution_fill_the_bits_of_the_widest():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 6, 3, groups=3), nn.ReLU(), nn.Flatten(), nn.Linear(54, 2))
    with torch.no_grad():
        net[0].weight[:2] *= 10  # whatever the scale of a group
    X = np.random.default_rng(0).normal(size=(200, 3, 5, 5))
    options = {"n_bits": {"op_inputs": 5, "op_weights": 8}, "rounding_threshold_bits": ROUNDING}
    (share,) = filled_shares(quantize_torch_model(net, X, margin=MARGIN, **options), X, 6)
    assert (share > 0.7).all()
    assert share.max() <= 1.01


def test_weights_that_are_few_integers_stay_as_they_are():
    net = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 1))
    with torch.no_grad():
        net[0].weight.copy_(torch.arange(24).reshape(4, 6) % 7 - 3.0)
    X = np.random.default_rng(0).integers(0, 30, (200, 6)).astype(float)
    options = {"n_bits": {"op_inputs": 5, "op_weights": 6}, "rounding_threshold_bits": ROUNDING}
    module = quantize_torch_model(net, X, **options)
    first = next(value.op.weight for value in module.program_.values if isinstance(value.op, ops.Linear))
    np.testing.assert_array_equal(first, net[0].weight.detach().numpy().T)
