"""scikit-learn's trees and their ensembles: exact without quantization, encrypted in either mode."""

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from sklearn import ensemble as float_ensemble
from sklearn.base import clone, is_classifier
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier as FloatDecisionTreeClassifier

import skfhe
from skfhe import ensemble, tree
from skfhe.encoding import BlockEncoder
from skfhe.encoding._splits import Splits
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
from skfhe.exceptions import NotCompiledError, UnsupportedModelError
from skfhe.program import run
from skfhe.tree import DecisionTreeClassifier, DecisionTreeRegressor
from tests.with_originals import failed_checks, original_of

FEW = {"n_estimators": 4, "random_state": 0}
CLASSIFIERS = [
    DecisionTreeClassifier(max_depth=5, random_state=0),
    RandomForestClassifier(max_depth=4, **FEW),
    ExtraTreesClassifier(max_depth=4, **FEW),
    GradientBoostingClassifier(**FEW),
    HistGradientBoostingClassifier(max_iter=4, max_leaf_nodes=6, random_state=0),
]
REGRESSORS = [
    DecisionTreeRegressor(max_depth=5, random_state=0),
    RandomForestRegressor(max_depth=4, **FEW),
    ExtraTreesRegressor(max_depth=4, **FEW),
    GradientBoostingRegressor(**FEW),
    HistGradientBoostingRegressor(max_iter=4, max_leaf_nodes=6, random_state=0),
]
TAKE_MISSING = [
    e
    for e in (*CLASSIFIERS, *REGRESSORS)
    if "GradientBoosting" not in type(e).__name__ or "Hist" in type(e).__name__
]


def name(estimator):
    return type(estimator).__name__


def scores_of(estimator, X):
    """Return what ``score_error_`` is about."""
    if hasattr(estimator, "decision_function"):
        return estimator.decision_function(X)
    return estimator.predict_proba(X) if is_classifier(estimator) else estimator.predict(X)


def adversarial_rows(model, X, rng, n=400):
    """Return rows with features on thresholds of the model, and one step of float32 or float64 beside."""
    splits = model.encoder_
    rows = X[rng.integers(0, len(X), n)].astype(np.float64)
    for row in rows:
        for split in rng.choice(len(splits), 4):
            at = splits[int(split)].threshold
            row[splits[int(split)].feature] = rng.choice(
                [
                    at,
                    np.nextafter(at, np.inf),
                    np.nextafter(at, -np.inf),
                    np.nextafter(np.float32(at), np.float32(np.inf)),
                    np.nextafter(np.float32(at), np.float32(-np.inf)),
                ]
            )
    return rows


# The contract


@pytest.mark.parametrize("estimator", [*CLASSIFIERS, *REGRESSORS], ids=name)
def test_no_check_fails_that_the_original_passes(estimator):
    assert failed_checks(estimator) <= failed_checks(original_of(estimator))


def test_every_estimator_is_tested():
    tested = {name(estimator) for estimator in (*CLASSIFIERS, *REGRESSORS)}
    assert tested == {*tree.__all__, *ensemble.__all__}


# Exactness


@pytest.mark.parametrize("estimator", CLASSIFIERS, ids=name)
@pytest.mark.parametrize("load", [load_iris, load_wine, load_breast_cancer, load_digits])
def test_classes_of_all_test_rows_are_those_of_the_original(estimator, load):
    X, y = load(return_X_y=True)
    X_train, X_test, y_train, _ = train_test_split(X, y, stratify=y, random_state=0)
    original = original_of(estimator).fit(X_train, y_train)
    model = clone(estimator).fit(X_train, y_train)
    np.testing.assert_array_equal(model.predict(X_test), original.predict(X_test))
    difference = np.abs(scores_of(model, X_test) - scores_of(original, X_test))
    assert difference.max() <= model.score_error_ + 1e-12


@pytest.mark.parametrize("estimator", [*CLASSIFIERS, *REGRESSORS], ids=name)
def test_rows_on_thresholds_take_the_path_of_the_original(estimator, iris, diabetes):
    """A wrong comparison would move scores by whole leaf values, not by their rounding."""
    X, y = iris if is_classifier(estimator) else diabetes
    original, model = original_of(estimator).fit(X, y), clone(estimator).fit(X, y)
    rows = adversarial_rows(model, X, np.random.default_rng(0))
    difference = np.abs(scores_of(model, rows) - scores_of(original, rows))
    assert difference.max() <= model.score_error_ + 1e-9


