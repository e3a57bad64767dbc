"""Every family of estimators on every set of data: how near the integers are to the float original.

``python -m benchmarks.tabular.families [--families NAME …] [--data NAME …] [--rows 4] [--markdown]``

A quarter of the rows is held out. "Original" is the score of the float model on them, "clear" that of the
integers that run encrypted, "encrypted" that of ``--rows`` of them that were encrypted, with how many of
these gave the very integers of the clear run: accuracy, R², or nothing for what predicts no target.
"Agreement" is, of all rows, the part of labels that are equal, or of the variance of values that is the
original's, in the column where that is least. "Seconds" is the predicted cost of a row, "ciphertexts" what a
client sends of it. "Warned" says whether the estimator said when it was fitted that it differs, or takes
long; what it said is in the file of results.

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
from sklearn.base import is_classifier, is_regressor
from sklearn.kernel_approximation import RBFSampler
from sklearn.metrics import accuracy_score, r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import KBinsDiscretizer, RobustScaler, StandardScaler

from benchmarks.measure import machine, save
from benchmarks.tabular.families_data import CLASSES, VALUES, Split, prepared, standardized
from skfhe._agreement import part_alike

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
        What a client learns of the model beside its scores, which tell more with every row; see
        docs/families.md.
    transformer : callable
        Returns, by the name of the data, what transforms rows first, or None.
    """

    path: str
    data: tuple[str, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    method: str = "predict"
    learns: str = "ranges"
    transformer: Callable[[str], Any] = standardized

    def estimator(self) -> Any:
        """Return an unfitted estimator of skfhe."""
        room, name = self.path.rsplit(".", 1)
        return getattr(import_module(f"skfhe.{room}"), name)(**self.settings)


def as_it_is(_: str) -> None:
    """Leave rows as they are."""


def above_median(_: str) -> Any:
    """Return what subtracts the median of each feature."""
    return RobustScaler(with_scaling=False)


def five_bins(_: str) -> Any:
    """Return what makes five categories of each feature."""
    return KBinsDiscretizer(5, encode="ordinal", quantile_method="averaged_inverted_cdf")


def scaled(_: str) -> Any:
    """Return a scaler, for kernels that compare features."""
    return StandardScaler()


def mapped(_: str) -> Any:
    """Return random features that approximate a kernel, of a seed that is no secret."""
    return make_pipeline(StandardScaler(), RBFSampler(gamma="scale", n_components=300, random_state=0))


def linear(name: str, data: tuple[str, ...] = VALUES, room: str = "linear_model", **settings: Any) -> Family:
    """Return a linear family; its random numbers are those of every run."""
    family = Family(f"{room}.{name}", data, settings)
    seed = {"random_state": 0} if "random_state" in family.estimator().get_params() else {}
    return replace(family, settings=seed | settings)


EVERY = (*CLASSES, *VALUES)
CENTRES = {"n_clusters": 3, "n_init": 3, "random_state": 0}
FEW_ROUNDS = {"outer_bags": 2, "max_rounds": 300, "n_jobs": 1, "random_state": 0, "interactions": 5}
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
    "RidgeClassifier after RBFSampler": Family("linear_model.RidgeClassifier", CLASSES, transformer=mapped),
    "LinearDiscriminantAnalysis": Family("discriminant_analysis.LinearDiscriminantAnalysis", CLASSES),
    "LinearDiscriminantAnalysis, transform": Family(
        "discriminant_analysis.LinearDiscriminantAnalysis", CLASSES, method="transform", learns="projections"
    ),
    "MultinomialNB": Family("naive_bayes.MultinomialNB", CLASSES, transformer=as_it_is),
    "ComplementNB": Family("naive_bayes.ComplementNB", CLASSES, transformer=as_it_is),
    "BernoulliNB": Family("naive_bayes.BernoulliNB", CLASSES, learns="threshold", transformer=above_median),
    "CategoricalNB": Family(
        "naive_bayes.CategoricalNB",
        CLASSES,
        {"min_categories": 5},
        learns="categories",
        transformer=five_bins,
    ),
    "GaussianNB": Family("naive_bayes.GaussianNB", CLASSES),
    "QuadraticDiscriminantAnalysis": Family(
        "discriminant_analysis.QuadraticDiscriminantAnalysis", CLASSES, {"reg_param": 0.1}
    ),
    **{
        f"GaussianMixture, {kind}": Family(
            "mixture.GaussianMixture",
            EVERY,
            {"n_components": 3, "covariance_type": kind, "reg_covar": 1e-3, "random_state": 0},
            transformer=scaled,
        )
        for kind in ("full", "tied", "diag", "spherical")
    },
    **{
        f"SVC, {kernel}": Family(
            "svm.SVC", CLASSES, {"kernel": kernel, "degree": 2, "coef0": 1.0}, transformer=scaled
        )
        for kernel in ("linear", "poly")
    },
    "NuSVC, poly": Family(
        "svm.NuSVC", CLASSES, {"kernel": "poly", "degree": 2, "coef0": 1.0, "nu": 0.1}, transformer=scaled
    ),
    "SVR, poly": Family("svm.SVR", VALUES, {"kernel": "poly", "degree": 2}, transformer=scaled),
    "NuSVR, poly": Family("svm.NuSVR", VALUES, {"kernel": "poly", "degree": 2}, transformer=scaled),
    "OneClassSVM, poly": Family(
        "svm.OneClassSVM", EVERY, {"kernel": "poly", "degree": 2, "nu": 0.1}, transformer=scaled
    ),
    "KMeans": Family("cluster.KMeans", EVERY, CENTRES, learns="centres"),
    "KMeans, transform": Family("cluster.KMeans", EVERY, CENTRES, "transform", "centres"),
    "MiniBatchKMeans": Family("cluster.MiniBatchKMeans", EVERY, CENTRES, learns="centres"),
    "NearestCentroid": Family("neighbors.NearestCentroid", CLASSES, learns="centres"),
    "KNeighborsClassifier": Family("neighbors.KNeighborsClassifier", CLASSES, learns="prototypes"),
    "KNeighborsClassifier, references": Family(
        "neighbors.KNeighborsClassifier", CLASSES, {"reveal_references": True}, learns="references"
    ),
    "KNeighborsRegressor": Family("neighbors.KNeighborsRegressor", VALUES, learns="prototypes"),
    "KNeighborsRegressor, references": Family(
        "neighbors.KNeighborsRegressor", VALUES, {"reveal_references": True}, learns="references"
    ),
    "PCA": Family(
        "decomposition.PCA", EVERY, {"n_components": 2, "svd_solver": "full"}, "transform", "projections"
    ),
    "PCA, whitened": Family(
        "decomposition.PCA", EVERY, {"n_components": 3, "whiten": True}, "transform", "projections", scaled
    ),
    "TruncatedSVD": Family(
        "decomposition.TruncatedSVD",
        EVERY,
        {"n_components": 2, "random_state": 0},
        "transform",
        "projections",
    ),
    "PLSRegression": Family("cross_decomposition.PLSRegression", VALUES, learns="projections"),
    "PLSRegression, transform": Family(
        "cross_decomposition.PLSRegression", VALUES, method="transform", learns="projections"
    ),
    "IsolationForest": Family(
        "ensemble.IsolationForest",
        EVERY,
        {"n_estimators": 20, "max_samples": 32, "random_state": 0},
        learns="thresholds",
    ),
    "AdaBoostClassifier": Family(
        "ensemble.AdaBoostClassifier", CLASSES, {"random_state": 0}, learns="thresholds"
    ),
    "AdaBoostRegressor": Family(
        "ensemble.AdaBoostRegressor", VALUES, {"n_estimators": 10, "random_state": 0}, learns="thresholds"
    ),
    "ExplainableBoostingClassifier": Family(
        "additive.ExplainableBoostingClassifier",
        ("iris", "wine", "breast_cancer", "scales", "tails"),
        FEW_ROUNDS,
        learns="thresholds",
    ),
    "ExplainableBoostingClassifier, main effects": Family(
        "additive.ExplainableBoostingClassifier",
        CLASSES,
        FEW_ROUNDS | {"interactions": 0},
        learns="thresholds",
    ),
    "ExplainableBoostingRegressor": Family(
        "additive.ExplainableBoostingRegressor", VALUES, FEW_ROUNDS, learns="thresholds"
    ),
}
"""By the name that the table shows; a further family is a line here."""


