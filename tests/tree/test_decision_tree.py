"""Single trees."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.base import clone, is_classifier

from skfhe.tree import DecisionTreeRegressor
from tests._trees.examples import CLASSIFIERS, REGRESSORS, name, scores_of
from tests.with_originals import original_of


@pytest.mark.parametrize("estimator", [CLASSIFIERS[0], REGRESSORS[0]], ids=name)
def test_single_tree_returns_the_original_values(estimator, iris, diabetes):
    X, y = iris if is_classifier(estimator) else diabetes
    model, original = clone(estimator).fit(X, y), original_of(estimator).fit(X, y)
    assert model.score_error_ == 0
    np.testing.assert_array_equal(scores_of(model, X), scores_of(original, X))


@pytest.mark.parametrize("estimator", [CLASSIFIERS[0], REGRESSORS[0]], ids=name)
def test_a_single_tree_takes_rows_unchecked(estimator, iris):
    X, y = iris
    rows = X.astype(np.float32)
    for n_bits in (None, 3):
        model = clone(estimator).set_params(n_bits=n_bits).fit(X, y)
        methods = ["predict", "predict_proba"] if is_classifier(model) else ["predict"]
        for method in methods:
            checked = getattr(model, method)(X)
            np.testing.assert_array_equal(getattr(model, method)(rows, check_input=False), checked)
            np.testing.assert_array_equal(getattr(model, method)(rows, False), checked)
            sparse = getattr(model, method)(csr_matrix(rows), check_input=False)
            np.testing.assert_array_equal(sparse, checked)
    np.testing.assert_array_equal(model.apply(rows, check_input=False), model.apply(X))
    for wrong, said in ((X, "float64"), (X.tolist(), "list"), (rows[:, :3], "3 features")):
        with pytest.raises((ValueError, TypeError), match=said):
            model.predict(wrong, check_input=False)


def test_deep_trees_are_no_recursion():
    """Each split asks another feature, and all rows but one go on below it."""
    n = 400
    X, y = np.triu(np.ones((n, n))), 2.0 ** np.arange(n)
    model = DecisionTreeRegressor(random_state=0).fit(X, y)
    assert model.get_depth() > 200
    np.testing.assert_array_equal(model.predict(X), y)


def test_trees_of_one_leaf(iris):
    """A model without a split runs encrypted, too."""
    X, y = iris
    for n_bits in (None, 2):
        model = DecisionTreeRegressor(
            max_leaf_nodes=2, min_impurity_decrease=1e9, n_bits=n_bits, random_state=0
        ).fit(X, y)
        model.compile()
        np.testing.assert_array_equal(model.predict(X[:2], fhe="execute"), [1.0, 1.0])
