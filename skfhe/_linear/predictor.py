"""The estimators' side of linear scores: training and decoding by the original, scores by the program."""

from __future__ import annotations

import warnings
from functools import wraps
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import issparse
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from skfhe._linear.clipping import describe_clipping
from skfhe._linear.scores import (
    Calibration,
    QuantizedScores,
    check_n_bits,
    check_range_margin,
    quantize_scores,
)
from skfhe._originals.compat import check_sample_weight
from skfhe._originals.conversion import from_original
from skfhe._originals.inherited import adopt, as_original, original_has
from skfhe._typing import Array, FloatArray
from skfhe.base import EncryptedPredictorMixin
from skfhe.exceptions import CompilationError, InputClippingWarning
from skfhe.program import Program

if TYPE_CHECKING:
    from skfhe.circuit import Circuit

__all__ = ["LinearPredictorMixin"]


RANGE_MARGIN = 7.5
"""By default 16 times the training range is represented: four bits more, at no lookup's price."""


class LinearPredictorMixin(EncryptedPredictorMixin):
    """Mixin of the linear models: training and decoding by the original, scores by the program."""

    _original: type
    _own_params = ("n_bits", "range_margin")
    _own_state = ("_calibration", "_lowered")
    n_bits: Any
    range_margin: Any
    coef_: Any
    intercept_: Any

    @classmethod
    def from_sklearn_model(
        cls, fitted: Any, X: ArrayLike | None = None, n_bits: Any = 8, range_margin: float = RANGE_MARGIN
    ) -> Any:
        """Convert a fitted original.

        Parameters
        ----------
        fitted : estimator
            Fitted, of the class that this stands for.
        X : array-like of shape (n_rows, n_features)
            Rows to calibrate the input quantizer on, such as those it was trained on.
        n_bits : int or dict, default=8
            Bits of inputs and weights; see the class.
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
        estimator = from_original(cls, fitted, n_bits=n_bits, range_margin=range_margin)
        check_is_fitted(fitted)
        if X is None:
            raise ValueError(
                f"{cls.__name__}.from_sklearn_model needs rows to calibrate the input quantizer on, for the "
                "features' ranges are not in a linear model; give X, for example the training data"
            )
        estimator._lower(estimator, X)
        return estimator

    # Training.

    def _train(self, method: Any, arguments: dict[str, Any]) -> None:
        """Train an original by one of its own methods, lower it, and take both over."""
        check_n_bits(self.n_bits)
        check_range_margin(self.range_margin)
        goes_on = method.__name__ == "partial_fit" or getattr(self, "warm_start", False)
        original = as_original(self, fitted=goes_on)
        method(original, **arguments)
        earlier = vars(self).get("_calibration") if method.__name__ == "partial_fit" else None
        self._lower(original, arguments["X"], arguments.get("sample_weight"), earlier)

    def _lower(
        self,
        original: Any,
        X: Any,
        sample_weight: ArrayLike | None = None,
        earlier: Calibration | None = None,
    ) -> None:
        """Quantize a fitted original's scores, and take both over."""
        rows = self._rows(original, X)
        weights = check_sample_weight(sample_weight, rows, dtype=np.float64)
        calibration = Calibration.on(rows, weights, self.n_bits, check_range_margin(self.range_margin))
        if earlier is not None:
            calibration = calibration.joined(earlier)
        lowered = self._quantized(original, calibration)
        if original is not self:
            self._adopt(original)
        self._drop_circuit()
        self._calibration, self._lowered = calibration, lowered

    def _adopt(self, original: Any) -> None:
        adopt(self, original)

    def _quantized(self, fitted: Any, calibration: Calibration) -> Lowered:
        """Quantize the scores of the coefficients that an estimator has now."""
        coef, intercept = _coefficients(fitted)
        n_features = len(calibration.mean)
        if coef.shape[-1] != n_features:
            raise ValueError(
                f"coef_ has shape {coef.shape}, which does not fit the {n_features} features that this "
                f"{type(self).__name__} was fitted on; fit it again, or assign coefficients for these"
            )
        weight = coef.reshape(-1, n_features).T
        try:
            bias = np.broadcast_to(intercept.ravel(), weight.shape[1])
        except ValueError:
            raise ValueError(
                f"intercept_ has shape {intercept.shape}, and coef_ has {weight.shape[1]} row(s)"
            ) from None
        try:
            scores = quantize_scores(weight, bias, calibration)
        except ValueError as error:
            raise ValueError(f"this {type(self).__name__} cannot be evaluated on integers: {error}") from None
        return Lowered(coef.copy(), intercept.copy(), scores)

    @wraps(EncryptedPredictorMixin.compile)
    def compile(self, *args: Any, **kwargs: Any) -> Circuit:  # type: ignore[override]
        """Compile; see the mixin. What is too wide for the engine is told in terms of these models."""
        try:
            return super().compile(*args, **kwargs)
        except CompilationError as error:
            if self.scores_.max_range_margin >= 0:
                raise
            raise CompilationError(
                f"the scores of this {type(self).__name__} are too wide to be encrypted: with "
                f"n_bits={self.n_bits} and {len(self.scores_.features)} features they need "
                f"{self.scores_.precision:.0f} bits, and the engine takes 56; lower n_bits and fit again"
            ) from error

    @property
    def scores_(self) -> QuantizedScores:
        """The program between its two edges: how features are encoded and scores decoded.

        It follows ``coef_`` and ``intercept_``: where these are no longer those that were lowered, whether
        assigned or changed in place, they are lowered again and the circuit is dropped.
        """
        if "_lowered" not in vars(self):
            raise AttributeError(f"this {type(self).__name__} is not fitted")
        lowered = self._lowered
        if not lowered.of(*_coefficients(self)):
            lowered = self._quantized(self, self._calibration)
            self._drop_circuit()
            self._lowered = lowered
        return lowered.scores

    @property
    def program_(self) -> Program:  # type: ignore[override]
        """The linear function on integers: what runs encrypted."""
        return self.scores_.program

    def _rows(self, fitted: Any, X: Any) -> Any:
        return validate_data(fitted, X, reset=False, accept_sparse="csr")

    # Prediction.

    def _scores(self, X: ArrayLike, fhe: str) -> Array:
        """Scores of rows, shape (n_rows, n_scores)."""
        check_is_fitted(self, "program_")
        rows, scores = self._rows(self, X), self.scores_
        clipped = describe_clipping(scores, self._calibration, rows, getattr(self, "feature_names_in_", None))
        if clipped:
            warnings.warn(f"{type(self).__name__}: {clipped}", InputClippingWarning, stacklevel=3)
        (accumulators,) = self._evaluate([scores.encode(rows)], fhe)
        kind = self._score_type(rows)
        with np.errstate(over="ignore"):
            found = scores.decode(accumulators).astype(kind, copy=False)
        if not np.isfinite(found).all():
            raise ValueError(f"the scores of some of these rows exceed the largest {kind}")
        return found

    def _score_type(self, rows: Any) -> Any:
        """Return the type that the original computes scores of these rows in."""
        none = np.zeros((1, 0), dtype=rows.dtype) @ np.zeros((0, 1), dtype=self.coef_.dtype)
        return (none + self.intercept_).dtype

    def _head(self) -> Any:
        """Return the original with unit weights: what its methods make of scores in place of features."""
        head = as_original(self, fitted=False)
        n_scores = len(self._lowered.scores.scale)
        vars(head).update({k: v for k, v in vars(self).items() if k.endswith("_") or k.startswith("_")})
        kind = self.coef_.dtype
        head.coef_ = np.eye(n_scores, dtype=kind) if self.coef_.ndim == 2 else np.ones(n_scores, dtype=kind)
        head.intercept_ = np.zeros(n_scores, dtype=kind)
        head.n_features_in_ = n_scores
        vars(head).pop("feature_names_in_", None)
        return head

    def predict(self, X: ArrayLike, *, fhe: str = "disable") -> Array:
        """Return the class or the value of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of float, shape (n_rows, n_features)
        fhe : {"disable", "simulate", "execute"}, default="disable"
            Evaluate the integers of ``program_`` in the clear, in the clear as the engine would, or
            encrypted.

        Returns
        -------
        ndarray of shape (n_rows,) or (n_rows, n_targets)
            Of the type that the original returns.

        Raises
        ------
        NotCompiledError
            If ``fhe`` is not ``"disable"`` and ``compile`` was not called since ``fit``, or since
            ``coef_`` or ``intercept_`` were changed.

        Warns
        -----
        InputClippingWarning
            If values lie beyond the range that is represented; see ``range_margin``.
        """
        scores = self._scores(X, fhe)
        return self._head().predict(scores)

    @available_if(original_has("decision_function"))
    def decision_function(self, X: ArrayLike, *, fhe: str = "disable") -> FloatArray:
        """Return the score of each class, or that of the second of two.

        Parameters, errors and warnings are those of `predict`.

        Returns
        -------
        ndarray of float, shape (n_rows,) or (n_rows, n_classes)
        """
        scores = self._scores(X, fhe)
        return self._head().decision_function(scores)

    @available_if(original_has("predict_proba"))
    def predict_proba(self, X: ArrayLike, *, fhe: str = "disable") -> FloatArray:
        """Return the probability of each class, computed from the scores in the clear.

        Parameters, errors and warnings are those of `predict`.

        Returns
        -------
        ndarray of float, shape (n_rows, n_classes)
        """
        scores = self._scores(X, fhe)
        return self._head().predict_proba(scores)

    @available_if(original_has("predict_proba"))
    def predict_log_proba(self, X: ArrayLike, *, fhe: str = "disable") -> FloatArray:
        """Return the logarithm of `predict_proba`."""
        scores = self._scores(X, fhe)
        return self._head().predict_log_proba(scores)


class Lowered:
    """Quantized scores, and the coefficients that they are of.

    Parameters
    ----------
    coef, intercept : ndarray
        Copies.
    scores : QuantizedScores
    """

    def __init__(self, coef: FloatArray, intercept: FloatArray, scores: QuantizedScores) -> None:
        self.coef = coef
        self.intercept = intercept
        self.scores = scores

    def of(self, coef: FloatArray, intercept: FloatArray) -> bool:
        """Whether these are the coefficients that were lowered."""
        return np.array_equal(self.coef, coef) and np.array_equal(self.intercept, intercept)


def _coefficients(fitted: Any) -> tuple[FloatArray, FloatArray]:
    coef = fitted.coef_.toarray() if issparse(fitted.coef_) else np.asarray(fitted.coef_)
    return coef, np.asarray(fitted.intercept_)
