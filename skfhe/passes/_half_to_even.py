"""Lookups that requantize by a power of two and round half to even, as trained networks do.

Such a table changes at every ``2**k``-th argument, but for ties: one step later where half is rounded down.
With the argument counted so that these changes are at 1 modulo ``2**(k + 1)``, and the others at ``2**k``, it
is doubled, and 1 taken away or added by which of the two is nearer. A lookup of the ``k + 1`` low bits says
which, whose table is negacyclic: it is read on a circle. All changes then are at multiples of ``2**(k + 1)``,
so that low bits say nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from skfhe._typing import IntArray
from skfhe.program import ProgramBuilder, ops

__all__ = ["HalfToEven", "find_half_to_even"]


@dataclass(frozen=True, eq=False)
class HalfToEven:
    """How to evaluate a lookup whose ties go to the even one.

    Parameters
    ----------
    shift : ndarray of int64
        Constants taken from the argument, one for each that can be.
    lsbs : int
        The logarithm of the distance of changes.
    """

    shift: IntArray
    lsbs: int

    def emit(self, builder: ProgramBuilder, argument: int, label: str) -> int:
        """Append the argument doubled, its ties decided, and its low bits cleared."""
        half = 1 << (self.lsbs - 1)
        direction = np.repeat([-1, 1, 1, -1], half)[None]
        low = builder.add(ops.Modulo(self.lsbs + 1), argument, label=f"{label} (ties)")
        start = np.zeros(1, dtype=np.int64)
        decided = builder.add(ops.Lookup(direction, start), low, label=f"{label} (ties)")
        doubled = builder.add(ops.Add(), argument, argument, label=label)
        doubled = builder.add(ops.Add(), doubled, decided, label=label)
        return builder.add(ops.Truncate(self.lsbs + 1), doubled, label=f"{label} (low bits cleared)")


def find_half_to_even(
    low: IntArray,
    high: IntArray,
    changes: IntArray,
    constant: IntArray,
    price: Callable[[int, int], float],
) -> HalfToEven | None:
    """Find the cheapest way to round half to even, if all tables of a lookup do and that is cheaper.

    Parameters
    ----------
    low, high : ndarray of int64
        Interval of the argument, for each constant that can be taken from it.
    changes, constant : ndarray of int64, shape (n,)
        Arguments at which a table changes, and the number of the constant of each.
    price : callable
        See `skfhe.passes.round_constant_cells`.

    Returns
    -------
    HalfToEven or None
    """
    now = max(1, int((high - low).max()).bit_length())
    best, least = None, price(now, 0)
    for lsbs in range(1, now):
        origins = _origins(changes, constant, low, lsbs)
        if origins is None:
            continue
        period = 2 << lsbs
        shift = low - 1 - (low - 1 - origins) % period
        bits = (2 * int((high - shift).max()) + 1).bit_length()
        cost = price(lsbs, 0) + price(bits, lsbs + 1)
        if cost < least:
            best, least = HalfToEven(shift, lsbs), cost
    return best


def _origins(changes: IntArray, constant: IntArray, low: IntArray, lsbs: int) -> IntArray | None:
    """Return what to count arguments from so that all changes are at 1 or ``2**lsbs`` modulo twice that."""
    period, distance = 2 << lsbs, (1 << lsbs) - 1
    origins = low.copy()
    for number in np.unique(constant):
        residues = np.unique(changes[constant == number] % period)
        if len(residues) == 1:
            origins.flat[number] = residues[0] - 1
            continue
        if len(residues) > 2:
            return None
        first, second = residues
        if (second - first) % period == distance:
            origins.flat[number] = first - 1
        elif (first - second) % period == distance:
            origins.flat[number] = second - 1
        else:
            return None
    return origins
