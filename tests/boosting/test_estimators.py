"""Estimators of boosting libraries: scikit-learn's contract, options of fit, conversion, refusals."""

import builtins
import importlib
import pickle
import sys

import lightgbm
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.exceptions import NotFittedError
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skfhe.exceptions import NotCompiledError, UnsupportedModelError
from tests.boosting.models import (
    CAT,
    CLASSIFIERS,
    LGBM,
    REGRESSORS,
    XGB,
    assert_same_paths,
    original,
    raw_scores,
    rows_on_thresholds,
)
from tests.with_originals import failed_alone

NAMES = [
    pytest.param(
        table,
        name,
        id=f"{name}-{kind}",
        marks=pytest.mark.slow if (name, kind) == ("catboost", "regressor") else (),  # trains as the other
    )
    for kind, table in (("classifier", CLASSIFIERS), ("regressor", REGRESSORS))
    for name in table
]


@pytest.fixture(params=CLASSIFIERS)
def library(request):
    return request.param


# scikit-learn's contract.


@pytest.mark.parametrize(("table", "name"), NAMES)
def test_no_check_fails_that_the_original_passes(table, name):
    cls, params = table[name]
    assert not failed_alone(cls(**params), cls._original(**params))


@pytest.mark.parametrize(("table", "name"), NAMES)
def test_clone_has_the_parameters(table, name):
    cls, params = table[name]
    model = cls(**params, n_bits=4)
    copy = clone(model)
    given, copied = model.get_params(), copy.get_params()
    assert given.pop("missing", None) is copied.pop("missing", None)  # NaN, which equals nothing
    assert copied == given
    assert copy.n_bits == 4
    assert {key: copy.get_params()[key] for key in params} == params
    assert "n_bits=4" in repr(copy)


def test_unknown_parameters_are_an_error_that_guesses():
    cls, params = CLASSIFIERS["xgboost"]
    with pytest.raises(TypeError, match="no parameter 'max_dept'; did you mean 'max_depth'"):
        cls(max_dept=3)
    model = cls(**params)
    with pytest.raises(ValueError, match="no parameter 'n_estimator'; did you mean 'n_estimators'"):
        model.set_params(max_depth=9, n_estimator=3)
    assert model.max_depth == params["max_depth"]
    with pytest.raises(TypeError, match="no parameter 'iteration'; did you mean 'iterations'"):
        CLASSIFIERS["catboost"][0](iteration=3)


def test_open_parameters_of_xgboost():
    cls, params = CLASSIFIERS["xgboost"]
    model = clone(cls(**params, eta=0.7).set_params(**{"lambda": 2.0}))
    assert model.get_params()["eta"] == 0.7
    model.fit(*load_iris(return_X_y=True))
    assert original(model).get_xgb_params()["lambda"] == 2.0


def test_grid_search(library):
    X, y = load_breast_cancer(return_X_y=True)
    cls, params = CLASSIFIERS[library]
    search = GridSearchCV(cls(**params), {"n_estimators": [1, 3]}, cv=2).fit(X, y)
    assert search.best_params_ == {"n_estimators": 3}
    assert search.best_score_ > 0.9


def test_works_last_in_a_pipeline(library):
    X, y = load_breast_cancer(return_X_y=True)
    cls, params = CLASSIFIERS[library]
    pipe = make_pipeline(StandardScaler(), cls(**params)).fit(X, y)
    assert pipe.score(X, y) > 0.9
    with pytest.raises(NotFittedError) as raised:
        pipe.predict(X, fhe="execute")
    # a pipeline of scikit-learn before 1.8 raises an error of its own, from ours
    assert any(isinstance(error, NotCompiledError) for error in (raised.value, raised.value.__cause__))


# Encrypted.


def test_encrypted_scores_equal_the_clear_ones(compiled):
    model, X = compiled
    assert max(model.accumulator_bits_, default=0) <= 4
    rows = X[[0, 20, 60, 99]]
    np.testing.assert_array_equal(model._scores(rows, "execute"), model._scores(rows, "disable"))
    np.testing.assert_array_equal(model.predict(rows, fhe="execute"), model.predict(rows))


