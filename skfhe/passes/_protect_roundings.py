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
        several = _rounded_in_several_ways(program, overflowing)
        if all(_is_guarded(program, at) for at in overflowing) and not several:
            break
    return program


def _protected(program: Program, overflowing: set[int]) -> Program:
    """Return ``program`` with what stands at some positions held, if its intervals stay what they are."""
    several = _rounded_in_several_ways(program, overflowing)

    def emit(builder: ProgramBuilder, position: int, arguments: tuple[int, ...]) -> int:
        value = program.values[position]
        op = value.op
        if position in overflowing:
            (source,) = value.arguments
            before = program.values[source].type
            if position in several or not _is_guarded(program, position):
                assert isinstance(op, ops.Round)
                near = _neighbours(program, position) >= _limit(before)  # other elements stay where they are
                up_from = _limit(before) - (0 if position in several else (1 << op.lsbs) // 2)
                rounded_up = np.maximum(before.high, up_from)
                reached = np.where(near, rounded_up, before.high)
                arguments = (builder.add(ops.Bound(before.low, reached), *arguments, label=value.label),)
        if isinstance(op, ops.Lookup):
            for rounded in overflowing & set(program.roundings_of(position)):
                op = _cut_off(op, _limit(program.values[program.values[rounded].arguments[0]].type))
        if isinstance(op, ops.Bound) and value.arguments[0] in overflowing:
            return arguments[0]  # what it states of the rounded value holds no longer
        return builder.add(op, *arguments, label=value.label)

    return rewrite(program, emit)


def _rounded_in_several_ways(program: Program, overflowing: set[int]) -> set[int]:
    """Return those of some roundings whose values share ciphertexts with others that are rounded otherwise.

    The engine cannot guard both: it ends the process for want of a key (concrete-python 2.11,
    ``CircuitSolutionWrapper::lookupConversionKeyswitchKey``). Such values take one more bit, which needs no
    guard.
    """
    if len(overflowing) < 2:
        return set()
    block_of = blocks(program)
    ways: dict[int, set[int]] = {}
    for at in overflowing:
        ways.setdefault(block_of[at], set()).add(_lsbs(program, at))
    return {at for at in overflowing if len(ways[block_of[at]]) > 1}


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


def _cut_off(op: ops.Lookup, limit: int) -> ops.Lookup:
    """Return a lookup of what is less than ``limit``, which reads its last cell from there on."""
    start = op.start[..., None]
    cells = np.arange(int((limit - start).max()) // op.step + 1)
    read = np.minimum(cells, (limit - start - 1) // op.step)
    return replace(op, tables=read_tables(op.tables, read))
