"""scikit-learn's ``check_estimator`` on the linear and tree estimators and their originals.

Run by ``python -m benchmarks.tabular.compare --checks``. Boosting and forests have five trees, on both sides.
Checks are counted by name, for scikit-learn repeats some for its own classes, with further parameters.
"""

import inspect
import logging
import warnings
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from rich.console import Console
from rich.table import Table
from sklearn.utils.estimator_checks import check_estimator

MODULES = ("linear_model", "svm", "tree", "ensemble", "boosting")
LIBRARIES = {"XGB": "xgboost", "LGBM": "lightgbm", "CatBoost": "catboost"}
SMALL = {"n_estimators": 5, "max_iter": 5, "iterations": 5}
"""Parameters that keep ensembles small, where a constructor has them."""


def estimators(console: Console, modules: list[str]) -> Iterator[tuple[str, type, type]]:
    """Yield the names of all estimators, their classes and those of their originals."""
    for module in modules or MODULES:
        try:
            names = import_module(f"skfhe.{module}").__all__
        except ImportError as error:
            console.print(f"skfhe.{module} is left out: {error}")
            continue
        for name in names:
            library = next((LIBRARIES[start] for start in LIBRARIES if name.startswith(start)), None)
            try:
                ours = getattr(import_module(f"skfhe.{module}"), name)
                original = getattr(import_module(library or f"sklearn.{module}"), name)
            except (ImportError, AttributeError) as error:
                console.print(f"{module}.{name} is left out: {error}")
                continue
            yield f"{module}.{name}", ours, original


def small(cls: type, module: str) -> Any:
    """Return an unfitted estimator, an ensemble with few trees."""
    if module not in ("ensemble", "boosting"):
        return cls()
    names = {*inspect.signature(cls).parameters, *cls().get_params()}
    if "iterations" in names:  # CatBoost, which knows n_estimators, too
        return cls(iterations=5, verbose=0, allow_writing_files=False)
    return cls(**{name: value for name, value in SMALL.items() if name in names})


def silence() -> None:
    """Keep LightGBM from printing, which has no parameter for it that every check would leave alone."""
    try:
        lightgbm = import_module("lightgbm")
    except ImportError:
        return
    logger = logging.getLogger("lightgbm")
    logger.setLevel(logging.ERROR)
    lightgbm.register_logger(logger)


def checked(estimator: Any) -> dict[str, set[str]]:
    """Return the names of the checks by what came out: passed, failed, skipped or expected to fail."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(estimator, on_fail=None, on_skip=None)
    found: dict[str, set[str]] = {status: set() for status in ("passed", "failed", "skipped", "xfail")}
    for result in results:
        found[result["status"]].add(result["check_name"])
    found["passed"] -= found["failed"] | found["skipped"]
    return found


def listed(names: set[str]) -> str:
    return ", ".join(sorted(name.removeprefix("check_") for name in names))


def report(console: Console, modules: list[str]) -> None:
    """Print passed and failed checks of the estimators of ``modules``, or all, beside their originals'."""
    silence()
    table = Table("estimator", "passed / failed", "original", "failed by both", "failed here alone",
                  "failed by the original alone", "passed there, not run here", box=None)  # fmt: skip
    for name, cls, original in estimators(console, modules):
        module = name.split(".")[0]
        here, there = checked(small(cls, module)), checked(small(original, module))
        table.add_row(
            name,
            f"{len(here['passed'])} / {len(here['failed'])}",
            f"{len(there['passed'])} / {len(there['failed'])}",
            listed(here["failed"] & there["failed"]),
            listed(here["failed"] - there["failed"]),
            listed(there["failed"] - here["failed"]),
            listed(there["passed"] - here["passed"] - here["failed"]),
        )
    console.print(table)
