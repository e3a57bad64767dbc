"""Covers leaf by leaf, by digits as signs and by thresholds compute what the trees do, with fewer lookups."""

from collections import Counter

import numpy as np
import pytest

from skfhe._trees.cover_plan import CoverPlan, leaf_grid, numbered_values
from skfhe._trees.cover_program import lower_plan, used_splits
from skfhe._trees.ensemble import RawTree, collect
from skfhe._trees.ensemble_cover import asking_trees, covers_of_trees, piece_table
from skfhe._trees.leaf_covers import leaves_of, paths_of, set_pieces, shared_sets, signed_pieces
from skfhe._trees.search import TreeNode
from skfhe._trees.threshold_covers import threshold_pieces
from skfhe.circuit import compile_program
from skfhe.cost import estimate_cost
from skfhe.cost._estimate import FACTORS
from skfhe.encoding._splits import Split
from skfhe.program import ops, run
from tests._trees.forests import RULE, all_rows, random_ensemble

SCALE = 0.25


def plans_of(ensemble, n_bits):
    """All plans of one width: by pieces on paths, and the cheaper covers if there are any."""
    outputs = tuple(range(ensemble.n_outputs))
    values, numbers = numbered_values(ensemble)
    grid = leaf_grid(ensemble, numbers, values, outputs, SCALE)
    trees = asking_trees(ensemble, numbers, outputs)
    return [
        CoverPlan(outputs, cover, grid) for cover in covers_of_trees(trees, ensemble.splits.chains, n_bits)
    ]


def expected(ensemble, plan, bits):
    """What the program returns: the trees' integers, less the least sum, as many times doubled."""
    sums = sum(np.rint(tree.values / SCALE)[tree.leaves(bits)] for tree in ensemble.trees)
    return (sums.astype(np.int64) - plan.grid.least) << plan.cover.doublings


def oblivious(rng, features, n_trees=1, n_values=None):
    """Return trees whose nodes of one depth ask the same: of these features, at different thresholds."""
    depth = len(features)
    n_inner = 2**depth - 1
    levels = np.floor(np.log2(np.arange(1, n_inner + 1))).astype(int)
    nodes = np.arange(2 * n_inner + 1)
    trees = []
    for _ in range(n_trees):
        seen = Counter()
        asked = []
        for feature in features:
            asked.append(Split(feature, seen[feature] + 0.5, False))
            seen[feature] += 1
        splits = [asked[level] for level in levels] + [None] * (n_inner + 1)
        size = (2 * n_inner + 1, 1)
        values = rng.integers(0, n_values, size) if n_values else rng.integers(-40, 40, size) * SCALE
        trees.append(RawTree(splits, 2 * nodes + 1, 2 * nodes + 2, values.astype(float)))
    return collect(trees, np.zeros(1), max(features) + 1, RULE)


def every_answer(ensemble):
    """Every combination of answers that rows can have: those of a chain are exceeded from the lowest on."""
    chains = ensemble.splits.chains
    n = len(chains)
    bits = np.arange(2**n)[:, None] >> np.arange(n) & 1
    for chain in np.unique(chains):
        of_chain = bits[:, chains == chain]
        bits = bits[(np.diff(of_chain, axis=1) <= 0).all(axis=1)]
    return bits


@pytest.mark.parametrize("n_bits", [2, 3, 4, 5])
@pytest.mark.parametrize("seed", range(6))
def test_every_cover_of_random_trees_equals_the_trees_on_every_row(n_bits, seed):
    rng = np.random.default_rng(seed)
    n_values = (None, 2, 3)[seed % 3]
    ensemble = random_ensemble(rng, n_trees=1 + seed % 4, depth=2 + seed % 5, n_outputs=2, n_values=n_values)
    bits = ensemble.splits.answers(all_rows())
    counts = []
    for plan in plans_of(ensemble, n_bits):
        program = lower_plan(plan)
        assert all(found <= n_bits for found in program.accumulator_bits)
        np.testing.assert_array_equal(
            run(program, bits[:, used_splits(plan)])[0], expected(ensemble, plan, bits)
        )
        counts.append(plan.cover.n_lookups)
        if not plan.cover.doublings:  # tables are no wider than the sums, signs included
            tables = [v.type.bits for v in program.values if isinstance(v.op, ops.Lookup)]
            assert max(tables, default=0) <= max(program.output_bits)
    assert counts == sorted(counts, reverse=True)


