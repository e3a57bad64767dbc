"""Ridge regression with a searched penalty, and classification by ridge regression, on encrypted data."""

from dataclasses import replace
from typing import Any

from sklearn import linear_model

from skfhe._linear import LinearPredictorMixin
from skfhe._linear.docstrings import LINEAR, TWELVE_BITS
from skfhe._linear.scores import LinearScores
from skfhe._originals.compat import predicts_labels
from skfhe._originals.docstrings import documented
from skfhe._originals.inherited import method_of, parameters_of
from skfhe.encoding import Indicators

__all__ = ["RidgeCV", "RidgeClassifier", "RidgeClassifierCV"]


class RidgeClassifierMixin:
    """What classifications by ridge regression share; goes before `LinearPredictorMixin`."""

    def _describe(self: Any, fitted: Any) -> LinearScores:
        """Read the scores of classes, or of labels of which a row can have several."""
        scores = super()._describe(fitted)  # type: ignore[misc]
        return replace(scores, head=Indicators("logistic")) if predicts_labels(fitted) else scores


@documented(LINEAR)
class RidgeCV(LinearPredictorMixin, linear_model.RidgeCV):
    """Least squares with an L2 penalty chosen by cross-validation, on encrypted data.

    {parameters}

    {attributes}

    {notes}

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skfhe.linear_model import RidgeCV
    >>> X, y = load_diabetes(return_X_y=True)
    >>> RidgeCV().fit(X, y).cost_.lookups
    {}
    """

    _original = linear_model.RidgeCV
    __init__ = parameters_of(linear_model.RidgeCV, n_bits=8, range_margin=7.5)
    fit = method_of(linear_model.RidgeCV.fit)


@documented(LINEAR, n_bits=TWELVE_BITS)
class RidgeClassifier(RidgeClassifierMixin, LinearPredictorMixin, linear_model.RidgeClassifier):
    """Classification by ridge regression on encrypted data, of several labels a row, too.

    {parameters}

    {attributes}

    {notes}

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skfhe.linear_model import RidgeClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> RidgeClassifier().fit(X, y).cost_.lookups
    {}
    """

    _original = linear_model.RidgeClassifier
    __init__ = parameters_of(linear_model.RidgeClassifier, n_bits=12, range_margin=7.5)
    fit = method_of(linear_model.RidgeClassifier.fit)


@documented(LINEAR, n_bits=TWELVE_BITS)
class RidgeClassifierCV(RidgeClassifierMixin, LinearPredictorMixin, linear_model.RidgeClassifierCV):
    """`RidgeClassifier` on encrypted data, with the penalty chosen by cross-validation.

    {parameters}

    {attributes}

    {notes}

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skfhe.linear_model import RidgeClassifierCV
    >>> X, y = load_iris(return_X_y=True)
    >>> RidgeClassifierCV().fit(X, y).cost_.lookups
    {}
    """

    _original = linear_model.RidgeClassifierCV
    __init__ = parameters_of(linear_model.RidgeClassifierCV, n_bits=12, range_margin=7.5)
    fit = method_of(linear_model.RidgeClassifierCV.fit)
