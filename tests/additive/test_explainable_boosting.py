"""Explainable boosting machines: what they compute, their interactions, rows, training, refusals."""

import builtins
import importlib
import pickle
import sys

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone

import skfhe.additive
from skfhe.additive import ExplainableBoostingClassifier, ExplainableBoostingRegressor
from skfhe.exceptions import UnsupportedModelError
from tests.additive.conftest import FEW, numbers, table
from tests.with_originals import failed_alone

MODELS = {
    "mixed": ExplainableBoostingClassifier,
    "three_classes": ExplainableBoostingClassifier,
    "counts": ExplainableBoostingRegressor,
}


@pytest.fixture(params=MODELS)
def example(request):
    """A fitted original, the class that it is converted by, its rows and targets."""
    fitted, X, y = request.getfixturevalue(request.param)
    return MODELS[request.param], fitted, X, y


def raw_scores(fitted, X):
    """Return the scores of an original before the link, shape (n_rows, n_scores)."""
    terms = fitted.eval_terms(X)
    return terms.sum(axis=1).reshape(len(terms), -1) + np.atleast_1d(fitted.intercept_)


def without_interactions(fitted):
    copy = fitted.copy()
    return copy.remove_terms([number for number, f in enumerate(copy.term_features_) if len(f) > 1])


# What they compute.


def test_main_effects_are_exact_when_bins_stay(example):
    """A table is a sum of steps at its cuts; what is left is the rounding of 18 bits."""
    cls, fitted, X, _ = example
    model = cls.from_sklearn_model(fitted, n_bits=None, n_pairs=0)
    alone = without_interactions(fitted)
    rows = X.copy()
    if isinstance(X, pd.DataFrame):
        rows.loc[0, "plan"] = "never"
        rows.loc[1:3, "use"] = [np.nan, np.inf, -np.inf]
        rows["region"] = rows["region"].astype(object)
        rows.loc[4:6, "region"] = ["3.5", 2, "9"]
    found, expected = model._scores(rows, "disable"), raw_scores(alone, rows)
    np.testing.assert_allclose(found, expected, atol=2e-4 * np.ptp(expected))
    assert not model.cost_.lookups
    on_cuts = [cut for levels in fitted.bins_ for cut in levels[0] if isinstance(cut, float)]
    if not isinstance(X, pd.DataFrame):
        ties = np.repeat(np.array(on_cuts)[:, None], 3, axis=1)
        np.testing.assert_allclose(
            model._scores(ties, "disable"), raw_scores(alone, ties), atol=2e-4 * np.ptp(expected)
        )


def test_merged_models_agree_with_the_original(example):
    cls, fitted, X, y = example
    model = cls.from_sklearn_model(fitted, X, y)
    expected = raw_scores(fitted, X)
    error = np.sqrt(np.square(model._scores(X, "disable") - expected).mean())
    assert error < 0.2 * expected.std()
    assert model.score_deviation_ == pytest.approx(error)
    assert np.isnan(cls.from_sklearn_model(fitted, n_pairs=0).score_deviation_)
    if cls is ExplainableBoostingClassifier:
        assert (model.predict(X) == fitted.predict(X)).mean() > 0.95
        np.testing.assert_allclose(model.predict_proba(X), fitted.predict_proba(X), atol=0.2)
    else:
        np.testing.assert_allclose(model.predict(X), np.exp(model._scores(X, "disable")[:, 0]))


def test_cells_and_lookups_say_the_same(example):
    """They read one table, rounded to as many units as each can have: 8 bits of sums in lookups."""
    cls, fitted, X, y = example
    looked_up = cls.from_sklearn_model(fitted, X, y)
    cells = cls.from_sklearn_model(fitted, X, y, pairs="cells")
    found = [model._scores(X, "disable") for model in (looked_up, cells)]
    kept = [each for each in looked_up.interactions_ if each.kept]
    assert np.abs(found[0] - found[1]).max() <= 0.02 * np.ptp(found[1]) * max(1, len(kept))
    n_scores = found[0].shape[1]
    assert dict(looked_up.cost_.lookups) == ({4: len(kept) * n_scores} if kept else {})
    assert not cells.cost_.lookups
    assert cells.cost_.seconds < looked_up.cost_.seconds or not kept


