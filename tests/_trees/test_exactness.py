"""Without quantization, every row takes the path of the original."""

import numpy as np
import pytest
from sklearn.base import clone, is_classifier
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.model_selection import train_test_split

from skfhe.ensemble import RandomForestRegressor
from tests._trees.examples import CLASSIFIERS, FEW, REGRESSORS, TAKE_MISSING, name, scores_of
from tests.with_originals import original_of


def adversarial_rows(model, X, rng, n=400):
    """Return rows with features on thresholds of the model, and one step of float32 or float64 beside."""
    splits = model.encoder_
    rows = X[rng.integers(0, len(X), n)].astype(np.float64)
    for row in rows:
        for split in rng.choice(len(splits), 4):
            at = splits[int(split)].threshold
            row[splits[int(split)].feature] = rng.choice(
                [
                    at,
                    np.nextafter(at, np.inf),
                    np.nextafter(at, -np.inf),
                    np.nextafter(np.float32(at), np.float32(np.inf)),
                    np.nextafter(np.float32(at), np.float32(-np.inf)),
                ]
            )
    return rows


@pytest.mark.parametrize("estimator", CLASSIFIERS, ids=name)
@pytest.mark.parametrize("load", [load_iris, load_wine, load_breast_cancer, load_digits])
def test_classes_of_all_test_rows_are_those_of_the_original(estimator, load):
    X, y = load(return_X_y=True)
    X_train, X_test, y_train, _ = train_test_split(X, y, stratify=y, random_state=0)
    original = original_of(estimator).fit(X_train, y_train)
    model = clone(estimator).fit(X_train, y_train)
    np.testing.assert_array_equal(model.predict(X_test), original.predict(X_test))
    difference = np.abs(scores_of(model, X_test) - scores_of(original, X_test))
    assert difference.max() <= model.score_error_ + 1e-12


@pytest.mark.parametrize("estimator", [*CLASSIFIERS, *REGRESSORS], ids=name)
def test_rows_on_thresholds_take_the_path_of_the_original(estimator, iris, diabetes):
    """A wrong comparison would move scores by whole leaf values, not by their rounding."""
    X, y = iris if is_classifier(estimator) else diabetes
    original, model = original_of(estimator).fit(X, y), clone(estimator).fit(X, y)
    rows = adversarial_rows(model, X, np.random.default_rng(0))
    difference = np.abs(scores_of(model, rows) - scores_of(original, rows))
    assert difference.max() <= model.score_error_ + 1e-9


@pytest.mark.parametrize("estimator", TAKE_MISSING, ids=name)
@pytest.mark.parametrize("in_training", [True, False])
def test_missing_values_take_the_path_of_the_original(estimator, in_training, iris, diabetes):
    X, y = iris if is_classifier(estimator) else diabetes
    holes = np.where(np.random.default_rng(0).random(X.shape) < 0.2, np.nan, X)
    original = original_of(estimator).fit(holes if in_training else X, y)
    model = clone(estimator).fit(holes if in_training else X, y)
    difference = np.abs(scores_of(model, holes) - scores_of(original, holes))
    assert difference.max() <= model.score_error_ + 1e-9


def test_several_targets(iris):
    X, y = iris
    targets = np.column_stack([y, y == 1])
    for estimator in CLASSIFIERS[:3]:
        model, original = clone(estimator).fit(X, targets), original_of(estimator).fit(X, targets)
        np.testing.assert_array_equal(model.predict(X), original.predict(X))
        for ours, theirs in zip(model.predict_proba(X), original.predict_proba(X), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=model.score_error_ + 1e-12)
    model = RandomForestRegressor(max_depth=3, **FEW).fit(X, targets)
    assert model.predict(X).shape == (150, 2)


@pytest.mark.parametrize("estimator", [*CLASSIFIERS[1:], *REGRESSORS[1:]], ids=name)
def test_ensembles_of_one_leaf_a_tree(estimator, iris):
    """Targets that never vary leave nothing to split, at one weight or at several."""
    X = iris[0]
    y = np.r_[np.zeros(149), 1].astype(int) if is_classifier(estimator) else np.ones(150)
    weight = np.r_[np.ones(149), 1e-12]
    for n_bits in (None, 2):
        model = clone(estimator).set_params(n_bits=n_bits, min_samples_leaf=100)
        model.fit(X, y, sample_weight=weight)
        assert len(np.unique(model.predict(X))) == 1
        assert model.cost_.n_lookups == 0


@pytest.mark.parametrize("estimator", [*CLASSIFIERS[1:], *REGRESSORS[1:]], ids=name)
def test_scores_that_hardly_vary_are_those_of_the_original(estimator, iris):
    """What leaf values are multiples of follows from how far apart sums are; where that is nothing, or less
    than floats of their size tell apart, it follows from their size."""
    X = iris[0]
    if is_classifier(estimator):
        targets, options = [iris[1]], {"min_samples_leaf": 75}
    else:
        small = X[:, 0] - X[:, 0].mean()
        targets, options = [np.full(150, 0.3), np.full(150, 3.7), 1e12 + 1e-3 * small, 1e-20 * small], {}
    for y in targets:
        original = original_of(estimator).set_params(**options).fit(X, y)
        model = clone(estimator).set_params(**options).fit(X, y)
        size = np.abs(scores_of(original, X)).max()
        difference = np.abs(scores_of(model, X) - scores_of(original, X)).max()
        assert difference <= 1e-3 * np.ptp(scores_of(original, X)) + 1e-15 * size
        assert difference <= model.score_error_ + 1e-15 * size
