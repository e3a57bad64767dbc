"""Compute once what is computed twice: equal operations on equal arguments."""

from dataclasses import fields

import numpy as np

from skfhe.passes._rewriting import rewrite
from skfhe.program import Program, ProgramBuilder, ops

__all__ = ["merge_equal_values"]


def _content(op: ops.Op) -> tuple:
    """Return what two equal operations have in common, hashable."""
    content: list = [type(op)]
    for field in fields(op):  # type: ignore[arg-type]
        value = getattr(op, field.name)
        content.append((value.shape, value.tobytes()) if isinstance(value, np.ndarray) else value)
    return tuple(content)


def merge_equal_values(program: Program) -> Program:
    """Return ``program`` with each distinct operation on the same arguments kept once.

    Two inputs stay two, equal as they may look.
    """
    seen: dict[tuple, int] = {}

    def emit(builder: ProgramBuilder, position: int, arguments: tuple[int, ...]) -> int:
        value = program.values[position]
        if isinstance(value.op, ops.Input):
            return builder.add(value.op, label=value.label)
        key = (_content(value.op), arguments)
        if key not in seen:
            seen[key] = builder.add(value.op, *arguments, label=value.label)
        return seen[key]

    return rewrite(program, emit)
