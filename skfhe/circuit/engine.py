"""The one place that imports concrete.

concrete-python announces the end of ``pkg_resources`` at import, which a user of skfhe can do nothing
about; the warning is silenced for that import alone.
"""

import atexit
import warnings
from typing import Any

import numpy as np

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message="pkg_resources is deprecated", category=UserWarning)
    from concrete import compiler, fhe
    from concrete.fhe.compilation.module_compiler import FunctionDef, ModuleCompiler
    from concrete.fhe.dtypes import Integer
    from concrete.fhe.representation import Graph, GraphProcessor, Operation

__all__ = [
    "EngineFunction",
    "FunctionDef",
    "Graph",
    "GraphProcessor",
    "Integer",
    "ModuleCompiler",
    "Operation",
    "fhe",
    "keep_exit_status",
]


def keep_exit_status(configuration: "fhe.Configuration") -> None:
    """Let the process end with its own exit status after an encrypted run.

    The engine shuts its dataflow runtime down when Python exits, and once anything has run encrypted that
    ends the process with status 0, whatever the program said: a failed test run or script would look like a
    success. The shutdown is needed only where that runtime is used.
    """
    if not (configuration.dataflow_parallelize or configuration.auto_parallelize):
        atexit.unregister(compiler._terminate_df_parallelization)


class EngineFunction:
    """Encrypts, evaluates and decrypts one function of a module, under its present keys.

    The module's own methods read the program's description, the library and the keys anew in every call, some
    milliseconds in all; here it is done once.

    Parameters
    ----------
    module : concrete.fhe.FheModule
        With keys.
    name : str
        The function.
    """

    def __init__(self, module: Any, name: str) -> None:
        client = module.client
        program = compiler.ClientProgram.create_encrypted(client.specs.program_info, client.keys._keyset)
        self._client = program.get_client_circuit(name)
        self._server = compiler.ServerProgram(module.server._library, False).get_server_circuit(name)
        self._keys = client.evaluation_keys.server_keyset

    def encrypt(self, *inputs: Any) -> tuple[Any, ...]:
        """Return a ciphertext for each C-ordered int64 array; shapes and ranges are the caller's to check."""
        return tuple(self._client.prepare_input(compiler.Value(x), i) for i, x in enumerate(inputs))

    def run(self, *inputs: Any) -> tuple[Any, ...]:
        """Return a ciphertext for each output."""
        return tuple(self._server.call(list(inputs), self._keys))

    def decrypt(self, *outputs: Any) -> tuple[Any, ...]:
        """Return the int64 array in each ciphertext."""
        clear = (self._client.process_output(y, i).to_py_val() for i, y in enumerate(outputs))
        return tuple(np.asarray(y).astype(np.int64) for y in clear)
