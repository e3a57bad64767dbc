"""How a public name goes: the old one works for two releases, and says at the user's line what to use.

docs/versions.md has the promise. Every use names the release that began to warn (``since``) and the first
that does not have the old name any more (``until``); a test fails when the package has come so far and the
old name is still there. Nothing here loads a library, so that every room may use it.
"""

import functools
import inspect
import sys
import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar

from skfhe._parameters import frames_to_caller

__all__ = ["NOT_GIVEN", "deprecated", "renamed_names", "renamed_parameters", "value_of_renamed"]

NOT_GIVEN = "deprecated"
"""Default of a constructor's parameter that has another name now."""
_Function = TypeVar("_Function", bound=Callable[..., Any])


def deprecated(*, instead: str, since: str, until: str) -> Callable[[_Function], _Function]:
    """Return a decorator of a function, method, property (under ``@property``) or class that goes.

    Parameters
    ----------
    instead : str
        What to write in its place.
    since, until : str
        The first release that warns, and the first that is without it.

    Returns
    -------
    callable
        Takes the function and returns one that warns at each call. A class stays the same object, so that
        ``isinstance``, `clone` and pickles work as before, and warns where it is constructed.

    Examples
    --------
    >>> @deprecated(instead="widen(2)", since="0.3", until="0.5")
    ... def double():
    ...     return 2
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     double()
    2
    >>> print(caught[0].message)
    double is deprecated since skfhe 0.3 and will be removed in 0.5: use widen(2)
    """

    def decorate(what: _Function) -> _Function:
        function = what.__init__ if inspect.isclass(what) else what

        @functools.wraps(function)
        def warned(*args: Any, **kwargs: Any) -> Any:
            _warn(f"{what.__name__} is deprecated", f"use {instead}", since, until)
            return function(*args, **kwargs)

        if not inspect.isclass(what):
            return warned  # type: ignore[return-value]
        what.__init__ = warned  # type: ignore[method-assign]
        return what

    return decorate


def renamed_parameters(*, since: str, until: str, **renamed: str) -> Callable[[_Function], _Function]:
    """Return a decorator of a function or method whose parameters have other names now.

    Not for constructors of estimators, whose signature is their list of parameters: see `value_of_renamed`.

    Parameters
    ----------
    since, until : str
        The first release that warns, and the first that refuses the old names.
    **renamed : str
        The new name of each old one.

    Returns
    -------
    callable
        Takes the function, which knows the new names alone, and returns one that takes the old ones by
        keyword, too.

    Examples
    --------
    >>> @renamed_parameters(since="0.3", until="0.5", bits="n_bits")
    ... def levels(n_bits=1):
    ...     return 2**n_bits
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     levels(bits=3)
    8
    >>> print(caught[0].message)
    bits, a parameter of levels, is deprecated since skfhe 0.3 and will be removed in 0.5: use n_bits
    """

    def decorate(function: _Function) -> _Function:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def warned(*args: Any, **kwargs: Any) -> Any:
            for old in [name for name in kwargs if name in renamed]:
                new = renamed[old]
                if new in kwargs or new in signature.bind_partial(*args).arguments:
                    raise TypeError(
                        f"{function.__name__} got both {new} and {old}, its old name: leave {old} out"
                    )
                what = f"{old}, a parameter of {function.__name__}, is deprecated"
                _warn(what, f"use {new}", since, until)
                kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return warned  # type: ignore[return-value]

    return decorate


def value_of_renamed(estimator: Any, old: str, new: str, *, since: str, until: str) -> Any:
    """Return the value of an estimator's parameter that has another name now, for `fit` to use.

    As scikit-learn wants it, the constructor has both, stores what it is given, and warns of nothing; the old
    one's default is `NOT_GIVEN`.

    Parameters
    ----------
    estimator : object
        With both attributes.
    old, new : str
        The two names.
    since, until : str
        The first release that warns, and the first that is without the old name.

    Returns
    -------
    object
        The value of the new one, or that of the old one where this was given.

    Raises
    ------
    ValueError
        If both were given.
    """
    given = getattr(estimator, old)
    if isinstance(given, str) and given == NOT_GIVEN:
        return getattr(estimator, new)
    name, value = type(estimator).__name__, getattr(estimator, new)
    default = inspect.signature(type(estimator)).parameters[new].default
    if value is not default and repr(value) != repr(default):  # which arrays can be asked, too
        raise ValueError(
            f"{name} got {new}={value!r} and {old}={given!r}, its old name: leave {old} at {NOT_GIVEN!r}"
        )
    _warn(f"{old}, a parameter of {name}, is deprecated", f"use {new}", since, until)
    return given


def renamed_names(room: str, *, since: str, until: str, **renamed: str) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a room whose classes or functions have other names now.

    What is had by an old name is the object with the new one, so that ``isinstance`` holds, and pickles that
    were written before are read.

    Parameters
    ----------
    room : str
        The module's ``__name__``.
    since, until : str
        The first release that warns, and the first that is without the old names.
    **renamed : str
        The new name of each old one.

    Returns
    -------
    callable
        From a name to the object; ``AttributeError`` for any other name.
    """

    def getter(name: str) -> Any:
        if name not in renamed:
            raise AttributeError(f"module {room!r} has no attribute {name!r}")
        # an import from a package asks twice: first whether it is there, then for the object
        if sys._getframe(1).f_code.co_name != "_handle_fromlist":
            _warn(f"{room}.{name} is deprecated", f"use {room}.{renamed[name]}", since, until)
        return getattr(import_module(room), renamed[name])

    return getter


def _warn(what: str, advice: str, since: str, until: str) -> None:
    """Warn at the line of the user: this category is shown by default wherever that line is."""
    message = f"{what} since skfhe {since} and will be removed in {until}: {advice}"
    warnings.warn(message, FutureWarning, stacklevel=frames_to_caller())
