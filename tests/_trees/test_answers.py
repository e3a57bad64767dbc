"""Splits on levels, answered from the bits that are sent, whatever the radix of the levels' digits."""

from types import SimpleNamespace

import numpy as np
import pytest

from skfhe._trees import comparisons
from skfhe._trees.answers import LevelAnswers
from skfhe._trees.comparisons import cheapest_answers, level_rows, on_levels
from skfhe._trees.cover_program import lower_plan, used_splits
from skfhe._trees.ensemble import RawTree, collect
from skfhe.circuit import compile_program
from skfhe.cost import estimate_cost
from skfhe.encoding import BlockEncoder, Levels, calibrate_levels
from skfhe.encoding._splits import Split
from skfhe.program import ProgramBuilder, ops, run
from tests._trees.forests import RULE, all_rows, complete_tree, random_ensemble
from tests._trees.test_cover_program import plan_of
from tests._trees.test_leaf_covers import expected, oblivious, plans_of
from tests._trees.test_levels_of_trees import stump

RADICES = (1, 2, 4, 8)


def quantized_forest(seed, n_bits, missing, **forest):
    """Return a random ensemble on levels, its quantizer, and rows, some of which miss values or none."""
    rng = np.random.default_rng(seed)
    ensemble = random_ensemble(rng, **{"n_trees": 2, "depth": 4} | forest)
    rows = all_rows()
    if not missing:
        rows = rows[~np.isnan(rows).any(axis=1)]
    seen = rows[rng.integers(0, len(rows), 60)]
    seen[0] = rows[-1]  # misses every feature, or none
    quantizer = calibrate_levels(seen, n_bits)
    return ensemble, on_levels(ensemble, quantizer), quantizer, rows


def answered(answers, rows):
    """Return the answers of rows, 0 or 1, as a program finds them."""
    builder = ProgramBuilder()
    position, signed = answers.append(builder)
    (found,) = run(builder.finish(position), *answers.encoder.encode(rows))
    found = found.copy()
    at = sorted(signed)
    assert set(np.unique(found[:, at])) <= {-1, 1}
    found[:, at] = (found[:, at] + 1) // 2
    return found


