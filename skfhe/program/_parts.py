"""Cut a program into parts that share no value, and join programs to one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from skfhe.program._graph import Program, Value, rebuild

__all__ = ["Part", "independent_parts", "join"]


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


def join(programs: Sequence[Program]) -> Program:
    """Return one program that computes what several do, none of which reads another's values.

    Its inputs and outputs are theirs, one program's after another's. Its intervals are proven if all of
    theirs are.

    Parameters
    ----------
    programs : sequence of Program
        At least one.

    Returns
    -------
    Program

    Examples
    --------
    >>> import numpy as np
    >>> from skfhe.program import ProgramBuilder, ops, run
    >>> def doubled(label):
    ...     builder = ProgramBuilder()
    ...     x = builder.input(np.zeros(1), np.ones(1), label=label)
    ...     return builder.finish(builder.add(ops.Add(), x, x, label=label))
    >>> [y.tolist() for y in run(join([doubled("a"), doubled("b")]), np.array([[0]]), np.array([[1]]))]
    [[[0]], [[2]]]
    """
    values: list[Value] = []
    outputs: list[int] = []
    for program in programs:
        start = len(values)
        values += [replace(v, arguments=tuple(start + a for a in v.arguments)) for v in program.values]
        outputs += [start + output for output in program.outputs]
    proven = all(program.range_source == "proven" for program in programs)
    return Program(tuple(values), tuple(outputs), "proven" if proven else "calibrated")
