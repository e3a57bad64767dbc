"""Groups of a feature's bins, and the questions that tell a row's group."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from skfhe._typing import FloatArray, IntArray
from skfhe.additive._description import Bins
from skfhe.additive._merging import Merging, in_order, merged_runs
from skfhe.encoding import Categories, Rule, SplitEncoder

__all__ = ["FeatureBins", "Question", "means", "questions", "split_encoder"]

RULE = Rule("<", "float64")
"""A value that equals a cut lies behind it."""


@dataclass(frozen=True, eq=False)
class Question:
    """What is asked of a value to tell its group.

    Parameters
    ----------
    feature : int
    threshold : float
        0 for categories.
    missing_right : bool
        Whether a missing value answers 1.
    categories : Categories or None
    before, behind : int
        Groups that the answers 0 and 1 tell apart, all others being as they are.
    """

    feature: int
    threshold: float
    missing_right: bool
    categories: Categories | None
    before: int
    behind: int


@dataclass(frozen=True, eq=False)
class FeatureBins:
    """The bins of a feature that are to be merged, in an order in which groups are runs.

    Parameters
    ----------
    bins : Bins
    weights : ndarray of float64, shape (n_bins,)
        Rows of training in each.
    alone : bool
        Whether missing values that training had are a group of their own, where values have an order.
    """

    bins: Bins
    weights: FloatArray
    alone: bool = True

    @property
    def is_categorical(self) -> bool:
        """Whether bins are of categories."""
        return self.bins.of_category is not None

    @property
    def missing_alone(self) -> bool:
        """Whether missing values are a group of their own."""
        return self.alone and not self.is_categorical and self.weights[0] > 0

    def order(self, values: FloatArray) -> IntArray:
        """Return the bins that are merged, in order: those of values, and of missing categories."""
        if not self.is_categorical:
            return np.arange(1, self.bins.n_bins - 1)
        first = 0 if self.weights[0] > 0 else 1
        merged = np.arange(first, self.bins.n_bins - 1)
        return merged[in_order(values[merged], self.weights[merged])]

    def merging(
        self, values: FloatArray, most: int, weights: FloatArray | None = None
    ) -> tuple[IntArray, Merging]:
        """Return the order of bins, and how these are merged best, by weights of their own for each score."""
        order = self.order(values)
        if not len(order):
            order = np.zeros(1, dtype=np.int64)
        return order, merged_runs(values[order], (self.weights if weights is None else weights)[order], most)

    def groups(self, order: IntArray, merged: IntArray, values: FloatArray) -> IntArray:
        """Return the group of each bin, shape (n_bins,); bins that training lacks join the nearest.

        Parameters
        ----------
        order : ndarray of int64
            Bins that were merged.
        merged : ndarray of int64
            Their groups, ascending from 0.
        values : ndarray of float64, shape (n_bins, n_scores)
        """
        found = np.full(self.bins.n_bins, -1, dtype=np.int64)
        found[order] = merged
        if self.missing_alone:
            found[order] += 1
            found[0] = 0
        known = found >= 0
        centres = means(values[known], self.weights[known], found[known])
        for other in np.flatnonzero(~known):
            found[other] = np.square(centres - values[other]).sum(axis=1).argmin()
        return found


def means(values: FloatArray, weights: FloatArray, groups: IntArray) -> FloatArray:
    """Return the weighted mean of each group, a plain one where no row of training lies; (n_groups, …)."""
    n_groups = int(groups.max()) + 1
    members = np.zeros((n_groups, len(groups)))
    members[groups, np.arange(len(groups))] = np.where(weights > 0, weights, 0.0)
    empty = members.sum(axis=1) == 0
    members[empty] = groups == np.flatnonzero(empty)[:, None]
    return (members / members.sum(axis=1, keepdims=True)) @ values


def questions(feature: int, bins: Bins, groups: IntArray) -> list[Question]:
    """Return what tells the group of a feature's value; group 0 is where all answers are 0.

    Of values that have an order, each question is whether a group or one behind it is reached; of categories,
    whether it is this group.
    """
    n_groups = int(groups.max()) + 1
    if bins.of_category is not None:
        group_of = groups[bins.of_category]
        return [
            Question(feature, 0.0, bool(groups[0] == k), _of_group(group_of, k, groups[-1] == k), 0, k)
            for k in range(1, n_groups)
        ]
    assert bins.cuts is not None
    present = groups[1:-1]
    found = []
    for k in range(1, n_groups):
        first = int(np.argmax(present >= k))
        threshold = -np.inf if first == 0 else float(bins.cuts[first - 1])
        found.append(Question(feature, threshold, bool(groups[0] >= k), None, k - 1, k))
    return found


def _of_group(group_of: IntArray, k: int, others: bool) -> Categories:
    inside = frozenset(np.flatnonzero(group_of == k).tolist())
    return Categories(frozenset(range(len(group_of))) - inside, inside, bool(others))


def split_encoder(n_features: int, asked: Sequence[Question] | Iterable[Question]) -> SplitEncoder:
    """Return what answers questions."""
    asked = list(asked)
    return SplitEncoder(
        n_features,
        RULE,
        np.array([question.feature for question in asked], dtype=np.int64),
        np.array([question.threshold for question in asked], dtype=np.float64),
        np.array([question.missing_right for question in asked], dtype=bool),
        tuple((n, question.categories) for n, question in enumerate(asked) if question.categories),
    )
