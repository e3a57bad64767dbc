"""Functions of two encrypted values, written with sums and lookups.

- A sum or difference of integers on one grid is free, and what depends on the difference alone, such as a
  comparison, is one lookup of it. ``max(a, b) = b + relu(a - b)``.
- A product of integers is a difference of squares: ``a * b = ⌊(a + b)²/4⌋ - ⌊(a - b)²/4⌋``, two lookups of
  one bit more.
- Any function of two narrow integers is one lookup of both, packed into one: ``a * 2**n + b``.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skfhe._typing import FloatArray, IntArray
from skfhe.network._emitter import Emitter
from skfhe.network._operations import Comparators, Elementwise, Extremum
from skfhe.network._symbolic import Grid, Symbolic
from skfhe.program import bit_width, ops

__all__ = [
    "FEWEST_PACKED_BITS",
    "FEW_BITS",
    "MOST_PACKED_BITS",
    "MOST_PACKED_PRODUCT_BITS",
    "comparable",
    "compared",
    "extremum",
    "is_one_grid",
    "matmul",
    "most_packed",
    "multiply",
    "of_sum",
    "packed",
]


FEW_BITS = 6
"""Up to so many bits, packing a value beats looking it up first."""
FEWEST_PACKED_BITS = 4
"""Two values of so many bits together are packed as they are, even if one lookup could narrow them."""
MOST_PACKED_BITS = 14
WHOLE = 1e-6
"""How far arithmetic in double precision may leave an integer."""
MOST_PACKED_PRODUCT_BITS = 8
"""Up to so many bits, one lookup of two packed factors is cheaper than two of their sum and difference."""


def most_packed(emitter: Emitter) -> int:
    """Bits that a lookup of two packed values may read: packed bits cannot be rounded."""
    if emitter.rounding is None or emitter.reads_packed:
        return MOST_PACKED_BITS
    return emitter.rounding[0]


def packed(
    emitter: Emitter, function: Callable[..., Tensor], a: Symbolic, b: Symbolic, reference: Tensor
) -> Symbolic | None:
    """Return ``function(a, b)`` of two narrow values; None if they are too wide."""
    of_a, of_b = emitter.type_of(a.position), emitter.type_of(b.position)
    n_b = of_b.max - of_b.min + 1
    if bit_width(0, (of_a.max - of_a.min + 1) * n_b - 1) > most_packed(emitter):
        return None
    position = emitter.combine([a.position, b.position], [n_b, 1], bias=-of_a.min * n_b - of_b.min)
    first, second = a.evaluate, b.evaluate

    def evaluate(integers: Tensor) -> Tensor:
        high, low = torch.div(integers, n_b, rounding_mode="floor"), torch.remainder(integers, n_b)
        return function(first(high + of_a.min), second(low + of_b.min)).to(torch.float64)

    return Symbolic(position, reference, None, evaluate, whole=True)


def of_sum(emitter: Emitter, operation: Elementwise, aligned: tuple[Any, ...], reference: Tensor) -> Symbolic:
    """Return a sum, difference, comparison or extremum of two values on a common grid."""
    a, factor_a, b, factor_b, scale = aligned
    sign = 1 if operation.kind == "add" else -1
    shape = tuple(reference.shape[1:])
    position = emitter.combine([a.position, b.position], [factor_a, sign * factor_b])
    grid = Grid.of(scale, a.grid.offset + sign * b.grid.offset, shape)
    total = Symbolic.on_grid(position, reference, grid)
    if operation.kind in ("add", "subtract"):
        return total
    zero = torch.zeros((), dtype=torch.float64)
    if operation.kind == "compare":
        return total.through(lambda difference: operation.function(difference, zero).double(), reference)
    # max(a, b) = b + relu(a - b) and min(a, b) = b - relu(b - a), on a grid that reaches from b's offset
    largest = operation.kind == "maximum"
    excess = replace(
        total.through(torch.relu if largest else lambda d: -torch.relu(-d), reference), whole=True
    )
    looked_up = emitter.tabulate(
        excess, lambda floats: np.rint(floats / scale).astype(np.int64), Grid.of(scale, 0.0, shape)
    )
    position = emitter.combine([b.position, looked_up.position], [factor_b, 1])
    result = Symbolic.on_grid(position, reference, Grid.of(scale, b.grid.offset, shape))
    return _bounded(emitter, result, _interval_of_extremum(emitter, aligned, largest))


def _interval_of_extremum(emitter: Emitter, aligned: tuple[Any, ...], largest: bool) -> tuple[int, int]:
    """Integers that the extremum of two aligned values can take, counted from the second's offset."""
    a, factor_a, b, factor_b, scale = aligned
    shift = (a.grid.offset - b.grid.offset) / scale
    of_a, of_b = emitter.type_of(a.position), emitter.type_of(b.position)
    ends_a = factor_a * of_a.min + float(shift.min()), factor_a * of_a.max + float(shift.max())
    ends_b = factor_b * of_b.min, factor_b * of_b.max
    pick = max if largest else min
    return int(np.floor(pick(ends_a[0], ends_b[0]))), int(np.ceil(pick(ends_a[1], ends_b[1])))


