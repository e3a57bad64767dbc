"""Probabilities that were calibrated, and decisions at a threshold of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from skfhe._typing import Array, FloatArray, IntArray
from skfhe.deployment._client_model import Predictor
from skfhe.deployment._combined.members import Members, Rows, check, unknown
from skfhe.encoding import logistic, softmax

__all__ = ["Calibrated", "Calibrator", "Isotonic", "Sigmoid", "Temperature", "Thresholded"]


@dataclass(frozen=True, eq=False)
class Sigmoid:
    """Platt's map from a score to a probability, ``1 / (1 + exp(slope * score + intercept))``.

    Parameters
    ----------
    slope, intercept : float
    """

    slope: float
    intercept: float

    def probabilities(self, scores: FloatArray) -> FloatArray:
        """Return the probability of each score."""
        return logistic(-(self.slope * scores + self.intercept))


@dataclass(frozen=True, eq=False)
class Isotonic:
    """A monotonic map, linear between points, from scores to probabilities.

    Parameters
    ----------
    scores, values : ndarray of float64, shape (n_points,)
        Ascending; beyond the outermost points values are theirs.
    """

    scores: FloatArray
    values: FloatArray

    def __post_init__(self) -> None:
        fits = self.scores.ndim == 1 and self.scores.shape == self.values.shape and len(self.scores)
        check(fits and np.all(np.diff(self.scores) >= 0), "points of ascending scores, with a value each")

    def probabilities(self, scores: FloatArray) -> FloatArray:
        """Return the probability of each score."""
        inside = np.clip(scores, self.scores[0], self.scores[-1])
        return np.interp(inside, self.scores, self.values)


@dataclass(frozen=True, eq=False)
class Temperature:
    """The softmax of all scores, or logarithms of probabilities, times a factor.

    Parameters
    ----------
    factor : float
    """

    factor: float

    def probabilities(self, scores: FloatArray) -> FloatArray:
        """Return the probabilities of all classes."""
        if scores.shape[1] == 1:
            logits = np.concatenate([-scores, scores], axis=1)
        elif np.all((scores >= 0) & (scores <= 1)) and np.all(np.isclose(scores.sum(axis=1), 1.0)):
            logits = np.log(scores + 1e-12)
        else:
            logits = scores
        return softmax(self.factor * logits)


Calibrator = Sigmoid | Isotonic | Temperature


@dataclass(frozen=True, eq=False)
class Calibrated(Members):
    """Classes by the mean of calibrated probabilities.

    Parameters
    ----------
    members : tuple of Predictor
    classes : ndarray, shape (n_classes,)
    calibrators : tuple of tuple of Calibrator
        Of each member: one for its only score, one for each score, or one for all.
    positions : tuple of ndarray of int64
        Of each member's classes among all.
    """

    members: tuple[Predictor, ...]
    classes: Array
    calibrators: tuple[tuple[Calibrator, ...], ...]
    positions: tuple[IntArray, ...]

    methods = ("predict_proba", "predict")

    def __post_init__(self) -> None:
        n = len(self.members)
        check(n and len(self.calibrators) == n == len(self.positions), "calibrators for each member")
        for member, calibrators, positions in zip(
            self.members, self.calibrators, self.positions, strict=True
        ):
            check({"decision_function", "predict_proba"} & set(member.methods), "members with scores")
            check(
                calibrators and np.all((positions >= 0) & (positions < len(self.classes))),
                "calibrators, and positions among the classes",
            )

    def answer(self, method: str, outputs: tuple[IntArray, ...], rows: Rows = None) -> Any:
        """Return classes or probabilities."""
        if method not in self.methods:
            raise unknown(self, method)
        total: Any = 0.0
        start = 0
        for i, member in enumerate(self.members):
            end = start + member.n_outputs
            total = total + self._of_member(i, tuple(outputs[start:end]), rows)
            start = end
        likely = total / len(self.members)
        return likely if method == "predict_proba" else self.classes[likely.argmax(axis=1)]

    def _of_member(self, i: int, outputs: tuple[IntArray, ...], rows: Rows) -> FloatArray:
        member, calibrators, n_classes = self.members[i], self.calibrators[i], len(self.classes)
        by_score = "decision_function" in member.methods
        scores = member.answer("decision_function" if by_score else "predict_proba", outputs, rows)
        if isinstance(calibrators[0], Temperature):
            return _barely_one(calibrators[0].probabilities(scores if scores.ndim == 2 else scores[:, None]))
        if n_classes == 2:
            scores = scores[:, 1:] if scores.ndim == 2 and not by_score else scores.reshape(-1, 1)
        likely = np.zeros((len(scores), n_classes))
        places = self.positions[i] + 1 if n_classes == 2 else self.positions[i]
        for place, score, calibrator in zip(places, scores.T, calibrators, strict=False):
            likely[:, place] = calibrator.probabilities(score)
        if n_classes == 2:
            likely[:, 0] = 1.0 - likely[:, 1]
            return _barely_one(likely)
        alike = np.full_like(likely, 1 / n_classes)
        totals = likely.sum(axis=1)[:, None]
        return _barely_one(np.divide(likely, totals, out=alike, where=totals != 0))


def _barely_one(likely: FloatArray) -> FloatArray:
    """Return probabilities of which those that exceed 1 by a rounding error are 1."""
    likely[(likely > 1.0) & (likely <= 1.0 + 1e-5)] = 1.0
    return likely


@dataclass(frozen=True, eq=False)
class Thresholded(Members):
    """A classifier of two classes that decides at a threshold of its own.

    Parameters
    ----------
    members : tuple of Predictor
        One.
    classes : ndarray, shape (2,)
    uses : {"decision_function", "predict_proba"}
        What is compared with the threshold.
    threshold : float
    positive : int
        Position of the class that is predicted where the score is at or above the threshold.
    """

    members: tuple[Predictor, ...]
    classes: Array
    uses: Literal["decision_function", "predict_proba"]
    threshold: float
    positive: int

    def __post_init__(self) -> None:
        self.needs(self.uses)
        fits = len(self.members) == 1 and len(self.classes) == 2 and self.positive in (0, 1)
        check(fits, "one member of two classes, and the position of one of them")

    @property
    def methods(self) -> tuple[str, ...]:
        """Those of the member, and classes."""
        return self.members[0].methods

    def answer(self, method: str, outputs: tuple[IntArray, ...], rows: Rows = None) -> Any:
        """Return the member's answer, or classes by the threshold."""
        if method != "predict":
            return self.members[0].answer(method, outputs, rows)
        scores = self.members[0].answer(self.uses, outputs, rows)
        if self.uses == "predict_proba":
            scores = scores[:, self.positive]
        elif self.positive == 0:
            scores = scores * -1
        chosen = np.where(scores >= self.threshold, self.positive, 1 - self.positive)
        return self.classes[chosen]
