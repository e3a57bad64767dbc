"""What users of scikit-learn expect of any estimator, of those with polynomial scores."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from sklearn.base import clone, is_regressor
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skfhe
from skfhe.discriminant_analysis import QuadraticDiscriminantAnalysis
from skfhe.exceptions import InputClippingWarning, NotCompiledError
from skfhe.mixture import GaussianMixture
from skfhe.naive_bayes import GaussianNB
from skfhe.svm import SVC, SVR, OneClassSVM
from tests._polynomial.examples import CLASSES, EXAMPLES, methods_of, name, rows
from tests.with_originals import failed_alone, original_of

SIMILAR = ("GaussianMixture", "NuSVC", "NuSVR", "SVR")
"""That are made as SVC or GaussianNB are."""
CHECKED = [
    pytest.param(e, marks=pytest.mark.slow if name(e) in SIMILAR else (), id=name(e)) for e in EXAMPLES
]


@pytest.mark.parametrize("estimator", CHECKED)
def test_no_check_fails_that_the_original_passes(estimator):
    assert not failed_alone(estimator, original_of(estimator))


def test_every_class_has_an_example():
    assert {type(estimator) for estimator in EXAMPLES} == set(CLASSES)


@pytest.mark.parametrize("estimator", EXAMPLES, ids=name)
def test_answers_are_those_of_the_original_and_encrypted_those_of_the_clear(estimator):
    """Within what rounding costs; encrypted to the bit, for rows far beyond the range, too."""
    X, y = rows()
    model, original = clone(estimator).fit(X, y), original_of(estimator).fit(X, y)
    assert model.program_.lookups == ()
    fresh, _ = rows(1)
    for method in methods_of(model):
        found, expected = getattr(model, method)(fresh), getattr(original, method)(fresh)
        assert found.dtype == expected.dtype, method
        np.testing.assert_allclose(found, expected, atol=0.005 * max(1.0, np.ptp(expected)), err_msg=method)
    assert methods_of(model) == methods_of(original)
    model.compile()
    far = np.vstack([fresh[:3], 100 * fresh[:2]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputClippingWarning)
        clear = model._scores(far, "disable")
        np.testing.assert_array_equal(model._scores(far, "execute"), clear)
        np.testing.assert_array_equal(model._scores(far, "simulate"), clear)


@pytest.mark.parametrize("load", [load_iris, load_wine, load_breast_cancer, load_digits])
@pytest.mark.parametrize(
    "estimator",
    [
        GaussianNB(),
        QuadraticDiscriminantAnalysis(reg_param=0.1),
        GaussianMixture(3, covariance_type="diag", random_state=0),
        make_pipeline(StandardScaler(), SVC(kernel="poly", degree=2)),
    ],
    ids=["GaussianNB", "QuadraticDiscriminantAnalysis", "GaussianMixture", "SVC"],
)
def test_predictions_agree_with_the_original(estimator, load):
    """On digits, where a pixel is constant in a class and Gaussian naive Bayes sees spikes, as well."""
    X, y = load(return_X_y=True)
    if len(X) > 1000 and not isinstance(estimator, QuadraticDiscriminantAnalysis):
        X, y = X[::3], y[::3]
    *steps, last = [each for _, each in estimator.steps] if hasattr(estimator, "steps") else [estimator]
    for step in steps:
        X = step.fit_transform(X)
    with warnings.catch_warnings():
        warnings.simplefilter("error", InputClippingWarning)
        found = clone(last).fit(X[::2], y[::2]).predict(X[::2])
    assert (found == original_of(last).fit(X[::2], y[::2]).predict(X[::2])).mean() >= 0.998


@pytest.mark.parametrize("sizes", ["awkward", "heavy tails"])
@pytest.mark.parametrize("cls", [GaussianNB, QuadraticDiscriminantAnalysis, SVC])
def test_scales_and_tails_of_any_kind(cls, sizes):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 600)
    X = rng.normal(size=(600, 4)) + y[:, None]
    X = (
        np.exp(1.2 * X)
        if sizes == "heavy tails"
        else X * 10.0 ** np.array([-6, 0, 3, 8]) + [1, 50, -4e3, 1e9]
    )
    if cls is SVC:
        X = (X - X.mean(axis=0)) / X.std(axis=0)
    estimator = cls(**({"kernel": "poly", "degree": 2, "coef0": 1.0} if cls is SVC else {}))
    if sizes == "awkward" and cls is QuadraticDiscriminantAnalysis:
        estimator.set_params(reg_param=1e-12, tol=0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputClippingWarning)
        found = clone(estimator).fit(X[:400], y[:400]).predict(X)
    assert (found == original_of(estimator).fit(X[:400], y[:400]).predict(X)).mean() >= 0.998


@pytest.mark.parametrize("estimator", EXAMPLES, ids=name)
def test_conversion_and_pickles_and_frames_keep_the_integers(estimator):
    X, y = rows()
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    model = clone(estimator).fit(frame, y)
    converted = type(model).from_sklearn_model(original_of(estimator).fit(frame, y), frame)
    loaded = pickle.loads(pickle.dumps(model))
    for other in (converted, loaded):
        np.testing.assert_array_equal(other._scores(frame, None), model._scores(frame, None))
        assert list(other.feature_names_in_) == ["a", "b", "c"]
    with pytest.raises(ValueError, match="needs rows to calibrate"):
        type(model).from_sklearn_model(original_of(estimator).fit(X, y))
    with pytest.raises(NotCompiledError, match=r"call compile\(\)"):
        model.predict(frame, fhe="execute")
    assert is_regressor(model) == is_regressor(original_of(estimator))


def change_naive_bayes(model):
    model.theta_[0] += 1.0
    model.class_prior_ = np.array([0.2, 0.3, 0.5])


def change_discriminants(model):
    model.means_ = model.means_ * 2
    model.scalings_[1] *= 3.0


def change_mixture(model):
    model.weights_[:] = [0.9, 0.1]
    model.precisions_cholesky_ *= 1.5


@pytest.mark.parametrize(
    ("estimator", "change"),
    [
        (GaussianNB(), change_naive_bayes),
        (QuadraticDiscriminantAnalysis(), change_discriminants),
        (GaussianMixture(2, random_state=0), change_mixture),
    ],
    ids=["GaussianNB", "QuadraticDiscriminantAnalysis", "GaussianMixture"],
)
def test_predictions_follow_what_was_learnt(estimator, change):
    X, y = rows()
    model, original = clone(estimator).fit(X, y), original_of(estimator).fit(X, y)
    before = model.program_
    assert model.program_ is before
    change(model)
    change(original)
    np.testing.assert_allclose(model.predict_proba(X), original.predict_proba(X), atol=0.005)
    assert model.program_ is not before


def test_scores_of_pipelines_are_encrypted_by_the_mode():
    X, y = rows()
    pipeline = make_pipeline(StandardScaler(), GaussianNB()).fit(X, y)
    expected = pipeline.score(X[:6], y[:6])
    skfhe.set_mode(pipeline, "execute")
    assert pipeline.score(X[:6], y[:6]) == expected
    assert pipeline[-1].fhe_circuit_ is not None


@pytest.mark.parametrize("covariance_type", ["full", "diag"])
def test_rows_far_from_the_bulk_are_scored_as_by_the_original(covariance_type):
    """A component of an outlier is as narrow as any; the weights of its scores matter far out alone."""
    X = np.exp(2 * np.random.default_rng(1).normal(size=(300, 2)))
    estimator = GaussianMixture(3, covariance_type=covariance_type, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = estimator.fit(X)
    expected = original_of(estimator).fit(X).score_samples(X)
    np.testing.assert_allclose(model.score_samples(X), expected, atol=0.25)


@pytest.mark.parametrize("n_bits", [1, 17, 8.0, "8", None, True, {"op_inputs": 8, "op_weights": 8}])
def test_wrong_n_bits_says_what_is_expected(n_bits):
    with pytest.raises(ValueError, match="n_bits must be an int from 2 to 16"):
        GaussianNB(n_bits=n_bits).fit(*rows())


def test_rows_of_zero_weight_stay_out_of_calibration():
    X, y = rows()
    outlier, labels = np.vstack([X, np.full((1, 3), 1e6)]), np.r_[y, 0]
    weight = np.r_[np.ones(len(X)), 0.0]
    for estimator in (SVC(kernel="poly", degree=2), SVR(kernel="linear")):
        found = clone(estimator).fit(outlier, labels, sample_weight=weight)
        expected = clone(estimator).fit(X, y)
        np.testing.assert_array_equal(found.encoder_.factors.grid.low, expected.encoder_.factors.grid.low)


def test_sparse_rows_give_the_same_as_dense_ones():
    X, _ = rows()
    X[np.abs(X) < 0.3] = 0.0
    model = OneClassSVM(kernel="poly", degree=2, nu=0.2).fit(csr_matrix(X))
    np.testing.assert_array_equal(model.decision_function(csr_matrix(X)), model.decision_function(X))
    expected = original_of(model).fit(csr_matrix(X)).decision_function(csr_matrix(X))
    np.testing.assert_allclose(model.decision_function(X), expected, atol=0.005 * np.ptp(expected))
