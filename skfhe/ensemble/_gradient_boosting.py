"""Gradient boosting on encrypted data."""

from typing import Any

from sklearn import ensemble
from sklearn.base import is_classifier
from sklearn.dummy import DummyClassifier, DummyRegressor

from skfhe._originals.compat import initial_scores
from skfhe._originals.docstrings import documented
from skfhe._originals.inherited import method_of, parameters_of
from skfhe._trees.docstrings import TREES
from skfhe._trees.estimator import ENSEMBLE, Description, TreePredictorMixin
from skfhe._trees.scikit_learn import TREE_RULE, raw_tree
from skfhe.encoding import Head, Margins, Values
from skfhe.exceptions import UnsupportedModelError

__all__ = ["GradientBoostingClassifier", "GradientBoostingRegressor"]


def _check_initial(estimator: Any) -> None:
    """Raise an `UnsupportedModelError` unless the initial scores are the same for all rows.

    Those of a `DummyClassifier` of another strategy than the default are drawn, or infinite but for a clip at
    the smallest number, which leaf values then make up for. What scikit-learn's own validation refuses is
    left to it.
    """
    init = estimator.init
    if not hasattr(init, "predict_proba" if is_classifier(estimator) else "predict"):
        return
    if isinstance(init, DummyClassifier) and init.strategy != "prior":
        given = f"a DummyClassifier of strategy={init.strategy!r}"
    elif isinstance(init, DummyClassifier | DummyRegressor):
        return
    else:
        given = f"the class {init.__name__}" if isinstance(init, type) else f"a {type(init).__name__}"
    allowed = "DummyClassifier()" if is_classifier(estimator) else "a DummyRegressor"
    raise UnsupportedModelError(
        f"init is {given}: only initial scores that are finite and the same for all rows run encrypted; use "
        f"init=None, 'zero' or {allowed}"
    )


class GradientBoostingMixin:
    """What the classifier and the regressor share; goes before `TreePredictorMixin`."""

    def _check_trainable(self) -> None:
        _check_initial(self)


@documented(TREES, scores="those of `decision_function`")
class GradientBoostingClassifier(
    GradientBoostingMixin, TreePredictorMixin, ensemble.GradientBoostingClassifier
):
    """Gradient boosting for classification on encrypted data.

    {parameters_of_ensemble}

    {attributes}

    {notes}

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from skfhe.ensemble import GradientBoostingClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = GradientBoostingClassifier(n_estimators=5, random_state=0).fit(X, y)
    >>> circuit = model.compile()
    >>> bool((model.predict(X[:2], fhe="execute") == model.predict(X[:2])).all())
    True
    """

    _original = ensemble.GradientBoostingClassifier
    __init__ = parameters_of(ensemble.GradientBoostingClassifier, **ENSEMBLE)
    fit = method_of(ensemble.GradientBoostingClassifier.fit)

    def _describe(self, original: Any) -> Description:
        if original.n_trees_per_iteration_ > 1:
            return _boosted(original, Margins("softmax"))
        factor = 2.0 if original.loss == "exponential" else 1.0
        return _boosted(original, Margins("logistic", factor, zero_wins=True))


@documented(TREES, scores="predictions")
class GradientBoostingRegressor(
    GradientBoostingMixin, TreePredictorMixin, ensemble.GradientBoostingRegressor
):
    """Gradient boosting for regression on encrypted data.

    {parameters_of_ensemble}

    {attributes}

    {notes}

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skfhe.ensemble import GradientBoostingRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = GradientBoostingRegressor(n_estimators=5, random_state=0).fit(X, y)
    >>> circuit = model.compile()
    >>> bool((model.predict(X[:2], fhe="execute") == model.predict(X[:2])).all())
    True
    """

    _original = ensemble.GradientBoostingRegressor
    __init__ = parameters_of(ensemble.GradientBoostingRegressor, **ENSEMBLE)
    fit = method_of(ensemble.GradientBoostingRegressor.fit)

    def _describe(self, original: Any) -> Description:
        return _boosted(original, Values())


def _boosted(original: Any, head: Head) -> Description:
    """Read fitted trees, whose sum is scaled by the learning rate and added to the initial scores."""
    _check_initial(original)
    trees = []
    for stage in original.estimators_:
        for column, member in enumerate(stage):
            tree = raw_tree(member.tree_, original.learning_rate)
            trees.append(tree.in_column(column, len(stage)))
    return Description(trees, initial_scores(original), TREE_RULE, head, original.n_features_in_)
