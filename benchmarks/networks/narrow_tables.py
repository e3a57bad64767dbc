"""What narrower lookups of the same accumulators bring: ``python -m benchmarks.networks.narrow_tables``.

First, an accumulator of 5 to 7 bits and a table of each kind, one lookup a neuron: the complexity that is
predicted and that the engine says, of one lookup as it is and of what stands for it. Then a ReLU network in
plain torch on the digits, pruned and quantized after training so that its accumulators have 6 bits of which
at most 48 cells occur, compiled with and without: the same integers, encrypted, and the seconds of a row.
"""

import argparse
from unittest import mock

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.nn.utils import prune

from benchmarks.measure import machine, seconds
from skfhe._typing import FloatArray, IntArray
from skfhe.circuit import compile_program
from skfhe.importers import QuantizedModule, _lowered, quantize_torch_model
from skfhe.passes import narrow_lookups, optimize
from skfhe.program import Program, ProgramBuilder, ops

HIDDEN = 32
KEPT_WEIGHTS = (16, 20)
"""Of a hidden neuron's 64."""
N_BITS = {"model_inputs": 2, "op_inputs": 2, "op_weights": 2}


def tables(n_bits: int) -> dict[str, IntArray]:
    """Return a table of each kind; those of few cells end before ``2**n_bits``."""
    u = np.arange(1 << n_bits) - (1 << (n_bits - 1))
    random = np.random.default_rng(0).integers(0, 4, len(u))
    return {
        "sign": np.where(u < 0, -1, 1),
        "|u|, two bits": abs(u) >> (n_bits - 3),
        "3/4 of the cells": random[: 3 * len(u) // 4],
        "7/8 of the cells": random[: 7 * len(u) // 8],
        "all cells": random,
    }


def looked_up(table: IntArray, n: int = 10) -> Program:
    """Return a layer of ``n`` neurons, each looked up in one table, and a layer of ten behind."""
    rng = np.random.default_rng(0)
    builder = ProgramBuilder()
    n_inputs = len(table) - 1
    x = builder.input(np.zeros(n_inputs), np.ones(n_inputs), label="bits")
    h = builder.add(ops.Linear(np.ones((n_inputs, n), int), np.zeros(n, int)), x, label="hidden")
    h = builder.add(ops.Lookup(table[None], np.array([0])), h, label="hidden")
    weight = rng.integers(-1, 2, (n, 10))
    return optimize(builder.finish(builder.add(ops.Linear(weight, np.zeros(10, int)), h, label="output")))


def of_tables(console: Console) -> None:
    """Print what lookups of each kind of table cost."""
    shown = Table(title="ten lookups, millions: predicted / the engine's")
    for name in ("bits", "table", "as it is", "narrow", "bits now", "times less"):
        shown.add_column(name)
    for n_bits in (5, 6, 7):
        for name, table in tables(n_bits).items():
            before = looked_up(table)
            after, _ = narrow_lookups(before)
            cells, told = [], []
            for program in (before, after):
                circuit = compile_program(program, batch_sizes=(1,))
                told.append(circuit.complexity)
                cells.append(f"{circuit.cost.complexity / 1e6:.0f} / {told[-1] / 1e6:.0f}")
            now = " + ".join(map(str, after.accumulator_bits))
            shown.add_row(str(n_bits), name, *cells, now, f"{told[0] / told[1]:.2f}")
    console.print(shown)


def trained(X: FloatArray, y: IntArray, kept: int, epochs: int = 300) -> nn.Module:
    """Train a network of one hidden layer, of whose weights each neuron keeps some."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(64, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 10))
    rows, labels = torch.tensor(X, dtype=torch.float32), torch.tensor(y)
    for epoch in range(epochs):
        if epoch == epochs // 3:  # the largest of each neuron stay
            magnitudes = net[0].weight.detach().abs()
            least = magnitudes.topk(kept, dim=1).values[:, -1:]
            prune.custom_from_mask(net[0], "weight", (magnitudes >= least).float())
            optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
        elif epoch == 0:
            optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(rows), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return net.eval()


def quantized(net: nn.Module, X: FloatArray) -> tuple[QuantizedModule, QuantizedModule]:
    """Return the network with lookups as they are, and with narrow ones."""
    with mock.patch.object(_lowered, "narrow_lookups", lambda p, _: (p, (0,) * len(p.outputs))):
        before = quantize_torch_model(net, X, N_BITS)
    return before, quantize_torch_model(net, X, N_BITS)


def of_a_network(console: Console, kept: int, n_rows: int, repetitions: int) -> None:
    """Print what a network of so many weights a neuron costs with narrow lookups and without."""
    X, y = load_digits(return_X_y=True)
    given = train_test_split(X / 16, y, test_size=0.25, stratify=y, random_state=0)
    X_train, X_test, y_train, y_test = given
    modules = quantized(trained(X_train, y_train, kept), X_train)
    expected = modules[0].forward(X_test)
    shown = Table(title=f"ReLU network, digits, {kept} weights a neuron")
    for name in ("lookups", "accuracy", "predicted, M", "engine, M", "seconds a row", "rows wrong"):
        shown.add_column(name)
    for name, module in zip(("as they are", "narrow"), modules, strict=True):
        circuit = module.compile()
        circuit.keygen()
        wrong = (module.forward(X_test[:n_rows], fhe="execute") != expected[:n_rows]).any(axis=1).sum()

        def predict(module: QuantizedModule = module) -> None:
            module.forward(X_test[:1], fhe="execute")

        cells = [f"{value / 1e6:.0f}" for value in (module.cost_.complexity, circuit.complexity)]
        accuracy = (module.forward(X_test).argmax(axis=1) == y_test).mean()
        taken = seconds(predict, repetitions, warm_up=1)
        shown.add_row(name, f"{accuracy:.3f}", *cells, f"{taken:.3f}", f"{wrong} of {n_rows}")
        console.print(f"{name}: {module.cost_}")
    console.print(shown)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=64, help="encrypted rows that are compared")
    parser.add_argument("--repetitions", type=int, default=5, help="of one row, timed")
    options = parser.parse_args()
    console = Console()
    console.print(machine("concrete-python", "torch"))
    of_tables(console)
    for kept in KEPT_WEIGHTS:
        of_a_network(console, kept, options.rows, options.repetitions)


if __name__ == "__main__":
    main()
