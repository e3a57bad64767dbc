"""Where the rows are: outputs of a graph that was read for one row, with the rows first.

A graph is read for one row, as a tensor whose first axis has one element, and nothing within a row's values
says which axis the rows would be along. So it is read again for two rows at once, and compared: what is not
one row beside the other mixes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from skfhe.exceptions import UnsupportedOperatorError
from skfhe.network import Node

if TYPE_CHECKING:
    from skfhe.importers._onnx.reader import Reader

__all__ = ["rows_first"]


def rows_first(reader: Reader, outputs: list[Node], of_two: Reader | None) -> list[Node]:
    """Return outputs without the axis of their row.

    ``of_two`` has read the graph for the first two rows at once, if it takes any number of them.
    """
    if of_two is None:
        return [_without(reader, node, 0) for node in outputs]
    axes = []
    for output, node in zip(reader.model.graph.output, outputs, strict=True):
        axis = _axis(node, of_two.values.get(output.name))
        if axis is None:
            raise _mixes(reader, of_two)
        axes.append(axis)
    return [_without(reader, node, axis) for node, axis in zip(outputs, axes, strict=True)]


def _without(reader: Reader, node: Node, axis: int) -> Node:
    """Return the row of a value, its elements along ``axis`` first if there are several."""
    if axis >= len(node.shape):
        return node
    moved: Node = reader.build.move(
        node, lambda t: t.squeeze(axis) if t.shape[axis] == 1 else t.movedim(axis, 0)
    )
    return moved


def _axis(node: Node, both: Any) -> int | None:
    """Return the axis along which a value of two rows is one beside the other; None if there is none."""
    if not isinstance(both, Node) or len(both.shape) != len(node.shape):
        return None
    first, second = node.reference[0], node.reference[-1] if len(node.reference) == 1 else node.reference[1]
    found = both.reference[0]
    for axis, size in enumerate(node.shape):
        if both.shape[axis] != 2 * size:
            continue
        beside = torch.cat([first, second], dim=axis)
        mixed = torch.stack([first, second], dim=axis + 1).flatten(axis, axis + 1)
        for expected in (beside, mixed) if size > 1 else (beside,):
            if expected.shape == found.shape and _close(expected, found):
                return axis
    return None


def _close(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=1e-6, atol=1e-9, equal_nan=True)


def _mixes(reader: Reader, of_two: Reader) -> UnsupportedOperatorError:
    """Return the error that names the first operator whose result is not one row beside the other."""
    for name, node in reader.values.items():
        both = of_two.values.get(name)
        if not isinstance(node, Node) or not isinstance(both, Node):
            continue
        unmoved = node.shape == both.shape and all(
            _close(node.reference[i], both.reference[0]) for i in range(min(2, len(node.reference)))
        )
        if not unmoved and _axis(node, both) is None:
            reader.build.at(node.name, node.label)
            break
    return reader.build.mixes_rows()
