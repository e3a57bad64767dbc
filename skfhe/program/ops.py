"""The closed set of operations a program is made of.

Each is a frozen description without behaviour: what it computes is said by the interpreter
(`skfhe.program.interpreter`), which interval its result has by `skfhe.program.ranges`, and how it is
expressed under encryption by `skfhe.circuit.lowering`. Shapes never include the rows: an operation
applies to one row, and to many rows alike.

A new operation needs a reason why these cannot say it.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Add",
    "Bound",
    "Concatenate",
    "Gather",
    "Input",
    "Linear",
    "Lookup",
    "Op",
    "Reshape",
    "Round",
    "Subtract",
    "Sum",
]

IntArray = NDArray[np.int64]


class Op:
    """Base of all operations."""


@dataclass(frozen=True, eq=False)
class Input(Op):
    """An encrypted input whose quantizer produces integers in ``[low, high]``, element by element."""

    low: IntArray
    high: IntArray


@dataclass(frozen=True, eq=False)
class Linear(Op):
    """``x @ weight + bias`` over the last axis, with clear weights.

    ``weight`` is (n_inputs, n_outputs), of any integer type, ``bias`` (n_outputs,).
    """

    weight: NDArray[Any]
    bias: IntArray


@dataclass(frozen=True, eq=False)
class Add(Op):
    """``x + y``, element by element, of two encrypted values of one shape."""


@dataclass(frozen=True, eq=False)
class Subtract(Op):
    """``x - y``, element by element, of two encrypted values of one shape."""


@dataclass(frozen=True, eq=False)
class Sum(Op):
    """Sum over one axis of a row."""

    axis: int


@dataclass(frozen=True, eq=False)
class Reshape(Op):
    """The same elements in another row shape."""

    shape: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Gather(Op):
    """The elements at constant positions of one axis: selection, repetition, reordering."""

    indices: IntArray
    axis: int


@dataclass(frozen=True, eq=False)
class Concatenate(Op):
    """Several values joined along one axis of a row."""

    axis: int


@dataclass(frozen=True, eq=False)
class Bound(Op):
    """The same value, known to lie in ``[low, high]`` for a reason that interval arithmetic cannot see.

    Interval arithmetic takes the elements of a value to vary independently. Where they do not, such as the
    bits of a thermometer code, whoever builds the program can state the narrower interval. It costs nothing,
    and the interpreter raises an error for a value that leaves it.
    """

    low: int
    high: int


@dataclass(frozen=True, eq=False)
class Lookup(Op):
    """A table applied element by element: one programmable bootstrap an element.

    ``tables`` is (1, n) for one table, or (n_channels, n) for one a channel, channels being the
    last axis. Row ``c`` holds the results for the inputs ``start[c], start[c] + 1, …``.
    """

    tables: IntArray
    start: IntArray


@dataclass(frozen=True, eq=False)
class Round(Op):
    """Round half up to a multiple of ``2**lsbs``, keeping the scale of the value.

    ``"exact"`` costs one bootstrap for each bit removed; ``"approximate"`` costs none, and may
    take the neighbouring multiple near a tie. The interpreter computes the exact result for both.
    """

    lsbs: int
    method: Literal["exact", "approximate"]
