"""What seconds buy: ``python -m benchmarks.tabular.pareto [NAME…]`` prints fronts of score against seconds.

Each data set is searched three times by `skfhe.model_selection.ParetoSearchCV`: as a full grid, and within a
budget with unpromising candidates stopped early, without a tolerance and with one. Printed are the front,
what each search took, and by how much its front is at most below the full grid's within the budget. Seconds
a row are those of ``cost_``; seconds of searching are CPU time: run it with ``OMP_NUM_THREADS=1``, or threads
that wait count, too. "gain" is what a row of the front scores more than the one before it, "±" its standard
error over the folds, corrected for training sets that overlap.

``churn`` and ``churn, additive`` are made: accounts of a telephone company with the features that such sets
have. In the first whether an account leaves depends on pairs of features, in the second on each by itself; so
the first should find that trees of depth 2 are worth their lookups, and the second that they are not.
"""

import argparse
import time
import warnings
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.kernel_approximation import RBFSampler
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from skfhe.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from skfhe.linear_model import LogisticRegression
from skfhe.model_selection import ParetoSearchCV
from skfhe.tree import DecisionTreeClassifier


def churn(interactions: bool, n_rows: int = 1500) -> tuple[np.ndarray, np.ndarray]:
    """Return accounts of a made telephone company, and which of them left.

    Columns are months, day minutes, evening minutes, charge a month, service calls, international calls,
    international plan, voice mail, contract (0 to 2).
    """
    rng = np.random.default_rng(0)
    months, day, evening = (
        rng.exponential(30, n_rows),
        rng.normal(180, 54, n_rows),
        rng.normal(200, 50, n_rows),
    )
    calls, abroad = rng.poisson(1.6, n_rows), rng.poisson(4.5, n_rows)
    plan, mail = rng.random(n_rows) < 0.2, rng.random(n_rows) < 0.3
    contract = rng.choice(3, n_rows, p=[0.5, 0.3, 0.2])
    charge = 0.17 * day + 0.085 * evening + 10 * plan + rng.normal(0, 3, n_rows)
    rows = np.column_stack([months, day, evening, charge, calls, abroad, plan, mail, contract])
    if interactions:
        angry = (calls >= 3) & (day < 180)  # pays little, and is not helped
        dear = (day > 220) & ~mail
        stranded = plan & (abroad <= 4)
        score = -2.6 + 3.5 * angry + 3.5 * dear + 3.5 * stranded - 0.6 * contract - 0.01 * months
    else:
        score = (
            -1.5 + 0.9 * (calls >= 4) * 2 + 0.012 * (day - 180) + 1.6 * plan - 0.8 * contract - 0.02 * months
        )
    return rows, rng.random(n_rows) < 1 / (1 + np.exp(-score))


@dataclass(frozen=True)
class Case:
    """A data set with the families and parameters to search among.

    Parameters
    ----------
    data : tuple of ndarray
    estimators, grids : dict
        By name.
    scoring : str
    max_seconds : float
    """

    data: tuple[Any, Any]
    estimators: dict[str, Any]
    grids: dict[str, Any]
    scoring: str
    max_seconds: float


TOLERANCES = (0.0, 0.005)
SEED: dict[str, Any] = {"random_state": 0}
BOOSTING: dict[str, Any] = {"learning_rate": 0.2, "early_stopping": False, "min_samples_leaf": 10, **SEED}
LINEAR = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
LINEAR_GRID = {"logisticregression__n_bits": [2, 4, 8], "logisticregression__C": [0.03, 1.0]}
BOOSTED_GRID = [
    {"max_depth": [1], "max_iter": [30, 60]},
    {"max_depth": [2], "max_iter": [10, 30]},
    {"max_depth": [3], "max_iter": [10]},
]


def telephone(interactions: bool) -> Case:
    return Case(
        churn(interactions),
        {"linear": LINEAR, "boosting": HistGradientBoostingClassifier(**BOOSTING)},
        {"linear": LINEAR_GRID, "boosting": BOOSTED_GRID},
        "roc_auc",
        1.0,
    )


