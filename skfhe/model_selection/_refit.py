"""Choosing among the results of scikit-learn's own searches by what an encrypted row costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from skfhe._typing import FloatArray

__all__ = ["refit_within"]

COST = "neg_seconds"
"""Name of the metric that `cost_scorer` is to have."""
HOW = (
    "give the search scoring={'score': 'accuracy', 'neg_seconds': cost_scorer}, or any other metric, with "
    "cost_scorer of skfhe.model_selection"
)


def refit_within(*, seconds: float, metric: str | None = None) -> RefitWithin:
    """Return a choice of the best candidate within a budget, for ``refit`` of scikit-learn's searches.

    Parameters
    ----------
    seconds : float
        What a row may take at most, encrypted, on the dearest of the folds.
    metric : str, default=None
        Which of the search's metrics to choose by. None takes the only one beside the cost.

    Returns
    -------
    callable
        Takes ``cv_results_``, returns ``best_index_``. Of equal scores the cheapest is taken.

    Raises
    ------
    TypeError, ValueError
        If ``seconds`` is not a positive number. When the search has run: if no candidate is within the
        budget, or ``cv_results_`` has no columns of the cost or of the metric.

    Notes
    -----
    The search needs the cost among its metrics, as ``neg_seconds``, by `cost_scorer`.

    A tree that is trained on all rows may have a lookup more than on those of a fold; `ParetoSearchCV`
    looks at the cost after refitting, which a callable cannot.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import GridSearchCV
    >>> from skfhe.model_selection import cost_scorer, refit_within
    >>> from skfhe.tree import DecisionTreeClassifier
    >>> search = GridSearchCV(
    ...     DecisionTreeClassifier(random_state=0),
    ...     {"max_depth": [1, 2, 3]},
    ...     scoring={"score": "accuracy", "neg_seconds": cost_scorer},
    ...     refit=refit_within(seconds=0.5),
    ... )
    >>> search = search.fit(*load_iris(return_X_y=True))
    >>> bool(search.cv_results_["mean_test_neg_seconds"][search.best_index_] >= -0.5)
    True
    """
    return RefitWithin(seconds, metric)


@dataclass(frozen=True)
class RefitWithin:
    """What `refit_within` returns; its parameters are of that."""

    seconds: float
    metric: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.seconds, Real) or isinstance(self.seconds, bool):
            raise TypeError(f"seconds must be a number, got {self.seconds!r}")
        if not self.seconds > 0:
            raise ValueError(f"seconds must be positive, got {self.seconds!r}")

    def __call__(self, cv_results: Mapping[str, Any]) -> int:
        """Return the place of the best candidate within the budget."""
        scores = np.asarray(cv_results[f"mean_test_{self._metric(cv_results)}"], dtype=np.float64)
        seconds = _dearest(cv_results)
        # a number for error_score stands in the place of the cost, too
        priced = np.isfinite(scores) & (seconds > 0)
        if not priced.any():
            raise ValueError("no candidate has a score and a cost: every one failed on some fold")
        within = np.flatnonzero(priced & (seconds <= self.seconds))
        if not len(within):
            cheapest = int(np.argmin(np.where(priced, seconds, np.inf)))
            if np.isinf(seconds[cheapest]):
                raise ValueError("no candidate can be compiled; cost_.refusal of a fitted one says why")
            raise ValueError(
                f"no candidate is within {self.seconds:g} seconds a row: the cheapest takes about "
                f"{seconds[cheapest]:.2g}, with {cv_results['params'][cheapest]}; allow as much, or search "
                "among smaller models"
            )
        return int(within[np.lexsort((seconds[within], -scores[within]))[0]])

    def _metric(self, cv_results: Mapping[str, Any]) -> str:
        """Return the metric to choose by."""
        prefix = "mean_test_"
        metrics = [name.removeprefix(prefix) for name in cv_results if name.startswith(prefix)]
        if COST not in metrics:
            raise ValueError(f"cv_results_ has no {prefix}{COST}, the cost of a row; {HOW}")
        others = [name for name in metrics if name != COST]
        if self.metric is None and len(others) == 1:
            return others[0]
        if self.metric in others:
            return self.metric
        shown = ", ".join(map(repr, others)) or "none"
        if self.metric is None:
            raise ValueError(
                f"refit_within(seconds=…, metric=…) must name one of the metrics; there is {shown}"
            )
        raise ValueError(f"metric={self.metric!r} is none of the search's; there is {shown}")


def _dearest(cv_results: Mapping[str, Any]) -> FloatArray:
    """Return the seconds of each candidate's dearest fold; NaN where a fold failed."""
    folds = [
        np.asarray(values, dtype=np.float64)
        for name, values in cv_results.items()
        if name.startswith("split") and name.endswith(f"_test_{COST}")
    ]
    return -np.min(folds, axis=0) if folds else -np.asarray(cv_results[f"mean_test_{COST}"])
