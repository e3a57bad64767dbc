"""Accuracy of the neural networks against scikit-learn's MLP: ``python -m benchmarks.networks.accuracy``.

Five folds, StandardScaler in a pipeline; the score is accuracy, or R² for regression, whose targets are
standardized for the MLP, as ours does by itself. Beside scikit-learn's data sets there are made ones whose
features have few values, see ``benchmarks.networks.discrete``. The clear score is
that of the integer program, the simulated one adds lookup errors at 2**-40; ``--rows`` of the last fold are
then run encrypted and compared, integer by integer, with the clear program.
"""

import argparse
import time
import warnings
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skfhe
import skfhe.program
from benchmarks.datasets import CLASSIFICATION, REGRESSION, folds, load
from benchmarks.networks.discrete import DISCRETE, DISCRETE_REGRESSION
from skfhe.neural_network import NeuralNetClassifier, NeuralNetRegressor

MADE = DISCRETE | DISCRETE_REGRESSION


def evaluate(name: str, seed: int, n_encrypted: int, options: dict[str, Any]) -> dict[str, Any]:
    X, y = MADE[name]() if name in MADE else load(name)
    regression = name in (*REGRESSION, *DISCRETE_REGRESSION)
    mlp = (
        TransformedTargetRegressor(MLPRegressor(random_state=seed), transformer=StandardScaler())
        if regression
        else MLPClassifier(random_state=seed)
    )
    ours = (NeuralNetRegressor if regression else NeuralNetClassifier)(random_state=seed, **options)
    scores: dict[str, list[float]] = {"mlp": [], "clear": [], "simulated": []}
    fit_seconds = []
    for train, test in folds("diabetes" if regression else "iris").split(X, y):
        reference = make_pipeline(StandardScaler(), clone(mlp)).fit(X[train], y[train])
        scores["mlp"].append(reference.score(X[test], y[test]))
        start = time.perf_counter()
        pipe = make_pipeline(StandardScaler(), clone(ours)).fit(X[train], y[train])
        fit_seconds.append(time.perf_counter() - start)
        model = pipe[-1]
        scaled = pipe[:-1].transform(X[test])
        scores["clear"].append(model.score(scaled, y[test]))
        skfhe.compile(pipe)
        simulated = model.predict(scaled, fhe="simulate")
        scores["simulated"].append(
            1 - ((y[test] - simulated) ** 2).sum() / ((y[test] - y[test].mean()) ** 2).sum()
            if regression
            else float(np.mean(simulated == y[test]))
        )
    rows = scaled[:n_encrypted]
    inputs = model.encoder_.encode(rows)
    start = time.perf_counter()
    equal = seconds = float("nan")
    if n_encrypted:
        model.fhe_circuit_.keygen()
        start = time.perf_counter()
        encrypted = model.fhe_circuit_.execute(*inputs)
        seconds = (time.perf_counter() - start) / n_encrypted
        clear = skfhe.program.run(model.program_, *inputs)
        same = [np.all(e == c, axis=1) for e, c in zip(encrypted, clear, strict=True)]
        equal = float(np.mean(np.all(same, axis=0)))
    return {
        "name": name,
        "scores": {k: (float(np.mean(v)), float(np.std(v))) for k, v in scores.items()},
        "fit": float(np.median(fit_seconds)),
        "cost": model.cost_,
        "accumulators": model.accumulator_bits_,
        "equal": equal,
        "seconds": seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", nargs="*", default=[*CLASSIFICATION, *REGRESSION, *MADE])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rows", type=int, default=10, help="encrypted rows")
    parser.add_argument("--set", nargs="*", default=[], help="estimator parameters, name=value")
    arguments = parser.parse_args()
    options: dict[str, Any] = {}
    for item in arguments.set:
        name, value = item.split("=")
        try:
            options[name] = float(value) if "." in value or "e-" in value else int(value)
        except ValueError:
            options[name] = value
    warnings.simplefilter("ignore", ConvergenceWarning)
    table = Table("data", "MLP", "clear", "simulated", "accumulators", "lookups", "fit s",
                  "encrypted = clear", "s/row")  # fmt: skip
    for name in arguments.data:
        result = evaluate(name, arguments.seed, arguments.rows, options)
        table.add_row(
            name,
            *(f"{m:.3f} ± {s:.3f}" for m, s in result["scores"].values()),
            str(result["accumulators"]),
            str(result["cost"].lookups),
            f"{result['fit']:.1f}",
            f"{result['equal']:.0%} of {arguments.rows}",
            f"{result['seconds']:.2f}",
        )
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
