"""Votes, means and medians of what members answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from skfhe._typing import Array, FloatArray, IntArray
from skfhe.deployment._client_model import Predictor
from skfhe.deployment._combined.members import Members, Rows, check, unknown
from skfhe.encoding import softmax

__all__ = ["AdaBoosted", "Averaged", "Bagged", "MedianBoosted", "MultiOutput", "Voting"]


@dataclass(frozen=True, eq=False)
class Voting(Members):
    """Classes by vote, or by the weighted average of probabilities.

    Parameters
    ----------
    members : tuple of Predictor
        Classifiers of positions of classes.
    classes : ndarray, shape (n_classes,)
    weights : ndarray of float64, shape (n_members,), or None
    soft : bool
        Whether probabilities are averaged.
    """

    members: tuple[Predictor, ...]
    classes: Array
    weights: FloatArray | None
    soft: bool

    def __post_init__(self) -> None:
        self.needs("predict_proba" if self.soft else "predict")
        check(self.weights is None or self.weights.shape == (len(self.members),), "a weight a member")

    @property
    def methods(self) -> tuple[str, ...]:
        """Probabilities if they are averaged."""
        return ("predict_proba", "predict") if self.soft else ("predict",)

    def answer(self, method: str, outputs: tuple[IntArray, ...], rows: Rows = None) -> Any:
        """Return classes, or averaged probabilities."""
        if method not in self.methods:
            raise unknown(self, method)
        if not self.soft:
            votes = np.asarray(self.each("predict", outputs, rows)).T
            won = [np.bincount(of_row, weights=self.weights).argmax() for of_row in votes]
            return self.classes[np.asarray(won, dtype=np.int64)]
        likely = np.average(
            np.asarray(self.each("predict_proba", outputs, rows)), axis=0, weights=self.weights
        )
        return likely if method == "predict_proba" else self.classes[likely.argmax(axis=1)]


@dataclass(frozen=True, eq=False)
class Averaged(Members):
    """The weighted mean of values.

    Parameters
    ----------
    members : tuple of Predictor
    weights : ndarray of float64, shape (n_members,), or None
    summed : bool
        Whether values are added one after another and divided by their number, as a bagging does, which
        rounds otherwise than NumPy's average.
    """

    members: tuple[Predictor, ...]
    weights: FloatArray | None = None
    summed: bool = False

    methods = ("predict",)

    def __post_init__(self) -> None:
        self.needs("predict")
        check(self.weights is None or self.weights.shape == (len(self.members),), "a weight a member")

    def answer(self, method: str, outputs: tuple[IntArray, ...], rows: Rows = None) -> Any:
        """Return the mean of the members' values."""
        if method not in self.methods:
            raise unknown(self, method)
        values = self.each("predict", outputs, rows)
        if self.summed:
            return sum(values) / len(values)
        return np.average(np.asarray(values).T, axis=-1 if values[0].ndim == 1 else 1, weights=self.weights)


@dataclass(frozen=True, eq=False)
class Bagged(Members):
    """Classes by the mean of probabilities, of members that need not have seen every class.

    Parameters
    ----------
    members : tuple of Predictor
        Classifiers of positions of classes.
    classes : ndarray, shape (n_classes,)
    seen : tuple of ndarray of int64
        Positions of the classes that each member tells apart.
    """

    members: tuple[Predictor, ...]
    classes: Array
    seen: tuple[IntArray, ...]

    def __post_init__(self) -> None:
        self.needs("predict")
        n_classes = len(self.classes)
        fits = all(np.all((seen >= 0) & (seen < n_classes)) for seen in self.seen)
        check(len(self.seen) == len(self.members) and fits, "the classes of each member, by position")

    @property
    def methods(self) -> tuple[str, ...]:
        """What all members answer, probabilities always."""
        shared = [name for name in ("decision_function",) if all(name in m.methods for m in self.members)]
        return ("predict_proba", "predict", "predict_log_proba", *shared)

    def answer(self, method: str, outputs: tuple[IntArray, ...], rows: Rows = None) -> Any:
        """Return classes, mean probabilities, their logarithms, or mean scores."""
        if method not in self.methods:
            raise unknown(self, method)
        if method == "decision_function":
            return sum(self.each(method, outputs, rows)) / len(self.members)
        if method == "predict_log_proba":
            return self._log_probabilities(outputs, rows)
        likely = self._probabilities(outputs, rows)
        return likely if method == "predict_proba" else self.classes.take(likely.argmax(axis=1), axis=0)

    def _probabilities(self, outputs: tuple[IntArray, ...], rows: Rows) -> FloatArray:
        counted = ["predict_proba" not in member.methods for member in self.members]
        if any(counted):  # then they vote
            votes = np.asarray(self.each("predict", outputs, rows))
            likely = (votes[:, :, None] == np.arange(len(self.classes))).sum(axis=0, dtype=np.float64)
            return likely / len(self.members)
        answers = self.each("predict_proba", outputs, rows)
        likely = np.zeros((len(answers[0]), len(self.classes)))
        for seen, answer in zip(self.seen, answers, strict=True):
            likely[:, seen] += answer
        return likely / len(self.members)

    def _log_probabilities(self, outputs: tuple[IntArray, ...], rows: Rows) -> FloatArray:
        if any("predict_log_proba" not in member.methods for member in self.members):
            with np.errstate(divide="ignore"):
                return np.log(self._probabilities(outputs, rows))
        answers = self.each("predict_log_proba", outputs, rows)
        found = np.full((len(answers[0]), len(self.classes)), -np.inf)
        for seen, answer in zip(self.seen, answers, strict=True):
            found[:, seen] = np.logaddexp(found[:, seen], answer)
        return found - np.log(len(self.members))


