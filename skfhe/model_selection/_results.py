"""What a race of candidates over folds has found so far, and its tables."""

from __future__ import annotations

import warnings
from collections import Counter
from typing import Any

import numpy as np
from scipy.stats import rankdata
from sklearn.exceptions import FitFailedWarning

from skfhe._typing import FloatArray
from skfhe.model_selection._candidates import Candidate
from skfhe.model_selection._racing import is_beaten, pareto_front, standard_errors
from skfhe.model_selection._worker import Evaluation

__all__ = ["Results"]

COSTS = ("seconds", "lookups", "complexity")
OVER_BUDGET, UNPROMISING, REFUSED, FAILED = "over budget", "unpromising", "refused", "failed"


class Results:
    """Evaluations of candidates, fold by fold, and which of them are still in the race.

    Parameters
    ----------
    candidates : list of Candidate
    n_splits : int
    error_score : float
        What stands in tables for the score of a fold on which training failed.
    """

    def __init__(self, candidates: list[Candidate], n_splits: int, error_score: Any = np.nan) -> None:
        self.candidates = candidates
        self.n_splits = n_splits
        self.error_score = np.nan if error_score == "raise" else float(error_score)
        self.found: list[list[Evaluation]] = [[] for _ in candidates]
        self.stopped = ["" for _ in candidates]

    @property
    def left(self) -> list[int]:
        """Places of the candidates that were not stopped."""
        return [at for at, why in enumerate(self.stopped) if not why]

    @property
    def n_fits(self) -> int:
        return sum(map(len, self.found))

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics."""
        every = (one for found in self.found for one in found)
        return next((list(one.test_scores) for one in every if one.test_scores), ["score"])

    @property
    def no_score(self) -> bool:
        """Whether every candidate was trained, and none has a finite score."""
        trained = all(one.error is None for found in self.found for one in found)
        return trained and all(why == FAILED for why in self.stopped)

    # The race.

    def add(self, places: list[int], evaluations: list[Evaluation]) -> None:
        for at, evaluation in zip(places, evaluations, strict=True):
            self.found[at].append(evaluation)

    def stop_outright(self, metric: str, max_seconds: float | None) -> None:
        """Stop what failed, cannot be compiled, or is over the budget, as the last fold shows."""
        for at in self.left:
            last = self.found[at][-1]
            seconds = np.mean([one.seconds for one in self.found[at]])
            if last.error is not None or not np.isfinite(last.test_scores[metric]):
                self.stopped[at] = FAILED
            elif last.refusal is not None or not np.isfinite(seconds):
                self.stopped[at] = REFUSED
            elif max_seconds is not None and seconds > max_seconds:
                self.stopped[at] = OVER_BUDGET

    def stop_beaten(self, metric: str, scored_to_trained: float, alpha: float, tolerance: float) -> None:
        """Stop those that one that is no dearer beats; see `is_beaten`. After the last fold none is."""
        left = self.left
        n_folds = len(self.found[left[0]])
        if n_folds == self.n_splits:
            return
        scores, seconds = self.scores(metric)[left, :n_folds], self.mean(self.costs("seconds"))[left]
        beaten = is_beaten(scores, seconds, scored_to_trained, alpha, tolerance)
        for at, lost in zip(left, beaten, strict=True):
            if lost:
                self.stopped[at] = UNPROMISING

    def progress(self, n_trained: int) -> str:
        """Return a line on the last fold."""
        n_folds = max(map(len, self.found))
        n_left = len(self.left)
        counts = Counter(
            why for why, found in zip(self.stopped, self.found, strict=True) if why and len(found) == n_folds
        )
        stopped = "".join(f", {count} {why}" for why, count in counts.items())
        return f"fold {n_folds} of {self.n_splits}: {n_trained} trained{stopped}, {n_left} left"

    def nothing_left(self, max_seconds: float | None) -> ValueError:
        """Return the error that says why no candidate is left."""
        seconds = self.mean(self.costs("seconds"))
        if all(why == FAILED for why in self.stopped):
            return ValueError(
                f"all {len(self.candidates)} candidates failed, or have no finite score; error_score='raise' "
                f"stops at the first. {self._first_error()}"
            )
        over = [at for at, why in enumerate(self.stopped) if why == OVER_BUDGET]
        if not over:
            refusals = (one.refusal for found in self.found for one in found if one.refusal)
            return ValueError(f"no candidate can be compiled: {next(refusals, 'of unknown cost')}")
        cheapest = over[int(np.argmin(seconds[over]))]
        return ValueError(
            f"no candidate is within max_seconds={max_seconds}: the cheapest, {self.candidates[cheapest]}, "
            f"takes about {seconds[cheapest]:.2g} seconds a row; allow as much, or search among "
            "smaller models"
        )

    def _first_error(self) -> str:
        errors = [one.error for found in self.found for one in found if one.error]
        return f"The first failed with\n{errors[0]}" if errors else ""

    def warn_of_failures(self) -> None:
        """Warn if some candidates failed."""
        failed = [at for at, why in enumerate(self.stopped) if why == FAILED]
        if failed:
            warnings.warn(
                f"{len(failed)} of {len(self.candidates)} candidates failed, or have no finite score, and "
                f"are not on the front: {self.candidates[failed[0]]} and so on. {self._first_error()}",
                FitFailedWarning,
                stacklevel=4,
            )

    # Tables.

    def _by_fold(self, of: Any) -> FloatArray:
        """Return a number of each evaluation, shape (n_candidates, n_splits), NaN where there is none."""
        array = np.full((len(self.candidates), self.n_splits), np.nan)
        for at, found in enumerate(self.found):
            array[at, : len(found)] = [of(one) for one in found]
        return array

    def scores(self, metric: str, rows: str = "test") -> FloatArray:
        """Return scores by candidate and fold."""
        failed = self.error_score
        return self._by_fold(
            lambda one: getattr(one, f"{rows}_scores").get(metric, np.nan) if one.error is None else failed
        )

    def costs(self, name: str) -> FloatArray:
        """Return what a row costs by candidate and fold."""
        return self._by_fold(lambda one: getattr(one, name))

    def mean(self, by_fold: FloatArray) -> FloatArray:
        """Return means over the folds that each candidate has seen; every one has seen the first."""
        return np.array([row[: len(found)].mean() for row, found in zip(by_fold, self.found, strict=True)])

    def ranked(self, metric: str) -> FloatArray:
        """Return mean scores to ten digits, so that those which folds add up to alike are equal."""
        return np.array([float(f"{mean:.10g}") for mean in self.mean(self.scores(metric))])

    def _spread(self, by_fold: FloatArray) -> FloatArray:
        with np.errstate(invalid="ignore"):  # costs may be infinite
            return np.array([row[: len(found)].std() for row, found in zip(by_fold, self.found, strict=True)])

    def best_first(self, metric: str) -> list[int]:
        """Return the places of those that are left, of equal scores the cheapest first."""
        scores, seconds = self.ranked(metric), self.mean(self.costs("seconds"))
        return sorted(self.left, key=lambda at: (-scores[at], seconds[at], at))

    def table(self, metric: str) -> dict[str, Any]:
        """Return ``cv_results_``."""
        table: dict[str, Any] = {}
        for name in ("fit_time", "score_time"):
            times = self.costs(name)
            table |= {f"mean_{name}": self.mean(times), f"std_{name}": self._spread(times)}
        table["estimator"] = np.array([candidate.name for candidate in self.candidates], dtype=object)
        for name in dict.fromkeys(name for candidate in self.candidates for name in candidate.params):
            table[f"param_{name}"] = self._param(name)
        table["params"] = [dict(candidate.params) for candidate in self.candidates]
        for each in self.metrics:
            table |= self._columns(f"test_{each}", self.scores(each))
            table[f"rank_test_{each}"] = self._rank(each)
            if any(one.train_scores for found in self.found for one in found):
                table |= self._columns(f"train_{each}", self.scores(each, "train"))
        for name in COSTS:
            table |= self._columns(name, self.costs(name))
        table["n_folds"] = np.array(list(map(len, self.found)))
        table["stopped"] = np.array(self.stopped, dtype=object)
        return table

    def _columns(self, name: str, by_fold: FloatArray) -> dict[str, FloatArray]:
        splits = {f"split{split}_{name}": by_fold[:, split] for split in range(self.n_splits)}
        return splits | {f"mean_{name}": self.mean(by_fold), f"std_{name}": self._spread(by_fold)}

    def _rank(self, metric: str) -> Any:
        """Return ranks by score; those that were stopped share the last, for theirs are of fewer folds."""
        scores = np.where([not why for why in self.stopped], self.ranked(metric), -np.inf)
        return rankdata(-np.nan_to_num(scores, nan=-np.inf), method="min").astype(np.int32)

    def _param(self, name: str) -> Any:
        """Return a parameter's values, masked where a candidate has it not."""
        values: Any = np.ma.MaskedArray(
            np.empty(len(self.candidates), dtype=object), mask=True, fill_value="?"
        )
        for at, candidate in enumerate(self.candidates):
            if name in candidate.params:
                values[at] = candidate.params[name]
        return values

    def front(self, metric: str, scored_to_trained: float) -> dict[str, Any]:
        """Return ``front_``."""
        scores, seconds = self.scores(metric), self.mean(self.costs("seconds"))
        eligible = np.array([not why for why in self.stopped])
        at = pareto_front(self.ranked(metric), seconds, eligible)
        steps = scores[at[1:]] - scores[at[:-1]]
        return {
            "index": at,
            "estimator": np.array([self.candidates[place].name for place in at], dtype=object),
            "params": [dict(self.candidates[place].params) for place in at],
            "score": self.mean(scores)[at],
            "seconds": seconds[at],
            "lookups": self.mean(self.costs("lookups"))[at],
            "gain": np.append(np.nan, steps.mean(axis=1)),
            "gain_error": np.append(np.nan, standard_errors(steps, scored_to_trained)),
        }
