"""The engine's own encryption and decryption, to compare ours with."""

import numpy as np

from skfhe.circuit._bindings import compiler, value


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
