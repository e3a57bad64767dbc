"""AdaBoost of decision trees on encrypted data: all trees are one program."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn import ensemble, tree

from skfhe._originals.conversion import estimator_for
from skfhe._originals.docstrings import documented
from skfhe._originals.inherited import as_original, method_of, parameters_of
from skfhe._trees.description import Asked, TreeRows, lower_trees
from skfhe._trees.docstrings import TREES
from skfhe._trees.estimator import ENSEMBLE, Description, TreePredictorMixin
from skfhe._trees.scikit_learn import TREE_RULE, raw_tree
from skfhe._typing import FloatArray
from skfhe.encoding import ClassFractions, LeafMedianDecoder, LeafTableDecoder, Margins, Values
from skfhe.encrypted_model import EncryptedModel
from skfhe.exceptions import UnsupportedModelError

__all__ = ["AdaBoostClassifier", "AdaBoostRegressor"]


class AdaBoostMixin:
    """What the classifier and the regressor share; goes before `TreePredictorMixin`."""

    _members: type

    def _check_trainable(self: Any) -> None:
        self._float_tree(self.estimator)

    def staged_score(self: Any, X: ArrayLike, y: ArrayLike, sample_weight: Any = None) -> Iterator[float]:
        """Yield the score after each stage, of the float model: not with ``clear="forbid"``."""
        self._check_clear("staged evaluation")
        return super().staged_score(X, y, sample_weight)  # type: ignore[misc]

    def _train(self: Any, method: Any, arguments: dict[str, Any]) -> None:
        def train(original: Any, **given: Any) -> None:
            original.estimator = self._float_tree(original.estimator)
            method(original, **given)

        super()._train(train, arguments)  # type: ignore[misc]

    def _float_tree(self, member: Any) -> Any:
        """Return the estimator that boosting trains clones of, in floats.

        Raises
        ------
        UnsupportedModelError
            If it is no decision tree. What scikit-learn's own validation refuses is left to it.
        """
        if member is None or not (hasattr(member, "fit") and hasattr(member, "predict")):
            return member
        name, ours = type(self).__name__, member
        if not isinstance(member, self._members):
            known = estimator_for(type(member))
            inside = "an estimator of skfhe" if known is None else f"skfhe's {known.__name__}"
            raise UnsupportedModelError(
                f"estimator is a {type(member).__name__}: {name} is one program, as decision trees can be; "
                f"use sklearn.ensemble.{name} of {inside}, whose members skfhe.compile and skfhe.set_mode "
                "reach one by one; their predictions are put together in the clear"
            )
        if not hasattr(member, "_own_params"):
            return member
        n_bits = ours.n_bits
        if n_bits is not None:
            raise UnsupportedModelError(
                f"estimator has n_bits={n_bits}, and the trees of {name} share the levels of their features; "
                f"give n_bits={n_bits} to {name}"
            )
        return as_original(member, fitted=False)


@documented(TREES, scores="those of `decision_function`")
class AdaBoostClassifier(AdaBoostMixin, TreePredictorMixin, ensemble.AdaBoostClassifier):
    """AdaBoost of decision trees for classification on encrypted data.

    The votes of all trees, times their weights, are leaf values that one program adds up. Trees of depth 1,
    the default, take no lookup at all.

    {parameters_of_ensemble}
        ``estimator`` is a decision tree, or None. Any other is boosted by scikit-learn's own class, with
        estimators of skfhe inside, whose members run encrypted one by one.

    {attributes}

    {notes}

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from skfhe.ensemble import AdaBoostClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = AdaBoostClassifier(n_estimators=10, random_state=0).fit(X, y)
    >>> model.cost_.n_lookups
    0
    >>> circuit = model.compile()
    >>> bool((model.predict(X[:2], fhe="execute") == model.predict(X[:2])).all())
    True
    """

    _original = ensemble.AdaBoostClassifier
    _members = tree.DecisionTreeClassifier
    __init__ = parameters_of(ensemble.AdaBoostClassifier, **ENSEMBLE)
    fit = method_of(ensemble.AdaBoostClassifier.fit)
    n_classes_: int
    estimators_: Any
    estimator_weights_: FloatArray

    def _describe(self, original: Any) -> Description:
        n_features = original.estimators_[0].n_features_in_
        if original.n_classes_ == 1:
            alone = replace(raw_tree(original.estimators_[0].tree_), values=np.zeros((1, 1)))
            return Description([alone], np.ones(1), TREE_RULE, ClassFractions((1,), 1), n_features)
        total = original.estimator_weights_.sum()
        trees = []
        for member, weight in zip(original.estimators_, original.estimator_weights_, strict=False):
            self._float_tree(member)
            grown = raw_tree(member.tree_)
            place = np.searchsorted(original.classes_, member.classes_)
            voted = place[grown.values.argmax(axis=1)]
            trees.append(replace(grown, values=_votes(voted, original.n_classes_) * (weight / total)))
        others = original.n_classes_ - 1
        head = Margins("softmax", 0.5 if others == 1 else 1 / others)
        return Description(trees, np.zeros(trees[0].values.shape[1]), TREE_RULE, head, n_features, stage=1)

    @documented(TREES)
    def decision_function(self, X: ArrayLike, *, fhe: str | None = None) -> FloatArray:
        """Return the weighted votes for each class, or those for the second of two less those for the first.

        Parameters
        ----------
        X : {array-like, sparse matrix} of float, shape (n_rows, n_features)
        {fhe}

        Returns
        -------
        ndarray of float64, shape (n_rows,) or (n_rows, n_classes)

        Raises
        ------
        {not_compiled}
        """
        found = super().decision_function(X, fhe=fhe)
        return found if self.n_classes_ > 1 else np.zeros((len(found), 1))

    def _staged_scores(self, X: ArrayLike) -> Iterator[FloatArray]:
        norms = np.cumsum(self.estimator_weights_)
        for scores, norm in zip(super()._staged_scores(X), norms, strict=False):
            yield scores * (norms[-1] / norm)


def _votes(voted: Any, n_classes: int) -> FloatArray:
    """Return what trees of weight 1 add to the scores of rows, by the classes that they vote for."""
    if n_classes == 2:
        return np.where(voted == 1, 2.0, -2.0)[:, None]
    return np.where(voted[:, None] == np.arange(n_classes), 1.0, -1 / (n_classes - 1))


@documented(TREES, score_error="0: predictions are leaf values.")
class AdaBoostRegressor(AdaBoostMixin, TreePredictorMixin, ensemble.AdaBoostRegressor):
    """AdaBoost of decision trees for regression on encrypted data.

    A prediction is the weighted median of those of the trees, which would take many comparisons under
    encryption. So what leaves the server is the number of the leaf that the row reaches, for each tree; the
    client, who holds the values of all leaves and the weights of the trees, takes the median. That is exact.

    {parameters}
        ``estimator`` is a decision tree, or None. Any other is boosted by scikit-learn's own class, with
        estimators of skfhe inside, whose members run encrypted one by one.

    {attributes}

    {notes}

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skfhe.ensemble import AdaBoostRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = AdaBoostRegressor(n_estimators=4, random_state=0).fit(X, y)
    >>> circuit = model.compile()
    >>> bool((model.predict(X[:2], fhe="execute") == model.predict(X[:2])).all())
    True
    """

    _original = ensemble.AdaBoostRegressor
    _members = tree.DecisionTreeRegressor
    _own_params = ("n_bits",)
    __init__ = parameters_of(ensemble.AdaBoostRegressor, n_bits=None)
    fit = method_of(ensemble.AdaBoostRegressor.fit)

    @classmethod
    def from_sklearn_model(  # type: ignore[override]
        cls, fitted: Any, X: ArrayLike | None = None, n_bits: int | None = None
    ) -> Any:
        """Convert a fitted original; see `AdaBoostClassifier` for errors.

        Parameters
        ----------
        fitted : sklearn.ensemble.AdaBoostRegressor
            Fitted, of decision trees.
        X : array-like of shape (n_rows, n_features), default=None
            Rows such as those it was trained on, needed if features are to be quantized by them.
        n_bits : int, default=None
            See the class. The thresholds of an original that was trained on floats are moved to the next
            boundary between the levels of its features.

        Returns
        -------
        AdaBoostRegressor
            Fitted, with the parameters of ``fitted``.
        """
        return super().from_sklearn_model(fitted, X, n_bits)

    def _describe(self, original: Any) -> Description:
        for member in original.estimators_:
            self._float_tree(member)
        trees = [raw_tree(member.tree_) for member in original.estimators_]
        weights = original.estimator_weights_[: len(trees)]
        n_features = original.estimators_[0].n_features_in_
        return Description(trees, np.zeros(1), TREE_RULE, Values(), n_features, weights=weights)

    def _lower(self, described: Description, seen: TreeRows) -> EncryptedModel:
        model = lower_trees(described, seen, Asked("index"))
        table = model.decoder
        if not isinstance(table, LeafTableDecoder):
            return model
        assert described.weights is not None
        median = LeafMedianDecoder(table.counts, table.leaves[:, 0], described.weights, table.multiple)
        return replace(model, decoder=median)

    def _staged_scores(self, X: ArrayLike) -> Iterator[FloatArray]:
        model = self._fitted_model()
        self._mode.check_clear("staged_predict", type(self).__name__)
        (numbers,) = model.evaluate(*model.encoder.encode(self._rows(self, X)))
        decoder = model.decoder
        if not isinstance(decoder, LeafMedianDecoder):
            alone: Any = decoder  # a single tree
            yield alone.decode(numbers)
            return
        for n_trees in range(1, len(decoder.counts) + 1):
            yield decoder.first(n_trees).decode(numbers[:, :n_trees])
