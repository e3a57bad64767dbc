"""From trees to a program."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from skfhe._trees.cover import Index
from skfhe._trees.cover_plan import CoverPlan
from skfhe._trees.ensemble_cover import gate_levels, piece_table
from skfhe._typing import IntArray
from skfhe.passes import optimize
from skfhe.program import Program, ProgramBuilder, bit_width, ops

__all__ = ["Comparisons", "lower_plan", "used_splits"]


ONE_PRODUCT = 1 << 20
"""Weights up to which all indices of a layer are one product."""
BLOCK = 1 << 16
"""Weights of each of several products."""


@dataclass(frozen=True, eq=False)
class Comparisons:
    """Splits answered under encryption, from quantized features.

    Parameters
    ----------
    n_bits : int
        Bits of each input.
    inputs : ndarray of int64, shape (n_splits,)
        Which input answers each split.
    tables : ndarray of int64, shape (n_splits, 2**n_bits)
        The split's answer for each value of that input.
    n_inputs : int
        All inputs.
    """

    n_bits: int
    inputs: IntArray
    tables: IntArray
    n_inputs: int


def used_splits(plan: CoverPlan) -> IntArray:
    """Return the numbers of the splits that some lookup reads, ascending; the first if none is."""
    indices = [*plan.cover.gates, *(index for _, index in plan.cover.pieces)]
    used = sorted({at for index in indices for at, _ in _terms(index, 0) if at >= 0})
    return np.array(used or [0], dtype=np.int64)


def lower_plan(plan: CoverPlan, comparisons: Comparisons | None = None) -> Program:
    """Return the program of a plan.

    Its input are the answers to `used_splits`, in this order, or the counts that are compared. Its output
    are the sums of the leaf values' integers, less ``plan.grid.least``, as many times doubled as the cover
    says.

    Parameters
    ----------
    plan : CoverPlan
    comparisons : Comparisons, optional
        How the used splits are answered under encryption.

    Returns
    -------
    Program
    """
    cover, grid = plan.cover, plan.grid
    builder = ProgramBuilder()
    splits = used_splits(plan)
    if comparisons is None:
        bits = builder.input(np.zeros(len(splits)), np.ones(len(splits)), label="splits")
    else:
        lowest = np.zeros(comparisons.n_inputs)
        sent = builder.input(lowest, lowest + (1 << comparisons.n_bits) - 1, label="features")
        compared = builder.add(ops.Gather(comparisons.inputs, axis=0), sent, label="comparisons")
        start = np.zeros(len(splits), dtype=np.int64)
        bits = builder.add(ops.Lookup(comparisons.tables, start), compared, label="comparisons")

    column = {int(split): position for position, split in enumerate(splits)}
    known = bits  # bits, then the gates answered so far
    for level in gate_levels(cover.gates):
        indices = [cover.gates[gate] for gate in level]
        closed = np.ones((len(level), 1 << cover.n_bits), dtype=np.int64)
        closed[:, 0] = 0
        answers = _lookup(builder, known, indices, column, closed, "gates")
        for gate in level:
            column[-1 - gate] = len(column)
        known = builder.add(ops.Concatenate(axis=0), known, answers, label="gates")

    values, weight, offset = known, np.zeros((len(column), len(plan.outputs)), dtype=np.int64), _offset(plan)
    if cover.n_bits:
        tables, weight = _tables(plan, offset)
        values = _lookup(builder, known, [index for _, index in cover.pieces], column, tables, "leaves")
    else:
        _add_linear(plan, column, weight, offset)
    sums = builder.add(ops.Linear(weight, offset), values, label="scores")
    scores = builder.add(ops.Bound(0, np.maximum(1, grid.span << cover.doublings)), sums, label="scores")
    return optimize(builder.finish(scores))


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
) -> int:
    """Append the lookups of ``tables`` at ``indices``; signs take the second half of the circle."""
    linear = _indices(builder, known, indices, column, label, tables.shape[1])
    start = np.zeros(len(indices), dtype=np.int64)
    if any(index.signs or index.size > tables.shape[1] for index in indices):
        n_bits = tables.shape[1].bit_length()  # one more than the tables have
        read = builder.add(ops.Modulo(n_bits), linear, label=label)
        return builder.add(ops.Lookup(np.concatenate([tables, -tables], axis=1), start), read, label=label)
    # The bits of a chain never rise along it, which interval arithmetic cannot know. Equal widths make one
    # key set.
    read = builder.add(ops.Bound(0, tables.shape[1] - 1), linear, label=label)
    return builder.add(ops.Lookup(tables, start), read, label=label)


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
        for position, index in enumerate(block):
            for term, factor in _terms(index, half):
                weight[at[term], position] = factor
        offset = np.array([index.offset for index in block], dtype=np.int64)
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
