"""Transforming rows by a program: what estimators share whose scores hold coordinates of rows."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike
from sklearn.base import TransformerMixin
from sklearn.utils.metaestimators import available_if

from skfhe._originals.inherited import original_has, unchanged
from skfhe._typing import Array

__all__ = ["TransformMixin"]


class TransformMixin(TransformerMixin):
    """Mixin of transformers; goes before `LinearPredictorMixin`.

    The head of the model has ``transform``. Training is in the clear; the rows that it was given are then
    transformed by the program, as any rows are.
    """

    __metadata_request__transform = {"fhe": True}

    @available_if(original_has("predict"))
    def predict(self: Any, X: ArrayLike, *, fhe: str | None = None) -> Array:
        """Return the prediction for each row.

        Parameters, errors and warnings are those of `transform`.

        Returns
        -------
        ndarray of shape (n_rows,) or (n_rows, n_targets)
        """
        found: Array = super().predict(X, fhe=fhe)
        return found

    def transform(self: Any, X: ArrayLike, *, fhe: str | None = None) -> Any:
        """Return the coordinates of each row.

        Parameters
        ----------
        X : array-like of float, shape (n_rows, n_features)
            Sparse where the original takes that.
        fhe : {"disable", "simulate", "execute"}, default=None
            Evaluate the integers of ``program_`` in the clear, in the clear as an encrypted run does, or
            encrypted. None is the estimator's mode, which is "disable" unless `skfhe.set_mode` has said
            otherwise.

        Returns
        -------
        ndarray of float, shape (n_rows, n_features_out)
            Or a data frame, see ``set_output``.

        Raises
        ------
        NotCompiledError
            If ``fhe`` is not ``"disable"`` and ``compile`` was not called since ``fit``.
        ClearEvaluationError
            If it is not ``"execute"`` after ``set_mode(…, clear="forbid")``.

        Warns
        -----
        InputClippingWarning
            If values lie beyond the range that is represented; see ``range_margin``.
        """
        return self._transformed(X, fhe)

    def fit_transform(self: Any, X: ArrayLike, y: Any = None, **fit_params: Any) -> Any:
        """Train in the clear, and transform the same rows by the program, in the estimator's mode.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
        y : array-like, default=None
            Targets, where ``fit`` takes them.
        **fit_params
            Further parameters of ``fit``.

        Returns
        -------
        ndarray of float, shape (n_rows, n_features_out)
            What ``fit(X, y).transform(X)`` gives.
        """
        rows = unchanged(self, X)
        return self.fit(X, y, **fit_params)._transformed(rows, None)

    def _compared(self: Any) -> tuple[str, ...]:
        """Return the methods whose results are compared with the original's after training."""
        return tuple(name for name in ("predict", "transform") if hasattr(self._original, name))

    def _transformed(self: Any, X: ArrayLike, fhe: str | None) -> Array:
        """Return the coordinates of rows, of the type of the original's."""
        scores = self._scores(X, fhe)
        found: Array = self.head_.transform(scores)
        return found
