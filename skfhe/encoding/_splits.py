"""Splits: the questions that decision trees ask of a row, each answered by one bit.

A split of a node is a bit: 1 sends the row to the right child. Libraries differ in how they compare and in
what a missing value answers; the bits here are those that the original would compute.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from skfhe._typing import BoolArray, FloatArray, IntArray
from skfhe.encoding._dense import dense

__all__ = ["Categories", "Rule", "Split", "SplitEncoder", "Splits"]


@dataclass(frozen=True)
class Rule:
    """How a library compares a value with a threshold.

    Parameters
    ----------
    left : {"<=", "<"}
        A value goes left if it stands so to the threshold.
    precision : {"float32", "float64"}
        What the value is rounded to first.
    """

    left: Literal["<=", "<"]
    precision: Literal["float32", "float64"]

    def goes_right(self, values: NDArray, thresholds: NDArray) -> BoolArray:
        """Return whether each value goes right of its threshold; a missing one does not."""
        rounded = values.astype(self.precision)
        return rounded > thresholds if self.left == "<=" else rounded >= thresholds


@dataclass(frozen=True)
class Categories:
    """Categories that go left and right at a categorical split.

    Parameters
    ----------
    left, right : frozenset of int
        Those that are known to go there.
    others_right : bool
        Where a category goes that is in neither.
    """

    left: frozenset[int]
    right: frozenset[int]
    others_right: bool


@dataclass(frozen=True)
class Split:
    """One question.

    Parameters
    ----------
    feature : int
        Which feature it reads.
    threshold : float
        What that is compared with; 0 for a categorical split.
    missing_right : bool
        Whether a missing value answers 1.
    categories : Categories, optional
        For a categorical split.
    """

    feature: int
    threshold: float
    missing_right: bool
    categories: Categories | None = None

    @property
    def order(self) -> tuple[Any, ...]:
        """What splits are sorted by, so that their order says nothing of the trees they come from."""
        if self.categories is None:
            return (self.feature, self.missing_right, 0, self.threshold)
        groups = tuple(sorted(self.categories.left)), tuple(sorted(self.categories.right))
        return (self.feature, self.missing_right, 1, 0.0, *groups, self.categories.others_right)


class Splits(Sequence[Split]):
    """Different splits in sorted order: what a row is encoded by.

    The splits of one feature that send missing values to one side form a *chain*: their thresholds
    ascend, so their bits never rise along it. A chain of n splits has n + 1 answers, not 2**n.

    Parameters
    ----------
    n_features : int
        Features of a row.
    rule : Rule
        How values are compared with thresholds.
    splits : iterable of Split
        Equal ones are kept once.

    Examples
    --------
    >>> asked = [Split(1, 0.5, False), Split(0, 2.0, True), Split(0, 1.0, True)]
    >>> splits = Splits(2, Rule("<=", "float64"), asked)
    >>> splits.answers([[1.5, 0.5], [float("nan"), 0.6]])
    array([[1, 0, 0],
           [1, 1, 1]])
    """

    def __init__(self, n_features: int, rule: Rule, splits: Iterable[Split]) -> None:
        self.n_features = n_features
        self.rule = rule
        self._splits = tuple(sorted(set(splits), key=lambda split: split.order))

    def __len__(self) -> int:
        return len(self._splits)

    def __getitem__(self, index: Any) -> Any:
        return self._splits[index]

    @cached_property
    def numbers(self) -> dict[Split, int]:
        """Number of each split."""
        return {split: position for position, split in enumerate(self._splits)}

    @cached_property
    def features(self) -> IntArray:
        """Feature that each split reads, shape (n_splits,)."""
        return np.array([split.feature for split in self], dtype=np.int64)

    @cached_property
    def chains(self) -> IntArray:
        """Number of the chain that each split belongs to, shape (n_splits,); a categorical one is alone."""
        numbers = np.zeros(len(self), dtype=np.int64)
        for position, (before, split) in enumerate(itertools.pairwise(self), start=1):
            same = (
                split.feature == before.feature
                and split.missing_right == before.missing_right
                and split.categories is None
                and before.categories is None
            )
            numbers[position] = numbers[position - 1] + (not same)
        return numbers

    def select(self, kept: IntArray) -> Splits:
        """Return the splits numbered ``kept``."""
        return Splits(self.n_features, self.rule, (self[int(number)] for number in kept))

    @cached_property
    def encoder(self) -> SplitEncoder:
        """What answers the splits, in arrays."""
        groups = tuple(
            (number, split.categories) for number, split in enumerate(self) if split.categories is not None
        )
        thresholds = np.array([split.threshold for split in self], dtype=np.float64)
        missing_right = np.array([split.missing_right for split in self], dtype=bool)
        return SplitEncoder(self.n_features, self.rule, self.features, thresholds, missing_right, groups)

    def encode(self, X: Any) -> tuple[IntArray]:
        """Return the `answers` of rows as the only input of a program, with a zero in place of none."""
        return self.encoder.encode(X)

    def answers(self, X: Any) -> IntArray:
        """Return the bits of rows; see `SplitEncoder.answers`."""
        return self.encoder.answers(X)


@dataclass(frozen=True, eq=False)
class SplitEncoder:
    """Encodes rows by the answers to some splits.

    Parameters
    ----------
    n_features : int
        Features of a row.
    rule : Rule
        How values are compared with thresholds.
    features : ndarray of int64, shape (n_splits,)
        Which feature each split reads.
    thresholds : ndarray of float64, shape (n_splits,)
        What that is compared with; 0 for categorical splits.
    missing_right : ndarray of bool, shape (n_splits,)
        Whether a missing value answers 1.
    categories : sequence of (int, Categories)
        Of the categorical splits, by number.
    """

    n_features: int
    rule: Rule
    features: IntArray
    thresholds: FloatArray
    missing_right: BoolArray
    categories: Sequence[tuple[int, Categories]] = ()

    def __post_init__(self) -> None:
        shape = self.features.shape
        if len(shape) != 1 or not shape == self.thresholds.shape == self.missing_right.shape:
            raise ValueError(
                "features, thresholds and missing_right must be one-dimensional and of one length, got "
                f"{shape}, {self.thresholds.shape} and {self.missing_right.shape}"
            )
        if len(self.features) and not 0 <= self.features.min() <= self.features.max() < self.n_features:
            raise ValueError(f"features must lie in [0, {self.n_features})")
        if any(not 0 <= number < len(self.features) for number, _ in self.categories):
            raise ValueError(f"categories must be of one of the {len(self.features)} splits")

    def encode(self, X: Any) -> tuple[IntArray]:
        """Return the `answers` of rows as the only input of a program, with a zero in place of none."""
        bits = self.answers(X)
        return (bits if bits.shape[1] else np.zeros((len(bits), 1), dtype=np.int64),)

    def answers(self, X: Any) -> IntArray:
        """Return the bits of rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of float, shape (n_rows, n_features)
            NaN stands for a missing value.

        Returns
        -------
        ndarray of int64, shape (n_rows, n_splits)
            0 or 1.

        Raises
        ------
        ValueError
            If ``X`` has another number of features.
        """
        X = X if hasattr(X, "toarray") else np.asarray(X)
        if X.ndim != 2 or X.shape[1] != self.n_features:
            raise ValueError(f"expected shape (n_rows, {self.n_features}), got {X.shape}")
        values = dense(X[:, self.features]).astype(np.float64)
        bits = self.rule.goes_right(values, self.thresholds)
        for number, categories in self.categories:
            bits[:, number] = _in_right(values[:, number], categories)
        return np.where(np.isnan(values), self.missing_right, bits).astype(np.int64)


def _in_right(values: NDArray, categories: Categories) -> BoolArray:
    known = np.isin(values, [*categories.left, *categories.right])
    return np.where(known, np.isin(values, list(categories.right)), categories.others_right)
