"""Trees under encryption, and who learns what of them."""

import numpy as np
import pytest
from sklearn.base import clone, is_classifier

from skfhe.encoding import LevelBitsEncoder
from skfhe.encoding._splits import Splits
from skfhe.ensemble import RandomForestClassifier
from skfhe.program import run
from skfhe.tree import DecisionTreeClassifier
from tests._trees.examples import CLASSIFIERS, FEW, REGRESSORS, name, scores_of

SIMILAR = (
    "ExtraTreesRegressor",
    "GradientBoostingRegressor",
    "HistGradientBoostingRegressor",
    "RandomForestRegressor",
    "ExtraTreesClassifier",
)
"""Whose programs are made as those of others here."""
COMPILED = [
    pytest.param(each, marks=pytest.mark.slow if name(each) in SIMILAR else (), id=name(each))
    for each in (*CLASSIFIERS, *REGRESSORS)
]


@pytest.fixture(scope="module", params=COMPILED)
def compiled(request, iris, diabetes):
    estimator = clone(request.param)
    if "max_depth" in estimator.get_params():
        estimator.set_params(max_depth=3)
    X, y = iris if is_classifier(estimator) else diabetes
    model = estimator.fit(X, y)
    model.compile()
    return model, X


def test_encrypted_scores_equal_the_clear_ones(compiled):
    model, X = compiled
    rows = X[:: len(X) // 9]
    np.testing.assert_array_equal(model.predict(rows, fhe="execute"), model.predict(rows))
    inputs = model.encoder_.encode(model._rows(model, rows[:2]))
    np.testing.assert_array_equal(model.fhe_circuit_.execute(*inputs)[0], run(model.program_, *inputs)[0])


def test_simulation_at_the_default_error_rate_equals_the_clear_run(compiled):
    model, X = compiled
    np.testing.assert_array_equal(model.predict(X[:40], fhe="simulate"), model.predict(X[:40]))


@pytest.mark.parametrize("index", [0, *(pytest.param(i, marks=pytest.mark.slow) for i in (1, 3)), 4])
def test_encrypted_comparisons(index, iris):
    X, y = iris
    model = clone(CLASSIFIERS[index]).set_params(n_bits=3, max_depth=2).fit(X, y)
    model.compile()
    rows = X[::15]
    np.testing.assert_array_equal(scores_of_encrypted(model, rows), scores_of(model, rows))


def scores_of_encrypted(model, X):
    method = "decision_function" if hasattr(model, "decision_function") else "predict_proba"
    return getattr(model, method)(X, fhe="execute")


def test_rows_given_to_compile_may_miss_values(iris):
    X, y = iris
    holes = X.copy()
    holes[0, 0] = np.nan
    model = DecisionTreeClassifier(max_depth=2, random_state=0).fit(holes, y)
    model.compile(holes)
    with pytest.raises(ValueError, match="4 features"):
        model.compile(X[:, :2])


@pytest.mark.slow
def test_cheapest_error_rate_that_keeps_the_score(iris):
    X, y = iris
    model = RandomForestClassifier(max_depth=3, **FEW).fit(X, y)
    before = model.cost_.complexity
    model.compile(X, y, p_error="auto", tolerance=0.05)
    assert model.fhe_circuit_.error_rate.p_error > 2.0**-40
    assert model.cost_.complexity < before


def test_client_has_thresholds_without_quantization_and_none_with_it(iris):
    X, y = iris
    exact = RandomForestClassifier(max_depth=3, **FEW).fit(X, y)
    assert isinstance(exact.encoder_, Splits)
    private = RandomForestClassifier(max_depth=3, n_bits=3, **FEW).fit(X, y)
    assert isinstance(private.encoder_, LevelBitsEncoder)
    # Which boundaries the client has follows from the data alone.
    other = RandomForestClassifier(max_depth=3, n_bits=3, n_estimators=9, random_state=5).fit(X, y)
    for a, b in zip(private._level_quantizer.boundaries, other._level_quantizer.boundaries, strict=True):
        np.testing.assert_array_equal(a, b)


def test_splits_that_no_lookup_reads_are_not_sent(iris):
    X, y = iris
    model = DecisionTreeClassifier(random_state=0).fit(X, y)
    asked = {(f, t) for f, t in zip(model.tree_.feature, model.tree_.threshold, strict=True) if f >= 0}
    sent = {(split.feature, split.threshold) for split in model.encoder_}
    assert sent <= asked
    assert model.program_.values[0].type.shape == (len(sent),)