def test_pickle(compiled):
    model, X = compiled
    loaded = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
    np.testing.assert_array_equal(loaded.predict(X, fhe="simulate"), model.predict(X))
    np.testing.assert_array_equal(original(loaded).predict(X), original(model).predict(X))


# Options of fit.


def test_string_labels_and_feature_names(library):
    frame = load_iris(as_frame=True)
    X, y = frame.data, np.array(["setosa", "versicolor", "virginica"])[frame.target]
    cls, params = CLASSIFIERS[library]
    model = cls(**params).fit(X, y, eval_set=[(X, y)])
    assert list(model.classes_) == ["setosa", "versicolor", "virginica"]
    assert list(model.feature_names_in_) == list(X.columns)
    assert model.score(X, y) > 0.9
    with pytest.raises(ValueError, match="feature names"):
        model.predict(X[X.columns[::-1]])
    converted = cls.from_sklearn_model(original(model), X)
    np.testing.assert_array_equal(converted.predict_proba(X), model.predict_proba(X))
    without_rows = cls.from_sklearn_model(original(model))
    np.testing.assert_allclose(without_rows.predict_proba(X), model.predict_proba(X), atol=1e-3)


@pytest.mark.parametrize("n_bits", [None, 4])
def test_early_stopping(library, n_bits):
    X, y = load_diabetes(return_X_y=True)
    cls, params = REGRESSORS[library]
    more, options = {"early_stopping_rounds": 2}, {}
    if library == "lightgbm":
        more, options = {}, {"callbacks": [lightgbm.early_stopping(2, verbose=False)]}
    if library == "xgboost":
        options["verbose"] = False
    params = params | {"n_estimators": 50, "learning_rate": 1.0} | more
    model = cls(**params, n_bits=n_bits).fit(X[:200], y[:200], eval_set=[(X[200:], y[200:])], **options)
    trees = model._describe(original(model)).trees
    assert len(trees) < 40
    if n_bits is None:
        assert_same_paths(model, X)


def test_rows_to_evaluate_on_are_quantized_like_the_others(library):
    """The library's own loss on them is that of the predictions."""
    X, y = load_breast_cancer(return_X_y=True)
    cls, params = CLASSIFIERS[library]
    options = {"verbose": False} if library == "xgboost" else {}
    model = cls(**params, n_bits=3).fit(X[:400], y[:400], eval_set=[(X[400:], y[400:])], **options)
    if library == "xgboost":
        loss = model.model_.evals_result()["validation_0"]["logloss"][-1]
    elif library == "lightgbm":
        loss = model.evals_result_["valid_0"]["binary_logloss"][-1]
    else:
        loss = model.model_.evals_result_["validation"]["Logloss"][-1]
    assert log_loss(y[400:], model.predict_proba(X[400:])) == pytest.approx(
        loss, abs=2 * model.score_error_ + 1e-6
    )


@pytest.mark.parametrize("name", REGRESSORS)
def test_training_goes_on_from_a_model(name):
    X, y = load_diabetes(return_X_y=True)
    cls, params = REGRESSORS[name]
    first = cls(**params).fit(X, y)
    option = "xgb_model" if name == "xgboost" else "init_model"
    second = cls(**params).fit(X, y, **{option: first})
    assert len(second._describe(original(second)).trees) == 8
    assert_same_paths(second, X)
    assert second.score(X, y) > first.score(X, y)


def test_rows_of_no_weight_count_nothing(library):
    """Labels of such rows make no difference, to a library that grows its trees by weights alone."""
    X, y = load_breast_cancer(return_X_y=True)
    weight = np.r_[np.ones(300), np.zeros(len(y) - 300)]
    cls, params = CLASSIFIERS[library]
    flipped = np.where(weight > 0, y, 1 - y)
    one, other = (cls(**params).fit(X, labels, sample_weight=weight) for labels in (y, flipped))
    np.testing.assert_allclose(one.predict_proba(X), other.predict_proba(X), atol=1e-6)


def test_sparse_rows(library):
    X, y = load_diabetes(return_X_y=True)
    X = sparse.csr_matrix(np.where(X < 0, 0, X))
    cls, params = REGRESSORS[library]
    model = cls(**params).fit(X, y)
    np.testing.assert_array_equal(model.predict(sparse.csr_array(X)), model.predict(X))
    np.testing.assert_allclose(
        model.predict(X), original(model).predict(X), atol=model.score_error_ + 1e-6 * np.abs(y).max()
    )


