"""AdaBoost of trees as one program: votes are leaf values, medians are taken by the client."""

import numpy as np
import pytest
from sklearn import ensemble as float_ensemble
from sklearn import linear_model as float_linear
from sklearn import tree as float_tree
from sklearn.base import is_classifier

from skfhe.encoding import LeafMedianDecoder
from skfhe.ensemble import AdaBoostClassifier, AdaBoostRegressor
from skfhe.exceptions import UnsupportedModelError
from skfhe.tree import DecisionTreeClassifier
from tests.with_originals import failed_alone, original_of

FEW = {"n_estimators": 4, "random_state": 0}
DEEPER = float_tree.DecisionTreeClassifier(max_depth=2)
SHALLOW = float_tree.DecisionTreeRegressor(max_depth=2)


@pytest.mark.parametrize("estimator", [AdaBoostClassifier(**FEW), AdaBoostRegressor(SHALLOW, **FEW)], ids=str)
def test_no_check_fails_that_the_original_passes(estimator):
    assert not failed_alone(estimator, original_of(estimator))


@pytest.mark.parametrize("member", [None, DEEPER, float_tree.ExtraTreeClassifier(max_depth=3)], ids=str)
@pytest.mark.parametrize("n_classes", [1, 2, 3])
def test_scores_and_stages_are_those_of_the_original(member, n_classes, iris):
    X, y = iris[0], np.minimum(iris[1], n_classes - 1)
    estimator = AdaBoostClassifier(member, **FEW)
    model, original = estimator.fit(X, y), original_of(estimator).fit(X, y)
    limit = model.score_error_ + 1e-12
    np.testing.assert_allclose(model.decision_function(X), original.decision_function(X), rtol=0, atol=limit)
    np.testing.assert_allclose(model.predict_proba(X), original.predict_proba(X), rtol=0, atol=limit)
    np.testing.assert_array_equal(model.predict(X), original.predict(X))
    if n_classes > 1:
        norms = np.cumsum(model.estimator_weights_)
        stages = zip(
            model.staged_decision_function(X), original.staged_decision_function(X), norms, strict=False
        )
        for ours, theirs, norm in stages:
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=limit * norms[-1] / norm)
        assert [*model.staged_score(X, y)] == [*original.staged_score(X, y)]


def test_medians_and_stages_are_exact(diabetes):
    """The client's leaf values and weights are the original's, and put together as that does."""
    X, y = diabetes
    for member, n_bits in ((SHALLOW, None), (SHALLOW, 3)):
        estimator = AdaBoostRegressor(member, n_estimators=9, random_state=0, n_bits=n_bits)
        model, original = estimator.fit(X, y), original_of(estimator)
        assert isinstance(model.decoder_, LeafMedianDecoder)
        if n_bits:
            rows = model._level_quantizer.dequantize(model._level_quantizer.quantize(X))
        else:
            rows = X
        original.fit(rows, y)
        np.testing.assert_array_equal(model.predict(X), original.predict(rows))
        stages = zip(model.staged_predict(X), original.staged_predict(rows), strict=True)
        for ours, theirs in stages:
            np.testing.assert_array_equal(ours, theirs)
    alone = AdaBoostRegressor(SHALLOW, n_estimators=1, random_state=0).fit(X, y)
    np.testing.assert_array_equal([*alone.staged_predict(X)], [alone.predict(X)])


def test_stumps_take_no_lookup(iris, diabetes):
    """Their votes are linear in the bits that the client sends."""
    assert AdaBoostClassifier(n_estimators=20, random_state=0).fit(*iris).cost_.n_lookups == 0
    stumps = AdaBoostRegressor(float_tree.DecisionTreeRegressor(max_depth=1), random_state=0)
    assert stumps.fit(*diabetes).cost_.n_lookups == 0


@pytest.mark.parametrize(
    "estimator", [AdaBoostClassifier(DEEPER, **FEW), AdaBoostRegressor(SHALLOW, **FEW)], ids=str
)
def test_encrypted_predictions_equal_the_clear_ones(estimator, iris, diabetes):
    X, y = iris if is_classifier(estimator) else diabetes
    model = estimator.set_params(n_estimators=2).fit(X, y)
    model.compile()
    rows = X[:: len(X) // 3]
    np.testing.assert_array_equal(model.predict(rows, fhe="execute"), model.predict(rows))


def test_members_of_ours_are_trained_as_floats(iris):
    """A member that were ours would be lowered, and could be run encrypted, at every step of training."""
    X, y = iris
    model = AdaBoostClassifier(DecisionTreeClassifier(max_depth=2), **FEW).fit(X, y)
    assert {type(member) for member in model.estimators_} == {float_tree.DecisionTreeClassifier}
    np.testing.assert_array_equal(
        model.predict(X), float_ensemble.AdaBoostClassifier(DEEPER, **FEW).fit(X, y).predict(X)
    )
    with pytest.raises(UnsupportedModelError, match="give n_bits=3 to AdaBoostClassifier"):
        AdaBoostClassifier(DecisionTreeClassifier(n_bits=3)).fit(X, y)


def test_other_members_are_refused_with_the_way_to_have_them(iris, diabetes):
    logistic = float_linear.LogisticRegression()
    with pytest.raises(UnsupportedModelError, match="AdaBoostClassifier of skfhe's LogisticRegression"):
        AdaBoostClassifier(logistic).fit(*iris)
    fitted = float_ensemble.AdaBoostClassifier(logistic, **FEW).fit(*iris)
    with pytest.raises(
        UnsupportedModelError, match="a LogisticRegression: AdaBoostClassifier is one program"
    ):
        AdaBoostClassifier.from_sklearn_model(fitted)
    with pytest.raises(ValueError, match="estimator"):
        AdaBoostClassifier("tree").fit(*iris)


@pytest.mark.parametrize("with_rows", [True, False])
def test_conversion(with_rows, iris, diabetes):
    for ours, (X, y) in ((AdaBoostClassifier(**FEW), iris), (AdaBoostRegressor(SHALLOW, **FEW), diabetes)):
        original = original_of(ours).fit(X, y)
        model = type(ours).from_sklearn_model(original, X if with_rows else None)
        np.testing.assert_array_equal(model.predict(X), original.predict(X))


def test_decoders_of_medians_refuse_what_does_not_fit():
    one, two = np.array([1]), np.ones(2)
    for wrong, message in (
        (lambda: LeafMedianDecoder(one, two, two), "a weight of each tree"),
        (lambda: LeafMedianDecoder(one, two, np.ones(1)), "trees of 2 leaves together"),
        (lambda: LeafMedianDecoder(one * 2, two, np.ones(1), 0), "multiple must be"),
    ):
        with pytest.raises(ValueError, match=message):
            wrong()
    # what a wrong lookup makes of a number is taken for the nearest
    assert LeafMedianDecoder(one * 2, np.array([3.0, 4.0]), np.ones(1)).decode(np.array([[9]])) == 4
