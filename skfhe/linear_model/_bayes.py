"""Bayesian linear regressions on encrypted data."""

from typing import Any

from numpy.typing import ArrayLike
from sklearn import linear_model

from skfhe._linear import LinearPredictorMixin
from skfhe._linear.docstrings import LINEAR
from skfhe._originals.docstrings import documented
from skfhe._originals.inherited import method_of, parameters_of
from skfhe._typing import Array
from skfhe.exceptions import UnsupportedModelError

__all__ = ["ARDRegression", "BayesianRidge"]


class MeanMixin:
    """What the Bayesian regressions share, which predict a mean; goes before `LinearPredictorMixin`."""

    def predict(self: Any, X: ArrayLike, return_std: bool = False, *, fhe: str | None = None) -> Array:
        """Return the mean of the predictive distribution of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_rows, n_features)
        return_std : bool, default=False
            There is no standard deviation: it is a quadratic form of all features, which the program of a
            linear model does not compute.
        fhe : {"disable", "simulate", "execute"}, default=None
            As of any linear model.

        Returns
        -------
        ndarray of shape (n_rows,)

        Raises
        ------
        UnsupportedModelError
            If ``return_std`` is asked for.
        """
        if return_std:
            raise UnsupportedModelError(
                f"return_std=True needs a quadratic form of all features, and this {type(self).__name__} "
                "computes their weighted sum alone; the deviation of rows in the clear is that of "
                f"sklearn.linear_model.{type(self)._original.__name__}"
            )
        return super().predict(X, fhe=fhe)  # type: ignore[misc]


@documented(LINEAR)
class BayesianRidge(MeanMixin, LinearPredictorMixin, linear_model.BayesianRidge):
    """Bayesian ridge regression on encrypted data.

    {parameters}

    {attributes}

    {notes}

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skfhe.linear_model import BayesianRidge
    >>> X, y = load_diabetes(return_X_y=True)
    >>> BayesianRidge().fit(X, y).cost_.lookups
    {}
    """

    _original = linear_model.BayesianRidge
    __init__ = parameters_of(linear_model.BayesianRidge, n_bits=8, range_margin=7.5)
    fit = method_of(linear_model.BayesianRidge.fit)


@documented(LINEAR)
class ARDRegression(MeanMixin, LinearPredictorMixin, linear_model.ARDRegression):
    """Bayesian regression with a precision of its own for each weight, on encrypted data.

    {parameters}

    {attributes}

    {notes}

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skfhe.linear_model import ARDRegression
    >>> X, y = load_diabetes(return_X_y=True)
    >>> ARDRegression().fit(X, y).cost_.lookups
    {}
    """

    _original = linear_model.ARDRegression
    __init__ = parameters_of(linear_model.ARDRegression, n_bits=8, range_margin=7.5)
    fit = method_of(linear_model.ARDRegression.fit)
