"""How the estimators of skfhe inside an object evaluate rows."""

from __future__ import annotations

import inspect
from typing import Any, TypeVar

from skfhe._modes import Mode
from skfhe.base import EncryptedPredictorMixin
from skfhe.compose._members import in_common, look_inside

__all__ = ["set_mode"]

T = TypeVar("T")

OPTIONS = frozenset(inspect.signature(EncryptedPredictorMixin.compile).parameters) - {"self", "X", "y"}


def set_mode(estimator: T, fhe: str, *, clear: str = "allow", **options: Any) -> T:
    """Say how the estimators of skfhe inside an object evaluate rows, where a call does not say it.

    So whatever predicts by them runs encrypted without a keyword: pipelines, searches, cross-validation,
    meta-estimators, their ``score``, and nested ones.

    Parameters
    ----------
    estimator : estimator, Pipeline, search or other meta-estimator
        Fitted or not. The mode is given to every estimator of skfhe inside, to members that were fitted and
        to those that are parameters alike. It travels with clones and pickles, and stays when they are
        fitted.
    fhe : {"disable", "simulate", "execute"}
        As in ``predict``. The first evaluation of a fitted estimator that needs a circuit compiles it.
    clear : {"allow", "forbid"}, default="allow"
        With "forbid", which goes with "execute" alone, whatever would evaluate rows in the clear raises a
        `ClearEvaluationError`: ``fhe="disable"`` and ``"simulate"``, ``apply``, ``decision_path``,
        ``staged_predict`` and its like, the library's own model.
    **options
        ``p_error``, ``global_p_error``, ``configuration``, ``verbose``, for the first use to compile with;
        see the estimator's ``compile``. What was compiled before without them is compiled anew.

    Returns
    -------
    estimator
        The same object.

    Raises
    ------
    ValueError
        If a mode is unknown, or contradicts ``clear``; if ``p_error="auto"``, which needs rows.
    TypeError
        If there is no estimator of skfhe inside, or an option is unknown. With ``clear="forbid"``, if an
        estimator inside predicts and is not of skfhe; the message says where it is. Transformers are the
        client's, and stay; so do maps of decrypted scores, as calibration has them.

    Notes
    -----
    What a meta-estimator predicts while it is being fitted, as stacking, chains, boosting and searches do, it
    predicts in its members' mode: encrypted if they had it before ``fit``. To fit in the clear, fit first and
    set the mode then: the integers are the same. Training itself is always in the clear.

    Examples
    --------
    >>> import skfhe
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.multiclass import OneVsRestClassifier
    >>> from skfhe.svm import LinearSVC
    >>> X, y = load_iris(return_X_y=True)
    >>> model = OneVsRestClassifier(LinearSVC()).fit(X, y)
    >>> skfhe.set_mode(model, "execute").predict(X[:2])  # encrypted
    array([0, 0])
    """
    unknown = sorted(set(options) - OPTIONS)
    if unknown:
        raise TypeError(f"set_mode takes {', '.join(sorted(OPTIONS))} beside clear, got {unknown[0]!r}")
    if isinstance(options.get("p_error"), str):
        raise ValueError(
            f"p_error={options['p_error']!r} needs rows and targets, and the first use has none; call "
            'skfhe.compile(model, X, y, p_error="auto"), or give a number'
        )
    mode = Mode(fhe, clear, options)  # says what is wrong with the words
    inside = look_inside(estimator)
    if not inside.ours:
        raise TypeError(
            f"set_mode says how estimators of skfhe evaluate rows, and this {type(estimator).__name__} has "
            "none inside; put some in the places of scikit-learn's"
        )
    if clear == "forbid" and inside.strangers:
        named = ", ".join(f"{place}: {kind}" for place, kind in list(inside.strangers.items())[:5])
        raise TypeError(
            f'clear="forbid" was given, and this {type(estimator).__name__} has what predicts in the clear '
            f"inside ({named}); put estimators of skfhe there, or leave clear out"
        )
    alone = inside.ours[0]._mode.common if len(inside.ours) == 1 else None
    mode = Mode(fhe, clear, options, in_common(inside.ours) if len(inside.ours) > 1 else alone)
    for member in inside.ours:
        member._take_mode(mode)
    return estimator
