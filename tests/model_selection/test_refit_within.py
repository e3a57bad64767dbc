"""scikit-learn's own searches keep to a budget of seconds."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV

from skfhe.model_selection import cost_scorer, refit_within
from skfhe.tree import DecisionTreeClassifier

TREE = DecisionTreeClassifier(random_state=0)
SCORING = {"score": "accuracy", "neg_seconds": cost_scorer}


@pytest.fixture(scope="module")
def search(iris):
    return GridSearchCV(
        TREE, {"max_depth": [None, 1, 2]}, scoring=SCORING, refit=refit_within(seconds=1.0), cv=3
    ).fit(*iris)


def chosen(search, **options):
    return refit_within(**options)(search.cv_results_)


def test_costs_are_columns_of_the_results(search, iris):
    assert (search.cv_results_["mean_test_neg_seconds"] < 0).all()
    assert cost_scorer(search.best_estimator_) == -search.best_estimator_.cost_.seconds


def test_the_best_score_within_the_budget_is_refitted(search):
    """By the dearest fold: a mean within the budget is of folds over it, too."""
    seconds = np.max([-search.cv_results_[f"split{k}_test_neg_seconds"] for k in range(3)], axis=0)
    scores = search.cv_results_["mean_test_score"]
    assert search.best_index_ == np.argmax(scores)
    for budget in seconds:
        within = np.flatnonzero(seconds <= budget)
        assert scores[chosen(search, seconds=budget)] == scores[within].max()
    assert chosen(search, seconds=seconds.max()) == search.best_index_


def test_it_clones_and_pickles(iris):
    search = RandomizedSearchCV(
        TREE,
        {"max_depth": [1, 2]},
        n_iter=2,
        scoring=SCORING,
        refit=refit_within(seconds=1.0, metric="score"),
        cv=2,
    )
    found = clone(search).fit(*iris)
    assert found.best_params_ == {"max_depth": 2}
    assert pickle.loads(pickle.dumps(found)).refit == refit_within(seconds=1.0, metric="score")


def results(**columns):
    return {name: np.array(values) for name, values in columns.items()} | {"params": ["a", "b", "c"]}


def test_of_equal_scores_the_cheapest_is_taken_and_failures_never():
    table = results(
        mean_test_auc=[0.9, 0.9, np.nan],
        mean_test_neg_seconds=[-0.2, -0.1, np.nan],
        split0_test_neg_seconds=[-0.2, -0.1, np.nan],
    )
    assert refit_within(seconds=1)(table) == 1
    with pytest.raises(ValueError, match=r"no candidate is within 0\.05 seconds.*takes about 0\.1, with b"):
        refit_within(seconds=0.05)(table)


def test_what_is_missing_is_named():
    with pytest.raises(ValueError, match=r"no mean_test_neg_seconds.*scoring=.*cost_scorer"):
        refit_within(seconds=1)(results(mean_test_score=[1, 2, 3]))
    several = results(mean_test_a=[1, 2, 3], mean_test_b=[3, 2, 1], mean_test_neg_seconds=[-1.0, -1.0, -1.0])
    with pytest.raises(ValueError, match="must name one of the metrics; there is 'a', 'b'"):
        refit_within(seconds=1)(several)
    with pytest.raises(ValueError, match="metric='c' is none of the search's"):
        refit_within(seconds=1, metric="c")(several)
    assert refit_within(seconds=1, metric="b")(several) == 0
    with pytest.raises(ValueError, match="can be compiled"):
        refit_within(seconds=1)(results(mean_test_a=[1, 2, 3], mean_test_neg_seconds=[-np.inf] * 3))
    with pytest.raises(ValueError, match="seconds must be positive, got 0"):
        refit_within(seconds=0)
    with pytest.raises(TypeError, match="seconds must be a number, got '1'"):
        refit_within(seconds="1")
    with pytest.raises(TypeError, match=r"object is not one|has it any inside"):
        cost_scorer(object())
