"""Covers of small trees take the fewest lookups that there are, and compute the tree.

The fewest are found by trying everything that the definition allows (see `skfhe._trees.cover`): at every
node, every piece whose index fits in the width, every gate, and every value that the rest may be relative to.
"""

import itertools
import math
from functools import cache

import numpy as np
import pytest

from skfhe._trees.cover import TreeCover
from skfhe._trees.search import TreeNode

# In this file a tree is the number of a leaf's value, or (split, child of answer 0, child of answer 1).


def leaves(tree):
    return [tree] if isinstance(tree, int) else leaves(tree[1]) + leaves(tree[2])


def nodes(tree):
    """Return the node that the library takes."""
    if isinstance(tree, int):
        return TreeNode(tree)
    split, zero, one = tree
    return TreeNode(-1, split, (nodes(zero), nodes(one)))


@cache
def connected_parts(tree):
    """Return the connected parts at an inner node: splits, trees below with their paths, depth."""
    split, *children = tree
    ways = []
    for side, child in enumerate(children):
        step = (split, side)
        if isinstance(child, int):
            ways.append([((), (), 0)])
            continue
        within = [
            (asked, tuple((below, (step, *path)) for below, path in rest), depth)
            for asked, rest, depth in connected_parts(child)
        ]
        ways.append([((), ((child, (step,)),), 0), *within])
    return [
        ((split, *a, *b), (*below_a, *below_b), 1 + max(depth_a, depth_b))
        for (a, below_a, depth_a), (b, below_b, depth_b) in itertools.product(*ways)
    ]


def cells_of(asked, path, gated, chains):
    """Return the cells of the smallest index of a piece with splits ``asked`` below a path.

    Each chain of the path is one disagreement, or the splits of it that bind are further ranks of a digit.
    The latter is never better for a chain that the piece does not ask: it doubles the cells at least.
    """
    bounds = {}
    for split, side in path:
        above, below = bounds.get(chains[split], (-1, math.inf))
        bounds[chains[split]] = (max(above, split), below) if side else (above, min(below, split))
    digits = {}
    for split in asked:
        digits.setdefault(chains[split], set()).add(split)
    common = [chain for chain in digits if chain in bounds]
    sizes = []
    for merged in itertools.product((False, True), repeat=len(common)):
        ranks = {chain: len(splits) + 1 for chain, splits in digits.items()}
        for chain, yes in zip(common, merged, strict=True):
            ends = {end for end in bounds[chain] if 0 <= end < math.inf}
            ranks[chain] = len(digits[chain] | ends) + 1 if yes else ranks[chain]
        sizes.append(math.prod(ranks.values()) * (1 + len(bounds) - merged.count(True) + gated))
    return min(sizes)


def fewest_lookups(tree, chains, n_bits, most=math.inf):
    """Return the fewest lookups that cover a tree, by exhaustive search.

    Pieces of more than ``most`` nodes are tried where they are all nodes down to one depth.
    """
    width = 1 << n_bits
    values = set(leaves(tree))

    @cache
    def cost(node, path, gated, offset):
        if set(leaves(node)) == {offset}:
            return 0
        found = [math.inf]
        if path and cells_of((), path, gated, chains) <= width:
            found.append(1 + cost(node, (), True, offset))
        if len(set(leaves(node))) == 1:
            return min(found + [1] * (cells_of((), path, gated, chains) <= width))
        found.append(
            sum(cost(child, (*path, (node[0], side)), gated, offset) for side, child in enumerate(node[1:]))
        )
        for asked, rest, depth in connected_parts(node):
            if len(asked) > most and any(len(on) != depth for _, on in rest):
                continue
            if cells_of(asked, path, gated, chains) <= width:
                found.append(
                    1 + sum(min(cost(below, path + on, gated, v) for v in values) for below, on in rest)
                )
        return min(found)

    return min(cost(tree, (), False, value) for value in values)


def random_tree(rng, n_inner, chains, n_values):
    """Grow a tree that asks nothing whose answer is known, and has no two equal leaves side by side."""

    def grow(n_inner, bounds):
        ends = [bounds.get(chain, (-1, math.inf)) for chain in chains]
        free = [split for split, (low, high) in enumerate(ends) if low < split < high]
        if n_inner == 0 or not free:
            return int(rng.integers(n_values))
        split = int(rng.choice(free))
        low, high = ends[split]
        n_left = int(rng.integers(n_inner))
        left = grow(n_left, bounds | {chains[split]: (low, split)})
        right = grow(n_inner - 1 - n_left, bounds | {chains[split]: (split, high)})
        return left if left == right and isinstance(left, int) else (split, left, right)

    return grow(n_inner, {})


