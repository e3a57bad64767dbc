"""CPU time of training beside plain skorch: ``python -m benchmarks.networks.training_speed``.

The plain network is linear, batch norm, ReLU, linear, of the same width, trained by the same optimizer on
floats in the same batches. ``fit`` of ours includes the encoding of the rows and the lowering of the network.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import skorch
import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from skfhe.neural_network import NeuralNetClassifier


def cpu(run: Callable[[], Any]) -> float:
    """Return the CPU seconds of a call."""
    start = time.process_time()
    run()
    return time.process_time() - start


def plain(n_features: int, n_hidden: int, epochs: int, batch_size: int) -> Any:
    """Return plain skorch's classifier of two classes."""
    network = nn.Sequential(
        nn.Linear(n_features, n_hidden), nn.BatchNorm1d(n_hidden), nn.ReLU(), nn.Linear(n_hidden, 2)
    )
    return skorch.NeuralNetClassifier(
        network, criterion=nn.CrossEntropyLoss, optimizer=torch.optim.AdamW, lr=0.01, max_epochs=epochs,
        batch_size=batch_size, train_split=None, iterator_train__shuffle=True, verbose=0,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--features", type=int, default=20)
    parser.add_argument("--epochs", type=int, nargs="*", default=[1, 5])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(arguments.rows, arguments.features))
    y = (X[:, 0] * X[:, 1] + X[:, 2] > 0).astype(np.int64)
    table = Table(
        "batch size", "rows of a step", "neurons", "epochs", "skfhe, CPU s", "plain skorch, CPU s", "ratio"
    )
    NeuralNetClassifier(max_epochs=2).fit(X[:200], y[:200])  # imports and first calls
    plain(arguments.features, 8, 1, 32).fit(X[:200].astype(np.float32), y[:200])
    for batch_size in ("auto", 32):
        for epochs in arguments.epochs:
            model = NeuralNetClassifier(max_epochs=epochs, batch_size=batch_size, random_state=0)
            ours = cpu(lambda model=model: model.fit(X, y))
            n_hidden, rows = model.module_.output.in_features, model.net_.batch_size
            peer = plain(arguments.features, n_hidden, epochs, rows)
            theirs = cpu(lambda peer=peer: peer.fit(X.astype(np.float32), y))
            row = (batch_size, rows, n_hidden, epochs, f"{ours:.2f}", f"{theirs:.2f}", f"{ours / theirs:.2f}")
            table.add_row(*map(str, row))
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
