"""Values under lowering: which integers are encrypted, and which floats they stand for.

A `Node` is a value of the float network. While it is lowered, each node has a counterpart here, which
says how its floats follow from integers that no row has given yet: `Symbolic`, once its integers are in the
program, or `RawInput`, as long as they are not, for no quantizer has been met. Both put off what is done
element by element (``through``), so that one table holds all of it in the end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from skfhe._typing import FloatArray
from skfhe.network._operations import Move

__all__ = ["Grid", "RawInput", "Symbolic"]

Evaluate = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Grid:
    """The floats ``scale * q + offset``; both arrays have the shape of a row."""

    scale: FloatArray
    offset: FloatArray

    @classmethod
    def of(cls, scale: object, offset: object, shape: tuple[int, ...]) -> Grid:
        """Broadcast ``scale`` and ``offset`` to ``shape``."""
        return cls(*(np.broadcast_to(np.asarray(v, dtype=np.float64), shape) for v in (scale, offset)))

    def evaluate(self, integers: Tensor) -> Tensor:
        """Return the floats of rows that hold one integer each, shape (n_integers, *row)."""
        column = integers.to(torch.float64).reshape(-1, *(1,) * self.scale.ndim)
        return column * torch.from_numpy(self.scale.copy()) + torch.from_numpy(self.offset.copy())

    def move(self, move: Move) -> Grid:
        """Return the grid of moved elements; a made-up element's integer is 0."""
        indices = move.indices.numpy()
        scale = self.scale.reshape(-1)[np.maximum(indices, 0)]
        offset = np.where(indices < 0, move.fill, self.offset.reshape(-1)[np.maximum(indices, 0)])
        return Grid(scale, offset)


@dataclass(frozen=True, eq=False)
class Symbolic:
    """What a node of the network is, in terms of integers in the program.

    Each element is a function of one integer, which is encrypted when the program runs. As long as that
    function is affine, the integers take part in sums; any other is left to the next lookup, which tabulates
    all of it at once.

    Parameters
    ----------
    position : int
        Program value that holds the integers.
    reference : Tensor of float64, shape (n_rows, *row)
        The original network's floats on the calibration rows.
    grid : Grid or None
        The floats as an affine function of the integers; None if they are another function.
    evaluate : callable
        From integers (n,) to floats (n, *row): what each element stands for when it holds each integer.
    shared : bool
        Whether more than one operation reads the value.
    whole : bool
        Whether a lookup has to read all bits: they hold two values side by side.
    """

    position: int
    reference: Tensor
    grid: Grid | None
    evaluate: Evaluate
    shared: bool = False
    whole: bool = False

    @classmethod
    def on_grid(cls, position: int, reference: Tensor, grid: Grid, shared: bool = False) -> Symbolic:
        """Build a value whose floats are affine in its integers."""
        return cls(position, reference, grid, grid.evaluate, shared)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one row."""
        return tuple(self.reference.shape[1:])

    def through(self, function: Callable[[Tensor], Tensor], reference: Tensor) -> Symbolic:
        """Return ``function`` of this value, to be tabulated later."""
        inner = self.evaluate
        return replace(self, reference=reference, grid=None, evaluate=lambda k: function(inner(k)))


@dataclass(frozen=True, eq=False)
class RawInput:
    """What a node is that depends on one input for which no quantizer has been found yet.

    The client still holds it in the clear: nothing of it is in the program. As soon as a quantizer is met, or
    a layer, its integers are encrypted and it becomes `Symbolic`.

    Parameters
    ----------
    index : int
        Which input of the network, counted from 0.
    shape : tuple of int
        Shape of a row of the input itself.
    reference : Tensor of float64, shape (n_rows, *row)
        Floats on the calibration rows, after ``moves`` and functions.
    evaluate : callable
        From floats (n,) to floats (n, *row): what each element is when the whole input holds one float.
    moves : tuple of Move
        Rearrangements of the input, in order.
    shared : bool
        Whether more than one operation reads the value.
    """

    index: int
    shape: tuple[int, ...]
    reference: Tensor
    evaluate: Evaluate
    moves: tuple[Move, ...] = field(default=())
    shared: bool = False

    def through(self, function: Callable[[Tensor], Tensor], reference: Tensor) -> RawInput:
        """Return ``function`` of this value, applied in the clear."""
        inner = self.evaluate
        return replace(self, reference=reference, evaluate=lambda x: function(inner(x)))
