"""What is stopped early is stopped for a reason, and the front is what no other candidate dominates."""

import numpy as np
import pytest

from skfhe.model_selection._racing import is_beaten, pareto_front, standard_errors


def test_a_candidate_far_behind_one_that_is_no_dearer_is_beaten():
    scores = np.array([[0.90, 0.92], [0.70, 0.73], [0.60, 0.61]])
    np.testing.assert_array_equal(is_beaten(scores, np.array([1, 2, 3]), 0.25, 0.05), [False, True, True])
    np.testing.assert_array_equal(is_beaten(scores, np.array([1, 1, 1]), 0.25, 0.05), [False, True, True])


def test_the_cheapest_is_never_beaten_whatever_its_score():
    """It is on the front."""
    scores = np.array([[0.1, 0.1, 0.1], [0.9, 0.8, 0.9]])
    assert not is_beaten(scores, np.array([1.0, 2.0]), 0.25, 0.05).any()


def test_one_fold_or_folds_that_agree_by_accident_decide_nothing():
    """Two differences of one row each are equal without being certain."""
    seconds = np.array([1.0, 2.0])
    assert not is_beaten(np.array([[0.9], [0.1]]), seconds, 0.25, 0.05).any()
    assert not is_beaten(np.array([[0.9, 0.8], [0.85, 0.75]]), seconds, 0.25, 0.05).any()
    scores = np.array([[0.9, 0.8], [0.85, 0.75], [0.88, 0.9]])  # the scatter of the third pair stands in
    assert not is_beaten(scores, np.array([1.0, 2.0, 3.0]), 0.25, 0.05).any()


def test_nothing_is_beaten_at_level_0_or_by_what_has_no_score():
    scores = np.array([[0.90, 0.92], [0.70, 0.73]])
    assert not is_beaten(scores, np.array([1, 2]), 0.25, 0.0).any()
    scores[0, 1] = np.nan
    assert not is_beaten(scores, np.array([1, 2]), 0.25, 0.05).any()


def test_with_a_tolerance_a_dearer_candidate_has_to_gain_as_much():
    scores = np.array([[0.90, 0.80, 0.85], [0.91, 0.80, 0.86], [0.96, 0.87, 0.90]])
    seconds = np.array([1.0, 2.0, 3.0])
    assert not is_beaten(scores, seconds, 0.25, 0.05).any()
    beaten = is_beaten(scores, seconds, 0.25, 0.05, tolerance=0.04)
    np.testing.assert_array_equal(beaten, [False, True, False])


def test_of_candidates_that_are_alike_one_is_left():
    """The one that beats the other is not beaten by it in turn."""
    scores = np.array([[0.90, 0.80], [0.90, 0.80], [0.50, 0.41], [0.93, 0.86]])
    beaten = is_beaten(scores, np.array([1.0, 1.0, 3.0, 4.0]), 0.25, 0.05, tolerance=1.0)
    np.testing.assert_array_equal(beaten, [False, True, True, True])


@pytest.mark.parametrize("n_candidates", [2, 10])
def test_of_candidates_that_are_equally_good_few_are_lost(n_candidates):
    """Each is compared with its rival after three of five folds, at a level of .05 each time.

    Folds differ from each other by more than candidates do, which the pairs take out.
    """
    rng = np.random.default_rng(0)
    seconds, lost, n_races = np.arange(n_candidates), np.zeros(n_candidates), 200
    for _ in range(n_races):
        scores = rng.normal(0, 0.02, 5) + rng.normal(0, 0.01, (n_candidates, 5))
        left = np.arange(n_candidates)
        for n_folds in (2, 3, 4):
            beaten = is_beaten(scores[left, :n_folds], seconds[left], 0.25, 0.05)
            lost[left[beaten]] += 1
            left = left[~beaten]
    assert lost.max() / n_races < 0.11


def test_standard_errors_allow_for_training_sets_that_overlap():
    """Nadeau and Bengio: the variance of five folds' mean is (1/5 + 1/4) of that of a fold's difference."""
    differences = np.array([[1.0, 2.0, 3.0, 4.0, 5.0]])
    np.testing.assert_allclose(standard_errors(differences, 0.25), np.sqrt(2.5 * 0.45))
    assert np.isnan(standard_errors(differences[:, :1], 0.25)).all()


def test_the_front_is_what_none_is_as_good_as_for_as_little():
    rng = np.random.default_rng(0)
    for _ in range(50):
        scores, seconds = rng.integers(0, 6, 12).astype(float), rng.integers(0, 6, 12).astype(float)
        eligible = rng.random(12) < 0.8
        front = pareto_front(scores, seconds, eligible)
        assert eligible[front].all()
        assert (np.diff(scores[front]) > 0).all()
        assert (np.diff(seconds[front]) > 0).all()
        for at in np.flatnonzero(eligible):
            assert ((scores[front] >= scores[at]) & (seconds[front] <= seconds[at])).any()
    assert len(pareto_front(np.zeros(2), np.zeros(2), np.zeros(2, dtype=bool))) == 0
