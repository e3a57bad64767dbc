"""Least squares, plain and penalized, on encrypted data."""

from sklearn import linear_model

from skfhe._linear import LinearPredictorMixin
from skfhe._linear.docstrings import LINEAR
from skfhe._originals.docstrings import documented
from skfhe._originals.inherited import method_of, parameters_of

__all__ = ["ElasticNet", "Lasso", "LinearRegression", "Ridge"]


@documented(LINEAR)
class LinearRegression(LinearPredictorMixin, linear_model.LinearRegression):
    """Ordinary least squares on encrypted data.

    {parameters}

    {attributes}

    {notes}

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


@documented(LINEAR)
class Ridge(LinearPredictorMixin, linear_model.Ridge):
    """Least squares with an L2 penalty on encrypted data.

    {parameters}

    {attributes}

    {notes}

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


@documented(LINEAR)
class Lasso(LinearPredictorMixin, linear_model.Lasso):
    """Least squares with an L1 penalty on encrypted data; features without a weight are not sent.

    {parameters}

    {attributes}

    {notes}

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


@documented(LINEAR)
class ElasticNet(LinearPredictorMixin, linear_model.ElasticNet):
    """Least squares with L1 and L2 penalties on encrypted data.

    {parameters}

    {attributes}

    {notes}

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
