"""Compiling whatever estimators of skfhe a fitted object has inside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, MetaEstimatorMixin
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skfhe.base import EncryptedPredictorMixin

__all__ = ["compile"]


def compile(estimator: Any, X: ArrayLike | None = None, y: ArrayLike | None = None, **options: Any) -> Any:
    """Compile the estimators of skfhe inside a fitted object for encrypted evaluation.

    Parameters
    ----------
    estimator : estimator, Pipeline, search or other meta-estimator
        Fitted. Of a pipeline its last step is compiled, of a search its best estimator, of another
        meta-estimator every member.
    X : array-like of shape (n_rows, n_features), default=None
        Given to the estimator's own ``compile`` after the earlier steps of a pipeline have transformed it.
        Members of other meta-estimators, which may see other rows, do without.
    y : array-like of shape (n_rows,), default=None
        Targets of the rows, for ``p_error="auto"``.
    **options
        ``p_error``, ``global_p_error``, ``tolerance``, ``configuration``, ``verbose``, as in the estimator's
        ``compile``.

    Returns
    -------
    Circuit or list of Circuit
        Also stored as ``fhe_circuit_`` of each estimator; a list if a meta-estimator has several members.

    Raises
    ------
    NotFittedError
        If a search, a step or a meta-estimator is not fitted.
    TypeError
        If there is no estimator of skfhe where one has to be.
    """
    if hasattr(estimator, "best_estimator_") or hasattr(estimator, "cv_results_"):
        check_is_fitted(estimator, "best_estimator_")
        return compile(estimator.best_estimator_, X, y, **options)
    if hasattr(estimator, "param_grid") or hasattr(estimator, "param_distributions"):
        check_is_fitted(estimator, "best_estimator_")
    if isinstance(estimator, Pipeline):
        if X is not None and len(estimator.steps) > 1:
            X = estimator[:-1].transform(X)
        return compile(estimator[-1], X, y, **options)
    if isinstance(estimator, EncryptedPredictorMixin):
        return estimator.compile(X, y, **options)
    members = _members(estimator, {})
    if not members:
        if isinstance(estimator, MetaEstimatorMixin):
            check_is_fitted(estimator)
        raise TypeError(
            f"only estimators of skfhe can be compiled, and {type(estimator).__name__} is not one, nor has "
            "it any inside; put one at the end of the pipeline"
        )
    circuits = [member.compile(**options) for member in members]
    return circuits if len(circuits) > 1 else circuits[0]


def _members(found: Any, seen: dict[int, Any]) -> list[Any]:
    """Return the fitted estimators of skfhe in what a fitted object has learnt, each once, in order.

    They are in its public attributes that end with an underscore, or in lists, dictionaries and objects of
    scikit-learn there; parameters hold what was not fitted.
    """
    if id(found) in seen:
        return []
    seen[id(found)] = found  # kept, so that no other gets its id
    if isinstance(found, EncryptedPredictorMixin):
        return [found] if hasattr(found, "program_") else []
    inner: list[Any] = []
    if isinstance(found, list | tuple):
        inner = list(found)
    elif isinstance(found, Mapping):
        inner = list(found.values())
    elif isinstance(found, np.ndarray) and found.dtype == object:
        inner = list(found.ravel())
    elif type(found).__module__.startswith("sklearn."):
        learnt = isinstance(found, BaseEstimator)  # others, such as pairs of calibration, have no parameters
        inner = [
            value
            for name, value in vars(found).items()
            if not learnt or (name.endswith("_") and not name.startswith("_"))
        ]
        if isinstance(found, Pipeline):
            inner = [step for _, step in found.steps]
        elif isinstance(found, FixedThresholdClassifier) and "estimator_" not in vars(found):
            inner = [found.estimator]  # was fitted before
    return [member for each in inner for member in _members(each, seen)]
