"""Compiling whatever estimators of skfhe a fitted object has inside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike
from sklearn.base import MetaEstimatorMixin
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skfhe.base import EncryptedPredictorMixin
from skfhe.circuit import CommonKeys
from skfhe.compose._members import fitted_members

if TYPE_CHECKING:
    from skfhe.circuit import Circuit

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
        Members whose circuits need keys of the same parameters have the same keys. Of these, members that
        take the same integers encrypt a batch of rows once; ``verbose=True`` says how often it is done.

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
    members = fitted_members(estimator)
    if not members:
        if isinstance(estimator, MetaEstimatorMixin):
            check_is_fitted(estimator)
        raise TypeError(
            f"only estimators of skfhe can be compiled, and {type(estimator).__name__} is not one, nor has "
            "it any inside; skfhe.convert(fitted, X) makes a copy that has"
        )
    circuits = [member.compile(**options) for member in members]
    if len(circuits) > 1:
        _share(members, circuits, verbose=bool(options.get("verbose")))
        return circuits
    return circuits[0]


def _share(members: list[Any], circuits: list[Circuit], verbose: bool) -> None:
    """Let members that need equal keys have the same, and encrypt rows once that they take alike."""
    common = members[0]._mode.common or CommonKeys()
    for circuit in circuits:
        circuit.share(common)
    if verbose:
        times = CommonKeys.in_common([circuit.compiled.specs for circuit in circuits])
        print(
            f"{len(circuits)} members: rows that they take alike are encrypted "
            + ("once" if times == 1 else f"{times} times, since so many parameters of keys and inputs differ")
        )
