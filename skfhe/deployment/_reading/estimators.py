"""The client's half of an estimator of ours: its edges without what the client need not know."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.naive_bayes import BernoulliNB, CategoricalNB
from sklearn.utils import get_tags

from skfhe._originals.compat import histogram_categories
from skfhe._typing import Array
from skfhe.deployment._library_rows import (
    BinarizedRows,
    HistogramRows,
    IndicatorRows,
    LightGBMRows,
    NamedRows,
    XGBoostRows,
)
from skfhe.deployment._predictors import METHODS, EstimatorPredictor
from skfhe.deployment._rows import RowRules, Rows, ShapedRows
from skfhe.encoding import (
    AffineEncoder,
    AnswersEncoder,
    Decoder,
    DigitSumDecoder,
    Encoder,
    GridBitsEncoder,
    GridEncoder,
    LeafDecoder,
    LeafSumDecoder,
    LevelBitsEncoder,
    MonomialEncoder,
    Splits,
    ThermometerEncoder,
)
from skfhe.exceptions import UnsupportedModelError

__all__ = ["estimator_predictor"]

_ROW_TYPES = ("?", *"bhilBHIL", *"efd")


OF_HEADS = ("score_samples", "transform")
"""Some estimators compute them by what is no head: the client is not given that."""


def estimator_predictor(estimator: Any) -> EstimatorPredictor:
    """Return the client's half of a fitted estimator.

    Raises
    ------
    UnsupportedModelError
        If a class of its user overrides a method, or rows cannot be converted without its library.
    """
    methods = tuple(
        name
        for name in METHODS
        if hasattr(estimator, name) and (name not in OF_HEADS or hasattr(estimator.head_, name))
    )
    for name in methods:
        module = getattr(type(estimator), name).__module__
        if not module.startswith("skfhe."):
            raise UnsupportedModelError(
                f"{type(estimator).__name__}.{name} is defined in {module}, and a client has no code but "
                "that of skfhe; save the estimator that it is derived from"
            )
    program = estimator.program_
    encoder, decoder = _public_encoder(estimator.encoder_), _public_decoder(estimator.decoder_)
    return EstimatorPredictor(
        methods,
        _rows(estimator),
        encoder,
        decoder,
        estimator.head_,
        len(program.inputs),
        len(program.outputs),
        _score_types(estimator)
        if isinstance(encoder, GridEncoder | GridBitsEncoder | MonomialEncoder)
        else {},
    )


def _public_encoder(encoder: Any) -> Encoder:
    """Return an encoder that gives the same integers, without what no row needs."""
    if isinstance(encoder, Splits):
        return encoder.encoder
    if isinstance(encoder, GridEncoder):
        return replace(encoder, watch=encoder.watch.public(encoder.features))
    if isinstance(encoder, MonomialEncoder):
        factors = encoder.factors
        return replace(encoder, factors=replace(factors, watch=factors.watch.public(factors.features)))
    if isinstance(encoder, GridBitsEncoder):
        levels = encoder.levels
        return replace(encoder, levels=replace(levels, watch=levels.watch.public(levels.features)))
    if isinstance(encoder, ThermometerEncoder):
        return encoder.reduced()
    if isinstance(encoder, AffineEncoder | AnswersEncoder):
        return encoder
    assert isinstance(encoder, LevelBitsEncoder), type(encoder)
    return encoder


def _public_decoder(decoder: Decoder) -> Decoder:
    """Return a decoder that gives the same scores, without how far these can be from those of floats."""
    if isinstance(decoder, DigitSumDecoder):
        return replace(decoder, sums=replace(decoder.sums, error=0.0))
    return replace(decoder, error=0.0) if isinstance(decoder, LeafSumDecoder | LeafDecoder) else decoder


def _score_types(estimator: Any) -> dict[str, str]:
    """Return the types of scores, by those of rows, that are not double precision."""
    found = {}
    for letter in _ROW_TYPES:
        rows = np.zeros((0, estimator.n_features_in_), dtype=letter)
        type_of = getattr(estimator, "_transformed_type", estimator._score_type)
        kind = np.dtype(type_of(rows)).name
        if kind != "float64":
            found[rows.dtype.name] = kind
    return found


def _rows(estimator: Any) -> Rows:
    """Return how the estimator checks and converts rows."""
    encoder = estimator.encoder_
    if isinstance(estimator, CategoricalNB):
        known = tuple(of_feature.shape[1] for of_feature in estimator.feature_log_prob_)
        return IndicatorRows(_rules(estimator, "numeric", "all", "no"), known)
    if isinstance(estimator, BernoulliNB) and estimator.binarize is not None:
        return BinarizedRows(_rules(estimator, "numeric", "all", "csr"), float(estimator.binarize))
    if isinstance(encoder, GridEncoder):
        return _rules(estimator, "numeric", "all", estimator._accept_sparse or "no")
    if isinstance(encoder, GridBitsEncoder | MonomialEncoder):
        dtype, sparse = estimator._takes_rows
        return _rules(estimator, dtype, "all", sparse)
    if isinstance(encoder, ThermometerEncoder):
        return _rules(estimator, "float64", "all", "dense")
    if isinstance(encoder, AffineEncoder):
        (shape,) = estimator._module.input_shapes_
        if len(shape) > 1:
            return ShapedRows(type(estimator).__name__, tuple(int(n) for n in shape))
        return _rules(estimator, "float64", "all", "no")
    if isinstance(encoder, AnswersEncoder):
        rules, named = _rules(estimator, "float64", "any", "dense"), estimator.named_categories_
        return rules if all(known is None for known in named.categories) else NamedRows(rules, named)
    if isinstance(estimator, HistGradientBoostingClassifier | HistGradientBoostingRegressor):
        return _histogram_rows(estimator)
    library = type(estimator)._original.__module__.partition(".")[0]
    if library == "xgboost":
        return _xgboost_rows(estimator)
    if library == "lightgbm":
        return _lightgbm_rows(estimator)
    finite = "allow-nan" if get_tags(estimator).input_tags.allow_nan else "all"
    finite = getattr(estimator, "_finite", finite)
    return _rules(estimator, np.dtype(estimator._precision).name, finite, "csr")


def _histogram_rows(estimator: Any) -> Rows:
    rules = _rules(estimator, "float64", "any", "no")
    found = histogram_categories(estimator)
    if found is None:
        return rules
    categorical, categories = found
    return HistogramRows(rules, categorical, tuple(categories))


def _xgboost_rows(estimator: Any) -> Rows:
    categories = estimator._categories
    return XGBoostRows(
        _rules(estimator, "float32", "allow-nan", "csr"),
        np.array(list(categories), dtype=np.int64),
        tuple(None if known is None else _objects(known) for known in categories.values()),
        None if estimator.missing is None else float(estimator.missing),
    )


def _lightgbm_rows(estimator: Any) -> Rows:
    return LightGBMRows(
        _rules(estimator, "float64", "any", "csr"),
        tuple(_objects(known) for known in estimator._pandas_categorical or ()),
        np.asarray(estimator._categorical, dtype=np.int64),
        bool(estimator.get_params().get("zero_as_missing", False)),
    )


def _objects(values: Any) -> Array:
    """Return an array of the values themselves, whatever they are."""
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found


def _rules(estimator: Any, dtype: Any, finite: Any, sparse: Any) -> RowRules:
    names = getattr(estimator, "feature_names_in_", None)
    return RowRules(
        type(estimator).__name__,
        int(estimator.n_features_in_),
        None if names is None else tuple(str(name) for name in names),
        dtype,
        finite,
        sparse,
    )