@dataclass(frozen=True, eq=False)
class MultiOutput(Members):
    """A member for each of several targets.

    Parameters
    ----------
    members : tuple of Predictor
    """

    members: tuple[Predictor, ...]

    def __post_init__(self) -> None:
        self.needs("predict")

    @property
    def methods(self) -> tuple[str, ...]:
        """Probabilities where all members have them."""
        likely = all("predict_proba" in member.methods for member in self.members)
        return ("predict_proba", "predict") if likely else ("predict",)

    def answer(self, method: str, outputs: tuple[IntArray, ...], rows: Rows = None) -> Any:
        """Return a column for each target, or a list of probabilities."""
        if method not in self.methods:
            raise unknown(self, method)
        answers = self.each(method, outputs, rows)
        return answers if method == "predict_proba" else np.asarray(answers).T


@dataclass(frozen=True, eq=False)
class AdaBoosted(Members):
    """Classes by the weighted vote of members (SAMME).

    Parameters
    ----------
    members : tuple of Predictor
    classes : ndarray, shape (n_classes,)
    weights : ndarray of float64, shape (n_members,)
    """

    members: tuple[Predictor, ...]
    classes: Array
    weights: FloatArray

    methods = ("predict_proba", "predict", "decision_function", "predict_log_proba")

    def __post_init__(self) -> None:
        self.needs("predict")
        check(len(self.classes) >= 2, "two classes at least")

    def answer(self, method: str, outputs: tuple[IntArray, ...], rows: Rows = None) -> Any:
        """Return classes, votes, or probabilities made of them."""
        if method not in self.methods:
            raise unknown(self, method)
        others = len(self.classes) - 1
        # A boosting that was stopped has more weights than members.
        found: Any = sum(
            np.where(answer[:, None] == self.classes, weight, -1 / others * weight)
            for answer, weight in zip(self.each("predict", outputs, rows), self.weights, strict=False)
        )
        found = found / self.weights.sum()
        two = others == 1
        if two:
            found[:, 0] *= -1
            found = found.sum(axis=1)
        if method == "decision_function":
            return found
        if method == "predict":
            return self.classes.take(found > 0 if two else found.argmax(axis=1), axis=0)
        likely = softmax(np.vstack([-found, found]).T / 2 if two else found / others)
        return likely if method == "predict_proba" else np.log(likely)


@dataclass(frozen=True, eq=False)
class MedianBoosted(Members):
    """The weighted median of values (AdaBoost.R2).

    Parameters
    ----------
    members : tuple of Predictor
    weights : ndarray of float64, shape (n_members,)
    """

    members: tuple[Predictor, ...]
    weights: FloatArray

    methods = ("predict",)

    def __post_init__(self) -> None:
        self.needs("predict")
        check(len(self.weights) >= len(self.members) > 0, "a weight a member")

    def answer(self, method: str, outputs: tuple[IntArray, ...], rows: Rows = None) -> Any:
        """Return the values."""
        if method not in self.methods:
            raise unknown(self, method)
        values = np.array(self.each("predict", outputs, rows)).T
        order = np.argsort(values, axis=1)
        reached = np.cumsum(self.weights[order], axis=1)
        middle = (reached >= 0.5 * reached[:, -1:]).argmax(axis=1)
        each = np.arange(len(values))
        return values[each, order[each, middle]]
