"""Estimators that hold their original, because its class does not bear inheritance.

Its class computes ``n_features_in_``, or looks for its parameters in its base classes. So these functions,
which the estimators take as their methods, keep the parameters and hand them to the original in ``fit``;
the fitted original is the attribute ``model_``.
"""

from __future__ import annotations

import copy
import difflib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, is_classifier
from sklearn.utils import assert_all_finite, check_array, check_consistent_length, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, _get_feature_names

from skfhe._originals.inherited import check_original
from skfhe._typing import Array, FloatArray
from skfhe.encoding import LevelQuantizer
from skfhe.exceptions import UnsupportedModelError

__all__ = [
    "adopt_model",
    "check_several_classes",
    "checked_targets",
    "checked_training",
    "converted",
    "frame_categories",
    "get_params",
    "no_quantized_categories",
    "represented",
    "set_params",
    "storing",
    "tagged",
]

Method = Callable[..., Any]


# Parameters.


def storing(parameters: Mapping[str, inspect.Parameter], **own: Any) -> Method:
    """Return an ``__init__`` that stores the parameters of an original, and keyword parameters of our own.

    Parameters
    ----------
    parameters : mapping of str to inspect.Parameter
        The original's by name, ``self`` first. Others that the original takes are listed in the
        estimator's ``_open_names``.
    **own
        Names and defaults of the additional parameters.

    Returns
    -------
    callable
        Raises a `TypeError` for a name that is unknown.
    """
    extra = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=value) for name, value in own.items()
    ]
    signature = inspect.Signature([*parameters.values(), *extra])

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        others = {name: kwargs.pop(name) for name in set(kwargs) - set(signature.parameters)}
        for name in others:
            if name not in self._open_names:
                raise TypeError(_unknown(self, name))
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        vars(self).update(list(bound.arguments.items())[1:])
        if others:
            self._open_params = others

    __init__.__signature__ = signature  # type: ignore[attr-defined]
    return __init__


def get_params(self: Any, deep: bool = True) -> dict[str, Any]:
    """Return the parameters by name.

    Parameters
    ----------
    deep : bool, default=True
        Whether to include those of parameters that are estimators.

    Returns
    -------
    dict
    """
    return BaseEstimator.get_params(self, deep) | vars(self).get("_open_params", {})


def set_params(self: Any, **params: Any) -> Any:
    """Set parameters by name.

    Parameters
    ----------
    **params
        Names and values.

    Returns
    -------
    estimator
        Itself.

    Raises
    ------
    ValueError
        If a name is unknown; none is set then.
    """
    declared = self._get_param_names()
    for name in params:
        if name.partition("__")[0] not in {*declared, *self._open_names}:
            raise ValueError(_unknown(self, name))
    others = {name: value for name, value in params.items() if name in self._open_names}
    BaseEstimator.set_params(self, **{name: params[name] for name in params if name not in others})
    if others:
        self._open_params = vars(self).get("_open_params", {}) | others
    return self


def _unknown(estimator: Any, name: str) -> str:
    near = difflib.get_close_matches(name, {*estimator._get_param_names(), *estimator._open_names}, n=1)
    guess = f"; did you mean {near[0]!r}?" if near else "; see the documentation of its original"
    return f"{type(estimator).__name__} has no parameter {name!r}{guess}"


def tagged(tags: Any) -> Any:
    """Return the tags of an estimator that takes missing values and sparse rows."""
    tags.input_tags.allow_nan = True
    tags.input_tags.sparse = True
    return tags


# What is learnt.


def adopt_model(self: Any, original: Any) -> None:
    """Hold a fitted original in place of anything learnt before."""
    params = set(self._get_param_names())
    for name in [name for name in vars(self) if name.endswith("_") and name not in params]:
        del vars(self)[name]
    self.model_ = original
    self.n_features_in_ = int(original.n_features_in_)
    if is_classifier(self):
        self.classes_ = np.asarray(original.classes_)
    names = getattr(original, "feature_names_in_", None)
    if names is not None:
        self.feature_names_in_ = np.asarray(names, dtype=object)


def converted(cls: Any, fitted: Any, n_bits: int | None) -> Any:
    """Return an estimator with the parameters of a fitted original, which holds a copy of it."""
    check_original(cls, fitted)
    known = {*cls._get_param_names(), *cls._open_names}
    params = fitted.get_params(deep=False)
    estimator = cls(**{name: params[name] for name in params if name in known}, n_bits=n_bits)
    estimator._adopt(copy.deepcopy(fitted))
    return estimator


