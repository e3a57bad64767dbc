"""What a mode forbids, what it is refused for, and how it travels."""

import inspect
import pickle
import threading
from collections import deque
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import sklearn
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import BaggingClassifier, RandomTreesEmbedding, StackingClassifier, VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import SelectFromModel
from sklearn.impute import SimpleImputer
from sklearn.inspection import partial_dependence
from sklearn.linear_model import LogisticRegression as FloatLogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier as FloatTree

import skfhe
from skfhe.boosting import LGBMClassifier, XGBRegressor
from skfhe.ensemble import GradientBoostingRegressor, RandomForestRegressor
from skfhe.exceptions import ClearEvaluationError, NotCompiledError
from skfhe.importers import TorchClassifier
from skfhe.linear_model import LogisticRegression, PoissonRegressor
from skfhe.neural_network import NeuralNetClassifier
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
        (
            VotingClassifier([("a", ours), ("b", FloatTree(max_depth=1))]).fit(X, y),
            r"estimators_\[1\]: DecisionTreeClassifier",
        ),
        (
            make_pipeline(FunctionTransformer(partial(clone(other).fit(X, y).predict_proba)), ours),
            r"steps\[0\]\[1\].func.func.__self__: LogisticRegression",
        ),
        (make_pipeline(BaggingClassifier(other), ours), r"steps\[0\]\[1\]: BaggingClassifier"),
    ):
        with pytest.raises(TypeError, match=named):
            skfhe.set_mode(model, "execute", clear="forbid")
        skfhe.set_mode(model, "execute")
    skfhe.set_mode(VotingClassifier([("a", ours), ("b", DummyClassifier())]), "execute", clear="forbid")
    chosen = make_pipeline(
        SimpleImputer(), SelectFromModel(other), RandomTreesEmbedding(2, max_depth=1), ours
    ).fit(X, y)
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


def test_options_hold_for_what_was_compiled_before(some, compiled):
    """Or rows would go on being evaluated at an error rate that nobody asks for any more."""
    X, y = some
    model = LogisticRegression(C=0.1).fit(X, y)
    model.compile(p_error=0.01)
    skfhe.set_mode(model, "execute").predict(X)
    assert len(compiled) == 1
    for _ in range(2):
        skfhe.set_mode(model, "execute", p_error=2**-20).predict(X)
    assert [circuit.error_rate.per_lookup(1) for circuit in compiled] == [0.01, 2**-20]


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


class Slotted:
    """What a user may put something into."""

    __slots__ = ("inside",)

    def __init__(self, inside):
        self.inside = inside


class Keeper(ClassifierMixin, BaseEstimator):
    """A meta-estimator of a user, who names what has been learnt as he likes."""

    def __init__(self, estimator=None, name="_model", other=None, into=None):
        self.estimator, self.name, self.other, self.into = estimator, name, other, into

    def fit(self, X, y):
        model = clone(self.estimator).fit(X, y)
        setattr(self, self.name, model)
        if self.into is not None:
            self.kept = self.into(model)
        self._beside = None if self.other is None else clone(self.other).fit(X, y)
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return (self._beside or getattr(self, self.name)).predict(X)


def test_networks_predict_by_nothing_else(some, compiled):
    """What is beside the program would: the net, its module, the quantized module."""
    X, y = some
    trained = NeuralNetClassifier(max_epochs=1, module__n_layers=1, random_state=0).fit(X, y)
    wrapped = TorchClassifier(torch.nn.Linear(4, 3), n_bits=6, rounding_threshold_bits=None).fit(
        X.astype(np.float32), y
    )
    assert trained.net_.module_ is trained.module_
    for model, names in ((trained, ("net_", "module_")), (wrapped, ("quantized_module_",))):
        expected = model.predict(X)
        skfhe.set_mode(model, "execute", clear="forbid")
        for name in names:
            with pytest.raises(ClearEvaluationError, match=name):
                getattr(model, name)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), expected)
    assert trained.pruning_factor_
    assert str(wrapped.report())
    trained.partial_fit(X, y)


@pytest.mark.parametrize("name", ["_model", "model"])
def test_members_under_any_name_are_found(some, compiled, name):
    """Where scikit-learn would not name them so, they would predict in the clear without a word."""
    X, y = some
    model = Keeper(LogisticRegression(C=0.1), name).fit(X, y)
    skfhe.set_mode(model, "execute", clear="forbid").predict(X)
    assert len(compiled[0].calls) == 1
    mixed = Keeper(LogisticRegression(C=0.1), name, FloatLogisticRegression()).fit(X, y)
    with pytest.raises(TypeError, match="_beside: LogisticRegression"):
        skfhe.set_mode(mixed, "execute", clear="forbid")


@pytest.mark.parametrize(
    "into",
    [lambda model: {model}, lambda model: deque([model]), Slotted, lambda m: SimpleNamespace(inside=m)],
)
def test_members_in_any_kind_of_object_are_found(some, compiled, into):
    X, y = some
    model = Keeper(LogisticRegression(C=0.1), into=into).fit(X, y)
    model._model = SimpleNamespace(predict=lambda X: _only(model.kept).predict(X))
    skfhe.set_mode(model, "execute", clear="forbid").predict(X)
    assert len(compiled[0].calls) == 1


def _only(kept):
    return kept.inside if hasattr(kept, "inside") else next(iter(kept))


def test_a_keyword_that_scikit_learn_drops_is_heeded(some, compiled):
    """Stacking gives it to the final estimator alone; pipelines keep it from ``score`` and earlier steps."""
    X, y = some
    ours = LogisticRegression(C=0.1)
    stack = StackingClassifier([("a", ours)], ours, cv=2)
    for model, n_members in (
        (stack, 2),
        (make_pipeline(SimpleImputer(), stack), 2),
        (make_pipeline(FeatureUnion([("a", stack)]), ours), 2),
    ):
        model = clone(model).fit(X, y)
        clear = model.predict(X)
        with pytest.raises(NotFittedError):  # pipelines of scikit-learn 1.7 say so of any such error
            model.predict(X, fhe="execute")
        skfhe.compile(model)
        del compiled[:-n_members]
        np.testing.assert_array_equal(model.predict(X, fhe="execute"), clear)
        assert [len(circuit.calls) for circuit in compiled] == [1] * n_members
        model.predict(X)
        assert [len(circuit.calls) for circuit in compiled] == [1] * n_members
    voting = make_pipeline(SimpleImputer(), VotingClassifier([("a", ours), ("b", ours)])).fit(X, y)
    skfhe.compile(voting)
    assert voting.score(X, y, fhe="execute") == voting.score(X, y)
    assert [len(circuit.calls) for circuit in compiled[-2:]] == [1, 1]
    skfhe.set_mode(voting, "execute", clear="forbid")
    with pytest.raises(ClearEvaluationError):
        voting.score(X, y, fhe="disable")


def test_a_mode_that_is_said_again_keeps_the_keys(some, compiled):
    X, y = some
    model = VotingClassifier([(name, LogisticRegression(C=0.1)) for name in "ab"]).fit(X, y)
    skfhe.compile(model)
    before = compiled[0].shared
    assert before is not None
    skfhe.set_mode(model, "execute").predict(X)
    skfhe.set_mode(model, "execute", clear="forbid").predict(X)
    skfhe.compile(model)
    assert {id(circuit.shared) for circuit in compiled} == {id(before)}


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
