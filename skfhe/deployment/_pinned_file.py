"""The client.zip of a server's model, kept from the first time on: no server can put another in its place.

A client.zip says how rows are encoded and how long masks and how wide noise are. A server that could replace
it could ask for ciphertexts that it can read.
"""

import hashlib
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from skfhe.deployment._address import Address
from skfhe.exceptions import ModelChangedError

__all__ = ["PinnedFile", "default_folder"]

_DIGEST = re.compile(r"[0-9a-f]{64}")


def default_folder() -> Path:
    """Return the folder where files are kept if the user names none."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "skfhe"


@dataclass(frozen=True)
class PinnedFile:
    """Where client.zip is kept, and which one it has to be.

    Parameters
    ----------
    folder : Path
    pinned : str or None
        SHA-256 of the only file that is accepted, in hexadecimal. None takes the first that a server gives.
    """

    folder: Path
    pinned: str | None = None

    def __post_init__(self) -> None:
        if self.pinned is not None and not _DIGEST.fullmatch(self.pinned):
            raise ValueError(
                "pinned= is the SHA-256 of client.zip, 64 digits 0-9a-f (sha256sum client.zip), got "
                f"{self.pinned!r}"
            )

    @staticmethod
    def digest(data: bytes) -> str:
        """Return the SHA-256 of a file's bytes, in hexadecimal."""
        return hashlib.sha256(data).hexdigest()

    def _stem(self, address: Address) -> str:
        """Return the beginning of the name of an address's file."""
        place = f"{address.root}{address.path}"
        name = re.sub(r"[^A-Za-z0-9_-]", "_", str(address.name))[:40]
        return f"{name}-{self.digest(place.encode())[:16]}-"

    def _kept(self, address: Address) -> dict[str, Path]:
        """Return the files that are kept for an address, by the SHA-256 that their names state."""
        stem = self._stem(address)
        found = {path.name[len(stem) : -len(".zip")]: path for path in self.folder.glob(f"{stem}*.zip")}
        return {digest: path for digest, path in found.items() if _DIGEST.fullmatch(digest)}

    def read(self, address: Address) -> bytes | None:
        """Return the file that is kept, if it is there and whole."""
        for digest, path in self._kept(address).items():
            if self.pinned in (None, digest):
                data = path.read_bytes()
                if self.digest(data) == digest:
                    return data
        return None

    def accept(self, address: Address, data: bytes) -> bytes:
        """Return a file that a server gave, and keep it, if it is the pinned one or the first.

        Raises
        ------
        ModelChangedError
        """
        got, place = self.digest(data), f"{address.root}{address.path}"
        if self.pinned not in (None, got):
            raise ModelChangedError(
                f"{place} has a client.zip of SHA-256 {got}, and pinned={self.pinned!r} was expected. Ask "
                "whoever runs the server which is right; nothing was encrypted"
            )
        kept = self._kept(address)
        if self.pinned is None and kept and got not in kept:
            raise ModelChangedError(
                f"{place} has another client.zip than the first time, SHA-256 {got} instead of "
                f"{', '.join(kept)}: the model was replaced, or somebody else answers. Ask whoever runs the "
                f"server. If it is right pass pinned={got!r}, or name the version that was used so far, "
                "…/versions/VERSION; nothing was encrypted"
            )
        self._keep(self.folder / f"{self._stem(address)}{got}.zip", data)
        for digest, path in kept.items():
            if digest != got:
                path.unlink(missing_ok=True)
        return data

    def _keep(self, path: Path, data: bytes) -> None:
        """Write a file whole or not at all."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(dir=self.folder, prefix=".", suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.replace(partial, path)
        except BaseException:
            Path(partial).unlink(missing_ok=True)
            raise
