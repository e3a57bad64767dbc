"""Neighbors by prototypes agree with the original as far as they say, by references as it does."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.preprocessing import StandardScaler

from skfhe.exceptions import ToleranceWarning, UnsupportedModelError
from skfhe.neighbors import KNeighborsClassifier, KNeighborsRegressor
from tests.decomposition.test_projections import awkward
from tests.with_originals import failed_alone, original_of

pytestmark = pytest.mark.filterwarnings("ignore::skfhe.exceptions.ToleranceWarning")


@pytest.mark.slow
@pytest.mark.parametrize("cls", [KNeighborsClassifier, KNeighborsRegressor])
@pytest.mark.parametrize("reveal", [False, True])
def test_no_check_fails_that_the_original_passes(cls, reveal):
    model = cls(reveal_references=reveal)
    assert not failed_alone(model, original_of(model))


@pytest.mark.parametrize("weights", ["uniform", "distance"])
@pytest.mark.parametrize("load", [load_wine, load_breast_cancer, load_digits, load_diabetes])
def test_references_predict_as_the_original_does(load, weights):
    X, y = load(return_X_y=True)
    X = X if load is load_digits else StandardScaler().fit_transform(X)
    cls = KNeighborsRegressor if load is load_diabetes else KNeighborsClassifier
    model = cls(weights=weights, reveal_references=True).fit(X[::2], y[::2])
    original = original_of(model).fit(X[::2], y[::2])
    found, expected = model.predict(X[1::2]), original.predict(X[1::2])
    if cls is KNeighborsClassifier:
        assert np.mean(found == expected) >= 0.998
        np.testing.assert_allclose(
            np.mean(np.abs(model.predict_proba(X[1::2]) - original.predict_proba(X[1::2]))), 0, atol=0.002
        )
    else:
        assert abs(model.score(X[1::2], y[1::2]) - original.score(X[1::2], y[1::2])) < 0.005
    distances, order = model.kneighbors(X[1:9:2])
    expected, same = original.kneighbors(X[1:9:2])
    np.testing.assert_array_equal(order, same)
    np.testing.assert_allclose(distances, expected, atol=2e-3 * np.median(expected))


def test_ten_prototypes_a_class_come_close():
    X, y = load_digits(return_X_y=True)
    model = KNeighborsClassifier()
    with pytest.warns(ToleranceWarning, match=r"\d% of predictions .* raise n_prototypes or, if clients may"):
        model.fit(X[::2], y[::2])
    assert model.prototypes_.shape == (100, 64)
    assert 0.97 < model.agreement_ < 0.998
    assert model.score(X[1::2], y[1::2]) > 0.965
    original = original_of(model).fit(X[::2], y[::2])
    assert np.mean(model.predict(X[1::2]) == original.predict(X[1::2])) > 0.975


def test_prototypes_of_a_regression_come_close(diabetes):
    X, y = diabetes
    model = KNeighborsRegressor(10).fit(X[::2], y[::2])
    assert model.score(X[1::2], y[1::2]) > original_of(model).fit(X[::2], y[::2]).score(X[1::2], y[1::2])


@pytest.mark.parametrize("reveal", [False, True])
@pytest.mark.parametrize("cls", [KNeighborsClassifier, KNeighborsRegressor])
def test_encrypted_predictions_equal_the_clear_ones_without_a_lookup(cls, reveal, iris):
    X, y = iris
    model = cls(n_prototypes=3, reveal_references=reveal, weights="distance").fit(X[::5], y[::5])
    model.compile()
    assert model.program_.lookups == ()
    np.testing.assert_array_equal(model.predict(X[50:55], fhe="execute"), model.predict(X[50:55]))
    if reveal:
        for found, expected in zip(
            model.kneighbors(X[:3], fhe="execute"), model.kneighbors(X[:3]), strict=True
        ):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("reveal", [False, True])
def test_several_targets_and_sparse_rows(reveal, iris):
    X, y = iris
    targets = np.column_stack([np.array(["a", "b", "c"])[y], np.where(X[:, 0] > 5.8, "x", "y")])
    model = KNeighborsClassifier(reveal_references=reveal).fit(csr_matrix(X), targets)
    original = original_of(model).fit(csr_matrix(X), targets)
    found, expected = model.predict(csr_matrix(X)), original.predict(csr_matrix(X))
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    assert np.mean(found == expected) > 0.9
    assert [p.shape for p in model.predict_proba(X)] == [(150, 3), (150, 2)]
    values = KNeighborsRegressor(reveal_references=reveal).fit(X, np.column_stack([y, X[:, 0]]))
    assert values.predict(X).shape == (150, 2)


def test_neighbors_are_not_told_without_being_asked_for(iris):
    model = KNeighborsClassifier().fit(*iris)
    assert not hasattr(model, "kneighbors")
    assert not hasattr(model, "predict_log_proba")
    with pytest.raises(AttributeError) as caught:
        model.kneighbors_graph(iris[0])
    assert "give reveal_references=True if clients may know" in str(caught.value.__cause__)


def test_neighbors_of_a_model_that_was_fitted_without_them_are_refused(iris):
    model = KNeighborsClassifier().fit(*iris).set_params(reveal_references=True)
    with pytest.raises(ValueError, match=r"fitted with reveal_references=False.* fit it again"):
        model.kneighbors(iris[0])


@pytest.mark.parametrize("changed", [{"n_neighbors": 1}, {"weights": "distance"}])
def test_parameters_of_votes_are_read_when_rows_are_predicted(changed):
    """As they are by the original: how many neighbors vote is often chosen after training."""
    X = np.random.default_rng(0).normal(size=(60, 3))
    model = KNeighborsClassifier(reveal_references=True).fit(X[:40], np.arange(40) % 2)
    original = original_of(model).fit(X[:40], np.arange(40) % 2).set_params(**changed)
    model.set_params(**changed)
    np.testing.assert_allclose(model.predict_proba(X[40:]), original.predict_proba(X[40:]), atol=0.002)
    prototypes = KNeighborsClassifier().fit(X[:40], np.arange(40) % 2)
    before = prototypes.agreement_
    assert prototypes.set_params(n_neighbors=40).agreement_ != before


def test_the_graph_of_neighbors_is_the_original_s():
    X = np.random.default_rng(0).normal(size=(60, 3))  # without ties, of which any may come first
    model = KNeighborsClassifier(reveal_references=True).fit(X[:40], np.arange(40) % 2)
    expected = original_of(model).fit(X[:40], np.arange(40) % 2).kneighbors_graph(X[40:])
    np.testing.assert_array_equal(model.kneighbors_graph(X[40:]).toarray(), expected.toarray())


def test_references_that_cannot_be_told_apart_are_warned_of():
    X = awkward(200)
    y = np.arange(200) % 3
    with pytest.warns(ToleranceWarning, match="with n_bits=4; raise n_bits"):
        KNeighborsClassifier(reveal_references=True, n_bits=4).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ToleranceWarning)
        KNeighborsClassifier(reveal_references=True, n_bits=16).fit(X, y)


@pytest.mark.parametrize("params", [{"p": 1}, {"metric": "manhattan"}, {"metric": "cosine"}])
def test_metrics_that_are_not_euclidean_are_refused(params, iris):
    with pytest.raises(UnsupportedModelError, match="only Euclidean ones need no lookups"):
        KNeighborsClassifier(**params).fit(*iris)


def test_weighted_features_count_as_they_should(iris):
    X, y = iris
    params = {"metric": "minkowski", "metric_params": {"w": [1.0, 0.0, 9.0, 2.0]}, "reveal_references": True}
    model = KNeighborsClassifier(**params).fit(X[::2], y[::2])
    original = original_of(model).fit(X[::2], y[::2])
    np.testing.assert_array_equal(model.predict(X[1::2]), original.predict(X[1::2]))


@pytest.mark.parametrize("wrong", [{"n_prototypes": 0}, {"n_prototypes": 2.5}])
def test_wrong_parameters_say_what_is_expected(wrong, iris):
    with pytest.raises(ValueError, match="n_prototypes must be an int of at least 1"):
        KNeighborsClassifier(**wrong).fit(*iris)


def test_a_converted_original_equals_a_fit(iris):
    X, y = iris
    frame = pd.DataFrame(X, columns=["a", "b", "c", "d"])  # of whose names no warning speaks
    fitted = KNeighborsClassifier._original().fit(frame, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.simplefilter("ignore", ToleranceWarning)
        converted = KNeighborsClassifier.from_sklearn_model(fitted, n_prototypes=4)
        model = KNeighborsClassifier(n_prototypes=4).fit(frame, y)
        np.testing.assert_array_equal(converted.predict_proba(frame), model.predict_proba(frame))


def test_values_that_are_not_finite_are_refused(iris):
    X, y = iris
    with np.errstate(all="ignore"), pytest.raises(UnsupportedModelError, match="no finite values of rows"):
        KNeighborsRegressor(weights=lambda distance: 1 / distance**2).fit(X, y)


def test_predictions_need_rows(iris):
    with pytest.raises(ValueError, match="predicts given rows, got None"):
        KNeighborsClassifier(n_prototypes=1).fit(*iris).predict(None)