@pytest.mark.parametrize("estimator", TAKE_MISSING, ids=name)
@pytest.mark.parametrize("in_training", [True, False])
def test_missing_values_take_the_path_of_the_original(estimator, in_training, iris, diabetes):
    X, y = iris if is_classifier(estimator) else diabetes
    holes = np.where(np.random.default_rng(0).random(X.shape) < 0.2, np.nan, X)
    original = original_of(estimator).fit(holes if in_training else X, y)
    model = clone(estimator).fit(holes if in_training else X, y)
    difference = np.abs(scores_of(model, holes) - scores_of(original, holes))
    assert difference.max() <= model.score_error_ + 1e-9


@pytest.mark.parametrize("estimator", [CLASSIFIERS[0], REGRESSORS[0]], ids=name)
def test_single_tree_returns_the_original_values(estimator, iris, diabetes):
    X, y = iris if is_classifier(estimator) else diabetes
    model, original = clone(estimator).fit(X, y), original_of(estimator).fit(X, y)
    assert model.score_error_ == 0
    np.testing.assert_array_equal(scores_of(model, X), scores_of(original, X))


def test_votes_of_pure_leaves_are_exact(iris):
    model = RandomForestClassifier(**FEW).fit(*iris)
    assert model.score_error_ < 1e-12
    assert model.output_bits_ == [3]  # up to 4 votes


def test_several_targets(iris):
    X, y = iris
    targets = np.column_stack([y, y == 1])
    for estimator in CLASSIFIERS[:3]:
        model, original = clone(estimator).fit(X, targets), original_of(estimator).fit(X, targets)
        np.testing.assert_array_equal(model.predict(X), original.predict(X))
        for ours, theirs in zip(model.predict_proba(X), original.predict_proba(X), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=model.score_error_ + 1e-12)
    model = RandomForestRegressor(max_depth=3, **FEW).fit(X, targets)
    assert model.predict(X).shape == (150, 2)


# Encrypted


@pytest.fixture(scope="module", params=[*CLASSIFIERS, *REGRESSORS], ids=name)
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


@pytest.mark.parametrize("index", [0, 1, 3, 4])
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


def test_cheapest_error_rate_that_keeps_the_score(iris):
    X, y = iris
    model = RandomForestClassifier(max_depth=3, **FEW).fit(X, y)
    before = model.cost_.complexity
    model.compile(X, y, p_error="auto", tolerance=0.05)
    assert model.fhe_circuit_.error_rate.p_error > 2.0**-40
    assert model.cost_.complexity < before


# Who learns what


def test_client_has_thresholds_without_quantization_and_none_with_it(iris):
    X, y = iris
    exact = RandomForestClassifier(max_depth=3, **FEW).fit(X, y)
    assert isinstance(exact.encoder_, Splits)
    private = RandomForestClassifier(max_depth=3, n_bits=3, **FEW).fit(X, y)
    assert isinstance(private.encoder_, BlockEncoder)
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


# Quantized features


@pytest.mark.parametrize("estimator", [*CLASSIFIERS, *REGRESSORS], ids=name)
def test_quantized_model_is_the_original_trained_on_levels(estimator, iris, diabetes):
    X, y = iris if is_classifier(estimator) else diabetes
    model = clone(estimator).set_params(n_bits=3).fit(X, y)
    quantizer = model._level_quantizer
    represented = quantizer.dequantize(quantizer.quantize(X))
    original = original_of(estimator).fit(represented, y)
    difference = np.abs(scores_of(model, X) - scores_of(original, represented))
    assert difference.max() <= model.score_error_ + 1e-9
    assert model.accumulator_bits_[0] == 2


