"""Move every value that a lookup reads to start at zero.

An accumulator in [-9, 6] takes 5 bits in two's complement, and 4 bits once 9 is added: the width
then follows the length of the interval alone. The shift is a constant added to the bias of a linear layer or
a convolution, or to the results of another lookup, which costs nothing, and the lookup undoes it.
"""

from skfhe.passes._rewriting import readers, replace_ops
from skfhe.passes._shifting import find_shiftable, least
from skfhe.program import Program, ops

__all__ = ["shift_accumulators"]


def shift_accumulators(program: Program) -> Program:
    """Return ``program`` with the arguments of lookups shifted to ``[0, high - low]``.

    Where a linear layer, a convolution or a lookup is read by one lookup and nothing else, directly or
    through bounds, sums and differences that nothing else reads. There is one shift for each element of the
    bias, or for each table: the least lower end that any element of the argument has. Through rounding, the
    shift is the next lower multiple of what is rounded to, if at least two of them are reached then.
    """
    reads = readers(program)
    replacements: dict[int, ops.Op] = {}
    for position in program.lookups:
        (argument,) = program.values[position].arguments
        found = find_shiftable(program, reads, position)
        if found is None:
            continue
        shift = least(program.values[argument].type.low, found.granularity) // found.multiple * found.multiple
        reached = int((program.values[argument].type.high - shift).max())
        if shift.any() and (found.multiple == 1 or reached >= 2 * found.multiple):
            found.shift(program, replacements, shift)
    return replace_ops(program, replacements)
