"""Mixtures of Gaussians: covariances of every kind, single precision, and what follows from scores."""

import numpy as np
import pytest

from skfhe.mixture import GaussianMixture
from tests._polynomial.examples import rows
from tests.with_originals import original_of


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_covariances_of_every_kind(kind, dtype):
    X = rows()[0].astype(dtype)
    model = GaussianMixture(3, covariance_type=kind, random_state=0).fit(X)
    original = original_of(model).fit(X)
    for method in ("score_samples", "predict_proba", "predict"):
        found, expected = getattr(model, method)(X), getattr(original, method)(X)
        assert found.dtype == expected.dtype, method
        np.testing.assert_allclose(found, expected, atol=0.02)
    assert model.score(X) == pytest.approx(original.score(X), abs=0.005)
    assert model.bic(X) == pytest.approx(original.bic(X), rel=0.005)


def test_labels_of_training_are_those_of_prediction():
    X, _ = rows()
    model = GaussianMixture(3, random_state=0)
    np.testing.assert_array_equal(model.fit_predict(X), model.predict(X))
    assert GaussianMixture(1, random_state=0).fit(X).predict_proba(X).tolist() == [[1.0]] * len(X)
