"""From a fitted original to an estimator of ours: one road for those that inherit and those that hold."""

from __future__ import annotations

import copy
import importlib.util
import sys
from typing import Any

from skfhe._originals.compat import callbacks_of
from skfhe._originals.signatures import takes

__all__ = ["check_original", "estimator_for", "from_original", "public_name"]

ROOMS = {"xgboost": "boosting", "lightgbm": "boosting", "catboost": "boosting", "interpret": "additive"}
"""Where the estimators of a library are; those of scikit-learn are in rooms that are called as its own."""


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
        If ``fitted`` is not of the class that ``cls`` stands for.
    """
    check_original(cls, fitted)
    given = fitted.get_params(deep=False)
    estimator = cls(**{name: value for name, value in given.items() if takes(cls, name)}, **own)
    shared = {id(callback): callback for callback in callbacks_of(fitted)}  # by clones, too
    estimator._adopt(copy.deepcopy(fitted, shared))
    return estimator


def check_original(cls: Any, fitted: Any) -> None:
    """Raise a `TypeError` unless ``fitted`` is of the class that ``cls`` stands for."""
    if isinstance(fitted, cls._original) and not isinstance(fitted, cls):
        return
    other = estimator_for(type(fitted))
    hint = f"; use {public_name(other)}.from_sklearn_model" if other else ""
    raise TypeError(
        f"{cls.__name__}.from_sklearn_model converts a fitted {public_name(cls._original)}, "
        f"got {type(fitted).__name__}{hint}"
    )


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
