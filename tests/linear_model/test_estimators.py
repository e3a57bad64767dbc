import pickle

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from sklearn.base import clone, is_classifier
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression as FloatLogisticRegression
from sklearn.linear_model import Ridge as FloatRidge
from sklearn.linear_model import SGDClassifier as FloatSGDClassifier
from sklearn.metrics import d2_tweedie_score
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skfhe
from skfhe import linear_model, svm
from skfhe.exceptions import InputClippingWarning, NotCompiledError
from skfhe.linear_model import (
    ElasticNet,
    GammaRegressor,
    Lasso,
    LinearRegression,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
    SGDClassifier,
    SGDRegressor,
    TweedieRegressor,
)
from skfhe.svm import LinearSVC, LinearSVR
from tests.with_originals import failed_checks, original_of, seeded

ALL = [seeded(getattr(module, name)) for module in (linear_model, svm) for name in module.__all__]
CLASSIFIERS = [LogisticRegression(max_iter=1000), SGDClassifier(random_state=0), LinearSVC(random_state=0)]
REGRESSORS = [
    LinearRegression(),
    Ridge(),
    Lasso(),
    ElasticNet(alpha=0.01),
    SGDRegressor(random_state=0),
    PoissonRegressor(),
    GammaRegressor(),
    TweedieRegressor(power=1.5, link="log"),
    LinearSVR(random_state=0, max_iter=10_000),
]
MULTI_TARGET = [LinearRegression(), Ridge(), Lasso(), ElasticNet()]


def name(estimator):
    return type(estimator).__name__


def split(load):
    X, y = load(return_X_y=True)
    stratify = y if len(np.unique(y)) < 20 else None
    X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=stratify, random_state=0)
    scaler = StandardScaler().fit(X_train)
    return scaler.transform(X_train), scaler.transform(X_test), y_train, y_test


# The contract


@pytest.mark.parametrize("estimator", ALL, ids=name)
def test_no_check_fails_that_the_original_passes(estimator):
    assert failed_checks(estimator) <= failed_checks(original_of(estimator))


def test_every_estimator_is_tested():
    assert {name(estimator) for estimator in ALL} == {
        name(estimator) for estimator in CLASSIFIERS + REGRESSORS
    }


# What is computed


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


@pytest.mark.parametrize("estimator", MULTI_TARGET, ids=name)
def test_several_targets(estimator, diabetes):
    X, y = diabetes
    targets = np.column_stack([y, -2 * y])
    model = clone(estimator).fit(X, targets)
    model.compile()
    encrypted = model.predict(X[:3], fhe="execute")
    assert encrypted.shape == (3, 2)
    np.testing.assert_array_equal(encrypted, model.predict(X[:3]))
    np.testing.assert_allclose(encrypted, original_of(model).fit(X, targets).predict(X[:3]), rtol=0.02)


def test_encrypted_probabilities_and_scores(iris):
    model = LogisticRegression(max_iter=1000).fit(*iris)
    model.compile()
    X = iris[0][::20]
    for method in ("decision_function", "predict_proba", "predict_log_proba"):
        clear = getattr(model, method)(X)
        assert clear.shape == (8, 3)
        np.testing.assert_array_equal(getattr(model, method)(X, fhe="execute"), clear)


@pytest.mark.parametrize("loss", sorted(FloatSGDClassifier.loss_functions))
def test_every_loss_of_stochastic_gradient_descent(loss):
    """Scores and probabilities are the original's, up to quantization."""
    X, _, y, _ = split(load_iris)
    model = SGDClassifier(loss=loss, random_state=0, n_bits=14).fit(X, y)
    original = original_of(model).fit(X, y)
    scores = original.decision_function(X)
    np.testing.assert_allclose(model.decision_function(X), scores, atol=1e-3 * np.abs(scores).max())
    assert hasattr(model, "predict_proba") == hasattr(original, "predict_proba")
    if hasattr(model, "predict_proba"):
        np.testing.assert_allclose(model.predict_proba(X), original.predict_proba(X), atol=0.01)


