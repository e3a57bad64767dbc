"""One part of a program, compiled by the engine."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from skfhe._typing import IntArray
from skfhe.circuit._bindings import ServerFunction
from skfhe.circuit._calls import Call
from skfhe.circuit._engine import (
    CompiledModule,
    SimulatedFunction,
    compile_module,
    compile_simulation,
    fhe,
)
from skfhe.circuit._host import PerProcess
from skfhe.circuit._result_bits import result_bits
from skfhe.circuit._specs import PartSpecs, function_name, row_forms
from skfhe.circuit._tables_apart import with_tables_apart
from skfhe.circuit._tracing import IntervalTyping, lower
from skfhe.cost import (
    ErrorRate,
    check_limits,
    count_bootstraps,
    estimate_cost,
    explain,
    levelled_p_error,
)
from skfhe.encryption import WORD_BYTES, Frame, Seeded, Words, expand, rounded
from skfhe.exceptions import CompilationError
from skfhe.program import Part, Program, ops

__all__ = ["CompiledPart"]

_frame = lru_cache(maxsize=256)(Frame)


@dataclass(eq=False)
class _Made:
    """What the engine made in one process, which no other may use.

    Parameters
    ----------
    module : CompiledModule or None
    specs : PartSpecs or None
    functions : dict of int to ServerFunction
        By number of rows.
    simulated : dict of str to SimulatedFunction
        By name.
    lock : lock
        Held while any of these is made.
    """

    module: CompiledModule | None = None
    specs: PartSpecs | None = None
    functions: dict[int, ServerFunction] = field(default_factory=dict)
    simulated: dict[str, SimulatedFunction] = field(default_factory=dict)
    lock: Any = field(default_factory=threading.RLock)


class CompiledPart:
    """A part of a program, compiled into one engine function for each batch size.

    Any number of threads may use it. Every process compiles it anew, on first use.

    Parameters
    ----------
    part : Part
    error_rate : ErrorRate
        Of one lookup.
    p_error : float
        That the engine is asked for; see `skfhe.cost.engine_p_error`. Where there are no lookups it is asked
        for `skfhe.cost.levelled_p_error`, if it has parameters for that.
    configuration : concrete.fhe.Configuration or None
    batch_sizes : tuple of int
        Rows that one call can take.
    """

    def __init__(
        self,
        part: Part,
        error_rate: ErrorRate,
        p_error: float,
        configuration: "fhe.Configuration | None",
        batch_sizes: tuple[int, ...],
    ) -> None:
        self.part = part
        self.error_rate = error_rate
        self.p_error = p_error
        self.configuration = configuration
        self.batch_sizes = batch_sizes
        self._made = PerProcess(_Made)

    @property
    def module(self) -> CompiledModule:
        """What the engine makes of the program, compiled on first use in each process."""
        made = self._made.here()
        with made.lock:
            if made.module is None:
                made.module = self._compile()
            return made.module

    def _compile(self) -> CompiledModule:
        program = self.part.program
        check_limits(program)
        try:
            return self._compile_as(program)
        except ValueError as error:  # of the engine's own arrays
            apart = with_tables_apart(program)
            if isinstance(error, CompilationError) or len(apart.values) == len(program.values):
                raise
            return self._compile_as(apart)

    def _compile_as(self, program: Program) -> CompiledModule:
        """Compile the part's program, or one that computes the same."""
        functions = {}
        for n_rows in self.batch_sizes:
            name = function_name(n_rows)
            zeros = [
                np.zeros((n_rows, *program.values[position].type.shape), dtype=np.int64)
                for position in program.inputs
            ]
            functions[name] = lower(program, n_rows, name), zeros
        rates = [self.p_error]
        if not count_bootstraps(program):  # where there are lookups, more room for rounding would cost more
            rates.insert(0, levelled_p_error(self.p_error))
        for p_error in rates:
            try:
                module = compile_module(functions, self._configured(p_error, program))
            except RuntimeError as error:
                refused = error
            else:
                self._check_encoding(module)
                return module
        reason = estimate_cost(program, self.error_rate).refusal
        raise CompilationError(explain(program, refused, reason)) from refused

    def _check_encoding(self, module: CompiledModule) -> None:
        """Raise an error if the engine would evaluate what counts modulo a power of two in another ring.

        Where it finds no parameters for one ciphertext an integer, it splits integers into residues of other
        numbers: their sums are exact modulo the product of these, and no table is negacyclic there.
        """
        program = self.part.program
        widest = _widest_modulo(program)
        if widest is None or not any(form.moduli for form in row_forms(module.parameters, "inputs")):
            return
        value = program.values[widest]
        reason = estimate_cost(program, self.error_rate).refusal
        raise CompilationError(
            reason
            or f"the lookups of {value.label!r} read residues modulo 2**{value.op.n_bits}, "  # type: ignore[attr-defined]
            "and the engine has no parameters for one ciphertext an integer at this precision"
        )

    def _configured(self, p_error: float, program: Program) -> "fhe.Configuration":
        """Return the engine's options for an error rate and a program."""
        configuration = self.configuration or fhe.Configuration()
        typing = IntervalTyping(program)
        return configuration.fork(
            p_error=p_error,
            global_p_error=None,
            compress_input_ciphertexts=False,
            compress_evaluation_keys=False,
            additional_pre_processors=[*configuration.additional_pre_processors, typing],
            dump_artifacts_on_unexpected_failures=False,
            optimize_tlu_based_on_original_bit_width=self._read_by_own_bits(configuration),
            # the engine composes the halves of tables that it is given; passes fuse what can be
            enable_tlu_fusing=configuration.enable_tlu_fusing and not self._circles,
        )

    @property
    def _circles(self) -> list[int]:
        """Bits that lookups of residues read."""
        return [v.op.n_bits - 1 for v in self.part.program.values if isinstance(v.op, ops.Modulo)]

    def _read_by_own_bits(self, configuration: "fhe.Configuration") -> bool | int:
        """Return up to how many bits lookups are of their own width where their block is wider.

        The engine reads wider ones by the block's. One of residues would then go round another circle.
        """
        asked = configuration.optimize_tlu_based_on_original_bit_width
        circles = self._circles
        return asked if asked is True or not circles else max(int(asked), *circles)

    @property
    def specs(self) -> PartSpecs:
        """What its keys and ciphertexts look like."""
        made = self._made.here()
        with made.lock:
            if made.specs is None:
                parameters = self.module.parameters
                bits = result_bits(self.part.program, parameters, self.error_rate.per_lookup(1))
                made.specs = PartSpecs(self.part.inputs, self.part.outputs, parameters, bits)
            return made.specs

    @property
    def lookups(self) -> int:
        """Programmable bootstraps of one row, as the engine counts them."""
        return self.module.lookups[function_name(1)]

    def function(self, n_rows: int) -> ServerFunction:
        """Return the function for ``n_rows`` rows."""
        made = self._made.here()
        with made.lock:
            if n_rows not in made.functions:
                made.functions[n_rows] = ServerFunction(self.module.program, function_name(n_rows))
            return made.functions[n_rows]

    def run(
        self, keyset: Any, calls: Sequence[Call], batches: Sequence[tuple[Sequence[Any], bytes]]
    ) -> tuple[Words, ...]:
        """Evaluate rows of several batches.

        Parameters
        ----------
        keyset : concrete.compiler.ServerKeyset
            For the part's parameters.
        calls : sequence of Call
        batches : sequence of tuple
            Bodies of each of the part's inputs, and the seed.

        Returns
        -------
        tuple of ndarray of unsigned integers, shape (n_rows, ciphertexts of a row, dimension + 1)
            The rounded words of each output, of all rows, one batch after the other.
        """
        forms, bits = self.specs.forms("results"), self.specs.result_bits
        by_call = []
        for call in calls:
            outputs = self.function(call.size).run(keyset, self._inputs(call, batches))
            words = []
            for y, form, n in zip(outputs, forms, bits, strict=True):
                kept = _frame(form.of_rows(call.size)).words(y)[: call.n_rows * form.size]
                words.append(rounded(kept, n).reshape(call.n_rows, form.size, form.dimension + 1))
            by_call.append(words)
        if len(by_call) == 1:
            return tuple(by_call[0])
        return tuple(np.concatenate(words) for words in zip(*by_call, strict=True))

    def _inputs(self, call: Call, batches: Sequence[tuple[Sequence[Any], bytes]]) -> Iterator[bytes]:
        """Yield the ciphertexts of each input in one call, as the engine reads them."""
        for i, (form, number) in enumerate(zip(self.specs.forms("inputs"), self.specs.inputs, strict=True)):
            row_bytes = form.size * WORD_BYTES
            rows = []
            for batch, first, last in call.rows:
                ciphertexts, seed = batches[batch]
                bodies = memoryview(ciphertexts[i])[first * row_bytes : last * row_bytes]
                rows.append(Seeded(bodies, seed, number, first))
            yield expand(rows, form, _frame(form.of_rows(call.size)))

    def simulate(self, *inputs: IntArray) -> tuple[IntArray, ...]:
        """Return the integers of each output of one batch, with the errors of an encrypted run."""
        made = self._made.here()
        with made.lock:
            if not made.simulated:
                made.simulated = compile_simulation(self.module)
            function = made.simulated[function_name(len(inputs[0]))]
        return function.run(*inputs)


def _widest_modulo(program: Program) -> int | None:
    """Return the position of the residues of most bits, or None if nothing counts modulo a power of two."""
    found = [
        (value.op.n_bits, at) for at, value in enumerate(program.values) if isinstance(value.op, ops.Modulo)
    ]
    return max(found)[1] if found else None
