"""Boosting of depth 1 is additive, whichever library grew it: no lookup is needed."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import is_classifier

from skfhe.boosting import CatBoostRegressor, LGBMClassifier, XGBClassifier
from skfhe.ensemble import (
    AdaBoostClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    RandomForestRegressor,
)

STUMPS = [
    AdaBoostClassifier(n_estimators=6, random_state=0),
    CatBoostRegressor(n_estimators=6, depth=1, verbose=0, allow_writing_files=False),
    GradientBoostingClassifier(n_estimators=6, max_depth=1, random_state=0),
    GradientBoostingRegressor(n_estimators=6, max_depth=1, random_state=0),
    HistGradientBoostingClassifier(max_iter=6, max_depth=1),
    LGBMClassifier(n_estimators=6, max_depth=1, verbose=-1, n_jobs=1),
    RandomForestRegressor(n_estimators=6, max_depth=1, random_state=0),
    XGBClassifier(n_estimators=6, max_depth=1, n_jobs=1),
]
TAKE_MISSING = STUMPS[4:]


def no_lookup(model):
    return model.cost_.n_lookups == 0 and not model.accumulator_bits_


@pytest.mark.parametrize("estimator", STUMPS, ids=lambda each: type(each).__name__)
def test_the_score_is_a_weighted_sum_of_the_bits_that_are_sent(estimator, iris, diabetes):
    """With thresholds that the client knows, and with boundaries of all levels, where it does not."""
    X, y = iris if is_classifier(estimator) else diabetes
    for n_bits in (None, 3):
        assert no_lookup(estimator.set_params(n_bits=n_bits).fit(X, y))
    estimator.set_params(n_bits=None)


@pytest.mark.parametrize("estimator", TAKE_MISSING, ids=lambda each: type(each).__name__)
def test_missing_values_are_bits_among_others(estimator, iris, diabetes):
    X, y = iris if is_classifier(estimator) else diabetes
    holes = np.where(np.random.default_rng(0).random(X.shape) < 0.2, np.nan, X)
    assert no_lookup(estimator.fit(holes, y))


def test_categories_are_bits_among_others():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"city": pd.Categorical(rng.choice(list("abcde"), 200)), "size": rng.random(200)})
    y = frame["city"].isin(["a", "d"]) ^ (rng.random(200) < 0.1)
    model = HistGradientBoostingClassifier(max_iter=6, max_depth=1, categorical_features="from_dtype")
    assert no_lookup(model.fit(frame, y))


def test_encrypted_scores_of_stumps_equal_the_clear_ones(iris):
    X, y = iris
    model = GradientBoostingClassifier(n_estimators=6, max_depth=1, random_state=0).fit(X, y)
    model.compile()
    np.testing.assert_array_equal(
        model.decision_function(X[::15], fhe="execute"), model.decision_function(X[::15])
    )
