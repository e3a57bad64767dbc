"""Penalized least squares with searched penalties, or of several targets at once, on encrypted data."""

from sklearn import linear_model

from skfhe._linear import LinearPredictorMixin
from skfhe._linear.docstrings import LINEAR
from skfhe._originals.docstrings import documented
from skfhe._originals.inherited import method_of, parameters_of

__all__ = [
    "ElasticNetCV",
    "LassoCV",
    "MultiTaskElasticNet",
    "MultiTaskElasticNetCV",
    "MultiTaskLasso",
    "MultiTaskLassoCV",
]


@documented(LINEAR)
class LassoCV(LinearPredictorMixin, linear_model.LassoCV):
    """Least squares with an L1 penalty chosen by cross-validation, on encrypted data.

    {parameters}

    {attributes}

    {notes}

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skfhe.linear_model import LassoCV
    >>> X, y = load_diabetes(return_X_y=True)
    >>> LassoCV().fit(X, y).cost_.lookups
    {}
    """

    _original = linear_model.LassoCV
    __init__ = parameters_of(linear_model.LassoCV, n_bits=8, range_margin=7.5)
    fit = method_of(linear_model.LassoCV.fit)


@documented(LINEAR)
class ElasticNetCV(LinearPredictorMixin, linear_model.ElasticNetCV):
    """Least squares with L1 and L2 penalties chosen by cross-validation, on encrypted data.

    {parameters}

    {attributes}

    {notes}

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skfhe.linear_model import ElasticNetCV
    >>> X, y = load_diabetes(return_X_y=True)
    >>> ElasticNetCV().fit(X, y).cost_.lookups
    {}
    """

    _original = linear_model.ElasticNetCV
    __init__ = parameters_of(linear_model.ElasticNetCV, n_bits=8, range_margin=7.5)
    fit = method_of(linear_model.ElasticNetCV.fit)


@documented(LINEAR)
class MultiTaskLasso(LinearPredictorMixin, linear_model.MultiTaskLasso):
    """Least squares of several targets with a penalty that keeps or drops a feature for all of them.

    {parameters}

    {attributes}

    {notes}

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_diabetes
    >>> from skfhe.linear_model import MultiTaskLasso
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = MultiTaskLasso().fit(X, np.column_stack([y, -y]))
    >>> model.predict(X[:3]).shape
    (3, 2)
    """

    _original = linear_model.MultiTaskLasso
    __init__ = parameters_of(linear_model.MultiTaskLasso, n_bits=8, range_margin=7.5)
    fit = method_of(linear_model.MultiTaskLasso.fit)


@documented(LINEAR)
class MultiTaskLassoCV(LinearPredictorMixin, linear_model.MultiTaskLassoCV):
    """`MultiTaskLasso` on encrypted data, with the penalty chosen by cross-validation.

    {parameters}

    {attributes}

    {notes}

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_diabetes
    >>> from skfhe.linear_model import MultiTaskLassoCV
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = MultiTaskLassoCV().fit(X, np.column_stack([y, -y]))
    >>> model.predict(X[:3]).shape
    (3, 2)
    """

    _original = linear_model.MultiTaskLassoCV
    __init__ = parameters_of(linear_model.MultiTaskLassoCV, n_bits=8, range_margin=7.5)
    fit = method_of(linear_model.MultiTaskLassoCV.fit)


@documented(LINEAR)
class MultiTaskElasticNet(LinearPredictorMixin, linear_model.MultiTaskElasticNet):
    """Least squares of several targets with L1 and L2 penalties on features, on encrypted data.

    {parameters}

    {attributes}

    {notes}

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_diabetes
    >>> from skfhe.linear_model import MultiTaskElasticNet
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = MultiTaskElasticNet().fit(X, np.column_stack([y, -y]))
    >>> model.predict(X[:3]).shape
    (3, 2)
    """

    _original = linear_model.MultiTaskElasticNet
    __init__ = parameters_of(linear_model.MultiTaskElasticNet, n_bits=8, range_margin=7.5)
    fit = method_of(linear_model.MultiTaskElasticNet.fit)


@documented(LINEAR)
class MultiTaskElasticNetCV(LinearPredictorMixin, linear_model.MultiTaskElasticNetCV):
    """`MultiTaskElasticNet` on encrypted data, with penalties chosen by cross-validation.

    {parameters}

    {attributes}

    {notes}

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_diabetes
    >>> from skfhe.linear_model import MultiTaskElasticNetCV
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = MultiTaskElasticNetCV().fit(X, np.column_stack([y, -y]))
    >>> model.predict(X[:3]).shape
    (3, 2)
    """

    _original = linear_model.MultiTaskElasticNetCV
    __init__ = parameters_of(linear_model.MultiTaskElasticNetCV, n_bits=8, range_margin=7.5)
    fit = method_of(linear_model.MultiTaskElasticNetCV.fit)
