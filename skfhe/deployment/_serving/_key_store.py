"""Evaluation keys that clients have uploaded, in any store that fsspec opens.

Several servers may share a store. Nothing in it is changed once it is there, and nothing is there by halves:

| folder | has |
|---|---|
| ``keys`` | evaluation keys, under their id |
| ``claims`` | an empty file for each owner of keys: their id, a dot and a digest of the owner |
| ``used`` | a file for each id, written when the keys are used, at most once a minute |
| ``uploads`` | what is being written, moved to ``keys`` when it is complete |
| ``clock`` | a file that tells what time it is by the store's own clock |

Times are when the store says that files were written. They are compared with each other alone, so that the
clocks of servers do not matter.
"""

import asyncio
import hashlib
import logging
import math
import os
import re
import threading
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from skfhe.deployment._serving._exceptions import QuotaExceededError, UnknownKeysError
from skfhe.deployment._serving._store_file import StoreFile

__all__ = ["KeyStore", "KeyUsage"]

_logger = logging.getLogger("skfhe.serving")
_CHUNK_BYTES = 1 << 20
_USED_EVERY = 60.0
"""Seconds between two notes that the same keys are used."""
_LONGEST_UPLOAD = 24 * 3600.0
"""Seconds after which what is still being written was left behind."""
_CLOCK_TOLERANCE = 300.0
"""Seconds that the store's clock may gain on this process' between two looks before it counts as a jump."""
_SCAN_EVERY = 30.0
"""Seconds for which `KeyStore.usage` repeats what it found."""


@dataclass(frozen=True)
class KeyUsage:
    """How full a store is.

    Parameters
    ----------
    n_keys, n_bytes : int
    """

    n_keys: int
    n_bytes: int


@dataclass
class _Content:
    """What a store has.

    Parameters
    ----------
    sizes : dict of str to int
        Bytes of keys by their id.
    claims : dict of str to set of str
        Ids of keys by the digest of an owner.
    """

    sizes: dict[str, int] = field(default_factory=dict)
    claims: dict[str, set[str]] = field(default_factory=dict)


@dataclass(eq=False)
class _Upload:
    """Keys that are being written, and count as if they were there."""

    key_id: str
    owner: str
    n_bytes: int


