"""Checks that a program is well formed; run after every pass."""

import numpy as np

from skfhe.program._graph import Program
from skfhe.program._ranges import infer_type

__all__ = ["verify"]


def verify(program: Program) -> None:
    """Check that ``program`` is a well-formed graph whose intervals hold.

    With proven ranges the stated interval of every value must contain the one that interval
    arithmetic derives; calibrated intervals may be tighter than that.

    Raises
    ------
    ValueError
        Naming the value at fault.
    """
    if not program.outputs:
        raise ValueError("a program needs at least one output")
    for output in program.outputs:
        if not 0 <= output < len(program.values):
            raise ValueError(f"output %{output} is not a value of the program")
    for position, value in enumerate(program.values):
        where = f"%{position} ({type(value.op).__name__}, {value.label!r})"
        if any(not 0 <= a < position for a in value.arguments):
            raise ValueError(f"{where} uses a value that does not come before it")
        try:
            derived = infer_type(value.op, *(program.values[a].type for a in value.arguments))
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
        if derived.shape != value.type.shape:
            raise ValueError(f"{where} states shape {value.type.shape}, computes {derived.shape}")
        if program.range_source == "proven" and (
            np.any(value.type.low > derived.low) or np.any(value.type.high < derived.high)
        ):
            raise ValueError(f"{where} states an interval that its arguments can leave")
