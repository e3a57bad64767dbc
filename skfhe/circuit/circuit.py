"""A program compiled for encrypted evaluation."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from skfhe.circuit.configuration import ErrorRate
from skfhe.circuit.cost import Cost, count_bootstraps, estimate_cost
from skfhe.circuit.engine import fhe
from skfhe.circuit.engine_module import EngineModule
from skfhe.program import Program, independent_parts, run_batched

__all__ = ["Circuit", "compile_program"]

IntArray = NDArray[np.int64]

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
        if batch_sizes is None:
            sizes = BATCH_SIZES if program.lookups else LEVELLED_BATCH_SIZES
            batch_sizes = tuple(n for n in sizes if n * self.cost.seconds <= SECONDS_A_BATCH)
        self.batch_sizes = tuple(sorted({1, *batch_sizes}))
        self._parts = independent_parts(program)
        if sum(bool(part.program.lookups) for part in self._parts) > 1:  # they share one budget of errors
            error_rate = ErrorRate(error_rate.per_lookup(count_bootstraps(program)))
        self._modules = [
            EngineModule(part.program, error_rate, configuration, self.batch_sizes) for part in self._parts
        ]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "complexity"}

    def __repr__(self) -> str:
        return f"Circuit({self.cost}, batch_sizes={self.batch_sizes})"

    @property
    def cost(self) -> Cost:
        """What one row was predicted to cost before compiling."""
        return estimate_cost(self.program, self.error_rate)

    @cached_property
    def complexity(self) -> float:
        """Complexity of one row as the engine counts it, in elementary operations."""
        return sum(float(part.module.complexity) for part in self._modules) / sum(self.batch_sizes)

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
        rows = [part.function(1) for part in self._modules]
        modules = [part.module for part in self._modules]
        keys = [part.key_bytes for part in self._modules]
        return {
            "lookups": sum(int(row.programmable_bootstrap_count) for row in rows),
            "complexity": self.complexity,
            "p_error": max(float(module.p_error) for module in modules),
            "key_bytes": sum(sum(of_part.values()) for of_part in keys),
            "bootstrap_key_bytes": sum(of_part["bootstrap"] for of_part in keys),
            "keyswitch_key_bytes": sum(of_part["keyswitch"] for of_part in keys),
            "packing_key_bytes": sum(of_part["packing"] for of_part in keys),
            "input_bytes": sum(int(row.size_of_inputs) for row in rows),
            "output_bytes": sum(int(row.size_of_outputs) for row in rows),
        }

    @property
    def mlir(self) -> str:
        """The compiled modules as MLIR text."""
        return "\n".join(str(part.module.mlir) for part in self._modules)

    def keygen(self, force: bool = False) -> None:
        """Generate the secret and evaluation keys of this process.

        Parameters
        ----------
        force : bool, default=False
            Replace keys that exist.
        """
        for part in self._modules:
            part.keygen(force)

    def encrypt(self, *inputs: IntArray) -> tuple[Any, ...]:
        """Encrypt one batch, whose number of rows must be one of ``batch_sizes``.

        Parameters
        ----------
        *inputs : ndarray of int64, shape (n_rows, …)

        Returns
        -------
        tuple of ciphertext
            To be given to `run`.

        Raises
        ------
        ValueError
            If the number of rows is not a compiled one, a shape is wrong, or a value lies outside its
            input's interval.
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
        for part, module in zip(self._parts, self._modules, strict=True):
            encrypted = module.encrypt([inputs[i] for i in part.inputs])
            for i, ciphertext in zip(part.inputs, encrypted, strict=True):
                ciphertexts[i] = ciphertext
        return tuple(ciphertexts)

    def run(self, ciphertexts: tuple[Any, ...], n_rows: int) -> tuple[Any, ...]:
        """Evaluate the program on one encrypted batch of ``n_rows`` rows."""
        self._check_size(n_rows)
        return self._by_part(
            lambda index, part: self._modules[index].run([ciphertexts[i] for i in part.inputs], n_rows)
        )

    def decrypt(self, results: tuple[Any, ...], n_rows: int) -> tuple[IntArray, ...]:
        """Decrypt what `run` returned."""
        self._check_size(n_rows)
        return self._by_part(
            lambda index, part: self._modules[index].decrypt([results[i] for i in part.outputs], n_rows)
        )

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
        """
        batches = [[x[rows] for x in inputs] for rows in self._batches(len(inputs[0]))]
        parts: list[tuple[IntArray, ...]] = []
        with tqdm(total=len(inputs[0]), unit="row", desc="encrypted", disable=not self.verbose) as progress:
            for ciphertexts, n in self._encrypted(batches) if batches else ():
                parts.append(self.decrypt(self.run(ciphertexts, n), n))
                progress.update(n)
        return self._join(parts)

    def _encrypted(self, batches: list[list[IntArray]]) -> Iterator[tuple[tuple[Any, ...], int]]:
        """Yield ciphertexts and rows of each batch, having begun to encrypt the next one."""
        if not self.program.lookups:  # a run is over before another thread gets far
            yield from ((self.encrypt(*batch), len(batch[0])) for batch in batches)
            return
        with ThreadPoolExecutor(1) as aside:
            waiting = self.encrypt(*batches[0])
            for batch, following in zip(batches, [*batches[1:], None], strict=True):
                begun = aside.submit(self.encrypt, *following) if following else None
                yield waiting, len(batch[0])
                waiting = begun.result() if begun else ()

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
        if self.program.range_source == "calibrated":
            run_batched(self.program, *inputs)
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
            parts.append(tuple(np.asarray(y)[:n] for y in clear))
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
