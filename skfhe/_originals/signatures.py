"""Signatures with the parameters of other functions, for scikit-learn's contract asks for them by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

__all__ = ["bound_arguments", "joined_signature", "of_calls", "takes"]

VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def joined_signature(
    *functions: Callable[..., Any], open_ended: bool = False, **own: Any
) -> inspect.Signature:
    """Return a signature with the named parameters of several functions, and keyword ones of our own.

    Parameters
    ----------
    *functions : callable
        Where several name a parameter, it is as the last of them has it, in the place that it has in the
        first.
    open_ended : bool, default=False
        Whether to show the ``**kwargs`` of the functions, too. Estimators without them say by themselves what
        they take beside what they name.
    **own
        Names and defaults of the additional parameters.

    Returns
    -------
    inspect.Signature

    Examples
    --------
    >>> def fit(self, X, y=None, **options): ...
    >>> str(joined_signature(fit, n_bits=8))
    '(self, X, y=None, *, n_bits=8)'
    >>> str(joined_signature(fit, open_ended=True, n_bits=8))
    '(self, X, y=None, *, n_bits=8, **options)'
    """
    found: dict[str, inspect.Parameter] = {}
    for function in functions:
        found |= inspect.signature(function).parameters
    named = [parameter for parameter in found.values() if parameter.kind not in VARIADIC]
    extra = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=value) for name, value in own.items()
    ]
    others = [p for p in found.values() if open_ended and p.kind is p.VAR_KEYWORD]
    return inspect.Signature([*named, *extra, *others])


def of_calls(initialize: Callable[..., Any]) -> inspect.Signature:
    """Return the signature of a class by that of its ``__init__``: for one that inherits another class's."""
    found = inspect.signature(initialize)
    return found.replace(parameters=list(found.parameters.values())[1:])


def bound_arguments(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    """Return the arguments of a call of a method by name, ``self`` apart.

    Raises
    ------
    TypeError
        If they do not fit its signature.
    """
    signature = inspect.signature(function)
    named = dict(list(signature.bind(None, *args, **kwargs).arguments.items())[1:])
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            named |= named.pop(parameter.name, {})
    return named


def takes(cls: type, name: str) -> bool:
    """Return whether an estimator of ``cls`` has a parameter of this name, listed or in ``**kwargs``."""
    parameters = inspect.signature(cls).parameters
    return (
        name in parameters
        or name in getattr(cls, "_open_names", ())
        or any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    )
