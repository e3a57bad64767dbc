"""Whether bytes of secret keys are anywhere that they must not be."""

import mmap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["found_in", "patterns"]

N_BITS = 256
"""That a pattern has: what is found is no accident."""


def patterns(secret: Iterable[Any]) -> Iterator[bytes]:
    """Yield what a stretch of each secret key looks like in a file.

    A bit a word, as the engine and NumPy have them; a bit a byte; and packed, in both orders, wherever the
    packing of the whole may have begun.

    Parameters
    ----------
    secret : iterable of ndarray of uint64
        Bits of secret keys.
    """
    for key in secret:
        bits = np.asarray(key).ravel()
        start = len(bits) // 2
        stretch = bits[start : start + N_BITS]
        yield stretch.astype("<u8").tobytes()
        yield stretch.astype(np.uint8).tobytes()
        for shift in range(8):
            moved = bits[start + shift : start + shift + N_BITS].astype(np.uint8)
            for order in ("big", "little"):
                yield np.packbits(moved, bitorder=order).tobytes()


def found_in(paths: Iterable[Path], looked_for: Iterable[bytes]) -> tuple[list[Path], int]:
    """Return the files that have one of the patterns, and the bytes that were searched."""
    looked_for = list(looked_for)
    found, n_bytes = [], 0
    for path in paths:
        size = path.stat().st_size
        n_bytes += size
        if not size:
            continue
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if any(data.find(pattern) >= 0 for pattern in looked_for):
                found.append(path)
    return found, n_bytes
