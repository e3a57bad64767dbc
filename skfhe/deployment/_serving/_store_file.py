"""A file in a store that is there as a whole, or not at all."""

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from fsspec.implementations.local import LocalFileSystem

__all__ = ["StoreFile"]


class StoreFile:
    """A file that is written under a name of its own, then moved.

    A thread may still be in one of its methods when who waited for it has been cancelled.
    """

    def __init__(self, fs: Any, path: str) -> None:
        self._fs = fs
        self._path = path
        self._file: Any = None
        self._done = False
        self._lock = threading.Lock()

    def write(self, data: bytes) -> None:
        with self._lock, _readable_disk_full():
            if self._done:
                return
            if self._file is None:
                self._file = self._fs.open(self._path, "wb")
                if isinstance(self._fs, LocalFileSystem):
                    os.chmod(self._path, 0o600)
            self._file.write(data)

    def move(self, path: str) -> None:
        """Finish the file, which takes its place at once and as a whole."""
        with self._lock, _readable_disk_full():
            if self._done:
                return
            self._file.flush()
            if isinstance(self._fs, LocalFileSystem):
                os.fsync(self._file.fileno())
            self._file.close()
            self._fs.mv(self._path, path)
            self._done = True

    def discard(self) -> None:
        """Remove the file, unless it was moved."""
        with self._lock:
            if self._done or self._file is None:
                self._done = True
                return
            self._done = True
            with suppress(OSError):
                self._file.close()
            with suppress(OSError):
                self._fs.rm_file(self._path)


@contextmanager
def _readable_disk_full() -> Iterator[None]:
    """Say what a full disk means for whoever uploads."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OSError(error.errno, "the server has no room left to keep evaluation keys in") from error
        raise
