"""Steps of numbers equal the originals to the bit, on the strangest rows, and refuse what they refuse."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays
from scipy.stats import norm
from sklearn.base import clone
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_selection import (
    RFE,
    RFECV,
    GenericUnivariateSelect,
    SelectFdr,
    SelectFpr,
    SelectFromModel,
    SelectFwe,
    SelectKBest,
    SelectPercentile,
    SequentialFeatureSelector,
    VarianceThreshold,
)
from sklearn.kernel_approximation import Nystroem, RBFSampler
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
)

from skfhe._originals.compat import IN_WIDTH_OF_ROWS
from skfhe.deployment._steps.normal_quantiles import normal_quantiles
from skfhe.exceptions import UnsupportedModelError
from tests.deployment.light_steps import adversarial_rows, assert_equal_on, read_steps

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3)) * [1, 100, 1e-3] + [0, 5, 0]
CONSTANT = np.hstack([X[:, :2], np.full((60, 1), 7.0)])
MISSING = np.where(RNG.random(X.shape) < 0.2, np.nan, X)
MISSING[:, 2] = np.nan
Y = (X[:, 0] + X[:, 1] / 100 > 0).astype(int)

SCALERS = [
    *(StandardScaler(), StandardScaler(with_mean=False), StandardScaler(with_std=False)),
    *(MinMaxScaler(), MinMaxScaler(clip=True, feature_range=(-3, 5)), MaxAbsScaler()),
    *(
        RobustScaler(),
        RobustScaler(with_centering=False),
        RobustScaler(with_scaling=False, unit_variance=True),
    ),
    *(QuantileTransformer(n_quantiles=20), QuantileTransformer(n_quantiles=30, output_distribution="normal")),
]
OTHERS = [
    *(
        Normalizer(),
        Normalizer("l1"),
        Normalizer("max"),
        Binarizer(),
        Binarizer(threshold=0.3),
        Binarizer(threshold=-1),
    ),
    *(PolynomialFeatures(), PolynomialFeatures(3, interaction_only=True), PolynomialFeatures(0)),
    *(PolynomialFeatures((2, 3), include_bias=False, order="F"), PolynomialFeatures(4)),
    *(
        KBinsDiscretizer(4, encode="ordinal"),
        KBinsDiscretizer([2, 3, 4]),
        KBinsDiscretizer(3, strategy="kmeans"),
    ),
    KBinsDiscretizer(3, encode="onehot-dense", strategy="uniform", dtype=np.float32),
    *(FunctionTransformer(), FunctionTransformer(validate=True)),
    RBFSampler(n_components=5, random_state=0),
]
PROJECTIONS = [
    *(
        PCA(svd_solver=solver, n_components=2)
        for solver in ("full", "covariance_eigh", "arpack", "randomized")
    ),
    *(
        PCA(2, whiten=True),
        PCA(1),
        PCA(0.9),
        PCA(),
        TruncatedSVD(2),
        TruncatedSVD(2, algorithm="arpack"),
        TruncatedSVD(1),
    ),
]


@pytest.mark.parametrize("scaler", SCALERS, ids=repr)
def test_scalers_equal_the_originals(scaler):
    for fitted_on in (X, CONSTANT, MISSING, X.astype(np.float32), np.zeros((60, 3))):
        assert_equal_on(clone(scaler).fit(fitted_on), adversarial_rows(3))


@pytest.mark.parametrize("transformer", OTHERS, ids=repr)
def test_transformers_of_finite_rows_equal_the_originals(transformer):
    for fitted_on in (X, X.astype(np.float32), X.round().astype(int)):
        assert_equal_on(clone(transformer).fit(fitted_on), adversarial_rows(3))


def test_maps_that_are_made_of_training_rows_are_refused():
    with pytest.raises(UnsupportedModelError, match=r"rows that it was trained on.* Use RBFSampler"):
        read_steps(Nystroem(n_components=5).fit(X))


@pytest.mark.parametrize("extrapolation", ["error", "constant", "linear", "continue", "periodic"])
def test_splines_equal_the_originals(extrapolation):
    inside = np.linspace(X.min(axis=0), X.max(axis=0), 41)
    for options in (
        {},
        {"degree": 1, "n_knots": 2},
        {"degree": 2, "knots": "quantile", "include_bias": False},
        {"degree": 4, "n_knots": 7, "order": "F"},
    ):
        fitted = SplineTransformer(extrapolation=extrapolation, **options).fit(X)
        tables = [*adversarial_rows(3), inside, inside.astype(np.float32), X, np.nextafter(inside, np.inf)]
        assert_equal_on(fitted, tables)
        if hasattr(fitted, "handle_missing"):
            fitted.set_params(handle_missing="zeros")
            assert_equal_on(fitted, [*tables, np.where(inside > 0, np.nan, inside)])


def test_splines_that_are_sparse_are_refused():
    with pytest.raises(UnsupportedModelError, match="sparse_output=False"):
        read_steps(SplineTransformer(sparse_output=True).fit(X))


@pytest.mark.parametrize("projection", PROJECTIONS, ids=repr)
def test_projections_equal_the_originals_on_one_machine(projection):
    """They call the same product of matrices, of rows and components in the same memory order."""
    for fitted_on in (X, X.astype(np.float32)):
        assert_equal_on(clone(projection).fit(fitted_on), adversarial_rows(3))


@pytest.mark.parametrize("standardize", [True, False])
def test_powers_equal_the_originals(standardize):
    wide = np.exp(RNG.normal(scale=6, size=(50, 3)))
    for fitted_on in (X, CONSTANT, X.astype(np.float32), MISSING[:, [0, 1, 1]]):
        fitted = PowerTransformer(standardize=standardize).fit(fitted_on)
        assert_equal_on(fitted, [*adversarial_rows(3), wide, -wide])
        for powers in ([0.0, 2.0, 1.0], [1e-17, 2 + 1e-16, -3.0]):
            fitted.lambdas_ = np.array(powers)
            assert_equal_on(fitted, [*adversarial_rows(3), wide, -wide])


def test_powers_of_positive_rows_equal_the_originals_or_are_refused():
    """Box and Cox' are computed by functions of C, which SciPy calls from some version on."""
    wide = np.exp(RNG.normal(scale=6, size=(50, 3)))
    for dtype in (np.float64, np.float32):
        fitted = PowerTransformer("box-cox").fit(np.exp(X[:, [0, 0, 0]]).astype(dtype))
        if not IN_WIDTH_OF_ROWS:
            with pytest.raises(UnsupportedModelError, match="yeo-johnson"):
                read_steps(fitted)
            continue
        assert_equal_on(fitted, [*adversarial_rows(3), wide, wide.astype(np.float32)])
        fitted.lambdas_ = np.array([0.0, -40.0, 40.0])
        assert_equal_on(fitted, [*adversarial_rows(3), wide, wide.astype(np.float32)])


