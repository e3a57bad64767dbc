"""What the engine does to the process that it runs in, met in one place.

The engine brings a compiler and three runtimes into the process: LLVM, HPX, OpenMP and rayon. Left alone they

- replace signal handlers: LLVM when it is loaded, HPX when it starts. Those of HPX end the process, so that
  Ctrl-C kills where Python raises `KeyboardInterrupt`, and a closed pipe crashes where it raises
  `BrokenPipeError`;
- start threads, which a forked child does not have: a child of a process that has generated keys waits for
  ever when it generates keys, and one of a process that has run a circuit when it runs or simulates one;
- end the process with status 0, whatever the program said, once anything ran encrypted.

`keep_signal_handlers` and `start_runtime` meet the first, `claim` the second, and
`skfhe.circuit.engine.keep_exit_status` the third. What belongs to one process is kept by `process`.
"""

import ctypes
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

from skfhe.exceptions import ForkedProcessError

__all__ = ["Process", "Work", "claim", "keep_signal_handlers", "process", "start_runtime"]


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
        self.starting = threading.Lock()
        self.runtime_started = False


_current = Process()


def process() -> Process:
    """Return the present process, as a key for what must not be shared with a forked child."""
    return _current


def _after_fork_in_child() -> None:
    global _current
    _current = Process(_current.lost | frozenset(_current.started))


os.register_at_fork(after_in_child=_after_fork_in_child)


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


def start_runtime(start: Callable[[], None]) -> None:
    """Call ``start``, once a process, and let it replace no signal handler.

    Parameters
    ----------
    start : callable
        Starts the engine's runtime, which would otherwise start in the middle of the first run.
    """
    here = process()
    with here.starting:
        if not here.runtime_started:
            with keep_signal_handlers():
                start()
            here.runtime_started = True


# Signal handlers, as the C library knows them: Python's own `signal` module sees only those set through it.

_SIGACTION_BYTES = 256
"""More than a ``struct sigaction`` has anywhere on Linux; its first member is the handler's address."""
_ENGINE_FOLDERS = ("concrete_python.libs", "_mlir_libs")
"""Where the engine's wheel keeps its libraries."""


class _SymbolInfo(ctypes.Structure):
    _fields_ = [
        ("file", ctypes.c_char_p),
        ("base", ctypes.c_void_p),
        ("symbol", ctypes.c_char_p),
        ("address", ctypes.c_void_p),
    ]


@cache
def _c_library() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def _read_action(number: int) -> Any:
    action = ctypes.create_string_buffer(_SIGACTION_BYTES)
    _c_library().sigaction(number, None, action)
    return action


def _is_the_engine_s(action: Any) -> bool:
    """Whether the handler of an action lies in a library of the engine."""
    address = ctypes.c_void_p.from_buffer_copy(action.raw).value
    info = _SymbolInfo()
    if not address or not _c_library().dladdr(ctypes.c_void_p(address), ctypes.byref(info)) or not info.file:
        return False
    return Path(os.fsdecode(info.file)).parent.name in _ENGINE_FOLDERS


@contextmanager
def keep_signal_handlers() -> Iterator[None]:
    """Undo what the engine does inside to the handlers of signals.

    Handlers that anyone else sets inside are left alone: only those in the engine's own libraries are
    replaced, by what was there before.
    """
    numbers = [int(number) for number in signal.valid_signals()]
    before = {number: _read_action(number) for number in numbers}
    try:
        yield
    finally:
        for number, action in before.items():
            now = _read_action(number)
            if now.raw != action.raw and _is_the_engine_s(now):
                _c_library().sigaction(number, action, None)
