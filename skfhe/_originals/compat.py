"""Every private name of scikit-learn that skfhe uses: what it is for, and in which versions it is.

All of them are in every version that is supported, 1.7 to 1.9, where nothing else is said. When a version
moves or drops one, the switch between versions belongs here, and nowhere else. What a subclass of
`sklearn.base.BaseEstimator` has by way of the developer's guide, ``_parameter_constraints``,
``_validate_params`` and ``_get_param_names``, is used where the subclass is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import sklearn
from sklearn.base import _fit_context as fit_context
from sklearn.utils._param_validation import HasMethods, Interval, RealNotInt, StrOptions
from sklearn.utils._set_output import _auto_wrap_is_configured, _get_output_config
from sklearn.utils.validation import _check_sample_weight as check_sample_weight
from sklearn.utils.validation import _get_feature_names as get_feature_names

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
    "baseline",
    "callbacks_of",
    "categories_by_feature",
    "check_sample_weight",
    "columns_by_part",
    "dtype_of_fills",
    "dtype_of_rows_at_fit",
    "fit_context",
    "get_feature_names",
    "histogram_categories",
    "histogram_stages",
    "initial_scores",
    "output_container",
    "preprocessed_rows",
    "rows_of_tree",
    "standardizer",
]

# Functions and classes:
#   fit_context          decorates ``fit`` of our own estimators: validates parameters, but for nested ones
#   HasMethods, Interval, RealNotInt, StrOptions    what ``_parameter_constraints`` are made of
#   check_sample_weight  weights as an array, ones by default
#   get_feature_names    names of a data frame's columns, or None

# Attributes of estimators, by name.

METADATA_REQUEST = "_metadata_request"
"""What ``set_fit_request`` and its like have set."""

KEPT_BY_CLONES = frozenset({METADATA_REQUEST, "_sklearn_output_config", "_skl_callbacks"})
"""What `sklearn.base.clone` keeps beside parameters; never learnt. Callbacks there are from 1.9 on."""


def callbacks_of(estimator: Any) -> tuple[Any, ...]:
    """Return the callbacks of an estimator, which its clones share; from 1.9 on."""
    return tuple(getattr(estimator, "_skl_callbacks", ()))


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


# Meta-estimators.


def positive_label(tuned: Any) -> Any:
    """Return the class that a searched threshold decides for, or None for the second of two."""
    return tuned._curve_scorer._get_pos_label()


def has_flat_target(transformed: Any) -> bool:
    """Whether a regression of transformed targets was trained on a single one without an axis of its own."""
    return transformed._training_dim == 1
