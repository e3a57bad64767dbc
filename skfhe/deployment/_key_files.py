"""A folder of keys that its owner alone can read.

Each set of keys is two files, named by its id: ``ID.secret``, the secret keys, and ``ID.evaluation``, what
goes to servers, large and not secret. A set is there as soon as its secret file is, which is the last to
be written and the first to be deleted. Every file is written under another name, forced to the disk and
renamed: whatever interrupts that leaves what was there before, and at most files that nobody reads, which
are removed when keys are generated next.

One process at a time generates or deletes keys in a folder: it has a lock on the file ``.lock``, which the
system gives back when the process ends, however it does.

Folder and files are created with the modes that they keep, 0700 and 0600, and refused if they belong to
someone else or if anyone else could read or write them. The folder is opened once for each operation, and
what is in it by that: nobody can put another in its place in between. Links in it are not followed.
"""

import errno
import fcntl
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from skfhe._telling import log
from skfhe.circuit import SecretKeys, generate_keys, key_set_parameters, read_key_header

__all__ = ["KeyFiles", "KeySetInformation"]

_ID = re.compile("[0-9a-f]{64}")
_SECRET, _EVALUATION, _UNFINISHED = ".secret", ".evaluation", ".unfinished"
_LOCK = ".lock"
_MOST_SECRET_BYTES = 1 << 24
_OTHERS = 0o077
_FLAGS = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


@dataclass(frozen=True)
class KeySetInformation:
    """What is known of a set of keys without its passphrase.

    Parameters
    ----------
    id : str
    created : datetime
    expires : datetime or None
    protected : bool
        Whether it is encrypted under a passphrase.
    parameters : str
        Names the parameters of the keys: models that need keys of the same ones share them.
    """

    id: str
    created: datetime
    expires: datetime | None
    protected: bool
    parameters: str


