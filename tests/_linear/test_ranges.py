"""How far inputs are represented, and how finely: what users meet beyond the middle of the training range."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from sklearn.preprocessing import StandardScaler

from skfhe.exceptions import InputClippingWarning
from skfhe.linear_model import (
    Lasso,
    LinearRegression,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
    SGDClassifier,
    SGDRegressor,
)
from skfhe.svm import LinearSVR
from tests._linear.examples import CLASSIFIERS, REGRESSORS
from tests.with_originals import original_of, seeded

CLASSES = [type(estimator) for estimator in (*CLASSIFIERS, *REGRESSORS)]


def fitted(estimator, X, y):
    """Return the estimator and its original, fitted."""
    return clone(estimator).fit(X, y), original_of(estimator).fit(X, y)


def loss(estimator, train, test):
    """Return how much less than the original's the score is."""
    ours, original = fitted(estimator, *train)
    return original.score(*test) - ours.score(*test)


# Far from the bulk, the score stays within 0.01 of the float model's.


@pytest.mark.parametrize(
    "estimator", [LinearRegression(), Ridge(), LinearSVR(random_state=0, max_iter=10**5)]
)
def test_a_trend_goes_on_beyond_the_training_range(estimator):
    t = np.arange(600.0)[:, None]
    y = 0.3 * t[:, 0] + 5 + np.random.default_rng(0).normal(size=600)
    X = t / 100 if isinstance(estimator, LinearSVR) else t
    assert loss(estimator, (X[:400], y[:400]), (X[400:], y[400:])) < 0.01
    model = clone(estimator).fit(X[:400], y[:400])
    model.compile()
    np.testing.assert_array_equal(model.predict(X[-3:], fhe="execute"), model.predict(X[-3:]))


def test_a_trend_beside_other_features_goes_on():
    t = np.arange(600.0)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        X = np.column_stack([t, np.sin(t), t**2, rng.normal(size=(600, 3))])
        y = X @ (rng.normal(size=6) / X.std(axis=0)) + 0.1 * rng.normal(size=600)
        assert loss(LinearRegression(), (X[:400], y[:400]), (X[400:], y[400:])) < 0.01


@pytest.mark.parametrize("size", [1e2, 1e4, 1e6, 1e8])
def test_one_row_of_outliers_does_not_take_the_resolution_of_the_others(size):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3))
    y = X @ [1.0, -2.0, 0.5] + 0.1 * rng.normal(size=400)
    outlier = np.vstack([X, np.full(3, size)])
    target = np.r_[y, -0.5 * size]
    assert loss(LinearRegression(), (outlier, target), (X, y)) < 0.01
    model = LinearRegression().fit(outlier, target)
    model.compile()
    np.testing.assert_array_equal(model.predict(outlier[-9:], fhe="execute"), model.predict(outlier[-9:]))


@pytest.mark.parametrize("sigma", [1.0, 1.5, 2.0, 3.0])
def test_log_normal_features(sigma):
    for seed in range(4):
        rng = np.random.default_rng(seed)
        X = rng.lognormal(sigma=sigma, size=(1000, 8))
        scores = X @ rng.normal(size=8)
        y = (scores > np.median(scores)).astype(int)
        scaled = StandardScaler().fit(X[:700]).transform(X)
        train, test = (scaled[:700], y[:700]), (scaled[700:], y[700:])
        # one row of 300 may lie on the boundary
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InputClippingWarning)
            assert loss(LogisticRegression(max_iter=1000), train, test) < 0.01 + 1 / 300
        if sigma <= 1.5:
            train, test = (X[:700], scores[:700]), (X[700:], scores[700:])
            assert loss(LinearRegression(), train, test) < 0.01


