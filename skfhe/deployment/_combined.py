"""The client's half of meta-estimators whose members can be evaluated in one round.

Each member answers by itself; what is made of their answers is what the original makes of them, in the same
operations and order, so that it is equal to the bit. Probabilities that go through an exponential function of
the original's (`Calibrated`, `AdaBoosted`) agree to rounding errors of that function.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from skfhe._typing import Array, FloatArray, IntArray
from skfhe.deployment._client_model import Predictor
from skfhe.encoding import dense, logistic, softmax

__all__ = [
    "AdaBoosted",
    "Averaged",
    "Bagged",
    "Calibrated",
    "Calibrator",
    "Isotonic",
    "MedianBoosted",
    "MultiOutput",
    "OfColumns",
    "OneVsOne",
    "OneVsRest",
    "OutputCode",
    "Retargeted",
    "Sigmoid",
    "Temperature",
    "Thresholded",
    "Voting",
]


class _Members:
    """What predictors of several members have in common."""

    members: tuple[Predictor, ...]

    @property
    def n_inputs(self) -> int:
        """Inputs of all members."""
        return sum(member.n_inputs for member in self.members)

    @property
    def n_outputs(self) -> int:
        """Outputs of all members."""
        return sum(member.n_outputs for member in self.members)

    def encode(self, *rows: Any) -> tuple[IntArray, ...]:
        """Return the integers of each member's inputs, one after another."""
        return tuple(x for member in self.members for x in member.encode(*rows))

    def _each(self, method: str, outputs: Sequence[IntArray]) -> list[Any]:
        """Return what every member answers."""
        answers, start = [], 0
        for member in self.members:
            end = start + member.n_outputs
            answers.append(member.answer(method, tuple(outputs[start:end])))
            start = end
        return answers

    def _positives(self, method: str, outputs: Sequence[IntArray]) -> list[FloatArray]:
        """Return what tells each member's second class from the first: scores, or values of a regression."""
        answers = self._each(method, outputs)
        return [answer[:, 1] if method == "predict_proba" else np.ravel(answer) for answer in answers]

    def _binary(self, method: str, outputs: Sequence[IntArray], constants: IntArray) -> list[FloatArray]:
        """Return what `_positives` does where a member is named, and constants else: -1 for 0, -2 for 1."""
        answers = self._positives(method, outputs)
        return [answers[i] if i >= 0 else np.full(len(answers[0]), float(i == -2)) for i in constants]

    def _needs(self, *methods: str) -> None:
        for i, member in enumerate(self.members):
            if not set(methods) <= set(member.methods):
                raise ValueError(f"member {i} answers {member.methods}, and {methods} is needed")


def _unknown(predictor: Any, method: str) -> ValueError:
    return ValueError(f"this model answers {', '.join(predictor.methods)}, and not {method!r}")


def _check(condition: Any, what: str) -> None:
    """Raise a ValueError unless ``condition`` holds: what is read from a file may say anything."""
    if not condition:
        raise ValueError(what)


@dataclass(frozen=True, eq=False)
class OfColumns:
    """A member that reads some of the columns, by their numbers.

    Parameters
    ----------
    columns : ndarray of int64, shape (n_read,)
    n_columns : int
        Of all rows.
    member : Predictor
    """

    columns: IntArray
    n_columns: int
    member: Predictor

    def __post_init__(self) -> None:
        _check(
            self.columns.ndim == 1 and np.all((self.columns >= 0) & (self.columns < self.n_columns)),
            f"columns must be numbers from 0 to {self.n_columns - 1}, got {self.columns}",
        )

    @property
    def methods(self) -> tuple[str, ...]:
        """Those of the member."""
        return self.member.methods

    @property
    def n_inputs(self) -> int:
        """Those of the member."""
        return self.member.n_inputs

    @property
    def n_outputs(self) -> int:
        """Those of the member."""
        return self.member.n_outputs

    def encode(self, *rows: Any) -> tuple[IntArray, ...]:
        """Return the member's integers of its columns."""
        table = np.asarray(dense(rows[0]))
        if table.ndim != 2 or table.shape[1] != self.n_columns:
            raise ValueError(f"expected rows of {self.n_columns} features, got an array of {table.shape}")
        return self.member.encode(table[:, self.columns])

    def answer(self, method: str, outputs: tuple[IntArray, ...]) -> Any:
        """Return the member's answer."""
        return self.member.answer(method, outputs)


