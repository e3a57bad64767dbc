"""The front of score against seconds, within a budget, by scikit-learn's conventions."""

import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.exceptions import FitFailedWarning, NotFittedError
from sklearn.linear_model import LogisticRegression as PlainLogisticRegression
from sklearn.metrics import make_scorer, recall_score
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skfhe
from skfhe.linear_model import LogisticRegression, Ridge
from skfhe.model_selection import ParetoSearchCV, cost_scorer
from skfhe.tree import DecisionTreeClassifier, DecisionTreeRegressor
from tests.with_originals import failed_alone

TREE = DecisionTreeClassifier(random_state=0)
LINEAR = make_pipeline(StandardScaler(), LogisticRegression())
ESTIMATORS = {"tree": TREE, "linear": LINEAR}
DEPTHS, BITS = [1, 2, 4], [2, 8]
GRIDS = {"tree": {"max_depth": DEPTHS}, "linear": {"logisticregression__n_bits": BITS}}
SHUFFLED = KFold(4, shuffle=True, random_state=0)


@pytest.fixture(scope="module")
def search(iris):
    """A search that stops nothing."""
    return ParetoSearchCV(ESTIMATORS, GRIDS, alpha=0, cv=SHUFFLED).fit(*iris)


def equal_results(found, expected):
    """Whether two searches found the same but for times."""
    for name, values in expected.items():
        if not name.endswith("_time"):
            assert list(map(str, found[name])) == list(map(str, values)), name
    return True


def test_scores_are_those_of_a_grid_search(search, iris):
    """Without early stopping it is a grid search over each estimator, priced."""
    for at, (name, estimator) in enumerate(ESTIMATORS.items()):
        grid = GridSearchCV(estimator, GRIDS[name], cv=SHUFFLED, scoring=["accuracy"], refit=False).fit(*iris)
        ours = slice(0, 3) if at == 0 else slice(3, 5)
        assert search.cv_results_["params"][ours] == grid.cv_results_["params"]
        for split in range(4):
            np.testing.assert_array_equal(
                search.cv_results_[f"split{split}_test_score"][ours],
                grid.cv_results_[f"split{split}_test_accuracy"],
            )


def test_costs_are_those_of_the_models_trained_on_the_folds(search, iris):
    X, y = iris
    for split, (train, _) in enumerate(SHUFFLED.split(X)):
        cost = clone(TREE).set_params(max_depth=4).fit(X[train], y[train]).cost_
        assert search.cv_results_[f"split{split}_seconds"][2] == cost.seconds
        assert search.cv_results_[f"split{split}_lookups"][2] == cost.n_lookups
    assert list(search.cv_results_["n_folds"]) == [4] * 5
    assert list(search.cv_results_["estimator"]) == ["tree"] * 3 + ["linear"] * 2
    assert list(search.cv_results_["param_max_depth"].mask) == [False] * 3 + [True] * 2


def test_the_front_rises(search):
    front, results = search.front_, search.cv_results_
    assert len(front["index"]) > 1
    assert (np.diff(front["seconds"]) > 0).all()
    assert (np.diff(front["score"]) > 0).all()
    np.testing.assert_allclose(front["gain"][1:], np.diff(front["score"]))
    assert np.isnan(front["gain"][0])
    assert (front["gain_error"][1:] >= 0).all()
    for at in range(5):
        as_good = front["score"] >= results["mean_test_score"][at] - 1e-9
        assert (as_good & (front["seconds"] <= results["mean_seconds"][at])).any()
    assert search.front_["index"][-1] == search.best_index_
    assert len(pd.DataFrame(front)) == len(front["index"])


def test_the_best_is_trained_on_all_rows_and_predicts(search, iris):
    X, y = iris
    best = clone(ESTIMATORS[search.best_name_]).set_params(**search.best_params_).fit(X, y)
    np.testing.assert_array_equal(search.predict(X), best.predict(X))
    np.testing.assert_array_equal(search.predict_proba(X), best.predict_proba(X))
    assert search.score(X, y) == best.score(X, y)
    assert search.best_score_ == search.cv_results_["mean_test_score"][search.best_index_]
    assert search.n_features_in_ == 4
    assert list(search.classes_) == [0, 1, 2]
    assert search.n_splits_ == 4
    assert search.n_fits_ == 5 * 4 + 1


def test_it_runs_encrypted_like_other_searches(iris):
    X, y = iris
    found = ParetoSearchCV(LINEAR, GRIDS["linear"], cv=2).fit(X, y)
    circuit = skfhe.compile(found)
    assert found.best_estimator_[-1].fhe_circuit_ is circuit
    assert found.cost_.seconds == found.best_estimator_[-1].cost_.seconds
    np.testing.assert_array_equal(
        found.decision_function(X[:2], fhe="execute"), found.decision_function(X[:2], fhe="disable")
    )


