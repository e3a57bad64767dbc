"""Operators of torch by their parts: what they compute, written with operators that can be encrypted.

torch's own decompositions end in operators of their own (``var_mean``, ``as_strided``), and are written for
speed in the clear. These are written for few lookups: what is linear stays together, and of two forms of the
same function the one with fewer products is taken. They are entries of a table for
``ExportedProgram.run_decompositions``; each takes what the operator was called with, on tensors of any shape,
and may use operators that have an entry themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from skfhe.importers._torch import products, recurrent, statistics

__all__ = ["DECOMPOSITIONS", "by_parts"]

DECOMPOSITIONS = statistics.PARTS.joined(products.PARTS, recurrent.PARTS)
"""By ATen name with its overload; "name" stands for "name.default"."""
_aten = torch.ops.aten


def by_parts(exported: Any) -> Any:
    """Return an exported program whose operators are decomposed, where there is one to decompose.

    Parameters
    ----------
    exported : torch.export.ExportedProgram

    Returns
    -------
    torch.export.ExportedProgram
        The very program if no operator of it has an entry: it keeps its operators.
    """
    called = {node.target for node in exported.graph.nodes if node.op == "call_function"}
    if not called & set(_table()):
        return exported
    return exported.run_decompositions(_table())


def _table() -> dict[Any, Callable[..., Any]]:
    """Return the decompositions of the operators that this torch has; the receiver may change it."""
    table = {}
    for name in DECOMPOSITIONS.names:
        packet, _, overload = name.partition(".")
        operator = getattr(getattr(_aten, packet, None), overload or "default", None)
        if operator is not None:
            table[operator] = DECOMPOSITIONS[name]
    return table
