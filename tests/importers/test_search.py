"""Widths and rounding that are searched for: the cheapest setting within the tolerance."""

import numpy as np
import pytest
import torch
from torch import nn

from skfhe import compile_torch_model
from skfhe.exceptions import ToleranceError, ToleranceWarning
from skfhe.importers import quantize_torch_model
from skfhe.importers._search import Setting
from skfhe.importers._search.front import Quantization, Tried
from skfhe.importers._search.trials import nearness
from skfhe.program import ops
from tests.passes.test_protect_roundings import bits_held

TOLERANCE = 0.1
"""Large, so that few settings are tried and lookups are narrow."""


@pytest.fixture(scope="module")
def found(iris_net, iris):
    """The network on Iris, imported without widths."""
    return quantize_torch_model(iris_net, iris[0], tolerance=TOLERANCE)


def test_the_cheapest_that_fits_is_taken(found):
    quantization = found.quantization_
    taken = quantization.taken
    assert taken.fits
    assert taken.loss <= TOLERANCE
    assert taken.seconds <= 1.01 * min(each.seconds for each in quantization if each.fits)
    assert found.cost_.seconds == taken.seconds
    assert found.cost_.complexity == taken.complexity


def test_the_front_gets_nearer_as_it_gets_dearer(found):
    front = [each for each in found.quantization_.front if not each.taken]
    assert [each.seconds for each in front] == sorted(each.seconds for each in front)
    assert [each.loss for each in front] == sorted((each.loss for each in front), reverse=True)


def test_it_prints_as_a_table_and_is_a_frame(found):
    frame = found.quantization_.to_frame()
    assert len(frame) == len(found.quantization_)
    assert frame["taken"].sum() == 1
    printed = str(found.quantization_)
    assert "taken" in printed
    assert "50 rows of the inputset, held out of calibration" in printed


def test_agreement_is_within_the_tolerance_on_all_rows(found, iris_net, iris):
    wanted = iris_net(torch.from_numpy(iris[0]).float()).argmax(dim=1).numpy()
    assert np.mean(found.forward(iris[0]).argmax(axis=1) == wanted) >= 1 - TOLERANCE


def test_approximate_rounding_is_said(found):
    assert any(isinstance(v.op, ops.Round) for v in found.program_.values)
    assert "approximate rounding" in repr(found)
    assert "rounded approximately" in str(found.report())


def test_the_search_is_deterministic(found, iris_net, iris):
    again = quantize_torch_model(iris_net, iris[0], tolerance=TOLERANCE)
    assert str(again.program_) == str(found.program_)
    assert str(again.quantization_) == str(found.quantization_)


def test_given_values_are_not_searched_for(iris_net, iris):
    """Without a setting to find, there is none; with given rounding, all that was tried has it."""
    assert quantize_torch_model(iris_net, iris[0], 3).quantization_ is None
    rounding = {"n_bits": 4, "method": "exact"}
    module = quantize_torch_model(iris_net, iris[0], tolerance=0.2, rounding_threshold_bits=rounding)
    assert {each.setting.rounding for each in module.quantization_} == {(4, "exact")}
    assert not any(isinstance(v.op, ops.Round) for v in module.program_.values)


