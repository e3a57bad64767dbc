"""Linear discriminant analysis on encrypted data: classes, and the projection that tells them apart."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn import discriminant_analysis
from sklearn.utils.validation import check_is_fitted

from skfhe._linear import LinearPredictorMixin
from skfhe._linear.docstrings import LINEAR, TWELVE_BITS
from skfhe._linear.scores import Calibration, LinearScores
from skfhe._originals.docstrings import documented
from skfhe._originals.inherited import method_of, parameters_of
from skfhe._typing import FloatArray
from skfhe.encoding import NEVER, GridEncoder, Values
from skfhe.encrypted_model import EncryptedModel

if TYPE_CHECKING:
    from skfhe.circuit import Circuit

__all__ = ["LinearDiscriminantAnalysis"]


@documented(LINEAR, n_bits=TWELVE_BITS)
class LinearDiscriminantAnalysis(LinearPredictorMixin, discriminant_analysis.LinearDiscriminantAnalysis):
    """Linear discriminant analysis on encrypted data: classification and projection.

    {parameters}

    {attributes}

    Notes
    -----
    Classes and projections are computed by two programs, and ``compile`` compiles both: whoever asks for
    classes learns no projection. ``program_`` and what is around it are those of the classes.
    All attributes of the fitted original are there, too; they are those of the float model.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skfhe.discriminant_analysis import LinearDiscriminantAnalysis
    >>> X, y = load_iris(return_X_y=True)
    >>> model = LinearDiscriminantAnalysis().fit(X, y)
    >>> circuit = model.compile()
    >>> bool((model.predict(X[:2], fhe="execute") == model.predict(X[:2])).all())
    True
    >>> model.transform(X[:2], fhe="execute").shape
    (2, 2)
    """

    __metadata_request__transform = {"fhe": True}

    _original = discriminant_analysis.LinearDiscriminantAnalysis
    _own_state = (*LinearPredictorMixin._own_state, "_projection")
    _projection: EncryptedModel | None
    __init__ = parameters_of(discriminant_analysis.LinearDiscriminantAnalysis, n_bits=12, range_margin=7.5)
    fit = method_of(discriminant_analysis.LinearDiscriminantAnalysis.fit)

    def _link(self, fitted: Any) -> str:
        """Return how probabilities follow: scores are their logarithms but for a constant of each row."""
        return "posterior"

    def _describe(self, fitted: Any) -> LinearScores:
        """Read the scores; a class of prior probability 0 is never the likeliest."""
        if not (np.asarray(fitted.priors_) > 0).all():
            fitted = copy.copy(fitted)
            fitted.intercept_ = np.clip(fitted.intercept_, NEVER, -NEVER)
        return super()._describe(fitted)

    def predict_log_proba(self, X: ArrayLike, *, fhe: str | None = None) -> FloatArray:
        """Return the logarithm of the probability of each class, exact where probabilities are 0.

        Parameters, errors and warnings are those of `predict`.

        Returns
        -------
        ndarray of float, shape (n_rows, n_classes)
        """
        scores = self._scores(X, fhe)
        found: FloatArray = self.head_.predict_log_proba(scores)  # type: ignore[attr-defined]
        return found

    def _followed(self, fitted: Any) -> tuple[FloatArray, ...]:
        """Return the arrays that scores and projections follow when they are changed after ``fit``."""
        projected = [getattr(fitted, name) for name in ("scalings_", "xbar_") if hasattr(fitted, name)]
        return (*super()._followed(fitted), *map(np.asarray, projected))

    def _compared(self) -> tuple[str, ...]:
        """Return the methods whose results are compared with the original's after training."""
        return ("predict",) if self.solver == "lsqr" else ("predict", "transform")

    def _take_over(self, fitted: Any, calibration: Calibration) -> None:
        """Lower a fitted original to its two programs, and take all over."""
        projection = None
        if fitted.solver != "lsqr":
            projection = self._lower(projected(fitted), calibration)
        super()._take_over(fitted, calibration)
        self._projection = projection

    def compile(self, *args: Any, **kwargs: Any) -> Circuit:  # type: ignore[override]
        """Compile the programs of classes and of projections; see `LinearPredictorMixin.compile`."""
        circuit = super().compile(*args, **kwargs)
        if self._projection is not None:
            configuration, verbose = kwargs.get("configuration"), kwargs.get("verbose", False)
            self._projection = self._projection.compiled(circuit.error_rate, configuration, verbose=verbose)
        return circuit

    def _encrypted_models(self) -> dict[str, EncryptedModel]:
        """Return the models of classes and of projections."""
        found = super()._encrypted_models()  # follows what was changed
        return found if self._projection is None else found | {"transform": self._projection}

    def transform(self, X: ArrayLike, *, fhe: str | None = None) -> FloatArray:
        """Project rows such that classes lie apart.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
        fhe : {"disable", "simulate", "execute"}, default=None
            As in `predict`.

        Returns
        -------
        ndarray of shape (n_rows, n_components)

        Raises
        ------
        NotImplementedError
            If ``solver`` is "lsqr", which finds no projection.
        """
        if self.solver == "lsqr":
            raise NotImplementedError(
                "transform not implemented for 'lsqr', a solver that finds no projection; fit with "
                'solver="svd" or solver="eigen"'
            )
        check_is_fitted(self, "program_")
        rows = self._rows(self, X)
        fhe = self._resolved(fhe)
        self._lowered_model()  # follows what was changed
        model = self._projection
        assert model is not None
        assert isinstance(model.encoder, GridEncoder)
        self._warn_of_clipped(rows, model.encoder)
        found: FloatArray = model.scores(rows, fhe=fhe)
        kind = np.result_type(rows.dtype, self.scalings_.dtype)
        return found.astype(kind, copy=False)


def projected(fitted: Any) -> LinearScores:
    """Return the projection of a fitted original as linear scores."""
    scalings = np.asarray(fitted.scalings_)[:, : len(fitted.explained_variance_ratio_)]
    offset = np.zeros(scalings.shape[1])
    if fitted.solver == "svd":
        offset = offset - fitted.xbar_ @ scalings
    return LinearScores(scalings, offset, Values(flat=False))