def original_of(estimator: Any) -> Any:
    """Return the unfitted original with the same parameters."""
    params, own = estimator.get_params(deep=False), estimator._own_params
    return estimator._original(**{name: value for name, value in params.items() if name not in own})


def score(split: Split, estimator: Any, method: str, found: np.ndarray) -> float | None:
    """Return accuracy or R² on the first rows that are held out, or None for what predicts no target."""
    if method != "predict" or not (is_classifier(estimator) or is_regressor(estimator) or is_pls(estimator)):
        return None
    return float((r2_score if split.regression else accuracy_score)(split.test_targets[: len(found)], found))


def is_pls(estimator: Any) -> bool:
    """Whether an estimator is a regression that is not told to be one, before scikit-learn 1.8."""
    return hasattr(estimator, "coef_") and hasattr(estimator, "x_scores_")


def compared(split: Split, estimator: Any, method: str, of_float: Any, clear: Any) -> Result:
    """Return how near two results of one method are to each other, on all rows, those held out first."""
    of_float, clear, n_test = np.asarray(of_float), np.asarray(clear), len(split.test_rows)
    scores = [score(split, estimator, method, of_one[:n_test]) for of_one in (of_float, clear)]
    of_labels = method == "predict" and not (split.regression and of_float.dtype.kind == "f")
    agreement = part_alike(of_float, clear, of_labels)
    return {"original": scores[0], "clear": scores[1], "agreement": agreement}


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
    warned = sorted({str(w.message) for w in caught if w.category.__module__.startswith("skfhe")})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        every = np.concatenate([split.test_rows, split.rows])
        of_float = getattr(original, family.method)(every)
        clear = getattr(estimator, family.method)(every)
        found = compared(split, estimator, family.method, of_float, clear)
        cost = estimator.cost_
        found |= {
            "output_bits": max(estimator.output_bits_),
            "inputs": sum(int(np.prod(estimator.program_.values[i].type.shape, dtype=np.int64))
                          for i in estimator.program_.inputs),
            "lookups": sum(cost.lookups.values()),
            "seconds": cost.seconds,
            "learns": family.learns,
            "warned": warned,
        }  # fmt: skip
        if not n_rows or cost.seconds > MAX_SECONDS:
            return found
        rows = split.test_rows[:n_rows]
        estimator.compile()
        in_the_clear = np.asarray(getattr(estimator, family.method)(rows))
        encrypted = np.asarray(getattr(estimator, family.method)(rows, fhe="execute"))
    same = (encrypted == in_the_clear).reshape(len(rows), -1).all(axis=1)
    return found | {
        "encrypted": score(split, estimator, family.method, encrypted),
        "equal_rows": int(same.sum()),
        "checked_rows": len(rows),
    }


