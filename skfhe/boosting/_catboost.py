"""CatBoost models on encrypted data."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import catboost
import numpy as np
from scipy.sparse import csr_matrix, issparse
from scipy.special import logit
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from skfhe._originals.docstrings import documented
from skfhe._originals.fit_arguments import check_several_classes, checked_targets, checked_training
from skfhe._originals.held import HeldOriginalMixin, storing
from skfhe._originals.inherited import method_of
from skfhe._trees.docstrings import TREES
from skfhe._trees.ensemble import RawTree
from skfhe._trees.estimator import ENSEMBLE, Description, TreePredictorMixin
from skfhe._typing import FloatArray
from skfhe.boosting._reading import Branch, read_tree
from skfhe.boosting._trained_on_levels import EvaluationSetsMixin
from skfhe.encoding import Head, LevelQuantizer, Margins, Rule, Split, Values
from skfhe.exceptions import UnsupportedModelError

__all__ = ["CatBoostClassifier", "CatBoostRegressor"]


RULE = Rule("<=", "float32")

CLASSIFICATION: dict[str, Head] = {
    **dict.fromkeys(("Logloss", "CrossEntropy", "Focal"), Margins("logistic")),
    "MultiClass": Margins("softmax"),
    "MultiClassOneVsAll": Margins("one_vs_rest"),
}
REGRESSION: dict[str, Head] = {
    **dict.fromkeys(
        (
            *("RMSE", "MAE", "Quantile", "LogLinQuantile", "MAPE", "Lq", "Huber", "Expectile", "LogCosh"),
            *("RMSPE", "MultiRMSE", "MultiRMSEWithMissingValues", "MultiQuantile"),
        ),
        Values(),
    ),
    **dict.fromkeys(("Poisson", "Tweedie"), Values("exp")),
}


def _no_categories(name: str) -> str:
    return (
        f"{name} are hashed, or replaced by statistics of the target, which the client cannot encode by; "
        "turn them into numbers before, for example by sklearn.preprocessing.TargetEncoder or OneHotEncoder "
        "in a pipeline"
    )


# Trees.


def _described(fitted: Any, heads: dict[str, Head]) -> Description:
    """Read a fitted model: the scaled sum of its trees, added to its biases."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.json")
        fitted.save_model(str(path), format="json")
        model = json.loads(path.read_text("utf-8"))
    features = model["features_info"]
    others = [kind for kind in features if kind.endswith("_features") and kind != "float_features"]
    for kind in others:
        if features[kind]:
            raise UnsupportedModelError(_no_categories(kind))
    loss = model["model_info"]["params"]["loss_function"]["type"]
    if loss not in heads:
        raise UnsupportedModelError(
            f"loss_function={loss!r} of {type(fitted).__name__} cannot be evaluated; expected one of "
            f"{', '.join(sorted(heads))}"
        )
    scale, bias = model["scale_and_bias"]
    splits = _FloatSplits(features["float_features"])
    if "oblivious_trees" in model:
        trees = [_symmetric(tree, splits, scale, len(bias)) for tree in model["oblivious_trees"]]
    else:
        trees = [_nested(tree, splits, scale) for tree in model["trees"]]
    n_features = len(fitted.feature_names_)
    return Description(trees, np.array(bias, dtype=np.float64), RULE, heads[loss], n_features, stage=1)


class _FloatSplits:
    """Turns the library's splits into ours."""

    def __init__(self, features: list[dict[str, Any]]) -> None:
        self._features = {feature["feature_index"]: feature for feature in features}

    def __call__(self, split: dict[str, Any]) -> Split:
        if split["split_type"] != "FloatFeature":
            raise UnsupportedModelError(_no_categories(f"splits of type {split['split_type']}"))
        feature = self._features[split["float_feature_index"]]
        border = float(np.float32(split["border"]))
        return Split(feature["flat_feature_index"], border, feature["nan_value_treatment"] == "AsTrue")


def _symmetric(tree: dict[str, Any], split: _FloatSplits, scale: float, n_outputs: int) -> RawTree:
    """Read a tree whose nodes of one depth ask the same; bit i of a leaf's number answers split i."""
    splits = [split(asked) for asked in tree.get("splits") or ()]
    values = scale * np.array(tree["leaf_values"], dtype=np.float64).reshape(-1, n_outputs)

    def read(node: tuple[int, int]) -> Branch[tuple[int, int]] | FloatArray:
        depth, number = node
        if depth == len(splits):
            return values[number]
        return splits[depth], (depth + 1, number), (depth + 1, number | 1 << depth)

    return read_tree((0, 0), read)


def _nested(tree: dict[str, Any], split: _FloatSplits, scale: float) -> RawTree:
    def read(node: dict[str, Any]) -> Branch[dict[str, Any]] | FloatArray:
        if "split" in node:
            return split(node["split"]), node["left"], node["right"]
        return scale * np.atleast_1d(np.array(node["value"], dtype=np.float64))

    return read_tree(tree, read)


# Estimators.


