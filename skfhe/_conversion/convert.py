"""Converting a fitted estimator, with whatever is inside."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from skfhe._conversion.members import is_container, is_fitted, members_of, predicts, templates_of
from skfhe._conversion.rows import rows_seen
from skfhe._originals.compat import callbacks_of
from skfhe._originals.conversion import (
    check_own_methods,
    estimator_for,
    estimators_for_native,
    original_and_ours,
    public_name,
)
from skfhe._originals.signatures import takes
from skfhe.base import EncryptedPredictorMixin
from skfhe.exceptions import UnsupportedModelError

__all__ = ["convert"]


def convert(fitted: Any, X: ArrayLike | None = None, **options: Any) -> Any:
    """Convert a fitted model to estimators of skfhe, whose predictions run on encrypted data.

    Parameters
    ----------
    fitted : estimator
        Fitted, of scikit-learn, XGBoost, LightGBM or CatBoost; a model that one of the latter trained without
        an estimator, such as `xgboost.Booster`; or a Pipeline, a search or another meta-estimator with such
        inside. It stays as it is.
    X : array-like of shape (n_rows, n_features), default=None
        Rows such as those it was trained on. Whatever is inside is converted by the rows that it is given
        while ``fitted`` predicts these: after the earlier steps of a pipeline, a part of the features, or the
        predictions of other members. Trees can do without, linear models and networks cannot.
    **options
        Parameters of ``from_sklearn_model``, for each estimator inside that has one of the name: ``n_bits``,
        ``range_margin``, ``leaves``, ``score_tolerance``, …

    Returns
    -------
    estimator
        Fitted, as ``fitted`` but with estimators of skfhe inside. What is there already stays, and so do the
        steps of a pipeline before its last, which are computed where the rows are. Estimators that a
        meta-estimator trains clones of are replaced, too, so that fitting it again trains ours.

    Raises
    ------
    NotFittedError
        If it is not fitted.
    TypeError
        If it is no estimator, or there is none of which an option is.
    UnsupportedModelError
        If it has a part that cannot be converted; the message names each, with the reason. It is a
        `ValueError`.
    ValueError
        If rows are needed, and there are none, or if they or an option do not fit.

    See Also
    --------
    compile : compile what was converted.

    Examples
    --------
    >>> import skfhe
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> X, y = load_iris(return_X_y=True)
    >>> trained = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)
    >>> model = skfhe.convert(trained, X)
    >>> circuit = skfhe.compile(model)
    >>> bool((model.predict(X[:2], fhe="execute") == trained.predict(X[:2])).all())
    True
    """
    _check_convertible(fitted)
    conversion = _Conversion(options)
    try:
        replacements = conversion.replacements(fitted, X)
    except _NoEstimatorError:
        raise UnsupportedModelError(
            f"a {type(fitted).__name__} cannot be converted: {_unknown(fitted)}"
        ) from None
    conversion.finish(fitted)
    kept = {id(callback): callback for callback in callbacks_of(fitted)}
    return copy.deepcopy(fitted, kept | replacements)


class _NoEstimatorError(Exception):
    """Nothing of skfhe stands for an estimator."""


@dataclass
class _Conversion:
    """One call of `convert`: what it was given, and what it has found."""

    options: dict[str, Any]
    used: set[str] = field(default_factory=set)
    failures: list[tuple[str, Any, Exception | None]] = field(default_factory=list)
    converted: list[Any] = field(default_factory=list)

    def replacements(self, fitted: Any, X: Any) -> dict[int, Any]:
        """Return what takes the place of an estimator, or of those inside, by the id of each.

        Raises
        ------
        _NoEstimatorError
            If it predicts by itself, and nothing of skfhe stands for it.
        """
        if isinstance(fitted, EncryptedPredictorMixin):
            check_is_fitted(fitted, "program_")
            return self._replaced(fitted, copy.deepcopy(fitted))
        original, ours = _original_and_ours(fitted)
        if ours is not None:
            try:
                return self._replaced(fitted, self._one(original, ours, fitted, X))
            except UnsupportedModelError:
                if not is_container(fitted):
                    raise
        if not (is_container(fitted) or members_of(fitted)):
            raise _NoEstimatorError
        return self._members(fitted, X) | self._templates(fitted)

    def _replaced(self, fitted: Any, ours: Any) -> dict[int, Any]:
        self.converted.append(ours)
        return {id(fitted): ours}

    def _one(self, original: type, ours: Any, fitted: Any, X: Any) -> Any:
        """Return an estimator of ours for a fitted one that predicts by itself."""
        if original in type(fitted).__mro__ and not estimators_for_native(original):
            check_own_methods(fitted, original)
        accepted = inspect.signature(ours.from_sklearn_model).parameters
        others = any(parameter.kind is parameter.VAR_KEYWORD for parameter in accepted.values())
        given = {
            name: value
            for name, value in self.options.items()
            if name in accepted or (others and takes(ours, name))
        }
        self.used |= set(given)
        if X is None and accepted["X"].default is inspect.Parameter.empty:
            raise ValueError(
                f"converting a {type(fitted).__name__} needs rows such as those it was trained on; give X"
            )
        return ours.from_sklearn_model(fitted, X, **given)

    def _members(self, fitted: Any, X: Any) -> dict[int, Any]:
        """Convert the members of a container, nested ones among them, each by the rows that it sees."""
        leaves = list(_leaves(fitted))
        if X is None:
            seen = [None] * len(leaves)
        else:
            seen = rows_seen(fitted, [leaf for _, leaf in leaves], X)
        found: dict[int, Any] = {}
        for (place, leaf), rows in zip(leaves, seen, strict=True):
            if id(leaf) in found:
                continue
            if rows is None and X is not None and _same_features(fitted, leaf):
                rows = X  # of what chooses features by it, and asks it for no prediction
            try:
                found |= self.replacements(leaf, rows)
            except _NoEstimatorError:
                if predicts(leaf):
                    self.failures.append((place, leaf, None))
            except (ValueError, TypeError) as error:
                self.failures.append((place, leaf, _unasked(fitted) if rows is None is not X else error))
        return found

    def _templates(self, container: Any) -> dict[int, Any]:
        """Return estimators of ours for those that containers train clones of."""
        found: dict[int, Any] = {}
        for template in templates_of(container):
            ours = estimator_for(type(template))
            if ours is None:
                found |= self._templates(template)
                continue
            given = template.get_params(deep=False) | self.options
            found[id(template)] = ours(**{name: value for name, value in given.items() if takes(ours, name)})
        for _, member in members_of(container) if is_fitted(container) else ():
            if not _is_leaf(member):
                found |= self._templates(member)
        return found

    def finish(self, fitted: Any) -> None:
        """Raise an error for what could not be converted, and for what was given in vain."""
        if self.failures:
            listed = "; ".join(f"{place}, {_reason(member, error)}" for place, member, error in self.failures)
            raise UnsupportedModelError(f"this {type(fitted).__name__} cannot be converted: {listed}")
        if not self.converted:
            raise UnsupportedModelError(
                f"there is nothing to convert in this {type(fitted).__name__}: it only prepares rows"
            )
        unused = sorted(set(self.options) - self.used)
        if unused:
            raise TypeError(
                f"convert got {', '.join(unused)}, which from_sklearn_model of no estimator in this "
                f"{type(fitted).__name__} takes"
            )


def _check_convertible(fitted: Any) -> None:
    """Raise an error for what is no fitted estimator, and say what to do with it."""
    modules = {cls.__module__.partition(".")[0] for cls in type(fitted).__mro__}
    if "torch" in modules and not hasattr(fitted, "predict"):
        raise TypeError(
            f"convert takes fitted estimators, and {type(fitted).__name__} is a network of torch; use "
            "skfhe.compile_torch_model, or skfhe.importers.TorchClassifier and TorchRegressor"
        )
    if "onnx" in modules:
        raise TypeError("convert takes fitted estimators; use skfhe.compile_onnx_model for a model of ONNX")
    if isinstance(fitted, type) or not (hasattr(fitted, "fit") or estimators_for_native(type(fitted))):
        got = f"the class {fitted.__name__}" if isinstance(fitted, type) else type(fitted).__name__
        raise TypeError(f"convert takes a fitted estimator, got {got}")


def _original_and_ours(fitted: Any) -> tuple[type, Any]:
    """Return the class that an estimator of ours stands for, and its own, or None."""
    natives = estimators_for_native(type(fitted))
    if natives:
        return type(fitted), next((ours for ours in natives if ours._stands_for_native(fitted)), natives[-1])
    return original_and_ours(type(fitted))


def _is_leaf(member: Any) -> bool:
    """Whether there is an estimator of ours for a member, or none inside it."""
    if isinstance(member, EncryptedPredictorMixin) or _original_and_ours(member)[1] is not None:
        return True
    return not members_of(member)


def _leaves(fitted: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the estimators inside a container that ours stand for, or that have none inside, by place."""
    for name, member in members_of(fitted):
        where = f"{name} of {place}" if place else name
        if _is_leaf(member):
            yield where, member
        else:
            yield from _leaves(member, where)


def _same_features(fitted: Any, member: Any) -> bool:
    return getattr(fitted, "n_features_in_", None) == getattr(member, "n_features_in_", 0)


def _unknown(fitted: Any) -> str:
    return (
        f"skfhe has no estimator that stands for {public_name(type(fitted))}, which predicts by itself; the "
        "documentation lists those that have one"
    )


def _unasked(fitted: Any) -> ValueError:
    return ValueError(
        f"it is asked for nothing while the {type(fitted).__name__} predicts X, so that there are no rows to "
        "calibrate it on"
    )


def _reason(member: Any, error: Exception | None) -> str:
    name = type(member).__name__
    return f"a {name}: {_unknown(member)}" if error is None else f"a {name}: {error}"
