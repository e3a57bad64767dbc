"""Trees with integer leaf values: how finely, and with which lookups, they are evaluated."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import NamedTuple

import numpy as np

from skfhe._trees.cover import GateLookup, Index, PieceLookup, TreeCover
from skfhe._trees.ensemble import TreeEnsemble
from skfhe._trees.search import TreeNode
from skfhe._typing import FloatArray, IntArray
from skfhe.cost import DEFAULT_P_ERROR, lookup_seconds, precision_steps

__all__ = ["CoverPlan", "EnsembleCover", "LeafGrid", "cheapest_plan", "gate_levels", "numbered_values"]


WIDTHS = (2, 3, 4)
"""Widths of lookups that are tried for any trees; wider ones pay only where a tree asks few questions."""
MAX_WIDTH = 8
STRETCHES = 9
"""Sizes that are tried of a scale of leaf values, up to an eighth larger."""
WORTH_STRETCHING = 2.0
"""Times the tolerance up to which the error of a scale is worth it."""
LARGE = 20_000
"""Nodes from which on trees are covered with lookups of `LARGE_WIDTH`, without trying others: it takes
seconds."""
LARGE_WIDTH = 4


@dataclass(frozen=True, eq=False)
class EnsembleCover:
    """Lookups of one width whose sum is the score of an ensemble.

    Parameters
    ----------
    n_bits : int
        Bits of every lookup. 0 if there are none, for each piece is linear in the splits that it asks: the
        rank of one feature among some thresholds.
    gates : sequence of Index
        Each reads only gates before it.
    pieces : dict
        For each output and index, the pieces that are added in one table.
    offsets : sequence of list of int
        For each output, the numbers of the values that its sum is relative to, one a tree.
    """

    n_bits: int
    gates: Sequence[Index]
    pieces: dict[tuple[int, Index], list[PieceLookup]]
    offsets: Sequence[list[int]]

    @property
    def n_lookups(self) -> int:
        """Gates and tables."""
        return len(self.gates) + len(self.pieces) if self.n_bits else 0

    @property
    def summands(self) -> int:
        """Largest number of tables that are added for one output."""
        counts = np.bincount([output for output, _ in self.pieces] or [0])
        return int(counts.max())


@dataclass(frozen=True, eq=False)
class LeafGrid:
    """Leaf values as integers.

    Parameters
    ----------
    scale : float
        What one unit is worth.
    values : ndarray of int64
        The integer of each numbered value.
    bias : ndarray of int64, shape (n_outputs,)
        The integers of the biases.
    least : ndarray of int64, shape (n_outputs,)
        The least sum that the trees can have.
    span : ndarray of int64, shape (n_outputs,)
        How far beyond it the sum can reach.
    error : ndarray of float64, shape (n_outputs,)
        No sum is farther than this from the float one.
    """

    scale: float
    values: IntArray
    bias: IntArray
    least: IntArray
    span: IntArray
    error: FloatArray


def asking_trees(
    ensemble: TreeEnsemble, numbers: Sequence[IntArray], outputs: Sequence[int]
) -> list[list[TreeNode]]:
    """Return the trees for each output, without splits whose answer is known or makes no difference."""
    chains = ensemble.splits.chains.tolist()
    found = []
    for output in outputs:
        of_output = []
        for tree, of_nodes in zip(ensemble.trees, numbers, strict=True):
            shape = tree.splits.tolist(), tree.left.tolist(), tree.right.tolist()
            of_output.append(_asking(*shape, of_nodes[:, output].tolist(), chains))
        found.append(of_output)
    return found


def _asking(
    splits: list[int], left: list[int], right: list[int], values: list[int], chains: list[int]
) -> TreeNode:
    """Return one tree without splits whose answer is known or makes no difference.

    From the leaves up, without recursion, for trees may be deep: a node that is met again has both children.
    """
    done: list[TreeNode] = []
    todo: list[tuple[int, dict[int, tuple[float, float]] | None]] = [(0, {})]
    while todo:
        node, bounds = todo.pop()
        split = splits[node]
        if bounds is None:
            one, zero = done.pop(), done.pop()
            alike = zero.value >= 0 and zero.value == one.value
            done.append(zero if alike else TreeNode(-1, split, (zero, one)))
        elif split < 0:
            done.append(TreeNode(values[node]))
        else:
            chain = chains[split]
            exceeded, reached = bounds.get(chain, (-math.inf, math.inf))
            if split <= exceeded or split >= reached:
                todo.append(((right if split <= exceeded else left)[node], bounds))
            else:
                todo += (
                    (node, None),
                    (right[node], bounds | {chain: (split, reached)}),
                    (left[node], bounds | {chain: (exceeded, split)}),
                )
    return done[0]


def gate_levels(gates: Sequence[Index]) -> list[list[int]]:
    """Sort gates by how many others must be answered before them."""
    level: list[int] = []
    for index in gates:
        level.append(1 + max((level[-1 - at] for at, _ in index.weights if at < 0), default=-1))
    return [[gate for gate, at in enumerate(level) if at == n] for n in range(max(level, default=-1) + 1)]


def numbered_values(ensemble: TreeEnsemble) -> tuple[FloatArray, list[IntArray]]:
    """Return the different leaf values, ascending, and for each tree the number of each node's values."""
    values = [tree.values for tree in ensemble.trees]
    different, numbers = np.unique(np.concatenate(values), return_inverse=True)
    numbers = numbers.reshape(-1, ensemble.n_outputs)
    return different, np.split(numbers, np.cumsum([len(v) for v in values])[:-1])


