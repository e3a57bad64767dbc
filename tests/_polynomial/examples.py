"""Estimators of polynomial scores, and rows for them."""

import numpy as np

from skfhe import discriminant_analysis, mixture, naive_bayes, svm
from skfhe._polynomial import PolynomialPredictorMixin
from skfhe.discriminant_analysis import QuadraticDiscriminantAnalysis
from skfhe.mixture import GaussianMixture
from skfhe.naive_bayes import GaussianNB
from skfhe.svm import SVC, SVR, NuSVC, NuSVR, OneClassSVM

CLASSES = [
    cls
    for module in (naive_bayes, discriminant_analysis, mixture, svm)
    for cls in (getattr(module, name) for name in module.__all__)
    if issubclass(cls, PolynomialPredictorMixin)
]
"""Every class of the family."""

EXAMPLES = [
    GaussianNB(),
    QuadraticDiscriminantAnalysis(),
    GaussianMixture(2, random_state=0),
    SVC(kernel="poly", degree=2),
    NuSVC(kernel="poly", degree=2, coef0=1.0, nu=0.2),
    SVR(kernel="poly", coef0=1.0),
    NuSVR(kernel="linear"),
    OneClassSVM(kernel="poly", degree=2, nu=0.2),
]
"""One of each."""


def name(estimator):
    return type(estimator).__name__


def rows(seed=0, n_rows=60):
    """Draw rows of three features of sizes that have nothing to do with each other, and three classes."""
    rng = np.random.default_rng(seed)
    y = np.arange(n_rows) % 3
    X = rng.normal(size=(n_rows, 3)) * [1.0, 1 + y.mean(), 1.0] + np.array([[0.0], [1.0], [3.0]])[y]
    X[:, 1] += X[:, 0] ** 2
    return (X - [1.0, 3.0, 1.0]) / [2.0, 4.0, 2.0], y


def methods_of(model):
    """Return what a model answers by."""
    names = ("predict", "predict_proba", "predict_log_proba", "decision_function", "score_samples")
    return [each for each in (*names, "predict_joint_log_proba") if hasattr(model, each)]
