"""From a program to concrete: one function for each number of rows, typed by the program's intervals.

concrete takes bit-widths from sample inputs. A sample can miss the extremes, and a value that then
occurs overflows silently. So the functions are traced on zeros, every node is tagged with the value it
computes, and `IntervalTyping` overwrites what the trace inferred with the program's own intervals.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import singledispatch
from typing import Any

import numpy as np

from skfhe._typing import IntArray
from skfhe.circuit._engine import Graph, GraphProcessor, Integer, Operation, fhe
from skfhe.cost import MAX_LOOKUP_BITS
from skfhe.program import IntegerType, Program, declared_types, is_approximate, ops, table_numbers

__all__ = ["IntervalTyping", "lower"]


_PADDED, _LESS, _BEFORE = "padded", "less", "before"
"""Tags of what is computed of an operation's argument before the operation itself."""
_MOVES = frozenset({"index_static", "reshape", "concatenate", "assign_static"})
"""The engine's operations that only move elements."""
_ZERO = IntegerType(np.zeros((), dtype=np.int64), np.zeros((), dtype=np.int64))


def lower(program: Program, n_rows: int, name: str) -> Callable[..., Any]:
    """Return the function of ``program`` on ``n_rows`` rows, ready to be traced by concrete.

    Parameters
    ----------
    program : Program
    n_rows : int
        First axis of every input and output.
    name : str
        Name of the function in the compiled module.

    Returns
    -------
    callable
        Takes one tracer for each input of the program.
    """

    def function(*inputs: Any) -> Any:
        given = dict(zip(program.inputs, inputs, strict=True))
        values: list[Any] = []
        for position, value in enumerate(program.values):
            if position in given:
                values.append(given[position])
                continue
            types = [program.values[a].type for a in value.arguments]
            op, arguments = value.op, [values[a] for a in value.arguments]
            first = program.values[value.arguments[0]]
            if isinstance(op, ops.Modulo) and is_approximate(first.op):
                arguments = [values[first.arguments[0]]]  # it is rounded on the circle
            with fhe.tag(str(position)):
                if isinstance(op, ops.Lookup) and isinstance(first.op, ops.Modulo):
                    op, arguments[0] = _on_circle(op, arguments[0])
                values.append(_emit(op, n_rows, types, *arguments))
        outputs = tuple(values[position] for position in program.outputs)
        return outputs if len(outputs) > 1 else outputs[0]

    parameters = ", ".join(f"x{i}" for i in range(len(program.inputs)))
    namespace: dict[str, Any] = {"function": function}
    exec(f"def {name}({parameters}): return function({parameters})", namespace)
    return namespace[name]


@singledispatch
def _emit(op: ops.Op, n_rows: int, types: list[IntegerType], *arguments: Any) -> Any:
    raise TypeError(f"{type(op).__name__} is not an operation of the program")


@_emit.register
def _emit_linear(op: ops.Linear, n_rows: int, types: list[IntegerType], x: Any) -> Any:
    return x @ op.weight + op.bias if op.bias.any() else x @ op.weight


@_emit.register
def _emit_convolution(op: ops.Convolution, n_rows: int, types: list[IntegerType], x: Any) -> Any:
    # The engine's own padding does not compile.
    if any(op.padding):
        (channels, height, width), (top, left, bottom, right) = types[0].shape, op.padding
        with fhe.tag(_PADDED):
            padded = fhe.zeros((n_rows, channels, top + height + bottom, left + width + right))
            padded[:, :, top : top + height, left : left + width] = x
        x = padded
    bias = op.bias if op.bias.any() else None
    return fhe.conv(x, op.weight, bias, strides=op.strides, dilations=op.dilation, group=op.groups)


@_emit.register
def _emit_add(op: ops.Add, n_rows: int, types: list[IntegerType], x: Any, y: Any) -> Any:
    return x + y


@_emit.register
def _emit_subtract(op: ops.Subtract, n_rows: int, types: list[IntegerType], x: Any, y: Any) -> Any:
    return x - y


@_emit.register
def _emit_sum(op: ops.Sum, n_rows: int, types: list[IntegerType], x: Any) -> Any:
    return np.sum(x, axis=op.axis if op.axis < 0 else op.axis + 1)


@_emit.register
def _emit_reshape(op: ops.Reshape, n_rows: int, types: list[IntegerType], x: Any) -> Any:
    return x.reshape((n_rows, *op.shape))


@_emit.register
def _emit_gather(op: ops.Gather, n_rows: int, types: list[IntegerType], x: Any) -> Any:
    axis = op.axis % len(types[0].shape) + 1
    indices = op.indices % types[0].shape[axis - 1]
    run = bool(np.all(np.diff(indices) == 1))
    selection = slice(int(indices[0]), int(indices[-1]) + 1) if run else indices
    return x[(*(slice(None),) * axis, selection)]


@_emit.register
def _emit_concatenate(op: ops.Concatenate, n_rows: int, types: list[IntegerType], *arguments: Any) -> Any:
    return np.concatenate(arguments, axis=op.axis if op.axis < 0 else op.axis + 1)


@_emit.register
def _emit_bound(op: ops.Bound, n_rows: int, types: list[IntegerType], x: Any) -> Any:
    return x


