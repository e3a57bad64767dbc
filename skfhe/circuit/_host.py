"""The process that the engine runs in, and its forked children.

The engine starts threads of its own, for key generation and for runs, and a forked child does not have them:
a child of a process that has generated keys waits for ever when it generates keys, and one of a process that
has run a circuit when it runs or simulates one. `claim` refuses that at once. What belongs to one process
alone is kept by `process`.

What else the engine does to its process is met in `skfhe.circuit._signals` (handlers of signals),
`skfhe.circuit._memory` (memory kept) and `skfhe.circuit._engine` (exit status, temporary files).
"""

import os
import threading
from collections.abc import Callable
from enum import Enum
from typing import Any, Generic, TypeVar

from skfhe.exceptions import ForkedProcessError

__all__ = ["PerProcess", "Process", "Work", "claim", "process"]

_T = TypeVar("_T")


class Work(Enum):
    """What the engine uses threads of its own for, which it starts once a process."""

    KEY_GENERATION = "generated keys"
    EVALUATION = "run or simulated a circuit"


class Process:
    """One operating system process; a forked child is another.

    Parameters
    ----------
    lost : frozenset of Work
        What a process above has started threads for. They are not in this one, and the engine would wait
        for them.

    Attributes
    ----------
    compiling : lock
        Held while the engine compiles: its tracing and its compiler keep state of the process.
    """

    def __init__(self, lost: frozenset[Work] = frozenset()) -> None:
        self.lost = lost
        self.started: set[Work] = set()
        self.compiling = threading.RLock()


_current = Process()


def process() -> Process:
    """Return the present process, as a key for what must not be shared with a forked child."""
    return _current


def _after_fork_in_child() -> None:
    global _current
    _current = Process(_current.lost | frozenset(_current.started))


os.register_at_fork(after_in_child=_after_fork_in_child)


class PerProcess(Generic[_T]):
    """What every process makes for itself: a forked child, and one that unpickles this, begin afresh.

    Parameters
    ----------
    make : callable
        Returns what a process begins with, made when it is first asked for.
    """

    def __init__(self, make: Callable[[], _T]) -> None:
        self._make = make
        self._made: dict[Process, _T] = {}

    def __reduce__(self) -> Any:
        return PerProcess, (self._make,)

    def here(self) -> _T:
        """Return what belongs to the present process."""
        # One step, so that two threads get the same. A parent's stays: the engine's objects in it are not to
        # be touched here, not even to be freed.
        return self._made.setdefault(process(), self._make())


def claim(work: Work, task: str) -> None:
    """Refuse what would wait for threads that this process has lost by being forked.

    Parameters
    ----------
    work : Work
        What is about to be done.
    task : str
        The same for the message, such as ``"predict(fhe='execute')"``.

    Raises
    ------
    ForkedProcessError
        If a process above this one has done such work before it was forked.
    """
    if work in _current.lost:
        raise ForkedProcessError(
            f"{task} cannot be done in process {os.getpid()}: it was forked from one that had already "
            f"{work.value}, and the threads for it were left behind there. Start workers by spawn "
            '(multiprocessing.get_context("spawn"), or joblib with its backend "loky"), or fork them before '
            "anything is encrypted"
        )
    _current.started.add(work)
