"""One part of a program, compiled by the engine."""

import threading
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from skfhe._typing import IntArray
from skfhe.circuit._engine import (
    CompiledModule,
    EngineFunction,
    FunctionStatistics,
    KeySet,
    SimulatedFunction,
    compile_module,
    compile_simulation,
    fhe,
)
from skfhe.circuit._host import Process, Work, claim, process
from skfhe.circuit._tracing import IntervalTyping, lower
from skfhe.cost import ErrorRate, check_limits, estimate_cost, explain
from skfhe.exceptions import CompilationError
from skfhe.program import Program

__all__ = ["EngineModule"]


@dataclass(eq=False)
class _Session:
    """What the engine made in one process, which no other may use.

    Parameters
    ----------
    compiled : CompiledModule or None
    keys : KeySet or None
        That the functions work under.
    functions : dict of int to EngineFunction
        By number of rows.
    simulated : dict of str to SimulatedFunction
        By name.
    lock : lock
        Held while any of these is made.
    """

    compiled: CompiledModule | None = None
    keys: KeySet | None = None
    functions: dict[int, EngineFunction] = field(default_factory=dict)
    simulated: dict[str, SimulatedFunction] = field(default_factory=dict)
    lock: Any = field(default_factory=threading.RLock)


class EngineModule:
    """A program compiled into one engine function for each batch size, all under one key set.

    Any number of threads may use it. A forked process has the keys of its parent, and compiles the program
    anew. So does one that unpickles it, and has no keys: a pickle holds the program and the options alone.

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
        self._forget()

    def _forget(self) -> None:
        self._keys: KeySet | None = None
        self._sessions: dict[Process, _Session] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_keys", "_sessions")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._forget()

    @property
    def _session(self) -> _Session:
        # One step, so that two threads get one session. That of a parent stays: its engine objects are not
        # to be touched here, not even to be freed.
        return self._sessions.setdefault(process(), _Session())

    @property
    def compiled(self) -> CompiledModule:
        """What the engine makes of the program, compiled on first use in each process."""
        session = self._session
        with session.lock:
            if session.compiled is None:
                session.compiled = self._compile()
            return session.compiled

    def _compile(self) -> CompiledModule:
        check_limits(self.program)
        functions = {}
        for n_rows in self.batch_sizes:
            name = _function_name(n_rows)
            zeros = [
                np.zeros((n_rows, *self.program.values[position].type.shape), dtype=np.int64)
                for position in self.program.inputs
            ]
            functions[name] = lower(self.program, n_rows, name), zeros
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
        try:
            return compile_module(functions, configuration)
        except RuntimeError as error:
            reason = estimate_cost(self.program, self.error_rate).refusal
            raise CompilationError(explain(self.program, error, reason)) from error

    def statistics(self, n_rows: int) -> FunctionStatistics:
        """Return what the engine reports about the function for ``n_rows`` rows."""
        return self.compiled.functions[_function_name(n_rows)]

    def keygen(self, force: bool = False) -> None:
        """Generate keys, unless there are some and ``force`` is False."""
        with self._session.lock:
            if force or self._keys is None:
                if self.program.lookups:
                    claim(Work.KEY_GENERATION, "key generation")
                self._keys = self.compiled.generate_keys(force)

    def function(self, n_rows: int) -> EngineFunction:
        """Return the function for ``n_rows`` rows under the present keys, generated if there are none."""
        session = self._session
        with session.lock:
            self.keygen()
            assert self._keys is not None
            if session.keys is not self._keys:
                session.keys, session.functions = self._keys, {}
            if n_rows not in session.functions:
                function = EngineFunction(self.compiled, self._keys, _function_name(n_rows))
                session.functions[n_rows] = function
            return session.functions[n_rows]

    def simulate(self, inputs: list[IntArray]) -> tuple[IntArray, ...]:
        """Return the integers of each output of one batch, with the errors of an encrypted run."""
        session = self._session
        with session.lock:
            if not session.simulated:
                session.simulated = compile_simulation(self.compiled)
            function = session.simulated[_function_name(len(inputs[0]))]
        return function.run(*inputs)


def _function_name(n_rows: int) -> str:
    return f"rows_{n_rows}"
