"""Elements in order: a sort of few, ranks of it, and extrema so far. One lookup compares two elements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from skfhe.network._builder import NetworkBuilder
from skfhe.network._node import Node
from skfhe.network._operations import Comparators, Move

__all__ = ["cumulative_extremum", "ranked"]


def ranked(build: NetworkBuilder, x: Node, axis: int, ranks: Sequence[int]) -> Node:
    """Append the elements of some ranks over an axis, counted from 0 for the smallest, along that axis.

    Comparators are those of Batcher's odd-even merge sort (1968) or of a bubble sort from either end, without
    those that no rank depends on: whichever are fewest.
    """
    n = x.shape[axis]
    networks = (_merge_sort(n), _bubble_sort(n, upwards=True), _bubble_sort(n, upwards=False))
    steps = min((_needed(network, ranks) for network in networks), key=lambda network: sum(map(len, network)))
    return _compared(build, x, axis, steps, tuple(ranks))


def cumulative_extremum(build: NetworkBuilder, x: Node, axis: int, largest: bool) -> Node:
    """Append the largest or smallest element so far along an axis."""
    n = x.shape[axis]
    if largest:
        steps = [[_Comparator(i - 1, i, False, True)] for i in range(1, n)]
    else:
        steps = [[_Comparator(i, i - 1, True, False)] for i in range(1, n)]
    return _compared(build, x, axis, steps, tuple(range(n)))


@dataclass(frozen=True)
class _Comparator:
    low: int
    high: int
    writes_low: bool = True
    writes_high: bool = True


def _compared(
    build: NetworkBuilder, x: Node, axis: int, steps: list[list[_Comparator]], results: tuple[int, ...]
) -> Node:
    members = torch.arange(torch.Size(x.shape).numel()).reshape(x.shape).movedim(axis, 0)
    operation = Comparators(
        members,
        tuple(tuple((c.low, c.high) for c in step) for step in steps),
        tuple(tuple((c.writes_low, c.writes_high) for c in step) for step in steps),
        results,
    )
    found = build.add(operation, x)
    order: Tensor = torch.arange(torch.Size(found.shape).numel()).reshape(found.shape).movedim(0, axis)
    return build.add(Move(order), found)


def _merge_sort(n: int) -> list[list[_Comparator]]:
    """Return steps of comparators that sort ``n`` elements."""
    steps = []
    width = 1
    while width < n:
        apart = width
        while apart >= 1:
            step = [
                _Comparator(first + i, first + i + apart)
                for first in range(apart % width, n - apart, 2 * apart)
                for i in range(min(apart, n - first - apart))
                if (first + i) // (2 * width) == (first + i + apart) // (2 * width)
            ]
            steps.append(step)
            apart //= 2
        width *= 2
    return steps


def _bubble_sort(n: int, upwards: bool) -> list[list[_Comparator]]:
    """Return steps that bring the largest element to the end first, or the smallest to the front."""
    if upwards:
        return [[_Comparator(i, i + 1)] for last in range(n - 1, 0, -1) for i in range(last)]
    return [[_Comparator(i - 1, i)] for first in range(n - 1) for i in range(n - 1, first, -1)]


def _needed(steps: list[list[_Comparator]], ranks: Sequence[int]) -> list[list[_Comparator]]:
    """Leave out comparators, or one side of them, whose result no rank depends on."""
    wanted = set(ranks)
    kept: list[list[_Comparator]] = []
    for step in reversed(steps):
        of_step = [
            _Comparator(c.low, c.high, c.low in wanted, c.high in wanted)
            for c in step
            if c.low in wanted or c.high in wanted
        ]
        wanted |= {wire for c in of_step for wire in (c.low, c.high)}
        if of_step:
            kept.append(of_step)
    return kept[::-1]
