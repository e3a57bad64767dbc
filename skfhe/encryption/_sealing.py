"""Bytes under a passphrase: scrypt makes a key of it, under which AES-256-GCM encrypts and authenticates.

The parameters are those that OWASP recommends for 32 MiB of memory. They are written beside what is sealed,
with the salt and the nonce, each drawn anew for every call, and are checked before they are followed: what
comes from elsewhere can ask for no more than 128 MiB and some seconds.
"""

import os
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

__all__ = ["SEAL_BYTES", "new_protection", "seal", "unseal"]

SEAL_BYTES = 16
"""By which what is sealed is longer."""
_N, _R, _P = 1 << 15, 8, 3
_MOST_BYTES = 1 << 27
_MOST_P = 16
_SALT_BYTES, _NONCE_BYTES, _KEY_BYTES = 16, 12, 32


def new_protection() -> dict[str, Any]:
    """Return how one sequence of bytes is to be sealed, in what JSON can say.

    Returns
    -------
    dict
        ``"kdf"``, ``"n"``, ``"r"``, ``"p"`` and ``"salt"`` of scrypt; ``"cipher"`` and its ``"nonce"``.
    """
    return {
        "kdf": "scrypt",
        **{"n": _N, "r": _R, "p": _P},
        "salt": os.urandom(_SALT_BYTES).hex(),
        "cipher": "AES-256-GCM",
        "nonce": os.urandom(_NONCE_BYTES).hex(),
    }


def seal(secret: bytes, passphrase: str, protection: Mapping[str, Any], associated: bytes) -> bytes:
    """Encrypt bytes under a passphrase.

    Parameters
    ----------
    secret : bytes
    passphrase : str
    protection : mapping
        From `new_protection`, for this call alone.
    associated : bytes
        What is authenticated with them, and stays readable.

    Returns
    -------
    bytes
        Longer than ``secret`` by `SEAL_BYTES`.
    """
    cipher, nonce = _cipher(passphrase, protection)
    return cipher.encrypt(nonce, secret, associated)


def unseal(sealed: bytes, passphrase: str, protection: Mapping[str, Any], associated: bytes) -> bytes | None:
    """Decrypt what `seal` returned, given the same.

    Returns
    -------
    bytes or None
        None if the passphrase is another one, or anything was altered: they cannot be told apart.

    Raises
    ------
    ValueError
        If ``protection`` is of an unknown kind, or asks for more than it may.
    """
    cipher, nonce = _cipher(passphrase, protection)
    try:
        return cipher.decrypt(nonce, sealed, associated)
    except InvalidTag:
        return None


def _cipher(passphrase: str, protection: Mapping[str, Any]) -> tuple[AESGCM, bytes]:
    if not isinstance(passphrase, str) or not passphrase:
        raise ValueError(f"a passphrase is text of at least one character, got {type(passphrase).__name__}")
    salt, nonce = (_bytes_of(protection, name) for name in ("salt", "nonce"))
    n, r, p = (protection.get(name) for name in ("n", "r", "p"))
    if not (
        {*protection} == {"kdf", "n", "r", "p", "salt", "cipher", "nonce"}
        and (protection["kdf"], protection["cipher"]) == ("scrypt", "AES-256-GCM")
        and (len(salt), len(nonce)) == (_SALT_BYTES, _NONCE_BYTES)
        and type(n) is type(r) is type(p) is int
        and n > 1
        and n & (n - 1) == 0
        and r > 0
        and 0 < p <= _MOST_P
        and 128 * n * r <= _MOST_BYTES
    ):
        raise ValueError(
            "the protection by a passphrase is of an unknown kind, or asks for more than "
            f"{_MOST_BYTES >> 20} MiB: it was not written by this library"
        )
    derived = Scrypt(salt=salt, length=_KEY_BYTES, n=n, r=r, p=p).derive(passphrase.encode())
    return AESGCM(derived), nonce


def _bytes_of(protection: Mapping[str, Any], name: str) -> bytes:
    try:
        return bytes.fromhex(protection[name])
    except (KeyError, TypeError, ValueError):
        return b""
