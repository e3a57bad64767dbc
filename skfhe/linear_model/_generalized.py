"""Generalized linear models on encrypted data; the link is applied in the clear."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn import linear_model

from skfhe._linear import LinearPredictorMixin
from skfhe._linear.docstrings import LINEAR
from skfhe._originals.docstrings import documented
from skfhe._originals.inherited import method_of, parameters_of
from skfhe._typing import Array

__all__ = ["GammaRegressor", "PoissonRegressor", "TweedieRegressor"]


class GeneralizedMixin:
    """What the generalized linear models share; goes before `LinearPredictorMixin`."""

    def _linear_predictor(self: Any, X: ArrayLike) -> Array:
        """Return the integer program's scores: the original computes ``score`` from them."""
        return self._scores(X, "disable")[:, 0]

    def _link(self, fitted: Any) -> str:
        """Return what is applied to scores: the exponential, unless a Tweedie model says otherwise."""
        link = getattr(fitted, "link", "log")
        automatic = "identity" if getattr(fitted, "power", 1) <= 0 else "log"
        return "identity" if (automatic if link == "auto" else link) == "identity" else "exp"

    def _score_type(self: Any, rows: Any) -> Any:
        """Return the type of scores; these originals take nothing but two kinds of floats."""
        kind = np.float32 if rows.dtype == np.float32 else np.float64
        return super()._score_type(rows[:0].astype(kind))  # type: ignore[misc]


@documented(LINEAR)
class PoissonRegressor(GeneralizedMixin, LinearPredictorMixin, linear_model.PoissonRegressor):
    """Poisson regression on encrypted data, with a logarithmic link.

    {parameters}

    {attributes}

    {notes}

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


@documented(LINEAR)
class GammaRegressor(GeneralizedMixin, LinearPredictorMixin, linear_model.GammaRegressor):
    """Gamma regression on encrypted data, with a logarithmic link.

    {parameters}

    {attributes}

    {notes}

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


@documented(LINEAR)
class TweedieRegressor(GeneralizedMixin, LinearPredictorMixin, linear_model.TweedieRegressor):
    """Regression with a Tweedie distribution on encrypted data.

    {parameters}

    {attributes}

    {notes}

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