def test_a_search_over_alpha_meets_a_model_without_weights():
    """All weights are zero and what remains is the intercept, to the last digit."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(100, 3)), 0.4 + 0.01 * rng.normal(size=100)
    for alpha in np.logspace(-6, 2, 9):
        ours, original = fitted(Lasso(alpha=alpha), X, y)
        np.testing.assert_allclose(ours.predict(X), original.predict(X), atol=0.001)
    np.testing.assert_array_equal(ours.predict(X), np.full(100, original.intercept_))
    ours.compile()
    np.testing.assert_array_equal(ours.predict(X[:9], fhe="execute"), ours.predict(X[:9]))
    scores = [cross_val_score(model, X, y, cv=3).mean() for model in (ours, original)]
    assert scores[0] == pytest.approx(scores[1])


def test_counts_and_flags_are_represented_exactly():
    """Steps are powers of two and origins are values, so what is left is the rounding of weights."""
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.integers(0, 2, 300), rng.integers(-90, 90, 300), rng.poisson(3, 300) / 4])
    model = LinearRegression().fit(X, X @ [50.0, 1.0, 20.0])
    encoded = model.encoder_.encode(X)[0]
    grid = model.encoder_.grid
    np.testing.assert_array_equal(grid.origin + encoded * grid.step, X)


@pytest.mark.parametrize("kind", [bool, np.int8, np.float32])
def test_sparse_rows_of_any_type_and_with_repeated_entries(kind):
    X = np.random.default_rng(0).random((50, 4)) < 0.3
    y = X @ [1.0, -2.0, 0.5, 3.0]
    once = csr_matrix(X.astype(kind))
    expected = Ridge().fit(X.astype(float), y).predict(X.astype(float))
    np.testing.assert_allclose(Ridge().fit(once, y).predict(once), expected, atol=0.05)
    if kind is np.float32:
        twice = csr_matrix(
            (np.repeat(once.data, 2) / 2, np.repeat(once.indices, 2), 2 * once.indptr), X.shape
        )
        assert not twice.has_canonical_format
        np.testing.assert_allclose(Ridge().fit(twice, y).predict(twice), expected, atol=0.05)
        assert twice.nnz == 2 * once.nnz


def test_sparse_rows_are_encoded_as_dense_ones():
    rng = np.random.default_rng(0)
    X = rng.lognormal(sigma=2, size=(200, 20)) * (rng.random((200, 20)) < 0.2) - (rng.random((200, 20)) < 0.1)
    y = rng.normal(size=200)
    dense, sparse = (
        Ridge(solver="cholesky").fit(X, y),
        Ridge(solver="sparse_cg", tol=1e-12).fit(csr_matrix(X), y),
    )
    np.testing.assert_array_equal(dense.encoder_.encode(X)[0], sparse.encoder_.encode(csr_matrix(X))[0])


# How far beyond the training range.


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("margin", [0.0, 0.5, 30])
def test_range_margin_says_how_far_beyond_the_training_range(cls, margin):
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 3, size=(100, 2))
    y = 10 * (X @ [1.0, 2.0] > 3).astype(int) + 1
    model = seeded(cls, range_margin=margin).fit(X, y)
    low, high = X.min(axis=0), X.max(axis=0)
    ends = np.stack([low - margin * (high - low), high + margin * (high - low)])
    with warnings.catch_warnings():
        warnings.simplefilter("error", InputClippingWarning)
        model.predict(ends)
    with pytest.warns(InputClippingWarning, match=r"2 of 3 rows .* feature 1 is"):
        model.predict(np.vstack([X[:1], ends[0] - 0.1, ends[1] + 0.1]))
    assert clone(model).range_margin == model.get_params()["range_margin"] == margin
    converted = cls.from_sklearn_model(original_of(model).fit(X, y), X, range_margin=margin)
    np.testing.assert_array_equal(converted.encoder_.encode(ends)[0], model.encoder_.encode(ends)[0])


@pytest.mark.parametrize("margin", [-0.1, np.nan, np.inf, "1", None, True])
def test_wrong_range_margin_says_what_is_expected(margin, iris):
    with pytest.raises(ValueError, match="range_margin must be a finite number of at least 0"):
        LogisticRegression(range_margin=margin).fit(*iris)
    fit = original_of(LogisticRegression(max_iter=1000)).fit(*iris)
    with pytest.raises(ValueError, match="range_margin must be a finite number of at least 0"):
        LogisticRegression.from_sklearn_model(fit, iris[0], range_margin=margin)


# What is said of rows that are clipped.


def frame_and_model():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(100, 3)), columns=["age", "income", "debt"])
    return frame, LogisticRegression(range_margin=1).fit(frame, frame.sum(axis=1) > 0)


def test_clipped_rows_are_counted_and_their_features_named_and_the_advice_helps():
    frame, model = frame_and_model()
    later = frame.copy()
    later.loc[3, "income"], later.loc[5, "debt"], later.loc[7, "debt"] = 900.0, -80.0, 60.0
    with pytest.warns(InputClippingWarning) as caught:
        model.predict(later)
    (message,) = [str(warning.message) for warning in caught]
    assert message.startswith("LogisticRegression: 3 of 100 rows have values beyond what is represented")
    assert "feature 'income' is 900, and [-" in message
    assert "feature 'debt' is -80" in message
    assert "age" not in message
    margin = float(message.partition("range_margin=")[2].split()[0])
    advised = clone(model).set_params(range_margin=margin).fit(frame, frame.sum(axis=1) > 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", InputClippingWarning)
        advised.predict(later)


def test_a_call_warns_once_whatever_its_rows():
    frame, model = frame_and_model()
    for method in (model.predict, model.decision_function, model.predict_proba, model.predict_log_proba):
        with pytest.warns(InputClippingWarning) as caught:
            method(pd.concat([frame * 1e3] * 100))
        (clipping,) = [warning for warning in caught if warning.category is InputClippingWarning]
        assert clipping.filename == __file__


def test_a_constant_feature_that_varies_later_is_named_if_it_has_a_weight():
    """A margin of no range is none, so the advice is another one."""
    X = np.column_stack([np.arange(20.0), np.ones(20)])
    model = SGDClassifier(random_state=0).fit(X, X[:, 0] > 9)
    assert model.coef_[0, 1] != 0
    X[0, 1] = 100
    with pytest.warns(
        InputClippingWarning, match=r"1 of 20 .* feature 1 is 100, and always 1 in training \(train"
    ):
        model.predict(X)
    unweighted = Ridge().fit(np.column_stack([np.arange(20.0), np.ones(20)]), np.arange(20.0))
    with warnings.catch_warnings():
        warnings.simplefilter("error", InputClippingWarning)
        np.testing.assert_allclose(unweighted.predict(X), np.arange(20.0), atol=0.1)


def test_a_score_without_weights_does_not_hide_what_is_clipped_of_others():
    X = np.random.default_rng(0).normal(size=(40, 2))
    model = Lasso(0.1).fit(X, np.stack([X[:, 0] - X[:, 1], np.ones(40)], axis=1))
    assert not model.coef_[1].any()
    with pytest.warns(InputClippingWarning, match="Lasso: 40 of 40 rows"):
        model.predict(1e4 * X)


def test_what_cannot_be_represented_at_all_is_not_advised():
    X = np.random.default_rng(0).normal(size=(50, 4))
    model = PoissonRegressor().fit(X, np.exp(X[:, 0]))
    with pytest.warns(
        InputClippingWarning, match=r"would be needed and can be at most \d.* fewer n_bits allow"
    ):
        model.predict(X * 1e20)


def test_training_rows_are_always_represented():
    """Even where features have more than one size, and all of a model's bits are taken."""
    rng = np.random.default_rng(0)
    X = rng.standard_cauchy(size=(300, 40)) ** 5
    model = Ridge(n_bits=12).fit(X, rng.normal(size=300))
    with warnings.catch_warnings():
        warnings.simplefilter("error", InputClippingWarning)
        model.predict(X)
    model.compile()
    np.testing.assert_array_equal(model.predict(X[:8], fhe="execute"), model.predict(X[:8]))


# Several calls of partial_fit.


@pytest.mark.parametrize("size", [1, 7])
def test_ranges_of_partial_fit_are_those_of_all_calls(size):
    """One row alone has no range, and the last few are not all that the model was trained on."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(70, 3)) * [1, 10, 0.1]
    X[:, 2] += 5
    y = X @ [1.0, 0.2, 3.0]
    model, original = (
        SGDRegressor(eta0=1e-3, random_state=0),
        SGDRegressor._original(eta0=1e-3, random_state=0),
    )
    for start in range(0, len(X), size):
        model.partial_fit(X[start : start + size], y[start : start + size])
        original.partial_fit(X[start : start + size], y[start : start + size])
    with warnings.catch_warnings():
        warnings.simplefilter("error", InputClippingWarning)
        predicted = model.predict(X)
    expected = original.predict(X)
    np.testing.assert_allclose(predicted, expected, atol=0.02 * np.ptp(expected))
    np.testing.assert_allclose(model._calibration.mean, X.mean(axis=0), rtol=1e-9)
    refitted = model.fit(X[:20], y[:20])
    np.testing.assert_array_equal(refitted._calibration.spread.high, X[:20].max(axis=0))
