"""Detection of novelties by a linear model on encrypted data."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn import linear_model

from skfhe._linear import LinearPredictorMixin
from skfhe._linear.docstrings import FOURTEEN_BITS, LINEAR
from skfhe._linear.scores import LinearScores
from skfhe._originals.docstrings import documented
from skfhe._originals.inherited import method_of, parameters_of
from skfhe._typing import FloatArray
from skfhe.encoding import Margins

__all__ = ["SGDOneClassSVM"]


@documented(LINEAR, n_bits=FOURTEEN_BITS)
class SGDOneClassSVM(LinearPredictorMixin, linear_model.SGDOneClassSVM):
    """Linear one-class support vector machine on encrypted data.

    {parameters}

    {attributes}

    {notes}

    Examples
    --------
    >>> import numpy as np
    >>> from skfhe.linear_model import SGDOneClassSVM
    >>> X = 5 + np.random.default_rng(0).normal(size=(50, 2))
    >>> SGDOneClassSVM(nu=0.1, random_state=0).fit(X).predict([[5.0, 5.0], [0.1, 0.1]]).tolist()
    [1, -1]
    """

    _original = linear_model.SGDOneClassSVM
    __init__ = parameters_of(linear_model.SGDOneClassSVM, n_bits=14, range_margin=7.5)
    fit = method_of(linear_model.SGDOneClassSVM.fit)
    partial_fit = method_of(linear_model.SGDOneClassSVM.partial_fit)

    def _describe(self, fitted: Any) -> LinearScores:
        """Read the only score, which tells inliers from outliers."""
        weight, offset = self._followed(fitted)
        head = Margins("logistic", zero_wins=True, labels=(np.array([-1, 1], dtype=np.int32),))
        return LinearScores(weight.reshape(1, -1).T, -offset.reshape(-1), head)

    def _followed(self, fitted: Any) -> tuple[FloatArray, ...]:
        """Return the arrays that scores follow when they are changed after ``fit``."""
        coef = fitted.coef_
        return np.asarray(coef.toarray() if hasattr(coef, "toarray") else coef), np.asarray(fitted.offset_)

    def _score_type(self, rows: Any) -> Any:
        """Return the type that the original computes scores of these rows in."""
        return np.result_type(rows.dtype, self.coef_.dtype, self.offset_.dtype)

    def score_samples(self, X: ArrayLike, *, fhe: str | None = None) -> FloatArray:
        """Return the scores of rows before the threshold ``offset_`` is taken off.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_rows, n_features)
        fhe : {"disable", "simulate", "execute"}, default=None

        Returns
        -------
        ndarray of float, shape (n_rows,)
        """
        return self.decision_function(X, fhe=fhe) + self.offset_
