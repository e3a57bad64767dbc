"""Partial least squares: encrypted rows are projected on components, and targets predicted."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn import cross_decomposition
from sklearn.utils import check_array
from sklearn.utils.metaestimators import available_if

from skfhe._linear import LinearPredictorMixin
from skfhe._linear.docstrings import TRANSFORM
from skfhe._linear.scores import LinearScores
from skfhe._linear.transforms import TransformMixin
from skfhe._originals.compat import centers_and_scales, has_flat_predictions
from skfhe._originals.docstrings import documented
from skfhe._originals.inherited import method_of, original_has, parameters_of, unchanged
from skfhe._typing import Array, FloatArray
from skfhe.encoding import Projections

__all__ = ["CCA", "PLSSVD", "PLSCanonical", "PLSRegression"]

LEARNT = """\
All attributes of the fitted original are there, too; they are those of the float model. The client learns
the projections and predictions of its rows; from those of as many rows as there are features and one more, it
learns the rotations and coefficients. Targets, and what is transformed back, stay in the clear."""


class PartialLeastSquaresMixin(TransformMixin):
    """Mixin of partial least squares; goes before `LinearPredictorMixin`.

    Its scores are the predictions, where the original has them, and then the projections.
    """

    _accept_sparse = False

    @available_if(original_has("predict"))
    def predict(self: Any, X: ArrayLike, copy: bool = True, *, fhe: str | None = None) -> Array:
        """Return the predicted targets of each row.

        Parameters
        ----------
        X : array-like of float, shape (n_rows, n_features)
        copy : bool, default=True
            Not used: rows stay as they are.
        fhe : {"disable", "simulate", "execute"}, default=None
            As in `transform`, whose errors and warnings are those of this method.

        Returns
        -------
        ndarray of float, shape (n_rows,) or (n_rows, n_targets)
        """
        scores = self._scores(X, fhe)
        found: Array = self.head_.predict(scores)
        return found

    def transform(
        self: Any, X: ArrayLike, y: ArrayLike | None = None, copy: bool = True, *, fhe: str | None = None
    ) -> Any:
        """Return the projections of rows, and of targets if they are given.

        Parameters
        ----------
        X : array-like of float, shape (n_rows, n_features)
        y : array-like of float, shape (n_rows,) or (n_rows, n_targets), default=None
            Targets, which are projected in the clear.
        copy : bool, default=True
            Not used: rows and targets stay as they are.
        fhe : {"disable", "simulate", "execute"}, default=None
            Evaluate the integers of ``program_`` in the clear, in the clear as an encrypted run does, or
            encrypted. None is the estimator's mode, which is "disable" unless `skfhe.set_mode` has said
            otherwise.

        Returns
        -------
        ndarray of float, shape (n_rows, n_components)
            Or a data frame, see ``set_output``; with targets, a tuple of both projections.

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
        found = self._transformed(X, fhe)
        return found if y is None else (found, self._projected_targets(y))

    def fit_transform(self: Any, X: ArrayLike, y: Any = None, **fit_params: Any) -> Any:
        """Train in the clear, and transform the same rows by the program, in the estimator's mode.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
        y : array-like of shape (n_rows,) or (n_rows, n_targets)
            Targets.
        **fit_params
            Further parameters of ``fit``, which takes none.

        Returns
        -------
        tuple of ndarray of float
            What ``fit(X, y).transform(X, y)`` gives.
        """
        rows, targets = unchanged(self, X), unchanged(self, y)
        return self.fit(X, y, **fit_params)._transformed(rows, None), self._projected_targets(targets)

    def _projected_targets(self: Any, y: Any) -> FloatArray:
        targets = check_array(y, input_name="y", dtype=np.float64, ensure_2d=False)
        _, _, mean, deviations = centers_and_scales(self)
        targets = targets.reshape(len(targets), -1)
        projected: FloatArray = (targets - mean) / deviations @ _rotations(self, "y")
        return projected

    def _describe(self: Any, fitted: Any) -> LinearScores:
        """Read predictions, if there are some, and projections."""
        mean, deviations, _, _ = centers_and_scales(fitted)
        weight = _rotations(fitted, "x") / deviations[:, None]
        bias = -mean @ weight
        n_targets = 0
        if hasattr(fitted, "coef_"):
            coef = np.asarray(fitted.coef_, dtype=np.float64).T
            weight = np.concatenate([coef, weight], axis=1)
            bias = np.concatenate([np.asarray(fitted.intercept_) - mean @ coef, bias])
            n_targets = coef.shape[1]
        head = Projections(n_targets, flat=n_targets > 0 and has_flat_predictions(fitted))
        return LinearScores(weight, bias, head, np.broadcast_to(mean[:, None], weight.shape))

    def _followed(self: Any, fitted: Any) -> tuple[FloatArray, ...]:
        arrays = [_rotations(fitted, "x"), *centers_and_scales(fitted)[:2]]
        if hasattr(fitted, "coef_"):
            arrays += [np.asarray(fitted.coef_), np.asarray(fitted.intercept_)]
        return tuple(arrays)

    def _score_type(self: Any, rows: Any) -> Any:
        return np.dtype(np.float64)


