"""Clear the low bits of accumulators whose lookup does not depend on them.

A layer that is requantized by a power of two has tables that change at every ``2**k``-th argument only. The
constant that puts these arguments on multiples of ``2**k`` goes into the bias, channel by channel; then the
``k`` low bits say nothing. Clearing them takes one cheap lookup each, and the lookup that remains reads ``k``
bits less. Nothing is cleared that could not be evaluated then. Where ties are rounded to the even one,
changes are one argument off by turns, and `skfhe.passes._half_to_even` says what to do.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from skfhe._typing import IntArray
from skfhe.passes._half_to_even import HalfToEven, find_half_to_even
from skfhe.passes._rewriting import readers, rewrite
from skfhe.passes._shifting import find_shiftable, greatest, least
from skfhe.program import Program, ProgramBuilder, Value, leading_shape, ops, read_tables

__all__ = ["round_constant_cells"]


def _default_price(bits: int, lsbs: int) -> float:
    from skfhe.cost import (  # models without lookups need no prices
        DEFAULT_P_ERROR,
        truncated_lookup_complexity,
    )

    return truncated_lookup_complexity(bits, lsbs, DEFAULT_P_ERROR)


def round_constant_cells(program: Program, price: Callable[[int, int], float] = _default_price) -> Program:
    """Return ``program`` with low bits cleared that lookups do not depend on, where that is cheaper.

    Parameters
    ----------
    program : Program
    price : callable, optional
        Takes the bits of an accumulator and how many of them are cleared, and returns the price of that and
        of the lookup; `truncated_lookup_complexity` at the default error rate by default.

    Returns
    -------
    Program
        Computes the same outputs.

    Examples
    --------
    >>> from skfhe.program import ProgramBuilder
    >>> builder = ProgramBuilder()
    >>> x = builder.input(np.zeros(1), np.full(1, 200), label="x")
    >>> h = builder.add(ops.Linear(np.array([[1]]), np.array([0])), x, label="sum")
    >>> h = builder.add(ops.Lookup((np.arange(201) + 6)[None] // 16, np.array([0])), h, label="sixteenths")
    >>> print(round_constant_cells(builder.finish(h)))
    %0 = Input()  x  (1,)  [0, 200] 8 bits
    %1 = Linear(%0)  sum  (1,)  [6, 206] 8 bits
    %2 = Truncate(%1)  sixteenths (low bits cleared)  (1,)  [0, 192] 8 bits
    %3 = Lookup(%2)  sixteenths  (1,)  [0, 12] 4 bits (output)
    """
    reads = readers(program)
    replacements: dict[int, ops.Op] = {}
    cleared: dict[int, int] = {}
    ties: dict[int, HalfToEven] = {}
    for position in program.lookups:
        value = program.values[position]
        found = find_shiftable(program, reads, position)
        if found is None or found.multiple > 1:
            continue
        assert isinstance(value.op, ops.Lookup)
        argument = program.values[value.arguments[0]]
        cells = _cells(value.op, argument, found.granularity)
        if cells is None:
            continue
        chosen = cells.cheapest(price)
        if chosen:
            shift, cleared[position] = chosen
            found.shift(program, replacements, shift)
            replacements[position] = _coarse(value.op, argument, *chosen)
            continue
        even = find_half_to_even(cells.low, cells.high, cells.changes, cells.constant, price)
        if even is not None:
            ties[position] = even
            found.shift(program, replacements, even.shift)
            coarse = _coarse(value.op, argument, even.shift, even.lsbs, 1)
            replacements[position] = replace(coarse, step=2 * coarse.step)

    def emit(builder: ProgramBuilder, position: int, arguments: tuple[int, ...]) -> int:
        value = program.values[position]
        if position in cleared:
            truncate = ops.Truncate(cleared[position])
            arguments = (builder.add(truncate, *arguments, label=f"{value.label} (low bits cleared)"),)
        elif position in ties:
            arguments = (ties[position].emit(builder, arguments[0], value.label),)
        return builder.add(replacements.get(position, value.op), *arguments, label=value.label)

    rounded = rewrite(program, emit)
    # wide lookups run on residues alone, and these only where nothing is cleared
    return program if _is_refused(rounded) and not _is_refused(program) else rounded


def _is_refused(program: Program) -> bool:
    from skfhe.cost import estimate_cost

    return estimate_cost(program).refusal is not None


@dataclass(frozen=True, eq=False)
class _Cells:
    """Where the tables of a lookup change, one row of numbers for each constant that can shift its argument.

    Parameters
    ----------
    low, high : ndarray of int64
        Interval of the argument.
    changes, constant : ndarray of int64, shape (n,)
        Arguments at which a table changes, and the number of the constant that can shift each.
    origin : ndarray of int64
        An argument at which a table changes; where none does, any.
    distances : int
        Bits that the distances of the others from there have, all taken together.
    """

    low: IntArray
    high: IntArray
    changes: IntArray
    constant: IntArray
    origin: IntArray
    distances: int

    def cheapest(self, price: Callable[[int, int], float]) -> tuple[IntArray, int] | None:
        """Return the shift and the low bits to clear, or None where that is not cheaper."""
        now = max(1, int((self.high - self.low).max()).bit_length())
        best, least_price = None, price(now, 0)
        for lsbs in range(1, now + 1):
            if self.distances % (1 << lsbs):
                break
            shift = self.low - (self.low - self.origin) % (1 << lsbs)
            bits = int((self.high - shift).max()).bit_length()
            if price(bits, lsbs) < least_price:
                best, least_price = (shift, lsbs), price(bits, lsbs)
        return best


def _cells(op: ops.Lookup, argument: Value, granularity: tuple[int, ...]) -> _Cells | None:
    """Return where the tables of ``op`` change over the interval of its argument, or None if they do not."""
    if op.step > 1:
        return None
    leading = leading_shape(op, argument.type.shape)
    shape = np.broadcast_shapes(leading, granularity)
    low, high = least(argument.type.low, shape), greatest(argument.type.high, shape)
    start = np.broadcast_to(op.start.reshape(leading), shape)
    tables = np.broadcast_to(op.tables.reshape(*leading, -1), (*shape, op.tables.shape[-1]))
    *table, cell = np.nonzero(tables[..., 1:] != tables[..., :-1])
    at = tuple(table)
    changes = start[at] + cell + 1
    reached = (changes > low[at]) & (changes <= high[at])
    if not reached.any():
        return None
    numbers = np.broadcast_to(np.arange(int(np.prod(granularity))).reshape(granularity), shape)
    changes, constant = changes[reached], np.broadcast_to(numbers[at], cell.shape)[reached]
    origin = least(low, granularity)
    origin.flat[constant] = changes
    distances = int(np.bitwise_or.reduce(changes - origin.ravel()[constant]))
    low, high = least(low, granularity), greatest(high, granularity)
    return _Cells(low, high, changes, constant, origin, distances)


def _coarse(op: ops.Lookup, argument: Value, shift: IntArray, lsbs: int, within: int = 0) -> ops.Lookup:
    """Return the lookup with one cell for each multiple of ``2**lsbs`` of the argument less ``shift``.

    The first and the last cell may begin before the argument's interval or end after it. Each holds what is
    looked up ``within`` arguments from its beginning.
    """
    leading = leading_shape(op, argument.type.shape)
    shape = np.broadcast_shapes(leading, shift.shape)
    low, high = least(argument.type.low, shape), greatest(argument.type.high, shape)
    n_cells = (int((argument.type.high - shift).max()) >> lsbs) + 1
    cells = (np.arange(n_cells) << lsbs) + within
    reached = np.clip(cells + shift[..., None], low[..., None], high[..., None])
    start = op.start.reshape(leading)
    tables = read_tables(op.tables.reshape(*leading, -1), reached - start[..., None])
    return ops.Lookup(tables, np.zeros(tables.shape[:-1], dtype=np.int64), 1 << lsbs)
