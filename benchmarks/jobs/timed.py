"""How long an encrypted row of each budget's model takes on this machine, alone in its call."""

import warnings
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import ParameterGrid

import skfhe
from benchmarks.jobs.data import Job
from benchmarks.jobs.models import families
from benchmarks.measure import row_seconds
from benchmarks.tabular.measured import Recorder

N_ROWS = 8


def timed(job: Job, budgets: list[dict[str, Any]], X: Any, y: np.ndarray) -> list[dict[str, Any]]:
    """Train each model of a job's budgets on all rows but the last, which it is timed on.

    Encryption, evaluation and decryption are timed, as in ``cost_.seconds``; what a pipeline does with a row
    before is not.
    """
    found: dict[str, dict[str, Any]] = {}
    rows, held_out = (
        (X.iloc[:-N_ROWS], X.iloc[-N_ROWS:]) if hasattr(X, "iloc") else (X[:-N_ROWS], X[-N_ROWS:])
    )
    for each in budgets:
        name = str((each["model"], each.get("params")))
        if each["model"] is None or name in found:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = chosen(job, each).fit(rows, y[:-N_ROWS])
            skfhe.compile(model)
            last = model[-1] if hasattr(model, "steps") else model
            recorder = Recorder(last)
            model.predict(held_out, fhe="execute")
        encoded = [
            np.concatenate(arrays) for arrays in zip(*(call[0] for call in recorder.calls), strict=True)
        ]
        taken, n = row_seconds(type(last.fhe_circuit_).execute.__get__(last.fhe_circuit_), encoded)
        known = {"predicted": last.cost_.reference_seconds, "seconds": taken, "rows": n}
        found[name] = {"model": each["model"], "params": each["params"], **known}
    return list(found.values())


def chosen(job: Job, budget: dict[str, Any]) -> Any:
    """Return the model of a budget, untrained: its parameters are told without the names of steps."""
    model, grid = families(job.name)[budget["model"]]
    names = {name.rpartition("__")[2]: name for params in ParameterGrid(grid) for name in params}
    return clone(model).set_params(**{names[name]: value for name, value in budget["params"].items()})
