"""LightGBM models on encrypted data."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.utils.validation import validate_data

from skfhe._originals.compat import get_feature_names
from skfhe._originals.docstrings import documented
from skfhe._originals.fit_arguments import frame_categories
from skfhe._originals.inherited import adopt, method_of, parameters_of
from skfhe._trees.docstrings import TREES
from skfhe._trees.estimator import ENSEMBLE, Description, TreePredictorMixin
from skfhe._typing import FloatArray, IntArray
from skfhe.boosting._reading import Branch, read_tree
from skfhe.boosting._trained_on_levels import EvaluationSetsMixin, no_quantized_categories
from skfhe.encoding import Categories, Head, Margins, Rule, Split, Values
from skfhe.exceptions import UnsupportedModelError

__all__ = ["LGBMClassifier", "LGBMRegressor"]


RULE = Rule("<=", "float64")
ZERO = float(np.float32(1e-35))
"""Values no larger than this are taken for zeros by the library's predictions."""

CATEGORICAL = ("categorical_feature", "cat_feature", "categorical_column", "cat_column")
"""Names of the parameter that tells which features are categories."""

IDENTITY = (
    *("regression", "regression_l1", "huber", "fair", "quantile", "mape", "custom"),
    *("lambdarank", "rank_xendcg"),
)
CLASSES = ("binary", "multiclass", "multiclassova")
"""Objectives of classifiers."""
EXP = ("poisson", "gamma", "tweedie")


# Rows.


def _numbered(X: Any, categories: list[list[Any]]) -> Any:
    """Return a copy of a data frame with the library's numbers in place of categories."""
    X = X.copy()
    columns = [name for name, kind in zip(X.columns, X.dtypes, strict=True) if str(kind) == "category"]
    if len(columns) != len(categories):
        raise ValueError(
            f"X has {len(columns)} columns of categories, {columns}; training had {len(categories)}"
        )
    for name, known in zip(columns, categories, strict=True):
        codes = X[name].cat.set_categories(known).cat.codes.astype(np.float64)
        X[name] = codes.where(codes >= 0)
    return X


def _zero_is_missing(estimator: Any) -> bool:
    return bool(estimator.get_params().get("zero_as_missing", False))


def _categorical(original: Any) -> IntArray:
    """Return the features that are split by categories."""
    described = _described(original, Values())
    splits = (split for tree in described.trees for split in tree.splits)
    return np.unique([s.feature for s in splits if s is not None and s.categories is not None]).astype(int)


# Trees.


def _described(original: Any, head: Head | None) -> Description:
    """Read a fitted model: the sum of its trees up to the best iteration, or the mean of a forest's."""
    model = original.booster_.dump_model()
    stages = model["num_tree_per_iteration"]
    read = []
    zero_is_missing = _zero_is_missing(original)
    factor = stages / len(model["tree_info"]) if model["average_output"] else 1.0
    classifier = hasattr(original, "predict_proba")
    for position, tree in enumerate(model["tree_info"]):

        def node(at: dict[str, Any]) -> Branch[dict[str, Any]] | FloatArray:
            if "left_child" in at:
                return _split(at, zero_is_missing), at["left_child"], at["right_child"]
            if "leaf_coeff" in at:
                raise UnsupportedModelError(
                    "linear_tree=True has linear models in its leaves, which cannot be looked up; use "
                    "linear_tree=False"
                )
            return np.array([at["leaf_value"] * (1.0 if classifier else factor)])

        read.append(read_tree(tree["tree_structure"], node).in_column(position % stages, stages))
    n_features = model["max_feature_idx"] + 1
    if head is None:
        head = _head(model.get("objective", "custom"), classifier)
        if isinstance(head, Margins):  # the original's raw scores are sums even in a forest
            head = replace(head, factor=head.factor * factor)
    return Description(read, np.zeros(stages), RULE, head, n_features)


