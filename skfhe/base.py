"""What all estimators share: compiling a fitted program, and evaluating it in one of three ways."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted, validate_data

from skfhe._parameters import check_fhe_mode, what_to_lower
from skfhe._typing import IntArray
from skfhe.exceptions import NotCompiledError
from skfhe.program import Program, run_batched

if TYPE_CHECKING:
    from concrete import fhe as concrete_fhe

    from skfhe.circuit import Circuit
    from skfhe.cost import Cost

__all__ = ["EncryptedPredictorMixin"]


class EncryptedPredictorMixin:
    """Mixin of estimators that end ``fit`` with a ``program_``.

    The subclass encodes its input and decodes its output; everything between is integers, and the same
    integers whatever ``fhe`` says.
    """

    __metadata_request__predict = {"fhe": True}
    __metadata_request__predict_proba = {"fhe": True}
    __metadata_request__predict_log_proba = {"fhe": True}
    __metadata_request__decision_function = {"fhe": True}

    program_: Program
    fhe_circuit_: Circuit

    def compile(
        self,
        X: ArrayLike | None = None,
        y: ArrayLike | None = None,
        *,
        p_error: float | str | None = None,
        global_p_error: float | None = None,
        tolerance: float = 0.01,
        configuration: concrete_fhe.Configuration | None = None,
        verbose: bool = False,
    ) -> Circuit:
        """Compile the fitted program for encrypted evaluation.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features), default=None
            Not needed, for the program's ranges are proven from the input quantizer. Checked if given.
        y : array-like of shape (n_rows,), default=None
            Targets of the rows, for ``p_error="auto"``.
        p_error : float or "auto", default=None
            Probability in (0, 1) that one lookup reads a wrong cell. None takes the configuration's, or
            2**-40. "auto" takes the largest that keeps the score on ``X`` and ``y`` in simulation, which
            should be rows that the model was not trained on: see `skfhe.model_selection.ErrorRateSearch`.
        global_p_error : float, default=None
            Probability in (0, 1) that any lookup of one row does, instead of ``p_error``.
        tolerance : float, default=0.01
            With ``p_error="auto"``, how much the score may fall.
        configuration : concrete.fhe.Configuration, default=None
            Options of the engine; it is not modified.
        verbose : bool, default=False
            Say what was compiled, and show a progress bar in encrypted predictions.

        Returns
        -------
        Circuit
            Also stored as ``fhe_circuit_``.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ValueError
            If both error rates are given, one lies outside (0, 1), ``X`` does not fit the model, or
            ``p_error="auto"`` comes without rows and targets.
        CompilationError
            If the engine finds no parameters; the message names the layer and what to turn.
        """
        from skfhe.circuit import compile_program
        from skfhe.cost import advising, resolve_error_rate

        check_is_fitted(self, "program_")
        if X is not None:
            self._rows(self, X)
        if isinstance(p_error, str):
            if p_error != "auto":
                raise ValueError(f'p_error must be a number in (0, 1), None or "auto", got {p_error!r}')
            p_error = self._search_error_rate(X, y, global_p_error, tolerance)
        error_rate = resolve_error_rate(p_error, global_p_error, configuration)
        start = time.perf_counter()
        with advising(what_to_lower(self.get_params(deep=False))):  # type: ignore[attr-defined]
            circuit = compile_program(self.program_, error_rate, configuration)
        circuit.verbose = verbose
        if verbose:
            print(f"compiled in {time.perf_counter() - start:.2f} s: {circuit.cost}")
        self.fhe_circuit_ = circuit
        return circuit

    def _search_error_rate(
        self, X: ArrayLike | None, y: ArrayLike | None, global_p_error: float | None, tolerance: float
    ) -> float:
        from skfhe.model_selection import ErrorRateSearch

        if X is None or y is None:
            raise ValueError('p_error="auto" needs rows and their targets: compile(X, y, p_error="auto")')
        if global_p_error is not None:
            raise ValueError(
                f'p_error="auto" and global_p_error={global_p_error!r} were both given; give one'
            )
        return ErrorRateSearch(self, tolerance=tolerance, random_state=0).fit(X, y).p_error_

    def _rows(self, fitted: Any, X: ArrayLike) -> Any:
        """Return rows validated for this estimator, or for an original that it has yet to take over."""
        return validate_data(fitted, X, reset=False)

    @property
    def accumulator_bits_(self) -> list[int]:
        """Proven bits of every accumulator that a lookup reads, in layer order."""
        check_is_fitted(self, "program_")
        return self.program_.accumulator_bits

    @property
    def output_bits_(self) -> list[int]:
        """Proven bits of every output, which no lookup reads."""
        check_is_fitted(self, "program_")
        return self.program_.output_bits

    @property
    def cost_(self) -> Cost:
        """Predicted lookups by bit-width, complexity and seconds a row.

        At the error rate that was compiled for, or at 2**-40 before.
        """
        from skfhe.cost import estimate_cost

        check_is_fitted(self, "program_")
        circuit = getattr(self, "fhe_circuit_", None)
        return estimate_cost(self.program_, circuit.error_rate if circuit else None)

    def _drop_circuit(self) -> None:
        """Forget the circuit of an earlier fit."""
        vars(self).pop("fhe_circuit_", None)

    def _evaluate(self, inputs: Sequence[IntArray], fhe: str) -> tuple[IntArray, ...]:
        """Return the outputs of the program on encoded rows, one array for each input.

        Raises
        ------
        ValueError
            If ``fhe`` is unknown.
        NotCompiledError
            If a circuit is needed and there is none.
        ForkedProcessError
            If this process was forked from one that had begun such work.
        """
        check_fhe_mode(fhe)
        if fhe == "disable":
            return run_batched(self.program_, *inputs)
        circuit = getattr(self, "fhe_circuit_", None)
        if circuit is None:
            raise NotCompiledError(
                f"fhe={fhe!r} needs a compiled circuit, and this {type(self).__name__} has none since "
                "it was last fitted; call compile() first, or use fhe='disable'"
            )
        return circuit.simulate(*inputs) if fhe == "simulate" else circuit.execute(*inputs)
