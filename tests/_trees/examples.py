"""Small estimators of scikit-learn's trees and ensembles, one of each class."""

from sklearn.base import is_classifier

from skfhe.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from skfhe.tree import DecisionTreeClassifier, DecisionTreeRegressor

FEW = {"n_estimators": 4, "random_state": 0}
CLASSIFIERS = [
    DecisionTreeClassifier(max_depth=5, random_state=0),
    RandomForestClassifier(max_depth=4, **FEW),
    ExtraTreesClassifier(max_depth=4, **FEW),
    GradientBoostingClassifier(**FEW),
    HistGradientBoostingClassifier(max_iter=4, max_leaf_nodes=6, random_state=0),
]
REGRESSORS = [
    DecisionTreeRegressor(max_depth=5, random_state=0),
    RandomForestRegressor(max_depth=4, **FEW),
    ExtraTreesRegressor(max_depth=4, **FEW),
    GradientBoostingRegressor(**FEW),
    HistGradientBoostingRegressor(max_iter=4, max_leaf_nodes=6, random_state=0),
]
TAKE_MISSING = [
    e
    for e in (*CLASSIFIERS, *REGRESSORS)
    if "GradientBoosting" not in type(e).__name__ or "Hist" in type(e).__name__
]


def name(estimator):
    return type(estimator).__name__


def scores_of(estimator, X):
    """Return what ``score_error_`` is about."""
    if hasattr(estimator, "decision_function"):
        return estimator.decision_function(X)
    return estimator.predict_proba(X) if is_classifier(estimator) else estimator.predict(X)
