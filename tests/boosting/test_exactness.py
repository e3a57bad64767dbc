"""Without ``n_bits`` every row takes the path that it takes in the library, on ties and without values."""

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine

from tests.boosting.models import (
    CLASSIFIERS,
    PRECISION,
    REGRESSORS,
    assert_same_paths,
    original,
    raw_scores,
    rows_on_thresholds,
    with_missing,
)

LOADERS = {"wine": load_wine, "cancer": load_breast_cancer, "digits": load_digits, "iris": load_iris}


@pytest.fixture(scope="module", params=CLASSIFIERS)
def library(request):
    return request.param


def assert_predictions_agree(model, X):
    """Classes are equal where the two best scores are farther apart than twice the error."""
    raw = raw_scores(model, X)
    ordered = np.sort(np.column_stack([np.zeros(len(X)), raw]) if raw.shape[1] == 1 else raw, axis=1)
    clear = ordered[:, -1] - ordered[:, -2] > 2 * model.score_error_ + 1e-6
    theirs = original(model).predict(X).ravel()
    theirs = (
        model.classes_[theirs] if theirs.dtype.kind == "i" and model.classes_.dtype.kind == "U" else theirs
    )
    np.testing.assert_array_equal(model.predict(X)[clear], theirs[clear])
    np.testing.assert_allclose(
        model.predict_proba(X), original(model).predict_proba(X), atol=2 * model.score_error_ + 1e-6
    )


@pytest.mark.parametrize("name", LOADERS)
def test_rows_take_the_paths_of_the_original(library, name):
    X, y = LOADERS[name](return_X_y=True)
    cls, params = CLASSIFIERS[library]
    for rows in (X, with_missing(X)):
        model = cls(**params).fit(rows, y)
        assert_same_paths(model, rows)
        assert_predictions_agree(model, rows)
        on_ties = rows_on_thresholds(model, rows, PRECISION[library])
        assert_same_paths(model, on_ties)
        assert_same_paths(model, rows_on_thresholds(model, rows, np.float64))
        assert_predictions_agree(model, on_ties)
        assert_same_paths(model, with_missing(X, seed=1))  # where training missed none, too


VARIANTS = {
    "xgboost": [
        {"booster": "dart", "rate_drop": 0.5, "num_parallel_tree": 2, "subsample": 0.7},
        {"grow_policy": "lossguide", "max_leaves": 5, "tree_method": "hist"},
        {"objective": "reg:logistic", "base_score": 0.3},
    ],
    "lightgbm": [
        {"boosting_type": "dart", "drop_rate": 0.5},
        {"boosting_type": "rf", "subsample": 0.7, "subsample_freq": 1},
        {"sigmoid": 0.5},
        {"zero_as_missing": True},
        {"use_missing": False},
        {"objective": "cross_entropy"},
        {"objective": "multiclassova", "num_class": 2},
    ],
    "catboost": [
        {"nan_mode": "Max"},
        {"grow_policy": "Lossguide", "max_leaves": 5},
        {"grow_policy": "Depthwise"},
        {"loss_function": "MultiClassOneVsAll"},
        {"loss_function": "MultiClass"},
        {"loss_function": "CrossEntropy"},
        {"loss_function": "Focal:focal_alpha=0.5;focal_gamma=2"},
    ],
}


@pytest.mark.parametrize(
    ("library", "variant"), [(library, variant) for library, found in VARIANTS.items() for variant in found]
)
def test_variants_of_boosting(library, variant):
    X, y = load_breast_cancer(return_X_y=True)
    X = with_missing(X - np.median(X, axis=0))  # zeros among the values
    cls, params = CLASSIFIERS[library]
    model = cls(**params, **variant).fit(X, y)
    assert_same_paths(model, X)
    assert_predictions_agree(model, X)
    assert_same_paths(model, rows_on_thresholds(model, X, PRECISION[library]))


OBJECTIVES = {
    "xgboost": [
        *("reg:squarederror", "reg:squaredlogerror", "reg:pseudohubererror", "reg:absoluteerror"),
        *(
            "reg:logistic",
            "binary:logistic",
            "count:poisson",
            "reg:gamma",
            "reg:tweedie",
            "reg:quantileerror",
        ),
    ],
    "lightgbm": [
        *("regression", "regression_l1", "huber", "fair", "poisson", "quantile", "mape", "gamma", "tweedie"),
        *("cross_entropy", "binary"),
    ],
    "catboost": [
        *(
            "RMSE",
            "MAE",
            "Quantile:alpha=0.9",
            "LogLinQuantile",
            "Poisson",
            "MAPE",
            "Lq:q=2",
            "Huber:delta=1",
        ),
        *(
            "Tweedie:variance_power=1.5",
            "Expectile:alpha=0.3",
            "LogCosh",
            "RMSPE",
            "MultiQuantile:alpha=0.2,0.8",
        ),
    ],
}


