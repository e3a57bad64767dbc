"""Forests."""

from skfhe.ensemble import RandomForestClassifier
from tests._trees.examples import FEW


def test_votes_of_pure_leaves_are_exact(iris):
    model = RandomForestClassifier(**FEW).fit(*iris)
    assert model.score_error_ < 1e-12
    assert model.output_bits_ == [3]  # up to 4 votes
