"""Regressions that outliers hardly move, and one of quantiles, on encrypted data."""

from typing import Any

from numpy.typing import ArrayLike
from sklearn import linear_model
from sklearn.base import RegressorMixin

from skfhe._linear import LinearPredictorMixin
from skfhe._linear.docstrings import LINEAR, TWELVE_BITS
from skfhe._linear.scores import LinearScores
from skfhe._originals.conversion import estimator_for, public_name
from skfhe._originals.docstrings import documented
from skfhe._originals.inherited import method_of, parameters_of
from skfhe._typing import FloatArray
from skfhe.encoding import Values
from skfhe.exceptions import UnsupportedModelError

__all__ = ["HuberRegressor", "QuantileRegressor", "RANSACRegressor", "TheilSenRegressor"]


@documented(LINEAR)
class HuberRegressor(LinearPredictorMixin, linear_model.HuberRegressor):
    """Linear regression with the Huber loss on encrypted data.

    {parameters}

    {attributes}

    {notes}

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skfhe.linear_model import HuberRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> HuberRegressor(max_iter=1000).fit(X, y).cost_.lookups
    {}
    """

    _original = linear_model.HuberRegressor
    __init__ = parameters_of(linear_model.HuberRegressor, n_bits=8, range_margin=7.5)
    fit = method_of(linear_model.HuberRegressor.fit)


@documented(LINEAR, n_bits=TWELVE_BITS)
class QuantileRegressor(LinearPredictorMixin, linear_model.QuantileRegressor):
    """Linear regression of a quantile on encrypted data.

    {parameters}

    {attributes}

    {notes}

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skfhe.linear_model import QuantileRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> QuantileRegressor().fit(X, y).cost_.lookups
    {}
    """

    _original = linear_model.QuantileRegressor
    __init__ = parameters_of(linear_model.QuantileRegressor, n_bits=12, range_margin=7.5)
    fit = method_of(linear_model.QuantileRegressor.fit)


@documented(LINEAR, n_bits=TWELVE_BITS)
class TheilSenRegressor(LinearPredictorMixin, linear_model.TheilSenRegressor):
    """Theil-Sen regression on encrypted data.

    {parameters}

    {attributes}

    {notes}

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skfhe.linear_model import TheilSenRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> TheilSenRegressor(max_subpopulation=50, random_state=0).fit(X, y).cost_.lookups
    {}
    """

    _original = linear_model.TheilSenRegressor
    __init__ = parameters_of(linear_model.TheilSenRegressor, n_bits=12, range_margin=7.5)
    fit = method_of(linear_model.TheilSenRegressor.fit)


@documented(LINEAR, n_bits=TWELVE_BITS)
class RANSACRegressor(LinearPredictorMixin, linear_model.RANSACRegressor):
    """Regression on the rows that agree with each other (RANSAC), on encrypted data.

    The estimator inside is a linear regression, of scikit-learn or of skfhe; what predicts is the weights
    that it has learnt. For another one, give an estimator of skfhe to scikit-learn's class.

    {parameters}

    {attributes}

    {notes}

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skfhe.linear_model import RANSACRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> RANSACRegressor(min_samples=50, random_state=0).fit(X, y).cost_.lookups
    {}
    """

    _original = linear_model.RANSACRegressor
    __init__ = parameters_of(linear_model.RANSACRegressor, n_bits=12, range_margin=7.5)
    fit = method_of(linear_model.RANSACRegressor.fit)

    def _describe(self, fitted: Any) -> LinearScores:
        """Read the weights of the regression inside.

        Raises
        ------
        UnsupportedModelError
            If it is not a linear one.
        """
        inner = fitted.estimator_
        ours = type(inner) if isinstance(inner, LinearPredictorMixin) else estimator_for(type(inner))
        if ours is not None and issubclass(ours, LinearPredictorMixin):
            scores: LinearScores = ours()._describe(inner)
            if isinstance(scores.head, Values) and scores.head.link == "identity":
                return scores
        raise UnsupportedModelError(
            f"a {type(self).__name__} of skfhe has a linear regression inside, got {type(inner).__name__}; "
            f"for others, give an estimator of skfhe to {public_name(self._original)}"
        )

    def _followed(self, fitted: Any) -> tuple[FloatArray, ...]:
        """Return the arrays that scores follow when they are changed after ``fit``."""
        return super()._followed(fitted.estimator_)

    def _score_type(self, rows: Any) -> Any:
        """Return the type that the estimator inside computes scores of these rows in."""
        return LinearPredictorMixin._score_type(self.estimator_, rows)

    def score(
        self, X: ArrayLike, y: ArrayLike | None = None, sample_weight: Any = None, *, fhe: str | None = None
    ) -> float:
        """Return R² of the predictions.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_rows, n_features)
        y : array-like of shape (n_rows,) or (n_rows, n_targets)
        sample_weight : array-like of shape (n_rows,), default=None
        fhe : {"disable", "simulate", "execute"}, default=None
            As in `predict`.

        Returns
        -------
        float
        """
        if fhe is None:
            fhe = self._said_above()
        scored: Any = self if fhe is None else self._in_mode(fhe)
        return float(RegressorMixin.score(scored, X, y, sample_weight))
