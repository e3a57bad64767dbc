"""Isolation forests on encrypted data: lengths of paths are added under encryption."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn import ensemble
from sklearn.utils.validation import validate_data

from skfhe._originals.compat import isolation_lengths
from skfhe._originals.docstrings import documented
from skfhe._originals.inherited import method_of, parameters_of
from skfhe._parameters import frames_to_caller
from skfhe._trees.docstrings import TREES
from skfhe._trees.estimator import ENSEMBLE, Description, TreePredictorMixin
from skfhe._trees.scikit_learn import TREE_RULE, isolation_tree
from skfhe._typing import FloatArray
from skfhe.encoding import PathLengths
from skfhe.exceptions import CostWarning

__all__ = ["IsolationForest"]

MOST_SAMPLES = 20 * 32
"""Trees times samples of each up to which a row takes less than a second or so."""


@documented(
    TREES,
    scores="sums of path lengths",
    score_error="No value of `score_samples` differs from that of the float trees by more.",
)
class IsolationForest(TreePredictorMixin, ensemble.IsolationForest):
    """Isolation forest, which finds outliers, on encrypted data.

    What leaves the server is the sum, over the trees, of the lengths of a row's paths; the rest is computed
    of it in the clear. The default of 100 trees of 256 samples takes thousands of lookups a row; 20 trees of
    32 samples take less than 200.

    {parameters_of_ensemble}

    {attributes}
    offset_ : float
        Rows whose `score_samples` are smaller are outliers. With a ``contamination``, it is that quantile
        of the program's own scores of the training rows, which predictions follow to the last digit.

    Warns
    -----
    CostWarning
        From ``fit``, if trees times samples are so many that a row takes seconds.

    {notes}

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skfhe.ensemble import IsolationForest
    >>> X, _ = load_iris(return_X_y=True)
    >>> model = IsolationForest(n_estimators=5, max_samples=8, random_state=0).fit(X)
    >>> circuit = model.compile()
    >>> bool((model.predict(X[:2], fhe="execute") == model.predict(X[:2])).all())
    True
    """

    _original = ensemble.IsolationForest
    _finite = "any"
    __init__ = parameters_of(ensemble.IsolationForest, **ENSEMBLE)
    fit = method_of(ensemble.IsolationForest.fit)
    offset_: float

    def _train(self, method: Any, arguments: dict[str, Any]) -> None:
        super()._train(method, arguments)
        if not isinstance(self.contamination, str):
            scores = self._lowered_model().scores(self._rows(self, arguments["X"]))
            self.offset_ = float(np.percentile(self.head_.score_samples(scores), 100 * self.contamination))

    def _take_over(self, *args: Any) -> None:
        super()._take_over(*args)
        n_trees, n_samples = len(self.estimators_), int(self.max_samples_)
        n_lookups = self.cost_.n_lookups
        if n_trees * n_samples > MOST_SAMPLES and n_lookups > MOST_SAMPLES / 4:
            warnings.warn(
                f"{type(self).__name__}: {n_trees} trees of {n_samples} samples take {n_lookups} lookups, "
                f"about {self.cost_.seconds:.2g} s a row under encryption; n_estimators=20, max_samples=32 "
                'take less than 200, less than 100 with leaves="index"',
                CostWarning,
                stacklevel=frames_to_caller(),
            )

    def _describe(self, original: Any) -> Description:
        lengths, usual = isolation_lengths(original)
        members = zip(original.estimators_, original.estimators_features_, lengths, strict=True)
        trees = [isolation_tree(member.tree_, features, of_nodes) for member, features, of_nodes in members]
        head = PathLengths(usual, float(original.offset_))
        return Description(trees, np.zeros(1), TREE_RULE, head, original.n_features_in_)

    def _rows(self, fitted: Any, X: Any) -> Any:
        return validate_data(
            fitted, X, reset=False, accept_sparse="csr", dtype=np.float32, ensure_all_finite=False
        )

    @property
    def head_(self) -> PathLengths:
        """Turns lengths of paths into predictions, by the offset that there is now."""
        head = self._lowered_model().head
        assert isinstance(head, PathLengths)
        return replace(head, offset=float(self.offset_))

    @property
    def score_error_(self) -> float:
        """How far `score_samples` can be from those of the float trees, at most."""
        return self.head_.error_of(super().score_error_)

    @documented(TREES)
    def decision_function(self, X: ArrayLike, *, fhe: str | None = None) -> FloatArray:
        """Return `score_samples` less ``offset_``, which is negative for outliers.

        Parameters
        ----------
        X : {array-like, sparse matrix} of float, shape (n_rows, n_features)
            NaN stands for a missing value.
        {fhe}

        Returns
        -------
        ndarray of float64, shape (n_rows,)

        Raises
        ------
        {not_compiled}
        """
        scores = self._scores(X, fhe)
        return self.head_.decision_function(scores)

    @documented(TREES)
    def score_samples(self, X: ArrayLike, *, fhe: str | None = None) -> FloatArray:
        """Return how usual rows are, from -1 to 0.

        Parameters
        ----------
        X : {array-like, sparse matrix} of float, shape (n_rows, n_features)
            NaN stands for a missing value.
        {fhe}

        Returns
        -------
        ndarray of float64, shape (n_rows,)

        Raises
        ------
        {not_compiled}
        """
        scores = self._scores(X, fhe)
        return self.head_.score_samples(scores)