def _split(node: dict[str, Any], zero_is_missing: bool) -> Split:
    feature, threshold = int(node["split_feature"]), node["threshold"]
    if node["decision_type"] == "==":
        left = frozenset(int(category) for category in threshold.split("||"))
        return Split(feature, 0.0, True, Categories(left, frozenset(), True))
    if (node["missing_type"] == "Zero") > zero_is_missing or (
        node["missing_type"] == "NaN"
    ) & zero_is_missing:
        raise UnsupportedModelError(
            f"training went on from a model with another zero_as_missing than {zero_is_missing}; train both "
            "with the same"
        )
    if node["missing_type"] == "None":  # then a missing value is a zero
        return Split(feature, threshold, threshold < 0)
    return Split(feature, threshold, not node["default_left"])


def _head(objective: str, classifier: bool) -> Head:
    """Return what an objective, with its options such as ``"binary sigmoid:1"``, makes of the scores."""
    name, *options = objective.split()
    given = dict(option.partition(":")[::2] for option in options)
    factor = float(given.get("sigmoid", 1.0))
    if classifier:
        found: dict[str, Head] = {
            "binary": Margins("logistic", factor),
            "cross_entropy": Margins("logistic"),
            "multiclass": Margins("softmax"),
            "multiclassova": Margins("one_vs_rest", factor),
        }
    else:
        found = {
            **dict.fromkeys(IDENTITY, Values()),
            **dict.fromkeys(EXP, Values("exp")),
            "cross_entropy": Values("logistic"),
        }
        if factor == 1:
            found["binary"] = Values("logistic")
    if name not in found or "sqrt" in given:
        raise UnsupportedModelError(
            f"objective {objective!r} of {'a classifier' if classifier else 'a regressor'} cannot be "
            f"evaluated; expected one of {', '.join(sorted(found))}, without reg_sqrt"
        )
    return found[name]


# Models of the library's own.


def _objective(model: lightgbm.Booster) -> tuple[str, dict[str, str]]:
    """Return the objective of a model, "custom" for one that the library does not know, and its options."""
    name, *options = model.dump_model(num_iteration=1).get("objective", "custom").split()
    return name, dict(option.partition(":")[::2] for option in options)


def _in_estimator(original: Any, model: lightgbm.Booster) -> Any:
    """Return an estimator of the library's that predicts by a model which was trained without one."""
    name, options = _objective(model)
    given = {"zero_as_missing": True} if model.params.get("zero_as_missing") else {}
    estimator = original(objective=None if name == "custom" else name, **given)
    n_classes = max(2, int(options.get("num_class", 2)))
    learnt: dict[str, Any] = {"_Booster": model, "_objective": name, "fitted_": True}
    learnt |= dict.fromkeys(("_n_features", "_n_features_in"), model.num_feature())
    if hasattr(original, "predict_proba"):
        learnt |= {"_n_classes": n_classes, "_classes": np.arange(n_classes)}
    vars(estimator).update(learnt)
    return estimator


# Estimators.


