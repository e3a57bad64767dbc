"""The keys that a client has: those it encrypts under, and earlier ones that it can still decrypt with."""

from __future__ import annotations

import os
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from skfhe.circuit import ClientSession, SecretKeys, check_security, generate_keys, key_set_parameters
from skfhe.exceptions import CiphertextMismatchError, KeysExpiredError

if TYPE_CHECKING:
    from skfhe.circuit import CircuitSpecs
    from skfhe.deployment._key_files import KeyFiles, KeySetInformation

__all__ = ["KeyRing"]


class KeyRing:
    """The keys of one client, in memory or in files.

    Any number of threads may use it. A forked process goes on with the keys of its parent.

    Parameters
    ----------
    specs : CircuitSpecs
    files : KeyFiles or None
        None keeps keys in memory.
    lifetime : timedelta or None
        After which new keys expire.

    Raises
    ------
    ValueError
        If the circuit asks for ciphertexts or keys that others could read; see `check_security`.
    """

    def __init__(self, specs: CircuitSpecs, files: KeyFiles | None, lifetime: timedelta | None) -> None:
        check_security(specs)
        self.files = files
        self._specs = specs
        self._lifetime = lifetime
        self._sessions: dict[str, ClientSession] = {}
        self._present: ClientSession | None = None
        self._locks: dict[int, Any] = {}

    def __repr__(self) -> str:
        return "keys in memory" if self.files is None else f"keys in {str(self.files.folder)!r}"

    @property
    def _lock(self) -> Any:
        """The lock of this process: one that was held when it was forked would be held for ever."""
        return self._locks.setdefault(os.getpid(), threading.RLock())

    @property
    def _parameters(self) -> list[bytes]:
        return [part.parameters for part in self._specs.parts]

    @property
    def id(self) -> str | None:
        """Name of the present keys, or None if there are none."""
        with self._lock:
            if self._present is None and self.files is not None:
                keys = self.files.newest(self._parameters)
                self._present = None if keys is None else self._session_of(keys)
            return None if self._present is None else str(self._present.key_id)

    def session(self) -> ClientSession:
        """Return what works under the present keys, which are generated if there are none."""
        with self._lock:
            return self._present or self._generated(renew=False)

    def renewed(self) -> ClientSession:
        """Return what works under new keys, which are the present ones from now on."""
        with self._lock:
            return self._generated(renew=True)

    def _generated(self, renew: bool) -> ClientSession:
        if self.files is not None:
            keys = self.files.obtain(self._parameters, renew=renew, lifetime=self._lifetime)
        else:
            keys = generate_keys(self._parameters, to_send=True, lifetime=self._lifetime)
        self._present = self._session_of(keys)
        return self._present

    def session_to_encrypt(self) -> ClientSession:
        """Return what works under the present keys, unless they have expired."""
        session = self.session()
        expires = session.secret_keys.expires
        if expires is not None and session.secret_keys.expired:
            raise KeysExpiredError(
                f"the keys {session.key_id} have expired on {expires:%Y-%m-%d %H:%M} UTC; rotate_keys() "
                "makes new ones, and what was encrypted under these is decrypted still"
            )
        return session

    def session_for(self, id: str) -> ClientSession:
        """Return what works under the keys of a name, present or earlier ones.

        Raises
        ------
        CiphertextMismatchError
            If they are not there, or are for other parameters.
        """
        with self._lock:
            if id not in self._sessions and self.files is not None:
                keys = self.files.read(id)
                if keys is not None:
                    self._session_of(keys)
            if id in self._sessions:
                return self._sessions[id]
        place = "the memory of this client" if self.files is None else str(self.files.folder)
        raise CiphertextMismatchError(
            f"these results are of the keys {id}, which are not in {place}: the keys were deleted, or are of "
            "another client. Encrypt the rows again"
        )

    def _session_of(self, keys: SecretKeys) -> ClientSession:
        """Return what works under keys, made once for each."""
        id = str(keys.id)
        if id not in self._sessions:
            self._sessions[id] = ClientSession(self._specs, keys)
        return self._sessions[id]

    def information(self) -> list[KeySetInformation]:
        """Return what is known of the keys in files that are for the circuit, the newest first."""
        wanted = key_set_parameters(self._parameters)
        return [each for each in self._needed_files().information() if each.parameters == wanted]

    def delete(self, id: str) -> None:
        """Delete keys from their files."""
        if not isinstance(id, str):
            raise TypeError(f"key_id is the name of keys, as list_keys() has them, got {id!r}")
        files = self._needed_files()
        with self._lock:
            if not files.delete(id):
                raise ValueError(f"there are no keys {id!r} in {files.folder}")
            self._sessions.pop(id, None)
            if self._present is not None and self._present.key_id == id:
                self._present = None

    def _needed_files(self) -> KeyFiles:
        if self.files is None:
            raise ValueError("this client keeps its keys in memory; give it a key_dir= to keep them in files")
        return self.files
