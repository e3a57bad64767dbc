"""Forests on encrypted data: the mean of the trees is taken under encryption."""

from typing import Any

import numpy as np
from sklearn import ensemble

from skfhe._originals.docstrings import documented
from skfhe._originals.inherited import method_of, parameters_of
from skfhe._trees.docstrings import TREES
from skfhe._trees.estimator import ENSEMBLE, Description, TreePredictorMixin
from skfhe._trees.scikit_learn import TREE_RULE, class_fractions, raw_tree
from skfhe._typing import Array
from skfhe.encoding import ClassFractions, Values

__all__ = ["ExtraTreesClassifier", "ExtraTreesRegressor", "RandomForestClassifier", "RandomForestRegressor"]


class ForestClassifierMixin:
    """What classifying forests share; goes before `TreePredictorMixin`."""

    @documented(TREES)
    def predict(self: Any, X: Any, *, fhe: str = "disable") -> Array:
        """Return the most probable class of each row, by what `predict_proba` says.

        Parameters
        ----------
        X : {array-like, sparse matrix} of float, shape (n_rows, n_features)
            NaN stands for a missing value.
        {fhe}

        Returns
        -------
        ndarray of shape (n_rows,) or (n_rows, n_targets)

        Raises
        ------
        {not_compiled}
        """
        # as the original does, for a subclass may override `predict_proba`, and need not know ``fhe``
        probabilities = self.predict_proba(X, **({} if fhe == "disable" else {"fhe": fhe}))
        of_targets = probabilities if isinstance(probabilities, list) else [probabilities]
        return self.head_.most_probable(of_targets)

    def _describe(self, original: Any) -> Description:
        return _forest(original, class_fractions(original))


class ForestRegressorMixin:
    """What regressing forests share; goes before `TreePredictorMixin`."""

    def _describe(self, original: Any) -> Description:
        return _forest(original, Values())


@documented(TREES, scores="probabilities")
class ExtraTreesClassifier(ForestClassifierMixin, TreePredictorMixin, ensemble.ExtraTreesClassifier):
    """Extremely randomized trees for classification on encrypted data.

    {parameters_of_ensemble}

    {attributes}

    {notes}

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skfhe.ensemble import ExtraTreesClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = ExtraTreesClassifier(n_estimators=5, max_depth=3, random_state=0).fit(X, y)
    >>> circuit = model.compile()
    >>> bool((model.predict(X[:2], fhe="execute") == model.predict(X[:2])).all())
    True
    """

    _original = ensemble.ExtraTreesClassifier
    __init__ = parameters_of(ensemble.ExtraTreesClassifier, **ENSEMBLE)
    fit = method_of(ensemble.ExtraTreesClassifier.fit)


@documented(TREES, scores="predictions")
class ExtraTreesRegressor(ForestRegressorMixin, TreePredictorMixin, ensemble.ExtraTreesRegressor):
    """Extremely randomized trees for regression on encrypted data.

    {parameters_of_ensemble}

    {attributes}

    {notes}

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skfhe.ensemble import ExtraTreesRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = ExtraTreesRegressor(n_estimators=5, max_depth=3, random_state=0).fit(X, y)
    >>> circuit = model.compile()
    >>> bool((model.predict(X[:2], fhe="execute") == model.predict(X[:2])).all())
    True
    """

    _original = ensemble.ExtraTreesRegressor
    __init__ = parameters_of(ensemble.ExtraTreesRegressor, **ENSEMBLE)
    fit = method_of(ensemble.ExtraTreesRegressor.fit)


@documented(TREES, scores="probabilities")
class RandomForestClassifier(ForestClassifierMixin, TreePredictorMixin, ensemble.RandomForestClassifier):
    """Random forest for classification on encrypted data.

    {parameters_of_ensemble}

    {attributes}

    {notes}

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skfhe.ensemble import RandomForestClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = RandomForestClassifier(n_estimators=5, max_depth=3, random_state=0).fit(X, y)
    >>> circuit = model.compile()
    >>> bool((model.predict(X[:2], fhe="execute") == model.predict(X[:2])).all())
    True
    """

    _original = ensemble.RandomForestClassifier
    __init__ = parameters_of(ensemble.RandomForestClassifier, **ENSEMBLE)
    fit = method_of(ensemble.RandomForestClassifier.fit)


@documented(TREES, scores="predictions")
class RandomForestRegressor(ForestRegressorMixin, TreePredictorMixin, ensemble.RandomForestRegressor):
    """Random forest for regression on encrypted data.

    {parameters_of_ensemble}

    {attributes}

    {notes}

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skfhe.ensemble import RandomForestRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = RandomForestRegressor(n_estimators=5, max_depth=3, random_state=0).fit(X, y)
    >>> circuit = model.compile()
    >>> bool((model.predict(X[:2], fhe="execute") == model.predict(X[:2])).all())
    True
    """

    _original = ensemble.RandomForestRegressor
    __init__ = parameters_of(ensemble.RandomForestRegressor, **ENSEMBLE)
    fit = method_of(ensemble.RandomForestRegressor.fit)


def _forest(original: Any, head: ClassFractions | Values) -> Description:
    """Read a fitted forest, the mean of its trees."""
    n_trees = len(original.estimators_)
    trees = [raw_tree(member.tree_, 1 / n_trees) for member in original.estimators_]
    unit = None if isinstance(head, Values) else 1 / n_trees
    bias = np.zeros(trees[0].values.shape[1])
    return Description(trees, bias, TREE_RULE, head, original.n_features_in_, unit)
