"""What ``fit`` takes beside rows and targets: stopping, class weights, going on, sparse rows, any scale."""

import pickle

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from torch import nn

from skfhe.exceptions import AccumulatorBudgetError
from skfhe.neural_network import NeuralNetClassifier, NeuralNetRegressor, _base
from skfhe.neural_network._recipe import batch_size, input_bits, weight_bits
from skfhe.program import run

QUICK = {"max_epochs": 4, "random_state": 0}
BOTH = [NeuralNetClassifier, NeuralNetRegressor]


# Stopping


@pytest.mark.parametrize("estimator", BOTH)
def test_early_stopping_ends_at_the_best_validation_score(estimator, iris):
    """As an MLP: the curve has every epoch, the best of those that count is what is kept."""
    options = {"early_stopping": True, "validation_fraction": 0.3, "n_iter_no_change": 4}
    model = estimator(max_epochs=60, random_state=0, **options).fit(*iris)
    assert 15 + 4 < model.n_iter_ < 60
    assert model.n_iter_ == len(model.loss_curve_) == len(model.validation_scores_)
    settled = model.validation_scores_[15:]
    assert model.best_validation_score_ == max(settled)
    assert len(settled) - np.argmax(settled) - 1 <= 5
    assert model.best_loss_ is None
    held_out = model.net_.train_split(None)[1]
    outputs = model.net_.forward(held_out).numpy()
    assert model._score_outputs(held_out.y.numpy(), outputs, None) == model.best_validation_score_
    assert len(held_out) == 45


def test_without_early_stopping_the_loss_alone_is_told(iris):
    model = NeuralNetClassifier(**QUICK).fit(*iris)
    assert model.best_loss_ == min(model.loss_curve_)
    assert model.validation_scores_ is model.best_validation_score_ is None
    assert model.n_iter_ == 4


def test_early_stopping_needs_rows(iris):
    with pytest.raises(ValueError, match="increase validation_fraction"):
        NeuralNetRegressor(early_stopping=True).fit(iris[0][:5], iris[1][:5])
    with pytest.raises(ValueError, match="partial_fit does not support early_stopping"):
        NeuralNetRegressor(early_stopping=True).partial_fit(*iris)
    with pytest.raises(ValueError, match="train_split returned none"):
        NeuralNetRegressor(early_stopping=True, train_split=lambda data, y: (data, None)).fit(*iris)


# Weights of classes


def test_class_weights_are_weights_of_rows(iris):
    """They weigh the rows of a class in the loss; "balanced" is the same as its weights written out."""
    X, y = iris[0][:120], iris[1][:120]  # 50, 50, 20
    shares = 120 / (3 * np.array([50, 50, 20]))
    balanced = NeuralNetClassifier(class_weight="balanced", **QUICK).fit(X, y)
    written = NeuralNetClassifier(class_weight=dict(enumerate(shares)), **QUICK).fit(X, y)
    plain = NeuralNetClassifier(**QUICK).fit(X, y)
    np.testing.assert_array_equal(balanced.predict_proba(X), written.predict_proba(X))
    assert balanced.predict_proba(X)[:, 2].mean() > plain.predict_proba(X)[:, 2].mean()
    assert written.module_.output.in_features == plain.module_.output.in_features


def test_balanced_classes_see_the_weights_of_the_rows(iris):
    """A weight of 3 and three rows give the same shares."""
    X, y = iris
    weight = np.where(y == 2, 1, 3)
    options = {"class_weight": "balanced", **QUICK}
    weighted = NeuralNetClassifier(**options).fit(X, y, sample_weight=weight)
    repeated = NeuralNetClassifier(**options).fit(np.repeat(X, weight, axis=0), np.repeat(y, weight))
    np.testing.assert_array_equal(weighted.predict_proba(X), repeated.predict_proba(X))


@pytest.mark.parametrize("class_weight", ["equal", {0: -1.0, 1: 1.0, 2: 1.0}, {0: np.nan}, {9: 1.0}])
def test_class_weights_that_mean_nothing_are_refused(class_weight, iris):
    with pytest.raises(ValueError, match=r"class_weight|classes, \[9\]"):
        NeuralNetClassifier(class_weight=class_weight, **QUICK).fit(*iris)


