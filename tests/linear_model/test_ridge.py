"""Classification by ridge regression."""

import numpy as np

from skfhe.linear_model import RidgeClassifier, RidgeClassifierCV
from tests.with_originals import original_of


def test_rows_with_several_labels(iris):
    """Each label has a score of its own; predictions are indicators, as the original's."""
    X, y = iris
    labels = np.column_stack([y > 0, X[:, 0] > 6]).astype(int)
    model, original = RidgeClassifier().fit(X, labels), original_of(RidgeClassifier()).fit(X, labels)
    predicted = model.predict(X)
    assert predicted.dtype == original.predict(X).dtype
    assert (predicted == original.predict(X)).mean() >= 0.99
    assert model.decision_function(X).shape == (150, 2)
    model.compile()
    np.testing.assert_array_equal(model.predict(X[:3], fhe="execute"), predicted[:3])
    several = RidgeClassifierCV().fit(X, labels)
    assert several.score(X, labels) == original_of(several).fit(X, labels).score(X, labels)
