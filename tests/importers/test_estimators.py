"""Trained networks as estimators: what scikit-learn expects of them, and perceptrons of its own."""

import json
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.datasets import load_diabetes, load_digits, load_iris, make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

import skfhe
from skfhe.deployment._reading.estimators import estimator_predictor
from skfhe.deployment._values import from_values, to_values
from skfhe.exceptions import NotCompiledError
from skfhe.importers import TorchClassifier, TorchRegressor
from skfhe.program import run_batched

METHODS = ("predict", "predict_proba", "predict_log_proba", "decision_function")
NAMES = np.array(["setosa", "versicolor", "virginica"])
SIX = {"n_bits": 6, "rounding_threshold_bits": 6, "margin": 0.5}


@pytest.fixture(scope="module")
def flowers():
    X, y = load_iris(return_X_y=True)
    return StandardScaler().fit_transform(X), NAMES[y]


@pytest.fixture(scope="module")
def perceptron(flowers):
    return MLPClassifier((8,), max_iter=1500, random_state=0, learning_rate_init=0.01).fit(*flowers)


@pytest.fixture(scope="module")
def classifier(perceptron, flowers):
    return TorchClassifier.from_sklearn_model(perceptron, flowers[0], **SIX)


def alike_on_the_client(model, X):
    """Compare an estimator with its client's half, as a file gives it back."""
    values, arrays = to_values(estimator_predictor(model))
    predictor = from_values(json.loads(json.dumps(values)), arrays, "Predictor")
    outputs = run_batched(model.program_, *predictor.encode(X))
    assert predictor.methods == tuple(name for name in METHODS if hasattr(model, name))
    for method in predictor.methods:
        np.testing.assert_array_equal(predictor.answer(method, outputs, (X,)), getattr(model, method)(X))


def test_a_perceptron_predicts_as_its_original(classifier, perceptron, flowers):
    X, y = flowers
    assert np.mean(classifier.predict(X) == perceptron.predict(X)) >= 0.98
    assert np.abs(classifier.predict_proba(X) - perceptron.predict_proba(X)).mean() < 0.02
    assert classifier.score(X, y) >= perceptron.score(X, y) - 0.02
    assert classifier.decision_function(X).shape == (150, 3)
    np.testing.assert_array_equal(classifier.classes_, perceptron.classes_)
    alike_on_the_client(classifier, X)


def test_two_classes_and_several_labels(flowers):
    X, y = flowers
    two = MLPClassifier((4,), "tanh", max_iter=60, random_state=0, learning_rate_init=0.05)
    rows, labels = make_multilabel_classification(120, 5, n_classes=3, random_state=0)
    several = MLPClassifier((6,), "logistic", max_iter=200, random_state=0, learning_rate_init=0.05)
    with pytest.warns(ConvergenceWarning):
        pairs = [(two.fit(X, y == "setosa"), X), (several.fit(rows, labels), rows)]
    for original, given in pairs:
        converted = TorchClassifier.from_sklearn_model(original, given, **SIX)
        assert converted.predict(given).shape == original.predict(given).shape
        assert np.mean(converted.predict(given) == original.predict(given)) >= 0.95
        assert np.abs(converted.predict_proba(given) - original.predict_proba(given)).mean() < 0.03
        alike_on_the_client(converted, given)


def test_regressions_of_one_target_and_of_several():
    X, y = load_diabetes(return_X_y=True)
    X, y = 10 * X[:200], y[:200] / 100
    for loss, targets in (("squared_error", y), ("squared_error", np.c_[y, -y]), ("poisson", y)):
        original = MLPRegressor(
            loss=loss, hidden_layer_sizes=(6,), max_iter=900, random_state=0, solver="lbfgs", alpha=1.0
        )
        original.fit(X, targets)
        converted = TorchRegressor.from_sklearn_model(original, X, **SIX)
        found, expected = converted.predict(X), original.predict(X)
        assert found.shape == expected.shape
        assert np.sqrt(np.mean((found - expected) ** 2)) < 0.15 * expected.std()
        assert converted.score(X, targets) >= original.score(X, targets) - 0.05
    alike_on_the_client(converted, X)
    assert is_regressor(converted)


