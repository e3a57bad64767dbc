"""What a mode forbids, what it is refused for, and how it travels."""

import inspect
import pickle
import threading

import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import BaggingClassifier, StackingClassifier
from sklearn.feature_selection import SelectFromModel
from sklearn.impute import SimpleImputer
from sklearn.inspection import partial_dependence
from sklearn.linear_model import LogisticRegression as FloatLogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skfhe
from skfhe.boosting import LGBMClassifier, XGBRegressor
from skfhe.ensemble import GradientBoostingRegressor, RandomForestRegressor
from skfhe.exceptions import ClearEvaluationError, NotCompiledError
from skfhe.linear_model import LogisticRegression, PoissonRegressor
from tests.compose.counted import CountedCircuit
from tests.with_originals import ORIGINALS

TRAINING = {"fit", "partial_fit", "fit_predict", "fit_transform", "from_sklearn_model", "compile"}
TRAINING |= {"path", "cost_complexity_pruning_path"}
ALLOWED = {"aic", "bic", "inverse_transform"}
"""The first two are made of `score`, which is ours; the last takes what was decrypted already."""


@pytest.fixture
def compiled(monkeypatch):
    circuits = []
    monkeypatch.setattr(
        "skfhe.circuit.compile_program",
        lambda *given: circuits.append(CountedCircuit(*given)) or circuits[-1],
    )
    return circuits


@pytest.fixture(scope="module")
def some(iris):
    return iris[0][::5], iris[1][::5]


@pytest.mark.parametrize("cls", ORIGINALS, ids=lambda cls: cls.__name__)
def test_whatever_evaluates_rows_is_ours(cls):
    """What is inherited as it is would evaluate the float model, encrypted or forbidden or not."""
    for name in dir(cls):
        method = inspect.getattr_static(cls, name)
        function = getattr(method, "fn", method)
        if name.startswith("_") or name in TRAINING | ALLOWED or not inspect.isfunction(function):
            continue
        if {"X", "x"} & {*inspect.signature(function).parameters}:
            owner = next(base for base in cls.__mro__ if name in vars(base))
            assert owner.__module__.startswith("skfhe."), name


def test_clear_evaluation_is_forbidden_by_an_error_that_nobody_catches(some, compiled):
    X, y = some
    forest = RandomForestRegressor(n_estimators=2, max_depth=2, random_state=0).fit(X, y)
    staged = GradientBoostingRegressor(n_estimators=2, max_depth=1, random_state=0).fit(X, y)
    native = XGBRegressor(n_estimators=2, max_depth=1).fit(X, y)
    light = LGBMClassifier(n_estimators=2, num_leaves=2, verbosity=-1).fit(X, y)
    for model in (forest, staged, native, light):
        expected = model.predict(X)
        skfhe.set_mode(model, "execute", clear="forbid")
        np.testing.assert_array_equal(model.predict(X), expected)
    for evaluate in (
        lambda: forest.predict(X, fhe="disable"),
        lambda: forest.predict(X, fhe="simulate"),
        lambda: forest.score(X, y, fhe="disable"),
        lambda: forest.apply(X),
        lambda: forest.decision_path(X),
        lambda: list(staged.staged_predict(X)),
        lambda: partial_dependence(staged, X, [0], method="recursion"),
        lambda: native.model_,
        lambda: light.booster_,
    ):
        with pytest.raises(ClearEvaluationError, match="forbid") as caught:
            evaluate()
        assert not isinstance(caught.value, AttributeError | NotImplementedError | ValueError)
    assert partial_dependence(forest, X, [0], method="brute", grid_resolution=2)["average"].shape == (1, 2)
    assert native.feature_importances_.shape == (4,)
    skfhe.set_mode(forest, "disable").apply(X)


