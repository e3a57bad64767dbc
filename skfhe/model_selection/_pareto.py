"""Search for the front of score against the cost of an encrypted row, over families and parameters."""

from __future__ import annotations

import time
from numbers import Integral, Real
from typing import Any

import numpy as np
from joblib.parallel import get_active_backend
from numpy.typing import ArrayLike
from sklearn import get_config
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone, is_classifier
from sklearn.metrics import check_scoring, get_scorer_names
from sklearn.model_selection import check_cv
from sklearn.utils import Bunch, indexable
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.parallel import Parallel, delayed

from skfhe._originals.compat import (
    HasMethods,
    Interval,
    StrOptions,
    accepts_sample_weight,
    check_method_params,
    fit_context,
)
from skfhe._telling import log, progress, shows_progress
from skfhe.model_selection._best import BestEstimatorMixin
from skfhe.model_selection._candidates import Candidate, candidates_of, is_estimator, named_estimators
from skfhe.model_selection._costs import cost_of
from skfhe.model_selection._results import Results
from skfhe.model_selection._worker import Fold, evaluated, scored_to_trained

__all__ = ["ParetoSearchCV"]


class ParetoSearchCV(BestEstimatorMixin, MetaEstimatorMixin, BaseEstimator):
    """Search for the best score that an encrypted row's seconds buy, over estimators and their parameters.

    What a row costs is known after ``fit``, without compiling, so each candidate is trained and scored by
    cross-validation as in `sklearn.model_selection.GridSearchCV`, and priced on the way. Candidates that
    cannot end on the front are stopped after the first folds.

    Parameters
    ----------
    estimators : estimator, list of estimators, list of (str, estimator), or mapping of str to estimator
        Of skfhe, or pipelines and other meta-estimators with one inside; all classifiers, or none. An
        estimator without a name gets that of its class in small letters; a pipeline that of its last step.
    param_grid : dict or list, default=None
        For a single estimator a grid as `sklearn.model_selection.GridSearchCV` takes it. For several a list
        of grids in their order, or a mapping of their names to grids. An estimator without a grid is taken
        as it is.
    max_seconds : float, default=None
        What a row may take at most: ``cost_.seconds``, of one row alone in its call. None allows anything.
    scoring : str, callable, list, tuple or dict, default=None
        As in `sklearn.model_selection.GridSearchCV`; None takes the estimators' ``score``. With several
        metrics ``refit`` has to name that of the front.
    n_jobs : int, default=None
        Candidates that are trained at once, by joblib's active backend; None is 1 unless that says
        otherwise.
    refit : bool or str, default=True
        Whether to train the best candidate on all rows; of several metrics the name of one.
    cv : int, cross-validation generator or iterable, default=None
        As in `sklearn.model_selection.GridSearchCV`. Every candidate is evaluated on the same folds.
    alpha : float, default=0.05
        Level of the test by which unpromising candidates are stopped, see Notes. 0 evaluates every
        candidate within the budget on all folds.
    tolerance : float, default=0.0
        By how much a candidate has to score better than one that is no dearer, to be worth evaluating.
    verbose : int, default=0
        From 1 on a line a fold, that says what is left; from 2 on one a fit, too.
    pre_dispatch : int or str, default="2*n_jobs"
        As in `sklearn.model_selection.GridSearchCV`.
    error_score : "raise" or float, default=nan
        Score of a fold on which a candidate fails. It is not evaluated further, and not on the front.
    return_train_score : bool, default=False
        Whether ``cv_results_`` has scores of the training rows, too.

    Attributes
    ----------
    front_ : dict of ndarray
        The front, cheapest first, a table like ``cv_results_``: of all candidates that were evaluated on
        every fold and are within the budget, those that no other one is as good as for as little. Columns:
        ``index`` into ``cv_results_``; ``estimator``, ``params``; ``score``, ``seconds`` and ``lookups``,
        means over the folds; ``gain``, by how much the score is better than in the row before, and
        ``gain_error``, the standard error of that. A gain of less than two errors need not be one.
    cv_results_ : dict of ndarray
        As of `sklearn.model_selection.GridSearchCV`, one entry a candidate. There are ``estimator``, its
        name; the cost of each fold, ``split0_seconds`` and so on, ``mean_seconds`` and ``std_seconds``, and
        likewise of ``lookups`` and ``complexity``; ``n_folds``, on how many it was evaluated; ``stopped``,
        why it was not on all: "over budget", "unpromising", "refused" by the engine, whatever the seconds,
        or "failed". Folds that are left out are NaN, and means are over the others.
    best_estimator_ : estimator
        The best candidate within the budget, trained on all rows; with ``refit``.
    best_params_, best_name_, best_index_, best_score_ : dict, str, int, float
        Its parameters, the name of its estimator, its place in ``cv_results_``, its mean score.
    cost_ : Cost
        Predicted cost of a row with ``best_estimator_``.
    scorer_ : callable
        What scores.
    n_splits_, n_fits_ : int
        Folds, and how often a candidate was trained, refitting included.
    refit_time_ : float
        Seconds of training on all rows.
    n_features_in_, feature_names_in_, classes_ : int, ndarray, ndarray
        Those of ``best_estimator_``, if it has them.

    See Also
    --------
    refit_within : The budget for scikit-learn's own searches.

    Notes
    -----
    All candidates are trained on the first fold, those left on the second, and so on. After a fold a
    candidate is stopped

    - if its seconds, on average of the folds it has seen, are over ``max_seconds``, or it cannot be
      compiled;
    - from the second fold on, if a paired t test over the folds, one-sided, at level ``alpha``, says that it
      is not better by ``tolerance`` than the best candidate that is no dearer. The test's variance is
      corrected for overlapping training sets (Nadeau and Bengio, 2003), and is not taken for less than the
      median of all pairs that are compared, for few folds may agree by accident.

    So with no tolerance nothing is stopped but what a candidate that is no dearer has beaten: it would be on
    the front only if the test errs. What is merely not told apart is evaluated to the end; with a tolerance
    it is stopped, too, once it is sure to gain less. The folds should be alike, as shuffled ones are.

    Training on all rows can make a model dearer than on those of a fold. So the best candidate is trained,
    and if it is over the budget then, the next best, until one is within it.

    With ``parallel_config("dask")`` of joblib, candidates are trained by the workers of a Dask cluster.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skfhe.linear_model import LogisticRegression
    >>> from skfhe.model_selection import ParetoSearchCV
    >>> from skfhe.tree import DecisionTreeClassifier
    >>> search = ParetoSearchCV(
    ...     {"linear": LogisticRegression(max_iter=1000), "tree": DecisionTreeClassifier(random_state=0)},
    ...     {"linear": {"n_bits": [2, 8]}, "tree": {"max_depth": [2, 3]}},
    ...     max_seconds=0.5,
    ... )
    >>> search = search.fit(*load_iris(return_X_y=True))
    >>> search.best_name_, search.cost_.seconds <= 0.5
    ('linear', True)
    """

    _parameter_constraints: dict[str, list] = {
        "estimators": [HasMethods(["fit"]), list, tuple, dict],
        "param_grid": [dict, list, tuple, None],
        "max_seconds": [Interval(Real, 0, None, closed="neither"), None],
        "scoring": [StrOptions(set(get_scorer_names())), callable, list, tuple, dict, None],
        "n_jobs": [Integral, None],
        "refit": ["boolean", str],
        "cv": ["cv_object"],
        "alpha": [Interval(Real, 0, 0.5, closed="left")],
        "tolerance": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "pre_dispatch": [Integral, str],
        "error_score": [StrOptions({"raise"}), Real],
        "return_train_score": ["boolean"],
    }

    def __init__(
        self,
        estimators: Any,
        param_grid: Any = None,
        *,
        max_seconds: float | None = None,
        scoring: Any = None,
        n_jobs: int | None = None,
        refit: bool | str = True,
        cv: Any = None,
        alpha: float = 0.05,
        tolerance: float = 0.0,
        verbose: int = 0,
        pre_dispatch: int | str = "2*n_jobs",
        error_score: float | str = np.nan,
        return_train_score: bool = False,
    ) -> None:
        self.estimators = estimators
        self.param_grid = param_grid
        self.max_seconds = max_seconds
        self.scoring = scoring
        self.n_jobs = n_jobs
        self.refit = refit
        self.cv = cv
        self.alpha = alpha
        self.tolerance = tolerance
        self.verbose = verbose
        self.pre_dispatch = pre_dispatch
        self.error_score = error_score
        self.return_train_score = return_train_score

    # Parameters.

    def _named(self) -> dict[str, Any]:
        """Return several estimators by name, but for names that parameters have; none if they are wrong."""
        if is_estimator(self.estimators):
            return {}
        try:
            named = named_estimators(self.estimators)
        except (TypeError, ValueError):
            return {}
        own = super().get_params(deep=False)
        return {name: estimator for name, estimator in named.items() if name not in own}

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters, and those of the estimators by the names of these.

        Parameters
        ----------
        deep : bool, default=True
            Whether to return the estimators and their parameters, too.

        Returns
        -------
        dict
        """
        params: dict[str, Any] = super().get_params(deep=deep)
        for name, estimator in self._named().items() if deep else ():
            params[name] = estimator
            params |= {f"{name}__{key}": value for key, value in estimator.get_params().items()}
        return params

    def set_params(self, **params: Any) -> ParetoSearchCV:
        """Set parameters, estimators by name, and parameters of estimators, as ``name__parameter``.

        Parameters
        ----------
        **params

        Returns
        -------
        self
        """
        if "estimators" in params:
            self.estimators = params.pop("estimators")
        replaced = {name: params.pop(name) for name in self._named() if name in params}
        if replaced:
            named = named_estimators(self.estimators) | replaced
            self.estimators = named if isinstance(self.estimators, dict) else list(named.items())
        super().set_params(**params)
        return self

    # Fitting.

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: ArrayLike, y: ArrayLike | None = None, **params: Any) -> ParetoSearchCV:
        """Evaluate the candidates, and train the best within the budget on all rows.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
        y : array-like of shape (n_rows,) or (n_rows, n_targets), default=None
        **params
            ``groups`` for the folds, ``sample_weight`` and others for the estimators' ``fit``, as in
            `sklearn.model_selection.GridSearchCV`; where metadata is routed, to whatever requests them.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If no candidate is within ``max_seconds``, or all fail.
        TypeError
            If a candidate has no estimator of skfhe inside.
        """
        estimators = self._alike()
        candidates = candidates_of(estimators, self.param_grid)
        models = [candidate.made_from(estimators[candidate.name]) for candidate in candidates]
        scorer = self._scorers()
        X, y = indexable(X, y)
        routed = self._routed(check_method_params(X, params=params), scorer)
        cv = check_cv(self.cv, y, classifier=is_classifier(models[0]))
        folds = [Fold(train, test) for train, test in cv.split(X, y, **routed.split)]
        results = Results(candidates, len(folds), self.error_score)
        self._race(results, models, folds, (X, y), scorer, routed)
        metric = self._metric(results)
        best, n_refits = self._refit(models, results.best_first(metric), candidates, (X, y), routed)
        self.best_index_ = best
        self.best_score_ = float(results.mean(results.scores(metric))[best])
        self.best_params_ = dict(candidates[best].params)
        self.best_name_ = candidates[best].name
        self.front_ = results.front(metric, scored_to_trained(folds))
        self.cv_results_ = results.table(metric)
        self.scorer_ = scorer
        self.n_splits_ = len(folds)
        self.n_fits_ = results.n_fits + n_refits
        return self

    def _alike(self) -> dict[str, Any]:
        """Return the estimators by name, all classifiers or none."""
        estimators = named_estimators(self.estimators)
        kinds = {name: is_classifier(estimator) for name, estimator in estimators.items()}
        if len(set(kinds.values())) > 1:
            classifiers = ", ".join(name for name, kind in kinds.items() if kind)
            others = ", ".join(name for name, kind in kinds.items() if not kind)
            raise ValueError(
                f"estimators mixes classifiers ({classifiers}) with others ({others}); their scores cannot "
                "be compared, so search among the ones and the others apart"
            )
        return estimators

    def _scorers(self) -> Any:
        """Return what scores, of all estimators alike."""
        estimators = list(named_estimators(self.estimators).values())
        if callable(self.scoring):
            return self.scoring
        if self.scoring is None:
            for estimator in estimators[1:]:
                check_scoring(estimator, None)
        several = isinstance(self.scoring, list | tuple | dict)
        if several and not (isinstance(self.refit, str) and self.refit in self.scoring):
            raise _no_metric_of_the_front(self.refit, self.scoring)
        return check_scoring(estimators[0], self.scoring, raise_exc=self.error_score == "raise")

    def _metric(self, results: Results) -> str:
        """Return the metric that the front is of."""
        metrics = results.metrics
        if metrics == ["score"]:
            return "score"
        if self.refit not in metrics:
            raise _no_metric_of_the_front(self.refit, metrics)
        return str(self.refit)

    def get_metadata_routing(self) -> MetadataRouter:
        """Return what metadata goes where: to the estimators' ``fit``, the scorer and the folds.

        Returns
        -------
        MetadataRouter
        """
        router = MetadataRouter(owner=self)
        for family, estimator in enumerate(named_estimators(self.estimators).values()):
            mapping = MethodMapping().add(caller="fit", callee="fit")
            router.add(method_mapping=mapping, **{f"estimator_{family}": estimator})
        mapping = MethodMapping().add(caller="score", callee="score").add(caller="fit", callee="score")
        router.add(scorer=self._scorers(), method_mapping=mapping)
        mapping = MethodMapping().add(caller="fit", callee="split")
        return router.add(splitter=self.cv, method_mapping=mapping)

    def _routed(self, params: dict[str, Any], scorer: Any) -> Bunch:
        """Return the keyword arguments of the folds, of scores, and of ``fit`` by estimator."""
        n_estimators = len(named_estimators(self.estimators))
        if get_config()["enable_metadata_routing"]:
            routed = process_routing(self, "fit", **params)
            fit = [routed[f"estimator_{family}"].fit for family in range(n_estimators)]
            return Bunch(split=routed.splitter.split, score=routed.scorer.score, fit=fit)
        params = dict(params)
        split = {"groups": params.pop("groups", None)}
        weighted = params.get("sample_weight") is not None and accepts_sample_weight(scorer)
        score = {"sample_weight": params["sample_weight"]} if weighted else {}
        return Bunch(split=split, score=score, fit=[params] * n_estimators)

    def _race(
        self,
        results: Results,
        models: list[Any],
        folds: list[Fold],
        data: tuple[Any, Any],
        scorer: Any,
        routed: Bunch,
    ) -> None:
        """Evaluate the candidates fold by fold, all those that are left on each."""
        options = {
            "scorer": scorer,
            "score_params": routed.score,
            "return_train_score": self.return_train_score,
            "verbose": self.verbose,
        }

        def task(at: int, number: int, error_score: Any) -> dict[str, Any]:
            candidate = results.candidates[at]
            return options | {
                "estimator": clone(models[at]),
                "fold": folds[number],
                "fit_params": routed.fit[candidate.family],
                "error_score": error_score,
                "label": f"[CV {number + 1}/{len(folds)}] {candidate}",
            }

        with (
            Parallel(n_jobs=self.n_jobs, pre_dispatch=self.pre_dispatch, return_as=_return_as()) as parallel,
            progress("candidates", len(results.left) * len(folds), "fit") as done,
        ):
            for number in range(len(folds)):
                left = results.left
                tasks = (task(at, number, self.error_score) for at in left)
                found = []
                for one in parallel(delayed(evaluated)(*data, **each) for each in tasks):
                    found.append(one)
                    done(1)
                results.add(left, found)
                metric = self._metric(results)
                results.stop_outright(metric, self.max_seconds)
                if results.left:
                    results.stop_beaten(metric, scored_to_trained(folds), self.alpha, self.tolerance)
                done((len(left) - len(results.left)) * (len(folds) - number - 1))  # trained no more
                said = results.progress(len(left))
                log("%s: %s", type(self).__name__, said)
                if self.verbose > 0:
                    print(f"[{type(self).__name__}] {said}", flush=True)
                if not results.left:
                    if results.no_score:  # the scorer raises what was wrong
                        evaluated(*data, **task(left[0], number, "raise"))
                    raise results.nothing_left(self.max_seconds)
        results.warn_of_failures()

    def _refit(
        self,
        models: list[Any],
        order: list[int],
        candidates: list[Candidate],
        data: tuple[Any, Any],
        routed: Bunch,
    ) -> tuple[int, int]:
        """Train candidates on all rows, the best first, until one is within the budget.

        Return which one it is, and how many were trained.
        """
        if not self.refit:
            return order[0], 0
        X, y = data
        cheapest = np.inf
        for n_trained, at in enumerate(order, start=1):
            start = time.perf_counter()
            model = clone(models[at])
            model.fit(X, *([] if y is None else [y]), **routed.fit[candidates[at].family])
            seconds = cost_of(model).seconds
            cheapest = min(cheapest, seconds)
            if np.isfinite(seconds) and (self.max_seconds is None or seconds <= self.max_seconds):
                self.best_estimator_ = model
                self.refit_time_ = time.perf_counter() - start
                if hasattr(model, "feature_names_in_"):
                    self.feature_names_in_ = model.feature_names_in_
                return at, n_trained
        raise ValueError(
            f"{len(order)} candidates are within max_seconds={self.max_seconds} on the folds, but none is "
            f"when trained on all rows: the cheapest takes about {cheapest:.2g} seconds a row then; allow as "
            "much, or search among smaller models"
        )


def _return_as() -> str:
    """Return how joblib returns results: one after the other if they are counted, and it can."""
    backend, _ = get_active_backend()
    can = getattr(backend, "supports_return_generator", False)
    return "generator" if can and shows_progress() else "list"


def _no_metric_of_the_front(refit: Any, metrics: Any) -> ValueError:
    shown = ", ".join(map(repr, metrics))
    return ValueError(
        f"with several metrics, refit must name the one that the front is of, here one of {shown}; "
        f"got refit={refit!r}"
    )
