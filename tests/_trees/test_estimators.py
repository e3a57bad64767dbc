"""What users of scikit-learn expect of any estimator, of trees and their ensembles."""

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from sklearn import ensemble as float_ensemble
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier as FloatDecisionTreeClassifier

import skfhe
from skfhe import ensemble, tree
from skfhe._trees.estimator import ENSEMBLE
from skfhe.ensemble import RandomForestClassifier
from skfhe.exceptions import NotCompiledError
from skfhe.tree import DecisionTreeClassifier
from tests._trees.examples import CLASSIFIERS, FEW, REGRESSORS, name, scores_of
from tests.with_originals import failed_alone, original_of

LONG = (
    *("ExtraTreesClassifier", "HistGradientBoostingClassifier", "HistGradientBoostingRegressor"),
    *("ExtraTreesRegressor", "RandomForestRegressor"),
)
"""Of which the originals alone take long."""
CHECKED = [
    pytest.param(each, marks=pytest.mark.slow if name(each) in LONG else (), id=name(each))
    for each in (*CLASSIFIERS, *REGRESSORS)
]


@pytest.mark.parametrize("estimator", CHECKED)
def test_no_check_fails_that_the_original_passes(estimator):
    assert not failed_alone(estimator, original_of(estimator))


def test_every_estimator_is_tested():
    tested = {name(estimator) for estimator in (*CLASSIFIERS, *REGRESSORS)}
    in_files_of_their_own = {"AdaBoostClassifier", "AdaBoostRegressor", "IsolationForest"}
    assert tested | in_files_of_their_own == {*tree.__all__, *ensemble.__all__}


def test_sample_weight_and_class_weight_train_the_original(iris):
    X, y = iris
    weight = np.random.default_rng(0).random(len(y))
    for estimator in CLASSIFIERS:
        model = clone(estimator).fit(X, y, sample_weight=weight)
        original = original_of(estimator).fit(X, y, sample_weight=weight)
        np.testing.assert_array_equal(model.predict(X), original.predict(X))


def test_failed_fit_leaves_the_estimator_as_it_was(iris):
    X, y = iris
    model = RandomForestClassifier(max_depth=2, **FEW).fit(X, y)
    before, n_trees = model.predict_proba(X), len(model.estimators_)
    model.set_params(warm_start=True, n_estimators=2)
    with pytest.raises(ValueError, match="n_estimators"):
        model.fit(X, y)
    np.testing.assert_array_equal(model.predict_proba(X), before)
    assert len(model.estimators_) == n_trees


def test_fit_again_drops_the_circuit_and_pickles_carry_it(iris):
    X, y = iris
    model = DecisionTreeClassifier(max_depth=2, random_state=0).fit(X, y)
    model.compile()
    loaded = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(loaded.predict(X[:2], fhe="execute"), model.predict(X[:2]))
    model.fit(X, y)
    with pytest.raises(NotCompiledError, match="call compile"):
        model.predict(X, fhe="execute")


def test_pipeline_search_and_data_frame(iris):
    X, y = iris
    frame = pd.DataFrame(X, columns=list("abcd"))
    pipe = make_pipeline(
        StandardScaler().set_output(transform="pandas"), DecisionTreeClassifier(max_depth=3, random_state=0)
    )
    search = GridSearchCV(pipe, {"decisiontreeclassifier__n_bits": [None, 3]}, cv=3).fit(frame, y)
    skfhe.compile(search)
    best = search.best_estimator_
    assert best[-1].feature_names_in_.tolist() == list("abcd")
    np.testing.assert_array_equal(best.predict(frame[:3], fhe="execute"), best.predict(frame[:3]))


def test_sparse_rows(iris):
    X, y = iris
    model = RandomForestClassifier(max_depth=3, **FEW).fit(csr_matrix(X), y)
    np.testing.assert_array_equal(model.predict_proba(csr_matrix(X)), model.predict_proba(X))


# Subclasses of a user


def reversed_probabilities(cls):
    class Reversed(cls):
        def predict_proba(self, X):
            return super().predict_proba(X)[:, ::-1]

    return Reversed


@pytest.mark.parametrize("estimator", CLASSIFIERS, ids=name)
def test_a_subclass_may_override_probabilities(estimator, iris):
    """What the original computes by them follows: classes of forests, and logarithms."""
    X, y = iris
    params = {key: value for key, value in estimator.get_params().items() if key not in ENSEMBLE}
    model = reversed_probabilities(type(estimator))(**params).fit(X, y)
    original = reversed_probabilities(estimator._original)(**params).fit(X, y)
    np.testing.assert_array_equal(model.predict(X), original.predict(X))
    assert model.score(X, y) == original.score(X, y)
    if hasattr(original, "predict_log_proba"):
        with np.errstate(divide="ignore"):
            np.testing.assert_array_equal(model.predict_log_proba(X), np.log(model.predict_proba(X)))


@pytest.mark.parametrize("estimator", CHECKED)
def test_a_subclass_may_have_parameters_of_its_own(estimator, iris):
    """What it sets of the original's is used in training, although its own signature does not list it."""

    class Shallow(type(estimator)):
        def __init__(self, margin=0.5, random_state=0):
            super().__init__(max_depth=1, random_state=random_state)
            self.margin = margin

    model = clone(Shallow(margin=2)).fit(*iris)
    assert model.get_params() == {"margin": 2, "random_state": 0}
    assert model.max_depth == 1
    assert all(len(tree.splits) <= 3 for tree in model._describe(model).trees)


# Converting a fitted original


@pytest.mark.parametrize("estimator", [*CLASSIFIERS, *REGRESSORS], ids=name)
@pytest.mark.parametrize("with_rows", [True, False])
def test_converted_original_keeps_its_paths(estimator, with_rows, iris, diabetes):
    X, y = iris if is_classifier(estimator) else diabetes
    original = original_of(estimator).fit(X, y)
    model = type(estimator).from_sklearn_model(original, X if with_rows else None)
    assert model.get_params() == clone(estimator).get_params()
    difference = np.abs(scores_of(model, X) - scores_of(original, X))
    assert difference.max() <= model.score_error_ + 1e-9


def test_converted_and_quantized_original(iris):
    X, y = iris
    original = float_ensemble.RandomForestClassifier(max_depth=3, **FEW).fit(X, y)
    model = RandomForestClassifier.from_sklearn_model(original, X, n_bits=5)
    assert model.score(X, y) > 0.9
    with pytest.raises(ValueError, match="needs rows to choose the features' levels"):
        RandomForestClassifier.from_sklearn_model(original, n_bits=5)


def test_conversion_says_what_is_wrong(iris):
    with pytest.raises(TypeError, match=r"converts a fitted sklearn\.ensemble\.RandomForestClassifier"):
        RandomForestClassifier.from_sklearn_model(FloatDecisionTreeClassifier(random_state=0).fit(*iris))
    with pytest.raises(NotFittedError):
        DecisionTreeClassifier.from_sklearn_model(FloatDecisionTreeClassifier())
