"""Encrypted rows of many kinds of model, from several threads at once: every integer equals the clear one's.

    python -m benchmarks.engine.threads [--rows 1000] [--threads 4]

Every thread takes rows of one model after the other, so that threads meet on the same circuits, first use
included. What is compared are the integers that `Circuit.execute` returns with those of the program in the
clear; the predictions made of them are the same function of both.
"""

import argparse
import queue
import threading
from collections import Counter
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from torch import nn

from skfhe import compile_torch_model
from skfhe.boosting import CatBoostClassifier, LGBMRegressor, XGBClassifier
from skfhe.circuit import Circuit
from skfhe.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)
from skfhe.linear_model import LogisticRegression, Ridge
from skfhe.neural_network import NeuralNetClassifier, NeuralNetRegressor
from skfhe.program import run_batched
from skfhe.svm import LinearSVC
from skfhe.tree import DecisionTreeClassifier, DecisionTreeRegressor

ROWS_A_TASK = 11


def models() -> dict[str, tuple[Any, np.ndarray]]:
    """Return fitted and compiled models, none of which has keys yet, and their rows."""
    iris, cancer, diabetes = (
        load(return_X_y=True) for load in (load_iris, load_breast_cancer, load_diabetes)
    )
    small = {"n_estimators": 4, "max_depth": 3, "random_state": 0}
    made = {
        "logistic regression": (LogisticRegression(max_iter=5000), cancer),
        "ridge": (Ridge(), diabetes),
        "linear SVM": (LinearSVC(random_state=0, max_iter=5000), iris),
        "tree": (DecisionTreeClassifier(max_depth=4, random_state=0), cancer),
        "tree on 3 bits": (DecisionTreeRegressor(max_depth=3, n_bits=3, random_state=0), diabetes),
        "random forest": (RandomForestClassifier(**small), iris),
        "extra trees": (ExtraTreesRegressor(**small), diabetes),
        "gradient boosting": (GradientBoostingClassifier(**small), cancer),
        "histogram boosting": (
            HistGradientBoostingRegressor(max_iter=4, max_depth=3, random_state=0),
            diabetes,
        ),
        "XGBoost": (XGBClassifier(**small), cancer),
        "LightGBM": (LGBMRegressor(**small, verbose=-1), diabetes),
        "CatBoost": (
            CatBoostClassifier(iterations=4, depth=3, verbose=0, random_seed=0, allow_writing_files=False),
            cancer,
        ),
        "network": (NeuralNetClassifier(max_epochs=20, random_state=0), iris),
        "network of two targets": (
            NeuralNetRegressor(max_epochs=20, random_state=0),
            (diabetes[0], np.column_stack([diabetes[1], -diabetes[1]])),
        ),
    }
    found = {}
    for name, (model, (X, y)) in made.items():
        model.fit(X, y).compile()
        found[name] = model, X
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
    rounding = {"n_bits": 4, "method": "exact"}
    module = compile_torch_model(net, iris[0], n_bits=3, rounding_threshold_bits=rounding)
    found["imported network"] = module, iris[0]
    return found


def main() -> None:
    """Run, and print a line a model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=4)
    options = parser.parse_args()
    compiled = models()
    tasks: queue.Queue[tuple[str, np.ndarray]] = queue.Queue()
    rng = np.random.default_rng(0)
    for number in range(-(-options.rows // ROWS_A_TASK)):
        name = list(compiled)[number % len(compiled)]
        tasks.put((name, rng.choice(compiled[name][1], ROWS_A_TASK)))

    rows, integers, wrong, errors = Counter[str](), Counter[str](), Counter[str](), list[Exception]()
    local = threading.local()
    execute = Circuit.execute

    def compared(circuit: Circuit, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        encrypted = execute(circuit, *inputs)
        for got, clear in zip(encrypted, run_batched(circuit.program, *inputs), strict=True):
            integers[local.name] += clear.size
            wrong[local.name] += int((got != clear).sum())
        rows[local.name] += len(inputs[0])
        return encrypted

    Circuit.execute = compared  # type: ignore[method-assign]

    def work() -> None:
        while True:
            try:
                local.name, X = tasks.get_nowait()
            except queue.Empty:
                return
            model = compiled[local.name][0]
            try:
                (model.predict if hasattr(model, "predict") else model.forward)(X, fhe="execute")
            except Exception as error:
                errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(options.threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in compiled:
        print(f"{name:24} {rows[name]:5} rows {integers[name]:6} integers {wrong[name]:4} wrong")
    print(
        f"{'all':24} {rows.total():5} rows {integers.total():6} integers {wrong.total():4} wrong, "
        f"{len(errors)} errors, {options.threads} threads, {len(compiled)} models"
    )
    for error in errors:
        print(type(error).__name__, error)


if __name__ == "__main__":
    main()
