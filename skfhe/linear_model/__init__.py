"""Linear models whose predictions run on encrypted data."""

from skfhe.linear_model.generalized import GammaRegressor, PoissonRegressor, TweedieRegressor
from skfhe.linear_model.least_squares import ElasticNet, Lasso, LinearRegression, Ridge
from skfhe.linear_model.logistic import LogisticRegression
from skfhe.linear_model.stochastic_gradient import SGDClassifier, SGDRegressor

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
