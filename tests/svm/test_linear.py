"""Linear support vector machines: every way in which liblinear trains them ends in one linear function."""

import numpy as np
import pytest
from sklearn.base import is_classifier

from skfhe.svm import LinearSVC, LinearSVR
from tests.with_originals import original_of

TRAINED = [
    LinearSVC(loss="hinge", random_state=0, n_bits=14),
    LinearSVC(penalty="l1", dual=False, random_state=0, n_bits=14),
    LinearSVC(multi_class="crammer_singer", random_state=0, n_bits=14),
    LinearSVC(fit_intercept=False, random_state=0, n_bits=14),
    LinearSVC(intercept_scaling=10.0, class_weight="balanced", random_state=0, n_bits=14),
    LinearSVR(loss="squared_epsilon_insensitive", dual=False, random_state=0, n_bits=14),
    LinearSVR(epsilon=0.5, fit_intercept=False, random_state=0, n_bits=14),
]


@pytest.mark.parametrize("model", TRAINED, ids=str)
def test_scores_are_those_of_the_original_up_to_quantization(model, iris):
    X, y = iris
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    model, original = model.fit(X, y), original_of(model).fit(X, y)
    method = "decision_function" if is_classifier(model) else "predict"
    scores = getattr(original, method)(X)
    np.testing.assert_allclose(getattr(model, method)(X), scores, atol=1e-3 * np.ptp(scores))


def test_two_classes_have_one_score(iris):
    """Both classes read its sign, under encryption as in the clear."""
    X, y = iris
    X, y = X[y > 0], y[y > 0]
    model = LinearSVC(random_state=0).fit(X, y)
    model.compile()
    rows = X[::12]
    scores = model.decision_function(rows, fhe="execute")
    assert scores.shape == (len(rows),)
    np.testing.assert_array_equal(model.predict(rows), np.where(scores > 0, 2, 1))
