"""What is done with one candidate on one fold, in whatever process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from skfhe._originals.compat import fit_and_score
from skfhe._typing import IntArray
from skfhe.model_selection._costs import cost_of

__all__ = ["Evaluation", "Fold", "evaluated", "scored_to_trained"]


@dataclass(frozen=True)
class Fold:
    """Rows to train on, and rows to score.

    Parameters
    ----------
    train, test : ndarray of int
    """

    train: IntArray
    test: IntArray


def scored_to_trained(folds: list[Fold]) -> float:
    """Return the rows that are scored over those that are trained on, on average."""
    return float(np.mean([len(fold.test) / len(fold.train) for fold in folds]))


@dataclass(frozen=True)
class Evaluation:
    """What was found with one candidate on one fold.

    Parameters
    ----------
    test_scores, train_scores : dict of str to float
        By metric; a single one is called ``"score"``. Empty if training failed, or they were not wanted.
    seconds, lookups, complexity : float
        Predicted for a row; NaN if training failed.
    fit_time, score_time : float
        Seconds.
    refusal : str or None
        Why the model cannot be compiled.
    error : str or None
        The traceback if training failed.
    """

    test_scores: dict[str, float]
    train_scores: dict[str, float]
    fit_time: float
    score_time: float
    seconds: float = np.nan
    lookups: float = np.nan
    complexity: float = np.nan
    refusal: str | None = None
    error: str | None = None


def evaluated(
    X: Any,
    y: Any,
    *,
    estimator: Any,
    fold: Fold,
    scorer: Any,
    fit_params: dict[str, Any],
    score_params: dict[str, Any],
    return_train_score: bool,
    error_score: float | str,
    verbose: int,
    label: str,
) -> Evaluation:
    """Train an estimator on a fold, score it, and look up what it costs; it is not returned."""
    found = fit_and_score(
        estimator,
        X,
        y,
        scorer=scorer,
        train=fold.train,
        test=fold.test,
        verbose=0,
        parameters=None,
        fit_params=fit_params,
        score_params=score_params,
        return_train_score=return_train_score,
        return_times=True,
        error_score=error_score,
    )
    times = found["fit_time"], found["score_time"]
    if found["fit_error"] is not None:
        if verbose > 1:
            print(f"{label}: failed after {times[0]:.2g} s", flush=True)
        scores = found["test_scores"] if isinstance(found["test_scores"], dict) else {}
        return Evaluation(scores, {}, *times, error=found["fit_error"])
    cost = cost_of(estimator)
    scores, train_scores = _by_metric(found["test_scores"]), _by_metric(found.get("train_scores", {}))
    if verbose > 1:
        shown = ", ".join(f"{metric} {value:.3f}" for metric, value in scores.items())
        print(f"{label}: {shown}, {cost.seconds:.2g} s a row, trained in {times[0]:.2g} s", flush=True)
    return Evaluation(
        scores, train_scores, *times, cost.seconds, cost.n_lookups, cost.complexity, cost.refusal
    )


def _by_metric(scores: Any) -> dict[str, float]:
    return dict(scores) if isinstance(scores, dict) else {"score": float(scores)}
