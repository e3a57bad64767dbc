"""Searches find what is cheaper and keeps the score, and say what they saw."""

import copy

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skfhe
from skfhe.model_selection import ErrorRateSearch, RoundingSearch
from skfhe.neural_network import NeuralNetClassifier, NeuralNetRegressor

QUICK = {"max_epochs": 20, "random_state": 0}


@pytest.fixture(scope="module")
def model(iris):
    X, y = iris
    return NeuralNetClassifier(**QUICK).fit(X[::2], y[::2])


@pytest.fixture(scope="module")
def search(model, iris):
    X, y = iris
    return ErrorRateSearch(model, tolerance=0.05, n_repeats=3, random_state=0).fit(X[1::2], y[1::2])


def test_the_rate_found_is_confirmed_on_rows_of_its_own(search):
    """Bisection of 39 candidates takes 6 at most; the last result is a confirmation that passed."""
    tried = [r for r in search.results_ if r["rows"] == "search"]
    assert len(tried) <= 6
    last = search.results_[-1]
    assert last["rows"] == "confirmation"
    assert last["passes"]
    assert last["p_error"] == search.p_error_
    assert search.score_ == last["score"]
    assert search.score_ >= search.clear_score_ - 0.05 - 1e-9
    assert all(r["passes"] for r in tried if r["p_error"] <= search.p_error_)


def test_a_larger_rate_is_cheaper(search, model):
    assert search.p_error_ > 2**-40
    assert search.cost_.complexity < model.cost_.complexity
    assert search.best_estimator_.fhe_circuit_.error_rate.p_error == search.p_error_
    assert not hasattr(model, "fhe_circuit_")


def test_the_rate_found_runs_encrypted(search, iris):
    """Errors are seldom at the rate found: most rows are predicted as in the clear."""
    X = iris[0][::10]
    encrypted = search.best_estimator_.predict(X, fhe="execute")
    assert np.mean(encrypted == search.best_estimator_.predict(X)) >= 0.8


@pytest.mark.slow
def test_no_tolerance_finds_a_rate_whose_errors_do_not_show(model, iris):
    """Without tolerance the mean of the simulations is within its own standard error of the clear score."""
    search = ErrorRateSearch(model, tolerance=0.0, n_repeats=2, random_state=0).fit(*iris)
    last = search.results_[-1]
    assert search.score_ >= search.clear_score_ - last["standard_error"] - 1e-9


@pytest.mark.slow
def test_compile_with_auto_searches(model, iris):
    X, y = iris
    original = NeuralNetClassifier(**QUICK).fit(X[::2], y[::2])
    circuit = original.compile(X[1::2], y[1::2], p_error="auto", tolerance=0.05)
    assert 2**-40 <= circuit.error_rate.p_error <= 0.25
    assert circuit.complexity < copy.copy(model).compile().complexity


@pytest.mark.slow
def test_pipelines_are_searched(iris):
    X, y = iris
    pipe = make_pipeline(StandardScaler(), NeuralNetClassifier(**QUICK)).fit(X[::2], y[::2])
    search = ErrorRateSearch(pipe, tolerance=0.1, n_repeats=2, random_state=0).fit(X[1::2], y[1::2])
    assert search.best_estimator_.predict(X[:5], fhe="simulate").shape == (5,)
    assert not hasattr(pipe[-1], "fhe_circuit_")
    circuit = skfhe.compile(pipe, X[1::2], y[1::2], p_error="auto", tolerance=0.1)
    assert pipe[-1].fhe_circuit_ is circuit


@pytest.mark.slow
def test_a_regressor_and_a_scoring_of_choice(diabetes):
    X, y = diabetes
    model = NeuralNetRegressor(**QUICK).fit(X[:300], y[:300])
    search = ErrorRateSearch(model, scoring="neg_mean_absolute_error", tolerance=2.0, n_repeats=2)
    search.fit(X[300:], y[300:])
    assert search.score_ < 0
    assert search.score_ >= search.clear_score_ - 3.0


@pytest.mark.parametrize("method", ["approximate", pytest.param("exact", marks=pytest.mark.slow)])
def test_rounding_found_keeps_the_score_and_the_trained_network(iris, method):
    X, y = iris
    wide = {
        "module__n_accum_bits": 6,
        "module__n_thresholds_per_neuron": 30,
        "module__accumulator": "bounded",
    }
    model = NeuralNetClassifier(**wide, **QUICK).fit(X[::2], y[::2])
    # with half of this tolerance, one in ten searches finds none: simulations differ
    search = RoundingSearch(model, method=method, tolerance=0.1, n_repeats=2, random_state=0)
    search.fit(X[1::2], y[1::2])
    assert search.score_ >= search.clear_score_ - 0.1 - 1e-9
    assert search.rounding_threshold_bits_["method"] == method
    best = search.best_estimator_
    assert max(best.cost_.lookups) < max(model.cost_.lookups)
    assert model.rounding_threshold_bits is None
    for name, weight in model.module_.state_dict().items():
        np.testing.assert_array_equal(best.module_.state_dict()[name].numpy(), weight.numpy())


def test_narrow_models_are_left_as_they_are(iris):
    """Two-bit accumulators leave nothing to round without loss."""
    X, y = iris
    model = NeuralNetClassifier(module__n_accum_bits=1, module__skip_connection=False, **QUICK).fit(X, y)
    search = RoundingSearch(model, random_state=0).fit(X, y)
    assert search.rounding_threshold_bits_ is None
    assert search.score_ == search.clear_score_


def test_what_is_missing_is_named(model, iris):
    X, y = iris
    with pytest.raises(NotFittedError):
        ErrorRateSearch(NeuralNetClassifier()).fit(X, y)
    with pytest.raises(ValueError, match=r"needs rows and their targets: compile\(X, y, p_error"):
        model.compile(p_error="auto")
    with pytest.raises(ValueError, match="were both given"):
        model.compile(X, y, p_error="auto", global_p_error=0.1)
    with pytest.raises(ValueError, match="None or \"auto\", got 'best'"):
        model.compile(p_error="best")
    with pytest.raises(ValueError, match="tolerance"):
        ErrorRateSearch(model, tolerance=-1.0).fit(X, y)
    with pytest.raises(ValueError, match=r"nothing to round.*module__accumulator='bounded'"):
        RoundingSearch(model).fit(X, y)