COLUMNS = ("family", "data", "original", "clear", "encrypted", "agreement", "lookups", "seconds a row",
           "ciphertexts in", "the client learns", "warned")  # fmt: skip


def cells(result: Result) -> list[str]:
    """Return one line of the table."""
    if "failed" in result:
        return [result["family"], result["data"], result["failed"], *[""] * 8]

    def shown(key: str, form: str) -> str:
        return "" if result.get(key) is None else format(result[key], form)

    encrypted = ""
    if "checked_rows" in result:
        equal = f"{result['equal_rows']} of {result['checked_rows']} equal"
        encrypted = f"{shown('encrypted', '.4g')} ({equal})".strip()
    return [result["family"], result["data"], shown("original", ".4g"), shown("clear", ".4g"), encrypted,
            shown("agreement", ".4f"), shown("lookups", "d"), shown("seconds", ".4f"), shown("inputs", "d"),
            result["learns"], "yes" if result["warned"] else "no"]  # fmt: skip


def show(console: Console, results: list[Result], markdown: bool) -> None:
    """Print the table."""
    if markdown:
        for line in (COLUMNS, ["---"] * len(COLUMNS), *map(cells, results)):
            console.print(f"| {' | '.join(line)} |", soft_wrap=True, markup=False, highlight=False)
        return
    table = Table(box=None)
    for column in COLUMNS:
        table.add_column(column, overflow="fold")
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