def all_answers(chains):
    """Return every row of answers that there is: the first few splits of each chain are exceeded."""
    splits = [[s for s, c in enumerate(chains) if c == chain] for chain in sorted(set(chains))]
    rows = []
    for ranks in itertools.product(*(range(len(of_chain) + 1) for of_chain in splits)):
        row = np.zeros(len(chains), dtype=int)
        for of_chain, rank in zip(splits, ranks, strict=True):
            row[of_chain[:rank]] = 1
        rows.append(row)
    return rows


def looked_up(cover, row, worth):
    """Return the sum of a cover's lookups for a row of answers, every index checked to be in its interval."""
    gates, pieces = cover.lookups
    answers = []

    def read(index):
        at = index.offset + sum(
            weight * (row[bit] if bit >= 0 else answers[-1 - bit]) for bit, weight in index.weights
        )
        assert 0 <= at < index.size
        return at

    for gate in gates:
        answers.append(int(read(gate.index) != 0))
    total = worth[cover.offset]
    for piece in pieces:
        at = read(piece.index)
        assert len(piece.plus) == len(piece.minus) == piece.index.size
        total += worth[piece.plus[at]] - worth[piece.minus[at]]
    return total


def value_of(tree, row):
    while not isinstance(tree, int):
        tree = tree[1 + row[tree[0]]]
    return tree


def assert_covers(cover, tree, chains, n_bits):
    gates, pieces = cover.lookups
    assert len(gates) + len(pieces) == cover.n_lookups
    assert all(lookup.index.size <= 1 << n_bits for lookup in (*gates, *pieces))
    worth = [10**k for k in range(max(leaves(tree)) + 1)]  # no sum of others is one of them
    for row in all_answers(chains):
        assert looked_up(cover, row, worth) == worth[value_of(tree, row)]


SHAPES = {
    "splits of different features": [0, 1, 2, 3, 4, 5],
    "two features": [0, 0, 0, 1, 1, 1],
    "three features": [0, 0, 0, 1, 1, 2],
    "one chain": [0, 0, 0, 0, 0],
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("n_bits", [1, 2, 3, 4])
def test_no_cover_of_a_small_tree_has_fewer_lookups(shape, n_bits):
    """Pieces of every shape are tried: of 7 inner nodes, and of all 8. One bit is refused where none is."""
    chains = SHAPES[shape]
    rng = np.random.default_rng(n_bits)
    for n_inner, n_values in itertools.product(range(1, 9), (2, 3, 9) * 2):
        tree = random_tree(rng, n_inner, chains, n_values)
        fewest = fewest_lookups(tree, chains, n_bits)
        if fewest == math.inf:
            with pytest.raises(ValueError, match="no lookups of 1 bit cover the tree"):
                TreeCover(nodes(tree), np.array(chains), n_bits)
            continue
        cover = TreeCover(nodes(tree), np.array(chains), n_bits)
        assert cover.n_lookups == fewest, tree
        assert_covers(cover, tree, chains, n_bits)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("n_bits", "most"), [(2, math.inf), (3, math.inf), (4, 7), (5, 4)])
def test_covers_of_larger_trees_are_as_good_as_their_pieces_allow(shape, n_bits, most):
    """No more than 3 nodes fit in 2 bits, and 7 in 3 bits; with more bits, larger ones end at one depth."""
    chains = SHAPES[shape]
    rng = np.random.default_rng(10 + n_bits)
    for n_inner, n_values in itertools.product((9, 10), (2, 3, 9)):
        tree = random_tree(rng, n_inner, chains, n_values)
        cover = TreeCover(nodes(tree), np.array(chains), n_bits)
        assert cover.n_lookups == fewest_lookups(tree, chains, n_bits, most), tree
        assert_covers(cover, tree, chains, n_bits)


@pytest.mark.parametrize(
    ("n_bits", "chains", "tree", "n_lookups"),
    [
        # five nodes whose splits share chains, or ask one split twice, are a lookup and a piece of four
        (3, [0, 0, 0, 1, 1, 1], (0, (4, 2, 5), (5, (3, 5, 3), (2, 4, 2))), 2),
        (3, [0, 1, 2, 3, 4, 5], (0, (4, (1, 6, 2), (2, 3, 7)), (4, 8, 3)), 2),
        (3, [0, 0, 0, 1, 1, 2], (5, (3, 4, 2), (2, (1, 2, 1), (3, 5, 4))), 2),
        # five nodes of four splits
        (4, [0, 1, 2, 3, 4, 5], (3, (1, 0, 2), (1, (0, (5, 1, 0), (4, 2, 1)), 2)), 2),
        # seven nodes of one chain, and the others with the bounds of their paths: 8 cells both
        (
            3,
            [0] * 12,
            (7, (3, (2, (0, 0, (1, 1, 2)), 3), (4, 4, (6, (5, 5, 6), 7))), (10, 8, (11, 9, 10))),
            2,
        ),
        # four questions with one disagreement, 32 cells, below a question and another branch of it
        (5, list(range(8)), (0, (5, (1, (2, (4, 5, 3), 8), (2, 3, (6, 5, 7))), 3), 8), 2),
    ],
)
def test_a_piece_has_as_many_nodes_as_fit(n_bits, chains, tree, n_lookups):
    cover = TreeCover(nodes(tree), np.array(chains), n_bits)
    assert cover.n_lookups == fewest_lookups(tree, chains, n_bits) == n_lookups
    assert_covers(cover, tree, chains, n_bits)


