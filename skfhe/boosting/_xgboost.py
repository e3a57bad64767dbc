"""XGBoost models on encrypted data."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
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

from skfhe._originals.docstrings import documented
from skfhe._originals.fit_arguments import (
    check_several_classes,
    checked_targets,
    checked_training,
    frame_categories,
)
from skfhe._originals.held import HeldOriginalMixin, storing
from skfhe._originals.inherited import method_of
from skfhe._trees.docstrings import TREES
from skfhe._trees.ensemble import RawTree
from skfhe._trees.estimator import ENSEMBLE, Description, TreePredictorMixin
from skfhe._typing import Array, FloatArray, IntArray
from skfhe.boosting._reading import Branch, read_tree
from skfhe.boosting._trained_on_levels import EvaluationSetsMixin, no_quantized_categories
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


# Rows.


def _numbered(X: Any, categories: dict[int, list[Any] | None]) -> Any:
    """Return a data frame with the library's numbers in place of categories."""
    columns = frame_categories(X)
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


class XGBoostMixin(HeldOriginalMixin, EvaluationSetsMixin):
    """What both estimators of the library share; goes before `TreePredictorMixin`."""

    _open_names = OPEN_NAMES
    _heads: dict[str, Head]
    missing: float | None
    feature_types: Any

    @property
    def feature_importances_(self) -> FloatArray:
        """The features' importances, of the kind ``importance_type``, shape (n_features,)."""
        return self.model_.feature_importances_

    def __sklearn_tags__(self: Any) -> Any:
        """Say that missing values and sparse rows are taken."""
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        tags.input_tags.allow_nan = tags.input_tags.sparse = True
        return tags

    def _train_original(self: Any, method: Any, arguments: dict[str, Any], learnt: Mapping[str, Any]) -> None:
        model = arguments.get("xgb_model")
        resumed = model.model_ if isinstance(model, XGBoostMixin) else model
        super()._train_original(method, arguments | {"xgb_model": resumed}, learnt)  # type: ignore[misc]

    def _adopt(self, original: Any) -> None:
        super()._adopt(original)
        self._categories = _categories(original)

    def _describe(self, original: Any) -> Description:
        return _described(getattr(original, "model_", original), self._heads)

    def _rows(self, fitted: Any, X: Any) -> Any:
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
        if frame_categories(X) or "c" in (self.feature_types or ()):
            raise UnsupportedModelError(no_quantized_categories(self))
        if self.missing is not None and not np.isnan(self.missing):
            raise ValueError(
                f"n_bits={self.n_bits} and missing={self.missing!r} were given; replace such values by NaN, "
                "or use n_bits=None"
            )
        return super()._quantizable(X)  # type: ignore[misc]


@documented(TREES, scores="margins, before the link")
class XGBClassifier(ClassifierMixin, XGBoostMixin, TreePredictorMixin, BaseEstimator):
    """XGBoost for classification on encrypted data.

    {parameters_of_ensemble}

    Attributes
    ----------
    {model_}
    {classes_}
    {attributes_of_held_trees}

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
    _heads = CLASSIFICATION
    __init__ = storing(xgboost.XGBModel.__init__, xgboost.XGBClassifier.__init__, **ENSEMBLE)
    fit = method_of(xgboost.XGBClassifier.fit)

    def _train(self, method: Any, arguments: dict[str, Any]) -> None:
        arguments, learnt = checked_training(self, arguments)
        y = checked_targets(arguments["y"], classes=True)
        classes, codes = np.unique(y, return_inverse=True)
        check_several_classes(y, arguments.get("sample_weight"))
        sets = arguments.get("eval_set")
        if sets is not None:
            arguments["eval_set"] = [(X, _codes(labels, classes)) for X, labels in sets]
        self._train_original(method, arguments | {"y": codes}, learnt | {"classes_": classes})

    @available_if(lambda self: self.objective != "binary:logitraw")
    def predict_proba(self, X: ArrayLike, *, fhe: str = "disable") -> Any:
        """Return the probability of each class; there is none with ``objective="binary:logitraw"``.

        Parameters and errors are those of `predict`.

        Returns
        -------
        ndarray of float64, shape (n_rows, n_classes)
        """
        return super().predict_proba(X, fhe=fhe)


@documented(TREES, scores="predictions before the link")
class XGBRegressor(RegressorMixin, XGBoostMixin, TreePredictorMixin, BaseEstimator):
    """XGBoost for regression on encrypted data.

    {parameters_of_ensemble}

    Attributes
    ----------
    {model_}
    {attributes_of_held_trees}

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
    _heads = REGRESSION
    __init__ = storing(xgboost.XGBModel.__init__, xgboost.XGBRegressor.__init__, **ENSEMBLE)
    fit = method_of(xgboost.XGBRegressor.fit)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _train(self, method: Any, arguments: dict[str, Any]) -> None:
        arguments, learnt = checked_training(self, arguments)
        y = checked_targets(arguments["y"], classes=False, several=True)
        self._train_original(method, arguments | {"y": y}, learnt)


def _codes(labels: Any, classes: Array) -> IntArray:
    """Return the positions of labels among the classes."""
    labels = np.asarray(labels)
    unknown = np.setdiff1d(labels, classes)
    if len(unknown):
        raise ValueError(
            f"eval_set has labels that y has not: {unknown.tolist()}; expected {classes.tolist()}"
        )
    return np.searchsorted(classes, labels)
