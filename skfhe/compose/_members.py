"""What estimators an object has inside, whatever the object is.

Meta-estimators keep their members in lists, tuples, sets, dictionaries, arrays of objects, and in objects
that are no estimators, such as the pairs that calibration makes, or by a method of theirs. So all of these
are gone through, and so is every estimator but ours, which are what is looked for, with all of its
attributes: a class of a user may keep its members under any name, and in objects of his. Nothing is known of
one meta-estimator or another but for what is below.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import MethodType, SimpleNamespace
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.feature_selection import SelectorMixin

from skfhe.base import EncryptedPredictorMixin
from skfhe.circuit import CommonKeys

__all__ = ["Found", "fitted_members", "in_common", "look_inside"]

RESULTS = frozenset({"cv_results_"})
"""Of searches: values of parameters in them are not what predicts."""
OF_DECRYPTED_SCORES = frozenset({"calibrators"})
"""What maps decrypted scores, and no rows: the isotonic and sigmoid maps of calibrated pairs."""
CONSTANTS = frozenset({"_ConstantPredictor"})
"""Members that answer alike whatever the row, by the names of their classes; the dummies are others."""
TRANSFORMERS = frozenset({"IterativeImputer", "RandomTreesEmbedding"})
"""Transformers, by the names of their classes, that have what predicts for a part of theirs."""
CHOSEN = ("estimator", "final_estimator", "regressor")
"""Parameters for which meta-estimators take an estimator of scikit-learn if they are None."""


@dataclass
class Found:
    """What is inside an object.

    Attributes
    ----------
    ours : list
        Estimators of skfhe, fitted or not, each once, in order.
    strangers : dict of str to str
        What predicts and is not ours: where it is, and its class.
    """

    ours: list[Any] = field(default_factory=list)
    strangers: dict[str, str] = field(default_factory=dict)


def look_inside(found: Any) -> Found:
    """Return the estimators in parameters and in what was learnt, ours and others that predict."""
    return _Walk().through(found)


def fitted_members(found: Any) -> list[Any]:
    """Return the fitted estimators of skfhe in what an object has learnt, each once, in order.

    A parameter may hold one that was fitted before, as a pipeline's steps or a frozen estimator do; copies of
    one that was not are what has been learnt.
    """
    return [member for member in _Walk(learnt=True).through(found).ours if hasattr(member, "program_")]


def in_common(members: Sequence[Any]) -> CommonKeys:
    """Return what keys members have in common from now on.

    What they had in common before they keep, so that keys are not made anew where a mode is said again.
    """
    before = {id(member._mode.common): member._mode.common for member in members if member._mode.common}
    return next(iter(before.values())) if len(before) == 1 else CommonKeys()


class _Walk:
    """One way through an object.

    Parameters
    ----------
    learnt : bool, default=False
        Leave out parameters of what has learnt members of ours: those are copies of these.
    """

    def __init__(self, learnt: bool = False) -> None:
        self._learnt = learnt
        self._seen: dict[int, Any] = {}
        self._package = ""  # of what we are within

    def through(self, found: Any, place: str = "") -> Found:
        """Return what is inside an object that is found at ``place``."""
        inside = Found()
        if id(found) in self._seen or isinstance(found, type):
            return inside
        self._seen[id(found)] = found  # kept, so that no other gets its id
        if isinstance(found, DummyClassifier | DummyRegressor):
            return inside
        if isinstance(found, EncryptedPredictorMixin):
            inside.ours.append(found)
            return inside
        if self._learnt and isinstance(found, SelectorMixin) and not hasattr(type(found), "predict"):
            return inside  # has chosen its columns
        within, self._package = self._package, _package(found) or self._package
        self._add(inside, _learnt(found, within), place)
        if not (self._learnt and inside.ours):
            self._add(inside, _given(found), place)
        self._package = within
        if hasattr(type(found), "predict") and type(found).__name__ not in CONSTANTS:
            for name in _left_to_choose(found):
                inside.strangers[_within(place, name)] = "None, for which it takes one of its own"
            if not inside.ours:  # named as a whole
                inside.strangers = {place: type(found).__name__}
        elif place and (isinstance(found, SelectorMixin) or type(found).__name__ in TRANSFORMERS):
            inside.strangers = {}  # selects columns by what it has learnt of them, or is the client's
        return inside

    def _add(self, inside: Found, parts: Iterable[tuple[str, Any]], place: str) -> None:
        for name, value in parts:
            found = self.through(value, _within(place, name))
            inside.ours += found.ours
            inside.strangers |= found.strangers


def _within(place: str, name: str) -> str:
    return f"{place}{name}" if name.startswith("[") or not place else f"{place}.{name}"


def _learnt(found: Any, within: str) -> Iterator[tuple[str, Any]]:
    """Yield what an object consists of, by name; of an estimator what it has learnt.

    ``within`` is the package of what the object was found in.
    """
    if isinstance(found, Mapping):
        yield from ((str(name), value) for name, value in found.items())
    elif isinstance(found, list | tuple | set | frozenset | deque):
        yield from ((f"[{i}]", value) for i, value in enumerate(found))
    elif isinstance(found, np.ndarray):
        if found.dtype == object:
            yield from ((f"[{i}]", value) for i, value in enumerate(found.ravel()))
    elif isinstance(found, MethodType):
        yield "__self__", found.__self__
    elif isinstance(found, partial):
        yield from (("func", found.func), ("args", found.args), ("keywords", found.keywords))
    elif isinstance(found, BaseEstimator):
        left_out = RESULTS | found.get_params(deep=False).keys()
        yield from ((name, value) for name, value in vars(found).items() if name not in left_out)
    elif (
        _evaluates(found)
        or isinstance(found, SimpleNamespace)
        or _package(found) == within not in {"", "sklearn"}
    ):
        parts = _attributes(found).items()
        yield from ((name, value) for name, value in parts if name not in OF_DECRYPTED_SCORES)


def _given(found: Any) -> Iterator[tuple[str, Any]]:
    """Yield the parameters of an estimator."""
    if isinstance(found, BaseEstimator):
        yield from found.get_params(deep=False).items()


def _evaluates(found: Any) -> bool:
    """Whether an object that is no estimator of scikit-learn works like one."""
    methods = ("predict", "predict_proba", "transform")
    return any(callable(getattr(type(found), name, None)) for name in methods)


def _package(found: Any) -> str:
    """Return the package that an object's class is of; none for what Python brings."""
    package = type(found).__module__.partition(".")[0]
    return "" if package in sys.stdlib_module_names and package != "__main__" else package


def _attributes(found: Any) -> dict[str, Any]:
    """Return an object's attributes, those in slots among them."""
    slots = [vars(cls).get("__slots__", ()) for cls in type(found).__mro__]
    names = [name for each in slots for name in ([each] if isinstance(each, str) else each)]
    in_slots = {name: getattr(found, name) for name in names if hasattr(found, name)}
    return in_slots | getattr(found, "__dict__", {})


def _left_to_choose(found: Any) -> Iterator[str]:
    """Yield the names of parameters that are None, where a meta-estimator has yet to choose a member."""
    for name in CHOSEN:
        own = _attributes(found)
        if own.get(name, found) is None and not any(f"{name}{end}" in own for end in ("_", "s_")):
            yield name
