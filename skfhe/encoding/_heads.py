"""Heads: from scores to predictions, which the client computes in the clear.

Classes are told apart by probabilities (`ClassFractions`) or by scores behind a link (`Margins`); `Values`
are predictions of a regression. A head that is given labels returns these, others positions of classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from skfhe._typing import Array, FloatArray, IntArray
from skfhe.encoding._links import log_softmax, logistic, softmax

__all__ = ["NEVER", "ClassFractions", "Indicators", "Margins", "Values", "labelled"]

Labels = tuple[Array, ...]
NEVER = -1e30
"""Stands for the logarithm of 0 in scores that are sums: of a class that is never the likeliest."""


@dataclass(frozen=True, eq=False)
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
    labels : tuple of ndarray, default=()
        The classes of each target.

    Examples
    --------
    >>> head = ClassFractions((2,), 2, (np.array(["no", "yes"]),))
    >>> head.predict(np.array([[0.25, 0.75], [0.9, 0.1]])).tolist()
    ['yes', 'no']
    """

    n_classes: Sequence[int]
    width: int
    labels: Labels = ()

    def __post_init__(self) -> None:
        if not len(self.n_classes) or not all(1 <= n <= self.width for n in self.n_classes):
            raise ValueError(f"expected 1 to {self.width} classes of each target, got {self.n_classes}")
        if self.labels and [names.shape for names in self.labels] != [(int(n),) for n in self.n_classes]:
            raise ValueError(f"expected labels of {self.n_classes} classes, got {self.labels}")

    def probabilities(self, scores: FloatArray) -> list[FloatArray]:
        """Return the probabilities for each target, shape (n_rows, its classes)."""
        return [_fractions(of_target) for of_target in self._by_target(scores)]

    def predict_proba(self, scores: FloatArray) -> Any:
        """Return the probabilities, a list of them for several targets."""
        found = self.probabilities(scores)
        return found if len(found) > 1 else found[0]

    def predict(self, scores: FloatArray) -> Array:
        """Return the most probable classes, shape (n_rows,) or (n_rows, n_targets)."""
        return self.most_probable(self.probabilities(scores))

    def most_probable(self, probabilities: Sequence[FloatArray]) -> Array:
        """Return the most probable classes of probabilities for each target."""
        return _labels([of_target.argmax(axis=1) for of_target in probabilities], self.labels)

    def relevance(self, scores: FloatArray) -> float:
        """Return the size of an error of a score that would matter to a typical row.

        Half the median distance of the two most probable classes, over rows and targets.
        """
        gaps = [_gap(of_target) for of_target in self._by_target(scores) if of_target.shape[1] > 1]
        return _median(np.concatenate(gaps)) if gaps else 1.0

    def _by_target(self, scores: FloatArray) -> list[FloatArray]:
        return [scores[:, i * self.width : i * self.width + n] for i, n in enumerate(self.n_classes)]


@dataclass(frozen=True, eq=False)
class Margins:
    """Scores that tell classes apart, one for two classes and one a class for more.

    Parameters
    ----------
    link : {"logistic", "softmax", "one_vs_rest", "normalized", "modified_huber", "probability", "posterior"}
        How probabilities follow: the logistic function of the only score; the softmax; the logistic function
        of each score, whose sum need not be 1; the same divided by their sum; scores clipped to [-1, 1]
        and brought to [0, 1], divided by their sum [1]_; or the scores themselves, clipped to [0, 1] and
        divided by their sum. With a single score, these three are those of the second of two classes.
        "posterior" is for logarithms of probabilities but for a constant of each row: the softmax, or the
        logistic function of the only score, with logarithms that stay exact where probabilities are 0.
    factor : float, default=1
        Scores are multiplied by it first.
    zero_wins : bool, default=False
        Whether a score of exactly ``boundary`` means the second of two classes.
    boundary : float, default=0
        The only score's value between two classes.
    labels : tuple of ndarray, default=()
        The classes, as those of the only target.

    References
    ----------
    .. [1] Zadrozny and Elkan, "Transforming Classifier Scores into Accurate Multiclass Probability
       Estimates", KDD 2002.

    Examples
    --------
    >>> head = Margins("logistic", labels=(np.array(["no", "yes"]),))
    >>> head.predict(np.array([[-1.0], [2.0]])).tolist()
    ['no', 'yes']
    >>> head.predict_proba(np.array([[0.0]]))
    array([[0.5, 0.5]])
    """

    link: Literal[
        "logistic", "softmax", "one_vs_rest", "normalized", "modified_huber", "probability", "posterior"
    ]
    factor: float = 1.0
    zero_wins: bool = False
    boundary: float = 0.0
    labels: Labels = ()

    def __post_init__(self) -> None:
        if len(self.labels) > 1 or any(names.ndim != 1 or not len(names) for names in self.labels):
            raise ValueError(f"expected the labels of one target, got {self.labels}")

    def predict_proba(self, scores: FloatArray) -> FloatArray:
        """Return the probabilities of the classes, shape (n_rows, n_classes)."""
        if self.factor != 1:
            scores = scores * self.factor
        if self.link == "softmax" or (self.link == "posterior" and scores.shape[1] > 1):
            return softmax(scores if scores.shape[1] > 1 else np.concatenate([-scores, scores], axis=1))
        if self.link == "one_vs_rest":
            return logistic(scores)
        if self.link == "probability":
            likely = np.clip(scores, 0, 1)
        else:
            likely = (np.clip(scores, -1, 1) + 1) / 2 if self.link == "modified_huber" else logistic(scores)
        if scores.shape[1] == 1:
            return np.concatenate([1 - likely, likely], axis=1)
        total = likely.sum(axis=1, keepdims=True)
        none = total == 0  # where no class is likely, all are alike
        if none.any():
            likely, total = np.where(none, 1, likely), np.where(none, likely.shape[1], total)
        return likely / total

    def predict_log_proba(self, scores: FloatArray) -> FloatArray:
        """Return the logarithms of the probabilities of the classes, shape (n_rows, n_classes)."""
        if self.link != "posterior":
            with np.errstate(divide="ignore"):
                found: FloatArray = np.log(self.predict_proba(scores))
            return found
        if self.factor != 1:
            scores = scores * self.factor
        found = log_softmax(scores if scores.shape[1] > 1 else np.concatenate([0 * scores, scores], axis=1))
        return np.where(found < NEVER / 10, -np.inf, found)

    def predict(self, scores: FloatArray) -> Array:
        """Return the predicted classes, shape (n_rows,)."""
        if scores.shape[1] > 1:
            return _labels([scores.argmax(axis=1)], self.labels)
        beyond = scores[:, 0] - self.boundary
        second = beyond >= 0 if self.zero_wins else beyond > 0
        return _labels([second.astype(np.int64)], self.labels)

    def relevance(self, scores: FloatArray) -> float:
        """Return the size of an error of a score that would matter to a typical row.

        The median distance of the scores from another decision.
        """
        return _median(np.abs(scores[:, 0] - self.boundary) if scores.shape[1] == 1 else _gap(scores))