def test_rounding_is_searched_for_where_given_widths_need_it():
    """16 inputs of 8 bits and weights of 8 bits are no accumulator that a lookup reads."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(16, 4), nn.ReLU(), nn.Linear(4, 2))
    X = np.random.default_rng(0).normal(size=(90, 16))
    module = quantize_torch_model(net, X, 8, tolerance=TOLERANCE)
    assert max(module.accumulator_bits_) > 16
    assert max(module.cost_.lookups) <= 8
    assert {each.setting.op_weights for each in module.quantization_} == {8}


def test_validation_rows_are_measured_on(iris_net, iris):
    module = quantize_torch_model(iris_net, iris[0][::2], validation=iris[0][1::2], tolerance=0.2)
    assert module.quantization_.measured_on == "validation"
    with pytest.raises(ValueError, match=r"validation must hold rows like those of the inputset.*\(4,\)"):
        quantize_torch_model(iris_net, iris[0], validation=iris[0][:, :3])


@pytest.mark.parametrize("tolerance", [-0.1, 1, "auto"])
def test_a_wrong_tolerance_is_refused(iris_net, iris, tolerance):
    with pytest.raises(ValueError, match="tolerance must be a number in"):
        quantize_torch_model(iris_net, iris[0], tolerance=tolerance)


def test_outputs_of_one_column_are_measured_by_their_error():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    X = np.random.default_rng(0).normal(size=(120, 3))
    module = quantize_torch_model(net, X, tolerance=0.05)
    wanted = net(torch.from_numpy(X).float()).detach().numpy()
    taken = module.quantization_.taken
    assert np.isnan(taken.agreement)
    assert taken.loss == taken.relative_error
    assert np.mean((module.forward(X) - wanted) ** 2) / wanted.var() < 0.1


def test_when_nothing_fits_the_error_shows_what_was_tried(iris_net, iris):
    """Nothing keeps every digit of an output; in the clear, what comes nearest is returned with a warning."""
    net = nn.Sequential(iris_net, nn.Linear(3, 1))
    options = {"tolerance": 0.0, "rounding_threshold_bits": {"n_bits": 3, "method": "approximate"}}
    with pytest.raises(
        ToleranceError, match=r"(?s)tolerance=0 of the network's.*Raise tolerance.*weights  rounding"
    ):
        compile_torch_model(net, iris[0][:60], **options)
    with pytest.warns(UserWarning, match="the relative error is"):
        module = quantize_torch_model(net, iris[0][:60], **options)
    assert module.quantization_.taken is None
    assert module.forward(iris[0][:5]).shape == (5, 1)


def test_when_nothing_fits_the_default_what_comes_near_is_taken_with_a_warning(iris_net, iris):
    """It compiles, and is the cheapest that loses little more than the nearest of those that do."""
    net = nn.Sequential(iris_net, nn.Linear(3, 1))
    rounding = {"n_bits": 2, "method": "approximate"}
    with pytest.warns(ToleranceWarning, match=r"(?s)The cheapest that comes near is taken.*  taken"):
        module = quantize_torch_model(net, iris[0][:60], rounding_threshold_bits=rounding)
    quantization = module.quantization_
    taken, losses = quantization.taken, [each.loss for each in quantization if np.isfinite(each.seconds)]
    assert not taken.fits
    assert taken.loss <= 2 * min(losses) + 0.01
    assert all(each.seconds >= taken.seconds for each in quantization if each.loss <= taken.loss)
    assert np.isfinite(module.cost_.seconds)


def test_layers_are_rounded_apart():
    """Of two layers, the larger is rounded to fewer bits where that is enough."""
    torch.manual_seed(5)
    net = nn.Sequential(nn.Linear(6, 24), nn.ReLU(), nn.Linear(24, 3), nn.ReLU(), nn.Linear(3, 2))
    X = np.random.default_rng(0).normal(size=(90, 6))
    module = quantize_torch_model(net, X, tolerance=TOLERANCE)
    tried = [each for each in module.quantization_ if each.setting.layers]
    assert tried
    for each in tried:
        assert all(bits < each.setting.rounding[0] for _, bits in each.setting.layers)


def test_no_neighbour_of_a_rounded_value_wraps():
    """At any rounding, whether intervals are proven or calibrated."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2))
    X = np.random.default_rng(0).normal(size=(60, 5))
    for n_bits in (2, 4):
        for source in ("proven", "calibrated"):
            for margin in (0.0, 0.25):
                rounding = {"n_bits": n_bits, "method": "approximate"}
                module = quantize_torch_model(
                    net, X, 4, rounding_threshold_bits=rounding, range_source=source, margin=margin
                )
                circles = {
                    a for v in module.program_.values if isinstance(v.op, ops.Modulo) for a in v.arguments
                }
                if not circles:
                    assert all(largest < limit for limit, largest in bits_held(module.program_))


@pytest.mark.slow
def test_encrypted_rows_are_near_those_in_the_clear(iris_net, iris):
    """Approximate rounding takes a neighbouring cell at the most, so that outputs hardly move."""
    module = compile_torch_model(iris_net, iris[0], tolerance=0.2)
    assert max(module.cost_.lookups) <= 6
    clear, encrypted = (module.forward(iris[0][:4], fhe=mode) for mode in ("disable", "execute"))
    assert np.abs(clear - encrypted).max() < module.forward(iris[0]).std()


def test_nearness_worked_out_by_hand():
    """One of four rows changes; or none by its own error, and three by that of another."""
    wanted = np.array([[0.0, 1.0], [0.0, 1.0], [0.0, 3.0], [0.0, 0.1]])
    found = wanted + np.array([[0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.2, 0.0]])
    agreement, error, loss = nearness([found], [wanted])
    assert agreement == 0.75
    assert loss == 0.25
    assert error == pytest.approx(0.04 / 8 / np.mean(wanted.var(axis=0)))
    unlucky = wanted + np.array([[0.0, 0.0], [0.0, 0.0], [1.5, 0.0], [0.0, 0.0]])
    assert nearness([unlucky], [wanted]) == (
        1.0,
        pytest.approx(2.25 / 8 / np.mean(wanted.var(axis=0))),
        3 / 16,
    )
    assert nearness([unlucky], [wanted], enlarged=3)[2] == 1 / 4
    single = np.ones((4, 1))
    assert np.isnan(nearness([single], [single])[0])


def test_the_front_keeps_what_was_taken():
    setting = Setting(2, 2, 2, None, None)
    cheap = Tried(setting, 1.0, 1.0, 1.0, 0.9, 0.1, 0.1, 0.0, False)
    dear = Tried(setting, 9.0, 9.0, 9.0, 0.9, 0.1, 0.1, 0.0, True)
    quantization = Quantization([cheap, dear], 0.01, "rows")
    assert quantization.front == [cheap]
    assert [each.seconds for each in quantization.with_taken(dear).front] == [1.0, 9.0]


def test_no_bits_are_refused_where_none_can_be_read_off():
    """None is for networks that quantize themselves."""
    X = np.zeros((4, 2))
    with pytest.raises(ValueError, match="does not quantize itself, got None"):
        quantize_torch_model(nn.Linear(2, 2), X, n_bits=None)