def test_a_gate_of_two_disagreements_can_save_a_lookup_of_four_bits():
    """Three questions have 8 · 3 cells below two others, and 8 · 2 below a gate that answers those."""
    tree = (0, 0, (1, (2, (3, (4, (5, (6, 8, (7, 8, (8, 3, 5))), 8), 0), 4), 1), 0))
    cover = TreeCover(nodes(tree), np.arange(9), 4)
    assert cover.n_lookups == fewest_lookups(tree, list(range(9)), 4) == 3
    assert len(cover.lookups[0]) == 1
    assert_covers(cover, tree, list(range(9)), 4)


def test_questions_that_make_no_difference_need_no_lookup():
    """Ten questions that lead to one value are a leaf, below a gate of three questions and a fourth."""
    idle = 0
    for split in range(4, 14):
        idle = (split, 0, idle)
    tree = (0, 0, (1, 0, (2, 0, (3, 1, idle))))
    cover = TreeCover(nodes(tree), np.arange(14), 2)
    assert cover.n_lookups == fewest_lookups(tree, list(range(14)), 2) == 2
    assert_covers(cover, (0, 0, (1, 0, (2, 0, (3, 1, 0)))), list(range(4)), 2)
    nothing = TreeCover(nodes(idle), np.arange(14), 2)
    assert (nothing.n_lookups, nothing.offset, nothing.lookups) == (0, 0, ([], []))


@pytest.mark.parametrize("n_bits", [2, 3, 4])
@pytest.mark.parametrize("length", [3, 6, 10])
def test_covers_of_deep_trees_gate_where_that_saves_lookups(n_bits, length):
    """A path of different questions with a leaf at each, most of one value, and a small tree at its end.

    The tree's end may be of one value, too.
    """
    rng = np.random.default_rng(10 * length + n_bits)
    n_gates = 0
    for n_inner, n_values in itertools.product((1, 3, 5), (2, 9) * 3):
        tree = random_tree(rng, n_inner, list(range(n_inner)), n_values)
        for split in range(n_inner, n_inner + length):
            leaf = int(rng.integers(n_values)) if rng.random() < 0.3 else 0
            tree = (split, leaf, tree) if rng.random() < 0.5 else (split, tree, leaf)
        chains = list(range(n_inner + length))
        cover = TreeCover(nodes(tree), np.array(chains), n_bits)
        assert cover.n_lookups == fewest_lookups(tree, chains, n_bits), tree
        n_gates += len(cover.lookups[0])
    assert n_gates > 0


@pytest.mark.parametrize("n_bits", [2, 3])
def test_disagreements_with_a_chain_are_counted_once_whatever_its_bounds(n_bits):
    """The only leaf of another value lies between two thresholds of one feature, below a third question.

    With 3 bits all three questions are one index of (2 + 1) · 2 = 6 cells. With 2 bits they are not; but the
    leaf has two disagreements only, one a feature: 3 cells, one lookup.
    """
    chains = [0, 0, 1]
    tree = (2, 0, (0, 0, (1, 1, 0)))
    cover = TreeCover(nodes(tree), np.array(chains), n_bits)
    assert cover.n_lookups == fewest_lookups(tree, chains, n_bits)
    assert_covers(cover, tree, chains, n_bits)
    assert cover.n_lookups == 1


def test_the_most_frequent_value_is_free():
    """Five questions of one feature, and all leaves but the last are equal: one lookup sees to that leaf."""
    tree = (0, 7, (1, 7, (2, 7, (3, 7, (4, 7, 1)))))
    cover = TreeCover(nodes(tree), np.zeros(5, dtype=int), 1)
    assert (cover.offset, cover.n_lookups) == (7, 1)


def test_a_deep_path_needs_gates():
    """Ten different questions lead to the one leaf that differs; two bits count three disagreements at most.

    A gate takes up to three of the path's questions, its predecessor's answer among them: the first counts
    three, each later one two more, 3 + 2 · 3 = 9 after four; the leaf's own lookup counts the gate and the
    tenth question. A piece at the last question is no better: five lookups.
    """
    tree = 1
    for split in reversed(range(10)):
        tree = (split, 0, tree)
    cover = TreeCover(nodes(tree), np.arange(10), 2)
    assert_covers(cover, tree, list(range(10)), 2)
    assert len(cover.lookups[0]) == 4
    assert cover.n_lookups == 5
