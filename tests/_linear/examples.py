"""Linear estimators, and rows for them."""

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from skfhe import linear_model, svm
from skfhe._linear import LinearPredictorMixin
from tests.with_originals import seeded

ALL = [
    seeded(cls)
    for cls in (getattr(module, name) for module in (linear_model, svm) for name in module.__all__)
    if issubclass(cls, LinearPredictorMixin)
]
CLASSIFIERS = [
    linear_model.LogisticRegression(max_iter=1000),
    linear_model.SGDClassifier(random_state=0),
    svm.LinearSVC(random_state=0),
    linear_model.RidgeClassifier(),
]
REGRESSORS = [
    linear_model.LinearRegression(),
    linear_model.Ridge(),
    linear_model.Lasso(),
    linear_model.ElasticNet(alpha=0.01),
    linear_model.SGDRegressor(random_state=0),
    linear_model.PoissonRegressor(),
    linear_model.GammaRegressor(),
    linear_model.TweedieRegressor(power=1.5, link="log"),
    svm.LinearSVR(random_state=0, max_iter=10_000),
]
"""One of each way in which scores are read, or predictions made of them."""
ALIKE = {
    "ARDRegression": {},
    "BayesianRidge": {},
    "ElasticNetCV": {"alphas": 5, "cv": 2},
    "HuberRegressor": {"max_iter": 1000},
    "Lars": {},
    "LarsCV": {"cv": 2},
    "LassoCV": {"alphas": 5, "cv": 2},
    "LassoLars": {"alpha": 0.1},
    "LassoLarsCV": {"cv": 2},
    "LassoLarsIC": {},
    "LogisticRegressionCV": {"Cs": 2, "cv": 2},
    "MultiTaskElasticNet": {"alpha": 0.1},
    "MultiTaskElasticNetCV": {"alphas": 3, "cv": 2},
    "MultiTaskLasso": {"alpha": 0.1},
    "MultiTaskLassoCV": {"alphas": 3, "cv": 2},
    "OrthogonalMatchingPursuit": {},
    "OrthogonalMatchingPursuitCV": {"cv": 2},
    "PassiveAggressiveClassifier": {},
    "PassiveAggressiveRegressor": {},
    "Perceptron": {},
    "QuantileRegressor": {"alpha": 0.01},
    "RANSACRegressor": {"min_samples": 100},
    "RidgeCV": {},
    "RidgeClassifierCV": {},
    "SGDOneClassSVM": {},
    "TheilSenRegressor": {"max_subpopulation": 50},
}
"""Others, which differ from those in how they are trained alone: parameters of a short training."""


def name(estimator):
    return type(estimator).__name__


def split(load):
    X, y = load(return_X_y=True)
    stratify = y if len(np.unique(y)) < 20 else None
    X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=stratify, random_state=0)
    scaler = StandardScaler().fit(X_train)
    return scaler.transform(X_train), scaler.transform(X_test), y_train, y_test
