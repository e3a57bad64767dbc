"""Least angle regression and matching pursuit on encrypted data; features without a weight are not sent."""

from sklearn import linear_model

from skfhe._linear import LinearPredictorMixin
from skfhe._linear.docstrings import LINEAR, TWELVE_BITS
from skfhe._originals.docstrings import documented
from skfhe._originals.inherited import method_of, parameters_of

__all__ = [
    "Lars",
    "LarsCV",
    "LassoLars",
    "LassoLarsCV",
    "LassoLarsIC",
    "OrthogonalMatchingPursuit",
    "OrthogonalMatchingPursuitCV",
]


@documented(LINEAR, n_bits=TWELVE_BITS)
class Lars(LinearPredictorMixin, linear_model.Lars):
    """Least angle regression on encrypted data.

    {parameters}

    {attributes}

    {notes}

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skfhe.linear_model import Lars
    >>> X, y = load_diabetes(return_X_y=True)
    >>> Lars().fit(X, y).cost_.lookups
    {}
    """

    _original = linear_model.Lars
    __init__ = parameters_of(linear_model.Lars, n_bits=12, range_margin=7.5)
    fit = method_of(linear_model.Lars.fit)


@documented(LINEAR)
class LarsCV(LinearPredictorMixin, linear_model.LarsCV):
    """Least angle regression on encrypted data, with the number of steps chosen by cross-validation.

    {parameters}

    {attributes}

    {notes}

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skfhe.linear_model import LarsCV
    >>> X, y = load_diabetes(return_X_y=True)
    >>> LarsCV().fit(X, y).cost_.lookups
    {}
    """

    _original = linear_model.LarsCV
    __init__ = parameters_of(linear_model.LarsCV, n_bits=8, range_margin=7.5)
    fit = method_of(linear_model.LarsCV.fit)


@documented(LINEAR)
class LassoLars(LinearPredictorMixin, linear_model.LassoLars):
    """Least squares with an L1 penalty, found by least angle regression, on encrypted data.

    {parameters}

    {attributes}

    {notes}

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skfhe.linear_model import LassoLars
    >>> X, y = load_diabetes(return_X_y=True)
    >>> LassoLars().fit(X, y).cost_.lookups
    {}
    """

    _original = linear_model.LassoLars
    __init__ = parameters_of(linear_model.LassoLars, n_bits=8, range_margin=7.5)
    fit = method_of(linear_model.LassoLars.fit)


@documented(LINEAR)
class LassoLarsCV(LinearPredictorMixin, linear_model.LassoLarsCV):
    """`LassoLars` on encrypted data, with the penalty chosen by cross-validation.

    {parameters}

    {attributes}

    {notes}

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skfhe.linear_model import LassoLarsCV
    >>> X, y = load_diabetes(return_X_y=True)
    >>> LassoLarsCV().fit(X, y).cost_.lookups
    {}
    """

    _original = linear_model.LassoLarsCV
    __init__ = parameters_of(linear_model.LassoLarsCV, n_bits=8, range_margin=7.5)
    fit = method_of(linear_model.LassoLarsCV.fit)


@documented(LINEAR)
class LassoLarsIC(LinearPredictorMixin, linear_model.LassoLarsIC):
    """`LassoLars` on encrypted data, with the penalty chosen by an information criterion.

    {parameters}

    {attributes}

    {notes}

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skfhe.linear_model import LassoLarsIC
    >>> X, y = load_diabetes(return_X_y=True)
    >>> LassoLarsIC().fit(X, y).cost_.lookups
    {}
    """

    _original = linear_model.LassoLarsIC
    __init__ = parameters_of(linear_model.LassoLarsIC, n_bits=8, range_margin=7.5)
    fit = method_of(linear_model.LassoLarsIC.fit)


@documented(LINEAR)
class OrthogonalMatchingPursuit(LinearPredictorMixin, linear_model.OrthogonalMatchingPursuit):
    """Least squares on a few features, taken one after the other, on encrypted data.

    {parameters}

    {attributes}

    {notes}

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skfhe.linear_model import OrthogonalMatchingPursuit
    >>> X, y = load_diabetes(return_X_y=True)
    >>> OrthogonalMatchingPursuit().fit(X, y).cost_.lookups
    {}
    """

    _original = linear_model.OrthogonalMatchingPursuit
    __init__ = parameters_of(linear_model.OrthogonalMatchingPursuit, n_bits=8, range_margin=7.5)
    fit = method_of(linear_model.OrthogonalMatchingPursuit.fit)


@documented(LINEAR)
class OrthogonalMatchingPursuitCV(LinearPredictorMixin, linear_model.OrthogonalMatchingPursuitCV):
    """`OrthogonalMatchingPursuit` with the number of features chosen by cross-validation.

    {parameters}

    {attributes}

    {notes}

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skfhe.linear_model import OrthogonalMatchingPursuitCV
    >>> X, y = load_diabetes(return_X_y=True)
    >>> OrthogonalMatchingPursuitCV().fit(X, y).cost_.lookups
    {}
    """

    _original = linear_model.OrthogonalMatchingPursuitCV
    __init__ = parameters_of(linear_model.OrthogonalMatchingPursuitCV, n_bits=8, range_margin=7.5)
    fit = method_of(linear_model.OrthogonalMatchingPursuitCV.fit)
