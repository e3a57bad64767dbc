"""Quadratic discriminant analysis on encrypted data."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn import discriminant_analysis

from skfhe._originals.docstrings import documented
from skfhe._originals.inherited import method_of, parameters_of
from skfhe._polynomial import PolynomialPredictorMixin, QuadraticScores
from skfhe._polynomial.docstrings import POLYNOMIAL
from skfhe._typing import Array
from skfhe.encoding import LogDensities

__all__ = ["QuadraticDiscriminantAnalysis"]


@documented(POLYNOMIAL)
class QuadraticDiscriminantAnalysis(
    PolynomialPredictorMixin, discriminant_analysis.QuadraticDiscriminantAnalysis
):
    """Quadratic discriminant analysis on encrypted data.

    {parameters}

    {attributes}

    {notes}

    A row of ``n`` features is sent as ``n * (n + 3) / 2`` ciphertexts. Where classes lie in nearly flat
    subspaces, for features that go together, scores are steep, and ``fit`` warns if the steps of the inputs
    cannot follow.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skfhe.discriminant_analysis import QuadraticDiscriminantAnalysis
    >>> X, y = load_iris(return_X_y=True)
    >>> model = QuadraticDiscriminantAnalysis().fit(X, y)
    >>> circuit = model.compile()
    >>> bool((model.predict(X[:2], fhe="execute") == model.predict(X[:2])).all())
    True
    """

    _original = discriminant_analysis.QuadraticDiscriminantAnalysis
    __init__ = parameters_of(discriminant_analysis.QuadraticDiscriminantAnalysis, n_bits=12, range_margin=3.0)
    fit = method_of(discriminant_analysis.QuadraticDiscriminantAnalysis.fit)

    def _describe(self, fitted: Any) -> QuadraticScores:
        n_directions = max(len(scaling) for scaling in fitted.scalings_)
        factor = np.zeros((len(fitted.classes_), fitted.n_features_in_, n_directions))
        with np.errstate(divide="ignore", invalid="ignore"):
            for each, rotation, scaling in zip(factor, fitted.rotations_, fitted.scalings_, strict=True):
                each[:, : len(scaling)] = rotation / np.sqrt(scaling)
            spread = np.array([np.log(scaling).sum() for scaling in fitted.scalings_])
            constant = np.log(fitted.priors_) - 0.5 * spread
        return QuadraticScores(fitted.means_, factor, constant, LogDensities((fitted.classes_,), ratio=True))

    def _followed(self, fitted: Any) -> tuple[Array, ...]:
        return fitted.means_, fitted.priors_, *fitted.rotations_, *fitted.scalings_

    def _steepness_advice(self) -> str:
        return "raise reg_param, or shrinkage with the eigen solver, or n_bits"
