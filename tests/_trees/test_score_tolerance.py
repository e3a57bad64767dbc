"""How exact scores are is for the user to say."""

import numpy as np
import pytest
from sklearn import ensemble
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer

from skfhe.ensemble import GradientBoostingClassifier, GradientBoostingRegressor, RandomForestClassifier
from tests.with_originals import original_of

TOLERANCES = [1e-4, 1e-3, 1e-2, 1e-1]


def test_coarser_scores_are_never_dearer():
    X, y = load_breast_cancer(return_X_y=True)
    fitted = ensemble.RandomForestClassifier(n_estimators=8, max_depth=4, random_state=0).fit(X, y)
    seconds = [
        RandomForestClassifier.from_sklearn_model(fitted, X, score_tolerance=tolerance).cost_.seconds
        for tolerance in TOLERANCES
    ]
    assert seconds == sorted(seconds, reverse=True)
    assert seconds[-1] < 0.9 * seconds[0]


@pytest.mark.parametrize("tolerance", TOLERANCES)
@pytest.mark.parametrize("n_bits", [None, 4])
def test_errors_over_the_rows_of_training_keep_the_tolerance(tolerance, n_bits, iris):
    """Every class's do, that of the class which is not computed, too; no row's exceeds the bound."""
    X, y = iris
    params = {"n_estimators": 5, "max_depth": 3, "random_state": 0}
    model = RandomForestClassifier(n_bits=n_bits, score_tolerance=tolerance, **params).fit(X, y)
    rows = X if n_bits is None else model._on_levels(X, model._level_quantizer)
    expected = np.mean([tree.predict_proba(rows) for tree in model.estimators_], axis=0)
    encoded = model.encoder_.encode(model._rows(model, X))
    errors = model.decoder_.decode(*model._encrypted_model.evaluate(*encoded)) - expected
    # rows that answer all splits alike count once
    _, first = np.unique(np.concatenate(encoded, axis=1), axis=0, return_index=True)
    assert np.sqrt(np.square(errors[first]).mean(axis=0)).max() <= tolerance * (1 + 1e-9)
    assert np.abs(errors).max() <= model.score_error_ + 1e-12


def test_the_unit_is_that_of_the_scores(diabetes):
    X, y = diabetes
    coarse = GradientBoostingRegressor(n_estimators=5, score_tolerance=2.0, random_state=0).fit(X, y)
    fine = clone(coarse).set_params(score_tolerance=0.02).fit(X, y)
    expected = original_of(coarse).fit(X, y).predict(X)
    for model in (coarse, fine):
        errors = model.predict(X) - expected
        # over all rows: the tolerance is kept over those that answer the splits differently
        assert np.sqrt(np.square(errors).mean()) <= 1.2 * model.score_tolerance
        assert np.abs(errors).max() <= model.score_error_ + 1e-9
    assert coarse.cost_.seconds < fine.cost_.seconds


def test_parameters_are_those_of_a_clone(iris):
    model = GradientBoostingClassifier(score_tolerance=0.01, leaves="sums", n_estimators=3)
    assert clone(model).get_params() == model.get_params()
    again = GradientBoostingClassifier.from_sklearn_model(
        original_of(model).fit(*iris), iris[0], score_tolerance=0.01
    )
    assert again.score_tolerance == 0.01


@pytest.mark.parametrize("tolerance", [0, -1.0, np.inf, np.nan, "auto", True])
def test_wrong_tolerances_say_what_is_expected(tolerance, iris):
    with pytest.raises(ValueError, match="score_tolerance must be None or a positive number"):
        RandomForestClassifier(score_tolerance=tolerance).fit(*iris)
