"""Write tables as sums of negacyclic ones, which a bootstrap of one bit less reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skfhe._typing import BoolArray, IntArray

__all__ = ["MOST_PARTS", "Split", "split_tables"]

MOST_PARTS = 3
"""Lookups that stand for one; more of them never paid."""


@dataclass(frozen=True, eq=False)
class Split:
    """Tables as ``2**doubled * table == constant + sum of parts``, wherever arguments occur.

    Parameters
    ----------
    parts : tuple of (int, ndarray of int64, shape (n_tables, 2**n_bits))
        Each the bits of its circle, and negacyclic tables of its residues; the widest first.
    constants : ndarray of int64, shape (n_tables,)
    doubled : int
        How often the tables are doubled, so that all parts are integers.
    """

    parts: tuple[tuple[int, IntArray], ...]
    constants: IntArray
    doubled: int


def split_tables(
    tables: IntArray, live: BoolArray, most: int = MOST_PARTS, shifted: bool = True
) -> Split | None:
    """Write tables on a circle of residues as sums of negacyclic ones, if few of these are enough.

    With half a circle of *h* cells, ``f(u) = N(u) + R(u)`` where ``N(u) = (f(u) - f(u + h)) / 2`` changes its
    sign over half a circle, and the remainder ``R(u) = (f(u) + f(u + h)) / 2`` has the period *h*: it is a
    table on half the circle, and is split likewise, until it is constant. It is fixed only where both
    cells occur, and so ends early where some do not: of ``2**d`` cells on a circle, ``3/4`` take two parts,
    ``7/8`` three. The free cells of the last remainder are taken so that it is constant.

    Parameters
    ----------
    tables : ndarray of int64, shape (n_tables, 2**d)
    live : ndarray of bool, of the same shape
        Cells that occur; what the others hold does not count.
    most : int, default=MOST_PARTS
        Parts that are enough.
    shifted : bool, default=True
        Whether there may be constants.

    Returns
    -------
    Split or None
        Without parts if every table is constant where it is live.

    Examples
    --------
    >>> import numpy as np
    >>> sign = np.array([[-1, -1, -1, -1, 1, 1, 1, 1]])
    >>> split = split_tables(sign, np.ones((1, 8), dtype=bool))
    >>> [(n_bits, table.tolist()) for n_bits, table in split.parts], split.constants.tolist()
    ([(3, [[-1, -1, -1, -1, 1, 1, 1, 1]])], [0])
    """
    found = tables.astype(np.int64) << most
    levels: list[tuple[IntArray, BoolArray]] = []
    constants = _constants(found, live, shifted)
    while constants is None:
        if len(levels) == most or found.shape[-1] < 4:
            return None
        levels.append((found, live))
        half = found.shape[-1] // 2
        found = (found[:, :half] + found[:, half:]) // 2
        live = live[:, :half] & live[:, half:]
        constants = _constants(found, live, shifted)
    parts: list[tuple[int, IntArray]] = []
    remainder = np.broadcast_to(constants[:, None], found.shape)
    for table, occurs in reversed(levels):
        half = table.shape[-1] // 2
        first = np.where(occurs[:, :half], table[:, :half] - remainder, 0)
        second = np.where(occurs[:, half:], table[:, half:] - remainder, 0)
        odd = np.where(occurs[:, :half], first, -second)
        part = np.concatenate([odd, -odd], axis=-1)
        parts.insert(0, (part.shape[-1].bit_length() - 1, part))
        remainder = np.tile(remainder, 2) + part
    spare = _common_twos([constants, *(part for _, part in parts)], most)
    return Split(tuple((n_bits, part >> spare) for n_bits, part in parts), constants >> spare, most - spare)


def _constants(tables: IntArray, live: BoolArray, shifted: bool) -> IntArray | None:
    """Return the number that each table holds where it is live, 0 if nowhere; None if one holds several.

    If they may not be ``shifted``, that number is 0 or there is none.
    """
    low = np.where(live, tables, np.iinfo(np.int64).max).min(axis=-1)
    high = np.where(live, tables, np.iinfo(np.int64).min).max(axis=-1)
    some = live.any(axis=-1)
    constants = np.where(some, low, 0)
    alike = np.all(low[some] == high[some]) and (shifted or not constants.any())
    return constants if alike else None


def _common_twos(arrays: list[IntArray], most: int) -> int:
    """Return how often all numbers can be halved, up to ``most`` times."""
    bits = int(np.bitwise_or.reduce([np.bitwise_or.reduce(a, axis=None, initial=0) for a in arrays]))
    return most if bits == 0 else min(most, (bits & -bits).bit_length() - 1)
