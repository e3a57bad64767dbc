"""Explainable boosting machines of interpret on encrypted data."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from numbers import Integral
from typing import Any

import numpy as np
from interpret import glassbox
from numpy.typing import ArrayLike
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, is_classifier
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted, validate_data

from skfhe._agreement import Agreement, agreement_beside, agreement_of, shared_copy, some_rows, warn_of
from skfhe._originals.conversion import from_original
from skfhe._originals.docstrings import documented
from skfhe._originals.fit_arguments import check_several_classes, checked_targets, checked_training
from skfhe._originals.held import HeldOriginalMixin, storing
from skfhe._originals.inherited import as_original, method_of
from skfhe._typing import Array, FloatArray
from skfhe.additive._description import Additive
from skfhe.additive._docstrings import ADDITIVE
from skfhe.additive._lowering import Asked, Known, Lowered, lower_additive
from skfhe.additive._pairs import Interaction
from skfhe.additive._reading import described, has_own_names, named_categories
from skfhe.base import EncryptedPredictorMixin
from skfhe.encoding import Head, Margins, NamedCategories, Values, dense, labelled

__all__ = ["ExplainableBoostingClassifier", "ExplainableBoostingRegressor"]

OWN: dict[str, Any] = {"n_bits": 5, "n_pairs": 8, "pairs": "lookups"}
"""Parameters beside those of the originals, with their defaults."""
MAX_N_BITS = 8
PAIRS = ("lookups", "cells")
MAX_ROWS = 2000
"""Rows of training that interactions are chosen by."""
CLASSIFICATION: dict[str, Head] = {
    "logit": Margins("logistic"),
    "mlogit": Margins("softmax"),
    "vlogit": Margins("one_vs_rest"),
}
REGRESSION: dict[str, Head] = {"identity": Values(), "log": Values("exp")}


class AdditivePredictorMixin(HeldOriginalMixin, EncryptedPredictorMixin):
    """Mixin of both estimators: trained by the original, which it holds, and evaluated by the program."""

    _original: type
    _heads: dict[str, Head]
    _own_params = tuple(OWN)
    _own_state = ("_encrypted_model", "_categories", "_interactions", "_score_deviation")
    n_bits: int | None
    n_pairs: int | None
    pairs: str

    @classmethod
    def from_sklearn_model(
        cls,
        fitted: Any,
        X: ArrayLike | None = None,
        y: ArrayLike | None = None,
        n_bits: int | None = 5,
        n_pairs: int | None = 8,
        pairs: str = "lookups",
    ) -> Any:
        """Convert a fitted original.

        Parameters
        ----------
        fitted : estimator
            Fitted, of the class that this stands for.
        X : array-like of shape (n_rows, n_features), default=None
            Rows such as those it was trained on. By them, what is kept takes over what is lost; see the notes
            of the class.
        y : array-like of shape (n_rows,), default=None
            Their targets. With both, interactions are chosen by how much they take off the loss of these
            rows; without, by their mean squared scores, which the original knows.
        n_bits : int, default=5
            See the class.
        n_pairs : int, default=8
            See the class.
        pairs : {"lookups", "cells"}, default="lookups"
            See the class.

        Returns
        -------
        estimator
            Fitted, with the parameters of ``fitted``.

        Raises
        ------
        TypeError
            If ``fitted`` is of another class.
        ValueError
            If a parameter is none that the class takes, or ``y`` does not fit ``X``.
        NotFittedError
            If ``fitted`` is not fitted.
        UnsupportedModelError
            If it has a part that cannot be evaluated.
        """
        check_is_fitted(fitted)
        estimator = from_original(cls, fitted, n_bits=n_bits, n_pairs=n_pairs, pairs=pairs)
        estimator._check_own()
        rows = None if X is None else estimator._rows(estimator, X)
        targets = None if y is None else np.asarray(y)
        if targets is not None and (rows is None or len(targets) != len(rows)):
            raise ValueError("y are the targets of the rows X; give both, of one length")
        estimator._take_over(estimator.model_, rows, targets)
        if rows is not None:
            estimator._compare(estimator.model_, some_rows(X), rows, targets)
        return estimator

    # Training.

    def _check_own(self) -> None:
        """Raise a `ValueError` for parameters that are not the original's."""
        for name, least, most in (("n_bits", 1, MAX_N_BITS), ("n_pairs", 0, None)):
            value = getattr(self, name)
            whole = isinstance(value, Integral) and not isinstance(value, bool)
            if value is not None and not (whole and least <= value and (most is None or value <= most)):
                to = f"from {least} to {most}" if most else f"of at least {least}"
                raise ValueError(f"{name} must be None or an int {to}, got {value!r}")
        if not (isinstance(self.pairs, str) and self.pairs in PAIRS):
            raise ValueError(f"pairs must be one of {', '.join(map(repr, PAIRS))}, got {self.pairs!r}")

    def _train(self, method: Any, arguments: dict[str, Any]) -> None:
        """Train an original on checked arguments, lower it, and take both over."""
        self._check_own()
        arguments, learnt = _checked(self, arguments)
        arguments["y"] = y = self._targets(arguments)
        original = as_original(self, fitted=False)
        method(original, **arguments)
        X, weight = arguments["X"], arguments.get("sample_weight")
        rows = self._rows(original, X)
        counted = slice(None) if weight is None else np.asarray(weight) > 0
        # scores that are given beside the rows are no part of the model
        known = y[counted] if arguments.get("init_score") is None else None
        self._take_over(original, rows[counted], known, learnt)
        self._compare(original, some_rows(X, weight), rows[counted], known)

    def _take_over(
        self,
        original: Any,
        rows: FloatArray | None,
        targets: Array | None,
        learnt: Mapping[str, Any] | None = None,
    ) -> None:
        """Lower a fitted original, and take both over, with what else was learnt, by name."""
        model = self._describe(original)
        known = None
        if rows is not None:
            step = -(-len(rows) // MAX_ROWS)
            loss = None if targets is None else self._loss(original, targets[::step])
            known = Known(rows[::step], loss)
        lowered = self._lower(model, known)
        found = lowered.model
        if is_classifier(self):
            found = replace(found, head=labelled(found.head, original.classes_))
        if learnt is not None:
            self._adopt(original)
            vars(self).pop("feature_names_in_", None)  # the original makes names up
            vars(self).update(learnt)
        self._encrypted_model = found
        self._categories = named_categories(original)
        self._interactions, self._score_deviation = lowered.interactions, lowered.deviation

    def _compare(self: Any, original: Any, X: Any, rows: FloatArray, targets: Array | None) -> None:
        """Warn if predictions for some rows of training are not the original's."""
        numbers = _continuous(original, X)

        def agreement(estimator: Any) -> Agreement:
            if numbers is None:
                return agreement_of(estimator, original, X, "predict")
            return agreement_beside(estimator, original, numbers, "predict")

        found = agreement(self)
        if found.suffices:
            return
        reasons, changes = [], []
        n_kept, n_all = sum(each.kept for each in self.interactions_), len(self.interactions_)
        if self.n_bits is not None:
            reasons.append(f"bins are merged to n_bits={self.n_bits}")
        if n_all:
            reasons.append(f"{n_kept} of {n_all} interactions are kept, as tables of up to 16 cells")
        for name in ("n_bits", "n_pairs") if n_kept < n_all else ("n_bits",):
            if getattr(self, name) is not None:
                trial = shared_copy(self)
                setattr(trial, name, None)
                trial._take_over(original, rows, targets)
                better = agreement(trial)
                if better.part > found.part:
                    changes.append(f"{name}=None makes it {better.percent}")
        if n_all:
            changes.append("interactions=0 trains a model without what is lost of them")
        change = ", ".join(changes) or "convert with rows and targets"
        warn_of(self, found, " and ".join(reasons) or "scores are rounded", change)

    def _adopt(self: Any, original: Any) -> None:
        super()._adopt(original)
        if not has_own_names(original):
            del self.feature_names_in_

    def _describe(self, original: Any) -> Additive:
        return described(original, self._heads)

    def _lower(self, described: Additive, calibration: Known | None) -> Lowered:
        """Return the program of a described original, and what became of its interactions."""
        return lower_additive(described, Asked(self.n_bits, self.n_pairs, self.pairs), calibration)

    @abstractmethod
    def _targets(self, arguments: dict[str, Any]) -> Array:
        """Return the checked targets of ``fit``."""

    @abstractmethod
    def _loss(self, original: Any, targets: Array) -> Callable[[FloatArray], float]:
        """Return the mean loss of scores of rows with these targets."""

    @property
    def interactions_(self) -> tuple[Interaction, ...]:
        """The interactions that were trained, in the order in which they are chosen."""
        self._lowered_model()
        return self._interactions

    @property
    def score_deviation_(self) -> float:
        """How far scores are from the original's on the rows of training: the root of the mean square."""
        self._lowered_model()
        return self._score_deviation

    @property
    def named_categories_(self) -> NamedCategories:
        """Turns categories into numbers, by how they are written."""
        self._lowered_model()
        return self._categories

    # Prediction.

    def __sklearn_tags__(self: Any) -> Any:
        """Say that missing values, categories, texts and sparse rows are taken."""
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        inputs = tags.input_tags
        inputs.allow_nan = inputs.sparse = inputs.string = inputs.categorical = True
        return tags

    def _rows(self: Any, fitted: Any, X: Any) -> FloatArray:
        """Return validated rows: numbers of categories in place of these, and NaN for a missing value."""
        known = fitted is self and "_categories" in vars(self)
        named: NamedCategories = (
            self._categories if known else named_categories(getattr(fitted, "model_", fitted))
        )
        if all(known is None for known in named.categories):
            options = {"accept_sparse": "csr", "dtype": np.float64, "ensure_all_finite": False}
            if fitted is self:
                return dense(validate_data(self, X, reset=False, **options))
            return dense(check_array(X, estimator=self, input_name="X", **options))
        if issparse(X):
            X = X.toarray()
        if not hasattr(X, "columns"):
            X = check_array(X, estimator=self, input_name="X", dtype=None, ensure_all_finite=False)
        if fitted is self:
            validate_data(self, X, reset=False, skip_check_array=True)
        if not len(X):
            raise ValueError(
                f"Found array with 0 sample(s) while a minimum of 1 is required by {type(self).__name__}."
            )
        return named.numbers([X.iloc[:, n] for n in range(X.shape[1])] if hasattr(X, "iloc") else list(X.T))

    def _offers(self, method: str) -> bool:
        return hasattr(self._original, method)


def _checked(estimator: Any, arguments: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Check what ``fit`` was given; texts may stand in any column."""
    X = arguments["X"]
    options: dict[str, Any] = {"ensure_all_finite": False, "ensure_min_samples": 2}
    if not hasattr(X, "columns") and not issparse(X) and np.asarray(X).dtype.kind in "OSU":
        options["dtype"] = None
    return checked_training(estimator, arguments, **options)


def _continuous(original: Any, X: Any) -> FloatArray | None:
    """Return rows as numbers, or None if some are categories or missing: no rows are between these."""
    if issparse(X) or any(kind != "continuous" for kind in original.feature_types_in_):
        return None
    try:
        numbers = np.asarray(X, dtype=np.float64)
    except (TypeError, ValueError):
        return None
    return numbers if np.isfinite(numbers).all() else None


@documented(ADDITIVE)
class ExplainableBoostingClassifier(AdditivePredictorMixin, ClassifierMixin, BaseEstimator):
    """Explainable boosting machine for classification on encrypted data.

    {parameters}

    Attributes
    ----------
    {model_}
    {classes_}
    {attributes}

    {notes}

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skfhe.additive import ExplainableBoostingClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = ExplainableBoostingClassifier(outer_bags=1, max_rounds=20, interactions=1, n_jobs=1)
    >>> circuit = model.fit(X[:100], y[:100]).compile()
    >>> bool((model.predict(X[:2], fhe="execute") == model.predict(X[:2])).all())
    True
    """

    _original = glassbox.ExplainableBoostingClassifier
    _heads = CLASSIFICATION
    __init__ = storing(glassbox.ExplainableBoostingClassifier.__init__, **OWN)
    fit = method_of(glassbox.ExplainableBoostingClassifier.fit)

    def _targets(self, arguments: dict[str, Any]) -> Array:
        y = checked_targets(arguments["y"], classes=True)
        check_several_classes(y, arguments.get("sample_weight"))
        return y

    def _loss(self, original: Any, targets: Array) -> Callable[[FloatArray], float]:
        """Return the mean log loss of scores."""
        head = self._heads[original.link_]
        codes = np.searchsorted(original.classes_, targets)
        rows = np.arange(len(codes))

        def loss(scores: FloatArray) -> float:
            likely = head.predict_proba(scores)[rows, codes]  # type: ignore[attr-defined]
            return float(-np.log(np.maximum(likely, np.finfo(np.float64).tiny)).mean())

        return loss


@documented(ADDITIVE)
class ExplainableBoostingRegressor(AdditivePredictorMixin, RegressorMixin, BaseEstimator):
    """Explainable boosting machine for regression on encrypted data.

    {parameters}

    Attributes
    ----------
    {model_}
    {attributes}

    {notes}

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skfhe.additive import ExplainableBoostingRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = ExplainableBoostingRegressor(outer_bags=1, max_rounds=20, interactions=1, n_jobs=1)
    >>> circuit = model.fit(X[:100, :4], y[:100]).compile()
    >>> bool((model.predict(X[:2, :4], fhe="execute") == model.predict(X[:2, :4])).all())
    True
    """

    _original = glassbox.ExplainableBoostingRegressor
    _heads = REGRESSION
    __init__ = storing(glassbox.ExplainableBoostingRegressor.__init__, **OWN)
    fit = method_of(glassbox.ExplainableBoostingRegressor.fit)

    def _targets(self, arguments: dict[str, Any]) -> Array:
        return checked_targets(arguments["y"], classes=False)

    def _loss(self, original: Any, targets: Array) -> Callable[[FloatArray], float]:
        """Return the mean squared error of scores, or the mean Poisson deviance behind a logarithm."""
        if original.link_ == "log" and (targets >= 0).all():
            positive = np.where(targets > 0, targets, 1.0)
            fixed = 2 * np.where(targets > 0, targets * np.log(positive) - targets, 0.0)
            return lambda scores: float((fixed + 2 * (np.exp(scores[:, 0]) - targets * scores[:, 0])).mean())
        head = self._heads[original.link_]
        return lambda scores: float(np.square(head.predict(scores) - targets).mean())
