import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skfhe.program import IntegerType, bit_width

ends = st.tuples(st.integers(-(2**20), 2**20), st.integers(-(2**20), 2**20)).map(sorted)


@given(ends)
def test_bit_width_is_the_smallest_that_holds_both_ends(interval):
    """Two's complement of b bits holds [-2**(b-1), 2**(b-1) - 1]; unsigned holds [0, 2**b - 1]."""
    low, high = interval
    bits = bit_width(low, high)

    def holds(b):
        return low >= 0 and high < 2**b if low >= 0 else -(2 ** (b - 1)) <= low and high < 2 ** (b - 1)

    assert holds(bits)
    assert bits == 1 or not holds(bits - 1)


def test_contains_is_elementwise():
    kind = IntegerType(np.array([0, -5]), np.array([1, 5]))
    assert kind.contains(np.array([[1, -5], [0, 5]]))
    assert not kind.contains(np.array([[-1, 0]]))
    assert (kind.bits, kind.min, kind.max) == (4, -5, 5)


def test_an_empty_interval_is_refused():
    with pytest.raises(ValueError, match="low must not exceed high"):
        IntegerType(np.array([1]), np.array([0]))
