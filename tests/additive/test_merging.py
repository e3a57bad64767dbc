"""Bins are merged to the groups whose weighted squared error is the least."""

import itertools

import numpy as np
import pytest

from skfhe.additive._description import Bins, Term
from skfhe.additive._groups import FeatureBins, means, questions, split_encoder
from skfhe.additive._merging import in_order, merged_runs, shared_budget
from skfhe.additive._pairs import SHAPES, best_first, merged_pair


def error_of(values, weights, groups):
    """Return the mean squared error of putting each group's mean in place of its members."""
    fitted = means(values, weights, groups)[groups]
    return (weights @ np.square(values - fitted).sum(axis=1)) / weights.sum()


@pytest.mark.parametrize("n_scores", [1, 2])
def test_runs_are_the_best_of_all_that_there_are(n_scores):
    """Against every way to cut 9 bins, for every number of groups."""
    rng = np.random.default_rng(n_scores)
    values, weights = rng.normal(size=(9, n_scores)), rng.integers(1, 20, 9).astype(float)
    found = merged_runs(values, weights, 9)
    assert len(found.errors) == 9
    for n_groups in range(1, 10):
        groups = found.groups(n_groups)
        assert len(np.unique(groups)) == n_groups
        best = np.inf
        for begins in itertools.combinations(range(1, 9), n_groups - 1):
            cut = np.cumsum(np.isin(np.arange(9), begins))
            best = min(best, error_of(values, weights, cut))
        assert error_of(values, weights, groups) == pytest.approx(best, abs=1e-12)
        assert found.errors[n_groups - 1] == pytest.approx(best, abs=1e-7)


def test_weights_of_each_score_count_by_themselves():
    values = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 5.0]])
    first, second = np.array([[1.0, 0], [1, 0], [1, 0]]), np.array([[0.0, 1], [0, 1], [0, 1]])
    assert merged_runs(values, first, 2).groups(2).tolist() == [0, 1, 1]
    assert merged_runs(values, second, 2).groups(2).tolist() == [0, 0, 1]


def test_equal_neighbours_are_one_and_bins_without_rows_decide_nothing():
    values, weights = np.array([[1.0], [1.0], [9.0], [2.0]]), np.array([5.0, 5, 0, 5])
    assert len(merged_runs(values, weights, 4).errors) == 3
    assert merged_runs(values, weights, 2).groups(2)[[0, 1, 3]].tolist() == [0, 0, 1]


def test_more_bins_than_are_searched_are_merged_beforehand():
    values = np.repeat(np.arange(4.0), 700)[:, None] + 1e-6 * np.arange(2800)[:, None]
    found = merged_runs(values, np.ones(2800), 4)
    begins = np.flatnonzero(np.diff(found.groups(4))) + 1
    assert np.abs(begins - [700, 1400, 2100]).max() <= 3


def test_groups_of_categories_of_one_score_are_runs_of_it():
    """So the best of all partitions is among them."""
    rng = np.random.default_rng(0)
    values, weights = rng.normal(size=(6, 1)), rng.integers(1, 9, 6).astype(float)
    order = in_order(values, weights)
    groups = np.empty(6, dtype=int)
    groups[order] = merged_runs(values[order], weights[order], 3).groups(3)
    every = (np.array(each) for each in itertools.product(range(3), repeat=6) if set(each) == {0, 1, 2})
    best = min(error_of(values, weights, each) for each in every)
    assert error_of(values, weights, groups) == pytest.approx(best, abs=1e-12)


def test_a_budget_is_spent_where_it_takes_most_off():
    errors = [np.array([9.0, 4, 3]), np.array([8.0, 7, 0]), np.array([0.0, 0])]
    assert shared_budget(errors, 0) == [1, 1, 1]
    assert shared_budget(errors, 1) == [2, 1, 1]
    assert shared_budget(errors, 3) == [2, 3, 1]
    assert shared_budget(errors, 99) == [3, 3, 1]


@pytest.mark.parametrize("seen", [True, False])
@pytest.mark.parametrize("categorical", [False, True])
def test_questions_tell_the_group_of_every_value(categorical, seen):
    """Of numbers on and beside cuts, of categories known and unknown, and of what is missing."""
    rng = np.random.default_rng(0)
    bins = Bins(None, np.array([1, 2, 3, 3, 4])) if categorical else Bins(np.array([-1.0, 0.0, 2.0]))
    weights = np.ones(bins.n_bins)
    weights[0], weights[-1] = 3 * seen, 0
    values = rng.normal(size=(bins.n_bins, 1))
    feature = FeatureBins(bins, weights)
    order, merging = feature.merging(values, 3)
    groups = feature.groups(order, merging.groups(len(merging.errors)), values)
    asked = questions(0, bins, groups)
    x = [-1.0, 0, 1, 2, 3, 4] if categorical else [-np.inf, -5, -1, np.nextafter(-1, -9), 0, 1, 2, np.inf]
    x = np.array([*x, np.nan])
    answers = split_encoder(1, asked).answers(x[:, None])
    step = np.array([question.behind - question.before for question in asked])
    np.testing.assert_array_equal(answers @ step, groups[bins.of(x)])
    if seen and not categorical:
        assert (groups == groups[0]).sum() == 1


def test_a_pair_that_a_small_table_can_say_is_said_exactly():
    """Blocks of 3 and 5 groups, in bins of which some hold no row."""
    rng = np.random.default_rng(0)
    first, second = np.sort(rng.integers(0, 3, 9)), np.sort(rng.integers(0, 5, 12))
    first[:3], second[:5] = range(3), range(5)
    first, second = np.sort(first), np.sort(second)
    scores = np.zeros((11, 14, 2))
    scores[1:-1, 1:-1] = rng.normal(size=(3, 5, 2))[first[:, None], second[None, :]]
    weights = np.zeros((11, 14))
    weights[1:-1, 1:-1] = rng.integers(0, 4, (9, 12))
    term = Term((0, 1), (Bins(np.arange(8.0)), Bins(np.arange(11.0))), scores, weights)
    table = merged_pair(term)
    X = rng.uniform(-1, 12, (200, 2))
    at = tuple(bins.of(X[:, axis]) for axis, bins in enumerate(term.bins))
    some = weights[at] > 0
    np.testing.assert_allclose(table.of(X)[some], term.of(X)[some], atol=1e-12)
    assert table.values.size <= 2 * 16
    assert table.values.shape[:2] in SHAPES


def test_summands_come_in_the_order_of_what_they_add():
    target = np.array([[3.0], [1.0]])
    parts = [np.array([[0.0], [1.0]]), np.array([[3.0], [0.0]]), np.array([[1.0], [1.0]])]
    found = best_first(parts, np.zeros((2, 1)), lambda scores: float(np.square(scores - target).mean()))
    assert [number for number, _ in found] == [1, 0, 2]
    assert [adds for _, adds in found] == [4.5, 0.5, -1.0]
