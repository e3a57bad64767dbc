"""What fitting trees costs beside the original's fit: ``python -m benchmarks.tabular.tree_fits [NAME…]``.

CPU seconds of the original's ``fit`` and of ours, which trains it and then covers its trees with lookups,
builds the program and checks it. Run it with ``OMP_NUM_THREADS=1``, or threads that wait count, too.
"""

import argparse
import time
import warnings
from typing import Any

from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, make_friedman1, make_regression

from skfhe.boosting import CatBoostClassifier, LGBMClassifier, XGBClassifier
from skfhe.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from skfhe.tree import DecisionTreeClassifier, DecisionTreeRegressor

SEED: dict[str, Any] = {"random_state": 0}
STUMPS: dict[str, Any] = {"max_depth": 1, "max_iter": 100, "early_stopping": False}
CAT: dict[str, Any] = {"verbose": 0, "allow_writing_files": False, "thread_count": 1}


def data() -> dict[str, tuple[Any, Any]]:
    """Return rows and targets by name."""
    return {
        "linear": make_regression(500, 20, noise=1.0, random_state=0),
        "friedman": make_friedman1(500, 20, random_state=0),
        "diabetes": load_diabetes(return_X_y=True),
        "breast cancer": load_breast_cancer(return_X_y=True),
        "digits": load_digits(return_X_y=True),
    }


CASES: dict[str, tuple[Any, str]] = {
    "5 extra trees": (ExtraTreesRegressor(n_estimators=5, **SEED), "linear"),
    "5 extra trees, friedman": (ExtraTreesRegressor(n_estimators=5, **SEED), "friedman"),
    "5 extra trees, n_bits=4": (ExtraTreesRegressor(n_estimators=5, n_bits=4, **SEED), "linear"),
    "tree": (DecisionTreeRegressor(**SEED), "linear"),
    "tree, digits": (DecisionTreeClassifier(**SEED), "digits"),
    "stumps": (HistGradientBoostingClassifier(**STUMPS, **SEED), "digits"),
    "histogram boosting": (HistGradientBoostingClassifier(**SEED), "breast cancer"),
    "histogram boosting, diabetes": (HistGradientBoostingRegressor(**SEED), "diabetes"),
    "histogram boosting, digits": (HistGradientBoostingClassifier(max_iter=10, **SEED), "digits"),
    "gradient boosting": (GradientBoostingClassifier(**SEED), "breast cancer"),
    "gradient boosting, diabetes": (GradientBoostingRegressor(**SEED), "diabetes"),
    "forest": (RandomForestClassifier(**SEED), "breast cancer"),
    "forest, diabetes": (RandomForestRegressor(**SEED), "diabetes"),
    "forest of 10, digits": (RandomForestClassifier(n_estimators=10, **SEED), "digits"),
    "XGBoost": (XGBClassifier(n_jobs=1), "breast cancer"),
    "LightGBM": (LGBMClassifier(verbose=-1, n_jobs=1), "breast cancer"),
    "CatBoost, 100": (CatBoostClassifier(iterations=100, **CAT), "breast cancer"),
    "CatBoost": (CatBoostClassifier(**CAT), "breast cancer"),
}
"""Estimator and data by name."""


def cpu_seconds(estimator: Any, X: Any, y: Any) -> float:
    """Return the CPU time of ``fit``."""
    start = time.process_time()
    estimator.fit(X, y)
    return time.process_time() - start


def main() -> None:
    """Measure the cases that are named on the command line, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", help=", ".join(CASES))
    names = parser.parse_args().names or list(CASES)
    warnings.simplefilter("ignore")
    rows = data()
    table = Table("model", "original, s", "ours, s", "lookups", "s a row", box=None)
    for name in names:
        estimator, of = CASES[name]
        params = {key: value for key, value in estimator.get_params(deep=False).items() if key != "n_bits"}
        theirs = cpu_seconds(type(estimator)._original(**params), *rows[of])
        ours = cpu_seconds(estimator, *rows[of])
        cost = estimator.cost_
        table.add_row(name, f"{theirs:.3f}", f"{ours:.3f}", str(cost.n_lookups), f"{cost.seconds:.2g}")
    Console().print(table)


if __name__ == "__main__":
    main()
