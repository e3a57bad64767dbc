"""Reading of transformers of numbers: scalers, curves, projections, selectors."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any, Literal

import numpy as np
from sklearn import decomposition, feature_selection, kernel_approximation, preprocessing
from sklearn.utils import get_tags

from skfhe._originals.compat import IN_WIDTH_OF_ROWS, output_container, standardizer
from skfhe.deployment._reading.places import Place, Read, fitted_on
from skfhe.deployment._steps.curves import (
    KBinsDiscretizer,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
)
from skfhe.deployment._steps.kernels import RandomFeatures
from skfhe.deployment._steps.projections import Projection, Selection
from skfhe.deployment._steps.scalers import Binarizer, MinMaxScaler, Normalizer, Scaler
from skfhe.deployment._steps.splines import SplineTransformer

__all__ = ["READERS"]


def _standardizer(scaler: Any, sparse: bool) -> Scaler:
    return Scaler(
        fitted_on(scaler),
        scaler.mean_ if scaler.with_mean else None,
        scaler.scale_ if scaler.with_std else None,
        in_width_of_rows=IN_WIDTH_OF_ROWS,
        by_reciprocal=sparse,
    )


def _standard_scaler(scaler: Any, place: Place) -> Read:
    if scaler.with_mean:
        place.check_dense("which it cannot centre")
    return Read(_standardizer(scaler, place.sparse), place.sparse)


def _robust_scaler(scaler: Any, place: Place) -> Read:
    center = scaler.center_ if scaler.with_centering and not place.sparse else None
    scale = scaler.scale_ if scaler.with_scaling else None
    return Read(Scaler(fitted_on(scaler), center, scale, by_reciprocal=place.sparse), place.sparse)


def _max_abs_scaler(scaler: Any, place: Place) -> Read:
    limit = 1.0 if getattr(scaler, "clip", False) else None  # from 1.9 on
    step = Scaler(fitted_on(scaler), None, scaler.scale_, by_reciprocal=place.sparse, limit=limit)
    return Read(step, place.sparse)


def _min_max_scaler(scaler: Any, place: Place) -> Read:
    place.check_dense("which it refuses")
    low, high = scaler.feature_range
    limits = (float(low), float(high)) if scaler.clip else None
    return Read(MinMaxScaler(fitted_on(scaler), scaler.scale_, scaler.min_, limits))


def _normalizer(normalizer: Any, place: Place) -> Read:
    place.check_dense("whose values the original adds in another order")
    return Read(Normalizer(fitted_on(normalizer), normalizer.norm))


def _binarizer(binarizer: Any, place: Place) -> Read:
    if binarizer.threshold < 0:
        place.check_dense("which it refuses with a negative threshold")
    return Read(Binarizer(fitted_on(binarizer), float(binarizer.threshold)), place.sparse)


@cache
def _form_of_powers(method: Literal["box-cox", "yeo-johnson"]) -> Literal["expm1", "power"] | None:
    """Return how the versions installed compute powers, None if no client can compute the same."""
    rows = np.exp(np.random.default_rng(0).normal(scale=2, size=(400, 3)))
    rows[:200] *= -1 if method == "yeo-johnson" else 1
    original = preprocessing.PowerTransformer(method=method, standardize=False).fit(rows[195:205])
    original.lambdas_ = np.array([-0.7, 0.3, 2.6])
    expected = original.set_output(transform="default").transform(rows)
    forms: tuple[Literal["expm1", "power"], ...] = ("expm1", "power")
    for form in forms:
        step = PowerTransformer(fitted_on(original), method, form, original.lambdas_, None)
        if np.array_equal(step.transform(rows), expected):
            return form
    return None


def _power_transformer(transformer: Any, place: Place) -> Read:
    place.check_dense("which it refuses")
    form, scaler = _form_of_powers(transformer.method), standardizer(transformer)
    if form is None:
        raise place.refusal(
            f"computes {transformer.method} powers by functions of the SciPy installed that no client has",
            "Train with a newer SciPy, or with method='yeo-johnson'.",
        )
    after = None if scaler is None else _standardizer(scaler, sparse=False)
    return Read(
        PowerTransformer(fitted_on(transformer), transformer.method, form, transformer.lambdas_, after)
    )


def _quantile_transformer(transformer: Any, place: Place) -> Read:
    place.check_dense("whose zeros the original leaves as they are")
    normal = transformer.output_distribution == "normal"
    quantiles, references = np.asarray(transformer.quantiles_), np.asarray(transformer.references_)
    return Read(QuantileTransformer(fitted_on(transformer), quantiles, references, normal))


def _k_bins_discretizer(discretizer: Any, place: Place) -> Read:
    place.check_dense("which it refuses")
    dtype: Any = None if discretizer.dtype is None else np.dtype(discretizer.dtype).name
    step = KBinsDiscretizer(
        fitted_on(discretizer),
        tuple(np.asarray(edges[1:-1], dtype=np.float64) for edges in discretizer.bin_edges_),
        discretizer.encode != "ordinal",
        dtype,
    )
    return Read(step, discretizer.encode == "onehot")


def _polynomial_features(features: Any, place: Place) -> Read:
    place.check_dense("whose products have another order")
    degree = features.degree
    low, high = degree if np.iterable(degree) else (0, degree)
    return Read(
        PolynomialFeatures(
            fitted_on(features),
            int(low),
            int(high),
            features.interaction_only,
            features.include_bias,
            features.order,
        )
    )


def _spline_transformer(transformer: Any, place: Place) -> Read:
    place.check_dense("which it refuses")
    if transformer.sparse_output:
        raise place.refusal("gives a sparse matrix of splines", "Use sparse_output=False.")
    if transformer.degree < 1:
        raise place.refusal("has splines of degree 0", "Use KBinsDiscretizer, which gives the same.")
    splines, linear = transformer.bsplines_, transformer.extrapolation == "linear"
    degree, lows, highs, n_at_ends, at_ends = transformer.degree, [], [], [], []
    for spline in splines:
        low, high = spline.t[degree], spline.t[-degree - 1]
        at_ends.append([spline(low), spline(high), spline(low, nu=1), spline(high, nu=1)])
        if linear and degree <= 1:
            degree += 1  # it stays so for the next features, in the original, too
        lows.append(low)
        highs.append(high)
        n_at_ends.append(degree)
    step = SplineTransformer(
        fitted_on(transformer),
        np.array([spline.t for spline in splines], dtype=np.float64),
        transformer.degree,
        splines[0].c.shape[1],
        transformer.extrapolation,
        np.array(lows, dtype=np.float64),
        np.array(highs, dtype=np.float64),
        np.array(n_at_ends, dtype=np.int64),
        np.nan_to_num(np.array(at_ends, dtype=np.float64)),
        bool(transformer.include_bias),
        getattr(transformer, "handle_missing", "error") == "zeros",  # from 1.8 on
        transformer.order,
    )
    rows = np.linspace(lows, highs, 300)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        same = np.array_equal(step.transform(rows), np.asarray(transformer.transform(rows)))
    if not same:
        raise place.refusal(
            "computes splines by a SciPy that adds in another order", "Apply it before the pipeline."
        )
    return Read(step)


def _projection(transformer: Any, place: Place) -> Read:
    components = transformer.components_
    rows, columns = components.strides
    pca = type(transformer) is decomposition.PCA
    step = Projection(
        fitted_on(transformer),
        components,
        "last row first" if rows < 0 else "by column" if rows < columns else "by row",
        transformer.mean_ if pca else None,
        transformer.explained_variance_ if pca and transformer.whiten else None,
        "floats" if pca else "given",
        place.sparse,
    )
    return Read(step)


def _selector(selector: Any, place: Place) -> Read:
    allow_nan = bool(get_tags(selector).input_tags.allow_nan)
    keep_frames = output_container(selector) != "default"
    support = np.asarray(selector.get_support(), dtype=np.bool_)
    return Read(Selection(fitted_on(selector), support, allow_nan, keep_frames), place.sparse)


def _rbf_sampler(sampler: Any, place: Place) -> Read:
    place.check_dense("whose products the original adds in another order")
    return Read(RandomFeatures(fitted_on(sampler), sampler.random_weights_, sampler.random_offset_))


def _nystroem(_: Any, place: Place) -> Read:
    raise place.refusal(
        "is made of rows that it was trained on, which every client would have",
        "Use RBFSampler, which is drawn from its random_state alone.",
    )


READERS: dict[type, Callable[[Any, Place], Read]] = {
    preprocessing.StandardScaler: _standard_scaler,
    preprocessing.RobustScaler: _robust_scaler,
    preprocessing.MaxAbsScaler: _max_abs_scaler,
    preprocessing.MinMaxScaler: _min_max_scaler,
    preprocessing.Normalizer: _normalizer,
    preprocessing.Binarizer: _binarizer,
    preprocessing.PowerTransformer: _power_transformer,
    preprocessing.QuantileTransformer: _quantile_transformer,
    preprocessing.KBinsDiscretizer: _k_bins_discretizer,
    preprocessing.PolynomialFeatures: _polynomial_features,
    preprocessing.SplineTransformer: _spline_transformer,
    decomposition.PCA: _projection,
    decomposition.TruncatedSVD: _projection,
    kernel_approximation.RBFSampler: _rbf_sampler,
    kernel_approximation.Nystroem: _nystroem,
    **{
        getattr(feature_selection, name): _selector
        for name in feature_selection.__all__
        if isinstance(getattr(feature_selection, name), type)
        and issubclass(getattr(feature_selection, name), feature_selection.SelectorMixin)
        and name != "SelectorMixin"
    },
}
"""By exact type: a subclass may mean something else."""
