"""What one job reaches: in the clear, by seconds a row, encrypted, and with the peer."""

import json
import os
import subprocess
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, StratifiedKFold

import skfhe
from benchmarks.jobs.data import Job
from benchmarks.jobs.models import PEER_MODELS, UPRIGHT, families, float_models, prepared
from benchmarks.tabular.measured import Recorder
from skfhe.cost._prices import seconds_a_operation
from skfhe.model_selection import ParetoSearchCV

PEER = Path(__file__).parent.parent / "peers" / "concrete_ml_job.py"
FOLDS = StratifiedKFold(5, shuffle=True, random_state=0)
PEER_TIMEOUT = 1200.0


@dataclass(frozen=True)
class Options:
    """How far to go.

    Parameters
    ----------
    budgets : list of float
        Seconds that a row may take.
    encrypted_rows : int
        Held-out rows that each budget's model predicts encrypted; 0 compiles nothing.
    peer : str, optional
        The interpreter of the peer's environment.
    peer_rows : int
        Held-out rows that each of the peer's models predicts encrypted.
    """

    budgets: list[float]
    encrypted_rows: int
    peer: str | None
    peer_rows: int


def described(job: Job, X: Any, y: np.ndarray, options: Options) -> dict[str, Any]:
    """Return what the rows are."""
    kinds = [str(kind) for kind in getattr(X, "dtypes", [])]
    return {
        "question": job.question,
        "source": job.source,
        "scoring": job.scoring,
        "rows": len(y),
        "features": X.shape[1],
        "categories": kinds.count("category"),
        "rows_with_gaps": int(X.isna().any(axis=1).sum()) if hasattr(X, "isna") else 0,
        "positive": float(np.mean(y)) if y.dtype == bool else None,
    }


def ours(job: Job, X: Any, y: np.ndarray, options: Options) -> dict[str, Any]:
    """Return what a search of skfhe's families finds, and the model of each budget."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search = searched(job, X, y, max(options.budgets))
        return {
            "candidates": candidates(search),
            "front": front(search),
            "budgets": by_budget(job, search, options, X, y),
        }


def float_best(job: Job, X: Any, y: np.ndarray, options: Options) -> dict[str, Any]:
    """Return the best of what is tuned in the clear, by the mean of five folds."""
    best: dict[str, Any] = {}
    for name, (model, grid) in float_models(job.name).items():
        search = GridSearchCV(model, grid, scoring=job.scoring, cv=FOLDS, refit=False).fit(X, y)
        score = float(search.cv_results_["mean_test_score"][search.best_index_])
        if not best or score > best["score"]:
            folds = [float(search.cv_results_[f"split{k}_test_score"][search.best_index_]) for k in range(5)]
            best = {"model": name, "params": search.best_params_, "score": score, "folds": folds}
    return best


def searched(job: Job, X: Any, y: np.ndarray, max_seconds: float) -> ParetoSearchCV:
    """Search the families of skfhe on the same folds."""
    grids = families(job.name)
    search = ParetoSearchCV(
        {name: model for name, (model, _) in grids.items()},
        {name: grid for name, (_, grid) in grids.items()},
        max_seconds=max_seconds,
        scoring=job.scoring,
        cv=FOLDS,
    )
    return search.fit(X, y)


def candidates(search: ParetoSearchCV) -> dict[str, list[Any]]:
    """Return all that was tried, as `skfhe.inspection.ParetoDisplay` takes it."""
    results = search.cv_results_
    return {
        "names": [str(name) for name in results["estimator"]],
        "params": [plain(params) for params in results["params"]],
        "score": [float(score) for score in results["mean_test_score"]],
        "seconds": [float(seconds) for seconds in results["mean_seconds"]],
        "stopped": [str(why) for why in results["stopped"]],
    }


def plain(params: dict[str, Any]) -> dict[str, Any]:
    """Return parameters by the names they have in their own step."""
    return {name.rpartition("__")[2]: value for name, value in params.items()}


def front(search: ParetoSearchCV) -> list[int]:
    """Return the places of the front's candidates, the cheapest first."""
    return [int(place) for place in search.front_["index"]]


