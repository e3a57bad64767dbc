import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from skfhe._linear.spread import spread_of
from skfhe.encoding import FeatureGrid

finite = st.floats(allow_nan=False, allow_infinity=False, width=32)


def grid(origin, step, low, high):
    return FeatureGrid(*(np.array([value]) for value in (float(origin), float(step), low, high)))


@settings(max_examples=100, deadline=None)
@given(st.lists(finite, min_size=1, max_size=20), st.integers(-30, 30), finite)
def test_values_within_the_grid_are_off_by_at_most_half_a_step(values, exponent, origin):
    """And those beyond are off by what `beyond` says, and at most half a step more."""
    x = np.array(values)[:, None]
    made = grid(origin, 2.0**exponent, -1000, 900)
    off = np.abs(made.origin + made.step * made.quantize(x) - x)
    beyond = made.beyond(x)
    rounding = 1e-15 * (np.abs(x) + abs(origin))
    assert (np.abs(off - beyond) <= made.step / 2 + rounding).all()
    positions = np.rint(x / made.step - made.origin / made.step)
    np.testing.assert_array_equal(beyond > 0, (positions > 900) | (positions < -1000))


def test_multiples_of_a_step_beside_the_origin_are_exact():
    made = grid(1e16, 2.0, -100, 100)
    x = 1e16 + 2.0 * np.arange(-100, 101)[:, None]
    np.testing.assert_array_equal(made.quantize(x)[:, 0], np.arange(-100, 101))


@pytest.mark.parametrize("largest", [1e308, 5e-324])
def test_values_of_any_size_are_clipped_without_an_overflow(largest):
    made = grid(0, 2.0**-1074, -7, 9)
    with np.errstate(all="raise", under="ignore"):
        assert made.quantize(np.array([[largest], [-largest]])).ravel().tolist()[0] in (1, 9)
        assert (made.beyond(np.array([[1e308], [-1e308]])) > 0).all()


@pytest.mark.parametrize(
    ("step", "low", "high", "said"),
    [(1.0, 1, 0, "low must not exceed high"), (0.3, 0, 1, "power of two"), (np.inf, 0, 1, "power of two")],
)
def test_wrong_grids_are_refused(step, low, high, said):
    with pytest.raises(ValueError, match=said):
        grid(0, step, low, high)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_spread_of_sparse_rows_is_that_of_dense_ones_and_repeating_rows_changes_nothing(data):
    shape = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 4))
    cell = st.one_of(st.just(0.0), st.integers(-3, 3).map(float), finite)
    X = np.reshape(
        data.draw(st.lists(cell, min_size=shape[0] * shape[1], max_size=shape[0] * shape[1])), shape
    )
    dense, sparse = spread_of(X), spread_of(csr_matrix(X))
    repeated = spread_of(np.repeat(X, np.arange(len(X)) % 3 + 1, axis=0))
    for name, value in vars(dense).items():
        np.testing.assert_array_equal(getattr(sparse, name), value)
        np.testing.assert_array_equal(getattr(repeated, name), value)
    np.testing.assert_array_equal(dense.low, X.min(axis=0))
    np.testing.assert_array_equal(dense.high, X.max(axis=0))
    assert ((dense.bulk > 0) == (dense.high > dense.low)).all()
    assert (dense.bulk <= dense.width).all()
    assert all(middle in column for middle, column in zip(dense.middle, X.T, strict=True))


def test_the_bulk_is_that_of_most_values_whatever_few_of_them_are():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1000, 1))
    X[:20] *= 1e9
    found = spread_of(X)
    assert 4 < found.bulk[0] < 8
    assert abs(found.middle[0]) < 0.2
    assert found.width[0] > 1e9


def test_the_bulk_of_a_feature_that_is_mostly_zero_is_that_of_its_other_values():
    X = np.zeros((1000, 1))
    X[::20, 0] = np.linspace(0.1, 0.5, 50)
    assert spread_of(X).bulk[0] == 0.5
    assert spread_of(csr_matrix(X)).bulk[0] == 0.5


def test_few_of_many_rows_are_sorted():
    """The range is that of all rows, and the bulk about that."""
    X = np.random.default_rng(0).normal(size=(5000, 400))
    found, all_rows = spread_of(X), [spread_of(X[:, [i]]) for i in range(5)]
    np.testing.assert_array_equal(found.high, X.max(axis=0))
    np.testing.assert_allclose(found.bulk[:5], [spread.bulk[0] for spread in all_rows], rtol=0.1)


def test_joined_spreads_reach_over_both_and_have_the_wider_bulk():
    """Whichever comes first; one row alone has no bulk and leaves the other's."""
    narrow = spread_of(np.linspace(0, 1, 50)[:, None])
    wide = spread_of(np.linspace(100, 150, 50)[:, None])
    row, other = spread_of(np.array([[-7.0]])), spread_of(np.array([[-9.0]]))
    for first, second in ((narrow, wide), (wide, narrow)):
        joined = first.joined(second)
        assert (joined.low, joined.high, joined.bulk, joined.middle) == (0, 150, 50, first.middle)
    for joined in (row.joined(narrow), narrow.joined(row)):
        assert (joined.low, joined.high, joined.bulk, joined.middle) == (-7, 1, 1, narrow.middle)
    assert row.joined(other).bulk == 2
    assert row.joined(row).width == 0
