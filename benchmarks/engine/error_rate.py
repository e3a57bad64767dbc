"""Whether simulation errs as encrypted runs do: ``python -m benchmarks.engine.error_rate``.

The default network on digits at three error rates. The same held-out rows are evaluated in the clear,
simulated five times, and encrypted; compared are the integers of the output layer, and the accuracy.
"""

import argparse

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.model_selection import train_test_split

from benchmarks.datasets import load
from skfhe.neural_network import NeuralNetClassifier


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--p-error", type=float, nargs="*", default=[0.25, 1e-2, 1e-3])
    arguments = parser.parse_args()
    X_train, X, y_train, y = train_test_split(
        *load("digits"), test_size=0.3, stratify=load("digits")[1], random_state=0
    )
    X, y = X[: arguments.rows], y[: arguments.rows]
    model = NeuralNetClassifier(random_state=0).fit(X_train, y_train)
    inputs = model.encoder_.encode(X)
    clear = model._lowered_model().evaluate(*inputs, fhe="disable")

    def accuracy(outputs: tuple[np.ndarray, ...]) -> float:
        pairs = zip(model._output_decoders, outputs, strict=True)
        return float(np.mean(sum(decoder.decode(q) for decoder, q in pairs).argmax(axis=1) == y))

    table = Table("p_error", "mode", "rows with other integers", "mean difference", "accuracy")
    table.add_row("", "clear", "", "", f"{accuracy(clear):.3f}")
    for p_error in arguments.p_error:
        model.compile(p_error=p_error)
        for mode, n_runs in (("simulate", 5), ("execute", 1)):
            runs = [model._lowered_model().evaluate(*inputs, fhe=mode) for _ in range(n_runs)]
            rows = [np.any(found[0] != clear[0], axis=1).mean() for found in runs]
            difference = np.mean([np.abs(found[0] - clear[0]) for found in runs])
            accuracies = [accuracy(found) for found in runs]
            table.add_row(
                f"{p_error:g}",
                mode,
                f"{min(rows):.3f} to {max(rows):.3f}",
                f"{difference:.3f}",
                f"{min(accuracies):.3f} to {max(accuracies):.3f}",
            )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
