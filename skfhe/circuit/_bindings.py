"""The engine's bindings: keys and evaluation.

This file and `skfhe.circuit._engine`, which has the compiler, alone import concrete. This one does without
concrete's Python half, whose import takes a second and loads torch.

concrete-python announces the end of ``pkg_resources`` at import, which a user of skfhe can do nothing
about; the warning is silenced for that import alone.

Its objects must not be entered by two threads at once: results are then wrong, silently. Each of those here
has a lock of its own, so that different ones still work at the same time.
"""

import json
import threading
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np

from skfhe._typing import IntArray
from skfhe.circuit._host import Work, claim
from skfhe.circuit._key_messages import compressed
from skfhe.circuit._memory import KeptMemory, kept_memory
from skfhe.circuit._signals import keep_from_signals, keep_signal_handlers
from skfhe.encryption import WORD_BYTES, Words

with warnings.catch_warnings(), keep_signal_handlers():
    warnings.filterwarnings("ignore", message="pkg_resources is deprecated", category=UserWarning)
    from concrete import compiler

keep_from_signals()

__all__ = [
    "ServerFunction",
    "compiler",
    "compressed_keys",
    "generate_keyset",
    "public_keyset",
    "read_public_keyset",
    "secret_words",
    "value",
]


def generate_keyset(parameters: bytes, cache: str | None) -> Any:
    """Return new secret and evaluation keys.

    Parameters
    ----------
    parameters : bytes
        The engine's description of keys and ciphertexts.
    cache : str or None
        Folder in which the engine keeps keys, unprotected, and takes them from.

    Returns
    -------
    concrete.compiler.Keyset

    Raises
    ------
    ForkedProcessError
        If this process was forked from one that had generated keys, unless there are no bootstrap keys.
    """
    information = compiler.ProgramInfo.deserialize(parameters)
    if information.get_keyset_info().bootstrap_keys():
        claim(Work.KEY_GENERATION, "key generation")
    # Seeds of zero let the engine take its seeds from the operating system.
    return compiler.Keyset(information, compiler.KeysetCache(cache) if cache else None, 0, 0, 0, 0, None)


def public_keyset(keyset: Any) -> Any:
    """Return the evaluation keys of a set of keys."""
    return keyset.get_server_keys()


def compressed_keys(parameters: bytes, keyset: Any) -> bytes:
    """Return evaluation keys of the same secret keys, in which seeds take the place of masks, serialized.

    They are drawn anew: masks and noise are others than those of ``keyset``.

    Parameters
    ----------
    parameters : bytes
        The engine's description of keys and ciphertexts.
    keyset : concrete.compiler.Keyset
        Generated for these parameters.

    Returns
    -------
    bytes

    Raises
    ------
    ForkedProcessError
        If this process was forked from one that had generated keys, unless there is nothing to generate.
    """
    present, wanted = (json.loads(text)["keyset"] for text in (parameters, compressed(parameters)))
    if present != wanted:
        claim(Work.KEY_GENERATION, "making evaluation keys to be sent, and a name of their content,")
        ids = sorted(key["id"] for key in wanted["lweSecretKeys"])
        secret_keys = dict(zip(ids, keyset.get_client_keys().get_secret_keys(), strict=True))
        information = compiler.ProgramInfo.deserialize(compressed(parameters))
        keyset = compiler.Keyset(information, None, 0, 0, 0, 0, secret_keys)
    serialized: bytes = public_keyset(keyset).serialize()
    return serialized


def read_public_keyset(data: bytes) -> Any:
    """Return the evaluation keys in a message, all of which but the keys' words must be made here.

    The engine trusts it: see `skfhe.circuit._key_messages`.
    """
    return compiler.ServerKeyset.deserialize(data)


def secret_words(keyset: Any) -> tuple[Words, ...]:
    """Return the bits of each secret key of a set of keys, a word for each, in the order of their ids."""
    found = []
    for key in keyset.get_client_keys().get_secret_keys():
        dimension = key.param.dimension()
        serialized = key.serialize()  # the words are its end
        words = np.frombuffer(serialized[-dimension * WORD_BYTES :], dtype="<u8").astype(np.uint64)
        assert words.max() <= 1, "the engine serializes binary keys otherwise than it did"
        found.append(words)
    return tuple(found)


def value(x: IntArray) -> Any:
    """Return ``x`` for the engine, which reads the buffer of an array and ignores its strides."""
    return compiler.Value(np.ascontiguousarray(x, dtype=np.int64))


class ServerFunction:
    """Evaluates one function of a module on ciphertexts, under the keys of anyone.

    Parameters
    ----------
    program : concrete.compiler.ServerProgram
        The loaded library.
    name : str
        The function.
    """

    def __init__(self, program: Any, name: str) -> None:
        self._server = program.get_server_circuit(name)
        self._lock = threading.Lock()
        self._memory = KeptMemory()  # the last, for what is above is freed before it

    def run(self, keyset: Any, inputs: Iterable[bytes]) -> tuple[bytes, ...]:
        """Return the ciphertexts of each output, as the engine serializes them.

        Parameters
        ----------
        keyset : concrete.compiler.ServerKeyset
            For the module's parameters: those for others end the process.
        inputs : iterable of bytes
            As the engine serializes ciphertexts, and trusts them to be: all but the words must be made here.
            They are read one after the other, in the memory that is kept from one run to the next.
        """
        claim(Work.EVALUATION, "an encrypted run")
        with self._lock, kept_memory():
            given = [compiler.TransportValue.deserialize(x) for x in inputs]
            return tuple(y.serialize() for y in self._server.call(given, keyset))