@pytest.mark.parametrize(
    ("features", "n_bits", "n_lookups"),
    [
        ((0, 1, 2, 3, 4), 4, 2),  # one sign
        ((0, 1, 2, 3, 4, 5), 4, 4),
        ((0, 1, 2, 3, 4, 5, 6, 7), 4, 16),
        ((0, 1, 2, 3, 4), 3, 4),
        ((0, 1, 2, 3, 4, 4), 4, 3),  # a digit of three ranks as a sign: one table more than it has splits
        ((0, 0, 1, 1, 2), 3, 3),  # or one of those with the others
        ((0, 0, 0, 1, 2, 3), 3, 4),
        ((0, 0, 0, 0, 1, 2, 3), 4, 5),  # 5 * 8 cells: 5 tables of 8, not 8 of 5 or 4 of 10
    ],
)
def test_trees_of_one_index_are_read_by_signs(features, n_bits, n_lookups):
    """Equal on every combination of answers, whatever the leaves: the transform has an inverse."""
    ensemble = oblivious(np.random.default_rng(0), features)
    plan = plans_of(ensemble, n_bits)[-1]
    cells = np.prod([count + 1 for count in Counter(features).values()])
    assert plan.cover.n_lookups <= n_lookups
    assert plan.cover.n_lookups * 2**n_bits >= cells
    program = lower_plan(plan)
    assert any(isinstance(value.op, ops.Modulo) for value in program.values)
    bits = every_answer(ensemble)
    assert len(bits) == cells
    np.testing.assert_array_equal(run(program, bits[:, used_splits(plan)])[0], expected(ensemble, plan, bits))


@pytest.mark.parametrize(("features", "n_bits"), [((0, 1, 2, 3, 4), 3), ((0, 1, 2, 3, 4, 4), 4)])
def test_signs_are_exact_under_encryption_and_priced_as_the_engine_does(features, n_bits):
    ensemble = oblivious(np.random.default_rng(1), features)
    plan = plans_of(ensemble, n_bits)[-1]
    assert any(index.signs for _, index in plan.cover.pieces)
    program = lower_plan(plan)
    bits = every_answer(ensemble)
    bits = np.resize(bits, (32, bits.shape[1]))[:, used_splits(plan)]
    circuit = compile_program(program, batch_sizes=(16,))
    np.testing.assert_array_equal(circuit.execute(bits)[0], run(program, bits)[0])
    cost, told = estimate_cost(program), circuit.statistics
    for name in ("complexity", "key_bytes"):
        assert 1 / FACTORS[name] <= getattr(cost, name) / told[name] <= FACTORS[name], name


def test_paths_of_several_trees_share_sets():
    """What three splits of one tree decide, a table of the other has room for."""
    rng = np.random.default_rng(0)
    nodes = np.arange(15)
    features = [(0, 1, 2, 3, 4, 5, 6), (0, 1, 7, 3, 4, 8, 9), (0, 1, 2, 3, 4, 5, 6)]
    trees = [
        RawTree(
            [Split(feature, 0.5, False) for feature in asked] + [None] * 8,
            2 * nodes + 1,
            2 * nodes + 2,
            rng.integers(-9, 9, (15, 1)) * SCALE,
        )
        for asked in features
    ]
    ensemble = collect(trees, np.zeros(1), 10, RULE)
    on_paths, shared = plans_of(ensemble, 4)
    assert on_paths.cover.n_lookups > 3
    assert shared.cover.n_lookups == 3
    assert shared.cover.doublings == 0
    bits = rng.integers(0, 2, (500, 10))
    np.testing.assert_array_equal(
        run(lower_plan(shared), bits[:, used_splits(shared)])[0], expected(ensemble, shared, bits)
    )


@pytest.mark.parametrize("seed", range(12))
def test_shared_sets_have_every_path_and_fit(seed):
    rng = np.random.default_rng(seed)
    chains = rng.integers(0, 9, 25).tolist()
    n_bits = 2 + seed % 4
    paths = {
        frozenset(rng.choice(25, rng.integers(1, 4), replace=False).tolist()) for _ in range(5 + 5 * seed)
    }
    cells = lambda splits: np.prod([n + 1 for n in Counter(chains[at] for at in splits).values()])  # noqa: E731
    paths = {path for path in paths if cells(path) <= 2**n_bits}
    sets = shared_sets(paths, chains, n_bits)
    assert all(any(path <= one for one in sets) for path in paths)
    assert all(cells(one) <= 2**n_bits for one in sets)
    assert len(sets) <= len(paths)


def test_nothing_is_shared_where_nothing_is_asked():
    assert shared_sets([], [0, 1], 3) == []
    assert shared_sets([frozenset()], [0, 1], 3) == []


def test_values_that_a_tree_is_relative_to_need_no_set():
    """Most leaves are of one value: only the path to the other is left."""
    leaf = TreeNode
    root = leaf(-1, 0, (leaf(-1, 1, (leaf(0), leaf(0))), leaf(-1, 2, (leaf(0), leaf(1)))))
    leaves = leaves_of(root, [0, 1, 2])
    assert paths_of(leaves, 0) == {frozenset({0, 2})}
    (piece,) = set_pieces(leaves, 0, [frozenset({0, 2})], [0, 1, 2])
    np.testing.assert_array_equal(piece_table([piece], np.array([5, 8])), [0, 0, 0, 3])


