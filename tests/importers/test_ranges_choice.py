"""What post-training quantization chooses: grids and integers worked out by hand, or against every choice."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from skfhe.importers import quantize_torch_model
from skfhe.network._schemes.calibration import MAX_VALUES, calibrate_grid
from skfhe.network._schemes.weights import choose_integers, integer_grid


def rounded(values, scale, zero_point, n_bits):
    """Return the floats of a grid that stand for ``values``."""
    q = np.clip(np.rint(values / scale + zero_point), 0, 2**n_bits - 1)
    return scale * (q - zero_point)


def mean_squared_error(values, grid, n_bits):
    return np.square(values - rounded(values, *grid, n_bits)).mean()


def least_error(values, n_bits):
    """Return the least error of all ranges whose ends lie on a fine raster."""
    low, high = values.min(), values.max()
    raster = np.linspace(low, high, 61)
    steps = 2**n_bits - 1
    scales = [(b - a) / steps for a, b in itertools.combinations(raster, 2)]
    starts = [a for a, _ in itertools.combinations(raster, 2)]
    return min(
        mean_squared_error(values, (scale, np.rint(-start / scale)), n_bits)
        for scale, start in zip(scales, starts, strict=True)
    )


def samples():
    rng = np.random.default_rng(0)
    return {
        "normal": rng.normal(size=200),
        "one-sided": rng.exponential(size=200),
        "one-sided and negative": -1 - rng.exponential(size=200),
        "heavy tails": rng.standard_t(3, size=200),
        "two humps": np.r_[rng.normal(-4, 0.3, 100), rng.normal(2, 1, 100)],
        "mostly zero": np.r_[np.zeros(190), rng.normal(5, 1, 10)],
    }


@pytest.mark.parametrize("name", samples())
@pytest.mark.parametrize("n_bits", [1, 2, 3, 4])
def test_hardly_any_range_has_a_smaller_error_than_the_chosen_one(name, n_bits):
    """Against all pairs of ends, but where zero lies beyond them, which few bits reach badly.

    The range of all values is never better.
    """
    values = samples()[name]
    found = mean_squared_error(values, calibrate_grid(values[:, None], n_bits, 0, "mse"), n_bits)
    if values.max() >= 0:
        assert found <= 1.2 * least_error(values, n_bits)
    elif n_bits > 2:
        assert found <= 1.3 * least_error(values, n_bits)
    whole = mean_squared_error(values, calibrate_grid(values[:, None], n_bits, 0, "minmax"), n_bits)
    assert found <= whole * (1 + 1e-9)


@pytest.mark.parametrize("side", [1, -1])
def test_a_lone_value_far_off_is_clipped_on_either_side(side):
    """2,000 values in [-1, 1] and one at 2.4: at 3 bits a step of 2 / 7 errs less than one of 3.4 / 7.

    Up to 0.6 of the range may go, so the outlier alone is clipped.
    """
    values = side * np.r_[np.linspace(-1, 1, 2000), 2.4]
    scale, zero_point = calibrate_grid(values[:, None], 3, None, "mse")
    assert scale.item() == pytest.approx(2 / 7, rel=0.12)
    error = mean_squared_error(values, (scale, zero_point), 3)
    assert error <= 1.05 * least_error(values, 3)


def test_ranges_of_all_values_known_by_hand():
    """[-1, 2] at 2 bits are steps of 1, whose second integer is 0; [4, 7] begin at the integer -4."""
    for values, expected in [([-1, 0.5, 2], (1, 1)), ([4, 7], (1, -4)), ([-6, -3], (1, 6)), ([0, 6], (2, 0))]:
        found = calibrate_grid(np.array(values, dtype=float)[:, None], 2, None, "minmax")
        assert [float(each.item()) for each in found] == list(expected)


def test_percentiles_leave_a_thousandth_on_either_side():
    """Of 0 … 10,000 the middle 99.8 % reach from 10 to 9,990. At 1 bit that is one step."""
    values = np.random.default_rng(0).permutation(10_001).astype(float)[:, None]
    scale, zero_point = calibrate_grid(values, 1, None, "percentile")
    assert scale.item() == pytest.approx(9980, rel=0.001)
    assert zero_point.item() == 0


def test_each_channel_of_any_axis_has_a_grid_of_its_own():
    values = np.zeros((5, 2, 3))
    values[0], values[1] = [[3, 6, 9], [12, 15, 18]], [[-3, -6, -9], [0, 0, 0]]
    for axis, expected, shape in [(1, [5, 7, 9], (1, 3)), (-1, [5, 7, 9], (1, 3)), (0, [6, 6], (2, 1))]:
        scale, zero_point = calibrate_grid(values, 2, axis, "minmax")
        assert scale.shape == zero_point.shape == shape
        assert scale.ravel().tolist() == expected
    scale, _ = calibrate_grid(values, 2, None, "minmax")
    assert (scale.shape, scale.item()) == ((1, 1), 9)


@pytest.mark.parametrize("method", ["minmax", "percentile", "mse"])
def test_a_constant_channel_takes_the_range_of_the_others(method):
    """Channel 1 is always 2, the others span [0, 3] and [-3, 0]: it takes [-3, 3], and zero alike."""
    rng = np.random.default_rng(0)
    values = np.stack([np.r_[0, 3, rng.uniform(0, 3, 98)], np.full(100, 2.0), np.zeros(100)], axis=1)
    values[:, 2] = -values[:, 0]
    scale, zero_point = calibrate_grid(values, 3, 0, method)
    if method == "minmax":
        np.testing.assert_allclose(scale * 7, [3, 6, 3])
    assert abs(rounded(values, scale, zero_point, 3) - values)[:, 1].max() <= scale[1] / 2 + 1e-12
    assert 0 <= zero_point[1] <= 7


@pytest.mark.parametrize(("value", "length"), [(5.0, 5.0), (-4.0, 4.0), (0.0, 1.0)])
def test_constant_values_alone_span_from_zero(value, length):
    scale, zero_point = calibrate_grid(np.full((9, 1), value), 2, None, "minmax")
    assert scale.item() == pytest.approx(length / 3)
    assert rounded(np.array([value]), scale, zero_point, 2) == pytest.approx(value)


def test_values_that_differ_by_rounding_alone_are_constant():
    values = 5.0 + np.array([0, 1e-15, -1e-15])
    assert calibrate_grid(values[:, None], 2, None, "minmax")[0].item() == pytest.approx(5 / 3)
    apart = 5.0 + np.array([0, 1e-9])
    assert calibrate_grid(apart[:, None], 2, None, "minmax")[0].item() == pytest.approx(1e-9 / 3, rel=1e-3)


@pytest.mark.parametrize("n", [MAX_VALUES, MAX_VALUES + 1, 3 * MAX_VALUES])
@pytest.mark.parametrize("at", [1, -2])
def test_ends_count_however_many_values_are_left_out(n, at):
    """One value in so many is far enough off to be worth its place at 8 bits, wherever it lies."""
    values = np.linspace(-1, 1, n)
    values[at] = 1.5
    scale, zero_point = calibrate_grid(values[:, None], 8, None, "mse")
    assert abs(rounded(np.array([1.0, -1.0]), scale, zero_point, 8) - [1, -1]).max() <= scale.item()
    assert calibrate_grid(values[:, None], 8, None, "minmax")[0].item() == 2.5 / 255


# Weights.


def best_products(weights, highest, sample, fractions=None):
    """Return the least mean squared error of products with one row of integers times a scale."""
    centred = sample - sample.mean(axis=0)
    moments = centred.T @ centred / len(sample)
    integers = np.array(list(itertools.product(range(-highest, highest + 1), repeat=len(weights))))
    dots, squares = integers @ moments @ weights, np.einsum("ij,jk,ik->i", integers, moments, integers)
    if fractions is None:
        scales = np.divide(dots, squares, out=np.zeros_like(dots), where=squares > 0)[:, None]
    else:
        scales = np.abs(weights).max() / highest * fractions[None]
    return (weights @ moments @ weights - 2 * scales * dots[:, None] + scales**2 * squares[:, None]).min()


def error_of(weights, integers, scales, sample):
    centred = sample - sample.mean(axis=0)
    return np.square(centred @ (integers * scales[:, None] - weights).T).mean()


@pytest.mark.parametrize("n_bits", [1, 2, 3, 4])
def test_on_inputs_that_vary_alone_no_integers_are_better(n_bits):
    """Errors cannot make each other good there; against all integers and a fine raster of scales."""
    rng = np.random.default_rng(n_bits)
    highest = max(1, 2 ** (n_bits - 1) - 1)
    spread = np.array([1.0, 0.5, 2.0])
    sample = np.array(list(itertools.product((-1, 1), repeat=3))) * spread + 7.0
    ratios = []
    for _ in range(20):
        weights = rng.normal(size=(1, 3))
        integers, scales = choose_integers(weights, n_bits, sample)
        assert np.abs(integers).max() <= highest
        best = best_products(weights[0], highest, sample, np.linspace(0.4, 1, 61))
        ratios.append(error_of(weights, integers, scales, sample) / best)
    assert np.median(ratios) < 1.1
    assert np.mean(ratios) < 1.5


@pytest.mark.parametrize("n_bits", [2, 3, 4])
def test_on_correlated_inputs_errors_are_made_good(n_bits):
    """Over many draws the error is nearer to the least of all integers than rounding alone comes."""
    rng = np.random.default_rng(0)
    highest = 2 ** (n_bits - 1) - 1
    found, plain, best = [], [], []
    for _ in range(12):
        factor = rng.normal(size=(200, 1))
        sample = factor + 0.3 * rng.normal(size=(200, 4))
        weights = rng.uniform(0.2, 1, size=(1, 4))
        integers, scales = choose_integers(weights, n_bits, sample)
        step = np.abs(weights).max(axis=1) / highest
        found.append(error_of(weights, integers, scales, sample))
        plain.append(error_of(weights, np.rint(weights / step), step, sample))
        best.append(best_products(weights[0], highest, sample))
    assert np.mean(found) < 0.5 * np.mean(plain)
    assert np.mean(found) < 12 * np.mean(best)


def test_two_inputs_that_are_the_same_share_what_is_rounded_off():
    """1 and 0.4 + 0.4: rounded alone both 0.4 are 0. Of equal columns one takes up what the other lost."""
    rng = np.random.default_rng(0)
    same = rng.normal(size=(300, 1))
    sample = np.hstack([4 * rng.normal(size=(300, 1)), same, same + 0.01 * rng.normal(size=(300, 1))])
    integers, scales = choose_integers(np.array([[1.0, 0.4, 0.4]]), 2, sample)
    assert integers[0, 0] == 1
    assert sorted(integers[0, 1:].tolist()) == [0, 1]
    assert scales[0] == pytest.approx(1, abs=0.11)


def test_rows_of_zeros_and_pruned_weights_stay_zero_and_others_do_not_care():
    rng = np.random.default_rng(0)
    sample = rng.normal(size=(50, 3))
    weights = np.array([[0.0, 0.0, 0.0], [0.7, 0.0, -0.2]])
    integers, scales = choose_integers(weights, 3, sample)
    assert integers[0].tolist() == [0, 0, 0]
    assert scales[0] == 1
    assert integers[1, 1] == 0
    alone, scale = choose_integers(weights[1:, [0, 2]], 3, sample[:, [0, 2]])
    assert integers[1, [0, 2]].tolist() == alone[0].tolist()
    assert scales[1] == pytest.approx(scale[0])


def test_one_row_of_calibration_says_nothing_and_is_enough():
    """Without variance every input counts alike, and the integers are those of rounding."""
    weights = np.array([[3.0, -1.0, 2.0], [0.5, 0.25, -0.75]])
    integers, scales = choose_integers(weights, 3, np.array([[5.0, 5.0, 5.0]]))
    np.testing.assert_allclose(integers * scales[:, None], weights, atol=1e-12)
    assert np.abs(integers).max(axis=1).tolist() == [3, 3]


@pytest.mark.parametrize("n_bits", [1, 2, 3, 6])
def test_integers_up_to_the_last_of_so_many_bits_are_read_off(n_bits):
    """Magnitudes up to 2**n_bits - 1: one more needs a bit more."""
    highest = 2**n_bits - 1
    row = np.array([[highest, -1.0, 0.0]]) * 0.37
    integers, scales = integer_grid(row, n_bits)
    assert integers.tolist() == [[highest, -1, 0]]
    assert scales == pytest.approx([0.37])
    assert integer_grid(np.array([[highest + 1, -1.0, 0.0]]), n_bits) is None
    assert integer_grid(np.array([[highest + 1, -1.0, 0.0]]), n_bits + 1) is not None


def test_what_float32_rounds_off_is_no_weight_and_more_is():
    """A millionth of the largest weight is rounding, a hundred-thousandth is a weight that no grid holds."""
    assert integer_grid(np.array([[3.0, 1.0, 1e-6]]), 3)[0].tolist() == [[3, 1, 0]]
    assert integer_grid(np.array([[3.0, 1.0, 3e-5]]), 3) is None
    assert integer_grid(np.array([[3.0, 1.0 + 2e-6]]), 3)[0].tolist() == [[3, 1]]
    assert integer_grid(np.array([[3.0, 1.0 + 2e-5]]), 3) is None
    many = np.r_[np.arange(1.0, 16), 9.5]  # the ninth magnitude decides
    assert integer_grid(many[None], 4) is None
    assert integer_grid(many[None] * 0.1, 5)[0].max() == 30


# What networks become.


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *arguments):
        return self.function(*arguments)


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