def cover_ensemble(
    ensemble: TreeEnsemble, numbers: Sequence[IntArray], outputs: Sequence[int], n_bits: int
) -> EnsembleCover:
    """Cover each tree for each of ``outputs``, and share lookups of the same index."""
    return cover_trees(asking_trees(ensemble, numbers, outputs), ensemble.splits.chains, n_bits)


def cover_trees(trees: Sequence[Sequence[TreeNode]], chains: IntArray, n_bits: int) -> EnsembleCover:
    """Cover trees, those of each output, and share lookups of the same index."""
    gates: dict[Index, int] = {}
    pieces: dict[tuple[int, Index], list[PieceLookup]] = {}
    # most trees of several outputs are a leaf for all outputs but one
    asking = [root for roots in trees for root in roots if root.children]
    covers = iter(TreeCover.of_trees(asking, chains, n_bits) if asking else ())
    offsets: list[list[int]] = []
    for output, roots in enumerate(trees):
        offsets.append([root.value for root in roots if not root.children])
        for cover in islice(covers, len(roots) - len(offsets[-1])):
            offsets[-1].append(cover.offset)
            _share(*cover.lookups, output, gates, pieces)
    linear = not gates and all(_is_rank(index, chains) for _, index in pieces)
    return EnsembleCover(0 if linear else n_bits, tuple(gates), pieces, offsets)


def without_idle(cover: EnsembleCover, values: IntArray) -> EnsembleCover:
    """Return the cover without tables that are zero once leaf values are integers, or gates only for them."""
    pieces = {key: found for key, found in cover.pieces.items() if piece_table(found, values).any()}
    if len(pieces) == len(cover.pieces):
        return cover
    read: set[int] = set()
    todo = [index for _, index in pieces]
    while todo:
        new = {-1 - term for term, _ in todo.pop().weights if term < 0} - read
        read |= new
        todo += (cover.gates[gate] for gate in new)
    number = {gate: position for position, gate in enumerate(sorted(read))}

    def renumbered(index: Index) -> Index:
        terms = ((term if term >= 0 else -1 - number[-1 - term], weight) for term, weight in index.weights)
        return Index(tuple(sorted(terms)), index.offset, index.size)

    gates = tuple(renumbered(cover.gates[gate]) for gate in sorted(read))
    kept = {(output, renumbered(index)): found for (output, index), found in pieces.items()}
    return EnsembleCover(cover.n_bits if kept else 0, gates, kept, cover.offsets)


def piece_table(pieces: Sequence[PieceLookup], values: IntArray) -> IntArray:
    """Return the sum of pieces that read one index."""
    table = values[pieces[0].plus] - values[pieces[0].minus]
    for piece in pieces[1:]:
        table = table + (values[piece.plus] - values[piece.minus])
    return table


def _is_rank(index: Index, chains: IntArray) -> bool:
    """Whether an index counts the exceeded splits of one chain, so that any table of it is linear."""
    asked = {int(chains[split]) for split, _ in index.weights if split >= 0}
    return len(asked) == 1 and index.offset == 0 and all(weight == 1 for _, weight in index.weights)


def _share(
    found: Sequence[GateLookup],
    pieces: Sequence[PieceLookup],
    output: int,
    gates: dict[Index, int],
    shared: dict[tuple[int, Index], list[PieceLookup]],
) -> None:
    """Add the lookups of one tree to those of others, whose gates have numbers of their own."""
    numbers: list[int] = []

    def renumbered(index: Index) -> Index:
        weights = ((-1 - numbers[-1 - at] if at < 0 else at, weight) for at, weight in index.weights)
        return Index(tuple(sorted(weights)), index.offset, index.size)

    for gate in found:
        index = renumbered(gate.index)
        numbers.append(gates.setdefault(index, len(gates)))
    for piece in pieces:
        shared.setdefault((output, renumbered(piece.index)), []).append(piece)


