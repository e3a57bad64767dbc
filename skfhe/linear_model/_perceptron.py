"""Classifiers and regressions that learn from one row at a time, on encrypted data."""

from sklearn import linear_model

from skfhe._linear import LinearPredictorMixin
from skfhe._linear.docstrings import FOURTEEN_BITS, LINEAR
from skfhe._originals.docstrings import documented
from skfhe._originals.inherited import method_of, parameters_of
from skfhe._originals.signatures import of_calls

__all__ = ["PassiveAggressiveClassifier", "PassiveAggressiveRegressor", "Perceptron"]


@documented(LINEAR, n_bits=FOURTEEN_BITS)
class Perceptron(LinearPredictorMixin, linear_model.Perceptron):
    """Perceptron on encrypted data.

    {parameters}

    {attributes}

    {notes}

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skfhe.linear_model import Perceptron
    >>> X, y = load_iris(return_X_y=True)
    >>> Perceptron().fit(X, y).cost_.lookups
    {}
    """

    _original = linear_model.Perceptron
    __init__ = parameters_of(linear_model.Perceptron, n_bits=14, range_margin=7.5)
    fit = method_of(linear_model.Perceptron.fit)
    partial_fit = method_of(linear_model.Perceptron.partial_fit)


@documented(LINEAR, n_bits=FOURTEEN_BITS)
class PassiveAggressiveClassifier(LinearPredictorMixin, linear_model.PassiveAggressiveClassifier):
    """Passive-aggressive classifier on encrypted data; scikit-learn drops it in version 1.10.

    {parameters}

    {attributes}

    {notes}

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skfhe.linear_model import PassiveAggressiveClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> PassiveAggressiveClassifier().fit(X, y).cost_.lookups
    {}
    """

    _original = linear_model.PassiveAggressiveClassifier
    __init__ = parameters_of(linear_model.PassiveAggressiveClassifier, n_bits=14, range_margin=7.5)
    __signature__ = of_calls(__init__)
    fit = method_of(linear_model.PassiveAggressiveClassifier.fit)
    partial_fit = method_of(linear_model.PassiveAggressiveClassifier.partial_fit)


@documented(LINEAR, n_bits=FOURTEEN_BITS)
class PassiveAggressiveRegressor(LinearPredictorMixin, linear_model.PassiveAggressiveRegressor):
    """Passive-aggressive regression on encrypted data; scikit-learn drops it in version 1.10.

    {parameters}

    {attributes}

    {notes}

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skfhe.linear_model import PassiveAggressiveRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> PassiveAggressiveRegressor().fit(X, y).cost_.lookups
    {}
    """

    _original = linear_model.PassiveAggressiveRegressor
    __init__ = parameters_of(linear_model.PassiveAggressiveRegressor, n_bits=14, range_margin=7.5)
    __signature__ = of_calls(__init__)
    fit = method_of(linear_model.PassiveAggressiveRegressor.fit)
    partial_fit = method_of(linear_model.PassiveAggressiveRegressor.partial_fit)
