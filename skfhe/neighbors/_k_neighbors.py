"""Nearest neighbors of encrypted rows: by a few prototypes, or by all references where these may be known."""

from __future__ import annotations

import copy
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn import neighbors
from sklearn.base import is_classifier
from sklearn.metrics import pairwise_distances
from sklearn.utils.metaestimators import available_if

from skfhe._agreement import agreement_beside, some_rows, warn_of
from skfhe._distances import DistanceMixin, distances_from, middle_of
from skfhe._distances.docstrings import DISTANCES
from skfhe._linear import LinearPredictorMixin
from skfhe._linear.scores import Calibration, LinearScores, check_range_margin
from skfhe._originals.compat import references_and_targets
from skfhe._originals.conversion import from_original
from skfhe._originals.docstrings import documented
from skfhe._originals.inherited import as_original, method_of, original_has, parameters_of
from skfhe._typing import Array, FloatArray, IntArray
from skfhe.encoding import ClassFractions, NearestVotes, RowSquares, SoftVotes, Values, dense
from skfhe.encrypted_model import EncryptedModel
from skfhe.exceptions import UnsupportedModelError
from skfhe.neighbors._prototypes import centres_by_group, class_votes, value_votes

__all__ = ["KNeighborsClassifier", "KNeighborsRegressor"]

MOST_COMPARED = 1000
"""Training rows whose predictions by the original are what prototypes are to say."""

NEIGHBORS = DISTANCES | {
    "reveal_references": """\
reveal_references : bool, default=False
    Return the distances from all training rows in place of those from prototypes, and predict by the nearest
    of them as the original does. Whoever sees the results of one row more than there are features can
    compute every training row, so this is for references that clients may know. Such a model holds the
    targets of all training rows in the client's half, too.""",
    "parameters": """\
Parameters
----------
{n_bits}
{range_margin}
{n_prototypes}
{reveal_references}
{parameters_of_original}""",
    "attributes": """\
Attributes
----------
{program_}
{encoder_}
{decoder_}
{head_}
{output_bits_}
{cost_}
{fhe_circuit_}
prototypes_ : ndarray of float, shape (n_prototypes, n_features)
    What rows are compared with: prototypes, or all training rows.
agreement_ : float
    How well predictions agree with the original's, of training rows or of others like them, where that is
    less: the part of them that are equal, or the part of the variance that is explained.""",
    "learnt": """\
Which references are nearest cannot be decided under encryption in a reasonable time, and distances from all
references reveal these. So rows are compared with a few prototypes, centres of k-means, and these vote by how
near they are, after decryption: each counts ``exp(-sharpness * squared distance)``. The sharpness is chosen
by the original's predictions of training rows. ``agreement_`` compares with them, and with those of rows like
them; where it is low, ``fit`` warns. The client learns how far its rows are from prototypes, and what each of
these votes for.

Metrics are Euclidean: with another, ``fit`` raises an `UnsupportedModelError`.""",
}


