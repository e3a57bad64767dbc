"""What one row costs with a fitted object, whatever estimators of skfhe it has inside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline

__all__ = ["RowCost", "cost_of", "cost_scorer"]


@dataclass(frozen=True)
class RowCost:
    """Predicted cost of one row with all estimators of skfhe in a fitted object.

    Parameters
    ----------
    seconds : float
        Infinite if one of them cannot be compiled.
    n_lookups : int
    complexity : float
    refusal : str or None
        Why one of them cannot be compiled.
    """

    seconds: float
    n_lookups: int
    complexity: float
    refusal: str | None = None


def cost_of(fitted: Any) -> Any:
    """Return what one row costs: ``cost_`` of the one member that predicts it, or the sum over all that do.

    Parameters
    ----------
    fitted : estimator, Pipeline or meta-estimator
        With estimators of skfhe inside. Of a pipeline those steps count that are of skfhe, and the last.

    Returns
    -------
    Cost or RowCost

    Raises
    ------
    TypeError
        If there is no estimator of skfhe inside.
    """
    costs = list(_costs(fitted, {}))
    if not costs:
        raise TypeError(
            f"the cost of an encrypted row is known of estimators of skfhe, and {type(fitted).__name__} is "
            "not one, nor has it any inside; take the estimator of the same name in skfhe, at the end of the "
            "pipeline if there is one"
        )
    if len(costs) == 1:
        return costs[0]
    return RowCost(
        float(sum(cost.seconds for cost in costs)),
        sum(cost.n_lookups for cost in costs),
        float(sum(cost.complexity for cost in costs)),
        next((cost.refusal for cost in costs if cost.refusal), None),
    )


def _costs(found: Any, seen: dict[int, Any]) -> Iterator[Any]:
    """Yield the cost of each fitted estimator of skfhe in what a fitted object has learnt, each once."""
    if id(found) in seen:
        return
    seen[id(found)] = found  # kept, so that no other gets its id
    if hasattr(found, "cost_"):
        yield found.cost_
        return
    inner: list[Any] = []
    if isinstance(found, list | tuple):
        inner = list(found)
    elif isinstance(found, Mapping):
        inner = list(found.values())
    elif isinstance(found, np.ndarray) and found.dtype == object:
        inner = list(found.ravel())
    elif isinstance(found, Pipeline):
        # a step that selects features by an estimator asks that only while it is fitted
        inner = [*(step for _, step in found.steps[:-1] if hasattr(step, "cost_")), found.steps[-1][1]]
    elif isinstance(found, BaseEstimator) or type(found).__module__.startswith("sklearn."):
        learnt = isinstance(found, BaseEstimator)  # others, such as pairs of calibration, have no parameters
        attributes = {
            name: value
            for name, value in vars(found).items()
            if not learnt or (name.endswith("_") and not name.startswith("_"))
        }
        if hasattr(found, "best_estimator_"):
            attributes = {"best_estimator_": found.best_estimator_}
        inner = list(attributes.values())
    for each in inner:
        yield from _costs(each, seen)


def cost_scorer(estimator: Any, X: Any = None, y: Any = None) -> float:
    """Return minus the predicted seconds of one encrypted row, as a scorer of scikit-learn's searches.

    Among the metrics of a search it gives ``cv_results_`` the columns of the cost, for `refit_within`. Like
    every score it is the greater the better, which is why its sign is that of ``neg_mean_squared_error``.

    Parameters
    ----------
    estimator : estimator, Pipeline or meta-estimator
        Fitted; of skfhe, or with estimators of skfhe inside.
    X, y : array-like, default=None
        Not looked at: the cost of a row does not depend on what is in it.

    Returns
    -------
    float
        Minus ``cost_.seconds``. Infinite if the estimator cannot be compiled.

    Raises
    ------
    TypeError
        If there is no estimator of skfhe inside.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skfhe.linear_model import LogisticRegression
    >>> from skfhe.model_selection import cost_scorer
    >>> model = LogisticRegression(max_iter=1000).fit(*load_iris(return_X_y=True))
    >>> cost_scorer(model) == -model.cost_.seconds
    True
    """
    return -cost_of(estimator).seconds
