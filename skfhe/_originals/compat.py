"""Every private name of scikit-learn that skfhe uses: what it is for, and in which versions it is.

All of them are in every version that is supported, 1.7 to 1.9, where nothing else is said. When a version
moves or drops one, the switch between versions belongs here, and nowhere else. What a subclass of
`sklearn.base.BaseEstimator` has by way of the developer's guide, ``_parameter_constraints``,
``_validate_params`` and ``_get_param_names``, is used where the subclass is.
"""

from __future__ import annotations

import inspect
import sys
from types import FrameType
from typing import Any

import numpy as np
import sklearn
from sklearn.base import _fit_context as fit_context
from sklearn.ensemble._iforest import _average_path_length
from sklearn.model_selection._validation import _fit_and_score as fit_and_score
from sklearn.utils import _safe_indexing as safe_indexing
from sklearn.utils._param_validation import HasMethods, Interval, RealNotInt, StrOptions
from sklearn.utils._pprint import _EstimatorPrettyPrinter
from sklearn.utils._repr_html.estimator import _VisualBlock
from sklearn.utils._set_output import _auto_wrap_is_configured, _get_output_config
from sklearn.utils.validation import _check_method_params as check_method_params
from sklearn.utils.validation import _check_sample_weight as check_sample_weight
from sklearn.utils.validation import _get_feature_names as get_feature_names
from sklearn.utils.validation import _num_samples as n_rows_of

from skfhe._typing import Array, FloatArray, IntArray

__all__ = [
    "IN_WIDTH_OF_ROWS",
    "KEPT_BY_CLONES",
    "METADATA_REQUEST",
    "WARNED_ARE_INFREQUENT",
    "HasMethods",
    "Interval",
    "RealNotInt",
    "StrOptions",
    "accepts_sample_weight",
    "baseline",
    "callbacks_of",
    "categories_by_feature",
    "centers_and_scales",
    "check_method_params",
    "check_sample_weight",
    "columns_by_part",
    "dtype_of_fills",
    "dtype_of_rows_at_fit",
    "fit_and_score",
    "fit_context",
    "get_feature_names",
    "has_flat_predictions",
    "histogram_categories",
    "histogram_stages",
    "initial_scores",
    "isolation_lengths",
    "kernel_coefficient",
    "kernel_probabilities",
    "n_rows_of",
    "output_container",
    "predicts_labels",
    "preprocessed_rows",
    "printed_as_estimators",
    "references_and_targets",
    "rows_of_tree",
    "safe_indexing",
    "said_above",
    "standardizer",
    "visual_block",
]

# Functions and classes:
#   fit_context          decorates ``fit`` of our own estimators: validates parameters, but for nested ones
#   HasMethods, Interval, RealNotInt, StrOptions    what ``_parameter_constraints`` are made of
#   fit_and_score        trains on the one part of a fold, scores on the other; what searches run in workers
#   check_method_params  keyword arguments of ``fit``, those with a value a row as indexable
#   check_sample_weight  weights as an array, ones by default
#   get_feature_names    names of a data frame's columns, or None

# Attributes of estimators, by name.

METADATA_REQUEST = "_metadata_request"
"""What ``set_fit_request`` and its like have set."""

KEPT_BY_CLONES = frozenset({METADATA_REQUEST, "_sklearn_output_config", "_skl_callbacks"})
"""What `sklearn.base.clone` keeps beside parameters; never learnt. Callbacks there are from 1.9 on."""


EVALUATING = frozenset(
    {
        "predict",
        "predict_proba",
        "predict_log_proba",
        "decision_function",
        "score",
        "score_samples",
        "transform",
    }
)
"""Methods that evaluate rows."""


def callbacks_of(estimator: Any) -> tuple[Any, ...]:
    """Return the callbacks of an estimator, which its clones share; from 1.9 on."""
    return tuple(getattr(estimator, "_skl_callbacks", ()))


def said_above(name: str) -> Any:
    """Return what a method of scikit-learn that is under way was given by this name, or None.

    Some take any keyword and do not pass it on to all that they ask: ``score`` of a Pipeline drops it where
    metadata is not routed, ``predict`` of stacking gives it to the final estimator alone, and steps before
    the last never see it. To be asked by whoever was not given one.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if code.co_name in EVALUATING and code.co_flags & inspect.CO_VARKEYWORDS:
            module = frame.f_globals.get("__name__", "")
            keywords = code.co_varnames[
                code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & inspect.CO_VARARGS)
            ]
            given = frame.f_locals.get(keywords) if module.startswith("sklearn.") else None
            if given and given.get(name) is not None:
                return given[name]
        frame = frame.f_back
    return None


def printed_as_estimators(text: Any) -> Any:
    """Let texts of estimators whose ``__repr__`` this is be wrapped as those of others are; return it.

    Printing finds what to wrap by that method.
    """
    _EstimatorPrettyPrinter._dispatch[text] = _EstimatorPrettyPrinter._pprint_estimator
    return text


def visual_block(estimator: Any, caption: str) -> Any:
    """Return what an estimator is in a diagram: a box with a caption below its name."""
    name = type(estimator).__name__
    return _VisualBlock(
        "single", estimator, names=name, name_details=str(estimator), name_caption=caption or None
    )


# Parts of fitted support vector machines.


def kernel_coefficient(machine: Any) -> float:
    """Return what ``gamma`` was for the kernel of a fitted support vector machine."""
    return float(machine._gamma)


def kernel_probabilities(machine: Any) -> tuple[FloatArray, FloatArray]:
    """Return the slopes and intercepts of a support vector machine's probabilities; empty if it has none."""
    return np.asarray(machine._probA), np.asarray(machine._probB)


