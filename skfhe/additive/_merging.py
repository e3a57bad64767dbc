"""Merging the bins of a feature to few groups, at the least weighted squared error.

Bins of a continuous feature are merged with their neighbours, which dynamic programming does at the least
error there is [1]_: that of j bins in k groups is the least, over where the last group begins, of the error
of those before in k - 1 groups and of those in it. Bins of categories have no order of their own; they are
put in that of their scores, which loses nothing where there is one score, for the groups of the least error
are runs of it.

References
----------
.. [1] Fisher, "On Grouping for Maximum Homogeneity", Journal of the American Statistical Association 53,
   1958, 789-798.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from skfhe._typing import FloatArray, IntArray

__all__ = ["Merging", "in_order", "merged_runs", "shared_budget"]

MOST_BINS = 1024
"""Runs that are searched; of more, neighbours are merged beforehand, by equal weight."""
FAINT = 1e-9
"""Weight of a bin that no row of training lies in, as a part of all: it matters only among such."""


@dataclass(frozen=True, eq=False)
class Merging:
    """The best groups of bins in a row, for every number of groups.

    Parameters
    ----------
    errors : ndarray of float64, shape (most,)
        Mean squared error with 1, 2, … groups.
    begins : sequence of ndarray of int64
        For each number of groups, the bins that they begin at; the first is 0.
    n_bins : int
    """

    errors: FloatArray
    begins: Sequence[IntArray]
    n_bins: int

    def groups(self, n_groups: int) -> IntArray:
        """Return the group of each bin, shape (n_bins,)."""
        starts = np.zeros(self.n_bins, dtype=np.int64)
        starts[self.begins[n_groups - 1][1:]] = 1
        return np.cumsum(starts)


def merged_runs(values: FloatArray, weights: FloatArray, most: int) -> Merging:
    """Merge neighbouring bins.

    Parameters
    ----------
    values : ndarray of float64, shape (n_bins, n_scores)
    weights : ndarray of float64, shape (n_bins,) or (n_bins, n_scores)
        Not negative; each score can have its own.
    most : int
        Groups, at most; fewer if there are fewer different neighbours.

    Returns
    -------
    Merging

    Examples
    --------
    >>> found = merged_runs(np.array([[0.0], [0.1], [5.0]]), np.array([2.0, 2, 1]), 3)
    >>> found.groups(2).tolist(), found.errors.round(3).tolist()
    ([0, 0, 1], [3.922, 0.002, 0.0])
    """
    if weights.ndim == 1:
        weights = np.repeat(weights[:, None], values.shape[1], axis=1) / values.shape[1]
    total = weights.sum()
    weights = np.maximum(weights / total if total > 0 else np.full(weights.shape, 1 / weights.size), FAINT)
    starts = _distinct(values)
    if len(starts) > MOST_BINS:
        share = np.add.reduceat(weights.sum(axis=1), starts).cumsum()
        chunk = np.minimum((share / share[-1] * MOST_BINS).astype(np.int64), MOST_BINS - 1)
        starts = starts[np.concatenate([[True], np.diff(chunk) > 0])]
    centred = values - values.mean(axis=0)
    ends = np.append(starts, len(values))
    mass, first, second = (
        np.concatenate([np.zeros((1, values.shape[1])), summed.cumsum(axis=0)])[ends]
        for summed in (weights, weights * centred, weights * np.square(centred))
    )
    errors, chosen = _best(_run_costs(mass, first, second), min(most, len(starts)))
    return Merging(errors * values.shape[1], [starts[found] for found in chosen], len(values))


def _distinct(values: FloatArray) -> IntArray:
    """Return where runs of equal bins begin."""
    return np.flatnonzero(np.concatenate([[True], (np.diff(values, axis=0) != 0).any(axis=1)]))


def _run_costs(mass: FloatArray, first: FloatArray, second: FloatArray) -> FloatArray:
    """Return the squared error of every run, from its begin to its end; infinite if that is not behind."""
    cost = np.zeros((len(mass), len(mass)))
    with np.errstate(divide="ignore", invalid="ignore"):
        for weight, of_first, of_second in zip(mass.T, first.T, second.T, strict=True):
            moved = np.square(np.subtract.outer(of_first, of_first))
            moved /= np.subtract.outer(-weight, -weight)
            cost += np.subtract.outer(-of_second, -of_second) - moved
    np.maximum(cost, 0.0, out=cost)
    cost[np.tri(len(mass), dtype=bool)] = np.inf
    return cost


def _best(cost: FloatArray, most: int) -> tuple[FloatArray, list[IntArray]]:
    """Return the least error for each number of groups, and where they begin."""
    n = len(cost)
    best, back, errors = cost[0], [], [cost[0, -1]]
    for _ in range(1, most):
        reached = best[:, None] + cost
        origin = reached.argmin(axis=0)
        best = reached[origin, np.arange(n)]
        back.append(origin)
        errors.append(best[-1])
    found = []
    for n_groups in range(1, most + 1):
        at, begins = n - 1, []
        for step in range(n_groups - 2, -1, -1):
            at = int(back[step][at])
            begins.append(at)
        found.append(np.array([0, *reversed(begins)], dtype=np.int64))
    return np.array(errors), found


def in_order(values: FloatArray, weights: FloatArray) -> IntArray:
    """Return bins in the order of their scores, of several along what these differ by most.

    Parameters
    ----------
    values : ndarray of float64, shape (n_bins, n_scores)
    weights : ndarray of float64, shape (n_bins,)

    Returns
    -------
    ndarray of int64, shape (n_bins,)
    """
    if values.shape[1] == 1:
        return np.argsort(values[:, 0], kind="stable")
    total = weights.sum()
    weights = weights / total if total > 0 else np.ones(len(values)) / len(values)
    centred = values - weights @ values
    _, _, axes = np.linalg.svd(centred * np.sqrt(weights)[:, None], full_matrices=False)
    return np.argsort(centred @ axes[0], kind="stable")


def shared_budget(errors: Sequence[FloatArray], budget: int) -> list[int]:
    """Share thresholds among features so that the sum of their errors is about the least.

    Thresholds go where one of them takes most off the error. Where that is more with the second than with the
    first, both are taken together, at the mean.

    Parameters
    ----------
    errors : sequence of ndarray of float64
        For each feature, its error with 1, 2, … groups, descending.
    budget : int
        Thresholds of all features: one less than groups, each.

    Returns
    -------
    list of int
        Groups of each feature.

    Examples
    --------
    >>> shared_budget([np.array([9.0, 4.0, 3.0]), np.array([8.0, 7.0, 0.0])], 3)
    [2, 3]
    """
    groups = [1] * len(errors)
    heap: list[tuple[float, int, int]] = []

    def offer(feature: int) -> None:
        gains = errors[feature][groups[feature] - 1] - errors[feature][groups[feature] :]
        if len(gains) and gains.max() > 0:
            means = gains / np.arange(1, len(gains) + 1)
            more = int(means.argmax()) + 1
            heapq.heappush(heap, (-float(means[more - 1]), feature, more))

    for feature in range(len(errors)):
        offer(feature)
    while heap and budget:
        _, feature, more = heapq.heappop(heap)
        if more > budget:
            continue
        groups[feature] += more
        budget -= more
        offer(feature)
    return groups
