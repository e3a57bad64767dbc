"""Support vector machines: votes, probabilities, degrees, and kernels that are no polynomials."""

import warnings

import numpy as np
import pytest

from skfhe.exceptions import UnsupportedModelError
from skfhe.svm import SVC, SVR, NuSVC, NuSVR, OneClassSVM
from tests._polynomial.examples import rows
from tests.with_originals import original_of


def fitted(estimator, X, y):
    """Return an estimator and its original, fitted."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # probability=True
        return estimator.fit(X, y), original_of(estimator).fit(X, y)


@pytest.mark.parametrize("n_classes", [2, 3, 5])
@pytest.mark.parametrize(
    "params", [{"decision_function_shape": "ovr"}, {"decision_function_shape": "ovo"}, {"break_ties": True}]
)
def test_votes_and_probabilities_are_those_of_the_original(n_classes, params):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(100, 3)), np.arange(100) % n_classes
    X[:, 0] += y
    estimator = SVC(kernel="poly", degree=2, coef0=1.0, probability=True, random_state=0, **params)
    model, original = fitted(estimator, X, y)
    np.testing.assert_array_equal(model.predict(X), original.predict(X))
    expected = original.decision_function(X)
    near = np.abs(model.decision_function(X) - expected) < 0.005
    # a pair whose score is nearly zero may vote for the other
    assert near.mean() >= 0.99
    np.testing.assert_allclose(model.predict_proba(X), original.predict_proba(X), atol=0.005)


def test_parameters_of_votes_are_read_when_rows_are_predicted():
    X, y = rows()
    model = SVC(kernel="linear").fit(X, y)
    assert model.decision_function(X).shape == (60, 3)
    model.set_params(decision_function_shape="ovo", break_ties=True)
    assert model.decision_function(X).shape == (60, 3)
    with pytest.raises(ValueError, match="break_ties must be False"):
        model.predict(X)
    assert not hasattr(model, "predict_proba")


def test_parameters_of_the_kernel_are_those_that_there_are_now():
    """As the original reads them, whose predictions change with them, too."""
    X, y = rows()
    model, original = fitted(SVC(kernel="poly", degree=2), X, y)
    model.compile()
    for estimator in (model, original):
        estimator.set_params(degree=3, coef0=2.0)
    expected = original.decision_function(X)
    np.testing.assert_allclose(model.decision_function(X), expected, atol=0.01 * np.ptp(expected))
    assert not hasattr(model, "fhe_circuit_")
    with pytest.raises(ValueError, match="kernel was changed to 'rbf' after fit"):
        model.set_params(kernel="rbf").predict(X)
    with pytest.raises(UnsupportedModelError, match="got kernel='sigmoid'"):
        model.set_params(kernel="sigmoid").predict(X)


@pytest.mark.parametrize("kernel", ["linear", "poly"])
def test_classes_that_hardly_lie_apart_are_told_apart(kernel):
    """Scores of small features vary by much less than a margin, and still decide."""
    X, y = rows()
    estimator = SVC(kernel=kernel, degree=2, coef0=1.0, gamma=1.0)
    model, original = fitted(estimator, X / 1000, y)
    assert np.abs(original.decision_function(X / 1000)).max() < 3
    assert np.mean(model.predict(X / 1000) == original.predict(X / 1000)) >= 0.998


def test_classes_of_no_weight_are_refused():
    """The original takes their place for another class's."""
    X, y = rows()
    with pytest.raises(ValueError, match=r"1 of 3 classes have no row of positive weight.* leave their rows"):
        SVC(kernel="linear").fit(X, y, sample_weight=(y != 1) * 1.0)


@pytest.mark.parametrize("degree", [0, 1, 3, 4])
def test_degrees(degree):
    X, y = rows()
    model, original = fitted(SVR(kernel="poly", degree=degree, coef0=0.5), X / 2, y)
    expected = original.predict(X / 2)
    np.testing.assert_allclose(model.predict(X / 2), expected, atol=0.005 * max(np.ptp(expected), 1.0))


def test_a_linear_kernel_sends_features_alone():
    model = NuSVR(kernel="linear").fit(*rows())
    assert model.encoder_.terms.tolist() == [[0], [1], [2]]
    np.testing.assert_array_equal(model.coef_, model.dual_coef_ @ model.support_vectors_)


@pytest.mark.parametrize(
    ("estimator", "given", "instead"),
    [
        (NuSVC(kernel="sigmoid"), r"'sigmoid'; take kernel='rbf' or kernel='poly', degree=2", "LinearSVC"),
        (SVR(kernel=lambda x, y: x @ y.T), "a callable; take kernel='rbf'", "LinearSVR"),
        (OneClassSVM(kernel="sigmoid"), "'sigmoid'; take", "OneClassSVM"),
        (SVC(kernel="precomputed"), "'precomputed', .* take them for features, with kernel='linear'", ""),
    ],
)
def test_kernels_without_a_program_are_refused_before_training(estimator, given, instead):
    X, y = rows()
    X = X @ X.T if estimator.kernel == "precomputed" else X
    told = rf"got kernel={given}.*RBFSampler\(random_state=0\), skfhe\.svm\.{instead}"
    with pytest.raises(UnsupportedModelError, match=told):
        estimator.fit(X, y)
    assert not hasattr(estimator, "support_")
    original = original_of(estimator).fit(X, y)
    with pytest.raises(UnsupportedModelError, match="evaluates kernel='linear', kernel='poly' and"):
        type(estimator).from_sklearn_model(original, X)


def test_what_has_scores_but_no_predictions_can_be_trained(iris):
    model = SVC(kernel="linear", break_ties=True, decision_function_shape="ovo").fit(*iris)
    assert model.decision_function(iris[0][:2]).shape == (2, 3)
    with pytest.raises(ValueError, match="break_ties must be False"):
        model.predict(iris[0][:2])
