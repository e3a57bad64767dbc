"""Partial least squares predict and project as the original does."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.datasets import load_linnerud
from sklearn.model_selection import cross_val_score

from skfhe.cross_decomposition import CCA, PLSSVD, PLSCanonical, PLSRegression
from tests.with_originals import failed_alone, original_of

SIMILAR = (PLSCanonical, CCA, PLSSVD)
"""That are made as PLSRegression is."""
CHECKED = [
    PLSRegression,
    *(pytest.param(cls, marks=pytest.mark.slow, id=cls.__name__) for cls in SIMILAR),
]
EXAMPLES = [PLSRegression(4), PLSRegression(2, scale=False), PLSCanonical(1), CCA(1), PLSSVD(1)]


@pytest.mark.parametrize("cls", CHECKED)
def test_no_check_fails_that_the_original_passes(cls):
    model = cls(n_components=1)
    assert not failed_alone(model, original_of(model))


@pytest.mark.parametrize("estimator", EXAMPLES, ids=str)
@pytest.mark.parametrize("several", [False, True])
def test_predictions_and_projections_are_the_original_s(estimator, several, diabetes):
    X, y = load_linnerud(return_X_y=True) if several else diabetes
    estimator = clone(estimator).set_params(n_components=min(estimator.n_components, X.shape[1]))
    model, original = clone(estimator).fit(X, y), original_of(estimator).fit(X, y)
    if hasattr(original, "predict"):
        expected = original.predict(X)
        np.testing.assert_allclose(model.predict(X), expected, atol=1e-3 * np.ptp(expected))
        assert model.predict(X).shape == expected.shape
        assert abs(model.score(X, y) - original.score(X, y)) < 0.005
    pairs = zip(model.transform(X, y), original.transform(X, y), strict=True)
    for found, expected in pairs:
        np.testing.assert_allclose(found, expected, atol=1e-3 * np.ptp(expected))
    np.testing.assert_array_equal(model.transform(X), model.fit_transform(X, y)[0])
    assert hasattr(model, "predict") == hasattr(original, "predict")


@pytest.mark.parametrize("estimator", [PLSRegression(3), PLSSVD(1)], ids=str)
def test_encrypted_results_equal_the_clear_ones_without_a_lookup(estimator, diabetes):
    X, y = diabetes
    model = clone(estimator).fit(X, y)
    model.compile()
    assert model.program_.lookups == ()
    np.testing.assert_array_equal(model.transform(X[:9], fhe="execute"), model.transform(X[:9]))
    if hasattr(model, "predict"):
        np.testing.assert_array_equal(model.predict(X[:9], fhe="execute"), model.predict(X[:9]))


def test_frames_and_cross_validation(diabetes):
    X, y = diabetes
    model = PLSRegression(3)
    frame = model.set_output(transform="pandas").fit(X, y).transform(X)
    assert list(frame) == ["plsregression0", "plsregression1", "plsregression2"]
    scores = [cross_val_score(each, X, y, cv=3) for each in (PLSRegression(3), PLSRegression._original(3))]
    np.testing.assert_allclose(*scores, atol=0.005)
    with pytest.raises(TypeError, match="dense data is required"):
        model.transform(csr_matrix(X))
