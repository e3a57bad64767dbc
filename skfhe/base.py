"""What all estimators share: compiling a fitted program, and predicting by it in one of three ways."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import sklearn
from numpy.typing import ArrayLike
from sklearn.exceptions import NotFittedError
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from skfhe._modes import FRESH, Mode, compiling
from skfhe._originals.compat import (
    METADATA_REQUEST,
    printed_as_estimators,
    said_above,
    visual_block,
    with_html,
)
from skfhe._parameters import what_to_lower
from skfhe._showing import state, tables
from skfhe._typing import Array, FloatArray, IntArray
from skfhe.encoding import Decoder, Encoder, Head
from skfhe.encrypted_model import EncryptedModel
from skfhe.exceptions import NotCompiledError
from skfhe.program import Program

if TYPE_CHECKING:
    from concrete import fhe as concrete_fhe

    from skfhe.circuit import Circuit
    from skfhe.cost import Cost

__all__ = ["EncryptedPredictorMixin", "NotCompiledEstimatorError", "Trainable", "squeezed", "typed"]


class NotCompiledEstimatorError(NotCompiledError, NotFittedError):
    """A `NotCompiledError` that scikit-learn's users catch, too."""


class Trainable(Protocol):
    """What a family of estimators implements; all else it inherits from `EncryptedPredictorMixin`.

    Training goes through the three in turn, conversion of a fitted original through the last two.
    """

    def _train(self, *args: Any, **kwargs: Any) -> None:
        """Train the original in the clear, then describe, lower and keep what it learnt.

        The estimator is as it was before if any of that fails.
        """

    def _describe(self, fitted: Any) -> Any:
        """Return a fitted original in the terms of its family: trees, weights or layers, and the head."""

    def _lower(self, described: Any, calibration: Any) -> EncryptedModel:
        """Return the program of what was described, and its edges, by what is known of the rows."""


def _if_original_scores(estimator: Any) -> bool:
    """Whether there is a ``score`` behind ours."""
    return hasattr(super(EncryptedPredictorMixin, estimator), "score")


def _if_offered(method: str) -> Callable[[Any], bool]:
    """Return a check that an estimator has ``method``, as its class says in ``_offers``."""
    return lambda estimator: estimator._offers(method)


