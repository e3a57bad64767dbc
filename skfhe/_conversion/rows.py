"""Which rows the members of a fitted estimator see: those that they are given while it predicts."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from joblib import parallel_config

__all__ = ["rows_seen"]

METHODS = ("predict", "predict_proba", "decision_function", "predict_log_proba", "transform", "score_samples")
"""What members are asked for."""
ASKED = ("predict", "predict_proba", "decision_function", "transform")
"""What the whole is asked for, until each member has been."""


def rows_seen(fitted: Any, members: Sequence[Any], X: Any) -> list[Any]:
    """Return the rows that each member of a fitted estimator is given while it predicts ``X``.

    So a final estimator gets the predictions of the others, a member of an ensemble its part of the features,
    and one of a chain the predictions of those before it.

    Parameters
    ----------
    fitted : estimator
        It stays as it is; a copy predicts.
    members : sequence of estimators
        Inside it, at any depth.
    X : array-like of shape (n_rows, n_features)

    Returns
    -------
    list
        None for a member that is not asked.
    """
    memo: dict[int, Any] = {}
    copied = copy.deepcopy(fitted, memo)
    seen: dict[int, Any] = {}
    for member in members:
        _record(memo[id(member)], id(member), seen)
    with parallel_config(backend="threading"):  # what other processes see would not be known here
        for method in ASKED:
            if hasattr(copied, method) and not all(id(member) in seen for member in members):
                getattr(copied, method)(X)
    return [seen.get(id(member)) for member in members]


def _record(member: Any, key: int, seen: dict[int, Any]) -> None:
    """Let a member keep the first rows that it is given."""

    def recording(method: Any) -> Any:
        def call(X: Any, *args: Any, **kwargs: Any) -> Any:
            seen.setdefault(key, X)
            return method(X, *args, **kwargs)

        return call

    for name in METHODS:
        if hasattr(member, name):
            setattr(member, name, recording(getattr(member, name)))
