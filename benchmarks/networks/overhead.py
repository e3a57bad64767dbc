"""What an encrypted batch takes beside the engine's evaluation: ``python -m benchmarks.networks.overhead``.

The evaluation is the floor: encoding, encryption, expansion, reading, decryption and decoding come on top.
Both are timed in the same call of ``predict``, so that other work touches both. Default networks, on 64 rows,
and linear models, whose evaluation is so short that the rest is most of it. Medians.
"""

import argparse
import time
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_breast_cancer, load_digits, load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skfhe
from benchmarks.measure import machine
from skfhe.circuit._bindings import ServerFunction
from skfhe.linear_model import LogisticRegression
from skfhe.neural_network import NeuralNetClassifier

DATA = {"iris": load_iris, "cancer": load_breast_cancer, "digits": load_digits}


class Timed:
    """Times every evaluation of one of the engine's functions."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.taken = 0.0

    def call(self, *given: Any) -> Any:
        """Evaluate, as the engine's function does."""
        start = time.perf_counter()
        try:
            return self.server.call(*given)
        finally:
            self.taken += time.perf_counter() - start


def measured(pipe: Any, X: Any, repetitions: int) -> tuple[float, float]:
    """Return the median seconds of a prediction, and those of the evaluations in it."""
    compiled = pipe[-1].fhe_circuit_.compiled
    timed = []
    for part in compiled.parts:
        for n_rows in compiled.batch_sizes:
            function: ServerFunction = part.function(n_rows)
            function._server = Timed(function._server)
            timed.append(function._server)
    pipe.predict(X, fhe="execute")
    found = []
    for _ in range(repetitions):
        for each in timed:
            each.taken = 0.0
        start = time.perf_counter()
        pipe.predict(X, fhe="execute")
        found.append((time.perf_counter() - start, sum(each.taken for each in timed)))
    whole, inside = np.median(np.array(found), axis=0)
    return float(whole), float(inside)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--repetitions", type=int, default=5)
    options = parser.parse_args()
    table = Table("model", "data", "rows", "ms a row", "evaluation", "prediction / evaluation")
    for name, load in DATA.items():
        X, y = load(return_X_y=True)
        for model in (NeuralNetClassifier(random_state=0), LogisticRegression(max_iter=5000)):
            pipe = make_pipeline(StandardScaler(), model).fit(X, y)
            skfhe.compile(pipe)
            whole, inside = measured(pipe, X[: options.rows], options.repetitions)
            row_ms = 1000 / options.rows
            times = f"{whole * row_ms:.2f}", f"{inside * row_ms:.2f}"
            table.add_row(type(model).__name__, name, str(options.rows), *times, f"{whole / inside:.3f}")
    Console(width=110).print(machine("concrete-python"), table)


if __name__ == "__main__":
    main()
