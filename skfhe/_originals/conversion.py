"""From a fitted original to an estimator of ours: one road for those that inherit and those that hold."""

from __future__ import annotations

import copy
import importlib.util
import inspect
import sys
from typing import Any

import numpy as np

from skfhe._originals.compat import callbacks_of
from skfhe._originals.signatures import takes
from skfhe._telling import log
from skfhe.exceptions import UnsupportedModelError

__all__ = [
    "check_original",
    "check_own_methods",
    "estimator_for",
    "estimators_for_native",
    "from_original",
    "original_and_ours",
    "public_name",
    "stands_for",
]

ROOMS = {"xgboost": "boosting", "lightgbm": "boosting", "catboost": "boosting", "interpret": "additive"}
"""Where the estimators of a library are; those of scikit-learn are in rooms that are called as its own."""

UNDER_ANOTHER_NAME = {
    "sklearn.neural_network.MLPClassifier": "importers.TorchClassifier",
    "sklearn.neural_network.MLPRegressor": "importers.TorchRegressor",
    "xgboost.XGBRanker": "boosting.XGBRegressor",
    "lightgbm.LGBMRanker": "boosting.LGBMRegressor",
    "catboost.CatBoostRanker": "boosting.CatBoostRegressor",
}
"""Originals that an estimator of another name stands for: it predicts as they do, and trains otherwise."""

NATIVE = {
    "xgboost.Booster": ("boosting.XGBClassifier", "boosting.XGBRegressor"),
    "lightgbm.Booster": ("boosting.LGBMClassifier", "boosting.LGBMRegressor"),
    "catboost.CatBoost": ("boosting.CatBoostClassifier", "boosting.CatBoostRegressor"),
}
"""What libraries train without an estimator; which of ours it becomes is a matter of its objective."""

PREDICTING = (
    *("predict", "predict_proba", "predict_log_proba", "decision_function"),
    *("transform", "score_samples"),
)
"""Methods that a program of ours evaluates in place of the original's."""


def from_original(cls: Any, fitted: Any, **own: Any) -> Any:
    """Return an estimator of ``cls`` with the parameters and the state of a fitted original.

    Parameters
    ----------
    cls : type
        Its ``_adopt`` takes over what an original has learnt, or holds it.
    fitted : estimator
        It is copied.
    **own
        Parameters that the original does not have.

    Returns
    -------
    estimator
        Not lowered yet.

    Raises
    ------
    TypeError
        If ``fitted`` is not of the class that ``cls`` stands for, or of one derived from it.
    UnsupportedModelError
        If its class has a method of its own where a program would predict.
    """
    log("%s is made of a fitted %s", cls.__name__, type(fitted).__name__)
    check_original(cls, fitted)
    check_own_methods(fitted, next(base for base in type(fitted).__mro__ if _is_original(base, cls)))
    given = {name: value for name, value in fitted.get_params(deep=False).items() if takes(cls, name)}
    estimator = cls(**_chosen(cls, fitted, given), **given, **own)
    shared = {id(callback): callback for callback in callbacks_of(fitted)}  # by clones, too
    estimator._adopt(copy.deepcopy(fitted, shared))
    return estimator


def check_original(cls: Any, fitted: Any) -> None:
    """Raise a `TypeError` unless ``fitted`` is of a class that ``cls`` stands for."""
    if any(_is_original(base, cls) for base in type(fitted).__mro__) and not isinstance(fitted, cls):
        return
    other = stands_for(type(fitted))
    hint = f"; use {public_name(other)}.from_sklearn_model" if other else ""
    raise TypeError(
        f"{cls.__name__}.from_sklearn_model converts a fitted {public_name(cls._original)}, "
        f"got {type(fitted).__name__}{hint}"
    )


def _is_original(base: type, cls: Any) -> bool:
    other = UNDER_ANOTHER_NAME.get(public_name(base))
    return base is cls._original or (other is not None and issubclass(cls, _ours(other)))