def test_normal_quantiles_are_those_of_scipy():
    probabilities = np.concatenate(
        [RNG.random(2000), np.exp(-700 * RNG.random(500)), [0, 1, -1, 2, np.nan, 5e-324]]
    )
    for dtype in (np.float64, np.float32):
        given = probabilities.astype(dtype)
        np.testing.assert_array_equal(normal_quantiles(given), norm.ppf(given))


SELECTORS = [
    *(
        SelectKBest(k=2),
        SelectKBest(k=0),
        SelectPercentile(percentile=40),
        SelectFpr(),
        SelectFdr(),
        SelectFwe(),
    ),
    *(GenericUnivariateSelect(mode="k_best", param=1), VarianceThreshold(), VarianceThreshold(1)),
    *(RFE(LogisticRegression(), n_features_to_select=2), RFECV(LogisticRegression(), cv=2)),
    *(SelectFromModel(LogisticRegression()), SelectFromModel(RandomForestClassifier(5, random_state=0))),
    SequentialFeatureSelector(LogisticRegression(), n_features_to_select=2, cv=2),
]


@pytest.mark.parametrize("selector", SELECTORS, ids=repr)
def test_selectors_equal_the_originals(selector):
    for pandas in (False, True):
        fitted = clone(selector).fit(X, Y)
        assert_equal_on(fitted.set_output(transform="pandas") if pandas else fitted, adversarial_rows(3))


EXTREMES = st.floats(allow_nan=True, allow_infinity=False, width=64)


@settings(max_examples=60, deadline=None)
@given(
    fitted_on=arrays(np.float64, (7, 2), elements=st.floats(-1e6, 1e6)),
    rows=arrays(np.float64, st.tuples(st.integers(1, 5), st.just(2)), elements=EXTREMES),
)
def test_any_numbers_are_transformed_as_by_the_originals(fitted_on, rows):
    transformers = [StandardScaler(), MinMaxScaler(clip=True), MaxAbsScaler(), RobustScaler()]
    transformers += [
        QuantileTransformer(n_quantiles=5),
        PowerTransformer(),
        PCA(1),
        KBinsDiscretizer(2, encode="ordinal"),
    ]
    transformers += [Normalizer(), PolynomialFeatures(3), Binarizer(), VarianceThreshold(-0.0)]
    with np.errstate(all="ignore"):
        for transformer in transformers:
            try:
                transformer.fit(fitted_on)
            except (ValueError, RuntimeError):  # constant features, or no power is the best
                continue
            assert_equal_on(transformer, [rows, rows.astype(np.float32)])