@pytest.mark.parametrize("n_bits", [4, 8, 12])
def test_more_bits_come_closer_to_the_float_scores(n_bits, diabetes):
    """The rounding of inputs and weights, each off by half a step, bounds the error."""
    X, y = diabetes
    model, original = Ridge(n_bits=n_bits).fit(X, y), FloatRidge().fit(X, y)
    spread = 1.2 * np.ptp(X, axis=0) @ np.abs(original.coef_)
    steps = 2**n_bits - 1
    largest = np.abs(original.coef_ * 1.2 * np.ptp(X, axis=0)).max()
    weights = X.shape[1] * largest / (2 ** (n_bits - 1) - 1)
    assert np.abs(model.predict(X) - original.predict(X)).max() <= spread / steps + weights


def test_scale_of_a_feature_does_not_matter(iris):
    """Each feature has a scale of its own, folded into its weight."""
    X, y = iris
    original = FloatLogisticRegression(max_iter=1000).fit(X, y)
    stretched = FloatLogisticRegression(max_iter=1000).fit(X, y)
    factors = np.array([2.0**20, 1.0, 2.0**-20, 8.0])  # so that no product is rounded
    stretched.coef_ = original.coef_ / factors
    a = LogisticRegression.from_sklearn_model(original, X)
    b = LogisticRegression.from_sklearn_model(stretched, X * factors)
    np.testing.assert_array_equal(a.predict(X), b.predict(X * factors))
    np.testing.assert_array_equal(a.encoder_.encode(X)[0], b.encoder_.encode(X * factors)[0])


def test_features_without_a_weight_are_not_sent(diabetes):
    model = Lasso(alpha=0.5).fit(*diabetes)
    assert model.encoder_.features.tolist() == np.flatnonzero(model.coef_).tolist()
    assert model.program_.values[0].type.shape == (np.count_nonzero(model.coef_),)


def test_values_far_beyond_training_are_clipped(diabetes):
    model = Ridge().fit(*diabetes)
    model.compile()
    far = np.full((2, 10), 1e9)
    far[1] *= -1
    with pytest.warns(InputClippingWarning):
        encrypted = model.predict(far, fhe="execute")
    with pytest.warns(InputClippingWarning):
        np.testing.assert_array_equal(encrypted, model.predict(far))


def test_bits_of_inputs_and_weights_can_differ(iris):
    n_bits = {"op_inputs": 3, "op_weights": 10}
    model = LogisticRegression(max_iter=1000, n_bits=n_bits, range_margin=0).fit(*iris)
    encoded = model.encoder_.encode(iris[0])[0]
    assert (np.ptp(encoded, axis=0) >= 2**3 / 1.2).all()
    assert np.ptp(encoded, axis=0).max() <= 2**5
    weights = model.program_.values[1].op.weight
    assert 2**9 - 1 <= np.abs(weights).max() < 2**11


@pytest.mark.parametrize(
    "n_bits", [0, 1, 17, 8.0, True, "8", None, {"op_inputs": 8}, {"op_inputs": 8, "op_weights": 1}]
)
def test_wrong_n_bits_says_what_is_expected(n_bits, iris):
    with pytest.raises(ValueError, match=r"n_bits must be an int from 2 to 16"):
        LogisticRegression(n_bits=n_bits).fit(*iris)


# As scikit-learn's users expect


def test_score_of_generalized_models_is_that_of_the_integers(diabetes):
    X, y = diabetes
    model = PoissonRegressor(n_bits=3).fit(X, y)
    assert model.score(X, y) == pytest.approx(d2_tweedie_score(y, model.predict(X), power=1))
    assert model.score(X, y) != original_of(model).fit(X, y).score(X, y)


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


@pytest.mark.parametrize("estimator", [SGDClassifier, SGDRegressor])
def test_early_stopping_partial_fit_and_warm_start(estimator, iris):
    """They train the float original, and the program follows."""
    X, y = iris
    model = estimator(early_stopping=True, random_state=0).fit(X, y)
    before = model.predict(X)
    original = original_of(model).fit(X, y)
    np.testing.assert_array_equal(model.coef_, original.coef_)

    online = estimator(random_state=0)
    reference = original_of(online)
    options = {"classes": np.unique(y)} if is_classifier(online) else {}
    for _ in range(3):
        online.partial_fit(X, y, **options)
        reference.partial_fit(X, y, **options)
    np.testing.assert_array_equal(online.coef_, reference.coef_)
    assert not np.array_equal(online.predict(X), before) or is_classifier(online)

    warm = estimator(warm_start=True, random_state=0).fit(X, y).fit(X, y)
    reference = original_of(warm).fit(X, y).fit(X, y)
    np.testing.assert_array_equal(warm.coef_, reference.coef_)


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
