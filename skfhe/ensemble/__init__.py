"""Ensembles of trees whose predictions run on encrypted data."""

from skfhe.ensemble.forest import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from skfhe.ensemble.gradient_boosting import GradientBoostingClassifier, GradientBoostingRegressor
from skfhe.ensemble.histogram_boosting import HistGradientBoostingClassifier, HistGradientBoostingRegressor

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
