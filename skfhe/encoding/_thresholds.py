"""Threshold encoding: a float feature as the bits ``x > t`` for a list of thresholds.

A k-bit quantizer on one feature has 2**k - 1 boundaries; the bits that say which of them a float exceeds
are its thermometer code. They hold exactly what the k-bit integer holds. But a neuron that reads bits
spends one unit of its accumulator on each bit that it looks at, where a k-bit integer costs it up to
2**k - 1 units whatever it wants to know. The accumulator's width then no longer depends on how finely
the inputs are resolved.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skfhe._typing import FloatArray, IntArray

__all__ = ["ThermometerEncoder", "ThresholdEncoder", "calibrate_thresholds"]


@dataclass(frozen=True, eq=False)
class ThresholdEncoder:
    """Encodes floats as the bits ``X[:, features] > thresholds``.

    Parameters
    ----------
    n_features : int
        Features of the data.
    features : ndarray of int64, shape (n_bits,)
        Which feature each bit reads.
    thresholds : ndarray of float64, shape (n_bits,)
        What it is compared with.

    Notes
    -----
    A float beyond the outermost thresholds of its feature has the bits of the nearest interval: it is
    clipped, never out of range.

    Examples
    --------
    >>> import numpy as np
    >>> encoder = ThresholdEncoder(1, np.array([0, 0, 0]), np.array([-1.0, 0.0, 1.0]))
    >>> encoder.quantize([[-5.0], [0.5], [99.0]])
    array([[0, 0, 0],
           [1, 1, 0],
           [1, 1, 1]])
    """

    n_features: int
    features: IntArray
    thresholds: FloatArray

    def __post_init__(self) -> None:
        if self.features.ndim != 1 or self.features.shape != self.thresholds.shape:
            raise ValueError(
                "features and thresholds must be one-dimensional and of one length, got "
                f"{self.features.shape} and {self.thresholds.shape}"
            )
        if len(self.features) and not 0 <= self.features.min() <= self.features.max() < self.n_features:
            raise ValueError(f"features must lie in [0, {self.n_features}), got {self.features}")

    @property
    def n_bits(self) -> int:
        """Bits of one row."""
        return len(self.features)

    def quantize(self, X: ArrayLike) -> IntArray:
        """Return the bits of ``X``.

        Parameters
        ----------
        X : array-like of float, shape (n_rows, n_features)

        Returns
        -------
        ndarray of int64, shape (n_rows, n_bits)
            0 or 1.

        Raises
        ------
        ValueError
            If ``X`` has another number of features.
        """
        X = self._checked(X)
        return (X[:, self.features] > self.thresholds).astype(np.int64, order="C")

    @cached_property
    def steps(self) -> IntArray:
        """What each threshold of a feature adds to its level, shape (n_features,); 0 for one without any.

        A feature with fewer thresholds takes larger steps, so that all levels span about the same range.
        """
        counts = np.bincount(self.features, minlength=self.n_features)
        return np.where(counts > 0, counts.max(initial=0) // np.maximum(counts, 1), 0)

    @property
    def level_weights(self) -> IntArray:
        """What each bit adds to its feature's level, shape (n_bits, n_features).

        See `steps`.
        """
        weights = np.zeros((self.n_bits, self.n_features), dtype=np.int64)
        weights[np.arange(self.n_bits), self.features] = self.steps[self.features]
        return weights

    def levels(self, X: ArrayLike) -> IntArray:
        """Return one integer a feature: the thresholds that it passes, each counting its step.

        Parameters
        ----------
        X : array-like of float, shape (n_rows, n_features)

        Returns
        -------
        ndarray of int64, shape (n_rows, n_features)
            In [0, ``level_weights.sum(axis=0)``].

        Examples
        --------
        >>> import numpy as np
        >>> encoder = ThresholdEncoder(2, np.array([0, 0, 1]), np.array([-1.0, 1.0, 0.0]))
        >>> encoder.levels([[-5.0, 3.0], [0.0, -3.0], [9.0, 3.0]])
        array([[0, 2],
               [1, 0],
               [2, 2]])
        """
        return self.counts(X) * self.steps

    def counts(self, X: ArrayLike) -> IntArray:
        """Return how many thresholds of each feature a row passes.

        Parameters
        ----------
        X : array-like of float, shape (n_rows, n_features)

        Returns
        -------
        ndarray of int64, shape (n_rows, n_features)

        Raises
        ------
        ValueError
            If ``X`` has another number of features.

        Examples
        --------
        >>> import numpy as np
        >>> encoder = ThresholdEncoder(2, np.array([0, 0, 1]), np.array([-1.0, 1.0, 0.0]))
        >>> encoder.counts([[-5.0, 3.0], [0.0, -3.0]])
        array([[0, 1],
               [1, 0]])
        """
        X = self._checked(X)
        counts = np.empty(X.shape, dtype=np.int64)
        for feature, (own, column) in enumerate(zip(self._of_features, X.T, strict=True)):
            counts[:, feature] = np.searchsorted(own, column)
        return counts

    @cached_property
    def _of_features(self) -> list[FloatArray]:
        """The thresholds of each feature, ascending."""
        return [np.sort(self.thresholds[self.features == feature]) for feature in range(self.n_features)]

    @cached_property
    def ranks(self) -> IntArray:
        """Thresholds of its feature that each bit's own exceeds, shape (n_bits,).

        A bit is 1 if its feature passes more thresholds than these.
        """
        return np.array(
            [
                np.searchsorted(self._of_features[feature], threshold)
                for feature, threshold in zip(self.features, self.thresholds, strict=True)
            ],
            dtype=np.int64,
        )

    def _checked(self, X: ArrayLike) -> FloatArray:
        X = np.asarray(X, dtype=np.float64)
        if X.ndim != 2 or X.shape[1] != self.n_features:
            raise ValueError(f"expected shape (n_rows, {self.n_features}), got {X.shape}")
        return X

    def select(self, kept: NDArray) -> "ThresholdEncoder":
        """Return the encoder of the bits ``kept``, a mask or indices."""
        return ThresholdEncoder(self.n_features, self.features[kept], self.thresholds[kept])


@dataclass(frozen=True, eq=False)
class ThermometerEncoder:
    """Encodes rows as bits of some thresholds and, as a second array, the levels of some features.

    A row is compared with the thresholds once: how many of a feature's it passes says both.

    Parameters
    ----------
    thresholds : ThresholdEncoder
        All that rows are compared with.
    bits : ndarray of int64, shape (n_sent,)
        Which of its bits are sent.
    levels : ndarray of int64, shape (n_levels,), or None
        Features whose levels are sent; None sends bits alone.
    steps : ndarray of int64, shape (n_levels,), or None
        What each threshold adds to these levels; None takes those of `ThresholdEncoder.steps`.

    Examples
    --------
    >>> import numpy as np
    >>> thresholds = ThresholdEncoder(2, np.array([0, 0, 1]), np.array([-1.0, 1.0, 0.0]))
    >>> bits, levels = ThermometerEncoder(thresholds, np.array([1]), np.array([0, 1])).encode([[0.0, 3.0]])
    >>> bits, levels
    (array([[0]]), array([[1, 2]]))
    """

    thresholds: ThresholdEncoder
    bits: IntArray
    levels: IntArray | None = None
    steps: IntArray | None = None

    def __post_init__(self) -> None:
        n_bits, n_features = self.thresholds.n_bits, self.thresholds.n_features
        for name, numbers, n in (("bits", self.bits, n_bits), ("levels", self.levels, n_features)):
            if numbers is None:
                continue
            if numbers.ndim != 1 or (len(numbers) and not 0 <= numbers.min() <= numbers.max() < n):
                raise ValueError(f"{name} must be numbers in [0, {n}), got {numbers}")
        if self.steps is not None and (self.levels is None or self.steps.shape != self.levels.shape):
            raise ValueError("expected a step for each of the levels")

    def reduced(self) -> "ThermometerEncoder":
        """Return the encoder that gives the same integers and knows no threshold which none of them needs."""
        known = self.thresholds
        needed = np.zeros(known.n_bits, dtype=bool)
        needed[self.bits] = True
        if self.levels is not None:
            needed |= np.isin(known.features, self.levels)
        place = np.cumsum(needed) - 1
        steps = self.steps
        if self.levels is not None and steps is None:
            steps = known.steps[self.levels]
        return ThermometerEncoder(known.select(needed), place[self.bits], self.levels, steps)

    @property
    def n_bits(self) -> int:
        """Bits that are sent of a row."""
        return len(self.bits)

    def encode(self, X: Any) -> tuple[IntArray, ...]:
        """Return the bits, and the levels if some are sent, each of shape (n_rows, n_sent or n_levels).

        Parameters
        ----------
        X : array-like of float, shape (n_rows, n_features)

        Returns
        -------
        tuple of ndarray of int64

        Raises
        ------
        ValueError
            If ``X`` has another number of features.
        """
        counts = self.thresholds.counts(X)
        passed = counts[:, self.thresholds.features[self.bits]]
        bits = (passed > self.thresholds.ranks[self.bits]).astype(np.int64)
        if self.levels is None:
            return (bits,)
        steps = self.thresholds.steps[self.levels] if self.steps is None else self.steps
        return bits, counts[:, self.levels] * steps


def calibrate_thresholds(X: ArrayLike, n_bits: int, percentile: float = 0.0) -> ThresholdEncoder:
    """Choose the thresholds that quantize each feature of ``X`` to ``n_bits`` bits.

    A feature with at most 2**n_bits distinct values gets a threshold half-way between each two
    neighbours, and is represented exactly. Any other gets the 2**n_bits - 1 boundaries of an even grid
    over its range. A constant feature gets none.

    Parameters
    ----------
    X : array-like of float, shape (n_rows, n_features)
    n_bits : int
        Bits for each feature.
    percentile : float, default=0
        Percent of the values left outside the grid at either end, where they are clipped.

    Returns
    -------
    ThresholdEncoder
        With at least one bit.
    """
    X = np.asarray(X, dtype=np.float64)
    n_levels = 1 << n_bits
    features, thresholds = [], []
    for feature, column in enumerate(X.T):
        unit = 4.0 if np.abs(column).max(initial=0.0) > 1e307 else 1.0  # differences must not overflow
        column = column / unit
        distinct = np.unique(column)
        if len(distinct) <= n_levels:
            found = distinct[:-1] + np.diff(distinct) / 2
            found = np.where(found < distinct[1:], found, distinct[:-1])  # neighbours with no float between
        else:
            low, high = np.percentile(column, [percentile, 100 - percentile])
            if high <= low:
                low, high = distinct[0], distinct[-1]
            step = (high - low) / (n_levels - 1)
            found = low + step * (np.arange(n_levels - 1) + 0.5)
        features.append(np.full(len(found), feature, dtype=np.int64))
        thresholds.append(found * unit)
    encoder = ThresholdEncoder(X.shape[1], np.concatenate(features), np.concatenate(thresholds))
    if encoder.n_bits:
        return encoder
    return ThresholdEncoder(X.shape[1], np.zeros(1, dtype=np.int64), X[:1, 0].copy())