@pytest.mark.parametrize("pairs", ["lookups", "cells"])
def test_encrypted_scores_equal_the_clear_ones(mixed, pairs):
    fitted, X, y = mixed
    model = ExplainableBoostingClassifier.from_sklearn_model(fitted, X, y, n_bits=2, n_pairs=2, pairs=pairs)
    assert sum(each.kept for each in model.interactions_) == 2
    assert model.accumulator_bits_ == ([4] if pairs == "lookups" else [])
    model.compile()
    rows = X.iloc[:4]
    np.testing.assert_array_equal(model._scores(rows, "execute"), model._scores(rows, "disable"))
    assert (model.predict(rows, fhe="execute") == model.predict(rows)).all()


# Interactions.


def test_interactions_say_what_they_add_and_cost(mixed):
    """The one that the rows were drawn by comes first, and what all add is what the loss falls by."""
    fitted, X, y = mixed
    model = ExplainableBoostingClassifier.from_sklearn_model(fitted, X, y, n_pairs=1)
    found = model.interactions_
    assert len(found) == 3
    assert set(found[0].names) == {"age", "use"}
    assert [each.kept for each in found] == [True, False, False]
    assert all(each.lookups == 1 and each.seconds > 0 for each in found)

    def loss(converted):
        proba = converted.predict_proba(X)
        return -np.log(proba[np.arange(len(y)), (np.asarray(y) == "stays").astype(int)]).mean()

    plain, one = (
        ExplainableBoostingClassifier.from_sklearn_model(fitted, n_pairs=n_pairs) for n_pairs in (0, 1)
    )
    assert one.interactions_[0].names == found[0].names
    assert loss(plain) - loss(one) == pytest.approx(found[0].adds, rel=0.02)
    none = ExplainableBoostingClassifier.from_sklearn_model(fitted, X, y, n_pairs=0)
    assert not none.cost_.lookups
    assert [each.names for each in none.interactions_] == [each.names for each in found]


def test_without_targets_interactions_are_chosen_by_their_scores(mixed):
    model = ExplainableBoostingClassifier.from_sklearn_model(mixed[0], n_pairs=1)
    found = model.interactions_
    assert [each.adds for each in found] == sorted((each.adds for each in found), reverse=True)
    assert found[0].deviation == pytest.approx(np.sqrt(found[0].adds))
    assert found[0].kept


def test_what_is_kept_takes_over_what_is_left_out(example):
    """On rows that it has not seen, too, for it approximates the original and not the targets."""
    cls, fitted, X, _ = example
    seen, others = (X.iloc[::2], X.iloc[1::2]) if isinstance(X, pd.DataFrame) else (X[::2], X[1::2])
    expected = raw_scores(fitted, others)
    far = []
    for options in ({}, {"X": seen}):
        # as many levels as half of so few rows bear
        model = cls.from_sklearn_model(fitted, n_bits=4, n_pairs=0, **options)
        far.append(np.sqrt(np.square(model._scores(others, "disable") - expected).mean()))
    assert far[1] < far[0]


# Rows and training.


def test_training_equals_converting(mixed):
    fitted, X, y = mixed
    model = ExplainableBoostingClassifier(**FEW, interactions=3, n_pairs=2).fit(X, y)
    converted = ExplainableBoostingClassifier.from_sklearn_model(fitted, X, y, n_pairs=2)
    np.testing.assert_array_equal(model._scores(X, "disable"), converted._scores(X, "disable"))
    assert [each.names for each in model.interactions_] == [each.names for each in converted.interactions_]
    assert model.feature_names_in_.tolist() == list(X.columns) == converted.feature_names_in_.tolist()
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.predict(X), model.predict(X))
    assert clone(model).get_params() == model.get_params()