def test_signs_are_taken_only_where_they_save_lookups():
    ensemble = oblivious(np.random.default_rng(0), (0, 1, 2, 3, 4))
    trees = asking_trees(ensemble, numbered_values(ensemble)[1], (0,))
    leaves = leaves_of(trees[0][0], ensemble.splits.chains.tolist())
    chains = ensemble.splits.chains.tolist()
    assert signed_pieces(leaves, 0, chains, 4, fewer_than=2) is None
    assert len(signed_pieces(leaves, 0, chains, 4, fewer_than=3)) == 2
    assert signed_pieces(leaves, 0, chains, 5, fewer_than=9) is None  # one lookup reads it


# Trees of two values.


def caterpillar(steps, end=(0, 1)):
    """A tree that goes on below one child of a node; ``steps``: the answer that does, the other's value."""
    node = TreeNode(-1, len(steps), (TreeNode(end[0]), TreeNode(end[1])))
    for split, (answer, value) in reversed(list(enumerate(steps))):
        children = (TreeNode(value), node) if answer else (node, TreeNode(value))
        node = TreeNode(-1, split, children)
    return node


@pytest.mark.parametrize(
    ("steps", "n_bits", "n_lookups"),
    [
        ([(1, 0)] * 3, 2, 1),  # four must hold: sums 0 to 4, where a plain table of 2 bits has 4 cells
        ([(0, 0)] * 7, 3, 1),
        ([(1, 1)] * 3, 2, 1),  # one of four
        ([(1, 0), (1, 0), (1, 1)], 3, 1),
        ([(0, 0), (1, 1), (1, 0), (0, 0)], 3, 1),
    ],
)
def test_chains_of_and_and_or_are_one_lookup(steps, n_bits, n_lookups):
    chains = list(range(len(steps) + 1))
    root = caterpillar(steps)
    _, pieces = threshold_pieces(root, chains, n_bits, 99)
    assert len(pieces) == n_lookups
    assert all(piece.index.size <= 2 << n_bits for piece in pieces)


@pytest.mark.parametrize("n_bits", [2, 3, 4])
@pytest.mark.parametrize("seed", range(20))
def test_thresholds_equal_trees_of_two_values_on_every_row(n_bits, seed):
    """Whatever sums there can be are on the right side of the circle; chains within the tree included."""
    rng = np.random.default_rng(100 + seed)
    ensemble = random_ensemble(rng, n_trees=1, depth=2 + seed % 5, n_features=3 + seed % 2, n_values=2)
    values, numbers = numbered_values(ensemble)
    (roots,) = asking_trees(ensemble, numbers, (0,))
    if len(values) < 2 or not roots[0].children:
        return
    found = threshold_pieces(roots[0], ensemble.splits.chains.tolist(), n_bits, 99)
    if found is None:
        return  # a path is too long
    base, pieces = found
    bits = ensemble.splits.answers(all_rows(3 + seed % 2)[:: 1 + 6 * (seed % 2)])
    total = np.full(len(bits), 2 * values[base])
    half = 1 << n_bits
    for piece in pieces:
        index = piece.index.offset + sum(weight * bits[:, split] for split, weight in piece.index.weights)
        assert index.min() >= 0
        assert index.max() < piece.index.size <= 2 * half
        table = piece_table([piece], values.astype(np.int64), 1)
        read = np.where(index < half, 1, -1) * table[index % half]
        total += read
        if piece.added is not None:
            total += values[piece.added[0]] - values[piece.added[1]]
            assert piece.index.size > half
    np.testing.assert_array_equal(total, 2 * ensemble.trees[0].values[ensemble.trees[0].leaves(bits), 0])


def test_thresholds_are_for_two_values_and_few_leaves():
    assert threshold_pieces(caterpillar([(1, 2)]), [0, 1], 3, 99) is None
    deep = caterpillar([(1, 0)] * 300)
    assert threshold_pieces(deep, list(range(301)), 3, 99) is None


def test_thresholds_are_exact_under_encryption():
    ensemble = random_ensemble(np.random.default_rng(5), n_trees=1, depth=5, n_features=6, n_values=2)
    plan = plans_of(ensemble, 3)[-1]
    assert any(piece.added for found in plan.cover.pieces.values() for piece in found)
    program = lower_plan(plan)
    rows = np.random.default_rng(0).uniform(-1, 9, size=(16, 6))
    bits = ensemble.splits.answers(rows)[:, used_splits(plan)]
    circuit = compile_program(program, batch_sizes=(16,))
    np.testing.assert_array_equal(circuit.execute(bits)[0], run(program, bits)[0])
