"""The nearest centres are the original's, and distances from all of them."""

import pickle

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skfhe.cluster import KMeans, MiniBatchKMeans
from skfhe.exceptions import NotCompiledError
from tests.decomposition.test_projections import awkward, heavy_tailed
from tests.with_originals import failed_alone, original_of

SMALL = {"n_clusters": 4, "n_init": 1, "random_state": 0}


@pytest.mark.parametrize("cls", [KMeans, pytest.param(MiniBatchKMeans, marks=pytest.mark.slow)])
def test_no_check_fails_that_the_original_passes(cls):
    assert not failed_alone(cls(random_state=0), cls._original(random_state=0))


def rows_of(load):
    X = load(return_X_y=True)[0] if load.__name__.startswith("load") else load()
    return X if load is load_digits else StandardScaler().fit_transform(X)


@pytest.mark.parametrize("load", [load_wine, load_breast_cancer, load_digits, awkward, heavy_tailed])
def test_the_nearest_centre_is_the_original_s(load):
    X = rows_of(load)
    model, original = KMeans(**SMALL).fit(X[::2]), KMeans._original(**SMALL).fit(X[::2])
    assert np.mean(model.predict(X) == original.predict(X)) >= 0.998
    expected = original.transform(X)
    np.testing.assert_allclose(model.transform(X), expected, atol=2e-3 * np.median(expected))
    assert model.score(X) == pytest.approx(original.score(X), rel=1e-3)
    np.testing.assert_array_equal(model.labels_, original.labels_)


@pytest.mark.parametrize("load", [awkward, heavy_tailed])
def test_rows_as_they_are(load):
    X = load()
    model, original = KMeans(**SMALL).fit(X), KMeans._original(**SMALL).fit(X)
    assert np.mean(model.predict(X) == original.predict(X)) >= 0.998
    assert model.score(X) == pytest.approx(original.score(X), rel=5e-3)


@pytest.mark.parametrize("cls", [KMeans, MiniBatchKMeans])
def test_encrypted_distances_equal_the_clear_ones_without_a_lookup(cls, iris):
    X, _ = iris
    model = cls(**SMALL).fit(X)
    model.compile()
    assert model.program_.lookups == ()
    np.testing.assert_array_equal(model.transform(X[:9], fhe="execute"), model.transform(X[:9]))
    np.testing.assert_array_equal(model.predict(X[:9], fhe="execute"), model.predict(X[:9]))
    assert model.score(X[:9], fhe="execute") == model.score(X[:9])
    loaded = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(loaded.predict(X[:3], fhe="execute"), model.predict(X[:3]))


def test_weights_sparse_rows_and_single_precision(iris):
    X, _ = iris
    weight = np.arange(len(X)) % 3.0
    model, original = KMeans(**SMALL), KMeans._original(**SMALL)
    for rows in (csr_matrix(X), X.astype(np.float32)):
        model.fit(rows, sample_weight=weight)
        original.fit(rows, sample_weight=weight)
        found, expected = model.transform(rows), original.transform(rows)
        assert (found.dtype, model.predict(rows).dtype) == (expected.dtype, np.int32)
        np.testing.assert_allclose(found, expected, atol=2e-3)
        expected = original.score(rows, sample_weight=weight)
        assert model.score(rows, sample_weight=weight) == pytest.approx(expected, rel=1e-3)
        np.testing.assert_array_equal(model.fit_transform(rows), model.transform(rows))


def test_training_in_parts(iris):
    X, _ = iris
    model, original = MiniBatchKMeans(**SMALL), MiniBatchKMeans._original(**SMALL)
    for part in (X[:80], X[80:]):
        model.partial_fit(part)
        original.partial_fit(part)
    np.testing.assert_array_equal(model.predict(X), original.predict(X))


def test_distances_follow_the_centres(iris):
    X, _ = iris
    model = KMeans(**SMALL).fit(X)
    model.compile()
    model.cluster_centers_ = X[[0, 60, 120]].copy()
    assert np.diag(model.transform(X[[0, 60, 120]])).max() < 1e-3
    with pytest.raises(NotCompiledError):
        model.predict(X, fhe="execute")


def test_one_cluster_leaves_the_client_s_own_part(iris):
    X, _ = iris
    model = KMeans(1, n_init=1).fit(X)
    expected = np.sqrt(np.square(X - X.mean(axis=0)).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(model.transform(X), expected, rtol=1e-9)


def test_frames_and_pipelines(iris):
    X, y = iris
    model = KMeans(**SMALL)
    frame = clone(model).set_output(transform="pandas").fit(X).transform(X)
    assert list(frame) == ["kmeans0", "kmeans1", "kmeans2", "kmeans3"]
    ours, original = (
        make_pipeline(each, LogisticRegression()).fit(X, y) for each in (model, original_of(model))
    )
    np.testing.assert_array_equal(ours.predict(X), original.predict(X))


def test_a_converted_original_equals_a_fit(iris):
    X, _ = iris
    converted = KMeans.from_sklearn_model(KMeans._original(**SMALL).fit(X), X, n_bits=14)
    np.testing.assert_array_equal(converted.transform(X), KMeans(**SMALL).fit(X).transform(X))
