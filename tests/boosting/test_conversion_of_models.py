"""What the libraries train without an estimator of scikit-learn's kind, and what ranks, is converted, too."""

import catboost
import lightgbm
import numpy as np
import pytest
import xgboost
from sklearn.datasets import load_breast_cancer, load_iris

import skfhe
from skfhe.boosting import CatBoostRegressor, LGBMRegressor, XGBClassifier, XGBRegressor
from skfhe.exceptions import UnsupportedModelError

X, Y = (values[:300] for values in load_breast_cancer(return_X_y=True))
XI, YI = load_iris(return_X_y=True)
GROUPS = np.arange(len(X)) // 10
CAT = {"iterations": 3, "depth": 2, "verbose": 0, "allow_writing_files": False}
LGBM = {"num_leaves": 4, "verbose": -1}


def xgboost_model(objective, X=X, y=Y, rounds=3, **more):
    return xgboost.train({"objective": objective, "max_depth": 2, **more}, xgboost.DMatrix(X, y), rounds)


def lightgbm_model(objective, X=X, y=Y, **more):
    return lightgbm.train({"objective": objective, **LGBM, **more}, lightgbm.Dataset(X, y), 3)


def loaded(model):
    """Return a model as it comes from a file."""
    if isinstance(model, xgboost.Booster):
        return xgboost.Booster(model_file=bytearray(model.save_raw("json")))
    return lightgbm.Booster(model_str=model.model_to_string())


@pytest.mark.parametrize("from_file", [False, True])
@pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
def test_a_booster_of_classes_becomes_a_classifier(library, from_file):
    """Of two classes and of more; its probabilities are what the booster predicts."""
    train = {"xgboost": xgboost_model, "lightgbm": lightgbm_model}[library]
    two, several = ("binary:logistic", "multi:softprob") if library == "xgboost" else ("binary", "multiclass")
    for model, rows in ((train(two), X), (train(several, XI, YI, num_class=3), XI)):
        model = loaded(model) if from_file else model
        given = xgboost.DMatrix(rows) if library == "xgboost" else rows
        converted = skfhe.convert(model, rows)
        found = converted.predict_proba(rows)
        np.testing.assert_allclose(found[:, 1] if rows is X else found, model.predict(given), atol=1e-4)
        assert converted.classes_.tolist() == list(range(found.shape[1]))


def test_a_booster_of_values_becomes_a_regressor():
    poisson, gamma = lightgbm_model("poisson", XI, YI), xgboost_model("reg:gamma", XI, YI + 1.0)
    np.testing.assert_allclose(skfhe.convert(poisson, XI).predict(XI), poisson.predict(XI), rtol=1e-3)
    expected = gamma.predict(xgboost.DMatrix(XI))
    np.testing.assert_allclose(skfhe.convert(gamma, XI).predict(XI), expected, rtol=1e-3)
    # asked for values, probabilities are values as well
    model = xgboost_model("binary:logistic")
    found = XGBRegressor.from_sklearn_model(model, X).predict(X)
    np.testing.assert_allclose(found, model.predict(xgboost.DMatrix(X)), atol=1e-4)


def test_a_booster_predicts_by_all_of_its_trees():
    """As it does by itself, though an estimator would stop at the best iteration."""
    D = xgboost.DMatrix(X, Y)
    params = {"objective": "binary:logistic", "max_depth": 2, "eta": 2.0}
    model = xgboost.train(
        params,
        D,
        30,
        evals=[(xgboost.DMatrix(X, 1 - Y), "other")],
        early_stopping_rounds=3,
        verbose_eval=False,
    )
    assert model.best_iteration < model.num_boosted_rounds() - 1
    found = XGBClassifier.from_sklearn_model(model, X).predict_proba(X)[:, 1]
    np.testing.assert_allclose(found, model.predict(D), atol=1e-3)


def test_models_of_catboost_without_an_estimator_are_converted():
    classes = catboost.CatBoost({"loss_function": "Logloss", **CAT}).fit(X, Y)
    found = skfhe.convert(classes, X).predict_proba(X)
    np.testing.assert_allclose(found, classes.predict(X, prediction_type="Probability"), atol=1e-4)
    values = catboost.CatBoost({"loss_function": "RMSE", **CAT}).fit(XI, YI)
    np.testing.assert_allclose(skfhe.convert(values, XI).predict(XI), values.predict(XI), atol=1e-3)


@pytest.mark.parametrize(
    ("ranker", "given", "ours"),
    [
        (xgboost.XGBRanker(n_estimators=3, max_depth=2), {"qid": GROUPS}, XGBRegressor),
        (lightgbm.LGBMRanker(n_estimators=3, **LGBM), {"group": np.full(30, 10)}, LGBMRegressor),
        (catboost.CatBoostRanker(loss_function="YetiRank", **CAT), {"group_id": GROUPS}, CatBoostRegressor),
    ],
    ids=["xgboost", "lightgbm", "catboost"],
)
def test_a_ranker_becomes_a_regressor_of_its_scores(ranker, given, ours):
    ranker.fit(X, Y, **given)
    model = skfhe.convert(ranker, X)
    assert type(model) is ours
    expected = ranker.predict(X)
    np.testing.assert_allclose(model.predict(X), expected, atol=1e-3 * np.ptp(expected))


def test_a_hinge_tells_classes_and_no_probabilities():
    model = xgboost_model("binary:hinge", eta=2.0)
    converted = skfhe.convert(model, X)
    expected = model.predict(xgboost.DMatrix(X))
    assert set(expected) == {0, 1}
    np.testing.assert_array_equal(converted.predict(X), expected)
    assert not hasattr(converted, "predict_proba")


def test_risks_of_survival_are_exponentials_of_sums():
    model = xgboost_model("survival:cox", XI, YI + 1.0)
    expected = model.predict(xgboost.DMatrix(XI))
    np.testing.assert_allclose(skfhe.convert(model, XI).predict(XI), expected, rtol=1e-2)


def test_what_a_booster_predicts_that_no_estimator_does_is_refused():
    with pytest.raises(UnsupportedModelError, match="gblinear"):
        skfhe.convert(xgboost_model("binary:logistic", booster="gblinear", max_depth=None), X)
    with pytest.raises(UnsupportedModelError, match="cross_entropy_lambda"):
        skfhe.convert(lightgbm_model("cross_entropy_lambda"), X)
