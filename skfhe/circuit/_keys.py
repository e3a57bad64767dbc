"""Keys of a circuit: secret ones, which stay where they are, and evaluation keys, which a server needs."""

import hashlib
import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from skfhe.circuit._bindings import (
    compressed_keys,
    generate_keyset,
    public_keyset,
    read_public_keyset,
    secret_words,
)
from skfhe.circuit._frames import pack, unpack
from skfhe.circuit._host import PerProcess
from skfhe.circuit._key_messages import (
    key_message,
    key_parameters,
    key_words,
    secret_keys_of_the_engine,
    words_bytes,
)
from skfhe.encryption import Words
from skfhe.exceptions import CiphertextMismatchError

__all__ = ["KEYS_MAGIC", "NONCE_BYTES", "EvaluationKeys", "KeyId", "KeySet", "generate_keys"]

KEYS_MAGIC = b"skfhe-ek"
NONCE_BYTES = 16


class _SentKeys:
    """Evaluation keys in the form that is sent.

    Parameters
    ----------
    nonce : bytes
        Drawn with the secret keys. Circuits without lookups have no evaluation keys; it tells theirs apart.
    parameters : tuple of bytes
        Of each part of a circuit, as `key_parameters` returns them.
    words : tuple of bytes or callable
        The words of each part's keys, or what makes them when they are first asked for.
    """

    def __init__(
        self,
        nonce: bytes,
        parameters: tuple[bytes, ...],
        words: tuple[bytes, ...] | Callable[[], tuple[bytes, ...]],
    ) -> None:
        self.nonce = nonce
        self.parameters = parameters
        self._words = words
        self._id: str | None = None
        self._lock = PerProcess(threading.RLock)

    @property
    def lock(self) -> Any:
        """Held while something is made of the keys that is made once."""
        return self._lock.here()

    @property
    def words(self) -> tuple[bytes, ...]:
        """The words of each part's keys, made once."""
        with self.lock:
            if not isinstance(self._words, tuple):
                self._words = self._words()
            return self._words

    @property
    def blocks(self) -> list[bytes]:
        """All that the keys are, as blocks of a frame."""
        return [self.nonce, *self.parameters, *self.words]

    @property
    def id(self) -> str:
        """SHA-256 over the frame's magic number and every block, each after its length, in hexadecimal."""
        with self.lock:
            if self._id is None:
                digest = hashlib.sha256(KEYS_MAGIC)
                for block in self.blocks:
                    digest.update(len(block).to_bytes(8, "little"))
                    digest.update(block)
                self._id = digest.hexdigest()
            return self._id


class KeyId:
    """Names keys that were generated in this process, by the content of the evaluation keys as they are sent.

    To make these takes as long as to generate keys, and nobody needs them who runs where the keys are. So
    the name is found when it is asked for, by `str` or in comparison with a name that came from elsewhere; it
    stays the same from then on. Of two that were generated here it is known that they differ.

    Parameters
    ----------
    sent : _SentKeys
    """

    def __init__(self, sent: _SentKeys) -> None:
        self._sent = sent

    def __str__(self) -> str:
        return self._sent.id

    def __repr__(self) -> str:
        return "KeyId(of keys generated here)"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, KeyId):
            return self._sent is other._sent
        return str(self) == other if isinstance(other, str) else NotImplemented

    def __hash__(self) -> int:
        return hash(str(self))

    def __reduce__(self) -> Any:
        return str, (str(self),)


