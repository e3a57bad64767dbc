"""Reading of encoders and imputers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn import impute, preprocessing

from skfhe._originals.compat import WARNED_ARE_INFREQUENT, dtype_of_fills, dtype_of_rows_at_fit
from skfhe._typing import Array, IntArray
from skfhe.deployment._reading.places import Place, Read, fitted_on
from skfhe.deployment._steps.categories import FeatureCategories, is_nan
from skfhe.deployment._steps.encoders import NUMBERS, OneHotEncoder, OrdinalEncoder, TargetEncoder
from skfhe.deployment._steps.imputers import Missing, MissingIndicator, SimpleImputer

__all__ = ["READERS"]


def _plain(value: Any, place: Place) -> Any:
    """Return a value as one of Python's own, which a file can hold."""
    plain = value.item() if isinstance(value, np.generic) else value
    if plain is None or type(plain) in (str, int, float, bool):
        return plain
    raise place.refusal(
        f"has the value {value!r} of type {type(value).__name__}, which is neither text nor a number",
        "Convert its columns first, such as by X.astype(str).",
    )


def _portable(values: Array, place: Place) -> Array:
    """Return categories or fills as numbers, text, or objects that are either."""
    if values.dtype.kind in "biufU":
        return values
    if values.dtype.kind != "O":
        hint = (
            "Make numbers of dates, such as days since some day."
            if values.dtype.kind in "mM"
            else "Convert its columns first, such as by X.astype(str)."
        )
        raise place.refusal(f"has values of dtype {values.dtype}", hint)
    plain = np.empty(len(values), dtype=object)
    plain[:] = [_plain(value, place) for value in values]
    return plain


def _grouped(categories: Array, infrequent: Array | None, n_grouped: int) -> IntArray | None:
    """Return the place of each category once the infrequent ones are one, the last."""
    if infrequent is None:
        return None
    rare = {None if value is None else "nan" if is_nan(value) else value for value in infrequent.tolist()}
    is_rare = np.array(
        [
            (None if value is None else "nan" if is_nan(value) else value) in rare
            for value in categories.tolist()
        ]
    )[:n_grouped]
    groups = np.cumsum(~is_rare) - 1
    groups[is_rare] = (~is_rare).sum()
    return groups.astype(np.int64)


def _categories(encoder: Any, place: Place, *, nan_is_grouped: bool) -> FeatureCategories:
    place.check_dense("which it refuses")
    infrequent = getattr(encoder, "infrequent_categories_", [None] * len(encoder.categories_))
    groups = []
    for categories, rare in zip(encoder.categories_, infrequent, strict=True):
        apart = is_nan(categories[-1]) and not nan_is_grouped
        groups.append(_grouped(categories, rare, len(categories) - apart))
    values = tuple(_portable(categories, place) for categories in encoder.categories_)
    return FeatureCategories(fitted_on(encoder), values, tuple(groups))


def _dtype(encoder: Any, place: Place) -> str:
    name = np.dtype(encoder.dtype).name
    if name not in NUMBERS:
        raise place.refusal(f"encodes in dtype {name}", "Use float64, float32 or an integer dtype.")
    return name


def _one_hot_encoder(encoder: Any, place: Place) -> Read:
    categories = _categories(encoder, place, nan_is_grouped=True)
    dropped: list[int | None] = []
    for index, groups in zip(
        [None] * len(categories.values) if encoder.drop_idx_ is None else encoder.drop_idx_,
        categories.groups,
        strict=True,
    ):
        dropped.append(None if index is None else int(index if groups is None else groups[index]))
    policy = encoder.handle_unknown
    infrequent = policy == "infrequent_if_exist" or (policy == "warn" and WARNED_ARE_INFREQUENT)
    told = policy == "warn" or (encoder.drop is not None and policy != "error")
    step = OneHotEncoder(
        categories,
        tuple(dropped),
        "error" if policy == "error" else "infrequent" if infrequent else "zeros",
        None if not told else "all zeros" if policy == "ignore" else "the infrequent category",
        _dtype(encoder, place),
    )
    return Read(step, encoder.sparse_output)


def _ordinal_encoder(encoder: Any, place: Place) -> Read:
    categories = _categories(encoder, place, nan_is_grouped=False)
    unknown = encoder.unknown_value if encoder.handle_unknown == "use_encoded_value" else None
    return Read(
        OrdinalEncoder(
            categories,
            None if unknown is None else _plain(unknown, place),
            _plain(encoder.encoded_missing_value, place),
            _dtype(encoder, place),
        )
    )


def _target_encoder(encoder: Any, place: Place) -> Read:
    categories = _categories(encoder, place, nan_is_grouped=True)
    encodings = tuple(np.asarray(encoding, dtype=np.float64) for encoding in encoder.encodings_)
    return Read(
        TargetEncoder(
            categories, encodings, np.atleast_1d(np.asarray(encoder.target_mean_, dtype=np.float64))
        )
    )


def _missing(value: Any, place: Place) -> Missing:
    if type(value).__name__ == "NAType":
        return Missing("pandas.NA")
    if is_nan(value):
        return Missing("nan")
    if place.sparse and value == 0:
        place.check_dense("in which zeros are not missing")
    return Missing("value", _plain(value, place))


def _simple_imputer(imputer: Any, place: Place) -> Read:
    statistics = imputer.statistics_
    there = np.array([not is_nan(value) for value in statistics.tolist()], dtype=np.bool_)
    fill_dtype = dtype_of_fills(imputer)
    if imputer.keep_empty_features or (fill_dtype is None and imputer.strategy == "constant"):
        there[:] = True
    fills = statistics[there]
    if fill_dtype is not None:
        fills = fills.astype(fill_dtype)
    rows_as: Any = "given" if imputer.strategy in ("most_frequent", "constant") else "floats"
    if dtype_of_rows_at_fit(imputer).kind == "O":
        rows_as = "objects"
    fitting = str(fill_dtype or statistics.dtype) if imputer.strategy == "constant" else None
    step = SimpleImputer(
        fitted_on(imputer),
        _missing(imputer.missing_values, place),
        np.flatnonzero(there),
        _portable(fills, place),
        rows_as,
        fitting,
        imputer.indicator_.features_.astype(np.int64) if imputer.add_indicator else None,
    )
    return Read(step, place.sparse)


def _missing_indicator(indicator: Any, place: Place) -> Read:
    step = MissingIndicator(
        fitted_on(indicator),
        _missing(indicator.missing_values, place),
        indicator.features_.astype(np.int64),
        indicator.error_on_new and indicator.features == "missing-only",
    )
    return Read(step, indicator.sparse is True or (indicator.sparse == "auto" and place.sparse))


READERS: dict[type, Callable[[Any, Place], Read]] = {
    preprocessing.OneHotEncoder: _one_hot_encoder,
    preprocessing.OrdinalEncoder: _ordinal_encoder,
    preprocessing.TargetEncoder: _target_encoder,
    impute.SimpleImputer: _simple_imputer,
    impute.MissingIndicator: _missing_indicator,
}
"""By exact type: a subclass may mean something else."""
