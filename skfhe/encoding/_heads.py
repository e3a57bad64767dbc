"""From an ensemble's scores to predictions: what the client computes in the clear."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from scipy.special import expit, softmax

from skfhe._typing import Array, FloatArray, IntArray

__all__ = ["ClassFractions", "Decoding", "Margins", "Scoring", "Values"]


class Decoding(Protocol):
    """What all of them can do."""

    def relevance(self, scores: FloatArray) -> float:
        """Return the size of an error of a score that would matter to a typical row."""


@dataclass(frozen=True, eq=False)
class Scoring:
    """From the program's output to scores: what a client needs besides the encoder.

    Parameters
    ----------
    scale : float
        What one unit of a sum is worth.
    least : ndarray of int64, shape (n_computed,)
        Sums of no leaf values at all.
    span : ndarray of int64, shape (n_computed,)
        How far beyond them the sums can reach. What a wrong lookup brings out of [0, span] is taken for its
        nearest end.
    columns : ndarray of int64, shape (n_computed,)
        The scores that the sums are.
    remainders : tuple of (int, tuple of int)
        Scores that are 1 less some others; if there are any, 1 is a multiple of the scale.
    n_outputs : int
        Scores of a row.
    leaves : ndarray of float64, shape (n_different, n_outputs), optional
        For a single tree, whose only sum is the number of one of its different leaves: their scores.
    """

    scale: float
    least: IntArray
    span: IntArray
    columns: IntArray
    remainders: tuple[tuple[int, tuple[int, ...]], ...]
    n_outputs: int
    leaves: FloatArray | None = None

    def scores(self, sums: IntArray) -> FloatArray:
        """Return the scores, shape (n_rows, n_outputs)."""
        integers = np.clip(sums, 0, self.span) + self.least
        if self.leaves is not None:
            return self.leaves[integers[:, 0]]
        if not self.remainders:
            scores = np.zeros((len(sums), self.n_outputs))
            scores[:, self.columns] = integers * self.scale
            return scores
        # Votes of trees are counted, so that classes with equally many have equal scores.
        one = round(1 / self.scale)
        counts = np.zeros((len(sums), self.n_outputs), dtype=np.int64)
        counts[:, self.columns] = integers
        for output, others in self.remainders:
            counts[:, output] = one - counts[:, list(others)].sum(axis=1)
        return counts / one


@dataclass(frozen=True)
class ClassFractions:
    """Scores that are the classes' probabilities, those of several targets one after another.

    Rounded leaf values, and lookups that read a wrong cell, can bring scores below 0 and above 1. The
    probabilities of such rows are brought back: what is below 0 becomes 0, and the others are divided by
    their sum. That is never farther from the float probabilities than the scores could be.

    Parameters
    ----------
    n_classes : sequence of int
        Classes of each target.
    width : int
        Scores of each target; those beyond its classes are zero.
    """

    n_classes: Sequence[int]
    width: int

    def probabilities(self, scores: FloatArray) -> list[FloatArray]:
        """Return the probabilities for each target, shape (n_rows, its classes)."""
        return [_fractions(of_target) for of_target in self._by_target(scores)]

    def _by_target(self, scores: FloatArray) -> list[FloatArray]:
        return [scores[:, i * self.width : i * self.width + n] for i, n in enumerate(self.n_classes)]

    def winners(self, scores: FloatArray) -> list[IntArray]:
        """Return the position of the most probable class for each target."""
        return [probabilities.argmax(axis=1) for probabilities in self.probabilities(scores)]

    def relevance(self, scores: FloatArray) -> float:
        """Return half the median distance of the two most probable classes, over rows and targets."""
        gaps = [_gap(of_target) for of_target in self._by_target(scores) if of_target.shape[1] > 1]
        return _median(np.concatenate(gaps)) if gaps else 1.0


@dataclass(frozen=True)
class Margins:
    """Scores that tell classes apart, one for two classes and one a class for more.

    Parameters
    ----------
    link : {"logistic", "softmax", "one_vs_rest"}
        How probabilities follow: the logistic function of the only score, the softmax, or the logistic
        function of each score, whose sum need not be 1.
    factor : float, default=1
        Scores are multiplied by it first.
    zero_wins : bool, default=False
        Whether a score of exactly ``boundary`` means the second of two classes.
    boundary : float, default=0
        The only score's value between two classes.
    """

    link: Literal["logistic", "softmax", "one_vs_rest"]
    factor: float = 1.0
    zero_wins: bool = False
    boundary: float = 0.0

    def probabilities(self, scores: FloatArray) -> list[FloatArray]:
        """Return the classes' probabilities as the only target's."""
        scores = scores * self.factor
        if self.link == "softmax":
            return [softmax(scores, axis=1)]
        if self.link == "one_vs_rest":
            return [expit(scores)]
        second = expit(scores[:, 0])
        return [np.stack([1 - second, second], axis=1)]

    def winners(self, scores: FloatArray) -> list[IntArray]:
        """Return the position of the predicted class as the only target's."""
        if self.link != "logistic":
            return [scores.argmax(axis=1)]
        beyond = scores[:, 0] - self.boundary
        second = beyond >= 0 if self.zero_wins else beyond > 0
        return [second.astype(np.int64)]

    def relevance(self, scores: FloatArray) -> float:
        """Return the median distance of the scores from another decision."""
        return _median(np.abs(scores[:, 0] - self.boundary) if self.link == "logistic" else _gap(scores))


@dataclass(frozen=True)
class Values:
    """Scores that are predictions of a regression, behind a link.

    Parameters
    ----------
    link : {"identity", "exp", "logistic"}
        What is applied to them.
    flat : bool, default=True
        Whether one target is returned without an axis of its own.
    """

    link: Literal["identity", "exp", "logistic"] = "identity"
    flat: bool = True

    def values(self, scores: FloatArray) -> FloatArray:
        """Return the predictions."""
        linked = {"identity": lambda s: s, "exp": np.exp, "logistic": expit}[self.link](scores)
        return linked[:, 0] if self.flat and linked.shape[1] == 1 else linked

    def relevance(self, scores: FloatArray) -> float:
        """Return the smallest standard deviation of a target that varies."""
        deviations = scores.std(axis=0)
        return float(min(deviations[deviations > 0], default=1.0))


def _fractions(scores: FloatArray) -> FloatArray:
    """Scores that add up to 1, with rows that leave [0, 1] brought back into it."""
    outside = ((scores < 0) | (scores > 1)).any(axis=1)
    if not outside.any():
        return scores
    positive = np.maximum(scores[outside], 0)
    fractions = scores.copy()
    fractions[outside] = positive / positive.sum(axis=1, keepdims=True)
    return fractions


def _gap(scores: FloatArray) -> FloatArray:
    """Half the distance between the two largest of each row."""
    two = np.sort(scores, axis=1)[:, -2:]
    return (two[:, 1] - two[:, 0]) / 2


def _median(distances: FloatArray) -> float:
    """Median of the distances that are not ties."""
    apart = distances[distances > 0]
    return float(np.median(apart)) if len(apart) else 1.0


def take_classes(classes: Any, winners: list[IntArray]) -> Array:
    """Return the labels of the winning classes, shape (n_rows,) or (n_rows, n_targets)."""
    if isinstance(classes, list):
        labels = [np.asarray(names).take(won) for names, won in zip(classes, winners, strict=True)]
        return np.stack(labels, axis=1)
    return np.asarray(classes).take(winners[0])