@dataclass(frozen=True, eq=False)
class Indicators:
    """Scores of labels of which a row can have several, one a label.

    Parameters
    ----------
    link : {"logistic", "probability"}
        How probabilities follow: by the logistic function, or as the scores clipped to [0, 1].
    boundary : float, default=0
        Labels of larger scores are predicted.

    Examples
    --------
    >>> Indicators("logistic").predict(np.array([[-1.0, 2.0], [3.0, 0.5]]))
    array([[0, 1],
           [1, 1]])
    """

    link: Literal["logistic", "probability"]
    boundary: float = 0.0

    def predict_proba(self, scores: FloatArray) -> FloatArray:
        """Return the probability of each label, shape (n_rows, n_labels)."""
        return logistic(scores) if self.link == "logistic" else np.clip(scores, 0, 1)

    def predict(self, scores: FloatArray) -> IntArray:
        """Return 1 for each label that a row has, and 0 for the others, shape (n_rows, n_labels)."""
        return (scores > self.boundary).astype(np.int64)

    def relevance(self, scores: FloatArray) -> float:
        """Return the size of an error of a score that would matter to a typical row.

        The median distance of the scores from another decision.
        """
        return _median(np.abs(scores - self.boundary).ravel())


@dataclass(frozen=True, eq=False)
class Values:
    """Scores that are predictions of a regression, behind a link.

    Parameters
    ----------
    link : {"identity", "exp", "logistic"}
        What is applied to them.
    flat : bool, default=True
        Whether one target is returned without an axis of its own.
    scale, offset : float or ndarray of float64, shape (n_targets,)
        What scores are multiplied by, and what is added then, before the link.

    Examples
    --------
    >>> Values(scale=2.0, offset=1.0).predict(np.array([[0.5], [3.0]]))
    array([2., 7.])
    """

    link: Literal["identity", "exp", "logistic"] = "identity"
    flat: bool = True
    scale: float | FloatArray = 1.0
    offset: float | FloatArray = 0.0

    def __post_init__(self) -> None:
        if max(np.ndim(self.scale), np.ndim(self.offset)) > 1:
            raise ValueError("scale and offset must be numbers, or one for each target")

    def predict(self, scores: FloatArray) -> FloatArray:
        """Return the predictions, shape (n_rows,) or (n_rows, n_targets)."""
        if np.any(self.scale != 1.0) or np.any(self.offset != 0.0):
            scores = scores * self.scale + self.offset
        if self.link == "exp":
            scores = np.exp(scores)
        elif self.link == "logistic":
            scores = logistic(scores)
        return scores[:, 0] if self.flat and scores.shape[1] == 1 else scores

    def relevance(self, scores: FloatArray) -> float:
        """Return the size of an error of a score that would matter to a typical row.

        The smallest standard deviation of a target that varies.
        """
        deviations = scores.std(axis=0)
        return float(min(deviations[deviations > 0], default=1.0))


def labelled(head: Any, classes: Any) -> Any:
    """Return a head that predicts classes with their labels.

    Parameters
    ----------
    head : ClassFractions, Margins, Indicators or Values
    classes : ndarray, or list of ndarray
        Of the only target, or of each of several.

    Returns
    -------
    ClassFractions, Margins or Values
        The head itself if it predicts values, or each label by itself.
    """
    if isinstance(head, Values | Indicators):
        return head
    of_targets = classes if isinstance(classes, list) else [classes]
    return replace(head, labels=tuple(np.asarray(names) for names in of_targets))


def _labels(winners: Sequence[IntArray], labels: Labels) -> Array:
    """Return what the winning classes of each target are called, shape (n_rows,) or (n_rows, n_targets)."""
    if labels:
        winners = [names.take(won) for names, won in zip(labels, winners, strict=True)]
    return np.stack(winners, axis=1) if len(winners) > 1 else winners[0]


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