class EncryptedPredictorMixin:
    """Mixin of estimators that end ``fit`` with a ``program_``; `Trainable` says what they implement.

    Between rows and scores everything is integers, and the same integers whatever ``fhe`` says.
    """

    __metadata_request__predict = {"fhe": True}
    __metadata_request__predict_proba = {"fhe": True}
    __metadata_request__predict_log_proba = {"fhe": True}
    __metadata_request__decision_function = {"fhe": True}
    __metadata_request__score = {"fhe": True}

    _encrypted_model: EncryptedModel
    _mode: Mode = FRESH

    # The model, and what is known of it.

    def _lowered_model(self) -> EncryptedModel:
        """Return the model that predicts.

        Raises
        ------
        AttributeError
            Before ``fit``.
        """
        if "_encrypted_model" not in vars(self):
            raise AttributeError(f"this {type(self).__name__} is not fitted")
        return self._encrypted_model

    def _fitted_model(self) -> EncryptedModel:
        """Return the model that predicts.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        """
        check_is_fitted(self, "program_")
        return self._lowered_model()

    def _encrypted_models(self) -> dict[str, EncryptedModel]:
        """Return the model that predicts, as ``""``, and those of methods that have programs of their own."""
        return {"": self._fitted_model()}

    @property
    def program_(self) -> Program:
        """The quantized model on integers: what runs encrypted."""
        return self._lowered_model().program

    @property
    def encoder_(self) -> Encoder:
        """Turns rows into the integers that the program takes."""
        return self._lowered_model().encoder

    @property
    def decoder_(self) -> Decoder:
        """Turns the integers that the program returns into scores."""
        return self._lowered_model().decoder

    @property
    def head_(self) -> Head:
        """Turns scores into predictions."""
        head = self._lowered_model().head
        assert head is not None
        return head

    @property
    def fhe_circuit_(self) -> Circuit:
        """The compiled program; after ``compile``."""
        circuit = self._lowered_model().circuit
        if circuit is None:
            raise AttributeError(f"this {type(self).__name__} is not compiled")
        return circuit

    @property
    def accumulator_bits_(self) -> list[int]:
        """Proven bits of every accumulator that a lookup reads, in layer order."""
        return self._fitted_model().program.accumulator_bits

    @property
    def output_bits_(self) -> list[int]:
        """Proven bits of every output, which no lookup reads."""
        return self._fitted_model().program.output_bits

    @property
    def cost_(self) -> Cost:
        """Predicted lookups by bit-width, complexity and seconds a row.

        At the error rate that was compiled for, or at 2**-40 before.
        """
        return self._fitted_model().cost

    @printed_as_estimators
    def __repr__(self, N_CHAR_MAX: int = 700) -> str:
        """Return what makes the estimator, and once fitted, whether it is compiled and its cost."""
        said = state(vars(self).get("_encrypted_model"), self._mode)
        text = super().__repr__(N_CHAR_MAX)  # type: ignore[call-arg]
        return f"{text}  # {said}" if said else text

    def _sk_visual_block_(self) -> Any:
        """Return the estimator's box in diagrams, which says the same."""
        return visual_block(self, state(vars(self).get("_encrypted_model"), self._mode))

    def _get_params_html(self, *args: Any, **kwargs: Any) -> Any:
        """Return what diagrams say of the parameters, and after it what a row costs."""
        found = super()._get_params_html(*args, **kwargs)  # type: ignore[misc]
        return with_html(found, tables(vars(self).get("_encrypted_model")))

    # Compiling.

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
            Say what was compiled, and show progress bars: now, and in encrypted predictions.

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
        from skfhe.cost import resolve_error_rate

        model = self._fitted_model()
        if X is not None:
            self._rows(self, X)
        if isinstance(p_error, str):
            if p_error != "auto":
                raise ValueError(f'p_error must be a number in (0, 1), None or "auto", got {p_error!r}')
            p_error = self._search_error_rate(X, y, global_p_error, tolerance)
        error_rate = resolve_error_rate(p_error, global_p_error, configuration)
        advice = what_to_lower(self._widths())
        self._encrypted_model = model.compiled(error_rate, configuration, advice=advice, verbose=verbose)
        circuit = self.fhe_circuit_
        if self._mode.common is not None:
            circuit.share(self._mode.common)
        return circuit

    def _widths(self) -> dict[str, Any]:
        """Return parameters, those among them that bound how wide the program is."""
        found: dict[str, Any] = self.get_params(deep=False)  # type: ignore[attr-defined]
        return found

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

    def __sklearn_clone__(self) -> Any:
        """Return a clone, which has the mode, too."""
        clone = super().__sklearn_clone__()  # type: ignore[misc]
        if "_mode" in vars(self):
            clone._mode = self._mode
        return clone

    def _check_clear(self, what: str) -> None:
        """Raise a `ClearEvaluationError` if nothing may be evaluated in the clear, as ``what`` would."""
        self._mode.check_clear(what, type(self).__name__)

    def _take_mode(self, mode: Mode) -> None:
        """Evaluate rows so from now on, where a call does not say how.

        A circuit that was compiled with other options than are given now is dropped: the first use makes one.
        """
        before, self._mode = self._mode, mode
        model = vars(self).get("_encrypted_model")
        if model is not None and mode.compiles_otherwise(before):
            self._encrypted_model = model = replace(model, circuit=None)
        if mode.common is not None and model is not None and model.circuit is not None:
            model.circuit.share(mode.common)

    # Predicting.

    def _rows(self, fitted: Any, X: Any) -> Any:
        """Return rows validated for this estimator, or for an original that it has yet to take over."""
        return validate_data(fitted, typed(X), reset=False)

    def _resolved(self, fhe: str | None) -> str:
        """Return how a fitted estimator evaluates rows, where ``fhe`` is what a call said, or None.

        If that needs a circuit, it is there afterwards: in a mode that encrypts it is made on first use.

        Raises
        ------
        NotCompiledError
            If it needs one, and there is none.
        ClearEvaluationError
            If rows may not be evaluated so.
        """
        if fhe is None:
            fhe = self._said_above()
        resolved = self._mode.resolved(fhe, type(self).__name__)
        if resolved == "disable" or self._lowered_model().circuit is not None:
            return resolved
        if not self._mode.compiles:
            raise NotCompiledEstimatorError(
                f"fhe={resolved!r} needs a compiled circuit, and this {type(self).__name__} has none since "
                "it was last fitted; call compile() first, or use fhe='disable'"
            )
        with compiling():
            if self._lowered_model().circuit is None:  # another thread may have made it
                self.compile(**self._mode.options)
        return resolved

    def _said_above(self) -> str | None:
        """Return the ``fhe`` of a call that has led here and has not passed it on, or None.

        What the estimator's own requests of metadata say is not gone behind.
        """
        routed = sklearn.get_config()["enable_metadata_routing"] and METADATA_REQUEST in vars(self)
        return None if routed else said_above("fhe")

    def _offers(self, method: str) -> bool:
        """Whether the estimator has a method that not all of its kind have."""
        return False

    def quantize_input(self, X: ArrayLike) -> IntArray | tuple[IntArray, ...]:
        """Return the integers that are encrypted.

        Parameters
        ----------
        X : array-like of float, shape (n_rows, n_features)

        Returns
        -------
        ndarray of int64, rows first, or tuple of them
            One for each input of ``program_``.
        """
        check_is_fitted(self, "program_")
        found = tuple(self._lowered_model().encoder.encode(self._rows(self, X)))
        return found[0] if len(found) == 1 else found

    def _scores(self, X: Any, fhe: str | None) -> FloatArray:
        """Return the scores of rows, shape (n_rows, n_scores)."""
        check_is_fitted(self, "program_")
        return self._scores_of_rows(self._rows(self, X), fhe)

    def _scores_of_rows(self, rows: Any, fhe: str | None) -> FloatArray:
        """Return the scores of validated rows, shape (n_rows, n_scores)."""
        fhe = self._resolved(fhe)  # compiles, so the model is asked for afterwards
        return self._lowered_model().scores(rows, fhe=fhe)

    def predict(self, X: ArrayLike, *, fhe: str | None = None) -> Array:
        """Return the class or the value of each row.

        Parameters
        ----------
        X : array-like of float, shape (n_rows, n_features)
            Sparse, or with NaN for missing values, where the original takes them.
        fhe : {"disable", "simulate", "execute"}, default=None
            Evaluate the integers of ``program_`` in the clear, in the clear with the lookup errors of an
            encrypted run, or encrypted. None takes the estimator's mode, which is "disable" unless
            `skfhe.set_mode` has said otherwise.

        Returns
        -------
        ndarray of shape (n_rows,) or (n_rows, n_targets)

        Raises
        ------
        NotCompiledError
            If it is not ``"disable"``, ``compile`` was not called since ``fit``, and the estimator's mode is
            ``"disable"``; in another mode it is compiled now. It is a `NotFittedError`, too.
        ClearEvaluationError
            If it is not ``"execute"`` after ``set_mode(…, clear="forbid")``.

        Warns
        -----
        InputClippingWarning
            If values lie beyond the range that a linear model represents; see its ``range_margin``.
        """
        scores = self._scores(X, fhe)
        return self.head_.predict(scores)

    @available_if(_if_offered("predict_proba"))
    def predict_proba(self, X: ArrayLike, *, fhe: str | None = None) -> Any:
        """Return the probability of each class, computed from the scores in the clear.

        Parameters, errors and warnings are those of `predict`.

        Returns
        -------
        ndarray of float, shape (n_rows, n_classes), or a list of them for several targets
        """
        scores = self._scores(X, fhe)
        return self.head_.predict_proba(scores)  # type: ignore[attr-defined]

    @available_if(_if_offered("predict_log_proba"))
    def predict_log_proba(self, X: ArrayLike, *, fhe: str | None = None) -> Any:
        """Return the logarithm of `predict_proba`."""
        # a subclass that overrides `predict_proba` need not know ``fhe``
        found = self.predict_proba(X, **({} if fhe is None else {"fhe": fhe}))
        with np.errstate(divide="ignore"):
            return [np.log(p) for p in found] if isinstance(found, list) else np.log(found)

    @available_if(_if_offered("decision_function"))
    def decision_function(self, X: ArrayLike, *, fhe: str | None = None) -> FloatArray:
        """Return the score of each class, or that of the second of two.

        Parameters, errors and warnings are those of `predict`.

        Returns
        -------
        ndarray of float, shape (n_rows,) or (n_rows, n_classes)
        """
        return squeezed(self._scores(X, fhe))

    @available_if(_if_original_scores)
    def score(
        self, X: ArrayLike, y: ArrayLike | None = None, sample_weight: Any = None, *, fhe: str | None = None
    ) -> float:
        """Return the score of predictions, as the original defines it.

        Parameters
        ----------
        X : array-like of float, shape (n_rows, n_features)
        y : array-like of shape (n_rows,) or (n_rows, n_targets), default=None
            The targets.
        sample_weight : array-like of shape (n_rows,), default=None
        fhe : {"disable", "simulate", "execute"}, default=None
            As in `predict`.

        Returns
        -------
        float
        """
        if fhe is None:
            fhe = self._said_above()
        given = {} if sample_weight is None else {"sample_weight": sample_weight}
        original: Any = self if fhe is None else self._in_mode(fhe)
        return super(EncryptedPredictorMixin, original).score(X, y, **given)  # type: ignore[misc]

    def _in_mode(self, fhe: str) -> Any:
        """Return the estimator as it is, but for its mode: all that it evaluates is evaluated so.

        A copy that shares everything with it, so that it is of use for the time of a call.
        """
        check_is_fitted(self, "program_")
        self._resolved(fhe)
        copied = object.__new__(type(self))
        vars(copied).update(vars(self))
        copied._mode = replace(self._mode, fhe=fhe)
        return copied


def squeezed(scores: FloatArray) -> FloatArray:
    """Return the scores of two classes without an axis of their own, and any others as they are."""
    return scores[:, 0] if scores.shape[1] == 1 else scores


def typed(X: Any) -> Any:
    """Return rows of a list as an array, which scikit-learn's validation asks for its type.

    So that None in a list is a missing value, as it is in an array and in a data frame. What is no array is
    left for the validation to refuse.
    """
    if not isinstance(X, list | tuple):
        return X
    try:
        return np.asarray(X)
    except ValueError:  # rows of different lengths
        return X
