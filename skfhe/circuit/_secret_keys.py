"""Secret keys, and the form in which they are kept."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import numpy as np

from skfhe.circuit._frames import pack, unpack
from skfhe.circuit._key_messages import key_parameters, secret_dimensions, words_bytes
from skfhe.circuit._keys import (
    NONCE_BYTES,
    SECRET_MAGIC,
    EvaluationKeys,
    KeyId,
    SentKeys,
    distinct_parameters,
)
from skfhe.encryption import SEAL_BYTES, Words, new_protection, seal, unseal
from skfhe.exceptions import CiphertextMismatchError

__all__ = ["SecretKeys", "key_set_parameters", "read_key_header"]

_WHAT = "secret keys"
_CHECKSUM_BYTES = 32


class SecretKeys:
    """Secret keys of one or several circuits, and the evaluation keys made of them.

    There are keys of every parameters that a part of the circuit needs keys of, once: parts that need equal
    keys share them, and so do circuits whose parts need the same ones. Nothing is lost by that. LWE is taken
    to be hard for any number of ciphertexts under one key. What must never occur twice is a mask, and masks
    come from the seed of a batch, drawn for each anew, and the number of an array, which counts the inputs of
    the whole circuit, not of one part: so the arrays of a batch differ in their masks whichever parts they
    are of, and those of two batches whichever circuits they are of. The noise of every array is drawn for
    itself.

    They are shown, pickled and copied nowhere; `to_bytes` is the one way to write them, for their owner.

    Parameters
    ----------
    secret : mapping of bytes to tuple of ndarray of uint64
        The bits of each secret key, in words, in the order of their ids, by their parameters: these are as
        `distinct_parameters` returns them, and in its order.
    evaluation : EvaluationKeys
    created : datetime
    expires : datetime, optional
        From when on nothing should be encrypted under them; what was before is decrypted. Never by default.

    Attributes
    ----------
    evaluation : EvaluationKeys
        What goes to a server.
    created : datetime
    expires : datetime or None
    """

    def __init__(
        self,
        secret: Mapping[bytes, tuple[Words, ...]],
        evaluation: EvaluationKeys,
        created: datetime,
        expires: datetime | None = None,
    ) -> None:
        self._secret = dict(secret)
        self.evaluation = evaluation
        self.created = created
        self.expires = expires

    def __repr__(self) -> str:
        return f"SecretKeys(of {len(self._secret)} parameters)"

    def __reduce__(self) -> Any:
        raise TypeError("secret keys are not pickled; write `to_bytes` where their owner alone reads")

    @property
    def id(self) -> KeyId | str:
        """Names the keys, by `str` their content."""
        return self.evaluation.id

    @property
    def expired(self) -> bool:
        """Whether the time is up until which rows should be encrypted under them."""
        return self.expires is not None and self.expires <= datetime.now(UTC)

    def of(self, parameters: bytes) -> tuple[Words, ...]:
        """Return the secret keys for one part of a circuit, by the engine's description of it."""
        return self._secret[key_parameters(parameters)]

    def check(self, parameters: Iterable[bytes]) -> None:
        """Raise an error unless the keys are for these parameters.

        Parameters
        ----------
        parameters : iterable of bytes
            Of each part of a circuit: the engine's description.

        Raises
        ------
        CiphertextMismatchError
        """
        if tuple(self._secret) != distinct_parameters(parameters):
            raise CiphertextMismatchError(
                "the secret keys were generated for other parameters than the circuit was compiled for; "
                "generate keys for its present ones"
            )

    def to_bytes(self, passphrase: str | None = None) -> bytes:
        """Return the secret keys as bytes, to be kept where nobody but their owner reads them.

        Evaluation keys are not among the bytes: these are large and not secret; keep what
        ``evaluation.to_bytes()`` returns beside them.

        Parameters
        ----------
        passphrase : str, optional
            The keys are encrypted and authenticated under it: AES-256-GCM under a key that scrypt makes of
            it (N = 2**15, r = 8, p = 3: 32 MiB, some tenths of a second). Without one they are readable, and
            have a checksum.

        Returns
        -------
        bytes
            Name, dates, parameters and nonce in the clear, authenticated with the keys, and a bit for each
            bit of the keys.
        """
        protection = None if passphrase is None else new_protection()
        header = {
            "id": str(self.id),
            "created": self.created.isoformat(),
            "expires": self.expires.isoformat() if self.expires else None,
            "protection": protection,
        }
        bits = np.concatenate([words for keys in self._secret.values() for words in keys])
        secret = np.packbits(bits.astype(np.uint8)).tobytes()
        n_sealed = len(secret) + (SEAL_BYTES if protection else _CHECKSUM_BYTES)
        frame = pack(SECRET_MAGIC, header, [self.evaluation.nonce, *self._secret, bytes(n_sealed)])[
            :-n_sealed
        ]
        if protection is None or passphrase is None:
            return frame + secret + hashlib.sha256(frame + secret).digest()
        return frame + seal(secret, passphrase, protection, frame)

    @classmethod
    def from_bytes(
        cls,
        data: bytes,
        passphrase: str | None = None,
        evaluation_keys: Callable[[], bytes] | None = None,
    ) -> "SecretKeys":
        """Return the keys that `to_bytes` was called on.

        Parameters
        ----------
        data : bytes
        passphrase : str, optional
            That they were written under. None if they were written without one: keys that are not protected
            are refused to whoever expects them to be.
        evaluation_keys : callable, optional
            Returns the bytes of the evaluation keys, when these are first asked for. Without it there are
            none, unless they are a constant, as circuits without lookups have them.

        Returns
        -------
        SecretKeys

        Raises
        ------
        ValueError
            If these are not the bytes of secret keys, or not all of them, or of another version, or were
            altered; or if the passphrase is another one, or missing, or not needed.
        """
        header, blocks = unpack(SECRET_MAGIC, data, _WHAT)
        nonce, distinct, sealed = _checked(header, blocks)
        secret = _opened(data[: -len(sealed)], sealed, header["protection"], passphrase)
        sizes = {each: secret_dimensions(each) for each in distinct}
        n_bits = sum(sum(dimensions) for dimensions in sizes.values())
        if len(secret) != (n_bits + 7) // 8:
            raise ValueError(
                f"expected {n_bits} bits of secret keys by their parameters, got {len(secret)} bytes"
            )
        bits = np.unpackbits(np.frombuffer(secret, dtype=np.uint8)).astype(np.uint64)
        words, start = {}, 0
        for each, dimensions in sizes.items():
            ends = start + np.cumsum(dimensions)
            words[each] = tuple(bits[end - n : end] for n, end in zip(dimensions, ends, strict=True))
            start = int(ends[-1])
        evaluation = _evaluation(header["id"], nonce, distinct, evaluation_keys)
        created = _date(header["created"])
        assert created is not None  # it was checked
        return cls(words, evaluation, created, _date(header["expires"]))