@pytest.mark.parametrize("radix", RADICES)
@pytest.mark.parametrize("missing", [False, True])
def test_every_split_is_answered_on_every_row(missing, radix):
    """All boundaries, missing values to either side, and splits that part these from all others."""
    values = np.arange(7.0 if missing else 8.0)
    X = np.r_[values, [np.nan] * missing][:, None]
    quantizer = calibrate_levels(X, 3)
    asked = [Split(0, t, right) for t in values[:-1] for right in ([False, True] if missing else [False])]
    asked += [Split(0, -1.0, False), Split(0, 9.0, True)] if missing else []
    quantized = on_levels(collect([stump(*asked)], np.zeros(1), 1, RULE), quantizer)
    assert len(quantized.splits) == len(asked)
    answers = LevelAnswers.of(quantized.splits, quantizer, radix)
    expected = quantized.splits.answers(level_rows(quantizer.quantize(X), quantizer))
    np.testing.assert_array_equal(answered(answers, X), expected)
    n_ordinary = len(values) - 1
    assert answers.n_lookups == (n_ordinary - n_ordinary // radix) * (1 + missing) * (radix < len(values))


@pytest.mark.parametrize("radix", RADICES)
@pytest.mark.parametrize("seed", range(4))
def test_answers_are_those_that_blocks_of_boundaries_gave(radix, seed):
    """Models saved before they sent bits compare counts of blocks of three boundaries, or two of features
    that can miss: a level is what its blocks add up to, and the largest count stands for a missing value."""
    _, quantized, quantizer, rows = quantized_forest(seed, 4, missing=bool(seed % 2))
    rows = rows[np.random.default_rng(seed).integers(0, len(rows), 400)]
    answers = LevelAnswers.of(quantized.splits, quantizer, radix)
    blocks = BlockEncoder(answers.encoder.quantizer, answers.encoder.features, 2)
    (counts,), features = blocks.encode(rows), answers.encoder.features.tolist()
    expected = np.empty((len(rows), len(quantized.splits)), dtype=np.int64)
    for number, split in enumerate(quantized.splits):
        of_feature = counts[:, blocks.blocks[0] == features.index(split.feature)]
        absent = (of_feature == 3).all(axis=1) & quantizer.missing[split.feature]
        expected[:, number] = np.where(absent, split.missing_right, of_feature.sum(axis=1) > split.threshold)
    np.testing.assert_array_equal(answered(answers, rows), expected)


@pytest.mark.parametrize("radix", RADICES)
@pytest.mark.parametrize("n_bits", [1, 2, 3])
@pytest.mark.parametrize("seed", range(4))
def test_programs_equal_the_trees_on_quantized_rows(n_bits, seed, radix):
    """Whatever the radix, so that which one is the fastest decides nothing but the cost."""
    ensemble, quantized, quantizer, rows = quantized_forest(seed, n_bits, missing=bool(seed % 2))
    levels = quantizer.quantize(rows)
    bits = quantized.splits.answers(level_rows(levels, quantizer))
    expected = ensemble.scores(ensemble.splits.answers(quantizer.dequantize(levels)))
    np.testing.assert_allclose(quantized.scores(bits), expected, atol=1e-12)
    if not len(quantized.splits) or radix > 1 << n_bits:
        return
    plan = plan_of(quantized, 3, 0.25)
    used = used_splits(plan)
    answers = LevelAnswers.of(quantized.splits.select(used), quantizer, radix)
    (found,) = run(lower_plan(plan, answers), *answers.encoder.encode(rows))
    np.testing.assert_array_equal(found, run(lower_plan(plan), bits[:, used])[0])


def test_no_lookup_is_left_where_each_boundary_has_a_bit():
    """The lookups are those of trees whose splits the client answers."""
    _, quantized, quantizer, _ = quantized_forest(1, 3, missing=True)
    plan = plan_of(quantized, 3, 0.25)
    answers = LevelAnswers.of(quantized.splits.select(used_splits(plan)), quantizer, 1)
    assert answers.n_lookups == 0
    assert estimate_cost(lower_plan(plan, answers)).lookups == estimate_cost(lower_plan(plan)).lookups


def test_each_split_is_looked_up_once_by_one_bit():
    _, quantized, quantizer, _ = quantized_forest(3, 3, missing=False, n_trees=6)
    plan = plan_of(quantized, 3, 0.25)
    used = used_splits(plan)
    answers = LevelAnswers.of(quantized.splits.select(used), quantizer, 4)
    lookups = estimate_cost(lower_plan(plan, answers)).lookups
    assert lookups == {1: answers.n_lookups, 3: plan.cover.n_lookups}
    assert 0 < answers.n_lookups < len(used)


def test_children_of_leaves_may_be_any_numbers():
    """Libraries say -1, 0 or what they like."""
    tree = stump(Split(0, 1.5, False), Split(0, 9.0, False))
    leaf = np.array([split is None for split in tree.splits])
    odd = RawTree(tree.splits, np.where(leaf, 99, tree.left), np.where(leaf, -99, tree.right), tree.values)
    X = np.arange(4.0)[:, None]
    quantizer = calibrate_levels(X, 2)
    quantized = on_levels(collect([odd], np.zeros(1), 1, RULE), quantizer)
    bits = quantized.splits.answers(level_rows(quantizer.quantize(X), quantizer))
    assert quantized.scores(bits).ravel().tolist() == [3.0, 3.0, 1.0, 1.0]


def test_what_is_sent_follows_from_the_features_alone():
    """Whichever of their boundaries a model asks about."""
    X = np.stack([np.arange(8.0), np.arange(8.0)[::-1] * 10, np.ones(8)], axis=1)
    quantizer = calibrate_levels(X, 3)
    for radix in RADICES:
        sent = []
        for asked in ([(0, 0.0), (1, 20.0)], [(0, 6.0), (0, 2.0), (1, 40.0)]):
            splits = [Split(feature, threshold, False) for feature, threshold in asked]
            quantized = on_levels(collect([stump(*splits)], np.zeros(1), 3, RULE), quantizer)
            sent.append(LevelAnswers.of(quantized.splits, quantizer, radix).encoder)
        np.testing.assert_array_equal(sent[0].encode(X)[0], sent[1].encode(X)[0])


@pytest.mark.parametrize(("radix", "n_bits"), [(1, 3), (4, 2), (2, 3)])
def test_encrypted_sums_equal_the_clear_ones(radix, n_bits):
    """With missing values to either side; of deep trees, whose gates read the answers, too."""
    seed, depth = (2, 5) if n_bits == 2 else (1, 3)
    _, quantized, quantizer, rows = quantized_forest(seed, 3, missing=True, n_trees=1, depth=depth)
    plan = plan_of(quantized, n_bits, 0.25)
    assert bool(plan.cover.gates) == (n_bits == 2)
    answers = LevelAnswers.of(quantized.splits.select(used_splits(plan)), quantizer, radix)
    kinds = answers._kinds
    assert kinds.either or any(vote.missing is not None for vote in kinds.voted)
    assert bool(kinds.voted) == (radix > 1)
    program = lower_plan(plan, answers)
    (sent,) = answers.encoder.encode(rows[np.random.default_rng(0).integers(0, len(rows), 4)])
    circuit = compile_program(program, batch_sizes=(4,))
    np.testing.assert_array_equal(circuit.execute(sent)[0], run(program, sent)[0])


def wide_levels(n_features, n_bits):
    """Return a quantizer of features with all boundaries that there can be, and a plan that asks of each."""
    boundaries = [np.arange((1 << n_bits) - 1) + 0.5] * n_features
    levels = Levels(n_bits, boundaries, np.zeros(n_features, dtype=bool))
    quantizer = SimpleNamespace(n_bits=n_bits)
    quantizer.select = lambda features: SimpleNamespace(levels=levels)
    return quantizer


def test_the_fastest_that_has_room_is_taken(monkeypatch):
    """Bits of all boundaries, until their ciphertexts have no room; then fewer bits."""
    ensemble = complete_tree(3)
    plan, quantizer = plan_of(ensemble, 3, 1.0), wide_levels(7, 6)
    encoder, program = cheapest_answers(plan, ensemble.splits, quantizer)
    assert encoder.radix == 1
    needed = estimate_cost(program).expanded_bytes
    assert needed >= encoder.n_bits * comparisons.LEAST_BYTES  # what is left out unseen has no room
    for room in (needed - 1, encoder.n_bits * comparisons.LEAST_BYTES - 1):
        monkeypatch.setattr(comparisons, "ROOM", room)
        fewer, program = cheapest_answers(plan, ensemble.splits, quantizer)
        assert fewer.radix > 1
        assert estimate_cost(program).expanded_bytes < needed
    monkeypatch.setattr(comparisons, "ROOM", 0)
    assert cheapest_answers(plan, ensemble.splits, quantizer)[0].radix == 8  # 7 + 7 bits, the fewest


def test_what_takes_no_lookup_is_sent_by_all_bits(monkeypatch):
    """The ciphertexts of a circuit without lookups are smaller, and digits would need some."""
    X = np.arange(16.0)[:, None]
    quantizer = calibrate_levels(X, 4)
    quantized = on_levels(collect([stump(Split(0, 2.0, False))], np.zeros(1), 1, RULE), quantizer)
    plan = plan_of(quantized, 2, 1.0)
    assert not plan.cover.n_bits
    monkeypatch.setattr(comparisons, "ROOM", 15 * comparisons.LEAST_BYTES - 1)
    encoder, program = cheapest_answers(plan, quantized.splits, quantizer)
    assert encoder.radix == 1
    assert not program.lookups


def test_what_cannot_be_faster_is_not_lowered(monkeypatch):
    lowered = []
    lower = comparisons.lower_plan
    monkeypatch.setattr(comparisons, "lower_plan", lambda *given: lowered.append(given) or lower(*given))
    ensemble = complete_tree(3)
    cheapest_answers(plan_of(ensemble, 3, 1.0), ensemble.splits, wide_levels(7, 4))
    assert len(lowered) == 1


def test_no_program_was_faster_than_the_one_that_is_taken():
    """The bound by which others are left out only leaves out what is slower."""
    ensemble = complete_tree(2)
    for n_bits in (3, 6, 8):
        plan, quantizer = plan_of(ensemble, 3, 1.0), wide_levels(3, n_bits)
        _, program = cheapest_answers(plan, ensemble.splits, quantizer)
        every = [
            estimate_cost(lower_plan(plan, LevelAnswers.of(ensemble.splits, quantizer, radix))).seconds
            for radix in comparisons.RADICES
            if radix < 1 << n_bits
        ]
        assert estimate_cost(program).seconds == min(every)


def test_the_split_that_tells_only_missing_values_apart_takes_their_bit():
    levels = calibrate_levels(np.array([[1.0], [np.nan]]), 2)
    asked = [Split(0, 5.0, True)]
    quantized = on_levels(collect([stump(*asked)], np.zeros(1), 1, RULE), levels)
    answers = LevelAnswers.of(quantized.splits, levels, 1)
    assert answers.encoder.n_bits == 1
    assert answered(answers, np.array([[1.0], [np.nan]])).ravel().tolist() == [0, 1]


def test_lookups_read_what_the_signs_of_answers_add_up_to():
    """Twice the index, which rounding halves: no lookup reads more bits than with answers of 0 and 1."""
    _, quantized, quantizer, _ = quantized_forest(1, 3, missing=False)
    plan = plan_of(quantized, 3, 0.25)
    answers = LevelAnswers.of(quantized.splits.select(used_splits(plan)), quantizer, 2)
    program = lower_plan(plan, answers)
    assert any(isinstance(value.op, ops.Round) for value in program.values)
    assert set(program.accumulator_bits) <= {1, 2, 4}


def read_all_around(kind, n_bits, depth=5):
    """Return a plan on levels that reads tables all around, for digits that are signs or for thresholds;
    its trees, quantizer and rows."""
    for seed in range(40):
        rng = np.random.default_rng(seed)
        X = rng.integers(0, 8, (400, depth)).astype(float)
        if kind == "signs":
            ensemble = oblivious(rng, range(depth), n_trees=2)
        else:
            ensemble = random_ensemble(rng, n_trees=1, depth=depth, n_features=depth, n_values=2)
        quantizer = calibrate_levels(X, 3)
        quantized = on_levels(ensemble, quantizer)
        plan = plans_of(quantized, n_bits)[-1]
        indices = [index for _, index in plan.cover.pieces]
        signs = any(index.signs for index in indices)
        if signs if kind == "signs" else any(index.size > 1 << n_bits for index in indices):
            return plan, quantized, quantizer, X
    raise AssertionError(f"no table of {n_bits} bits is read all around")


@pytest.mark.parametrize("radix", [1, 2, 4])
@pytest.mark.parametrize(
    ("kind", "n_bits"), [("signs", 2), ("signs", 3), ("thresholds", 2), ("thresholds", 3)]
)
def test_tables_read_all_around_take_answers_that_are_looked_up(kind, n_bits, radix):
    """Answers of -1 and 1 double an index, and so the circle: half of it still turns the sign."""
    plan, quantized, quantizer, X = read_all_around(kind, n_bits)
    bits = quantized.splits.answers(level_rows(quantizer.quantize(X), quantizer))
    answers = LevelAnswers.of(quantized.splits.select(used_splits(plan)), quantizer, radix)
    assert bool(answers.n_lookups) == (radix > 1)
    (found,) = run(lower_plan(plan, answers), *answers.encoder.encode(X))
    np.testing.assert_array_equal(found, expected(quantized, plan, bits))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["signs", "thresholds"])
def test_encrypted_tables_read_all_around_take_answers_that_are_looked_up(kind):
    plan, quantized, quantizer, X = read_all_around(kind, 2, depth=3)
    answers = LevelAnswers.of(quantized.splits.select(used_splits(plan)), quantizer, 2)
    program = lower_plan(plan, answers)
    (sent,) = answers.encoder.encode(X[:4])
    circuit = compile_program(program, batch_sizes=(4,))
    np.testing.assert_array_equal(circuit.execute(sent)[0], run(program, sent)[0])
