"""Heads of log-densities and of votes: what they say of scores, and what they refuse."""

import numpy as np
import pytest
from scipy.special import log_softmax, logsumexp

from skfhe.encoding import Inliers, LogDensities, PairVotes


def test_probabilities_of_densities_have_finite_logarithms():
    scores = np.random.default_rng(0).normal(scale=1e5, size=(30, 4))
    head = LogDensities()
    np.testing.assert_allclose(head.predict_log_proba(scores), log_softmax(scores, axis=1), rtol=1e-12)
    np.testing.assert_allclose(head.score_samples(scores), logsumexp(scores, axis=1), rtol=1e-12)
    assert np.isfinite(head.predict_log_proba(scores)).all()
    np.testing.assert_array_equal(head.predict(scores), scores.argmax(axis=1))


def test_a_class_of_no_probability_is_never_predicted():
    scores = np.array([[-np.inf, -5.0], [-np.inf, -1e300]])
    head = LogDensities((np.array(["a", "b"]),), ratio=True)
    assert head.predict(scores).tolist() == ["b", "b"]
    assert head.predict_proba(scores).tolist() == [[0.0, 1.0], [0.0, 1.0]]
    assert head.decision_function(scores).tolist() == [np.inf, np.inf]


def test_ties_of_votes_go_to_the_first_class_or_to_the_surest():
    """Each of three classes wins once."""
    scores = np.array([[1.0, -4.0, 2.0]])
    assert PairVotes(3).predict(scores).tolist() == [0]
    assert PairVotes(3, break_ties=True).predict(scores).tolist() == [2]
    assert PairVotes(3, one_vs_rest=False).decision_function(scores).tolist() == scores.tolist()
    assert PairVotes(2).predict(np.array([[0.0], [-1.0], [1.0]])).tolist() == [1, 0, 1]


def test_coupled_probabilities_agree_with_pairs_that_agree_with_each_other():
    """Where pairs are those of some probabilities, these are found again, up to the tolerance."""
    expected = np.array([[0.7, 0.2, 0.05, 0.05], [0.25, 0.25, 0.25, 0.25], [0.01, 0.01, 0.97, 0.01]])
    pairs = [(i, j) for i in range(4) for j in range(i + 1, 4)]
    odds = np.column_stack([np.log(expected[:, i] / expected[:, j]) for i, j in pairs])
    head = PairVotes(4, slopes=np.full(6, -1.0), intercepts=np.zeros(6))
    found = head.predict_proba(odds)
    np.testing.assert_allclose(found, expected, atol=0.02)
    np.testing.assert_allclose(found.sum(axis=1), 1.0, rtol=1e-12)
    with pytest.raises(ValueError, match="not trained to tell probabilities"):
        PairVotes(4).predict_proba(odds)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: PairVotes(1),
        lambda: PairVotes(10**6),
        lambda: PairVotes(3, slopes=np.ones(2), intercepts=np.ones(2)),
        lambda: PairVotes(3, slopes=np.ones(3)),
        lambda: PairVotes(3, labels=(np.arange(2),)),
        lambda: LogDensities((np.arange(2), np.arange(2))),
        lambda: LogDensities((np.empty(0),)),
    ],
)
def test_heads_that_fit_no_model_are_refused(wrong):
    with pytest.raises(ValueError, match="expected"):
        wrong()


def test_outliers_have_negative_scores():
    scores = np.array([[0.5], [0.0], [-0.5]])
    assert Inliers(1.0).predict(scores).tolist() == [1, -1, -1]
    assert Inliers(1.0).score_samples(scores).tolist() == [1.5, 1.0, 0.5]
    assert Inliers(1.0).relevance(scores) == 0.5
