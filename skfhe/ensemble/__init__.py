"""Ensembles of trees whose predictions run on encrypted data."""

from skfhe.ensemble._forest import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from skfhe.ensemble._gradient_boosting import GradientBoostingClassifier, GradientBoostingRegressor
from skfhe.ensemble._histogram_boosting import HistGradientBoostingClassifier, HistGradientBoostingRegressor

__all__ = [
    "ExtraTreesClassifier",
    "ExtraTreesRegressor",
    "GradientBoostingClassifier",
    "GradientBoostingRegressor",
    "HistGradientBoostingClassifier",
    "HistGradientBoostingRegressor",
    "RandomForestClassifier",
    "RandomForestRegressor",
]
