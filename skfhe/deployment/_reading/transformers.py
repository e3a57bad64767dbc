"""Reading of fitted transformers: each becomes the step that equals it on a client, or is refused by name."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn import compose, pipeline, preprocessing
from sklearn.utils.validation import check_is_fitted

from skfhe._originals.compat import columns_by_part, output_container
from skfhe.deployment._reading import of_categories, of_numbers
from skfhe.deployment._reading.places import DENSE_OUTPUT, Place, Read, fitted_on, full_name
from skfhe.deployment._steps.composition import (
    ColumnPart,
    ColumnTransformer,
    FeatureUnion,
    Identity,
    Named,
    Pipeline,
    Step,
    UnionPart,
)
from skfhe.deployment._steps.trusted import KeptStep

__all__ = ["read_steps"]


def read_steps(fitted: Any, *, trusted: Collection[str] = ()) -> Step:
    """Return what a client computes instead of a fitted transformer.

    Parameters
    ----------
    fitted : estimator
        A transformer, or a pipeline of transformers.
    trusted : collection of str
        Full names of types, such as ``"my_package.MyScaler"``. A transformer whose class is among them, and
        that a client cannot compute by itself, is kept in skops' format.

    Returns
    -------
    Step

    Raises
    ------
    UnsupportedModelError
        If a transformer is neither computed by the client nor trusted; the message names it.
    sklearn.exceptions.NotFittedError
        If it is not fitted.
    """
    return _read(fitted, Place(trusted=frozenset(trusted))).step


def _read(transformer: Any, place: Place) -> Read:
    """Return the step of any transformer, whose output has the names that the original's has."""
    if transformer is None or (isinstance(transformer, str) and transformer == "passthrough"):
        return Read(Identity(), place.sparse)
    kind = type(transformer)
    if kind is pipeline.Pipeline:
        return _pipeline(transformer, place)
    reader = READERS.get(kind)
    if kind is preprocessing.FunctionTransformer and transformer.func is not None:
        reader = None
    if reader is None:
        return _kept(transformer, place)
    check_is_fitted(transformer)
    read = reader(transformer, place)
    container = output_container(transformer)
    if container == "default":
        return read
    if container != "pandas":
        raise place.refusal(f"gives a {container} frame", "Use set_output(transform='default') or 'pandas'.")
    if read.sparse:
        raise place.refusal(
            "gives a sparse matrix, which set_output(transform='pandas') refuses", DENSE_OUTPUT
        )
    names = tuple(str(name) for name in transformer.get_feature_names_out())
    return Read(Named(read.step, names, _text_is_inferred()))


def _text_is_inferred() -> bool:
    """Say whether pandas makes a column of text of objects that are text; it does from 3.0 on."""
    import pandas as pd

    return bool(pd.DataFrame(np.array([["text"]], dtype=object)).dtypes.iloc[0] != np.dtype(object))


def _pipeline(fitted: Any, place: Place) -> Read:
    steps = []
    for name, transformer in fitted.steps:
        if transformer is None or transformer == "passthrough":
            continue
        read = _read(transformer, place.at(name, transformer))
        place = replace(place, sparse=read.sparse)
        steps.append(read.step)
    return Read(Pipeline(tuple(steps)), place.sparse)


def _function_transformer(transformer: Any, place: Place) -> Read:
    """Read one without a function."""
    if not transformer.validate:
        named = transformer.feature_names_out is not None and hasattr(transformer, "n_features_in_")
        names = tuple(str(name) for name in transformer.get_feature_names_out()) if named else None
        return Read(Identity(names=names), place.sparse)
    if not transformer.accept_sparse:
        place.check_dense("which it refuses")
    return Read(Identity(fitted_on(transformer)), place.sparse)


def _feature_union(union: Any, place: Place) -> Read:
    weights = union.transformer_weights or {}
    parts, sparse = [], False
    for name, transformer in union.transformer_list:
        if isinstance(transformer, str) and transformer == "drop":
            continue
        read = _read(transformer, place.at(name, transformer))
        parts.append(UnionPart(read.step, _weight(weights.get(name))))
        sparse = sparse or read.sparse
    return Read(FeatureUnion(tuple(parts), output_container(union) == "pandas", sparse), sparse)


def _column_transformer(transformer: Any, place: Place) -> Read:
    weights, indices = transformer.transformer_weights or {}, columns_by_part(transformer)
    parts = []
    for name, inner, columns in transformer.transformers_:
        if (isinstance(inner, str) and inner == "drop") or not len(indices[name]):
            continue
        if np.isscalar(columns):
            raise place.at(name, inner).refusal(
                "takes a single column as a vector", "Give a list of one column."
            )
        read = _read(inner, place.at(name, inner))
        parts.append(
            ColumnPart(
                name,
                UnionPart(read.step, _weight(weights.get(name))),
                np.asarray(indices[name], dtype=np.int64),
                _is_by_name(columns),
                isinstance(columns, slice),
            )
        )
    sparse = bool(getattr(transformer, "sparse_output_", False))
    step = ColumnTransformer(
        fitted_on(transformer), tuple(parts), output_container(transformer) == "pandas", sparse
    )
    return Read(step, sparse)


def _is_by_name(columns: Any) -> bool:
    if isinstance(columns, slice):
        return isinstance(columns.start, str) or isinstance(columns.stop, str)
    return isinstance(next(iter(columns), None), str)


def _weight(weight: Any) -> float | None:
    return None if weight is None else float(weight)


def _kept(transformer: Any, place: Place) -> Read:
    """Return a transformer in skops' format if its type is trusted, else refuse it by name."""
    kind, name = type(transformer).__name__, full_name(transformer)
    if name not in place.trusted:
        if kind == "FunctionTransformer":
            reason = "calls a function of Python, which no file without code can hold"
        elif hasattr(type(transformer), "program_"):
            raise place.refusal(
                "is evaluated encrypted, and what follows it would need a second round",
                "Put its original in its place, which the client computes, or save this step by itself.",
            )
        elif any(issubclass(type(transformer), known) for known in READERS):
            reason = "is a subclass of a transformer that a client computes, and may mean something else"
        else:
            reason = "is not among the transformers that a client computes by itself"
        raise place.refusal(
            reason,
            f"Apply it before the pipeline, or keep it in skops' format: save(..., trusted=[{name!r}]); "
            "the client then needs scikit-learn and skops, and the same list.",
        )
    check_is_fitted(transformer)
    try:
        import skops.io
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "skops":
            raise
        raise ImportError(
            f'{place} is to be kept in skops\' format, and skops is not installed: pip install "skfhe[skops]"'
        ) from None

    data = skops.io.dumps(transformer)
    untrusted = {*skops.io.get_untrusted_types(data=data)} - place.trusted
    if untrusted:
        raise place.refusal(
            f"has types that are not trusted: {sorted(untrusted)}", "Add them to trusted=[…]."
        )
    return Read(KeptStep(str(place), data))


READERS: dict[type, Callable[[Any, Place], Read]] = {
    **of_numbers.READERS,
    **of_categories.READERS,
    preprocessing.FunctionTransformer: _function_transformer,
    pipeline.FeatureUnion: _feature_union,
    compose.ColumnTransformer: _column_transformer,
}
"""By exact type."""
