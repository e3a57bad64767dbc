"""What is added up with wide values is as wide to the engine, and a lookup of it is refused by name."""

import numpy as np
import pytest

from skfhe.circuit import compile_program
from skfhe.cost import estimate_cost
from skfhe.exceptions import CompilationError
from skfhe.program import ProgramBuilder, ops


def with_a_wide_sum(weight):
    """A value of 2 bits, looked up, and multiplied for a sum that is rounded."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(1, dtype=np.int64), np.full(1, 3, dtype=np.int64), label="x")
    wide = builder.add(ops.Linear(np.array([[weight]]), np.zeros(1, dtype=np.int64)), x, label="wide")
    lsbs = int(3 * weight).bit_length() - 2
    rounded = builder.add(ops.Truncate(lsbs), wide, label="wide")
    start = np.zeros(1, dtype=np.int64)
    upper = builder.add(ops.Lookup(np.arange(4)[None], start, 1 << lsbs), rounded, label="upper")
    own = builder.add(ops.Lookup(np.array([[1, 0, 2, 0]]), start), x, label="own")
    return builder.finish(builder.add(ops.Add(), upper, own, label="both"))


def test_the_engine_refuses_what_is_said_to_be_refused():
    narrow, wide = with_a_wide_sum((1 << 14) - 1), with_a_wide_sum((1 << 16) - 1)
    assert estimate_cost(narrow).refusal is None
    assert "the lookup of 'own' reads 2 bits of a value that is also added up to 18 bits" in (
        estimate_cost(wide).refusal
    )
    with pytest.raises(CompilationError, match="also added up to 18 bits"):
        compile_program(wide)
