"""Trees in terms of quantized features, and how these are sent."""

from __future__ import annotations

import numpy as np

from skfhe._trees.answers import MAJORITY_BITS, LevelAnswers
from skfhe._trees.cover_plan import CoverPlan
from skfhe._trees.cover_program import lower_plan
from skfhe._trees.ensemble import Tree, TreeEnsemble
from skfhe._typing import FloatArray, IntArray
from skfhe.cost import DEFAULT_P_ERROR, Cost, encryption_seconds, estimate_cost, lookup_seconds
from skfhe.encoding import LevelBitsEncoder, LevelQuantizer, Rule, Split, Splits
from skfhe.exceptions import UnsupportedModelError
from skfhe.program import Program

__all__ = ["cheapest_answers", "level_rows", "on_levels"]


LEVEL_RULE = Rule("<=", "float64")
RADICES = (1, 2, 4, 8, 16)
"""Radices of a level's digits that are tried; with 1 there is a bit for each boundary."""
ROOM = 1 << 26
"""Bytes that the ciphertexts of one row may take, as they are evaluated, for the sake of speed."""
LEAST_BYTES = 12 << 10
"""Those of one ciphertext, at least, that lookups at the default error rate read."""


def level_rows(levels: IntArray, quantizer: LevelQuantizer) -> FloatArray:
    """Return levels as the rows that trees on levels take: floats, and NaN for a missing value."""
    missing = (levels == (1 << quantizer.n_bits) - 1) & quantizer.missing
    return np.where(missing, np.nan, levels)


def on_levels(ensemble: TreeEnsemble, quantizer: LevelQuantizer) -> TreeEnsemble:
    """Return the ensemble that reads levels in place of the floats that they stand for.

    Splits that tell the same levels apart become one. A split that all levels answer alike goes.
    """
    every = np.repeat(np.arange(1 << quantizer.n_bits)[:, None], quantizer.n_features, axis=1)
    answers = ensemble.splits.answers(quantizer.dequantize(every)).T
    asked = [
        _on_levels(split, answer, quantizer) for split, answer in zip(ensemble.splits, answers, strict=True)
    ]
    splits = Splits(
        ensemble.splits.n_features, LEVEL_RULE, (split for split in asked if isinstance(split, Split))
    )
    # one more for the leaves, whose split is -1
    number = np.array([*(-1 if isinstance(split, bool) else splits.numbers[split] for split in asked), -1])
    known = np.array([*(int(split) if isinstance(split, bool) else -1 for split in asked), -1])
    trees = [_renumbered(tree, number, known) for tree in ensemble.trees]
    return TreeEnsemble(splits, trees, ensemble.bias)


def _renumbered(tree: Tree, number: IntArray, known: IntArray) -> Tree:
    """Return the tree with splits numbered anew, past those whose answer is known.

    Parameters
    ----------
    tree : Tree
    number, known : ndarray of int64, shape (n_splits + 1,)
        Of each split its number, or -1, and its answer, or -1 where that is for the row to say; last those
        of a leaf.
    """
    answer = known[tree.splits]
    of_left, of_right = (np.where(tree.splits < 0, 0, nodes) for nodes in (tree.left, tree.right))
    child = np.where(answer == 1, of_right, of_left)
    passed = np.where(answer < 0, np.arange(len(tree.splits)), child)  # where each node leads to unasked
    while (further := passed[passed] != passed).any():
        passed[further] = passed[passed][further]
    # a node that is passed by holds what it leads to
    splits, left, right = number[tree.splits[passed]], passed[of_left[passed]], passed[of_right[passed]]
    return Tree(splits, left, right, tree.values[passed])


def _on_levels(split: Split, answer: IntArray, quantizer: LevelQuantizer) -> Split | bool:
    """Return the split on levels that gives ``answer``, or the answer if it is always the same."""
    feature = split.feature
    if split.categories is not None:
        raise UnsupportedModelError(
            f"feature {feature} has categories, and n_bits={quantizer.n_bits} quantizes features by their "
            "order; use n_bits=None"
        )
    ordinary = answer[: len(quantizer.representatives[feature])]
    missing = bool(answer[-1]) if quantizer.missing[feature] else None
    if (ordinary == ordinary[0]).all() and missing in (None, bool(ordinary[0])):
        return bool(ordinary[0])
    return Split(feature, float((ordinary == 0).sum()) - 0.5, bool(missing))


def cheapest_answers(
    plan: CoverPlan, splits: Splits, quantizer: LevelQuantizer
) -> tuple[LevelBitsEncoder, Program]:
    """Return the program of a plan whose splits ask about levels, and what encodes rows for it.

    Parameters
    ----------
    plan : CoverPlan
    splits : Splits
        On levels: those that the plan uses.
    quantizer : LevelQuantizer

    Returns
    -------
    encoder : LevelBitsEncoder
    program : Program
        The fastest by the cost model, over the radix of the levels' digits, of those whose ciphertexts have
        room; if none has, the one that needs the least.
    """
    # what needs no lookup otherwise is faster without any
    radices = [radix for radix in RADICES if radix < 1 << quantizer.n_bits] if plan.cover.n_bits else [1]
    ways = [LevelAnswers.of(splits, quantizer, radix) for radix in radices]
    if len(ways) > 1:
        fewest = min(ways, key=lambda answers: answers.encoder.n_bits)
        ways = [answers for answers in ways if answers.encoder.n_bits * LEAST_BYTES <= ROOM] or [fewest]
    best: tuple[LevelAnswers, Program, Cost] | None = None
    for answers in ways:
        if best is not None and _is_slower(answers, best[0], best[2]):
            continue
        program = lower_plan(plan, answers)
        cost = estimate_cost(program)
        if best is None or _rank(cost) < _rank(best[2]):
            best = answers, program, cost
    assert best is not None
    return best[0].encoder, best[1]


def _rank(cost: Cost) -> tuple[float, float]:
    """Return what is least for the program that is taken: bytes beyond the room, then seconds."""
    return max(ROOM, cost.expanded_bytes), cost.reference_seconds


def _is_slower(answers: LevelAnswers, others: LevelAnswers, cost: Cost) -> bool:
    """Whether answers take more time for lookups than they save in ciphertexts of others that have room."""
    fewer = 1 - answers.encoder.n_bits / others.encoder.n_bits
    saved = fewer * encryption_seconds(cost.expanded_bytes)
    more = answers.n_lookups - others.n_lookups
    return cost.expanded_bytes <= ROOM and saved < more * lookup_seconds(MAJORITY_BITS, 0.0, DEFAULT_P_ERROR)
