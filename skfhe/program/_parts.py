"""Cut a program into parts that share no value."""

from dataclasses import dataclass

from skfhe.program._graph import Program, rebuild

__all__ = ["Part", "independent_parts"]


@dataclass(frozen=True, eq=False)
class Part:
    """A part of a program that no other part reads.

    Parameters
    ----------
    program : Program
    inputs, outputs : tuple of int
        Which of the whole program's inputs and outputs the part's own are, counted from 0.
    values : tuple of int
        Positions that the part's values have in the whole program.
    """

    program: Program
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    values: tuple[int, ...]


def independent_parts(program: Program) -> list[Part]:
    """Return the parts of ``program``, in the order of their first values.

    What reaches no output is in none of them.

    Examples
    --------
    >>> import numpy as np
    >>> from skfhe.program import ProgramBuilder, ops
    >>> builder = ProgramBuilder()
    >>> x, y = (builder.input(np.zeros(2), np.ones(2), label=name) for name in "xy")
    >>> total = builder.add(ops.Sum(axis=0), y, label="sum")
    >>> [(part.inputs, part.outputs) for part in independent_parts(builder.finish(total, x))]
    [((0,), (1,)), ((1,), (0,))]
    """
    part_of = list(range(len(program.values)))  # each value's part, named by its first value

    def merge(a: int, b: int) -> None:
        first, second = sorted((part_of[a], part_of[b]))
        part_of[:] = [first if part == second else part for part in part_of]

    for position, value in enumerate(program.values):
        for argument in value.arguments:
            merge(argument, position)
    parts = []
    for name in dict.fromkeys(part_of):
        outputs = tuple(i for i, position in enumerate(program.outputs) if part_of[position] == name)
        if not outputs:
            continue
        members = [position for position, part in enumerate(part_of) if part == name]
        alone = Program(program.values, tuple(program.outputs[i] for i in outputs), program.range_source)
        inputs = tuple(i for i, position in enumerate(program.inputs) if part_of[position] == name)
        parts.append(Part(rebuild(alone, members), inputs, outputs, tuple(members)))
    return parts
