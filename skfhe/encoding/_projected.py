"""Heads of scores that are projections of rows, or distances from points that the server keeps.

Beside what other heads have, ``transform`` gives the coordinates of rows, where the original has them. A head
with ``squares`` takes scores to which these were added; `needs_squares` says which methods cannot do without.
``fits`` checks a file: whether scores of a number can be what the head takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from skfhe._typing import Array, FloatArray, IntArray
from skfhe.encoding._heads import ClassFractions, Margins, Values
from skfhe.encoding._links import softmax
from skfhe.encoding._row_squares import RowSquares

__all__ = ["Discriminants", "Distances", "NearestVotes", "Projections", "SoftVotes"]


@dataclass(frozen=True, eq=False)
class Projections:
    """Scores that are predictions of targets, if there are any, and then coordinates of rows.

    Parameters
    ----------
    n_targets : int, default=0
    flat : bool, default=True
        Whether predictions of one target are returned without an axis of their own.

    Examples
    --------
    >>> head = Projections(n_targets=1)
    >>> head.predict(np.array([[7.0, 0.5, 0.25]])), head.transform(np.array([[7.0, 0.5, 0.25]]))
    (array([7.]), array([[0.5 , 0.25]]))
    """

    n_targets: int = 0
    flat: bool = True

    def __post_init__(self) -> None:
        if self.n_targets < 0:
            raise ValueError(f"expected a number of targets, got {self.n_targets}")

    def predict(self, scores: FloatArray) -> FloatArray:
        """Return the predictions, shape (n_rows,) or (n_rows, n_targets)."""
        return Values(flat=self.flat).predict(scores[:, : self.n_targets])

    def transform(self, scores: FloatArray) -> FloatArray:
        """Return the coordinates, shape (n_rows, n_scores - n_targets)."""
        return scores[:, self.n_targets :]

    def relevance(self, scores: FloatArray) -> float:
        """Return the smallest standard deviation of a score that varies."""
        return Values().relevance(scores)

    def fits(self, n_scores: int) -> bool:
        """Whether there are that many scores."""
        return self.n_targets <= n_scores


@dataclass(frozen=True, eq=False)
class Distances:
    """Scores that are squared distances from points, once `squares` are added.

    Parameters
    ----------
    squares : RowSquares

    Examples
    --------
    >>> none = np.zeros(0)
    >>> head = Distances(RowSquares(none, none, np.ones(2)))
    >>> head.predict(np.array([[4.0, 1.0]])), head.transform(np.array([[4.0, 1.0]]))
    (array([1], dtype=int32), array([[2., 1.]]))
    """

    squares: RowSquares

    def predict(self, scores: FloatArray) -> Array:
        """Return which point is nearest, the first of several, shape (n_rows,)."""
        return scores.argmin(axis=1).astype(np.int32)

    def transform(self, scores: FloatArray) -> FloatArray:
        """Return the distances, shape (n_rows, n_points)."""
        return np.sqrt(np.maximum(scores, 0.0))

    def relevance(self, scores: FloatArray) -> float:
        """Return the median of half the distance of the two smallest scores."""
        return Margins("softmax").relevance(-scores if scores.shape[1] > 1 else scores)

    def needs_squares(self, method: str) -> bool:
        """Whether a method cannot do without `squares`: which point is nearest does not depend on them."""
        return method == "transform"

    def fits(self, n_scores: int) -> bool:
        """Whether there are that many scores."""
        return len(self.squares.times) == n_scores


@dataclass(frozen=True, eq=False)
class Discriminants:
    """Scores that tell which centre is nearest, and others that tell how probable each class is.

    Parameters
    ----------
    margins : Margins
        Of the one and of the other.
    n_nearest : int
        Scores of the first kind; 0 if what is more probable is what is nearest.
    squares : RowSquares or None
        None for two classes, whose only score is a difference.

    Examples
    --------
    >>> head = Discriminants(Margins("softmax", labels=(np.array(["no", "yes"]),)), 1, None)
    >>> head.predict(np.array([[1.0, -1.0]])).tolist(), head.decision_function(np.array([[1.0, -1.0]]))
    (['yes'], array([-1.]))
    """

    margins: Margins
    n_nearest: int
    squares: RowSquares | None

    def __post_init__(self) -> None:
        if self.n_nearest < 0 or not self.margins.labels:
            raise ValueError(f"expected labels, and a number of scores, got {self.n_nearest}")

    def predict(self, scores: FloatArray) -> Array:
        """Return the class of the nearest centre, shape (n_rows,)."""
        return self.margins.predict(scores[:, : self.n_nearest] if self.n_nearest else scores)

    def predict_proba(self, scores: FloatArray) -> FloatArray:
        """Return the probabilities of the classes, shape (n_rows, n_classes)."""
        return np.exp(self.predict_log_proba(scores))

    def predict_log_proba(self, scores: FloatArray) -> FloatArray:
        """Return their logarithms, finite for whatever is improbable."""
        found = scores[:, self.n_nearest :]
        if found.shape[1] == 1:
            found = np.concatenate([np.zeros_like(found), found], axis=1)
        found = found - found.max(axis=1, keepdims=True)
        return found - np.log(np.exp(found).sum(axis=1, keepdims=True))

    def decision_function(self, scores: FloatArray) -> FloatArray:
        """Return the discriminant scores, shape (n_rows, n_classes), or (n_rows,) for two classes."""
        found = scores[:, self.n_nearest :]
        return found[:, 0] if found.shape[1] == 1 else found

    def relevance(self, scores: FloatArray) -> float:
        """Return the median distance of the scores from another decision."""
        return self.margins.relevance(scores[:, : self.n_nearest] if self.n_nearest else scores)

    def needs_squares(self, method: str) -> bool:
        """Whether a method cannot do without `squares`, which are the same for all classes."""
        return method == "decision_function" and self.squares is not None

    def fits(self, n_scores: int) -> bool:
        """Whether there are that many scores."""
        n_classes = len(self.margins.labels[0])
        n_each = 1 if n_classes == 2 and self.squares is None else n_classes
        n_squares = n_scores if self.squares is None else len(self.squares.times)
        return self.n_nearest in (0, n_each) and self.n_nearest + n_each == n_scores == n_squares


@dataclass(frozen=True, eq=False)
class SoftVotes:
    """Scores that are squared distances from prototypes, but for a term that all have alike.

    Prototypes vote by how near they are: each counts ``exp(-sharpness * squared distance)``, divided by the
    sum of all.

    Parameters
    ----------
    votes : ndarray of float64, shape (n_prototypes, n_values)
    sharpness : float
    head : ClassFractions or Values
        What is predicted by the weighted mean of the votes.

    Examples
    --------
    >>> head = SoftVotes(np.array([[0.0], [10.0]]), 1.0, Values())
    >>> head.predict(np.array([[5.0, 5.0], [1000.0, 0.0]]))
    array([ 5., 10.])
    """

    votes: FloatArray
    sharpness: float
    head: ClassFractions | Values

    def __post_init__(self) -> None:
        _check_votes(self.votes, self.head)
        if not self.sharpness >= 0:
            raise ValueError(f"sharpness must be at least 0, got {self.sharpness}")

    def _values(self, scores: FloatArray) -> FloatArray:
        # one row at a time: the order of additions, and so the last bit, must not depend on other rows
        return np.einsum("ij,jk->ik", softmax(-self.sharpness * scores), self.votes)

    def predict(self, scores: FloatArray) -> Array:
        """Return the predicted classes or values, shape (n_rows,) or (n_rows, n_targets)."""
        return self.head.predict(self._values(scores))

    def predict_proba(self, scores: FloatArray) -> Any:
        """Return the probabilities of the classes, a list of them for several targets."""
        return self.head.predict_proba(self._values(scores))  # type: ignore[union-attr]

    def relevance(self, scores: FloatArray) -> float:
        """Return the size of an error of a score that would matter to a typical row."""
        return Margins("softmax").relevance(-scores if scores.shape[1] > 1 else scores)

    def fits(self, n_scores: int) -> bool:
        """Whether there are that many scores."""
        return len(self.votes) == n_scores


@dataclass(frozen=True, eq=False)
class NearestVotes:
    """Scores that are squared distances from references, of which the nearest few vote.

    Parameters
    ----------
    votes : ndarray of float64, shape (n_references, n_values)
    n_neighbors : int
    weights : {"uniform", "distance"}
        Whether votes count alike, or by the inverse of the distance; those at no distance count alone.
    head : ClassFractions or Values
        What is predicted by the weighted mean of the votes.
    squares : RowSquares

    Examples
    --------
    >>> none = np.zeros(0)
    >>> head = NearestVotes(
    ...     np.array([[0.0], [1.0], [9.0]]), 2, "distance", Values(), RowSquares(none, none, np.ones(3))
    ... )
    >>> head.predict(np.array([[4.0, 100.0, 4.0]]))
    array([4.5])
    """

    votes: FloatArray
    n_neighbors: int
    weights: Literal["uniform", "distance"]
    head: ClassFractions | Values
    squares: RowSquares

    def __post_init__(self) -> None:
        _check_votes(self.votes, self.head)
        if not 1 <= self.n_neighbors <= len(self.votes):
            raise ValueError(f"expected 1 to {len(self.votes)} neighbors, got {self.n_neighbors}")

    def nearest(self, scores: FloatArray, n_neighbors: int | None = None) -> tuple[FloatArray, IntArray]:
        """Return distances and numbers of the nearest references, nearest first; (n_rows, n_neighbors)."""
        order = np.argsort(scores, axis=1, kind="stable")[:, : n_neighbors or self.n_neighbors]
        return np.sqrt(np.maximum(np.take_along_axis(scores, order, axis=1), 0.0)), order

    def _values(self, scores: FloatArray) -> FloatArray:
        distances, order = self.nearest(scores)
        votes = self.votes[order]
        if self.weights == "uniform":
            return votes.sum(axis=1) / self.n_neighbors
        none = distances == 0
        here = none.any(axis=1, keepdims=True)
        with np.errstate(divide="ignore"):
            weights = np.where(here, none, 1 / distances)
        return (votes * weights[..., None]).sum(axis=1) / weights.sum(axis=1, keepdims=True)

    def predict(self, scores: FloatArray) -> Array:
        """Return the predicted classes or values, shape (n_rows,) or (n_rows, n_targets)."""
        return self.head.predict(self._values(scores))

    def predict_proba(self, scores: FloatArray) -> Any:
        """Return the probabilities of the classes, a list of them for several targets."""
        return self.head.predict_proba(self._values(scores))  # type: ignore[union-attr]

    def relevance(self, scores: FloatArray) -> float:
        """Return the size of an error of a score that would matter to a typical row."""
        return Margins("softmax").relevance(-scores if scores.shape[1] > 1 else scores)

    def needs_squares(self, method: str) -> bool:
        """Whether a method cannot do without `squares`: which references are near does not depend on them."""
        return self.weights == "distance"

    def fits(self, n_scores: int) -> bool:
        """Whether there are that many scores."""
        return len(self.votes) == n_scores == len(self.squares.times)


def _check_votes(votes: FloatArray, head: ClassFractions | Values) -> None:
    width = len(head.n_classes) * head.width if isinstance(head, ClassFractions) else 1
    if votes.ndim != 2 or not len(votes) or votes.shape[1] < width:
        raise ValueError(f"expected votes of shape (n, {width}) or wider, got {votes.shape}")
