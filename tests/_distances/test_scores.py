"""Squared distances are a linear score and the row's own part, however that is computed."""

import numpy as np
from scipy.sparse import csr_matrix

from skfhe._distances import distances_from, middle_of
from skfhe._linear.scores import Calibration, quantize_scores
from skfhe.encoding import Distances, RowSquares, _row_squares


def problem(factor):
    rng = np.random.default_rng(0)
    X, points = rng.normal(size=(40, 3)) * [1, 10, 0.1] + [0, 100, -5], rng.normal(size=(4, 3))
    points = points * [1, 10, 0.1] + [0, 100, -5]
    head = Distances(RowSquares(middle_of(points), factor, np.ones(4)))
    model = quantize_scores(
        distances_from(points, head, factor), Calibration.on(X, np.ones(len(X)), 14, range_margin=1.0)
    )
    return X, points, model


def test_linear_scores_and_the_row_s_own_part_are_squared_distances():
    for factor in (np.ones(3), np.array([2.0, 0.5, 7.0])):
        X, points, model = problem(factor)
        scores = model.head.squares.added(model.scores(X), X, model.encoder)
        expected = (np.square(X[:, None] - points) * factor).sum(axis=2)
        np.testing.assert_allclose(scores, expected, rtol=1e-3, atol=1e-3 * np.median(expected))


def test_a_point_is_at_no_distance_from_itself():
    """As exactly as its own numbers are represented: not less so because the points are far from 0."""
    _, points, model = problem(np.ones(3))
    squares = np.diag(model.head.squares.added(model.scores(points), points, model.encoder))
    nearest = np.square(points[:, None] - points).sum(axis=2)[~np.eye(4, dtype=bool)].min()
    assert np.abs(squares).max() < 1e-5 * nearest


def test_the_row_s_own_part_is_that_of_what_is_sent(monkeypatch):
    """Of clipped rows, too; and it is the same in any blocks, and for sparse rows."""
    X, _, model = problem(np.ones(3))
    X[0] = 1e6
    own = model.head.squares.of(X, model.encoder)
    grid, (integers,) = model.encoder.grid, model.encoder.encode(X)
    sent = grid.origin + grid.step * integers
    np.testing.assert_allclose(own, np.square(sent - model.head.squares.middle).sum(axis=1), rtol=1e-12)
    monkeypatch.setattr(_row_squares, "BLOCK", 10)
    np.testing.assert_array_equal(model.head.squares.of(X, model.encoder), own)
    np.testing.assert_array_equal(model.head.squares.of(csr_matrix(X), model.encoder), own)