def test_class_weight_is_a_parameter_of_classifiers(iris):
    assert clone(NeuralNetClassifier(class_weight="balanced")).get_params()["class_weight"] == "balanced"
    with pytest.raises(TypeError, match="class_weight"):
        NeuralNetRegressor(class_weight="balanced")
    with pytest.raises(ValueError, match="not supported by partial_fit"):
        NeuralNetClassifier(class_weight="balanced").partial_fit(*iris, classes=[0, 1, 2])
    dearer = NeuralNetClassifier(class_weight={2: 50.0}, random_state=0).partial_fit(*iris, classes=[0, 1, 2])
    plain = NeuralNetClassifier(random_state=0).partial_fit(*iris, classes=[0, 1, 2])
    assert dearer.predict_proba(iris[0])[:, 2].mean() > plain.predict_proba(iris[0])[:, 2].mean()


def test_weights_of_the_criterion_may_be_a_list(iris):
    lists, tensors = (
        NeuralNetClassifier(criterion__weight=weight, **QUICK).fit(*iris).predict_proba(iris[0])
        for weight in ([1, 2.0, 5], torch.tensor([1.0, 2.0, 5.0]))
    )
    np.testing.assert_array_equal(lists, tensors)


# Going on


@pytest.mark.parametrize("estimator", BOTH)
def test_a_warm_start_goes_on_with_the_network_and_keeps_the_constraint(estimator, iris):
    X, y = iris
    model = estimator(warm_start=True, lr=0.005, max_epochs=6, random_state=0).fit(X, y)
    kept, first = model.module_.kept_bits.tolist(), list(model.loss_curve_)
    model = pickle.loads(pickle.dumps(model))
    model.fit(X, y)
    assert model.module_.kept_bits.tolist() == kept
    assert model.loss_curve_[:6] == first
    assert model.n_iter_ == 12
    assert len(model.net_.history) == 6
    assert model.loss_curve_[-1] < first[-1]
    assert max(model.accumulator_bits_) <= 4
    assert estimator(max_epochs=6, random_state=0).fit(X, y).fit(X, y).n_iter_ == 6


def test_a_warm_start_refuses_another_network(iris):
    X, y = iris
    model = NeuralNetClassifier(warm_start=True, **QUICK).fit(X, y)
    before = model.predict_proba(X)
    with pytest.raises(ValueError, match="classes of the previous fit"):
        model.fit(X[:100], y[:100])
    with pytest.raises(ValueError, match="3 features"):
        model.fit(X[:, :3], y)
    with pytest.raises(ValueError, match=r"module__n_accum_bits changed.*warm_start=False"):
        model.set_params(module__n_accum_bits=5).fit(X, y)
    np.testing.assert_array_equal(model.predict_proba(X), before)
    regressor = NeuralNetRegressor(warm_start=True, **QUICK).fit(X, y)
    with pytest.raises(ValueError, match=r"2 target\(s\)"):
        regressor.fit(X, np.column_stack([y, y]))


# Rows


@pytest.mark.parametrize("estimator", BOTH)
def test_sparse_rows_are_dense_rows(estimator, iris, monkeypatch):
    X, y = iris
    for container in (sparse.csr_matrix, sparse.csc_array):
        model = estimator(**QUICK).fit(container(X), y)
        expected = estimator(**QUICK).fit(X, y).predict(X)
        np.testing.assert_array_equal(model.predict(X), expected)
        np.testing.assert_array_equal(model.predict(container(X)), expected)
    monkeypatch.setattr(_base, "LARGEST_DENSE", 150 * 4 * 8 - 1)
    with pytest.raises(ValueError, match="SelectKBest"):
        estimator(**QUICK).fit(sparse.csr_matrix(X), y)


