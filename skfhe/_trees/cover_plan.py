"""Trees with integer leaf values: how finely, and with which lookups, they are evaluated."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from skfhe._trees.ensemble import TreeEnsemble
from skfhe._trees.ensemble_cover import (
    EnsembleCover,
    asking_trees,
    covers_of_trees,
    covers_on_paths,
    gate_levels,
    n_different,
    without_idle,
)
from skfhe._trees.indicators import Indicators
from skfhe._typing import FloatArray, IntArray
from skfhe.cost import DEFAULT_P_ERROR, lookup_seconds, precision_steps

__all__ = ["CoverPlan", "LeafGrid", "cheapest_plan", "numbered_values", "widths_of"]


WIDTHS = (4, 3, 2)
"""Widths of lookups that are tried for any trees; wider ones pay only where a tree asks few questions."""
MAX_WIDTH = 8
MOST_SUM_BITS = 32
"""Bits of a sum beyond which no lookup keeps it."""
FINEST = 2.0**-53
"""No scale is a smaller part of the largest score: floats tell no finer ones apart, and 64 bits hold sums."""
STRETCHES = 9
"""Sizes that are tried of a scale of leaf values, up to an eighth larger."""
WORTH_STRETCHING = 2.0
"""Times the tolerance up to which the error of a scale is worth it."""
LARGE = 20_000
"""Nodes from which on trees are covered with lookups of `LARGE_WIDTH`, without trying others: it takes
seconds."""
LARGE_WIDTH = 4
CLOSE, MOST_CLOSE, MOST_SECONDS = 1.15, 2, 1.0
"""Plans that are priced exactly: up to so many times the seconds of the best, how many, and of how many
seconds; for more, what a call takes besides lookups hardly counts."""


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


def numbered_values(ensemble: TreeEnsemble) -> tuple[FloatArray, list[IntArray]]:
    """Return the different leaf values, ascending, and for each tree the number of each node's values."""
    values = [tree.values for tree in ensemble.trees]
    different, numbers = np.unique(np.concatenate(values), return_inverse=True)
    numbers = numbers.reshape(-1, ensemble.n_outputs)
    return different, np.split(numbers, np.cumsum([len(v) for v in values])[:-1])


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
    indicators : Indicators, optional
        What is looked up of the cover's cells, if it is not leaf values; the cover's only output is then for
        all of the ensemble's.
    """

    outputs: tuple[int, ...]
    cover: EnsembleCover
    grid: LeafGrid
    indicators: Indicators | None = None


def cheapest_plan(
    ensemble: TreeEnsemble,
    outputs: tuple[int, ...],
    tolerance: float,
    unit: float | None = None,
    bits: IntArray | None = None,
    exact: Callable[[CoverPlan], float] | None = None,
    together: Sequence[Sequence[int]] = (),
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
    exact : callable, optional
        Returns the seconds of a plan, keys and ciphertexts included, which choose among the best few.
    together : sequence of sequence of int, default=()
        Outputs whose sum is held to the tolerance, too.

    Returns
    -------
    CoverPlan
        The fastest at the default error rate by the cost model.
    """
    values, numbers = numbered_values(ensemble)
    grids = _Grids(ensemble, numbers, values, outputs, tolerance, unit, bits, together)
    trees = asking_trees(ensemble, numbers, outputs)
    chains = ensemble.splits.chains
    # most trees of several outputs are a leaf for all outputs but one
    asking = sum(
        len(tree.splits)
        for roots in trees
        for tree, root in zip(ensemble.trees, roots, strict=True)
        if root.children
    )
    covers_of = covers_of_trees if asking <= LARGE else covers_on_paths
    plans: list[tuple[float, int, CoverPlan]] = []
    fewest = n_trees = n_different(trees)
    few_cells = True
    for width in widths_of(ensemble, asking):
        # No cover has fewer lookups than one of wider tables, and none of whole trees fewer than there are.
        known = fewest if width <= max(WIDTHS) else n_trees
        seconds = known * lookup_seconds(width, grids.too_few + 1, DEFAULT_P_ERROR)
        idle = width == 2 and not few_cells
        if plans and (idle or seconds > min(price for price, _, _ in plans)):
            continue
        covers = covers_of(trees, chains, width)
        fewest = min(cover.n_lookups for cover in covers)
        few_cells = _few_cells(covers[-1], width - 1)
        on_paths = grids.finest(covers[0], width)
        for cover in covers:
            # with fewer lookups, sums of the same values are no noisier
            grid = grids.finest(cover, width) if cover.doublings else on_paths
            if grid is not None:
                cover = without_idle(cover, grid.values)
                needed = int(grid.span.max()).bit_length() + _noise(cover)
                price = _price(cover, needed)
                plans.append((price, width, CoverPlan(outputs, cover, grid)))
        if plans and not plans[-1][2].cover.n_bits:
            break  # no width has fewer lookups than none
    plans.sort(key=lambda plan: plan[:2])
    close = [plan for price, _, plan in plans if price <= CLOSE * plans[0][0]][:MOST_CLOSE]
    if exact is None or len(close) == 1 or plans[0][0] > MOST_SECONDS:
        return close[0]
    return min(close, key=exact)


