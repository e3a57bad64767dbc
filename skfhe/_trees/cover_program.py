"""From trees to a program."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from skfhe._trees.answers import LevelAnswers
from skfhe._trees.cover import Index
from skfhe._trees.cover_plan import CoverPlan
from skfhe._trees.ensemble_cover import gate_levels, piece_table
from skfhe._typing import IntArray
from skfhe.passes import optimize
from skfhe.program import Program, ProgramBuilder, bit_width, ops

__all__ = ["lower_plan", "used_splits"]


ONE_PRODUCT = 1 << 20
"""Weights up to which all indices of a layer are one product."""
BLOCK = 1 << 16
"""Weights of each of several products."""
FEW_RESULTS = 8
"""Results of each of several sums, where each result adds few values."""
NONE: frozenset[int] = frozenset()


def used_splits(plan: CoverPlan) -> IntArray:
    """Return the numbers of the splits that some lookup reads, ascending; the first if none is."""
    indices = [*plan.cover.gates, *(index for _, index in plan.cover.pieces)]
    used = sorted({at for index in indices for at, _ in _terms(index, 0) if at >= 0})
    return np.array(used or [0], dtype=np.int64)


def lower_plan(plan: CoverPlan, levels: LevelAnswers | None = None) -> Program:
    """Return the program of a plan.

    Its input are the answers to `used_splits`, in this order, or the bits of levels that answer them. Its
    output are the sums of the leaf values' integers, less ``plan.grid.least``, as many times doubled as the
    cover says, or of their digits.

    Parameters
    ----------
    plan : CoverPlan
    levels : LevelAnswers, optional
        How the used splits are answered, if they ask about levels.

    Returns
    -------
    Program
    """
    cover = plan.cover
    builder = ProgramBuilder()
    splits = used_splits(plan)
    if levels is None:
        bits, signed = builder.input(np.zeros(len(splits)), np.ones(len(splits)), label="splits"), NONE
    else:
        bits, signed = levels.append(builder)

    column = {int(split): position for position, split in enumerate(splits)}
    known = bits  # bits, then the gates answered so far
    for level in gate_levels(cover.gates):
        indices = [cover.gates[gate] for gate in level]
        closed = np.ones((len(level), 1 << cover.n_bits), dtype=np.int64)
        closed[:, 0] = 0
        answers = _lookup(builder, known, indices, column, closed, "gates", signed)
        for gate in level:
            column[-1 - gate] = len(column)
        known = builder.add(ops.Concatenate(axis=0), known, answers, label="gates")

    values, weight, offset, span = _summands(plan, builder, known, column, signed)
    sums = _sums(builder, values, weight, offset)
    scores = builder.add(ops.Bound(0, np.maximum(1, span)), sums, label="scores")
    return optimize(builder.finish(scores))


def _summands(
    plan: CoverPlan, builder: ProgramBuilder, known: int, column: dict[int, int], signed: frozenset[int]
) -> tuple[int, IntArray, IntArray, IntArray]:
    """Append what results are sums of; return it, their weights and offsets, and how large they can be."""
    cover, read = plan.cover, plan.indicators
    if read is not None:
        values = _lookup(builder, known, read.indices, column, read.tables, "leaves", signed)
        return values, read.weight, read.offset, read.span
    offset, span = _offset(plan), plan.grid.span << cover.doublings
    if cover.n_bits:
        tables, weight = _tables(plan, offset)
        indices = [index for _, index in cover.pieces]
        values = _lookup(builder, known, indices, column, tables, "leaves", signed)
        return values, weight, offset, span
    assert not signed, "what needs no lookup is sent by a bit for each boundary"
    weight = np.zeros((len(column), len(plan.outputs)), dtype=np.int64)
    _add_linear(plan, column, weight, offset)
    return known, weight, offset, span


def _sums(builder: ProgramBuilder, values: int, weight: IntArray, offset: IntArray) -> int:
    """Append sums: one product, or, where many results each add few of many values, several."""
    runs = [slice(at, at + FEW_RESULTS) for at in range(0, weight.shape[1], FEW_RESULTS)]
    added = [np.flatnonzero(weight[:, run].any(axis=1)) for run in runs]
    if weight.size <= ONE_PRODUCT or 2 * FEW_RESULTS * sum(map(len, added)) > weight.size:
        return builder.add(ops.Linear(weight, offset), values, label="scores")
    products = []
    for run, rows in zip(runs, added, strict=True):
        read = rows if len(rows) else np.zeros(1, dtype=np.int64)
        taken = builder.add(ops.Gather(read, axis=0), values, label="scores")
        products.append(builder.add(ops.Linear(weight[read, run], offset[run]), taken, label="scores"))
    return builder.add(ops.Concatenate(0), *products, label="scores")


def _offset(plan: CoverPlan) -> IntArray:
    """Sum of the values that the pieces are relative to, and of what is added to them, for each output."""
    values, doublings = plan.grid.values, plan.cover.doublings
    sums = np.array([values[numbers].sum() for numbers in plan.cover.offsets]) - plan.grid.least
    sums <<= doublings
    for (output, _), pieces in plan.cover.pieces.items():
        for piece in pieces:
            if piece.added is not None:
                first, second = piece.added
                sums[output] += (values[first] - values[second]) << (doublings - piece.doublings)
    return sums


def _tables(plan: CoverPlan, offset: IntArray) -> tuple[IntArray, IntArray]:
    """Table of each index, and the output that it adds to as a weight of 1.

    Where they take more bits with their signs than the sums do, they are from their least on, which is added
    to the offset.
    """
    cover, doublings = plan.cover, plan.cover.doublings
    tables = np.zeros((len(cover.pieces), 1 << cover.n_bits), dtype=np.int64)
    weight = np.zeros((len(cover.pieces), len(plan.outputs)), dtype=np.int64)
    for position, ((output, _), pieces) in enumerate(cover.pieces.items()):
        table = piece_table(pieces, plan.grid.values, doublings)
        tables[position, : len(table)] = table
        weight[position, output] = 1
    summed = bit_width(0, int(plan.grid.span.max() << doublings))
    if bit_width(int(tables.min()), int(tables.max())) > summed:
        for position, (output, index) in enumerate(cover.pieces):
            if not index.signs and index.size <= tables.shape[1]:
                read = tables[position, : index.size]
                offset[output] += read.min()
                read -= read.min()
    return tables, weight


def _add_linear(plan: CoverPlan, column: dict[int, int], weight: IntArray, offset: IntArray) -> None:
    """Add pieces that read ranks: from each rank to the next, a table rises by the weight of a split."""
    for (output, index), pieces in plan.cover.pieces.items():
        table = piece_table(pieces, plan.grid.values)
        offset[output] += table[0]
        for (split, _), rise in zip(index.weights, np.diff(table), strict=True):
            weight[column[split], output] += rise


def _lookup(
    builder: ProgramBuilder,
    known: int,
    indices: Sequence[Index],
    column: dict[int, int],
    tables: IntArray,
    label: str,
    signed: frozenset[int] = NONE,
) -> int:
    """Append the lookups of ``tables`` at ``indices``; signs take the second half of the circle.

    Columns ``signed`` hold -1 in place of 0. Indices of these are summed twice as large, and rounding takes
    the last bit off again. It never rounds, for what it reads is even.
    """
    linear = _indices(builder, known, indices, column, label, tables.shape[1], signed)
    start = np.zeros(len(indices), dtype=np.int64)
    if any(index.signs or index.size > tables.shape[1] for index in indices):
        circle = np.concatenate([tables, -tables], axis=1)
        if signed:  # there is no bit to spare that rounding could take off
            circle = np.repeat(circle, 2, axis=1)
        read = builder.add(ops.Modulo(circle.shape[1].bit_length() - 1), linear, label=label)
        return builder.add(ops.Lookup(circle, start), read, label=label)
    step = 2 if signed else 1
    # The bits of a chain never rise along it, which interval arithmetic cannot know. Equal widths make one
    # key set.
    read = builder.add(ops.Bound(0, step * (tables.shape[1] - 1)), linear, label=label)
    if signed:
        read = builder.add(ops.Round(1, "approximate"), read, label=label)
    return builder.add(ops.Lookup(tables, start, step), read, label=label)


def _terms(index: Index, half: int) -> Iterator[tuple[int, int]]:
    """Yield what an index reads with its weights; a sign's is the half of the circle."""
    yield from index.weights
    yield from ((split, half) for split in index.signs)


