"""A program between its edges, and its circuit: what estimators and modules predict with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from skfhe._parameters import check_fhe_mode
from skfhe._telling import log, megabytes, showing, timed
from skfhe._typing import IntArray
from skfhe.encoding import Decoder, Encoder, Head
from skfhe.exceptions import NotCompiledError
from skfhe.program import Program, run_batched

if TYPE_CHECKING:
    from concrete import fhe as concrete_fhe

    from skfhe.circuit import Circuit
    from skfhe.cost import Cost, ErrorRate

__all__ = ["EncryptedModel"]


@dataclass(frozen=True, eq=False)
class EncryptedModel:
    """Rows to integers, integers to integers, integers to scores, scores to predictions.

    The program is the meaning of the model: whichever way it is evaluated, its outputs are the same integers,
    but for lookups that go wrong.

    Parameters
    ----------
    encoder : Encoder
        Rows to the program's inputs.
    program : Program
    decoder : Decoder
        The program's outputs to scores.
    head : Head, optional
        Scores to predictions.
    circuit : Circuit, optional
        The program compiled.
    """

    encoder: Encoder
    program: Program
    decoder: Decoder
    head: Head | None = None
    circuit: Circuit | None = None

    @property
    def cost(self) -> Cost:
        """Predicted cost of a row, at the error rate that was compiled for, or at 2**-40 before."""
        from skfhe.cost import estimate_cost

        return estimate_cost(self.program, self.circuit.error_rate if self.circuit else None)

    def compiled(
        self,
        error_rate: ErrorRate,
        configuration: concrete_fhe.Configuration | None = None,
        *,
        advice: str = "",
        verbose: bool = False,
    ) -> EncryptedModel:
        """Return the model with a circuit; this one stays as it is.

        Parameters
        ----------
        error_rate : ErrorRate
        configuration : concrete.fhe.Configuration, optional
            Options of the engine.
        advice : str, default=""
            What the user can change, should the program not compile.
        verbose : bool, default=False
            Say what was compiled, and show progress bars: now, and in encrypted evaluations.

        Returns
        -------
        EncryptedModel

        Raises
        ------
        CompilationError
            If the engine finds no parameters; the message names the layer and what to turn.
        """
        from skfhe.circuit import compile_program
        from skfhe.cost import advising

        taken = timed()
        with advising(advice), showing(verbose):
            circuit = compile_program(self.program, error_rate, configuration)
        circuit.verbose = verbose
        if verbose:
            print(f"compiled in {taken()}: {circuit.cost}")
        log("compiled in %s: %s", taken, lambda: _compiled_to(circuit))
        return replace(self, circuit=circuit)

    def scores(self, *rows: Any, fhe: str = "disable") -> Any:
        """Return what the decoder makes of the program's outputs.

        Parameters
        ----------
        *rows : array-like
            For each input of the model, validated.
        fhe : {"disable", "simulate", "execute"}, default="disable"

        Returns
        -------
        ndarray of float64, rows first, or what else the decoder returns
            Errors are those of `evaluate`.
        """
        self.check_mode(fhe)
        return self.decoder.decode(*self.evaluate(*self.encoder.encode(*rows), fhe=fhe))

    def evaluate(self, *inputs: IntArray, fhe: str = "disable") -> tuple[IntArray, ...]:
        """Return the integers of each output of the program.

        Parameters
        ----------
        *inputs : ndarray of int64, rows first
            For each input of the program.
        fhe : {"disable", "simulate", "execute"}, default="disable"
            In the clear, in the clear with the errors of an encrypted run, or encrypted.

        Returns
        -------
        tuple of ndarray of int64, rows first

        Raises
        ------
        ValueError
            If ``fhe`` is unknown.
        NotCompiledError
            If a circuit is needed and there is none.
        AccumulatorOverflowError
            If the program's intervals are calibrated and a value leaves its own; the message names the layer.
        ForkedProcessError
            If this process was forked from one that had begun such work.
        """
        self.check_mode(fhe)
        if fhe == "disable" or self.circuit is None:
            return run_batched(self.program, *inputs)
        return self.circuit.simulate(*inputs) if fhe == "simulate" else self.circuit.execute(*inputs)

    def check_mode(self, fhe: str) -> None:
        """Raise an error unless the model can be evaluated so; see `evaluate`."""
        check_fhe_mode(fhe)
        if fhe != "disable" and self.circuit is None:
            raise NotCompiledError(
                f"fhe={fhe!r} needs a compiled circuit; call compile() first, or use fhe='disable'"
            )


def _compiled_to(circuit: Circuit) -> str:
    """Return what the engine made of a program, for the log."""
    found = circuit.statistics
    return (
        f"{found['lookups']} lookups a row, p_error {found['p_error']:.2g}, "
        f"keys of {megabytes(found['key_bytes'])}, calls of {', '.join(map(str, circuit.batch_sizes))} rows"
    )