def test_it_clones_and_pickles(search, iris):
    copied = clone(search)
    assert not hasattr(copied, "best_estimator_")
    assert copied.get_params()["max_seconds"] is None
    assert copied.set_params(max_seconds=2.0, n_jobs=1).max_seconds == 2.0
    loaded = pickle.loads(pickle.dumps(search))
    np.testing.assert_array_equal(loaded.predict(iris[0]), search.predict(iris[0]))
    single = ParetoSearchCV(clone(TREE), {"max_depth": [1]}).set_params(estimators__min_samples_leaf=3)
    assert single.estimators.min_samples_leaf == 3


@pytest.mark.parametrize("given", [dict, lambda named: list(named.items())])
def test_estimators_and_their_parameters_are_reached_by_name(given):
    several = ParetoSearchCV(given({"a": clone(TREE), "b": clone(LINEAR)}))
    assert several.get_params()["b__logisticregression__n_bits"] == 8
    several.set_params(a__max_depth=2, b__logisticregression__n_bits=3, cv=4)
    assert several.get_params()["a"].max_depth == 2
    assert clone(several).get_params()["b__logisticregression__n_bits"] == 3
    several.set_params(a=DecisionTreeClassifier(max_depth=7))
    assert several.get_params()["a__max_depth"] == 7
    with pytest.raises(ValueError, match="Invalid parameter 'c'"):
        several.set_params(c__max_depth=2)


# The budget.


def test_what_is_over_the_budget_is_stopped_after_the_first_fold(search, iris):
    seconds = search.cv_results_["mean_seconds"]
    budget = seconds[3:].max() * 1.01  # of linear models
    found = ParetoSearchCV(ESTIMATORS, GRIDS, max_seconds=budget, alpha=0, cv=SHUFFLED).fit(*iris)
    over = found.cv_results_["stopped"] == "over budget"
    assert over[2]
    assert not over[3:].any()
    for at in np.flatnonzero(over):
        assert np.mean([search.cv_results_[f"split{k}_seconds"][at] for k in range(4)]) > budget
    assert found.cv_results_["n_folds"][2] == 1
    assert np.isnan(found.cv_results_["split1_test_score"][2])
    assert found.cv_results_["rank_test_score"][2] == found.cv_results_["rank_test_score"].max()
    assert found.n_fits_ < search.n_fits_
    assert (found.front_["seconds"] <= budget).all()
    assert found.cost_.seconds <= budget
    assert found.best_name_ == "linear"


def test_what_is_over_the_budget_when_trained_on_all_rows_gives_way_to_the_next_best(iris):
    """A tree of all rows of iris has more lookups than that of a small part of them."""
    X, y = iris
    rng = np.random.default_rng(0)
    few = [(part[:50], part[50:]) for part in (rng.permutation(150) for _ in range(2))]
    trees = ParetoSearchCV(TREE, {"max_depth": [1, None]}, alpha=0, cv=few).fit(X, y)
    dear, on_folds = trees.cost_.seconds, trees.cv_results_["mean_seconds"][1]
    assert trees.best_index_ == 1
    assert on_folds < dear
    found = ParetoSearchCV(TREE, {"max_depth": [1, None]}, alpha=0, cv=few, max_seconds=(on_folds + dear) / 2)
    found.fit(X, y)
    assert found.best_index_ == 0
    assert found.n_fits_ == trees.n_fits_ + 1
    assert found.cost_.seconds <= found.max_seconds
    found.set_params(param_grid={"max_depth": [None]})
    with pytest.raises(
        ValueError, match=r"1 candidates are within .* trained on all rows: the cheapest takes"
    ):
        found.fit(X, y)


def test_the_cheapest_is_named_when_nothing_is_within_the_budget(iris):
    with pytest.raises(
        ValueError, match=r"max_seconds=1e-05: the cheapest, tree\(max_depth=1\), takes about 0"
    ):
        ParetoSearchCV(ESTIMATORS, GRIDS, max_seconds=1e-5).fit(*iris)
    with pytest.raises(ValueError, match="max_seconds"):
        ParetoSearchCV(TREE, max_seconds=0).fit(*iris)


