"""Regressions that outliers hardly move."""

import numpy as np
import pytest
from sklearn.datasets import make_regression
from sklearn.linear_model import Ridge as FloatRidge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from skfhe.exceptions import UnsupportedModelError
from skfhe.linear_model import QuantileRegressor, RANSACRegressor, Ridge
from tests.with_originals import original_of


@pytest.mark.parametrize("inner", [None, FloatRidge(), Ridge()])
def test_ransac_predicts_by_the_weights_inside(inner, diabetes):
    X, y = diabetes
    model = RANSACRegressor(inner, min_samples=100, random_state=0).fit(X, y)
    original = original_of(model).fit(X, y)
    np.testing.assert_array_equal(model.estimator_.coef_, original.estimator_.coef_)
    assert abs(model.score(X, y) - original.score(X, y)) < 0.005
    model.estimator_.coef_ = 2 * model.estimator_.coef_
    doubled = np.std(model.predict(X)) / np.std(original.predict(X))
    assert doubled == pytest.approx(2, rel=0.02)


def test_ransac_refuses_what_is_not_linear(diabetes):
    inner = make_pipeline(PolynomialFeatures(), FloatRidge())
    with pytest.raises(UnsupportedModelError, match=r"linear regression inside, got Pipeline; .* to sklearn"):
        RANSACRegressor(inner, min_samples=100, random_state=0).fit(*diabetes)


def test_as_many_targets_lie_below_a_quantile_as_with_the_original():
    # residuals are far smaller than targets, so a prediction has to be finer than a score of predictions asks
    X, y = make_regression(n_samples=300, n_features=10, noise=1.0, random_state=0)
    model = QuantileRegressor(quantile=0.9, alpha=0).fit(X, y)
    below, of_original = (np.mean(y < by.predict(X)) for by in (model, original_of(model).fit(X, y)))
    assert abs(below - of_original) < 0.02
