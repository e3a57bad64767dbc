"""Writing tails: a tape of steps, each of which knows the shape of its value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from skfhe._typing import Array
from skfhe.encoding import (
    Tail,
    TailAlong,
    TailConstant,
    TailElementwise,
    TailGather,
    TailJoin,
    TailMatMul,
    TailOver,
    TailStep,
    TailTake,
)

__all__ = ["Tape"]


class Tape:
    """Collects the steps of a tail.

    Values are numbers. Constants are written once, and steps that change nothing not at all.

    Parameters
    ----------
    given : sequence of tuple of int
        Shapes of a row of the values that there are.
    """

    def __init__(self, given: Sequence[tuple[int, ...]]) -> None:
        self.given = [tuple(int(n) for n in shape) for shape in given]
        self.shapes = list(self.given)
        self.steps: list[TailStep] = []
        self._constants: dict[Any, int] = {}

    def finish(self, results: Sequence[int]) -> Tail:
        """Return the tail, without steps that no result needs."""
        n_given = len(self.given)
        needed = set(results)
        for number in reversed(range(n_given, len(self.shapes))):
            if number in needed:
                needed.update(self.steps[number - n_given].arguments)
        kept = [number for number in range(n_given, len(self.shapes)) if number in needed]
        again = Tape(self.given)
        numbers = {number: number for number in range(n_given)}
        for number in kept:
            numbers[number] = again.add(_renumbered(self.steps[number - n_given], numbers))
        return Tail(tuple(self.given), tuple(again.steps), tuple(numbers[number] for number in results))

    def add(self, step: TailStep) -> int:
        """Append a step, and return the number of its value."""
        self.shapes.append(tuple(step.shape(*(self.shapes[number] for number in step.arguments))))
        self.steps.append(step)
        return len(self.shapes) - 1

    def inline(self, tail: Tail, arguments: Sequence[int]) -> list[int]:
        """Append the steps of a tail that takes ``arguments``, and return the numbers of its results."""
        numbers = dict(enumerate(arguments))
        for number, step in enumerate(tail.steps, start=len(tail.given)):
            if isinstance(step, TailConstant):
                numbers[number] = self.constant(step.values)
            else:
                numbers[number] = self.add(_renumbered(step, numbers))
        return [numbers[number] for number in tail.results]

    def constant(self, values: Any) -> int:
        """Return a constant of the shape of a row."""
        array = np.asarray(values)
        if array.dtype.kind == "b" or array.dtype.kind not in "iuf":
            array = array.astype(np.int64 if array.dtype.kind == "b" else np.float64)
        array = array.astype(np.float64 if array.dtype.kind == "f" else np.int64)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = self.add(TailConstant(array.copy()))
        return self._constants[key]

    def elementwise(self, function: str, *arguments: int) -> int:
        """Return a function of elements."""
        return self.add(TailElementwise(function, arguments))

    def over(self, function: str, x: int, axes: Sequence[int], keepdims: bool) -> int:
        """Return a function over axes, which may be counted from the last."""
        rank = len(self.shapes[x])
        return self.add(TailOver(function, x, tuple(sorted(axis % rank for axis in axes)), bool(keepdims)))

    def along(self, function: str, x: int, axis: int) -> int:
        """Return a function along an axis, which may be counted from the last."""
        return self.add(TailAlong(function, x, axis % len(self.shapes[x])))

    def take(self, x: int, indices: Array, fill: float = 0.0) -> int:
        """Return elements of ``x`` in the shape of ``indices``; -1 stands for ``fill``."""
        indices = np.asarray(indices, dtype=np.int64)
        before = self.steps[x - len(self.given)] if x >= len(self.given) else None
        if isinstance(before, TailTake):  # both are one
            made_up = np.any(before.indices < 0)
            if not made_up or not np.any(indices < 0) or before.fill == fill:
                flat = np.append(before.indices.ravel(), -1)  # where what is made up is taken from
                return self.take(before.argument, flat[indices], before.fill if made_up else fill)
        if indices.shape == self.shapes[x] and np.array_equal(indices.ravel(), np.arange(indices.size)):
            return x
        return self.add(TailTake(x, indices.copy(), float(fill)))

    def reshape(self, x: int, shape: Sequence[int]) -> int:
        """Return ``x`` in another shape."""
        size = int(np.prod(self.shapes[x], dtype=np.int64))
        return self.take(x, np.arange(size).reshape(shape))

    def gather(self, x: int, positions: int, axis: int) -> int:
        """Return the elements of ``x`` at positions along an axis, which may be counted from the last."""
        return self.add(TailGather(x, positions, axis % len(self.shapes[x])))

    def join(self, arguments: Sequence[int], axis: int) -> int:
        """Return values joined along an axis, which may be counted from the last."""
        return self.add(TailJoin(tuple(arguments), axis % len(self.shapes[arguments[0]])))

    def matmul(self, left: int, right: int) -> int:
        """Return a product of matrices of as many axes."""
        return self.add(TailMatMul(left, right))


def _renumbered(step: TailStep, numbers: dict[int, int]) -> TailStep:
    """Return a step that takes its arguments from elsewhere."""
    new = [numbers[number] for number in step.arguments]
    if isinstance(step, TailConstant):
        return step
    if isinstance(step, TailElementwise):
        return TailElementwise(step.function, tuple(new))
    if isinstance(step, TailOver):
        return TailOver(step.function, new[0], step.axes, step.keepdims)
    if isinstance(step, TailAlong):
        return TailAlong(step.function, new[0], step.axis)
    if isinstance(step, TailTake):
        return TailTake(new[0], step.indices, step.fill)
    if isinstance(step, TailGather):
        return TailGather(new[0], new[1], step.axis)
    if isinstance(step, TailJoin):
        return TailJoin(tuple(new), step.axis)
    return TailMatMul(*new)
