"""A program compiled for encrypted evaluation."""

import shutil
import weakref
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from skfhe.circuit.configuration import ErrorRate
from skfhe.circuit.cost import Cost, estimate_cost
from skfhe.circuit.engine import FunctionDef, ModuleCompiler, fhe, keep_exit_status
from skfhe.circuit.lowering import IntervalTyping, lower
from skfhe.circuit.memory import kept_memory
from skfhe.exceptions import CompilationError
from skfhe.program import Program
from skfhe.program import ops as program_ops

__all__ = ["Circuit", "compile_program"]

IntArray = NDArray[np.int64]

MAX_LOOKUP_BITS = 16
BATCH_SIZES = (1, 8, 64)
SECONDS_A_BATCH = 10.0


def compile_program(
    program: Program,
    error_rate: ErrorRate | None = None,
    configuration: "fhe.Configuration | None" = None,
    batch_sizes: tuple[int, ...] | None = None,
) -> "Circuit":
    """Compile ``program``.

    Parameters
    ----------
    program : Program
    error_rate : ErrorRate, optional
        2**-40 a lookup by default.
    configuration : concrete.fhe.Configuration, optional
        Options of the engine; never modified. Its error rates are overridden by ``error_rate``.
    batch_sizes : tuple of int, optional
        Numbers of rows that one call can take, 1 among them. By default 1, 8 and 64 as far as a
        call is estimated to stay within ten seconds.

    Returns
    -------
    Circuit

    Raises
    ------
    CompilationError
        Naming the layer, its bits, and the parameters to turn.
    """
    circuit = Circuit(program, error_rate or ErrorRate(), configuration, batch_sizes)
    circuit.complexity  # noqa: B018  compiles now, so that errors surface here
    return circuit


