"""Recurrent layers of torch, step after step, with the signatures of their ATen operators.

What a gate reads, the step's input and the state before, is joined and multiplied by joined weights: one
accumulator, where two on different grids would have to be looked up before they can be added.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from skfhe.importers._handlers import HandlerTable

__all__ = ["PARTS"]

PARTS = HandlerTable()
"""By ATen name with its overload; "name" stands for "name.default"."""

Weights = Sequence[Tensor | None]
"""Of inputs, of states, and the biases of each, which may be None; then of a projection."""


@PARTS.handles("lstm_cell")
def _lstm_cell(
    x: Tensor,
    state: Sequence[Tensor],
    w_x: Tensor,
    w_h: Tensor,
    b_x: Tensor | None = None,
    b_h: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the next state of a long short-term memory, hidden and cell."""
    h, c = state
    return _lstm_step(x, (h, c), (w_x, w_h, b_x, b_h), joined=True)


@PARTS.handles("gru_cell")
def _gru_cell(
    x: Tensor,
    h: Tensor,
    w_x: Tensor,
    w_h: Tensor,
    b_x: Tensor | None = None,
    b_h: Tensor | None = None,
) -> Tensor:
    """Return the next state of a gated recurrent unit."""
    return _gru_step(x, (h,), (w_x, w_h, b_x, b_h), joined=True)[0]


def _rnn_cell(activation: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    """Return a cell whose next state is ``activation`` of a linear function."""

    def cell(
        x: Tensor,
        h: Tensor,
        w_x: Tensor,
        w_h: Tensor,
        b_x: Tensor | None = None,
        b_h: Tensor | None = None,
    ) -> Tensor:
        return activation(_gates(x, h, (w_x, w_h, b_x, b_h), joined=True))

    return cell


@PARTS.handles("lstm.input")
def _lstm(
    x: Tensor,
    state: Sequence[Tensor],
    parameters: Sequence[Tensor],
    has_biases: bool,
    n_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the results of all steps, and the last hidden and cell states of each layer and direction."""
    h, c = state
    projected = h.shape[-1] != c.shape[-1]
    layers = _layers(parameters, has_biases, projected, n_layers, bidirectional)
    results, states = _unrolled(
        _lstm_step, x, (h, c), layers, bidirectional, batch_first, dropout if train else 0.0
    )
    return results, states[0], states[1]


@PARTS.handles("gru.input")
def _gru(
    x: Tensor,
    h: Tensor,
    parameters: Sequence[Tensor],
    has_biases: bool,
    n_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> tuple[Tensor, Tensor]:
    """Return the results of all steps, and the last states of each layer and direction."""
    layers = _layers(parameters, has_biases, False, n_layers, bidirectional)
    results, states = _unrolled(
        _gru_step, x, (h,), layers, bidirectional, batch_first, dropout if train else 0.0
    )
    return results, states[0]


def _rnn(activation: Callable[[Tensor], Tensor]) -> Callable[..., tuple[Tensor, Tensor]]:
    """Return the operator of recurrent layers whose next state is ``activation`` of a linear function."""

    def step(x: Tensor, state: Sequence[Tensor], weights: Weights, joined: bool) -> tuple[Tensor, ...]:
        return (activation(_gates(x, state[0], weights, joined)),)

    def operator(
        x: Tensor,
        h: Tensor,
        parameters: Sequence[Tensor],
        has_biases: bool,
        n_layers: int,
        dropout: float,
        train: bool,
        bidirectional: bool,
        batch_first: bool,
    ) -> tuple[Tensor, Tensor]:
        layers = _layers(parameters, has_biases, False, n_layers, bidirectional)
        results, states = _unrolled(
            step, x, (h,), layers, bidirectional, batch_first, dropout if train else 0.0
        )
        return results, states[0]

    return operator


def _gates(x: Tensor, h: Tensor, weights: Weights, joined: bool) -> Tensor:
    """Return a linear function of input and state, in one product or as a sum of two."""
    w_x, w_h, b_x, b_h = weights[:4]
    assert w_x is not None
    assert w_h is not None
    if joined:
        bias = None if b_x is None or b_h is None else b_x + b_h
        return functional.linear(torch.cat([x, h], -1), torch.cat([w_x, w_h], 1), bias)
    return functional.linear(x, w_x, b_x) + functional.linear(h, w_h, b_h)


def _lstm_step(x: Tensor, state: Sequence[Tensor], weights: Weights, joined: bool) -> tuple[Tensor, Tensor]:
    h, c = state
    i, f, g, o = _gates(x, h, weights, joined).chunk(4, -1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    h = torch.sigmoid(o) * torch.tanh(c)
    if len(weights) > 4:
        assert weights[4] is not None
        h = functional.linear(h, weights[4])
    return h, c


def _gru_step(x: Tensor, state: Sequence[Tensor], weights: Weights, joined: bool) -> tuple[Tensor, ...]:
    (h,) = state
    parts = [(None, None, None) if w is None else w.chunk(3, 0) for w in weights[:4]]
    reset, update, new = zip(*parts, strict=True)
    r = torch.sigmoid(_gates(x, h, reset, joined))
    z = torch.sigmoid(_gates(x, h, update, joined))
    n = torch.tanh(functional.linear(x, new[0], new[2]) + r * functional.linear(h, new[1], new[3]))
    return (n + z * (h - n),)  # one product; (1 - z) * n + z * h has two


def _layers(
    parameters: Sequence[Tensor], has_biases: bool, projected: bool, n_layers: int, bidirectional: bool
) -> list[Weights]:
    """Return the weights of each layer and direction."""
    n_each = 2 + 2 * has_biases + projected
    layers: list[Weights] = []
    for index in range(n_layers * (1 + bidirectional)):
        own = list(parameters[index * n_each : (index + 1) * n_each])
        biases = own[2:4] if has_biases else [None, None]
        layers.append([*own[:2], *biases, *own[2 + 2 * has_biases :]])
    return layers


def _unrolled(
    step: Callable[..., tuple[Tensor, ...]],
    x: Tensor,
    state: Sequence[Tensor],
    layers: Sequence[Weights],
    bidirectional: bool,
    batch_first: bool,
    dropout: float,
) -> tuple[Tensor, list[Tensor]]:
    """Run layers over the steps of ``x``.

    The first step adds the product with the given state: it is most often constant, and free then.
    """
    axis = 1 if batch_first else 0
    steps = list(x.unbind(axis))
    n_directions = 1 + bidirectional
    last: list[tuple[Tensor, ...]] = []
    for index, weights in enumerate(layers):
        backward = index % n_directions
        if not backward:
            inputs = [functional.dropout(v, dropout, True) for v in steps] if dropout and index else steps
            results: list[list[Tensor]] = []
        current: tuple[Tensor, ...] = tuple(v[index] for v in state)
        found = []
        for number, v in enumerate(reversed(inputs) if backward else inputs):
            current = step(v, current, weights, joined=number > 0)
            found.append(current[0])
        last.append(current)
        results.append(found[::-1] if backward else found)
        if len(results) == n_directions:
            steps = [torch.cat(each, -1) if bidirectional else each[0] for each in zip(*results, strict=True)]
    states = [torch.stack(each) for each in zip(*last, strict=True)]
    return torch.stack(steps, axis), states


for _name, _activation in (("tanh", torch.tanh), ("relu", torch.relu)):
    PARTS.handles(f"rnn_{_name}.input")(_rnn(_activation))
    PARTS.handles(f"rnn_{_name}_cell")(_rnn_cell(_activation))
