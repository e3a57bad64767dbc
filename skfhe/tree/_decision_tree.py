"""Decision trees on encrypted data."""

from typing import Any

import numpy as np
from sklearn import tree
from sklearn.utils.validation import check_is_fitted

from skfhe._originals.compat import rows_of_tree
from skfhe._originals.docstrings import documented
from skfhe._originals.inherited import method_of, parameters_of
from skfhe._trees.docstrings import TREES
from skfhe._trees.estimator import Description, TreePredictorMixin
from skfhe._trees.scikit_learn import TREE_RULE, class_fractions, raw_tree
from skfhe._typing import Array, FloatArray
from skfhe.encoding import Values

__all__ = ["DecisionTreeClassifier", "DecisionTreeRegressor"]


class DecisionTreeMixin:
    """What the classifier and the regressor share; goes before `TreePredictorMixin`."""

    _own_params: tuple[str, ...] = ("n_bits",)  # a tree's scores are exact, and the number of its leaf

    @classmethod
    def from_sklearn_model(cls: Any, fitted: Any, X: Any = None, n_bits: int | None = None) -> Any:
        """Convert a fitted original; see the ensembles' for errors.

        Parameters
        ----------
        fitted : estimator
            Fitted, of the class that this stands for.
        X : array-like of shape (n_rows, n_features), default=None
            Rows such as those it was trained on, needed if features are to be quantized by them.
        n_bits : int, default=None
            See the class. The thresholds of an original that was trained on floats are moved to the next
            boundary between the levels of its features.

        Returns
        -------
        estimator
            Fitted, with the parameters of ``fitted``.
        """
        return super().from_sklearn_model(fitted, X, n_bits)  # type: ignore[misc]

    def _checked_scores(self: Any, X: Any, check_input: bool, fhe: str) -> FloatArray:
        """Return the scores of rows, which the caller has validated if ``check_input`` is False."""
        if check_input:
            return self._scores(X, fhe)
        check_is_fitted(self, "program_")
        rows = rows_of_tree(self, X)
        if getattr(rows, "dtype", None) != np.float32:
            raise ValueError(
                f"with check_input=False, X must be an array or a CSR matrix of float32, got "
                f"{getattr(rows, 'dtype', type(rows).__name__)}; convert it, or leave check_input=True"
            )
        return self._scores_of_rows(rows, fhe)

    @documented(TREES)
    def predict(self: Any, X: Any, check_input: bool = True, *, fhe: str = "disable") -> Array:
        """Return the class or the value of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of float, shape (n_rows, n_features)
            NaN stands for a missing value.
        check_input : bool, default=True
            False leaves out the validation of ``X``, which must then be of float32.
        {fhe}

        Returns
        -------
        ndarray of shape (n_rows,) or (n_rows, n_targets)

        Raises
        ------
        {not_compiled}
        """
        scores = self._checked_scores(X, check_input, fhe)
        return self.head_.predict(scores)


@documented(TREES, score_error="0: a single tree returns its leaves' values exactly.")
class DecisionTreeClassifier(DecisionTreeMixin, TreePredictorMixin, tree.DecisionTreeClassifier):  # type: ignore[misc]
    """Decision tree classifier on encrypted data.

    {parameters}

    {attributes}

    {notes}

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skfhe.tree import DecisionTreeClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = DecisionTreeClassifier(max_depth=3, random_state=0).fit(X, y)
    >>> circuit = model.compile()
    >>> bool((model.predict(X[:2], fhe="execute") == model.predict(X[:2])).all())
    True
    """

    _original = tree.DecisionTreeClassifier
    __init__ = parameters_of(tree.DecisionTreeClassifier, n_bits=None)
    fit = method_of(tree.DecisionTreeClassifier.fit)

    def predict_proba(self, X: Any, check_input: bool = True, *, fhe: str = "disable") -> Any:
        """Return the probability of each class.

        Parameters and errors are those of `predict`.

        Returns
        -------
        ndarray of float64, shape (n_rows, n_classes), or a list of them for several targets
        """
        return self._probabilities(self._checked_scores(X, check_input, fhe))

    def _describe(self, original: Any) -> Description:
        trees = [raw_tree(original.tree_)]
        bias = np.zeros(trees[0].values.shape[1])
        return Description(trees, bias, TREE_RULE, class_fractions(original), original.n_features_in_)


@documented(TREES, score_error="0: a single tree returns its leaves' values exactly.")
class DecisionTreeRegressor(DecisionTreeMixin, TreePredictorMixin, tree.DecisionTreeRegressor):  # type: ignore[misc]
    """Decision tree regressor on encrypted data.

    {parameters}

    {attributes}

    {notes}

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skfhe.tree import DecisionTreeRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = DecisionTreeRegressor(max_depth=3, random_state=0).fit(X, y)
    >>> circuit = model.compile()
    >>> bool((model.predict(X[:2], fhe="execute") == model.predict(X[:2])).all())
    True
    """

    _original = tree.DecisionTreeRegressor
    __init__ = parameters_of(tree.DecisionTreeRegressor, n_bits=None)
    fit = method_of(tree.DecisionTreeRegressor.fit)

    def _describe(self, original: Any) -> Description:
        trees = [raw_tree(original.tree_)]
        bias = np.zeros(trees[0].values.shape[1])
        return Description(trees, bias, TREE_RULE, Values(), original.n_features_in_)