@pytest.mark.parametrize(
    ("library", "objective"), [(library, name) for library, names in OBJECTIVES.items() for name in names]
)
def test_objectives_of_regression(library, objective):
    X, y = load_diabetes(return_X_y=True)
    X, y = with_missing(X), y / 400
    y = (y > 0.5).astype(float) if "binary" in objective else y
    cls, params = REGRESSORS[library]
    if objective == "reg:quantileerror":
        params = params | {"quantile_alpha": [0.2, 0.8]}
    model = cls(**params, objective=objective).fit(X, y)
    assert_same_paths(model, X)
    assert_same_paths(model, rows_on_thresholds(model, X, PRECISION[library], n_rows=1000))
    np.testing.assert_allclose(model.predict(X), original(model).predict(X), rtol=1e-3, atol=1e-4)


def test_lightgbm_takes_tiny_values_for_zeros():
    """Its predictions skip values up to 1e-35, and so may a threshold be that is next to zero."""
    X, y = load_diabetes(return_X_y=True)
    cls, params = REGRESSORS["lightgbm"]
    for zero_as_missing in (False, True):
        model = cls(**params, zero_as_missing=zero_as_missing).fit(X, y)
        limit = float(np.float32(1e-35))
        values = [0.0, -0.0, limit, -limit, np.nextafter(limit, 1), np.nextafter(-limit, -1), 1e-36]
        rows = np.where(np.random.default_rng(0).random(X.shape) < 0.5, 0.0, X)
        rows[rows == 0] = np.random.default_rng(1).choice(values, (rows == 0).sum())
        assert_same_paths(model, rows)


def test_several_targets():
    X, y = load_diabetes(return_X_y=True)
    Y = np.column_stack([y, -(y**2)])
    for library, more in (("xgboost", {}), ("catboost", {"loss_function": "MultiRMSE"})):
        cls, params = REGRESSORS[library]
        model = cls(**params, **more).fit(X, Y)
        assert model.predict(X).shape == Y.shape
        assert_same_paths(model, X)


def test_xgboost_predicts_raw_margins_as_the_original_does():
    X, y = load_breast_cancer(return_X_y=True)
    cls, params = CLASSIFIERS["xgboost"]
    model = cls(**params, objective="binary:logitraw").fit(X, y)
    raw = raw_scores(model, X)
    assert_same_paths(model, X)
    clear = np.abs(raw[:, 0] - 0.5) > model.score_error_
    np.testing.assert_array_equal(model.predict(X)[clear], model.model_.predict(X)[clear])
    assert not hasattr(model, "predict_proba")


def test_xgboost_classes_of_softmax():
    X, y = load_iris(return_X_y=True)
    cls, params = CLASSIFIERS["xgboost"]
    model = cls(**params, objective="multi:softmax").fit(X, y)
    np.testing.assert_array_equal(model.predict(X), model.model_.predict(X))


def test_catboost_threshold_of_probability():
    X, y = load_breast_cancer(return_X_y=True)
    cls, params = CLASSIFIERS["catboost"]
    fitted = cls._original(**params).fit(X, y)
    fitted.set_probability_threshold(0.8)
    model = cls.from_sklearn_model(fitted)
    np.testing.assert_array_equal(model.predict(X), fitted.predict(X))
    assert (model.predict(X) != (model.predict_proba(X)[:, 1] > 0.5)).any()


def test_catboost_stages():
    X, y = load_iris(return_X_y=True)
    cls, params = CLASSIFIERS["catboost"]
    model = cls(**params).fit(X, y)
    stages = list(model.staged_predict_proba(X))
    theirs = list(model.model_.staged_predict_proba(X))
    np.testing.assert_allclose(stages, theirs, atol=2 * model.score_error_)
    np.testing.assert_array_equal(stages[-1], model.predict_proba(X))


@pytest.mark.parametrize("depth", [5, pytest.param(6, marks=pytest.mark.slow)])
def test_deep_symmetric_trees_are_exact_in_narrow_lookups(depth):
    """Questions that are signs keep the paths, and the sums, under encryption too."""
    cls, params = CLASSIFIERS["catboost"]
    X, y = load_breast_cancer(return_X_y=True)
    size = {"n_estimators": 2, "depth": depth, "max_depth": None, "num_leaves": None}
    model = cls(**{name: value for name, value in (params | size).items() if value is not None}).fit(X, y)
    assert max(model.cost_.lookups) == 4
    assert model.cost_.n_lookups <= 2 * 2 ** (depth - 4)
    assert_same_paths(model, X)
    assert_predictions_agree(model, X)
    model.compile()
    rows = X[::40]
    np.testing.assert_array_equal(
        model.predict_proba(rows, fhe="execute"), model.predict_proba(rows, fhe="disable")
    )
