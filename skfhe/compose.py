"""Compiling the last step of a pipeline or of a search's best estimator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skfhe.base import EncryptedPredictorMixin

if TYPE_CHECKING:
    from skfhe.circuit import Circuit

__all__ = ["compile"]


def compile(
    estimator: Any, X: ArrayLike | None = None, y: ArrayLike | None = None, **options: Any
) -> Circuit:
    """Compile the last step of a fitted pipeline or search for encrypted evaluation.

    Parameters
    ----------
    estimator : estimator, Pipeline or search object
        Fitted. Its last step, or that of its best estimator, must be one of skfhe's.
    X : array-like of shape (n_rows, n_features), default=None
        Given to the estimator's own ``compile`` after the earlier steps have transformed it.
    y : array-like of shape (n_rows,), default=None
        Targets of the rows, for ``p_error="auto"``.
    **options
        ``p_error``, ``global_p_error``, ``tolerance``, ``configuration``, ``verbose``, as in the estimator's
        ``compile``.

    Returns
    -------
    Circuit
        Also stored as ``fhe_circuit_`` of that last step.

    Raises
    ------
    NotFittedError
        If a search or a step is not fitted.
    TypeError
        If the last step is not an estimator of skfhe.
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
    if not isinstance(estimator, EncryptedPredictorMixin):
        raise TypeError(
            f"only estimators of skfhe can be compiled, and {type(estimator).__name__} is not one; put "
            "one at the end of the pipeline"
        )
    return estimator.compile(X, y, **options)