class KeyFiles:
    """Sets of keys in a folder.

    Any number of threads and processes may use one folder.

    Parameters
    ----------
    folder : path
        Created when keys are first written, its parents with it.
    passphrase : str, optional
        That secret keys are written and read under.

    Raises
    ------
    ValueError
        If the passphrase is empty, or no text.
    """

    def __init__(self, folder: "str | os.PathLike[str]", passphrase: str | None = None) -> None:
        if passphrase is not None and not (isinstance(passphrase, str) and passphrase):
            raise ValueError(
                "passphrase= is text of at least one character, or None for keys without protection, got "
                f"{'an empty one' if passphrase == '' else type(passphrase).__name__}"
            )
        self.folder = Path(folder)
        self._passphrase = passphrase

    def __repr__(self) -> str:
        return f"KeyFiles({str(self.folder)!r})"

    def __reduce__(self) -> Any:
        raise TypeError("key files know a passphrase, and are not pickled; make others of the same folder")

    def information(self) -> list[KeySetInformation]:
        """Return what is known of each set of keys, the newest first.

        Returns
        -------
        list of KeySetInformation
            Empty if there is no folder.

        Raises
        ------
        PermissionError
            If others can read the folder or a file in it.
        ValueError
            If a file of secret keys cannot be read; the message names it.
        """
        if not self.folder.exists():
            return []
        with self._opened() as directory:
            return self._listed(directory)

    def _listed(self, directory: int) -> list[KeySetInformation]:
        found = []
        for name in os.listdir(directory):
            if name.endswith(_SECRET) and _ID.fullmatch(name.removesuffix(_SECRET)):
                with suppress(FileNotFoundError):  # another process has just deleted it
                    data = self._read(directory, name, _MOST_SECRET_BYTES)
                    with self._naming(name):
                        header = read_key_header(data)
                        if header["id"] != name.removesuffix(_SECRET):
                            raise ValueError(f"these are the keys {header['id']}: the file was renamed")
                    found.append(KeySetInformation(**header))
        return sorted(found, key=lambda each: (each.created, each.id), reverse=True)

    def newest(self, parameters: Iterable[bytes]) -> SecretKeys | None:
        """Return the newest keys for a circuit, or None if there are none.

        Parameters
        ----------
        parameters : iterable of bytes
            Of each part of the circuit: the engine's description.

        Raises
        ------
        PermissionError
            If others can read the folder or a file in it.
        ValueError
            If the passphrase is another one, or a file cannot be read.
        """
        if not self.folder.exists():
            return None
        with self._opened() as directory:
            return self._newest(directory, key_set_parameters(parameters))

    def _newest(self, directory: int, parameters: str) -> SecretKeys | None:
        for each in self._listed(directory):
            if each.parameters == parameters:
                return self._read_keys(directory, each.id)
        return None

    def read(self, id: str) -> SecretKeys | None:
        """Return the keys of a name, or None if there are none.

        Parameters
        ----------
        id : str

        Raises
        ------
        PermissionError
            If others can read the folder or the file.
        ValueError
            If the passphrase is another one, or the file cannot be read.
        """
        if not _ID.fullmatch(id) or not self.folder.exists():
            return None
        with self._opened() as directory, suppress(FileNotFoundError):
            return self._read_keys(directory, id)
        return None

    def obtain(
        self, parameters: Iterable[bytes], *, renew: bool = False, lifetime: timedelta | None = None
    ) -> SecretKeys:
        """Return the newest keys for a circuit, generating them if there are none.

        Of several processes that want to generate keys for the same parameters one does, and the others get
        them.

        Parameters
        ----------
        parameters : iterable of bytes
            Of each part of the circuit: the engine's description.
        renew : bool, default=False
            Generate keys even if there are some. Those stay where they are.
        lifetime : timedelta, optional
            After which new keys expire.

        Returns
        -------
        SecretKeys
            Read from their file.

        Raises
        ------
        PermissionError
            If others can read the folder or a file in it.
        ValueError
            If the passphrase is another one, or a file cannot be read.
        OSError
            If they cannot be written; nothing is left of them then.
        """
        described = tuple(parameters)
        present = None if renew else self.newest(described)
        if present is not None:
            return present
        wanted = key_set_parameters(described)
        with self._locked() as directory:
            self._tidy(directory)
            present = None if renew else self._newest(directory, wanted)
            if present is not None:
                return present
            # Whatever happens to the clock, new keys are newer than those that they replace.
            earlier = [each.created for each in self._listed(directory) if each.parameters == wanted]
            created = max([datetime.now(UTC), *(each + timedelta(microseconds=1) for each in earlier)])
            keys = generate_keys(described, to_send=True, created=created, lifetime=lifetime)
            id = str(keys.id)
            self._write(directory, id + _EVALUATION, keys.evaluation.to_bytes())
            self._write(directory, id + _SECRET, keys.to_bytes(self._passphrase))
            try:
                return self._read_keys(directory, id)
            except BaseException:  # what cannot be read again is not to be found as the newest
                os.unlink(id + _SECRET, dir_fd=directory)
                raise

    def delete(self, id: str) -> bool:
        """Remove the keys of a name: what was encrypted under them can then be read by nobody.

        Parameters
        ----------
        id : str

        Returns
        -------
        bool
            Whether there were any.

        Raises
        ------
        PermissionError
            If others can read the folder.
        """
        if not _ID.fullmatch(id) or not self.folder.exists():
            return False
        found = False
        with self._locked() as directory:
            for ending in (_SECRET, _EVALUATION):
                with suppress(FileNotFoundError):
                    os.unlink(id + ending, dir_fd=directory)
                    found = True
            os.fsync(directory)
        return found

    def create(self) -> None:
        """Create the folder, if there is none, for its owner alone.

        Raises
        ------
        PermissionError
            If there is one that others can read.
        """
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            os.mkdir(self.folder, 0o700)
        with self._opened():
            pass

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """Open the folder, which belongs to the present user alone, and yield its descriptor."""
        try:
            directory = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except NotADirectoryError:
            raise NotADirectoryError(f"{self.folder} is to hold keys, and is not a folder") from None
        try:
            _check_owner(os.fstat(directory), self.folder, "700")
            yield directory
        finally:
            os.close(directory)

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """Create and open the folder; no other process generates or deletes keys meanwhile."""
        self.create()
        with self._opened() as directory:
            lock = os.open(_LOCK, os.O_RDWR | os.O_CREAT | _FLAGS, 0o600, dir_fd=directory)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield directory
            finally:
                fcntl.flock(lock, fcntl.LOCK_UN)  # a process forked meanwhile has the lock, too
                os.close(lock)

    def _tidy(self, directory: int) -> None:
        """Remove what writers have left who were interrupted; nobody writes now, for the lock is held."""
        names = set(os.listdir(directory))
        for name in names:
            orphan = name.endswith(_EVALUATION) and name.removesuffix(_EVALUATION) + _SECRET not in names
            if orphan or (name.startswith(".") and name.endswith(_UNFINISHED)):
                with suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=directory)

    def _read_keys(self, directory: int, id: str) -> SecretKeys:
        data = self._read(directory, id + _SECRET, _MOST_SECRET_BYTES)
        with self._naming(id + _SECRET):
            keys = SecretKeys.from_bytes(data, self._passphrase, lambda: self._read_evaluation(id))
            if keys.id != id:
                raise ValueError(f"these are the keys {keys.id}: the file was renamed")
            log("read the keys %s… from %s", id[:12], self.folder)
            return keys

    def _read_evaluation(self, id: str) -> bytes:
        try:
            with self._opened() as directory:
                return self._read(directory, id + _EVALUATION, None)
        except FileNotFoundError:
            raise FileNotFoundError(
                f"there is no {id + _EVALUATION} in {self.folder}, which has the evaluation keys. What was "
                "encrypted under these keys is decrypted still, and rotate_keys() generates new ones"
            ) from None

    @contextmanager
    def _naming(self, name: str) -> Iterator[None]:
        """Say which file it is that cannot be read."""
        try:
            yield
        except ValueError as error:
            raise ValueError(f"{self.folder / name}: {error}") from error

    def _read(self, directory: int, name: str, most_bytes: int | None) -> bytes:
        """Return what is in a file that belongs to the present user alone."""
        path = self.folder / name
        try:
            file = os.open(name, os.O_RDONLY | _FLAGS, dir_fd=directory)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise PermissionError(f"{path} is a link, and keys are not read through one") from error
            raise
        with open(file, "rb") as stream:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode):
                raise PermissionError(f"{path} is not a file")
            _check_owner(status, path, "600")
            if most_bytes is not None and status.st_size > most_bytes:
                raise ValueError(
                    f"{path}: expected secret keys of at most {most_bytes} bytes, got {status.st_size}"
                )
            return stream.read()

    def _write(self, directory: int, name: str, data: bytes) -> None:
        """Write a file that is there whole or not at all."""
        unfinished = f".{secrets.token_hex(16)}{_UNFINISHED}"
        file = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, 0o600, dir_fd=directory)
        try:
            with open(file, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(file)
            os.rename(unfinished, name, src_dir_fd=directory, dst_dir_fd=directory)
        except BaseException:
            with suppress(OSError):
                os.unlink(unfinished, dir_fd=directory)
            raise
        os.fsync(directory)


def _check_owner(status: os.stat_result, path: Path, mode: str) -> None:
    """Raise an error unless the present user owns what keys are in, and nobody else can read or write it."""
    if status.st_uid != os.geteuid():
        raise PermissionError(
            f"{path} belongs to user {status.st_uid}, and this process runs as {os.geteuid()}: whoever owns "
            "it can read the keys. Give a folder of its own as key_dir"
        )
    if stat.S_IMODE(status.st_mode) & _OTHERS:
        raise PermissionError(
            f"{path} can be read or written by others (mode {stat.S_IMODE(status.st_mode):03o}), and secret "
            f"keys are not kept there. If nobody has read it, chmod {mode} {path}; if in doubt, delete the "
            "keys and generate new ones"
        )
