"""One part of a program, compiled by the engine."""

import shutil
import weakref
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skfhe.circuit.configuration import ErrorRate
from skfhe.circuit.engine import EngineFunction, FunctionDef, ModuleCompiler, fhe, keep_exit_status
from skfhe.circuit.limits import check_limits, explain
from skfhe.circuit.lowering import IntervalTyping, lower
from skfhe.circuit.memory import kept_memory
from skfhe.circuit.prices import WORD_BYTES
from skfhe.exceptions import CompilationError
from skfhe.program import Program

__all__ = ["EngineModule"]

IntArray = NDArray[np.int64]


class EngineModule:
    """A program compiled into one engine function for each batch size, all under one key set.

    Compiling is repeated after unpickling, on first use: a pickle holds the program and the options, never a
    key.

    Parameters
    ----------
    program : Program
    error_rate : ErrorRate
    configuration : concrete.fhe.Configuration or None
    batch_sizes : tuple of int
        Rows that one call can take.
    """

    def __init__(
        self,
        program: Program,
        error_rate: ErrorRate,
        configuration: "fhe.Configuration | None",
        batch_sizes: tuple[int, ...],
    ) -> None:
        self.program = program
        self.error_rate = error_rate
        self.configuration = configuration
        self.batch_sizes = batch_sizes
        self._functions: dict[int, EngineFunction] = {}

    def __getstate__(self) -> dict[str, Any]:
        kept = {name: value for name, value in vars(self).items() if name != "module"}
        return kept | {"_functions": {}}

    @cached_property
    def module(self) -> Any:
        """The engine's own module, compiled on first use."""
        check_limits(self.program)
        functions, samples = [], {}
        for n_rows in self.batch_sizes:
            name = _function_name(n_rows)
            parameters = {f"x{i}": "encrypted" for i in range(len(self.program.inputs))}
            functions.append(FunctionDef(lower(self.program, n_rows, name), parameters))
            zeros = tuple(
                np.zeros((n_rows, *self.program.values[position].type.shape), dtype=np.int64)
                for position in self.program.inputs
            )
            samples[name] = [zeros if len(zeros) > 1 else zeros[0]]
        configuration = self.configuration or fhe.Configuration()
        configuration = configuration.fork(
            p_error=self.error_rate.p_error,
            global_p_error=self.error_rate.global_p_error,
            additional_pre_processors=[
                *configuration.additional_pre_processors,
                IntervalTyping(self.program),
            ],
            dump_artifacts_on_unexpected_failures=False,
        )
        keep_exit_status(configuration)
        try:
            module = ModuleCompiler(functions, fhe.NotComposable()).compile(samples, configuration)
            library = module.server._library.get_output_dir_path()
        except RuntimeError as error:
            raise CompilationError(explain(self.program, error)) from error
        weakref.finalize(module, shutil.rmtree, library, ignore_errors=True)
        return module

    def function(self, n_rows: int) -> Any:
        """Return the engine's function for ``n_rows`` rows."""
        return self.module.functions()[_function_name(n_rows)]

    @property
    def key_bytes(self) -> dict[str, int]:
        """Bytes of the evaluation keys by kind.

        The engine's own figure of bootstrap keys counts each once for every dimension of its GLWE key.
        """
        keys = self.module.client.specs.program_info.get_keyset_info()
        bootstrap = sum(
            key.input_lwe_dimension() * (key.glwe_dimension() + 1) ** 2 * key.level() * key.polynomial_size()
            for key in keys.bootstrap_keys()
        )
        packing = sum(
            (key.input_lwe_dimension() + 1)
            * (key.glwe_dimension() + 1) ** 2
            * key.level()
            * key.polynomial_size()
            for key in keys.packing_keyswitch_keys()
        )
        return {
            "bootstrap": bootstrap * WORD_BYTES,
            "keyswitch": int(self.module.size_of_keyswitch_keys),
            "packing": packing * WORD_BYTES,
        }

    def keygen(self, force: bool = False) -> None:
        """Generate keys, unless there are some and ``force`` is False."""
        if force:
            self._functions = {}
        self.module.keygen(force=force)

    def encrypt(self, inputs: list[IntArray]) -> tuple[Any, ...]:
        """Return a ciphertext for each input of one batch."""
        return self._keyed(len(inputs[0])).encrypt(*map(_c_ordered, inputs))

    def run(self, ciphertexts: list[Any], n_rows: int) -> tuple[Any, ...]:
        """Return a ciphertext for each output."""
        with kept_memory():
            return self._keyed(n_rows).run(*ciphertexts)

    def decrypt(self, ciphertexts: list[Any], n_rows: int) -> tuple[IntArray, ...]:
        """Return the integers of each output."""
        return self._keyed(n_rows).decrypt(*ciphertexts)

    def _keyed(self, n_rows: int) -> EngineFunction:
        if n_rows not in self._functions:
            self.keygen()
            self._functions[n_rows] = EngineFunction(self.module, _function_name(n_rows))
        return self._functions[n_rows]

    def simulate(self, inputs: list[IntArray]) -> tuple[IntArray, ...]:
        """Return the integers of each output of one batch, with the errors of an encrypted run."""
        return _as_tuple(self.function(len(inputs[0])).simulate(*map(_c_ordered, inputs)))


def _as_tuple(values: Any) -> tuple[Any, ...]:
    return values if isinstance(values, tuple) else (values,)


def _c_ordered(x: IntArray) -> IntArray:
    """Return ``x`` in C order: the engine reads the buffer of an array and ignores its strides."""
    return np.ascontiguousarray(x, dtype=np.int64)


def _function_name(n_rows: int) -> str:
    return f"rows_{n_rows}"
