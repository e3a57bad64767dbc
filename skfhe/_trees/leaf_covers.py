"""Covers of trees leaf by leaf, which tables of whole digits make cheaper than pieces on paths.

A leaf is reached where some answers are right. If a lookup's index has all splits on the path to a leaf as
digits (see `skfhe._trees.cover`), its table can hold the leaf's value where it is reached, whatever else the
index reads. So an ensemble is covered by any sets of splits among which each path is part of one, and paths
of several trees share a set: `shared_sets` looks for few.

A set with too many cells for one lookup is read by several, if the engine's sign is made use of: a lookup of
p bits that counts modulo 2**(p + 1) changes the sign of its result where 2**p is added (see
`skfhe.program.ops.Modulo`). With a digit h of n splits, answered by x_1 ≥ … ≥ x_n,

    2 f(h, y) = (f(0, y) + f(n, y)) + Σ_k (-1)**x_k · (f(k - 1, y) - f(k, y)),

which are n + 1 lookups of the other digits y. `signed_pieces` takes as many digits out of an index. For one
split a digit it is the Walsh transform. The results are twice the values, for each digit taken out.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from skfhe._trees.cover import Index, PieceLookup
from skfhe._trees.search import TreeNode
from skfhe._typing import BoolArray, FloatArray, IntArray

__all__ = ["Leaf", "fit", "leaves_of", "paths_of", "set_pieces", "shared_sets", "signed_pieces"]

MOST_DIGITS = 8
"""Digits of an index from which some are taken."""
FAR = 1.15
"""How many times as many sets as are wanted are too many to try other ties."""
MOST_CANDIDATES = 4000
TRIALS = 16
"""Greedy covers that are tried, with ties broken in different ways."""
TRIAL_CELLS = 4_000_000
"""Elements that all trials together may add up, about: some hundredths of a second."""

Splits = frozenset[int]


class Leaf(NamedTuple):
    """A leaf of a tree: its value, the splits whose answer must be 1, and those whose answer must be 0.

    Of the splits of a chain, one of each kind is enough.
    """

    value: int
    exceeded: Splits
    reached: Splits

    @property
    def asked(self) -> Splits:
        """All splits that decide whether it is reached."""
        return self.exceeded | self.reached


def leaves_of(root: TreeNode, chains: Sequence[int]) -> list[Leaf]:
    """Return the leaves, from left to right, of a tree that asks nothing whose answer is known."""
    found = []
    todo: list[tuple[TreeNode, dict[int, int], dict[int, int]]] = [(root, {}, {})]
    while todo:
        node, exceeded, reached = todo.pop()
        if not node.children:
            found.append(Leaf(node.value, frozenset(exceeded.values()), frozenset(reached.values())))
            continue
        chain = chains[node.split]
        zero, one = node.children
        todo += (
            (one, exceeded | {chain: node.split}, reached),
            (zero, exceeded, reached | {chain: node.split}),
        )
    return found


# Indices of whole digits.


def _digits(splits: Iterable[int], chains: Sequence[int]) -> list[list[int]]:
    """Return the splits of each chain, ascending."""
    digits: dict[int, list[int]] = {}
    for split in sorted(splits):
        digits.setdefault(chains[split], []).append(split)
    return [digits[chain] for chain in sorted(digits)]


def _n_cells(digits: Iterable[Sequence[int]]) -> int:
    return math.prod(len(digit) + 1 for digit in digits)


def _index(digits: Sequence[Sequence[int]], signs: tuple[int, ...] = ()) -> Index:
    weights = []
    radix = 1
    for digit in digits:
        weights += [(split, radix) for split in digit]
        radix *= len(digit) + 1
    return Index(tuple(sorted(weights)), 0, radix, signs)


def _answers(digits: Sequence[Sequence[int]]) -> dict[int, BoolArray]:
    """Return the answer of each split in each cell of an index."""
    cells = np.arange(_n_cells(digits))
    answers: dict[int, BoolArray] = {}
    radix = 1
    for digit in digits:
        rank = cells // radix % (len(digit) + 1)
        answers |= {split: rank > below for below, split in enumerate(digit)}
        radix *= len(digit) + 1
    return answers


def _reached_in(leaf: Leaf, answers: Mapping[int, BoolArray], n_cells: int) -> BoolArray:
    """Return the cells in which a leaf is reached."""
    reached = np.ones(n_cells, dtype=bool)
    for split in leaf.exceeded:
        reached &= answers[split]
    for split in leaf.reached:
        reached &= ~answers[split]
    return reached


# Sets that paths share.


def set_pieces(
    leaves: Sequence[Leaf], offset: int, sets: Sequence[Splits], chains: Sequence[int]
) -> list[PieceLookup]:
    """Return the pieces of one tree, relative to a value: each leaf is in the first set that has its path."""
    members: dict[int, list[Leaf]] = {}
    for leaf in leaves:
        if leaf.value != offset:
            first = next(number for number, splits in enumerate(sets) if leaf.asked <= splits)
            members.setdefault(first, []).append(leaf)
    pieces = []
    for number, found in sorted(members.items()):
        digits = _digits(sets[number], chains)
        answers, n_cells = _answers(digits), _n_cells(digits)
        plus = np.full(n_cells, offset, dtype=np.int64)
        for leaf in found:
            plus[_reached_in(leaf, answers, n_cells)] = leaf.value
        pieces.append(PieceLookup(_index(digits), plus, np.full_like(plus, offset)))
    return pieces


def paths_of(leaves: Sequence[Leaf], offset: int) -> set[Splits]:
    """Return the splits that decide on each leaf of another value."""
    return {leaf.asked for leaf in leaves if leaf.value != offset}


def fit(paths: Iterable[Splits], chains: Sequence[int], n_bits: int) -> bool:
    """Whether an index of ``n_bits`` bits has room for each of some paths."""
    return all(map(_Fits(chains, 1 << n_bits), paths))


def shared_sets(
    paths: Iterable[Splits], chains: Sequence[int], n_bits: int, wanted: float = math.inf
) -> list[Splits]:
    """Look for few sets of splits, of which some one has each path.

    Greedily, from unions of two and three paths that share a split, with ties broken in several ways. Then
    sets that are superfluous are left out, and what fits into one is put together.

    Parameters
    ----------
    paths : iterable of frozenset of int
        Each fits.
    chains : sequence of int
        Chain of each split.
    n_bits : int
        Bits of a lookup.
    wanted : float, optional
        Fewer sets than these are wanted. Where the first that are found are far more, these are returned.

    Returns
    -------
    list of frozenset of int
    """
    fits = _Fits(chains, 1 << n_bits)
    longest = _longest(paths)
    if not longest:
        return []
    unions = _unions(longest, fits)
    within = np.array([[path <= union for path in longest] for union in unions])
    trials = min(TRIALS, max(1, TRIAL_CELLS // max(1, within.size * len(longest))))
    best: list[int] | None = None
    for trial in range(trials):
        ties = np.random.PCG64(trial).random_raw(len(unions)) / 2.0**64 if trial else np.zeros(len(unions))
        chosen = _greedy(within, ties)
        if best is None or len(chosen) < len(best):
            best = chosen
        if len(best) > FAR * wanted:
            break
    return _together([unions[number] for number in best or ()], fits)


class _Fits:
    """Whether an index has room for a set of splits."""

    def __init__(self, chains: Sequence[int], most: int) -> None:
        self._chains, self._most = chains, most
        self._known: dict[Splits, bool] = {}

    def __call__(self, splits: Splits) -> bool:
        if splits not in self._known:
            self._known[splits] = self._n_cells(splits) <= self._most
        return self._known[splits]

    def with_another(self, splits: Splits) -> bool:
        """Whether there is room for a split of another chain, too."""
        return 2 * self._n_cells(splits) <= self._most

    def _n_cells(self, splits: Splits) -> int:
        counts: dict[int, int] = {}
        for split in splits:
            counts[self._chains[split]] = counts.get(self._chains[split], 1) + 1
        return math.prod(counts.values())


def _longest(paths: Iterable[Splits]) -> list[Splits]:
    """Return the paths that are not part of others, in a fixed order."""
    asked: dict[int, list[Splits]] = {}
    found = []
    for path in sorted(paths, key=lambda path: (-len(path), sorted(path))):
        if path and not any(path <= other for other in asked.get(min(path), ())):
            found.append(path)
            for split in path:
                asked.setdefault(split, []).append(path)
    return found


def _unions(paths: Sequence[Splits], fits: _Fits) -> list[Splits]:
    """Return the paths, and what two and three that share splits make together, where that fits."""
    asking: dict[int, list[int]] = {}
    for number, path in enumerate(paths):
        for split in path:
            asking.setdefault(split, []).append(number)
    found: dict[Splits, None] = dict.fromkeys(paths)
    latest = list(paths)
    for _ in range(2):
        grown: dict[Splits, None] = {}
        for union in latest:
            if len(found) + len(grown) > MOST_CANDIDATES:
                break
            for number in sorted({number for split in union for number in asking[split]}):
                wider = union | paths[number]
                if wider not in found and fits(wider):
                    grown[wider] = None
        found |= grown
        latest = list(grown)
    return list(found)


def _greedy(within: BoolArray, ties: FloatArray) -> list[int]:
    """Return rows that have every column: each time one of most that are left, then without idle ones."""
    left = np.ones(within.shape[1], dtype=bool)
    chosen: list[int] = []
    while left.any():
        chosen.append(int((within[:, left].sum(axis=1) + ties).argmax()))
        left &= ~within[chosen[-1]]
    count = within[chosen].sum(axis=0)
    kept = []
    for number in chosen:
        if (count[within[number]] > 1).all():
            count -= within[number]
        else:
            kept.append(number)
    return kept


def _together(sets: Sequence[Splits], fits: _Fits) -> list[Splits]:
    """Put sets together that fit into one, the longest first, where there is room for another split."""
    found: list[Splits] = []
    roomy: list[int] = []
    for splits in sorted(sets, key=lambda splits: (-len(splits), sorted(splits))):
        number = next((n for n in roomy if fits(found[n] | splits)), None)
        if number is not None:
            found[number] |= splits
            continue
        if fits.with_another(splits):
            roomy.append(len(found))
        found.append(splits)
    return found


# Digits as signs.


def signed_pieces(
    leaves: Sequence[Leaf], offset: int, chains: Sequence[int], n_bits: int, fewer_than: int
) -> list[PieceLookup] | None:
    """Return the pieces of a tree that are read by the fewest digits as signs, relative to a value.

    Parameters
    ----------
    leaves : sequence of Leaf
    offset : int
        Number of the value.
    chains : sequence of int
        Chain of each split.
    n_bits : int
        Bits of a lookup.
    fewer_than : int

    Returns
    -------
    list of PieceLookup, or None
        None if no fewer lookups do, or there are too many digits.
    """
    digits = _digits(frozenset().union(*(leaf.asked for leaf in leaves)), chains)
    n_cells = _n_cells(digits)
    if len(digits) > MOST_DIGITS or not 1 << n_bits < n_cells < fewer_than << n_bits:
        return None
    choices = [
        (_n_cells(taken), len(taken), taken)
        for n_taken in range(1, len(digits))
        for taken in itertools.combinations(digits, n_taken)
        if _n_cells(digits) <= _n_cells(taken) << n_bits
    ]
    if not choices or min(choices)[0] >= fewer_than:
        return None
    taken = min(choices)[2]
    kept = [digit for digit in digits if digit not in taken]
    return _with_signs(_cells(leaves, [*kept, *taken]), offset, kept, taken)


def _cells(leaves: Sequence[Leaf], digits: Sequence[Sequence[int]]) -> IntArray:
    """Return the number of the value in each cell of an index of all digits."""
    answers, n_cells = _answers(digits), _n_cells(digits)
    values = np.zeros(n_cells, dtype=np.int64)
    for leaf in leaves:
        values[_reached_in(leaf, answers, n_cells)] = leaf.value
    return values


def _with_signs(
    values: IntArray, offset: int, kept: Sequence[Sequence[int]], taken: Sequence[Sequence[int]]
) -> list[PieceLookup]:
    """Return a piece for each choice of at most one split of each digit that is taken out."""
    values = values.reshape(*(len(digit) + 1 for digit in reversed(taken)), -1)
    found = []
    for signs in itertools.product(*(range(len(digit) + 1) for digit in reversed(taken))):
        plus: list[IntArray] = []
        minus: list[IntArray] = []
        ends = [
            ((at - 1, 1), (at, -1)) if at else ((0, 1), (len(digit), 1))
            for at, digit in zip(signs, reversed(taken), strict=True)
        ]
        for corner in itertools.product(*ends):
            side = plus if math.prod(sign for _, sign in corner) > 0 else minus
            side.append(values[tuple(rank for rank, _ in corner)])
        constant = np.full_like(plus[0], offset)
        minus += [constant] * (len(plus) - len(minus))
        asked = (digit[at - 1] for at, digit in zip(signs, reversed(taken), strict=True) if at)
        index = _index(kept, tuple(sorted(asked)))
        found.append(PieceLookup(index, np.stack(plus), np.stack(minus), len(taken)))
    return found
