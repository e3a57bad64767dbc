"""What fitted models with a radial kernel are."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from sklearn import svm

from skfhe._originals.compat import kernel_coefficient
from skfhe._typing import FloatArray
from skfhe.encoding import Head, Margins, Values, dense
from skfhe.exceptions import UnsupportedModelError

__all__ = ["RadialScores"]


@dataclass(frozen=True, eq=False)
class RadialScores:
    """Scores ``dual @ exp(-gamma * |support - x|**2) + intercept``.

    Parameters
    ----------
    dual : ndarray of float64, shape (n_scores, n_vectors)
    support : ndarray of float64, shape (n_vectors, n_features)
    intercept : ndarray of float64, shape (n_scores,)
    gamma : float
    head : Head or None
        Scores to predictions; None if whoever asks for the program has one.
    """

    dual: FloatArray
    support: FloatArray
    intercept: FloatArray
    gamma: float
    head: Head | None = None

    @classmethod
    def of(cls, fitted: Any, head: Head | None = None) -> RadialScores:
        """Read a fitted support vector machine.

        Parameters
        ----------
        fitted : SVC, NuSVC, SVR, NuSVR or OneClassSVM of sklearn.svm
        head : Head, optional
            By default that of the only score; with several classes, whose pairs have a score each, None.

        Returns
        -------
        RadialScores
            Of classes, those of every two in the order (0, 1), (0, 2), …, and positive for the first; of two
            classes alone, one that is positive for the second.

        Raises
        ------
        UnsupportedModelError
            If the kernel is another, or there are no support vectors.
        """
        if fitted.kernel != "rbf":
            raise UnsupportedModelError(
                f"{type(fitted).__name__} has kernel={fitted.kernel!r}, and a lookup a support vector is for "
                "kernel='rbf'"
            )
        support = np.asarray(dense(fitted.support_vectors_), dtype=np.float64)
        dual = np.asarray(dense(fitted.dual_coef_), dtype=np.float64)
        if not len(support):
            raise UnsupportedModelError(f"this {type(fitted).__name__} has no support vectors")
        if len(fitted.intercept_) > 1:
            dual = _of_pairs(dual, fitted.n_support_)
        elif head is None and isinstance(fitted, svm.SVC | svm.NuSVC):
            head = Margins("logistic", labels=(fitted.classes_,))
        elif head is None:
            inliers = (np.array([-1, 1]),)
            head = Margins("logistic", labels=inliers) if isinstance(fitted, svm.OneClassSVM) else Values()
        intercept = np.asarray(fitted.intercept_, dtype=np.float64)
        return cls(dual, support, intercept, kernel_coefficient(fitted), head)

    def kernel(self, rows: FloatArray) -> FloatArray:
        """Return the kernel of rows and vectors, shape (n_rows, n_vectors)."""
        return np.exp(-self.gamma * self.distances(rows))

    def distances(self, rows: FloatArray) -> FloatArray:
        """Return the squared distances of rows from vectors, shape (n_rows, n_vectors)."""
        return np.stack([np.square(rows - vector).sum(axis=1) for vector in self.support], axis=1)

    def scores(self, rows: FloatArray) -> FloatArray:
        """Return the float scores, shape (n_rows, n_scores)."""
        return self.kernel(rows) @ self.dual.T + self.intercept


def _of_pairs(dual: FloatArray, n_support: Any) -> FloatArray:
    """Return the coefficients of every two classes, from those of a class against each of the others."""
    ends = np.cumsum(n_support)
    of_class = [slice(end - n, end) for end, n in zip(ends, n_support, strict=True)]
    pairs = list(combinations(range(len(n_support)), 2))
    found = np.zeros((len(pairs), dual.shape[1]))
    for row, (one, other) in zip(found, pairs, strict=True):
        row[of_class[one]] = dual[other - 1, of_class[one]]
        row[of_class[other]] = dual[one, of_class[other]]
    return found
