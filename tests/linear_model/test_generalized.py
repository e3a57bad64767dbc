"""Generalized linear models."""

import pytest
from sklearn.metrics import d2_tweedie_score

from skfhe.linear_model import PoissonRegressor
from tests.with_originals import original_of


def test_score_of_generalized_models_is_that_of_the_integers(diabetes):
    X, y = diabetes
    model = PoissonRegressor(n_bits=3).fit(X, y)
    assert model.score(X, y) == pytest.approx(d2_tweedie_score(y, model.predict(X), power=1))
    assert model.score(X, y) != original_of(model).fit(X, y).score(X, y)
