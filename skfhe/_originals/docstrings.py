"""What the docstrings of estimators say alike, written once and filled in where a docstring names it.

A docstring has ``{name}`` in place of a part, on a line of its own or within one; `documented` replaces it.
Parts are texts by name, and can have parts in turn. Each family of estimators has its own beside those here.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from skfhe._originals.conversion import public_name

__all__ = ["COMMON", "documented", "substituted"]

T = TypeVar("T", bound=Callable[..., Any])
PLACEHOLDER = re.compile(r"^( *)\{(\w+)\}$|\{(\w+)\}", re.MULTILINE)

COMMON = {
    "parameters_of_original": """\
**parameters
    Those of `{original}`, with its defaults.""",
    # Attributes.
    "model_": """\
model_ : {original}
    The fitted original.""",
    "classes_": """\
classes_ : ndarray of shape (n_classes,)
    The labels.""",
    "n_features_in_": """\
n_features_in_ : int
    Features of a row.""",
    "feature_names_in_": """\
feature_names_in_ : ndarray of str, shape (n_features,)
    Their names, if training had any.""",
    "head_": """\
head_ : Head
    Turns scores into predictions.""",
    "cost_": """\
cost_ : Cost
    Predicted lookups by bit-width, complexity and seconds a row.""",
    "fhe_circuit_": """\
fhe_circuit_ : Circuit
    After ``compile``.""",
    # Predicting.
    "fhe": """\
fhe : {"disable", "simulate", "execute"}, default="disable"
    Evaluate the integers of ``program_`` in the clear, in the clear with the lookup errors of an
    encrypted run, or encrypted.""",
    "not_compiled": """\
NotCompiledError
    If ``fhe`` is not ``"disable"`` and ``compile`` was not called since ``fit``.""",
}
"""Parts that every family can use; ``original`` is the name of the estimator's."""


def documented(parts: Mapping[str, str], **more: str) -> Callable[[T], T]:
    """Return a decorator that fills parts into the docstring of a class or a function.

    Parameters
    ----------
    parts : mapping of str to str
        Texts by name. A class that has an original has its name in ``original``.
    **more
        Further parts, or others in place of some.

    Returns
    -------
    callable

    Raises
    ------
    KeyError
        From the decorator, if the docstring names a part that there is not.

    Examples
    --------
    >>> @documented({"order": "X : array-like of shape (n_rows, n_features)"})
    ... def fit(X):
    ...     '''Train.
    ...
    ...     Parameters
    ...     ----------
    ...     {order}
    ...     '''
    >>> print(fit.__doc__.splitlines()[4].strip())
    X : array-like of shape (n_rows, n_features)
    """

    def fill(target: T) -> T:
        original = getattr(target, "_original", None)
        known = {**parts, **more} | ({} if original is None else {"original": public_name(original)})
        if target.__doc__:  # which python -OO leaves out
            target.__doc__ = substituted(target.__doc__, known)
        return target

    return fill


def substituted(text: str, parts: Mapping[str, str]) -> str:
    """Return a text with its parts filled in; one on a line of its own is indented as that line is."""

    def part(found: re.Match[str]) -> str:
        indent, line, word = found.groups()
        return textwrap.indent(substituted(parts[line or word], parts), indent or "")

    return PLACEHOLDER.sub(part, text)
