"""What is known of the rows that a machine with a radial kernel was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np

from skfhe._typing import FloatArray
from skfhe.encoding import dense

__all__ = ["KERNEL_BITS", "RANGE_MARGIN", "RadialCalibration", "check_kernel_bits"]

KERNEL_BITS = 6
RANGE_MARGIN = 0.05
"""By default. Distances have as many levels whatever it is, so that a wider range makes them coarser."""
MOST_BITS = 8
SEEN_ROWS = 1 << 10
"""Rows that are kept, for what the coarse distances make of them."""


def check_kernel_bits(kernel_bits: Any) -> int:
    """Return ``kernel_bits``.

    Raises
    ------
    ValueError
        If it is no int from 2 to 8.
    """
    is_int = isinstance(kernel_bits, Integral) and not isinstance(kernel_bits, bool)
    if not is_int or not 2 <= int(kernel_bits) <= MOST_BITS:
        raise ValueError(
            f"kernel_bits must be an int from 2 to {MOST_BITS}, what lookups read, got {kernel_bits!r}"
        )
    return int(kernel_bits)


@dataclass(frozen=True, eq=False)
class RadialCalibration:
    """What is known of rows, and how finely their distances are to be told.

    Parameters
    ----------
    low, high : ndarray of float64, shape (n_features,)
        Range of each feature, in rows that count.
    seen : ndarray of float64, shape (n_seen, n_features)
        Some of these rows, or all.
    kernel_bits : int
        Bits of the distances that lookups read.
    range_margin : float
        How far beyond the range features are represented, in widths of it.
    """

    low: FloatArray
    high: FloatArray
    seen: FloatArray
    kernel_bits: int = KERNEL_BITS
    range_margin: float = RANGE_MARGIN

    @classmethod
    def on(
        cls,
        X: Any,
        sample_weight: Any = None,
        kernel_bits: int = KERNEL_BITS,
        range_margin: float = RANGE_MARGIN,
    ) -> RadialCalibration:
        """Calibrate on rows.

        Parameters
        ----------
        X : {ndarray, sparse matrix}, shape (n_rows, n_features)
        sample_weight : array-like of float, shape (n_rows,), optional
            Rows that count nothing have no part in this.
        kernel_bits, range_margin
            As they are kept.

        Raises
        ------
        ValueError
            If ``kernel_bits`` is none that lookups read.
        """
        rows = X if sample_weight is None else X[np.asarray(sample_weight) != 0]
        low, high = (np.ravel(dense(end)).astype(np.float64) for end in (rows.min(axis=0), rows.max(axis=0)))
        seen = np.array(dense(rows[:: -(-rows.shape[0] // SEEN_ROWS)]), dtype=np.float64)
        return cls(low, high, seen, check_kernel_bits(kernel_bits), range_margin)
