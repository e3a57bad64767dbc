"""Decision trees on encrypted data."""

from typing import Any

import numpy as np
from sklearn import tree

from skfhe.trees.decoding import Values
from skfhe.trees.estimator import Description, TreePredictorMixin
from skfhe.trees.scikit_learn import TREE_RULE, class_fractions, raw_tree
from skfhe.twin import method_of, parameters_of

__all__ = ["DecisionTreeClassifier", "DecisionTreeRegressor"]


class DecisionTreeClassifier(TreePredictorMixin, tree.DecisionTreeClassifier):
    """Decision tree classifier on encrypted data.

    Parameters
    ----------
    n_bits : int, default=None
        None lets the client encode each row by the thresholds of the trees: every row takes the
        original's path through every tree. k quantizes the features to k bits before training and compares
        them under encryption, so that thresholds stay on the server.
    **parameters
        Those of `sklearn.tree.DecisionTreeClassifier`, with its defaults.

    Attributes
    ----------
    program_ : Program
        The trees on integers: what runs encrypted.
    input_encoder_ : Splits or BlockEncoder
        Turns rows into the integers that the program takes.
    scoring_ : Scoring
        Turns the program's output into scores.
    score_error_ : float
        0: a single tree returns its leaves' values exactly.
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
    >>> from skfhe.tree import DecisionTreeClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = DecisionTreeClassifier(max_depth=3, random_state=0).fit(X, y)
    >>> circuit = model.compile()
    >>> bool((model.predict(X[:2], fhe="execute") == model.predict(X[:2])).all())
    True
    """

    _twin = tree.DecisionTreeClassifier
    __init__ = parameters_of(tree.DecisionTreeClassifier, n_bits=None)
    fit = method_of(tree.DecisionTreeClassifier.fit)

    def _describe(self, twin: Any) -> Description:
        trees = [raw_tree(twin.tree_)]
        bias = np.zeros(trees[0].values.shape[1])
        return Description(trees, bias, TREE_RULE, class_fractions(twin), twin.n_features_in_)


class DecisionTreeRegressor(TreePredictorMixin, tree.DecisionTreeRegressor):
    """Decision tree regressor on encrypted data.

    Parameters
    ----------
    n_bits : int, default=None
        None lets the client encode each row by the thresholds of the trees: every row takes the
        original's path through every tree. k quantizes the features to k bits before training and compares
        them under encryption, so that thresholds stay on the server.
    **parameters
        Those of `sklearn.tree.DecisionTreeRegressor`, with its defaults.

    Attributes
    ----------
    program_ : Program
        The trees on integers: what runs encrypted.
    input_encoder_ : Splits or BlockEncoder
        Turns rows into the integers that the program takes.
    scoring_ : Scoring
        Turns the program's output into scores.
    score_error_ : float
        0: a single tree returns its leaves' values exactly.
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
    >>> from skfhe.tree import DecisionTreeRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = DecisionTreeRegressor(max_depth=3, random_state=0).fit(X, y)
    >>> circuit = model.compile()
    >>> bool((model.predict(X[:2], fhe="execute") == model.predict(X[:2])).all())
    True
    """

    _twin = tree.DecisionTreeRegressor
    __init__ = parameters_of(tree.DecisionTreeRegressor, n_bits=None)
    fit = method_of(tree.DecisionTreeRegressor.fit)

    def _describe(self, twin: Any) -> Description:
        trees = [raw_tree(twin.tree_)]
        bias = np.zeros(trees[0].values.shape[1])
        return Description(trees, bias, TREE_RULE, Values(), twin.n_features_in_)
