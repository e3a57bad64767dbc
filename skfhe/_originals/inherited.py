"""Estimators that inherit from their original: trained by that, evaluated by a program.

The original trains in an object of its own class, which never sees our methods; what it learnt is then taken
over. So a `fit` that predicts on the way predicts with the float model, and one that fails leaves
the estimator as it was. Converting a fitted original is the same road without the training.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import wraps
from typing import Any

from skfhe._originals.compat import KEPT_BY_CLONES, METADATA_REQUEST
from skfhe._originals.signatures import bound_arguments, joined_signature
from skfhe._telling import log, timed

__all__ = ["adopt", "as_original", "method_of", "original_has", "parameters_of", "unchanged"]

Method = Callable[..., Any]

_OURS = frozenset({"program_", "fhe_circuit_", "_mode", "_taken_over", METADATA_REQUEST})
"""What means nothing to an original. It has requests of metadata of its own."""


def parameters_of(original: type, **own: Any) -> Method:
    """Return an ``__init__`` with the parameters of ``original``'s, and keyword parameters of our own.

    Parameters
    ----------
    original : type
        Class of the original.
    **own
        Names and defaults of the additional parameters.

    Returns
    -------
    callable
        Only stores, as scikit-learn's contract asks.
    """
    initialize: Method = original.__init__  # type: ignore[misc]

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        given = {name: kwargs.pop(name, default) for name, default in own.items()}
        initialize(self, *args, **kwargs)
        vars(self).update(given)

    __init__.__signature__ = joined_signature(initialize, open_ended=True, **own)  # type: ignore[attr-defined]
    return __init__


def method_of(method: Method) -> Method:
    """Return a training method with the signature of ``method``, one of the original's class.

    It runs on an original with the parameters of the estimator, takes over what that learnt, and lowers it:
    the estimator's class says how in ``_train``.
    """

    @wraps(method)
    def train(self: Any, *args: Any, **kwargs: Any) -> Any:
        taken = timed()
        self._train(method, bound_arguments(method, args, kwargs))
        log("%s.%s: trained and lowered in %s; %s", type(self).__name__, method.__name__, taken, _of(self))
        return self

    return train


def _of(estimator: Any) -> Callable[[], str]:
    """Return what says what a row of a fitted estimator costs, for the log."""
    return lambda: str(getattr(estimator, "cost_", "no program"))


def as_original(estimator: Any, fitted: bool) -> Any:
    """Return an object of the original's class with the parameters of ``estimator``.

    Parameters
    ----------
    estimator : estimator
        Its class names the original in ``_original``, the parameters that are not its in ``_own_params``, and
        further attributes that are not in ``_own_state``, if there are some.
    fitted : bool
        Whether to give it a copy of what ``estimator`` has learnt, too. What was given to ``estimator``
        beside parameters, such as callbacks, it gets in any case, and not as a copy.
    """
    # What a user's subclass takes, or sets by itself, need not be what the original takes.
    ours: Any = next(cls for cls in type(estimator).__mro__ if "_original" in vars(cls))
    listed = ours._get_param_names()
    own = {*estimator._get_param_names()} - {*listed} | {*estimator._own_params}
    given = estimator.get_params(deep=False) | {name: getattr(estimator, name) for name in listed}
    params = {name: value for name, value in given.items() if name not in own}
    original = estimator._original(**params)
    state, learnt = vars(estimator), _learnt(estimator)
    ours = {*own, *params, *_OURS, *getattr(estimator, "_own_state", ())}
    vars(original).update({name: value for name, value in state.items() if name not in learnt | ours})
    if fitted:
        vars(original).update(copy.deepcopy({name: state[name] for name in learnt - ours}))
    return original


def _learnt(estimator: Any) -> set[str]:
    """Return the names of what an estimator has learnt: they end so, or are the original's private ones."""
    taken_over = vars(estimator).get("_taken_over", ())
    return {name for name in vars(estimator) if name.endswith("_") or name in taken_over}


def original_has(method: str) -> Callable[[Any], bool]:
    """Return a check that the original of an estimator, with its parameters, has ``method``.

    Where it has none, the check raises the original's own `AttributeError`, which says why.
    """

    def check(estimator: Any) -> bool:
        try:
            return callable(getattr(as_original(estimator, fitted=False), method))
        except AttributeError as error:
            raise error.__cause__ or error from None

    return check


def adopt(estimator: Any, original: Any) -> None:
    """Give ``estimator`` what a fitted ``original`` has learnt, in place of anything learnt before."""
    for name in _learnt(estimator):
        del vars(estimator)[name]
    state = {
        name: value for name, value in vars(original).items() if name.startswith("_") or name.endswith("_")
    }
    given = {name for name in state if vars(estimator).get(name, original) is state[name]}
    vars(estimator).update(state)
    estimator._taken_over = frozenset(state) - given - KEPT_BY_CLONES


def unchanged(estimator: Any, values: Any) -> Any:
    """Return rows or targets as they are, though training may overwrite them if a parameter says so."""
    overwrites = not all(getattr(estimator, name, True) for name in ("copy", "copy_X", "copy_x"))
    return copy.deepcopy(values) if overwrites else values
