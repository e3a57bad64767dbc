"""The program: a graph of integer operations, each value with its exact interval."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from skfhe._typing import RangeSource
from skfhe.program import ops
from skfhe.program._ranges import infer_type
from skfhe.program._types import IntegerType

__all__ = ["Program", "ProgramBuilder", "Value", "printable", "rebuild"]


@dataclass(frozen=True, eq=False)
class Value:
    """One value of a program.

    Parameters
    ----------
    op : Op
        What computes it.
    arguments : tuple of int
        Positions of its arguments in ``Program.values``, all before its own.
    type : IntegerType
        Shape of one row and interval of each element.
    label : str
        Name of the layer it belongs to, for reports and errors.
    """

    op: ops.Op
    arguments: tuple[int, ...]
    type: IntegerType
    label: str


@dataclass(frozen=True, eq=False, repr=False)
class Program:
    """A quantized model as a graph of integer operations.

    `print` shows every value in a line; a notebook shows the graph, see `draw`.

    Parameters
    ----------
    values : tuple of Value
        In an order in which every value comes after its arguments.
    outputs : tuple of int
        Positions of the values that are decrypted.
    range_source : {"proven", "calibrated"}
        Whether the intervals follow from the input quantizer alone, or were seen on data.
    """

    values: tuple[Value, ...]
    outputs: tuple[int, ...]
    range_source: RangeSource = "proven"

    @property
    def inputs(self) -> tuple[int, ...]:
        """Positions of the encrypted inputs."""
        return tuple(i for i, v in enumerate(self.values) if isinstance(v.op, ops.Input))

    @property
    def lookups(self) -> tuple[int, ...]:
        """Positions of the lookups."""
        return tuple(i for i, v in enumerate(self.values) if isinstance(v.op, ops.Lookup))

    @property
    def accumulator_bits(self) -> list[int]:
        """Bits of the accumulator of each lookup, in layer order, before any rounding.

        One that counts modulo ``2**(p + 1)`` takes p bits; see `skfhe.program.ops.Modulo`.
        """
        accumulators = (self.values[self.accumulator_of(position)] for position in self.lookups)
        return [v.op.n_bits - 1 if isinstance(v.op, ops.Modulo) else v.type.bits for v in accumulators]

    def accumulator_of(self, lookup: int) -> int:
        """Return the position of what a lookup reads, before it is rounded.

        A bound of the accumulator itself counts as the accumulator; one of what was rounded does not.

        Parameters
        ----------
        lookup : int
            Position of a lookup.

        Returns
        -------
        int
        """
        last = [lookup, *self.roundings_of(lookup)][-1]
        return self.values[last].arguments[0]

    def roundings_of(self, lookup: int) -> list[int]:
        """Return the positions of what rounds the argument of a lookup, the nearest to the lookup first.

        Parameters
        ----------
        lookup : int
            Position of a lookup.

        Returns
        -------
        list of int
            Empty if the lookup reads what was summed, bounded or not.
        """
        found, position = [], self.values[lookup].arguments[0]
        while isinstance(self.values[position].op, ops.Bound | ops.Round | ops.Truncate):
            if not isinstance(self.values[position].op, ops.Bound):
                found.append(position)
            (position,) = self.values[position].arguments
        return found

    @property
    def output_bits(self) -> list[int]:
        """Bits of each output."""
        return [self.values[position].type.bits for position in self.outputs]

    def __repr__(self) -> str:
        counts = [(len(self.values), "value"), (len(self.inputs), "input"), (len(self.outputs), "output")]
        parts = ", ".join(f"{n} {what}{'s' * (n != 1)}" for n, what in counts)
        n_lookups = sum(self.values[at].type.size for at in self.lookups)
        return f"<Program of {parts}; {n_lookups} lookup{'s' * (n_lookups != 1)} a row; {self.range_source}>"

    def _repr_html_(self) -> str:
        """Return the graph for notebooks; it scrolls sideways where it is wider than the page."""
        from skfhe.program._drawing import draw

        return f'<div style="overflow-x: auto">{draw(self).to_svg()}</div>'

    def __str__(self) -> str:
        lines = []
        for position, value in enumerate(self.values):
            arguments = ", ".join(f"%{a}" for a in value.arguments)
            mark = " (output)" if position in self.outputs else ""
            lines.append(
                f"%{position} = {type(value.op).__name__}({arguments})"
                f"  {printable(value.label)}  {value.type.shape}"
                f"  [{value.type.min}, {value.type.max}] {value.type.bits} bits{mark}"
            )
        return "\n".join(lines)


class ProgramBuilder:
    """Collects values, inferring the type of each, and finishes a `Program`.

    Examples
    --------
    >>> import numpy as np
    >>> from skfhe.program import ops
    >>> builder = ProgramBuilder()
    >>> x = builder.input(np.zeros(2, int), np.full(2, 3), label="input")
    >>> y = builder.add(ops.Linear(np.array([[1], [-2]]), np.array([4])), x, label="linear")
    >>> print(builder.finish(y))
    %0 = Input()  input  (2,)  [0, 3] 2 bits
    %1 = Linear(%0)  linear  (1,)  [-2, 7] 4 bits (output)
    """

    def __init__(self) -> None:
        self._values: list[Value] = []

    def add(self, op: ops.Op, *arguments: int, label: str) -> int:
        """Append the value that ``op`` computes from ``arguments`` and return its position."""
        inferred = infer_type(op, *(self._values[a].type for a in arguments))
        self._values.append(Value(op, tuple(arguments), inferred, label))
        return len(self._values) - 1

    def input(self, low: np.ndarray, high: np.ndarray, label: str) -> int:
        """Append an encrypted input with elementwise intervals and return its position."""
        low, high = np.asarray(low, dtype=np.int64), np.asarray(high, dtype=np.int64)
        return self.add(ops.Input(low, high), label=label)

    def type_of(self, position: int) -> IntegerType:
        """Return the type of a value appended earlier."""
        return self._values[position].type

    def value_at(self, position: int) -> Value:
        """Return a value appended earlier."""
        return self._values[position]

    def finish(self, *outputs: int, range_source: RangeSource = "proven") -> Program:
        """Return the program with the given outputs."""
        return Program(tuple(self._values), tuple(outputs), range_source)


def rebuild(program: Program, keep: Sequence[int]) -> Program:
    """Return ``program`` with only the values at ``keep``, renumbered; types are kept."""
    position = {old: new for new, old in enumerate(keep)}
    values = tuple(
        Value(v.op, tuple(position[a] for a in v.arguments), v.type, v.label)
        for v in (program.values[old] for old in keep)
    )
    return Program(values, tuple(position[o] for o in program.outputs), program.range_source)


def printable(label: str) -> str:
    """Return what somebody has named a layer in one line, without letters that no XML may have."""
    return "".join(letter if letter.isprintable() else " " for letter in label)
