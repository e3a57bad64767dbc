"""Small models of each library, and rows where a wrong comparison would show."""

import catboost
import lightgbm
import numpy as np
import xgboost

from skfhe._originals.inherited import as_original
from skfhe.boosting import (
    CatBoostClassifier,
    CatBoostRegressor,
    LGBMClassifier,
    LGBMRegressor,
    XGBClassifier,
    XGBRegressor,
)

XGB = {"n_estimators": 4, "max_depth": 3, "n_jobs": 1}
LGBM = {"n_estimators": 4, "num_leaves": 6, "min_child_samples": 5, "verbose": -1, "n_jobs": 1}
CAT = {"n_estimators": 4, "depth": 3, "verbose": 0, "thread_count": 1, "allow_writing_files": False}

CLASSIFIERS = {"xgboost": (XGBClassifier, XGB), "lightgbm": (LGBMClassifier, LGBM)}
CLASSIFIERS["catboost"] = (CatBoostClassifier, CAT)
REGRESSORS = {"xgboost": (XGBRegressor, XGB), "lightgbm": (LGBMRegressor, LGBM)}
REGRESSORS["catboost"] = (CatBoostRegressor, CAT)
PRECISION = {"xgboost": np.float32, "lightgbm": np.float64, "catboost": np.float32}
SUMMATION = 1e-6
"""XGBoost adds its leaves in single precision."""


def original(model):
    """Return the fitted original of a model."""
    return model.model_ if hasattr(model, "model_") else as_original(model, fitted=True)


def raw_scores(model, X):
    """Return the scores of the original before the link, shape (n_rows, n_outputs)."""
    fitted = original(model)
    if isinstance(fitted, xgboost.XGBModel):
        scores = fitted.predict(X, output_margin=True)
    elif isinstance(fitted, lightgbm.LGBMModel):
        scores = fitted.predict(X, raw_score=True)
    else:
        assert isinstance(fitted, catboost.CatBoost)
        scores = fitted.predict(X, prediction_type="RawFormulaVal")
    return np.asarray(scores, dtype=np.float64).reshape(len(X), -1)


def assert_same_paths(model, X, raw=None):
    """Every row takes the original's path: no score is farther off than stated.

    A row that took another path through one tree would be off by the difference of two leaves.
    """
    raw = raw_scores(model, X) if raw is None else raw
    allowed = model.score_error_ + SUMMATION * np.maximum(1, np.abs(raw).max())
    assert np.abs(model._scores(X, "disable") - raw).max() <= allowed


def thresholds(model):
    """Return the thresholds of each feature that is compared with any."""
    found = {}
    for tree in model._describe(original(model)).trees:
        for split in tree.splits:
            if split is not None and split.categories is None:
                found.setdefault(split.feature, set()).add(split.threshold)
    return {feature: np.array(sorted(values)) for feature, values in found.items()}


def rows_on_thresholds(model, X, precision, n_rows=2000, seed=0):
    """Return rows of which three values in four are a threshold, or one unit in the last place beside."""
    rng = np.random.default_rng(seed)
    rows = np.array(X, dtype=np.float64)[rng.integers(0, len(X), n_rows)]
    for feature, values in thresholds(model).items():
        chosen = rng.choice(values, n_rows).astype(precision)
        with np.errstate(over="ignore"):  # CatBoost has a border below all numbers
            below, above = np.nextafter(chosen, precision(-np.inf)), np.nextafter(chosen, precision(np.inf))
        moved = np.select([rng.random(n_rows) < 1 / 3, rng.random(n_rows) < 1 / 2], [below, above], chosen)
        moved = np.where(np.isfinite(moved), moved, chosen)
        rows[:, feature] = np.where(rng.random(n_rows) < 3 / 4, moved, rows[:, feature])
    return rows


def with_missing(X, part=0.1, seed=0):
    """Return a copy of ``X`` that misses some values."""
    X = np.array(X, dtype=np.float64)
    X[np.random.default_rng(seed).random(X.shape) < part] = np.nan
    return X