def test_value_that_stands_for_a_missing_one():
    X, y = load_diabetes(return_X_y=True)
    X = np.where(X < 0, -999.0, X)
    cls, params = REGRESSORS["xgboost"]
    model = cls(**params, missing=-999.0).fit(X, y)
    assert_same_paths(model, X)
    with pytest.raises(ValueError, match=r"missing=-999\.0"):
        cls(**params, missing=-999.0, n_bits=4).fit(X, y)


# Quantized.


@pytest.mark.parametrize("n_bits", [2, 5])
def test_quantized_features(library, n_bits):
    """With levels for all distinct values of iris, only their middle points are moved."""
    X, y = load_iris(return_X_y=True)
    cls, params = CLASSIFIERS[library]
    model = cls(**params, n_bits=n_bits).fit(X, y)
    levels = model._level_quantizer
    represented = levels.dequantize(levels.quantize(X))
    assert_same_paths(model, X, raw_scores(model, represented))
    assert model.score(X, y) > 0.9


# Categories.


@pytest.fixture(scope="module")
def categories():
    rng = np.random.default_rng(0)
    letters, number, whole = (
        rng.choice(list("abcdefgh"), 500),
        rng.normal(size=500),
        rng.integers(10, 16, 500),
    )
    y = (np.isin(letters, list("adg")) * 2 + number + (whole % 2) > 1).astype(int)
    X = pd.DataFrame({"a number": number, "letter": pd.Categorical(letters), "whole": pd.Categorical(whole)})
    X.loc[::11, "letter"] = np.nan
    return X, y


@pytest.mark.parametrize("one_hot", [1, 20])
@pytest.mark.parametrize("name", ["xgboost", "lightgbm"])
def test_categories_of_data_frames(categories, name, one_hot):
    X, y = categories
    cls, params = CLASSIFIERS[name]
    more = {"enable_categorical": True} if name == "xgboost" else {"min_data_per_group": 1}
    model = cls(**params, **more, max_cat_to_onehot=one_hot).fit(X, y)
    splits = {s for tree in model._describe(original(model)).trees for s in tree.splits if s is not None}
    assert any(split.categories is not None for split in splits)
    assert_same_paths(model, X)
    reordered = X.assign(letter=X["letter"].cat.reorder_categories(list("hgfedcba")))
    assert_same_paths(model, reordered, raw_scores(model, X))
    unseen = X.assign(letter=pd.Categorical(np.where(np.arange(500) % 2, "z", "a")))
    if name == "xgboost":  # as the original does
        with pytest.raises(ValueError, match="'z'"):
            model.predict(unseen)
    else:
        assert_same_paths(model, unseen)
    with pytest.raises(ValueError, match="categories"):
        cls(**params, **more, n_bits=3).fit(X, y)


@pytest.mark.parametrize("name", ["xgboost", "lightgbm"])
def test_categories_by_number(categories, name):
    """Unseen and missing ones, fractions and negative ones go where the library sends them."""
    X, y = categories
    codes = np.column_stack([X["a number"], X["letter"].cat.codes, X["whole"].cat.codes]).astype(float)
    codes[codes == -1] = np.nan
    cls, params = CLASSIFIERS[name]
    if name == "xgboost":
        more = {"enable_categorical": True, "feature_types": ["q", "c", "c"], "max_cat_to_onehot": 1}
        model = cls(**params, **more).fit(codes, y)
    else:
        model = cls(**params, min_data_per_group=1).fit(codes, y, categorical_feature=[1, 2])
        with pytest.raises(UnsupportedModelError, match="categories"):
            cls(**params, n_bits=3).fit(codes, y, categorical_feature=[1, 2])
    odd = codes.copy()
    odd[:, 1] = np.random.default_rng(0).choice([-1, -0.5, 2.7, 3.999, 7, 8, 1000, 2**25, np.nan], 500)
    for rows in (codes, odd, rows_on_thresholds(model, odd, np.float32)):
        assert_same_paths(model, rows)


# Conversion.


