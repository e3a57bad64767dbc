"""Lookups that cover trees compute what the trees compute."""

from functools import partial

import numpy as np
import pytest

from skfhe._trees import cover_plan, cover_program, ensemble_cover
from skfhe._trees.cover import TreeCover
from skfhe._trees.cover_plan import CoverPlan, cheapest_plan, leaf_grid, numbered_values
from skfhe._trees.cover_program import lower_plan, used_splits
from skfhe._trees.ensemble_cover import asking_trees, cover_ensemble, without_idle
from skfhe.circuit import compile_program
from skfhe.program import ops, run
from tests._trees.forests import all_rows, complete_tree, random_ensemble


def plan_of(ensemble, n_bits, scale):
    """Cover ``ensemble`` with lookups of ``n_bits`` bits and leaf values of ``scale``."""
    outputs = tuple(range(ensemble.n_outputs))
    values, numbers = numbered_values(ensemble)
    cover = cover_ensemble(ensemble, numbers, outputs, n_bits)
    return CoverPlan(outputs, cover, leaf_grid(ensemble, numbers, values, outputs, scale))


def sums(plan, program, bits):
    (found,) = run(program, bits[:, used_splits(plan)])
    np.testing.assert_array_equal(found % (1 << plan.cover.doublings), 0)
    return (found >> plan.cover.doublings) + plan.grid.least + plan.grid.bias


@pytest.mark.parametrize("n_bits", [2, 3, 4, 5])
@pytest.mark.parametrize("seed", range(8))
def test_program_equals_the_trees_on_every_row(n_bits, seed):
    """All ranks of all chains occur, missing values too; the interpreter checks every stated interval."""
    rng = np.random.default_rng(seed)
    depth = 1 + seed % 8
    ensemble = random_ensemble(rng, n_trees=3, depth=depth, n_outputs=2, n_values=None if seed % 2 else 3)
    plan = plan_of(ensemble, n_bits, scale=0.25)
    program = lower_plan(plan)
    assert all(bits <= n_bits for bits in program.accumulator_bits)
    bits = ensemble.splits.answers(all_rows())
    expected = np.rint(ensemble.bias / 0.25) + sum(
        np.rint(tree.values / 0.25)[tree.leaves(bits)] for tree in ensemble.trees
    )
    np.testing.assert_array_equal(sums(plan, program, bits), expected)


@pytest.mark.parametrize("seed", range(4))
def test_scores_differ_by_at_most_the_stated_error(seed):
    ensemble = random_ensemble(np.random.default_rng(seed), n_trees=6, depth=4)
    bits = ensemble.splits.answers(all_rows())
    plan = cheapest_plan(ensemble, (0,), tolerance=0.01)
    scores = sums(plan, lower_plan(plan), bits) * plan.grid.scale
    difference = np.abs(scores - ensemble.scores(bits))
    assert 0 < difference.max() <= plan.grid.error[0] + 1e-12


@pytest.mark.parametrize(
    ("depth", "oblivious", "n_bits", "n_lookups"),
    [
        (2, False, 3, 1),  # three questions are one index of 8 cells
        (2, False, 4, 1),
        (3, False, 4, 2),  # root and half: the other half's answers do not matter
        (3, False, 3, 4),  # a pair of leaves: 2 questions on the path, 1 below: 6 cells
        (3, True, 3, 1),  # one question a level
        (5, True, 5, 1),
        (4, True, 3, 8),  # a pair of leaves again: 3 questions on the path
        (1, False, 2, 0),  # one question is linear in its answer
    ],
)
def test_lookups_known_by_hand(depth, oblivious, n_bits, n_lookups):
    plan = plan_of(complete_tree(depth, oblivious), n_bits, 1.0)
    assert plan.cover.n_lookups == n_lookups


