"""Drop neurons that say nothing: a lookup that is constant over its range, or that nobody weighs.

Between two linear layers, a channel whose lookup returns one value for every input that can
occur is a constant: it moves into the next bias. A channel whose outgoing weights are all zero has
no effect. Either way its lookups are saved.
"""

from dataclasses import replace

import numpy as np

from skfhe.program import ops
from skfhe.program.graph import Program
from skfhe.program.rewriting import readers, replace_ops

__all__ = ["drop_idle_channels"]


def drop_idle_channels(program: Program) -> Program:
    """Return ``program`` without idle channels in every linear–lookup–linear chain.

    The last channel of a chain is kept even if it is idle, so that shapes never become empty.
    """
    reads = readers(program)
    replacements: dict[int, ops.Op] = {}
    for position in program.lookups:
        lookup = program.values[position]
        (source,) = lookup.arguments
        if len(reads[position]) != 1 or reads[position][0] < 0 or reads[source] != [position]:
            continue
        reader = reads[position][0]
        before = replacements.get(source, program.values[source].op)
        after = replacements.get(reader, program.values[reader].op)
        if not (isinstance(before, ops.Linear) and isinstance(after, ops.Linear)):
            continue
        if len(lookup.type.shape) != 1:
            continue
        assert isinstance(lookup.op, ops.Lookup)
        constant = lookup.type.low == lookup.type.high
        keep = ~(constant | ~after.weight.any(axis=1))
        keep[0] |= not keep.any()
        if keep.all():
            continue
        folded = np.where(keep | ~constant, 0, lookup.type.low)
        replacements[source] = ops.Linear(before.weight[:, keep], before.bias[keep])
        if lookup.op.start.size > 1:
            replacements[position] = replace(
                lookup.op, tables=lookup.op.tables[keep], start=lookup.op.start[keep]
            )
        replacements[reader] = ops.Linear(after.weight[keep], after.bias + folded @ after.weight)
    return replace_ops(program, replacements)
