"""Seconds that ``cost_`` predicts beside those that rows take: ``python -m benchmarks.engine.predicted``.

By what ``skfhe bench`` has measured of this machine, which ``--bench`` does first, and by the cost table.
A row is encrypted, evaluated and decrypted alone, which is what ``cost_.seconds`` is about; what an estimator
does beside, to check rows, is not. On a machine that does nothing else.
"""

import argparse
import os
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from benchmarks.measure import machine, row_seconds, save
from skfhe import compile_torch_model
from skfhe.additive import ExplainableBoostingClassifier
from skfhe.boosting import CatBoostClassifier, LGBMRegressor, XGBClassifier
from skfhe.cluster import KMeans
from skfhe.decomposition import PCA
from skfhe.discriminant_analysis import QuadraticDiscriminantAnalysis
from skfhe.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
)
from skfhe.importers import TorchClassifier
from skfhe.linear_model import LogisticRegression, Ridge
from skfhe.naive_bayes import GaussianNB
from skfhe.neural_network import NeuralNetClassifier, NeuralNetRegressor
from skfhe.svm import SVC, LinearSVC
from skfhe.tree import DecisionTreeClassifier

Rows = tuple[np.ndarray, np.ndarray]


def _scaled(load: Callable[..., Any]) -> Rows:
    X, y = load(return_X_y=True)
    return StandardScaler().fit_transform(X), y


def _converted(rows: Rows) -> Any:
    X, y = rows
    trained = MLPClassifier((8,), max_iter=300, random_state=0).fit(X, y)
    return TorchClassifier.from_sklearn_model(trained, X, n_bits=4, rounding_threshold_bits=4)


def _imported(rows: Rows) -> Any:
    X, _ = rows
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(X.shape[1], 6), torch.nn.ReLU(), torch.nn.Linear(6, 3))
    return compile_torch_model(net, X.astype(np.float32), n_bits=3, rounding_threshold_bits=4)


def _convolution(rows: Rows) -> Any:
    X = rows[0].reshape(-1, 1, 8, 8).astype(np.float32)
    torch.manual_seed(0)
    layers = [
        torch.nn.Conv2d(1, 2, 3, stride=2),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(18, 10),
    ]
    return compile_torch_model(torch.nn.Sequential(*layers), X, n_bits=3, rounding_threshold_bits=4)


def models() -> Iterator[tuple[str, Any, np.ndarray]]:
    """Yield names, fitted models, and rows to evaluate."""
    iris, digits, cancer, diabetes = map(_scaled, (load_iris, load_digits, load_breast_cancer, load_diabetes))
    small = {"n_estimators": 10, "max_depth": 4, "random_state": 0}
    wanted: list[tuple[str, Any, Rows]] = [
        ("LogisticRegression, cancer", LogisticRegression(max_iter=300), cancer),
        ("LinearSVC, digits", LinearSVC(), digits),
        ("Ridge, diabetes", Ridge(), diabetes),
        ("PCA, cancer", PCA(5), cancer),
        ("KMeans, iris", KMeans(3, random_state=0), iris),
        ("tree, iris", DecisionTreeClassifier(max_depth=3, random_state=0), iris),
        ("tree at 4 bits, cancer", DecisionTreeClassifier(max_depth=4, n_bits=4, random_state=0), cancer),
        ("forest, iris", RandomForestClassifier(**small), iris),
        ("forest at 4 bits, cancer", RandomForestClassifier(**small, n_bits=4), cancer),
        ("extra trees, diabetes", ExtraTreesRegressor(**small), diabetes),
        (
            "isolation forest, cancer",
            IsolationForest(n_estimators=10, max_samples=32, random_state=0),
            cancer,
        ),
        ("gradient boosting, cancer", GradientBoostingClassifier(**small), cancer),
        ("histogram boosting, diabetes", HistGradientBoostingRegressor(max_iter=10, max_depth=4), diabetes),
        ("XGBoost, cancer", XGBClassifier(n_estimators=10, max_depth=4), cancer),
        ("LightGBM, diabetes", LGBMRegressor(n_estimators=10, num_leaves=8, verbose=-1), diabetes),
        (
            "CatBoost, cancer",
            CatBoostClassifier(iterations=10, depth=4, verbose=0, allow_writing_files=False),
            cancer,
        ),
        ("explainable boosting, cancer", ExplainableBoostingClassifier(max_rounds=50, n_jobs=1), cancer),
        ("quadratic discriminant, iris", QuadraticDiscriminantAnalysis(), iris),
        ("GaussianNB, iris", GaussianNB(), iris),
        ("SVC of degree 2, iris", SVC(kernel="poly", degree=2), iris),
        ("network, iris", NeuralNetClassifier(random_state=0), iris),
        ("network, digits", NeuralNetClassifier(random_state=0, max_epochs=5), digits),
        ("network, diabetes", NeuralNetRegressor(random_state=0, max_epochs=20), diabetes),
    ]
    for name, model, (X, y) in wanted:
        yield name, model.fit(X, y), X
    for name, make, rows in (
        ("MLPClassifier converted, iris", _converted, iris),
        ("network imported, iris", _imported, iris),
        ("convolution imported, digits", _convolution, digits),
    ):
        X = rows[0].reshape(-1, 1, 8, 8) if make is _convolution else rows[0]
        yield name, make(rows), X


def measured(model: Any, X: np.ndarray) -> tuple[float, float, int]:
    """Return the median seconds of a row, those of generating keys, and how many rows were timed."""
    circuit = model.compile()
    start = time.perf_counter()
    circuit.keygen()
    keys = time.perf_counter() - start
    row, n_rows = row_seconds(circuit.execute, model.encoder_.encode(X[:16]))
    return row, keys, n_rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bench", action="store_true", help="measure the machine first, for this run alone")
    parser.add_argument("--only", default="", help="models whose name contains this")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results")
    given = parser.parse_args()
    if given.bench:
        from pathlib import Path
        from tempfile import mkdtemp

        from skfhe._bench import measure_machine
        from skfhe.cost import write_machine

        path = write_machine(measure_machine(), Path(mkdtemp(), "machine.json"))
        os.environ["SKFHE_MACHINE"] = str(path)
        print(path.read_text("utf-8"))
    print("| model | lookups | predicted | measured | predicted / measured | by the table | keys |")
    print("|---|---|---|---|---|---|---|")
    found = []
    warnings.simplefilter("ignore")
    for name, model, X in models():
        if given.only not in name:
            continue
        cost = model.cost_
        row, keys, n_rows = measured(model, X)
        known = {"predicted": cost.seconds, "reference": cost.reference_seconds, "measured": row}
        known |= {"keys_predicted": cost.key_seconds, "keys_measured": keys, "rows": n_rows}
        found.append({"model": name, "lookups": dict(cost.lookups), **known})
        widths = ", ".join(f"{n} of {bits} bits" for bits, n in sorted(cost.lookups.items())) or "none"
        key_ratio = f"{cost.key_seconds / keys:.2f}" if cost.key_bytes else "–"
        print(
            f"| {name} | {widths} | {cost.seconds:.4g} | {row:.4g} | {cost.seconds / row:.2f} | "
            f"{cost.reference_seconds / row:.2f} | {key_ratio} |",
            flush=True,
        )
    for name in ("predicted", "reference"):
        errors = [abs(1 - each[name] / each["measured"]) for each in found]
        print(
            f"{name}: median error {np.median(errors):.1%}, largest {max(errors):.1%}, {len(errors)} models"
        )
    if given.save:
        print(save("predicted-seconds", {"machine": machine("skfhe", "concrete-python"), "rows": found}))


if __name__ == "__main__":
    main()