# Parts of fitted trees and their ensembles.


def rows_of_tree(tree: Any, X: Any) -> Any:
    """Return rows that the caller of a decision tree has validated, and only count their features."""
    return tree._validate_X_predict(X, False)


def initial_scores(boosting: Any) -> FloatArray:
    """Return the scores that gradient boosting begins with, of all rows alike; shape (n_outputs,)."""
    return boosting._raw_predict_init(np.zeros((1, boosting.n_features_in_)))[0]


def preprocessed_rows(boosting: Any, X: Any) -> Any:
    """Return rows as trees of histogram-based boosting read them.

    Categories are numbers, and come before the other features.
    """
    return boosting._preprocess_X(X, reset=False)


def histogram_categories(boosting: Any) -> tuple[IntArray, list[Array]] | None:
    """Return which features histogram-based boosting has categories of, and these, or None if it has none.

    Their numbers are places among them; what is missing has none.
    """
    preprocessor = boosting._preprocessor
    if preprocessor is None:
        return None
    categories = []
    for known in preprocessor.named_transformers_["encoder"].categories_:
        missing = len(known) and isinstance(known[-1], float) and np.isnan(known[-1])
        categories.append(known[:-1] if missing else known)
    return np.flatnonzero(boosting.is_categorical_), categories


def baseline(boosting: Any) -> FloatArray:
    """Return the scores that histogram-based boosting begins with, shape (n_outputs,)."""
    return boosting._baseline_prediction.ravel()


def histogram_stages(boosting: Any) -> list[list[Any]]:
    """Return the trees of histogram-based boosting by stage and by output.

    Each has ``nodes``, a structured array, and ``raw_left_cat_bitsets``.
    """
    return boosting._predictors


def categories_by_feature(boosting: Any) -> dict[int, frozenset[int]]:
    """Return the categories that histogram-based boosting knows of each categorical feature."""
    mapper = boosting._bin_mapper
    return {
        int(feature): frozenset(int(category) for category in mapper.bin_thresholds_[feature])
        for feature in np.flatnonzero(mapper.is_categorical_)
    }


def isolation_lengths(forest: Any) -> tuple[list[FloatArray], float]:
    """Return what an isolation forest adds up, and what it divides the sum by.

    Returns
    -------
    lengths : list of ndarray of float64, each of shape (n_nodes,)
        For each tree, the length of a path that ends in a node, and what it would go on by if the node were
        split until every row is alone.
    usual : float
        The sum over trees for a row like any other.
    """
    lengths = [
        depths + further - 1.0
        for depths, further in zip(
            forest._decision_path_lengths, forest._average_path_length_per_tree, strict=True
        )
    ]
    return lengths, float(len(lengths) * _average_path_length([forest._max_samples])[0])


# Parts of linear classifiers.


def predicts_labels(ridge: Any) -> bool:
    """Whether a classifier by ridge regression was trained on labels of which a row can have several."""
    return ridge._label_binarizer.y_type_.startswith("multilabel")


# Fitted transformers.

_FROM_1_8 = tuple(int(part) for part in sklearn.__version__.split(".")[:2]) >= (1, 8)
IN_WIDTH_OF_ROWS = _FROM_1_8
"""Whether StandardScaler converts its statistics to the dtype of the rows."""
WARNED_ARE_INFREQUENT = _FROM_1_8
"""Whether unknown values that OneHotEncoder warns of count as infrequent."""


def output_container(transformer: Any) -> str:
    """Return the library whose frames a transformer's output is wrapped in, ``"default"`` for none."""
    if not _auto_wrap_is_configured(transformer):
        return "default"
    return _get_output_config("transform", transformer)["dense"]


def columns_by_part(transformer: Any) -> dict[str, list[int]]:
    """Return the places of the columns that each part of a fitted ColumnTransformer takes."""
    return transformer._transformer_to_input_indices


def standardizer(transformer: Any) -> Any:
    """Return the scaler inside a fitted PowerTransformer, None if it has none."""
    return transformer._scaler if transformer.standardize else None


def dtype_of_rows_at_fit(imputer: Any) -> Any:
    """Return the dtype of the rows that a SimpleImputer was fitted on."""
    return imputer._fit_dtype


def dtype_of_fills(imputer: Any) -> Any:
    """Return the dtype that fills of a SimpleImputer are converted to, which is done from 1.8 on, or None."""
    return getattr(imputer, "_fill_dtype", None)


# Partial least squares.


def centers_and_scales(fitted: Any) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return what rows are centred and scaled by, and what targets are: their means and deviations."""
    return fitted._x_mean, fitted._x_std, fitted._y_mean, fitted._y_std


def has_flat_predictions(fitted: Any) -> bool:
    """Whether partial least squares were trained on a single target without an axis of its own."""
    return bool(fitted._predict_1d)


# Nearest neighbors.


def references_and_targets(fitted: Any) -> tuple[Any, Array]:
    """Return the rows that neighbors are sought among, and their targets; of classes, their numbers."""
    return fitted._fit_X, fitted._y


# Meta-estimators.


def positive_label(tuned: Any) -> Any:
    """Return the class that a searched threshold decides for, or None for the second of two."""
    return tuned._curve_scorer._get_pos_label()


def has_flat_target(transformed: Any) -> bool:
    """Whether a regression of transformed targets was trained on a single one without an axis of its own."""
    return transformed._training_dim == 1


def accepts_sample_weight(scorer: Any) -> bool:
    """Whether searches give the weights of rows to a scorer where metadata is not routed; from 1.9 on."""
    accepts = getattr(scorer, "_accept_sample_weight", None)
    return accepts is not None and bool(accepts())
