"""Keys of a circuit: secret ones, which stay where they are, and evaluation keys, which a server needs."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from skfhe.circuit._bindings import generate_keyset, public_keyset, read_public_keyset, secret_words
from skfhe.circuit._frames import pack, unpack
from skfhe.encryption import Words
from skfhe.exceptions import CiphertextMismatchError

__all__ = ["EvaluationKeys", "KeySet", "generate_keys"]

_MAGIC = b"skfhe-ek"


class EvaluationKeys:
    """What a circuit is run under: made of secret keys, and of no use to decrypt.

    Parameters
    ----------
    id : str
        Names the keys; the same as of the secret ones.
    parameters : tuple of bytes
        That the keys of each part of the circuit were generated for.
    keysets : sequence
        The engine's own, one for each part; or in bytes, as `from_bytes` leaves them until they are used.
    """

    def __init__(self, id: str, parameters: tuple[bytes, ...], keysets: Sequence[Any]) -> None:
        self.id = id
        self.parameters = parameters
        self._keysets = list(keysets)

    def __repr__(self) -> str:
        return f"EvaluationKeys({self.id[:8]}…)"

    def keyset(self, part: int) -> Any:
        """Return the engine's own keys for one part, whose parameters must be the circuit's."""
        keyset = self._keysets[part]
        if isinstance(keyset, bytes):  # several threads may do this at one time; one result is kept
            keyset = self._keysets[part] = read_public_keyset(keyset)
        return keyset

    def check(self, parameters: tuple[bytes, ...], most_bytes: Sequence[int]) -> None:
        """Raise an error unless the keys are for these parameters, and no larger than that allows.

        Parameters
        ----------
        parameters : tuple of bytes
            Of each part of a circuit.
        most_bytes : sequence of int
            Bytes of the evaluation keys of each part.
        """
        if self.parameters != parameters:
            raise CiphertextMismatchError(
                "the evaluation keys were generated for other parameters than the circuit was compiled for; "
                "generate keys for its present ones"
            )
        for keyset, most in zip(self._keysets, most_bytes, strict=True):
            if isinstance(keyset, bytes) and len(keyset) > most:
                raise CiphertextMismatchError(
                    f"expected at most {most} bytes of evaluation keys, got {len(keyset)}"
                )

    def to_bytes(self) -> bytes:
        """Return the keys as bytes, for the process that runs the circuit.

        Returns
        -------
        bytes
            No secret key is among them.
        """
        keysets = [k if isinstance(k, bytes) else k.serialize() for k in self._keysets]
        return pack(_MAGIC, {"id": self.id}, [*self.parameters, *keysets])

    @classmethod
    def from_bytes(cls, data: bytes) -> "EvaluationKeys":
        """Return the keys that `to_bytes` was called on.

        Only the frame is read here. The parameters that it states are compared with the circuit's when that
        is run, and the engine reads the keys after that.

        .. warning::
            The engine's reader trusts what it is given: bytes made to harm let it take gigabytes of memory,
            or end the process. Take keys only from those whom you would let run code.

        Parameters
        ----------
        data : bytes

        Returns
        -------
        EvaluationKeys

        Raises
        ------
        ValueError
            If these are not the bytes of evaluation keys, or not all of them, or of another version.
        """
        header, blocks = unpack(_MAGIC, data, "evaluation keys")
        n_parts = len(blocks) // 2
        if not isinstance(header.get("id"), str) or len(blocks) != 2 * n_parts or not n_parts:
            raise ValueError("the header of evaluation keys lacks a field, or has one that cannot be")
        return cls(header["id"], tuple(blocks[:n_parts]), blocks[n_parts:])


@dataclass(frozen=True, eq=False, repr=False)
class KeySet:
    """Secret keys, and the evaluation keys made of them.

    Parameters
    ----------
    id : str
        Drawn at random, for this set alone.
    native : tuple of concrete.compiler.Keyset
        One for each part of a circuit.
    secret : tuple of tuple of ndarray
        The bits of each secret key of each part, in words.
    evaluation : EvaluationKeys
    """

    id: str
    native: tuple[Any, ...]
    secret: tuple[tuple[Words, ...], ...]
    evaluation: EvaluationKeys

    def __reduce__(self) -> Any:
        raise TypeError("secret keys are not pickled")


def generate_keys(parameters: tuple[bytes, ...], cache: str | None) -> KeySet:
    """Return new keys.

    Parameters
    ----------
    parameters : tuple of bytes
        Of each part of a circuit.
    cache : str or None
        Folder from which the engine takes keys that it has generated before, unprotected. None is right.

    Returns
    -------
    KeySet
    """
    native = tuple(generate_keyset(each, cache) for each in parameters)
    id = secrets.token_hex(16)
    evaluation = EvaluationKeys(id, parameters, [public_keyset(keyset) for keyset in native])
    return KeySet(id, native, tuple(secret_words(keyset) for keyset in native), evaluation)
