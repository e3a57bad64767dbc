"""Logistic regression on encrypted data."""

from typing import Any

from sklearn import linear_model

from skfhe._linear import LinearPredictorMixin
from skfhe._linear.docstrings import LINEAR, TWELVE_BITS
from skfhe._originals.docstrings import documented
from skfhe._originals.inherited import method_of, parameters_of

__all__ = ["LogisticRegression", "LogisticRegressionCV"]


class LogisticMixin:
    """What logistic regressions share; goes before `LinearPredictorMixin`."""

    def _link(self, fitted: Any) -> str:
        """Return how probabilities follow: of two classes, or each against the rest, by the logistic."""
        several = len(fitted.classes_) > 2 and fitted.solver != "liblinear"
        chosen = getattr(fitted, "multi_class", "auto")  # a parameter until scikit-learn 1.8
        return "softmax" if chosen == "multinomial" or (several and chosen != "ovr") else "normalized"


@documented(LINEAR)
class LogisticRegression(LogisticMixin, LinearPredictorMixin, linear_model.LogisticRegression):
    """Logistic regression, trained in the clear, whose scores are computed on encrypted data.

    {parameters}

    {attributes}

    {notes}

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


@documented(LINEAR, n_bits=TWELVE_BITS)
class LogisticRegressionCV(LogisticMixin, LinearPredictorMixin, linear_model.LogisticRegressionCV):
    """Logistic regression on encrypted data, with the penalty chosen by cross-validation.

    {parameters}

    {attributes}

    {notes}

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skfhe.linear_model import LogisticRegressionCV
    >>> X, y = load_iris(return_X_y=True)
    >>> LogisticRegressionCV(Cs=2, cv=2, solver="newton-cholesky", l1_ratios=(0,)).fit(X, y).cost_.lookups
    {}
    """

    _original = linear_model.LogisticRegressionCV
    __init__ = parameters_of(linear_model.LogisticRegressionCV, n_bits=12, range_margin=7.5)
    fit = method_of(linear_model.LogisticRegressionCV.fit)
