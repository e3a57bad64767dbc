"""Linear models trained by stochastic gradient descent, on encrypted data."""

from typing import Any

from sklearn import linear_model

from skfhe._linear import LinearPredictorMixin
from skfhe._originals.inherited import method_of, parameters_of

__all__ = ["SGDClassifier", "SGDRegressor"]


class SGDClassifier(LinearPredictorMixin, linear_model.SGDClassifier):
    """Linear classifier trained by stochastic gradient descent, with any loss, on encrypted data.

    Parameters
    ----------
    n_bits : int or dict, default=8
        Bits of the inputs and of the weights, or ``{"op_inputs": i, "op_weights": w}``. The bulk of a
        feature's values is cut into ``2**i`` steps; values far from it add bits.
    range_margin : float, default=7.5
        How far beyond the training range of a feature its values are represented, in widths of that range,
        at either end. Values beyond are clipped, with an `InputClippingWarning`.
    **parameters
        Those of `sklearn.linear_model.SGDClassifier`, with its defaults.

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
    >>> from sklearn.datasets import load_iris
    >>> from skfhe.linear_model import SGDClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = SGDClassifier(loss="log_loss", random_state=0).fit(X, y)
    >>> circuit = model.compile()
    >>> bool((model.predict(X[:2], fhe="execute") == model.predict(X[:2])).all())
    True
    """

    _original = linear_model.SGDClassifier
    __init__ = parameters_of(linear_model.SGDClassifier, n_bits=8, range_margin=7.5)
    fit = method_of(linear_model.SGDClassifier.fit)
    partial_fit = method_of(linear_model.SGDClassifier.partial_fit)

    def _link(self, fitted: Any) -> str:
        """Return how probabilities follow from scores; only two losses have any."""
        return "modified_huber" if fitted.loss == "modified_huber" else "normalized"


class SGDRegressor(LinearPredictorMixin, linear_model.SGDRegressor):
    """Linear regression trained by stochastic gradient descent, on encrypted data.

    Parameters
    ----------
    n_bits : int or dict, default=8
        Bits of the inputs and of the weights, or ``{"op_inputs": i, "op_weights": w}``. The bulk of a
        feature's values is cut into ``2**i`` steps; values far from it add bits.
    range_margin : float, default=7.5
        How far beyond the training range of a feature its values are represented, in widths of that range,
        at either end. Values beyond are clipped, with an `InputClippingWarning`.
    **parameters
        Those of `sklearn.linear_model.SGDRegressor`, with its defaults.

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
    >>> from skfhe.linear_model import SGDRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = SGDRegressor(random_state=0).fit(X, y)
    >>> circuit = model.compile()
    >>> bool((model.predict(X[:2], fhe="execute") == model.predict(X[:2])).all())
    True
    """

    _original = linear_model.SGDRegressor
    __init__ = parameters_of(linear_model.SGDRegressor, n_bits=8, range_margin=7.5)
    fit = method_of(linear_model.SGDRegressor.fit)
    partial_fit = method_of(linear_model.SGDRegressor.partial_fit)
