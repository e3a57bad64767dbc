"""Searches over parameters, scikit-learn's and those that are like them."""

from __future__ import annotations

from typing import Any

from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

__all__ = ["best_of", "is_search"]


def is_search(estimator: Any) -> bool:
    """Whether an estimator is a search; scores of candidates alone, which others keep, make none."""
    return any(hasattr(estimator, name) for name in ("best_estimator_", "param_grid", "param_distributions"))


def best_of(search: Any) -> Any:
    """Return the best estimator of a search.

    Raises
    ------
    NotFittedError
        If it is not fitted, or has trained none on all rows.
    """
    if not hasattr(search, "best_estimator_") and hasattr(search, "cv_results_"):
        raise NotFittedError(
            f"this {type(search).__name__} has no best_estimator_, since it has refit={search.refit!r}; give "
            "refit=True, or train an estimator by best_params_ and use that"
        )
    check_is_fitted(search, "best_estimator_")
    return search.best_estimator_
