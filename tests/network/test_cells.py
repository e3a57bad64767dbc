"""Tables of functions: their bound, and what stands in where a function is undefined."""

import brevitas.nn as qnn
import numpy as np
import pytest
import torch
from torch import nn

from skfhe.exceptions import CompilationError
from skfhe.importers import quantize_brevitas_qat_model, quantize_torch_model
from skfhe.network._cells import UNDEFINED, fill_undefined, tabulated, values_taken
from tests.importers.torch_examples import Function

NORMAL = np.random.default_rng(0).normal(size=(300, 2))
UNIFORM = np.random.default_rng(0).uniform(-1, 1, size=(300, 2))
AWAY = np.where(UNIFORM > 0, UNIFORM + 0.1, UNIFORM - 0.1)
POSITIVE = np.abs(UNIFORM) + 0.05
FUNCTIONS = {
    "log of a sum": (lambda x: torch.log(torch.relu(x).sum(1) + 0.01), NORMAL),
    "log": (lambda x: torch.log(x), POSITIVE),
    "log2 of a sum": (lambda x: torch.log2(x.abs().sum(1)), UNIFORM),
    "log1p": (lambda x: torch.log1p(x.sum(1) / 2.01), UNIFORM),
    "log of a product": (lambda x: torch.log(x[:, 0] * x[:, 1]), POSITIVE),
    "logit": (lambda x: torch.log((x.sum(1) + 2.01) / (2.01 - x.sum(1))), UNIFORM),
    "reciprocal": (lambda x: 1 / x, AWAY),
    "ratio": (lambda x: x[:, :1] / x[:, 1:], POSITIVE),
    "power": (lambda x: (torch.relu(x).sum(1) + 0.05) ** -1.5, UNIFORM),
    "root": (lambda x: torch.sqrt(x.sum(1) + 2.0), UNIFORM),
    "rsqrt": (lambda x: torch.rsqrt(x.sum(1) + 2.01), UNIFORM),
    "asin": (lambda x: torch.asin(x.sum(1) / 2), UNIFORM),
    "acosh": (lambda x: torch.acosh(x + 2.0), UNIFORM),
    "atanh": (lambda x: torch.atanh(x / 1.01), UNIFORM),
    "tangent": (lambda x: torch.tan(1.55 * x), UNIFORM),
    "pool": (nn.LPPool1d(2, 2), UNIFORM[:, None]),
}


def of(name):
    function, X = FUNCTIONS[name]
    net = Function(function)
    return net, X, net(torch.from_numpy(X)).numpy()


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(
    "widths", [(3, 5, 8), pytest.param((3, 4, 5, 6, 7, 8), marks=pytest.mark.slow)], ids=["some", "all"]
)
def test_results_are_finite_where_the_network_is(name, widths):
    """With few bits, cells that stand for many floats lie outside a domain; the others err as ever."""
    net, X, wanted = of(name)
    assert np.isfinite(wanted).all()
    errors = []
    for n_bits in widths:
        module = quantize_torch_model(net, X, n_bits, rounding_threshold_bits=10)
        found = module.forward(X)
        assert np.isfinite(found).all()
        assert all(np.isfinite(getattr(decoder, "table", 0.0)).all() for decoder in module.decoder_.decoders)
        errors.append(np.median(np.abs(found - wanted)))
    assert errors[-1] <= errors[0]
    assert errors[-1] <= 0.1 * np.median(np.abs(wanted))
    looked_up = {"op_inputs": 4, "model_outputs": 4}
    found = quantize_torch_model(net, X, looked_up, rounding_threshold_bits=10).forward(X)
    assert found.min() >= wanted.min() - np.ptp(wanted) / 10
    assert found.max() <= wanted.max() + np.ptp(wanted) / 10


def test_a_pole_takes_what_its_lower_neighbour_has():
    """Integers around zero stand for -0.25, 0 and 0.25, and small numbers of either sign are rounded to 0."""
    X = np.linspace(-1, 0.75, 8)[:, None] + 1e-3
    module = quantize_torch_model(Function(lambda x: 1 / x), X, 3, calibration="minmax")
    scale = float(np.ravel(module.encoder_.quantizers[0][1].scale)[0])
    np.testing.assert_allclose(module.forward([[1e-3], [-1e-3]]), [[-1 / scale], [-1 / scale]])


def test_what_overflows_takes_the_largest_that_does_not():
    X = np.linspace(0, 709.5, 40)[:, None]
    found = quantize_torch_model(Function(torch.exp), X, 4, calibration="minmax").forward(X)
    assert np.isfinite(found).all()
    assert found.max() >= np.exp(660)


