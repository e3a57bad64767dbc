"""Histogram-based gradient boosting on encrypted data, with missing values and categorical features."""

from typing import Any

from sklearn import ensemble

from skfhe._originals.compat import baseline, categories_by_feature, histogram_stages, preprocessed_rows
from skfhe._originals.docstrings import documented
from skfhe._originals.inherited import method_of, parameters_of
from skfhe._trees.docstrings import TREES
from skfhe._trees.estimator import ENSEMBLE, Description, TreePredictorMixin
from skfhe._trees.scikit_learn import HISTOGRAM_RULE, histogram_tree
from skfhe._typing import FloatArray
from skfhe.encoding import Head, Margins, Values
from skfhe.exceptions import UnsupportedModelError

__all__ = ["HistGradientBoostingClassifier", "HistGradientBoostingRegressor"]


class HistogramMixin:
    """What the classifier and the regressor share; goes before `TreePredictorMixin`."""

    def _rows(self, fitted: Any, X: Any) -> Any:
        return preprocessed_rows(fitted, X)

    def _quantizable(self: Any, X: Any) -> FloatArray:
        """Return rows that are to be quantized before training, none of their features categorical."""
        given = self.categorical_features
        by_dtype = isinstance(given, str) and given == "from_dtype"
        if by_dtype and hasattr(X, "dtypes"):
            categorical = [str(name) for name, kind in X.dtypes.items() if str(kind) == "category"]
        else:
            categorical = [] if given is None or by_dtype else list(given)
        if categorical:
            raise UnsupportedModelError(
                f"n_bits={self.n_bits} quantizes features by their order, and {categorical} are categories; "
                "use n_bits=None, or give the categories as numbers with categorical_features=None"
            )
        return super()._quantizable(X)  # type: ignore[misc]


@documented(TREES, scores="those of `decision_function`")
class HistGradientBoostingClassifier(
    HistogramMixin, TreePredictorMixin, ensemble.HistGradientBoostingClassifier
):
    """Histogram-based gradient boosting for classification on encrypted data.

    {parameters_of_ensemble}

    {attributes}

    {notes}

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from skfhe.ensemble import HistGradientBoostingClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = HistGradientBoostingClassifier(max_iter=5, max_leaf_nodes=4).fit(X, y)
    >>> circuit = model.compile()
    >>> bool((model.predict(X[:2], fhe="execute") == model.predict(X[:2])).all())
    True
    """

    _original = ensemble.HistGradientBoostingClassifier
    __init__ = parameters_of(ensemble.HistGradientBoostingClassifier, **ENSEMBLE)
    fit = method_of(ensemble.HistGradientBoostingClassifier.fit)

    def _describe(self, original: Any) -> Description:
        return _boosted(original, Margins("softmax" if original.n_trees_per_iteration_ > 1 else "logistic"))


@documented(TREES, scores="predictions before the link")
class HistGradientBoostingRegressor(
    HistogramMixin, TreePredictorMixin, ensemble.HistGradientBoostingRegressor
):
    """Histogram-based gradient boosting for regression on encrypted data.

    {parameters_of_ensemble}

    {attributes}

    {notes}

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skfhe.ensemble import HistGradientBoostingRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = HistGradientBoostingRegressor(max_iter=5, max_leaf_nodes=4).fit(X, y)
    >>> circuit = model.compile()
    >>> bool((model.predict(X[:2], fhe="execute") == model.predict(X[:2])).all())
    True
    """

    _original = ensemble.HistGradientBoostingRegressor
    __init__ = parameters_of(ensemble.HistGradientBoostingRegressor, **ENSEMBLE)
    fit = method_of(ensemble.HistGradientBoostingRegressor.fit)

    def _describe(self, original: Any) -> Description:
        return _boosted(original, Values("exp" if original.loss in ("gamma", "poisson") else "identity"))


def _boosted(original: Any, head: Head) -> Description:
    """Read fitted trees, whose sum is added to the baseline."""
    known = categories_by_feature(original)
    trees = [
        histogram_tree(predictor, column, len(stage), known)
        for stage in histogram_stages(original)
        for column, predictor in enumerate(stage)
    ]
    return Description(trees, baseline(original), HISTOGRAM_RULE, head, original.n_features_in_)
