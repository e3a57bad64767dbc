"""Predicting with the best estimator that a search has found."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from numpy.typing import ArrayLike
from sklearn import get_config
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import process_routing
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skfhe.model_selection._candidates import named_estimators
from skfhe.model_selection._costs import cost_of

__all__ = ["BestEstimatorMixin"]


def _best_has(name: str) -> Callable[[Any], bool]:
    """Return a check that the best estimator, or before ``fit`` every one, has an attribute."""

    def check(search: Any) -> bool:
        if hasattr(search, "best_estimator_"):
            return hasattr(search.best_estimator_, name)
        if not search.refit and hasattr(search, "cv_results_"):
            raise AttributeError(
                f"{name} needs a best estimator that is trained on all rows, and refit=False trains none; "
                "give refit=True, or train one with best_params_"
            )
        return all(hasattr(each, name) for each in named_estimators(search.estimators).values())

    return check


class BestEstimatorMixin:
    """Mixin of searches over ``estimators`` that end with ``best_estimator_`` and ``scorer_``."""

    estimators: Any
    refit: bool | str
    best_estimator_: Any
    scorer_: Any

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        inner = [get_tags(each) for each in named_estimators(self.estimators).values()]
        tags.estimator_type = inner[0].estimator_type
        tags.classifier_tags = deepcopy(inner[0].classifier_tags)
        tags.regressor_tags = deepcopy(inner[0].regressor_tags)
        tags.input_tags.pairwise = all(each.input_tags.pairwise for each in inner)
        tags.input_tags.sparse = all(each.input_tags.sparse for each in inner)
        return tags

    @property
    def cost_(self) -> Any:
        """Predicted cost of a row with the best estimator."""
        return cost_of(self.best_estimator_)

    @property
    def n_features_in_(self) -> int:
        """Number of features seen in ``fit``."""
        return self.best_estimator_.n_features_in_

    @property
    def classes_(self) -> Any:
        """Classes that the best estimator tells apart."""
        return self.best_estimator_.classes_

    def _fitted_best(self) -> Any:
        check_is_fitted(self)
        if not hasattr(self, "best_estimator_"):
            raise NotFittedError(
                f"this {type(self).__name__} has refit=False, so no best estimator was trained on all rows; "
                "give refit=True"
            )
        return self.best_estimator_

    def _called(self, method: str, X: Any, fhe: str | None) -> Any:
        """Call a method of the best estimator, of a pipeline that of its last step on transformed rows."""
        best = self._fitted_best()
        if fhe is None:
            return getattr(best, method)(X)
        if isinstance(best, Pipeline):
            X, best = best[:-1].transform(X) if len(best.steps) > 1 else X, best[-1]
        return getattr(best, method)(X, fhe=fhe)

    @available_if(_best_has("predict"))
    def predict(self, X: ArrayLike, *, fhe: str | None = None) -> Any:
        """Return the best estimator's predictions.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
        fhe : {"disable", "simulate", "execute"}, default=None
            As in that estimator's method, if it is of skfhe; None is whatever it does by itself.

        Returns
        -------
        ndarray of shape (n_rows,) or (n_rows, n_targets)

        Raises
        ------
        NotFittedError
            Before ``fit``, or with ``refit=False``.
        """
        return self._called("predict", X, fhe)

    @available_if(_best_has("predict_proba"))
    def predict_proba(self, X: ArrayLike, *, fhe: str | None = None) -> Any:
        """Return the best estimator's probabilities of classes; parameters are those of `predict`."""
        return self._called("predict_proba", X, fhe)

    @available_if(_best_has("predict_log_proba"))
    def predict_log_proba(self, X: ArrayLike, *, fhe: str | None = None) -> Any:
        """Return the logarithm of `predict_proba`; parameters are those of `predict`."""
        return self._called("predict_log_proba", X, fhe)

    @available_if(_best_has("decision_function"))
    def decision_function(self, X: ArrayLike, *, fhe: str | None = None) -> Any:
        """Return the best estimator's scores; parameters are those of `predict`."""
        return self._called("decision_function", X, fhe)

    @available_if(_best_has("score_samples"))
    def score_samples(self, X: ArrayLike, *, fhe: str | None = None) -> Any:
        """Return the best estimator's scores of rows; parameters are those of `predict`."""
        return self._called("score_samples", X, fhe)

    @available_if(_best_has("transform"))
    def transform(self, X: ArrayLike, *, fhe: str | None = None) -> Any:
        """Return rows as the best estimator transforms them; parameters are those of `predict`."""
        return self._called("transform", X, fhe)

    def score(self, X: ArrayLike, y: ArrayLike | None = None, **params: Any) -> float:
        """Return the best estimator's score, by ``scoring``, in whatever mode it is.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
        y : array-like of shape (n_rows,) or (n_rows, n_targets), default=None
        **params
            For the scorer, where metadata is routed.

        Returns
        -------
        float

        Raises
        ------
        NotFittedError
            Before ``fit``, or with ``refit=False``.
        """
        best = self._fitted_best()
        if get_config()["enable_metadata_routing"]:
            params = process_routing(self, "score", **params).scorer.score
        elif params:
            raise TypeError(
                f"score takes {', '.join(params)} only where metadata is routed, which "
                "sklearn.set_config(enable_metadata_routing=True) does"
            )
        scores = self.scorer_(best, X, y, **params)
        return scores[self.refit] if isinstance(scores, dict) else scores
