import numpy as np
import pytest
from scipy.sparse import csr_matrix

from skfhe.encoding._splits import Categories, Rule, Split, Splits


def test_each_rule_decides_ties_and_neighbours():
    """``<=`` keeps a tie left, ``<`` sends it right; float32 makes neighbours in float64 ties."""
    at = [1.0, np.nextafter(1.0, 2.0), float(np.nextafter(np.float32(1), np.float32(2)))]
    rows = np.array(at)[:, None]
    expected = {
        Rule("<=", "float64"): [0, 1, 1],
        Rule("<=", "float32"): [0, 0, 1],
        Rule("<", "float64"): [1, 1, 1],
        Rule("<", "float32"): [1, 1, 1],
    }
    for rule, bits in expected.items():
        encoded = Splits(1, rule, [Split(0, 1.0, False)]).answers(rows)
        assert encoded[:, 0].tolist() == bits, rule


def test_bits_of_a_chain_never_rise_whatever_the_row():
    rng = np.random.default_rng(0)
    asked = [
        Split(int(f), float(t), bool(m)) for f, t, m in zip(*rng.integers(0, (2,), (3, 40)), strict=True)
    ]
    asked += [Split(0, t, False) for t in rng.normal(size=9)]
    splits = Splits(2, Rule("<=", "float32"), asked)
    rows = np.r_[rng.normal(size=(200, 2)), np.full((1, 2), np.nan)]
    bits = splits.answers(rows)
    same = np.diff(splits.chains) == 0
    assert (np.diff(bits, axis=1)[:, same] <= 0).all()
    assert len(set(splits)) == len(splits)


def test_categories_and_those_never_seen():
    groups = Categories(frozenset({1, 3}), frozenset({2}), others_right=True)
    splits = Splits(1, Rule("<=", "float64"), [Split(0, 0.0, False, groups)])
    rows = np.array([[1], [2], [3], [7], [np.nan]])
    assert splits.answers(rows)[:, 0].tolist() == [0, 1, 0, 1, 0]


def test_order_says_nothing_of_where_splits_come_from():
    asked = [Split(f, float(t), m) for f in range(3) for t in range(4) for m in (False, True)]
    shuffled = np.random.default_rng(0).permutation(len(asked))
    again = Splits(3, Rule("<=", "float64"), [asked[i] for i in shuffled])
    assert list(again) == list(Splits(3, Rule("<=", "float64"), asked))


def test_sparse_rows_and_wrong_shapes():
    splits = Splits(2, Rule("<=", "float32"), [Split(1, 0.5, False)])
    rows = np.array([[0.0, 1.0], [3.0, 0.0]])
    np.testing.assert_array_equal(splits.answers(csr_matrix(rows)), splits.answers(rows))
    with pytest.raises(ValueError, match=r"expected shape \(n_rows, 2\), got \(2, 3\)"):
        splits.answers(np.zeros((2, 3)))
