"""Checks of what ``fit`` was given, as scikit-learn does them, for originals that leave them out."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import assert_all_finite, check_array, check_consistent_length, column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from skfhe._originals.compat import check_sample_weight, get_feature_names
from skfhe._typing import Array, FloatArray
from skfhe.exceptions import UnsupportedModelError

__all__ = ["check_several_classes", "checked_targets", "checked_training", "frame_categories"]


def frame_categories(X: Any) -> list[str]:
    """Return the columns of a data frame that hold categories or text, for anything else none."""
    if not hasattr(X, "columns"):
        return []
    return [
        name
        for name, kind in zip(X.columns, X.dtypes, strict=True)
        if str(kind) in ("category", "object", "str", "string")
    ]


def checked_training(
    estimator: Any, arguments: dict[str, Any], **options: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Check what ``fit`` was given as scikit-learn does.

    Parameters
    ----------
    estimator : estimator
    arguments : dict
        Of ``fit``, by name.
    **options
        Further ones of `sklearn.utils.check_array`.

    Returns
    -------
    arguments : dict
        With arrays in place of other array-likes. Data frames stay, for their names and categories.
    learnt : dict
        ``feature_names_in_``, if there are names.

    Raises
    ------
    ValueError
        If they are not what they should be.
    """
    X, y, weight = arguments["X"], arguments.get("y"), arguments.get("sample_weight")
    if y is None:
        raise ValueError(f"{type(estimator).__name__} requires y to be passed, but the target y is None")
    if not frame_categories(X):
        options = {"accept_sparse": "csr", "ensure_all_finite": "allow-nan"} | options
        array = check_array(X, estimator=estimator, input_name="X", **options)
        X = X if hasattr(X, "columns") else array
    check_consistent_length(X, y)
    found = {"X": X}
    if weight is not None:
        found["sample_weight"] = check_sample_weight(weight, X, dtype=np.float64)
    names = get_feature_names(X)
    return arguments | found, {} if names is None else {"feature_names_in_": names}


def checked_targets(y: Any, classes: bool, several: bool = False) -> Array:
    """Return targets as an array.

    Parameters
    ----------
    y : array-like of shape (n_rows,) or (n_rows, n_targets)
    classes : bool
        Whether they are labels.
    several : bool, default=False
        Whether there may be several targets.

    Returns
    -------
    ndarray

    Raises
    ------
    ValueError
        If they are not finite, or not of the kind that is expected.
    """
    kind = None if classes else np.float64
    y = check_array(y, ensure_2d=False, dtype=kind, input_name="y", ensure_all_finite=not classes)
    if classes:
        if y.ndim == 2 and y.shape[1] > 1:
            raise UnsupportedModelError(
                f"y has shape {y.shape}: a classifier takes one label a row; for several, wrap it in "
                "sklearn.multioutput.MultiOutputClassifier"
            )
        check_classification_targets(y)
    if y.ndim == 1 or not several or y.shape[1] == 1:
        y = column_or_1d(y, warn=True)
    assert_all_finite(y, input_name="y")
    return y


def check_several_classes(y: Array, sample_weight: FloatArray | None) -> None:
    """Raise a `ValueError` unless rows of positive weight are of two classes or more."""
    found = np.unique(y if sample_weight is None else y[sample_weight > 0])
    if len(found) < 2:
        raise ValueError(
            f"y has 1 class, {found.tolist()}, in rows of positive weight; a classifier needs 2 or more"
        )
