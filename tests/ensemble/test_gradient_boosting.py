"""Gradient boosting: stages, and what it begins with."""

import numpy as np
import pytest
from sklearn import ensemble as float_ensemble
from sklearn.base import clone, is_classifier
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import LinearRegression

from skfhe.ensemble import GradientBoostingClassifier, GradientBoostingRegressor
from skfhe.exceptions import UnsupportedModelError
from tests._trees.examples import CLASSIFIERS, FEW, REGRESSORS, name, scores_of
from tests.with_originals import original_of

LONG = pytest.param(CLASSIFIERS[4], marks=pytest.mark.slow)


@pytest.mark.parametrize("model", [*CLASSIFIERS[3:4], *REGRESSORS[3:], LONG], ids=name)
def test_stages_end_at_the_prediction_and_follow_the_original(model, iris, diabetes):
    X, y = iris if is_classifier(model) else diabetes
    model, original = clone(model).fit(X, y), original_of(model).fit(X, y)
    stages = list(model.staged_predict(X))
    np.testing.assert_allclose(stages[-1], model.predict(X))
    assert len(stages) == len(list(original.staged_predict(X)))
    if is_classifier(model):
        for method in ("staged_decision_function", "staged_predict_proba"):
            for ours, theirs in zip(getattr(model, method)(X), getattr(original, method)(X), strict=True):
                np.testing.assert_allclose(ours, theirs, atol=2 * model.score_error_ + 1e-9)


@pytest.mark.parametrize(
    "init",
    [
        LinearRegression(),
        float_ensemble.RandomForestRegressor(random_state=0),
        float_ensemble.GradientBoostingRegressor,
    ],
    ids=["linear", "forest", "class"],
)
def test_initial_estimator_is_refused_before_it_is_trained(init, iris, monkeypatch):
    monkeypatch.setattr(LinearRegression, "fit", None)
    with pytest.raises(UnsupportedModelError, match=r"init is .*use init=None, 'zero' or a DummyRegressor"):
        GradientBoostingRegressor(init=init, n_estimators=2, random_state=0).fit(*iris)


@pytest.mark.parametrize("strategy", ["stratified", "uniform", "most_frequent", "constant"])
def test_initial_scores_that_are_drawn_or_infinite_are_refused(strategy, iris):
    init = DummyClassifier(strategy=strategy, constant=1, random_state=0)
    model = GradientBoostingClassifier(init=init, n_estimators=2, random_state=0)
    with pytest.raises(UnsupportedModelError, match=f"strategy='{strategy}'.*or DummyClassifier"):
        model.fit(*iris)


@pytest.mark.parametrize(
    "model",
    [
        GradientBoostingClassifier(init=DummyClassifier(), **FEW),
        *(
            GradientBoostingRegressor(init=init, **FEW)
            for init in ("zero", DummyRegressor(strategy="quantile", quantile=0.3), DummyRegressor())
        ),
        GradientBoostingRegressor(init=DummyRegressor(strategy="constant", constant=7.0), **FEW),
    ],
)
def test_initial_scores_that_all_rows_share_are_a_bias(model, iris):
    X, y = iris
    original = original_of(model).fit(X, y)
    model = clone(model).fit(X, y)
    np.testing.assert_allclose(
        scores_of(model, X), scores_of(original, X), atol=model.score_error_ + 1e-9, rtol=0
    )
