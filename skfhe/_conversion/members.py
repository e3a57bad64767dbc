"""The estimators inside a fitted one: which of them predict in its place, and which wait to be trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
from sklearn import (
    calibration,
    compose,
    ensemble,
    feature_selection,
    linear_model,
    model_selection,
    multiclass,
    multioutput,
    pipeline,
    semi_supervised,
)
from sklearn.base import BaseEstimator
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from skfhe._originals.searches import best_of, is_search

__all__ = ["is_container", "is_fitted", "members_of", "predicts", "templates_of"]

Named: TypeAlias = Iterator[tuple[str, Any]]
"""Where estimators are, in the words of whoever looks for them, and they themselves."""


def _listed(*names: str) -> Callable[[Any], Named]:
    """Return what finds the members that are, or are listed, in attributes of these names."""

    def members(fitted: Any) -> Named:
        for name in names:
            yield from _within(name, getattr(fitted, name))

    return members


def _within(place: str, value: Any) -> Named:
    """Yield what is in lists, tuples, mappings and arrays of objects."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _within(f"{place}[{key!r}]", inner)
    elif isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.dtype == object):
        for position, inner in enumerate(value):
            yield from _within(f"{place}[{position}]", inner)
    else:
        yield place, value


def _last_step(fitted: Any) -> Named:
    """Yield the step that predicts: those before it are computed where the rows are, as they are."""
    name, step = fitted.steps[-1]
    yield f"the step {name!r}", step


def _calibrated(fitted: Any) -> Named:
    for position, pair in enumerate(fitted.calibrated_classifiers_):
        yield f"calibrated_classifiers_[{position}].estimator", pair.estimator


def _thresholded(fitted: Any) -> Named:
    name = "estimator_" if "estimator_" in vars(fitted) else "estimator"  # which was fitted before
    yield name, getattr(fitted, name)


def _by_column(fitted: Any) -> Named:
    for name, transformer, _ in fitted.transformers_:
        yield f"the transformer {name!r}", transformer


def _in_union(fitted: Any) -> Named:
    for name, transformer in fitted.transformer_list:
        yield f"the transformer {name!r}", transformer


_ESTIMATORS, _ESTIMATOR = _listed("estimators_"), _listed("estimator_")

CONTAINERS: dict[type, Callable[[Any], Named]] = {
    pipeline.Pipeline: _last_step,
    pipeline.FeatureUnion: _in_union,
    compose.ColumnTransformer: _by_column,
    compose.TransformedTargetRegressor: _listed("regressor_"),
    model_selection.FixedThresholdClassifier: _thresholded,
    model_selection.TunedThresholdClassifierCV: _ESTIMATOR,
    ensemble.VotingClassifier: _ESTIMATORS,
    ensemble.VotingRegressor: _ESTIMATORS,
    ensemble.StackingClassifier: _listed("estimators_", "final_estimator_"),
    ensemble.StackingRegressor: _listed("estimators_", "final_estimator_"),
    ensemble.BaggingClassifier: _ESTIMATORS,
    ensemble.BaggingRegressor: _ESTIMATORS,
    ensemble.AdaBoostClassifier: _ESTIMATORS,
    ensemble.AdaBoostRegressor: _ESTIMATORS,
    calibration.CalibratedClassifierCV: _calibrated,
    multiclass.OneVsRestClassifier: _ESTIMATORS,
    multiclass.OneVsOneClassifier: _ESTIMATORS,
    multiclass.OutputCodeClassifier: _ESTIMATORS,
    multioutput.MultiOutputClassifier: _ESTIMATORS,
    multioutput.MultiOutputRegressor: _ESTIMATORS,
    multioutput.ClassifierChain: _ESTIMATORS,
    multioutput.RegressorChain: _ESTIMATORS,
    feature_selection.RFE: _ESTIMATOR,
    feature_selection.SelectFromModel: _ESTIMATOR,
    semi_supervised.SelfTrainingClassifier: _ESTIMATOR,
    linear_model.RANSACRegressor: _ESTIMATOR,
    FrozenEstimator: _listed("estimator"),
}
"""What there is of scikit-learn around other estimators, with those that predict in its place."""

LIBRARIES = ("sklearn", "xgboost", "lightgbm", "catboost", "skfhe")
PREDICTING = ("predict", "decision_function", "transform")
"""By which of these is theirs, classes are known to be of a library, and no mixins."""


def members_of(fitted: Any) -> list[tuple[str, Any]]:
    """Return the estimators that predict in the place of a fitted one, with where they are; none if it does.

    Of a class that is not known, they are what it has learnt: estimators in attributes that are no
    parameters.

    Raises
    ------
    NotFittedError
        If it is a container, and not fitted.
    """
    find = next((CONTAINERS[cls] for cls in type(fitted).__mro__ if cls in CONTAINERS), None)
    if find is None and is_search(fitted):
        best_of(fitted)
        find = _listed("best_estimator_")
    elif find is not None and not isinstance(fitted, model_selection.FixedThresholdClassifier):
        check_is_fitted(fitted)  # the exception may be around what was fitted before
    elif find is None:
        known = isinstance(fitted, BaseEstimator) and not any(map(_is_of_library, type(fitted).__mro__))
        given = fitted.get_params(deep=False) if known else {}
        find = _listed(*(name for name in (vars(fitted) if known else ()) if name not in given))
    return [(place, member) for place, member in find(fitted) if _is_estimator(member)]


def is_container(fitted: Any) -> bool:
    """Whether others predict in the place of an estimator, by its class alone."""
    return any(cls in CONTAINERS for cls in type(fitted).__mro__) or is_search(fitted)


def _is_of_library(cls: type) -> bool:
    return cls.__module__.partition(".")[0] in LIBRARIES and any(name in vars(cls) for name in PREDICTING)


def _is_estimator(found: Any) -> bool:
    """Whether it is an estimator that looks at rows, as stand-ins for a single class do not."""
    constant = isinstance(found, DummyClassifier | DummyRegressor)
    stand_in = type(found).__name__ == "_ConstantPredictor"
    return hasattr(found, "fit") and not (isinstance(found, type) or constant or stand_in)


def predicts(fitted: Any) -> bool:
    """Whether an estimator predicts, and not only transforms."""
    return hasattr(fitted, "predict")


def is_fitted(estimator: Any) -> bool:
    """Whether an estimator has been fitted."""
    try:
        check_is_fitted(estimator)
    except (NotFittedError, TypeError):
        return False
    return True


def templates_of(estimator: Any) -> list[Any]:
    """Return the unfitted estimators among the parameters of a container, which it trains clones of."""
    if isinstance(estimator, pipeline.Pipeline):
        given: list[Any] = [estimator.steps[-1][1]]
    elif is_container(estimator):
        given = [
            value for param in estimator.get_params(deep=False).values() for _, value in _within("", param)
        ]
    else:
        given = []
    return [value for value in given if isinstance(value, BaseEstimator) and not is_fitted(value)]
