"""What users of scikit-learn expect of any estimator, of linear ones."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from sklearn.base import clone, is_classifier
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression as FloatLogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skfhe
from skfhe import linear_model
from skfhe.exceptions import InputClippingWarning, NotCompiledError
from skfhe.linear_model import LogisticRegression, Ridge
from tests._linear.examples import ALIKE, ALL, CLASSIFIERS, REGRESSORS, name, split
from tests.with_originals import failed_alone, original_of, seeded

LONG = {
    *("ElasticNetCV", "GammaRegressor", "HuberRegressor", "LassoCV", "LogisticRegressionCV"),
    *("MultiTaskElasticNetCV", "MultiTaskLassoCV", "Perceptron", "PoissonRegressor", "QuantileRegressor"),
    *("RANSACRegressor", "RidgeCV", "RidgeClassifierCV", "TheilSenRegressor", "TweedieRegressor"),
}
"""That take long themselves, or are made as others are."""
CHECKED = [pytest.param(e, marks=pytest.mark.slow if name(e) in LONG else (), id=name(e)) for e in ALL]


@pytest.mark.parametrize("estimator", CHECKED)
def test_no_check_fails_that_the_original_passes(estimator):
    assert not failed_alone(estimator, original_of(estimator))


def test_every_estimator_is_tested():
    assert {name(estimator) for estimator in ALL} == {
        *(name(estimator) for estimator in CLASSIFIERS + REGRESSORS),
        *ALIKE,
    }


@pytest.mark.parametrize("estimator", CLASSIFIERS, ids=name)
@pytest.mark.parametrize("load", [load_iris, load_wine, load_breast_cancer, load_digits])
def test_accuracy_is_that_of_the_float_model(estimator, load):
    X_train, X_test, y_train, y_test = split(load)
    ours, original = clone(estimator).fit(X_train, y_train), original_of(estimator).fit(X_train, y_train)
    one_row = 1 / len(y_test)
    assert abs(ours.score(X_test, y_test) - original.score(X_test, y_test)) <= max(0.005, one_row) + 1e-9


@pytest.mark.parametrize("estimator", REGRESSORS, ids=name)
def test_r2_is_that_of_the_float_model(estimator):
    X_train, X_test, y_train, y_test = split(load_diabetes)
    ours, original = clone(estimator).fit(X_train, y_train), original_of(estimator).fit(X_train, y_train)
    assert abs(ours.score(X_test, y_test) - original.score(X_test, y_test)) < 0.005


@pytest.mark.parametrize("estimator", [*CLASSIFIERS, *REGRESSORS], ids=name)
def test_encrypted_predictions_equal_the_clear_ones_without_a_lookup(estimator, iris, diabetes):
    X, y = iris if is_classifier(estimator) else diabetes
    model = clone(estimator).fit(X, y)
    assert model.program_.lookups == ()
    model.compile()
    np.testing.assert_array_equal(model.predict(X[:9], fhe="execute"), model.predict(X[:9]))
    np.testing.assert_array_equal(model.predict(X[:9], fhe="simulate"), model.predict(X[:9]))


def alike(kind, iris, diabetes):
    """Return an estimator that was fitted as its original was, that original, and rows."""
    estimator = seeded(getattr(linear_model, kind), **ALIKE[kind])
    X, y = iris if is_classifier(estimator) else diabetes
    targets = np.column_stack([y, -y]) if kind.startswith("MultiTask") else y
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return estimator.fit(X, targets), original_of(estimator).fit(X, targets), X


@pytest.mark.parametrize("kind", ALIKE)
def test_others_have_the_scores_of_their_originals_and_convert_them(kind, iris, diabetes):
    """They are read from weights as those above are, and precise in the spread of their scores."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class that scikit-learn is to drop says so
        model, original, X = alike(kind, iris, diabetes)
        converted = type(model).from_sklearn_model(original, X)
    method = "decision_function" if hasattr(model, "decision_function") else "predict"
    found, expected = getattr(model, method)(X), getattr(original, method)(X)
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    assert (np.abs(found - expected) <= 0.1 * expected.std(axis=0)).all()
    np.testing.assert_array_equal(getattr(converted, method)(X), found)
    assert model.predict(X).dtype == original.predict(X).dtype
    assert model.program_.lookups == ()


@pytest.mark.parametrize(
    "kind", [pytest.param(k, marks=() if k == "SGDOneClassSVM" else pytest.mark.slow) for k in ALIKE]
)
def test_others_predict_encrypted(kind, iris, diabetes):
    model, _, X = alike(kind, iris, diabetes)
    model.compile()
    np.testing.assert_array_equal(model.predict(X[:2], fhe="execute"), model.predict(X[:2]))


