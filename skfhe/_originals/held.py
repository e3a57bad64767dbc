"""Estimators that hold their original, because its class does not bear inheritance.

Its class computes ``n_features_in_``, or looks for its parameters in its base classes. So these estimators
keep the parameters and hand them to the original in ``fit``; the fitted original is the attribute ``model_``.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import is_classifier

from skfhe._originals.signatures import joined_signature

__all__ = ["HeldOriginalMixin", "storing"]


def storing(*functions: Callable[..., Any], **own: Any) -> Callable[..., Any]:
    """Return an ``__init__`` that stores the parameters of an original, and keyword parameters of our own.

    Parameters
    ----------
    *functions : callable
        The ``__init__`` of the original and of its base classes that have parameters, the original's last.
        Others that the original takes are listed in the estimator's ``_open_names``.
    **own
        Names and defaults of the additional parameters.

    Returns
    -------
    callable
        Raises a `TypeError` for a name that is unknown.
    """
    signature = joined_signature(*functions, **own)

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


class HeldOriginalMixin:
    """Mixin of estimators that hold their original; goes before `sklearn.base.BaseEstimator`.

    The estimator's ``__init__`` is one of `storing`.
    """

    _open_names: frozenset[str] = frozenset()
    """Parameters that the original takes without naming them."""

    @property
    def model_(self: Any) -> Any:
        """The fitted original."""
        self._check_clear("model_")
        return self._held

    @model_.setter
    def model_(self, original: Any) -> None:
        vars(self)["model_"] = original

    @property
    def _held(self) -> Any:
        """The fitted original, for what evaluates no rows by it."""
        if "model_" not in vars(self):
            raise AttributeError(f"this {type(self).__name__} is not fitted")
        return vars(self)["model_"]

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
        return super().get_params(deep) | vars(self).get("_open_params", {})  # type: ignore[misc]

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
        super().set_params(**{name: params[name] for name in params if name not in others})  # type: ignore[misc]
        if others:
            self._open_params = vars(self).get("_open_params", {}) | others
        return self

    def _adopt(self: Any, original: Any) -> None:
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


def _unknown(estimator: Any, name: str) -> str:
    near = difflib.get_close_matches(name, {*estimator._get_param_names(), *estimator._open_names}, n=1)
    guess = f"; did you mean {near[0]!r}?" if near else "; see the documentation of its original"
    return f"{type(estimator).__name__} has no parameter {name!r}{guess}"
