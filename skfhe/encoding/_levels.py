"""Level quantization: each feature as the number of boundaries that it exceeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from skfhe._typing import BoolArray, FloatArray, IntArray
from skfhe.encoding._dense import dense

__all__ = ["BlockEncoder", "LevelQuantizer", "Levels", "calibrate_levels"]

MOST_BITS = 16


@dataclass(frozen=True, eq=False)
class Levels:
    """Each feature's level among boundaries of its own: all that rows are encoded by.

    Parameters
    ----------
    n_bits : int
        Bits of a level.
    boundaries : sequence of ndarray of float64
        For each feature, ascending; a value's level is the number of boundaries that it exceeds.
    missing : ndarray of bool, shape (n_features,)
        Features with a level for missing values: ``2**n_bits - 1``.
    """

    n_bits: int
    boundaries: Sequence[FloatArray]
    missing: BoolArray

    def __post_init__(self) -> None:
        if not 1 <= self.n_bits <= MOST_BITS or self.missing.shape != (len(self.boundaries),):
            raise ValueError(
                f"expected 1 to {MOST_BITS} bits, and boundaries and missing of one length, got "
                f"{self.n_bits}, {len(self.boundaries)} and {self.missing.shape}"
            )
        most = (1 << self.n_bits) - 1 - self.missing
        for of_feature, n_boundaries in zip(self.boundaries, most, strict=True):
            if of_feature.ndim != 1 or len(of_feature) > n_boundaries or (np.diff(of_feature) < 0).any():
                raise ValueError(f"expected up to {n_boundaries} boundaries of a feature, ascending")

    @property
    def n_features(self) -> int:
        """Features of a row."""
        return len(self.boundaries)

    def quantize(self, X: ArrayLike, features: IntArray | None = None) -> IntArray:
        """Return the levels of rows, whose columns are these features; see `LevelQuantizer.quantize`."""
        X = np.asarray(X, dtype=np.float64)
        if X.ndim != 2 or X.shape[1] != self.n_features:
            raise ValueError(f"expected shape (n_rows, {self.n_features}), got {X.shape}")
        absent = np.isnan(X)
        unknown = np.flatnonzero(absent.any(axis=0) & ~self.missing)
        if len(unknown):
            named = unknown if features is None else features[unknown]
            raise ValueError(
                f"features {named.tolist()} have missing values, and had none in training; fit on rows "
                "that miss some, impute, or use n_bits=None"
            )
        levels = np.stack([np.searchsorted(b, x) for b, x in zip(self.boundaries, X.T, strict=True)], axis=1)
        return np.where(absent, (1 << self.n_bits) - 1, levels).astype(np.int64)


@dataclass(frozen=True, eq=False)
class LevelQuantizer:
    """Encodes each feature as its level among boundaries of its own, spaced as they may be.

    Parameters
    ----------
    n_bits : int
        Bits of a level.
    boundaries : sequence of ndarray of float64
        For each feature, ascending; a value's level is the number of boundaries that it exceeds.
    representatives : sequence of ndarray of float64
        For each feature, a value of each level, ascending; the float that the level stands for.
    missing : ndarray of bool, shape (n_features,)
        Features with a level for missing values: ``2**n_bits - 1``.

    Examples
    --------
    >>> import numpy as np
    >>> quantizer = LevelQuantizer(2, [np.array([0.5, 1.5])], [np.array([0.0, 1.0, 2.0])], np.array([True]))
    >>> quantizer.quantize([[0.2], [9.0], [np.nan]])
    array([[0],
           [2],
           [3]])
    """

    n_bits: int
    boundaries: Sequence[FloatArray]
    representatives: Sequence[FloatArray]
    missing: BoolArray

    @property
    def n_features(self) -> int:
        """Features of a row."""
        return len(self.boundaries)

    @property
    def levels(self) -> Levels:
        """What rows are encoded by, without what levels stand for, which comes from rows of training."""
        return Levels(self.n_bits, self.boundaries, self.missing)

    def quantize(self, X: ArrayLike, features: IntArray | None = None) -> IntArray:
        """Return the levels of ``X``.

        Parameters
        ----------
        X : array-like of float, shape (n_rows, n_features)
        features : ndarray of int64, shape (n_features,), default=None
            What errors call them; None counts them from 0 on.

        Returns
        -------
        ndarray of int64, shape (n_rows, n_features)

        Raises
        ------
        ValueError
            If ``X`` has another number of features, or misses values of a feature that missed none when
            the quantizer was calibrated.
        """
        return self.levels.quantize(X, features)

    def dequantize(self, levels: IntArray) -> FloatArray:
        """Return the floats that levels stand for, shape (n_rows, n_features); NaN for a missing value.

        Levels beyond a feature's last stand for its last.
        """
        table = np.stack(
            [
                values[np.minimum(np.arange(1 << self.n_bits), len(values) - 1)]
                for values in self.representatives
            ]
        )
        table[self.missing, -1] = np.nan
        return table[np.arange(self.n_features), levels]

    def select(self, features: IntArray) -> LevelQuantizer:
        """Return the quantizer of some of the features."""
        return LevelQuantizer(
            self.n_bits,
            [self.boundaries[f] for f in features],
            [self.representatives[f] for f in features],
            self.missing[features],
        )


@dataclass(frozen=True, eq=False)
class BlockEncoder:
    """Encodes levels by blocks of a few boundaries: how many of each block's are exceeded.

    Models were saved with it before `LevelBitsEncoder` took its place, and can still be loaded.

    Comparing a level of k bits with a boundary takes a lookup of k bits, and its price grows steeply with
    them. A block's count has few bits, and says all about the boundaries in it: blocks below a value's level
    are full, those above are empty. What a missing value sends is one more count, the largest.

    Parameters
    ----------
    quantizer : Levels
        Of the encoded features.
    features : ndarray of int64, shape (n_encoded,)
        Which features of a row these are.
    n_bits : int
        Bits of a count.

    Examples
    --------
    >>> import numpy as np
    >>> boundaries = [np.arange(7) + 0.5]
    >>> levels = Levels(3, boundaries, np.array([False]))
    >>> BlockEncoder(levels, np.array([1]), n_bits=2).encode(np.array([[9.0, 4.0], [9.0, 7.0]]))[0]
    array([[3, 1, 0],
           [3, 3, 1]])
    """

    quantizer: Levels
    features: IntArray
    n_bits: int

    def __post_init__(self) -> None:
        if self.features.shape != (self.quantizer.n_features,) or (self.features < 0).any():
            raise ValueError(f"expected the numbers of {self.quantizer.n_features} features")
        if not 1 <= self.n_bits <= MOST_BITS or (self.n_bits == 1 and self.quantizer.missing.any()):
            raise ValueError(
                f"expected counts of 1 to {MOST_BITS} bits, and 2 with missing values, got {self.n_bits}"
            )

    @cached_property
    def sizes(self) -> IntArray:
        """Boundaries in a block of each feature, shape (n_encoded,)."""
        return (1 << self.n_bits) - 1 - self.quantizer.missing.astype(np.int64)

    @cached_property
    def blocks(self) -> tuple[IntArray, IntArray]:
        """Encoded feature of each block, and the level that it begins at; both of shape (n_blocks,)."""
        lengths = np.array([len(boundaries) for boundaries in self.quantizer.boundaries])
        counts = np.maximum(1, -(-lengths // self.sizes))
        begins = [np.arange(count) * size for count, size in zip(counts, self.sizes, strict=True)]
        return np.repeat(np.arange(len(counts)), counts), np.concatenate(begins)

    def encode(self, X: Any) -> tuple[IntArray]:
        """Return the counts of all blocks, shape (n_rows, n_blocks), as the only input of a program.

        Parameters
        ----------
        X : {ndarray, sparse matrix} of float, shape (n_rows, n_features)
            All features of the rows.

        Returns
        -------
        tuple of ndarray of int64, in [0, ``2**n_bits``)
        """
        return (self.counts(self.quantizer.quantize(dense(X[:, self.features]), self.features)),)

    def counts(self, levels: IntArray) -> IntArray:
        """Return the counts of rows of levels, shape (n_rows, n_encoded)."""
        feature, begin = self.blocks
        missing = (levels == (1 << self.quantizer.n_bits) - 1) & self.quantizer.missing
        counts = np.clip(levels[:, feature] - begin, 0, self.sizes[feature])
        return np.where(missing[:, feature], (1 << self.n_bits) - 1, counts)


def calibrate_levels(X: ArrayLike, n_bits: int) -> LevelQuantizer:
    """Choose levels for each feature of ``X``.

    A feature with no more distinct values than levels is represented exactly. Any other gets levels that hold
    about equally many rows, each standing for the median of its rows. A feature with missing values has a
    level for them, and one less for the others.

    Parameters
    ----------
    X : array-like of float, shape (n_rows, n_features)
        NaN stands for a missing value.
    n_bits : int
        Bits of a level.

    Returns
    -------
    LevelQuantizer
    """
    X = np.asarray(X, dtype=np.float64)
    missing = np.isnan(X).any(axis=0)
    boundaries, representatives = [], []
    for column, has_missing in zip(X.T, missing, strict=True):
        present = column[~np.isnan(column)]
        distinct = np.unique(present) if len(present) else np.zeros(1)
        n_levels = (1 << n_bits) - bool(has_missing)
        if len(distinct) <= n_levels:
            boundaries.append(distinct[:-1] + np.diff(distinct) / 2)
            representatives.append(distinct)
            continue
        last = np.quantile(present, np.arange(1, n_levels) / n_levels, method="lower")
        at = np.unique(np.searchsorted(distinct, last[last < distinct[-1]]))
        found = (distinct[at] + distinct[at + 1]) / 2  # half-way from the last value of a level to the next
        levels = np.searchsorted(found, present)
        boundaries.append(found)
        representatives.append(np.array([np.median(present[levels == k]) for k in range(len(found) + 1)]))
    return LevelQuantizer(n_bits, boundaries, representatives, missing)
