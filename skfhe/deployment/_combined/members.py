"""What predictors of several members have in common, and a member that reads some of the columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from skfhe._typing import Array, FloatArray, IntArray
from skfhe.deployment._client_model import Predictor
from skfhe.deployment._steps.rows import FittedOn, as_array
from skfhe.encoding import dense

__all__ = ["Members", "OfArray", "OfColumns", "Rows", "check", "unknown"]

Rows: TypeAlias = Sequence[Any] | None
"""What was encoded, if it is at hand."""


class Members:
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

    def each(self, method: str, outputs: Sequence[IntArray], rows: Rows) -> list[Any]:
        """Return what every member answers."""
        answers, start = [], 0
        for member in self.members:
            end = start + member.n_outputs
            answers.append(member.answer(method, tuple(outputs[start:end]), rows))
            start = end
        return answers

    def positives(self, method: str, outputs: Sequence[IntArray], rows: Rows) -> list[FloatArray]:
        """Return what tells each member's second class from the first: scores, or values of a regression."""
        answers = self.each(method, outputs, rows)
        return [answer[:, 1] if method == "predict_proba" else np.ravel(answer) for answer in answers]

    def binary(
        self, method: str, outputs: Sequence[IntArray], rows: Rows, constants: IntArray
    ) -> list[FloatArray]:
        """Return what `_positives` does where a member is named, and constants else: -1 for 0, -2 for 1."""
        answers = self.positives(method, outputs, rows)
        return [answers[i] if i >= 0 else np.full(len(answers[0]), float(i == -2)) for i in constants]

    def needs(self, *methods: str) -> None:
        for i, member in enumerate(self.members):
            if not set(methods) <= set(member.methods):
                raise ValueError(f"member {i} answers {member.methods}, and {methods} is needed")


def unknown(predictor: Any, method: str) -> AttributeError:
    return AttributeError(f"this model offers {', '.join(predictor.methods)}, and not {method!r}")


def check(condition: Any, what: str) -> None:
    """Raise a ValueError unless ``condition`` holds: what is read from a file may say anything."""
    if not condition:
        raise ValueError(what)


class _OfMember:
    """What predictors have in common that change a member's rows alone."""

    member: Predictor

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


@dataclass(frozen=True, eq=False)
class OfColumns(_OfMember):
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
        check(
            self.columns.ndim == 1 and np.all((self.columns >= 0) & (self.columns < self.n_columns)),
            f"columns must be numbers from 0 to {self.n_columns - 1}, got {self.columns}",
        )

    def encode(self, *rows: Any) -> tuple[IntArray, ...]:
        """Return the member's integers of its columns."""
        return self.member.encode(self._columns_of(rows))

    def _columns_of(self, rows: Sequence[Any]) -> Array:
        table: Array = np.asarray(dense(rows[0]))
        if table.ndim != 2 or table.shape[1] != self.n_columns:
            raise ValueError(f"expected rows of {self.n_columns} features, got an array of {table.shape}")
        return table[:, self.columns]

    def answer(self, method: str, outputs: tuple[IntArray, ...], rows: Rows = None) -> Any:
        """Return the member's answer."""
        seen = None if rows is None else (self._columns_of(rows),)
        return self.member.answer(method, outputs, seen)


@dataclass(frozen=True, eq=False)
class OfArray(_OfMember):
    """A predictor that sees an array, of rows whose features are those of training.

    Meta-estimators that check rows themselves hand their members arrays. So these know no names, and columns
    in another order would be taken for the right ones.

    Parameters
    ----------
    fitted_on : FittedOn
    member : Predictor
    """

    fitted_on: FittedOn
    member: Predictor

    def encode(self, *rows: Any) -> tuple[IntArray, ...]:
        """Return the member's integers.

        Raises
        ------
        ValueError
            If features have other names or another order than in training, or there are more or fewer.
        """
        check(len(rows) == 1, f"{self.fitted_on.step} takes rows X alone, got {len(rows)} arguments")
        self.fitted_on.check_names(rows[0])
        array = as_array(dense(rows[0]), None, "all")
        self.fitted_on.check_number(array.shape[1])
        return self.member.encode(array)

    def answer(self, method: str, outputs: tuple[IntArray, ...], rows: Rows = None) -> Any:
        """Return the member's answer."""
        seen = None if rows is None else (as_array(dense(rows[0]), None, "all"),)
        return self.member.answer(method, outputs, seen)
