"""Whatever integers wrong lookups leave in the output, predictions are valid ones."""

import numpy as np
import pytest
from sklearn.base import clone, is_classifier
from sklearn.datasets import load_diabetes, load_iris

from skfhe.encoding._heads import ClassFractions, Margins
from skfhe.encrypted_model import EncryptedModel
from skfhe.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from skfhe.tree import DecisionTreeClassifier, DecisionTreeRegressor
from tests.boosting.models import CLASSIFIERS, REGRESSORS

FEW = {"n_estimators": 4, "random_state": 0}
X, SPECIES = load_iris(return_X_y=True)
TARGETS = {
    "three classes": SPECIES,
    "two classes": (SPECIES > 0).astype(int),
    "names": np.array(["setosa", "versicolor", "virginica"])[SPECIES],
    "two targets of classes": np.stack([SPECIES, SPECIES % 2], axis=1),
}
SINGLE = {key: y for key, y in TARGETS.items() if y.ndim == 1}
REAL = {"one target": X[:, 3], "two targets": X[:, 2:], "constant": np.ones(len(X))}


def cases():
    """Yield an estimator and its targets, for every family and head."""
    for estimator in (
        DecisionTreeClassifier(max_depth=4, random_state=0),
        DecisionTreeClassifier(max_depth=4, n_bits=3, random_state=0),
        RandomForestClassifier(max_depth=3, **FEW),
        ExtraTreesClassifier(max_depth=3, n_bits=3, **FEW),
    ):
        yield from ((estimator, y) for y in TARGETS.values())
    for estimator in (
        GradientBoostingClassifier(**FEW),
        HistGradientBoostingClassifier(max_iter=4, random_state=0),
        *(cls(**params) for cls, params in CLASSIFIERS.values()),
        CLASSIFIERS["lightgbm"][0](**CLASSIFIERS["lightgbm"][1], objective="multiclassova", num_class=3),
        CLASSIFIERS["catboost"][0](**CLASSIFIERS["catboost"][1], loss_function="MultiClassOneVsAll"),
    ):
        loss = str(estimator.get_params().get("objective")) + str(estimator.get_params().get("loss_function"))
        only = ["three classes"] if "ova" in loss or "OneVsAll" in loss else SINGLE
        yield from ((estimator, SINGLE[key]) for key in only)
    yield GradientBoostingClassifier(loss="exponential", **FEW), TARGETS["two classes"]
    for estimator in (
        DecisionTreeRegressor(max_depth=4, random_state=0),
        RandomForestRegressor(max_depth=3, **FEW),
        ExtraTreesRegressor(max_depth=3, **FEW),
    ):
        yield from ((estimator, y) for y in REAL.values())
    for estimator in (
        GradientBoostingRegressor(**FEW),
        HistGradientBoostingRegressor(max_iter=4, random_state=0),
        *(
            HistGradientBoostingRegressor(loss=loss, max_iter=4, random_state=0)
            for loss in ("poisson", "gamma")
        ),
        *(cls(**params) for cls, params in REGRESSORS.values()),
        REGRESSORS["xgboost"][0](**REGRESSORS["xgboost"][1], objective="count:poisson"),
    ):
        yield estimator, REAL["one target"]


def drawn_sums(model, rng, n_rows=300, beyond=0):
    """Draw outputs of the program anywhere in its interval, the ends among them."""
    (output,) = model.program_.outputs
    kind = model.program_.values[output].type
    sums = rng.integers(kind.low - beyond, kind.high + 1 + beyond, size=(n_rows, *kind.shape))
    sums[0], sums[1] = kind.low - beyond, kind.high + beyond
    return sums


def id_of(value):
    return type(value).__name__ if hasattr(value, "fit") else f"{value.dtype.kind}{value.shape[1:]}"


