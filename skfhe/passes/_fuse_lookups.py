"""Two lookups in a row are one: the second table read through the first."""

import numpy as np

from skfhe.passes._rewriting import readers, rewrite
from skfhe.program import Program, ProgramBuilder, is_negacyclic, ops, read_tables

__all__ = ["fuse_lookups"]


def fuse_lookups(program: Program) -> Program:
    """Return ``program`` with every lookup of a lookup's result fused into one lookup.

    The first lookup must have no other reader, or nothing would be saved. Chains of any length
    end as one. A lookup of residues stays apart from one that its table is not odd with.
    """
    reads = readers(program)
    fused: dict[int, ops.Lookup] = {}
    skipped: set[int] = set()
    for position in program.lookups:
        value = program.values[position]
        op = fused.get(position, value.op)
        if len(reads[position]) != 1 or reads[position][0] < 0:
            continue
        reader = reads[position][0]
        second = program.values[reader].op
        if isinstance(second, ops.Lookup):
            assert isinstance(op, ops.Lookup)
            composed = _compose(op, second)
            read = program.values[_first(program, position, skipped)]
            if isinstance(read.op, ops.Modulo) and not is_negacyclic(composed, read.op.n_bits):
                continue  # no lookup can be read by residues that is not odd
            fused[reader] = composed
            skipped.add(position)

    def emit(builder: ProgramBuilder, position: int, arguments: tuple[int, ...]) -> int:
        if position in skipped:
            return arguments[0]
        value = program.values[position]
        return builder.add(fused.get(position, value.op), *arguments, label=value.label)

    return rewrite(program, emit)


def _first(program: Program, position: int, skipped: set[int]) -> int:
    """Return the position of what the first lookup reads that is fused into the one at ``position``."""
    (argument,) = program.values[position].arguments
    return _first(program, argument, skipped) if argument in skipped else argument


def _compose(first: ops.Lookup, second: ops.Lookup) -> ops.Lookup:
    """Return the lookup that reads ``second`` at what ``first`` holds.

    Cells of the first table that no argument reaches may point outside the second; these read its ends, and
    stay unreached.
    """
    tables = read_tables(second.tables, (first.tables - second.start[..., None]) // second.step)
    return ops.Lookup(tables, np.broadcast_to(first.start, tables.shape[:-1]).copy(), first.step)