def test_infinity_stays_where_the_network_has_it():
    """On all rows that are rounded to an integer; where some are finite, so is the result."""
    X = np.repeat([[-1.0], [0.0], [1.0], [2.0]], 20, axis=0)
    masked = Function(lambda x: torch.where(x > 0, x, -torch.inf))
    module = quantize_torch_model(masked, X, 3, calibration="minmax")
    np.testing.assert_allclose(module.forward(X), masked(torch.from_numpy(X)).numpy(), atol=0.3)
    X = np.concatenate([X, [[0.05]]])
    found = quantize_torch_model(masked, X, 3, calibration="minmax").forward(X)
    np.testing.assert_array_equal(np.isfinite(found), X >= 0)


def test_a_network_that_is_infinite_in_between_is_refused():
    net = nn.Sequential(Function(lambda x: torch.log(torch.relu(x))), nn.Linear(2, 1))
    with pytest.raises(ValueError, match="reads infinite values or NaN on the calibration rows; clamp"):
        quantize_torch_model(net, NORMAL, 5)


def test_a_trained_quantizer_of_an_undefined_value_has_the_nearest_integer():
    """Rows that reach no undefined value are as in the network; nothing leaves the quantizer's range."""
    torch.manual_seed(0)
    net = nn.Sequential(
        qnn.QuantIdentity(bit_width=4), Function(torch.log), qnn.QuantIdentity(bit_width=3), nn.Flatten()
    )
    X = np.abs(NORMAL) + 1.0
    net.train()(torch.from_numpy(X).float())
    module = quantize_brevitas_qat_model(net.eval(), X)
    looked_up = module.program_.values[module.program_.lookups[-1]].type
    assert -4 <= looked_up.min <= looked_up.max <= 3
    wanted = net.double()(torch.from_numpy(X)).detach().numpy()
    np.testing.assert_allclose(module.forward(X), wanted, atol=1e-5)
    assert np.isfinite(module.forward(-X)).all()


def test_a_table_without_a_defined_cell_is_refused_by_name():
    tables = np.array([[1.0, np.nan], [np.nan, np.nan]])
    with pytest.raises(ValueError, match="the function at 'third' is infinite or NaN at every integer"):
        fill_undefined(tables, np.isfinite(tables), "third")


def test_nearest_cells_are_found_along_the_argument_alone():
    tables = np.array([[0, 0, 3, 0, 0, 6], [1, 0, 0, 0, 0, 0]])
    filled = fill_undefined(tables, tables > 0, "here")
    np.testing.assert_array_equal(filled, [[3, 3, 3, 3, 6, 6], [1] * 6])


def test_tables_that_are_evaluated_in_parts_are_those_of_the_whole(monkeypatch):
    """Cells are shared by elements only if all of them agree, and filled across parts."""
    from skfhe.network import _cells as cells

    def evaluate(integers):
        column = integers.reshape(-1, 1, 1)
        return torch.where((column > 6) & (column < 9), torch.nan, column * torch.tensor([[1.0], [2.0]]) ** 0)

    def encode(floats):
        return cells.rounded(np.where(floats > 10, floats * np.array([[1.0], [2.0]]), floats))

    arguments = np.arange(13.0)
    whole = tabulated(evaluate, encode, arguments, (2, 1), "here")
    monkeypatch.setattr(cells, "CHUNK", 4)
    parts = tabulated(evaluate, encode, arguments, (2, 1), "here")
    np.testing.assert_array_equal(parts, whole)
    assert whole.shape == (2, 1, 13)
    np.testing.assert_array_equal(whole[:, 0, 6:11], [[6, 6, 9, 9, 10]] * 2)
    assert UNDEFINED not in whole


def never(*_):
    raise AssertionError("was evaluated")


@pytest.mark.parametrize(("n_integers", "shape"), [(2**16, (64, 64, 64)), (2**40, ())])
def test_tables_have_a_bound_that_is_checked_before_they_are_made(n_integers, shape):
    class Arguments:
        def __len__(self):
            return n_integers

    with pytest.raises(CompilationError, match=r"the tables of 'third' would take more than \d+ cells"):
        tabulated(never, never, Arguments(), shape, "third")
    with pytest.raises(CompilationError, match=r"'third' .* \(40 bits\) for each of its 3 elements"):
        values_taken(never, np.zeros(3, dtype=np.int64), np.full(3, 2**40 - 1), "third")


def test_values_taken_are_those_of_each_element_s_interval(monkeypatch):
    """Without infinities, however many integers are evaluated at a time."""
    from skfhe.network import _cells as cells

    def inverse(integers):
        return 1 / integers.reshape(-1, 1).double() * torch.tensor([1.0, 10.0])

    for chunk in (cells.CHUNK, 2):
        monkeypatch.setattr(cells, "CHUNK", chunk)
        found = values_taken(inverse, np.array([-1, 2]), np.array([1, 4]), "here")
        np.testing.assert_allclose(found, [-1, 1, 2.5, 10 / 3, 5])
