"""Linear scores on encrypted data: quantization, program, and what its estimators share.

A linear model needs no lookup. The client sends an integer ``q_f`` for each feature,

    x_f ≈ s_f (q_f - z_f),

and the server weighs and adds them. The features' scales are folded into the weights before these are
quantized, with one scale ``t_c`` for each score:

    score_c ≈ t_c (Σ_f round(s_f w_fc / t_c) q_f + b_c).

So a feature gets the resolution of its own range, whatever those of the others are. Link functions,
softmax and argmax are applied to the decrypted scores, in the clear.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse
from sklearn.utils.metaestimators import available_if
from sklearn.utils.sparsefuncs import mean_variance_axis, min_max_axis
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from skfhe.base import EncryptedPredictorMixin
from skfhe.program import Program, ProgramBuilder, drop_unused_inputs, ops, optimize
from skfhe.quantization import AffineQuantizer
from skfhe.twin import adopt, as_twin, from_twin, twin_has

__all__ = ["LinearPredictorMixin", "QuantizedScores", "check_n_bits", "quantize_scores"]

FloatArray = NDArray[np.float64]

RANGE_MARGIN = 0.1
"""How far the input quantizer reaches beyond the values seen, as a part of their range, at either end."""


@dataclass(frozen=True, eq=False)
class QuantizedScores:
    """A linear function on integers, and its two edges.

    Parameters
    ----------
    program : Program
        From the encoded features to one accumulator a score.
    features : ndarray of int64, shape (n_used,)
        The features that are encoded: those with a weight.
    quantizer : AffineQuantizer
        Encodes them, with one scale and zero point each.
    scale : ndarray of float64, shape (n_scores,)
        What one unit of each accumulator is worth.
    """

    program: Program
    features: NDArray[np.int64]
    quantizer: AffineQuantizer
    scale: FloatArray

    def encode(self, X: Any) -> NDArray[np.int64]:
        """Return the integers of the rows ``X``, dense or sparse, shape (n_rows, n_used)."""
        used = X[:, self.features]
        return self.quantizer.quantize(used.toarray() if issparse(used) else used)

    def decode(self, accumulators: NDArray[np.int64]) -> FloatArray:
        """Return the scores, shape (n_rows, n_scores)."""
        return accumulators * self.scale


def check_n_bits(n_bits: Any) -> tuple[int, int]:
    """Return ``n_bits`` as bits of the inputs and bits of the weights.

    Parameters
    ----------
    n_bits : int or dict
        For both, or ``{"op_inputs": i, "op_weights": w}``.

    Raises
    ------
    ValueError
        If it is neither, or bits lie outside 1 to 16 for inputs, or 2 to 16 for weights.

    Examples
    --------
    >>> check_n_bits(8), check_n_bits({"op_inputs": 6, "op_weights": 10})
    ((8, 8), (6, 10))
    """
    names = {"op_inputs", "op_weights"}
    given = n_bits if isinstance(n_bits, Mapping) else dict.fromkeys(names, n_bits)
    valid = set(given) == names and all(
        isinstance(bits, Integral) and not isinstance(bits, bool) and least <= int(bits) <= 16
        for bits, least in ((given["op_inputs"], 1), (given["op_weights"], 2))
    )
    if not valid:
        raise ValueError(
            'n_bits must be an int from 2 to 16, or {"op_inputs": int from 1 to 16, "op_weights": int from '
            f"2 to 16}}, got {n_bits!r}"
        )
    return int(given["op_inputs"]), int(given["op_weights"])


def quantize_scores(
    weight: ArrayLike,
    bias: ArrayLike,
    X: Any,
    n_input_bits: int,
    n_weight_bits: int,
    sample_weight: ArrayLike,
) -> QuantizedScores:
    """Quantize ``X @ weight + bias`` and build its program.

    Parameters
    ----------
    weight : array-like of float, shape (n_features, n_scores)
    bias : array-like of float, shape (n_scores,)
    X : ndarray or sparse matrix, shape (n_rows, n_features)
        Rows to calibrate the input quantizer on. The range of each feature is widened a little; values beyond
        it are clipped. The biases are set so that the mean score over these rows stays what it was.
    n_input_bits, n_weight_bits : int
        Bits of the inputs and of the weights.
    sample_weight : array-like of float, shape (n_rows,)
        What each row counts in the mean. Those that count nothing have no part in the range either.

    Returns
    -------
    QuantizedScores
    """
    weight = np.asarray(weight, dtype=np.float64)
    low, high, mean = _range(X, np.asarray(sample_weight, dtype=np.float64))
    margin = RANGE_MARGIN * (high - low)
    low, high = low - margin, high + margin
    steps = (1 << n_input_bits) - 1
    scale = (high - low) / steps
    varies = scale > np.finfo(np.float64).tiny
    scale[~varies] = 1.0
    zero_point = np.rint(-low / scale).astype(np.int64)

    folded = np.where(varies[:, None], weight * scale[:, None], 0.0)
    unit = np.abs(folded).max(axis=0, initial=0.0) / ((1 << (n_weight_bits - 1)) - 1)
    unit[unit == 0] = 1.0
    integers = np.rint(folded / unit).astype(np.int64)
    effective = integers * unit / scale[:, None]  # the weights that the integers stand for
    offset = np.asarray(bias) + mean @ (weight - effective) - (zero_point @ integers) * unit
    builder = ProgramBuilder()
    x = builder.input(np.zeros(len(weight)), np.full(len(weight), steps), label="features")
    y = builder.add(ops.Linear(integers, np.rint(offset / unit).astype(np.int64)), x, label="scores")
    program, (kept,) = drop_unused_inputs(optimize(builder.finish(y)))
    quantizer = AffineQuantizer(n_input_bits, signed=False, scale=scale[kept], zero_point=zero_point[kept])
    return QuantizedScores(program, np.flatnonzero(kept), quantizer, unit)


def _range(X: Any, sample_weight: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Smallest, largest and mean value of each feature."""
    used = sample_weight > 0
    rows, weights = X[used], sample_weight[used]
    if issparse(rows):
        return (*min_max_axis(rows, axis=0), mean_variance_axis(rows, axis=0, weights=weights)[0])
    return rows.min(axis=0), rows.max(axis=0), np.average(rows, axis=0, weights=weights)


