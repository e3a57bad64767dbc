"""Forests."""

from skfhe.ensemble import RandomForestClassifier
from tests._trees.examples import FEW


def test_votes_of_pure_leaves_are_exact(iris):
    model = RandomForestClassifier(**FEW).fit(*iris)
    assert model.score_error_ < 1e-12
    # up to 4 votes, or twice as many where a lookup returns halves of them
    assert model.output_bits_ == [(4 * model.decoder_.multiple).bit_length()]
