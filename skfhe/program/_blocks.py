"""Values that the engine holds in ciphertexts of one form, because they are added up."""

from skfhe.program import ops
from skfhe.program._graph import Program

__all__ = ["blocks"]


def blocks(program: Program, begin: type[ops.Op] | tuple[type[ops.Op], ...] = ops.Lookup) -> list[int]:
    """Return the block that each value belongs to, as the position of the first value of that.

    Whatever is made of a value by operations that are no lookups is in its block.

    Parameters
    ----------
    program : Program
    begin : type or tuple of type, default=Lookup
        Operations whose result is not in the block of their argument.

    Returns
    -------
    list of int

    Examples
    --------
    >>> import numpy as np
    >>> from skfhe.program import ProgramBuilder
    >>> builder = ProgramBuilder()
    >>> x = builder.input(np.zeros(2), np.full(2, 3), label="x")
    >>> y = builder.add(ops.Add(), x, x, label="y")
    >>> z = builder.add(ops.Lookup(np.arange(7)[None], np.array([0])), y, label="z")
    >>> blocks(builder.finish(z))
    [0, 0, 2]
    """
    block = list(range(len(program.values)))

    def first(position: int) -> int:
        while block[position] != position:
            block[position] = block[block[position]]
            position = block[position]
        return position

    for position, value in enumerate(program.values):
        if not isinstance(value.op, begin):
            for argument in value.arguments:
                one, other = sorted((first(argument), first(position)))
                block[other] = one
    return [first(position) for position in range(len(program.values))]
