"""Linear models whose predictions run on encrypted data."""

from skfhe.linear_model._bayes import ARDRegression, BayesianRidge
from skfhe.linear_model._coordinate_descent import (
    ElasticNetCV,
    LassoCV,
    MultiTaskElasticNet,
    MultiTaskElasticNetCV,
    MultiTaskLasso,
    MultiTaskLassoCV,
)
from skfhe.linear_model._generalized import GammaRegressor, PoissonRegressor, TweedieRegressor
from skfhe.linear_model._least_angle import (
    Lars,
    LarsCV,
    LassoLars,
    LassoLarsCV,
    LassoLarsIC,
    OrthogonalMatchingPursuit,
    OrthogonalMatchingPursuitCV,
)
from skfhe.linear_model._least_squares import ElasticNet, Lasso, LinearRegression, Ridge
from skfhe.linear_model._logistic import LogisticRegression, LogisticRegressionCV
from skfhe.linear_model._one_class import SGDOneClassSVM
from skfhe.linear_model._perceptron import PassiveAggressiveClassifier, PassiveAggressiveRegressor, Perceptron
from skfhe.linear_model._ridge import RidgeClassifier, RidgeClassifierCV, RidgeCV
from skfhe.linear_model._robust import HuberRegressor, QuantileRegressor, RANSACRegressor, TheilSenRegressor
from skfhe.linear_model._stochastic_gradient import SGDClassifier, SGDRegressor

__all__ = [
    "ARDRegression",
    "BayesianRidge",
    "ElasticNet",
    "ElasticNetCV",
    "GammaRegressor",
    "HuberRegressor",
    "Lars",
    "LarsCV",
    "Lasso",
    "LassoCV",
    "LassoLars",
    "LassoLarsCV",
    "LassoLarsIC",
    "LinearRegression",
    "LogisticRegression",
    "LogisticRegressionCV",
    "MultiTaskElasticNet",
    "MultiTaskElasticNetCV",
    "MultiTaskLasso",
    "MultiTaskLassoCV",
    "OrthogonalMatchingPursuit",
    "OrthogonalMatchingPursuitCV",
    "PassiveAggressiveClassifier",
    "PassiveAggressiveRegressor",
    "Perceptron",
    "PoissonRegressor",
    "QuantileRegressor",
    "RANSACRegressor",
    "Ridge",
    "RidgeCV",
    "RidgeClassifier",
    "RidgeClassifierCV",
    "SGDClassifier",
    "SGDOneClassSVM",
    "SGDRegressor",
    "TheilSenRegressor",
    "TweedieRegressor",
]
