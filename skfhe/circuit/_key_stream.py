"""Evaluation keys that come a piece at a time, checked while they do, and never held as a whole."""

import hashlib

from skfhe.circuit._frames import frame_head
from skfhe.circuit._key_messages import words_bytes
from skfhe.circuit._keys import KEYS_MAGIC, NONCE_BYTES, distinct_parameters, refuse_secret_keys
from skfhe.circuit._specs import CircuitSpecs

__all__ = ["KeyStream"]


class KeyStream:
    """Checks the bytes of `EvaluationKeys.to_bytes` as they come.

    All but 16 random bytes and the words of the keys is known from the circuit. Keys of other parameters, and
    secret keys, are refused at their first bytes; what was altered, at the end.

    Parameters
    ----------
    specs : CircuitSpecs
        Of the circuit that the keys are for.
    key_id : str
        What the keys are said to be.

    Attributes
    ----------
    n_bytes : int
        That the keys have.
    """

    def __init__(self, specs: CircuitSpecs, key_id: str) -> None:
        self._key_id = key_id
        self._parameters = distinct_parameters(part.parameters for part in specs.parts)
        words = [words_bytes(each) for each in self._parameters]
        lengths = [NONCE_BYTES, *map(len, self._parameters), *words]
        self._head = frame_head(KEYS_MAGIC, {"id": key_id}, lengths)
        self._n_known = len(self._head) + lengths[0] + sum(map(len, self._parameters))
        self.n_bytes = len(self._head) + sum(lengths)
        self._begin: bytearray | None = bytearray()
        self._left = words
        """Bytes to come of each block of words, of which the first has begun."""
        self._digest = hashlib.sha256(KEYS_MAGIC)

    def update(self, piece: bytes) -> None:
        """Take the next bytes.

        Parameters
        ----------
        piece : bytes

        Raises
        ------
        ValueError
            If they are not of these keys, or there are too many.
        """
        if self._begin is not None:
            self._begin += piece
            self._check_begin(self._begin)
            if len(self._begin) < self._n_known:
                return
            piece = bytes(self._begin[self._n_known :])
            self._add(bytes(self._begin[len(self._head) : len(self._head) + NONCE_BYTES]))
            for each in self._parameters:
                self._add(each)
            self._begin = None
            self._start_block()
        view = memoryview(piece)
        while len(view):
            if not self._left:
                raise ValueError(f"evaluation keys of {self.n_bytes} bytes have ended, and more came")
            n = min(self._left[0], len(view))
            self._digest.update(view[:n])
            self._left[0] -= n
            view = view[n:]
            if not self._left[0]:
                del self._left[0]
                self._start_block()

    def finish(self) -> None:
        """Raise an error unless all bytes have come, and are what the keys are said to be.

        Raises
        ------
        ValueError
        """
        if self._begin is not None or self._left:
            raise ValueError(f"the evaluation keys end before the {self.n_bytes} bytes that they have")
        if self._digest.hexdigest() != self._key_id:
            raise ValueError("the content of the evaluation keys is not what their key id says")

    @staticmethod
    def refuse_secret_keys(begin: bytes) -> None:
        """Raise an error if bytes are how secret keys begin.

        Parameters
        ----------
        begin : bytes

        Raises
        ------
        ValueError
        """
        refuse_secret_keys(begin)

    def _add(self, block: bytes) -> None:
        self._digest.update(len(block).to_bytes(8, "little") + block)

    def _start_block(self) -> None:
        """Begin the next block of words; one without any begins and ends at once."""
        while self._left:
            self._digest.update(self._left[0].to_bytes(8, "little"))
            if self._left[0]:
                return
            del self._left[0]

    def _check_begin(self, begin: bytearray) -> None:
        """Raise an error unless what has come is how these keys begin."""
        first, rest = bytes(begin[: len(self._head)]), bytes(begin[len(self._head) + NONCE_BYTES :])
        stated = b"".join(self._parameters)
        if self._head.startswith(first) and stated.startswith(rest[: len(stated)]):
            return
        self.refuse_secret_keys(bytes(begin))
        if not first.startswith(KEYS_MAGIC[: len(first)]):
            raise ValueError("expected evaluation keys, as EvaluationKeys.to_bytes returns them")
        raise ValueError(
            "these evaluation keys were generated for other parameters than the model's, or have another key "
            "id or version: generate keys for the model as its client.zip has it now"
        )
