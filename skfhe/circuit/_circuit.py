"""A program compiled for encrypted evaluation."""

import secrets
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from skfhe._typing import IntArray
from skfhe.circuit._batch import Batch
from skfhe.circuit._engine import EngineFunction, fhe
from skfhe.circuit._engine_module import EngineModule
from skfhe.cost import Cost, ErrorRate, estimate_cost, lookup_p_error
from skfhe.exceptions import CiphertextMismatchError, InsecureKeyCacheWarning
from skfhe.program import Program, independent_parts, run_batched

__all__ = ["Circuit", "compile_program"]


BATCH_SIZES = (1, 8, 32)
LEVELLED_BATCH_SIZES = (1, 8)
"""Without lookups there is no key material to prepare for, and 32 rows of ciphertexts outgrow the caches."""
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
        Numbers of rows that one call can take, 1 among them. By default 1, 8 and, with lookups, 32 as
        far as a call is estimated to stay within ten seconds.

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
    """A program, what the engine compiled from it, and the keys of this process.

    Parts of the program that share no value are compiled apart, each with the cheapest parameters and keys of
    its own. Within a part, one-row and many-row functions share one key set. Compiling is repeated after
    unpickling, on first use: a pickle holds the program and the options, never a key.

    Any number of threads may use a circuit. A forked process can go on with its parent's as long as the
    parent had not begun what it wants to do (`ForkedProcessError`); it compiles again, and draws random
    numbers of its own.

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
        self._name = secrets.token_hex(16)
        if batch_sizes is None:
            sizes = BATCH_SIZES if program.lookups else LEVELLED_BATCH_SIZES
            batch_sizes = tuple(n for n in sizes if n * self.cost.seconds <= SECONDS_A_BATCH)
        self.batch_sizes = tuple(sorted({1, *batch_sizes}))
        if configuration is not None and configuration.use_insecure_key_cache:
            warnings.warn(
                f"the configuration keeps secret keys in {configuration.insecure_key_cache_location!r}, in "
                "files that everyone on this machine can read: whoever has them can decrypt all rows and "
                "scores. Leave out use_insecure_key_cache for anything but trials",
                InsecureKeyCacheWarning,
                stacklevel=4,
            )
        self._parts = independent_parts(program)
        if error_rate.global_p_error is not None:
            # The engine would count the rows of all batch sizes as one run, and each part for itself.
            error_rate = ErrorRate(lookup_p_error(program, error_rate))
        self._modules = [
            EngineModule(part.program, error_rate, configuration, self.batch_sizes) for part in self._parts
        ]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("complexity", "_name")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _name=secrets.token_hex(16))

    def __repr__(self) -> str:
        return f"Circuit({self.cost}, batch_sizes={self.batch_sizes})"

    @property
    def cost(self) -> Cost:
        """What one row was predicted to cost before compiling."""
        return estimate_cost(self.program, self.error_rate)

    @cached_property
    def complexity(self) -> float:
        """Complexity of one row as the engine counts it, in elementary operations."""
        return sum(module.compiled.complexity for module in self._modules) / sum(self.batch_sizes)

    @property
    def statistics(self) -> dict[str, Any]:
        """What the engine reports about the compiled circuit.

        Returns
        -------
        dict
            ``"lookups"``, programmable bootstraps of one row; ``"complexity"`` of one row;
            ``"p_error"`` of one lookup; ``"key_bytes"``, all evaluation keys, and of these
            ``"bootstrap_key_bytes"``, ``"keyswitch_key_bytes"`` and ``"packing_key_bytes"``;
            ``"input_bytes"`` and ``"output_bytes"``, ciphertexts of one row.
        """
        rows = [module.statistics(1) for module in self._modules]
        modules = [module.compiled for module in self._modules]
        return {
            "lookups": sum(row.lookups for row in rows),
            "complexity": self.complexity,
            "p_error": max(module.p_error for module in modules),
            "key_bytes": sum(
                module.bootstrap_key_bytes + module.keyswitch_key_bytes + module.packing_key_bytes
                for module in modules
            ),
            "bootstrap_key_bytes": sum(module.bootstrap_key_bytes for module in modules),
            "keyswitch_key_bytes": sum(module.keyswitch_key_bytes for module in modules),
            "packing_key_bytes": sum(module.packing_key_bytes for module in modules),
            "input_bytes": sum(row.input_bytes for row in rows),
            "output_bytes": sum(row.output_bytes for row in rows),
        }

    @property
    def mlir(self) -> str:
        """The compiled modules as MLIR text."""
        return "\n".join(module.compiled.mlir for module in self._modules)

    def keygen(self, force: bool = False) -> None:
        """Generate the secret and evaluation keys of this process.

        Parameters
        ----------
        force : bool, default=False
            Replace keys that exist.
        """
        for module in self._modules:
            module.keygen(force)

    def encrypt(self, *inputs: IntArray) -> Batch:
        """Encrypt one batch, whose number of rows must be one of ``batch_sizes``.

        Parameters
        ----------
        *inputs : ndarray of int64, shape (n_rows, …)

        Returns
        -------
        Batch
            To be given to `run`.

        Raises
        ------
        ValueError
            If the number of rows is not a compiled one, a shape is wrong, or a value lies outside its
            input's interval.
        ForkedProcessError
            If this process was forked from one that had generated keys, though none for this circuit.
        """
        self._check_size(len(inputs[0]))
        for position, x in zip(self.program.inputs, inputs, strict=True):
            value = self.program.values[position]
            if x.shape != (len(inputs[0]), *value.type.shape):
                raise ValueError(f"{value.label!r} takes rows of shape {value.type.shape}, got {x.shape[1:]}")
            if not value.type.contains(x):
                raise ValueError(
                    f"{value.label!r} takes integers in [{value.type.min}, {value.type.max}], got "
                    f"[{x.min()}, {x.max()}]; quantize with the model's own quantizer"
                )
        ciphertexts: list[Any] = [None] * len(inputs)
        functions = [module.function(len(inputs[0])) for module in self._modules]
        for part, function in zip(self._parts, functions, strict=True):
            encrypted = function.encrypt(*(inputs[i] for i in part.inputs))
            for i, ciphertext in zip(part.inputs, encrypted, strict=True):
                ciphertexts[i] = ciphertext
        keys = tuple(function.key_name for function in functions)
        return Batch(tuple(ciphertexts), len(inputs[0]), "inputs", self._name, keys)

    def run(self, batch: Batch) -> Batch:
        """Evaluate the program on one encrypted batch.

        Parameters
        ----------
        batch : Batch
            Returned by `encrypt`.

        Returns
        -------
        Batch
            To be given to `decrypt`.

        Raises
        ------
        CiphertextMismatchError
            If ``batch`` is of another circuit, or of keys that this one no longer has, or holds results.
        ForkedProcessError
            If this process was forked from one that had run or simulated a circuit.
        """
        functions = self._functions_for(batch, "inputs")
        results = self._by_part(
            lambda index, part: functions[index].run(*(batch.ciphertexts[i] for i in part.inputs))
        )
        return replace(batch, ciphertexts=results, holds="results")

    def decrypt(self, batch: Batch) -> tuple[IntArray, ...]:
        """Decrypt what `run` returned.

        A lookup that went wrong can lead out of an output's interval; such a value is brought to its nearest
        end, so that whatever is read by it exists.

        Parameters
        ----------
        batch : Batch

        Returns
        -------
        tuple of ndarray of int64
            One for each output of the program, rows first.

        Raises
        ------
        CiphertextMismatchError
            If ``batch`` is of another circuit, or of keys that this one no longer has, or holds inputs.
        """
        functions = self._functions_for(batch, "results")
        return self._within(
            self._by_part(
                lambda index, part: functions[index].decrypt(*(batch.ciphertexts[i] for i in part.outputs))
            )
        )

    def _functions_for(self, batch: Batch, holds: str) -> list[EngineFunction]:
        """Return the function of each part, having checked that ``batch`` is theirs."""
        if not isinstance(batch, Batch):
            raise TypeError(f"expected a Batch, as encrypt and run return it, got {type(batch).__name__}")
        if batch.holds != holds:
            raise CiphertextMismatchError(
                f"expected encrypted {holds}, got {batch.holds}: encrypt, run and decrypt follow each other"
            )
        if batch.circuit != self._name:
            raise CiphertextMismatchError(
                "these ciphertexts are of another circuit: of another model, or of this one compiled another "
                "time. Encrypt, run and decrypt with one circuit"
            )
        functions = [module.function(batch.n_rows) for module in self._modules]
        if batch.keys != tuple(function.key_name for function in functions):
            raise CiphertextMismatchError(
                "these ciphertexts are of other keys than the circuit's present ones: keygen(force=True) "
                "replaced them; encrypt the rows again"
            )
        return functions

    def _within(self, outputs: tuple[IntArray, ...]) -> tuple[IntArray, ...]:
        """Return outputs with every value in its interval."""
        types = [self.program.values[position].type for position in self.program.outputs]
        return tuple(np.clip(y, kind.low, kind.high) for y, kind in zip(outputs, types, strict=True))

    def execute(self, *inputs: IntArray) -> tuple[IntArray, ...]:
        """Encrypt, run and decrypt any number of rows, batch by batch.

        While one batch's lookups run, the next is encrypted.

        Parameters
        ----------
        *inputs : ndarray of int64, shape (n_rows, …)

        Returns
        -------
        tuple of ndarray of int64
            One for each output of the program, rows first.

        Raises
        ------
        AccumulatorOverflowError
            If the program's intervals are calibrated and a value leaves its own; the message names the layer.
            An encrypted run cannot notice that, so the rows are checked in the clear first.
        ForkedProcessError
            If this process was forked from one that had done such work.
        """
        self._check_calibrated(inputs)
        batches = [[x[rows] for x in inputs] for rows in self._batches(len(inputs[0]))]
        parts: list[tuple[IntArray, ...]] = []
        with tqdm(total=len(inputs[0]), unit="row", desc="encrypted", disable=not self.verbose) as progress:
            for batch in self._encrypted(batches) if batches else ():
                parts.append(self.decrypt(self.run(batch)))
                progress.update(batch.n_rows)
        return self._join(parts)

    def _encrypted(self, batches: list[list[IntArray]]) -> Iterator[Batch]:
        """Yield each batch encrypted, having begun to encrypt the next one."""
        if not self.program.lookups:  # a run is over before another thread gets far
            yield from (self.encrypt(*batch) for batch in batches)
            return
        with ThreadPoolExecutor(1) as aside:
            waiting = self.encrypt(*batches[0])
            for following in [*batches[1:], None]:
                begun = aside.submit(self.encrypt, *following) if following else None
                yield waiting
                if begun:
                    waiting = begun.result()

    def _check_calibrated(self, inputs: tuple[IntArray, ...]) -> None:
        """Raise an error for rows that lead out of intervals which were only seen on data."""
        if self.program.range_source == "calibrated":
            run_batched(self.program, *inputs)

    def simulate(self, *inputs: IntArray) -> tuple[IntArray, ...]:
        """Compute in the clear, with the lookup errors that an encrypted run would have.

        Intervals that were seen on data need not hold for other rows, and an encrypted run cannot notice a
        value that leaves its own: here the rows are checked first.

        Parameters
        ----------
        *inputs : ndarray of int64, shape (n_rows, …)

        Returns
        -------
        tuple of ndarray of int64
            One for each output of the program, rows first.

        Raises
        ------
        AccumulatorOverflowError
            If the program's intervals are calibrated and a value leaves its own; the message names the layer.
        """
        self._check_calibrated(inputs)
        size = self.batch_sizes[-1]
        n_rows = len(inputs[0])
        parts: list[tuple[IntArray, ...]] = []
        for start in range(0, n_rows, size):
            batch = [x[start : start + size] for x in inputs]
            n = len(batch[0])
            padded = [np.concatenate([x, np.repeat(x[-1:], size - n, axis=0)]) for x in batch]
            clear = self._by_part(
                lambda index, part, padded=padded: self._modules[index].simulate(
                    [padded[i] for i in part.inputs]
                )
            )
            parts.append(self._within(tuple(y[:n] for y in clear)))
        return self._join(parts)

    def _check_size(self, n_rows: int) -> None:
        if n_rows not in self.batch_sizes:
            raise ValueError(f"compiled for {self.batch_sizes} rows a call, got {n_rows}")

    def _by_part(self, compute: Callable[..., tuple[Any, ...]]) -> tuple[Any, ...]:
        """Return one value for each output, from what ``compute`` returns for each part."""
        values: list[Any] = [None] * len(self.program.outputs)
        for index, part in enumerate(self._parts):
            for i, value in zip(part.outputs, compute(index, part), strict=True):
                values[i] = value
        return tuple(values)

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
