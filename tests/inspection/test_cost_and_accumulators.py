"""What bars show are the numbers that the estimator gives."""

import numpy as np
import pytest
import torch

import skfhe
from skfhe.cost import Cost, Report
from skfhe.exceptions import ClearEvaluationError
from skfhe.importers import quantize_torch_model
from skfhe.inspection import AccumulatorDisplay, CostDisplay
from skfhe.inspection._subject import subject_of
from skfhe.linear_model import LogisticRegression
from skfhe.program import ProgramBuilder, bit_width, ops, trace
from tests.inspection.conftest import X, Y


class Model:
    """A program that passes for a network, which takes integers as they are."""

    def __init__(self, program):
        self.given = program

    @property
    def program_(self):
        return self.given

    @property
    def accumulator_bits_(self):
        return self.given.accumulator_bits

    def quantize_input(self, X):
        return X


def test_costs_are_those_of_the_report_and_add_up_to_that_of_the_estimator(tree):
    display = CostDisplay.from_estimator(tree)
    report = Report.of(tree.program_)
    assert display.layers == [row.layer for row in report.rows]
    np.testing.assert_allclose(
        display.complexity / display.complexity.sum(), [row.cost_share for row in report.rows]
    )
    np.testing.assert_array_equal(display.lookups, [row.lookups for row in report.rows])
    np.testing.assert_array_equal(display.lookup_bits, [row.lookup_bits for row in report.rows])
    assert display.complexity.sum() == pytest.approx(tree.cost_.complexity)
    assert display.lookups.sum() == tree.cost_.n_lookups
    assert display.cost == tree.cost_
    np.testing.assert_allclose([bar.get_width() for bar in display.bars_], display.complexity / 1e6)
    assert [label.get_text() for label in display.ax_.get_yticklabels()] == display.layers
    assert display.ax_.get_xlabel() == "operations for one row (millions)"
    assert f"about {tree.cost_.seconds:.2g} s a row" in display.ax_.get_title()


def test_without_lookups_it_is_said_where_the_time_goes(linear):
    display = CostDisplay.from_estimator(linear)
    assert display.complexity.tolist() == [0.0]
    assert "encryption and decryption" in display.ax_.get_title()


def test_what_cannot_be_compiled_has_no_bars_and_a_reason():
    display = CostDisplay(
        layers=["wide"],
        complexity=np.array([np.inf]),
        lookups=np.array([2]),
        lookup_bits=np.array([20]),
        cost=Cost({20: 2}, np.inf, np.inf, refusal="the lookup of 'wide' reads 20 bits"),
    ).plot()
    assert display.bars_[0].get_width() == 0
    assert display.ax_.get_title() == "cannot be compiled: the lookup of 'wide' reads 20 bits"


def test_of_many_layers_the_dearest_are_shown_and_the_others_as_one():
    work = np.array([5.0, 1.0, 4.0, 2.0, 3.0])
    display = CostDisplay(
        layers=list("abcde"),
        complexity=work * 1e6,
        lookups=np.arange(1, 6),
        lookup_bits=np.full(5, 3),
        cost=Cost({3: 15}, 15e6, 1.0),
    )
    display.plot(max_layers=4)
    assert [t.get_text() for t in display.ax_.get_yticklabels()] == ["a", "c", "e", "2 other layers"]
    assert [bar.get_width() for bar in display.bars_] == [5.0, 4.0, 3.0, 3.0]
    with pytest.raises(ValueError, match="at least 1"):
        display.plot(max_layers=0)


def test_proven_widths_are_the_estimator_s_and_used_ones_those_of_its_integers(tree):
    """Lookups and outputs are in the order of the program."""
    display = AccumulatorDisplay.from_estimator(tree, X)
    assert display.proven_bits.tolist() == [*tree.accumulator_bits_, *tree.output_bits_]
    values = trace(tree.program_, tree.quantize_input(X))
    read = [tree.program_.accumulator_of(at) for at in tree.program_.lookups]
    expected = [bit_width(values[at].min(), values[at].max()) for at in (*read, *tree.program_.outputs)]
    assert display.used_bits.tolist() == expected
    assert (display.used_bits <= display.proven_bits).all()
    assert display.n_rows == len(X)
    assert [bar.get_width() for bar in display.proven_bars_] == display.proven_bits.tolist()
    assert [bar.get_width() for bar in display.used_bars_] == expected
    labels = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert labels == ["proven for every row", f"used by {len(X)} rows"]


