"""Linear models whose predictions run on encrypted data."""

from skfhe.linear_model._generalized import GammaRegressor, PoissonRegressor, TweedieRegressor
from skfhe.linear_model._least_squares import ElasticNet, Lasso, LinearRegression, Ridge
from skfhe.linear_model._logistic import LogisticRegression
from skfhe.linear_model._stochastic_gradient import SGDClassifier, SGDRegressor

__all__ = [
    "ElasticNet",
    "GammaRegressor",
    "Lasso",
    "LinearRegression",
    "LogisticRegression",
    "PoissonRegressor",
    "Ridge",
    "SGDClassifier",
    "SGDRegressor",
    "TweedieRegressor",
]