def test_wider_lookups_are_never_more():
    for seed in range(5):
        ensemble = random_ensemble(np.random.default_rng(seed), n_trees=2, depth=6)
        counts = [plan_of(ensemble, n_bits, 0.1).cover.n_lookups for n_bits in (2, 3, 4)]
        assert counts == sorted(counts, reverse=True)


@pytest.mark.parametrize("n_bits", [2, 3, 4])
def test_trees_that_are_searched_together_are_covered_as_each_alone(n_bits):
    ensemble = random_ensemble(np.random.default_rng(n_bits), n_trees=12, depth=7, n_values=4)
    _, numbers = numbered_values(ensemble)
    (roots,) = asking_trees(ensemble, numbers, (0,))
    roots = [root for root in roots if root.children]
    together = TreeCover.of_trees(roots, ensemble.splits.chains, n_bits)
    for root, cover in zip(roots, together, strict=True):
        alone = TreeCover(root, ensemble.splits.chains, n_bits)
        assert (alone.n_lookups, alone.offset) == (cover.n_lookups, cover.offset)
        assert [gate.index for gate in alone.lookups[0]] == [gate.index for gate in cover.lookups[0]]
        assert [piece.index for piece in alone.lookups[1]] == [piece.index for piece in cover.lookups[1]]


def test_one_bit_is_too_narrow_for_most_trees():
    ensemble = complete_tree(3)
    with pytest.raises(ValueError, match="no lookups of 1 bit cover the tree; expected 2 bits or more"):
        cover_ensemble(ensemble, numbered_values(ensemble)[1], (0,), 1)


def test_all_trees_are_searched_once_a_width(monkeypatch):
    """Not once a tree: the search is as fast as it is because its arrays are long."""
    searched = []
    of_trees = TreeCover.of_trees

    def counted(roots, chains, n_bits):
        searched.append((len(roots), n_bits))
        return of_trees(roots, chains, n_bits)

    monkeypatch.setattr(ensemble_cover.TreeCover, "of_trees", counted)
    ensemble = random_ensemble(np.random.default_rng(0), n_trees=9, depth=5, n_outputs=2)
    cheapest_plan(ensemble, (0, 1), tolerance=0.01)
    assert len({n_bits for _, n_bits in searched}) == len(searched) <= 4
    assert all(n_roots == 18 for n_roots, _ in searched)


@pytest.mark.parametrize("n_bits", [2, 3])
def test_tables_that_rounding_makes_zero_are_not_looked_up(n_bits):
    """Nor are the gates that only they read; the sums stay the same."""
    ensemble = random_ensemble(np.random.default_rng(2), n_trees=3, depth=7)
    plan = plan_of(ensemble, n_bits, scale=4.0)
    slim = CoverPlan(plan.outputs, without_idle(plan.cover, plan.grid.values), plan.grid)
    assert slim.cover.n_lookups < plan.cover.n_lookups
    assert len(slim.cover.gates) < len(plan.cover.gates)
    bits = ensemble.splits.answers(all_rows())
    np.testing.assert_array_equal(sums(slim, lower_plan(slim), bits), sums(plan, lower_plan(plan), bits))


def test_nothing_is_looked_up_where_rounding_leaves_nothing():
    ensemble = random_ensemble(np.random.default_rng(2), n_trees=3, depth=5)
    plan = plan_of(ensemble, 3, scale=1e6)
    slim = CoverPlan(plan.outputs, without_idle(plan.cover, plan.grid.values), plan.grid)
    program = lower_plan(slim)
    assert not program.lookups
    bits = ensemble.splits.answers(all_rows()[:50])
    np.testing.assert_array_equal(sums(slim, program, bits), 0)


