"""Projections on components are the original's, but for roundings that are small beside every component."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.linear_model import LogisticRegression as FloatLogisticRegression
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import StandardScaler

import skfhe
from skfhe.circuit import Circuit
from skfhe.decomposition import PCA, TruncatedSVD
from skfhe.exceptions import ClearEvaluationError, InputClippingWarning, NotCompiledError, ToleranceWarning
from tests.with_originals import failed_alone, original_of

EXAMPLES = [
    PCA(),
    PCA(n_components=2, whiten=True),
    PCA(n_components=0.95),
    PCA(n_components="mle", svd_solver="full"),
    PCA(n_components=3, svd_solver="randomized", random_state=0),
    TruncatedSVD(n_components=3, random_state=0),
]


@pytest.mark.parametrize("cls", [PCA, TruncatedSVD])
def test_no_check_fails_that_the_original_passes(cls):
    assert not failed_alone(cls(), cls._original())


@pytest.mark.parametrize("estimator", EXAMPLES, ids=str)
def test_projections_are_the_original_s(estimator, iris):
    """To a thousandth of what a component varies, and ``fit_transform`` gives what ``transform`` does."""
    X, _ = iris
    model, original = clone(estimator), original_of(estimator).fit(X)
    found, expected = model.fit_transform(X), original.transform(X)
    assert np.abs(found - expected).max() < 2e-3 * np.abs(expected).max()
    np.testing.assert_array_equal(found, model.transform(X))
    np.testing.assert_array_equal(model.inverse_transform(expected), original.inverse_transform(expected))
    assert not hasattr(model, "predict")


@pytest.mark.parametrize("estimator", [EXAMPLES[1], EXAMPLES[-1]], ids=str)
def test_encrypted_projections_equal_the_clear_ones_without_a_lookup(estimator, iris):
    X, _ = iris
    model = clone(estimator).fit(X)
    with pytest.raises(NotCompiledError):
        model.transform(X, fhe="execute")
    model.compile()
    assert model.program_.lookups == ()
    np.testing.assert_array_equal(model.transform(X[:9], fhe="execute"), model.transform(X[:9]))
    np.testing.assert_array_equal(model.transform(X[:9], fhe="simulate"), model.transform(X[:9]))


def awkward(n_rows=400):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, 6)) @ rng.normal(size=(6, 6))
    return X * [1, 1e3, 1e-3, 1e6, 10, 1] + [1e3, 0, 5, 1e7, 0, -1e4]


def heavy_tailed(n_rows=400):
    return np.random.default_rng(0).lognormal(sigma=2, size=(n_rows, 6))


@pytest.mark.parametrize("rows", [awkward, heavy_tailed])
@pytest.mark.parametrize("scaled", [False, True])
def test_awkward_scales_and_heavy_tails(rows, scaled):
    X = StandardScaler().fit_transform(rows()) if scaled else rows()
    found, expected = PCA(n_components=3).fit_transform(X), PCA._original(n_components=3).fit_transform(X)
    for one, other in zip(found.T, expected.T, strict=True):
        assert np.corrcoef(one, other)[0, 1] ** 2 > 0.9999
        assert np.square(one - other).mean() < 1e-4 * other.var()


@pytest.mark.parametrize(
    "estimator", [PCA(20), PCA(20, whiten=True), TruncatedSVD(20, random_state=0)], ids=str
)
def test_what_follows_predicts_alike(estimator):
    X, y = load_digits(return_X_y=True)
    after = FloatLogisticRegression(max_iter=1000)
    ours = make_pipeline(estimator, after).fit(X[::2], y[::2])
    original = make_pipeline(original_of(estimator), clone(after)).fit(X[::2], y[::2])
    assert abs(ours.score(X[1::2], y[1::2]) - original.score(X[1::2], y[1::2])) <= 0.005
    crossed = make_pipeline(ours[0], original[1])
    assert np.mean(crossed.predict(X[1::2]) == original.predict(X[1::2])) >= 0.998


def test_frames_unions_and_column_transformers(diabetes):
    import pandas as pd

    X = pd.DataFrame(diabetes[0], columns=[f"f{i}" for i in range(10)])
    union = FeatureUnion([("pca", PCA(2)), ("svd", TruncatedSVD(2, random_state=0))])
    columns = ColumnTransformer([("pca", PCA(2), ["f0", "f1", "f2"])], remainder="passthrough")
    for each in (union, columns):
        found = each.set_output(transform="pandas").fit_transform(X)
        assert list(found) == list(each.get_feature_names_out())
        assert list(found)[:2] == ["pca__pca0", "pca__pca1"]
        assert found.index.equals(X.index)
    alone = PCA(2).set_output(transform="pandas").fit(X)
    np.testing.assert_array_equal(alone.transform(X), union.transform(X).iloc[:, :2])


def test_a_pipeline_in_its_mode_is_encrypted_from_end_to_end(monkeypatch, iris):
    X, y = iris
    model = make_pipeline(StandardScaler(), PCA(2), skfhe.linear_model.LogisticRegression()).fit(X, y)
    expected = model.predict_proba(X[:3])
    runs = []
    execute = Circuit.execute
    monkeypatch.setattr(Circuit, "execute", lambda self, *x: runs.append(self) or execute(self, *x))
    for step in (model[1], model[2]):
        step._mode = skfhe._modes.Mode("execute", "forbid")
    np.testing.assert_array_equal(model.predict_proba(X[:3]), expected)
    assert len(runs) == 2
    with pytest.raises(ClearEvaluationError):
        model[1].transform(X, fhe="disable")


def test_sparse_rows_give_the_same_as_dense_ones():
    rng = np.random.default_rng(0)
    X = rng.random((60, 30)) * (rng.random((60, 30)) < 0.2)
    model = TruncatedSVD(3, random_state=0).fit(csr_matrix(X))
    np.testing.assert_array_equal(model.transform(csr_matrix(X)), model.transform(X))
    original = TruncatedSVD._original(3, random_state=0).fit(csr_matrix(X))
    np.testing.assert_allclose(model.transform(X), original.transform(X), atol=1e-3)


@pytest.mark.parametrize(("n_components", "whiten"), [(1, False), (3, False), (3, True), (None, False)])
def test_likelihoods_are_those_of_the_original(n_components, whiten, iris):
    X, _ = iris
    params = {"n_components": n_components, "whiten": whiten}
    model, original = PCA(n_bits=14, **params).fit(X), PCA._original(**params).fit(X)
    np.testing.assert_allclose(model.score_samples(X), original.score_samples(X), atol=0.05)
    assert model.score(X) == pytest.approx(original.score(X), abs=0.01)


def test_whitened_components_that_are_noise_are_told_of():
    """The last components of pixels vary by a hundredth of the first, so that steps are most of them."""
    X, _ = load_digits(return_X_y=True)
    with pytest.warns(ToleranceWarning, match=r"projections of .* are whitened .*; n_bits=12 makes it 99"):
        PCA(whiten=True, n_bits=6).fit(X)


def test_projections_follow_the_components(iris):
    X, _ = iris
    model = PCA(2).fit(X)
    before = model.transform(X)
    model.compile()
    model.components_ = -model.components_
    np.testing.assert_allclose(model.transform(X), -before, atol=2e-3)
    with pytest.raises(NotCompiledError):
        model.transform(X, fhe="execute")


def test_no_components_are_refused(iris):
    with pytest.raises(ValueError, match="no component to project rows on; raise n_components=0"):
        PCA(0).fit(iris[0])


def test_whitening_is_asked_for_when_rows_are_projected(iris):
    X, _ = iris
    model, original = PCA(2).fit(X).set_params(whiten=True), PCA._original(2).fit(X)
    original.set_params(whiten=True)
    np.testing.assert_allclose(model.transform(X), original.transform(X), atol=0.01)
    np.testing.assert_allclose(model.score_samples(X), original.score_samples(X), atol=0.05)


def test_rows_far_from_training_are_told_of(iris):
    X, _ = iris
    with pytest.warns(InputClippingWarning, match="PCA: 150 of 150 rows"):
        PCA(2).fit(X).transform(X * 1e4)


def test_a_converted_original_equals_a_fit():
    X, _ = load_breast_cancer(return_X_y=True)
    for estimator in (PCA(3, n_bits=10), TruncatedSVD(3, random_state=0, n_bits=10)):
        converted = type(estimator).from_sklearn_model(original_of(estimator).fit(X), X, n_bits=10)
        np.testing.assert_array_equal(converted.transform(X), clone(estimator).fit(X).transform(X))
