"""k-means on encrypted data: the nearest centre, and distances from all of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn import cluster
from sklearn.utils.validation import check_is_fitted

from skfhe._distances import DistanceMixin, distances_from, middle_of
from skfhe._distances.docstrings import DISTANCES
from skfhe._linear import LinearPredictorMixin
from skfhe._linear.scores import LinearScores
from skfhe._linear.transforms import TransformMixin
from skfhe._originals.compat import check_sample_weight
from skfhe._originals.docstrings import documented
from skfhe._originals.inherited import method_of, parameters_of
from skfhe._typing import Array, FloatArray
from skfhe.encoding import Distances, RowSquares

__all__ = ["KMeans", "MiniBatchKMeans"]

LEARNT = """\
All attributes of the fitted original are there, too; they are those of the float model. The client learns
the distances of its rows from all centres, and decides in the clear which is the nearest; from those of as
many rows as there are features and one more, it learns the centres. ``labels_``, and what ``fit_predict``
returns, are of training, which is in the clear."""


class NearestCentreMixin(DistanceMixin, TransformMixin):
    """Mixin of clusters by centres; goes before `LinearPredictorMixin`."""

    cluster_centers_: Any

    def score(
        self: Any,
        X: ArrayLike,
        y: Any = None,
        sample_weight: ArrayLike | None = None,
        *,
        fhe: str | None = None,
    ) -> float:
        """Return the sum of squared distances of rows from the nearest centre, negated.

        Parameters
        ----------
        X : array-like of float, shape (n_rows, n_features)
        y : object, default=None
            Not used.
        sample_weight : array-like of float, shape (n_rows,), default=None
            What each row counts.
        fhe : {"disable", "simulate", "execute"}, default=None
            As in `transform`.

        Returns
        -------
        float
        """
        nearest = np.maximum(self._scores(X, fhe).min(axis=1), 0)
        weights = check_sample_weight(sample_weight, nearest[:, None], dtype=np.float64)
        return -float(nearest @ weights)

    def _transformed(self: Any, X: ArrayLike, fhe: str | None) -> Array:
        check_is_fitted(self, "program_")
        rows = self._rows(self, X)
        found = self.head_.transform(self._scores(X, fhe))
        return np.asarray(found).astype(self._transformed_type(rows), copy=False)

    def _transformed_type(self, rows: Any) -> Any:
        """Return the type that the original computes distances of these rows in."""
        single = rows.dtype == self.cluster_centers_.dtype == np.float32
        return np.dtype(np.float32 if single else np.float64)

    def _describe(self, fitted: Any) -> LinearScores:
        centres = np.asarray(fitted.cluster_centers_, dtype=np.float64)
        one = np.ones(centres.shape[1])
        return distances_from(centres, Distances(RowSquares(middle_of(centres), one, np.ones(len(centres)))))

    def _followed(self, fitted: Any) -> tuple[FloatArray, ...]:
        return (np.asarray(fitted.cluster_centers_),)


@documented(DISTANCES, learnt=LEARNT)
class KMeans(NearestCentreMixin, LinearPredictorMixin, cluster.KMeans):
    """k-means: the nearest centre to encrypted rows, and their distances from all of them.

    {parameters}

    {attributes}

    Notes
    -----
    {learnt}

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skfhe.cluster import KMeans
    >>> X, _ = load_iris(return_X_y=True)
    >>> model = KMeans(n_clusters=3, n_init=1, random_state=0).fit(X)
    >>> circuit = model.compile()
    >>> bool((model.predict(X[:2], fhe="execute") == model.labels_[:2]).all())
    True
    """

    _original = cluster.KMeans
    __init__ = parameters_of(cluster.KMeans, n_bits=14, range_margin=7.5)
    fit = method_of(cluster.KMeans.fit)


@documented(DISTANCES, learnt=LEARNT)
class MiniBatchKMeans(NearestCentreMixin, LinearPredictorMixin, cluster.MiniBatchKMeans):
    """k-means trained on mini-batches: the nearest centre to encrypted rows, and distances from all of them.

    {parameters}

    {attributes}

    Notes
    -----
    {learnt}

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skfhe.cluster import MiniBatchKMeans
    >>> X, _ = load_iris(return_X_y=True)
    >>> model = MiniBatchKMeans(n_clusters=3, n_init=1, random_state=0).fit(X)
    >>> circuit = model.compile()
    >>> bool((model.transform(X[:2], fhe="execute") == model.transform(X[:2])).all())
    True
    """

    _original = cluster.MiniBatchKMeans
    __init__ = parameters_of(cluster.MiniBatchKMeans, n_bits=14, range_margin=7.5)
    fit = method_of(cluster.MiniBatchKMeans.fit)
    partial_fit = method_of(cluster.MiniBatchKMeans.partial_fit)
