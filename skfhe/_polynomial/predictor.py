"""The estimators' side of polynomial scores: training by the original, predictions by the program."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from skfhe._agreement import (
    MORE_BITS,
    Agreement,
    agreement_of,
    remedy_by_bits,
    shared_copy,
    some_rows,
    warn_of,
)
from skfhe._linear.scores import check_range_margin
from skfhe._originals.compat import check_sample_weight
from skfhe._originals.conversion import from_original
from skfhe._originals.inherited import adopt, as_original, original_has
from skfhe._parameters import frames_to_caller
from skfhe._polynomial.calibration import Calibration, check_bits
from skfhe._polynomial.polynomials import Described
from skfhe._polynomial.quantize import quantize
from skfhe._typing import Array, FloatArray
from skfhe.base import EncryptedPredictorMixin, squeezed, typed
from skfhe.encoding import ClippingWatch, MonomialEncoder
from skfhe.encrypted_model import EncryptedModel
from skfhe.exceptions import CoarseInputWarning, InputClippingWarning, UnsupportedModelError

__all__ = ["RANGE_MARGIN", "PolynomialPredictorMixin"]

RANGE_MARGIN = 3.0
"""By default seven times the training range is represented."""
COARSE = 0.25
"""Units of a score, such as a logarithm of a probability, that the rounding of inputs may cost unwarned."""


def _has_log_probabilities(estimator: Any) -> bool:
    return bool(estimator._offers("predict_log_proba"))


def _has_decisions(estimator: Any) -> bool:
    return bool(estimator._offers("decision_function"))


class PolynomialPredictorMixin(EncryptedPredictorMixin):
    """Mixin of models whose scores are polynomials: training by the original, predictions by the program.

    A family says in `_describe` what its scores are, in `_followed` which arrays they come from, and in
    `_steepness_advice` what to change where they are too steep for the steps of the inputs.
    """

    _original: type
    _own_params: tuple[str, ...] = ("n_bits", "range_margin")
    _own_state = ("_calibration", "_encrypted_model", "_input_error", "_lowered_parameters")
    _takes_rows = ("numeric", "no")
    """What rows are converted to, and whether and how sparse ones are taken."""
    _why_steep = "a feature, or a difference of several, hardly varies in a class or component"
    _calibration: Calibration
    _input_error: float | None
    n_bits: Any
    range_margin: Any

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        tags.array_api_support = False  # programs are evaluated on arrays of NumPy
        return tags

    @classmethod
    def from_sklearn_model(
        cls,
        fitted: Any,
        X: ArrayLike | None = None,
        n_bits: int | None = None,
        range_margin: float = RANGE_MARGIN,
    ) -> Any:
        """Convert a fitted original.

        Parameters
        ----------
        fitted : estimator
            Fitted, of the class that this stands for.
        X : array-like of shape (n_rows, n_features)
            Rows to calibrate the input quantizer on, such as those it was trained on.
        n_bits : int, default=None
            Bits of inputs; None takes the class's default.
        range_margin : float, default=3.0
            How far beyond the range of ``X`` features are represented; see the class.

        Returns
        -------
        estimator
            Fitted, with the parameters of ``fitted``.

        Raises
        ------
        TypeError
            If ``fitted`` is of another class.
        ValueError
            If ``X`` is not given: the features' ranges are not in the model. Or if a parameter or what was
            learnt cannot be used.
        NotFittedError
            If ``fitted`` is not fitted.
        """
        bits = {} if n_bits is None else {"n_bits": n_bits}
        return cls._converted(fitted, X, **bits, range_margin=range_margin)

    @classmethod
    def _converted(cls, fitted: Any, X: ArrayLike | None, **own: Any) -> Any:
        """Convert a fitted original to an estimator with these parameters beside its own."""
        estimator = from_original(cls, fitted, **own)
        check_is_fitted(fitted)
        if X is None:
            raise ValueError(
                f"{cls.__name__}.from_sklearn_model needs rows to calibrate the input quantizer on, for the "
                "features' ranges are not in the model; give X, for example the training data"
            )
        estimator._check_evaluable()
        estimator._take_over(estimator, estimator._calibrated(estimator, X))
        estimator._compare(fitted, X)
        return estimator

    # Training.

    def _check_evaluable(self) -> None:
        """Raise an error if what parameters ask for has no program."""

    def _train(self, method: Any, arguments: dict[str, Any]) -> None:
        """Train an original by one of its own methods, lower it, and take both over."""
        check_bits(self.n_bits)
        check_range_margin(self._margin)
        self._check_evaluable()
        further = method.__name__ == "partial_fit"
        original = as_original(self, fitted=further or getattr(self, "warm_start", False))
        method(original, **arguments)
        calibration = self._calibrated(original, arguments["X"], arguments.get("sample_weight"))
        earlier = vars(self).get("_calibration") if further else None
        self._take_over(original, calibration if earlier is None else calibration.joined(earlier))
        if earlier is None:
            self._compare(original, arguments["X"], arguments.get("sample_weight"))
        else:  # a batch of rows says little
            self._warn_if_steep()

    def _calibrated(self, fitted: Any, X: Any, sample_weight: ArrayLike | None = None) -> Calibration:
        """Return what is known of the rows that an original was trained on."""
        rows = self._rows(fitted, X)
        weights = check_sample_weight(sample_weight, rows, dtype=np.float64)
        return Calibration.on(rows, weights, self.n_bits, self._margin)

    @property
    def _margin(self) -> Any:
        """What ``range_margin`` means."""
        return self.range_margin

    def _take_over(self, fitted: Any, calibration: Calibration) -> None:
        """Lower a fitted original, and take both over."""
        model = self._lower(self._describe(fitted), calibration)
        parameters = tuple(np.copy(values) for values in self._followed(fitted))
        if fitted is not self:
            self._adopt(fitted)
        self._encrypted_model, self._calibration = model, calibration
        self._lowered_parameters = parameters

    def _adopt(self, original: Any) -> None:
        adopt(self, original)

    def _describe(self, fitted: Any) -> Described:
        """Return the scores of a fitted original."""
        raise NotImplementedError

    def _followed(self, fitted: Any) -> tuple[Array, ...]:
        """Return the arrays of what was learnt that scores follow when they are changed after ``fit``."""
        raise NotImplementedError

    def _steepness_advice(self) -> str:
        """Return what makes scores less steep, beside what every family has."""
        return "raise n_bits"

    def _lower(self, described: Described, calibration: Calibration) -> EncryptedModel:
        """Quantize the scores of a fitted original."""
        try:
            found = quantize(described, calibration)
        except ValueError as error:
            kind = UnsupportedModelError if isinstance(error, UnsupportedModelError) else ValueError
            raise kind(f"this {type(self).__name__} cannot be evaluated on integers: {error}") from None
        worst = float(found.input_error.max(initial=0.0))
        self._input_error = worst if described.unit and worst > COARSE * described.unit else None
        return found.model

    # Comparing.

    def _steepness(self) -> str:
        """Return what rounding the features changes."""
        return (
            f"rounding the features to n_bits={self._calibration.n_bits} changes some scores of typical rows "
            f"by about {self._input_error:.2g}, for {self._why_steep}"
        )

    def _warn_if_steep(self) -> None:
        """Warn of scores that rounding the features changes by much."""
        if self._input_error is not None:
            warnings.warn(
                f"{type(self).__name__}: {self._steepness()}; predictions can differ from the float model's: "
                f"{self._steepness_advice()}",
                CoarseInputWarning,
                stacklevel=frames_to_caller(),
            )

    def _compare(self, original: Any, X: Any, sample_weight: Any = None) -> None:
        """Warn if predictions of rows of training, those that count, are not the original's."""
        rows = some_rows(X, sample_weight)
        found = agreement_of(self, original, rows, "predict")
        if found.suffices:
            self._warn_if_steep()
        elif self._input_error is not None:
            warn_of(self, found, self._steepness(), self._steepness_advice(), CoarseInputWarning)
        else:
            change = remedy_by_bits(self._with_more_bits(original, rows), self._steepness_advice())
            warn_of(self, found, f"features are rounded to n_bits={self.n_bits}", change)

    def _with_more_bits(self, original: Any, rows: Any) -> Iterator[tuple[int, Agreement]]:
        """Yield larger ``n_bits`` and what agrees with them."""
        for n_bits in MORE_BITS:
            if n_bits > self._calibration.n_bits:
                trial = shared_copy(self)
                trial._take_over(trial, replace(self._calibration, n_bits=n_bits))
                yield n_bits, agreement_of(trial, original, rows, "predict")

    def _lowered_model(self) -> EncryptedModel:
        """Return the model that predicts.

        It follows what was learnt: where that is no longer what was lowered, whether assigned or changed in
        place, it is lowered again and the circuit is dropped.
        """
        model = super()._lowered_model()
        now = self._followed(self)
        if len(now) != len(self._lowered_parameters) or not all(
            map(np.array_equal, self._lowered_parameters, now)
        ):
            self._check_evaluable()
            self._take_over(self, self._calibration)
            self._warn_if_steep()
            model = self._encrypted_model
        return model

    # Prediction.

    def _rows(self, fitted: Any, X: Any) -> Any:
        return validate_data(fitted, typed(X), reset=False)

    def _offers(self, method: str) -> bool:
        return original_has(method)(self)

    @property
    def _watch(self) -> ClippingWatch:
        encoder = self._lowered_model().encoder
        assert isinstance(encoder, MonomialEncoder)
        return encoder.watch

    def _scores_of_rows(self, rows: Any, fhe: str | None) -> FloatArray:
        """Return the scores of validated rows, of the original's type, shape (n_rows, n_scores)."""
        clipped = self._watch.describe(rows, getattr(self, "feature_names_in_", None))
        if clipped:
            message = f"{type(self).__name__}: {clipped}"
            warnings.warn(message, InputClippingWarning, stacklevel=frames_to_caller())
        return super()._scores_of_rows(rows, fhe).astype(self._score_type(rows), copy=False)

    def _score_type(self, rows: Any) -> Any:
        """Return the type that the original computes scores of these rows in."""
        return np.float64

    @available_if(_has_log_probabilities)
    def predict_log_proba(self, X: ArrayLike, *, fhe: str | None = None) -> Any:
        """Return the logarithm of `predict_proba`.

        Where that is too small for a float, its logarithm is not, unless it follows from votes.
        """
        check_is_fitted(self, "program_")
        if not hasattr(self.head_, "predict_log_proba"):
            return super().predict_log_proba(X, fhe=fhe)
        scores = self._scores(X, fhe)
        return self.head_.predict_log_proba(scores)

    @available_if(_has_decisions)
    def decision_function(self, X: ArrayLike, *, fhe: str | None = None) -> FloatArray:
        """Return the score of each class, or that of the second of two.

        Parameters, errors and warnings are those of `predict`.

        Returns
        -------
        ndarray of float, shape (n_rows,) or (n_rows, n_classes)
        """
        scores, head = self._scores(X, fhe), self.head_
        found: FloatArray = head.decision_function(scores) if hasattr(head, "decision_function") else scores
        return squeezed(found) if found.ndim > 1 else found
