"""Rows of additive models: answers to splits for single features, digits or cells for pairs of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from skfhe._typing import IntArray
from skfhe.encoding._splits import SplitEncoder

__all__ = ["AnswersEncoder", "DigitSums"]

MOST_WORTH = 1 << 8


@dataclass(frozen=True, eq=False)
class DigitSums:
    """Small numbers that say in which group of values a feature lies: sums of answers to splits.

    Parameters
    ----------
    splits : SplitEncoder
    digit : ndarray of int64, shape (n_splits,)
        The number that each answer adds to.
    worth : ndarray of int64, shape (n_splits,)
        What it adds, positive.
    n_digits : int

    Examples
    --------
    >>> import numpy as np
    >>> from skfhe.encoding import Rule
    >>> both, seldom = np.array([0, 0]), np.array([False, False])
    >>> splits = SplitEncoder(1, Rule("<", "float64"), both, np.array([0.5, 1.5]), seldom)
    >>> DigitSums(splits, both, np.array([1, 1]), 1).numbers(np.array([[0.0], [1.0], [2.0]])).ravel()
    array([0, 1, 2])
    """

    splits: SplitEncoder
    digit: IntArray
    worth: IntArray
    n_digits: int

    def __post_init__(self) -> None:
        if not self.digit.shape == self.worth.shape == self.splits.features.shape:
            raise ValueError(
                "expected a digit and a worth for each split, got "
                f"{self.digit.shape}, {self.worth.shape} and {self.splits.features.shape}"
            )
        if len(self.digit) and not 0 <= self.digit.min() <= self.digit.max() < self.n_digits:
            raise ValueError(f"digits are numbered below {self.n_digits}")
        if len(self.worth) and not 0 < self.worth.min() <= self.worth.max() <= MOST_WORTH:
            raise ValueError(f"an answer is worth 1 to {MOST_WORTH}")

    def numbers(self, X: Any) -> IntArray:
        """Return the numbers of rows, shape (n_rows, n_digits)."""
        answers = self.splits.answers(X)
        weight = np.zeros((answers.shape[1], self.n_digits), dtype=np.int64)
        weight[np.arange(len(self.digit)), self.digit] = self.worth
        return answers @ weight


@dataclass(frozen=True, eq=False)
class AnswersEncoder:
    """Encodes rows by answers about single features, and by digits of features that are read in pairs.

    Parameters
    ----------
    effects : SplitEncoder
        What is asked about single features.
    digits : DigitSums
        Of features in pairs.
    cells : ndarray of int64, shape (n_cells, 4), optional
        Two digits and a value of each, for each cell of a pair's table: whether a row lies there is one more
        answer, and digits stay with the client.

    Notes
    -----
    Answers and digits are two inputs of a program, for one would tie their bit-widths to each other.
    """

    effects: SplitEncoder
    digits: DigitSums
    cells: IntArray | None = None

    def __post_init__(self) -> None:
        if self.effects.n_features != self.digits.splits.n_features:
            raise ValueError("expected splits of one number of features")
        cells = self.cells
        if cells is None:
            return
        if cells.ndim != 2 or cells.shape[1] != 4:
            raise ValueError(f"expected two digits and their values for each cell, got shape {cells.shape}")
        if len(cells) and not 0 <= cells[:, [0, 2]].min() <= cells[:, [0, 2]].max() < self.digits.n_digits:
            raise ValueError(f"digits are numbered below {self.digits.n_digits}")

    @property
    def n_features(self) -> int:
        """Features of a row."""
        return self.effects.n_features

    def encode(self, X: Any) -> tuple[IntArray, ...]:
        """Return the inputs of a program: answers, and, if there are any, digits.

        Parameters
        ----------
        X : {array-like, sparse matrix} of float, shape (n_rows, n_features)
            NaN stands for a missing value.

        Returns
        -------
        tuple of ndarray of int64, rows first
        """
        if self.cells is None:
            answers = self.effects.encode(X)
            return (*answers, self.digits.numbers(X)) if self.digits.n_digits else answers
        numbers = self.digits.numbers(X)
        first, is_first, second, is_second = self.cells.T
        inside = (numbers[:, first] == is_first) & (numbers[:, second] == is_second)
        answers = np.concatenate([self.effects.answers(X), inside.astype(np.int64)], axis=1)
        return (answers if answers.shape[1] else np.zeros((len(answers), 1), dtype=np.int64),)
