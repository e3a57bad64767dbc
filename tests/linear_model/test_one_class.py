"""Detection of novelties by a linear model."""

import numpy as np

from skfhe.linear_model import SGDOneClassSVM
from tests.with_originals import original_of


def test_scores_before_and_after_the_threshold(iris):
    X = iris[0]
    model = SGDOneClassSVM(random_state=0).fit(X)
    original = original_of(model).fit(X)
    assert (model.predict(X) == original.predict(X)).mean() >= 0.98
    np.testing.assert_allclose(model.score_samples(X), original.score_samples(X), atol=0.02)
    model.compile()
    np.testing.assert_array_equal(model.score_samples(X[:2], fhe="execute"), model.score_samples(X[:2]))
    model.offset_ = model.offset_ + 100
    assert (model.predict(X) == -1).all()
    assert model.partial_fit(X).predict(X).shape == (150,)
