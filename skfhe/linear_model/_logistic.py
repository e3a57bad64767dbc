"""Logistic regression on encrypted data."""

from typing import Any

from sklearn import linear_model

from skfhe._linear import LinearPredictorMixin
from skfhe._originals.inherited import method_of, parameters_of

__all__ = ["LogisticRegression"]


class LogisticRegression(LinearPredictorMixin, linear_model.LogisticRegression):
    """Logistic regression, trained in the clear, whose scores are computed on encrypted data.

    Parameters
    ----------
    n_bits : int or dict, default=8
        Bits of the inputs and of the weights, or ``{"op_inputs": i, "op_weights": w}``. The bulk of a
        feature's values is cut into ``2**i`` steps; values far from it add bits.
    range_margin : float, default=7.5
        How far beyond the training range of a feature its values are represented, in widths of that range,
        at either end. Values beyond are clipped, with an `InputClippingWarning`.
    **parameters
        Those of `sklearn.linear_model.LogisticRegression`, with its defaults.

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
    >>> from skfhe.linear_model import LogisticRegression
    >>> X, y = load_iris(return_X_y=True)
    >>> model = LogisticRegression(max_iter=200).fit(X, y)
    >>> circuit = model.compile()
    >>> bool((model.predict(X[:2], fhe="execute") == model.predict(X[:2])).all())
    True
    """

    _original = linear_model.LogisticRegression
    __init__ = parameters_of(linear_model.LogisticRegression, n_bits=8, range_margin=7.5)
    fit = method_of(linear_model.LogisticRegression.fit)

    def _link(self, fitted: Any) -> str:
        """Return how probabilities follow: of two classes, or each against the rest, by the logistic."""
        several = len(fitted.classes_) > 2 and fitted.solver != "liblinear"
        chosen = getattr(fitted, "multi_class", "auto")  # a parameter until scikit-learn 1.8
        return "softmax" if chosen == "multinomial" or (several and chosen != "ovr") else "normalized"
