"""Keep the memory that the engine uses for its keys from one run to the next.

Every run makes the Fourier form of the bootstrap keys anew, in one block of some 50 MB or more. The C
library maps such a block afresh and unmaps it at the end, so that the kernel has to clear and hand out each
of its pages again: about half of the time of a run of a few lookups. Taken from the heap instead, the block
is there already the next time.

What a process keeps in this way is bounded by what the runs that it did at one time needed, and is given back
when the last function that could run is gone.
"""

import ctypes
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from skfhe.circuit._host import PerProcess

__all__ = ["KeptMemory", "kept_memory"]

# Parameters of mallopt, from the GNU C library's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
_NEVER_TRIM = 2**31 - 1
_DEFAULT_TRIM_THRESHOLD = 128 * 1024
_LARGEST_MMAP_THRESHOLD = 32 * 1024 * 1024
_DEFAULT_MMAP_MAX = 65536


@cache
def _c_library() -> Any:
    """Return the GNU C library, or None where there is another."""
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018  other C libraries take mallopt without heeding it
        library.mallopt  # noqa: B018
        return library
    except (AttributeError, OSError, TypeError):
        return None


class _Users:
    """How many of a process run something now, and how many could."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.running = self.alive = 0


_users = PerProcess(_Users)


@contextmanager
def kept_memory() -> Iterator[None]:
    """Take large blocks from the heap inside, and leave them there for the next time.

    Any number of threads may be inside. Blocks allocated when none is are mapped as before. Where the C
    library is not GNU's, this has no effect.
    """
    library = _c_library()
    if library is None:
        yield
        return
    users = _users.here()
    with users.lock:
        users.running += 1
        if users.running == 1:
            # Setting any of these stops the library from raising the threshold by itself: state where it
            # would end.
            library.mallopt(_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
            library.mallopt(_TRIM_THRESHOLD, _NEVER_TRIM)
            library.mallopt(_MMAP_MAX, 0)
    try:
        yield
    finally:
        with users.lock:
            users.running -= 1
            if users.running == 0:
                library.mallopt(_MMAP_MAX, _DEFAULT_MMAP_MAX)


class KeptMemory:
    """Memory is kept as long as one of these lives, and given back to the system when the last is gone.

    Whoever may run holds one, behind what uses the memory, so that this is freed before.
    """

    def __init__(self) -> None:
        users = _users.here()
        with users.lock:
            users.alive += 1
        weakref.finalize(self, _give_back, users).atexit = False


def _give_back(users: _Users) -> None:
    if users is not _users.here():  # of the parent of this process
        return
    with users.lock:
        users.alive -= 1
        if users.alive > 0:
            return
    library = _c_library()
    if library is not None:
        library.mallopt(_TRIM_THRESHOLD, _DEFAULT_TRIM_THRESHOLD)
        library.malloc_trim(0)
