"""Ensembles of trees whose predictions run on encrypted data."""

from skfhe.ensemble._ada_boost import AdaBoostClassifier, AdaBoostRegressor
from skfhe.ensemble._forest import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from skfhe.ensemble._gradient_boosting import GradientBoostingClassifier, GradientBoostingRegressor
from skfhe.ensemble._histogram_boosting import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from skfhe.ensemble._isolation_forest import IsolationForest

__all__ = [
    "AdaBoostClassifier",
    "AdaBoostRegressor",
    "ExtraTreesClassifier",
    "ExtraTreesRegressor",
    "GradientBoostingClassifier",
    "GradientBoostingRegressor",
    "HistGradientBoostingClassifier",
    "HistGradientBoostingRegressor",
    "IsolationForest",
    "RandomForestClassifier",
    "RandomForestRegressor",
]