class KeyStore:
    """Evaluation keys by their id.

    Parameters
    ----------
    url : str
        Folder, or URL of a store that fsspec opens and that tells when a file was written. Folders that are
        made can be read by nobody else.
    quota_bytes : int or None
        Of all keys. Servers that share a store do not see what others are just taking in, and may exceed it
        by that.
    max_age_seconds : float or None
        Keys that were not used for as long are removed by `expire`.
    max_keys_per_owner : int or None
    """

    def __init__(
        self,
        url: str,
        *,
        quota_bytes: int | None,
        max_age_seconds: float | None,
        max_keys_per_owner: int | None,
    ) -> None:
        self._fs, root = url_to_fs(url)
        self._root = root.rstrip("/")
        self._quota_bytes = quota_bytes
        self._max_age = max_age_seconds
        self._max_keys_per_owner = max_keys_per_owner
        self._uploads: set[_Upload] = set()
        self._lock = threading.RLock()
        self._used: dict[str, float] = {}
        self._seen: tuple[float, float] | None = None
        self._usage = KeyUsage(0, 0)
        self._scanned: float | None = None
        for folder in ("", "keys", "claims", "used", "uploads"):
            self._make_folder(f"{self._root}/{folder}".rstrip("/"))

    def _make_folder(self, path: str) -> None:
        if isinstance(self._fs, LocalFileSystem):
            os.makedirs(path, mode=0o700, exist_ok=True)
        else:
            self._fs.makedirs(path, exist_ok=True)

    def _path(self, folder: str, name: str) -> str:
        return f"{self._root}/{folder}/{name}"

    # Taking in

    async def put(
        self,
        key_id: str,
        chunks: AsyncIterator[bytes],
        *,
        expected_bytes: int,
        owner: str,
        owner_quota_bytes: int | None = None,
    ) -> bool:
        """Keep keys, unless they are there.

        Nothing is kept if anything goes wrong, here or in ``chunks``, which alone knows whether the content
        is what ``key_id`` says.

        Parameters
        ----------
        key_id : str
        chunks : asynchronous iterator of bytes
            Not touched if the keys are there.
        expected_bytes : int
        owner : str
            Whose quota they count for. Not secret.
        owner_quota_bytes : int, optional

        Returns
        -------
        bool
            Whether they were not there.

        Raises
        ------
        ValueError
            If ``key_id`` is not one, or there are more or fewer bytes than expected.
        QuotaExceededError
        OSError
            If the store is full, or does not work.
        """
        upload = _Upload(_checked(key_id), _digest(owner), expected_bytes)
        if not await asyncio.to_thread(self._reserve, upload, owner_quota_bytes):
            return False
        file = StoreFile(self._fs, self._path("uploads", f"{key_id}.{uuid.uuid4().hex}"))
        try:
            n_bytes = 0
            pending = bytearray()
            async for chunk in chunks:
                n_bytes += len(chunk)
                if n_bytes > expected_bytes:
                    raise ValueError(f"expected {expected_bytes} bytes of evaluation keys, got more")
                pending += chunk
                if len(pending) >= _CHUNK_BYTES:
                    await asyncio.to_thread(file.write, bytes(pending))
                    pending.clear()
            if n_bytes != expected_bytes:
                raise ValueError(f"expected {expected_bytes} bytes of evaluation keys, got {n_bytes}")
            await asyncio.to_thread(file.write, bytes(pending))
            await asyncio.to_thread(self._keep, upload, file)
        finally:
            await asyncio.shield(asyncio.to_thread(self._release, upload, file))
        return True

    def _reserve(self, upload: _Upload, owner_quota_bytes: int | None) -> bool:
        """Take room for an upload, or return False if its keys are there, and now its owner's, too."""
        with self._lock:
            content = self._scan()
            is_there = upload.key_id in content.sizes
            mine = content.claims.get(upload.owner, set()) & content.sizes.keys() | {
                other.key_id for other in self._uploads if other.owner == upload.owner
            }
            if upload.key_id not in mine:
                self._check_owner(upload, content, mine, owner_quota_bytes)
            if is_there:
                self._claim(upload)
                self._note_use(upload.key_id)
                return False
            if not self._has_room(content, upload):
                self._expire()
                if not self._has_room(self._scan(), upload):
                    raise QuotaExceededError(
                        f"the server keeps {self._quota_bytes} bytes of evaluation keys in all, and has no "
                        f"room for {upload.n_bytes} more",
                        self._quota_bytes or 0,
                    )
            self._uploads.add(upload)
            return True

    def _has_room(self, content: _Content, upload: _Upload) -> bool:
        taken = content.sizes | {other.key_id: other.n_bytes for other in (*self._uploads, upload)}
        return self._quota_bytes is None or sum(taken.values()) <= self._quota_bytes

    def _check_owner(
        self, upload: _Upload, content: _Content, mine: set[str], quota_bytes: int | None
    ) -> None:
        """Refuse keys that are too many for their owner."""
        most = self._max_keys_per_owner
        if most is not None and len(mine) >= most:
            raise QuotaExceededError(
                f"one owner may have {most} sets of evaluation keys on this server; delete one that is no "
                "longer used",
                most,
            )
        sizes = {other.key_id: other.n_bytes for other in self._uploads} | content.sizes
        taken = sum(sizes.get(key_id, 0) for key_id in mine)
        if quota_bytes is not None and taken + upload.n_bytes > quota_bytes:
            raise QuotaExceededError(
                f"one owner may have {quota_bytes} bytes of evaluation keys on this server, and has {taken}; "
                "delete those that are no longer used",
                quota_bytes,
            )

    def _keep(self, upload: _Upload, file: StoreFile) -> None:
        """Make what was written the keys of that id."""
        file.move(self._path("keys", upload.key_id))
        self._note_use(upload.key_id)
        self._claim(upload)
        self._scanned = None

    def _release(self, upload: _Upload, file: StoreFile) -> None:
        """Forget an upload, and what it has left."""
        file.discard()
        with self._lock:
            self._uploads.discard(upload)

    def _claim(self, upload: _Upload) -> None:
        self._touch(self._path("claims", f"{upload.key_id}.{upload.owner}"))

    def _touch(self, path: str) -> None:
        """Write an empty file, for the time at which it was written; a full disk has room for that."""
        if isinstance(self._fs, LocalFileSystem):
            descriptor = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
            try:
                os.utime(descriptor)
            finally:
                os.close(descriptor)
        else:
            self._fs.pipe_file(path, b"")

    # Giving out

    async def has(self, key_id: str) -> bool:
        """Whether there are keys of that id."""
        return bool(await asyncio.to_thread(self._fs.isfile, self._path("keys", _checked(key_id))))

    def read(self, key_id: str) -> bytes:
        """Return keys; this blocks.

        Raises
        ------
        UnknownKeysError
        OSError
        """
        try:
            data: bytes = self._fs.cat_file(self._path("keys", _checked(key_id)))
        except FileNotFoundError:
            raise UnknownKeysError(key_id) from None
        return data

    async def use(self, key_id: str) -> None:
        """Note that keys are used, so that they do not expire.

        The store is asked at most once a minute: for as long, keys that another server has removed are known.

        Raises
        ------
        UnknownKeysError
        """
        if time.monotonic() - self._used.get(_checked(key_id), -_USED_EVERY) < _USED_EVERY:
            return
        if not await self.has(key_id):
            raise UnknownKeysError(key_id)
        try:
            await asyncio.to_thread(self._note_use, key_id)
        except OSError as error:  # they are there all the same
            _logger.warning("use_of_keys_not_noted", extra={"fields": {"errno": error.errno}})

    def _note_use(self, key_id: str) -> None:
        self._used[key_id] = time.monotonic()
        self._touch(self._path("used", key_id))

    # Removing

    async def delete(self, key_id: str, owner: str) -> bool:
        """Take an owner's claim from keys, and remove them if nobody else has one.

        Returns
        -------
        bool
            False if they are not the owner's, or not there.
        """
        return await asyncio.to_thread(self._delete, _checked(key_id), _digest(owner))

    def _delete(self, key_id: str, owner: str) -> bool:
        with self._lock:
            content = self._scan()
            if key_id not in content.claims.get(owner, ()):
                return False
            if any(key_id in ids for other, ids in content.claims.items() if other != owner):
                self._remove_file(self._path("claims", f"{key_id}.{owner}"))
            else:
                self._remove(key_id, content)
            return key_id in content.sizes

    async def discard(self, key_id: str) -> None:
        """Remove keys, whosever they are."""
        await asyncio.to_thread(lambda: self._remove(_checked(key_id), self._scan()))

    def _remove(self, key_id: str, content: _Content) -> None:
        """Remove keys and all that is known of them."""
        self._used.pop(key_id, None)
        self._remove_file(self._path("keys", key_id))
        self._remove_file(self._path("used", key_id))
        for owner, ids in content.claims.items():
            if key_id in ids:
                self._remove_file(self._path("claims", f"{key_id}.{owner}"))
        self._scanned = None

    def _remove_file(self, path: str) -> None:
        with suppress(FileNotFoundError):
            self._fs.rm_file(path)

    async def expire(self) -> int:
        """Remove keys that were not used for long, and what interrupted uploads have left.

        If the store's clock has gone backward, or forward by more than time has passed here since the last
        call, no age means anything: all keys count as used now, and nothing is removed.

        Returns
        -------
        int
            Number of key sets that were removed.
        """
        return await asyncio.to_thread(self._expire)

    def _expire(self) -> int:
        with self._lock:
            now, jumped = self._now()
            content = self._scan()
            for path in self._list("uploads"):
                if now - self._time_of(path, now) > _LONGEST_UPLOAD and not jumped:
                    self._remove_file(path)
            if jumped:
                for key_id in content.sizes:
                    self._touch(self._path("used", key_id))
                return 0
            most = math.inf if self._max_age is None else self._max_age
            expired = [key_id for key_id in content.sizes if now - self._last_use(key_id, now) > most]
            for key_id in expired:
                self._remove(key_id, content)
            self._remove_strays(content)
            return len(expired)

    def _remove_strays(self, content: _Content) -> None:
        """Remove claims on keys that are gone."""
        uploading = {upload.key_id for upload in self._uploads}
        for owner, ids in content.claims.items():
            for key_id in ids - content.sizes.keys() - uploading:
                self._remove_file(self._path("claims", f"{key_id}.{owner}"))

    def _now(self) -> tuple[float, bool]:
        """Return the time by the store's clock, and whether that has jumped since the last time."""
        path = f"{self._root}/clock"
        self._touch(path)
        here, now = time.monotonic(), self._fs.modified(path).timestamp()
        seen, self._seen = self._seen, (here, now)
        gained = 0.0 if seen is None else (now - seen[1]) - (here - seen[0])
        return now, abs(gained) > _CLOCK_TOLERANCE

    def _last_use(self, key_id: str, now: float) -> float:
        """Return when keys were last used; the present if they are gone."""
        return self._time_of(self._path("used", key_id), self._time_of(self._path("keys", key_id), now))

    def _time_of(self, path: str, otherwise: float) -> float:
        try:
            written: float = self._fs.modified(path).timestamp()
        except FileNotFoundError:
            return otherwise
        return written

    # Looking

    def usage(self) -> KeyUsage:
        """Return how full the store is, as found in the last half minute; any thread may call this."""
        if self._scanned is None or time.monotonic() - self._scanned > _SCAN_EVERY:
            self._scan()
        return self._usage

    def _list(self, folder: str) -> dict[str, int]:
        """Return the bytes of each file in a folder, by its path."""
        path = f"{self._root}/{folder}"
        self._fs.invalidate_cache(path)
        try:
            entries = self._fs.ls(path, detail=True)
        except FileNotFoundError:  # an object store has no empty folders
            return {}
        return {entry["name"]: entry["size"] for entry in entries if entry["type"] == "file"}

    def _scan(self) -> _Content:
        """Return what the store has.

        Claims are looked at first, for they are made after their keys: one without any is left of keys that
        are gone, and not of those that another server has taken in meanwhile.
        """
        content = _Content()
        claims = self._list("claims")
        for path, n_bytes in self._list("keys").items():
            content.sizes[path.rsplit("/", 1)[1]] = n_bytes
        for path in claims:
            key_id, _, owner = path.rsplit("/", 1)[1].partition(".")
            content.claims.setdefault(owner, set()).add(key_id)
        self._usage = KeyUsage(len(content.sizes), sum(content.sizes.values()))
        self._scanned = time.monotonic()
        return content


def _checked(key_id: str) -> str:
    if not re.fullmatch("[0-9a-f]{64}", key_id):
        raise ValueError(f"expected the id of evaluation keys, 64 hexadecimal digits, got {key_id[:80]!r}")
    return key_id


def _digest(owner: str) -> str:
    return hashlib.sha256(owner.encode()).hexdigest()[:32]
