"""From a fitted model in the terms of this room to its program and edges."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skfhe._trees.comparisons import cheapest_answers, level_rows, on_levels
from skfhe._trees.cover_plan import CoverPlan, cheapest_plan
from skfhe._trees.cover_program import lower_plan, used_splits
from skfhe._trees.ensemble import RawTree, Tree, TreeEnsemble, collect
from skfhe._trees.indicator_plan import indicator_plans
from skfhe._trees.leaf_numbers import leaf_number_plans
from skfhe._typing import FloatArray, IntArray
from skfhe.cost import estimate_cost
from skfhe.encoding import (
    ClassFractions,
    Decoder,
    Head,
    LeafDecoder,
    LeafSumDecoder,
    LevelBitsEncoder,
    LevelQuantizer,
    Rule,
    Splits,
    dense,
)
from skfhe.encrypted_model import EncryptedModel
from skfhe.program import Program

__all__ = ["Asked", "Description", "TreeRows", "answers_of", "ensemble_of", "lower_trees"]

NEGLIGIBLE = 2e-4
"""Errors of scores that are this part of what would matter to a typical row are small enough."""
MAX_ROWS = 2000
"""Rows over which the error of leaf values is averaged."""


@dataclass(frozen=True, eq=False)
class Description:
    """A fitted model in the terms of this room.

    Parameters
    ----------
    trees : sequence of RawTree
    bias : ndarray of float64, shape (n_outputs,)
    rule : Rule
    head : Head
    n_features : int
    unit : float, optional
        All leaf values are likely multiples of it.
    stage : int, optional
        Trees of one stage of boosting; by default as many as there are outputs.
    weights : ndarray of float64, shape (n_trees,), optional
        Of the trees, where scores are weighted medians of what these predict, and not sums.
    """

    trees: Sequence[RawTree]
    bias: FloatArray
    rule: Rule
    head: Head
    n_features: int
    unit: float | None = None
    stage: int | None = None
    weights: FloatArray | None = None


@dataclass(frozen=True)
class Asked:
    """What a user asks of the scores of an ensemble.

    Parameters
    ----------
    leaves : {"sums", "index"}
        What the program returns: sums of leaf values, or the number of each tree's leaf.
    tolerance : float or None
        Largest root mean square of a score's error; None leaves it at what is negligible.
    """

    leaves: str = "sums"
    tolerance: float | None = None


@dataclass(frozen=True, eq=False)
class TreeRows:
    """What is known of the rows that trees are evaluated on.

    Parameters
    ----------
    rows : ndarray or sparse matrix of float, shape (n_rows, n_features), or None
        Some that are typical.
    quantizer : LevelQuantizer or None
        Of the features, if trees are on levels of them.
    """

    rows: Any
    quantizer: LevelQuantizer | None

    def asked(self, ensemble: TreeEnsemble) -> IntArray | None:
        """Return the different answers of a sample of the rows to all splits, or None without rows.

        Different ones, so that rows that are repeated count as those that are weighted.
        """
        if self.rows is None or not self.rows.shape[0]:
            return None
        sample = self.rows[:: -(-self.rows.shape[0] // MAX_ROWS)]
        return _different(answers_of(ensemble, sample, self.quantizer))


def lower_trees(described: Description, seen: TreeRows, asked: Asked | None = None) -> EncryptedModel:
    """Return the program of described trees, with its edges.

    Parameters
    ----------
    described : Description
    seen : TreeRows
    asked : Asked, optional
        It makes no difference to a single tree, which is exact.

    Returns
    -------
    EncryptedModel
        The fastest by the cost model. ``decoder.error`` bounds how far a score can be from the float one.
    """
    ensemble = ensemble_of(described, seen.quantizer)
    planned = _planned(described, ensemble, seen, asked or Asked())
    models = [
        EncryptedModel(*_evaluated(plan, ensemble, seen.quantizer), decoder, described.head)
        for plan, decoder in planned
    ]
    return min(models, key=lambda model: model.cost.reference_seconds) if len(models) > 1 else models[0]


def _planned(
    described: Description, ensemble: TreeEnsemble, seen: TreeRows, asked: Asked
) -> Iterator[tuple[CoverPlan, Decoder]]:
    """Yield plans of an ensemble, with what makes scores of their results."""
    if len(ensemble.trees) == 1:
        numbered, leaves = _numbered_leaves(ensemble)
        plan = cheapest_plan(numbered, (0,), 0.0, 1.0, exact=_seconds)
        first, behind = int(plan.grid.least[0]), int(plan.grid.span[0])
        yield plan, LeafDecoder(first, behind, leaves, multiple=1 << plan.cover.doublings)
    elif asked.leaves == "index":
        yield from leaf_number_plans(ensemble)
    else:
        plan, sums = _plan(described, ensemble, seen.asked(ensemble), asked.tolerance)
        yield plan, sums
        yield from indicator_plans(ensemble, plan, sums)


def _evaluated(
    plan: CoverPlan, ensemble: TreeEnsemble, quantizer: LevelQuantizer | None
) -> tuple[Splits | LevelBitsEncoder, Program]:
    """Return the encoder of rows, and the program of a plan."""
    used = used_splits(plan)
    if quantizer is None or not len(ensemble.splits):
        return ensemble.splits.select(used[: len(ensemble.splits)]), lower_plan(plan)
    return cheapest_answers(plan, ensemble.splits.select(used), quantizer)


def ensemble_of(described: Description, quantizer: LevelQuantizer | None) -> TreeEnsemble:
    """Return the trees of a description, on levels if features are quantized."""
    ensemble = collect(described.trees, described.bias, described.n_features, described.rule)
    return ensemble if quantizer is None else on_levels(ensemble, quantizer)


def answers_of(ensemble: TreeEnsemble, rows: Any, quantizer: LevelQuantizer | None) -> IntArray:
    """Return the answers of rows to all splits, shape (n_rows, n_splits)."""
    if quantizer is None:
        return ensemble.splits.answers(rows)
    return ensemble.splits.answers(level_rows(quantizer.quantize(dense(rows)), quantizer))


def _different(bits: IntArray) -> IntArray:
    """Return each row of bits once."""
    if not bits.shape[1]:
        return bits[:1]
    _, first = np.unique(np.packbits(bits.astype(bool), axis=1), axis=0, return_index=True)
    return bits[first]


def _plan(
    described: Description,
    ensemble: TreeEnsemble,
    asked: IntArray | None,
    tolerance: float | None,
) -> tuple[CoverPlan, LeafSumDecoder]:
    """Plan the evaluation by sums of leaf values; say how they become scores."""
    n_outputs = ensemble.n_outputs
    remainders: tuple[tuple[int, tuple[int, ...]], ...] = ()
    if isinstance(described.head, ClassFractions):
        remainders = _remainders(described.head, ensemble)
    left_out = {output for output, _ in remainders}
    columns = tuple(output for output in range(n_outputs) if output not in left_out)
    together: list[tuple[int, ...]] = []
    if tolerance is None:
        known = _leaf_extremes(ensemble) if asked is None else ensemble.scores(asked)
        tolerance = NEGLIGIBLE * described.head.relevance(known)
    else:
        together = [others for _, others in remainders if len(others) > 1]
    unit = described.unit
    plan = cheapest_plan(ensemble, columns or (0,), tolerance, unit, asked, _seconds, together)
    grid = plan.grid
    errors = dict(zip(plan.outputs, grid.error, strict=True))
    errors |= {output: sum(errors[other] for other in others) for output, others in remainders}
    least, computed = grid.least + grid.bias, np.array(plan.outputs)
    error = float(max(errors.values()))
    multiple = 1 << plan.cover.doublings
    decoder = LeafSumDecoder(
        grid.scale, least, grid.span, computed, remainders, n_outputs, error, multiple=multiple
    )
    return plan, decoder


def _seconds(plan: CoverPlan) -> float:
    """Predict the seconds of a row, on the machine of the cost table."""
    return estimate_cost(lower_plan(plan)).reference_seconds


def _numbered_leaves(ensemble: TreeEnsemble) -> tuple[TreeEnsemble, FloatArray]:
    """Return a single tree with the numbers of its different leaves as values, and their scores."""
    (tree,) = ensemble.trees
    leaves, number = np.unique(tree.values[tree.splits < 0], axis=0, return_inverse=True)
    values = np.zeros((len(tree.splits), 1))
    values[tree.splits < 0, 0] = number.ravel()
    numbered = Tree(tree.splits, tree.left, tree.right, values)
    return TreeEnsemble(ensemble.splits, [numbered], np.zeros(1)), leaves + ensemble.bias


def _remainders(head: ClassFractions, ensemble: TreeEnsemble) -> tuple[tuple[int, tuple[int, ...]], ...]:
    """For each target, the class in most leaves, whose probability is 1 less those of the others."""
    present = sum((tree.values[tree.splits < 0] != 0).sum(axis=0) for tree in ensemble.trees)
    found = []
    for target, n_classes in enumerate(head.n_classes):
        columns = range(target * head.width, target * head.width + n_classes)
        dropped = max(columns, key=lambda column: present[column])
        found.append((dropped, tuple(column for column in columns if column != dropped)))
    return tuple(found)


def _leaf_extremes(ensemble: TreeEnsemble) -> FloatArray:
    """Two rows of scores: the least and the largest that the trees can give."""
    leaves = [tree.values[tree.splits < 0] for tree in ensemble.trees]
    low, high = (ensemble.bias + sum(end(values, axis=0) for values in leaves) for end in (np.min, np.max))
    return np.stack([low, high])
