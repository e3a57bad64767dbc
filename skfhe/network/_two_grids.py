"""Sums of values on different grids, where something that takes few values is all that reads them.

Of integers a and b that count in steps of s and t, ``m * a + n * b`` says all that a quantizer of the sum
``s * a + t * b`` needs, if no two pairs that lead to different integers there have it in common. The
multipliers found are those of the shortest range; m and n near the ratio of s and t do at the latest when the
two stand side by side, digit by digit.

Side by side, low bits cannot be rounded. Where accumulators are rounded, and more bits stand side by side
than they are rounded to, multipliers whose ratio is near that of the steps do: rounding errs more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skfhe._typing import FloatArray, IntArray
from skfhe.cost import MAX_LOOKUP_BITS
from skfhe.network._emitter import Emitter
from skfhe.network._node import Node
from skfhe.network._operations import Affine, Concatenate, Elementwise, Move, Quantize, Univariate
from skfhe.network._symbolic import Symbolic

__all__ = ["Multipliers", "find_multipliers", "near_multipliers", "sum_on_two_grids", "what_reads"]

MOST_VALUES = 1 << 10
"""What takes more values than a quantizer would, needs its argument as it is."""
MOST_EVALUATIONS = 1 << 28
MOST_COMPARISONS = 1 << 31
"""Limits of the search, in elements."""
MORE_BITS = 6
"""Than rounding leaves, of sums with multipliers that are near the ratio of the steps."""
CHUNK = 1 << 22
"""Elements that are evaluated at a time."""

Function = Callable[[Tensor], Tensor]


def sum_on_two_grids(
    emitter: Emitter,
    operation: Elementwise,
    a: Symbolic,
    b: Symbolic,
    aligned: tuple[Any, ...] | None,
    reads: Sequence[Function],
) -> Symbolic | None:
    """Return a sum or difference of two values, as far as what reads it needs it.

    Parameters
    ----------
    emitter : Emitter
    operation : Elementwise
    a, b : Symbolic
        On grids.
    aligned : tuple or None
        How the two would be on a common grid; see `skfhe.network._schemes.scheme.Scheme.aligned`.
    reads : sequence of callable
        See `what_reads`.

    Returns
    -------
    Symbolic
    None
        If the common grid takes no more bits, or there are no multipliers.
    """
    assert a.grid is not None
    assert b.grid is not None
    ends = [(t.min, t.max) for t in (emitter.type_of(x.position) for x in (a, b))]
    most = MAX_LOOKUP_BITS
    if aligned is not None:
        lengths = [high - low for low, high in ends]
        exact = aligned[1] * lengths[0] + aligned[3] * lengths[1]
        most = min(most, int(exact).bit_length() - 1)
    sign = 1 if operation.kind == "add" else -1
    ratio = sign * float(np.median(b.grid.scale) / np.median(a.grid.scale))

    def value(p: Tensor, q: Tensor) -> Tensor:
        return operation.function(a.evaluate(p), b.evaluate(q)).to(torch.float64)

    found = find_multipliers(value, reads, (ends[0], ends[1]), ratio, most)
    rounding = emitter.rounding
    if rounding is not None and aligned is None and (found is None or found.packs_more_than(rounding[0])):
        found = near_multipliers((ends[0], ends[1]), ratio, rounding[0] + MORE_BITS)
    if found is None:
        return None
    position = emitter.combine([a.position, b.position], [found.first, found.second], -found.low)
    return Symbolic(
        position,
        emitter.node.reference,
        None,
        lambda sums: value(*found.pair(sums)),
        whole=not found.proportional,
    )


def what_reads(node: Node, readers: dict[int, list[Node]], outputs: Sequence[Node]) -> list[Function] | None:
    """Return the functions of a value that all else depends on, or None if something needs the value itself.

    Functions are followed up to quantizers, or to whatever is not applied element by element; they map rows
    (n, *row) of the value.
    """
    found: list[Function] = []

    def follow(node: Node, function: Function, changed: bool) -> bool:
        if any(node is output for output in outputs):
            if changed:
                found.append(function)
            return changed
        for reader in readers.get(id(node), []):
            operation = reader.operation

            def through(x: Tensor, evaluate: Callable[..., Tensor] = operation.evaluate) -> Tensor:
                return evaluate(function(x))

            if isinstance(operation, Quantize):
                found.append(through)
            elif isinstance(operation, Concatenate):
                if not follow(reader, _among_others(reader, node, function), changed):
                    return False
            elif isinstance(operation, Univariate | Affine | Move):
                if not follow(reader, through, changed or isinstance(operation, Univariate)):
                    return False
            elif changed:
                found.append(function)
            else:
                return False
        return True

    return found if follow(node, lambda x: x, False) and found else None


def _among_others(reader: Node, node: Node, function: Function) -> Function:
    """Return the function of a value where what it is concatenated with is any row, so that axes stay."""
    others = [None if each is node else each.reference[:1] for each in reader.arguments]

    def joined(x: Tensor) -> Tensor:
        own = function(x)
        parts = [own if each is None else each.expand(len(own), *each.shape[1:]) for each in others]
        return reader.operation.evaluate(*parts)

    return joined


@dataclass(frozen=True, eq=False)
class Multipliers:
    """``first * a + second * b - low``, and a pair of integers that has each such sum.

    Parameters
    ----------
    first, second : int
    low : int
        The least sum.
    a, b : ndarray of int64, shape (n,)
        A pair for each sum from 0 on; for a sum that no pair has, one of the next lower.
    proportional : bool
        Whether near sums stand for near floats, so that their low bits may be rounded.
    """

    first: int
    second: int
    low: int
    a: IntArray
    b: IntArray
    proportional: bool

    def packs_more_than(self, n_bits: int) -> bool:
        """Whether the two stand side by side in more bits than some."""
        return not self.proportional and (len(self.a) - 1).bit_length() > n_bits

    def pair(self, sums: Tensor) -> tuple[Tensor, Tensor]:
        """Return pairs of integers that have given sums, or the nearest to what lies between."""
        cells = torch.round(sums.double()).long().clamp(0, len(self.a) - 1)
        return torch.from_numpy(self.a)[cells], torch.from_numpy(self.b)[cells]


def find_multipliers(
    value: Callable[[Tensor, Tensor], Tensor],
    reads: Sequence[Function],
    ends: tuple[tuple[int, int], tuple[int, int]],
    ratio: float,
    most_bits: int,
) -> Multipliers | None:
    """Find the multipliers of the shortest range that every reader's results are functions of.

    Parameters
    ----------
    value : callable
        From integers (n,) of both to floats (n, *row) of what is read.
    reads : sequence of callable
        What reads it; see `what_reads`.
    ends : pair of pairs of int
        Intervals of the two integers.
    ratio : float
        Of the second's step and the first's; negative if it is subtracted.
    most_bits : int
        Bits of the longest range that may be.

    Returns
    -------
    Multipliers or None
    """
    a, b = (np.arange(low, high + 1) for low, high in ends)
    if len(a) * len(b) > MOST_EVALUATIONS or not np.isfinite(ratio) or ratio == 0:
        return None
    first, second = (v.ravel() for v in np.meshgrid(a, b, indexing="ij"))
    results = _results(value, reads, first, second)
    if results is None:
        return None
    spent = 0
    for m, n, proportional in _candidates(len(a) - 1, len(b) - 1, ratio, most_bits):
        spent += results.size
        if spent > MOST_COMPARISONS:
            return None
        low = m * first[0] + min(n * ends[1][0], n * ends[1][1])
        sums = m * first + n * second - low
        if all(_is_function_of(sums, row) for row in results):
            return Multipliers(m, n, low, *_pairs(sums, first, second), proportional)
    return None


def near_multipliers(
    ends: tuple[tuple[int, int], tuple[int, int]], ratio: float, most_bits: int
) -> Multipliers | None:
    """Find the multipliers whose ratio is nearest to that of the steps.

    Parameters
    ----------
    ends : pair of pairs of int
        Intervals of the two integers.
    ratio : float
        Of the second's step and the first's; negative if it is subtracted.
    most_bits : int
        Bits of the longest range that may be.

    Returns
    -------
    Multipliers
    None
        If there are none of so few bits.

    Examples
    --------
    >>> found = near_multipliers(((0, 15), (0, 15)), 0.66, 7)
    >>> found.first, found.second
    (3, 2)
    """
    a, b = (np.arange(low, high + 1) for low, high in ends)
    if len(a) * len(b) > MOST_EVALUATIONS or not np.isfinite(ratio) or ratio == 0:
        return None
    tried = [
        (abs(n / m / ratio - 1), m, n)
        for m, n, proportional in _candidates(len(a) - 1, len(b) - 1, ratio, most_bits)
        if proportional
    ]
    if not tried:
        return None
    _, m, n = min(tried)
    first, second = (v.ravel() for v in np.meshgrid(a, b, indexing="ij"))
    low = m * int(a[0]) + min(n * int(b[0]), n * int(b[-1]))
    return Multipliers(m, n, low, *_pairs(m * first + n * second - low, first, second), True)


def _results(
    value: Callable[[Tensor, Tensor], Tensor], reads: Sequence[Function], first: IntArray, second: IntArray
) -> IntArray | None:
    """Return what readers make of each pair, as numbers: a row for each reader and element that differs."""
    size = value(torch.from_numpy(first[:1]), torch.from_numpy(second[:1])).numel()
    if size * len(first) > MOST_EVALUATIONS:
        return None
    step = max(1, CHUNK // size)
    parts = [slice(start, start + step) for start in range(0, len(first), step)]

    def columns(part: slice) -> FloatArray:
        floats = value(torch.from_numpy(first[part]), torch.from_numpy(second[part]))
        read = [each(floats).reshape(len(floats), -1).double().numpy().T for each in reads]
        return np.concatenate(read)

    try:
        groups = np.zeros(0, dtype=np.int64)
        for part in parts:
            found = columns(part)
            if not np.all(np.isfinite(found)) or len(np.unique(found)) > MOST_VALUES * len(reads):
                return None
            keys = np.unique(found, axis=0, return_inverse=True)[1].ravel()
            groups = keys if not groups.size else np.stack([groups, keys])
            groups = np.unique(groups, axis=-1, return_inverse=True)[1].ravel()
        chosen = np.unique(groups, return_index=True)[1]
        rows = np.concatenate([columns(part)[chosen] for part in parts], axis=1)
    except RuntimeError:  # a scale for each channel, beside what stands in other channels
        return None
    return np.unique(rows, return_inverse=True)[1].reshape(rows.shape)


def _candidates(
    length_a: int, length_b: int, ratio: float, most_bits: int
) -> Iterator[tuple[int, int, bool]]:
    """Yield multipliers, those of the shortest range first; the last put both side by side."""
    sign, size = (1 if ratio > 0 else -1), abs(ratio)
    most = (1 << most_bits) - 1
    near: set[tuple[int, int]] = set()
    longest = min(most, (length_a + 1) * (length_b + 1) - 1)
    for m in range(1, longest // max(1, length_a) + 1):
        for n in {int(m * size), int(m * size) + 1}:
            if n > 0 and m * length_a + n * length_b <= longest:
                near.add((m, n))
    for n in range(1, longest // max(1, length_b) + 1):
        for m in {int(n / size), int(n / size) + 1}:
            if m > 0 and m * length_a + n * length_b <= longest:
                near.add((m, n))
    aside = {(length_b + 1, 1), (1, length_a + 1)}
    for m, n in sorted(near | aside, key=lambda pair: pair[0] * length_a + pair[1] * length_b):
        if m * length_a + n * length_b <= most:
            yield m, sign * n, (m, n) not in aside


def _is_function_of(sums: IntArray, values: IntArray) -> bool:
    """Whether equal sums, which start at 0, have equal values."""
    table = np.zeros(int(sums.max()) + 1, dtype=values.dtype)
    table[sums] = values
    return np.array_equal(table[sums], values)


def _pairs(sums: IntArray, first: IntArray, second: IntArray) -> tuple[IntArray, IntArray]:
    """Return a pair for each sum from 0 on: the middle one of those that have it."""
    order = np.argsort(sums, kind="stable")
    starts = np.searchsorted(sums[order], np.arange(int(sums.max()) + 1))
    ends = np.searchsorted(sums[order], np.arange(int(sums.max()) + 1), side="right")
    middle = np.where(ends > starts, (starts + ends - 1) // 2, starts - 1)
    chosen = order[middle]
    return first[chosen], second[chosen]
