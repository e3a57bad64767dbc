"""What the engine cannot evaluate, said before it is asked and in the program's own terms.

Errors raised here name the layer and its bits. What to change is up to whoever was called: only the caller
knows which parameters the user's call has, and adds them by `advising`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from skfhe.cost._rules import bits_read
from skfhe.exceptions import CompilationError
from skfhe.program import blocks, ops

if TYPE_CHECKING:
    from skfhe.program import Program

__all__ = ["MAX_CELLS", "MAX_LOOKUP_BITS", "advising", "check_limits", "explain", "refusal"]

MAX_LOOKUP_BITS = 16
"""Bits that the engine's widest lookup reads."""
MAX_CELLS = 1 << 26
"""Of the tables of one lookup, counted for each element of a row: the engine is given them one by one."""


def refusal(program: Program) -> str | None:
    """Return why the engine cannot evaluate ``program``, as far as it is known without asking it.

    Parameters
    ----------
    program : Program

    Returns
    -------
    str or None
        Names the layer and its bits. None says that the engine may be asked; it may still find no parameters.
    """
    block_bits = _block_bits(program)
    for position in program.lookups:
        value = program.values[position]
        bits = bits_read(program, position)
        (argument,) = value.arguments
        apart = program.roundings_of(position) or isinstance(program.values[argument].op, ops.Modulo)
        if not apart and bits <= MAX_LOOKUP_BITS < block_bits[argument]:
            return (
                f"the lookup of {value.label!r} reads {bits} bits of a value that is also added up to "
                f"{block_bits[argument]} bits, and the engine reads as many of both, {MAX_LOOKUP_BITS} at "
                "most"
            )
        if bits > MAX_LOOKUP_BITS:
            return (
                f"the lookup of {value.label!r} reads {bits} bits, and the engine takes at most "
                f"{MAX_LOOKUP_BITS}"
            )
        cells = value.type.size << bits
        if value.op.tables[..., 0].size > 1 and cells > MAX_CELLS:  # type: ignore[attr-defined]
            return (
                f"the lookup of {value.label!r} reads {bits} bits in tables of their own for each of its "
                f"{value.type.size} elements: {cells} cells, and the engine is given at most {MAX_CELLS}"
            )
    return None


def _block_bits(program: Program) -> list[int]:
    """Return the bits of the widest value that each is added up with: the engine gives all of them as many.

    What a lookup or rounding returns begins a block of its own.
    """
    block_of = blocks(program, (ops.Lookup, ops.Round, ops.Truncate, ops.Modulo))
    widest: dict[int, int] = {}
    for block, value in zip(block_of, program.values, strict=True):
        widest[block] = max(widest.get(block, 0), value.type.bits)
    return [widest[block] for block in block_of]


def check_limits(program: Program) -> None:
    """Raise a `CompilationError` if `refusal` knows a reason why ``program`` cannot be evaluated."""
    reason = refusal(program)
    if reason is not None:
        raise CompilationError(reason)


def explain(program: Program, error: RuntimeError, reason: str | None = None) -> str:
    """Say what the engine could not do in the program's own terms.

    Parameters
    ----------
    program : Program
    error : RuntimeError
        What the engine raised.
    reason : str, optional
        Why it found no parameters, where the cost model knows; otherwise the program's widths are said.

    Returns
    -------
    str
    """
    said = f"(the engine said: {_first_line(error)})"
    if reason is not None:
        return f"{reason} {said}"
    widths = zip(program.lookups, program.accumulator_bits, strict=True)
    bits, accumulator, label = max(
        ((bits_read(program, position), bits, program.values[position].label) for position, bits in widths),
        default=(0, 0, ""),
    )
    lookup = "it has no lookup"
    if bits:
        lookup = f"its widest lookup, {label!r}, reads {bits} bits"
        lookup += f" of an accumulator of {accumulator}, which is rounded first" if accumulator > bits else ""
    output = program.values[max(program.outputs, key=lambda position: program.values[position].type.bits)]
    return (
        f"the engine found no way to evaluate this program: {lookup}, and its widest output, "
        f"{output.label!r}, has {output.type.bits} bits {said}"
    )


def _first_line(error: RuntimeError) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


@contextmanager
def advising(advice: str) -> Iterator[None]:
    """Add what to change, in terms of the user's call, to a `CompilationError` that is raised inside.

    Parameters
    ----------
    advice : str
        An imperative, such as "lower n_bits"; nothing is added if it is empty.

    Examples
    --------
    >>> with advising("lower n_bits"):
    ...     raise CompilationError("the lookup of 'fc1' reads 17 bits")
    Traceback (most recent call last):
    ...
    skfhe.exceptions.CompilationError: the lookup of 'fc1' reads 17 bits; lower n_bits
    """
    try:
        yield
    except CompilationError as error:
        if not advice:
            raise
        raise CompilationError(f"{error}; {advice}") from error
