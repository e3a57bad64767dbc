"""Principal components and truncated singular value decomposition on encrypted data."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn import decomposition

from skfhe._linear import LinearPredictorMixin
from skfhe._linear.docstrings import TRANSFORM
from skfhe._linear.scores import LinearScores
from skfhe._linear.transforms import TransformMixin
from skfhe._originals.docstrings import documented
from skfhe._originals.inherited import method_of, parameters_of
from skfhe._typing import FloatArray
from skfhe.encoding import Projections, RowSquares

__all__ = ["PCA", "TruncatedSVD"]


@documented(TRANSFORM)
class PCA(TransformMixin, LinearPredictorMixin, decomposition.PCA):
    """Principal component analysis: encrypted rows are projected on components.

    {parameters}

    {attributes}

    Notes
    -----
    All attributes of the fitted original are there, too; they are those of the float model. The client learns
    the projections of its rows; from those of as many rows as there are features and one more, it learns the
    components. ``inverse_transform`` takes projections, which are decrypted, and computes in the clear;
    so do ``score_samples`` and ``score``, once the rows are projected.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skfhe.decomposition import PCA
    >>> X, _ = load_iris(return_X_y=True)
    >>> model = PCA(n_components=2).fit(X)
    >>> circuit = model.compile()
    >>> bool((model.transform(X[:2], fhe="execute") == model.transform(X[:2])).all())
    True
    """

    _original = decomposition.PCA
    __init__ = parameters_of(decomposition.PCA, n_bits=12, range_margin=7.5)
    fit = method_of(decomposition.PCA.fit)

    def _describe(self, fitted: Any) -> LinearScores:
        components = np.asarray(fitted.components_, dtype=np.float64)
        if not len(components):
            raise ValueError(
                f"there is no component to project rows on; raise n_components={self.n_components!r}"
            )
        if self.whiten:
            components = components / _deviations(fitted)[:, None]
        mean = np.asarray(fitted.mean_, dtype=np.float64)
        exact_at = np.broadcast_to(mean[:, None], components.T.shape)
        return LinearScores(components.T, -components @ mean, Projections(), exact_at)

    def _why_unlike(self) -> str:
        reason = super()._why_unlike()
        small = ", and components that vary little are whitened to vary as much as others"
        return reason + small if self.whiten else reason

    def _without_remedy(self) -> str:
        return f"lower n_components; {super()._without_remedy()}"

    def _followed(self, fitted: Any) -> tuple[FloatArray, ...]:
        arrays = (fitted.components_, fitted.mean_, fitted.explained_variance_, fitted.whiten)
        return tuple(np.asarray(values) for values in arrays)

    def _score_type(self, rows: Any) -> Any:
        kind = rows.dtype if rows.dtype == np.float32 else np.dtype(np.float64)
        return np.result_type(kind, self.components_.dtype)

    def score_samples(self, X: ArrayLike, *, fhe: str | None = None) -> FloatArray:
        """Return the log-likelihood of each row, computed from its projections in the clear.

        Parameters
        ----------
        X : array-like of float, shape (n_rows, n_features)
        fhe : {"disable", "simulate", "execute"}, default=None
            As in `transform`, whose errors and warnings are those of this method.

        Returns
        -------
        ndarray of float, shape (n_rows,)
        """
        scores = self._scores(X, fhe).astype(np.float64)
        components = np.asarray(self.components_, dtype=np.float64)
        variances = np.einsum("ij,jk,ik->i", components, self.get_covariance(), components)
        if self.whiten:
            scores = scores * _deviations(self)
        n_features, noise = self.n_features_in_, float(self.noise_variance_)
        n_others = n_features - len(variances)
        if noise == 0 and n_others:
            raise ValueError("the noise variance is 0, so rows have no likelihood; lower n_components")
        found = np.square(scores) @ (1 / variances) + n_features * np.log(2 * np.pi) + np.log(variances).sum()
        if n_others:
            own = RowSquares(np.asarray(self.mean_, dtype=np.float64), np.ones(n_features), np.ones(1))
            squares = own.of(self._rows(self, X), self.encoder_)
            others = np.maximum(squares - np.square(scores).sum(axis=1), 0)
            found = found + others / noise + n_others * np.log(noise)
        return np.asarray(-found / 2)


@documented(TRANSFORM)
class TruncatedSVD(TransformMixin, LinearPredictorMixin, decomposition.TruncatedSVD):
    """Truncated singular value decomposition: encrypted rows, dense or sparse, are projected on components.

    {parameters}

    {attributes}

    Notes
    -----
    All attributes of the fitted original are there, too; they are those of the float model. The client learns
    the projections of its rows; from those of as many rows as there are features, it learns the components.
    ``inverse_transform`` takes projections, which are decrypted, and computes in the clear.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skfhe.decomposition import TruncatedSVD
    >>> X, _ = load_iris(return_X_y=True)
    >>> model = TruncatedSVD(n_components=2, random_state=0).fit(X)
    >>> circuit = model.compile()
    >>> bool((model.transform(X[:2], fhe="execute") == model.transform(X[:2])).all())
    True
    """

    _original = decomposition.TruncatedSVD
    __init__ = parameters_of(decomposition.TruncatedSVD, n_bits=12, range_margin=7.5)
    fit = method_of(decomposition.TruncatedSVD.fit)

    def _describe(self, fitted: Any) -> LinearScores:
        weight = np.asarray(fitted.components_, dtype=np.float64).T
        return LinearScores(weight, np.zeros(weight.shape[1]), Projections())

    def _followed(self, fitted: Any) -> tuple[FloatArray, ...]:
        return (np.asarray(fitted.components_),)

    def _score_type(self, rows: Any) -> Any:
        return np.result_type(rows.dtype, self.components_.dtype)


def _deviations(fitted: Any) -> FloatArray:
    """Return what whitening divides projections by."""
    deviations = np.sqrt(fitted.explained_variance_)
    return np.maximum(deviations, np.finfo(deviations.dtype).eps).astype(np.float64)
