"""The estimators' side of linear scores: training by the original, predictions by the program."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from functools import wraps
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import issparse
from sklearn.base import is_classifier
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
from skfhe._linear.scores import (
    Calibration,
    LinearScores,
    check_n_bits,
    check_range_margin,
    precision_of,
    quantize_scores,
)
from skfhe._originals.compat import check_sample_weight
from skfhe._originals.conversion import from_original
from skfhe._originals.inherited import adopt, as_original, original_has, unchanged
from skfhe._parameters import frames_to_caller
from skfhe._typing import FloatArray
from skfhe.base import EncryptedPredictorMixin, typed
from skfhe.encoding import GridEncoder, Head, Margins, Values, labelled
from skfhe.encrypted_model import EncryptedModel
from skfhe.exceptions import CompilationError, InputClippingWarning

if TYPE_CHECKING:
    from skfhe.circuit import Circuit

__all__ = ["LinearPredictorMixin"]


RANGE_MARGIN = 7.5
"""By default 16 times the training range is represented: four bits more, at no lookup's price."""


class LinearPredictorMixin(EncryptedPredictorMixin):
    """Mixin of the linear models: training by the original, predictions by the program.

    A family whose scores are linear without having ``coef_`` and ``intercept_`` says what they are in
    `_describe`, which of its arrays they come from in `_followed`, and what the original computes in, in
    `_score_type`.
    """

    _original: type
    _own_params: tuple[str, ...] = ("n_bits", "range_margin")
    _own_state: tuple[str, ...] = ("_calibration", "_encrypted_model", "_lowered_coefficients")
    _accept_sparse: Any = "csr"
    """What sparse rows are converted to, or False if the original takes none."""
    _calibration: Calibration
    n_bits: Any
    range_margin: Any
    coef_: Any
    intercept_: Any

    @classmethod
    def from_sklearn_model(
        cls, fitted: Any, X: ArrayLike | None = None, n_bits: Any = None, range_margin: float = RANGE_MARGIN
    ) -> Any:
        """Convert a fitted original.

        Parameters
        ----------
        fitted : estimator
            Fitted, of the class that this stands for.
        X : array-like of shape (n_rows, n_features)
            Rows to calibrate the input quantizer on, such as those it was trained on.
        n_bits : int or dict, default=None
            Bits of inputs and weights; None takes the class's default.
        range_margin : float, default=7.5
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
            If ``X`` is not given: the features' ranges are not in a linear model. Or if a parameter or the
            coefficients cannot be used.
        NotFittedError
            If ``fitted`` is not fitted.
        """
        bits = {} if n_bits is None else {"n_bits": n_bits}
        estimator = from_original(cls, fitted, **bits, range_margin=range_margin)
        check_is_fitted(fitted)
        if X is None:
            raise ValueError(
                f"{cls.__name__}.from_sklearn_model needs rows to calibrate the input quantizer on, for the "
                "features' ranges are not in a linear model; give X, for example the training data"
            )
        estimator._take_over(estimator, estimator._calibrated(estimator, X))
        estimator._compare(fitted, X)
        return estimator

    # Training.

    def _train(self, method: Any, arguments: dict[str, Any]) -> None:
        """Train an original by one of its own methods, lower it, and take both over."""
        check_n_bits(self.n_bits)
        check_range_margin(self.range_margin)
        goes_on = method.__name__ == "partial_fit" or getattr(self, "warm_start", False)
        original = as_original(self, fitted=goes_on)
        rows = unchanged(self, arguments["X"])
        method(original, **arguments)
        if not hasattr(original, "n_features_in_") and np.ndim(rows) == 2:  # with check_input=False
            original.n_features_in_ = np.shape(rows)[1]
        calibration = self._calibrated(original, rows, arguments.get("sample_weight"))
        earlier = vars(self).get("_calibration") if method.__name__ == "partial_fit" else None
        self._take_over(original, calibration if earlier is None else self._joined(calibration, earlier))
        if earlier is None:  # a batch of rows says little
            self._compare(original, rows, arguments.get("sample_weight"))

    def _calibrated(self, fitted: Any, X: Any, sample_weight: ArrayLike | None = None) -> Calibration:
        """Return what is known of the rows that an original was trained on."""
        rows = self._rows(fitted, X)
        weights = check_sample_weight(sample_weight, rows, dtype=np.float64)
        return Calibration.on(rows, weights, self.n_bits, check_range_margin(self.range_margin))

    def _joined(self, calibration: Calibration, earlier: Calibration) -> Calibration:
        """Return what is known of the rows that ``partial_fit`` was given now and of earlier ones."""
        return calibration.joined(earlier)

    def _take_over(self, fitted: Any, calibration: Calibration) -> None:
        """Lower a fitted original, and take both over."""
        model = self._lower(self._describe(fitted), calibration)
        coefficients = tuple(values.copy() for values in self._followed(fitted))
        if fitted is not self:
            self._adopt(fitted)
        self._encrypted_model, self._calibration = model, calibration
        self._lowered_coefficients = coefficients

    def _adopt(self, original: Any) -> None:
        adopt(self, original)

    # Comparing.

    def _compared(self) -> tuple[str, ...]:
        """Return the methods whose results are compared with the original's after training."""
        return ("predict",)

    def _compare(self, original: Any, X: Any, sample_weight: Any = None) -> None:
        """Warn if results for rows of training, those that count, are not the original's."""
        rows = some_rows(X, sample_weight)
        found = agreement_of(self, original, rows, *self._compared())
        if not found.suffices:
            change = remedy_by_bits(self._with_more_bits(original, rows), self._without_remedy())
            warn_of(self, found, self._why_unlike(), change)

    def _with_more_bits(self, original: Any, rows: Any) -> Iterator[tuple[int, Agreement]]:
        """Yield larger ``n_bits`` and what agrees with them."""
        calibration = self._calibration
        for n_bits in MORE_BITS:
            if n_bits > min(calibration.n_input_bits, calibration.n_weight_bits):
                trial = shared_copy(self)
                trial._take_over(trial, replace(calibration, n_input_bits=n_bits, n_weight_bits=n_bits))
                yield n_bits, agreement_of(trial, original, rows, *self._compared())

    def _why_unlike(self) -> str:
        """Return why results are not the original's."""
        return f"features and weights are rounded to n_bits={self.n_bits}"

    def _without_remedy(self) -> str:
        """Return what to change where no number of bits does."""
        return (
            f"no n_bits up to {MORE_BITS[-1]} makes it enough: bring features to a common scale, without "
            "values far beyond their bulk"
        )

    def _describe(self, fitted: Any) -> LinearScores:
        """Read the scores of the coefficients that an estimator has now."""
        coef, intercept = _coefficients(fitted)
        if coef.shape[-1] != fitted.n_features_in_:
            raise ValueError(
                f"coef_ has shape {coef.shape}, which does not fit the {fitted.n_features_in_} features that "
                f"this {type(self).__name__} was fitted on; fit it again, or assign coefficients for these"
            )
        weight = coef.reshape(-1, coef.shape[-1]).T
        try:
            bias = np.broadcast_to(intercept.ravel(), weight.shape[1])
        except ValueError:
            raise ValueError(
                f"intercept_ has shape {intercept.shape}, and coef_ has {weight.shape[1]} row(s)"
            ) from None
        head: Head
        if is_classifier(self):
            head = labelled(Margins(self._link(fitted)), fitted.classes_)
        else:
            # sparsify() of old scikit-learn makes a row of flat coefficients; it is for one target alone
            flat = coef.ndim == 1 or issparse(fitted.coef_)
            head = Values(self._link(fitted), flat=flat)
        return LinearScores(weight, bias, head)

    def _followed(self, fitted: Any) -> tuple[FloatArray, ...]:
        """Return the arrays of what was learnt that scores follow when they are changed after ``fit``."""
        return _coefficients(fitted)

    def _link(self, fitted: Any) -> Any:
        """Return how predictions of a regression, or probabilities of classes, follow from scores."""
        return "normalized" if is_classifier(self) else "identity"

    def _lower(self, described: LinearScores, calibration: Calibration) -> EncryptedModel:
        """Quantize the scores of a fitted original."""
        try:
            return quantize_scores(described, calibration)
        except ValueError as error:
            raise ValueError(f"this {type(self).__name__} cannot be evaluated on integers: {error}") from None

    @property
    def encoder_(self) -> GridEncoder:
        """Turns rows into the integers that the program takes."""
        encoder = self._lowered_model().encoder
        assert isinstance(encoder, GridEncoder)
        return encoder

    def _lowered_model(self) -> EncryptedModel:
        """Return the model that predicts.

        It follows ``coef_`` and ``intercept_``: where these are no longer those that were lowered, whether
        assigned or changed in place, they are lowered again and the circuit is dropped.
        """
        model = super()._lowered_model()
        if not all(map(np.array_equal, self._lowered_coefficients, self._followed(self))):
            self._take_over(self, self._calibration)
            model = self._encrypted_model
        return model

    @wraps(EncryptedPredictorMixin.compile)
    def compile(self, *args: Any, **kwargs: Any) -> Circuit:  # type: ignore[override]
        """Compile; see the mixin. What is too wide for the engine is told in terms of these models."""
        try:
            return super().compile(*args, **kwargs)
        except CompilationError as error:
            model = self._lowered_model()
            encoder = self.encoder_
            largest = encoder.watch.max_range_margin
            if largest is None or largest >= 0:
                raise
            raise CompilationError(
                f"the scores of this {type(self).__name__} are too wide to be encrypted: with "
                f"n_bits={self.n_bits} and {len(encoder.features)} features they need "
                f"{precision_of(model.program):.0f} bits, and the engine takes 56; lower n_bits and fit again"
            ) from error

    # Prediction.

    def _rows(self, fitted: Any, X: Any) -> Any:
        return validate_data(fitted, typed(X), reset=False, accept_sparse=self._accept_sparse)

    def _offers(self, method: str) -> bool:
        return original_has("predict_proba" if method == "predict_log_proba" else method)(self)

    def _scores_of_rows(self, rows: Any, fhe: str | None) -> FloatArray:
        """Return the scores of validated rows, of the original's type, shape (n_rows, n_scores)."""
        self._warn_of_clipped(rows, self.encoder_)
        kind = self._score_type(rows)
        with np.errstate(over="ignore"):
            found = super()._scores_of_rows(rows, fhe).astype(kind, copy=False)
        if not np.isfinite(found).all():
            raise ValueError(f"the scores of some of these rows exceed the largest {kind}")
        return found

    def _warn_of_clipped(self, rows: Any, encoder: GridEncoder) -> None:
        """Warn if values of validated rows lie beyond what an encoder represents."""
        clipped = encoder.watch.describe(rows, getattr(self, "feature_names_in_", None))
        if clipped:
            message = f"{type(self).__name__}: {clipped}"
            warnings.warn(message, InputClippingWarning, stacklevel=frames_to_caller())

    def _score_type(self, rows: Any) -> Any:
        """Return the type that the original computes scores of these rows in."""
        none = np.zeros((1, 0), dtype=rows.dtype) @ np.zeros((0, 1), dtype=self.coef_.dtype)
        return (none + self.intercept_).dtype


def _coefficients(fitted: Any) -> tuple[FloatArray, FloatArray]:
    coef = fitted.coef_.toarray() if issparse(fitted.coef_) else np.asarray(fitted.coef_)
    return coef, np.asarray(fitted.intercept_)
