"""What is known of the rows that a model was trained on, and what a user asked of its quantization."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import issparse

from skfhe._linear.scores import check_range_margin
from skfhe._linear.spread import FeatureSpread, spread_of
from skfhe._typing import FloatArray
from skfhe.encoding import dense

__all__ = ["Calibration", "check_bits"]

SEEN_ROWS = 1 << 10
"""Rows whose values are looked at for what all are multiples of."""


def check_bits(n_bits: Any) -> int:
    """Return ``n_bits``.

    Raises
    ------
    ValueError
        If it is no int from 2 to 16.
    """
    if not isinstance(n_bits, Integral) or isinstance(n_bits, bool) or not 2 <= int(n_bits) <= 16:
        raise ValueError(f"n_bits must be an int from 2 to 16, got {n_bits!r}")
    return int(n_bits)


@dataclass(frozen=True, eq=False)
class Calibration:
    """What is known of rows, and how they are to be quantized.

    Parameters
    ----------
    spread : FeatureSpread
        Of rows that count.
    grain : ndarray of float64, shape (n_features,)
        The largest power of two that the distances of a feature's values from its middle are multiples of,
        as far as was looked.
    n_bits : int
    range_margin : float
    """

    spread: FeatureSpread
    grain: FloatArray
    n_bits: int
    range_margin: float

    @classmethod
    def on(cls, X: Any, sample_weight: ArrayLike, n_bits: Any, range_margin: Any) -> Calibration:
        """Calibrate on rows.

        Parameters
        ----------
        X : ndarray or sparse matrix, shape (n_rows, n_features)
        sample_weight : array-like of float, shape (n_rows,)
            Rows that count nothing have no part in this.
        n_bits : int
        range_margin : float
        """
        rows = X[np.asarray(sample_weight) != 0]
        rows = rows.tocsr() if issparse(rows) else rows
        spread = spread_of(rows)
        seen = np.asarray(dense(rows[:: -(-rows.shape[0] // SEEN_ROWS)]), dtype=np.float64)
        grain = _grain(seen - spread.middle)
        return cls(spread, grain, check_bits(n_bits), check_range_margin(range_margin))

    def joined(self, earlier: Calibration) -> Calibration:
        """Return the calibration on these rows and earlier ones of the same features."""
        spread = earlier.spread.joined(self.spread)
        moved = _grain(np.stack([self.spread.middle, earlier.spread.middle]) - spread.middle)
        grain = np.minimum(np.minimum(self.grain, earlier.grain), moved)
        return Calibration(spread, grain, self.n_bits, self.range_margin)


def _grain(values: FloatArray) -> FloatArray:
    """Return the largest power of two that all values of a feature are multiples of; infinity for zeros."""
    mantissa, exponent = np.frexp(values)
    integers = np.ldexp(mantissa, 53).astype(np.int64)
    lowest = (integers & -integers).astype(np.float64)
    with np.errstate(under="ignore"):
        grains = np.ldexp(lowest, exponent - 53)
    found: FloatArray = np.where(integers == 0, np.inf, grains).min(axis=0)
    return found
