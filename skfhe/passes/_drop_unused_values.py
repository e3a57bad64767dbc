"""Remove values that no output depends on. Inputs stay: the client sends them in any case."""

from skfhe.program import Program, ops, rebuild

__all__ = ["drop_unused_values"]


def drop_unused_values(program: Program) -> Program:
    """Return ``program`` without the values that no output reads, directly or through others."""
    used = set(program.outputs)
    for position in reversed(range(len(program.values))):
        value = program.values[position]
        if position in used:
            used.update(value.arguments)
        elif isinstance(value.op, ops.Input):
            used.add(position)
    return rebuild(program, sorted(used))
