"""XGBoost models on encrypted data."""

from __future__ import annotations

import inspect
import itertools
import json
from typing import Any

import numpy as np
import xgboost
from numpy.typing import ArrayLike
from scipy.sparse import issparse
from scipy.special import logit
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_array
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import validate_data

from skfhe._originals import held
from skfhe._originals.inherited import method_of
from skfhe._trees.ensemble import RawTree
from skfhe._trees.estimator import Description, TreePredictorMixin
from skfhe._typing import Array, FloatArray, IntArray
from skfhe.boosting._reading import Branch, read_tree
from skfhe.encoding import Categories, Head, Margins, Rule, Split, Values
from skfhe.exceptions import UnsupportedModelError

__all__ = ["XGBClassifier", "XGBRegressor"]


RULE = Rule("<", "float32")

CLASSIFICATION: dict[str, Head] = {
    "binary:logistic": Margins("logistic"),
    "reg:logistic": Margins("logistic"),
    # the original's predict takes the margin for a probability
    "binary:logitraw": Margins("logistic", boundary=0.5),
    "multi:softprob": Margins("softmax"),
    "multi:softmax": Margins("softmax"),
}
REGRESSION: dict[str, Head] = {
    **dict.fromkeys(
        (
            *("reg:squarederror", "reg:squaredlogerror", "reg:pseudohubererror", "reg:absoluteerror"),
            *("reg:quantileerror", "binary:logitraw"),
        ),
        Values(),
    ),
    **dict.fromkeys(("reg:logistic", "binary:logistic"), Values("logistic")),
    **dict.fromkeys(("count:poisson", "reg:gamma", "reg:tweedie"), Values("exp")),
}
LOGIT = ("binary:logistic", "reg:logistic")
"""Objectives whose ``base_score`` is a probability."""

OPEN_NAMES = frozenset(
    (
        *("alpha", "aft_loss_distribution", "aft_loss_distribution_scale", "disable_default_eval_metric"),
        *("eta", "extmem_single_page", "feature_selector", "gpu_id", "huber_slope", "lambda"),
        *("lambdarank_bias_norm", "lambdarank_normalization", "lambdarank_num_pair_per_sample"),
        *("lambdarank_pair_method", "lambdarank_score_normalization", "lambdarank_unbiased"),
        *("max_cached_hist_node", "min_split_loss", "ndcg_exp_gain", "normalize_type", "nthread"),
        *("num_class", "one_drop", "process_type", "quantile_alpha", "rate_drop", "refresh_leaf"),
        *("sample_type", "seed", "seed_per_iteration", "skip_drop", "top_k", "tweedie_variance_power"),
        *("updater",),
    )
)
"""Parameters of the library that its estimators take without naming them."""


def _parameters(original: type) -> dict[str, inspect.Parameter]:
    """Return the parameters of an estimator of the library, which lists most of them in its base class."""
    listed = dict(inspect.signature(xgboost.XGBModel.__init__).parameters)
    listed |= inspect.signature(original.__init__).parameters  # type: ignore[misc]
    return {name: p for name, p in listed.items() if p.kind is not p.VAR_KEYWORD}


# Rows.


def _rows(self: Any, fitted: Any, X: Any) -> Any:
    """Return validated rows in single precision, categories as numbers, and NaN for a missing value."""
    categories = self._categories if fitted is self else _categories(fitted)
    X = _numbered(X, categories)
    options = {"accept_sparse": "coo", "dtype": np.float32, "ensure_all_finite": "allow-nan"}
    if fitted is self:
        rows = validate_data(self, X, reset=False, **options)
    else:
        rows = check_array(X, estimator=self, input_name="X", **options)
    if issparse(rows):  # what a sparse matrix leaves out is missing
        dense = np.full(rows.shape, np.nan, dtype=np.float32)
        dense[rows.row, rows.col] = rows.data
        rows = dense
    if self.missing is not None and not np.isnan(self.missing):
        rows = np.where(rows == np.float32(self.missing), np.float32(np.nan), rows)
    if categories:
        rows = rows.copy()
        rows[:, list(categories)] = np.floor(rows[:, list(categories)])  # the library truncates them
    return rows