# Training.


def frame_categories(X: Any) -> list[str]:
    """Return the columns of a data frame that hold categories or text, for anything else none."""
    if not hasattr(X, "columns"):
        return []
    return [
        name
        for name, kind in zip(X.columns, X.dtypes, strict=True)
        if str(kind) in ("category", "object", "str", "string")
    ]


def no_quantized_categories(estimator: Any) -> str:
    """Return the message that categories are not quantized."""
    return (
        f"n_bits={estimator.n_bits} quantizes features by their order, and there are categories; encode them "
        "as numbers before, or use n_bits=None"
    )


def checked_training(
    estimator: Any, arguments: dict[str, Any], **options: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Check what ``fit`` was given as scikit-learn does.

    Parameters
    ----------
    estimator : estimator
    arguments : dict
        Of ``fit``, by name.
    **options
        Further ones of `sklearn.utils.check_array`.

    Returns
    -------
    arguments : dict
        With arrays in place of other array-likes. Data frames stay, for their names and categories.
    learnt : dict
        ``feature_names_in_``, if there are names.

    Raises
    ------
    ValueError
        If they are not what they should be.
    """
    X, y, weight = arguments["X"], arguments.get("y"), arguments.get("sample_weight")
    if y is None:
        raise ValueError(f"{type(estimator).__name__} requires y to be passed, but the target y is None")
    if not frame_categories(X):
        options = {"accept_sparse": "csr", "ensure_all_finite": "allow-nan"} | options
        array = check_array(X, estimator=estimator, input_name="X", **options)
        X = X if hasattr(X, "columns") else array
    check_consistent_length(X, y)
    found = {"X": X}
    if weight is not None:
        found["sample_weight"] = _check_sample_weight(weight, X, dtype=np.float64)
    names = _get_feature_names(X)
    return arguments | found, {} if names is None else {"feature_names_in_": names}


def checked_targets(y: Any, classes: bool, several: bool = False) -> Array:
    """Return targets as an array.

    Parameters
    ----------
    y : array-like of shape (n_rows,) or (n_rows, n_targets)
    classes : bool
        Whether they are labels.
    several : bool, default=False
        Whether there may be several targets.

    Returns
    -------
    ndarray

    Raises
    ------
    ValueError
        If they are not finite, or not of the kind that is expected.
    """
    kind = None if classes else np.float64
    y = check_array(y, ensure_2d=False, dtype=kind, input_name="y", ensure_all_finite=not classes)
    if classes:
        if y.ndim == 2 and y.shape[1] > 1:
            raise UnsupportedModelError(
                f"y has shape {y.shape}: a classifier takes one label a row; for several, wrap it in "
                "sklearn.multioutput.MultiOutputClassifier"
            )
        check_classification_targets(y)
    if y.ndim == 1 or not several or y.shape[1] == 1:
        y = column_or_1d(y, warn=True)
    assert_all_finite(y, input_name="y")
    return y


def check_several_classes(y: Array, sample_weight: FloatArray | None) -> None:
    """Raise a `ValueError` unless rows of positive weight are of two classes or more."""
    found = np.unique(y if sample_weight is None else y[sample_weight > 0])
    if len(found) < 2:
        raise ValueError(
            f"y has 1 class, {found.tolist()}, in rows of positive weight; a classifier needs 2 or more"
        )


def represented(self: Any, arguments: dict[str, Any], quantizer: LevelQuantizer) -> dict[str, Any]:
    """Return the arguments of ``fit`` with rows of what their levels stand for, those to evaluate on, too."""
    found = {"X": self._on_levels(arguments["X"], quantizer)}
    sets = arguments.get("eval_set")
    if sets is not None:
        pairs = [sets] if isinstance(sets, tuple) else sets
        found["eval_set"] = [(self._on_levels(X, quantizer), y) for X, y in pairs]
    rows = arguments.get("eval_X")
    if rows is not None:
        several = isinstance(rows, tuple)
        quantized = tuple(self._on_levels(X, quantizer) for X in (rows if several else (rows,)))
        found["eval_X"] = quantized if several else quantized[0]
    return arguments | found