@pytest.mark.parametrize("unit", [1e300, 1e160, 1e-200, 1e-310])
def test_targets_and_features_of_any_scale(unit, iris):
    """Predictions are those at the ordinary scale, times the unit, as far as floats hold them."""
    X, y = iris[0][:, :3], iris[0][:, 3]
    options = {"max_epochs": 10, "random_state": 0}
    ordinary = NeuralNetRegressor(**options).fit(X, y).predict(X)
    targets = NeuralNetRegressor(**options).fit(X, y * unit).predict(X)
    np.testing.assert_allclose(targets / unit, ordinary, rtol=1e-6)
    features = NeuralNetRegressor(**options).fit(X * unit, y).predict(X * unit)
    assert np.corrcoef(features, ordinary)[0, 1] > 0.9


def test_targets_that_no_float_can_hold_apart_are_refused():
    X = np.arange(8.0)[:, None]
    with pytest.raises(ValueError, match=r"y spans -1e\+308 to 1.5e\+308"):
        NeuralNetRegressor(**QUICK).fit(X, np.where(X[:, 0] > 3, 1.5e308, -1e308))
    far = np.where(X[:, 0] == 3, 1e60, X[:, 0])
    with pytest.raises(ValueError, match=r"y\[3\]=1e\+60 is too far"):
        NeuralNetRegressor(**QUICK).fit(X, far, sample_weight=np.where(far > 9, 1e-200, 1.0))


def test_a_constant_target_is_predicted_as_it_is():
    X = np.random.default_rng(0).normal(size=(30, 3))
    prediction = NeuralNetRegressor(max_epochs=20, random_state=0).fit(X, np.full(30, 0.1)).predict(X)
    assert np.abs(prediction - 0.1).max() < 0.5


@pytest.mark.parametrize(("kind", "lr"), [("bounded", 1e30), ("wrapping", 1e38)])
def test_a_training_that_diverges_is_refused(iris, kind, lr):
    model = NeuralNetClassifier(module__accumulator=kind, lr=lr, optimizer=torch.optim.SGD, **QUICK)
    with pytest.raises(ValueError, match=r"did not converge.*lower lr"):
        model.fit(*iris)


def test_sizes_follow_the_data():
    assert [batch_size("auto", n) for n in (10, 16_000, 50_000, 10**6)] == [32, 32, 100, 200]
    assert batch_size(7, 10**6) == 7
    assert [weight_bits(4, n) for n in (15, 14, 5, 4, 1)] == [2, 3, 3, 4, 4]
    assert [input_bits(NeuralNetClassifier(), n) for n in (10, 4999, 5000)] == [5, 5, 6]
    assert input_bits(NeuralNetClassifier(module__accumulator="bounded"), 5000) == 5
    assert input_bits(NeuralNetClassifier(module__n_input_bits=3), 5000) == 3


# Rounding


@pytest.mark.parametrize("rounding", [1, 2, {"n_bits": 1, "method": "approximate"}])
def test_the_guarantee_holds_with_rounding(rounding):
    """A rounded accumulator can pass its end; the table must not hold anything there that widens the next."""
    X, y = load_breast_cancer(return_X_y=True)
    options = {"module__n_layers": 4, "module__n_accum_bits": 4, "rounding_threshold_bits": rounding}
    for seed in range(2):
        for activation in (nn.ReLU, nn.Hardtanh):
            model = NeuralNetClassifier(
                module__activation_function=activation, max_epochs=2, random_state=seed, **options
            ).fit(X, y)
            assert max(model.accumulator_bits_) <= 4
            inputs = model.encoder_.encode(X[:50])
            assert all(len(output) == 50 for output in run(model.program_, *inputs))


@pytest.mark.parametrize(("kind", "bits"), [("bounded", 4), ("wrapping", 3)])
def test_a_network_that_breaks_the_guarantee_is_refused_by_name(iris, kind, bits):
    """The last line of defence names the layer and the width it needs."""
    model = NeuralNetClassifier(module__accumulator=kind, **QUICK).fit(*iris)
    model._plan.module["n_accum_bits"] = 2
    with pytest.raises(
        AccumulatorBudgetError, match=rf"hidden layer 1.*smallest module__n_accum_bits.* {bits}"
    ):
        model.lower()
