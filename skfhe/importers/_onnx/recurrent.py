"""ONNX's recurrent layers, unrolled over the steps of a sequence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from skfhe.importers._handlers import HandlerTable
from skfhe.importers._onnx.call import Call
from skfhe.importers._onnx.elementwise import FUNCTIONS
from skfhe.network import NetworkBuilder, Node, composed

__all__ = ["HANDLERS"]

HANDLERS = HandlerTable()
"""For calls that have an encrypted input."""

_OF_CELL = {"RNN": ("Tanh",), "GRU": ("Sigmoid", "Tanh"), "LSTM": ("Sigmoid", "Tanh", "Tanh")}
_GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
_DEFAULTS = {
    "LeakyRelu": {"alpha": 0.01},
    "ThresholdedRelu": {"alpha": 1.0},
    "HardSigmoid": {"alpha": 0.2, "beta": 0.5},
    "Elu": {"alpha": 1.0},
}


@HANDLERS.handles("RNN", "GRU", "LSTM")
def _recurrent(call: Call) -> list[Any]:
    """Append a recurrent layer of one direction or of both."""
    name, build, attributes = call.proto.op_type, call.build, call.attributes
    x, weight, recurrence, bias = call.encrypted(0), call.given(1), call.given(2), call.floats(3)
    size = recurrence.shape[-1]
    if attributes.get("layout"):
        x = build.move(x, lambda t: t.transpose(0, 1))
    n_steps, rows = x.shape[:2]
    lengths = call.constant(4)
    if lengths is not None and any(int(n) != n_steps for n in lengths):
        raise build.unsupported("its sequences differ in length", "sequences of one length")
    if bias is None:
        bias = torch.zeros(len(weight), 2 * weight.shape[1], dtype=torch.float64)
    direction = attributes.get("direction", "forward")
    steps = [composed.picked(build, x, i) for i in range(n_steps)]
    states: list[list[Node]] = []
    ends: list[tuple[Node, Node | None]] = []
    for index, backwards in enumerate({"forward": [0], "reverse": [1]}.get(direction, [0, 1])):
        cell = _Cell(call, index, weight[index], recurrence[index], bias[index])
        hidden, carried = (_initial(call, i, index, (rows, size)) for i in (5, 6))
        found = []
        for step in reversed(steps) if backwards else steps:
            hidden, carried = cell.step(step, hidden, carried)
            found.append(hidden)
        states.append(found[::-1] if backwards else found)
        ends.append((hidden, carried))
    raised = [_stack(build, [s[i] for s in states]) for i in range(n_steps)]
    results = [_stack(build, raised), _stack(build, [h for h, _ in ends])]
    if name == "LSTM":
        results.append(_stack(build, [c for _, c in ends if c is not None]))
    if not attributes.get("layout"):
        return results
    whole, *last = results
    return [
        build.move(whole, lambda t: t.permute(2, 0, 1, 3)),
        *(build.move(node, lambda t: t.transpose(0, 1)) for node in last),
    ]


def _initial(call: Call, index: int, direction: int, shape: tuple[int, int]) -> Any:
    """Return the state to begin with, None for zeros."""
    value = call.input(index) if index == 5 or call.proto.op_type == "LSTM" else None
    if value is None:
        return None
    node = call.node(index)
    turned = bool(call.attributes.get("layout"))
    return call.build.move(node, lambda t: (t.transpose(0, 1) if turned else t)[direction].expand(shape))


def _stack(build: NetworkBuilder, nodes: list[Node]) -> Node:
    raised = [build.move(node, lambda t: t[None]) for node in nodes]
    return raised[0] if len(raised) == 1 else build.concatenate(raised, 0)


class _Cell:
    """One direction of a recurrent layer."""

    def __init__(self, call: Call, index: int, weight: Tensor, recurrence: Tensor, bias: Tensor) -> None:
        self.build, self.name, self.attributes = call.build, call.proto.op_type, call.attributes
        n = _GATES[self.name]
        self.weight, self.recurrence = weight.chunk(n), recurrence.chunk(n)
        self.bias, self.bias_of_state = (part.chunk(n) for part in bias.chunk(2))
        self.peepholes = None
        if self.name == "LSTM":
            peepholes = call.floats(7)
            self.peepholes = None if peepholes is None else peepholes[index].chunk(3)
        self.functions = self._functions(index)

    def _functions(self, index: int) -> list[Callable[[Tensor], Tensor]]:
        own = _OF_CELL[self.name]
        names = [
            v.decode() if isinstance(v, bytes) else v for v in self.attributes.get("activations") or own * 2
        ]
        alphas, betas = (list(self.attributes.get(f"activation_{k}") or []) for k in ("alpha", "beta"))
        found: list[Callable[[Tensor], Tensor]] = []
        for name in names:
            options = dict(_DEFAULTS.get(name, {}))
            for key, given in (("alpha", alphas), ("beta", betas)):
                if key in options and given:
                    options[key] = given.pop(0)
            found.append(self._function(name, options))
        return found[index * len(own) : (index + 1) * len(own)]

    def _function(self, name: str, options: dict[str, float]) -> Callable[[Tensor], Tensor]:
        if name not in FUNCTIONS:
            raise self.build.unsupported(f"it has the activation {name!r}", "Tanh, Sigmoid or Relu")
        function, most = FUNCTIONS[name], self.attributes.get("clip")

        def of(v: Tensor) -> Tensor:
            return function(v if most is None else v.clamp(-most, most), **options)

        return of

    def _add(self, a: Node, b: Node) -> Node:
        return self.build.elementwise(torch.add, a, b, kind="add")

    def _multiply(self, a: Node, b: Node) -> Node:
        return self.build.elementwise(torch.mul, a, b, kind="multiply")

    def _sum(self, gate: int, x: Node, hidden: Node | None, *, bias: bool = True) -> Node:
        """Append what a gate's function is applied to."""
        of_state = self.bias_of_state[gate] if bias else torch.zeros_like(self.bias[gate])
        if hidden is None:
            return self.build.linear(x, self.weight[gate].T, self.bias[gate] + of_state)
        both = self.build.concatenate([x, hidden], len(x.shape) - 1)
        weight = torch.cat([self.weight[gate], self.recurrence[gate]], dim=1)
        return self.build.linear(both, weight.T, self.bias[gate] + of_state)

    def step(self, x: Node, hidden: Node | None, carried: Node | None) -> tuple[Node, Node | None]:
        """Append one step; returns the state, and what an LSTM carries."""
        if self.name == "RNN":
            return self.build.univariate(self._sum(0, x, hidden), self.functions[0]), None
        return self._gru(x, hidden) if self.name == "GRU" else self._lstm(x, hidden, carried)

    def _gru(self, x: Node, hidden: Node | None) -> tuple[Node, None]:
        build, (sigmoid, tanh) = self.build, self.functions
        update = build.univariate(self._sum(0, x, hidden), sigmoid)
        if hidden is None:
            state = self._candidate_of_no_state(x)
            rest = build.affine(update, -1.0, 1.0)
            return self._multiply(rest, build.univariate(state, tanh)), None
        reset = build.univariate(self._sum(1, x, hidden), sigmoid)
        of_input = build.linear(x, self.weight[2].T, self.bias[2])
        if self.attributes.get("linear_before_reset"):
            of_state = build.linear(hidden, self.recurrence[2].T, self.bias_of_state[2])
            summed = self._add(of_input, self._multiply(reset, of_state))
        else:
            summed = self._sum(2, x, self._multiply(reset, hidden))
        candidate = build.univariate(summed, tanh)
        change = build.elementwise(torch.sub, hidden, candidate, kind="subtract")
        return self._add(candidate, self._multiply(update, change)), None

    def _candidate_of_no_state(self, x: Node) -> Node:
        if not self.attributes.get("linear_before_reset"):
            return self._sum(2, x, None)
        of_input = self.build.linear(x, self.weight[2].T, self.bias[2])
        if not bool(torch.any(self.bias_of_state[2])):
            return of_input
        reset = self.build.univariate(self._sum(1, x, None), self.functions[0])
        return self._add(of_input, self.build.affine(reset, self.bias_of_state[2]))

    def _gate(self, x: Node, hidden: Node | None, gate: int, carried: Node | None, peephole: int) -> Node:
        found = self._sum(gate, x, hidden)
        if self.peepholes is not None and carried is not None:
            found = self._add(found, self.build.affine(carried, self.peepholes[peephole]))
        return found

    def _lstm(self, x: Node, hidden: Node | None, carried: Node | None) -> tuple[Node, Node]:
        build, (sigmoid, tanh, last) = self.build, self.functions
        entry = build.univariate(self._gate(x, hidden, 0, carried, 0), sigmoid)
        new = build.univariate(self._sum(3, x, hidden), tanh)
        cell = self._multiply(entry, new)
        if carried is not None:
            if self.attributes.get("input_forget"):
                forget = build.affine(entry, -1.0, 1.0)
            else:
                forget = build.univariate(self._gate(x, hidden, 2, carried, 2), sigmoid)
            cell = self._add(self._multiply(forget, carried), cell)
        out = build.univariate(self._gate(x, hidden, 1, cell, 1), sigmoid)
        return self._multiply(out, build.univariate(cell, last)), cell