def leaf_grid(
    ensemble: TreeEnsemble,
    numbers: Sequence[IntArray],
    values: FloatArray,
    outputs: Sequence[int],
    scale: float,
) -> LeafGrid:
    """Round the leaf values of ``outputs`` to multiples of ``scale``."""
    integers = np.rint(values / scale).astype(np.int64)
    residues = np.abs(values - integers * scale)
    bias = np.rint(ensemble.bias[list(outputs)] / scale).astype(np.int64)
    least, span = np.zeros((2, len(outputs)), dtype=np.int64)
    error = np.abs(ensemble.bias[list(outputs)] - bias * scale)
    for tree, of_nodes in zip(ensemble.trees, numbers, strict=True):
        at = of_nodes[tree.splits < 0][:, list(outputs)]
        low, high = integers[at].min(axis=0), integers[at].max(axis=0)
        least += low
        span += high - low
        error += residues[at].max(axis=0)
    return LeafGrid(scale, integers, bias, least, span, error)


@dataclass(frozen=True, eq=False)
class CoverPlan:
    """How an ensemble is evaluated.

    Parameters
    ----------
    outputs : tuple of int
        The ensemble's outputs that are computed.
    cover : EnsembleCover
    grid : LeafGrid
    """

    outputs: tuple[int, ...]
    cover: EnsembleCover
    grid: LeafGrid


def cheapest_plan(
    ensemble: TreeEnsemble,
    outputs: tuple[int, ...],
    tolerance: float,
    unit: float | None = None,
    bits: IntArray | None = None,
) -> CoverPlan:
    """Choose the width of the lookups and the precision of the leaf values.

    Parameters
    ----------
    ensemble : TreeEnsemble
    outputs : tuple of int
        Outputs to be computed.
    tolerance : float
        Root mean square of a score's error at which leaf values are precise enough. If none of the
        affordable precisions gets there, the finest is taken.
    unit : float, optional
        Leaf values are rounded to this divided by a power of two, so that its multiples are exact.
    bits : ndarray of int64, shape (n_rows, n_splits), optional
        Rows over which errors are averaged; by default over the leaves.

    Returns
    -------
    CoverPlan
        The fastest at the default error rate by the cost model.
    """
    values, numbers = numbered_values(ensemble)
    reached = _reached(ensemble, numbers, outputs, bits)
    span = _span(ensemble, outputs)
    plans = []
    trees = asking_trees(ensemble, numbers, outputs)
    rounded = partial(leaf_grid, ensemble, numbers, values, outputs)
    # most trees of several outputs are a leaf for all outputs but one
    asking = sum(
        len(tree.splits)
        for roots in trees
        for tree, root in zip(ensemble.trees, roots, strict=True)
        if root.children
    )
    for width in sorted({*((LARGE_WIDTH,) if asking > LARGE else WIDTHS), _whole_tree_bits(ensemble)}):
        cover = cover_trees(trees, ensemble.splits.chains, width)
        noise = 0.5 * math.log2(max(1, cover.summands))
        steps = precision_steps(width, DEFAULT_P_ERROR)
        finer = [_scale(span, len(numbers), int(precision - noise), unit) for precision in steps]
        scales = [scale for scale in (unit, *finer) if scale]
        grid = _precise_grid(rounded, scales, reached, values, tolerance, 1 if unit else STRETCHES)
        cover = without_idle(cover, grid.values)
        needed = int(grid.span.max()).bit_length() + noise
        price = _price(cover, needed)
        plans.append((price, width, CoverPlan(outputs, cover, grid)))
        if not cover.n_bits:
            break  # no width has fewer lookups than none
    return min(plans, key=lambda plan: plan[:2])[2]


