"""Indicators of leaves: lookups that say which leaf a row reaches, and clear weights after them.

A lookup of leaf values adds to one score. Trees whose leaves add to several, such as those of a forest of
many classes, need one for each score. An indicator is a lookup that reads 1 in some cells of an index and 0
in all others; every score is a sum of indicators with clear weights, so there are as many lookups whatever
the number of scores.

Weights make noise: a sum must keep its own bits and those of the weights' norm, and with the integers of leaf
values that would be dear. So weights are split into digits, and the sums of each digit are results of their
own, which whoever decrypts them puts together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from skfhe._trees.cover import Index, PieceLookup
from skfhe._trees.search import TreeNode
from skfhe._typing import IntArray

__all__ = ["CellGroups", "Digits", "Indicators", "cell_groups", "digits_of", "path_lookups"]


@dataclass(frozen=True, eq=False)
class Digits:
    """Numbered vectors of integers in digits: ``vector[column] = Σ factor · digit`` over a column's digits.

    Parameters
    ----------
    values : ndarray of int64, shape (n_vectors, n_digits)
    columns : ndarray of int64, shape (n_digits,)
        The element that each digit is of.
    factors : ndarray of int64, shape (n_digits,)
        Powers of the radix.
    """

    values: IntArray
    columns: IntArray
    factors: IntArray


def digits_of(vectors: IntArray, radix: int) -> Digits:
    """Return the digits of vectors, as near to zero as ``radix`` of them in a row can be.

    Parameters
    ----------
    vectors : ndarray of int64, shape (n_vectors, n_columns)
    radix : int
        At least 3, so that digits have both signs.

    Returns
    -------
    Digits
        Without digits that are zero in all vectors.

    Examples
    --------
    >>> digits_of(np.array([[5], [-1]]), 3).values
    array([[-1, -1,  1],
           [-1,  0,  0]])
    """
    rest = vectors.astype(np.int64)
    lowest = -((radix - 1) // 2)
    values, columns, factors = [], [], []
    factor = 1
    while rest.any():
        digit = (rest - lowest) % radix + lowest
        rest = (rest - digit) // radix
        used = np.flatnonzero(digit.any(axis=0))
        values.append(digit[:, used])
        columns.append(used)
        factors.append(np.full(len(used), factor))
        factor *= radix
    empty = np.zeros((len(vectors), 0), dtype=np.int64)
    return Digits(
        np.concatenate([empty, *values], axis=1),
        np.concatenate([empty[0], *columns]),
        np.concatenate([empty[0], *factors]),
    )


@dataclass(frozen=True, eq=False)
class Indicators:
    """Lookups of zeros and ones, and results that are sums of them.

    Parameters
    ----------
    indices : sequence of Index
        What each lookup reads.
    tables : ndarray of int64, shape (n_lookups, n_cells)
    weight : ndarray of int64, shape (n_lookups, n_results)
    offset, span : ndarray of int64, shape (n_results,)
        What is added to each result, and how large it then can be: the least is 0.
    """

    indices: Sequence[Index]
    tables: IntArray
    weight: IntArray
    offset: IntArray
    span: IntArray

    @property
    def precision(self) -> float:
        """Bits that the lookups' results must keep: those of the largest result, and of its weights' norm."""
        norm = float(np.square(self.weight.astype(np.float64)).sum(axis=0).max(initial=1.0))
        return int(self.span.max(initial=1)).bit_length() + 0.5 * math.log2(max(1.0, norm))


@dataclass(frozen=True, eq=False)
class CellGroups:
    """Cells of indices that indicators tell apart.

    Parameters
    ----------
    indices : sequence of Index
        What the indicator of each group reads.
    tables : ndarray of int64, shape (n_groups, n_cells)
        1 for the cells of the group.
    group, number, sign : ndarray of int64, shape (n_terms,)
        A group is worth the sum of the numbered values of its terms, each with its sign.
    free : ndarray of int64, shape (n_free, 2)
        Number and sign of the terms that are added whatever a row reaches.
    """

    indices: Sequence[Index]
    tables: IntArray
    group: IntArray
    number: IntArray
    sign: IntArray
    free: IntArray

    def weigh(self, digits: IntArray, offset: IntArray, span: IntArray) -> Indicators:
        """Return the indicators that add digits.

        Parameters
        ----------
        digits : ndarray of int64, shape (n_values, n_results)
            What each numbered value adds to each result.
        offset, span : ndarray of int64, shape (n_results,)
            What all else adds to them, and how large they can be.

        Returns
        -------
        Indicators
        """
        weight = np.zeros((len(self.indices), digits.shape[1]), dtype=np.int64)
        np.add.at(weight, self.group, digits[self.number] * self.sign[:, None])
        added = (digits[self.free[:, 0]] * self.free[:, 1:]).sum(axis=0)
        return Indicators(self.indices, self.tables, weight, offset + added, span)


def cell_groups(pieces: Mapping[Index, Sequence[PieceLookup]], n_cells: int) -> CellGroups:
    """Group the cells of each index by what its pieces read there.

    One group of an index needs no indicator: that of cells which add nothing, or, where every cell adds
    something, one relative to which the others are.

    Parameters
    ----------
    pieces : mapping
        The pieces that read each index.
    n_cells : int
        Cells of a lookup.

    Returns
    -------
    CellGroups
    """
    indices: list[Index] = []
    tables: list[IntArray] = []
    terms: list[tuple[int, int, int]] = []
    free: list[tuple[int, int]] = []
    for index, found in pieces.items():
        cells: dict[tuple[tuple[int, int], ...], list[int]] = {}
        read = [(piece.plus.tolist(), piece.minus.tolist()) for piece in found]
        for cell in range(index.size):
            pairs = tuple((plus[cell], minus[cell]) for plus, minus in read if plus[cell] != minus[cell])
            cells.setdefault(pairs, []).append(cell)
        unread = () if () in cells else next(iter(cells))
        of_unread = [(number, sign) for pair in unread for number, sign in zip(pair, (1, -1), strict=True)]
        free += of_unread
        for pairs, of_group in cells.items():
            if pairs == unread:
                continue
            group = len(indices)
            indices.append(index)
            table = np.zeros(n_cells, dtype=np.int64)
            table[of_group] = 1
            tables.append(table)
            terms += [
                (group, number, sign) for pair in pairs for number, sign in zip(pair, (1, -1), strict=True)
            ]
            terms += [(group, number, -sign) for number, sign in of_unread]
    group, number, sign = np.array(terms, dtype=np.int64).reshape(-1, 3).T
    stacked = np.array(tables, dtype=np.int64).reshape(-1, n_cells)
    return CellGroups(indices, stacked, group, number, sign, np.array(free, dtype=np.int64).reshape(-1, 2))


def path_lookups(root: TreeNode, chains: Sequence[int], reference: int) -> list[PieceLookup]:
    """Return a piece for each leaf of a tree but those of one value: it counts what disagrees on the path.

    Parameters
    ----------
    root : TreeNode
        Of a tree that asks nothing whose answer is known from the path.
    chains : sequence of int
        Chain of each split.
    reference : int
        Number of the value that needs no lookup.

    Returns
    -------
    list of PieceLookup
    """
    found = []
    todo: list[tuple[TreeNode, dict[int, tuple[int | None, int | None]]]] = [(root, {})]
    while todo:
        node, bounds = todo.pop()
        if node.children:
            chain = chains[node.split]
            exceeded, reached = bounds.get(chain, (None, None))
            zero, one = node.children
            todo.append((one, bounds | {chain: (node.split, reached)}))
            todo.append((zero, bounds | {chain: (exceeded, node.split)}))
        elif node.value != reference:
            index = _disagreements(bounds)
            minus = np.full(index.size, reference, dtype=np.int64)
            plus = minus.copy()
            plus[0] = node.value
            found.append(PieceLookup(index, plus, minus))
    return found


def _disagreements(bounds: Mapping[int, tuple[int | None, int | None]]) -> Index:
    """Return the index that counts the chains which are not within their bounds."""
    terms = []
    for exceeded, reached in bounds.values():
        terms += [] if exceeded is None else [(exceeded, -1)]
        terms += [] if reached is None else [(reached, 1)]
    offset = sum(weight < 0 for _, weight in terms)
    return Index(tuple(sorted(terms)), offset, len(bounds) + 1)
