"""What is set for all calls: whether progress is shown."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

__all__ = ["config_context", "get_config", "set_config"]

_shared: dict[str, Any] = {"progress": False}
_lock = threading.Lock()
_here: ContextVar[Mapping[str, Any] | None] = ContextVar("skfhe_config", default=None)


def get_config() -> dict[str, Any]:
    """Return what is set, here and now.

    Returns
    -------
    dict of str to object
        ``"progress"``: whether bars are shown.

    Examples
    --------
    >>> import skfhe
    >>> skfhe.get_config()
    {'progress': False}
    """
    return {**_shared, **(_here.get() or {})}


def set_config(*, progress: bool | None = None) -> None:
    """Set what holds for all threads of this process from now on.

    Processes that it starts begin with the defaults, and so do those that are forked: bars of several would
    be written over each other. Inside `config_context`, what that says holds.

    Parameters
    ----------
    progress : bool, optional
        Whether training of networks, searches, compiling, key generation and encrypted rows show a bar, on a
        terminal or in a notebook. False at first. None leaves it as it is.

    Raises
    ------
    TypeError
        If ``progress`` is no bool.
    """
    changed = _checked(progress)
    with _lock:
        _shared.update(changed)


@contextmanager
def config_context(*, progress: bool | None = None) -> Iterator[None]:
    """Set what holds within a ``with`` block, in this thread alone.

    Parameters are those of `set_config`.

    Examples
    --------
    >>> import skfhe
    >>> with skfhe.config_context(progress=True):
    ...     skfhe.get_config()["progress"]
    True
    >>> skfhe.get_config()["progress"]
    False
    """
    token = _here.set({**(_here.get() or {}), **_checked(progress)})
    try:
        yield
    finally:
        with suppress(ValueError):  # an asynchronous generator was ended by another task, which has its own
            _here.reset(token)


def _checked(progress: object) -> dict[str, Any]:
    if progress is None:
        return {}
    if not isinstance(progress, bool):
        raise TypeError(f"progress must be a bool, got {progress!r} of type {type(progress).__name__}")
    return {"progress": progress}


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.Lock()  # the parent's may be held by a thread that is not here
    _shared["progress"] = False
    _here.set(None)


os.register_at_fork(after_in_child=_after_fork_in_child)