@pytest.mark.parametrize(("estimator", "y"), list(cases()), ids=id_of)
def test_predictions_of_any_sums_are_valid(estimator, y, monkeypatch):
    """Also of sums that no row reaches, and of those beyond the interval, as a decryption may give."""
    model = clone(estimator).fit(X, y)
    rng = np.random.default_rng(0)
    for beyond in (0, 1000):
        sums = drawn_sums(model, rng, beyond=beyond)
        monkeypatch.setattr(EncryptedModel, "evaluate", lambda self, *inputs, fhe, sums=sums: (sums,))
        rows = X[rng.integers(0, len(X), len(sums))]
        predicted = model.predict(rows)
        assert len(predicted) == len(sums)
        if not is_classifier(model):
            assert np.isfinite(predicted).all()
            continue
        known = model.classes_ if isinstance(model.classes_, list) else [model.classes_]
        for names, column in zip(known, predicted.reshape(len(sums), -1).T, strict=True):
            assert np.isin(column.astype(names.dtype), names).all()
        found = model.predict_proba(rows)
        for probabilities, names in zip(found if isinstance(found, list) else [found], known, strict=True):
            assert probabilities.shape == (len(sums), len(names))
            assert ((probabilities >= 0) & (probabilities <= 1)).all()
            if not (isinstance(model.head_, Margins) and model.head_.link == "one_vs_rest"):
                np.testing.assert_allclose(probabilities.sum(axis=1), 1)
        if hasattr(model, "decision_function"):
            assert np.isfinite(model.decision_function(rows)).all()


def test_a_sum_beyond_a_tree_reads_its_last_leaf():
    """Leaves are numbered in the order of their values."""
    model = DecisionTreeRegressor(max_depth=3, random_state=0).fit(*load_diabetes(return_X_y=True))
    leaves = np.unique(model.tree_.value[model.tree_.children_left < 0])
    scores = model.decoder_.decode(np.array([[-5], [0], [2], [len(leaves) - 1], [len(leaves) + 7]]))
    np.testing.assert_array_equal(scores[:, 0], leaves[[0, 0, 2, -1, -1]])


def test_fractions_within_the_interval_are_left_alone():
    scores = np.array([[0.25, 0.75, 1.0, 0.0, 0.0], [0.1, 0.9, 0.5, 0.25, 0.25]])
    fractions = ClassFractions((2, 3), 3)
    padded = np.c_[scores[:, :2], np.zeros(2), scores[:, 2:]]
    first, second = fractions.probabilities(padded)
    np.testing.assert_array_equal(first, scores[:, :2])
    np.testing.assert_array_equal(second, scores[:, 2:])


def test_fractions_outside_are_brought_back_and_keep_their_order():
    scores = np.array([[1.25, -0.25], [-0.5, 1.5], [0.5, 0.5]])
    (found,) = ClassFractions((2,), 2).probabilities(scores)
    np.testing.assert_array_equal(found, [[1, 0], [0, 1], [0.5, 0.5]])
    (found,) = ClassFractions((3,), 3).probabilities(np.array([[0.9, 0.6, -0.5]]))
    np.testing.assert_allclose(found, [[0.6, 0.4, 0]])


def test_classes_with_equally_many_votes_tie():
    """Two of five trees each: the first class wins, as the original has it."""
    y = np.stack([SPECIES, SPECIES % 2], axis=1)
    model = RandomForestClassifier(n_estimators=5, random_state=0).fit(X, y)
    original = model._original(n_estimators=5, random_state=0).fit(X, y)
    ties = [(np.sort(p, axis=1)[:, -2:].ptp(axis=1) == 0).any() for p in original.predict_proba(X)]
    assert any(ties)
    np.testing.assert_array_equal(model.predict(X), original.predict(X))


def test_high_error_rates_give_valid_predictions(iris, diabetes):
    """Simulated at an error rate at which most rows read some wrong cell."""
    model = RandomForestClassifier(max_depth=3, **FEW).fit(*iris)
    model.compile(p_error=0.3)
    probabilities = model.predict_proba(iris[0], fhe="simulate")
    assert (probabilities != model.predict_proba(iris[0])).any()
    assert probabilities.min() >= 0
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    model = DecisionTreeRegressor(max_depth=4, random_state=0).fit(*diabetes)
    model.compile(p_error=0.3)
    assert np.isin(model.predict(diabetes[0], fhe="simulate"), model.tree_.value).all()