@dataclass(frozen=True, eq=False)
class Voting(_Members):
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
        self._needs("predict_proba" if self.soft else "predict")
        _check(self.weights is None or self.weights.shape == (len(self.members),), "a weight a member")

    @property
    def methods(self) -> tuple[str, ...]:
        """Probabilities if they are averaged."""
        return ("predict_proba", "predict") if self.soft else ("predict",)

    def answer(self, method: str, outputs: tuple[IntArray, ...]) -> Any:
        """Return classes, or averaged probabilities."""
        if method not in self.methods:
            raise _unknown(self, method)
        if not self.soft:
            votes = np.asarray(self._each("predict", outputs)).T
            won = [np.bincount(of_row, weights=self.weights).argmax() for of_row in votes]
            return self.classes[np.asarray(won, dtype=np.int64)]
        likely = np.average(np.asarray(self._each("predict_proba", outputs)), axis=0, weights=self.weights)
        return likely if method == "predict_proba" else self.classes[likely.argmax(axis=1)]


@dataclass(frozen=True, eq=False)
class Averaged(_Members):
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
        self._needs("predict")
        _check(self.weights is None or self.weights.shape == (len(self.members),), "a weight a member")

    def answer(self, method: str, outputs: tuple[IntArray, ...]) -> Any:
        """Return the mean of the members' values."""
        if method not in self.methods:
            raise _unknown(self, method)
        values = self._each("predict", outputs)
        if self.summed:
            return sum(values) / len(values)
        return np.average(np.asarray(values).T, axis=-1 if values[0].ndim == 1 else 1, weights=self.weights)


@dataclass(frozen=True, eq=False)
class Bagged(_Members):
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
        self._needs("predict")
        n_classes = len(self.classes)
        fits = all(np.all((seen >= 0) & (seen < n_classes)) for seen in self.seen)
        _check(len(self.seen) == len(self.members) and fits, "the classes of each member, by position")

    @property
    def methods(self) -> tuple[str, ...]:
        """What all members answer, probabilities always."""
        shared = [name for name in ("decision_function",) if all(name in m.methods for m in self.members)]
        return ("predict_proba", "predict", "predict_log_proba", *shared)

    def answer(self, method: str, outputs: tuple[IntArray, ...]) -> Any:
        """Return classes, mean probabilities, their logarithms, or mean scores."""
        if method not in self.methods:
            raise _unknown(self, method)
        if method == "decision_function":
            return sum(self._each(method, outputs)) / len(self.members)
        if method == "predict_log_proba":
            return self._log_probabilities(outputs)
        likely = self._probabilities(outputs)
        return likely if method == "predict_proba" else self.classes.take(likely.argmax(axis=1), axis=0)

    def _probabilities(self, outputs: tuple[IntArray, ...]) -> FloatArray:
        counted = ["predict_proba" not in member.methods for member in self.members]
        if any(counted):  # then they vote
            votes = np.asarray(self._each("predict", outputs))
            likely = (votes[:, :, None] == np.arange(len(self.classes))).sum(axis=0, dtype=np.float64)
            return likely / len(self.members)
        answers = self._each("predict_proba", outputs)
        likely = np.zeros((len(answers[0]), len(self.classes)))
        for seen, answer in zip(self.seen, answers, strict=True):
            likely[:, seen] += answer
        return likely / len(self.members)

    def _log_probabilities(self, outputs: tuple[IntArray, ...]) -> FloatArray:
        if any("predict_log_proba" not in member.methods for member in self.members):
            with np.errstate(divide="ignore"):
                return np.log(self._probabilities(outputs))
        answers = self._each("predict_log_proba", outputs)
        found = np.full((len(answers[0]), len(self.classes)), -np.inf)
        for seen, answer in zip(self.seen, answers, strict=True):
            found[:, seen] = np.logaddexp(found[:, seen], answer)
        return found - np.log(len(self.members))


