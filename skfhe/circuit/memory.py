"""Keep the memory that the engine uses for its keys from one run to the next.

Every run makes the Fourier form of the bootstrap keys anew, in one block of some 50 MB or more. The C
library maps such a block afresh and unmaps it at the end, so that the kernel has to clear and hand out each
of its pages again: about half of the time of a run of a few lookups. Taken from the heap instead, the block
is there already the next time.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

__all__ = ["kept_memory"]

# Parameters of mallopt, from the GNU C library's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
_NEVER_TRIM = 2**31 - 1
_LARGEST_MMAP_THRESHOLD = 32 * 1024 * 1024
_DEFAULT_MMAP_MAX = 65536


@cache
def _mallopt() -> Any:
    """Return the GNU C library's ``mallopt``, or None elsewhere."""
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018  other C libraries take mallopt without heeding it
        return library.mallopt
    except (AttributeError, OSError, TypeError):
        return None


@contextmanager
def kept_memory() -> Iterator[None]:
    """Take large blocks from the heap inside, and leave them there for the next time.

    The process keeps what its largest run needed. Blocks allocated outside are mapped as before. Where
    the C library is not GNU's, this has no effect.
    """
    mallopt = _mallopt()
    if mallopt is None:
        yield
        return
    # Setting any of these stops the library from raising the threshold by itself: state where it would end.
    mallopt(_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
    mallopt(_TRIM_THRESHOLD, _NEVER_TRIM)
    mallopt(_MMAP_MAX, 0)
    try:
        yield
    finally:
        mallopt(_MMAP_MAX, _DEFAULT_MMAP_MAX)
