"""Models trained by stochastic gradient descent."""

import numpy as np
import pytest
from sklearn.base import is_classifier
from sklearn.datasets import load_iris
from sklearn.linear_model import SGDClassifier as FloatSGDClassifier

from skfhe.linear_model import SGDClassifier, SGDRegressor
from tests._linear.examples import split
from tests.with_originals import original_of


@pytest.mark.parametrize("loss", sorted(FloatSGDClassifier.loss_functions))
def test_every_loss_of_stochastic_gradient_descent(loss):
    """Scores and probabilities are the original's, up to quantization."""
    X, _, y, _ = split(load_iris)
    model = SGDClassifier(loss=loss, random_state=0, n_bits=14).fit(X, y)
    original = original_of(model).fit(X, y)
    scores = original.decision_function(X)
    np.testing.assert_allclose(model.decision_function(X), scores, atol=1e-3 * np.abs(scores).max())
    assert hasattr(model, "predict_proba") == hasattr(original, "predict_proba")
    if hasattr(model, "predict_proba"):
        np.testing.assert_allclose(model.predict_proba(X), original.predict_proba(X), atol=0.01)


@pytest.mark.parametrize("estimator", [SGDClassifier, SGDRegressor])
def test_early_stopping_partial_fit_and_warm_start(estimator, iris):
    """They train the float original, and the program follows."""
    X, y = iris
    model = estimator(early_stopping=True, random_state=0).fit(X, y)
    before = model.predict(X)
    original = original_of(model).fit(X, y)
    np.testing.assert_array_equal(model.coef_, original.coef_)

    online = estimator(random_state=0)
    reference = original_of(online)
    options = {"classes": np.unique(y)} if is_classifier(online) else {}
    for _ in range(3):
        online.partial_fit(X, y, **options)
        reference.partial_fit(X, y, **options)
    np.testing.assert_array_equal(online.coef_, reference.coef_)
    assert not np.array_equal(online.predict(X), before) or is_classifier(online)

    warm = estimator(warm_start=True, random_state=0).fit(X, y).fit(X, y)
    reference = original_of(warm).fit(X, y).fit(X, y)
    np.testing.assert_array_equal(warm.coef_, reference.coef_)
