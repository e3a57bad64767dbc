"""Parameters whose names are open-ended, such as ``optimizer__weight_decay``, and those that are unknown."""

import difflib
import inspect
from collections.abc import Iterable
from typing import Any

from torch.utils.data import DataLoader

__all__ = ["check_open_parameters", "is_open", "unknown_parameter"]

PREFIXES = ("optimizer__", "criterion__", "iterator_train__", "iterator_valid__", "callbacks__")

FIXED = {
    "criterion__reduction": "rows are weighted before the mean",
    "iterator_train__collate_fn": "the rows arrive as batches",
    "iterator_valid__collate_fn": "the rows arrive as batches",
}
"""Open-ended names that the estimators set themselves, and why."""


def is_open(name: str) -> bool:
    """Return whether a parameter of this name is passed on to skorch, whatever follows the prefix."""
    return name.startswith(PREFIXES)


def unknown_parameter(cls: type, name: str, known: Iterable[str]) -> str:
    """Return a message that ``name`` is no parameter, with the one that is spelt like it if there is one."""
    known = list(known)
    letters = {one.removeprefix("module__").replace("_", ""): one for one in known}
    near = letters.get(name.removeprefix("module__").replace("_", "").lower())
    near = near or next(iter(difflib.get_close_matches(name, known, n=1, cutoff=0.9)), None)
    hint = f"did you mean {near!r}? " if near else ""
    return (
        f"{cls.__name__} has no parameter {name!r}; {hint}Known are {', '.join(known)}, and "
        f"what begins with {', '.join(PREFIXES)}"
    )


def check_open_parameters(given: Iterable[str], receivers: dict[str, Any]) -> None:
    """Raise a `ValueError` for an open-ended parameter that what it is passed on to does not take.

    Parameters
    ----------
    given : iterable of str
        Names, prefix included.
    receivers : dict of str to callable
        ``"optimizer"`` and ``"criterion"``.
    """
    receivers = receivers | {"iterator_train": DataLoader, "iterator_valid": DataLoader}
    for name in given:
        if name in FIXED:
            raise ValueError(f"{name} cannot be set: {FIXED[name]}")
        prefix, _, rest = name.partition("__")
        if prefix not in receivers or rest.startswith("param_groups"):
            continue  # callbacks, and groups of weights, which skorch looks at
        parameters = inspect.signature(receivers[prefix]).parameters
        if rest not in parameters and not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            raise ValueError(
                f"{name} is unknown: {receivers[prefix].__name__} has no parameter {rest!r}, but "
                f"{', '.join(parameters)}"
            )
