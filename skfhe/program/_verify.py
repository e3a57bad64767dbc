"""Checks that a program is well formed; run after every pass."""

import numpy as np

from skfhe.program import ops
from skfhe.program._graph import Program
from skfhe.program._ranges import infer_type
from skfhe.program._tables import is_negacyclic

__all__ = ["verify"]


def verify(program: Program) -> None:
    """Check that ``program`` is a well-formed graph whose intervals hold.

    Residues are read by lookups of negacyclic tables alone; see `skfhe.program.ops.Modulo`. With proven
    ranges the stated interval of every value must contain the one that interval arithmetic derives;
    calibrated intervals may be tighter than that.

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
    _verify_residues(program)


def _verify_residues(program: Program) -> None:
    """Check that residues are read by lookups alone, whose tables suit them."""
    moduli = {at: value.op for at, value in enumerate(program.values) if isinstance(value.op, ops.Modulo)}
    for position, modulo in moduli.items():
        if position in program.outputs:
            raise ValueError(
                f"%{position} (Modulo, {program.values[position].label!r}) is an output; residues modulo "
                f"2**{modulo.n_bits} are read by lookups alone"
            )
        (read,) = program.values[position].arguments
        if isinstance(program.values[read].op, ops.Bound) and _is_rounded_before(program, read):
            raise ValueError(
                f"%{position} (Modulo, {program.values[position].label!r}) takes residues of a bound of what "
                "is rounded approximately; bound it before it is rounded"
            )
    for position, value in enumerate(program.values):
        for argument in moduli.keys() & set(value.arguments):
            n_bits = moduli[argument].n_bits
            where = f"%{position} ({type(value.op).__name__}, {value.label!r})"
            if not isinstance(value.op, ops.Lookup) or not is_negacyclic(value.op, n_bits):
                raise ValueError(
                    f"{where} reads %{argument}, residues "
                    f"modulo 2**{n_bits}; these are read by lookups alone, with a cell for each from 0 on, "
                    "and those of the second half those of the first with the other sign"
                )
            step = _rounded_to(program, program.values[argument].arguments[0])
            if value.op.step != step:
                raise ValueError(
                    f"{where} has a cell for each multiple of {value.op.step}, and reads %{argument}, "
                    f"residues of multiples of {step}"
                )


def _is_rounded_before(program: Program, position: int) -> bool:
    """Whether a value is one that was rounded approximately, whatever bounds are stated of it."""
    while isinstance(program.values[position].op, ops.Bound):
        (position,) = program.values[position].arguments
    return _rounded_to(program, position) > 1


def _rounded_to(program: Program, position: int) -> int:
    """Return what a value was rounded to multiples of, approximately."""
    op = program.values[position].op
    return 1 << op.lsbs if isinstance(op, ops.Round) and op.method == "approximate" else 1