def cases() -> dict[str, Case]:
    """Return what is searched, by name."""
    features = make_pipeline(
        MinMaxScaler(), RBFSampler(gamma=0.03, **SEED), LogisticRegression(C=100, max_iter=500)
    )
    return {
        "digits": Case(
            load_digits(return_X_y=True),
            {"linear": LINEAR, "kernel": features, "forest": RandomForestClassifier(**SEED)},
            {
                "linear": LINEAR_GRID,
                "kernel": {"rbfsampler__n_components": [100, 300]},
                "forest": {"n_estimators": [3, 10], "max_depth": [4]},
            },
            "accuracy",
            0.15,
        ),
        "cancer": Case(
            load_breast_cancer(return_X_y=True),
            {
                "linear": LINEAR,
                "tree": DecisionTreeClassifier(**SEED),
                "forest": RandomForestClassifier(**SEED),
                "boosting": HistGradientBoostingClassifier(**BOOSTING),
            },
            {
                "linear": LINEAR_GRID,
                "tree": {"max_depth": [2, 4]},
                "forest": {"n_estimators": [5, 10], "max_depth": [3]},
                "boosting": BOOSTED_GRID,
            },
            "accuracy",
            0.15,
        ),
        "churn": telephone(interactions=True),
        "churn, additive": telephone(interactions=False),
    }


def timed(search: ParetoSearchCV, data: tuple[Any, Any]) -> tuple[ParetoSearchCV, float]:
    """Return the search after ``fit``, and the CPU seconds that took."""
    start = time.process_time()
    search.fit(*data)
    return search, time.process_time() - start


def front_table(search: ParetoSearchCV) -> Table:
    """Return the front of a search."""
    table = Table("family", "parameters", "score", "s a row", "lookups", "gain", "±", box=None)
    front = search.front_
    for at, params in enumerate(front["params"]):
        table.add_row(
            front["estimator"][at],
            ", ".join(f"{name.rpartition('__')[2]}={value}" for name, value in params.items()),
            f"{front['score'][at]:.4f}",
            f"{front['seconds'][at]:.2g}",
            f"{front['lookups'][at]:.0f}",
            *("" if at == 0 else f"{front[name][at]:.4f}" for name in ("gain", "gain_error")),
        )
    return table


def loss(race: ParetoSearchCV, full: ParetoSearchCV, max_seconds: float) -> float:
    """Return by how much the front of a race is at most below the full grid's within the budget."""
    lost = 0.0
    for score, seconds in zip(full.front_["score"], full.front_["seconds"], strict=True):
        found = race.front_["score"][race.front_["seconds"] <= seconds]
        if seconds <= max_seconds:
            lost = max(lost, score - max(found, default=-np.inf))
    return lost


def main() -> None:
    """Search the data sets that are named on the command line, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    found = cases()
    parser.add_argument("names", nargs="*", help=", ".join(found))
    names = parser.parse_args().names or list(found)
    warnings.simplefilter("ignore")
    console = Console(width=140)
    for name in names:
        case = found[name]
        search = ParetoSearchCV(
            case.estimators,
            case.grids,
            max_seconds=case.max_seconds,
            scoring=case.scoring,
            cv=StratifiedKFold(5, shuffle=True, random_state=0),
        )
        full, seconds = timed(clone(search).set_params(max_seconds=None, alpha=0), case.data)
        console.print(f"\n{name}, {case.scoring}; front of the full grid, with no budget:")
        console.print(front_table(full))
        console.print(f"full grid: {full.n_fits_} fits, {seconds:.1f} s")
        for tolerance in TOLERANCES:
            race, seconds = timed(clone(search).set_params(tolerance=tolerance), case.data)
            stopped = Counter(str(why) for why in race.cv_results_["stopped"] if why)
            console.print(
                f"at most {case.max_seconds} s a row, tolerance {tolerance}: {race.n_fits_} fits, "
                f"{seconds:.1f} s; stopped of {len(race.cv_results_['stopped'])}: {dict(stopped)}; at most "
                f"{loss(race, full, case.max_seconds):.4f} below the full front\n"
                f"best: {race.best_name_} {race.best_params_}, {race.best_score_:.4f}, trained on all rows "
                f"{race.cost_.seconds:.2g} s a row"
            )


if __name__ == "__main__":
    main()
