"""Squared distances from support vectors as sums of bits, and which of them are worth being told apart.

A sum that a lookup reads has few levels, from its least value to its largest. The farthest row is so far from
a vector that its kernel is zero, and so is that of most rows between: levels would be spent on these. As any
function of a feature will do, a feature's square is capped. A row that a single feature takes as far as that
has hardly a kernel left; what is lost of others is weighed against the finer levels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skfhe._radial.scores import RadialScores
from skfhe._typing import FloatArray, IntArray
from skfhe.encoding import GridBitsEncoder

__all__ = ["Distances", "best_caps", "largest_sum", "reach_of"]

N_CAPS = 20
RATIO = 0.7
"""Of a cap that is tried and the one before."""
MOST_WORK = 1 << 25
"""Squares of rows, vectors and features, for each cap."""
FEWEST_ROWS, FEWEST_FEATURES = 50, 32
PRIOR_ROWS = 4.0
"""What the kernel in the middle of a cell counts for, beside those of the rows in it."""


def best_caps(scores: RadialScores, ends: FloatArray, rows: FloatArray, n_bits: int) -> FloatArray:
    """Return what the square of a feature is capped at, for each vector.

    Parameters
    ----------
    scores : RadialScores
    ends : ndarray of float64, shape (2, n_features)
        The least and the largest value of each feature.
    rows : ndarray of float64, shape (n_rows, n_features)
        At which kernels are to be right.
    n_bits : int
        What lookups read.

    Returns
    -------
    ndarray of float64, shape (n_vectors,)
        For each vector that of the least squared error of its kernel over rows, or larger ones, as much for
        all vectors, if scores are nearer to the float model's: what caps do to a row they do in all sums,
        while coarse levels err to either side.
    """
    n_vectors, n_features = scores.support.shape
    at_most = max(MOST_WORK // (n_vectors * max(n_features, FEWEST_FEATURES)), FEWEST_ROWS)
    rows = rows[:: -(-len(rows) // at_most)]
    caps = np.empty((N_CAPS, n_vectors))
    off = np.empty((N_CAPS, n_vectors, len(rows)))
    for number, vector in enumerate(scores.support):
        squares, reached = np.square(rows - vector), reach_of(vector, ends)
        caps[:, number] = reached.max() * RATIO ** np.arange(N_CAPS)
        for place, cap in enumerate(caps[:, number]):
            cell = np.minimum(reached, cap).sum() / ((1 << n_bits) - 1) or 1.0
            read = np.rint(np.minimum(squares, cap).sum(axis=1) / cell)
            off[place, number] = np.exp(-scores.gamma * cell * read)
    off -= scores.kernel(rows).T
    every = np.arange(n_vectors)
    best = np.square(off).sum(axis=2).argmin(axis=0)
    choices = [np.maximum(best - larger, 0) for larger in range(N_CAPS)]
    errors = [float(np.square(scores.dual @ off[choice, every]).sum()) for choice in choices]
    found: FloatArray = caps[choices[int(np.argmin(errors))], every]
    return found


def reach_of(vector: FloatArray, ends: FloatArray) -> FloatArray:
    """Return the largest square of each feature's distance from a vector."""
    found: FloatArray = np.square(ends - vector).max(axis=0)
    return found


@dataclass(frozen=True, eq=False)
class Distances:
    """Squared distances from each vector as sums of bits.

    Parameters
    ----------
    weight : ndarray of int64, shape (n_bits_sent, n_vectors)
    offset : ndarray of int64, shape (n_vectors,)
    unit, constant : ndarray of float64, shape (n_vectors,)
        ``unit * sum + constant`` is the distance.
    n_bits : int
        What lookups read of a sum, once rounded.
    further : int
        Bits that rounding takes off. The terms of a sum are rounded by themselves, which has less of an
        effect than that as long as there are these.
    """

    weight: IntArray
    offset: IntArray
    unit: FloatArray
    constant: FloatArray
    n_bits: int
    further: int

    @classmethod
    def of(
        cls, scores: RadialScores, encoder: GridBitsEncoder, caps: FloatArray, n_bits: int, further: int
    ) -> Distances:
        levels = encoder.levels
        whole = levels.watch.grid
        unsent = np.setdiff1d(levels.watch.features, levels.features)
        support = scores.support
        limit = caps[:, None]
        constant = np.minimum(np.square(whole.origin[unsent] - support[:, unsent]), limit).sum(axis=1)
        grid, own = levels.grid, support[:, levels.features]
        tables = [
            np.minimum(np.square(origin + step * np.arange(first, last + 1) - own[:, [f]]), limit)
            for f, (origin, step, first, last) in enumerate(
                zip(grid.origin, grid.step, grid.low, grid.high, strict=True)
            )
        ]
        most = largest_sum(n_bits, further)
        unit = sum(table.max(axis=1) - table.min(axis=1) for table in tables) / most
        unit = np.where(unit > 0, unit, 1.0)
        while True:
            rounded = [np.rint(table / unit[:, None]).astype(np.int64) for table in tables]
            largest = sum(table.max(axis=1) - table.min(axis=1) for table in rounded)
            if (largest <= most).all():
                break
            unit = np.where(largest > most, unit * 1.005, unit)
        least = sum(table.min(axis=1) for table in rounded)
        rises = [np.diff(table, axis=1).T for table in rounded]
        weight = (
            np.concatenate(rises) if sum(map(len, rises)) else np.zeros((1, len(support)), dtype=np.int64)
        )
        offset = sum(table[:, 0] for table in rounded) - least
        return cls(weight, offset, unit, constant + unit * least, n_bits, further)

    def cells(self, bits: IntArray) -> IntArray:
        """Return which cell each lookup reads, shape (n_rows, n_vectors)."""
        sums = (bits.astype(np.float64) @ self.weight.astype(np.float64)).astype(np.int64)  # exact
        return (sums + self.offset + (1 << self.further >> 1)) >> self.further

    def kernel(self, scores: RadialScores, read: IntArray, rows: FloatArray) -> FloatArray:
        """Return the kernel in each cell, shape (n_vectors, n_cells).

        It is the mean over the rows that are in the cell, as far as there are some.

        Parameters
        ----------
        scores : RadialScores
        read : ndarray of int64, shape (n_rows, n_vectors)
            The cells of rows.
        rows : ndarray of float64, shape (n_rows, n_features)
        """
        cell = self.unit[:, None] * (1 << self.further)
        n_cells = 1 << self.n_bits
        middle = np.exp(-scores.gamma * (cell * np.arange(n_cells) + self.constant[:, None]))
        wanted = scores.kernel(rows)
        place = read + n_cells * np.arange(len(middle))
        total = np.bincount(place.ravel(), wanted.ravel(), minlength=middle.size).reshape(middle.shape)
        count = np.bincount(place.ravel(), minlength=middle.size).reshape(middle.shape)
        return (total + PRIOR_ROWS * middle) / (count + PRIOR_ROWS)


def largest_sum(n_bits: int, further: int) -> int:
    """Return the largest sum that is rounded to the last of the cells."""
    return (((1 << n_bits) - 1) << further) + (1 << further >> 1) - 1
