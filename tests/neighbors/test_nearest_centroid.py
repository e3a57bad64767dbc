"""The nearest centroid is the original's, by plain distances and by scaled ones."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.datasets import load_breast_cancer, load_digits, load_wine

from skfhe.exceptions import UnsupportedModelError
from skfhe.neighbors import NearestCentroid
from tests.decomposition.test_projections import awkward, heavy_tailed
from tests.with_originals import failed_alone, original_of

METHODS = ("decision_function", "predict_proba", "predict_log_proba")
EXAMPLES = [
    NearestCentroid(),
    NearestCentroid(priors="empirical"),
    NearestCentroid(shrink_threshold=0.2),
]


def test_no_check_fails_that_the_original_passes():
    assert not failed_alone(NearestCentroid(), NearestCentroid._original())


def problem(load):
    if load.__name__.startswith("load"):
        return load(return_X_y=True)
    X = load()
    return X, (np.argsort(np.argsort(X[:, 1] / X[:, 1].std() + X[:, 3] / X[:, 3].std())) * 3) // len(X)


@pytest.mark.parametrize("estimator", EXAMPLES, ids=str)
@pytest.mark.parametrize("load", [load_wine, load_breast_cancer, load_digits, awkward, heavy_tailed])
@pytest.mark.filterwarnings("ignore:self.within_class_std_dev_")
def test_classes_and_scores_are_the_original_s(estimator, load):
    X, y = problem(load)
    model, original = estimator.fit(X[::2], y[::2]), original_of(estimator).fit(X[::2], y[::2])
    assert np.mean(model.predict(X) == original.predict(X)) >= 0.998
    expected = original.decision_function(X)
    found = model.decision_function(X)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=5e-3 * np.median(np.abs(expected)))
    np.testing.assert_allclose(model.predict_proba(X), original.predict_proba(X), atol=0.01)


@pytest.mark.parametrize("two", [False, True])
def test_encrypted_scores_equal_the_clear_ones_without_a_lookup(two, iris):
    X, y = iris
    model = NearestCentroid().fit(X, y > 0 if two else y)
    model.compile()
    assert model.program_.lookups == ()
    for method in ("predict", *METHODS):
        found = getattr(model, method)
        np.testing.assert_array_equal(found(X[48:55], fhe="execute"), found(X[48:55]))
    np.testing.assert_array_equal(model.predict(csr_matrix(X)), model.predict(X))


def test_logarithms_are_finite(iris):
    X, y = iris
    model, original = NearestCentroid(range_margin=20).fit(X, y), NearestCentroid._original().fit(X, y)
    expected = original.predict_log_proba(5 * X)
    assert expected.min() < -800
    np.testing.assert_allclose(model.predict_log_proba(5 * X), expected, rtol=0.01, atol=0.01)


def test_absolute_differences_are_refused(iris):
    """Whether they are asked for before or after training."""
    with pytest.raises(UnsupportedModelError, match=r"manhattan.*use metric=\"euclidean\""):
        NearestCentroid(metric="manhattan").fit(*iris)
    model = NearestCentroid().fit(*iris).set_params(metric="manhattan")
    with pytest.raises(UnsupportedModelError, match="manhattan"):
        model.predict(iris[0])