@pytest.mark.parametrize(("table", "name"), NAMES)
def test_conversion_equals_training(table, name):
    X, y = load_diabetes(return_X_y=True) if table is REGRESSORS else load_iris(return_X_y=True)
    cls, params = table[name]
    fitted = cls._original(**params).fit(X, y)
    model = cls.from_sklearn_model(fitted, X)
    assert {key: model.get_params()[key] for key in params} == params
    np.testing.assert_array_equal(model.predict(X), cls(**params).fit(X, y).predict(X))
    assert_same_paths(cls.from_sklearn_model(fitted), X)
    quantized = cls.from_sklearn_model(fitted, X, n_bits=5)
    assert quantized.score(X, y) > 0.2
    with pytest.raises(ValueError, match="give X"):
        cls.from_sklearn_model(fitted, n_bits=5)
    with pytest.raises(TypeError, match=cls.__name__):
        cls.from_sklearn_model(model)


# Refusals.

REFUSED = [
    (REGRESSORS["xgboost"][0], XGB, {"booster": "gblinear"}, "gblinear"),
    (REGRESSORS["xgboost"][0], XGB, {"objective": "multi:softprob", "num_class": 2}, "multi:softprob"),
    (CLASSIFIERS["xgboost"][0], XGB, {"objective": "count:poisson"}, "count:poisson"),
    (REGRESSORS["lightgbm"][0], LGBM, {"linear_tree": True}, "linear_tree"),
    (REGRESSORS["lightgbm"][0], LGBM, {"reg_sqrt": True}, "reg_sqrt"),
    (REGRESSORS["lightgbm"][0], LGBM, {"objective": "cross_entropy_lambda"}, "cross_entropy_lambda"),
    (REGRESSORS["catboost"][0], CAT, {"loss_function": "RMSEWithUncertainty"}, "RMSEWithUncertainty"),
    (CLASSIFIERS["catboost"][0], CAT, {"cat_features": [0]}, "cat_features"),
]


@pytest.mark.parametrize(("cls", "params", "more", "named"), REFUSED, ids=[case[3] for case in REFUSED])
def test_what_cannot_be_said_is_refused(cls, params, more, named):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(100, 2)), rng.integers(0, 2, 100)
    with pytest.raises(UnsupportedModelError, match=named):
        cls(**params, **more).fit(X, y)


def test_trees_of_several_outputs_are_refused():
    X, y = load_diabetes(return_X_y=True)
    cls, params = REGRESSORS["xgboost"]
    with pytest.raises(UnsupportedModelError, match="one_output_per_tree"):
        cls(**params, multi_strategy="multi_output_tree").fit(X, np.column_stack([y, y]))


def test_several_labels_a_row_are_refused():
    cls, params = CLASSIFIERS["xgboost"]
    with pytest.raises(UnsupportedModelError, match="MultiOutputClassifier"):
        cls(**params).fit(np.eye(4), np.eye(4, dtype=int))


def test_a_refused_fit_leaves_the_estimator_as_it_was(library):
    X, y = load_diabetes(return_X_y=True)
    cls, params = REGRESSORS[library]
    model = cls(**params).fit(X, y)
    expected = model.predict(X)
    parameters = {
        "catboost": {"objective": "RMSEWithUncertainty"},
        "xgboost": {"booster": "gblinear"},
        "lightgbm": {"objective": "cross_entropy_lambda"},
    }
    model.set_params(**parameters[library])
    with pytest.raises(UnsupportedModelError):
        model.fit(X[:, :5], y / 400)
    np.testing.assert_array_equal(model.predict(X), expected)


def test_a_missing_library_is_named(monkeypatch, library):
    """As if it were not installed."""
    package = importlib.import_module("skfhe.boosting")
    name = CLASSIFIERS[library][0].__name__
    importing = builtins.__import__

    def refuse(module, *args, **kwargs):
        if module == library:
            raise ModuleNotFoundError(f"No module named {module!r}", name=module)
        return importing(module, *args, **kwargs)

    monkeypatch.delitem(vars(package), name)
    monkeypatch.delitem(sys.modules, f"skfhe.boosting._{library}")
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ImportError, match=rf'pip install "skfhe\[{library}\]"'):
        getattr(package, name)