def test_rows_are_read_alike_whatever_holds_them(mixed, counts):
    fitted, X, _ = mixed
    model = ExplainableBoostingClassifier.from_sklearn_model(fitted)
    expected = model._scores(X, "disable")
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        found = model._scores(X.to_numpy(dtype=object), "disable")
    np.testing.assert_array_equal(found, expected)
    renamed = X.rename(columns={"age": "years"})
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(renamed)
    texts = X.assign(use="much")
    with pytest.raises(ValueError, match="feature 3 holds numbers in training"):
        model.predict(texts)
    fitted, rows, _ = counts
    model = ExplainableBoostingRegressor.from_sklearn_model(fitted)
    assert not hasattr(model, "feature_names_in_")
    np.testing.assert_array_equal(model.predict(sparse.csr_matrix(rows)), model.predict(rows))


def test_feature_names_that_the_library_was_given_are_kept():
    X = numbers(n_rows=40)
    fitted = ExplainableBoostingRegressor._original(**FEW, feature_names=["a", "b", "c"]).fit(X, X[:, 0])
    model = ExplainableBoostingRegressor.from_sklearn_model(fitted, n_bits=5)
    assert model.feature_names_in_.tolist() == ["a", "b", "c"]
    assert (
        np.corrcoef(model.predict(pd.DataFrame(X, columns=["a", "b", "c"])), fitted.predict(X))[0, 1] > 0.98
    )


@pytest.mark.slow
@pytest.mark.parametrize("cls", [ExplainableBoostingClassifier, ExplainableBoostingRegressor])
def test_no_check_fails_that_the_original_passes(cls):
    params = {"outer_bags": 1, "max_rounds": 5, "interactions": 1, "n_jobs": 1}
    assert not failed_alone(cls(**params), cls._original(**params))


# Refusals.


@pytest.mark.parametrize(
    ("params", "match"),
    [
        ({"n_bits": 0}, "n_bits must be None or an int from 1 to 8, got 0"),
        ({"n_bits": True}, "n_bits must be None or an int"),
        ({"n_pairs": -1}, "n_pairs must be None or an int of at least 0, got -1"),
        ({"pairs": "both"}, "pairs must be one of 'lookups', 'cells', got 'both'"),
    ],
)
def test_wrong_parameters_are_named(counts, params, match):
    fitted, X, y = counts
    with pytest.raises(ValueError, match=match):
        ExplainableBoostingRegressor.from_sklearn_model(fitted, **params)
    with pytest.raises(ValueError, match=match):
        ExplainableBoostingRegressor(**FEW, **params).fit(X, y)


def test_what_cannot_be_evaluated_is_refused(counts):
    fitted, X, y = counts
    with pytest.raises(ValueError, match="y are the targets of the rows X"):
        ExplainableBoostingRegressor.from_sklearn_model(fitted, y=y)
    three = ExplainableBoostingRegressor._original(**FEW, interactions=[(0, 1, 2)]).fit(X, y)
    with pytest.raises(UnsupportedModelError, match=r"1 term\(s\) read more than two features"):
        ExplainableBoostingRegressor.from_sklearn_model(three)
    with pytest.raises(TypeError, match=r"use skfhe\.additive\.\S*ExplainableBoostingRegressor"):
        ExplainableBoostingClassifier.from_sklearn_model(fitted)


def test_a_class_without_its_library_says_how_to_install_it(monkeypatch):
    """It is an extra, loaded when one of its classes is first used."""
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.partition(".")[0] == "interpret":
            raise ModuleNotFoundError(f"No module named {name!r}", name="interpret")
        return real(name, *args, **kwargs)

    for module in [m for m in sys.modules if m.startswith("skfhe.additive._explainable")]:
        monkeypatch.delitem(sys.modules, module)
    fresh = importlib.reload(skfhe.additive)
    monkeypatch.delitem(vars(fresh), "ExplainableBoostingClassifier", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r'pip install "skfhe\[interpret\]"'):
        fresh.ExplainableBoostingClassifier  # noqa: B018
    assert "ExplainableBoostingClassifier" in dir(fresh)


def test_the_table_of_the_fixture_has_what_it_is_for():
    """Missing values in numbers and in texts, and categories that are numbers."""
    X, _ = table()
    assert X["age"].isna().any()
    assert X["plan"].isna().any()
    assert X["region"].dtype == "category"
