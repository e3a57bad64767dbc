"""The nearest centroid on encrypted data."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn import neighbors
from sklearn.utils.metaestimators import available_if

from skfhe._distances import DistanceMixin, distances_from, middle_of
from skfhe._distances.docstrings import DISTANCES
from skfhe._linear import LinearPredictorMixin
from skfhe._linear.scores import LinearScores
from skfhe._originals.docstrings import documented
from skfhe._originals.inherited import method_of, original_has, parameters_of
from skfhe._typing import FloatArray
from skfhe.encoding import Discriminants, Head, Margins, RowSquares, labelled
from skfhe.exceptions import UnsupportedModelError

__all__ = ["NearestCentroid"]


@documented(DISTANCES)
class NearestCentroid(DistanceMixin, LinearPredictorMixin, neighbors.NearestCentroid):
    """Nearest centroid classification of encrypted rows, with Euclidean distances.

    {parameters}

    {attributes}

    Notes
    -----
    All attributes of the fitted original are there, too; they are those of the float model. As in the
    original, classes of equal priors are told apart by plain distances, while ``decision_function`` and
    ``predict_proba`` scale features by their deviations within classes; both are computed for each row. The
    client learns differences of distances from the centroids; with more than two classes, it is also given
    the deviations within classes, which ``decision_function`` takes.

    With ``metric="manhattan"``, ``fit`` raises an `UnsupportedModelError`: absolute differences need a lookup
    for each feature and class.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skfhe.neighbors import NearestCentroid
    >>> X, y = load_iris(return_X_y=True)
    >>> model = NearestCentroid().fit(X, y)
    >>> circuit = model.compile()
    >>> bool((model.predict(X[:2], fhe="execute") == model.predict(X[:2])).all())
    True
    """

    _original = neighbors.NearestCentroid
    __init__ = parameters_of(neighbors.NearestCentroid, n_bits=14, range_margin=7.5)
    fit = method_of(neighbors.NearestCentroid.fit)

    def _describe(self, fitted: Any) -> LinearScores:
        if self.metric != "euclidean":
            raise UnsupportedModelError(
                f"NearestCentroid with metric={self.metric!r} cannot be evaluated on encrypted rows without "
                'a lookup for each feature and class; use metric="euclidean"'
            )
        deviations = np.asarray(fitted.within_class_std_dev_, dtype=np.float64).ravel()
        factor = np.where(deviations != 0, 1 / np.square(np.where(deviations != 0, deviations, 1.0)), 1.0)
        priors = np.asarray(fitted.class_prior_, dtype=np.float64)
        with np.errstate(divide="ignore"):
            likely = 2.0 * np.log(priors)
        if not np.isfinite(likely).all():
            raise ValueError(f"priors must be positive, got {priors}")
        centroids = np.asarray(fitted.centroids_, dtype=np.float64)
        margins = labelled(Margins("softmax"), fitted.classes_)
        parts = [_discriminants(centroids, factor, likely, margins)]
        if np.isclose(priors, 1 / len(priors)).all():
            parts.insert(0, _discriminants(centroids, 1.0, np.zeros(len(priors)), margins))
        n_each = parts[0].weight.shape[1]
        n_nearest = n_each * (len(parts) - 1)
        squares = None
        if n_each > 1:
            times = np.repeat([0.0, -1.0], [n_nearest, n_each])
            squares = RowSquares(middle_of(centroids), factor, times)
        weight, bias, exact_at = (
            np.concatenate([getattr(part, name) for part in parts], axis=-1)
            for name in ("weight", "bias", "exact_at")
        )
        return LinearScores(weight, bias, Discriminants(margins, n_nearest, squares), exact_at)

    def _followed(self, fitted: Any) -> tuple[FloatArray, ...]:
        arrays = (fitted.centroids_, fitted.within_class_std_dev_, fitted.class_prior_, fitted.metric)
        return tuple(np.asarray(values) for values in arrays)

    @available_if(original_has("decision_function"))
    def decision_function(self, X: ArrayLike, *, fhe: str | None = None) -> FloatArray:
        """Return the discriminant score of each class, or the difference of those of two.

        Parameters, errors and warnings are those of `predict`.

        Returns
        -------
        ndarray of float, shape (n_rows,) or (n_rows, n_classes)
        """
        scores = self._scores(X, fhe)
        found: FloatArray = self.head_.decision_function(scores)  # type: ignore[attr-defined]
        return found

    @available_if(original_has("predict_log_proba"))
    def predict_log_proba(self, X: ArrayLike, *, fhe: str | None = None) -> FloatArray:
        """Return the logarithm of `predict_proba`, finite for whatever is improbable."""
        scores = self._scores(X, fhe)
        found: FloatArray = self.head_.predict_log_proba(scores)  # type: ignore[attr-defined]
        return found


def _discriminants(
    centroids: FloatArray, factor: FloatArray | float, likely: FloatArray, head: Head
) -> LinearScores:
    """Return negated squared distances and what is added to them; of two classes, their difference.

    The difference is exact halfway between the two.
    """
    scores = distances_from(centroids, head, factor)
    weight, bias = -scores.weight, likely - scores.bias
    if len(centroids) > 2:
        return LinearScores(weight, bias, head, scores.exact_at)
    return LinearScores(
        weight[:, 1:] - weight[:, :1], bias[1:] - bias[:1], head, centroids.mean(axis=0)[:, None]
    )