class LinearPredictorMixin(EncryptedPredictorMixin):
    """Mixin of the linear models: training by the twin, scores by the program, decoding by the twin again."""

    _twin: type
    _own_params = ("n_bits",)
    n_bits: Any
    coef_: Any
    scores_: QuantizedScores

    @classmethod
    def from_sklearn_model(cls, fitted: Any, X: ArrayLike | None = None, n_bits: Any = 8) -> Any:
        """Convert a fitted original.

        Parameters
        ----------
        fitted : estimator
            Fitted, of the class that this is the twin of.
        X : array-like of shape (n_rows, n_features)
            Rows to calibrate the input quantizer on, such as those it was trained on.
        n_bits : int or dict, default=8
            Bits of inputs and weights; see the class.

        Returns
        -------
        estimator
            Fitted, with the parameters of ``fitted``.

        Raises
        ------
        TypeError
            If ``fitted`` is of another class.
        ValueError
            If ``X`` is not given: the features' ranges are not in a linear model.
        NotFittedError
            If ``fitted`` is not fitted.
        """
        estimator = from_twin(cls, fitted, n_bits=n_bits)
        check_is_fitted(fitted)
        if X is None:
            raise ValueError(
                f"{cls.__name__}.from_sklearn_model needs rows to calibrate the input quantizer on, for the "
                "features' ranges are not in a linear model; give X, for example the training data"
            )
        estimator._lower(estimator, X)
        return estimator

    def _train(self, original: Any, arguments: dict[str, Any]) -> None:
        """Train a twin by one of its own methods, lower it, and take both over."""
        check_n_bits(self.n_bits)
        goes_on = original.__name__ == "partial_fit" or getattr(self, "warm_start", False)
        twin = as_twin(self, fitted=goes_on)
        original(twin, **arguments)
        self._lower(twin, arguments["X"], arguments.get("sample_weight"))

    def _lower(self, twin: Any, X: Any, sample_weight: ArrayLike | None = None) -> None:
        """Quantize a fitted twin's scores, and take both over."""
        rows = self._rows(twin, X)
        coef = twin.coef_.toarray() if issparse(twin.coef_) else np.asarray(twin.coef_)
        n_inputs = coef.shape[-1]
        weight = coef.reshape(-1, n_inputs).T
        bias = np.broadcast_to(np.ravel(twin.intercept_), weight.shape[1])
        weights = _check_sample_weight(sample_weight, rows, dtype=np.float64)
        scores = quantize_scores(weight, bias, rows, *check_n_bits(self.n_bits), weights)
        if twin is not self:
            adopt(self, twin)
        self._drop_circuit()
        self.scores_ = scores
        self.program_ = scores.program

    def _rows(self, fitted: Any, X: Any) -> Any:
        return validate_data(fitted, X, reset=False, accept_sparse="csr", dtype=np.float64)

    def _scores(self, X: ArrayLike, fhe: str) -> FloatArray:
        """Scores of rows, shape (n_rows, n_scores)."""
        check_is_fitted(self, "program_")
        rows = self._rows(self, X)
        (accumulators,) = self._evaluate([self.scores_.encode(rows)], fhe)
        return self.scores_.decode(accumulators)

    def _head(self) -> Any:
        """Return the twin with unit weights: what its methods make of scores in place of features."""
        head = as_twin(self, fitted=False)
        n_scores = len(self.scores_.scale)
        vars(head).update({k: v for k, v in vars(self).items() if k.endswith("_") or k.startswith("_")})
        head.coef_ = np.eye(n_scores) if self.coef_.ndim == 2 else np.ones(n_scores)
        head.intercept_ = np.zeros(n_scores)
        head.n_features_in_ = n_scores
        vars(head).pop("feature_names_in_", None)
        return head

    def predict(self, X: ArrayLike, *, fhe: str = "disable") -> NDArray[Any]:
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

        Raises
        ------
        NotCompiledError
            If ``fhe`` is not ``"disable"`` and ``compile`` was not called since ``fit``.
        """
        scores = self._scores(X, fhe)
        return self._head().predict(scores)

    @available_if(twin_has("decision_function"))
    def decision_function(self, X: ArrayLike, *, fhe: str = "disable") -> FloatArray:
        """Return the score of each class, or that of the second of two.

        Parameters and errors are those of `predict`.

        Returns
        -------
        ndarray of float64, shape (n_rows,) or (n_rows, n_classes)
        """
        scores = self._scores(X, fhe)
        return scores[:, 0] if scores.shape[1] == 1 else scores

    @available_if(twin_has("predict_proba"))
    def predict_proba(self, X: ArrayLike, *, fhe: str = "disable") -> FloatArray:
        """Return the probability of each class, computed from the scores in the clear.

        Parameters and errors are those of `predict`.

        Returns
        -------
        ndarray of float64, shape (n_rows, n_classes)
        """
        scores = self._scores(X, fhe)
        return self._head().predict_proba(scores)

    @available_if(twin_has("predict_proba"))
    def predict_log_proba(self, X: ArrayLike, *, fhe: str = "disable") -> FloatArray:
        """Return the logarithm of `predict_proba`."""
        return np.log(self.predict_proba(X, fhe=fhe))

    def _linear_predictor(self, X: ArrayLike) -> FloatArray:
        """Return the integer program's scores: generalized linear models compute ``score`` from them."""
        return self._scores(X, "disable")[:, 0]
