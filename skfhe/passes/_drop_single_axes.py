"""Drop leading axes of length 1: they hold nothing of their own, and other passes look at the first axis."""

from dataclasses import replace

from skfhe._typing import Array
from skfhe.program import Program, ProgramBuilder, ops

__all__ = ["drop_single_axes"]


def drop_single_axes(program: Program) -> Program:
    """Return ``program`` with every reshape left out that only adds or removes leading axes of length 1.

    What reads the value is applied to the shape it has without them. Inputs and outputs keep their shapes,
    and convolutions theirs.
    """
    if not any(isinstance(value.op, ops.Reshape) for value in program.values):
        return program
    builder = ProgramBuilder()
    translated: list[int] = []
    for position, value in enumerate(program.values):
        translated.append(_emit(program, builder, position, tuple(translated[a] for a in value.arguments)))
    outputs = [
        _shaped(builder, translated[output], program.values[output].type.shape, program.values[output].label)
        for output in program.outputs
    ]
    return builder.finish(*outputs, range_source=program.range_source)


def _core(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a shape without leading axes of length 1; the last axis stays."""
    while len(shape) > 1 and shape[0] == 1:
        shape = shape[1:]
    return shape


def _shaped(builder: ProgramBuilder, position: int, shape: tuple[int, ...], label: str) -> int:
    if builder.type_of(position).shape == shape:
        return position
    return builder.add(ops.Reshape(shape), position, label=label)


def _emit(program: Program, builder: ProgramBuilder, position: int, arguments: tuple[int, ...]) -> int:
    value = program.values[position]
    op, label = value.op, value.label
    if isinstance(op, ops.Reshape):
        (argument,) = arguments
        wanted = _core(op.shape)
        if _core(builder.type_of(argument).shape) == wanted:
            return argument
        return builder.add(ops.Reshape(wanted), argument, label=label)
    before = [program.values[a].type.shape for a in value.arguments]
    changed = _without(op, before, [builder.type_of(a).shape for a in arguments])
    if changed is None:
        changed = op
        arguments = tuple(
            _shaped(builder, a, shape, label) for a, shape in zip(arguments, before, strict=True)
        )
    return builder.add(changed, *arguments, label=label)


def _without(op: ops.Op, before: list[tuple[int, ...]], now: list[tuple[int, ...]]) -> ops.Op | None:
    """Return an operation for arguments of other shapes; None if it has to have them as they were."""
    dropped = {len(old) - len(new) for old, new in zip(before, now, strict=True)}
    if dropped <= {0}:
        return op
    if len(dropped) > 1 or isinstance(op, ops.Convolution):
        return None
    (n_dropped,) = dropped
    if isinstance(op, ops.Sum | ops.Gather | ops.Concatenate):
        axis = op.axis % len(before[0]) - n_dropped
        return None if axis < 0 else replace(op, axis=axis)
    if isinstance(op, ops.Bound):
        return ops.Bound(*(_fitted(array, len(now[0])) for array in (op.low, op.high)))
    if isinstance(op, ops.Lookup):
        n_axes = len(now[0])
        return replace(op, tables=_fitted(op.tables, n_axes + 1), start=_fitted(op.start, n_axes))
    return op


def _fitted(array: Array, n_axes: int) -> Array:
    """Return an array without the leading axes that a row does not have."""
    return array.reshape(array.shape[max(0, array.ndim - n_axes) :])
