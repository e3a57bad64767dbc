"""The engine's compiler. What works on keys and ciphertexts is in `skfhe.circuit._bindings`.

It keeps state of the process while it traces and compiles, and is entered by one thread at a time.
"""

import atexit
import shutil
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from skfhe._typing import IntArray
from skfhe.circuit._bindings import compiler, value
from skfhe.circuit._host import Work, claim, process
from skfhe.circuit._signals import keep_from_signals, keep_interrupts, keep_signal_handlers

with warnings.catch_warnings(), keep_signal_handlers():
    warnings.filterwarnings("ignore", message="pkg_resources is deprecated", category=UserWarning)
    from concrete import fhe
    from concrete.fhe.compilation import server as engine_server
    from concrete.fhe.compilation.module_compiler import FunctionDef, ModuleCompiler
    from concrete.fhe.dtypes import Integer
    from concrete.fhe.extensions.tag import tag_context
    from concrete.fhe.representation import Graph, GraphProcessor, Operation

keep_from_signals()

__all__ = [
    "CompiledModule",
    "Graph",
    "GraphProcessor",
    "Integer",
    "Operation",
    "SimulatedFunction",
    "compile_module",
    "compile_simulation",
    "fhe",
]


@dataclass(frozen=True, eq=False)
class CompiledModule:
    """Functions that share one key set, as the engine compiled them.

    Its files are gone already: the libraries are loaded, and what the engine reports is here.

    Parameters
    ----------
    module : concrete.fhe.FheModule
        Of which only what needs no files works.
    program : concrete.compiler.ServerProgram
        The loaded library.
    mlir : str
    parameters : bytes
        Serialized description of keys and ciphertexts.
    complexity : float
        Of all functions together.
    p_error : float
        Of one lookup.
    bootstrap_key_bytes, keyswitch_key_bytes, packing_key_bytes : int
        Of evaluation keys. The engine's own figure of bootstrap keys counts each once for every dimension
        of its GLWE key.
    lookups : dict of str to int
        Programmable bootstraps of each function.
    """

    module: Any
    program: Any
    mlir: str
    parameters: bytes
    complexity: float
    p_error: float
    bootstrap_key_bytes: int
    keyswitch_key_bytes: int
    packing_key_bytes: int
    lookups: dict[str, int]

    @property
    def key_bytes(self) -> int:
        """All evaluation keys."""
        return self.bootstrap_key_bytes + self.keyswitch_key_bytes + self.packing_key_bytes


def _glwe_bytes(key: Any, n_matrices: int) -> int:
    """Return the size of a key made of ``n_matrices`` matrices of GLWE ciphertexts."""
    size = (key.glwe_dimension() + 1) ** 2 * key.polynomial_size() * key.level()
    return int(n_matrices * size * np.dtype(np.uint64).itemsize)


def compile_module(
    functions: Mapping[str, tuple[Callable[..., Any], Sequence[IntArray]]], configuration: "fhe.Configuration"
) -> CompiledModule:
    """Compile functions under one key set.

    Parameters
    ----------
    functions : mapping
        From a function's name to the function and a sample of its inputs, all encrypted.
    configuration : concrete.fhe.Configuration

    Returns
    -------
    CompiledModule

    Raises
    ------
    RuntimeError
        The engine's own, if it finds no parameters.
    """
    definitions, samples = [], {}
    for name, (function, inputs) in functions.items():
        definitions.append(FunctionDef(function, {f"x{i}": "encrypted" for i in range(len(inputs))}))
        samples[name] = [tuple(inputs) if len(inputs) > 1 else inputs[0]]
    keep_exit_status(configuration)
    with process().compiling, _without_folders(), keep_interrupts():
        _prepare_thread()
        module = ModuleCompiler(definitions, fhe.NotComposable()).compile(samples, configuration)
        compiled = {name: module.functions()[name] for name in functions}
        information = module.client.specs.program_info
        keys = information.get_keyset_info()
        return CompiledModule(
            module=module,
            program=compiler.ServerProgram(module.server._library, False),
            mlir=str(module.mlir),
            parameters=information.serialize(),
            complexity=float(module.complexity),
            p_error=float(module.p_error),
            bootstrap_key_bytes=sum(
                _glwe_bytes(key, key.input_lwe_dimension()) for key in keys.bootstrap_keys()
            ),
            keyswitch_key_bytes=int(module.size_of_keyswitch_keys),
            packing_key_bytes=sum(
                _glwe_bytes(key, key.input_lwe_dimension() + 1) for key in keys.packing_keyswitch_keys()
            ),
            lookups={name: int(function.programmable_bootstrap_count) for name, function in compiled.items()},
        )


@contextmanager
def _without_folders() -> Iterator[None]:
    """Remove the folders that the engine makes for its libraries, once these are loaded or have failed.

    It makes them in the temporary folder and leaves them there. The compiler's lock must be held.
    """
    made: list[str] = []

    def mkdtemp() -> str:
        made.append(tempfile.mkdtemp(prefix="skfhe-"))
        return made[-1]

    engine_server.tempfile = SimpleNamespace(mkdtemp=mkdtemp)
    try:
        yield
    finally:
        engine_server.tempfile = tempfile
        for folder in made:
            shutil.rmtree(folder, ignore_errors=True)


def keep_exit_status(configuration: "fhe.Configuration") -> None:
    """Let the process end with its own exit status after an encrypted run.

    The engine shuts its dataflow runtime down when Python exits, and once anything has run encrypted that
    ends the process with status 0, whatever the program said: a failed test run or script would look like a
    success. The shutdown is needed only where that runtime is used.
    """
    if not (configuration.dataflow_parallelize or configuration.auto_parallelize):
        atexit.unregister(compiler._terminate_df_parallelization)


def _prepare_thread() -> None:
    """Give the present thread the stack of tags that the engine makes for the thread that imported it."""
    if not hasattr(tag_context, "stack"):
        tag_context.stack = []


class SimulatedFunction:
    """Evaluates one function of a module in the clear, with the errors of an encrypted run.

    Parameters
    ----------
    client : concrete.compiler.ClientCircuit
        Of a simulation, as `server`.
    server : concrete.compiler.ServerCircuit
    """

    def __init__(self, client: Any, server: Any) -> None:
        self._client, self._server = client, server
        self._lock = threading.Lock()

    def run(self, *inputs: IntArray) -> tuple[IntArray, ...]:
        """Return the int64 array of each output."""
        claim(Work.EVALUATION, "a simulation")
        with self._lock:
            prepared = [self._client.simulate_prepare_input(value(x), i) for i, x in enumerate(inputs)]
            results = self._server.simulate(prepared)
            read = [self._client.simulate_process_output(y, i) for i, y in enumerate(results)]
        return tuple(np.asarray(y.to_py_val()).astype(np.int64) for y in read)


def compile_simulation(compiled: CompiledModule) -> dict[str, SimulatedFunction]:
    """Compile the functions of a module once more, to be evaluated in the clear."""
    with process().compiling, _without_folders(), keep_interrupts():
        _prepare_thread()
        server = compiled.module.simulation_runtime.val.server
        program = compiler.ServerProgram(server._library, True)
        client = compiler.ClientProgram.create_simulated(server.client_specs.program_info)
        return {
            name: SimulatedFunction(client.get_client_circuit(name), program.get_server_circuit(name))
            for name in compiled.lookups
        }