def test_it_is_an_estimator(classifier, flowers):
    """Fitting learns nothing but grids and classes: the network is a parameter, and stays as it is."""
    X, y = flowers
    assert is_classifier(classifier)
    copy = clone(classifier)
    assert copy.net is not classifier.net
    with pytest.raises(NotFittedError):
        copy.predict(X)
    before = [p.clone() for p in copy.net.parameters()]
    assert copy.fit(X, y) is copy
    assert all(torch.equal(a, b) for a, b in zip(before, copy.net.parameters(), strict=True))
    np.testing.assert_array_equal(copy.predict_proba(X), classifier.predict_proba(X))
    assert copy.set_params(n_bits=3).get_params()["n_bits"] == 3
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(copy)).predict(X), classifier.predict(X))
    with pytest.raises(NotCompiledError):
        copy.predict(X, fhe="simulate")
    assert "lookups" in str(copy.report())


def test_searches_run_over_bits(classifier, flowers):
    X, y = flowers
    model = TorchClassifier(classifier.net, classes=NAMES, rounding_threshold_bits=6, margin=1.0)
    pipeline = make_pipeline(StandardScaler(), model)
    search = GridSearchCV(pipeline, {"torchclassifier__n_bits": [1, 6]}, cv=2, error_score="raise")
    search.fit(X, y)
    assert search.best_params_ == {"torchclassifier__n_bits": 6}
    assert search.best_score_ > 0.9


def test_encrypted_predictions_are_those_in_the_clear(classifier, flowers):
    X, y = flowers
    model = TorchClassifier(nn.Sequential(classifier.net, nn.Softmax(1)), n_bits=2).fit(X, y)
    pipeline = make_pipeline(StandardScaler(), model).fit(X, y)
    skfhe.compile(pipeline)
    assert max(pipeline[-1].cost_.lookups) <= 6
    np.testing.assert_array_equal(
        model.predict_proba(X[:2], fhe="execute"), model.predict_proba(X[:2], fhe="disable")
    )


def test_probabilities_of_the_network_are_taken_as_they_are(classifier, flowers):
    """A softmax runs after decryption: whether it is the network's or the estimator's makes no difference."""
    X, y = flowers
    own = TorchClassifier(nn.Sequential(classifier.net, nn.Softmax(1)), **SIX).fit(X, y)
    np.testing.assert_allclose(own.predict_proba(X), classifier.predict_proba(X), rtol=1e-12)
    assert not hasattr(own, "decision_function")
    alike_on_the_client(own, X)
    logs = TorchClassifier(nn.Sequential(classifier.net, nn.LogSoftmax(1)), **SIX).fit(X, y)
    np.testing.assert_allclose(logs.predict_proba(X), classifier.predict_proba(X), rtol=1e-9)
    linear = LogisticRegression().fit(X, y == "setosa")
    net = nn.Sequential(nn.Linear(4, 1), nn.Sigmoid())
    with torch.no_grad():
        net[0].weight.copy_(torch.from_numpy(linear.coef_))
        net[0].bias.copy_(torch.from_numpy(linear.intercept_))
    two = TorchClassifier(net, n_bits=8).fit(X, y == "setosa")
    np.testing.assert_array_equal(two.predict(X), linear.predict(X))
    assert np.abs(two.predict_proba(X) - linear.predict_proba(X)).max() < 0.02