def test_what_no_candidate_beats_is_evaluated_to_the_end(search, iris):
    """The race ends with the front of the full grid, for fewer fits, and says why each was stopped."""
    estimators = {
        **ESTIMATORS,
        "poor": DecisionTreeClassifier(max_features=1, splitter="random", random_state=0),
    }
    grids = {**GRIDS, "poor": {"max_depth": [2], "random_state": [0, 1]}}
    found = ParetoSearchCV(estimators, grids, cv=SHUFFLED, refit=False).fit(*iris)
    stopped = found.cv_results_["stopped"]
    assert set(stopped) == {"", "unpromising"}
    assert (found.cv_results_["n_folds"][stopped == "unpromising"] >= 2).all()
    assert (found.cv_results_["n_folds"][stopped == ""] == 4).all()
    assert found.n_fits_ < 4 * len(stopped)
    full = clone(found).set_params(alpha=0).fit(*iris)
    np.testing.assert_array_equal(found.front_["index"], full.front_["index"])


# What it is given.


def test_estimators_and_grids_come_in_several_forms(iris):
    def names(estimators, grid=None):
        results = ParetoSearchCV(estimators, grid, cv=2, refit=False).fit(*iris).cv_results_
        return list(zip(results["estimator"], map(str, results["params"]), strict=True))

    assert names(TREE) == [("decisiontreeclassifier", "{}")]
    tree = "decisiontreeclassifier"
    assert names([TREE, TREE, LINEAR]) == [(tree, "{}"), (f"{tree}-2", "{}"), ("logisticregression", "{}")]
    deep = [("a", "{'max_depth': 1}"), ("b", "{}")]
    assert names([("a", TREE), ("b", TREE)], [{"max_depth": [1]}, None]) == deep
    assert names({"a": TREE, "b": TREE}, {"a": [{"max_depth": [1]}]}) == deep
    assert len(names(TREE, [{"max_depth": [1, 2]}, {"max_features": [1]}])) == 3
    assert len(names({"a": TREE}, {"a": {"max_depth": [1, 2]}})) == 2


@pytest.mark.parametrize(
    ("estimators", "grid", "message"),
    [
        ([], None, "estimators is empty"),
        ([TREE, 3], None, "must be an estimator, or a list.*got 3"),
        (DecisionTreeClassifier, None, "must be an estimator"),
        ([("a", TREE), ("a", TREE)], None, "'a' is given twice"),
        ([TREE, DecisionTreeRegressor()], None, r"classifiers \(decisiontreeclassifier\) with others"),
        ([TREE, LINEAR], {"max_depth": [1]}, "'max_depth', which is not the name of an estimator"),
        ([TREE, LINEAR], [{"max_depth": [1]}], "a list of 1 for 2 estimators"),
        (TREE, {"depth": [1]}, "Invalid parameter 'depth'"),
        (TREE, {"max_depth": 1}, "max_depth"),
    ],
)
def test_what_does_not_fit_together_is_named(iris, estimators, grid, message):
    with pytest.raises((TypeError, ValueError), match=message):
        ParetoSearchCV(estimators, grid).fit(*iris)


def test_estimators_that_are_not_of_skfhe_have_no_cost(iris):
    with pytest.raises(TypeError, match="LogisticRegression is not one, nor has it any inside"):
        ParetoSearchCV(PlainLogisticRegression()).fit(*iris)


def test_a_meta_estimator_costs_what_its_members_do(iris):
    found = ParetoSearchCV(OneVsRestClassifier(TREE), {"estimator__max_depth": [2]}, cv=2).fit(*iris)
    members = found.best_estimator_.estimators_
    assert found.cost_.seconds == sum(member.cost_.seconds for member in members)
    assert found.cost_.n_lookups == sum(member.cost_.n_lookups for member in members)
    assert cost_scorer(found) == -found.cost_.seconds


# scikit-learn's conventions.


def test_of_several_metrics_refit_names_that_of_the_front(iris):
    scoring = {"accuracy": "accuracy", "recall": make_scorer(recall_score, average="macro")}
    found = ParetoSearchCV(TREE, {"max_depth": [1, 2]}, scoring=scoring, refit="recall", cv=2)
    found.set_params(return_train_score=True).fit(*iris)
    results = found.cv_results_
    assert {"mean_test_accuracy", "rank_test_recall", "mean_train_recall"} <= set(results)
    assert found.best_score_ == results["mean_test_recall"].max()
    assert found.score(*iris) == recall_score(iris[1], found.predict(iris[0]), average="macro")
    for wrong in (scoring, lambda *_: {"accuracy": 0.5, "recall": 0.5}):
        with pytest.raises(ValueError, match=r"refit must name.*'accuracy', 'recall'; got refit=True"):
            found.set_params(scoring=wrong, refit=True).fit(*iris)


def test_without_refitting_nothing_predicts(iris):
    found = ParetoSearchCV(TREE, {"max_depth": [1, 2]}, refit=False, cv=2).fit(*iris)
    assert found.best_params_ == {"max_depth": 2}
    assert not hasattr(found, "predict")
    assert not hasattr(found, "cost_")
    with pytest.raises(NotFittedError, match="refit=False"):
        found.score(*iris)