class KNeighborsMixin(DistanceMixin):
    """Mixin of nearest neighbors; goes before `LinearPredictorMixin`."""

    _own_params: tuple[str, ...] = ("n_bits", "range_margin", "n_prototypes", "reveal_references")
    _own_state: tuple[str, ...] = (
        "_agreement",
        "_calibration",
        "_encrypted_model",
        "_lowered_coefficients",
        "_prototypes",
    )
    n_bits: Any
    n_prototypes: Any
    reveal_references: Any
    weights: Any

    @classmethod
    def from_sklearn_model(
        cls: Any,
        fitted: Any,
        X: ArrayLike | None = None,
        n_bits: Any = 14,
        range_margin: float = 7.5,
        **own: Any,
    ) -> Any:
        """Convert a fitted original.

        Parameters
        ----------
        fitted : estimator
            Fitted, of the class that this stands for.
        X : array-like of shape (n_rows, n_features), default=None
            Rows to calibrate the input quantizer on; by default those that ``fitted`` keeps.
        n_bits : int or dict, default=14
            Bits of inputs and weights; see the class.
        range_margin : float, default=7.5
            How far beyond the range of ``X`` features are represented; see the class.
        **own
            ``n_prototypes`` and ``reveal_references``; see the class.

        Returns
        -------
        estimator
            Fitted, with the parameters of ``fitted``.

        Raises
        ------
        TypeError
            If ``fitted`` is of another class.
        ValueError
            If a parameter cannot be used.
        NotFittedError
            If ``fitted`` is not fitted.
        """
        estimator = from_original(cls, fitted, n_bits=n_bits, range_margin=range_margin, **own)
        if X is None:
            rows, _ = references_and_targets(estimator)
            margin = check_range_margin(range_margin)
            calibration = Calibration.on(rows, np.ones(rows.shape[0]), n_bits, margin)
        else:
            calibration = estimator._calibrated(estimator, X)
        estimator._take_over(estimator, calibration)
        estimator._compare(fitted, None)
        return estimator

    @property
    def prototypes_(self: Any) -> FloatArray:
        """What rows are compared with."""
        self._lowered_model()
        found: FloatArray = self._prototypes
        return found

    @property
    def agreement_(self: Any) -> float:
        """How well predictions agree with the original's, of training rows or of others like them."""
        self._lowered_model()
        return float(self._agreement)

    def _offers(self, method: str) -> bool:
        return bool(original_has(method)(self))

    def _describe(self: Any, fitted: Any) -> LinearScores:
        """Read references, or find prototypes that predict as they do."""
        factor = _factor(fitted)
        if self.reveal_references:
            return _references(fitted, factor)
        if not isinstance(self.n_prototypes, Integral) or self.n_prototypes < 1:
            raise ValueError(f"n_prototypes must be an int of at least 1, got {self.n_prototypes!r}")
        rows, targets = references_and_targets(fitted)
        rows = rows.astype(np.float64)
        some = rows[:: -(-rows.shape[0] // MOST_COMPARED)]
        expected, n_each = self._expected(fitted, some), int(self.n_prototypes)
        of_values = _head(fitted)
        head: SoftVotes
        if isinstance(of_values, ClassFractions):
            combinations, groups = np.unique(_columns(targets), axis=0, return_inverse=True)
            points, of = centres_by_group(rows, np.ravel(groups), n_each)
            votes = _one_hot(combinations[of], of_values.width)
            head = class_votes(_squares(some, points, factor), votes, of_values, expected)
        else:
            points, _ = centres_by_group(rows, np.zeros(rows.shape[0]), n_each)
            head = value_votes(_squares(some, points, factor), of_values, expected.astype(np.float64))
        return distances_from(points, head, factor)

    def _lower(self: Any, described: LinearScores, calibration: Calibration) -> EncryptedModel:
        model: EncryptedModel = super()._lower(described, calibration)  # type: ignore[misc]
        assert described.exact_at is not None
        self._prototypes = described.exact_at.T
        return model

    def _compare(self: Any, original: Any, X: Any, sample_weight: Any = None) -> None:
        """Warn if predictions of the rows that the original keeps are not its own."""
        kept, _ = references_and_targets(original)
        found = agreement_beside(self, original, np.asarray(dense(some_rows(kept)), np.float64), "predict")
        self._agreement = found.part
        if not found.suffices:
            warn_of(self, found, *self._disagreement())

    def _expected(self: Any, fitted: Any, rows: Any) -> Array:
        """Return what the original predicts, in the clear, of rows that it keeps."""
        original = copy.copy(as_original(self, fitted=True) if fitted is self else fitted)
        vars(original).pop("feature_names_in_", None)  # which the rows that it keeps have no more
        found: Array = original.predict(rows)
        if found.dtype.kind == "f" and not np.isfinite(found).all():
            raise UnsupportedModelError(
                f"{type(self).__name__} with weights={self.weights!r} predicts no finite values of rows that "
                "it was trained on, whose distance from themselves is 0; prototypes cannot follow that. Use "
                'weights="uniform" or weights="distance"'
            )
        return found

    def _rows(self: Any, fitted: Any, X: Any) -> Any:
        if X is None:
            raise ValueError(
                f"{type(self).__name__} predicts given rows, got None; training rows without themselves are "
                "the original's affair"
            )
        return super()._rows(fitted, X)  # type: ignore[misc]

    def _disagreement(self: Any) -> tuple[str, str]:
        """Say why predictions are not the original's, and what to change."""
        if self.reveal_references:
            return f"features are rounded with n_bits={self.n_bits}", "raise n_bits"
        return f"{len(self._prototypes)} prototypes stand for them", (
            "raise n_prototypes or, if clients may know the training rows, give reveal_references=True"
        )

    def _followed(self, fitted: Any) -> tuple[Array, ...]:
        """Return the parameters that the original, too, predicts by as they are now."""
        return np.asarray(fitted.n_neighbors), np.asarray(fitted.weights)

    def _lowered_model(self: Any) -> EncryptedModel:
        """Return the model that predicts, compared with the original again if it was lowered again."""
        before = vars(self).get("_encrypted_model")
        model: EncryptedModel = super()._lowered_model()  # type: ignore[misc]
        if model is not before:
            self._compare(as_original(self, fitted=True), None)
        return model

    @available_if(lambda self: _revealing(self, "kneighbors"))
    def kneighbors(
        self: Any,
        X: ArrayLike,
        n_neighbors: int | None = None,
        return_distance: bool = True,
        *,
        fhe: str | None = None,
    ) -> tuple[FloatArray, IntArray] | IntArray:
        """Return the nearest training rows; only with ``reveal_references=True``.

        Parameters
        ----------
        X : array-like of float, shape (n_rows, n_features)
        n_neighbors : int, default=None
            How many; by default the parameter of the estimator.
        return_distance : bool, default=True
        fhe : {"disable", "simulate", "execute"}, default=None
            As in `predict`.

        Returns
        -------
        distances : ndarray of float, shape (n_rows, n_neighbors)
            Not if ``return_distance`` is False.
        indices : ndarray of int, shape (n_rows, n_neighbors)
        """
        if X is None:
            raise ValueError("kneighbors needs rows; neighbors of training rows are the original's affair")
        wanted = self.n_neighbors if n_neighbors is None else n_neighbors
        if not 1 <= wanted <= len(self.prototypes_):
            raise ValueError(f"n_neighbors must be from 1 to {len(self.prototypes_)}, got {wanted}")
        head = self.head_
        if not isinstance(head, NearestVotes):
            raise ValueError(
                f"this {type(self).__name__} was fitted with reveal_references=False, so it has the "
                "distances from prototypes alone; fit it again"
            )
        distances, order = head.nearest(self._scores(X, fhe), wanted)
        return (distances, order) if return_distance else order

    @available_if(lambda self: _revealing(self, "kneighbors_graph"))
    def kneighbors_graph(
        self: Any, X: ArrayLike, n_neighbors: int | None = None, mode: str = "connectivity"
    ) -> Any:
        """Return the graph of nearest training rows; only with ``reveal_references=True``."""
        return super().kneighbors_graph(X, n_neighbors, mode)  # type: ignore[misc]


def _revealing(estimator: Any, method: str) -> bool:
    if not estimator.reveal_references:
        raise AttributeError(
            f"{type(estimator).__name__}.{method} needs the distances from all training rows, and prototypes "
            "stand for these; give reveal_references=True if clients may know the training rows"
        )
    return True


def _factor(fitted: Any) -> FloatArray:
    """Return what each feature's squared difference counts.

    Raises
    ------
    UnsupportedModelError
        If the metric is not Euclidean.
    """
    metric, params = fitted.effective_metric_, fitted.effective_metric_params_
    one = np.ones(fitted.n_features_in_)
    if metric in ("euclidean", "l2", "sqeuclidean"):
        return one
    if metric == "minkowski" and params.get("p") == 2:
        return one if params.get("w") is None else np.asarray(params["w"], dtype=np.float64)
    if metric == "seuclidean" and "V" in params:
        return 1 / np.asarray(params["V"], dtype=np.float64)
    raise UnsupportedModelError(
        f"{type(fitted).__name__} with metric={fitted.metric!r} cannot be evaluated on encrypted rows: of "
        'all metrics, only Euclidean ones need no lookups. Use metric="euclidean", or "minkowski" with p=2'
    )


def _references(fitted: Any, factor: FloatArray) -> LinearScores:
    weights: Any = "uniform" if fitted.weights is None else fitted.weights
    if weights not in ("uniform", "distance"):
        raise UnsupportedModelError(
            'weights of neighbors must be "uniform" or "distance" with reveal_references=True, '
            f"got {weights!r}"
        )
    rows, targets = references_and_targets(fitted)
    if fitted.n_neighbors > rows.shape[0]:
        raise ValueError(
            f"Expected n_neighbors <= n_samples_fit, but n_neighbors = {fitted.n_neighbors}, "
            f"n_samples_fit = {rows.shape[0]}, n_samples = {rows.shape[0]}"
        )
    if fitted.metric == "sqeuclidean" and weights == "distance":
        raise UnsupportedModelError('weights="distance" are inverse distances, so use metric="euclidean"')
    points = np.asarray(dense(rows), dtype=np.float64)
    head = _head(fitted)
    votes = _columns(targets)
    if isinstance(head, ClassFractions):
        votes = _one_hot(votes, head.width)
    squares = RowSquares(middle_of(points), factor, np.ones(len(points)))
    found = NearestVotes(votes.astype(np.float64), int(fitted.n_neighbors), weights, head, squares)
    return distances_from(points, found, factor)


def _head(fitted: Any) -> ClassFractions | Values:
    """Return what makes predictions of mean votes."""
    if not is_classifier(fitted):
        return Values(flat=references_and_targets(fitted)[1].ndim == 1)
    classes = fitted.classes_ if fitted.outputs_2d_ else [fitted.classes_]
    counts = tuple(len(names) for names in classes)
    return ClassFractions(counts, max(counts), tuple(np.asarray(names) for names in classes))


def _one_hot(targets: Array, width: int) -> FloatArray:
    """Return ones for the classes of each target, those of one target after another."""
    votes = np.zeros((len(targets), targets.shape[1], width))
    np.put_along_axis(votes, targets[:, :, None].astype(np.int64), 1.0, axis=2)
    return votes.reshape(len(targets), -1)


def _columns(values: Any) -> Array:
    found = np.asarray(values)
    return found.reshape(len(found), -1)


def _squares(rows: Any, points: FloatArray, factor: FloatArray) -> FloatArray:
    """Return squared distances, in the clear."""
    scale = np.sqrt(factor)
    scaled = rows.multiply(scale).tocsr() if hasattr(rows, "multiply") else rows * scale
    return np.asarray(np.square(pairwise_distances(scaled, points * scale)))


@documented(
    NEIGHBORS,
    n_prototypes="""\
n_prototypes : int, default=10
    Prototypes of each class, or of each combination of classes.""",
)
class KNeighborsClassifier(KNeighborsMixin, LinearPredictorMixin, neighbors.KNeighborsClassifier):
    """Nearest neighbors classification of encrypted rows, by a few prototypes of each class.

    {parameters}

    {attributes}

    Notes
    -----
    {learnt}

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skfhe.neighbors import KNeighborsClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = KNeighborsClassifier(reveal_references=True).fit(X, y)
    >>> circuit = model.compile()
    >>> bool((model.predict(X[:2], fhe="execute") == model.predict(X[:2])).all())
    True
    """

    _original = neighbors.KNeighborsClassifier
    __init__ = parameters_of(
        neighbors.KNeighborsClassifier, n_bits=14, range_margin=7.5, n_prototypes=10, reveal_references=False
    )
    fit = method_of(neighbors.KNeighborsClassifier.fit)


@documented(
    NEIGHBORS,
    n_prototypes="""\
n_prototypes : int, default=40
    Prototypes of all training rows.""",
)
class KNeighborsRegressor(KNeighborsMixin, LinearPredictorMixin, neighbors.KNeighborsRegressor):
    """Nearest neighbors regression of encrypted rows, by a few prototypes.

    {parameters}

    {attributes}

    Notes
    -----
    {learnt}

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skfhe.neighbors import KNeighborsRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = KNeighborsRegressor(reveal_references=True).fit(X, y)
    >>> circuit = model.compile()
    >>> bool((model.predict(X[:2], fhe="execute") == model.predict(X[:2])).all())
    True
    """

    _original = neighbors.KNeighborsRegressor
    __init__ = parameters_of(
        neighbors.KNeighborsRegressor, n_bits=14, range_margin=7.5, n_prototypes=40, reveal_references=False
    )
    fit = method_of(neighbors.KNeighborsRegressor.fit)
