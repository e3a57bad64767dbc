"""Bearer tokens: who may send requests, and how many bytes of keys each may keep."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from skfhe.deployment._serving._settings import ServerSettings, read_size

__all__ = ["Owner", "Tokens", "read_tokens"]

_HASHED = "sha256:"
_FEWEST_CHARACTERS = 16


@dataclass(frozen=True)
class Owner:
    """Whoever has a token.

    Parameters
    ----------
    name : str
        What stands for the token in the log and in the store of keys.
    key_bytes : int or None
        That its evaluation keys may have.
    """

    name: str
    key_bytes: int | None = None


class Tokens:
    """The tokens that are accepted; if there are none, everyone is.

    Only their SHA-256 are kept.

    Parameters
    ----------
    owners : iterable of tuple of bytes and Owner
        The SHA-256 of each token, and whose it is.
    """

    def __init__(self, owners: Iterable[tuple[bytes, Owner]] = ()) -> None:
        self._owners = tuple(owners)

    def __repr__(self) -> str:
        return f"Tokens({len(self._owners)})"

    def __len__(self) -> int:
        return len(self._owners)

    def owner(self, authorization: str | None) -> Owner | None:
        """Return whose token a request has, or None if it has none that is accepted.

        It takes as long whichever token it is, and whether it is one.

        Parameters
        ----------
        authorization : str or None
            The request's header of that name.
        """
        if not self._owners:
            return Owner("")
        scheme, _, token = (authorization or "").partition(" ")
        presented = hashlib.sha256(token.strip().encode()).digest()
        found = None
        for digest, owner in self._owners:
            if hmac.compare_digest(digest, presented):
                found = owner
        return found if scheme.lower() == "bearer" else None


def read_tokens(settings: ServerSettings) -> Tokens:
    """Return the tokens that the settings name.

    Parameters
    ----------
    settings : ServerSettings

    Returns
    -------
    Tokens

    Raises
    ------
    ValueError
        If a line cannot be read, naming its number and not what it has; or if two have one name or one token.
    OSError
        If the file cannot be read.
    """
    lines = [(f"tokens, entry {i}", line) for i, line in enumerate((settings.tokens or "").split(","), 1)]
    if settings.token_file is not None:
        text = Path(settings.token_file).read_text("utf-8")
        lines += [(f"{settings.token_file}, line {i}", line) for i, line in enumerate(text.splitlines(), 1)]
    owners = [
        _read(line, place) for place, line in lines if line.strip() and not line.strip().startswith("#")
    ]
    if not owners and (settings.token_file is not None or settings.tokens is not None):
        where = "tokens" if settings.token_file is None else settings.token_file
        raise ValueError(f"{where} has no tokens, so that nobody could send a request")
    for what, values in (("name", [o.name for _, o in owners]), ("token", [digest for digest, _ in owners])):
        if len(set(values)) != len(values):
            raise ValueError(f"two of the tokens have one {what}")
    return Tokens(owners)


def _read(line: str, place: str) -> tuple[bytes, Owner]:
    """Return the hash of a token and its owner."""
    parts = line.split(maxsplit=2)
    if len(parts) < 2 or not re.fullmatch(r"[A-Za-z0-9._@-]{1,64}", parts[0]):
        raise ValueError(
            f"{place}: expected NAME TOKEN, or NAME TOKEN BYTES, with a name of letters and digits"
        )
    name, token = parts[:2]
    if token.startswith(_HASHED):
        if not re.fullmatch("[0-9a-f]{64}", token.removeprefix(_HASHED)):
            raise ValueError(f"{place}: expected 64 hexadecimal digits after {_HASHED}")
        digest = bytes.fromhex(token.removeprefix(_HASHED))
    elif len(token) < _FEWEST_CHARACTERS:
        raise ValueError(f"{place}: a token has at least {_FEWEST_CHARACTERS} characters")
    else:
        digest = hashlib.sha256(token.encode()).digest()
    try:
        quota = read_size(parts[2]) if len(parts) == 3 else None
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None
    return digest, Owner(name, quota)