def test_without_rows_only_what_is_proven_is_shown(tree):
    display = AccumulatorDisplay.from_estimator(tree)
    assert display.used_bits is None
    assert display.used_bars_ is None


def test_sums_that_wrap_are_told_by_what_they_would_take():
    """The lookup of p bits reads a circle of p + 1; the rows' sums go round it."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(1), np.full(1, 100), label="x")
    circle = builder.add(ops.Modulo(4), x, label="circle")
    wave = np.array([[1, 2, 3, 4, 4, 3, 2, 1]])
    table = np.concatenate([wave, -wave], axis=1)
    y = builder.add(ops.Lookup(table, np.array([0])), circle, label="wave")
    display = AccumulatorDisplay.from_estimator(Model(builder.finish(y)), np.array([[3], [90]]))
    assert display.layers == ["wave (output)"]
    assert (display.proven_bits.tolist(), display.used_bits.tolist()) == ([3], [7])
    assert "7, wraps to 3" in [text.get_text() for text in display.ax_.texts]


def test_what_rounding_leaves_is_marked():
    builder = ProgramBuilder()
    x = builder.input(np.zeros(1), np.full(1, 60), label="x")
    rounded = builder.add(ops.Truncate(2), x, label="rounded")
    table = builder.add(ops.Lookup(np.arange(16)[None], np.array([0]), step=4), rounded, label="table")
    display = AccumulatorDisplay.from_estimator(Model(builder.finish(table)))
    assert (display.proven_bits.tolist(), display.lookup_bits.tolist()) == ([6], [4])
    labels = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert "read by its lookups, after rounding" in labels


def test_there_have_to_be_rows_to_use_bits(tree):
    """Where the estimator itself does not refuse none, too."""
    builder = ProgramBuilder()
    model = Model(builder.finish(builder.input(np.zeros(1), np.full(1, 60), label="x")))
    with pytest.raises(ValueError, match="X has no rows"):
        AccumulatorDisplay.from_estimator(model, np.zeros((0, 1), dtype=int))
    display = AccumulatorDisplay.from_estimator(model, np.zeros((1, 1), dtype=int))
    assert "used by 1 row" in [text.get_text() for text in display.ax_.get_legend().get_texts()]


def test_rows_are_not_evaluated_where_that_is_forbidden():
    model = skfhe.set_mode(LogisticRegression(max_iter=300).fit(X, Y), "execute", clear="forbid")
    AccumulatorDisplay.from_estimator(model)
    with pytest.raises(ClearEvaluationError):
        AccumulatorDisplay.from_estimator(model, X)


def test_integers_are_those_that_are_encrypted(tree):
    """For each input of the program, and in a network given as it takes them."""
    (given,) = subject_of(tree).integers(X)
    np.testing.assert_array_equal(given, tree.encoder_.encode(X)[0])
    np.testing.assert_array_equal(given, tree.quantize_input(X))


def test_a_network_with_several_inputs_is_given_them_as_a_tuple():
    class Sum(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = torch.nn.Linear(3, 2), torch.nn.Linear(4, 2)

        def forward(self, a, b):
            return torch.relu(self.first(a) + self.second(b))

    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(40, 3)).astype(np.float32), rng.normal(size=(40, 4)).astype(np.float32)
    module = quantize_torch_model(Sum(), rows, n_bits=3, rounding_threshold_bits=4)
    display = AccumulatorDisplay.from_estimator(module, rows)
    assert display.n_rows == 40
    assert display.estimator_name == "QuantizedModule"
    assert (display.used_bits <= display.proven_bits).all()
    assert display.range_source == module.program_.range_source
    assert CostDisplay.from_estimator(module).cost == module.cost_