def _quantizable(self: Any, X: Any) -> FloatArray:
    if held.frame_categories(X) or "c" in (self.feature_types or ()):
        raise UnsupportedModelError(held.no_quantized_categories(self))
    if self.missing is not None and not np.isnan(self.missing):
        raise ValueError(
            f"n_bits={self.n_bits} and missing={self.missing!r} were given; replace such values by NaN, or "
            "use n_bits=None"
        )
    return TreePredictorMixin._quantizable(self, X)


def _numbered(X: Any, categories: dict[int, list[Any] | None]) -> Any:
    """Return a data frame with the library's numbers in place of categories."""
    columns = held.frame_categories(X)
    if not columns:
        return X
    X = X.copy()
    for name in columns:
        known = categories.get(list(X.columns).index(name))
        if known is None:
            raise ValueError(
                f"column {name!r} holds {X[name].dtype}, and training had no categories there; expected "
                "numbers"
            )
        number = {value: position for position, value in enumerate(known)}
        values = X[name].astype(object)
        unknown = sorted({repr(value) for value in values[values.notna()] if value not in number})
        if unknown:
            raise ValueError(
                f"column {name!r} has categories that training had not: {', '.join(unknown)}; known are "
                f"{known}"
            )
        X[name] = [number.get(value, np.nan) for value in values]
    return X


def _categories(original: Any) -> dict[int, list[Any] | None]:
    """Return the categories of each categorical feature, or None where training had their numbers."""
    types = original.get_booster().feature_types or ()
    features = [feature for feature, kind in enumerate(types) if kind == "c"]
    if not features:
        return {}
    _, model = _model(original)
    found = model.get("cats", {}).get("enc") or [{} for _ in types]
    return {feature: _values(found[feature]) for feature in features}


def _values(encoding: dict[str, Any]) -> list[Any] | None:
    values = encoding.get("values")
    if values and "offsets" in encoding:
        text = bytes(value & 0xFF for value in values)
        offsets = encoding["offsets"]
        return [text[low:high].decode() for low, high in itertools.pairwise(offsets)]
    return values or None


# Trees.