def _rotations(fitted: Any, side: str) -> FloatArray:
    """Return what standardized rows, or targets, are multiplied by."""
    name = f"{side}_rotations_" if hasattr(fitted, f"{side}_rotations_") else f"{side}_weights_"
    return np.asarray(getattr(fitted, name), dtype=np.float64)


@documented(TRANSFORM, learnt=LEARNT)
class PLSRegression(PartialLeastSquaresMixin, LinearPredictorMixin, cross_decomposition.PLSRegression):
    """Partial least squares regression: predicts targets of encrypted rows, and projects them.

    {parameters}

    {attributes}

    Notes
    -----
    {learnt}

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skfhe.cross_decomposition import PLSRegression
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = PLSRegression(n_components=4).fit(X, y)
    >>> circuit = model.compile()
    >>> bool((model.predict(X[:2], fhe="execute") == model.predict(X[:2])).all())
    True
    """

    _original = cross_decomposition.PLSRegression
    __init__ = parameters_of(cross_decomposition.PLSRegression, n_bits=12, range_margin=7.5)
    fit = method_of(cross_decomposition.PLSRegression.fit)


@documented(TRANSFORM, learnt=LEARNT)
class PLSCanonical(PartialLeastSquaresMixin, LinearPredictorMixin, cross_decomposition.PLSCanonical):
    """Canonical partial least squares: projects encrypted rows, and predicts targets.

    {parameters}

    {attributes}

    Notes
    -----
    {learnt}

    Examples
    --------
    >>> from sklearn.datasets import load_linnerud
    >>> from skfhe.cross_decomposition import PLSCanonical
    >>> X, y = load_linnerud(return_X_y=True)
    >>> model = PLSCanonical(n_components=2).fit(X, y)
    >>> model.transform(X).shape
    (20, 2)
    """

    _original = cross_decomposition.PLSCanonical
    __init__ = parameters_of(cross_decomposition.PLSCanonical, n_bits=12, range_margin=7.5)
    fit = method_of(cross_decomposition.PLSCanonical.fit)


@documented(TRANSFORM, learnt=LEARNT)
class CCA(PartialLeastSquaresMixin, LinearPredictorMixin, cross_decomposition.CCA):
    """Canonical correlation analysis: projects encrypted rows, and predicts targets.

    {parameters}

    {attributes}

    Notes
    -----
    {learnt}

    Examples
    --------
    >>> from sklearn.datasets import load_linnerud
    >>> from skfhe.cross_decomposition import CCA
    >>> X, y = load_linnerud(return_X_y=True)
    >>> model = CCA(n_components=1).fit(X, y)
    >>> model.predict(X).shape
    (20, 3)
    """

    _original = cross_decomposition.CCA
    __init__ = parameters_of(cross_decomposition.CCA, n_bits=12, range_margin=7.5)
    fit = method_of(cross_decomposition.CCA.fit)


@documented(TRANSFORM, learnt=LEARNT)
class PLSSVD(PartialLeastSquaresMixin, LinearPredictorMixin, cross_decomposition.PLSSVD):
    """Singular vectors of the covariance of rows and targets: projects encrypted rows.

    {parameters}

    {attributes}

    Notes
    -----
    {learnt}

    Examples
    --------
    >>> from sklearn.datasets import load_linnerud
    >>> from skfhe.cross_decomposition import PLSSVD
    >>> X, y = load_linnerud(return_X_y=True)
    >>> model = PLSSVD(n_components=2).fit(X, y)
    >>> model.transform(X).shape
    (20, 2)
    """

    _original = cross_decomposition.PLSSVD
    __init__ = parameters_of(cross_decomposition.PLSSVD, n_bits=12, range_margin=7.5)
    fit = method_of(cross_decomposition.PLSSVD.fit)