def test_indices_of_many_lookups_are_several_products(monkeypatch):
    """Each reads the answers that its lookups need; the sums stay the same, encrypted too."""
    ensemble = random_ensemble(np.random.default_rng(4), n_trees=3, depth=5, n_features=4)
    plan = plan_of(ensemble, 2, 0.25)
    assert plan.cover.gates
    whole = lower_plan(plan)
    monkeypatch.setattr(cover_program, "ONE_PRODUCT", 0)
    monkeypatch.setattr(cover_program, "BLOCK", 40)
    program = lower_plan(plan)
    products = [value.op.weight for value in program.values if isinstance(value.op, ops.Linear)]
    assert len(products) > len([v for v in whole.values if isinstance(v.op, ops.Linear)])
    assert all(weight.size <= 40 or weight.shape[1] == 1 for weight in products[:-1])
    assert program.accumulator_bits == whole.accumulator_bits
    rows = np.random.default_rng(0).uniform(-1, 9, size=(300, 4))
    bits = ensemble.splits.answers(rows)[:, used_splits(plan)]
    np.testing.assert_array_equal(run(program, bits)[0], run(whole, bits)[0])
    circuit = compile_program(program, batch_sizes=(1, 4))
    np.testing.assert_array_equal(circuit.execute(bits[:4])[0], run(whole, bits[:4])[0])


def test_equal_trees_share_their_lookups():
    once = random_ensemble(np.random.default_rng(1), n_trees=1, depth=4)
    thrice = type(once)(once.splits, [once.trees[0]] * 3, once.bias)
    assert plan_of(thrice, 3, 0.1).cover.n_lookups == plan_of(once, 3, 0.1).cover.n_lookups


def test_leaf_values_on_a_grid_are_exact():
    """Votes of trees are counted, however many bits would be affordable."""
    ensemble = random_ensemble(np.random.default_rng(0), n_trees=5, depth=3, n_values=2)
    ensemble = type(ensemble)(ensemble.splits, ensemble.trees, np.zeros(1))
    plan = cheapest_plan(ensemble, (0,), tolerance=1e-9, unit=1.0)
    assert plan.grid.scale == 1.0
    assert plan.grid.error.max() == 0.0


@pytest.mark.parametrize("n_bits", [2, 3])
def test_encrypted_sums_of_deep_trees_equal_the_clear_ones(n_bits):
    """Gates answer under encryption what pieces read."""
    ensemble = random_ensemble(np.random.default_rng(7), n_trees=1, depth=7, n_features=4)
    plan = plan_of(ensemble, n_bits, 0.25)
    assert plan.cover.gates
    program = lower_plan(plan)
    rows = np.random.default_rng(0).uniform(-1, 9, size=(4, 4))
    bits = ensemble.splits.answers(rows)[:, used_splits(plan)]
    circuit = compile_program(program, batch_sizes=(1, 4))
    np.testing.assert_array_equal(circuit.execute(bits)[0], run(program, bits)[0])


def test_a_scale_that_just_misses_the_tolerance_is_stretched_not_refined():
    """Errors of scales that are nearly alike differ by more than the scales, and larger ones have no more
    bits. Where none of them will do, the next finer scale is taken, and at last the finest."""
    kept = []
    for seed in range(6):
        ensemble = random_ensemble(np.random.default_rng(seed), n_trees=8, depth=4)
        values, numbers = numbered_values(ensemble)
        reached = cover_plan._reached(ensemble, numbers, (0,), ensemble.splits.answers(all_rows()[::7]))
        rounded = partial(leaf_grid, ensemble, numbers, values, (0,))
        error = partial(cover_plan._rms_error, values=values, reached=reached)
        chosen = partial(cover_plan._precise_grid, rounded, [0.25, 0.01], reached, values)
        plain = rounded(0.25)
        tolerance = 0.9 * error(plain)
        grid = chosen(tolerance, 9)
        assert error(grid) <= tolerance
        assert grid.scale == 0.01 or 0.25 < grid.scale <= 0.25 * 9 / 8
        kept.append(grid.scale > 0.25)
        assert chosen(tolerance, 1).scale == 0.01
        assert chosen(2 * error(plain), 9).scale == 0.25
        assert chosen(0.0, 9).scale == 0.01
    assert sum(kept) >= 4