def test_values_far_beyond_training_are_clipped(diabetes):
    model = Ridge().fit(*diabetes)
    model.compile()
    far = np.full((2, 10), 1e9)
    far[1] *= -1
    with pytest.warns(InputClippingWarning):
        encrypted = model.predict(far, fhe="execute")
    with pytest.warns(InputClippingWarning):
        np.testing.assert_array_equal(encrypted, model.predict(far))


@pytest.mark.parametrize(
    "n_bits", [0, 1, 17, 8.0, True, "8", None, {"op_inputs": 8}, {"op_inputs": 8, "op_weights": 1}]
)
def test_wrong_n_bits_says_what_is_expected(n_bits, iris):
    with pytest.raises(ValueError, match=r"n_bits must be an int from 2 to 16"):
        LogisticRegression(n_bits=n_bits).fit(*iris)


def test_sparse_rows_give_the_same_as_dense_ones(iris):
    X, y = iris
    sparse = LogisticRegression(max_iter=1000).fit(csr_matrix(X), y)
    np.testing.assert_array_equal(sparse.decision_function(csr_matrix(X)), sparse.decision_function(X))
    assert sparse.score(X, y) == LogisticRegression(max_iter=1000).fit(X, y).score(X, y)


def test_rows_of_zero_weight_stay_out_of_calibration(iris):
    X, y = iris
    outlier = np.vstack([X, np.full((1, 4), 1e6)])
    weight = np.r_[np.ones(len(X)), 0.0]
    model = LogisticRegression(max_iter=1000).fit(outlier, np.r_[y, 0], sample_weight=weight)
    expected = LogisticRegression(max_iter=1000).fit(X, y)
    np.testing.assert_array_equal(model.encoder_.encode(X)[0], expected.encoder_.encode(X)[0])


def test_failed_fit_leaves_the_estimator_as_it_was(iris):
    X, y = iris
    model = LogisticRegression(max_iter=1000).fit(X, y)
    model.compile()
    before = model.predict(X)
    with pytest.raises(ValueError, match="NaN"):
        model.fit(np.full_like(X, np.nan), y)
    np.testing.assert_array_equal(model.predict(X), before)
    assert hasattr(model, "fhe_circuit_")
    model.fit(X, y)
    with pytest.raises(NotCompiledError, match="call compile"):
        model.predict(X, fhe="execute")


def test_pickle_of_a_compiled_model_predicts_encrypted(iris):
    X, y = iris
    model = LogisticRegression(max_iter=1000).fit(X, y)
    model.compile()
    loaded = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(loaded.predict_proba(X[:2], fhe="execute"), model.predict_proba(X[:2]))


def test_pipeline_search_and_data_frame():
    X, y = load_breast_cancer(return_X_y=True)
    frame = pd.DataFrame(X, columns=[f"f{i}" for i in range(30)])
    pipe = make_pipeline(StandardScaler().set_output(transform="pandas"), LogisticRegression())
    search = GridSearchCV(pipe, {"logisticregression__n_bits": [2, 8]}, cv=3).fit(frame, y)
    assert search.best_params_ == {"logisticregression__n_bits": 8}
    skfhe.compile(search)
    best = search.best_estimator_
    assert best[-1].feature_names_in_.tolist() == list(frame)
    np.testing.assert_array_equal(best.predict(frame[:3], fhe="execute"), best.predict(frame[:3]))


# Converting a fitted original


@pytest.mark.parametrize("estimator", [*CLASSIFIERS, *REGRESSORS], ids=name)
def test_converted_original_equals_a_fit(estimator, iris, diabetes):
    X, y = iris if is_classifier(estimator) else diabetes
    converted = type(estimator).from_sklearn_model(original_of(estimator).fit(X, y), X, n_bits=6)
    expected = clone(estimator).set_params(n_bits=6).fit(X, y)
    assert converted.get_params() == expected.get_params()
    np.testing.assert_array_equal(converted.predict(X), expected.predict(X))


def test_conversion_says_what_is_missing(iris):
    X, y = iris
    fitted = FloatLogisticRegression(max_iter=1000).fit(X, y)
    with pytest.raises(ValueError, match="needs rows to calibrate"):
        LogisticRegression.from_sklearn_model(fitted)
    with pytest.raises(
        TypeError,
        match=r"a fitted sklearn\.linear_model\.Ridge, got Logis.*; use skfhe\.linear_model\.Logis",
    ):
        Ridge.from_sklearn_model(fitted, X)
    with pytest.raises(NotFittedError):
        LogisticRegression.from_sklearn_model(FloatLogisticRegression(), X)