def _indices(
    builder: ProgramBuilder,
    known: int,
    indices: Sequence[Index],
    column: dict[int, int],
    label: str,
    half: int,
    signed: frozenset[int],
) -> int:
    """Append what lookups read: one product, or, for many indices that each read little, several."""
    selective = builder.type_of(known).size * len(indices) > ONE_PRODUCT
    blocks = _blocks(indices) if selective else [indices]
    products = []
    for block in blocks:
        read, at = known, column
        if selective:
            used = sorted({column[term] for index in block for term, _ in _terms(index, half)})
            read = builder.add(ops.Gather(np.array(used, dtype=np.int64), axis=0), known, label=label)
            place = {position: number for number, position in enumerate(used)}
            at = {term: place[column[term]] for index in block for term, _ in _terms(index, half)}
        weight = np.zeros((builder.type_of(read).size, len(block)), dtype=np.int16)
        offset = np.array([index.offset for index in block], dtype=np.int64) * (2 if signed else 1)
        for position, index in enumerate(block):
            for term, factor in _terms(index, half):
                if column[term] in signed:  # twice an answer is one more than its sign
                    offset[position] += factor
                    weight[at[term], position] = factor
                else:
                    weight[at[term], position] = 2 * factor if signed else factor
        products.append(builder.add(ops.Linear(weight, offset), read, label=label))
    return products[0] if len(products) == 1 else builder.add(ops.Concatenate(0), *products, label=label)


def _blocks(indices: Sequence[Index]) -> Sequence[Sequence[Index]]:
    """Split indices into runs, those of one tree or a few, whose products have few weights that are zero."""
    blocks: list[list[Index]] = [[]]
    used: set[int] = set()
    for index in indices:
        used |= {term for term, _ in _terms(index, 0)}
        if blocks[-1] and len(used) * (len(blocks[-1]) + 1) > BLOCK:
            blocks.append([])
            used = {term for term, _ in _terms(index, 0)}
        blocks[-1].append(index)
    return blocks
