"""Every meta-estimator of scikit-learn predicts encrypted, by all of its members, when it is told so once."""

import pickle

import numpy as np
import pytest
from joblib import parallel_config
from sklearn import ensemble, multioutput
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.exceptions import NotFittedError
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_selection import RFE, RFECV, SelectFromModel, SequentialFeatureSelector
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import RANSACRegressor
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    HalvingGridSearchCV,
    TunedThresholdClassifierCV,
    cross_val_score,
)
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier, OutputCodeClassifier
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier

import skfhe
from skfhe.circuit import Circuit, ClientSession
from skfhe.linear_model import LinearRegression, LogisticRegression, RidgeCV
from skfhe.tree import DecisionTreeClassifier
from tests.compose.counted import CountedCircuit, Logged

LR = LogisticRegression(C=0.1)
STACK = ensemble.StackingClassifier([("a", LR)], final_estimator=LR, cv=2)

TABLE = {
    # name: the meta-estimator, its targets, and how many members a prediction asks
    "Pipeline": (make_pipeline(StandardScaler(), LR), "classes", 1),
    "GridSearchCV": (GridSearchCV(LR, {"C": [0.1]}, cv=2), "classes", 1),
    "VotingClassifier": (ensemble.VotingClassifier([("a", LR), ("b", LR)], voting="soft"), "classes", 2),
    "VotingRegressor": (ensemble.VotingRegressor([("a", LinearRegression())]), "value", 1),
    "StackingClassifier": (STACK, "classes", 2),
    "StackingRegressor": (
        ensemble.StackingRegressor([("a", LinearRegression())], LinearRegression(), cv=2),
        "value",
        2,
    ),
    "BaggingClassifier": (ensemble.BaggingClassifier(LR, n_estimators=2, random_state=0), "classes", 2),
    "BaggingRegressor": (
        ensemble.BaggingRegressor(LinearRegression(), n_estimators=2, random_state=0),
        "value",
        2,
    ),
    "AdaBoostClassifier": (ensemble.AdaBoostClassifier(LR, n_estimators=2, random_state=0), "classes", 2),
    "AdaBoostRegressor": (
        ensemble.AdaBoostRegressor(LinearRegression(), n_estimators=2, random_state=0),
        "value",
        2,
    ),
    "CalibratedClassifierCV": (CalibratedClassifierCV(LR, cv=2), "classes", 2),
    "CalibratedClassifierCV, isotonic": (
        CalibratedClassifierCV(LR, cv=2, method="isotonic", ensemble=False),
        "classes",
        1,
    ),
    "OneVsRestClassifier": (OneVsRestClassifier(LR), "classes", 3),
    "OneVsOneClassifier": (OneVsOneClassifier(LR), "classes", 6),  # predictions, and their confidences
    # one of three codes is alike for all classes, and has a constant for a member
    "OutputCodeClassifier": (OutputCodeClassifier(LR, code_size=1, random_state=0), "classes", 2),
    "MultiOutputClassifier": (multioutput.MultiOutputClassifier(LR), "labels", 2),
    "MultiOutputRegressor": (multioutput.MultiOutputRegressor(LinearRegression()), "values", 2),
    # chains ask each member twice: for what the next one reads, and for what is returned
    "ClassifierChain": (multioutput.ClassifierChain(LR), "labels", 4),
    "RegressorChain": (multioutput.RegressorChain(LinearRegression()), "values", 4),
    "FixedThresholdClassifier": (FixedThresholdClassifier(LR, threshold=0.4), "label", 1),
    "TunedThresholdClassifierCV": (TunedThresholdClassifierCV(LR, cv=2, thresholds=5), "label", 1),
    "TransformedTargetRegressor": (
        TransformedTargetRegressor(LinearRegression(), func=np.log1p, inverse_func=np.expm1),
        "value",
        1,
    ),
    "RFE": (RFE(LR, n_features_to_select=3), "classes", 1),
    "RFECV": (RFECV(LR, min_features_to_select=3, cv=2), "classes", 1),
    "SequentialFeatureSelector": (
        make_pipeline(SequentialFeatureSelector(LR, n_features_to_select=1, cv=2), LR),
        "classes",
        1,
    ),
    "HalvingGridSearchCV": (
        HalvingGridSearchCV(LR, {"C": [0.1, 1.0]}, cv=2, random_state=0),
        "classes",
        1,
    ),
    "SelectFromModel": (make_pipeline(SelectFromModel(LR), LR), "classes", 1),
    "SelfTrainingClassifier": (SelfTrainingClassifier(LR), "classes", 1),
    "RANSACRegressor": (RANSACRegressor(LinearRegression(), random_state=0), "value", 1),
    "FeatureUnion": (make_pipeline(FeatureUnion([("s", STACK)]), LR), "classes", 2),
    "ColumnTransformer": (make_pipeline(ColumnTransformer([("s", STACK, [0, 1, 2])]), LR), "classes", 2),
    "nested": (
        make_pipeline(StandardScaler(), GridSearchCV(OneVsRestClassifier(make_pipeline(LR)), {}, cv=2)),
        "classes",
        3,
    ),
}


