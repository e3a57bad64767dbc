"""Several classes, or labels, by members that each tell two apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from skfhe._typing import Array, FloatArray, IntArray
from skfhe.deployment._client_model import Predictor
from skfhe.deployment._combined.members import Members, Rows, check, unknown

__all__ = ["OneVsOne", "OneVsRest", "OutputCode"]


@dataclass(frozen=True, eq=False)
class OneVsRest(Members):
    """A member for each class, or for each of several labels.

    Parameters
    ----------
    members : tuple of Predictor
        For the classes that are not constant.
    classes : ndarray, shape (n_classes,)
        Of which two if there is one member for both.
    multilabel : bool
        Whether a row can have any number of labels, which are returned as 0 or 1.
    uses : {"decision_function", "predict_proba", "predict"}
        What the members' scores are.
    constants : ndarray of int64, shape (n_binary,)
        For each class, the position of its member, or -1 if no row has it and -2 if every row has.
    """

    members: tuple[Predictor, ...]
    classes: Array
    multilabel: bool
    uses: Literal["decision_function", "predict_proba", "predict"]
    constants: IntArray

    def __post_init__(self) -> None:
        self.needs(self.uses)
        check(
            self.constants.ndim == 1
            and np.all((self.constants >= -2) & (self.constants < len(self.members)))
            and len(self.classes) == (2 if self._two else len(self.constants)),
            "a member or a constant for each class",
        )

    @property
    def _two(self) -> bool:
        return len(self.constants) == 1 and not self.multilabel

    @property
    def methods(self) -> tuple[str, ...]:
        """What the members answer."""
        offered = [
            name
            for name in ("predict_proba", "decision_function")
            if all(name in member.methods for member in self.members)
        ]
        return (*offered[:1], "predict", *offered[1:])

    def answer(self, method: str, outputs: tuple[IntArray, ...], rows: Rows = None) -> Any:
        """Return classes or labels, probabilities, or scores."""
        if method not in self.methods:
            raise unknown(self, method)
        if method == "decision_function":
            scores = self.binary(method, outputs, rows, self.constants)
            return scores[0] if len(scores) == 1 else np.array(scores).T
        if method == "predict_proba":
            likely = np.array(self.binary(method, outputs, rows, self.constants)).T
            if likely.shape[1] == 1:
                likely = np.concatenate(((1 - likely), likely), axis=1)
            if not self.multilabel:
                total = likely.sum(axis=1)[:, None]
                np.divide(likely, total, out=likely, where=total != 0)
            return likely
        scores = self.binary(self.uses, outputs, rows, self.constants)
        if self.multilabel or self._two:
            boundary = 0.0 if self.uses == "decision_function" else 0.5
            found = np.greater(np.array(scores).T, boundary).astype(np.int64)
            return found if self.multilabel else self.classes[found[:, 0]]
        return self.classes[np.array(scores).argmax(axis=0)]


@dataclass(frozen=True, eq=False)
class OneVsOne(Members):
    """A member for each pair of classes: votes, and the members' scores where votes are equal.

    Parameters
    ----------
    members : tuple of Predictor
        Of the pairs in lexical order; each predicts 0 for the first of its classes and 1 for the second.
    classes : ndarray, shape (n_classes,)
    uses : {"decision_function", "predict_proba", "predict"}
        What the members' scores are.
    """

    members: tuple[Predictor, ...]
    classes: Array
    uses: Literal["decision_function", "predict_proba", "predict"]

    methods = ("decision_function", "predict")

    def __post_init__(self) -> None:
        self.needs("predict", self.uses)
        n = len(self.classes)
        check(n >= 2 and len(self.members) == n * (n - 1) // 2, "a member for each pair of classes")

    def answer(self, method: str, outputs: tuple[IntArray, ...], rows: Rows = None) -> Any:
        """Return classes, or votes with scores."""
        if method not in self.methods:
            raise unknown(self, method)
        predicted = self.each("predict", outputs, rows)
        scores = self.positives(self.uses, outputs, rows)
        n_classes = len(self.classes)
        votes, sums = np.zeros((2, len(predicted[0]), n_classes))
        pairs = [(i, j) for i in range(n_classes) for j in range(i + 1, n_classes)]
        for (first, second), of_pair, score in zip(pairs, predicted, scores, strict=True):
            sums[:, first] -= score
            sums[:, second] += score
            votes[of_pair == 0, first] += 1
            votes[of_pair == 1, second] += 1
        found = votes + sums / (3 * (np.abs(sums) + 1))  # scores never outweigh a vote
        if n_classes == 2:
            found = found[:, 1]
            if method == "decision_function":
                return found
            boundary = 0.0 if self.uses == "decision_function" else 0.5
            return self.classes[(found > boundary).astype(np.int64)]
        return found if method == "decision_function" else self.classes[found.argmax(axis=1)]


@dataclass(frozen=True, eq=False)
class OutputCode(Members):
    """The class whose code is nearest to the members' scores.

    Parameters
    ----------
    members : tuple of Predictor
    classes : ndarray, shape (n_classes,)
    codes : ndarray of float64, shape (n_classes, n_binary)
    uses : {"decision_function", "predict_proba", "predict"}
        What the members' scores are.
    constants : ndarray of int64, shape (n_binary,)
        For each place of a code the position of its member, or -1 if every class has 0 there, -2 if 1.
    """

    members: tuple[Predictor, ...]
    classes: Array
    codes: FloatArray
    uses: Literal["decision_function", "predict_proba", "predict"]
    constants: IntArray

    methods = ("predict",)

    def __post_init__(self) -> None:
        self.needs(self.uses)
        check(
            self.codes.shape == (len(self.classes), len(self.constants))
            and np.all((self.constants >= -2) & (self.constants < len(self.members))),
            "a code for each class, and a member or a constant for each of its places",
        )

    def answer(self, method: str, outputs: tuple[IntArray, ...], rows: Rows = None) -> Any:
        """Return the classes."""
        if method not in self.methods:
            raise unknown(self, method)
        scores = np.array(self.binary(self.uses, outputs, rows, self.constants)).T
        distances = (self.codes**2).sum(axis=1) - 2 * (scores @ self.codes.T)
        return self.classes[distances.argmin(axis=1)]
