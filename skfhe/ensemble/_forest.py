"""Forests on encrypted data: the mean of the trees is taken under encryption."""

from typing import Any

import numpy as np
from sklearn import ensemble

from skfhe._originals.inherited import method_of, parameters_of
from skfhe._trees.estimator import Description, TreePredictorMixin
from skfhe._trees.scikit_learn import TREE_RULE, class_fractions, raw_tree
from skfhe._typing import Array
from skfhe.encoding import Decoding, Values, take_classes

__all__ = ["ExtraTreesClassifier", "ExtraTreesRegressor", "RandomForestClassifier", "RandomForestRegressor"]


class ForestClassifierMixin:
    """What classifying forests share; goes before `TreePredictorMixin`."""

    def _decoded_rows(self: Any, X: Any, fhe: str) -> Array:
        """Return the most probable classes, as the original does, whatever a subclass makes probable."""
        probabilities = self.predict_proba(X, **({} if fhe == "disable" else {"fhe": fhe}))
        of_targets = probabilities if isinstance(probabilities, list) else [probabilities]
        return take_classes(self.classes_, [np.argmax(p, axis=1) for p in of_targets])

    def _describe(self, original: Any) -> Description:
        return _forest(original, class_fractions(original))


class ForestRegressorMixin:
    """What regressing forests share; goes before `TreePredictorMixin`."""

    def _describe(self, original: Any) -> Description:
        return _forest(original, Values())


class ExtraTreesClassifier(ForestClassifierMixin, TreePredictorMixin, ensemble.ExtraTreesClassifier):
    """Extremely randomized trees for classification on encrypted data.

    Parameters
    ----------
    n_bits : int, default=None
        None lets the client encode each row by the thresholds of the trees: every row takes the
        original's path through every tree. k quantizes the features to k bits before training and compares
        them under encryption, so that thresholds stay on the server.
    **parameters
        Those of `sklearn.ensemble.ExtraTreesClassifier`, with its defaults.

    Attributes
    ----------
    program_ : Program
        The trees on integers: what runs encrypted.
    input_encoder_ : Splits or BlockEncoder
        Turns rows into the integers that the program takes.
    scoring_ : Scoring
        Turns the program's output into scores.
    score_error_ : float
        No score differs from that of the float trees by more, the scores being probabilities.
    accumulator_bits_ : list of int
        Proven bits of every integer that a lookup reads, in layer order.
    output_bits_ : list of int
        Proven bits of the sums.
    cost_ : Cost
        Predicted lookups by bit-width, complexity and seconds a row.
    fhe_circuit_ : Circuit
        After ``compile``.

    Notes
    -----
    All attributes of the fitted original are there, too. Who learns what in either mode is in docs/trees.md.

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
    __init__ = parameters_of(ensemble.ExtraTreesClassifier, n_bits=None)
    fit = method_of(ensemble.ExtraTreesClassifier.fit)


class ExtraTreesRegressor(ForestRegressorMixin, TreePredictorMixin, ensemble.ExtraTreesRegressor):
    """Extremely randomized trees for regression on encrypted data.

    Parameters
    ----------
    n_bits : int, default=None
        None lets the client encode each row by the thresholds of the trees: every row takes the
        original's path through every tree. k quantizes the features to k bits before training and compares
        them under encryption, so that thresholds stay on the server.
    **parameters
        Those of `sklearn.ensemble.ExtraTreesRegressor`, with its defaults.

    Attributes
    ----------
    program_ : Program
        The trees on integers: what runs encrypted.
    input_encoder_ : Splits or BlockEncoder
        Turns rows into the integers that the program takes.
    scoring_ : Scoring
        Turns the program's output into scores.
    score_error_ : float
        No score differs from that of the float trees by more, the scores being predictions.
    accumulator_bits_ : list of int
        Proven bits of every integer that a lookup reads, in layer order.
    output_bits_ : list of int
        Proven bits of the sums.
    cost_ : Cost
        Predicted lookups by bit-width, complexity and seconds a row.
    fhe_circuit_ : Circuit
        After ``compile``.

    Notes
    -----
    All attributes of the fitted original are there, too. Who learns what in either mode is in docs/trees.md.

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
    __init__ = parameters_of(ensemble.ExtraTreesRegressor, n_bits=None)
    fit = method_of(ensemble.ExtraTreesRegressor.fit)


class RandomForestClassifier(ForestClassifierMixin, TreePredictorMixin, ensemble.RandomForestClassifier):
    """Random forest for classification on encrypted data.

    Parameters
    ----------
    n_bits : int, default=None
        None lets the client encode each row by the thresholds of the trees: every row takes the
        original's path through every tree. k quantizes the features to k bits before training and compares
        them under encryption, so that thresholds stay on the server.
    **parameters
        Those of `sklearn.ensemble.RandomForestClassifier`, with its defaults.

    Attributes
    ----------
    program_ : Program
        The trees on integers: what runs encrypted.
    input_encoder_ : Splits or BlockEncoder
        Turns rows into the integers that the program takes.
    scoring_ : Scoring
        Turns the program's output into scores.
    score_error_ : float
        No score differs from that of the float trees by more, the scores being probabilities.
    accumulator_bits_ : list of int
        Proven bits of every integer that a lookup reads, in layer order.
    output_bits_ : list of int
        Proven bits of the sums.
    cost_ : Cost
        Predicted lookups by bit-width, complexity and seconds a row.
    fhe_circuit_ : Circuit
        After ``compile``.

    Notes
    -----
    All attributes of the fitted original are there, too. Who learns what in either mode is in docs/trees.md.

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
    __init__ = parameters_of(ensemble.RandomForestClassifier, n_bits=None)
    fit = method_of(ensemble.RandomForestClassifier.fit)


class RandomForestRegressor(ForestRegressorMixin, TreePredictorMixin, ensemble.RandomForestRegressor):
    """Random forest for regression on encrypted data.

    Parameters
    ----------
    n_bits : int, default=None
        None lets the client encode each row by the thresholds of the trees: every row takes the
        original's path through every tree. k quantizes the features to k bits before training and compares
        them under encryption, so that thresholds stay on the server.
    **parameters
        Those of `sklearn.ensemble.RandomForestRegressor`, with its defaults.

    Attributes
    ----------
    program_ : Program
        The trees on integers: what runs encrypted.
    input_encoder_ : Splits or BlockEncoder
        Turns rows into the integers that the program takes.
    scoring_ : Scoring
        Turns the program's output into scores.
    score_error_ : float
        No score differs from that of the float trees by more, the scores being predictions.
    accumulator_bits_ : list of int
        Proven bits of every integer that a lookup reads, in layer order.
    output_bits_ : list of int
        Proven bits of the sums.
    cost_ : Cost
        Predicted lookups by bit-width, complexity and seconds a row.
    fhe_circuit_ : Circuit
        After ``compile``.

    Notes
    -----
    All attributes of the fitted original are there, too. Who learns what in either mode is in docs/trees.md.

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
    __init__ = parameters_of(ensemble.RandomForestRegressor, n_bits=None)
    fit = method_of(ensemble.RandomForestRegressor.fit)


def _forest(original: Any, decoding: Decoding) -> Description:
    """Read a fitted forest, the mean of its trees."""
    n_trees = len(original.estimators_)
    trees = [raw_tree(member.tree_, 1 / n_trees) for member in original.estimators_]
    unit = None if isinstance(decoding, Values) else 1 / n_trees
    bias = np.zeros(trees[0].values.shape[1])
    return Description(trees, bias, TREE_RULE, decoding, original.n_features_in_, unit)