# name: what is compiled of it, and how many circuits
COMPILED = {"RFECV": 1, "HalvingGridSearchCV": 1, "FeatureUnion": 3, "SelectFromModel": 1, "nested": 3}


@pytest.fixture(scope="module")
def rows(iris):
    X, y = iris[0][::5], iris[1][::5]
    label = (y > 0).astype(int)
    targets = {"classes": y, "label": label, "labels": np.column_stack([label, (X[:, 0] > 5.8).astype(int)])}
    return X, targets | {"value": np.abs(X[:, 0] - 5.8), "values": X[:, :2]}


@pytest.fixture
def engine(monkeypatch):
    """All circuits that were compiled, in the order that they were."""
    circuits = []

    def compiled(*args):
        circuits.append(CountedCircuit(*args))
        return circuits[-1]

    monkeypatch.setattr("skfhe.circuit.compile_program", compiled)
    return circuits


def calls(circuits):
    return sum(len(circuit.calls) for circuit in circuits)


@pytest.mark.parametrize("name", TABLE)
def test_every_member_predicts_encrypted_without_a_keyword(name, rows, engine):
    """And computes what it does in the clear; a pickle goes on doing so."""
    meta, kind, n_calls = TABLE[name]
    X, y = rows[0], rows[1][kind]
    model = clone(meta).fit(X, y)
    clear = model.predict(X)
    assert skfhe.set_mode(model, "execute", clear="forbid") is model
    np.testing.assert_array_equal(model.predict(X), clear)
    assert calls(engine) == n_calls
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), clear)
    if hasattr(model, "score"):
        before = calls(engine)
        model.score(X, y)
        assert calls(engine) > before


@pytest.mark.parametrize("name", COMPILED)
def test_all_that_predicts_is_compiled(name, rows, engine):
    """Steps before the last of a pipeline among it; what a selector has chosen its columns by is not."""
    X, y = rows[0], rows[1]["classes"]
    found = skfhe.compile(clone(TABLE[name][0]).fit(X, y), X)
    assert len(found if isinstance(found, list) else [found]) == len(engine) == COMPILED[name]


def test_results_of_candidates_do_not_make_a_search(rows, engine):
    """Others keep scores under that name; and a search that was not refitted says so."""
    X, label = rows[0], rows[1]["label"]
    assert skfhe.compile(RidgeCV(store_cv_results=True).fit(X, label)) is engine[0]
    tuned = TunedThresholdClassifierCV(LR, cv=2, thresholds=3, store_cv_results=True).fit(X, label)
    assert skfhe.compile(tuned) is engine[1]
    with pytest.raises(NotFittedError, match="refit=False"):
        skfhe.compile(GridSearchCV(LR, {}, cv=2, refit=False).fit(X, label))
    with pytest.raises(NotFittedError, match="not fitted yet"):
        skfhe.compile(GridSearchCV(LR, {}))
    with pytest.raises(TypeError, match="keeps none that predicts"):
        skfhe.compile(SequentialFeatureSelector(LR, n_features_to_select=1, cv=2).fit(X, label))


