"""The engine's own encryption and decryption, to compare ours with."""

import numpy as np

from skfhe.circuit._bindings import compiler, value

SECRET_KEY_HEAD = (
    b"\x03\0\0\0\0\0\0\x000.5"
    + b"\0\0\0\0\x03\0\0\0\0\0\0\x000.1"
    + (b"\x19\0\0\0\0\0\0\0core_crypto::LweSecretKey\0\0\0\0")
)
"""What the engine writes before the number of words of a secret key."""


def engine_keyset(parameters, secret):
    """Return a set of keys of the engine with these secret keys, of which `secret_words` are the words.

    Its evaluation keys are others than those that were made before.
    """
    information = compiler.ProgramInfo.deserialize(parameters)
    forms = information.get_keyset_info().secret_keys()
    keys = {
        id: compiler.LweSecretKey.deserialize(
            SECRET_KEY_HEAD + len(words).to_bytes(8, "little") + words.astype("<u8").tobytes(), form
        )
        for id, (words, form) in enumerate(zip(secret, forms, strict=True))
    }
    return compiler.Keyset(information, None, 0, 0, 0, 0, keys)


class EngineClient:
    """Encrypts what one function takes, and decrypts what it returns, by the engine alone.

    Parameters
    ----------
    parameters : bytes
        The engine's description of keys and ciphertexts.
    keyset : concrete.compiler.Keyset
        Generated for these parameters: for others the engine would end the process.
    name : str
        The function.
    """

    def __init__(self, parameters, keyset, name):
        information = compiler.ProgramInfo.deserialize(parameters)
        program = compiler.ClientProgram.create_encrypted(information, keyset)
        self._client = program.get_client_circuit(name)

    def encrypt(self, *inputs):
        """Return the ciphertexts of each array, serialized."""
        return tuple(self._client.prepare_input(value(x), i).serialize() for i, x in enumerate(inputs))

    def decrypt(self, *outputs):
        """Return the int64 array in each of the serialized ciphertexts."""
        read = [
            self._client.process_output(compiler.TransportValue.deserialize(y), i)
            for i, y in enumerate(outputs)
        ]
        return tuple(np.asarray(y.to_py_val()).astype(np.int64) for y in read)
