"""Read an accumulator by lookups of fewer bits where not all cells of its circle occur.

A bootstrap of *p* bits reads ``2**(p + 1)`` residues of a negacyclic table (`skfhe.program.ops.Modulo`). A
table is a sum of negacyclic ones on circles of *d*, *d* - 1, … bits and a constant, and few of them are
enough where few cells occur (`skfhe.passes._negacyclic`): of 6 bits with at most 48 cells, one lookup of 5
bits and one of 4. The parts hold halves, so that all is multiplied by a power of two, and so are the sums
behind it. A lookup of such a sum reads its upper bits, which is exact, as the lower ones are zero; an output
is returned as it is, and whoever decodes it divides.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from skfhe._typing import BoolArray, IntArray
from skfhe.cost import ErrorRate, estimate_cost
from skfhe.passes._negacyclic import MOST_PARTS, Split, split_tables
from skfhe.passes._reduce_residues import reduce_residues
from skfhe.passes._shifting import granularity, greatest, least
from skfhe.program import IntegerType, Program, ProgramBuilder, evaluate, leading_shape, ops

__all__ = ["narrow_lookups"]

FEWEST_CELLS = 5
"""Of a table that is worth a thought: one of 4 cells is read by 2 bits, the fewest that a circle has."""
MOST_BITS = 11
"""Of a circle: the engine reads more on residues of other numbers alone."""
MOST_CELLS = 1 << 24
"""Of all tables of a lookup together, which are held several times."""
_MOVES = (ops.Reshape, ops.Gather, ops.Concatenate, ops.Bound)
_SUMS = (*_MOVES, ops.Add, ops.Subtract, ops.Sum)


def narrow_lookups(program: Program, error_rate: ErrorRate | None = None) -> tuple[Program, tuple[int, ...]]:
    """Return a program with narrower lookups of the same accumulators, where the whole is cheaper then.

    Lookups whose results are outputs as they are, or take part in sums with inputs, are left as they are. One
    of an accumulator that is rounded approximately is narrowed if one other does.

    Parameters
    ----------
    program : Program
    error_rate : ErrorRate, optional
        That prices are compared at; 2**-40 a lookup by default.

    Returns
    -------
    program : Program
    doubled : tuple of int
        For each output, how often it is doubled: it is ``2**doubled`` times that of the given program.

    Examples
    --------
    >>> from skfhe.program import ProgramBuilder, run
    >>> builder = ProgramBuilder()
    >>> x = builder.input(np.zeros(47), np.ones(47), label="x")
    >>> total = builder.add(ops.Sum(0), x, label="sum")
    >>> square = builder.add(ops.Lookup(np.arange(48)[None] ** 2 // 99, np.array([0])), total, label="square")
    >>> row = builder.add(ops.Reshape((1,)), square, label="square")
    >>> program = builder.finish(builder.add(ops.Linear(np.array([[3]]), np.array([1])), row, label="y"))
    >>> narrow, doubled = narrow_lookups(program)
    >>> program.accumulator_bits, narrow.accumulator_bits, doubled
    ([6], [5, 4], (1,))
    >>> rows = np.repeat([[0], [1]], 47, axis=1)
    >>> run(program, rows)[0].tolist(), run(narrow, rows)[0].tolist()
    ([[1], [67]], [[2], [134]])
    """
    best, doubled = program, (0,) * len(program.outputs)
    candidates = _candidates(program)
    if not candidates:
        return best, doubled
    cost = estimate_cost(program, error_rate)
    chosen: frozenset[int] = frozenset()
    # all of them, and from what is better so far, each the other way
    for changed in (frozenset(candidates), *(frozenset({at}) for at in sorted(candidates, reverse=True))):
        tried = chosen ^ changed
        try:
            narrowed, factors = _Narrowing(program, {at: candidates[at] for at in tried}).apply()
        except _Unfit:
            continue
        narrowed = reduce_residues(narrowed)
        found = estimate_cost(narrowed, error_rate)
        saved = cost.reference_seconds - found.reference_seconds
        if found.complexity < cost.complexity and saved > 0:
            chosen, best, doubled, cost = tried, narrowed, factors, found
    return best, doubled


class _Unfit(Exception):
    """A choice of lookups cannot be narrowed together."""


@dataclass(frozen=True, eq=False)
class _Narrow:
    """What stands for a lookup.

    Parameters
    ----------
    split : Split
        Of its tables.
    lsbs : int
        Bits that its argument is rounded by, approximately.
    leading : tuple of int
        Their shape, with as many axes as a row.
    low, high : ndarray of int64
        Ends of what its own tables hold.
    """

    split: Split
    lsbs: int
    leading: tuple[int, ...]
    low: IntArray
    high: IntArray


def _candidates(program: Program) -> dict[int, _Narrow]:
    """Return how lookups can be narrowed, by their positions."""
    found = {}
    for position in program.lookups:
        value = program.values[position]
        argument = program.values[value.arguments[0]]
        assert isinstance(value.op, ops.Lookup)
        if isinstance(argument.op, ops.Modulo | ops.Lookup | ops.Input) or (
            value.op.step > 1 and not _is_rounded(argument.op, value.op.step)
        ):
            continue
        leading = leading_shape(value.op, argument.type.shape)
        leading = (*[1] * (len(argument.type.shape) - len(leading)), *leading)
        low, high = _reached(program, position)
        low, high = least(low, leading), greatest(high, leading)
        n_cells = int((high - low).max()) + 1
        n_bits = (n_cells - 1).bit_length()
        if n_cells < FEWEST_CELLS or n_bits > MOST_BITS or low.size << n_bits > MOST_CELLS:
            continue
        tables, live = _on_circle(value.op, low, high, n_bits)
        # near a tie, two lookups of what is rounded approximately might take different neighbours
        most = 1 if value.op.step > 1 else MOST_PARTS
        split = split_tables(tables, live, most, shifted=not _meets_zeros(program, position))
        if split is not None and split.parts:
            ends = [np.where(live, tables, end) for end in (tables.max(), tables.min())]
            smallest, largest = ends[0].min(axis=-1), ends[1].max(axis=-1)
            found[position] = _Narrow(
                split,
                value.op.step.bit_length() - 1,
                leading,
                smallest.reshape(leading),
                largest.reshape(leading),
            )
    return found


def _meets_zeros(program: Program, position: int) -> bool:
    """Whether a value is convolved beside zeros, before it is looked up: these stand for no other number."""
    reached = {position}
    for at, value in enumerate(program.values):
        if at > position and not reached.isdisjoint(value.arguments):
            if isinstance(value.op, ops.Convolution) and any(value.op.padding):
                return True
            if isinstance(value.op, _SUMS):
                reached.add(at)
    return False


def _is_rounded(op: ops.Op, step: int) -> bool:
    """Whether an operation rounds to multiples of ``step`` as a circle can."""
    return isinstance(op, ops.Round) and op.method == "approximate" and 1 << op.lsbs == step


def _reached(program: Program, position: int) -> tuple[IntArray, IntArray]:
    """Return the first and the last multiple of its step that each element of a lookup's argument can be.

    Near a tie, approximate rounding may take the neighbour, which then is one of them, even beyond the ends.
    """
    (source,) = program.values[position].arguments
    read, op = program.values[source], program.values[position].op
    assert isinstance(op, ops.Lookup)
    low, high = read.type.low // op.step, read.type.high // op.step
    if op.step > 1:
        before = program.values[read.arguments[0]].type
        low = low - (before.low < read.type.low)
        high = high + (before.high > read.type.high)
    return low, high


def _on_circle(op: ops.Lookup, low: IntArray, high: IntArray, n_bits: int) -> tuple[IntArray, BoolArray]:
    """Return tables by the residues of their arguments modulo ``2**n_bits``, and which of them occur.

    ``low`` and ``high`` are the ends of what each table is asked for, all in steps.
    """
    residues = np.arange(1 << n_bits)
    # of each residue, the only argument from the lower end on that has it
    arguments = low[..., None] + (residues - low[..., None]) % (1 << n_bits)
    live = arguments <= high[..., None]
    start = op.start.reshape(low.shape)[..., None]
    cells = np.clip((arguments * op.step - start) // op.step, 0, op.tables.shape[-1] - 1)
    tables = np.take_along_axis(op.tables.reshape(*low.shape, -1), cells, axis=-1)
    return tables.reshape(-1, len(residues)), live.reshape(-1, len(residues))


class _Narrowing:
    """Rewrites a program with some of its lookups narrowed.

    Values that sums connect are multiplied by one power of two.
    """

    def __init__(self, program: Program, narrow: dict[int, _Narrow]) -> None:
        self.program, self.narrow = program, narrow
        self.doubled = _doubled(program, {at: each.split.doubled for at, each in narrow.items()})
        self.builder = ProgramBuilder()
        self.translated: list[int] = []
        self.missing: dict[int, IntArray] = {}

    def apply(self) -> tuple[Program, tuple[int, ...]]:
        """Return the program, and how often each output is doubled."""
        for position in range(len(self.program.values)):
            self.translated.append(self._emit(position))
        if any(output in self.missing for output in self.program.outputs):
            raise _Unfit
        outputs = (self.translated[output] for output in self.program.outputs)
        return (
            self.builder.finish(*outputs, range_source=self.program.range_source),
            tuple(self.doubled[output] for output in self.program.outputs),
        )

    def _emit(self, position: int) -> int:
        """Append what stands for a value, and note in `missing` what it lacks of its multiple."""
        value = self.program.values[position]
        op, doubled = value.op, self.doubled[position]
        arguments = [self.translated[a] for a in value.arguments]
        lacking = [a for a in value.arguments if a in self.missing]
        if position in self.narrow:
            if lacking:
                raise _Unfit
            return self._parts(position, arguments[0])
        if isinstance(op, ops.Lookup):
            if lacking:
                raise _Unfit
            return self._wider(position, op, arguments[0])
        if doubled:
            op = _multiplied(op, doubled)
        if lacking:
            op = self._made_up(position, op)
        return self.builder.add(op, *arguments, label=value.label)

    def _parts(self, position: int, argument: int) -> int:
        """Append the lookups that stand for one, and their sum, which the constants are missing in."""
        value, narrow = self.program.values[position], self.narrow[position]
        doubled = self.doubled[value.arguments[0]]
        if doubled and not narrow.lsbs:
            argument = self._upper_bits(argument, doubled, value.label)
        lsbs = narrow.lsbs + doubled
        split, more = narrow.split, self.doubled[position] - narrow.split.doubled
        total = None
        for n_bits, tables in split.parts:
            residues = self.builder.add(ops.Modulo(n_bits + lsbs), argument, label=value.label)
            cells = (tables << more).reshape(*narrow.leading, -1)
            lookup = ops.Lookup(cells, np.zeros(narrow.leading, dtype=np.int64), 1 << lsbs)
            part = self.builder.add(lookup, residues, label=value.label)
            total = part if total is None else self.builder.add(ops.Add(), total, part, label=value.label)
        assert total is not None
        constants = (split.constants << more).reshape(narrow.leading)
        if constants.any():
            self.missing[position] = np.broadcast_to(constants, value.type.shape)
        # elements of one table may have intervals of their own, unless a neighbour may be taken
        ends = (narrow.low, narrow.high) if narrow.lsbs else (value.type.low, value.type.high)
        low, high = (end << self.doubled[position] for end in ends)
        bound = ops.Bound(*(np.broadcast_to(end - constants, value.type.shape).copy() for end in (low, high)))
        return self.builder.add(bound, total, label=value.label)

    def _wider(self, position: int, op: ops.Lookup, argument: int) -> int:
        """Append a lookup of what may be doubled, by its upper bits, with results that may be."""
        value = self.program.values[position]
        (source,) = value.arguments
        op = replace(op, tables=op.tables << self.doubled[position])
        doubled = self.doubled[source]
        if doubled:
            if isinstance(self.program.values[source].op, ops.Modulo):
                raise _Unfit
            if not self.program.roundings_of(position):
                argument = self._upper_bits(argument, doubled, value.label)
            op = replace(op, start=op.start << doubled, step=op.step << doubled)
        if not _reads_all(op, self.builder.type_of(argument)):
            raise _Unfit  # with a neighbour's, a sum may be more than its own lookups expect
        return self.builder.add(op, argument, label=value.label)

    def _upper_bits(self, argument: int, doubled: int, label: str) -> int:
        """Append multiples as what they are, whose lower bits a lookup does not read."""
        if self.builder.type_of(argument).bits <= doubled:
            raise _Unfit
        return self.builder.add(ops.Round(doubled, "approximate"), argument, label=label)

    def _made_up(self, position: int, op: ops.Op) -> ops.Op:
        """Return an operation that adds what its arguments lack, or note that its result lacks it."""
        value = self.program.values[position]
        lacking = [
            self.missing.get(a, np.zeros(self.program.values[a].type.shape, dtype=np.int64))[None]
            for a in value.arguments
        ]
        if isinstance(op, ops.Linear | ops.Convolution):
            (lack,) = evaluate(replace(op, bias=np.zeros_like(op.bias)), *lacking)
            across = granularity(op, lack.shape)
            constant = least(lack, across)
            if not np.array_equal(lack, np.broadcast_to(constant, lack.shape)):
                raise _Unfit  # at the edges of an image, where zeros stand for others
            return replace(op, bias=op.bias + constant.ravel())
        if not isinstance(op, _SUMS):
            raise _Unfit
        if isinstance(op, ops.Bound):
            (lack,) = lacking[0]
            op = ops.Bound(op.low - lack, op.high - lack)
        else:
            (lack,) = evaluate(op, *lacking)
        if lack.any():
            self.missing[position] = lack
        return op


def _reads_all(op: ops.Lookup, x: IntegerType) -> bool:
    """Whether tables have a cell for each argument that occurs."""
    start = op.start.reshape(leading_shape(op, x.shape))
    first, last = (x.low - start) // op.step, (x.high - start) // op.step
    return bool(np.all(first >= 0) and np.all(last < op.tables.shape[-1]))


def _multiplied(op: ops.Op, doubled: int) -> ops.Op:
    """Return an operation on multiples by ``2**doubled``, whose results are, too."""
    if isinstance(op, ops.Linear | ops.Convolution):
        return replace(op, bias=op.bias << doubled)
    if isinstance(op, ops.Bound):
        return ops.Bound(op.low << doubled, op.high << doubled)
    if isinstance(op, ops.Round | ops.Truncate):
        return replace(op, lsbs=op.lsbs + doubled)
    if isinstance(op, _SUMS):
        return op
    raise _Unfit


def _doubled(program: Program, wanted: dict[int, int]) -> list[int]:
    """Return how often each value is doubled, if lookups are that ``wanted`` says it of, at least.

    Raises
    ------
    _Unfit
        If that would be an input, or an output that is looked up and not summed.
    """
    block = list(range(len(program.values)))
    for position, value in enumerate(program.values):
        if not isinstance(value.op, ops.Lookup):
            for argument in value.arguments:
                first, second = sorted((block[argument], block[position]))
                block = [first if each == second else each for each in block]
    of_block = [0] * len(block)
    for position, doubled in wanted.items():
        of_block[block[position]] = max(of_block[block[position]], doubled)
    found = [of_block[each] for each in block]
    for position, value in enumerate(program.values):
        if found[position] and isinstance(value.op, ops.Input):
            raise _Unfit
    if any(found[output] and _is_looked_up(program, output) for output in program.outputs):
        raise _Unfit
    return found


def _is_looked_up(program: Program, position: int) -> bool:
    """Whether a value has elements that are results of a lookup, moved at most."""
    value = program.values[position]
    return isinstance(value.op, ops.Lookup) or (
        isinstance(value.op, _MOVES) and any(_is_looked_up(program, a) for a in value.arguments)
    )
