"""Quadratic discriminant analysis: two classes, regularisation, and features that go together."""

import numpy as np
import pytest

from skfhe.discriminant_analysis import QuadraticDiscriminantAnalysis
from tests._polynomial.examples import rows
from tests.with_originals import original_of


@pytest.mark.parametrize("params", [{}, {"reg_param": 0.3, "priors": [0.9, 0.1]}])
def test_two_classes_have_one_score(params):
    X, y = rows()
    model = QuadraticDiscriminantAnalysis(**params).fit(X, y > 0)
    original = original_of(model).fit(X, y > 0)
    expected = original.decision_function(X)
    assert model.decision_function(X).shape == expected.shape == (len(X),)
    np.testing.assert_allclose(model.decision_function(X), expected, atol=1e-3 * np.ptp(expected))
    np.testing.assert_allclose(model.predict_log_proba(X), original.predict_log_proba(X), atol=0.05)


def test_nearly_collinear_features_get_finer_steps():
    """What tells classes apart is a difference that is a thousandth of either feature."""
    rng = np.random.default_rng(0)
    y = np.arange(200) % 2
    first = rng.normal(size=200)
    X = np.column_stack([first, first + 1e-3 * rng.normal(size=200) + 3e-3 * y])
    model = QuadraticDiscriminantAnalysis(tol=0.0).fit(X, y)
    assert model.encoder_.factors.grid.step.max() < 1e-4
    assert (model.predict(X) == original_of(model).fit(X, y).predict(X)).mean() >= 0.995