def by_budget(
    job: Job, search: ParetoSearchCV, options: Options, X: Any, y: np.ndarray
) -> list[dict[str, Any]]:
    """Return the best of each budget, trained on the first fold's rows and run on some of those held out."""
    results, known = search.cv_results_, {}
    found = []
    for budget in sorted(options.budgets):
        within = [at for at in front(search) if results["mean_seconds"][at] <= budget]
        if not within:
            found.append({"budget": budget, "model": None})
            continue
        at = within[-1]
        if at not in known:
            model = clone(families(job.name)[results["estimator"][at]][0]).set_params(**results["params"][at])
            known[at] = trained(model, X, y, options.encrypted_rows)
        found.append(
            {
                "budget": budget,
                "model": str(results["estimator"][at]),
                "params": plain(results["params"][at]),
                "score": float(results["mean_test_score"][at]),
                "folds": [float(results[f"split{k}_test_score"][at]) for k in range(5)],
                "seconds": float(results["mean_seconds"][at]),
                **known[at],
            }
        )
    return found


def trained(model: Any, X: Any, y: np.ndarray, n_rows: int) -> dict[str, Any]:
    """Train on the first fold's rows, and compare encrypted integers of held-out rows with clear ones."""
    train, test = next(FOLDS.split(X, y))
    model.fit(rows_of(X, train), y[train])
    last = model[-1] if hasattr(model, "steps") else model
    cost = last.cost_
    found = {
        "lookups": {str(bits): count for bits, count in sorted(cost.lookups.items())},
        "complexity": cost.complexity,
        "input_bytes": cost.input_bytes,
        "output_bytes": cost.output_bytes,
        "key_bytes": cost.key_bytes,
    }
    if not n_rows:
        return found
    skfhe.compile(model)
    recorder = Recorder(last)
    held_out = rows_of(X, test[:n_rows])
    encrypted = model.predict(held_out, fhe="execute")
    equal, checked = recorder.equal_rows()
    same = int(np.sum(encrypted == model.predict(held_out)))
    return found | {"equal_rows": equal, "checked_rows": checked, "equal_predictions": same}


def rows_of(X: Any, which: np.ndarray) -> Any:
    """Return some rows of a frame or an array."""
    return X.iloc[which] if hasattr(X, "iloc") else X[which]


def peer(job: Job, X: Any, y: np.ndarray, options: Options) -> list[dict[str, Any]]:
    """Train the peer's models on the same folds, in its own environment, on rows that are numbers already."""
    assert options.peer is not None
    found = []
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "rows.npz"
        np.savez(path, **numbers_of_folds(X, y), y=y.astype(np.int64))
        for name, bits, settings in PEER_MODELS[: 1 if job.scoring == "accuracy" else None]:
            command = [options.peer, str(PEER), str(path), name, "--bits", str(bits),
                       "--scoring", job.scoring, "--settings", json.dumps(settings),
                       "--rows", str(options.peer_rows)]  # fmt: skip
            found.append({"model": name, "bits": bits, "settings": settings} | peer_process(command))
    return found


def peer_process(command: list[str]) -> dict[str, Any]:
    """Return what the peer's process has found, or why it failed."""
    environment = os.environ | {"PYTHONPATH": ""}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=PEER_TIMEOUT, env=environment
        )
    except subprocess.TimeoutExpired:
        return {"failure": f"not done in {PEER_TIMEOUT:.0f} s"}
    if done.returncode:
        return {"failure": (done.stderr.strip().splitlines() or ["no message"])[-1][:300]}
    result = dict(json.loads(done.stdout.splitlines()[-1]))
    if "complexity" in result:
        result["seconds_by_complexity"] = result["complexity"] * seconds_a_operation(4)
    return result


def numbers_of_folds(X: Any, y: np.ndarray) -> dict[str, np.ndarray]:
    """Return training and held-out rows of each fold, as the linear models of skfhe see them."""
    arrays = {}
    for number, (train, test) in enumerate(FOLDS.split(X, y)):
        preparing = prepared() if hasattr(X, "iloc") else UPRIGHT
        rows = preparing.fit(rows_of(X, train)).transform(X)
        arrays |= {f"rows{number}": rows, f"train{number}": train, f"test{number}": test}
    return arrays


PARTS: dict[str, Callable[..., Any]] = {"data": described, "float": float_best, "ours": ours, "peer": peer}
"""What is measured of a job, in order."""
