"""Least squares, plain and penalized, on encrypted data."""

from sklearn import linear_model

from skfhe._linear import LinearPredictorMixin
from skfhe._originals.inherited import method_of, parameters_of

__all__ = ["ElasticNet", "Lasso", "LinearRegression", "Ridge"]


class LinearRegression(LinearPredictorMixin, linear_model.LinearRegression):
    """Ordinary least squares on encrypted data.

    Parameters
    ----------
    n_bits : int or dict, default=8
        Bits of the inputs and of the weights, or ``{"op_inputs": i, "op_weights": w}``. The bulk of a
        feature's values is cut into ``2**i`` steps; values far from it add bits.
    range_margin : float, default=7.5
        How far beyond the training range of a feature its values are represented, in widths of that range,
        at either end. Values beyond are clipped, with an `InputClippingWarning`.
    **parameters
        Those of `sklearn.linear_model.LinearRegression`, with its defaults.

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
    >>> from skfhe.linear_model import LinearRegression
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = LinearRegression().fit(X, y)
    >>> circuit = model.compile()
    >>> bool((model.predict(X[:2], fhe="execute") == model.predict(X[:2])).all())
    True
    """

    _original = linear_model.LinearRegression
    __init__ = parameters_of(linear_model.LinearRegression, n_bits=8, range_margin=7.5)
    fit = method_of(linear_model.LinearRegression.fit)


class Ridge(LinearPredictorMixin, linear_model.Ridge):
    """Least squares with an L2 penalty on encrypted data.

    Parameters
    ----------
    n_bits : int or dict, default=8
        Bits of the inputs and of the weights, or ``{"op_inputs": i, "op_weights": w}``. The bulk of a
        feature's values is cut into ``2**i`` steps; values far from it add bits.
    range_margin : float, default=7.5
        How far beyond the training range of a feature its values are represented, in widths of that range,
        at either end. Values beyond are clipped, with an `InputClippingWarning`.
    **parameters
        Those of `sklearn.linear_model.Ridge`, with its defaults.

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
    >>> from skfhe.linear_model import Ridge
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = Ridge(alpha=0.1).fit(X, y)
    >>> circuit = model.compile()
    >>> bool((model.predict(X[:2], fhe="execute") == model.predict(X[:2])).all())
    True
    """

    _original = linear_model.Ridge
    __init__ = parameters_of(linear_model.Ridge, n_bits=8, range_margin=7.5)
    fit = method_of(linear_model.Ridge.fit)


class Lasso(LinearPredictorMixin, linear_model.Lasso):
    """Least squares with an L1 penalty on encrypted data; features without a weight are not sent.

    Parameters
    ----------
    n_bits : int or dict, default=8
        Bits of the inputs and of the weights, or ``{"op_inputs": i, "op_weights": w}``. The bulk of a
        feature's values is cut into ``2**i`` steps; values far from it add bits.
    range_margin : float, default=7.5
        How far beyond the training range of a feature its values are represented, in widths of that range,
        at either end. Values beyond are clipped, with an `InputClippingWarning`.
    **parameters
        Those of `sklearn.linear_model.Lasso`, with its defaults.

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
    >>> from skfhe.linear_model import Lasso
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = Lasso(alpha=0.5).fit(X, y)
    >>> model.program_.values[0].type.shape  # of 10 features
    (4,)
    """

    _original = linear_model.Lasso
    __init__ = parameters_of(linear_model.Lasso, n_bits=8, range_margin=7.5)
    fit = method_of(linear_model.Lasso.fit)


class ElasticNet(LinearPredictorMixin, linear_model.ElasticNet):
    """Least squares with L1 and L2 penalties on encrypted data.

    Parameters
    ----------
    n_bits : int or dict, default=8
        Bits of the inputs and of the weights, or ``{"op_inputs": i, "op_weights": w}``. The bulk of a
        feature's values is cut into ``2**i`` steps; values far from it add bits.
    range_margin : float, default=7.5
        How far beyond the training range of a feature its values are represented, in widths of that range,
        at either end. Values beyond are clipped, with an `InputClippingWarning`.
    **parameters
        Those of `sklearn.linear_model.ElasticNet`, with its defaults.

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
    >>> from skfhe.linear_model import ElasticNet
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = ElasticNet(alpha=0.01).fit(X, y)
    >>> circuit = model.compile()
    >>> bool((model.predict(X[:2], fhe="execute") == model.predict(X[:2])).all())
    True
    """

    _original = linear_model.ElasticNet
    __init__ = parameters_of(linear_model.ElasticNet, n_bits=8, range_margin=7.5)
    fit = method_of(linear_model.ElasticNet.fit)
