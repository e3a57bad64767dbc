"""Isolation forests: paths are the original's, and what is predicted follows the program's own scores."""

import warnings

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn import ensemble as float_ensemble
from sklearn.base import clone

from skfhe.encoding import PathLengths
from skfhe.ensemble import IsolationForest
from skfhe.exceptions import CostWarning
from tests.with_originals import failed_alone, original_of

SMALL = {"n_estimators": 4, "max_samples": 16, "random_state": 0}


@pytest.fixture(scope="module")
def fitted(iris):
    return IsolationForest(**SMALL).fit(iris[0])


def test_no_check_fails_that_the_original_passes():
    estimator = IsolationForest(n_estimators=3, max_samples=8, random_state=0)
    assert not failed_alone(estimator, original_of(estimator))


VARIANTS = [
    {},
    {"leaves": "index"},
    {"max_features": 0.5, "bootstrap": True},
    {"max_samples": 1},  # paths have no length
    {"n_estimators": 1},
]


@pytest.mark.parametrize("params", VARIANTS, ids=str)
def test_scores_are_those_of_the_float_trees(params, iris):
    """A row that took another path would be off by whole splits; what remains is the rounding of lengths.

    Labels can differ within that of the offset alone.
    """
    X = iris[0].copy()
    X[::7, 1] = np.nan
    estimator = IsolationForest(**(SMALL | params))
    model, original = estimator.fit(X), original_of(estimator).fit(X)
    difference = np.abs(model.score_samples(X) - original.score_samples(X))
    assert difference.max() <= model.score_error_ + 1e-12
    np.testing.assert_allclose(model.decision_function(X), model.score_samples(X) - model.offset_, atol=1e-15)
    sure = np.abs(original.decision_function(X)) > model.score_error_ + 1e-12
    np.testing.assert_array_equal(model.predict(X)[sure], original.predict(X)[sure])
    if params.get("leaves") == "index":
        assert model.score_error_ == 0
        np.testing.assert_array_equal(model.score_samples(X), original.score_samples(X))


def test_contamination_is_that_of_the_program_s_own_scores(iris):
    """The original's offset lies among scores that are not rounded: rows at it could fall on either side."""
    X, _ = iris
    model = IsolationForest(**SMALL, contamination=0.1, score_tolerance=0.5).fit(X)
    assert model.score_error_ > 1e-3
    assert model.offset_ == np.percentile(model.score_samples(X), 10)
    assert (model.predict(X) == -1).mean() <= 0.1
    np.testing.assert_array_equal(model.predict(X), clone(model).fit_predict(X))


def test_an_offset_that_is_assigned_is_followed(fitted, iris):
    X = iris[0]
    model = IsolationForest.from_sklearn_model(float_ensemble.IsolationForest(**SMALL).fit(X), X)
    np.testing.assert_array_equal(model.predict(X), fitted.predict(X))
    model.offset_ = -0.4
    assert (model.predict(X) == -1).sum() > (fitted.predict(X) == -1).sum()
    assert model.head_.offset == -0.4


def test_warm_start_adds_trees_and_sparse_rows_are_taken(fitted, iris):
    X = iris[0]
    model = IsolationForest(**(SMALL | {"n_estimators": 2}), warm_start=True).fit(csr_matrix(X))
    model.set_params(n_estimators=4).fit(csr_matrix(X))
    assert len(model.estimators_) == 4
    assert model.score_samples(csr_matrix(X)).shape == (150,)
    with pytest.raises(ValueError, match="number of features"):
        model.set_params(n_estimators=5).fit(X[:, :2])


def test_encrypted_scores_equal_the_clear_ones(fitted, iris):
    model, X = clone(fitted).set_params(n_estimators=2).fit(iris[0]), iris[0][::50]
    model.compile()
    np.testing.assert_array_equal(model.score_samples(X, fhe="execute"), model.score_samples(X))


def test_quantized_features_keep_thresholds_on_the_server(iris):
    model = IsolationForest(**SMALL, n_bits=3).fit(iris[0])
    assert set(model.predict(iris[0])) <= {-1, 1}


def test_forests_that_take_seconds_a_row_are_warned_of(iris):
    with pytest.warns(CostWarning, match=r"16 trees of 64 samples take \d+ lookups, about [\d.]+ s a row"):
        IsolationForest(n_estimators=16, max_samples=64, random_state=0).fit(iris[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        IsolationForest(n_estimators=40, max_samples=2, random_state=0).fit(iris[0])


def test_heads_of_path_lengths():
    head = PathLengths(10.0, -0.6)
    lengths = np.array([[0.0], [5.0], [10.0], [100.0]])
    np.testing.assert_allclose(head.score_samples(lengths), [-1, -(0.5**0.5), -0.5, -(2.0**-10)])
    assert head.predict(lengths).tolist() == [-1, -1, 1, 1]
    # the bound holds for any two lengths so far apart
    apart = head.score_samples(lengths + 0.25) - head.score_samples(lengths)
    assert np.abs(apart).max() <= head.error_of(0.25)
    assert PathLengths(0.0).score_samples(lengths).tolist() == [-0.5] * 4
    for wrong in (lambda: PathLengths(-1.0), lambda: PathLengths(1.0, np.nan)):
        with pytest.raises(ValueError, match="a finite length"):
            wrong()
