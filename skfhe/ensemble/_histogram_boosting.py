"""Histogram-based gradient boosting on encrypted data, with missing values and categorical features."""

from typing import Any

import numpy as np
from sklearn import ensemble

from skfhe._originals.inherited import method_of, parameters_of
from skfhe._trees.estimator import Description, TreePredictorMixin
from skfhe._trees.scikit_learn import HISTOGRAM_RULE, histogram_tree
from skfhe.encoding import Head, Margins, Values
from skfhe.exceptions import UnsupportedModelError

__all__ = ["HistGradientBoostingClassifier", "HistGradientBoostingRegressor"]


def _preprocessed(self: Any, fitted: Any, X: Any) -> Any:
    """Return rows as the trees read them: categories as numbers, and before the other features."""
    return fitted._preprocess_X(X, reset=False)


def _numeric(self: Any, X: Any) -> Any:
    """Return rows that are to be quantized before training, none of their features categorical."""
    given = self.categorical_features
    by_dtype = isinstance(given, str) and given == "from_dtype"
    if by_dtype and hasattr(X, "dtypes"):
        categorical = [str(name) for name, kind in X.dtypes.items() if str(kind) == "category"]
    else:
        categorical = [] if given is None or by_dtype else list(given)
    if categorical:
        raise UnsupportedModelError(
            f"n_bits={self.n_bits} quantizes features by their order, and {categorical} are categories; use "
            "n_bits=None, or give the categories as numbers with categorical_features=None"
        )
    return TreePredictorMixin._quantizable(self, X)


class HistGradientBoostingClassifier(TreePredictorMixin, ensemble.HistGradientBoostingClassifier):
    """Histogram-based gradient boosting for classification on encrypted data.

    Parameters
    ----------
    n_bits : int, default=None
        None lets the client encode each row by the thresholds of the trees: every row takes the
        original's path through every tree. k quantizes the features to k bits before training and compares
        them under encryption, so that thresholds stay on the server.
    **parameters
        Those of `sklearn.ensemble.HistGradientBoostingClassifier`, with its defaults.

    Attributes
    ----------
    program_ : Program
        The trees on integers: what runs encrypted.
    input_encoder_ : Splits or BlockEncoder
        Turns rows into the integers that the program takes.
    scoring_ : Scoring
        Turns the program's output into scores.
    score_error_ : float
        No score differs from that of the float trees by more, the scores being those of `decision_function`.
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
    >>> from sklearn.datasets import load_breast_cancer
    >>> from skfhe.ensemble import HistGradientBoostingClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = HistGradientBoostingClassifier(max_iter=5, max_leaf_nodes=4).fit(X, y)
    >>> circuit = model.compile()
    >>> bool((model.predict(X[:2], fhe="execute") == model.predict(X[:2])).all())
    True
    """

    _original = ensemble.HistGradientBoostingClassifier
    __init__ = parameters_of(ensemble.HistGradientBoostingClassifier, n_bits=None)
    fit = method_of(ensemble.HistGradientBoostingClassifier.fit)
    _rows = _preprocessed
    _quantizable = _numeric

    def _describe(self, original: Any) -> Description:
        return _boosted(original, Margins("softmax" if original.n_trees_per_iteration_ > 1 else "logistic"))


class HistGradientBoostingRegressor(TreePredictorMixin, ensemble.HistGradientBoostingRegressor):
    """Histogram-based gradient boosting for regression on encrypted data.

    Parameters
    ----------
    n_bits : int, default=None
        None lets the client encode each row by the thresholds of the trees: every row takes the
        original's path through every tree. k quantizes the features to k bits before training and compares
        them under encryption, so that thresholds stay on the server.
    **parameters
        Those of `sklearn.ensemble.HistGradientBoostingRegressor`, with its defaults.

    Attributes
    ----------
    program_ : Program
        The trees on integers: what runs encrypted.
    input_encoder_ : Splits or BlockEncoder
        Turns rows into the integers that the program takes.
    scoring_ : Scoring
        Turns the program's output into scores.
    score_error_ : float
        No score differs from that of the float trees by more, the scores being predictions before the link.
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
    >>> from skfhe.ensemble import HistGradientBoostingRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = HistGradientBoostingRegressor(max_iter=5, max_leaf_nodes=4).fit(X, y)
    >>> circuit = model.compile()
    >>> bool((model.predict(X[:2], fhe="execute") == model.predict(X[:2])).all())
    True
    """

    _original = ensemble.HistGradientBoostingRegressor
    __init__ = parameters_of(ensemble.HistGradientBoostingRegressor, n_bits=None)
    fit = method_of(ensemble.HistGradientBoostingRegressor.fit)
    _rows = _preprocessed
    _quantizable = _numeric

    def _describe(self, original: Any) -> Description:
        return _boosted(original, Values("exp" if original.loss in ("gamma", "poisson") else "identity"))


def _boosted(original: Any, head: Head) -> Description:
    """Read fitted trees, whose sum is added to the baseline."""
    known = {
        int(feature): frozenset(int(category) for category in original._bin_mapper.bin_thresholds_[feature])
        for feature in np.flatnonzero(original._bin_mapper.is_categorical_)
    }
    trees = [
        histogram_tree(predictor, column, len(stage), known)
        for stage in original._predictors
        for column, predictor in enumerate(stage)
    ]
    return Description(
        trees, original._baseline_prediction.ravel(), HISTOGRAM_RULE, head, original.n_features_in_
    )
