"""Compiling whatever estimators of skfhe a fitted object has inside."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike
from sklearn.base import MetaEstimatorMixin
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skfhe._originals.searches import best_of, is_search
from skfhe.base import EncryptedPredictorMixin
from skfhe.circuit import CommonKeys
from skfhe.compose._members import fitted_members, in_common, look_inside

if TYPE_CHECKING:
    from skfhe.circuit import Circuit

__all__ = ["compile"]


def compile(estimator: Any, X: ArrayLike | None = None, y: ArrayLike | None = None, **options: Any) -> Any:
    """Compile the estimators of skfhe inside a fitted object for encrypted evaluation.

    Parameters
    ----------
    estimator : estimator, Pipeline, search or other meta-estimator
        Fitted. Of a search its best estimator is compiled, of another meta-estimator every member, of a
        pipeline those in its last step and in steps before.
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
    if isinstance(estimator, EncryptedPredictorMixin):
        return estimator.compile(X, y, **options)
    if is_search(estimator):
        return compile(best_of(estimator), X, y, **options)
    if isinstance(estimator, Pipeline):
        return _compile_pipeline(estimator, X, y, options)
    members = fitted_members(estimator)
    if not members:
        if isinstance(estimator, MetaEstimatorMixin):
            check_is_fitted(estimator)
        if look_inside(estimator).ours:
            raise TypeError(
                f"only fitted estimators of skfhe can be compiled, and this {type(estimator).__name__} keeps "
                "none that predicts"
            )
        raise TypeError(
            f"only estimators of skfhe can be compiled, and {type(estimator).__name__} is not one, nor has "
            "it any inside; skfhe.convert(fitted, X) makes a copy that has"
        )
    circuits = [member.compile(**options) for member in members]
    if len(circuits) > 1:
        _share(members, circuits, verbose=bool(options.get("verbose")))
        return circuits
    return circuits[0]


def _compile_pipeline(pipeline: Pipeline, X: Any, y: Any, options: dict[str, Any]) -> Any:
    """Compile what is in the steps of a pipeline; rows are given to the last one alone, transformed."""
    before = [member for _, step in pipeline.steps[:-1] for member in fitted_members(step)]
    given = {
        name: value for name, value in options.items() if not isinstance(value, str)
    }  # "auto" needs rows
    circuits = [member.compile(**given) for member in before]
    if X is not None and len(pipeline.steps) > 1:
        X = pipeline[:-1].transform(X)
    last = fitted_members(pipeline[-1]) if before else []
    if before and not last:
        return circuits if len(circuits) > 1 else circuits[0]
    found = compile(pipeline[-1], X, y, **options)
    if not before:
        return found
    circuits += found if isinstance(found, list) else [found]
    _share(before + last, circuits, verbose=bool(options.get("verbose")))
    return circuits


def _share(members: list[Any], circuits: list[Circuit], verbose: bool) -> None:
    """Let members that need equal keys have the same, and encrypt rows once that they take alike."""
    common = in_common(members)
    for member, circuit in zip(members, circuits, strict=True):
        member._mode = replace(member._mode, common=common)
        circuit.share(common)
    if verbose:
        times = CommonKeys.in_common([circuit.compiled.specs for circuit in circuits])
        print(
            f"{len(circuits)} members: rows that they take alike are encrypted "
            + ("once" if times == 1 else f"{times} times, since so many parameters of keys and inputs differ")
        )
