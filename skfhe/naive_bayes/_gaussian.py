"""Gaussian naive Bayes on encrypted data."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn import naive_bayes

from skfhe._originals.docstrings import documented
from skfhe._originals.inherited import method_of, parameters_of
from skfhe._polynomial import PolynomialPredictorMixin, QuadraticScores
from skfhe._polynomial.docstrings import POLYNOMIAL
from skfhe._typing import Array, FloatArray
from skfhe.encoding import LogDensities

__all__ = ["GaussianNB"]


@documented(POLYNOMIAL)
class GaussianNB(PolynomialPredictorMixin, naive_bayes.GaussianNB):
    """Gaussian naive Bayes on encrypted data.

    {parameters}

    {attributes}

    {notes}

    A feature that hardly varies in one class makes its scores steep: with the default ``var_smoothing`` rows
    may be told apart by the last digits of one value. Its steps are finer then, and where they cannot be fine
    enough, ``fit`` warns of it. Counts, and other values that are multiples of a step, are exact.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skfhe.naive_bayes import GaussianNB
    >>> X, y = load_iris(return_X_y=True)
    >>> model = GaussianNB().fit(X, y)
    >>> circuit = model.compile()
    >>> bool((model.predict(X[:2], fhe="execute") == model.predict(X[:2])).all())
    True
    """

    _original = naive_bayes.GaussianNB
    __init__ = parameters_of(naive_bayes.GaussianNB, n_bits=12, range_margin=3.0)
    fit = method_of(naive_bayes.GaussianNB.fit)
    partial_fit = method_of(naive_bayes.GaussianNB.partial_fit)

    def _describe(self, fitted: Any) -> QuadraticScores:
        variance = np.asarray(fitted.var_, dtype=np.float64)
        if not (variance > 0).all():
            raise ValueError(
                f"{type(self).__name__} has no density where variances are zero: all features are constant, "
                "as those of one sample are; fit it on rows that vary"
            )
        with np.errstate(divide="ignore"):
            prior = np.log(np.asarray(fitted.class_prior_, dtype=np.float64))
            constant = prior - 0.5 * np.log(2 * np.pi * variance).sum(axis=1)
            factor = 1 / np.sqrt(variance)
        return QuadraticScores(fitted.theta_, factor, constant, LogDensities((fitted.classes_,)))

    def _followed(self, fitted: Any) -> tuple[Array, ...]:
        return fitted.theta_, fitted.var_, fitted.class_prior_

    def _steepness_advice(self) -> str:
        return "raise var_smoothing or n_bits"

    def predict_joint_log_proba(self, X: ArrayLike, *, fhe: str | None = None) -> FloatArray:
        """Return the logarithm of the joint probability of each row and each class.

        Parameters, errors and warnings are those of `predict`.

        Returns
        -------
        ndarray of float, shape (n_rows, n_classes)
        """
        return self._scores(X, fhe)
