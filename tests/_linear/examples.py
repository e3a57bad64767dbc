"""Linear estimators, and rows for them."""

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from skfhe import linear_model, svm
from skfhe._linear import LinearPredictorMixin
from skfhe.linear_model import (
    ElasticNet,
    GammaRegressor,
    Lasso,
    LinearRegression,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
    SGDClassifier,
    SGDRegressor,
    TweedieRegressor,
)
from skfhe.svm import LinearSVC, LinearSVR
from tests.with_originals import seeded

ALL = [
    seeded(cls)
    for cls in (getattr(module, name) for module in (linear_model, svm) for name in module.__all__)
    if issubclass(cls, LinearPredictorMixin)
]
CLASSIFIERS = [LogisticRegression(max_iter=1000), SGDClassifier(random_state=0), LinearSVC(random_state=0)]
REGRESSORS = [
    LinearRegression(),
    Ridge(),
    Lasso(),
    ElasticNet(alpha=0.01),
    SGDRegressor(random_state=0),
    PoissonRegressor(),
    GammaRegressor(),
    TweedieRegressor(power=1.5, link="log"),
    LinearSVR(random_state=0, max_iter=10_000),
]


def name(estimator):
    return type(estimator).__name__


def split(load):
    X, y = load(return_X_y=True)
    stratify = y if len(np.unique(y)) < 20 else None
    X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=stratify, random_state=0)
    scaler = StandardScaler().fit(X_train)
    return scaler.transform(X_train), scaler.transform(X_test), y_train, y_test
