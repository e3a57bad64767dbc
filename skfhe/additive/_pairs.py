"""Interactions of two features: small tables, each read by one lookup of 4 bits or by the client's cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from skfhe._typing import FloatArray, IntArray
from skfhe.additive._description import Bins, Term
from skfhe.additive._groups import FeatureBins, means

__all__ = ["SHAPES", "Interaction", "PairTable", "best_first", "merged_pair"]

SHAPES = ((4, 4), (5, 3), (3, 5), (8, 2), (2, 8))
"""Groups of the one feature and of the other that the 16 cells of a lookup of 4 bits can be."""
FIRST_GROUPS = 8
ROUNDS = 3
"""Times that both features' groups are chosen in turn, each for the other's."""


@dataclass(frozen=True, eq=False)
class Interaction:
    """An interaction of two features that was trained, what it adds, and what it costs.

    Parameters
    ----------
    features : tuple of int
    names : tuple of str
    kept : bool
        Whether the program has it.
    adds : float
        How much it takes off the mean loss of the rows of training, added to the original's main effects and
        to the interactions before it: the log loss of a classifier, the squared error or the Poisson deviance
        of a regressor. Where rows and targets are not known, its mean squared score.
    deviation : float
        Its root mean squared score on the rows of training.
    lookups : int
        Lookups that it takes.
    seconds : float
        What it adds to the seconds of a row, without what is paid once a call.
    """

    features: tuple[int, int]
    names: tuple[str, str]
    kept: bool
    adds: float
    deviation: float
    lookups: int
    seconds: float


@dataclass(frozen=True, eq=False)
class PairTable:
    """An interaction whose bins are merged.

    Parameters
    ----------
    features : tuple of int
    bins : tuple of Bins
    groups : tuple of ndarray of int64
        Of the bins of each feature.
    values : ndarray of float64, shape (n_first, n_second, n_scores)
    weights : ndarray of float64, shape (n_first, n_second)
    """

    features: tuple[int, int]
    bins: tuple[Bins, Bins]
    groups: tuple[IntArray, IntArray]
    values: FloatArray
    weights: FloatArray

    def cells(self, X: FloatArray) -> IntArray:
        """Return the number of the cell that each row lies in, those of one first group after another."""
        first, second = (
            groups[bins.of(X[:, feature])]
            for feature, bins, groups in zip(self.features, self.bins, self.groups, strict=True)
        )
        return first * self.values.shape[1] + second

    def of(self, X: FloatArray) -> FloatArray:
        """Return the summand of rows, shape (n_rows, n_scores)."""
        return self.values.reshape(-1, self.values.shape[-1])[self.cells(X)]

    @property
    def mean_square(self) -> float:
        """Mean square of the summand on the rows of training."""
        total = self.weights.sum()
        squares = np.square(self.values).sum(axis=-1)
        return float((squares * self.weights).sum() / total) if total > 0 else float(squares.mean())


def merged_pair(term: Term) -> PairTable:
    """Return a pair with merged bins, of that of the `SHAPES` whose squared error is least.

    The groups of one feature are the best there are for those of the other; they are chosen in turn until
    neither changes, which need not be the best of both together.
    """
    sides = tuple(
        FeatureBins(bins, term.weights.sum(axis=1 - axis), alone=False) for axis, bins in enumerate(term.bins)
    )
    tables = [_of_shape(term, sides, shape) for shape in SHAPES]
    return min(tables, key=lambda table: _error(term, table))


def _of_shape(term: Term, sides: Sequence[FeatureBins], shape: tuple[int, int]) -> PairTable:
    groups = [_quantiles(side) for side in sides]
    for _ in range(ROUNDS):
        before = groups
        first = _grouped(term, 0, sides[0], groups[1], shape[0])
        groups = [first, _grouped(term, 1, sides[1], first, shape[1])]
        if all(map(np.array_equal, groups, before)):
            break
    first, second = groups
    cells = first[:, None] * (int(second.max()) + 1) + second[None, :]
    n_cells = (int(first.max()) + 1) * (int(second.max()) + 1)
    n_scores = term.scores.shape[-1]
    values = means(term.scores.reshape(-1, n_scores), term.weights.ravel(), cells.ravel())
    weights: FloatArray = np.bincount(cells.ravel(), term.weights.ravel(), minlength=n_cells).astype(
        np.float64
    )
    table = values.reshape(int(first.max()) + 1, int(second.max()) + 1, n_scores)
    first_feature, second_feature = term.features
    one, other = term.bins
    return PairTable(
        (first_feature, second_feature),
        (one, other),
        (first, second),
        table,
        weights.reshape(table.shape[:2]),
    )


def _quantiles(side: FeatureBins) -> IntArray:
    """Return groups of a feature's bins to begin with, of about equal weight where bins have an order."""
    if side.is_categorical and side.bins.n_bins <= FIRST_GROUPS:
        return np.arange(side.bins.n_bins)
    share = np.cumsum(side.weights + 1.0)
    return np.unique((FIRST_GROUPS * share / (share[-1] + 1)).astype(np.int64), return_inverse=True)[
        1
    ].ravel()


def _grouped(term: Term, axis: int, side: FeatureBins, others: IntArray, most: int) -> IntArray:
    """Return the best groups of one feature's bins for those of the other's."""
    scores, weights = term.scores, term.weights
    if axis:
        scores, weights = np.swapaxes(scores, 0, 1), weights.T
    members = np.zeros((len(others), int(others.max()) + 1))
    members[np.arange(len(others)), others] = 1.0
    mass = weights @ members
    summed = np.swapaxes(scores * weights[..., None], 1, 2) @ members  # (n_bins, n_scores, n_groups)
    plain = np.swapaxes(scores, 1, 2) @ members / members.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        averaged = np.where(mass[:, None] > 0, summed / mass[:, None], plain)
    values = np.swapaxes(averaged, 1, 2).reshape(len(scores), -1)
    order, merging = side.merging(values, most, np.repeat(mass, scores.shape[-1], axis=1))
    return side.groups(order, merging.groups(len(merging.errors)), values)


def _error(term: Term, table: PairTable) -> float:
    first, second = table.groups
    left = np.square(term.scores - table.values[first[:, None], second[None, :]]).sum(axis=-1)
    return float((left * term.weights).sum())


def best_first(
    contributions: Sequence[FloatArray], start: FloatArray, loss: Callable[[FloatArray], float]
) -> list[tuple[int, float]]:
    """Return summands in an order in which each takes the most off the loss, and how much each does.

    Parameters
    ----------
    contributions : sequence of ndarray of float64, each of shape (n_rows, n_scores)
    start : ndarray of float64, shape (n_rows, n_scores)
        Scores without them.
    loss : callable
        The mean loss of scores.

    Returns
    -------
    list of (int, float)
        Which summand, and what it adds. Those that add nothing come last, in the order of what each would add
        to those before.
    """
    left, found, scores = list(range(len(contributions))), [], start
    now = loss(scores)
    while left:
        tried = [loss(scores + contributions[number]) for number in left]
        at = int(np.argmin(tried))
        found.append((left[at], now - tried[at]))
        scores, now = scores + contributions[left.pop(at)], tried[at]
    return found
