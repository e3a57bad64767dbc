"""Move every accumulator that a lookup reads to start at zero.

An accumulator in [-9, 6] takes 5 bits in two's complement, and 4 bits once 9 is added: the width
then follows the length of the interval alone. The shift is a constant added to the bias, which costs
nothing, and the lookup undoes it.
"""

import numpy as np

from skfhe.program import ops
from skfhe.program.graph import Program
from skfhe.program.rewriting import readers, replace_ops

__all__ = ["shift_accumulators"]


def shift_accumulators(program: Program) -> Program:
    """Return ``program`` with the accumulators of lookups shifted to ``[0, high - low]``.

    Only where a linear layer is read by one lookup and nothing else, channel by channel.
    """
    reads = readers(program)
    replacements: dict[int, ops.Op] = {}
    for position in program.lookups:
        lookup = program.values[position]
        (source,) = lookup.arguments
        linear = program.values[source].op
        if not isinstance(linear, ops.Linear) or reads[source] != [position]:
            continue
        assert isinstance(lookup.op, ops.Lookup)
        interval = program.values[source].type
        channels = interval.shape[-1]
        low = interval.low.reshape(-1, channels).min(axis=0)
        replacements[source] = ops.Linear(linear.weight, linear.bias - low)
        replacements[position] = ops.Lookup(
            np.broadcast_to(lookup.op.tables, (channels, lookup.op.tables.shape[1])),
            np.broadcast_to(lookup.op.start, (channels,)) - low,
        )
    return replace_ops(program, replacements)