class EvaluationKeys:
    """What a circuit is run under: made of secret keys, and of no use to decrypt.

    Those that were generated in this process are run as they are. What is sent are others, of the same secret
    keys, in which seeds take the place of what is drawn from them: a fourth to a sixth of the bytes. They
    are made when they are first asked for, and expanded once where they are run.

    Parameters
    ----------
    id : KeyId or str
        Names the keys; the same as of the secret ones.
    sent : _SentKeys
    keysets : sequence
        The engine's own, one for each part, or None until it is needed.
    """

    def __init__(self, id: "KeyId | str", sent: _SentKeys, keysets: Sequence[Any]) -> None:
        self.id = id
        self._sent = sent
        self._keysets = list(keysets)

    def __repr__(self) -> str:
        return f"EvaluationKeys(of {len(self._keysets)} part(s))"

    def __reduce__(self) -> Any:
        # By bytes alone: what makes them refers to the secret keys.
        return EvaluationKeys.from_bytes, (self.to_bytes(),)

    def keyset(self, part: int) -> Any:
        """Return the engine's own keys for one part, which `check` must have found to be the circuit's."""
        with self._sent.lock:
            if self._keysets[part] is None:
                message = key_message(self._sent.parameters[part]) + self._sent.words[part]
                self._keysets[part] = read_public_keyset(message)
            return self._keysets[part]

    def check(self, parameters: Sequence[bytes]) -> None:
        """Raise an error unless the keys are for these parameters, and of the size that these say.

        Parameters
        ----------
        parameters : sequence of bytes
            Of each part of a circuit: the engine's description.

        Raises
        ------
        CiphertextMismatchError
        """
        if self._sent.parameters != tuple(key_parameters(each) for each in parameters):
            raise CiphertextMismatchError(
                "the evaluation keys were generated for other parameters than the circuit was compiled for; "
                "generate keys for its present ones"
            )
        for i, keyset in enumerate(self._keysets):
            if keyset is None:
                expected, n_bytes = words_bytes(self._sent.parameters[i]), len(self._sent.words[i])
                if n_bytes != expected:
                    raise CiphertextMismatchError(
                        f"expected {expected} bytes of evaluation keys of part {i}, got {n_bytes}"
                    )

    def to_bytes(self) -> bytes:
        """Return the keys as bytes, for the process that runs the circuit.

        The first call takes about as long as `ClientSession.keygen`.

        Returns
        -------
        bytes
            No secret key is among them.

        Raises
        ------
        ForkedProcessError
            If this process was forked from one that had generated the keys, but had not called this, nor
            asked for their name.
        """
        return pack(KEYS_MAGIC, {"id": self._sent.id}, self._sent.blocks)

    @classmethod
    def from_bytes(cls, data: bytes) -> "EvaluationKeys":
        """Return the keys that `to_bytes` was called on.

        Their name is computed from them, so that altered ones are refused. The parameters that they were
        generated for and their sizes are compared with the circuit's when that is run; then the engine
        is given the keys in a message that is made from the circuit's parameters, not from ``data``.

        Parameters
        ----------
        data : bytes

        Returns
        -------
        EvaluationKeys

        Raises
        ------
        ValueError
            If these are not the bytes of evaluation keys, or not all of them, or of another version, or if
            they were altered; or if they are secret keys.
        """
        if isinstance(data, bytes) and secret_keys_of_the_engine(data):
            raise ValueError(
                "these are secret keys, in the engine's own form: whoever has them decrypts everything. Keep "
                "them, and send what EvaluationKeys.to_bytes returns"
            )
        header, blocks = unpack(KEYS_MAGIC, data, "evaluation keys")
        n_parts = len(blocks) // 2
        if (
            not isinstance(header.get("id"), str)
            or not n_parts
            or len(blocks) != 1 + 2 * n_parts
            or len(blocks[0]) != NONCE_BYTES
        ):
            raise ValueError("the header of evaluation keys lacks a field, or has one that cannot be")
        sent = _SentKeys(blocks[0], tuple(blocks[1 : 1 + n_parts]), tuple(blocks[1 + n_parts :]))
        if header["id"] != sent.id:
            raise ValueError(
                "the evaluation keys were altered: their content does not have the name that they state"
            )
        return cls(sent.id, sent, [None] * n_parts)


@dataclass(frozen=True, eq=False, repr=False)
class KeySet:
    """Secret keys, and the evaluation keys made of them.

    Parameters
    ----------
    id : KeyId
        Names this set alone.
    native : tuple of concrete.compiler.Keyset
        One for each part of a circuit.
    secret : tuple of tuple of ndarray
        The bits of each secret key of each part, in words.
    evaluation : EvaluationKeys
    """

    id: KeyId
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
        Of each part of a circuit: the engine's description.
    cache : str or None
        Folder from which the engine takes keys that it has generated before, unprotected. None is right.

    Returns
    -------
    KeySet
    """
    native = tuple(generate_keyset(each, cache) for each in parameters)
    described = tuple(key_parameters(each) for each in parameters)

    def words() -> tuple[bytes, ...]:
        return tuple(
            key_words(said, compressed_keys(each, keyset))
            for said, each, keyset in zip(described, parameters, native, strict=True)
        )

    sent = _SentKeys(secrets.token_bytes(NONCE_BYTES), described, words)
    id = KeyId(sent)
    evaluation = EvaluationKeys(id, sent, [public_keyset(keyset) for keyset in native])
    return KeySet(id, native, tuple(secret_words(keyset) for keyset in native), evaluation)