def _model(fitted: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what the library saves of a learner, and the part that holds its trees."""
    learner = json.loads(fitted.get_booster().save_raw("json"))["learner"]
    booster = learner["gradient_booster"]
    if booster["name"] == "gblinear":
        raise UnsupportedModelError(
            "booster='gblinear' is a linear model; use booster='gbtree' or 'dart', or an estimator of "
            "skfhe.linear_model"
        )
    return learner, booster.get("gbtree", booster)["model"]


def _described(fitted: Any, heads: dict[str, Head]) -> Description:
    """Read a fitted model: the sum of its trees, up to the best iteration, added to its base score."""
    learner, model = _model(fitted)
    objective = learner["objective"]["name"]
    if objective not in heads:
        raise UnsupportedModelError(
            f"objective={objective!r} of {type(fitted).__name__} cannot be evaluated; expected one of "
            f"{', '.join(sorted(heads))}"
        )
    params = learner["learner_model_param"]
    n_outputs = max(1, int(params["num_class"]), int(params.get("num_target", 1)))
    base = np.atleast_1d(np.array(json.loads(params["base_score"]), dtype=np.float32)).astype(np.float64)
    head = heads[objective]
    if objective in LOGIT:
        base = logit(base)
    elif isinstance(head, Values) and head.link == "exp":
        base = np.log(base)
    trees, columns = model["trees"], model["tree_info"]
    best = learner["attributes"].get("best_iteration")
    if best is not None:
        trees = trees[: model["iteration_indptr"][int(best) + 1]]
    weights = learner["gradient_booster"].get("weight_drop", [1.0] * len(trees))
    read = [
        _tree(tree, float(np.float32(weight))).in_column(column, n_outputs)
        for tree, column, weight in zip(trees, columns, weights, strict=False)
    ]
    return Description(read, np.broadcast_to(base, n_outputs), RULE, head, int(params["num_feature"]))


def _tree(tree: dict[str, Any], weight: float) -> RawTree:
    if int(tree["tree_param"]["size_leaf_vector"]) > 1:
        raise UnsupportedModelError(
            "multi_strategy='multi_output_tree' grows trees of several outputs; use 'one_output_per_tree'"
        )
    left, right = tree["left_children"], tree["right_children"]
    conditions = np.array(tree["split_conditions"], dtype=np.float32).astype(np.float64)
    members = {
        node: frozenset(tree["categories"][start : start + size])
        for node, start, size in zip(
            tree["categories_nodes"], tree["categories_segments"], tree["categories_sizes"], strict=True
        )
    }

    def read(node: int) -> Branch[int] | FloatArray:
        if left[node] < 0:
            return conditions[node : node + 1] * weight
        feature, missing_right = tree["split_indices"][node], not tree["default_left"][node]
        split = Split(feature, float(conditions[node]), missing_right)
        if node in members:
            groups = Categories(frozenset(), members[node], False)
            split = Split(feature, 0.0, missing_right, groups)
        return split, left[node], right[node]

    return read_tree(0, read)


# Estimators.


def _adopt(self: Any, original: Any) -> None:
    held.adopt_model(self, original)
    self._categories = _categories(original)


def _importances(self: Any) -> FloatArray:
    """Return the importances of the features, of the kind ``importance_type``, shape (n_features,)."""
    return self.model_.feature_importances_


def _resumed(model: Any) -> Any:
    """Return the library's model that training goes on from."""
    return model.model_ if isinstance(model, XGBClassifier | XGBRegressor) else model


class XGBClassifier(ClassifierMixin, TreePredictorMixin, BaseEstimator):
    """XGBoost for classification on encrypted data.

    Parameters
    ----------
    n_bits : int, default=None
        None lets the client encode each row by the thresholds of the trees: every row takes the
        original's path through every tree. k quantizes the features to k bits before training and compares
        them under encryption, so that thresholds stay on the server.
    **parameters
        Those of `xgboost.XGBClassifier`, with its defaults.

    Attributes
    ----------
    model_ : xgboost.XGBClassifier
        The fitted original.
    classes_ : ndarray of shape (n_classes,)
        The labels.
    n_features_in_ : int
        Features of a row.
    feature_names_in_ : ndarray of str, shape (n_features,)
        Their names, if training had any.
    program_ : Program
        The trees on integers: what runs encrypted.
    input_encoder_ : Splits or BlockEncoder
        Turns rows into the integers that the program takes.
    scoring_ : Scoring
        Turns the program's output into scores.
    score_error_ : float
        No score differs from that of the float trees by more, the scores being margins, before the link.
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
    Trees of ``booster="gbtree"`` and ``"dart"`` are evaluated, categorical splits among them, up to the best
    iteration of early stopping. Labels need not be numbers from 0, as the original's must. Who learns what in
    either mode is in docs/trees.md.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from skfhe.boosting import XGBClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = XGBClassifier(n_estimators=5, max_depth=3).fit(X, y)
    >>> circuit = model.compile()
    >>> bool((model.predict(X[:2], fhe="execute") == model.predict(X[:2])).all())
    True
    """

    _original = xgboost.XGBClassifier
    _open_names = OPEN_NAMES
    __init__ = held.storing(_parameters(xgboost.XGBClassifier), n_bits=None)
    fit = method_of(xgboost.XGBClassifier.fit)
    get_params = held.get_params
    set_params = held.set_params
    feature_importances_ = property(_importances)
    _converted = classmethod(held.converted)
    _adopt = _adopt
    _rows = _rows
    _quantizable = _quantizable
    _represented = held.represented

    def __sklearn_tags__(self) -> Any:
        return held.tagged(super().__sklearn_tags__())

    def _train(self, method: Any, arguments: dict[str, Any]) -> None:
        arguments, learnt = held.checked_training(self, arguments)
        y = held.checked_targets(arguments["y"], classes=True)
        classes, codes = np.unique(y, return_inverse=True)
        held.check_several_classes(y, arguments.get("sample_weight"))
        sets = arguments.get("eval_set")
        if sets is not None:
            arguments["eval_set"] = [(X, _codes(labels, classes)) for X, labels in sets]
        arguments |= {"y": codes, "xgb_model": _resumed(arguments.get("xgb_model"))}
        self._train_original(method, arguments, learnt | {"classes_": classes})

    def _describe(self, original: Any) -> Description:
        return _described(getattr(original, "model_", original), CLASSIFICATION)

    @available_if(lambda self: self.objective != "binary:logitraw")
    def predict_proba(self, X: ArrayLike, *, fhe: str = "disable") -> Any:
        """Return the probability of each class; there is none with ``objective="binary:logitraw"``.

        Parameters and errors are those of `predict`.

        Returns
        -------
        ndarray of float64, shape (n_rows, n_classes)
        """
        return super().predict_proba(X, fhe=fhe)


class XGBRegressor(RegressorMixin, TreePredictorMixin, BaseEstimator):
    """XGBoost for regression on encrypted data.

    Parameters
    ----------
    n_bits : int, default=None
        None lets the client encode each row by the thresholds of the trees: every row takes the
        original's path through every tree. k quantizes the features to k bits before training and compares
        them under encryption, so that thresholds stay on the server.
    **parameters
        Those of `xgboost.XGBRegressor`, with its defaults.

    Attributes
    ----------
    model_ : xgboost.XGBRegressor
        The fitted original.
    n_features_in_ : int
        Features of a row.
    feature_names_in_ : ndarray of str, shape (n_features,)
        Their names, if training had any.
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
    Trees of ``booster="gbtree"`` and ``"dart"`` are evaluated, categorical splits among them, up to the best
    iteration of early stopping. Who learns what in either mode is in docs/trees.md.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skfhe.boosting import XGBRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = XGBRegressor(n_estimators=5, max_depth=3).fit(X, y)
    >>> circuit = model.compile()
    >>> bool((model.predict(X[:2], fhe="execute") == model.predict(X[:2])).all())
    True
    """

    _original = xgboost.XGBRegressor
    _open_names = OPEN_NAMES
    __init__ = held.storing(_parameters(xgboost.XGBRegressor), n_bits=None)
    fit = method_of(xgboost.XGBRegressor.fit)
    get_params = held.get_params
    set_params = held.set_params
    feature_importances_ = property(_importances)
    _converted = classmethod(held.converted)
    _adopt = _adopt
    _rows = _rows
    _quantizable = _quantizable
    _represented = held.represented

    def __sklearn_tags__(self) -> Any:
        tags = held.tagged(super().__sklearn_tags__())
        tags.target_tags.multi_output = True
        return tags

    def _train(self, method: Any, arguments: dict[str, Any]) -> None:
        arguments, learnt = held.checked_training(self, arguments)
        y = held.checked_targets(arguments["y"], classes=False, several=True)
        arguments |= {"y": y, "xgb_model": _resumed(arguments.get("xgb_model"))}
        self._train_original(method, arguments, learnt)

    def _describe(self, original: Any) -> Description:
        return _described(getattr(original, "model_", original), REGRESSION)


def _codes(labels: Any, classes: Array) -> IntArray:
    """Return the positions of labels among the classes."""
    labels = np.asarray(labels)
    unknown = np.setdiff1d(labels, classes)
    if len(unknown):
        raise ValueError(
            f"eval_set has labels that y has not: {unknown.tolist()}; expected {classes.tolist()}"
        )
    return np.searchsorted(classes, labels)
