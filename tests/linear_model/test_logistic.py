"""Logistic regression."""

import warnings

import numpy as np
import pytest
import sklearn
from sklearn.linear_model import LogisticRegression as FloatLogisticRegression
from sklearn.metrics import make_scorer

from skfhe.linear_model import LogisticRegression, LogisticRegressionCV


def test_encrypted_probabilities_and_scores(iris):
    model = LogisticRegression(max_iter=1000).fit(*iris)
    model.compile()
    X = iris[0][::20]
    for method in ("decision_function", "predict_proba", "predict_log_proba"):
        clear = getattr(model, method)(X)
        assert clear.shape == (8, 3)
        np.testing.assert_array_equal(getattr(model, method)(X, fhe="execute"), clear)


def test_scale_of_a_feature_does_not_matter(iris):
    """Each feature has a scale of its own, folded into its weight."""
    X, y = iris
    original = FloatLogisticRegression(max_iter=1000).fit(X, y)
    stretched = FloatLogisticRegression(max_iter=1000).fit(X, y)
    factors = np.array([2.0**20, 1.0, 2.0**-20, 8.0])  # so that no product is rounded
    stretched.coef_ = original.coef_ / factors
    a = LogisticRegression.from_sklearn_model(original, X)
    b = LogisticRegression.from_sklearn_model(stretched, X * factors)
    np.testing.assert_array_equal(a.predict(X), b.predict(X * factors))
    np.testing.assert_array_equal(a.encoder_.encode(X)[0], b.encoder_.encode(X * factors)[0])


def test_bits_of_inputs_and_weights_can_differ(iris):
    n_bits = {"op_inputs": 3, "op_weights": 10}
    model = LogisticRegression(max_iter=1000, n_bits=n_bits, range_margin=0).fit(*iris)
    encoded = model.encoder_.encode(iris[0])[0]
    assert (np.ptp(encoded, axis=0) >= 2**3 / 1.2).all()
    assert np.ptp(encoded, axis=0).max() <= 2**5
    weights = model.program_.values[1].op.weight
    assert 2**9 - 1 <= np.abs(weights).max() < 2**11


def test_scores_take_what_the_scorer_takes(iris):
    """Sample weights by name, as the original wants them, and more with metadata routing alone."""
    X, y = (part[::4] for part in iris)
    weights = np.where(y == 0, 0.0, 1.0)
    model = LogisticRegressionCV(Cs=2, cv=2, solver="newton-cholesky", scoring="accuracy").fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        found = model.score(X, y, sample_weight=weights)
    assert found == np.mean(model.predict(X[y > 0]) == y[y > 0])
    with pytest.raises(ValueError, match="only supported if enable_metadata_routing=True"):
        model.score(X, y, size=1.0)

    with sklearn.config_context(enable_metadata_routing=True):
        scoring = make_scorer(lambda y, predicted, size: size * np.mean(y == predicted))
        model.scoring = scoring.set_score_request(size=True)
        assert model.score(X, y, size=3.0) == 3 * np.mean(model.predict(X) == y)
