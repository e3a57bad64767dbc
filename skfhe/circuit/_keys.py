"""Evaluation keys, which a server needs, and the name that they give to keys.

Nothing here needs the engine but to run what is encrypted under the keys; see `EvaluationKeys.keyset`.
"""

import hashlib
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from skfhe.circuit._frames import pack, unpack
from skfhe.circuit._host import PerProcess
from skfhe.circuit._key_messages import (
    key_message,
    key_parameters,
    secret_keys_of_the_engine,
    words_bytes,
)
from skfhe.exceptions import CiphertextMismatchError

__all__ = [
    "KEYS_MAGIC",
    "NONCE_BYTES",
    "SECRET_MAGIC",
    "EvaluationKeys",
    "KeyId",
    "SentKeys",
    "distinct_parameters",
    "refuse_secret_keys",
    "sent_key_bytes",
]

KEYS_MAGIC = b"skfhe-ek"
SECRET_MAGIC = b"skfhe-sk"
"""Of `skfhe.circuit._secret_keys`: refused by name where evaluation keys are expected."""
NONCE_BYTES = 16


def distinct_parameters(parameters: Iterable[bytes]) -> tuple[bytes, ...]:
    """Return what is said of the keys that a circuit needs, each once, in an order of their own.

    Parts of a circuit, and circuits, that need keys of the same parameters share them.

    Parameters
    ----------
    parameters : iterable of bytes
        Of each part of a circuit: the engine's description.
    """
    return tuple(sorted({key_parameters(each) for each in parameters}, reverse=True))


def sent_key_bytes(parameters: Iterable[bytes]) -> int:
    """Return the bytes of a circuit's evaluation keys as they are sent, without a header.

    Parameters
    ----------
    parameters : iterable of bytes
        Of each part of the circuit: the engine's description.

    Raises
    ------
    ValueError
        If they cannot be sent: the message says why.
    """
    return sum(words_bytes(each) for each in distinct_parameters(parameters))


def refuse_secret_keys(data: object) -> None:
    """Raise an error if ``data`` is the bytes of secret keys, in the form of this project or of the engine.

    Whoever gives away or takes bytes of others calls it, so that a mistake of names does no harm.

    Parameters
    ----------
    data : object

    Raises
    ------
    ValueError
    """
    if isinstance(data, bytes) and (data.startswith(SECRET_MAGIC) or secret_keys_of_the_engine(data)):
        raise ValueError(
            "these are secret keys: whoever has them decrypts everything. Keep them, and send what "
            "EvaluationKeys.to_bytes returns"
        )


class SentKeys:
    """Evaluation keys in the form that is sent.

    Parameters
    ----------
    nonce : bytes
        Drawn with the secret keys. Circuits without lookups have no evaluation keys; it tells theirs apart.
    parameters : tuple of bytes
        As `distinct_parameters` returns them: there are keys of each.
    words : sequence of bytes or callable
        The words of the keys of each parameters, or what makes them when they are first asked for.
    id : str, optional
        Where it is known without the words.
    """

    def __init__(
        self,
        nonce: bytes,
        parameters: tuple[bytes, ...],
        words: Sequence[bytes | Callable[[], bytes]],
        id: str | None = None,
    ) -> None:
        self.nonce = nonce
        self.parameters = parameters
        self._words = list(words)
        self._id = id
        self._lock = PerProcess(threading.RLock)

    @property
    def lock(self) -> Any:
        """Held while something is made of the keys that is made once."""
        return self._lock.here()

    def words(self, i: int) -> bytes:
        """Return the words of the keys of the parameters of number ``i``, made once."""
        with self.lock:
            made = self._words[i]
            if not isinstance(made, bytes):
                made = self._words[i] = made()
            return made

    @property
    def blocks(self) -> list[bytes]:
        """All that the keys are, as blocks of a frame."""
        return [self.nonce, *self.parameters, *map(self.words, range(len(self.parameters)))]

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
    sent : SentKeys
    """

    def __init__(self, sent: SentKeys) -> None:
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
    sent : SentKeys
    keysets : mapping of bytes to keyset, optional
        The engine's own, by their parameters, as far as there are any.
    """

    def __init__(self, id: "KeyId | str", sent: SentKeys, keysets: Mapping[bytes, Any] | None = None) -> None:
        self.id = id
        self._sent = sent
        self._keysets = dict(keysets or {})

    def __repr__(self) -> str:
        return f"EvaluationKeys(of {len(self._sent.parameters)} parameters)"

    def __reduce__(self) -> Any:
        # By bytes alone: what makes them refers to the secret keys.
        return EvaluationKeys.from_bytes, (self.to_bytes(),)

    @property
    def nonce(self) -> bytes:
        """Tells apart what has no words."""
        return self._sent.nonce

    def words(self, i: int) -> bytes:
        """Return the words of the keys of the parameters of number ``i``."""
        return self._sent.words(i)

    def keyset(self, parameters: bytes) -> Any:
        """Return the engine's own keys for one part of a circuit, for which `check` must have found them.

        Parameters
        ----------
        parameters : bytes
            Of the part: the engine's description.
        """
        from skfhe.circuit._bindings import read_public_keyset

        wanted = key_parameters(parameters)
        with self._sent.lock:
            if wanted not in self._keysets:
                words = self._sent.words(self._sent.parameters.index(wanted))
                self._keysets[wanted] = read_public_keyset(key_message(wanted) + words)
            return self._keysets[wanted]

    def check(self, parameters: Iterable[bytes]) -> None:
        """Raise an error unless the keys are for these parameters, and of the size that these say.

        Parameters
        ----------
        parameters : iterable of bytes
            Of each part of a circuit: the engine's description.

        Raises
        ------
        CiphertextMismatchError
        """
        if self._sent.parameters != distinct_parameters(parameters):
            raise CiphertextMismatchError(
                "the evaluation keys were generated for other parameters than the circuit was compiled for; "
                "generate keys for its present ones"
            )
        for i, each in enumerate(self._sent.parameters):
            if each not in self._keysets:
                expected, n_bytes = words_bytes(each), len(self._sent.words(i))
                if n_bytes != expected:
                    raise CiphertextMismatchError(
                        f"expected {expected} bytes of evaluation keys number {i}, got {n_bytes}"
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
        refuse_secret_keys(data)
        header, blocks = unpack(KEYS_MAGIC, data, "evaluation keys")
        n_keys = len(blocks) // 2
        if (
            not isinstance(header.get("id"), str)
            or not n_keys
            or len(blocks) != 1 + 2 * n_keys
            or len(blocks[0]) != NONCE_BYTES
        ):
            raise ValueError("the header of evaluation keys lacks a field, or has one that cannot be")
        sent = SentKeys(blocks[0], tuple(blocks[1 : 1 + n_keys]), blocks[1 + n_keys :])
        if header["id"] != sent.id:
            raise ValueError(
                "the evaluation keys were altered: their content does not have the name that they state"
            )
        return cls(sent.id, sent)