class BaseLGBM(EvaluationSetsMixin, lightgbm.LGBMModel):
    """What both estimators of the library share; goes before `TreePredictorMixin`.

    The library's ``get_params`` asks the first or the second base class of an estimator, which so has to be
    one of its own.
    """

    @property
    def feature_names_in_(self) -> NDArray[np.object_]:
        """The features' names, if training had any; shape (n_features,)."""
        if getattr(self, "_given_names", None) is not None:
            return self._given_names
        return super().feature_names_in_

    @property
    def booster_(self: Any) -> Any:
        """The library's own model."""
        self._check_clear("booster_")
        return super().booster_

    @property
    def _pandas_categorical(self) -> Any:
        """The categories of each categorical column of a frame that training had."""
        return super().booster_.pandas_categorical

    @classmethod
    def _stands_for_native(cls, model: lightgbm.Booster) -> bool:
        """Whether a model of the library's own predicts what this estimator does, classes or values."""
        return issubclass(cls, lightgbm.LGBMClassifier) == (_objective(model)[0] in CLASSES)

    @classmethod
    def _as_original(cls: Any, fitted: Any) -> Any:
        """Return a model of the library's own in its estimator."""
        return _in_estimator(cls._original, fitted) if isinstance(fitted, lightgbm.Booster) else fitted

    def _train(self: Any, method: Any, arguments: dict[str, Any]) -> None:
        given = [arguments.get("categorical_feature"), *(self.get_params().get(name) for name in CATEGORICAL)]
        if self.n_bits is not None and any(names not in (None, "auto", "", []) for names in given):
            raise UnsupportedModelError(no_quantized_categories(self))
        weight = arguments.get("sample_weight")
        if weight is not None and not np.any(np.asarray(weight)):
            raise ValueError("sample_weight is zero for every row; expected some positive weights")
        super()._train(method, arguments)
        self._given_names = get_feature_names(arguments["X"])

    def _adopt(self, original: Any) -> None:
        adopt(self, original)
        self._categorical = _categorical(original)

    def _describe(self, original: Any) -> Description:
        return _described(original, None)

    def _rows(self, fitted: Any, X: Any) -> Any:
        """Return validated rows, categories as numbers, and NaN for every missing value."""
        if hasattr(X, "columns"):
            known = self._pandas_categorical if fitted is self else fitted.booster_.pandas_categorical
            X = _numbered(X, known or [])
            # the library has put underscores in place of spaces
            names = getattr(fitted, "feature_names_in_", ())
            known = {str(name).replace(" ", "_"): str(name) for name in names}
            X.columns = [known.get(str(name).replace(" ", "_"), name) for name in X.columns]
        rows = validate_data(
            fitted, X, reset=False, accept_sparse="csr", dtype=np.float64, ensure_all_finite=False
        )
        zero = np.nan if _zero_is_missing(fitted) else 0.0
        categorical = self._categorical if fitted is self else _categorical(fitted)
        if issparse(rows):
            if zero == 0 and not len(categorical):
                rows = rows.copy()
                rows.data = np.where(np.abs(rows.data) <= ZERO, 0.0, rows.data)
                return rows
            rows = rows.toarray()
        rows = np.where(np.abs(rows) <= ZERO, zero, rows)
        if len(categorical):
            rows[:, categorical] = np.trunc(rows[:, categorical])  # as the library does
        return rows

    def _quantizable(self: Any, X: Any) -> FloatArray:
        if frame_categories(X):
            raise UnsupportedModelError(no_quantized_categories(self))
        if _zero_is_missing(self):
            raise ValueError(
                f"n_bits={self.n_bits} and zero_as_missing=True were given; replace zeros by NaN, or use "
                "n_bits=None"
            )
        rows = super()._quantizable(X)
        return np.where(np.abs(rows) <= ZERO, 0.0, rows)


@documented(TREES, scores="those of `decision_function`")
class LGBMClassifier(BaseLGBM, TreePredictorMixin, lightgbm.LGBMClassifier):
    """LightGBM for classification on encrypted data.

    {parameters_of_ensemble}

    {attributes}

    {notes}

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from skfhe.boosting import LGBMClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = LGBMClassifier(n_estimators=5, num_leaves=4, verbose=-1).fit(X, y)
    >>> circuit = model.compile()
    >>> bool((model.predict(X[:2], fhe="execute") == model.predict(X[:2])).all())
    True
    """

    _original = lightgbm.LGBMClassifier
    __init__ = parameters_of(lightgbm.LGBMClassifier, **ENSEMBLE)
    fit = method_of(lightgbm.LGBMClassifier.fit)


@documented(TREES, scores="predictions before the link")
class LGBMRegressor(BaseLGBM, TreePredictorMixin, lightgbm.LGBMRegressor):
    """LightGBM for regression on encrypted data.

    {parameters_of_ensemble}

    {attributes}

    {notes}

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skfhe.boosting import LGBMRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = LGBMRegressor(n_estimators=5, num_leaves=4, verbose=-1).fit(X, y)
    >>> circuit = model.compile()
    >>> bool((model.predict(X[:2], fhe="execute") == model.predict(X[:2])).all())
    True
    """

    _original = lightgbm.LGBMRegressor
    __init__ = parameters_of(lightgbm.LGBMRegressor, **ENSEMBLE)
    fit = method_of(lightgbm.LGBMRegressor.fit)
