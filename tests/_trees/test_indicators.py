"""Indicators of leaves give the very integers that sums of leaf values give."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from skfhe._trees.cover_plan import cheapest_plan
from skfhe._trees.cover_program import lower_plan, used_splits
from skfhe._trees.ensemble import collect
from skfhe._trees.indicator_plan import indicator_plans
from skfhe._trees.indicators import digits_of
from skfhe.encoding import DigitSumDecoder, LeafSumDecoder
from skfhe.ensemble import GradientBoostingClassifier, RandomForestClassifier
from skfhe.program import run
from tests._trees.forests import RULE, all_rows, random_ensemble, random_tree


def sums_and_indicators(ensemble):
    """Return a function from answered splits to decoded sums, and one for each plan by indicators."""
    outputs = tuple(range(ensemble.n_outputs))
    plan = cheapest_plan(ensemble, outputs, 1e-3)
    grid = plan.grid
    columns = np.array(outputs)
    sums = LeafSumDecoder(grid.scale, grid.least + grid.bias, grid.span, columns, (), len(outputs))
    plans = [(plan, sums), *indicator_plans(ensemble, plan, sums, math.inf)]

    def evaluated(plan, decoder):
        program, used = lower_plan(plan), used_splits(plan)
        return lambda bits: decoder.decode(*run(program, bits[:, used]))

    return [evaluated(*each) for each in plans], plans


@pytest.mark.parametrize(("n_trees", "depth"), [(3, 2), (4, 4), (2, 7)])
@pytest.mark.parametrize("n_outputs", [1, 4])
@pytest.mark.parametrize("seed", [0, 1])
def test_scores_are_those_of_sums_to_the_last_bit(n_trees, depth, n_outputs, seed):
    """A leaf's integers are its digits times powers of the radix, and one leaf a tree is reached."""
    ensemble = random_ensemble(np.random.default_rng(seed), n_trees, depth, n_outputs=n_outputs)
    bits = ensemble.splits.answers(all_rows()[::3])
    (by_sums, *by_indicators), plans = sums_and_indicators(ensemble)
    assert {plan.cover.n_bits for plan, _ in plans[1:]} >= {3, 4}
    expected = by_sums(bits)
    for scores in by_indicators:
        np.testing.assert_array_equal(scores(bits), expected)


def test_trees_that_ask_the_same_share_indicators():
    tree = random_tree(np.random.default_rng(3), 3, n_outputs=2)
    once, twice = (collect([tree] * n, np.zeros(2), 3, RULE) for n in (2, 4))
    (by_sums, *by_indicators), plans = sums_and_indicators(twice)
    for (one, _), (two, _) in zip(sums_and_indicators(once)[1][1:], plans[1:], strict=False):
        assert len(one.indicators.indices) == len(two.indicators.indices)
    bits = twice.splits.answers(all_rows()[::5])
    for scores in by_indicators:
        np.testing.assert_array_equal(scores(bits), by_sums(bits))


def test_results_reach_both_ends_of_their_interval_and_no_further():
    """The interval of a digit's sum is that of each tree's leaves; the interpreter refuses what leaves it."""
    ensemble = random_ensemble(np.random.default_rng(5), 2, 2, n_outputs=3)
    bits = ensemble.splits.answers(all_rows())
    _, plans = sums_and_indicators(ensemble)
    for plan, decoder in plans[1:]:
        (results,) = run(lower_plan(plan), bits[:, used_splits(plan)])
        assert (results.min(axis=0) >= 0).all()
        assert (results.max(axis=0) <= decoder.span).all()


@given(st.lists(st.integers(-(2**20), 2**20), min_size=1, max_size=8), st.integers(3, 300))
def test_digits_add_up_and_are_near_zero(integers, radix):
    vectors = np.array(integers)[:, None]
    digits = digits_of(vectors, radix)
    np.testing.assert_array_equal(digits.values @ digits.factors, vectors[:, 0])
    assert (np.abs(digits.values) <= radix // 2).all()
    assert digits.values.any(axis=0).all()


# Which of the two is taken.


@pytest.fixture(scope="module")
def ten_classes():
    X, y = load_digits(return_X_y=True)
    return RandomForestClassifier(n_estimators=3, max_depth=3, random_state=0).fit(X, y), X


def test_many_classes_take_as_many_lookups_as_there_are_leaves(ten_classes):
    model, _ = ten_classes
    assert isinstance(model.decoder_, DigitSumDecoder)
    n_leaves = sum(tree.tree_.n_leaves for tree in model.estimators_)
    assert model.cost_.n_lookups <= n_leaves - len(model.estimators_)


@pytest.mark.parametrize("n_bits", [None, 3])
def test_the_faster_is_taken(n_bits):
    X, y = load_digits(return_X_y=True)
    model = RandomForestClassifier(n_estimators=4, max_depth=4, n_bits=n_bits, random_state=0).fit(X, y)
    others = RandomForestClassifier(n_estimators=4, max_depth=4, n_bits=n_bits, random_state=0)
    others.fit(X, y == 3)
    assert isinstance(model.decoder_, DigitSumDecoder)
    # one score, for which leaves near each other are one lookup
    assert isinstance(others.decoder_, LeafSumDecoder)


def test_boosted_classes_have_trees_of_their_own_and_stay_with_sums(iris):
    model = GradientBoostingClassifier(n_estimators=4, random_state=0).fit(*iris)
    assert isinstance(model.decoder_, LeafSumDecoder)


# Under encryption, as those of three classes are in tests/_trees/test_encrypted.py.


def test_encrypted_scores_of_ten_classes_equal_the_clear_ones(ten_classes):
    model, X = ten_classes
    model.compile()
    assert max(model.accumulator_bits_) <= 3
    rows = X[:2]
    np.testing.assert_array_equal(model.predict_proba(rows, fhe="execute"), model.predict_proba(rows))
    np.testing.assert_array_equal(model.predict(X[:64], fhe="simulate"), model.predict(X[:64]))