@dataclass(frozen=True, eq=False)
class OneVsRest(_Members):
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
        self._needs(self.uses)
        _check(
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

    def answer(self, method: str, outputs: tuple[IntArray, ...]) -> Any:
        """Return classes or labels, probabilities, or scores."""
        if method not in self.methods:
            raise _unknown(self, method)
        if method == "decision_function":
            scores = self._binary(method, outputs, self.constants)
            return scores[0] if len(scores) == 1 else np.array(scores).T
        if method == "predict_proba":
            likely = np.array(self._binary(method, outputs, self.constants)).T
            if likely.shape[1] == 1:
                likely = np.concatenate(((1 - likely), likely), axis=1)
            if not self.multilabel:
                total = likely.sum(axis=1)[:, None]
                np.divide(likely, total, out=likely, where=total != 0)
            return likely
        scores = self._binary(self.uses, outputs, self.constants)
        if self.multilabel or self._two:
            boundary = 0.0 if self.uses == "decision_function" else 0.5
            found = np.greater(np.array(scores).T, boundary).astype(np.int64)
            return found if self.multilabel else self.classes[found[:, 0]]
        return self.classes[np.array(scores).argmax(axis=0)]


@dataclass(frozen=True, eq=False)
class OneVsOne(_Members):
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
        self._needs("predict", self.uses)
        n = len(self.classes)
        _check(n >= 2 and len(self.members) == n * (n - 1) // 2, "a member for each pair of classes")

    def answer(self, method: str, outputs: tuple[IntArray, ...]) -> Any:
        """Return classes, or votes with scores."""
        if method not in self.methods:
            raise _unknown(self, method)
        predicted = self._each("predict", outputs)
        scores = self._positives(self.uses, outputs)
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
class OutputCode(_Members):
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
        self._needs(self.uses)
        _check(
            self.codes.shape == (len(self.classes), len(self.constants))
            and np.all((self.constants >= -2) & (self.constants < len(self.members))),
            "a code for each class, and a member or a constant for each of its places",
        )

    def answer(self, method: str, outputs: tuple[IntArray, ...]) -> Any:
        """Return the classes."""
        if method not in self.methods:
            raise _unknown(self, method)
        scores = np.array(self._binary(self.uses, outputs, self.constants)).T
        distances = (self.codes**2).sum(axis=1) - 2 * (scores @ self.codes.T)
        return self.classes[distances.argmin(axis=1)]


@dataclass(frozen=True, eq=False)
class MultiOutput(_Members):
    """A member for each of several targets.

    Parameters
    ----------
    members : tuple of Predictor
    """

    members: tuple[Predictor, ...]

    def __post_init__(self) -> None:
        self._needs("predict")

    @property
    def methods(self) -> tuple[str, ...]:
        """Probabilities where all members have them."""
        likely = all("predict_proba" in member.methods for member in self.members)
        return ("predict_proba", "predict") if likely else ("predict",)

    def answer(self, method: str, outputs: tuple[IntArray, ...]) -> Any:
        """Return a column for each target, or a list of probabilities."""
        if method not in self.methods:
            raise _unknown(self, method)
        answers = self._each(method, outputs)
        return answers if method == "predict_proba" else np.asarray(answers).T


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
        _check(fits and np.all(np.diff(self.scores) >= 0), "points of ascending scores, with a value each")

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
class Calibrated(_Members):
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
        _check(n and len(self.calibrators) == n == len(self.positions), "calibrators for each member")
        for member, calibrators, positions in zip(
            self.members, self.calibrators, self.positions, strict=True
        ):
            _check({"decision_function", "predict_proba"} & set(member.methods), "members with scores")
            _check(
                calibrators and np.all((positions >= 0) & (positions < len(self.classes))),
                "calibrators, and positions among the classes",
            )

    def answer(self, method: str, outputs: tuple[IntArray, ...]) -> Any:
        """Return classes or probabilities."""
        if method not in self.methods:
            raise _unknown(self, method)
        total: Any = 0.0
        start = 0
        for i, member in enumerate(self.members):
            end = start + member.n_outputs
            total = total + self._of_member(i, tuple(outputs[start:end]))
            start = end
        likely = total / len(self.members)
        return likely if method == "predict_proba" else self.classes[likely.argmax(axis=1)]

    def _of_member(self, i: int, outputs: tuple[IntArray, ...]) -> FloatArray:
        member, calibrators, n_classes = self.members[i], self.calibrators[i], len(self.classes)
        by_score = "decision_function" in member.methods
        scores = member.answer("decision_function" if by_score else "predict_proba", outputs)
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
class Thresholded(_Members):
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
        self._needs(self.uses)
        fits = len(self.members) == 1 and len(self.classes) == 2 and self.positive in (0, 1)
        _check(fits, "one member of two classes, and the position of one of them")

    @property
    def methods(self) -> tuple[str, ...]:
        """Those of the member, and classes."""
        return self.members[0].methods

    def answer(self, method: str, outputs: tuple[IntArray, ...]) -> Any:
        """Return the member's answer, or classes by the threshold."""
        if method != "predict":
            return self.members[0].answer(method, outputs)
        scores = self.members[0].answer(self.uses, outputs)
        if self.uses == "predict_proba":
            scores = scores[:, self.positive]
        elif self.positive == 0:
            scores = scores * -1
        chosen = np.where(scores >= self.threshold, self.positive, 1 - self.positive)
        return self.classes[chosen]


@dataclass(frozen=True, eq=False)
class Retargeted(_Members):
    """Values brought back from what a regression was trained on.

    Parameters
    ----------
    members : tuple of Predictor
        One.
    function : str
        Name of NumPy's function that is applied; ``"affine"`` for ``value * scale + offset``.
    scale, offset : ndarray of float64, shape (n_targets,)
    flat : bool
        Whether a single target has no axis of its own.
    """

    members: tuple[Predictor, ...]
    function: str
    scale: FloatArray
    offset: FloatArray
    flat: bool

    methods = ("predict",)

    def __post_init__(self) -> None:
        self._needs("predict")
        _check(len(self.members) == 1, "one member")
        _check(self.function in FUNCTIONS, f"a function among {', '.join(FUNCTIONS)}, got {self.function!r}")
        _check(self.scale.ndim == 1 and self.scale.shape == self.offset.shape, "a scale a target")

    def answer(self, method: str, outputs: tuple[IntArray, ...]) -> Any:
        """Return the values."""
        if method not in self.methods:
            raise _unknown(self, method)
        values = self.members[0].answer("predict", outputs)
        values = values.reshape(-1, 1) if values.ndim == 1 else values
        if self.function == "affine":
            values = values * self.scale
            values = values + self.offset
        else:
            values = getattr(np, self.function)(values)
        return values[:, 0] if self.flat and values.shape[1] == 1 else values


FUNCTIONS = ("affine", "exp", "expm1", "exp2", "log", "log1p", "log2", "square", "sqrt", "cbrt", "negative")
"""That a model's target can have been transformed by, as far as the inverse is one of NumPy's."""


@dataclass(frozen=True, eq=False)
class AdaBoosted(_Members):
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
        self._needs("predict")
        _check(len(self.classes) >= 2, "two classes at least")

    def answer(self, method: str, outputs: tuple[IntArray, ...]) -> Any:
        """Return classes, votes, or probabilities made of them."""
        if method not in self.methods:
            raise _unknown(self, method)
        others = len(self.classes) - 1
        # A boosting that was stopped has more weights than members.
        found: Any = sum(
            np.where(answer[:, None] == self.classes, weight, -1 / others * weight)
            for answer, weight in zip(self._each("predict", outputs), self.weights, strict=False)
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
class MedianBoosted(_Members):
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
        self._needs("predict")
        _check(len(self.weights) >= len(self.members) > 0, "a weight a member")

    def answer(self, method: str, outputs: tuple[IntArray, ...]) -> Any:
        """Return the values."""
        if method not in self.methods:
            raise _unknown(self, method)
        values = np.array(self._each("predict", outputs)).T
        order = np.argsort(values, axis=1)
        reached = np.cumsum(self.weights[order], axis=1)
        middle = (reached >= 0.5 * reached[:, -1:]).argmax(axis=1)
        rows = np.arange(len(values))
        return values[rows, order[rows, middle]]