def check_own_methods(fitted: Any, original: type) -> None:
    """Raise an `UnsupportedModelError` if ``fitted`` does not predict by the methods of ``original``.

    A class derived from it, or someone with an object in hand, may have put others in their place, of which a
    program would know nothing.
    """
    for name in PREDICTING:
        own = inspect.getattr_static(type(fitted), name, None)
        if name in vars(fitted) or own is not inspect.getattr_static(original, name, None):
            ours = stands_for(original)
            raise UnsupportedModelError(
                f"{type(fitted).__name__}.{name} is not that of {public_name(original)}, and would not be "
                f"evaluated; convert a {public_name(original)}, or define {name} in a class derived from "
                f"{public_name(ours) if ours else 'an estimator of skfhe'}"
            )


def _chosen(cls: Any, fitted: Any, given: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of an original that a class derived from it has fixed or chosen.

    A cross-validated one has its choice in an attribute of the parameter's name and an underscore.
    """
    known, found = vars(fitted), {}
    for name in set(inspect.signature(cls._original).parameters) - set(given):
        if name in known:
            found[name] = known[name]
        elif f"{name}_" in known:
            chosen = np.asarray(known[f"{name}_"])
            if chosen.dtype.kind in "fiu" and np.unique(chosen).size == 1:  # else one a class
                found[name] = chosen.flat[0].item()
    return {name: value for name, value in found.items() if takes(cls, name)}


def public_name(original: type) -> str:
    """Return the name that a class of a library is imported by.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> public_name(Ridge)
    'sklearn.linear_model.Ridge'
    """
    parts = original.__module__.split(".")
    modules = [".".join(parts[: length + 1]) for length in range(len(parts))]
    faces = [m for m in modules if getattr(sys.modules.get(m), original.__name__, None) is original]
    return f"{[*faces, original.__module__][0]}.{original.__name__}"


def estimator_for(original: type) -> Any:
    """Return the estimator of ours whose original is this very class, or None if there is none.

    It is found by its name, in the room that the library's name stands for, so that no list is to be kept,
    and nothing is imported before it is asked for.

    Examples
    --------
    >>> from sklearn import linear_model
    >>> estimator_for(linear_model.Ridge)
    <class 'skfhe.linear_model._least_squares.Ridge'>
    """
    library, *rest = public_name(original).split(".")
    room = ROOMS.get(library, rest[0])
    if library not in ("sklearn", *ROOMS) or importlib.util.find_spec(f"skfhe.{room}") is None:
        return None
    found = getattr(importlib.import_module(f"skfhe.{room}"), original.__name__, None)
    return found if getattr(found, "_original", None) is original else None


def stands_for(original: type) -> Any:
    """Return the estimator of ours that a fitted ``original`` is converted to, or None if there is none.

    That is the one of the class itself, or else of the nearest that it is derived from.

    Examples
    --------
    >>> from sklearn import linear_model
    >>> class Ridge(linear_model.Ridge):
    ...     pass
    >>> stands_for(Ridge)
    <class 'skfhe.linear_model._least_squares.Ridge'>
    """
    return original_and_ours(original)[1]


def original_and_ours(cls: type) -> tuple[type, Any]:
    """Return the nearest class that has one of ours to stand for it, and that; or itself, and None."""
    for base in cls.__mro__:
        other = UNDER_ANOTHER_NAME.get(public_name(base))
        found = estimator_for(base) if other is None else _ours(other)
        if found is not None:
            return base, found
    return cls, None


def estimators_for_native(original: type) -> list[Any]:
    """Return the estimators of ours of which one may stand for what a library trained without its own."""
    return [_ours(name) for name in NATIVE.get(public_name(original), ())]


def _ours(name: str) -> Any:
    room, _, cls = name.partition(".")
    return getattr(importlib.import_module(f"skfhe.{room}"), cls)