def key_set_parameters(parameters: Iterable[bytes]) -> str:
    """Return a name for the parameters of the keys that a circuit needs, by which one finds some.

    Parameters
    ----------
    parameters : iterable of bytes
        Of each part of the circuit: the engine's description.

    Returns
    -------
    str
        The same for circuits that can share keys.
    """
    return _named(distinct_parameters(parameters))


def _named(distinct: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for each in distinct:
        digest.update(len(each).to_bytes(8, "little") + each)
    return digest.hexdigest()


def read_key_header(data: bytes) -> dict[str, Any]:
    """Return what `SecretKeys.to_bytes` says in the clear, unlocked by nothing and authenticated by nothing.

    Parameters
    ----------
    data : bytes

    Returns
    -------
    dict
        ``"id"``, ``"created"``, ``"expires"``, ``"protected"``, and ``"parameters"`` by `key_set_parameters`.

    Raises
    ------
    ValueError
        If these are not the bytes of secret keys.
    """
    header, blocks = unpack(SECRET_MAGIC, data, _WHAT)
    _, distinct, _ = _checked(header, blocks)
    return {
        "id": header["id"],
        "created": _date(header["created"]),
        "expires": _date(header["expires"]),
        "protected": header["protection"] is not None,
        "parameters": _named(distinct),
    }


def _checked(header: Mapping[str, Any], blocks: list[bytes]) -> tuple[bytes, tuple[bytes, ...], bytes]:
    """Return nonce, parameters and what is sealed, every field being of its type."""
    protection = header.get("protection", "")
    if (
        {*header} != {"id", "created", "expires", "protection"}
        or not isinstance(header["id"], str)
        or _date(header["created"]) is None
        or not (header["expires"] is None or _date(header["expires"]))
        or not (protection is None or isinstance(protection, dict))
        or len(blocks) < 3
        or len(blocks[0]) != NONCE_BYTES
        or not blocks[-1]
    ):
        raise ValueError(f"the header of {_WHAT} lacks a field, or has one that cannot be")
    nonce, *distinct, sealed = blocks
    for each in distinct:
        try:
            secret_dimensions(each), words_bytes(each)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("these are not the parameters of keys of a kind that is known") from error
    return nonce, tuple(distinct), sealed


def _date(text: object) -> datetime | None:
    """Return a time that is written with its zone, or None if it is not one."""
    try:
        date = datetime.fromisoformat(text)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return date if date.tzinfo else None


def _opened(
    frame: bytes, sealed: bytes, protection: Mapping[str, Any] | None, passphrase: str | None
) -> bytes:
    """Return the secret keys, of which nothing was altered."""
    if protection is None:
        if passphrase is not None:
            raise ValueError(
                "these secret keys are not protected by a passphrase, though one was given: they are not "
                "those that were written under it. Leave it out to read them, or generate new ones"
            )
        secret, checksum = sealed[:-_CHECKSUM_BYTES], sealed[-_CHECKSUM_BYTES:]
        if hashlib.sha256(frame + secret).digest() != checksum:
            raise ValueError("the secret keys were altered: their checksum is another one")
        return secret
    if passphrase is None:
        raise ValueError("these secret keys are protected by a passphrase, and none was given")
    opened = unseal(sealed, passphrase, protection, frame)
    if opened is None:
        raise ValueError(
            "the passphrase is another one than the secret keys were written under, or they were altered"
        )
    return opened


def _evaluation(
    id: str, nonce: bytes, distinct: tuple[bytes, ...], read: Callable[[], bytes] | None
) -> EvaluationKeys:
    """Return evaluation keys whose words are read when they are first needed."""

    @lru_cache(maxsize=1)
    def found() -> EvaluationKeys:
        if read is None:
            raise ValueError(
                "the evaluation keys are not beside these secret keys; generate new ones, or read the keys "
                "with what EvaluationKeys.to_bytes has returned"
            )
        keys = EvaluationKeys.from_bytes(read())
        if keys.id != id:
            raise ValueError(
                f"expected the evaluation keys {id}, which belong to the secret ones, got {keys.id}"
            )
        return keys

    def words(i: int) -> Callable[[], bytes]:
        return lambda: found().words(i)

    made = [words(i) if words_bytes(each) else b"" for i, each in enumerate(distinct)]
    sent = SentKeys(nonce, distinct, made, id if any(made) else None)
    if not any(made) and sent.id != id:
        raise ValueError("the secret keys were altered: they do not have the name that they state")
    return EvaluationKeys(id, sent)
