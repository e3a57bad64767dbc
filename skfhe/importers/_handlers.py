"""Tables of handlers: which function writes an operator of a framework down in the network's operations.

Each module that defines handlers has a table of its own, and a reader joins the tables of the modules that it
names. Two handlers for one operator are refused, within a module and between modules, so that neither the
order of definitions nor that of imports says which one is used.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["Handler", "HandlerTable"]

Handler = Callable[..., Any]


class HandlerTable:
    """Handlers by the names of their operators.

    Examples
    --------
    >>> table = HandlerTable()
    >>> @table.handles("neg", "negative")
    ... def negative(x):
    ...     return -x
    >>> table["neg"](3), "abs" in table, sorted(table.names)
    (-3, False, ['neg', 'negative'])
    >>> table.joined(table)
    Traceback (most recent call last):
    ValueError: 'neg' has two handlers, negative and negative
    """

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}

    def handles(self, *names: str) -> Callable[[Handler], Handler]:
        """Return a decorator that registers a handler of the operators of these names."""

        def register(handler: Handler) -> Handler:
            for name in names:
                self._add(name, handler)
            return handler

        return register

    def _add(self, name: str, handler: Handler) -> None:
        """Register a handler.

        Raises
        ------
        ValueError
            If the operator has one.
        """
        if name in self._handlers:
            first, second = (getattr(h, "__name__", h) for h in (self._handlers[name], handler))
            raise ValueError(f"{name!r} has two handlers, {first} and {second}")
        self._handlers[name] = handler

    def joined(self, *others: HandlerTable) -> HandlerTable:
        """Return a table of the handlers of this one and of others."""
        joined = HandlerTable()
        for table in (self, *others):
            for name, handler in table._handlers.items():
                joined._add(name, handler)
        return joined

    @property
    def names(self) -> frozenset[str]:
        """Operators that have a handler."""
        return frozenset(self._handlers)

    def __contains__(self, name: str) -> bool:
        return name in self._handlers

    def __getitem__(self, name: str) -> Handler:
        return self._handlers[name]
