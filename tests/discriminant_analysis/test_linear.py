"""Linear discriminant analysis."""

import numpy as np
import pytest

from skfhe.discriminant_analysis import LinearDiscriminantAnalysis
from tests.with_originals import failed_alone, original_of


def test_no_check_fails_that_the_original_passes():
    estimator = LinearDiscriminantAnalysis()
    assert not failed_alone(estimator, original_of(estimator))


@pytest.mark.parametrize("solver", ["svd", "lsqr", "eigen"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_probabilities_are_those_of_the_original(solver, n_classes, iris):
    X, y = iris[0][50 * (3 - n_classes) :], iris[1][50 * (3 - n_classes) :]
    model = LinearDiscriminantAnalysis(solver=solver).fit(X, y)
    original = original_of(model).fit(X, y)
    np.testing.assert_array_equal(model.predict(X), original.predict(X))
    np.testing.assert_allclose(model.predict_proba(X), original.predict_proba(X), atol=0.01)
    np.testing.assert_allclose(model.decision_function(X), original.decision_function(X), atol=0.05)
    if solver == "lsqr":
        with pytest.raises(NotImplementedError, match="transform not implemented for 'lsqr'"):
            model.transform(X)
    else:
        assert model.transform(X).shape == (len(X), n_classes - 1)
        np.testing.assert_allclose(model.transform(X), original.transform(X), atol=0.01)


def test_classes_and_projections_are_encrypted_apart(iris):
    X, y = iris
    model = LinearDiscriminantAnalysis(n_components=1).fit(X, y)
    model.compile()
    np.testing.assert_array_equal(model.predict_proba(X[:2], fhe="execute"), model.predict_proba(X[:2]))
    encrypted = model.transform(X[:2], fhe="execute")
    assert encrypted.shape == (2, 1)
    np.testing.assert_array_equal(encrypted, model.transform(X[:2]))
    assert len(model.program_.outputs) == 1


def test_projections_follow_what_was_learnt(iris):
    X, y = iris
    model = LinearDiscriminantAnalysis().fit(X, y)
    before = model.transform(X)
    model.scalings_ = 2 * model.scalings_
    np.testing.assert_allclose(model.transform(X), 2 * before, atol=0.02)
    frame = model.set_output(transform="pandas").transform(X)
    assert list(frame) == ["lineardiscriminantanalysis0", "lineardiscriminantanalysis1"]


@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")
def test_a_class_of_no_prior_probability_is_never_predicted(iris):
    X, y = iris
    model = LinearDiscriminantAnalysis(priors=[0.5, 0.0, 0.5]).fit(X, y)
    original = original_of(model).fit(X, y)
    np.testing.assert_array_equal(model.predict(X), original.predict(X))
    np.testing.assert_allclose(model.predict_proba(X), original.predict_proba(X), atol=0.01)
    assert np.isneginf(model.predict_log_proba(X)[:, 1]).all()
    assert model.transform(X).shape == original.transform(X).shape
