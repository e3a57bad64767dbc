"""Steps of tails: functions of the values of a row, computed after decryption.

Their axes and shapes never include the rows. They are few and named, so that files can hold them, and shapes
are known before a row is seen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from skfhe._typing import Array, IntArray
from skfhe.encoding._tail_functions import ALONG, ELEMENTWISE, OVER, POSITIONS

__all__ = [
    "Shape",
    "TailAlong",
    "TailConstant",
    "TailElementwise",
    "TailGather",
    "TailJoin",
    "TailMatMul",
    "TailOver",
    "TailStep",
    "TailTake",
]

Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class TailConstant:
    """A constant.

    Parameters
    ----------
    values : ndarray of float64, int64 or bool, of the shape of a row
    """

    values: Array

    def __post_init__(self) -> None:
        if self.values.dtype.kind not in "bif":
            raise ValueError(f"a constant is an array of numbers, got {self.values.dtype}")

    @property
    def arguments(self) -> tuple[int, ...]:
        """Which values it takes."""
        return ()

    def shape(self, *shapes: Shape) -> Shape:
        """Return the shape of its value."""
        return self.values.shape

    def apply(self, *x: Array) -> Array:
        """Return its value, rows first; one row stands for all."""
        return self.values[None]


@dataclass(frozen=True, eq=False)
class TailElementwise:
    """A function of the elements of one or several values, which broadcast to one shape.

    Parameters
    ----------
    function : str
        A name in `ELEMENTWISE`.
    arguments : tuple of int
        Numbers of the values that it takes.

    Examples
    --------
    >>> TailElementwise("maximum", (0, 1)).apply(np.array([[1, 5]]), np.array([[2]]))
    array([[2, 5]])
    """

    function: str
    arguments: tuple[int, ...]

    def __post_init__(self) -> None:
        _check_name(self.function, ELEMENTWISE)
        if len(self.arguments) != ELEMENTWISE[self.function][0]:
            raise ValueError(f"{self.function} takes {ELEMENTWISE[self.function][0]} value(s)")

    def shape(self, *shapes: Shape) -> Shape:
        """Return the shape of its value."""
        return np.broadcast_shapes(*shapes)

    def apply(self, *x: Array) -> Array:
        """Return its value, rows first."""
        rank = max(value.ndim for value in x)
        aligned = (v.reshape(len(v), *(1,) * (rank - v.ndim), *v.shape[1:]) for v in x)
        return ELEMENTWISE[self.function][1](*aligned)


@dataclass(frozen=True, eq=False)
class TailOver:
    """A function over some axes, such as a sum, or of the positions on one axis.

    Parameters
    ----------
    function : str
        A name in `OVER`, or one in `POSITIONS` with a single axis.
    argument : int
    axes : tuple of int
        Counted from 0.
    keepdims : bool, default=False
        Whether these axes stay, with one element.

    Examples
    --------
    >>> TailOver("argmax", 0, (0,)).apply(np.array([[0.5, 2.0], [3.0, 1.0]]))
    array([1, 0])
    """

    function: str
    argument: int
    axes: tuple[int, ...]
    keepdims: bool = False

    def __post_init__(self) -> None:
        _check_name(self.function, {**OVER, **POSITIONS})
        if len(set(self.axes)) != len(self.axes) or (self.function in POSITIONS and len(self.axes) != 1):
            raise ValueError(f"{self.function} is not taken over the axes {self.axes}")

    @property
    def arguments(self) -> tuple[int, ...]:
        """Which values it takes."""
        return (self.argument,)

    def shape(self, *shapes: Shape) -> Shape:
        """Return the shape of its value."""
        (shape,) = shapes
        if any(_axis(axis, shape) == 0 for axis in self.axes):
            raise ValueError(f"{self.function} over no elements")
        if self.keepdims:
            return tuple(1 if axis in self.axes else n for axis, n in enumerate(shape))
        return tuple(n for axis, n in enumerate(shape) if axis not in self.axes)

    def apply(self, *x: Array) -> Array:
        """Return its value, rows first."""
        axes = tuple(axis + 1 for axis in self.axes)
        if self.function in POSITIONS:
            return np.asarray(POSITIONS[self.function](x[0], axis=axes[0], keepdims=self.keepdims))
        return np.asarray(OVER[self.function](x[0], axis=axes, keepdims=self.keepdims))


@dataclass(frozen=True, eq=False)
class TailAlong:
    """A function along an axis that keeps the shape, such as a softmax.

    Parameters
    ----------
    function : str
        A name in `ALONG`.
    argument : int
    axis : int
        Counted from 0.

    Examples
    --------
    >>> TailAlong("sort_descending", 0, 0).apply(np.array([[1.0, 3.0, 2.0]]))
    array([[3., 2., 1.]])
    """

    function: str
    argument: int
    axis: int

    def __post_init__(self) -> None:
        _check_name(self.function, ALONG)

    @property
    def arguments(self) -> tuple[int, ...]:
        """Which values it takes."""
        return (self.argument,)

    def shape(self, *shapes: Shape) -> Shape:
        """Return the shape of its value."""
        if not _axis(self.axis, shapes[0]):
            raise ValueError(f"{self.function} along no elements")
        return shapes[0]

    def apply(self, *x: Array) -> Array:
        """Return its value, rows first."""
        numbers = x[0].astype(np.int64) if x[0].dtype == bool else x[0]
        return ALONG[self.function](numbers, self.axis + 1)


@dataclass(frozen=True, eq=False)
class TailTake:
    """Elements selected, repeated and rearranged.

    Parameters
    ----------
    argument : int
    indices : ndarray of int64
        Of the shape of the result, into the flattened argument; -1 stands for ``fill``.
    fill : float, default=0
    """

    argument: int
    indices: IntArray
    fill: float = 0.0

    @property
    def arguments(self) -> tuple[int, ...]:
        """Which values it takes."""
        return (self.argument,)

    def shape(self, *shapes: Shape) -> Shape:
        """Return the shape of its value."""
        size = math.prod(shapes[0])
        if self.indices.size and not -1 <= self.indices.min() <= self.indices.max() < size:
            raise ValueError(f"elements beyond the {size} of a row are taken")
        return self.indices.shape

    def apply(self, *x: Array) -> Array:
        """Return its value, rows first."""
        flat = x[0].reshape(len(x[0]), -1)
        if not flat.shape[1]:
            return np.full((len(flat), *self.indices.shape), self.fill)
        taken = flat[:, self.indices]
        return np.where(self.indices < 0, self.fill, taken) if np.any(self.indices < 0) else taken


@dataclass(frozen=True, eq=False)
class TailGather:
    """Elements whose positions along an axis are a value, too.

    Parameters
    ----------
    argument : int
    positions : int
        The value of integers that says where.
    axis : int
        Counted from 0.
    """

    argument: int
    positions: int
    axis: int

    @property
    def arguments(self) -> tuple[int, ...]:
        """Which values it takes."""
        return (self.argument, self.positions)

    def shape(self, *shapes: Shape) -> Shape:
        """Return the shape of its value."""
        shape, taken = shapes
        _axis(self.axis, shape)
        others = [(a, b) for i, (a, b) in enumerate(zip(shape, taken, strict=True)) if i != self.axis]
        if any(b > a for a, b in others):
            raise ValueError(f"positions of shape {taken} reach beyond {shape}")
        return taken

    def apply(self, *x: Array) -> Array:
        """Return its value, rows first.

        Raises
        ------
        ValueError
            If a position is beyond the axis.
        """
        values, positions = x
        if positions.size and not 0 <= positions.min() <= positions.max() < values.shape[self.axis + 1]:
            raise ValueError("a position is beyond the axis that is read")
        n_rows = max(len(values), len(positions))
        values, positions = (np.broadcast_to(v, (n_rows, *v.shape[1:])) for v in (values, positions))
        cut = tuple(slice(None) if i == self.axis + 1 else slice(n) for i, n in enumerate(positions.shape))
        return np.take_along_axis(values[cut], positions.astype(np.int64), axis=self.axis + 1)


@dataclass(frozen=True, eq=False)
class TailJoin:
    """Values joined along an axis.

    Parameters
    ----------
    arguments : tuple of int
    axis : int
        Counted from 0.
    """

    arguments: tuple[int, ...]
    axis: int

    def __post_init__(self) -> None:
        if not self.arguments:
            raise ValueError("no values are joined")

    def shape(self, *shapes: Shape) -> Shape:
        """Return the shape of its value."""
        total = sum(_axis(self.axis, shape) for shape in shapes)
        rests = {(*shape[: self.axis], 0, *shape[self.axis + 1 :]) for shape in shapes}
        if len(rests) > 1:
            raise ValueError(f"values of shapes {shapes} cannot be joined along axis {self.axis}")
        return (*shapes[0][: self.axis], total, *shapes[0][self.axis + 1 :])

    def apply(self, *x: Array) -> Array:
        """Return its value, rows first."""
        n_rows = max(len(value) for value in x)
        rows = [np.broadcast_to(value, (n_rows, *value.shape[1:])) for value in x]
        return np.concatenate(rows, axis=self.axis + 1)


@dataclass(frozen=True, eq=False)
class TailMatMul:
    """A product of matrices: the last two axes of two values of as many axes.

    Parameters
    ----------
    left, right : int
    """

    left: int
    right: int

    @property
    def arguments(self) -> tuple[int, ...]:
        """Which values it takes."""
        return (self.left, self.right)

    def shape(self, *shapes: Shape) -> Shape:
        """Return the shape of its value."""
        left, right = shapes
        if len(left) != len(right) or len(left) < 2 or left[-1] != right[-2]:
            raise ValueError(f"matrices of shapes {left} and {right} cannot be multiplied")
        return (*np.broadcast_shapes(left[:-2], right[:-2]), left[-2], right[-1])

    def apply(self, *x: Array) -> Array:
        """Return its value, rows first."""
        return np.matmul(*(value.astype(np.float64) for value in x))


TailStep = (
    TailConstant | TailElementwise | TailOver | TailAlong | TailTake | TailGather | TailJoin | TailMatMul
)


def _check_name(name: str, table: dict[str, Any]) -> None:
    if name not in table:
        raise ValueError(f"{name!r} is none of the functions {', '.join(sorted(table))}")


def _axis(axis: int, shape: Shape) -> int:
    """Return the length of an axis."""
    if not 0 <= axis < len(shape):
        raise ValueError(f"rows of shape {shape} have no axis {axis}")
    return shape[axis]
