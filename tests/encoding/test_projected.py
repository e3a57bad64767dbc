"""Heads of projections and distances: what they make of scores, and what they refuse to be."""

import numpy as np
import pytest

from skfhe.encoding import (
    ClassFractions,
    Discriminants,
    Distances,
    Margins,
    NearestVotes,
    Projections,
    RowSquares,
    SoftVotes,
    Values,
)

NONE = np.zeros(0)
LABELS = (np.array(["a", "b", "c"]),)


def squares(n_scores):
    return RowSquares(NONE, NONE, np.ones(n_scores))


def test_a_tie_goes_to_the_first():
    assert Distances(squares(3)).predict(np.array([[2.0, 1.0, 1.0]])).tolist() == [1]
    head = Discriminants(Margins("softmax", labels=LABELS), 0, squares(3))
    assert head.predict(np.array([[0.0, 1.0, 1.0]])).tolist() == ["b"]


def test_distances_are_never_less_than_none():
    """Weights are rounded, so that a squared distance can be a little below 0."""
    assert Distances(squares(1)).transform(np.array([[-1e-9]])).tolist() == [[0.0]]


def test_the_sharpest_vote_is_the_nearest_alone():
    votes, scores = np.array([[1.0], [2.0], [4.0]]), np.array([[5.0, 3.0, 4.0], [0.0, 1e9, 1e9]])
    assert SoftVotes(votes, 1e6, Values()).predict(scores).tolist() == [2.0, 1.0]
    assert SoftVotes(votes, 0.0, Values()).predict(scores).tolist() == pytest.approx([7 / 3, 7 / 3])
    np.testing.assert_array_equal(
        SoftVotes(votes, 1.0, Values()).predict(scores), SoftVotes(votes, 1.0, Values()).predict(scores + 7)
    )


def test_neighbors_at_no_distance_vote_alone():
    votes = np.eye(3)
    head = NearestVotes(votes, 2, "distance", ClassFractions((3,), 3, LABELS), squares(3))
    assert head.predict_proba(np.array([[0.0, 4.0, 9.0], [0.0, 0.0, 1.0]])).tolist() == [
        [1, 0, 0],
        [0.5, 0.5, 0],
    ]
    uniform = NearestVotes(votes, 2, "uniform", ClassFractions((3,), 3, LABELS), squares(3))
    assert uniform.predict(np.array([[9.0, 1.0, 0.0]])).tolist() == ["b"]


@pytest.mark.parametrize(
    "made",
    [
        lambda: RowSquares(np.zeros(2), np.ones(3), np.ones(1)),
        lambda: RowSquares(np.zeros((1, 2)), np.ones((1, 2)), np.ones(1)),
        lambda: Projections(-1),
        lambda: Discriminants(Margins("softmax"), 0, None),
        lambda: SoftVotes(np.ones((2, 1)), -1.0, Values()),
        lambda: SoftVotes(np.ones((2, 1)), np.nan, Values()),
        lambda: SoftVotes(np.ones((2, 1)), 1.0, ClassFractions((2,), 2)),
        lambda: SoftVotes(np.ones((0, 1)), 1.0, Values()),
        lambda: NearestVotes(np.ones((2, 1)), 3, "uniform", Values(), squares(2)),
        lambda: NearestVotes(np.ones(2), 1, "uniform", Values(), squares(2)),
    ],
)
def test_what_would_misbehave_later_is_refused(made):
    with pytest.raises(ValueError, match=r"expected|must be"):
        made()


@pytest.mark.parametrize(
    ("head", "n_scores"),
    [
        (Projections(2), 1),
        (Distances(squares(3)), 2),
        (Discriminants(Margins("softmax", labels=LABELS), 0, squares(3)), 4),
        (Discriminants(Margins("softmax", labels=LABELS), 2, squares(5)), 5),
        (Discriminants(Margins("softmax", labels=LABELS), 3, squares(3)), 6),
        (SoftVotes(np.ones((2, 1)), 1.0, Values()), 3),
        (NearestVotes(np.ones((2, 1)), 1, "uniform", Values(), squares(1)), 2),
    ],
)
def test_another_number_of_scores_does_not_fit(head, n_scores):
    assert not head.fits(n_scores)
