"""Give approximate rounding the bit that it may need near a tie.

Near a tie, approximate rounding may take the neighbouring multiple. Of the largest values, that can be the
next power of two, which their bits do not hold: the circle ends there, and a lookup would read the first cell
with the other sign. The engine guards against it where the interval says that such values are rounded up, and
not where they would have been rounded down. Where it does, what is rounded up to the power of two reads the
last cell below.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from skfhe._typing import IntArray
from skfhe.passes._rewriting import rewrite
from skfhe.program import IntegerType, Program, ProgramBuilder, bit_width, blocks, ops, read_tables

__all__ = ["protect_roundings"]


def protect_roundings(program: Program) -> Program:
    """Return ``program`` with what approximate rounding may reach near a tie as the engine takes it.

    Intervals whose bits do not hold a neighbour are stated to reach as far as is rounded up, so that the
    engine takes one more bit, or one lookup that cuts off what overflows. Cells of what overflows hold what
    the last one below does. What is a multiple already has no neighbour, and what was rounded to be counted
    modulo a power of two cannot leave its circle: this is for programs that have neither yet.

    Parameters
    ----------
    program : Program

    Returns
    -------
    Program
        Computes the same outputs, but for what is rounded up to a power of two that its bits do not hold.

    Examples
    --------
    >>> from skfhe.program import ProgramBuilder
    >>> builder = ProgramBuilder()
    >>> x = builder.input(np.zeros(1), np.full(1, 25), label="x")
    >>> h = builder.add(ops.Round(3, "approximate"), x, label="h")
    >>> h = builder.add(ops.Lookup(np.arange(4)[None], np.array([0]), 8), h, label="h")
    >>> print(protect_roundings(builder.finish(h)))
    %0 = Input()  x  (1,)  [0, 25] 5 bits
    %1 = Bound(%0)  h  (1,)  [0, 28] 5 bits
    %2 = Round(%1)  h  (1,)  [0, 32] 6 bits
    %3 = Lookup(%2)  h  (1,)  [0, 3] 2 bits (output)
    """
    overflowing = _overflowing(program)
    while overflowing:
        program = _protected(program, overflowing)
        overflowing = _overflowing(program)  # cells that are cut off may narrow what is rounded behind them
        widened = _to_be_widened(program, overflowing)
        if all(_is_guarded(program, at) for at in overflowing) and not widened:
            break
    return program


def _protected(program: Program, overflowing: set[int]) -> Program:
    """Return ``program`` with what stands at some positions held, if its intervals stay what they are."""
    widened = _to_be_widened(program, overflowing)

    def emit(builder: ProgramBuilder, position: int, arguments: tuple[int, ...]) -> int:
        value = program.values[position]
        op = value.op
        if isinstance(op, ops.Round):
            before = program.values[value.arguments[0]].type
            reached = None
            if position in overflowing and (position in widened or not _is_guarded(program, position)):
                reached = _reached(program, position, position in widened)
            elif builder.type_of(arguments[0]).bits <= op.lsbs < before.bits:  # what was cut off narrowed it
                reached = before.high
            if reached is not None:
                arguments = (builder.add(ops.Bound(before.low, reached), *arguments, label=value.label),)
        if isinstance(op, ops.Lookup):
            for rounded in overflowing & set(program.roundings_of(position)):
                limit = _limit(program.values[program.values[rounded].arguments[0]].type)
                op = _with_cells_up_to(op, limit, cut_off=rounded not in widened)
        if isinstance(op, ops.Bound) and value.arguments[0] in overflowing:
            return arguments[0]  # what it states of the rounded value holds no longer
        return builder.add(op, *arguments, label=value.label)

    return rewrite(program, emit)


def _reached(program: Program, position: int, widened: bool) -> IntArray:
    """Return how far the values that are rounded are to be stated to reach, element by element."""
    before = program.values[program.values[position].arguments[0]].type
    near = _neighbours(program, position) >= _limit(before)  # other elements stay where they are
    up_from = _limit(before) - (0 if widened else (1 << _lsbs(program, position)) // 2)
    return np.where(near, np.maximum(before.high, up_from), before.high)


def _to_be_widened(program: Program, overflowing: set[int]) -> set[int]:
    """Return those of some roundings whose values take one more bit, in place of a guard.

    Those whose values share ciphertexts with others that are rounded to other bits: the engine cannot guard
    them, and ends the process for want of a key (concrete-python 2.11,
    ``CircuitSolutionWrapper::lookupConversionKeyswitchKey``). And those of which an element is always rounded
    up to the power of two: it would never be read as what it is.
    """
    if not overflowing:
        return set()
    block_of = blocks(program)
    ways: dict[int, set[int]] = {}
    for at, value in enumerate(program.values):
        if isinstance(value.op, ops.Round) and value.op.method == "approximate":
            ways.setdefault(block_of[at], set()).add(value.op.lsbs)
    several = {at for at in overflowing if len(ways[block_of[at]]) > 1}
    return several | {at for at in overflowing if _always_overflows(program, at)}


def _always_overflows(program: Program, position: int) -> bool:
    value = program.values[position]
    return int(value.type.low.max(initial=0)) >= _limit(program.values[value.arguments[0]].type)


def _lsbs(program: Program, position: int) -> int:
    op = program.values[position].op
    assert isinstance(op, ops.Round)
    return op.lsbs


def _limit(before: IntegerType) -> int:
    """Return the power of two that the bits of a value end at."""
    return 1 << (before.bits - (before.min < 0))


def _overflowing(program: Program) -> set[int]:
    """Return the positions of what is rounded to what the bits before may not hold."""
    return {at for at in range(len(program.values)) if _overflows(program, at)}


def _is_guarded(program: Program, position: int) -> bool:
    """Whether the engine sees by the two intervals that a rounded value may need another bit.

    It keeps the sign: what is negative and rounded to 0 still takes a bit for it.
    """
    value = program.values[position]
    before = program.values[value.arguments[0]].type
    return bit_width(min(before.min, value.type.min), value.type.max) > before.bits


def _overflows(program: Program, position: int) -> bool:
    """Whether a value is rounded approximately, to what the bits before may not hold."""
    value = program.values[position]
    if not isinstance(value.op, ops.Round) or value.op.method == "exact":
        return False
    before = program.values[value.arguments[0]].type
    return int(_neighbours(program, position).max(initial=0)) >= _limit(before)


def _neighbours(program: Program, position: int) -> IntArray:
    """Return the greatest multiple that each element may be rounded to, near a tie the neighbouring one."""
    value = program.values[position]
    assert isinstance(value.op, ops.Round)
    before = program.values[value.arguments[0]].type
    return value.type.high + np.where(before.high > value.type.high, 1 << value.op.lsbs, 0)


def _with_cells_up_to(op: ops.Lookup, limit: int, cut_off: bool) -> ops.Lookup:
    """Return a lookup of what is at most ``limit``, where it reads its last cell if it has none there.

    With ``cut_off``, it reads the last one below it in any case.
    """
    start = op.start[..., None]
    cells = np.arange(int((limit - start).max()) // op.step + 1)
    last = (limit - start - 1) // op.step if cut_off else op.tables.shape[-1] - 1
    if not cut_off and len(cells) <= op.tables.shape[-1]:
        return op
    return replace(op, tables=read_tables(op.tables, np.minimum(cells, last)))
