"""Lookups of several tables as lookups of one table each."""

import numpy as np

from skfhe.program import Program, ProgramBuilder, is_approximate, ops, table_numbers

__all__ = ["with_tables_apart"]


def with_tables_apart(program: Program) -> Program:
    """Return ``program`` with a lookup for each table of what is rounded approximately.

    Where a value shares a block of more bits, the engine cuts a table to the integers that rounding leaves,
    and cannot if elements have tables of their own (concrete-python 2.11, ``Converter.tlu``). Results are the
    same, and so is the number of lookups; elements of one table are evaluated together.
    """
    builder = ProgramBuilder()
    positions: list[int] = []
    for value in program.values:
        arguments = tuple(positions[a] for a in value.arguments)
        read = program.values[value.arguments[0]] if value.arguments else None
        if isinstance(value.op, ops.Lookup) and read is not None and is_approximate(read.op):
            unrounded = positions[read.arguments[0]]
            apart = _apart(builder, value.op, read.op, unrounded, read.type.shape, value.label)
            if apart is not None:
                positions.append(apart)
                continue
        positions.append(builder.add(value.op, *arguments, label=value.label))
    return builder.finish(*(positions[o] for o in program.outputs), range_source=program.range_source)


def _apart(
    builder: ProgramBuilder, op: ops.Lookup, rounding: ops.Op, x: int, shape: tuple[int, ...], label: str
) -> int | None:
    """Append lookups of one table each, of what ``x`` is rounded to; None if there is one table alone."""
    cells = op.tables.reshape(-1, op.tables.shape[-1])
    described = np.concatenate([cells, op.start.reshape(-1, 1)], axis=1)
    first, same = np.unique(described, axis=0, return_index=True, return_inverse=True)[1:]
    if len(first) < 2:
        return None
    numbers = same.ravel()[table_numbers(op, shape).ravel()]
    flat = builder.add(ops.Reshape((numbers.size,)), x, label=label)
    order = []
    parts = []
    for number, index in enumerate(first):
        elements = np.flatnonzero(numbers == number)
        if not len(elements):
            continue
        order.append(elements)
        taken = builder.add(ops.Gather(elements, 0), flat, label=label)
        one = ops.Lookup(cells[index][None], op.start.reshape(-1)[index : index + 1], op.step)
        taken = _with_bits_left(builder, taken, one, label)
        parts.append(builder.add(one, builder.add(rounding, taken, label=label), label=label))
    joined = builder.add(ops.Concatenate(0), *parts, label=label) if len(parts) > 1 else parts[0]
    back = np.argsort(np.concatenate(order)).astype(np.int64)
    return builder.add(ops.Reshape(shape), builder.add(ops.Gather(back, 0), joined, label=label), label=label)


def _with_bits_left(builder: ProgramBuilder, x: int, op: ops.Lookup, label: str) -> int:
    """Return what is rounded for a lookup, stated to reach so far that rounding leaves bits.

    Elements of one table may take fewer integers than a cell stands for, where others take many.
    """
    found = builder.type_of(x)
    last = int(op.start[0]) + (op.tables.shape[-1] - 1) * op.step
    if found.bits >= op.step.bit_length() or found.max >= last:
        return x
    return builder.add(ops.Bound(found.low, np.full_like(found.high, last)), x, label=label)
