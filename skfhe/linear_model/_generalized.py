"""Generalized linear models on encrypted data; the link is applied in the clear."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn import linear_model

from skfhe._linear import LinearPredictorMixin
from skfhe._originals.inherited import method_of, parameters_of
from skfhe._typing import Array

__all__ = ["GammaRegressor", "PoissonRegressor", "TweedieRegressor"]


class GeneralizedMixin:
    """What the generalized linear models share; goes before `LinearPredictorMixin`."""

    def _linear_predictor(self: Any, X: ArrayLike) -> Array:
        """Return the integer program's scores: the original computes ``score`` from them."""
        return self._scores(X, "disable")[:, 0]

    def _score_type(self: Any, rows: Any) -> Any:
        """Return the type of scores; these originals take nothing but two kinds of floats."""
        return super()._score_type(rows[:0].astype(np.float32 if rows.dtype == np.float32 else np.float64))


class PoissonRegressor(GeneralizedMixin, LinearPredictorMixin, linear_model.PoissonRegressor):
    """Poisson regression on encrypted data, with a logarithmic link.

    Parameters
    ----------
    n_bits : int or dict, default=8
        Bits of the inputs and of the weights, or ``{"op_inputs": i, "op_weights": w}``. The bulk of a
        feature's values is cut into ``2**i`` steps; values far from it add bits.
    range_margin : float, default=7.5
        How far beyond the training range of a feature its values are represented, in widths of that range,
        at either end. Values beyond are clipped, with an `InputClippingWarning`.
    **parameters
        Those of `sklearn.linear_model.PoissonRegressor`, with its defaults.

    Attributes
    ----------
    program_ : Program
        The linear function on integers: what runs encrypted.
    scores_ : QuantizedScores
        The program between its two edges: how features are encoded and scores decoded. Both follow
        ``coef_`` and ``intercept_`` when these are changed after ``fit``.
    output_bits_ : list of int
        Proven bits of the accumulators.
    cost_ : Cost
        Predicted seconds a row; there are no lookups.
    fhe_circuit_ : Circuit
        After ``compile``.

    Notes
    -----
    All attributes of the fitted original are there, too; they are those of the float model.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skfhe.linear_model import PoissonRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = PoissonRegressor().fit(X, y)
    >>> circuit = model.compile()
    >>> bool((model.predict(X[:2], fhe="execute") == model.predict(X[:2])).all())
    True
    """

    _original = linear_model.PoissonRegressor
    __init__ = parameters_of(linear_model.PoissonRegressor, n_bits=8, range_margin=7.5)
    fit = method_of(linear_model.PoissonRegressor.fit)


class GammaRegressor(GeneralizedMixin, LinearPredictorMixin, linear_model.GammaRegressor):
    """Gamma regression on encrypted data, with a logarithmic link.

    Parameters
    ----------
    n_bits : int or dict, default=8
        Bits of the inputs and of the weights, or ``{"op_inputs": i, "op_weights": w}``. The bulk of a
        feature's values is cut into ``2**i`` steps; values far from it add bits.
    range_margin : float, default=7.5
        How far beyond the training range of a feature its values are represented, in widths of that range,
        at either end. Values beyond are clipped, with an `InputClippingWarning`.
    **parameters
        Those of `sklearn.linear_model.GammaRegressor`, with its defaults.

    Attributes
    ----------
    program_ : Program
        The linear function on integers: what runs encrypted.
    scores_ : QuantizedScores
        The program between its two edges: how features are encoded and scores decoded. Both follow
        ``coef_`` and ``intercept_`` when these are changed after ``fit``.
    output_bits_ : list of int
        Proven bits of the accumulators.
    cost_ : Cost
        Predicted seconds a row; there are no lookups.
    fhe_circuit_ : Circuit
        After ``compile``.

    Notes
    -----
    All attributes of the fitted original are there, too; they are those of the float model.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skfhe.linear_model import GammaRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = GammaRegressor().fit(X, y)
    >>> circuit = model.compile()
    >>> bool((model.predict(X[:2], fhe="execute") == model.predict(X[:2])).all())
    True
    """

    _original = linear_model.GammaRegressor
    __init__ = parameters_of(linear_model.GammaRegressor, n_bits=8, range_margin=7.5)
    fit = method_of(linear_model.GammaRegressor.fit)


class TweedieRegressor(GeneralizedMixin, LinearPredictorMixin, linear_model.TweedieRegressor):
    """Regression with a Tweedie distribution on encrypted data.

    Parameters
    ----------
    n_bits : int or dict, default=8
        Bits of the inputs and of the weights, or ``{"op_inputs": i, "op_weights": w}``. The bulk of a
        feature's values is cut into ``2**i`` steps; values far from it add bits.
    range_margin : float, default=7.5
        How far beyond the training range of a feature its values are represented, in widths of that range,
        at either end. Values beyond are clipped, with an `InputClippingWarning`.
    **parameters
        Those of `sklearn.linear_model.TweedieRegressor`, with its defaults.

    Attributes
    ----------
    program_ : Program
        The linear function on integers: what runs encrypted.
    scores_ : QuantizedScores
        The program between its two edges: how features are encoded and scores decoded. Both follow
        ``coef_`` and ``intercept_`` when these are changed after ``fit``.
    output_bits_ : list of int
        Proven bits of the accumulators.
    cost_ : Cost
        Predicted seconds a row; there are no lookups.
    fhe_circuit_ : Circuit
        After ``compile``.

    Notes
    -----
    All attributes of the fitted original are there, too; they are those of the float model.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skfhe.linear_model import TweedieRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = TweedieRegressor(power=1.5, link="log").fit(X, y)
    >>> circuit = model.compile()
    >>> bool((model.predict(X[:2], fhe="execute") == model.predict(X[:2])).all())
    True
    """

    _original = linear_model.TweedieRegressor
    __init__ = parameters_of(linear_model.TweedieRegressor, n_bits=8, range_margin=7.5)
    fit = method_of(linear_model.TweedieRegressor.fit)
