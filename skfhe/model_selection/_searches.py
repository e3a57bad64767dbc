"""Searches for the cheapest encrypted evaluation that keeps the score of a fitted model.

A larger error rate makes every lookup cheaper and some of them wrong; rounding accumulators to fewer bits
makes their lookups cheaper and coarser. How much of either a model bears shows in simulation, which encrypts
nothing. The searches bisect a list of candidates, and confirm what they find on rows that the bisection did
not see.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, MetaEstimatorMixin, is_classifier
from sklearn.metrics import check_scoring, get_scorer_names
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline
from sklearn.utils import indexable
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skfhe._originals.compat import HasMethods, Interval, RealNotInt, StrOptions, fit_context
from skfhe._telling import log, progress

__all__ = ["ErrorRateSearch", "RoundingSearch"]


class ScoreSearch(MetaEstimatorMixin, BaseEstimator):
    """Common part of the searches: bisection over candidates that get ever cheaper, then confirmation."""

    _parameter_constraints: dict[str, list] = {
        "estimator": [HasMethods(["compile", "predict"]), Pipeline],
        "tolerance": [Interval(Real, 0, None, closed="left")],
        "scoring": [StrOptions(set(get_scorer_names())), callable, None],
        "n_repeats": [Interval(Integral, 1, None, closed="left")],
        "test_size": [Interval(RealNotInt, 0, 1, closed="neither")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator: Any,
        *,
        tolerance: float = 0.01,
        scoring: Any = None,
        n_repeats: int = 5,
        test_size: float = 0.5,
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.tolerance = tolerance
        self.scoring = scoring
        self.n_repeats = n_repeats
        self.test_size = test_size
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y: ArrayLike) -> ScoreSearch:
        """Search on one part of the rows and confirm on the other.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Best rows that the model was not trained on.
        y : array-like of shape (n_rows,) or (n_rows, n_targets)

        Returns
        -------
        self

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If the rows do not fit the model, or are too few to be split.
        """
        model = self.estimator
        X, y = indexable(X, y)
        if isinstance(model, Pipeline):
            check_is_fitted(model)
            X, model = model[:-1].transform(X) if len(model.steps) > 1 else X, model[-1]
        check_is_fitted(model, "program_")
        parts = train_test_split(
            X,
            y,
            test_size=self.test_size,
            random_state=self.random_state,
            stratify=y if is_classifier(model) else None,
        )
        rows = {"search": (parts[0], parts[2]), "confirmation": (parts[1], parts[3])}
        scorer = check_scoring(model, self.scoring)
        clear = {name: float(scorer(model, *part)) for name, part in rows.items()}
        results: list[dict[str, Any]] = []

        def keeps_the_score(candidate: Any, name: str) -> bool:
            cheaper = self._made_cheaper(model, candidate)
            simulated = _Simulated(cheaper)
            scores = [float(scorer(simulated, *rows[name])) for _ in range(self.n_repeats)]
            mean, error = float(np.mean(scores)), float(np.std(scores) / np.sqrt(len(scores)))
            passes = mean - error >= clear[name] - self.tolerance
            results.append(
                {
                    self._searched: candidate,
                    "rows": name,
                    "score": mean,
                    "standard_error": error,
                    "clear_score": clear[name],
                    "passes": passes,
                    "complexity": cheaper.cost_.complexity,
                }
            )
            return passes

        candidates = self._candidates(model)  # the first changes nothing, so it passes by itself
        best, failing = 0, len(candidates)
        with progress(f"{self._searched} tried", unit="candidate") as done:
            while failing - best > 1:
                middle = (best + failing) // 2
                if keeps_the_score(candidates[middle], "search"):
                    best = middle
                else:
                    failing = middle
                done(1)
            while best > 0 and not keeps_the_score(candidates[best], "confirmation"):
                best -= 1
                done(1)
        said = type(self).__name__, self._searched, candidates[best], len(results)
        log("%s: %s = %s, after %d trials", *said)
        cheaper = self._made_cheaper(model, candidates[best])
        setattr(self, f"{self._searched}_", candidates[best])
        self.results_ = results
        self.clear_score_ = clear["confirmation"]
        self.score_ = results[-1]["score"] if best > 0 else clear["confirmation"]
        self.cost_ = cheaper.cost_
        self.best_estimator_ = cheaper
        if isinstance(self.estimator, Pipeline):
            self.best_estimator_ = Pipeline(
                [*self.estimator.steps[:-1], (self.estimator.steps[-1][0], cheaper)]
            )
        return self

    _searched: str

    def _candidates(self, model: Any) -> list[Any]:
        """Return what is tried, from the dearest, which changes nothing, to the cheapest."""
        raise NotImplementedError

    def _made_cheaper(self, model: Any, candidate: Any) -> Any:
        """Return a compiled copy of ``model``."""
        raise NotImplementedError


class ErrorRateSearch(ScoreSearch):
    """Find the largest error rate of lookups that keeps a fitted model's score.

    ``compile(X, y, p_error="auto")`` of an estimator uses it.

    Parameters
    ----------
    estimator : estimator or Pipeline
        Fitted; one of skfhe's, or a pipeline that ends in one. It is not modified.
    tolerance : float, default=0.01
        How much the simulated score may fall below the clear one.
    scoring : str, callable or None, default=None
        As in scikit-learn; None takes the estimator's ``score``.
    n_repeats : int, default=5
        Simulations of each candidate. Their errors are drawn by the engine, which takes no seed.
    test_size : float, default=0.5
        Part of the rows kept for the confirmation.
    random_state : int, RandomState instance or None, default=None
        Splits the rows.

    Attributes
    ----------
    p_error_ : float
        The largest error rate found, a power of two between 2**-40 and 2**-2.
    best_estimator_ : estimator or Pipeline
        A copy, compiled at that rate.
    score_, clear_score_ : float
        Mean simulated score and clear score of the rows kept for confirmation.
    cost_ : Cost
        Predicted cost of one row at that rate.
    results_ : list of dict
        What was tried: rate, rows, mean score and its standard error, clear score, whether it passed,
        complexity.

    Notes
    -----
    At most 6 candidates are simulated in the search. A candidate passes if its mean score, less the mean's
    standard error, is within the tolerance. One that fails the confirmation is halved until it passes.

    A larger error rate is a matter of correctness for those who use the results, and of security for
    those who show decrypted results to others: see ``docs/performance.md``.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skfhe.model_selection import ErrorRateSearch
    >>> from skfhe.neural_network import NeuralNetClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = NeuralNetClassifier(max_epochs=20, random_state=0).fit(X[::2], y[::2])
    >>> search = ErrorRateSearch(model, tolerance=0.1, random_state=0).fit(X[1::2], y[1::2])
    >>> search.p_error_ > 2**-40, search.cost_.complexity < model.cost_.complexity
    (True, True)
    """

    _searched = "p_error"

    def _candidates(self, model: Any) -> list[Any]:
        return [2.0**-k for k in range(40, 1, -1)]

    def _made_cheaper(self, model: Any, candidate: Any) -> Any:
        cheaper = copy.copy(model)
        cheaper.compile(p_error=candidate)
        return cheaper


class RoundingSearch(ScoreSearch):
    """Find the fewest bits that a fitted model's accumulators can be rounded to.

    Parameters
    ----------
    estimator : estimator or Pipeline
        Fitted; one of skfhe's with ``rounding_threshold_bits``, or a pipeline that ends in one. It is not
        modified.
    method : {"approximate", "exact"}, default="approximate"
        Approximate rounding costs nothing and may take the neighbouring cell near a tie; exact rounding
        costs a lookup for each bit it removes.
    p_error : float, default=2**-40
        Error rate of lookups to search at.
    tolerance : float, default=0.01
        How much the simulated score may fall below the clear one of the estimator as it is.
    scoring : str, callable or None, default=None
        As in scikit-learn; None takes the estimator's ``score``.
    n_repeats : int, default=5
        Simulations of each candidate. Their errors are drawn by the engine, which takes no seed.
    test_size : float, default=0.5
        Part of the rows kept for the confirmation.
    random_state : int, RandomState instance or None, default=None
        Splits the rows.

    Attributes
    ----------
    rounding_threshold_bits_ : dict or None
        The value for the estimator's parameter; None if no rounding keeps the score.
    best_estimator_ : estimator or Pipeline
        A copy with that parameter, its trained network lowered anew, compiled.
    score_, clear_score_ : float
        Mean simulated score and clear score of the rows kept for confirmation.
    cost_ : Cost
        Predicted cost of one row.
    results_ : list of dict
        What was tried.

    Notes
    -----
    Rounding need not be cheaper: an accumulator whose interval leaves no room for rounding up takes a bit
    more, and exact rounding many lookups. Compare ``cost_`` with the estimator's own.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skfhe.model_selection import RoundingSearch
    >>> from skfhe.neural_network import NeuralNetClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> wide = {"module__n_accum_bits": 6, "module__n_thresholds_per_neuron": 30}
    >>> wide |= {"module__accumulator": "bounded"}
    >>> model = NeuralNetClassifier(max_epochs=20, random_state=0, **wide).fit(X[::2], y[::2])
    >>> search = RoundingSearch(model, tolerance=0.1, random_state=0).fit(X[1::2], y[1::2])
    >>> search.cost_.complexity < model.cost_.complexity
    True
    """

    _searched = "rounding_threshold_bits"
    _parameter_constraints: dict[str, list] = ScoreSearch._parameter_constraints | {
        "method": [StrOptions({"approximate", "exact"})],
        "p_error": [Interval(Real, 0, 1, closed="neither")],
    }

    def __init__(
        self,
        estimator: Any,
        *,
        method: str = "approximate",
        p_error: float = 2.0**-40,
        tolerance: float = 0.01,
        scoring: Any = None,
        n_repeats: int = 5,
        test_size: float = 0.5,
        random_state: Any = None,
    ) -> None:
        super().__init__(
            estimator,
            tolerance=tolerance,
            scoring=scoring,
            n_repeats=n_repeats,
            test_size=test_size,
            random_state=random_state,
        )
        self.method = method
        self.p_error = p_error

    def _candidates(self, model: Any) -> list[Any]:
        if "rounding_threshold_bits" not in model.get_params():
            raise TypeError(f"{type(model).__name__} has no rounding_threshold_bits to search for")
        widest = max(model.accumulator_bits_, default=1)
        return [None, *({"n_bits": k, "method": self.method} for k in range(widest - 1, 0, -1))]

    def _made_cheaper(self, model: Any, candidate: Any) -> Any:
        cheaper = copy.copy(model).set_params(rounding_threshold_bits=candidate)
        cheaper.lower()
        cheaper.compile(p_error=self.p_error)
        return cheaper


def _model_has(name: str) -> Callable[[Any], bool]:
    return lambda simulated: hasattr(simulated.model, name)


class _Simulated(BaseEstimator):
    """A compiled model whose predictions are simulated, for scorers that know nothing of ``fhe``."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def __sklearn_tags__(self) -> Any:
        return self.model.__sklearn_tags__()

    @property
    def classes_(self) -> Any:
        return self.model.classes_

    def predict(self, X: ArrayLike) -> Any:
        return self.model.predict(X, fhe="simulate")

    @available_if(_model_has("predict_proba"))
    def predict_proba(self, X: ArrayLike) -> Any:
        return self.model.predict_proba(X, fhe="simulate")

    @available_if(_model_has("decision_function"))
    def decision_function(self, X: ArrayLike) -> Any:
        return self.model.decision_function(X, fhe="simulate")

    def score(self, X: ArrayLike, y: ArrayLike) -> float:
        return self.model.score(X, y, fhe="simulate")
