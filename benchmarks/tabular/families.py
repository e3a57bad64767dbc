"""Every family of estimators on every set of data: how near the integers are to the float original.

``python -m benchmarks.tabular.families [--families NAME …] [--data NAME …] [--rows 4] [--markdown]``

A quarter of the rows is held out. "Original" is the score of the float model on them, "clear" that of the
integers that run encrypted: accuracy, R², or nothing for a transformation. "Agreement" is the share of equal
labels, of all rows, "difference" the largest distance of two numbers in standard deviations. "Seconds"
is the predicted cost of a row, "equal" how many rows gave the very integers of the clear run when they were
encrypted. "Warned" says what the estimator warned of when it was fitted.

A further family is a line in ``FAMILIES``.
"""

import argparse
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.metrics import accuracy_score, r2_score
from sklearn.preprocessing import KBinsDiscretizer, RobustScaler

from benchmarks.measure import machine, save
from benchmarks.tabular.families_data import CLASSES, VALUES, Split, prepared, standardized

SCORES = "scores, so d + 1 rows give the weights; ranges of features with a weight"
MAX_SECONDS = 2.0
"""A row that is predicted to take longer is compared in the clear alone."""

Result = dict[str, Any]


@dataclass(frozen=True)
class Family:
    """An estimator, what it is compared on, and what its client learns.

    Parameters
    ----------
    path : str
        Of the class in skfhe, as ``"linear_model.Ridge"``.
    data : tuple of str
        Of `benchmarks.tabular.families_data`.
    settings : dict
        Parameters, of the original or of skfhe alone.
    method : str
        What is compared; it takes ``fhe``.
    learns : str
        What whoever decrypts learns of the model, beside predictions.
    transformer : callable
        Returns, by the name of the data, what transforms rows first, or None.
    """

    path: str
    data: tuple[str, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    method: str = "predict"
    learns: str = SCORES
    transformer: Callable[[str], Any] = standardized

    def estimator(self) -> Any:
        """Return an unfitted estimator of skfhe."""
        room, name = self.path.rsplit(".", 1)
        return getattr(import_module(f"skfhe.{room}"), name)(**self.settings)


TRANSFORMED = "projections, so d + 1 rows give the directions; ranges of features"
BITS_OF_ROWS = "scores, so d + 1 rows give the weights; the threshold of its bits"
CATEGORIES = "scores, so as many rows as categories give the weights; the number of categories"


def as_it_is(_: str) -> None:
    """Leave rows as they are."""


def above_median(_: str) -> Any:
    """Return what subtracts the median of each feature."""
    return RobustScaler(with_scaling=False)


def five_bins(_: str) -> Any:
    """Return what makes five categories of each feature."""
    return KBinsDiscretizer(5, encode="ordinal", quantile_method="averaged_inverted_cdf")


def linear(name: str, data: tuple[str, ...] = VALUES, room: str = "linear_model", **settings: Any) -> Family:
    """Return a linear family; its random numbers are those of every run."""
    family = Family(f"{room}.{name}", data, settings)
    seed = {"random_state": 0} if "random_state" in family.estimator().get_params() else {}
    return replace(family, settings=seed | settings)


FAMILIES = {
    "LogisticRegression": linear("LogisticRegression", CLASSES, max_iter=1000),
    "LogisticRegressionCV": linear("LogisticRegressionCV", CLASSES, Cs=3, cv=3, l1_ratios=(0,)),
    "RidgeClassifier": linear("RidgeClassifier", CLASSES),
    "RidgeClassifierCV": linear("RidgeClassifierCV", CLASSES),
    "SGDClassifier": linear("SGDClassifier", CLASSES),
    "Perceptron": linear("Perceptron", CLASSES),
    "PassiveAggressiveClassifier": linear("PassiveAggressiveClassifier", CLASSES),
    "LinearSVC": linear("LinearSVC", CLASSES, "svm"),
    "SGDOneClassSVM": linear("SGDOneClassSVM", CLASSES),
    "LinearRegression": linear("LinearRegression"),
    "Ridge": linear("Ridge"),
    "RidgeCV": linear("RidgeCV"),
    "Lasso": linear("Lasso", alpha=0.1),
    "LassoCV": linear("LassoCV"),
    "ElasticNet": linear("ElasticNet", alpha=0.01),
    "ElasticNetCV": linear("ElasticNetCV"),
    "Lars": linear("Lars"),
    "LarsCV": linear("LarsCV"),
    "LassoLars": linear("LassoLars", alpha=0.1),
    "LassoLarsCV": linear("LassoLarsCV"),
    "LassoLarsIC": linear("LassoLarsIC"),
    "OrthogonalMatchingPursuit": linear("OrthogonalMatchingPursuit"),
    "OrthogonalMatchingPursuitCV": linear("OrthogonalMatchingPursuitCV"),
    "BayesianRidge": linear("BayesianRidge"),
    "ARDRegression": linear("ARDRegression"),
    "HuberRegressor": linear("HuberRegressor", max_iter=1000),
    "QuantileRegressor": linear("QuantileRegressor", alpha=0.01),
    "TheilSenRegressor": linear("TheilSenRegressor", max_subpopulation=200),
    "RANSACRegressor": linear("RANSACRegressor", min_samples=100),
    "SGDRegressor": linear("SGDRegressor"),
    "PassiveAggressiveRegressor": linear("PassiveAggressiveRegressor"),
    "LinearSVR": linear("LinearSVR", room="svm", max_iter=10_000),
    "LinearDiscriminantAnalysis": Family("discriminant_analysis.LinearDiscriminantAnalysis", CLASSES),
    "LinearDiscriminantAnalysis, transform": Family(
        "discriminant_analysis.LinearDiscriminantAnalysis", CLASSES, method="transform", learns=TRANSFORMED
    ),
    "MultinomialNB": Family("naive_bayes.MultinomialNB", CLASSES, transformer=as_it_is),
    "ComplementNB": Family("naive_bayes.ComplementNB", CLASSES, transformer=as_it_is),
    "BernoulliNB": Family("naive_bayes.BernoulliNB", CLASSES, learns=BITS_OF_ROWS, transformer=above_median),
    "CategoricalNB": Family(
        "naive_bayes.CategoricalNB", CLASSES, {"min_categories": 5}, learns=CATEGORIES, transformer=five_bins
    ),
}
"""By the name that the table shows; a further family is a line here."""


def original_of(estimator: Any) -> Any:
    """Return the unfitted original with the same parameters."""
    params, own = estimator.get_params(deep=False), estimator._own_params
    return estimator._original(**{name: value for name, value in params.items() if name not in own})


def score(split: Split, method: str, found: np.ndarray) -> float | None:
    """Return accuracy or R² on the rows that are held out, or None for what does not predict the target."""
    if method != "predict" or found.shape != split.test_targets.shape:
        return None
    if not split.regression and found.dtype.kind != split.test_targets.dtype.kind:
        return None
    return float((r2_score if split.regression else accuracy_score)(split.test_targets, found))


def compared(split: Split, method: str, of_float: Any, clear: Any) -> Result:
    """Return how near two results of one method are to each other, on all rows, those held out first."""
    of_float, clear, n_test = np.asarray(of_float), np.asarray(clear), len(split.test_rows)
    scores = [score(split, method, of_one[:n_test]) for of_one in (of_float, clear)]
    found: Result = {"original": scores[0], "clear": scores[1]}
    if of_float.dtype.kind != "f" or not (split.regression or method != "predict"):
        return found | {"agreement": float(np.mean(of_float == clear))}
    spread = np.std(of_float, axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    return found | {"difference": float(np.max(np.abs(clear - of_float) / spread, initial=0.0))}


def measured(family: Family, data: str, n_rows: int) -> Result:
    """Fit one family and its original on one data set and compare them, some rows encrypted."""
    split = prepared(data, family.transformer)
    estimator = family.estimator()
    original = original_of(estimator)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        original.fit(split.rows, split.targets)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        estimator.fit(split.rows, split.targets)
    warned = sorted({w.category.__name__ for w in caught if w.category.__module__.startswith("skfhe")})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        every = np.concatenate([split.test_rows, split.rows])
        of_float = getattr(original, family.method)(every)
        clear = getattr(estimator, family.method)(every)
        found = compared(split, family.method, of_float, clear)
        cost = estimator.cost_
        found |= {
            "output_bits": max(estimator.output_bits_),
            "inputs": sum(int(np.prod(estimator.program_.values[i].type.shape, dtype=np.int64))
                          for i in estimator.program_.inputs),
            "lookups": sum(cost.lookups.values()),
            "seconds": cost.seconds,
            "warned": ", ".join(warned),
        }  # fmt: skip
        if not n_rows or cost.seconds > MAX_SECONDS:
            return found
        rows = split.test_rows[:n_rows]
        estimator.compile()
        in_the_clear = np.asarray(getattr(estimator, family.method)(rows))
        encrypted = np.asarray(getattr(estimator, family.method)(rows, fhe="execute"))
    same = (encrypted == in_the_clear).reshape(len(rows), -1).all(axis=1)
    return found | {"equal_rows": int(same.sum()), "checked_rows": len(rows)}


COLUMNS = ("family", "data", "original", "clear", "agreement", "difference", "lookups", "inputs",
           "output bits", "seconds", "equal", "warned", "the client learns")  # fmt: skip


def cells(result: Result) -> list[str]:
    """Return one line of the table."""
    if "failed" in result:
        return [result["family"], result["data"], *[""] * 9, result["failed"], ""]

    def shown(key: str, form: str) -> str:
        return "" if result.get(key) is None else format(result[key], form)

    checked = f"{result['equal_rows']} of {result['checked_rows']}" if "checked_rows" in result else ""
    return [result["family"], result["data"], shown("original", ".4f"), shown("clear", ".4f"),
            shown("agreement", ".4f"), shown("difference", ".1e"), shown("lookups", "d"),
            shown("inputs", "d"), shown("output_bits", "d"), shown("seconds", ".4f"), checked,
            result["warned"], FAMILIES[result["family"]].learns]  # fmt: skip


def show(console: Console, results: list[Result], markdown: bool) -> None:
    """Print the table."""
    if markdown:
        for line in (COLUMNS, ["---"] * len(COLUMNS), *map(cells, results)):
            console.print(f"| {' | '.join(line)} |", soft_wrap=True, markup=False, highlight=False)
        return
    table = Table(*COLUMNS, box=None)
    for result in results:
        table.add_row(*cells(result))
    console.print(table)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--families", nargs="*", default=list(FAMILIES), choices=FAMILIES)
    parser.add_argument("--data", nargs="*", default=[], help="all that a family has, if none are given")
    parser.add_argument("--rows", type=int, default=4, help="rows that are encrypted, none for 0")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--no-save", action="store_true")
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    console, progress = Console(width=240), Console(stderr=True)
    results: list[Result] = []
    for name in arguments.families:
        for data in FAMILIES[name].data:
            if arguments.data and data not in arguments.data:
                continue
            progress.print(f"{name}: {data}")
            try:
                found = measured(FAMILIES[name], data, arguments.rows)
            except Exception as error:
                found = {"failed": f"{type(error).__name__}: {error}"}
            results.append({"family": name, "data": data} | found)
    show(console, results, arguments.markdown)
    if not arguments.no_save:
        where = machine("skfhe", "concrete-python", "scikit-learn", "numpy")
        path = save("families", {"machine": where, "results": results})
        console.print(f"\nsaved: benchmarks/results/{path.name}")


if __name__ == "__main__":
    main()