def _precise_grid(
    rounded: Callable[[float], LeafGrid],
    scales: Sequence[float],
    reached: Sequence[Reached],
    values: FloatArray,
    tolerance: float,
    stretches: int,
) -> LeafGrid:
    """Return leaf values rounded to multiples of the first of some scales with errors within a tolerance.

    The errors of scales that differ by a few percent can differ by a factor of two, for what rows add up is
    rounded anew. So a scale that just misses the tolerance is tried a little larger, where no sum takes more
    bits.

    Parameters
    ----------
    rounded : callable
        From a scale to the rounded leaf values.
    scales : sequence of float
        Descending; the last is taken if none is within the tolerance.
    reached : sequence of Reached
    values : ndarray of float64
        The leaf values.
    tolerance : float
    stretches : int
        How many sizes are tried of each scale.
    """
    for scale in scales:
        grid = rounded(scale)
        error = _rms_error(grid, values, reached)
        if error <= tolerance:
            return grid
        if error > WORTH_STRETCHING * tolerance:
            continue
        for stretch in range(1, stretches):
            larger = rounded(scale * (1 + stretch / 64))
            if _rms_error(larger, values, reached) <= tolerance:
                return larger
    return grid


def _price(cover: EnsembleCover, needed: float) -> float:
    """Seconds of a cover whose results must keep ``needed`` bits."""
    # Lookups that wait for gates leave cores idle at the end of each round: as if there were one more.
    n_lookups = cover.n_lookups + len(gate_levels(cover.gates))
    return n_lookups * lookup_seconds(max(1, cover.n_bits), needed, DEFAULT_P_ERROR)


def _whole_tree_bits(ensemble: TreeEnsemble) -> int:
    """Bits of a lookup that reads a whole tree of the largest kind; `LARGE_WIDTH` if those are too many."""
    chains = ensemble.splits.chains
    largest = 1
    for tree in ensemble.trees:
        asked = np.unique(tree.splits[tree.splits >= 0])
        largest = max(largest, math.prod((np.unique(chains[asked], return_counts=True)[1] + 1).tolist()))
    bits = max(1, (largest - 1).bit_length())
    return bits if bits <= MAX_WIDTH else LARGE_WIDTH


def _span(ensemble: TreeEnsemble, outputs: tuple[int, ...]) -> float:
    """Return how far the sums of the leaf values of one output can be apart, for the worst."""
    leaves = [tree.values[tree.splits < 0][:, list(outputs)] for tree in ensemble.trees]
    return float(sum(values.max(axis=0) - values.min(axis=0) for values in leaves).max())


def _scale(span: float, n_trees: int, n_bits: int, unit: float | None) -> float | None:
    """Finest scale at which every sum takes at most ``n_bits`` bits, or None if there is none."""
    if n_bits < 1:
        return None
    if unit is None:
        # rounding can make each tree's span a unit longer
        steps = (1 << n_bits) - 1 - n_trees
        return None if steps < 1 else (span / steps or 1.0)
    halvings = math.floor(math.log2(((1 << n_bits) - 1) * unit / span)) if span else 0
    return None if halvings < 0 else unit / 2**halvings


class Reached(NamedTuple):
    """The leaf values of one output whose errors count, by number.

    Parameters
    ----------
    together : bool
        Whether errors are those of sums, as rows reach them, or averages over the leaves of each tree.
    same : ndarray of int64
        Values that trees of one leaf add to each sum.
    others : sequence of ndarray of int64
        For each other tree, the value of each row, or of each leaf.
    """

    together: bool
    same: IntArray
    others: Sequence[IntArray]


def _reached(
    ensemble: TreeEnsemble, numbers: Sequence[IntArray], outputs: tuple[int, ...], bits: IntArray | None
) -> list[Reached]:
    """Return the values of each output that rows of answers reach; without rows, those of all leaves."""
    at = [np.flatnonzero(tree.splits < 0) if bits is None else tree.leaves(bits) for tree in ensemble.trees]
    found = []
    for output in outputs:
        of_trees = [of_nodes[leaves, output] for of_nodes, leaves in zip(numbers, at, strict=True)]
        alike = [bool((values == values[0]).all()) for values in of_trees]
        same = [int(values[0]) for values, one in zip(of_trees, alike, strict=True) if one]
        others = [values for values, one in zip(of_trees, alike, strict=True) if not one]
        found.append(Reached(bits is not None, np.array(same, dtype=np.int64), others))
    return found


def _rms_error(grid: LeafGrid, values: FloatArray, reached: Sequence[Reached]) -> float:
    """Root mean square error of the scores, over rows or over leaves, for the worst output."""
    residues = grid.values * grid.scale - values
    worst = 0.0
    for together, same, others in reached:
        if together:
            total = residues[same].sum() + sum(residues[of_rows] for of_rows in others)
            squared = np.square(total).mean()
        else:
            squared = np.square(residues[same]).sum() + sum(np.square(residues[at]).mean() for at in others)
        worst = max(worst, float(squared))
    return math.sqrt(worst)
