"""What the lowering writes programs with: values, their samples, bounds of accumulators, rounding.

Here is the one place where accumulators are rounded before they are looked up, for networks of all origins.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import ceil

import numpy as np

from skfhe._typing import FloatArray, IntArray, RangeSource, Rounding
from skfhe.cost import DEFAULT_P_ERROR, MAX_LOOKUP_BITS, lookup_seconds
from skfhe.exceptions import CompilationError
from skfhe.network._cells import tabulated
from skfhe.network._node import Node
from skfhe.network._noise import RoundingNoise
from skfhe.network._symbolic import Grid, Symbolic
from skfhe.program import IntegerType, Program, ProgramBuilder, evaluate, infer_type, ops

__all__ = ["Emitter"]

NEARLY_FULL = 0.9
"""Intervals of so much of what their bits hold are filled up; weights of others become smaller."""


class Emitter:
    """Builds a program while it runs on the calibration rows.

    Parameters
    ----------
    range_source : {"proven", "calibrated"}
        Whether an accumulator's interval follows from interval arithmetic, or from the calibration rows and
        ``margin``.
    margin : float
        What is added to each end of a calibrated interval, in units of its length.
    rounding : tuple of int and {"exact", "approximate"}, default=None
        Bits that accumulators are rounded to before they are looked up, and how. Both remove the lowest bits
        and look up the middle of what a result stands for. Exact rounding is down: it never needs one more
        bit, so that a lookup reads what was asked for, and it costs a bootstrap for each bit that it removes.
        Approximate rounding is to the nearest, half up, costs nothing, and may take the neighbour near a tie;
        rounding up may need one more bit.
    layers : mapping of str to int, default=None
        Bits that accumulators of some layers are rounded to instead, by the layers' labels.
    noise : RoundingNoise, default=None
        With what error samples are rounded approximately. Without, they are to the nearest.
    least_margin : float, default=1.0
        Part of the margin that does where with more of it, rounding up would need one more bit.
    widest : int, default=16
        Bits that a lookup may read.

    Attributes
    ----------
    node : Node
        The network's node that is being lowered: whatever takes part in the lowering reads it here.
    samples : list of ndarray of int64
        What each value of the program is on the calibration rows.
    frees_cells : bool
        Whether calibrated intervals leave cells of a table free that it has anyway, where narrower lookups
        then do; see `skfhe.passes.narrow_lookups`.
    freed_cells : bool
        Whether one did.
    reads_packed : bool
        Whether lookups of two values side by side may read more bits than others are rounded to.
    """

    node: Node

    def __init__(
        self,
        range_source: RangeSource,
        margin: float,
        rounding: Rounding | None,
        layers: Mapping[str, int] | None = None,
        noise: RoundingNoise | None = None,
        least_margin: float = 1.0,
        widest: int = MAX_LOOKUP_BITS,
    ) -> None:
        self.range_source, self.margin, self.rounding = range_source, margin, rounding
        self.layers, self.noise, self.least_margin = dict(layers or {}), noise, least_margin
        self.widest = widest
        self.samples: list[IntArray] = []
        self.frees_cells, self.freed_cells, self.reads_packed = True, False, False
        self._taken: dict[int, tuple[int, IntArray]] = {}
        self._builder = ProgramBuilder()
        self._narrowed = False
        self._tried: dict[int, tuple[ops.Op, IntArray]] = {}

    def finish(self, outputs: list[int]) -> Program:
        """Return the program."""
        return self._builder.finish(*outputs, range_source="calibrated" if self._narrowed else "proven")

    def type_of(self, position: int) -> IntegerType:
        """Return the type of a value."""
        return self._builder.type_of(position)

    @property
    def label(self) -> str:
        """Where the current node stands in the network."""
        return self.node.label

    def label_of(self, position: int) -> str:
        """Return the layer that a value belongs to."""
        return self._builder.value_at(position).label

    def input(self, low: IntArray, high: IntArray, sample: IntArray, label: str) -> int:
        """Append an encrypted input."""
        self.samples.append(sample)
        return self._builder.input(low, high, label=label)

    def add(self, op: ops.Op, *arguments: int, label: str | None = None) -> int:
        """Append the value that ``op`` computes from ``arguments``."""
        samples = [self.samples[a] for a in arguments]
        if self.noise is not None and isinstance(op, ops.Round) and op.method == "approximate":
            sample = np.clip(self.noise.rounded(op, *samples), *self._ends_of_rounded(op, arguments[0]))
        else:
            sample = evaluate(op, *samples)
        return self._append(op, arguments, sample, self.label if label is None else label)

    def _ends_of_rounded(self, op: ops.Round, argument: int) -> tuple[IntArray, IntArray]:
        """Return the ends of what a value is rounded to; a lookup has no cells beyond."""
        kind = infer_type(op, self.type_of(argument))
        return kind.low, kind.high

    def _rounding_of_layer(self, position: int | None = None) -> Rounding | None:
        """Return how accumulators are rounded in the layer of a value, or in the current one."""
        if self.rounding is None or not self.layers:
            return self.rounding
        label = self.label if position is None else self.label_of(position)
        return self.layers.get(label, self.rounding[0]), self.rounding[1]

    def _append(self, op: ops.Op, arguments: tuple[int, ...], sample: IntArray, label: str) -> int:
        self.samples.append(sample)
        return self._builder.add(op, *arguments, label=label)

    def is_fresh(self, position: int) -> bool:
        """Whether a value is made of inputs, as they were encrypted."""
        value = self._builder.value_at(position)
        moved = isinstance(value.op, ops.Reshape | ops.Gather | ops.Concatenate)
        return isinstance(value.op, ops.Input) or (moved and all(map(self.is_fresh, value.arguments)))

    def check_width(self, position: int, n_bits: int) -> None:
        """Raise a `CompilationError` if a lookup of a value cannot read ``n_bits`` bits."""
        if n_bits > self.widest:
            raise CompilationError(
                f"the accumulator of {self.label_of(position)!r} takes {n_bits} bits, and a lookup reads at "
                f"most {self.widest}"
            )

    def accumulate(self, op: ops.Linear | ops.Convolution, argument: int) -> tuple[int, IntArray]:
        """Append a linear operation whose results start at 0, channel by channel.

        Returns
        -------
        position : int
        low : ndarray of int64
            What has to be added to each channel's result to get the operation's own; it broadcasts against a
            row.
        """
        sample = self._products(op, argument)
        self._tried.clear()
        low, high, across = self._proven(op, argument)
        narrowed = False
        if self.range_source == "calibrated":
            calibrated_low, calibrated_high = self._with_margin(*_seen(sample, across), low, high)
            narrowed = bool(np.any(calibrated_low > low) or np.any(calibrated_high < high))
            low, high = calibrated_low, calibrated_high
        start, length = low.reshape(across), (high - low).reshape(across)
        shifted = replace(op, bias=op.bias - low)
        position = self._append(shifted, (argument,), sample - start, self.label)
        if narrowed:
            self._narrowed = True
            position = self.add(ops.Bound(np.zeros_like(length), length), position)
        return position, start

    def lengths(self, op: ops.Linear | ops.Convolution, argument: int) -> IntArray:
        """Return how long the interval of each channel of a linear operation is, at its whole margin."""
        low, high, across = self._proven(op, argument)
        if self.range_source == "proven":
            return high - low
        seen_low, seen_high = _seen(self._products(op, argument), across)
        wider = self._margin_of(seen_low, seen_high, self.margin)
        return np.minimum(seen_high + wider, high) - np.maximum(seen_low - wider, low)

    def _products(self, op: ops.Linear | ops.Convolution, argument: int) -> IntArray:
        """Return what a linear operation makes of a value's sample; of each that is tried for it, once."""
        known = self._tried.get(id(op))
        if known is None:
            known = self._tried[id(op)] = op, evaluate(op, self.samples[argument])
        return known[1]

    def filled_length(self, length: int) -> int | None:
        """Return how long an interval is whose lookup uses all of its cells; None if nothing is rounded.

        Of an interval that just takes one more bit, rounding leaves half as many cells as of one that is no
        longer than its bits hold. That of one bit less is returned, unless ``length`` nearly fills its own.
        """
        lsbs = self._removed(length)
        if not lsbs:
            return None
        bits = length.bit_length()
        most = (1 << bits) - (1 << lsbs)
        return most if NEARLY_FULL * most <= length <= most else most >> 1

    def _proven(
        self, op: ops.Linear | ops.Convolution, argument: int
    ) -> tuple[IntArray, IntArray, list[int]]:
        """Return each channel's ends by interval arithmetic, and the shape that they have across a row."""
        proven = infer_type(op, self.type_of(argument))
        axis = 0 if isinstance(op, ops.Convolution) else len(proven.shape) - 1
        others = tuple(a for a in range(len(proven.shape)) if a != axis)
        across = [-1 if a == axis else 1 for a in range(len(proven.shape))]
        return proven.low.min(axis=others), proven.high.max(axis=others), across

    def _margin_of(self, low: IntArray, high: IntArray, margin: float) -> IntArray:
        return np.ceil((high - low + 1) * margin).astype(np.int64)

    def _with_margin(
        self, low: IntArray, high: IntArray, proven_low: IntArray, proven_high: IntArray
    ) -> tuple[IntArray, IntArray]:
        """Widen seen intervals by the margin and then to what their bits hold, within the proven ones."""
        length = int((high - low).max())
        margin = self.margin
        tightest = length + 2 * ceil((length + 1) * margin * self.least_margin)
        widest = length + 2 * ceil((length + 1) * margin)
        if self._needs_another_bit(widest) and not self._needs_another_bit(tightest):
            margin *= self.least_margin
        wider = self._margin_of(low, high, margin)
        low, high = np.maximum(low - wider, proven_low), np.minimum(high + wider, proven_high)
        room = self._room(int((high - low).max()))
        spare = np.maximum(room - (high - low), 0)
        low = np.maximum(low - spare // 2, proven_low)
        return low, np.maximum(high, np.minimum(low + room, proven_high))

    def _removed(self, length: int) -> int:
        """Return how many bits are removed of values in an interval of a length."""
        rounding = self._rounding_of_layer()
        return 0 if rounding is None else max(0, length.bit_length() - rounding[0])

    def _needs_another_bit(self, length: int) -> bool:
        """Whether rounding up may need one more bit than values in an interval of a length have."""
        if self.rounding is None or self.rounding[1] == "exact":
            return False
        lsbs = self._removed(length)
        return length > (1 << length.bit_length()) - (1 << lsbs)

    def _room(self, length: int) -> int:
        """Return how long intervals may be that take no more than those of a length.

        The cells of a table are free up to the next power of two, and only up to some quarters or eighths of
        it where lookups of fewer bits then do (`skfhe.passes.narrow_lookups`).
        """
        bits = length.bit_length()
        lsbs = self._removed(length)
        approximate = self.rounding is None or self.rounding[1] == "approximate"
        if approximate and self.frees_cells:
            whole = (1 << (bits - lsbs)) - 1
            for n_parts in (2, 3):
                room = (whole - (whole >> n_parts) - 1) << lsbs
                if length <= room and _is_cheaper(bits - lsbs, n_parts):
                    self.freed_cells = True
                    return room
        if lsbs and approximate and not self._needs_another_bit(length):
            return (1 << bits) - (1 << lsbs)  # near a tie, the last cell's neighbour would need one more bit
        return (1 << bits) - 1

    def move(self, position: int, indices: IntArray) -> int:
        """Append the flattened elements at ``indices``, in their shape; -1 stands for the integer 0."""
        shape, size = self.type_of(position).shape, self.type_of(position).size
        if np.array_equal(indices.ravel(), np.arange(size)):
            return self._reshaped(position, indices.shape)
        flat = position if len(shape) == 1 else self.add(ops.Reshape((size,)), position)
        wanted = indices.ravel()
        source, taken = self._taken.get(position, (flat, np.arange(size)))
        if np.any(wanted < 0):
            first = self.add(ops.Gather(np.zeros(1, dtype=np.int64), 0), flat)
            zero = self.add(ops.Linear(np.zeros((1, 1), dtype=np.int64), np.zeros(1, dtype=np.int64)), first)
            flat = self.add(ops.Concatenate(0), flat, zero)
            wanted = np.where(wanted < 0, size, wanted)
            source, taken = flat, np.arange(size + 1)
        moved = self.add(ops.Gather(wanted.astype(np.int64), 0), flat)
        moved = moved if indices.ndim == 1 else self.add(ops.Reshape(indices.shape), moved)
        self._taken[moved] = source, taken[wanted]
        return moved

    def _reshaped(self, position: int, shape: tuple[int, ...]) -> int:
        """Append the elements of a value in another shape, or return the value that has it already."""
        value = self._builder.value_at(position)
        if isinstance(value.op, ops.Reshape) and shape != self.type_of(position).shape:
            return self._reshaped(value.arguments[0], shape)
        return position if shape == self.type_of(position).shape else self.add(ops.Reshape(shape), position)

    def combine(self, positions: list[int], multipliers: list[int], bias: int = 0) -> int:
        """Append ``bias + Σ multiplier * value`` of values of one shape."""
        if bias == 0 and multipliers in ([1, 1], [1, -1]):
            return self.add(ops.Add() if multipliers[1] > 0 else ops.Subtract(), *positions)
        shape = self.type_of(positions[0]).shape
        columns = [self.add(ops.Reshape((*shape, 1)), position) for position in positions]
        joined = self.add(ops.Concatenate(-1), *columns) if len(columns) > 1 else columns[0]
        weight = np.array(multipliers, dtype=np.int64)[:, None]
        total = self.add(ops.Linear(weight, np.array([bias], dtype=np.int64)), joined)
        return self.add(ops.Reshape(shape), total)

    def _rounding_of(self, position: int) -> tuple[ops.Op | None, int, float]:
        """Say how a value is rounded for its lookup, if it is wider than asked.

        Returns
        -------
        op : ops.Truncate, ops.Round or None
        step : int
            Its results are multiples of.
        middle : float
            What is to be added to a multiple to get the middle of the integers that it stands for.
        """
        rounding, read = self._rounding_of_layer(position), self.type_of(position)
        if rounding is None:
            return None, 1, 0.0
        n_bits, method = rounding
        lsbs = int(read.max - read.min).bit_length() - n_bits  # a shift makes it start at zero, where one can
        if lsbs <= 0:
            return None, 1, 0.0
        step = 1 << lsbs
        if method == "exact":
            return ops.Truncate(lsbs), step, (step - 1) / 2
        return ops.Round(lsbs, method), step, -0.5

    def _repeated(self, position: int, tables: IntArray) -> tuple[int, IntArray, IntArray] | None:
        """Find a value that holds each element once, if ``position`` repeats some.

        Parameters
        ----------
        position : int
        tables : ndarray of int64, shape (*leading, n)
            What the elements are looked up in.

        Returns
        -------
        position : int
        tables : ndarray of int64, shape (1, n) or (n_elements, n)
        indices : ndarray of int64
            Where the repeated elements are in it.
        None
            If no element is repeated, or not every time looked up in the same table.
        """
        if position not in self._taken:
            return None
        source, taken = self._taken[position]
        elements, first, indices = np.unique(taken, return_index=True, return_inverse=True)
        if len(elements) == len(taken):
            return None
        shape, leading = self.type_of(position).shape, tables.shape[:-1]
        by_number = tables.reshape(-1, tables.shape[-1])
        numbers = np.broadcast_to(np.arange(len(by_number)).reshape(leading), shape).ravel()
        pairs = np.unique(np.stack([numbers, numbers[first][indices.ravel()]]), axis=1)
        if not np.array_equal(by_number[pairs[0]], by_number[pairs[1]]):
            return None
        of_elements = by_number if len(by_number) == 1 else by_number[numbers[first]]
        return self.move(source, elements), of_elements, indices.reshape(shape)

    def tabulate(
        self,
        x: Symbolic,
        encode: Callable[[FloatArray], IntArray],
        grid: Grid,
        modulo_bits: int | None = None,
    ) -> Symbolic:
        """Append the lookup of ``encode(floats of x)``, whose integers stand for the floats of ``grid``.

        Parameters
        ----------
        x : Symbolic
        encode : callable
            From floats of shape (n, *row) to integers; `UNDEFINED` where the nearest defined cell stands in.
        grid : Grid
        modulo_bits : int, default=None
            Look up the integers modulo ``2**modulo_bits`` if they have as many bits; see `Quantize`.
        """
        position, read = x.position, self.type_of(x.position)
        op, step, middle = (None, 1, 0.0) if x.whole else self._rounding_of(position)
        if modulo_bits is not None:
            wraps = read.bits >= modulo_bits
            op, step, middle = ops.Modulo(modulo_bits) if wraps else None, 1, 0.0
        read = read if op is None else infer_type(op, read)
        self.check_width(position, read.bits - isinstance(op, ops.Modulo) - step.bit_length() + 1)
        label = self.label_of(x.position)
        arguments = np.arange(read.min, read.max + 1, step) + middle
        tables = tabulated(x.evaluate, encode, arguments, read.shape, label)
        leading = tables.shape[:-1] if tables[..., 0].size > 1 else (1,)
        tables = tables.reshape(*leading, len(arguments))
        indices = None
        repeated = self._repeated(position, tables)
        if repeated is not None:
            position, tables, indices = repeated
        if op is not None:
            position = self.add(op, position, label=label)
        start = np.full(tables.shape[:-1], read.min, dtype=np.int64)
        looked_up = self.add(ops.Lookup(tables, start, step), position, label=label)
        if indices is not None:
            looked_up = self.move(looked_up, indices)
        return Symbolic.on_grid(looked_up, x.reference, grid, x.shared)


def _seen(sample: IntArray, across: list[int]) -> tuple[IntArray, IntArray]:
    """Return the least and the largest integer of each channel."""
    others = (0, *(a + 1 for a, n in enumerate(across) if n == 1))
    return sample.min(axis=others), sample.max(axis=others)


def _is_cheaper(bits: int, n_parts: int) -> bool:
    """Whether lookups of one bit less each take less time together than the one that they stand for.

    Their results keep a bit more for each part but one: they are multiples.
    """
    if not n_parts < bits <= MAX_LOOKUP_BITS:
        return False
    whole = lookup_seconds(bits, bits, DEFAULT_P_ERROR)
    kept = bits + n_parts - 1
    return sum(lookup_seconds(bits - n, kept, DEFAULT_P_ERROR) for n in range(1, n_parts + 1)) < whole
