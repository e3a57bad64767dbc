"""Explainable boosting machines: score, agreement and cost by levels of main effects and by pairs.

Prints a table for each data set, on rows that training has not seen, and what each interaction adds. Run as
``python benchmarks/tabular/explainable_boosting.py [name ...]``; the library's training takes minutes.
"""

from __future__ import annotations

import sys
import warnings

import numpy as np
from interpret.glassbox import ExplainableBoostingClassifier, ExplainableBoostingRegressor
from sklearn.base import is_regressor
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.model_selection import train_test_split

from skfhe import additive

FEW = {"outer_bags": 2, "max_rounds": 500, "n_jobs": 1, "random_state": 0, "interactions": 10}
SETTINGS = (
    *({"n_bits": n_bits, "n_pairs": 0} for n_bits in (3, 4, 5)),
    *({"n_bits": 4, "n_pairs": n_pairs} for n_pairs in (2, 8)),
    {"n_bits": 4, "n_pairs": 8, "pairs": "cells"},
    {"n_bits": None, "n_pairs": None, "pairs": "cells"},
)


def churn(n_rows=2000, seed=0):
    """Draw customers that leave for reasons of which one is a pair: a new contract with high charges."""
    rng = np.random.default_rng(seed)
    months, charge = rng.integers(0, 72, n_rows), rng.gamma(4, 16, n_rows).round(2)
    contract, calls, age = rng.integers(0, 3, n_rows), rng.poisson(1.5, n_rows), rng.integers(18, 90, n_rows)
    score = 0.8 * calls - 0.03 * months - contract + 2.5 * ((months < 12) & (charge > 70)) - 0.5
    X = np.column_stack([months, charge, contract, calls, age, rng.normal(size=(n_rows, 3))])
    return X, (score + rng.logistic(size=n_rows) > 0).astype(int)


DATA = {
    "iris": lambda: load_iris(return_X_y=True),
    "cancer": lambda: load_breast_cancer(return_X_y=True),
    "diabetes": lambda: load_diabetes(return_X_y=True),
    "churn-like": churn,
}


def rows_of(name):
    """Yield a line for each setting, and at last one for each interaction."""
    X, y = DATA[name]()
    train, test, y_train, y_test = train_test_split(X, y, test_size=0.3, random_state=0)
    regression = name == "diabetes"
    original = ExplainableBoostingRegressor if regression else ExplainableBoostingClassifier
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = original(**FEW).fit(train, y_train)
    expected = fitted.predict(test)
    for setting in SETTINGS:
        model = getattr(additive, original.__name__).from_sklearn_model(fitted, train, y_train, **setting)
        found = model.predict(test)
        same = np.corrcoef(found, expected)[0, 1] if is_regressor(model) else (found == expected).mean()
        cost, sent = model.cost_, [value.size for value in input_types(model.program_)]
        yield (
            f"{name:10} {setting!s:55} {fitted.score(test, y_test):.3f} {model.score(test, y_test):.3f} "
            f"{same:.4f} {'+'.join(map(str, sent)):>8} {sum(cost.lookups.values()):4} "
            f"{cost.complexity / 1e6:6.0f} M {1e3 * cost.seconds:7.1f} ms"
        )
    model = getattr(additive, original.__name__).from_sklearn_model(fitted, train, y_train)
    for each in model.interactions_:
        yield (
            f"{name:10} {' & '.join(each.names):30} adds {each.adds:9.4f}, {each.lookups} lookup(s), "
            f"{1e3 * each.seconds:.1f} ms{', kept' if each.kept else ''}"
        )


def input_types(program):
    """Return the types of a program's inputs."""
    return [program.values[position].type for position in program.inputs]


if __name__ == "__main__":
    print("data, setting, score of the original, of ours, agreement, ciphertexts, lookups, complexity, a row")
    for chosen in sys.argv[1:] or DATA:
        for line in rows_of(chosen):
            print(line, flush=True)
