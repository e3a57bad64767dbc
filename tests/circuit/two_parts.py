"""A program of two parts, one of lookups and one without, whose keys are small."""

import numpy as np

from skfhe.program import Program, ProgramBuilder, ops


def two_parts(bits: int = 2, weight: int = 1) -> Program:
    """Build two inputs and two outputs, in another order than the parts that they are of."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(3), np.full(3, 2**bits - 1), label="x")
    z = builder.input(np.full(4, -3), np.full(4, 3), label="z")
    table = ops.Lookup(np.arange(2**bits)[None, ::-1].copy(), np.zeros(1, dtype=np.int64))
    looked_up = builder.add(table, x, label="lookup")
    linear = ops.Linear(weight * (np.arange(8).reshape(4, 2) - 3), np.arange(2))
    return builder.finish(builder.add(linear, z, label="linear"), looked_up)
