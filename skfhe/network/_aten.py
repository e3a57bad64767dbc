"""Functions in torch as tails in NumPy: traced to operators of ATen, each of which is written as steps.

A function is traced on one row, decomposed to the few dozens of operators that torch calls its core, and
compared with the tail on the calibration rows. What cannot be traced (control flow that depends on data), or
has an operator that is not in `skfhe.network._aten_steps`, raises `UntraceableError`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch._decomp import core_aten_decompositions
from torch.fx.experimental.proxy_tensor import make_fx

from skfhe.encoding import Tail
from skfhe.network._aten_steps import (
    MOVEMENT,
    NAMES,
    WRITERS,
    OnTape,
    UntraceableError,
    apply,
    flat,
    moved,
    number_of,
)
from skfhe.network._tape import Tape

__all__ = ["UntraceableError", "traced"]

CLOSE = 1e-9
"""Relative difference of a tail from what it was traced from: sums in another order."""
COMPARED = 16
"""Rows on which the two are compared."""


def traced(function: Callable[..., Any], rows: Sequence[Tensor]) -> Tail:
    """Return a function of rows as a tail.

    Parameters
    ----------
    function : callable
        From one row of each argument to a tensor, or to several.
    rows : sequence of Tensor of float64, each of shape (n_rows, *row)
        Calibration rows of each argument.

    Returns
    -------
    Tail

    Raises
    ------
    UntraceableError
    """
    examples = [x[0] for x in rows]
    try:
        functional = torch.func.functionalize(lambda *x: function(*x), remove="mutations")
        graph = make_fx(functional, decomposition_table=_decompositions())(*examples)
    except Exception as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise UntraceableError(f"it cannot be traced: {reason}") from error
    tape = Tape([x.shape for x in examples])
    results = _Converter(graph, tape).convert()
    tail = tape.finish(results)
    _compare(tail, function, rows)
    return tail


@cache
def _decompositions() -> dict[Any, Any]:
    return core_aten_decompositions()


def _compare(tail: Tail, function: Callable[..., Any], rows: Sequence[Tensor]) -> None:
    some = [x[:COMPARED] for x in rows]
    try:
        found = tail.apply(*(x.numpy() for x in some))
    except ValueError as error:
        raise UntraceableError(f"it does not run on the calibration rows: {error}") from error
    for index in range(len(some[0])):
        result = function(*(x[index] for x in some))
        exact = [result] if isinstance(result, Tensor) else list(result)
        for ours, theirs in zip(found, exact, strict=True):
            expected = theirs.detach().double().numpy()
            size = np.abs(expected[np.isfinite(expected)]).max(initial=1.0)
            if ours[index].shape != expected.shape or not np.allclose(
                ours[index].astype(np.float64), expected, rtol=CLOSE, atol=CLOSE * size, equal_nan=True
            ):
                raise UntraceableError("it computes something else in NumPy than in torch")


class _Converter:
    """Walks over a traced graph."""

    def __init__(self, graph: Any, tape: Tape) -> None:
        self.graph, self.tape = graph, tape
        self.given = iter(range(len(tape.given)))

    def convert(self) -> list[int]:
        """Return the numbers of the results."""
        values: dict[Any, Any] = {}
        for node in self.graph.graph.nodes:
            if node.op == "placeholder":
                values[node] = OnTape(next(self.given))
            elif node.op == "get_attr":
                values[node] = getattr(self.graph, node.target).detach()
            elif node.op == "call_function":
                args = torch.fx.map_arg(node.args, lambda n: values[n])
                kwargs = torch.fx.map_arg(node.kwargs, lambda n: values[n])
                values[node] = self._call(node.target, list(args), dict(kwargs))
                if _in_place(node.target):  # decompositions have some left
                    values[node.args[0]] = values[node]
            elif node.op == "output":
                results = torch.fx.map_arg(node.args[0], lambda n: values[n])
        listed = results if isinstance(results, tuple | list) else [results]
        return [number_of(self.tape, result) for result in listed]

    def _call(self, target: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        if target is operator.getitem:
            return args[0][args[1]]
        found = [x for x in flat((args, kwargs)) if isinstance(x, OnTape)]
        if not found:
            return target(*args, **kwargs)
        name = getattr(target, "__name__", str(target)).split(".")[0]
        name = name[:-1] if _in_place(target) else name
        if name in NAMES:
            name_in_numpy, n_arguments = NAMES[name]
            return apply(self.tape, name_in_numpy, *args[:n_arguments])
        if name in WRITERS:
            return self._written(WRITERS[name], name, *args, **kwargs)
        if name in MOVEMENT:
            return self._written(moved, name, target, args, kwargs)
        raise UntraceableError(f"{name!r} is none of the operators that run after decryption")

    def _written(self, writer: Callable[..., Any], name: str, *args: Any, **kwargs: Any) -> Any:
        try:
            return writer(self.tape, *args, **kwargs)
        except (TypeError, ValueError, IndexError, RuntimeError) as error:
            raise UntraceableError(f"{name!r} is used in a way that has no step: {error}") from error


def _in_place(target: Any) -> bool:
    schema = getattr(target, "_schema", None)
    return schema is not None and schema.is_mutable
