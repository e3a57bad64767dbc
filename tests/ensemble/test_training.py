"""Ensembles that go on from an earlier fit, or predict while they are fitted."""

import numpy as np
import pytest
from sklearn.base import clone, is_classifier

from skfhe.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from tests._trees.examples import CLASSIFIERS, FEW, REGRESSORS, name, scores_of
from tests.with_originals import original_of


@pytest.mark.parametrize(
    "model",
    [
        HistGradientBoostingClassifier(early_stopping=True, scoring="accuracy", max_iter=20, random_state=0),
        GradientBoostingClassifier(n_iter_no_change=2, n_estimators=20, random_state=0),
        RandomForestClassifier(oob_score=True, n_estimators=20, max_depth=3, random_state=0),
    ],
    ids=name,
)
def test_options_that_predict_while_fitting(model, iris):
    """They score the float trees that are being grown."""
    original = original_of(model).fit(*iris)
    np.testing.assert_array_equal(model.fit(*iris).predict(iris[0]), original.predict(iris[0]))


@pytest.mark.parametrize("n_bits", [None, 3])
def test_warm_start_adds_trees(n_bits, iris):
    X, y = iris
    for cls in (RandomForestClassifier, GradientBoostingClassifier):
        warm = cls(n_estimators=2, max_depth=2, warm_start=True, random_state=0, n_bits=n_bits).fit(X, y)
        warm.set_params(n_estimators=5).fit(X, y)
        at_once = cls(n_estimators=5, max_depth=2, random_state=0, n_bits=n_bits).fit(X, y)
        assert len(warm.estimators_) == 5
        np.testing.assert_allclose(
            scores_of(warm, X), scores_of(at_once, X), atol=2 * warm.score_error_ + 1e-9
        )


WARM = [(e, "max_iter" if "Hist" in name(e) else "n_estimators") for e in (*CLASSIFIERS[1:], *REGRESSORS[1:])]


@pytest.mark.parametrize(
    ("estimator", "size"), WARM, ids=lambda value: getattr(value, "_original", str).__name__
)
def test_warm_start_refuses_what_cannot_be_added(estimator, size, iris):
    """Other numbers of features, targets or classes; the model stays as it was, and can go on."""
    X, y = iris
    model = clone(estimator).set_params(**{size: 2}, warm_start=True).fit(X, y)
    before = model.predict(X)
    model.set_params(**{size: 3})
    wrong = {"features": (X[:, :3], y)}
    if "Boosting" not in name(model):
        wrong["targets"] = X, np.stack([y, y], axis=1)
    if is_classifier(model):
        wrong["classes"] = X, np.r_[y[:-1], 3]
        wrong["classes "] = X[y > 0], y[y > 0]
    for what, rows in wrong.items():
        with pytest.raises(ValueError, match=rf"number of {what.strip()} was .*set warm_start=False"):
            model.fit(*rows)
        np.testing.assert_array_equal(model.predict(X), before)
    model.fit(X, y)
    assert len(getattr(model, "estimators_", getattr(model, "_predictors", ()))) == 3
    model.set_params(warm_start=False).fit(X[:, :3], y)
    assert model.n_features_in_ == 3


def test_warm_start_of_several_targets_counts_the_classes_of_each(iris):
    X, y = iris
    model = RandomForestClassifier(warm_start=True, **FEW).fit(X, np.stack([y, y % 2], axis=1))
    with pytest.raises(ValueError, match="number of classes was 3 and 2, and now it is 3 and 3"):
        model.set_params(n_estimators=5).fit(X, np.stack([y, y], axis=1))