def is_one_grid(scale: FloatArray, offset: FloatArray) -> bool:
    """Whether all entries along the first axis are the same, and the scale positive."""
    return bool(np.all(scale == scale[:1]) and np.all(offset == offset[:1]) and np.all(scale > 0))


def comparable(x: Symbolic, operation: Extremum | Comparators) -> bool:
    """Whether the integers of each window's members are ordered as their floats, or all the other way."""
    assert x.grid is not None
    members, sign = operation.members.numpy(), np.sign(x.grid.scale.ravel()[0])
    return is_one_grid(sign * x.grid.scale.ravel()[members], x.grid.offset.ravel()[members])


def extremum(emitter: Emitter, x: Symbolic, operation: Extremum, reference: Tensor) -> Symbolic:
    """Return the extremum over members of windows, by a tournament."""
    assert x.grid is not None
    members = operation.members.numpy()
    contestants = emitter.move(x.position, members)
    offset = x.grid.offset.ravel()[members[0]]
    scale = x.grid.scale.ravel()[members[0]]
    largest = operation.largest == bool(scale.ravel()[0] > 0)
    interval = emitter.type_of(x.position)
    n_members = len(members)
    while n_members > 1:
        half = n_members // 2
        size = int(np.prod(members.shape[1:], dtype=np.int64))
        order = np.arange(n_members * size).reshape(n_members, *members.shape[1:])
        first, second = (emitter.move(contestants, order[i * half : (i + 1) * half]) for i in (0, 1))
        difference = emitter.add(ops.Subtract(), first, second)
        read = emitter.type_of(difference)
        emitter.check_width(difference, read.bits)
        excess = np.maximum if largest else np.minimum
        table = excess(np.arange(read.min, read.max + 1), 0)[None]
        won = emitter.add(ops.Lookup(table, np.array([read.min])), difference)
        winners = emitter.add(ops.Add(), second, won)
        winners = emitter.add(ops.Bound(interval.min, interval.max), winners)
        if n_members % 2:
            odd = emitter.move(contestants, order[-1:])
            winners = emitter.add(ops.Concatenate(0), winners, odd)
        contestants, n_members = winners, half + n_members % 2
    position = emitter.move(contestants, np.arange(scale.size).reshape(members.shape[1:]))
    return Symbolic.on_grid(position, reference, Grid(scale, offset))


def compared(emitter: Emitter, x: Symbolic, operation: Comparators, reference: Tensor) -> Symbolic:
    """Return members in the order that comparators leave them in: one lookup gives both of a pair."""
    assert x.grid is not None
    members = operation.members.numpy()
    shape = members.shape[1:]
    size = int(np.prod(shape, dtype=np.int64))
    rising = bool(x.grid.scale.ravel()[0] > 0)
    interval = emitter.type_of(x.position)
    wires = emitter.move(x.position, members)

    def picked(numbers: list[int]) -> IntArray:
        return (np.array(numbers, dtype=np.int64)[:, None] * size + np.arange(size)).reshape(-1, *shape)

    for pairs, written in zip(operation.steps, operation.writes, strict=True):
        first, second = (emitter.move(wires, picked([pair[i] for pair in pairs])) for i in (0, 1))
        difference = emitter.add(ops.Subtract(), first, second)
        read = emitter.type_of(difference)
        emitter.check_width(difference, read.bits)
        of_larger = np.maximum if rising else np.minimum  # max = second + relu(first - second), and so on
        table = of_larger(np.arange(read.min, read.max + 1), 0)[None]
        excess = emitter.add(ops.Lookup(table, np.array([read.min])), difference)
        new, order = [wires], np.arange(len(members))
        sources = ((ops.Subtract(), first), (ops.Add(), second))
        for side, (combine, source) in enumerate(sources):
            kept = [number for number, both in enumerate(written) if both[side]]
            if kept:
                parts = [emitter.move(position, picked(kept)) for position in (source, excess)]
                value = emitter.add(combine, *parts)
                order[[pairs[number][side] for number in kept]] = len(order) + np.arange(len(kept))
                new.append(emitter.add(ops.Bound(interval.min, interval.max), value))
                order = np.concatenate([order, np.full(len(kept), -1)])
        joined = emitter.add(ops.Concatenate(0), *new)
        wires = emitter.move(joined, picked(list(order[: len(members)])))
    position = emitter.move(wires, picked(list(operation.results)))
    grid = Grid(x.grid.scale.ravel()[members], x.grid.offset.ravel()[members])
    results = list(operation.results)
    return Symbolic.on_grid(position, reference, Grid(grid.scale[results], grid.offset[results]))


