"""The half of a circuit that knows the program, and no key."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from skfhe._telling import log, progress, timed
from skfhe._typing import IntArray
from skfhe.circuit._batch import Batch
from skfhe.circuit._calls import call_sizes, plan_calls
from skfhe.circuit._compiled_part import CompiledPart
from skfhe.circuit._engine import fhe
from skfhe.circuit._key_messages import key_parameters
from skfhe.circuit._keys import EvaluationKeys
from skfhe.circuit._specs import CircuitSpecs
from skfhe.cost import Cost, ErrorRate, engine_p_error, estimate_cost, lookup_p_error
from skfhe.encryption import WORD_BYTES, Words
from skfhe.program import Program, independent_parts, run_batched

__all__ = ["CompiledCircuit"]

BATCH_SIZES = (1, 8, 32)
LEVELLED_BATCH_SIZES = (1, 8)
"""Without lookups there is no key material to prepare for, and 32 rows and more gain nothing beyond 8."""
SECONDS_A_BATCH = 10.0
BYTES_A_BATCH = 1 << 28
"""Of the ciphertexts that a call evaluates. The engine takes less than twice as many in one array."""


class CompiledCircuit:
    """A program and what the engine compiled from it: what runs batches, and can decrypt none.

    It can be sent to another process: a pickle holds the program and the options. Every process compiles
    anew, on first use, and gets the same parameters and the same name of the circuit from the same engine,
    so that batches and evaluation keys can go from one to the other.

    Parts of the program that share no value are compiled apart, each with the cheapest parameters and keys of
    its own. Within a part, one-row and many-row functions share one key set.

    Parameters
    ----------
    program, error_rate, configuration, batch_sizes
        See `compile_program`.

    Attributes
    ----------
    program : Program
    error_rate : ErrorRate
    batch_sizes : tuple of int
        Rows that one call can take, ascending.
    parts : tuple of CompiledPart
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
        self.configuration = configuration
        cost = self.cost
        if batch_sizes is None:
            sizes = BATCH_SIZES if program.lookups else LEVELLED_BATCH_SIZES
            batch_sizes = tuple(
                n
                for n in sizes
                if n * cost.reference_seconds <= SECONDS_A_BATCH and n * cost.expanded_bytes <= BYTES_A_BATCH
            )
        self.batch_sizes = tuple(sorted({1, *batch_sizes}))
        # Of a row, and of a call; of what cannot be priced, calls alone count.
        priced = cost.seconds - cost.seconds_a_call, cost.seconds_a_call
        self._seconds = (0.0, 1.0) if cost.refusal else priced
        # Of a run's error rate, the engine would count the rows of all batch sizes, and each part for itself.
        asked = ErrorRate(lookup_p_error(program, error_rate))
        p_error = engine_p_error(program, asked.per_lookup(1))
        self.parts = tuple(
            CompiledPart(part, asked, p_error, configuration, self.batch_sizes)
            for part in independent_parts(program)
        )

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "specs"}

    def __repr__(self) -> str:
        return f"CompiledCircuit({self.cost}, batch_sizes={self.batch_sizes})"

    @cached_property
    def specs(self) -> CircuitSpecs:
        """What one needs to know to generate keys, encrypt and decrypt."""
        types = [value.type for value in self.program.values]
        with progress("compiling", len(self.parts), "part") as done:
            for part in self.parts:
                part.specs  # noqa: B018  compiles now
                done(1)
        return CircuitSpecs(
            circuit_id=self._id(),
            batch_sizes=self.batch_sizes,
            labels=tuple(self.program.values[position].label for position in self.program.inputs),
            inputs=tuple(types[position] for position in self.program.inputs),
            outputs=tuple(types[position] for position in self.program.outputs),
            parts=tuple(part.specs for part in self.parts),
        )

    def _id(self) -> str:
        """Return a name that circuits have in common which compute the same on the same ciphertexts."""
        digest = hashlib.sha256()
        for part in self.parts:
            places = repr((part.part.inputs, part.part.outputs)).encode()
            for text in (places, part.module.mlir.encode(), part.module.parameters):
                digest.update(len(text).to_bytes(8, "little") + text)
        return digest.hexdigest()

    @property
    def cost(self) -> Cost:
        """What one row was predicted to cost before compiling."""
        return estimate_cost(self.program, self.error_rate)

    @property
    def complexity(self) -> float:
        """Complexity of one row as the engine counts it, in elementary operations."""
        return sum(part.module.complexity for part in self.parts) / sum(self.batch_sizes)

    @property
    def statistics(self) -> dict[str, Any]:
        """What the engine reports about the compiled circuit.

        Returns
        -------
        dict
            ``"lookups"``, programmable bootstraps of one row; ``"complexity"`` of one row;
            ``"p_error"`` of one lookup; ``"key_bytes"``, all evaluation keys, and of these
            ``"bootstrap_key_bytes"``, ``"keyswitch_key_bytes"`` and ``"packing_key_bytes"``;
            ``"input_bytes"`` and ``"output_bytes"``, what one row takes in a `Batch` in bytes, without the
            seed and the header that rows of a batch have in common; ``"expanded_bytes"``, the inputs of one
            row as they are evaluated.
        """
        specs = self.specs.parts
        modules = [part.module for part in self.parts]
        # Parts that need equal keys share them.
        with_keys = {key_parameters(module.parameters): module for module in modules}.values()
        return {
            "lookups": sum(part.lookups for part in self.parts),
            "complexity": self.complexity,
            "p_error": max(module.p_error for module in modules),
            "key_bytes": sum(module.key_bytes for module in with_keys),
            "bootstrap_key_bytes": sum(module.bootstrap_key_bytes for module in with_keys),
            "keyswitch_key_bytes": sum(module.keyswitch_key_bytes for module in with_keys),
            "packing_key_bytes": sum(module.packing_key_bytes for module in with_keys),
            "input_bytes": sum(sum(part.array_bytes(1, "inputs")) for part in specs),
            "output_bytes": sum(sum(part.array_bytes(1, "results")) for part in specs),
            "expanded_bytes": sum(
                WORD_BYTES * form.n_words for part in specs for form in part.forms("inputs")
            ),
        }

    @property
    def mlir(self) -> str:
        """The compiled modules as MLIR text."""
        return "\n".join(part.module.mlir for part in self.parts)

    def run(self, batch: Batch, evaluation_keys: EvaluationKeys) -> Batch:
        """Evaluate the program on encrypted rows.

        Parameters
        ----------
        batch : Batch
            Returned by `ClientSession.encrypt`.
        evaluation_keys : EvaluationKeys
            Of the same session.

        Returns
        -------
        Batch
            To be given to `ClientSession.decrypt`.

        Raises
        ------
        CiphertextMismatchError
            If ``batch`` is of another circuit or of other keys, or holds results; or if the keys were
            generated for other parameters, or have another size than theirs.
        ForkedProcessError
            If this process was forked from one that had run or simulated a circuit.
        """
        (result,) = self.run_together([batch], evaluation_keys)
        return result

    def run_together(self, batches: Sequence[Batch], evaluation_keys: EvaluationKeys) -> list[Batch]:
        """Evaluate the program on the rows of several batches, in common calls.

        Each call takes a compiled number of rows. The rows of all batches are put into as many calls of the
        largest size as they fill, and what is left into those that cost least by the prices of `skfhe.cost`:
        one that is not filled is padded with ciphertexts of zero, of which nothing is kept.

        Parameters
        ----------
        batches : sequence of Batch
            Each returned by `ClientSession.encrypt` of one session.
        evaluation_keys : EvaluationKeys
            Of the same session.

        Returns
        -------
        list of Batch
            The results of each, in order.

        Raises
        ------
        CiphertextMismatchError
            If one of ``batches`` is of another circuit or of other keys, or holds results; or if the keys
            were generated for other parameters, or have another size than theirs. Nothing is run then.
        ForkedProcessError
            If this process was forked from one that had run or simulated a circuit.
        """
        if not isinstance(evaluation_keys, EvaluationKeys):
            raise TypeError(f"expected EvaluationKeys, got {type(evaluation_keys).__name__}")
        for batch in batches:
            self.specs.check_batch(batch, "inputs", evaluation_keys.id)
        evaluation_keys.check([part.module.parameters for part in self.parts])
        n_rows = [len(batch) for batch in batches]
        if not n_rows:
            return []
        calls = plan_calls(n_rows, call_sizes(sum(n_rows), self.batch_sizes, *self._seconds))
        taken = timed()
        by_part = [
            part.run(
                evaluation_keys.keyset(part.module.parameters),
                calls,
                [(each.ciphertexts[i], each.seed) for each in batches],
            )
            for i, part in enumerate(self.parts)
        ]
        log("evaluated %d encrypted rows, in calls of %s, in %s", sum(n_rows), [c.size for c in calls], taken)
        bits = tuple(part.result_bits for part in self.specs.parts)
        results, first = [], 0
        for batch, n in zip(batches, n_rows, strict=True):
            words = tuple(tuple(_rows(y, first, n) for y in outputs) for outputs in by_part)
            results.append(replace(batch, ciphertexts=words, holds="results", seed=b"", bits=bits))
            first += n
        return results

    def check_calibrated(self, inputs: Sequence[IntArray]) -> None:
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
        self.check_calibrated(inputs)
        size = self.batch_sizes[-1]
        batches = []
        for start in range(0, len(inputs[0]), size):
            batch = [x[start : start + size] for x in inputs]
            n_rows = len(batch[0])
            padded = [np.concatenate([x, np.repeat(x[-1:], size - n_rows, axis=0)]) for x in batch]
            by_part = [
                part.simulate(*given)
                for part, given in zip(self.parts, self.specs.scatter(padded), strict=True)
            ]
            batches.append(tuple(y[:n_rows] for y in self.specs.gather(by_part)))
        return self.specs.join(batches)


def _rows(words: Words, first: int, n_rows: int) -> Words:
    """Return the ciphertexts of some rows, of those of all, which have the rows' axis before."""
    return words[first : first + n_rows].reshape(-1, words.shape[-1])