class Circuit:
    """A program, the engine's module compiled from it, and the keys of this process.

    One-row and many-row functions share one key set. Compiling is repeated after unpickling, on first
    use: a pickle holds the program and the options, never a key.

    Parameters
    ----------
    program, error_rate, configuration, batch_sizes
        See `compile_program`, which is the way to make one.

    Attributes
    ----------
    program : Program
    error_rate : ErrorRate
    batch_sizes : tuple of int
        Rows that one call can take, ascending.
    verbose : bool
        Whether `execute` shows a progress bar.
    """

    def __init__(
        self,
        program: Program,
        error_rate: ErrorRate,
        configuration: "fhe.Configuration | None",
        batch_sizes: tuple[int, ...] | None,
    ) -> None:
        self.program = program
        self.error_rate = error_rate
        self.verbose = False
        self._configuration = configuration
        if batch_sizes is None:
            batch_sizes = tuple(n for n in BATCH_SIZES if n * self.cost.seconds <= SECONDS_A_BATCH)
        self.batch_sizes = tuple(sorted({1, *batch_sizes}))

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if k not in ("_module", "complexity")}

    def __repr__(self) -> str:
        return f"Circuit({self.cost}, batch_sizes={self.batch_sizes})"

    @property
    def cost(self) -> Cost:
        """What one row was predicted to cost before compiling."""
        return estimate_cost(self.program, self.error_rate)

    @cached_property
    def _module(self) -> Any:
        """The compiled engine module: one function for each batch size."""
        _check_lookup_bits(self.program)
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
        configuration = self._configuration or fhe.Configuration()
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
            raise CompilationError(_explain(self.program, error)) from error
        weakref.finalize(module, shutil.rmtree, library, ignore_errors=True)
        return module

    @cached_property
    def complexity(self) -> float:
        """Complexity of one row as the engine counts it, in elementary operations."""
        return float(self._module.complexity) / sum(self.batch_sizes)

    @property
    def statistics(self) -> dict[str, Any]:
        """What the engine reports about the compiled circuit.

        Returns
        -------
        dict
            ``"lookups"``, programmable bootstraps of one row; ``"complexity"`` of one row;
            ``"p_error"`` of one lookup; ``"bootstrap_key_bytes"``, ``"keyswitch_key_bytes"``;
            ``"input_bytes"`` and ``"output_bytes"``, ciphertexts of one row.
        """
        row = self._function(1)
        return {
            "lookups": int(row.programmable_bootstrap_count),
            "complexity": self.complexity,
            "p_error": float(self._module.p_error),
            "bootstrap_key_bytes": int(self._module.size_of_bootstrap_keys),
            "keyswitch_key_bytes": int(self._module.size_of_keyswitch_keys),
            "input_bytes": int(row.size_of_inputs),
            "output_bytes": int(row.size_of_outputs),
        }

    @property
    def mlir(self) -> str:
        """The compiled module as MLIR text."""
        return str(self._module.mlir)

    def keygen(self, force: bool = False) -> None:
        """Generate the secret and evaluation keys of this process.

        Parameters
        ----------
        force : bool, default=False
            Replace keys that exist.
        """
        self._module.keygen(force=force)

    def encrypt(self, *inputs: IntArray) -> Any:
        """Encrypt one batch, whose number of rows must be one of ``batch_sizes``.

        Parameters
        ----------
        *inputs : ndarray of int64, shape (n_rows, …)

        Returns
        -------
        ciphertext
            To be given to `run`.

        Raises
        ------
        ValueError
            If the number of rows is not a compiled one, or a value lies outside its input's
            interval.
        """
        function = self._function(len(inputs[0]))
        for position, x in zip(self.program.inputs, inputs, strict=True):
            value = self.program.values[position]
            if not value.type.contains(x):
                raise ValueError(
                    f"{value.label!r} takes integers in [{value.type.min}, {value.type.max}], got "
                    f"[{x.min()}, {x.max()}]; quantize with the model's own quantizer"
                )
        ciphertext = function.encrypt(*map(_c_ordered, inputs))
        return ciphertext if isinstance(ciphertext, tuple) else (ciphertext,)

    def run(self, ciphertext: Any, n_rows: int) -> Any:
        """Evaluate the program on one encrypted batch of ``n_rows`` rows."""
        with kept_memory():
            result = self._function(n_rows).run(*ciphertext)
        return result if isinstance(result, tuple) else (result,)

    def decrypt(self, result: Any, n_rows: int) -> tuple[IntArray, ...]:
        """Decrypt what `run` returned."""
        clear = self._function(n_rows).decrypt(*result)
        return clear if isinstance(clear, tuple) else (clear,)

    def execute(self, *inputs: IntArray) -> tuple[IntArray, ...]:
        """Encrypt, run and decrypt any number of rows, batch by batch.

        Parameters
        ----------
        *inputs : ndarray of int64, shape (n_rows, …)

        Returns
        -------
        tuple of ndarray of int64
            One for each output of the program, rows first.
        """
        n_rows = len(inputs[0])
        parts: list[tuple[IntArray, ...]] = []
        with tqdm(total=n_rows, unit="row", desc="encrypted", disable=not self.verbose) as progress:
            for rows in self._batches(n_rows):
                batch = [x[rows] for x in inputs]
                n = len(batch[0])
                parts.append(self.decrypt(self.run(self.encrypt(*batch), n), n))
                progress.update(n)
        return self._join(parts)

    def simulate(self, *inputs: IntArray) -> tuple[IntArray, ...]:
        """Compute in the clear, with the lookup errors that an encrypted run would have.

        Parameters
        ----------
        *inputs : ndarray of int64, shape (n_rows, …)

        Returns
        -------
        tuple of ndarray of int64
            One for each output of the program, rows first.
        """
        size = self.batch_sizes[-1]
        n_rows = len(inputs[0])
        parts: list[tuple[IntArray, ...]] = []
        for start in range(0, n_rows, size):
            batch = [x[start : start + size] for x in inputs]
            n = len(batch[0])
            padded = [np.concatenate([x, np.repeat(x[-1:], size - n, axis=0)]) for x in batch]
            clear = self._function(size).simulate(*map(_c_ordered, padded))
            clear = clear if isinstance(clear, tuple) else (clear,)
            parts.append(tuple(np.asarray(y)[:n] for y in clear))
        return self._join(parts)

    def _function(self, n_rows: int) -> Any:
        if n_rows not in self.batch_sizes:
            raise ValueError(f"compiled for {self.batch_sizes} rows a call, got {n_rows}")
        return self._module.functions()[_function_name(n_rows)]

    def _batches(self, n_rows: int) -> Iterator[slice]:
        """Cut ``n_rows`` into the fewest batches of compiled sizes, the large ones first."""
        start = 0
        for size in reversed(self.batch_sizes):
            while n_rows - start >= size:
                yield slice(start, start + size)
                start += size

    def _join(self, parts: list[tuple[IntArray, ...]]) -> tuple[IntArray, ...]:
        if not parts:
            return tuple(
                np.empty((0, *self.program.values[position].type.shape), dtype=np.int64)
                for position in self.program.outputs
            )
        return tuple(np.concatenate(outputs) for outputs in zip(*parts, strict=True))


def _c_ordered(x: IntArray) -> IntArray:
    """Return ``x`` in C order: the engine reads the buffer of an array and ignores its strides."""
    return np.ascontiguousarray(x, dtype=np.int64)


def _function_name(n_rows: int) -> str:
    return f"rows_{n_rows}"


def _widest_lookup(program: Program) -> tuple[int, str]:
    """Bits and label of the lookup that reads the widest value, or (0, "") without lookups."""
    return max(
        (
            (program.values[program.values[position].arguments[0]].type.bits, value.label)
            for position in program.lookups
            for value in (program.values[position],)
        ),
        default=(0, ""),
    )


def _check_lookup_bits(program: Program) -> None:
    bits, label = _widest_lookup(program)
    if bits > MAX_LOOKUP_BITS:
        raise CompilationError(
            f"the lookup of {label!r} reads {bits} bits, and the engine takes at most "
            f"{MAX_LOOKUP_BITS}; lower the accumulator width (module__n_accum_bits), the bit-widths of "
            "weights and inputs, or round before the lookup"
        )


def _explain(program: Program, error: RuntimeError) -> str:
    """Say what the engine could not do in the program's own terms."""
    bits, label = _widest_lookup(program)
    widest_output = max(program.output_bits)
    rounded = any(isinstance(v.op, program_ops.Round) for v in program.values)
    return (
        f"the engine found no way to evaluate this program: its widest lookup, {label!r}, reads {bits} "
        f"bits and its widest output has {widest_output} bits"
        f"{' (accumulators are rounded first)' if rounded else ''}; lower the bit-widths of weights, "
        f"activations or accumulators, or allow a larger p_error. The engine said: {error}"
    )