def test_what_is_not_ours_is_named(some):
    X, y = some
    ours, other = LogisticRegression(C=0.1), FloatLogisticRegression(C=0.1)
    mixed = StackingClassifier([("a", ours), ("b", other)], ours, cv=2)
    for model, named in (
        (mixed, r"estimators\[1\]\[1\]: LogisticRegression"),
        (clone(mixed).fit(X, y), r"estimators_\[1\]: LogisticRegression"),
        (StackingClassifier([("a", ours)]), "final_estimator: None, for which it takes one of its own"),
        (make_pipeline(BaggingClassifier(other), ours), r"steps\[0\]\[1\]: BaggingClassifier"),
    ):
        with pytest.raises(TypeError, match=named):
            skfhe.set_mode(model, "execute", clear="forbid")
        skfhe.set_mode(model, "execute")
    chosen = make_pipeline(SimpleImputer(), SelectFromModel(other), ours).fit(X, y)
    skfhe.set_mode(chosen, "execute", clear="forbid")
    prepared = ColumnTransformer([("all", make_pipeline(SimpleImputer(), StandardScaler()), [0, 1])])
    skfhe.set_mode(make_pipeline(prepared, ours).fit(X, y), "execute", clear="forbid")


def test_contradictions_are_refused(some):
    ours = LogisticRegression()
    for mode, options, error in (
        ("encrypt", {}, ValueError),
        ("disable", {"clear": "forbid"}, ValueError),
        ("simulate", {"clear": "forbid"}, ValueError),
        ("execute", {"clear": "never"}, ValueError),
        ("execute", {"p_error": "auto"}, ValueError),
        ("execute", {"tolerence": 1}, TypeError),
    ):
        with pytest.raises(error):
            skfhe.set_mode(ours, mode, **options)
    with pytest.raises(TypeError, match="none inside"):
        skfhe.set_mode(FloatLogisticRegression(), "execute")


def test_the_mode_travels_and_ends(some, compiled):
    X, y = some
    model = skfhe.set_mode(LogisticRegression(C=0.1), "execute", p_error=2**-20)
    for copied in (clone(model), pickle.loads(pickle.dumps(model)), clone(GridSearchCV(model, {})).estimator):
        copied.fit(X, y).predict(X)
        assert len(compiled[-1].calls) == 1
        assert compiled[-1].error_rate.per_lookup(1) == 2**-20
    model.fit(X, y).predict(X)
    model.fit(X, y).predict(X)  # which has no circuit since it was fitted again
    assert len(compiled) == 5
    model.predict(X, fhe="disable")
    skfhe.set_mode(model, "disable").predict(X)
    assert sum(len(circuit.calls) for circuit in compiled) == 5
    with pytest.raises(NotCompiledError):
        model.fit(X, y).predict(X, fhe="execute")


def test_threads_compile_once(some, compiled):
    X, y = some
    model = skfhe.set_mode(LogisticRegression(C=0.1).fit(X, y), "execute")
    threads = [threading.Thread(target=model.predict, args=(X,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(compiled) == 1
    assert len(compiled[0].calls) == 4


@pytest.mark.parametrize("routing", [False, True])
def test_a_pipeline_passes_the_keyword_on_to_score(some, compiled, routing):
    """Without metadata routing it drops what its ``score`` is given, and says nothing."""
    X, y = some
    with sklearn.config_context(enable_metadata_routing=routing):
        model = make_pipeline(SimpleImputer(), make_pipeline(LogisticRegression(C=0.1)))
        if routing:
            model = make_pipeline(SimpleImputer(), LogisticRegression(C=0.1))
        model.fit(X, y)
        skfhe.compile(model)
        clear = model.score(X, y)
        assert not compiled[0].calls
        assert model.score(X, y, fhe="execute") == clear
        assert len(compiled[0].calls) == 1


def test_a_score_of_the_original_s_own_follows_the_mode(some, compiled):
    X, y = some
    model = PoissonRegressor().fit(X, y)
    model.compile()
    clear = model.score(X, y)
    assert model.score(X, y, fhe="execute") == clear
    assert len(compiled[0].calls) == 1
