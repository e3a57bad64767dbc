"""What passes share: finding the single reader of a value, and rebuilding with replacements."""

from collections.abc import Callable

from skfhe.program import Program, ProgramBuilder, ops

__all__ = ["readers", "replace_ops", "rewrite"]


def readers(program: Program) -> list[list[int]]:
    """Return, for each value, the positions that read it; an output counts as a reader ``-1``."""
    found: list[list[int]] = [[] for _ in program.values]
    for position, value in enumerate(program.values):
        for argument in value.arguments:
            found[argument].append(position)
    for output in program.outputs:
        found[output].append(-1)
    return found


def replace_ops(program: Program, replacements: dict[int, ops.Op]) -> Program:
    """Return ``program`` with the operations at some positions replaced, and types inferred anew."""
    return rewrite(
        program,
        lambda builder, position, arguments: builder.add(
            replacements.get(position, program.values[position].op),
            *arguments,
            label=program.values[position].label,
        ),
    )


def rewrite(program: Program, emit: Callable[[ProgramBuilder, int, tuple[int, ...]], int]) -> Program:
    """Build a program value by value.

    ``emit(builder, position, arguments)`` appends what stands for the value at ``position``, whose
    arguments are already translated, and returns the position of the result.
    """
    builder = ProgramBuilder()
    translated: list[int] = []
    for position, value in enumerate(program.values):
        translated.append(emit(builder, position, tuple(translated[a] for a in value.arguments)))
    return builder.finish(
        *(translated[output] for output in program.outputs), range_source=program.range_source
    )
