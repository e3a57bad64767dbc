"""The closed set of operations that a float network is made of, on rows of floats.

Each holds its parameters as tensors in double precision. Frontends write networks with them
(`skfhe.network._builder`), `skfhe.network._lowering` translates them to integers. Shapes never include the
rows.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from skfhe.encoding import Tail

__all__ = [
    "Affine",
    "AfterDecryption",
    "Comparators",
    "Concatenate",
    "Convolution",
    "Elementwise",
    "Extremum",
    "Linear",
    "MatMul",
    "Move",
    "Operation",
    "Quantize",
    "Source",
    "Univariate",
]


class Operation:
    """Base of all operations."""

    def evaluate(self, *x: Tensor) -> Tensor:
        """Apply to float64 tensors whose first axis is the rows."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class Source(Operation):
    """An input of the network, counted from 0.

    ``whole`` are the least and the largest of an input of integers.
    """

    index: int
    whole: tuple[int, int] | None = None


@dataclass(frozen=True, eq=False)
class Univariate(Operation):
    """A function applied element by element; its parameters may differ from element to element."""

    function: Callable[[Tensor], Tensor]

    def evaluate(self, *x: Tensor) -> Tensor:
        return self.function(*x).to(torch.float64)


@dataclass(frozen=True, eq=False)
class Affine(Operation):
    """``scale * x + offset``; both broadcast against a row."""

    scale: Tensor
    offset: Tensor

    def evaluate(self, *x: Tensor) -> Tensor:
        return x[0] * self.scale + self.offset


@dataclass(frozen=True, eq=False)
class Move(Operation):
    """The elements of a row, selected, repeated and rearranged.

    ``indices`` has the shape of the result's row and points into the flattened argument; -1 stands for the
    constant ``fill``.
    """

    indices: Tensor
    fill: float = 0.0

    def evaluate(self, *x: Tensor) -> Tensor:
        flat = x[0].reshape(len(x[0]), -1)
        moved = flat[:, self.indices.clamp(min=0).flatten()].reshape(len(flat), *self.indices.shape)
        return torch.where(self.indices < 0, torch.full((), self.fill, dtype=moved.dtype), moved)


@dataclass(frozen=True, eq=False)
class Linear(Operation):
    """``x @ weight + bias`` over the last axis.

    ``weight`` is (n_inputs, n_outputs), as it is in the program's own `skfhe.program.ops.Linear`, ``bias``
    (n_outputs,).
    """

    weight: Tensor
    bias: Tensor

    def evaluate(self, *x: Tensor) -> Tensor:
        return functional.linear(x[0], self.weight.T, self.bias)


@dataclass(frozen=True, eq=False)
class Convolution(Operation):
    """Two-dimensional cross-correlation of rows of shape (channels, height, width).

    ``weight`` is (n_outputs, n_inputs // groups, height, width), ``padding`` the zeros at the top, left,
    bottom and right.
    """

    weight: Tensor
    bias: Tensor
    strides: tuple[int, int]
    padding: tuple[int, int, int, int]
    dilation: tuple[int, int]
    groups: int

    def evaluate(self, *x: Tensor) -> Tensor:
        top, left, bottom, right = self.padding
        padded = functional.pad(x[0], (left, right, top, bottom))
        return functional.conv2d(padded, self.weight, self.bias, self.strides, 0, self.dilation, self.groups)


@dataclass(frozen=True, eq=False)
class Elementwise(Operation):
    """A function of several values of one shape, element by element.

    ``kind`` is one of "add", "subtract", "multiply", "divide", "maximum", "minimum", "compare" and "where" if
    it is one of these, for which there are cheaper ways than for any function.
    """

    function: Callable[..., Tensor]
    kind: str = ""

    def evaluate(self, *x: Tensor) -> Tensor:
        return self.function(*x).to(torch.float64)


@dataclass(frozen=True, eq=False)
class MatMul(Operation):
    """``x @ y`` of two encrypted values, over their last two axes."""

    def evaluate(self, *x: Tensor) -> Tensor:
        return x[0] @ x[1]


@dataclass(frozen=True, eq=False)
class Extremum(Operation):
    """The largest or smallest of several elements.

    ``members`` is (n_members, *row of the result) and points into the flattened argument.
    """

    members: Tensor
    largest: bool

    def evaluate(self, *x: Tensor) -> Tensor:
        found = x[0].reshape(len(x[0]), -1)[:, self.members]
        return found.amax(dim=1) if self.largest else found.amin(dim=1)


@dataclass(frozen=True, eq=False)
class Comparators(Operation):
    """Elements that are compared in pairs and put in order, step after step: a sorting network, or a part.

    ``members`` is (n_members, *row) and points into the flattened argument, the result is (n_results, *row).
    Each step compares pairs of members, all different, given as their numbers: of a pair ``(low, high)`` the
    smaller one becomes the first, the larger one the second; ``writes`` says for each pair whether the first
    and whether the second is written, otherwise it stays what it was. ``results`` are the members returned.
    """

    members: Tensor
    steps: tuple[tuple[tuple[int, int], ...], ...]
    writes: tuple[tuple[tuple[bool, bool], ...], ...]
    results: tuple[int, ...]

    def evaluate(self, *x: Tensor) -> Tensor:
        wires = list(x[0].reshape(len(x[0]), -1)[:, self.members].unbind(1))
        for pairs, written in zip(self.steps, self.writes, strict=True):
            for (low, high), (writes_low, writes_high) in zip(pairs, written, strict=True):
                smaller, larger = (
                    torch.minimum(wires[low], wires[high]),
                    torch.maximum(wires[low], wires[high]),
                )
                wires[low] = smaller if writes_low else wires[low]
                wires[high] = larger if writes_high else wires[high]
        return torch.stack([wires[i] for i in self.results], 1)


@dataclass(frozen=True, eq=False)
class Concatenate(Operation):
    """Values joined along an axis of the row."""

    axis: int

    def evaluate(self, *x: Tensor) -> Tensor:
        return torch.cat(x, dim=self.axis + 1)


@dataclass(frozen=True, eq=False)
class Quantize(Operation):
    """A quantizer of the network's own: ``scale * (q - zero_point)`` with ``q = function(x)`` in [low, high].

    ``scale`` and ``zero_point`` broadcast against a row. With ``modulo_bits`` n the function depends on x
    modulo ``2**n`` steps of x's own grid alone, and changes its sign with half of them, exactly: x is counted
    modulo ``2**n``, and the lookup reads the whole circle (`skfhe.program.ops.Modulo`).
    """

    function: Callable[[Tensor], Tensor]
    scale: Tensor
    zero_point: Tensor
    low: int
    high: int
    modulo_bits: int | None = None

    def evaluate(self, *x: Tensor) -> Tensor:
        return (self.function(x[0]) - self.zero_point) * self.scale


@dataclass(frozen=True, eq=False)
class AfterDecryption(Operation):
    """What whoever decrypts computes of several values, on all of their elements together.

    Nothing that is evaluated encrypted may read it. ``tail`` has one result.
    """

    tail: Tail

    def evaluate(self, *x: Tensor) -> Tensor:
        (result,) = self.tail.apply(*(value.numpy() for value in x))
        return torch.from_numpy(result.astype("float64"))