class CatBoostMixin(HeldOriginalMixin, EvaluationSetsMixin):
    """What both estimators of the library share; goes before `TreePredictorMixin`."""

    _heads: dict[str, Head]

    @property
    def feature_importances_(self) -> FloatArray:
        """The features' importances, shape (n_features,)."""
        return self.model_.feature_importances_

    def __sklearn_tags__(self: Any) -> Any:
        """Say that missing values and sparse rows are taken."""
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        tags.input_tags.allow_nan = tags.input_tags.sparse = True
        return tags

    def _adopt(self: Any, original: Any) -> None:
        super()._adopt(original)
        self.n_features_in_ = len(original.feature_names_)  # a copied or loaded original says 0
        if original.feature_names_ != [str(feature) for feature in range(len(original.feature_names_))]:
            self.feature_names_in_ = np.asarray(original.feature_names_, dtype=object)

    def _describe(self, original: Any) -> Description:
        return _described(getattr(original, "model_", original), self._heads)

    def _rows(self, fitted: Any, X: Any) -> Any:
        """Return validated rows in single precision."""
        options = {"accept_sparse": "csr", "dtype": np.float32, "ensure_all_finite": "allow-nan"}
        if fitted is self:
            return validate_data(self, X, reset=False, **options)
        return check_array(X, estimator=self, input_name="X", **options)

    def _checked(self, arguments: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Check what ``fit`` was given; see `skfhe._originals.fit_arguments.checked_training`."""
        if isinstance(arguments["X"], catboost.Pool | catboost.FeaturesData | str | Path):
            raise TypeError(
                f"X must be array-like, got {type(arguments['X']).__name__}; give the rows and targets that "
                "it was made of: fit(X, y)"
            )
        for name in ("cat_features", "text_features", "embedding_features"):
            if arguments.get(name) is not None or getattr(self, name) is not None:
                raise UnsupportedModelError(_no_categories(name))
        model = arguments.get("init_model")
        if isinstance(model, CatBoostMixin):
            arguments = arguments | {"init_model": model.model_}
        checked, learnt = checked_training(self, arguments, ensure_min_samples=2, accept_large_sparse=False)
        if issparse(checked["X"]):
            checked["X"] = csr_matrix(checked["X"])  # the library does not know sparse arrays
        return checked, learnt

    def _represented(self: Any, arguments: dict[str, Any], quantizer: LevelQuantizer) -> dict[str, Any]:
        sets = arguments.get("eval_set")
        pairs = sets if isinstance(sets, list) else [sets]
        if sets is not None and not all(isinstance(pair, tuple) for pair in pairs):
            raise ValueError(
                f"n_bits={self.n_bits} quantizes rows, which eval_set has in a {type(sets).__name__}; give "
                "it as (X, y) or a list of such pairs"
            )
        return super()._represented(arguments, quantizer)


@documented(TREES, scores="margins, before the link")
class CatBoostClassifier(ClassifierMixin, CatBoostMixin, TreePredictorMixin, BaseEstimator):
    """CatBoost for classification on encrypted data.

    {parameters_of_ensemble}

    Attributes
    ----------
    {model_}
    {classes_}
    {attributes_of_held_trees}

    Notes
    -----
    Trees of every ``grow_policy`` are evaluated; a symmetric one of depth d is one lookup of d bits, or
    2**(d - 4) of 4 bits where these are faster.
    Categorical features are refused. Who learns what in either mode is in docs/trees.md.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from skfhe.boosting import CatBoostClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = CatBoostClassifier(iterations=5, depth=3, verbose=0, allow_writing_files=False).fit(X, y)
    >>> circuit = model.compile()
    >>> bool((model.predict(X[:2], fhe="execute") == model.predict(X[:2])).all())
    True
    """

    _original = catboost.CatBoostClassifier
    _heads = CLASSIFICATION
    __init__ = storing(catboost.CatBoostClassifier.__init__, **ENSEMBLE)
    fit = method_of(catboost.CatBoostClassifier.fit)

    def _train(self, method: Any, arguments: dict[str, Any]) -> None:
        arguments, learnt = self._checked(arguments)
        loss = self.loss_function or self.objective
        y = checked_targets(arguments["y"], classes=loss != "CrossEntropy")
        if loss != "CrossEntropy":  # whose targets are probabilities
            check_several_classes(y, arguments.get("sample_weight"))
        self._train_original(method, arguments | {"y": y}, learnt)

    def _describe(self, original: Any) -> Description:
        described, fitted = super()._describe(original), getattr(original, "model_", original)
        threshold = fitted.get_probability_threshold() if fitted.classes_.size == 2 else 0.5
        if isinstance(described.head, Margins) and described.head.link == "logistic":
            head = replace(described.head, boundary=float(logit(threshold)))
            described = replace(described, head=head)
        return described


@documented(TREES, scores="predictions before the link")
class CatBoostRegressor(RegressorMixin, CatBoostMixin, TreePredictorMixin, BaseEstimator):
    """CatBoost for regression on encrypted data.

    {parameters_of_ensemble}

    Attributes
    ----------
    {model_}
    {attributes_of_held_trees}

    Notes
    -----
    Trees of every ``grow_policy`` are evaluated; a symmetric one of depth d is one lookup of d bits, or
    2**(d - 4) of 4 bits where these are faster.
    Categorical features are refused. Who learns what in either mode is in docs/trees.md.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skfhe.boosting import CatBoostRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = CatBoostRegressor(iterations=5, depth=3, verbose=0, allow_writing_files=False).fit(X, y)
    >>> circuit = model.compile()
    >>> bool((model.predict(X[:2], fhe="execute") == model.predict(X[:2])).all())
    True
    """

    _original = catboost.CatBoostRegressor
    _heads = REGRESSION
    __init__ = storing(catboost.CatBoostRegressor.__init__, **ENSEMBLE)
    fit = method_of(catboost.CatBoostRegressor.fit)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = str(self.loss_function or self.objective).startswith("MultiRMSE")
        return tags

    def _train(self, method: Any, arguments: dict[str, Any]) -> None:
        arguments, learnt = self._checked(arguments)
        y = checked_targets(arguments["y"], classes=False, several=True)
        self._train_original(method, arguments | {"y": y}, learnt)