def test_quantized_accuracy_at_4_bits():
    X, y = load_breast_cancer(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
    losses = []
    for estimator in CLASSIFIERS:
        exact, quantized = clone(estimator), clone(estimator).set_params(n_bits=4)
        scores = [model.fit(X_train, y_train).score(X_test, y_test) for model in (exact, quantized)]
        losses.append(scores[0] - scores[1])
    assert np.mean(losses) < 0.02


def test_missing_values_have_a_level_where_training_had_some(iris):
    X, y = iris
    holes = X.copy()
    holes[::7, 2] = np.nan
    model = DecisionTreeClassifier(max_depth=3, n_bits=3, random_state=0).fit(holes, y)
    assert model.score(holes, y) > 0.8
    holes[0, 1] = np.nan
    with pytest.raises(ValueError, match=r"features \[1, 2\] have missing values, and had none in training"):
        RandomForestClassifier(n_bits=3, **FEW).fit(X, y).predict(holes)


@pytest.mark.parametrize("n_bits", [0, 9, 3.0, True, "3"])
def test_wrong_n_bits_says_what_is_expected(n_bits, iris):
    with pytest.raises(ValueError, match="n_bits must be None or an int from 1 to 8"):
        DecisionTreeClassifier(n_bits=n_bits, random_state=0).fit(*iris)


# Categories


def cars(rng, n=300):
    frame = pd.DataFrame(
        {
            "power": rng.normal(size=n),
            "make": pd.Categorical(rng.choice(list("abcdef"), n)),
            "doors": rng.integers(2, 6, n).astype(float),
        }
    )
    y = (frame["make"].isin(["b", "e", "f"]) ^ (frame["power"] > 0.3)).astype(int)
    return frame, y


@pytest.mark.parametrize("n_bits", [None, 3])
def test_categorical_splits_are_membership(n_bits):
    rng = np.random.default_rng(0)
    X, y = cars(rng)
    model = HistGradientBoostingClassifier(
        max_iter=3, max_leaf_nodes=5, categorical_features="from_dtype", n_bits=n_bits, random_state=0
    )
    if n_bits is not None:
        with pytest.raises(UnsupportedModelError, match="categories"):
            model.fit(X, y)
        return
    model.fit(X, y)
    original = original_of(model).fit(X, y)
    assert any(split.categories for split in model.encoder_)
    rows = X.copy()
    rows["make"] = rows["make"].cat.add_categories(["new"])
    rows.loc[:9, "make"] = "new"
    rows.loc[10:19, "make"] = np.nan
    np.testing.assert_allclose(
        model.decision_function(rows), original.decision_function(rows), atol=model.score_error_
    )
    model.compile()
    np.testing.assert_array_equal(model.predict(rows[5:15], fhe="execute"), model.predict(rows[5:15]))


# As scikit-learn's users expect


def test_sample_weight_and_class_weight_train_the_original(iris):
    X, y = iris
    weight = np.random.default_rng(0).random(len(y))
    for estimator in CLASSIFIERS:
        model = clone(estimator).fit(X, y, sample_weight=weight)
        original = original_of(estimator).fit(X, y, sample_weight=weight)
        np.testing.assert_array_equal(model.predict(X), original.predict(X))


@pytest.mark.parametrize(
    "model",
    [
        HistGradientBoostingClassifier(early_stopping=True, scoring="accuracy", max_iter=20, random_state=0),
        GradientBoostingClassifier(n_iter_no_change=2, n_estimators=20, random_state=0),
        RandomForestClassifier(oob_score=True, n_estimators=20, max_depth=3, random_state=0),
    ],
    ids=name,
)
def test_options_that_predict_while_fitting(model, iris):
    """They score the float trees that are being grown."""
    original = original_of(model).fit(*iris)
    np.testing.assert_array_equal(model.fit(*iris).predict(iris[0]), original.predict(iris[0]))


@pytest.mark.parametrize("n_bits", [None, 3])
def test_warm_start_adds_trees(n_bits, iris):
    X, y = iris
    for cls in (RandomForestClassifier, GradientBoostingClassifier):
        warm = cls(n_estimators=2, max_depth=2, warm_start=True, random_state=0, n_bits=n_bits).fit(X, y)
        warm.set_params(n_estimators=5).fit(X, y)
        at_once = cls(n_estimators=5, max_depth=2, random_state=0, n_bits=n_bits).fit(X, y)
        assert len(warm.estimators_) == 5
        np.testing.assert_allclose(
            scores_of(warm, X), scores_of(at_once, X), atol=2 * warm.score_error_ + 1e-9
        )


@pytest.mark.parametrize("model", [*CLASSIFIERS[3:4], *REGRESSORS[3:], CLASSIFIERS[4]], ids=name)
def test_stages_end_at_the_prediction_and_follow_the_original(model, iris, diabetes):
    X, y = iris if is_classifier(model) else diabetes
    model, original = clone(model).fit(X, y), original_of(model).fit(X, y)
    stages = list(model.staged_predict(X))
    np.testing.assert_allclose(stages[-1], model.predict(X))
    assert len(stages) == len(list(original.staged_predict(X)))
    if is_classifier(model):
        for method in ("staged_decision_function", "staged_predict_proba"):
            for ours, theirs in zip(getattr(model, method)(X), getattr(original, method)(X), strict=True):
                np.testing.assert_allclose(ours, theirs, atol=2 * model.score_error_ + 1e-9)


@pytest.mark.parametrize(
    "init",
    [
        LinearRegression(),
        float_ensemble.RandomForestRegressor(random_state=0),
        float_ensemble.GradientBoostingRegressor,
    ],
    ids=["linear", "forest", "class"],
)
def test_initial_estimator_is_refused_before_it_is_trained(init, iris, monkeypatch):
    monkeypatch.setattr(LinearRegression, "fit", None)
    with pytest.raises(UnsupportedModelError, match=r"init is .*use init=None, 'zero' or a DummyRegressor"):
        GradientBoostingRegressor(init=init, n_estimators=2, random_state=0).fit(*iris)


@pytest.mark.parametrize("strategy", ["stratified", "uniform", "most_frequent", "constant"])
def test_initial_scores_that_are_drawn_or_infinite_are_refused(strategy, iris):
    init = DummyClassifier(strategy=strategy, constant=1, random_state=0)
    model = GradientBoostingClassifier(init=init, n_estimators=2, random_state=0)
    with pytest.raises(UnsupportedModelError, match=f"strategy='{strategy}'.*or DummyClassifier"):
        model.fit(*iris)


@pytest.mark.parametrize(
    "model",
    [
        GradientBoostingClassifier(init=DummyClassifier(), **FEW),
        *(
            GradientBoostingRegressor(init=init, **FEW)
            for init in ("zero", DummyRegressor(strategy="quantile", quantile=0.3), DummyRegressor())
        ),
        GradientBoostingRegressor(init=DummyRegressor(strategy="constant", constant=7.0), **FEW),
    ],
)
def test_initial_scores_that_all_rows_share_are_a_bias(model, iris):
    X, y = iris
    original = original_of(model).fit(X, y)
    model = clone(model).fit(X, y)
    np.testing.assert_allclose(
        scores_of(model, X), scores_of(original, X), atol=model.score_error_ + 1e-9, rtol=0
    )


# Rows that the caller has checked


@pytest.mark.parametrize("estimator", [CLASSIFIERS[0], REGRESSORS[0]], ids=name)
def test_a_single_tree_takes_rows_unchecked(estimator, iris):
    X, y = iris
    rows = X.astype(np.float32)
    for n_bits in (None, 3):
        model = clone(estimator).set_params(n_bits=n_bits).fit(X, y)
        methods = ["predict", "predict_proba"] if is_classifier(model) else ["predict"]
        for method in methods:
            checked = getattr(model, method)(X)
            np.testing.assert_array_equal(getattr(model, method)(rows, check_input=False), checked)
            np.testing.assert_array_equal(getattr(model, method)(rows, False), checked)
            sparse = getattr(model, method)(csr_matrix(rows), check_input=False)
            np.testing.assert_array_equal(sparse, checked)
    np.testing.assert_array_equal(model.apply(rows, check_input=False), model.apply(X))
    for wrong, said in ((X, "float64"), (X.tolist(), "list"), (rows[:, :3], "3 features")):
        with pytest.raises((ValueError, TypeError), match=said):
            model.predict(wrong, check_input=False)


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
    params = {key: value for key, value in estimator.get_params().items() if key != "n_bits"}
    model = reversed_probabilities(type(estimator))(**params).fit(X, y)
    original = reversed_probabilities(estimator._original)(**params).fit(X, y)
    np.testing.assert_array_equal(model.predict(X), original.predict(X))
    assert model.score(X, y) == original.score(X, y)
    if hasattr(original, "predict_log_proba"):
        with np.errstate(divide="ignore"):
            np.testing.assert_array_equal(model.predict_log_proba(X), np.log(model.predict_proba(X)))


@pytest.mark.parametrize("cls", [type(e) for e in (*CLASSIFIERS, *REGRESSORS)], ids=lambda cls: cls.__name__)
def test_a_subclass_may_have_parameters_of_its_own(cls, iris):
    """What it sets of the original's is used in training, although its own signature does not list it."""

    class Shallow(cls):
        def __init__(self, margin=0.5, random_state=0):
            super().__init__(max_depth=1, random_state=random_state)
            self.margin = margin

    model = clone(Shallow(margin=2)).fit(*iris)
    assert model.get_params() == {"margin": 2, "random_state": 0}
    assert model.max_depth == 1
    assert all(len(tree.splits) <= 3 for tree in model._describe(model).trees)


# Going on from an earlier fit


WARM = [(e, "max_iter" if "Hist" in name(e) else "n_estimators") for e in (*CLASSIFIERS[1:], *REGRESSORS[1:])]


@pytest.mark.parametrize(
    ("estimator", "size"), WARM, ids=lambda value: getattr(value, "_original", str).__name__
)
def test_warm_start_refuses_what_cannot_be_added(estimator, size, iris):
    """Other numbers of features, targets or classes; the model stays as it was, and can go on."""
    X, y = iris
    model = clone(estimator).set_params(**{size: 2}, warm_start=True).fit(X, y)
    before = model.predict(X)
    model.set_params(**{size: 3})
    wrong = {"features": (X[:, :3], y)}
    if "Boosting" not in name(model):
        wrong["targets"] = X, np.stack([y, y], axis=1)
    if is_classifier(model):
        wrong["classes"] = X, np.r_[y[:-1], 3]
        wrong["classes "] = X[y > 0], y[y > 0]
    for what, rows in wrong.items():
        with pytest.raises(ValueError, match=rf"number of {what.strip()} was .*set warm_start=False"):
            model.fit(*rows)
        np.testing.assert_array_equal(model.predict(X), before)
    model.fit(X, y)
    assert len(getattr(model, "estimators_", getattr(model, "_predictors", ()))) == 3
    model.set_params(warm_start=False).fit(X[:, :3], y)
    assert model.n_features_in_ == 3


def test_warm_start_of_several_targets_counts_the_classes_of_each(iris):
    X, y = iris
    model = RandomForestClassifier(warm_start=True, **FEW).fit(X, np.stack([y, y % 2], axis=1))
    with pytest.raises(ValueError, match="number of classes was 3 and 2, and now it is 3 and 3"):
        model.set_params(n_estimators=5).fit(X, np.stack([y, y], axis=1))


def test_deep_trees_are_no_recursion():
    """Each split asks another feature, and all rows but one go on below it."""
    n = 400
    X, y = np.triu(np.ones((n, n))), 2.0 ** np.arange(n)
    model = DecisionTreeRegressor(random_state=0).fit(X, y)
    assert model.get_depth() > 200
    np.testing.assert_array_equal(model.predict(X), y)


def test_trees_of_one_leaf(iris):
    """A model without a split runs encrypted, too."""
    X, y = iris
    for n_bits in (None, 2):
        model = DecisionTreeRegressor(
            max_leaf_nodes=2, min_impurity_decrease=1e9, n_bits=n_bits, random_state=0
        ).fit(X, y)
        model.compile()
        np.testing.assert_array_equal(model.predict(X[:2], fhe="execute"), [1.0, 1.0])


@pytest.mark.parametrize("estimator", [*CLASSIFIERS[1:], *REGRESSORS[1:]], ids=name)
def test_ensembles_of_one_leaf_a_tree(estimator, iris):
    """Targets that never vary leave nothing to split, at one weight or at several."""
    X = iris[0]
    y = np.r_[np.zeros(149), 1].astype(int) if is_classifier(estimator) else np.ones(150)
    weight = np.r_[np.ones(149), 1e-12]
    for n_bits in (None, 2):
        model = clone(estimator).set_params(n_bits=n_bits, min_samples_leaf=100)
        model.fit(X, y, sample_weight=weight)
        assert len(np.unique(model.predict(X))) == 1
        assert model.cost_.n_lookups == 0


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
