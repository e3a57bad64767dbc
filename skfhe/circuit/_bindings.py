"""The engine's bindings: keys, encryption, evaluation and decryption.

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

_SECRET_KEY_HEAD = (
    b"\x03\0\0\0\0\0\0\x000.5"
    + b"\0\0\0\0\x03\0\0\0\0\0\0\x000.1"
    + (b"\x19\0\0\0\0\0\0\0core_crypto::LweSecretKey\0\0\0\0")
)
"""What the engine writes before the number of words of a secret key."""

__all__ = [
    "ClientFunction",
    "ServerFunction",
    "compiler",
    "compressed_keys",
    "engine_keyset",
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


def engine_keyset(parameters: bytes, secret: tuple[Words, ...]) -> Any:
    """Return a set of keys of the engine with these secret keys, of which `secret_words` are the words.

    Its evaluation keys are others than those that were made before.
    """
    information = compiler.ProgramInfo.deserialize(parameters)
    forms = information.get_keyset_info().secret_keys()
    keys = {
        id: compiler.LweSecretKey.deserialize(
            _SECRET_KEY_HEAD + len(words).to_bytes(8, "little") + words.astype("<u8").tobytes(), form
        )
        for id, (words, form) in enumerate(zip(secret, forms, strict=True))
    }
    return compiler.Keyset(information, None, 0, 0, 0, 0, keys)


def value(x: IntArray) -> Any:
    """Return ``x`` for the engine, which reads the buffer of an array and ignores its strides."""
    return compiler.Value(np.ascontiguousarray(x, dtype=np.int64))


def _ciphertext(given: Any) -> Any:
    """Return a ciphertext for the engine, which trusts the bytes of one."""
    return compiler.TransportValue.deserialize(given) if isinstance(given, bytes) else given


class ClientFunction:
    """Encrypts what one function of a module takes, and decrypts what it returns, by the engine itself.

    It is for ciphertexts that `skfhe.encryption` does not know.

    The engine's own objects read the description and the keys anew in every call, some milliseconds in all;
    here it is done once. Random numbers are drawn from a generator that is seeded by the operating system
    here, so a forked process must make an object of its own.

    Parameters
    ----------
    parameters : bytes
        The engine's description of keys and ciphertexts.
    keyset : concrete.compiler.Keyset
        Generated for these parameters: for others the engine would end the process.
    name : str
        The function.
    """

    def __init__(self, parameters: bytes, keyset: Any, name: str) -> None:
        information = compiler.ProgramInfo.deserialize(parameters)
        program = compiler.ClientProgram.create_encrypted(information, keyset)
        self._client = program.get_client_circuit(name)
        self._lock = threading.Lock()

    def encrypt(self, *inputs: IntArray) -> tuple[Any, ...]:
        """Return a ciphertext for each array; shapes and ranges are the caller's to check."""
        with self._lock:
            return tuple(self._client.prepare_input(value(x), i) for i, x in enumerate(inputs))

    def decrypt(self, *outputs: Any) -> tuple[IntArray, ...]:
        """Return the int64 array in each ciphertext."""
        with self._lock:
            read = [self._client.process_output(_ciphertext(y), i) for i, y in enumerate(outputs)]
        return tuple(np.asarray(y.to_py_val()).astype(np.int64) for y in read)


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

    def run(self, keyset: Any, inputs: Iterable[Any]) -> tuple[Any, ...]:
        """Return a ciphertext for each output.

        Parameters
        ----------
        keyset : concrete.compiler.ServerKeyset
            For the module's parameters: those for others end the process.
        inputs : iterable of ciphertext
            As the engine has them or serializes them. They are read one after the other, in the memory that
            is kept from one run to the next.
        """
        claim(Work.EVALUATION, "an encrypted run")
        with self._lock, kept_memory():
            return tuple(self._server.call([_ciphertext(x) for x in inputs], keyset))
