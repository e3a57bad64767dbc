"""Round wide accumulators before they are looked up.

A lookup's cost grows with the bits it reads. Rounding an accumulator to its top ``n_bits`` bits first
makes the lookup cheap; the table is then read at the middle of each cell, or at the nearest position that
the accumulator reaches: beyond its interval a table may hold anything, and would widen what comes after.
"""

import numpy as np

from skfhe._typing import RoundingMethod
from skfhe.passes._rewriting import rewrite
from skfhe.passes._shifting import greatest, least
from skfhe.program import IntegerType, Program, ProgramBuilder, leading_shape, ops, read_tables

__all__ = ["round_lookups"]


def round_lookups(program: Program, n_bits: int, method: RoundingMethod = "exact") -> Program:
    """Return ``program`` with accumulators wider than ``n_bits`` rounded before their lookup.

    Parameters
    ----------
    program : Program
    n_bits : int
        Bits kept in front of every lookup.
    method : {"exact", "approximate"}, default="exact"
        Exact rounding costs a bootstrap a removed bit; approximate rounding costs none and may take the
        neighbouring cell near a tie.

    Returns
    -------
    Program
    """

    def emit(builder: ProgramBuilder, position: int, arguments: tuple[int, ...]) -> int:
        value = program.values[position]
        if isinstance(value.op, ops.Lookup) and value.op.step == 1:
            lsbs = builder.type_of(arguments[0]).bits - n_bits
            if lsbs > 0:
                rounded = builder.add(ops.Round(lsbs, method), arguments[0], label=f"{value.label} (rounded)")
                reached = program.values[value.arguments[0]].type
                widened = _at_multiples(value.op, builder.type_of(rounded), reached, lsbs)
                return builder.add(widened, rounded, label=value.label)
        return builder.add(value.op, *arguments, label=value.label)

    return rewrite(program, emit)


def _at_multiples(op: ops.Lookup, rounded: IntegerType, reached: IntegerType, lsbs: int) -> ops.Lookup:
    """Return ``op`` with a cell for each multiple of ``2**lsbs`` in ``rounded``.

    Each is read where what reads it is ``reached``.
    """
    leading = leading_shape(op, reached.shape)
    shared = (*[1] * (len(reached.shape) - len(leading)), *leading)
    low, high = (
        f(end, shared).reshape(op.start.shape) for f, end in ((least, reached.low), (greatest, reached.high))
    )
    multiples = np.arange(rounded.min, rounded.max + 1, 1 << lsbs)
    tables = read_tables(op.tables, np.clip(multiples, low[..., None], high[..., None]) - op.start[..., None])
    return ops.Lookup(tables, np.full_like(op.start, rounded.min), 1 << lsbs)
