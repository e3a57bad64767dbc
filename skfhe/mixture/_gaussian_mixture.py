"""Mixtures of Gaussians on encrypted data."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn import mixture
from sklearn.utils.validation import validate_data

from skfhe._originals.docstrings import documented
from skfhe._originals.inherited import method_of, parameters_of
from skfhe._polynomial import PolynomialPredictorMixin, QuadraticScores
from skfhe._polynomial.docstrings import POLYNOMIAL
from skfhe._typing import Array, FloatArray, IntArray
from skfhe.encoding import LogDensities

__all__ = ["GaussianMixture"]


@documented(POLYNOMIAL)
class GaussianMixture(PolynomialPredictorMixin, mixture.GaussianMixture):
    """A mixture of Gaussians on encrypted data: which component a row is of, and how likely it is at all.

    {parameters}

    {attributes}

    {notes}

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skfhe.mixture import GaussianMixture
    >>> X, _ = load_iris(return_X_y=True)
    >>> model = GaussianMixture(3, random_state=0).fit(X)
    >>> circuit = model.compile()
    >>> bool((model.score_samples(X[:2], fhe="execute") == model.score_samples(X[:2])).all())
    True
    """

    _original = mixture.GaussianMixture
    __init__ = parameters_of(mixture.GaussianMixture, n_bits=12, range_margin=3.0)
    fit = method_of(mixture.GaussianMixture.fit)

    def fit_predict(self, X: ArrayLike, y: Any = None) -> IntArray:
        """Train as `fit` does, and return the component of each row by the program, in the estimator's mode.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
        y : None
            Not used.

        Returns
        -------
        ndarray of int64, shape (n_rows,)
        """
        found: IntArray = self.fit(X, y).predict(X)
        return found

    def _describe(self, fitted: Any) -> QuadraticScores:
        factor = np.asarray(fitted.precisions_cholesky_, dtype=np.float64)
        n_components, n_features = fitted.means_.shape
        if fitted.covariance_type == "tied":
            factor = np.broadcast_to(factor, (n_components, *factor.shape))
        elif fitted.covariance_type == "spherical":
            factor = np.broadcast_to(factor[:, None], (n_components, n_features))
        roots = factor if factor.ndim == 2 else np.diagonal(factor, axis1=1, axis2=2)
        with np.errstate(divide="ignore"):
            weight = np.log(np.asarray(fitted.weights_, dtype=np.float64))
        constant = weight + np.log(roots).sum(axis=1) - 0.5 * n_features * np.log(2 * np.pi)
        return QuadraticScores(fitted.means_, factor, constant, LogDensities())

    def _followed(self, fitted: Any) -> tuple[Array, ...]:
        return fitted.weights_, fitted.means_, fitted.precisions_cholesky_

    def _steepness_advice(self) -> str:
        return "raise reg_covar or n_bits"

    def _rows(self, fitted: Any, X: Any) -> Any:
        return validate_data(fitted, X, reset=False, dtype=[np.float64, np.float32])

    def _score_type(self, rows: Any) -> Any:
        return np.result_type(
            np.float32 if rows.dtype == np.float32 else np.float64, self.means_.dtype, self.weights_.dtype
        )

    def score_samples(self, X: ArrayLike, *, fhe: str | None = None) -> FloatArray:
        """Return the logarithm of the probability density at each row.

        Parameters, errors and warnings are those of `predict`.

        Returns
        -------
        ndarray of float, shape (n_rows,)
        """
        scores = self._scores(X, fhe)
        found: FloatArray = self.head_.score_samples(scores)  # type: ignore[attr-defined]
        return found