def test_what_is_predicted_in_fit_is_predicted_in_the_members_mode(rows, engine):
    """Encrypted if the mode was there before, by the same integers; other fits encrypt nothing."""
    X, y = rows[0], rows[1]["classes"]
    bagging = clone(TABLE["BaggingClassifier"][0]).fit(X, y)
    before = clone(STACK).fit(X, y)
    assert calls(engine) == 0
    skfhe.set_mode(bagging, "execute").fit(X, y)
    assert calls(engine) == 0
    after = skfhe.set_mode(clone(STACK), "execute").fit(X, y)
    assert calls(engine) == 2  # a fold each
    np.testing.assert_array_equal(after.final_estimator_.coef_, before.final_estimator_.coef_)


def test_cross_validation_and_searches_score_encrypted(rows, engine):
    X, y = rows[0], rows[1]["classes"]
    model = skfhe.set_mode(clone(LR), "execute", clear="forbid")
    np.testing.assert_array_equal(cross_val_score(model, X, y, cv=3), cross_val_score(LR, X, y, cv=3))
    assert len(engine) == calls(engine) == 3
    search = GridSearchCV(model, {"C": [0.1, 1.0]}, cv=2, scoring="neg_log_loss").fit(X, y)
    assert calls(engine) == 3 + 4
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    search.predict(X)
    assert calls(engine) == 3 + 5


def test_what_was_fitted_before_is_found(rows, engine):
    X, y = rows[0], rows[1]["label"]
    fitted = clone(LR).fit(X, y)
    for model in (
        FixedThresholdClassifier(FrozenEstimator(fitted)).fit(X, y),
        CalibratedClassifierCV(FrozenEstimator(fitted)).fit(X, y),
    ):
        assert not isinstance(skfhe.compile(model), list)


def test_members_are_told_apart_from_their_templates(rows, engine):
    X, y = rows[0], rows[1]["classes"]
    fitted = clone(LR).fit(X, y)
    voting = ensemble.VotingClassifier([("a", fitted), ("b", fitted)]).fit(X, y)
    assert len(skfhe.compile(voting)) == 2
    assert not hasattr(fitted, "fhe_circuit_")


def test_members_encrypt_rows_once_that_they_take_alike(rows, monkeypatch, capsys):
    """Members of equal parameters have the same keys; here with ciphertexts, and equal to the clear run."""
    X, y = rows[0], rows[1]["classes"]
    encrypted = []
    encrypt = ClientSession.encrypt
    monkeypatch.setattr(
        ClientSession, "encrypt", lambda *given: encrypted.append(given[0]) or encrypt(*given)
    )
    model = ensemble.VotingClassifier([("a", clone(LR)), ("b", clone(LR))], voting="soft").fit(X, y)
    clear = model.predict_proba(X[:3])
    first, second = skfhe.compile(model, verbose=True)
    assert "2 members: rows that they take alike are encrypted once" in capsys.readouterr().out
    np.testing.assert_array_equal(skfhe.set_mode(model, "execute").predict_proba(X[:3]), clear)
    assert len(encrypted) == 1
    assert first.session.secret_keys is second.session.secret_keys
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict_proba(X[:3]), clear)
    assert isinstance(first, Circuit)


def test_parameters_that_differ_are_named(rows, capsys):
    X, y = rows[0], rows[1]["classes"]
    members = [("a", clone(LR)), ("b", DecisionTreeClassifier(max_depth=2, random_state=0))]
    model = ensemble.VotingClassifier(members).fit(X, y)
    skfhe.compile(model, verbose=True)
    assert "are encrypted 2 times" in capsys.readouterr().out


@pytest.mark.slow
def test_workers_predict_encrypted_and_keep_their_keys(rows, tmp_path, monkeypatch):
    """Each call sends the members to the workers anew; keys are made once in a process for each of them."""
    X, y = rows[0], rows[1]["classes"]
    log = tmp_path / "log"
    monkeypatch.setenv("SKFHE_TEST_LOG", str(log))
    model = ensemble.BaggingClassifier(Logged(C=0.1), n_estimators=2, random_state=0).fit(X, y)
    # not fitted in the workers: loky ends those that have grown by the engine since their first task
    skfhe.set_mode(model.set_params(n_jobs=2), "execute")
    with parallel_config("loky"):
        for _ in range(2):
            model.predict(X[:2])
    lines = [line.split() for line in log.read_text().splitlines()]
    assert len(lines) == 4
    assert {mode for _, mode, _ in lines} == {"execute"}
    processes = {process for process, _, _ in lines}
    assert len({(process, key) for process, _, key in lines}) <= 2 * len(processes)
