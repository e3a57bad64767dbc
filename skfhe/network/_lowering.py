"""From the float network to the integer program.

Every value is a function of encrypted integers (`skfhe.network._symbolic`). Linear operations act on the
integers; anything univariate is left until a lookup is needed, which then tabulates all of it, batch
normalization, activation, quantizer and scales, in double precision. Which grid the lookup's results lie on
is up to the scheme: chosen from calibration rows (`PostTraining`), or the network's own (`Trained`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import singledispatchmethod
from typing import Any

import numpy as np
import torch

from skfhe._typing import BoolArray, FloatArray, IntArray
from skfhe.encoding import AffineDecoder, AffineQuantizer, TableDecoder, Tail
from skfhe.exceptions import UnsupportedOperatorError
from skfhe.network import _products as products
from skfhe.network._builder import NetworkBuilder, unsupported
from skfhe.network._cells import fill_undefined
from skfhe.network._layer_weights import Group, LinearOp, patches, thinned, with_weights
from skfhe.network._node import Node
from skfhe.network._operations import (
    Affine,
    Comparators,
    Concatenate,
    Convolution,
    Elementwise,
    Extremum,
    Linear,
    MatMul,
    Move,
    Operation,
    Quantize,
    Source,
    Univariate,
)
from skfhe.network._schemes.scheme import Scheme
from skfhe.network._symbolic import Grid, RawInput, Symbolic
from skfhe.network._tails import ancestors, cut_tail
from skfhe.network._two_grids import only_summed, sum_on_two_grids, what_reads
from skfhe.program import Program, ops

__all__ = ["Lowered", "lower_network"]


MOST_CELLS = 1 << 24
"""Of the tables that decode an output together; a cell may stand for several integers of a wide one."""
FEWEST_CELLS = 1 << 12
"""Of the table that decodes one element, unless it has fewer integers."""


@dataclass(frozen=True, eq=False)
class Lowered:
    """A program, and how to encode its inputs and decode its outputs.

    Parameters
    ----------
    program : Program
    quantizers : list of (int, AffineQuantizer)
        For each input of the program, which of the network's inputs it encodes, and how.
    decoders : list of AffineDecoder or TableDecoder
        For each output of the program.
    tail : Tail or None
        What makes the network's outputs of what these decode; None if those are its outputs.
    """

    program: Program
    quantizers: list[tuple[int, AffineQuantizer]]
    decoders: list[AffineDecoder | TableDecoder]
    tail: Tail | None = None


def lower_network(network: NetworkBuilder, scheme: Scheme) -> Lowered:
    """Lower a network by a scheme.

    Parameters
    ----------
    network : NetworkBuilder
    scheme : Scheme

    Returns
    -------
    Lowered
    """
    values: dict[int, Any] = {}
    cut = cut_tail(network, combining=not scheme.looks_up_outputs)
    used = ancestors(cut.outputs)
    readers: dict[int, list[Node]] = {}
    for node in network.nodes:
        for argument in dict.fromkeys(node.arguments) if id(node) in used else ():
            readers.setdefault(id(argument), []).append(node)
    lowering = _Lowering(
        scheme,
        lambda node: what_reads(node, readers, cut.outputs),
        lambda node: only_summed(node, readers),
    )
    for node in network.nodes:
        if id(node) not in used:
            continue
        scheme.emitter.node = node
        with torch.no_grad():
            values[id(node)] = lowering.lower(node.operation, *(values[id(a)] for a in node.arguments))
    decoders: list[AffineDecoder | TableDecoder] = []
    positions = []
    for node in cut.outputs:
        scheme.emitter.node = node
        output = scheme.decoded(values[id(node)])
        positions.append(output.position)
        decoders.append(_decoder(output, scheme, node.label))
    return Lowered(scheme.emitter.finish(positions), scheme.quantizers, decoders, cut.tail)


def _decoder(x: Symbolic, scheme: Scheme, label: str) -> AffineDecoder | TableDecoder:
    if x.grid is not None:
        return AffineDecoder(x.grid.scale.copy(), x.grid.offset.copy())
    read = scheme.emitter.type_of(x.position)
    n_integers = read.max - read.min + 1
    n_cells = n_integers if x.whole else max(FEWEST_CELLS, MOST_CELLS // read.size)
    step = 1 << (-(-n_integers // n_cells) - 1).bit_length()
    middles = torch.arange(read.min, read.max + 1, step) + (step - 1) / 2
    table = np.moveaxis(x.evaluate(middles).numpy(), 0, -1)
    table = fill_undefined(
        table, np.isfinite(table) | _shared_by_rows(table, read.min, step, x, scheme), label
    )
    return TableDecoder(read.min, table.copy(), step)


def _shared_by_rows(
    table: FloatArray, start: int, step: int, x: Symbolic, scheme: Scheme
) -> BoolArray | bool:
    """Find the cells that are infinite or NaN in the original network, too, on all rows that lead there.

    ``table`` (*row, n) decodes ``x`` from the integer ``start`` on; a cell stands for ``step`` integers.
    """
    if np.isfinite(table).all():
        return False
    cells = (scheme.emitter.samples[x.position] - start) // step
    found = np.take_along_axis(table[None], cells[..., None], axis=-1)[..., 0]
    same = (found == x.reference.numpy()) | (np.isnan(found) & np.isnan(x.reference.numpy()))
    agrees, differs = (np.zeros(table.shape, dtype=bool) for _ in range(2))
    elements = np.indices(table.shape[:-1])
    for row, equal in zip(cells, same, strict=True):
        agrees[(*elements, row)] |= equal
        differs[(*elements, row)] |= ~equal
    return agrees & ~differs


class _Lowering:
    """Lowers one node after another."""

    def __init__(
        self,
        scheme: Scheme,
        reads: Callable[[Node], list[Callable[[torch.Tensor], torch.Tensor]] | None],
        is_only_summed: Callable[[Node], bool],
    ) -> None:
        self.scheme, self.emitter, self.reads = scheme, scheme.emitter, reads
        self.is_only_summed = is_only_summed

    @singledispatchmethod
    def lower(self, operation: Operation, *arguments: Any) -> Symbolic | RawInput:
        """Return what stands for the result of ``operation``."""
        raise TypeError(f"{type(operation).__name__} is not an operation of a network")

    @property
    def _node(self) -> Node:
        """The current node."""
        return self.emitter.node

    @property
    def _shared(self) -> bool:
        """Whether more than one operation reads the current node."""
        return self._node.readers > 1

    @lower.register
    def lower_source(self, operation: Source) -> Symbolic | RawInput:
        return self.scheme.input(self._node, operation.index)

    @lower.register
    def lower_univariate(self, operation: Univariate, x: Any) -> Symbolic | RawInput:
        return replace(x.through(operation.evaluate, self._node.reference), shared=self._shared)

    @lower.register
    def lower_affine(self, operation: Affine, x: Any) -> Symbolic | RawInput:
        if isinstance(x, RawInput) or x.grid is None:
            return replace(x.through(operation.evaluate, self._node.reference), shared=self._shared)
        scale, offset = operation.scale.numpy(), operation.offset.numpy()
        grid = Grid.of(x.grid.scale * scale, x.grid.offset * scale + offset, x.shape)
        scaled = x.through(operation.evaluate, self._node.reference)
        return replace(scaled, grid=grid, shared=self._shared)

    @lower.register
    def lower_quantize(self, operation: Quantize, x: Any) -> Symbolic:
        return replace(self.scheme.quantize(x, operation, self._node.reference), shared=self._shared)

    @lower.register
    def lower_move(self, operation: Move, x: Any) -> Symbolic | RawInput:
        if isinstance(x, RawInput):
            moved = x.through(operation.evaluate, self._node.reference)
            return replace(moved, moves=(*x.moves, operation), shared=self._shared)
        position = self.emitter.move(x.position, operation.indices.numpy())
        grid = None if x.grid is None else x.grid.move(operation)
        moved = x.through(operation.evaluate, self._node.reference)
        return replace(moved, position=position, grid=grid, shared=self._shared)

    @lower.register
    def lower_concatenate(self, operation: Concatenate, *arguments: Any) -> Symbolic:
        parts = self._of_one_width(arguments)
        position = self.emitter.add(ops.Concatenate(operation.axis), *(x.position for x in parts))
        grids = [x.grid for x in parts if x.grid is not None]
        if len(grids) == len(parts):
            scale = np.concatenate([grid.scale for grid in grids], axis=operation.axis)
            offset = np.concatenate([grid.offset for grid in grids], axis=operation.axis)
            return self._on_grid(position, Grid(scale, offset))
        each = [x.evaluate for x in parts]

        def evaluate(integers: torch.Tensor) -> torch.Tensor:
            return torch.cat([part(integers) for part in each], dim=operation.axis + 1)

        whole = any(x.whole for x in parts)
        return Symbolic(position, self._node.reference, None, evaluate, self._shared, whole)

    @lower.register
    def lower_linear(self, operation: Linear, x: Any) -> Symbolic:
        weight = operation.weight.numpy()
        n_inputs, n_outputs = weight.shape
        x = self._summand(x, len(x.shape) - 1, weight)
        scales = x.grid.scale.reshape(-1, n_inputs)[0]
        sample = self.emitter.samples[x.position].reshape(-1, n_inputs)
        offset = operation.evaluate(torch.from_numpy(x.grid.offset[None].copy()))[0].numpy()
        wanted = (self._node.reference.numpy() - offset).reshape(-1, n_outputs)
        zero = np.zeros(n_outputs, dtype=np.int64)
        matrix = weight * scales[:, None], thinned(sample), thinned(wanted)
        op, scale = self._with_weights([matrix], lambda integers: ops.Linear(integers, zero), x)
        position, low = self.emitter.accumulate(op, x.position)
        return self.scheme.corrected(self._accumulated(position, scale, low, offset), -1)

    @lower.register
    def lower_convolution(self, operation: Convolution, x: Any) -> Symbolic:
        weight = operation.weight.numpy()
        x = self._summand(x, 0, weight.reshape(len(weight), -1))
        n_outputs, n_read = weight.shape[:2]
        n_groups = operation.groups
        scales = x.grid.scale.reshape(len(x.grid.scale), -1)[:, 0].reshape(n_groups, n_read)
        folded = weight * np.repeat(scales, n_outputs // n_groups, axis=0)[:, :, None, None]
        offset = operation.evaluate(torch.from_numpy(x.grid.offset[None].copy()))[0].numpy()
        results = self._node.reference - torch.from_numpy(offset)
        sample, wanted = patches(self.emitter.samples[x.position], results, operation)
        each = zip(*(np.split(v, n_groups, axis=1) for v in (sample, wanted)), strict=True)
        matrices = np.split(folded.reshape(n_outputs, -1).T, n_groups, axis=1)  # patches are multiplied with
        places = operation.strides, operation.padding, operation.dilation, n_groups
        zero = np.zeros(n_outputs, dtype=np.int64)
        op, scale = self._with_weights(
            [(matrix, *pair) for matrix, pair in zip(matrices, each, strict=True)],
            lambda columns: ops.Convolution(columns.T.reshape(weight.shape), zero, *places),
            x,
        )
        position, low = self.emitter.accumulate(op, x.position)
        return self.scheme.corrected(self._accumulated(position, scale[:, None, None], low, offset), 0)

    def _with_weights(
        self, groups: Sequence[Group], operation: Callable[[IntArray], LinearOp], x: Symbolic
    ) -> tuple[LinearOp, FloatArray]:
        looked_up = not self.is_only_summed(self._node)
        return with_weights(self.scheme, groups, operation, x, looked_up)

    @lower.register
    def lower_extremum(self, operation: Extremum, x: Any) -> Symbolic:
        x = self._comparable(operation, x)
        result = products.extremum(self.emitter, x, operation, self._node.reference)
        return replace(result, shared=self._shared)

    @lower.register
    def lower_comparators(self, operation: Comparators, x: Any) -> Symbolic:
        x = self._comparable(operation, x)
        result = products.compared(self.emitter, x, operation, self._node.reference)
        return replace(result, shared=self._shared)

    def _comparable(self, operation: Extremum | Comparators, x: Any) -> Symbolic:
        """Return ``x`` on a grid on which the order of integers is that of the members."""
        x = self.scheme.operand(x, None)
        if not products.comparable(x, operation):
            x = self.scheme.operand(replace(x, grid=None), None)
        return x

    @lower.register
    def lower_matmul(self, operation: MatMul, a: Any, b: Any) -> Symbolic:
        a, b = self._on_one_grid(a), self._on_one_grid(b)
        return replace(products.matmul(self.emitter, a, b, self._node.reference), shared=self._shared)

    @lower.register
    def lower_elementwise(self, operation: Elementwise, *arguments: Any) -> Symbolic | RawInput:
        if all(
            isinstance(x, RawInput) and x.index == arguments[0].index and x.moves == arguments[0].moves
            for x in arguments
        ):
            each = [x.evaluate for x in arguments]
            together = lambda floats: operation.function(*(part(floats) for part in each))  # noqa: E731
            return replace(
                arguments[0], reference=self._node.reference, evaluate=together, shared=self._shared
            )
        values = [self.scheme.operand(x, None) if isinstance(x, RawInput) else x for x in arguments]
        result = self._of_one(operation, values) or self._of_two(operation, values)
        if result is None:
            raise self._too_wide(operation, values)
        return replace(result, shared=self._shared)

    def _too_wide(self, operation: Elementwise, values: list[Symbolic]) -> UnsupportedOperatorError:
        """Return the error that a function of several values does not fit one lookup."""
        widths = ", ".join(str(self._bits(x)) for x in values)
        most = products.most_packed(self.emitter)
        if len(values) == 2:
            reason = f"its values of {widths} bits are on two grids, and a lookup of both reads {most} bits"
            instead = self.scheme.narrower(max(1, most // 2))
        elif operation.kind == "where":
            reason = (
                f"it takes values of {widths} bits, and a lookup of a condition and a value reads {most} bits"
            )
            instead = self.scheme.narrower(max(1, most // 2))
        else:
            reason, instead = f"it takes {len(values)} encrypted values", "operators of one or two"
        return unsupported(self._node.name, self._node.label, reason, instead)

    def _of_one(self, operation: Elementwise, values: list[Symbolic]) -> Symbolic | None:
        """Lower a function of values that read the same integers: it is univariate."""
        if any(x.position != values[0].position for x in values):
            return None
        result = _together(operation.function, values, self._node.reference)
        if operation.kind in ("add", "subtract") and all(x.grid is not None for x in values):
            sign = 1 if operation.kind == "add" else -1
            first, second = (x.grid for x in values)
            grid = Grid(first.scale + sign * second.scale, first.offset + sign * second.offset)  # type: ignore[union-attr]
            return replace(result, grid=grid)
        return result

    def _of_two(self, operation: Elementwise, values: list[Symbolic]) -> Symbolic | None:
        """Lower a function of two different values, by the cheapest way that it allows."""
        if operation.kind == "where" and len(values) == 3:
            return self._select(operation, values)
        if len(values) != 2:
            return None
        a, b = values
        if operation.kind in ("add", "subtract", "maximum", "minimum", "compare"):
            aligned = self.scheme.aligned(a, b, looked_up=operation.kind not in ("add", "subtract"))
            if self.scheme.on_two_grids and operation.kind in ("add", "subtract"):
                reads = self.reads(self._node)
                a, b = self.scheme.operand(a, None), self.scheme.operand(b, None)
                if reads is not None:
                    result = sum_on_two_grids(self.emitter, operation, a, b, aligned, reads)
                    if result is not None:
                        return result
            if aligned is not None:
                return products.of_sum(self.emitter, operation, aligned, self._node.reference)
        narrow = sum(self._bits(x) for x in values) <= self._most_packed
        if operation.kind in ("multiply", "divide") and not narrow:
            if operation.kind == "divide":
                b = b.through(torch.reciprocal, torch.reciprocal(b.reference))
            a, b = self._factor(a), self._factor(b)
            return products.multiply(self.emitter, a, b, self._node.reference)
        return self._packed(operation.function, a, b, self._node.reference)

    def _select(self, operation: Elementwise, values: list[Symbolic]) -> Symbolic | None:
        """Lower a choice between two encrypted values as a sum of two, of which one is always 0."""
        condition, a, b = values
        zero = torch.zeros((), dtype=torch.float64)
        terms: list[Symbolic] = []
        for x, choose in (
            (a, lambda c, x: torch.where(c != 0, x, zero)),
            (b, lambda c, x: torch.where(c != 0, zero, x)),
        ):
            reference = choose(condition.reference, x.reference)
            if condition.position == x.position:
                term: Symbolic | None = _together(choose, [condition, x], reference)
            else:
                term = self._packed(choose, condition, x, reference)
            if term is None:
                return None
            terms.append(term)
        aligned = self.scheme.aligned(terms[0], terms[1], looked_up=False)
        if aligned is None:
            return None
        total = Elementwise(torch.add, "add")
        return products.of_sum(self.emitter, total, aligned, self._node.reference)

    def _bits(self, x: Symbolic) -> int:
        return self.emitter.type_of(x.position).bits

    def _packed(
        self, function: Callable[..., torch.Tensor], a: Symbolic, b: Symbolic, reference: torch.Tensor
    ) -> Symbolic | None:
        """Lower a function of two different values as one lookup of both, side by side.

        Before, what takes few values is looked up in fewer bits, and what has many bits if both are wide.
        """
        total = self._bits(a) + self._bits(b)
        if total > min(products.FEWEST_PACKED_BITS, self._most_packed):
            most = products.MOST_PACKED_BITS
            if total > self._most_packed:
                most = products.FEW_BITS
                if self.emitter.rounding is not None:
                    most = min(most, self.emitter.rounding[0] - 1)
            a, b = self.scheme.narrowed(a, most), self.scheme.narrowed(b, most)
        return products.packed(self.emitter, function, a, b, reference)

    @property
    def _most_packed(self) -> int:
        """Bits up to which two values are packed as they are."""
        most = products.MOST_PACKED_PRODUCT_BITS
        return min(most, products.most_packed(self.emitter))

    def _factor(self, x: Symbolic) -> Symbolic:
        """Return ``x`` on a grid, as a factor of products element by element."""
        x = self.scheme.factor(x)
        assert x.grid is not None
        return x if np.all(x.grid.scale != 0) else self.scheme.operand(replace(x, grid=None), None)

    def _on_one_grid(self, x: Any) -> Symbolic:
        """Return ``x`` on the same grid for all of its elements."""
        x = self.scheme.operand(x, None)
        if products.is_one_grid(x.grid.scale.ravel(), x.grid.offset.ravel()):
            return x
        return self.scheme.operand(replace(x, grid=None), None)

    def _of_one_width(self, values: Sequence[Any]) -> list[Symbolic]:
        """Return values that a lookup of all of them can round by the same number of bits.

        Those of few bits are multiplied by powers of two. Two values side by side cannot be rounded: they are
        looked up, or nothing is rounded, where values have grids of their own.
        """
        looked_up = not self.scheme.on_two_grids
        parts = [
            self.scheme.operand(x, None) if isinstance(x, RawInput) or (x.whole and looked_up) else x
            for x in values
        ]
        if any(x.whole for x in parts):
            return parts
        widest = max(self._bits(x) for x in parts)
        if self.emitter.rounding is None or widest <= self.emitter.rounding[0]:
            return parts
        return [self._multiplied(x, 1 << (widest - self._bits(x))) for x in parts]

    def _multiplied(self, x: Symbolic, factor: int) -> Symbolic:
        """Return ``x`` as a function of integers that are multiples of ``factor``."""
        if factor == 1:
            return x
        position = self.emitter.combine([x.position], [factor])
        if x.grid is not None:
            return Symbolic.on_grid(position, x.reference, Grid(x.grid.scale / factor, x.grid.offset))
        inner = x.evaluate
        return replace(x, position=position, evaluate=lambda integers: inner(integers / factor))

    def _summand(self, x: Any, axis: int, weight: FloatArray) -> Symbolic:
        """Return the argument of a linear layer, quantized unless it is only summed or averaged."""
        if isinstance(x, Symbolic) and x.grid is not None:
            magnitudes = np.abs(weight[weight != 0])
            plain = len(magnitudes) == 0 or np.ptp(magnitudes) == 0
            if plain and np.all(x.grid.scale == x.grid.scale.ravel()[0]):
                return x
        return self.scheme.operand(x, axis)

    def _accumulated(self, position: int, scale: FloatArray, low: IntArray, offset: FloatArray) -> Symbolic:
        """Return an accumulator that was shifted by ``-low``.

        Its floats are rounded as the network's own are, the bias added last: biases of networks in training
        settle where a quantizer is undecided, and half an ulp then tells which way it goes.
        """
        grid = Grid.of(scale, offset + scale * low, self._node.shape)
        own = Grid.of(scale, offset, self._node.shape)
        shift = torch.from_numpy(np.broadcast_to(low, self._node.shape).copy())
        factor, bias = (torch.from_numpy(v.copy()) for v in (own.scale, own.offset))

        def evaluate(integers: torch.Tensor) -> torch.Tensor:
            column = integers.to(torch.float64).reshape(-1, *(1,) * shift.ndim)
            return (column + shift) * factor + bias

        return Symbolic(position, self._node.reference, grid, evaluate, self._shared)

    def _on_grid(self, position: int, grid: Grid) -> Symbolic:
        return Symbolic.on_grid(position, self._node.reference, grid, self._shared)


def _together(
    function: Callable[..., torch.Tensor], values: list[Symbolic], reference: torch.Tensor
) -> Symbolic:
    """Return a function of values that read the same integers."""
    each = [x.evaluate for x in values]

    def evaluate(integers: torch.Tensor) -> torch.Tensor:
        return function(*(part(integers) for part in each)).to(torch.float64)

    return Symbolic(values[0].position, reference, None, evaluate, whole=any(x.whole for x in values))
