"""Whether the rows of a network depend on each other, and where they are in its outputs.

Networks are read as they are called with one row. What they return for several must then be the same, row by
row; where it is not, an operator takes elements of several rows together, which are encrypted apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from skfhe.exceptions import UnsupportedOperatorError
from skfhe.network import NetworkBuilder, Quantize, unsupported

__all__ = [
    "COMPARED_ROWS",
    "compared_rows",
    "departing",
    "has_steps",
    "is_step",
    "mixes_rows",
    "mixing",
    "place_outputs",
    "replaced",
]

COMPARED_ROWS = 5
"""So many rows are evaluated together and compared with each alone."""
COMPARED_WITH_STEPS = 32
"""As many where results jump: few of them may tell that another row has an influence."""
SEARCHED_ROWS = 1024
"""Among so many rows, those to compare are searched for."""
EXACT = 1e-5
TOLERANCE = 1e-3
"""How far elements of outputs may be apart, in units of the largest: in double and in single precision."""
MOST_FAR = 0.2
"""How many elements may be further apart, where steps of the network are undecided between two values."""


def mixes_rows(name: str, label: str) -> UnsupportedOperatorError:
    """Return the error that an operator takes elements of several rows together."""
    if "batch_norm" in name:
        return unsupported(
            name, label, "its statistics are those of the rows", "batch_norm with running statistics"
        )
    return unsupported(
        name,
        label,
        "it mixes rows, which are encrypted apart, or depends on which and how many there are",
        "axes other than that of the rows",
    )


def compared_rows(inputs: Sequence[Tensor], steps: bool) -> tuple[Tensor, bool]:
    """Return which rows to evaluate together: all over the data, and as different as there are.

    Rows that are equal, or alike as neighbours in sorted data are, do not tell that they were confused.

    Parameters
    ----------
    inputs : sequence of Tensor, each of shape (n_rows, …)
    steps : bool
        Whether results jump where arguments do not.

    Returns
    -------
    tuple of Tensor and bool
        Their numbers, and whether they are not all equal.
    """
    n_rows, wanted = len(inputs[0]), COMPARED_WITH_STEPS if steps else COMPARED_ROWS
    places = torch.linspace(0, n_rows - 1, min(n_rows, SEARCHED_ROWS)).round().long()
    flat = torch.cat([x[places].reshape(len(places), -1).double() for x in inputs], dim=1)
    first = np.unique(flat.numpy(), axis=0, return_index=True)[1]
    distinct = places[torch.from_numpy(np.sort(first))]
    if len(distinct) < wanted:
        return distinct[torch.arange(max(COMPARED_ROWS, len(distinct))) % len(distinct)], len(distinct) > 1
    return distinct[torch.linspace(0, len(distinct) - 1, wanted).round().long()], True


def place_outputs(
    build: NetworkBuilder,
    together: Sequence[Tensor],
    alone: Sequence[Tensor],
    precise: bool,
    *,
    undecided: bool = True,
) -> bool:
    """Give outputs the shape that a row of them has, where several rows lead to the same as each alone.

    Parameters
    ----------
    build : NetworkBuilder
        What was read from the network as it is called with one row; its outputs are replaced.
    together : sequence of Tensor
        The network's outputs for several rows together.
    alone : sequence of Tensor, each of shape (n_rows, *shape)
        Its outputs for each of these rows.
    precise : bool
        Whether they were computed in double precision.
    undecided : bool, default=True
        Whether some elements may be another value, where results jump.

    Returns
    -------
    bool
        False if a row of some output depends on other rows.
    """
    placed = []
    jumps = has_steps(build)
    most_far = MOST_FAR if jumps and undecided else 0.0
    exact = precise and not jumps
    for node, many, each in zip(build.outputs, together, alone, strict=True):
        rows = next((rows for rows in _readings(many, each) if _same(rows, each, most_far, exact)), None)
        if rows is None:
            return False
        build.at(node.name, node.label)
        placed.append(build.reshape(node, rows.shape[1:]))
    build.outputs[:] = placed
    return True


def _readings(many: Tensor, each: Tensor) -> Iterator[Tensor]:
    """Yield the ways to find rows in a tensor of several, rows first.

    Either its first axis is that of the rows, or another one, or one of both and of something else.
    """
    n_rows, shape = len(each), each.shape[1:]
    if many.ndim and len(many) == n_rows and many[0].numel() == each[0].numel():
        yield many
    if many.ndim != len(shape):
        return
    for axis, size in enumerate(shape):
        if many.shape[axis] != n_rows * size or many.numel() != each.numel():
            continue
        if size == 1:
            yield many.movedim(axis, 0)
        else:
            yield many.unflatten(axis, (n_rows, size)).movedim(axis, 0)
            yield many.unflatten(axis, (size, n_rows)).movedim(axis + 1, 0)


def _same(rows: Tensor, each: Tensor, most_far: float, precise: bool) -> bool:
    exact, found = rows.double().flatten(), each.double().flatten()
    finite = exact[torch.isfinite(exact)]
    largest = float(finite.abs().max()) if len(finite) else 0.0
    tolerance = EXACT if precise else TOLERANCE
    near = torch.isclose(found, exact, rtol=0.0, atol=tolerance * max(largest, 1e-12), equal_nan=True)
    return float((~near).double().mean()) <= most_far if len(exact) else True


_STEPS = frozenset(
    [
        *("round", "floor", "ceil", "trunc", "fix", "frac", "sign", "sgn", "to", "to_copy"),
        *("remainder", "fmod", "floor_divide", "eq", "ne", "lt", "le", "gt", "ge", "not_equal"),
        *("less", "less_equal", "greater", "greater_equal", "heaviside", "Round", "Floor", "Ceil"),
        *("Sign", "Cast", "CastLike", "Mod", "Equal"),
        *("argmax", "argmin", "argsort", "sort", "topk", "one_hot", "ArgMax", "ArgMin", "TopK", "Hardmax"),
        *("Less", "LessOrEqual", "Greater", "GreaterOrEqual", "QuantizeLinear"),
    ]
)
"""Operators whose results jump where their arguments do not."""


def has_steps(build: NetworkBuilder) -> bool:
    """Whether results of a network jump where their arguments do not."""
    return any(isinstance(node.operation, Quantize) or is_step(node.name) for node in build.nodes)


def is_step(name: str) -> bool:
    """Whether results of an operator jump where its arguments do not."""
    return name in _STEPS or name.startswith(("quantize", "fake_quantize"))


def departing(together: Sequence[Tensor | None], alone: Sequence[Sequence[Tensor | None]]) -> int | None:
    """Return the first of a network's values of which rows are not those of each row alone.

    Parameters
    ----------
    together : sequence of Tensor or None
        All values of the network for several rows, in the order of their evaluation.
    alone : sequence of sequences of Tensor or None
        The same for each of these rows.

    Returns
    -------
    int or None
        Its place in the sequence; None if there is none, or if the network takes other ways for one row.
    """
    if any(len(values) != len(together) for values in alone):
        return None
    for index, many in enumerate(together):
        each = [value for values in alone if (value := values[index]) is not None]
        if many is None or len(each) < len(alone) or any(value.shape != each[0].shape for value in each):
            continue
        rows = torch.stack(each)
        if not any(_same(reading, rows, 0.0, False) for reading in _readings(many, rows)):
            return index
    return None


def mixing(runs: Iterable[Sequence[Tensor | None]]) -> int | None:
    """Return the first of a network's values that takes elements of several rows together.

    Parameters
    ----------
    runs : iterable of sequences of Tensor or None
        All values of the network, in the order of their evaluation: first as they are, and then once for each
        row, with another row in its place.

    Returns
    -------
    int or None
        Its place in the sequence.
    """
    base, *changed = runs
    for index, value in enumerate(base):
        if not isinstance(value, Tensor):
            continue
        reached = torch.zeros(value.shape, dtype=torch.int64)
        for run in changed:
            other = run[index]
            if isinstance(other, Tensor) and other.shape == value.shape:
                reached += ~torch.isclose(
                    other.double(), value.double(), rtol=1e-9, atol=1e-12, equal_nan=True
                )
        if bool((reached > 1).any()):
            return index
    return None


def replaced(inputs: Sequence[Tensor], n_rows: int) -> Iterator[tuple[Tensor, ...]]:
    """Yield ``n_rows`` rows of inputs, and then these with one after the other replaced by another row."""
    own = torch.arange(n_rows) % len(inputs[0])
    yield tuple(x[own] for x in inputs)
    generator = torch.Generator().manual_seed(0)
    for row in range(n_rows):
        changed = []
        for x in inputs:
            rows = x[own].clone()
            other = x[(n_rows + row) % len(x)]
            spread = x.double().std(dim=0, correction=0) + 1e-3
            noise = torch.randn(other.shape, generator=generator, dtype=torch.float64) * spread
            rows[row] = (other + noise.to(other.dtype)) if x.is_floating_point() else other
            changed.append(rows)
        yield tuple(changed)
