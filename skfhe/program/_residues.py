"""What an encrypted run has to keep of each value: all of it, or its residue modulo a power of two."""

from __future__ import annotations

from skfhe.program import ops
from skfhe.program._graph import Program
from skfhe.program._types import IntegerType

__all__ = ["declared_types", "is_approximate"]

_LINEAR = (
    *(ops.Linear, ops.Convolution, ops.Add, ops.Subtract, ops.Sum),
    *(ops.Reshape, ops.Gather, ops.Concatenate, ops.Bound),
)
"""Operations whose result modulo a number follows from their arguments modulo the same."""
_ALL = 64
"""Bits of a value that is needed as it is."""


def declared_types(program: Program) -> list[IntegerType]:
    """Return the type that an encrypted run declares of each value.

    It is the value's own, unless the value is read modulo ``2**n`` alone, straight away or after more sums:
    then its ciphertexts need no room for more than n bits, of which one is the sign of the circle's half. So
    it is declared as an unsigned integer of ``n - 1`` bits, whatever its interval.

    Parameters
    ----------
    program : Program

    Returns
    -------
    list of IntegerType

    Examples
    --------
    >>> import numpy as np
    >>> from skfhe.program import ProgramBuilder
    >>> builder = ProgramBuilder()
    >>> x = builder.input(np.zeros(40), np.ones(40), label="bits")
    >>> total = builder.add(ops.Sum(0), x, label="sum")
    >>> circle = builder.add(ops.Modulo(3), total, label="sum")
    >>> wave = np.array([[1, 2, 2, 1, -1, -2, -2, -1]])
    >>> y = builder.add(ops.Lookup(wave, np.array([0])), circle, label="wave")
    >>> [kind.bits for kind in declared_types(builder.finish(y))]
    [1, 2, 2, 3]
    """
    needed = [0] * len(program.values)
    for output in program.outputs:
        needed[output] = _ALL
    for position in reversed(range(len(program.values))):
        value = program.values[position]
        asks = needed[position] if isinstance(value.op, _LINEAR) or is_approximate(value.op) else _ALL
        if isinstance(value.op, ops.Modulo):
            asks = value.op.n_bits
        for argument in value.arguments:
            needed[argument] = max(needed[argument], asks)
    for position, value in enumerate(program.values):
        if isinstance(value.op, ops.Bound):  # the same ciphertexts, which others may need more of
            needed[position] = max(needed[position], needed[value.arguments[0]])
    found = []
    for value, n in zip(program.values, needed, strict=True):
        step = 1
        if isinstance(value.op, ops.Modulo):
            n = value.op.n_bits
            rounded = program.values[value.arguments[0]].op
            step = 1 << rounded.lsbs if is_approximate(rounded) else 1  # type: ignore[attr-defined]
        found.append(_declared(value.type, n, step))
    return found


def is_approximate(op: ops.Op) -> bool:
    """Whether an operation rounds, by what a lookup leaves out, so that it may go round the circle."""
    return isinstance(op, ops.Round) and op.method == "approximate"


def _declared(kind: IntegerType, n_bits: int, step: int) -> IntegerType:
    """Return the type of a value that counts modulo ``2**n_bits``; 0 if nothing reads it.

    What is rounded to multiples of ``step`` by its lookup ends with the last of them, lest the engine
    make room for one more.
    """
    if n_bits in (0, _ALL) or (kind.min >= 0 and kind.bits < n_bits):
        return kind
    return IntegerType.of(0, (1 << (n_bits - 1)) - step, kind.shape)