@_emit.register
def _emit_lookup(op: ops.Lookup, n_rows: int, types: list[IntegerType], x: Any) -> Any:
    (read,) = types
    n_cells = op.tables.shape[-1]
    cells, numbers = op.tables.reshape(-1), table_numbers(op, read.shape)
    start = op.start.ravel()[numbers]

    def look_up(integers: IntArray) -> IntArray:
        # Integers outside the table never occur and repeat its ends.
        return cells[numbers * n_cells + np.clip((integers - start) // op.step, 0, n_cells - 1)]

    if op.tables.min() == op.tables.max() < 0:  # the engine folds such a table, and loses the sign
        zero = fhe.univariate(lambda integers: look_up(integers) - op.tables.min())(x)
        return zero + int(op.tables.min())
    # A table of the engine's own has a cell for each integer of the argument before rounding. Of a function,
    # it asks what it needs.
    return fhe.univariate(look_up)(x)


def _on_circle(op: ops.Lookup, x: Any) -> tuple[ops.Lookup, Any]:
    """Return a lookup of residues, none of whose tables is constant over its first half, and what it reads.

    The engine is given the first half of a table, and would fold one that is constant, though the second half
    has the other sign. A table that is read one cell further on ends with the first cell of the second half.
    """
    half = op.tables[..., : op.tables.shape[-1] // 2]
    with fhe.tag(_BEFORE):
        if ((half == half[..., :1]).all(axis=-1) & (half[..., 0] != 0)).any():
            op, x = replace(op, tables=np.roll(op.tables, 1, axis=-1)), x + op.step
        if op.step > 1:
            lsbs = op.step.bit_length() - 1
            x = fhe.round_bit_pattern(x, lsbs_to_remove=lsbs, exactness=fhe.Exactness.APPROXIMATE)
    return op, x


@_emit.register
def _emit_modulo(op: ops.Modulo, n_rows: int, types: list[IntegerType], x: Any) -> Any:
    # a node of its own: others may read its argument by more bits
    return x + 0


@_emit.register
def _emit_round(op: ops.Round, n_rows: int, types: list[IntegerType], x: Any) -> Any:
    exactness = fhe.Exactness.EXACT if op.method == "exact" else fhe.Exactness.APPROXIMATE
    return fhe.round_bit_pattern(x, lsbs_to_remove=op.lsbs, exactness=exactness)


@_emit.register
def _emit_truncate(op: ops.Truncate, n_rows: int, types: list[IntegerType], x: Any) -> Any:
    (read,) = types
    if read.bits <= MAX_LOOKUP_BITS:
        return fhe.truncate_bit_pattern(x, lsbs_to_remove=op.lsbs)
    # The engine takes the width before truncation for what the lookup reads. Rounding half up what is less by
    # a half is the same; what thereby leaves the argument's interval comes back with the half that is added.
    with fhe.tag(_LESS):
        less = x - ((1 << op.lsbs) >> 1)
    return fhe.round_bit_pattern(less, lsbs_to_remove=op.lsbs)


class IntervalTyping(GraphProcessor):
    """Give every node of concrete's graph the integer type of the program value it computes.

    Parameters
    ----------
    program : Program
        The program that the graph was traced from by `lower`.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.types = declared_types(program)
        for position in reversed(range(len(program.values))):
            value = program.values[position]
            if isinstance(value.op, ops.Bound):  # it tells of the value, whoever reads that
                self.types[value.arguments[0]] = self.types[position]
            elif isinstance(value.op, ops.Round):  # a result of fewer bits would pass for an overflow
                self.types[position] = _joined(self.types[position], self.types[value.arguments[0]])

    def apply(self, graph: Graph) -> None:
        """Overwrite types and bounds in ``graph``, in place."""
        for index, node in graph.input_nodes.items():
            _assign(node, self.types[self.program.inputs[index]])
        for node in graph.query_nodes(ordered=True):
            if node.operation == Operation.Generic:
                position, _, before = node.tag.partition(".")
                kind = self.types[int(position)]
                if before:
                    kind = self.types[self.program.values[int(position)].arguments[0]]
                _assign(node, _joined(kind, _ZERO) if before == _PADDED else kind)
        self._keep_signs(graph)
        for node in graph.query_nodes():
            for reader in graph.graph.successors(node):
                for edge in graph.graph.get_edge_data(node, reader).values():
                    reader.inputs[edge["input_idx"]].dtype = node.output.dtype

    @staticmethod
    def _keep_signs(graph: Graph) -> None:
        """Have what is moved out of a signed value signed, even if it is never negative."""
        for node in graph.query_nodes(ordered=True):
            arguments = graph.ordered_preds_of(node)
            if _name(node) in _MOVES and any(argument.output.dtype.is_signed for argument in arguments):
                for moved in (node, *(a for a in arguments if _name(a) == "zeros")):
                    moved.output.dtype = Integer.that_can_represent(list(moved.bounds), force_signed=True)


def _assign(node: Any, kind: IntegerType) -> None:
    node.output.dtype = Integer.that_can_represent([kind.min, kind.max])
    node.bounds = (kind.min, kind.max)


def _name(node: Any) -> str:
    return node.properties["name"] if node.operation == Operation.Generic else ""


def _joined(kind: IntegerType, other: IntegerType) -> IntegerType:
    """Return the type of values that are of one of two types."""
    return IntegerType(np.minimum(kind.low, other.min), np.maximum(kind.high, other.max))
