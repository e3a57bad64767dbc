"""Models that minimize squares."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import Ridge as FloatRidge

from skfhe.linear_model import ElasticNet, Lasso, LinearRegression, Ridge
from tests._linear.examples import name
from tests.with_originals import original_of

MULTI_TARGET = [LinearRegression(), Ridge(), Lasso(), ElasticNet()]


@pytest.mark.parametrize("estimator", MULTI_TARGET, ids=name)
def test_several_targets(estimator, diabetes):
    X, y = diabetes
    targets = np.column_stack([y, -2 * y])
    model = clone(estimator).fit(X, targets)
    model.compile()
    encrypted = model.predict(X[:3], fhe="execute")
    assert encrypted.shape == (3, 2)
    np.testing.assert_array_equal(encrypted, model.predict(X[:3]))
    np.testing.assert_allclose(encrypted, original_of(model).fit(X, targets).predict(X[:3]), rtol=0.02)


@pytest.mark.parametrize("n_bits", [4, 8, 12])
def test_more_bits_come_closer_to_the_float_scores(n_bits, diabetes):
    """The rounding of inputs and weights, each off by half a step, bounds the error."""
    X, y = diabetes
    model, original = Ridge(n_bits=n_bits).fit(X, y), FloatRidge().fit(X, y)
    spread = 1.2 * np.ptp(X, axis=0) @ np.abs(original.coef_)
    steps = 2**n_bits - 1
    largest = np.abs(original.coef_ * 1.2 * np.ptp(X, axis=0)).max()
    weights = X.shape[1] * largest / (2 ** (n_bits - 1) - 1)
    assert np.abs(model.predict(X) - original.predict(X)).max() <= spread / steps + weights


def test_features_without_a_weight_are_not_sent(diabetes):
    model = Lasso(alpha=0.5).fit(*diabetes)
    assert model.encoder_.features.tolist() == np.flatnonzero(model.coef_).tolist()
    assert model.program_.values[0].type.shape == (np.count_nonzero(model.coef_),)


def test_what_is_fitted_unchecked_predicts_and_counts_its_features(diabetes):
    X, y = np.asfortranarray(diabetes[0]), diabetes[1]
    model = Lasso().fit(X, y, check_input=False)
    np.testing.assert_array_equal(model.predict(X), Lasso().fit(X, y).predict(X))
    with pytest.raises(ValueError, match="expecting 10 features"):
        model.predict(X[:, :9])
