"""Trees on levels, worked out by hand."""

import numpy as np
import pytest

from skfhe._trees.comparisons import level_rows, on_levels
from skfhe._trees.cover_program import lower_plan, used_splits
from skfhe._trees.ensemble import RawTree, collect
from skfhe.encoding import LevelQuantizer
from skfhe.encoding._splits import Categories, Rule, Split, Splits
from skfhe.exceptions import UnsupportedModelError
from skfhe.program import run
from tests._trees.forests import complete_tree
from tests._trees.test_cover_program import plan_of

RULE = Rule("<=", "float64")


def stump(*splits):
    """Return a tree that asks ``splits`` one after another; answer 1 leads to a leaf each."""
    n = len(splits)
    nodes = np.arange(2 * n + 1)  # the inner ones first, then the leaves
    return RawTree(
        [*splits, *[None] * (n + 1)],
        np.r_[nodes[1:n], 2 * n, np.zeros(n + 1, dtype=int)],
        np.r_[nodes[n : 2 * n], np.zeros(n + 1, dtype=int)],
        np.where(nodes < n, 0, nodes - n + 1.0)[:, None],
    )


def levels_of(*representatives, missing=False):
    """Return a quantizer of one feature with a level for each of some values, 3 bits."""
    values = np.array(representatives, dtype=float)
    return LevelQuantizer(3, [values[:-1] + np.diff(values) / 2], [values], np.array([missing]))


def test_chains_known_by_hand():
    """One feature and one side for missing values make a chain; a categorical split is alone."""
    groups = [Categories(frozenset({k}), frozenset({9}), False) for k in range(2)]
    asked = [
        Split(0, 1.0, False),
        Split(0, 2.0, False),
        Split(0, 0.0, False, groups[0]),
        Split(0, 0.0, False, groups[1]),
        Split(0, 5.0, True),
        Split(2, 5.0, True),
        Split(2, 6.0, True),
    ]
    splits = Splits(3, RULE, reversed(asked))
    assert list(splits) == asked
    assert splits.chains.tolist() == [0, 0, 1, 2, 3, 4, 4]
    assert splits.features.tolist() == [0, 0, 0, 0, 0, 2, 2]
    assert list(splits.select(np.array([6, 0]))) == [asked[0], asked[6]]


def test_a_threshold_after_categories_begins_a_chain():
    """Negative and zero thresholds sort before categories, whatever their sign is."""
    groups = Categories(frozenset({1}), frozenset({2}), False)
    splits = Splits(1, RULE, [Split(0, 0.0, False, groups), Split(0, -1.0, False), Split(0, 1.0, False)])
    assert splits.chains.tolist() == [0, 0, 1]
    following = Splits(1, RULE, [Split(0, 0.0, False, groups), Split(0, 1.0, True)])
    assert following.chains.tolist() == [0, 1]


def test_rows_of_splits_must_be_a_table():
    with pytest.raises(ValueError, match=r"expected shape \(n_rows, 1\)"):
        Splits(1, RULE, [Split(0, 0.5, False)]).answers(np.zeros(1))


def test_splits_on_levels_known_by_hand():
    """Levels stand for 0, 10, 20, 30.

    Both 12 and 19 part levels 0 and 1 from the others, at 1.5; 0 parts the first from the rest; nothing
    exceeds 30, and everything exceeds -1: these two are not asked.
    """
    asked = [Split(0, t, False) for t in (12.0, 19.0, 0.0, 30.0, -1.0)]
    ensemble = collect([stump(*asked)], np.zeros(1), 1, RULE)
    found = on_levels(ensemble, levels_of(0, 10, 20, 30))
    assert [(s.threshold, s.missing_right, s.feature) for s in found.splits] == [
        (0.5, False, 0),
        (1.5, False, 0),
    ]
    levels = np.arange(8)[:, None]
    scores = found.scores(found.splits.answers(level_rows(levels, levels_of(0, 10, 20, 30))))
    assert scores.ravel().tolist() == [5, 3, 1, 1, 1, 1, 1, 1]  # 0: only -1; 10: 0 first; 20 and more: 12


@pytest.mark.parametrize("missing_right", [False, True])
def test_where_missing_values_part_from_all_levels_the_split_is_asked(missing_right):
    """All levels exceed -1: a missing value that goes right is answered alike, one that goes left is not.

    Then no level lies left, and the split is at -0.5.
    """
    ensemble = collect([stump(Split(0, -1.0, missing_right))], np.zeros(1), 1, RULE)
    quantizer = levels_of(0, 10, missing=True)
    found = on_levels(ensemble, quantizer)
    assert [(s.threshold, s.missing_right) for s in found.splits] == (
        [] if missing_right else [(-0.5, False)]
    )
    rows = level_rows(np.array([[0], [1], [7]]), quantizer)
    assert np.isnan(rows).ravel().tolist() == [False, False, True]
    scores = found.scores(found.splits.answers(rows)).ravel()
    assert scores.tolist() == [1, 1, 1 if missing_right else 2]


def test_the_largest_level_is_a_missing_value_only_where_some_were_seen():
    quantizer = LevelQuantizer(
        1, [np.array([0.5])] * 2, [np.array([0.0, 1.0]), np.zeros(1)], np.array([False, True])
    )
    assert np.isnan(level_rows(np.array([[1, 1], [0, 0]]), quantizer)).tolist() == [
        [False, True],
        [False, False],
    ]


def test_categories_are_refused_with_levels():
    groups = Categories(frozenset({1}), frozenset({2}), False)
    ensemble = collect([stump(Split(0, 0.0, False, groups))], np.zeros(1), 1, RULE)
    with pytest.raises(UnsupportedModelError, match="feature 0 has categories"):
        on_levels(ensemble, levels_of(0, 1, 2))


@pytest.mark.parametrize("n_bits", [2, 3, 4])
def test_the_program_of_a_complete_tree_states_what_can_occur(n_bits):
    """Bits in, indices of the width, and scores from 0 to the span of the leaves' values, 7 to 14."""
    ensemble = complete_tree(3)
    plan = plan_of(ensemble, n_bits, 1.0)
    program = lower_plan(plan)
    (sent,) = program.inputs
    assert (program.values[sent].type.min, program.values[sent].type.max) == (0, 1)
    assert program.values[sent].type.shape == (7,)
    out = program.values[program.outputs[0]].type
    assert (out.low.tolist(), out.high.tolist()) == ([0], [7])
    assert set(program.accumulator_bits) <= {n_bits}
    assert plan.grid.least.tolist() == [7]
    bits = np.array([[row >> k & 1 for k in range(7)] for row in range(128)])
    (found,) = run(program, bits)
    np.testing.assert_array_equal(found[:, 0] + 7, ensemble.scores(bits)[:, 0])


def test_a_tree_of_one_leaf_reads_one_split_and_is_constant():
    leaf = RawTree([None], np.zeros(1, int), np.zeros(1, int), np.array([[5.0]]))
    other = collect([leaf, stump(Split(0, 1.0, False))], np.zeros(1), 1, RULE)
    alone = type(other)(other.splits, other.trees[:1], other.bias)
    plan = plan_of(alone, 2, 1.0)
    assert used_splits(plan).tolist() == [0]
    program = lower_plan(plan)
    assert not program.lookups
    assert run(program, np.array([[0], [1]]))[0].ravel().tolist() == [0, 0]
    assert plan.grid.least.tolist() == [5]