class Failing(DecisionTreeClassifier):
    """A tree that cannot be trained at depth 3."""

    def fit(self, X, y, sample_weight=None, check_input=True):
        if self.max_depth == 3:
            raise ValueError("three is too deep")
        return super().fit(X, y, sample_weight, check_input)


def test_a_scorer_that_fails_everywhere_says_why(iris):
    def impossible(*_):
        raise ZeroDivisionError("no such score")

    with pytest.warns(UserWarning, match="Scoring failed"), pytest.raises(ZeroDivisionError):
        ParetoSearchCV(TREE, scoring=impossible, cv=2).fit(*iris)
    with pytest.raises(ValueError, match="all 1 candidates failed, or have no finite score"):
        ParetoSearchCV(TREE, scoring=lambda *_: np.inf, cv=2).fit(*iris)


def test_what_fails_is_not_evaluated_further(iris):
    found = ParetoSearchCV(Failing(random_state=0), {"max_depth": [3, 2]}, cv=3, error_score=2.0)
    with pytest.warns(FitFailedWarning, match="(?s)1 of 2 candidates failed.*three is too deep"):
        found.fit(*iris)
    assert list(found.cv_results_["stopped"]) == ["failed", ""]
    assert list(found.cv_results_["n_folds"]) == [1, 3]
    assert found.cv_results_["split0_test_score"][0] == 2.0
    assert list(found.front_["index"]) == [1]
    with pytest.raises(ValueError, match=r"(?s)all 1 candidates failed.*three is too deep"):
        found.set_params(param_grid={"max_depth": [3]}).fit(*iris)
    with pytest.raises(ValueError, match=r"^three is too deep"):
        found.set_params(error_score="raise").fit(*iris)


def test_weights_and_groups_reach_fit_and_folds(iris):
    X, y = iris
    weights, groups = np.where(y == 2, 0.0, 1.0), np.arange(150) % 3
    found = ParetoSearchCV(TREE, {"max_depth": [2]}, cv=GroupKFold(3)).fit(
        X, y, sample_weight=weights, groups=groups
    )
    assert 2 not in found.predict(X)
    assert found.n_splits_ == 3
    with sklearn.config_context(enable_metadata_routing=True):
        tree = clone(TREE).set_fit_request(sample_weight=True).set_score_request(sample_weight=False)
        other = clone(TREE).set_fit_request(sample_weight=False).set_score_request(sample_weight=False)
        routed = ParetoSearchCV([tree, other], cv=GroupKFold(3), alpha=0)
        routed.fit(X, y, sample_weight=weights, groups=groups)
    weighted, plain = routed.cv_results_["mean_test_score"]
    assert weighted < 0.7 < plain


def test_frames_keep_the_names_of_their_columns(iris):
    frame = pd.DataFrame(iris[0], columns=list("abcd"))
    found = ParetoSearchCV(Ridge(), {"n_bits": [8]}, cv=2).fit(frame, iris[1])
    assert list(found.feature_names_in_) == list("abcd")
    assert found.predict(frame[:2]).shape == (2,)
    assert found.best_score_ < 1


def test_progress_is_said_on_request(iris, capsys):
    ParetoSearchCV(ESTIMATORS, GRIDS, max_seconds=0.002, cv=2, verbose=2).fit(*iris)
    said = capsys.readouterr().out
    assert "[ParetoSearchCV] fold 1 of 2: 5 trained, " in said
    assert "over budget, 3 left" in said
    assert "[CV 2/2] tree(max_depth=1): score " in said


@pytest.mark.parametrize("backend", ["threading", "dask", pytest.param("loky", marks=pytest.mark.slow)])
def test_workers_find_the_same(search, iris, backend):
    if backend != "dask":
        with joblib.parallel_config(backend, n_jobs=2):
            assert equal_results(clone(search).fit(*iris).cv_results_, search.cv_results_)
        return
    distributed = pytest.importorskip("distributed")
    quiet = {"processes": False, "n_workers": 1, "threads_per_worker": 2, "dashboard_address": None}
    with distributed.Client(**quiet), joblib.parallel_config("dask"):
        assert equal_results(clone(search).fit(*iris).cv_results_, search.cv_results_)


@pytest.mark.slow
def test_it_is_an_estimator_as_grid_searches_are():
    """scikit-learn's checks find nothing that they do not find in GridSearchCV."""
    grid = {"alpha": [0.1, 1.0]}
    searches = (cls(Ridge(), grid, cv=2) for cls in (ParetoSearchCV, GridSearchCV))
    assert not failed_alone(*searches)
