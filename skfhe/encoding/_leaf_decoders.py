"""Decoders of trees: from sums of leaf values, or numbers of leaves, to scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skfhe._typing import FloatArray, IntArray

__all__ = ["DigitSumDecoder", "LeafDecoder", "LeafMedianDecoder", "LeafSumDecoder", "LeafTableDecoder"]

MOST_MULTIPLE = 1 << 16


@dataclass(frozen=True, eq=False)
class LeafSumDecoder:
    """From sums of leaf values, as integers, to scores.

    What a wrong lookup brings out of the sums that there can be is taken for the nearest of them.

    Parameters
    ----------
    scale : float
        What one unit of a sum is worth.
    least : ndarray of int64, shape (n_computed,)
        Sums of no leaf values at all.
    span : ndarray of int64, shape (n_computed,)
        How far beyond them the sums can reach.
    columns : ndarray of int64, shape (n_computed,)
        The scores that the sums are.
    remainders : tuple of (int, tuple of int)
        Scores that are 1 less some others; if there are any, 1 is a multiple of the scale.
    n_outputs : int
        Scores of a row.
    error : float, default=0
        No score is farther than this from that of the float leaf values.
    multiple : int, default=1
        The program returns so many times the sums.

    Examples
    --------
    >>> import numpy as np
    >>> one, least, span = np.array([1]), np.array([0]), np.array([4])
    >>> LeafSumDecoder(0.25, least, span, one, ((0, (1,)),), 2).decode(np.array([[3]]))
    array([[0.25, 0.75]])
    """

    scale: float
    least: IntArray
    span: IntArray
    columns: IntArray
    remainders: tuple[tuple[int, tuple[int, ...]], ...]
    n_outputs: int
    error: float = 0.0
    multiple: int = 1

    def __post_init__(self) -> None:
        if not self.least.shape == self.span.shape == self.columns.shape or self.least.ndim != 1:
            raise ValueError(
                "least, span and columns must be one-dimensional and of one length, got "
                f"{self.least.shape}, {self.span.shape} and {self.columns.shape}"
            )
        if (self.span < 0).any() or not 0 < self.scale < np.inf:
            raise ValueError("span must not be negative, and scale be positive and finite")
        _check_multiple(self.multiple)
        known = [
            *self.columns.tolist(),
            *(n for output, others in self.remainders for n in (output, *others)),
        ]
        if not all(0 <= column < self.n_outputs for column in known):
            raise ValueError(f"scores are numbered below {self.n_outputs}, got {sorted(set(known))}")
        if self.n_outputs > len(set(known)) or (self.remainders and not round(1 / self.scale)):
            raise ValueError(f"expected that each of {self.n_outputs} scores is computed")

    def decode(self, sums: IntArray) -> FloatArray:
        """Return the scores, shape (n_rows, n_outputs)."""
        integers = np.clip(_nearest(sums, self.multiple), 0, self.span) + self.least
        if not self.remainders:
            scores = np.zeros((len(sums), self.n_outputs))
            scores[:, self.columns] = integers * self.scale
            return scores
        # Votes of trees are counted, so that classes with equally many have equal scores.
        one = round(1 / self.scale)
        counts = np.zeros((len(sums), self.n_outputs), dtype=np.int64)
        counts[:, self.columns] = integers
        for output, others in self.remainders:
            counts[:, output] = one - counts[:, list(others)].sum(axis=1)
        return counts / one


@dataclass(frozen=True, eq=False)
class DigitSumDecoder:
    """From sums of the digits of leaf values to scores.

    Parameters
    ----------
    least, span : ndarray of int64, shape (n_results,)
        For each sum of digits, the least, which the program returns as 0, and how far beyond it the largest
        is.
    factors : ndarray of int64, shape (n_results,)
        What a unit of each is worth in the sum of leaf values that it is a part of.
    columns : ndarray of int64, shape (n_results,)
        Which sum of leaf values that is.
    offset : ndarray of int64, shape (n_computed,)
        What is added to each of these.
    sums : LeafSumDecoder
        Turns them into scores.

    Examples
    --------
    >>> import numpy as np
    >>> one, least, span = np.array([1]), np.array([0]), np.array([4])
    >>> sums = LeafSumDecoder(0.25, least, span, one, ((0, (1,)),), 2)
    >>> least_digits, factors, columns = np.array([-1, 0]), np.array([1, 3]), np.array([0, 0])
    >>> digits = DigitSumDecoder(least_digits, np.array([2, 1]), factors, columns, least, sums)
    >>> digits.decode(np.array([[1, 1], [2, 0]]))
    array([[0.25, 0.75],
           [0.75, 0.25]])
    """

    least: IntArray
    span: IntArray
    factors: IntArray
    columns: IntArray
    offset: IntArray
    sums: LeafSumDecoder

    def __post_init__(self) -> None:
        shapes = [each.shape for each in (self.least, self.span, self.factors, self.columns)]
        if len(set(shapes)) != 1 or len(shapes[0]) != 1:
            raise ValueError(
                f"least, span, factors and columns must be one-dimensional and of one length, got {shapes}"
            )
        if self.offset.shape != self.sums.least.shape:
            raise ValueError(
                f"expected an offset of each of {len(self.sums.least)} sums, got {self.offset.shape}"
            )
        if (self.span < 0).any() or not ((self.columns >= 0) & (self.columns < len(self.offset))).all():
            raise ValueError(f"span must not be negative, and columns be below {len(self.offset)}")
        largest = np.maximum(np.abs(self.least.astype(float)), np.abs(self.least.astype(float) + self.span))
        if (largest * np.abs(self.factors.astype(float))).sum() + np.abs(
            self.offset.astype(float)
        ).sum() >= 2**62:
            raise ValueError("the sums of leaf values have more than 62 bits")

    @property
    def scale(self) -> float:
        """What one unit of a sum of leaf values is worth."""
        return self.sums.scale

    @property
    def error(self) -> float:
        """No score is farther than this from that of the float leaf values."""
        return self.sums.error

    def decode(self, digits: IntArray) -> FloatArray:
        """Return the scores, shape (n_rows, n_outputs)."""
        weight = np.zeros((len(self.factors), len(self.offset)), dtype=np.int64)
        weight[np.arange(len(self.factors)), self.columns] = self.factors
        return self.sums.decode((np.clip(digits, 0, self.span) + self.least) @ weight + self.offset)


@dataclass(frozen=True, eq=False)
class LeafDecoder:
    """From the number of one of a single tree's different leaves to its scores.

    A number beyond the last, as a wrong lookup can make it, is taken for the nearest.

    Parameters
    ----------
    least, span : int
        The first leaf's number, less that of what the program returns, and the number of those behind it.
    leaves : ndarray of float64, shape (n_different, n_outputs)
        Their scores.
    error : float, default=0
        They are exact.
    multiple : int, default=1
        The program returns so many times the numbers.

    Examples
    --------
    >>> import numpy as np
    >>> LeafDecoder(0, 1, np.array([[0.5], [1.25]])).decode(np.array([[1], [7]]))
    array([[1.25],
           [1.25]])
    """

    least: int
    span: int
    leaves: FloatArray
    error: float = 0.0
    multiple: int = 1

    def __post_init__(self) -> None:
        _check_multiple(self.multiple)
        if self.leaves.ndim != 2 or not 0 <= self.least <= self.least + self.span < len(self.leaves):
            raise ValueError(
                f"leaves {self.least} to {self.least + self.span} are not all among {self.leaves.shape}"
            )

    def decode(self, numbers: IntArray) -> FloatArray:
        """Return the scores, shape (n_rows, n_outputs)."""
        found = _nearest(numbers[:, 0], self.multiple)
        return self.leaves[np.clip(found, 0, self.span) + self.least]


@dataclass(frozen=True, eq=False)
class LeafTableDecoder:
    """From the numbers of the leaves that a row reaches, one in each tree, to the sum of their values.

    A number beyond a tree's last, as a wrong lookup can make it, is taken for the nearest.

    Parameters
    ----------
    counts : ndarray of int64, shape (n_trees,)
        Different leaves of each tree.
    leaves : ndarray of float64, shape (n_different, n_outputs)
        What they add to the scores, those of the first tree first.
    bias : ndarray of float64, shape (n_outputs,)
        What is added to every score.
    error : float, default=0
        The scores are those of the float trees, added in their order.
    multiple : int, default=1
        The program returns so many times the numbers.

    Examples
    --------
    >>> import numpy as np
    >>> leaves = np.array([[0.5], [1.25], [10.0], [20.0]])
    >>> LeafTableDecoder(np.array([2, 2]), leaves, np.array([0.25])).decode(np.array([[1, 0], [0, 7]]))
    array([[11.5 ],
           [20.75]])
    """

    counts: IntArray
    leaves: FloatArray
    bias: FloatArray
    error: float = 0.0
    multiple: int = 1

    def __post_init__(self) -> None:
        _check_multiple(self.multiple)
        if self.counts.ndim != 1 or self.leaves.ndim != 2 or self.bias.shape != self.leaves.shape[1:]:
            raise ValueError(
                f"expected a count a tree and a bias of each score of the leaves {self.leaves.shape}, got "
                f"{self.counts.shape} and {self.bias.shape}"
            )
        if not len(self.counts) or (self.counts < 1).any() or sum(self.counts.tolist()) != len(self.leaves):
            raise ValueError(f"expected trees of {len(self.leaves)} leaves together, got {self.counts}")

    def decode(self, numbers: IntArray) -> FloatArray:
        """Return the scores, shape (n_rows, n_outputs)."""
        scores = np.tile(self.bias, (len(numbers), 1))
        first = np.cumsum(self.counts) - self.counts
        found = _nearest(numbers, self.multiple)
        for of_rows in (np.clip(found, 0, self.counts - 1) + first).T:
            scores += self.leaves[of_rows]
        return scores


@dataclass(frozen=True, eq=False)
class LeafMedianDecoder:
    """From the numbers of the leaves that a row reaches, one a tree, to the weighted median of their values.

    A number beyond a tree's last, as a wrong lookup can make it, is taken for the nearest.

    Parameters
    ----------
    counts : ndarray of int64, shape (n_trees,)
        Different leaves of each tree.
    leaves : ndarray of float64, shape (n_different,)
        Their values, those of the first tree first.
    weights : ndarray of float64, shape (n_trees,)
        Of the trees. The median is the least value at which the weights of trees with no larger ones are at
        least half of all.
    multiple : int, default=1
        The program returns so many times the numbers.
    error : float, default=0
        Scores are values of leaves.

    Examples
    --------
    >>> import numpy as np
    >>> leaves = np.array([0.5, 1.25, 10.0, 20.0, 1.0])
    >>> decoder = LeafMedianDecoder(np.array([2, 2, 1]), leaves, np.array([1.0, 3.0, 1.0]))
    >>> decoder.decode(np.array([[1, 0, 0]])), decoder.first(1).decode(np.array([[7]]))
    (array([[10.]]), array([[1.25]]))
    """

    counts: IntArray
    leaves: FloatArray
    weights: FloatArray
    multiple: int = 1
    error: float = 0.0

    def __post_init__(self) -> None:
        _check_multiple(self.multiple)
        if self.counts.ndim != 1 or self.leaves.ndim != 1 or self.weights.shape != self.counts.shape:
            raise ValueError(
                "expected a count and a weight of each tree, and a value of each leaf, got "
                f"{self.counts.shape}, {self.weights.shape} and {self.leaves.shape}"
            )
        if not len(self.counts) or (self.counts < 1).any() or sum(self.counts.tolist()) != len(self.leaves):
            raise ValueError(f"expected trees of {len(self.leaves)} leaves together, got {self.counts}")

    def first(self, n_trees: int) -> LeafMedianDecoder:
        """Return the decoder of the first trees alone."""
        n_leaves = int(self.counts[:n_trees].sum())
        parts = self.counts[:n_trees], self.leaves[:n_leaves], self.weights[:n_trees]
        return LeafMedianDecoder(*parts, self.multiple, self.error)

    def decode(self, numbers: IntArray) -> FloatArray:
        """Return the scores, shape (n_rows, 1)."""
        start = np.cumsum(self.counts) - self.counts
        values = self.leaves[np.clip(_nearest(numbers, self.multiple), 0, self.counts - 1) + start]
        order = np.argsort(values, axis=1)
        reached = np.cumsum(self.weights[order], axis=1)
        median = (reached >= 0.5 * reached[:, -1:]).argmax(axis=1)[:, None]
        return np.take_along_axis(values, np.take_along_axis(order, median, axis=1), axis=1)


def _check_multiple(multiple: int) -> None:
    if not 1 <= multiple <= MOST_MULTIPLE:
        raise ValueError(f"multiple must be from 1 to {MOST_MULTIPLE}, got {multiple}")


def _nearest(integers: IntArray, multiple: int) -> IntArray:
    """Return the integers whose multiples are nearest; correct ones are multiples."""
    return (np.asarray(integers, dtype=np.int64) + multiple // 2) // multiple