def multiply(emitter: Emitter, a: Symbolic, b: Symbolic, reference: Tensor) -> Symbolic:
    """Return the product of two values, element by element."""
    widths = [emitter.type_of(x.position).bits for x in (a, b)]
    if sum(widths) <= MOST_PACKED_PRODUCT_BITS or min(widths) == 1:
        product_of_both = packed(emitter, torch.mul, a, b, reference)
        if product_of_both is not None:
            return product_of_both
    shape = a.shape
    columns = [
        _rearranged(emitter, x, np.arange(np.prod(shape, dtype=int)).reshape(*shape, 1)) for x in (a, b)
    ]
    product, scale = _inner_product(emitter, *columns)
    grid = Grid.of(scale.reshape(shape), 0.0, shape)
    return Symbolic.on_grid(emitter.add(ops.Reshape(shape), product), reference, grid)


def matmul(emitter: Emitter, a: Symbolic, b: Symbolic, reference: Tensor) -> Symbolic:
    """Return ``a @ b`` over the last two axes, each on one grid for all of its elements."""
    shape = tuple(reference.shape[1:])
    rows, columns = shape[-2:]
    inner = a.shape[-1]
    positions_a = np.arange(np.prod(a.shape, dtype=int)).reshape(a.shape)
    positions_b = np.swapaxes(np.arange(np.prod(b.shape, dtype=int)).reshape(b.shape), -1, -2)
    batch = shape[:-2]
    left = np.broadcast_to(positions_a[..., :, None, :], (*batch, rows, columns, inner))
    right = np.broadcast_to(positions_b[..., None, :, :], (*batch, rows, columns, inner))
    product, scale = _inner_product(emitter, _rearranged(emitter, a, left), _rearranged(emitter, b, right))
    grid = Grid.of(scale.ravel()[0], 0.0, shape)
    return Symbolic.on_grid(emitter.add(ops.Reshape(shape), product), reference, grid)


def _rearranged(emitter: Emitter, x: Symbolic, indices: IntArray) -> Symbolic:
    assert x.grid is not None
    position = emitter.move(x.position, indices)
    grid = Grid(x.grid.scale.ravel()[indices], x.grid.offset.ravel()[indices])
    shape = indices.shape
    return Symbolic(
        position,
        x.reference.reshape(len(x.reference), -1)[:, indices.ravel()].reshape(-1, *shape),
        grid,
        grid.evaluate,
    )


def _inner_product(emitter: Emitter, a: Symbolic, b: Symbolic) -> tuple[int, FloatArray]:
    """Return ``Σ a * b`` over the last axis, which stays with length 1, and the scales of the products."""
    assert a.grid is not None
    assert b.grid is not None
    zero_a, zero_b = _zero_point(a.grid), _zero_point(b.grid)
    squares = []
    for combine, zero in ((ops.Add(), zero_a + zero_b), (ops.Subtract(), zero_a - zero_b)):
        position = emitter.add(combine, a.position, b.position)

        def square(integers: Tensor, zero: FloatArray = zero) -> Tensor:
            return (integers.reshape(-1, *(1,) * zero.ndim) - torch.from_numpy(zero)) ** 2 / 4

        quarter = Symbolic(position, a.reference, None, square, whole=True)
        looked_up = emitter.tabulate(quarter, lambda q: np.rint(q).astype(np.int64), a.grid)
        squares.append(looked_up.position)
    difference = emitter.add(ops.Subtract(), *squares)
    inner = emitter.type_of(difference).shape[-1]
    ones = np.ones((inner, 1), dtype=np.int64)
    total = emitter.add(ops.Linear(ones, np.zeros(1, dtype=np.int64)), difference)
    of_a, of_b = emitter.type_of(a.position), emitter.type_of(b.position)
    ends = [
        (p - zero_a) * (q - zero_b) for p in (of_a.min, of_a.max) for q in (of_b.min, of_b.max)
    ]  # between integers, each of the two squares is rounded by up to a half
    slack = 0 if all(np.array_equal(z, np.rint(z)) for z in (zero_a, zero_b)) else 1
    low, high = (min(v.min() for v in ends) - slack, max(v.max() for v in ends) + slack)
    total = emitter.add(ops.Bound(int(np.floor(inner * low)), int(np.ceil(inner * high))), total)
    return total, a.grid.scale * b.grid.scale


def _zero_point(grid: Grid) -> FloatArray:
    """Return the integers that stand for 0, or where between integers it lies.

    Axes along which all are the same have length 1.
    """
    zero = -grid.offset / grid.scale
    whole = np.rint(zero)
    zero = np.where(np.abs(zero - whole) < WHOLE, whole, zero)
    for axis in range(zero.ndim):
        first = zero.take([0], axis=axis)
        if np.array_equal(np.broadcast_to(first, zero.shape), zero):
            zero = first
    return zero


def _bounded(emitter: Emitter, x: Symbolic, interval: tuple[int, int]) -> Symbolic:
    read = emitter.type_of(x.position)
    low, high = max(read.min, interval[0]), min(read.max, interval[1])
    position = emitter.add(ops.Bound(low, high), x.position)
    return Symbolic(position, x.reference, x.grid, x.evaluate, x.shared)
