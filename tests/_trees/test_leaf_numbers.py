"""Ensembles that return the numbers of their leaves are the float originals."""

import numpy as np
import pytest
from sklearn.base import clone, is_classifier

from skfhe._trees import cover_program
from skfhe.encoding import LeafDecoder, LeafTableDecoder
from skfhe.ensemble import GradientBoostingClassifier, RandomForestClassifier, RandomForestRegressor
from skfhe.program import ops
from skfhe.tree import DecisionTreeClassifier
from tests._trees.examples import CLASSIFIERS, FEW, REGRESSORS, name, scores_of
from tests.with_originals import original_of

ENSEMBLES = [*CLASSIFIERS[1:], *REGRESSORS[1:]]


@pytest.mark.parametrize("estimator", ENSEMBLES, ids=name)
def test_scores_are_those_of_the_float_trees(estimator, iris, diabetes):
    X, y = iris if is_classifier(estimator) else diabetes
    model = clone(estimator).set_params(leaves="index").fit(X, y)
    original = original_of(estimator).fit(X, y)
    assert isinstance(model.decoder_, LeafTableDecoder)
    assert model.score_error_ == 0
    np.testing.assert_allclose(scores_of(model, X), scores_of(original, X), rtol=1e-9, atol=1e-12)
    if is_classifier(model):
        np.testing.assert_array_equal(model.predict(X), original.predict(X))


def test_numbers_are_those_of_the_leaves_that_the_original_applies(iris):
    """Leaves of one number have equal values, and a leaf has one number."""
    X, y = iris
    model = RandomForestClassifier(max_depth=4, leaves="index", **FEW).fit(X, y)
    (numbers,) = model._encrypted_model.evaluate(*model.encoder_.encode(model._rows(model, X)))
    first = np.cumsum(model.decoder_.counts) - model.decoder_.counts
    for tree, applied, number, start in zip(
        model.estimators_, model.apply(X).T, numbers.T, first, strict=True
    ):
        values = tree.tree_.value[applied, 0] / len(model.estimators_)
        np.testing.assert_allclose(model.decoder_.leaves[start + number], values, rtol=1e-12)
        assert len(np.unique(np.stack([applied, number]), axis=1).T) == len(np.unique(applied))


def test_stages_end_at_the_scores(iris):
    X, y = iris
    model = GradientBoostingClassifier(leaves="index", **FEW).fit(X, y)
    stages = list(model.staged_decision_function(X))
    assert len(stages) == 4
    np.testing.assert_array_equal(stages[-1], model.decision_function(X))
    for ours, theirs in zip(stages, original_of(model).fit(X, y).staged_decision_function(X), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9)


def test_several_targets(iris):
    X, y = iris
    targets = np.column_stack([y, X[:, 0]])
    model = RandomForestRegressor(max_depth=3, leaves="index", **FEW).fit(X, targets)
    original = original_of(model).fit(X, targets)
    np.testing.assert_allclose(model.predict(X), original.predict(X), rtol=1e-12)


def test_quantized_features(iris):
    """The trees on levels are evaluated exactly, too."""
    X, y = iris
    model = RandomForestClassifier(max_depth=3, n_bits=3, leaves="index", **FEW).fit(X, y)
    levels = model._level_quantizer
    rows = levels.dequantize(levels.quantize(X))
    expected = np.mean([tree.predict_proba(rows) for tree in model.estimators_], axis=0)
    np.testing.assert_allclose(model.predict_proba(X), expected, rtol=1e-12)


def test_many_trees_are_added_up_in_several_products(iris, monkeypatch):
    """Each result adds the pieces of one tree, so that one product of all would be mostly zeros."""
    X, y = iris
    model = RandomForestClassifier(n_estimators=40, max_depth=2, leaves="index", random_state=0).fit(X, y)
    monkeypatch.setattr(cover_program, "ONE_PRODUCT", 1)
    several = clone(model).fit(X, y)
    products = [sum(isinstance(v.op, ops.Linear) for v in each.program_.values) for each in (model, several)]
    assert products[1] > products[0] + 1
    np.testing.assert_array_equal(several.predict_proba(X), model.predict_proba(X))


def test_a_single_tree_returns_its_number_in_any_case(iris):
    X, y = iris
    assert "leaves" not in DecisionTreeClassifier().get_params()
    one = RandomForestClassifier(n_estimators=1, leaves="index", max_depth=3, random_state=0).fit(X, y)
    assert isinstance(one.decoder_, LeafDecoder)


def test_encrypted_numbers_equal_the_clear_ones(iris):
    X, y = iris
    model = RandomForestClassifier(max_depth=3, leaves="index", **FEW).fit(X, y)
    assert model.cost_.seconds < RandomForestClassifier(max_depth=3, **FEW).fit(X, y).cost_.seconds
    model.compile()
    assert max(model.accumulator_bits_) <= 4
    rows = X[::100]
    np.testing.assert_array_equal(model.predict_proba(rows, fhe="execute"), model.predict_proba(rows))


@pytest.mark.parametrize("leaves", ["sum", None, 1, ["sums"]])
def test_wrong_leaves_say_what_is_expected(leaves, iris):
    with pytest.raises(ValueError, match="leaves must be one of 'sums', 'index'"):
        RandomForestClassifier(leaves=leaves).fit(*iris)
