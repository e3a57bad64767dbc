"""Calibrated intervals that leave cells free: never fewer than what was seen and the margin ask for."""

import numpy as np
import pytest

from skfhe.network import Emitter
from skfhe.network._emitter import _is_cheaper

METHODS = [None, (6, "approximate"), (5, "approximate"), (6, "exact"), (3, "approximate")]


def room(length, rounding, frees_cells=True):
    emitter = Emitter("calibrated", 0.25, rounding)
    emitter.frees_cells = frees_cells
    return emitter._room(length), emitter.freed_cells


@pytest.mark.parametrize("rounding", METHODS)
def test_nothing_that_was_asked_for_is_left_out(rounding):
    """Rooms hold the length, take no more bits, and are the whole where cells are not to be free.

    Rounding up may need one more bit where the whole is asked for; that was so before.
    """
    for length in range(1, 600):
        whole, freed = room(length, rounding, frees_cells=False)
        assert not freed
        found, freed = room(length, rounding)
        assert found <= whole
        assert found == whole or freed
        if freed:
            assert length <= found
            assert found.bit_length() == length.bit_length()


@pytest.mark.parametrize(
    ("length", "rounding", "expected"),
    [
        (40, None, 47),  # 48 of 64 cells
        (47, None, 47),
        (48, None, 55),  # 56 of 64: lookups of 5, 4 and 3 bits
        (56, None, 63),
        (10, None, 15),  # two lookups of 3 and 2 bits cost more than one of 4
        (150, (6, "approximate"), 188),  # 47 * 4, the middle of the last of 48 cells
        (189, (6, "approximate"), 220),
        (150, (6, "exact"), 255),
    ],
)
def test_rooms_worked_out_by_hand(length, rounding, expected):
    assert room(length, rounding)[0] == expected


def test_parts_are_cheaper_from_five_bits_on():
    assert [bits for bits in range(1, 9) if _is_cheaper(bits, 2)] == [5, 6, 7, 8]
    assert not any(_is_cheaper(bits, 3) for bits in range(1, 5))
    assert not _is_cheaper(17, 2)


def test_intervals_keep_the_seen_range_and_the_margin():
    rng = np.random.default_rng(0)
    for rounding in METHODS:
        emitter = Emitter("calibrated", 0.25, rounding)
        for _ in range(200):
            low = rng.integers(-99, 50, 3)
            high = low + rng.integers(0, 99, 3)
            proven = low - rng.integers(0, 99, 3), high + rng.integers(0, 99, 3)
            found = emitter._with_margin(low, high, *proven)
            margin = np.ceil((high - low + 1) * 0.25)
            assert (found[0] <= np.maximum(low - margin, proven[0])).all()
            assert (found[1] >= np.minimum(high + margin, proven[1])).all()
            assert (found[0] >= proven[0]).all()
            assert (found[1] <= proven[1]).all()