def test_rows_of_several_axes():
    digits = load_digits()
    images, y = digits.images[:100, None] / 16, digits.target[:100]
    net = nn.Sequential(nn.Conv2d(1, 2, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(18, 10))
    model = TorchClassifier(net, n_bits=3, classes=range(10)).fit(images, y)
    assert model.predict_proba(images[:4]).shape == (4, 10)
    alike_on_the_client(model, images[:4])
    with pytest.raises(ValueError, match=r"must have shape \(n_rows, 1, 8, 8\)"):
        model.predict(images[:, :, :4])


def several_outputs(x):
    return {"a": x, "b": x}


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.layer, self.function = nn.Linear(4, 3), function

    def forward(self, x):
        return self.function(self.layer(x))


@pytest.mark.parametrize(
    ("net", "parameters", "y", "error", "message"),
    [
        ("net", {}, None, TypeError, "must be a trained torch.nn.Module, got str"),
        (nn.Linear(4, 2), {}, NAMES, ValueError, r"gives 2 score\(s\) a row, and there are 3 classes"),
        (nn.Linear(4, 3), {"classes": ["a", "b", "c"]}, NAMES, ValueError, "not among classes"),
        (nn.Linear(4, 3), {"probabilities": "yes"}, NAMES, ValueError, "probabilities must be"),
        (nn.Linear(4, 3), {}, [0.5, 1.5, 2.5], ValueError, "Unknown label type"),
        (nn.Linear(5, 3), {}, NAMES, ValueError, "could not capture"),
        (Function(several_outputs), {}, NAMES, ValueError, "returns scores alone"),
        (Function(lambda x: (x, 2 * x)), {}, NAMES, ValueError, "one output that has elements"),
    ],
)
def test_what_does_not_fit_is_refused(flowers, net, parameters, y, error, message):
    targets = None if y is None else np.resize(y, 150)
    with pytest.raises(error, match=message):
        TorchClassifier(net, n_bits=3, **parameters).fit(flowers[0], targets)


def test_only_perceptrons_are_converted(flowers, perceptron):
    with pytest.raises(TypeError, match=r"a fitted sklearn.neural_network.MLPRegressor, got MLPClassifier"):
        TorchRegressor.from_sklearn_model(perceptron, flowers[0])
    with pytest.raises(NotFittedError):
        TorchClassifier.from_sklearn_model(MLPClassifier(), flowers[0])
    with pytest.raises(ValueError, match="X has 2 features"):
        TorchClassifier.from_sklearn_model(perceptron, flowers[0][:, :2])
    with pytest.raises(ValueError, match=r"predicts 3 target\(s\) a row, and y has 1"):
        TorchRegressor(nn.Linear(4, 3), n_bits=3).fit(flowers[0], np.ones(150))


@pytest.mark.parametrize("last", [nn.Identity(), nn.Softmax(dim=1)])
def test_scores_in_another_order_than_the_labels_give_sorted_columns(flowers, last):
    """Metrics take columns of probabilities to be in the order of the sorted labels."""
    rows, _ = flowers
    net = nn.Sequential(nn.Linear(4, 3), last)
    names = np.array(["c", "a", "b"])
    straight = TorchClassifier(net, n_bits=4, classes=[0, 1, 2]).fit(rows)
    named = TorchClassifier(net, n_bits=4, classes=names).fit(rows)
    np.testing.assert_array_equal(named.classes_, ["a", "b", "c"])
    np.testing.assert_array_equal(named.predict(rows), names[straight.predict(rows)])
    columns = straight.predict_proba(rows)[:, [1, 2, 0]]
    np.testing.assert_allclose(named.predict_proba(rows), columns, rtol=0, atol=1e-12)


@pytest.mark.parametrize("last", [nn.Identity(), nn.Sigmoid()])
def test_one_score_for_a_label_that_sorts_first(flowers, last):
    rows, _ = flowers
    net = nn.Sequential(nn.Linear(4, 1), last)
    straight = TorchClassifier(net, n_bits=4).fit(rows)
    named = TorchClassifier(net, n_bits=4, classes=["pos", "neg"]).fit(rows)
    np.testing.assert_array_equal(named.classes_, ["neg", "pos"])
    np.testing.assert_allclose(named.predict_proba(rows), straight.predict_proba(rows)[:, ::-1], atol=1e-12)


@pytest.mark.parametrize("classes", [["a", "b", "b"], [["a", "b", "c"]]])
def test_classes_are_one_different_label_a_score(flowers, classes):
    with pytest.raises(ValueError, match="classes must be one label a score, all different"):
        TorchClassifier(nn.Linear(4, 3), n_bits=4, classes=classes).fit(flowers[0])


def test_a_clone_of_a_converted_poisson_regressor_predicts_rates(flowers):
    rows, labels = flowers
    counts = np.unique(labels, return_inverse=True)[1]
    fitted = MLPRegressor("poisson", (4,), max_iter=20, random_state=0).fit(rows, counts)
    converted = TorchRegressor.from_sklearn_model(fitted, rows, n_bits=6)
    np.testing.assert_array_equal(clone(converted).fit(rows, counts).predict(rows), converted.predict(rows))


def test_bits_are_searched_for_without_rounding_too(flowers):
    """The widest setting has accumulators of 17 bits there, which no lookup reads."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
    model = TorchClassifier(net, rounding_threshold_bits=None, tolerance=0.1).fit(flowers[0])
    assert max(model.accumulator_bits_) <= 16
    assert model.quantized_module_.quantization_.taken is not None