def _few_cells(cover: EnsembleCover, n_bits: int) -> bool:
    """Whether half of the tables have room in lookups of fewer bits, so that these may be worth a search.

    A narrower lookup is a seventh faster at best, so that it does not pay to make two of most.
    """
    return 2 * sum(index.size <= 1 << n_bits for _, index in cover.pieces) >= len(cover.pieces)


def _noise(cover: EnsembleCover) -> float:
    """Bits by which lookups must be more precise than the sums of what they stand for."""
    return 0.5 * math.log2(max(1, cover.summands)) + cover.doublings


class _Grids:
    """Leaf values of an ensemble as integers, at the scales that are worth it; see `cheapest_plan`.

    Attributes
    ----------
    too_few : int
        Bits of the finest sums so far that were not precise enough.
    """

    def __init__(
        self,
        ensemble: TreeEnsemble,
        numbers: Sequence[IntArray],
        values: FloatArray,
        outputs: tuple[int, ...],
        tolerance: float,
        unit: float | None,
        bits: IntArray | None,
        together: Sequence[Sequence[int]],
    ) -> None:
        self._ensemble, self._numbers, self._values, self._outputs = ensemble, numbers, values, outputs
        self._tolerance, self._unit = tolerance, unit
        self._reached = _reached(ensemble, numbers, outputs, bits)
        self._reached += [
            _added([self._reached[outputs.index(output)] for output in group]) for group in together
        ]
        self._span, self._finest = _span(ensemble, outputs), FINEST * _largest(ensemble, outputs)
        self.too_few = 0

    def finest(self, cover: EnsembleCover, width: int) -> LeafGrid | None:
        """Return the values at the coarsest scale that is precise enough, or the finest; None if none fits.

        Scales are those with which sums fill the bits beyond which lookups become dearer.
        """
        # A bit may be kept in reserve, but not where results are doubled, which are dear enough.
        noise = _noise(cover) if cover.doublings else math.ceil(_noise(cover))
        bits = [n_bits for n_bits in (0, *_worth_taking(width, noise)) if self._scale(n_bits) is not None]
        scales = [scale for scale in map(self._scale, bits) if scale is not None]
        if not scales:
            return None
        stretches = STRETCHES if self._unit is None else 1
        grid = _precise_grid(self._rounded, scales, self._reached, self._values, self._tolerance, stretches)
        missed = _rms_error(grid, self._values, self._reached) > self._tolerance
        tried = zip(bits, scales, strict=True)
        self.too_few = max([self.too_few, *(n for n, scale in tried if missed or scale > grid.scale)])
        return grid

    def _scale(self, n_bits: int) -> float | None:
        if not n_bits:
            return self._unit
        return _scale(self._span, len(self._numbers), n_bits, self._unit, self._finest)

    def _rounded(self, scale: float) -> LeafGrid:
        return leaf_grid(self._ensemble, self._numbers, self._values, self._outputs, scale)


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


def widths_of(ensemble: TreeEnsemble, n_nodes: int) -> list[int]:
    """Return the widths of lookups that are tried for trees of so many nodes that are searched."""
    return list(dict.fromkeys([*((LARGE_WIDTH,) if n_nodes > LARGE else WIDTHS), _whole_tree_bits(ensemble)]))


def _worth_taking(width: int, noise: float) -> Iterator[int]:
    """Yield the bits of a sum beyond which lookups of one width become dearer, its noise counted as bits."""
    prices = [
        lookup_seconds(width, n_bits + noise, DEFAULT_P_ERROR) for n_bits in range(1, MOST_SUM_BITS + 2)
    ]
    limit = precision_steps(width, DEFAULT_P_ERROR)[-1] + 1 - noise
    for n_bits, (now, more) in enumerate(itertools.pairwise(prices), start=1):
        if n_bits < limit and (now < more or n_bits + 1 >= limit):
            yield n_bits


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


def _largest(ensemble: TreeEnsemble, outputs: tuple[int, ...]) -> float:
    """Return a bound of the sizes of scores, biases and sums of some trees, for the worst output."""
    leaves = [np.abs(tree.values[tree.splits < 0][:, list(outputs)]).max(axis=0) for tree in ensemble.trees]
    return float((np.abs(ensemble.bias[list(outputs)]) + sum(leaves)).max())


def _scale(span: float, n_trees: int, n_bits: int, unit: float | None, finest: float) -> float | None:
    """Finest scale at which every sum takes at most ``n_bits`` bits, or None if there is none.

    It is ``finest`` at least, as it is where all sums are alike, or as good as.
    """
    if n_bits < 1:
        return None
    if unit is None:
        # rounding can make each tree's span a unit longer
        steps = (1 << n_bits) - 1 - n_trees
        return None if steps < 1 else (max(span / steps, finest) or 1.0)
    most = max(0, math.floor(math.log2(unit / finest))) if finest else 0
    halvings = min(most, math.floor(math.log2(((1 << n_bits) - 1) * unit / span))) if span else most
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


def _added(outputs: Sequence[Reached]) -> Reached:
    """Return what the sum of several outputs reaches."""
    same = np.concatenate([each.same for each in outputs])
    return Reached(outputs[0].together, same, [values for each in outputs for values in each.others])


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
