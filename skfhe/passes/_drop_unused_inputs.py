"""Leave out what no operation looks at: elements of an input that every reader weighs by zero."""

import numpy as np

from skfhe._typing import BoolArray
from skfhe.passes._rewriting import readers, rewrite
from skfhe.program import Program, ProgramBuilder, ops

__all__ = ["drop_unused_inputs"]


def drop_unused_inputs(program: Program) -> tuple[Program, list[BoolArray]]:
    """Return ``program`` without unused input elements, and which elements are left.

    It is not a pass, for the inputs change: whoever encodes them must leave out the same elements. An
    input that nothing reads, or anything but linear layers, is left whole; at least one element stays.

    Parameters
    ----------
    program : Program

    Returns
    -------
    program : Program
    kept : list of ndarray of bool
        For each input of the program, which elements are left.
    """
    reads = readers(program)
    kept: dict[int, BoolArray] = {}
    for position in program.inputs:
        mask = np.ones(program.values[position].type.shape, dtype=bool)
        found = [program.values[r].op if r >= 0 else None for r in reads[position]]
        linear = [op for op in found if isinstance(op, ops.Linear)]
        if mask.ndim == 1 and linear and len(linear) == len(found):
            mask = np.any([op.weight.any(axis=1) for op in linear], axis=0)
            mask[0] |= not mask.any()
        kept[position] = mask

    def emit(builder: ProgramBuilder, position: int, arguments: tuple[int, ...]) -> int:
        value = program.values[position]
        op = value.op
        if position in kept:
            mask = kept[position]
            return builder.input(value.type.low[mask], value.type.high[mask], label=value.label)
        if isinstance(op, ops.Linear) and value.arguments[0] in kept:
            op = ops.Linear(op.weight[kept[value.arguments[0]]], op.bias)
        return builder.add(op, *arguments, label=value.label)

    return rewrite(program, emit), [kept[position] for position in program.inputs]
