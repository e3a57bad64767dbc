"""A fitted additive model: bins of features, and tables of scores that these are looked up in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from skfhe._typing import FloatArray, IntArray
from skfhe.encoding import Head

__all__ = ["Additive", "Bins", "Term"]


@dataclass(frozen=True, eq=False)
class Bins:
    """Bins of one feature: the first for missing values, the last for what is not known.

    Parameters
    ----------
    cuts : ndarray of float64 or None
        Ascending; a value lies in the bin behind all cuts that it is not below.
    of_category : ndarray of int64 or None
        For a categorical feature, the bin of each category.
    """

    cuts: FloatArray | None
    of_category: IntArray | None = None

    @property
    def n_bins(self) -> int:
        """Bins, with the first and the last."""
        if self.of_category is None:
            assert self.cuts is not None
            return len(self.cuts) + 3
        return int(self.of_category.max(initial=0)) + 2

    def of(self, values: FloatArray) -> IntArray:
        """Return the bin of each value, or of each category's number; NaN is a missing value."""
        missing = np.isnan(values)
        if self.of_category is None:
            assert self.cuts is not None
            return np.where(missing, 0, np.searchsorted(self.cuts, values, side="right") + 1)
        known = np.append(self.of_category, self.n_bins - 1)  # what is not known has the number -1
        return np.where(missing, 0, known[np.where(missing, 0, values).astype(np.int64)])


@dataclass(frozen=True, eq=False)
class Term:
    """A summand of scores, which reads one feature or two.

    Parameters
    ----------
    features : tuple of int
    bins : tuple of Bins
        Of these features.
    scores : ndarray of float64, shape (*n_bins, n_scores)
    weights : ndarray of float64, shape n_bins
        Rows of training in each cell.
    """

    features: tuple[int, ...]
    bins: tuple[Bins, ...]
    scores: FloatArray
    weights: FloatArray

    def of(self, X: FloatArray) -> FloatArray:
        """Return the summand of rows, shape (n_rows, n_scores)."""
        at = tuple(bins.of(X[:, feature]) for feature, bins in zip(self.features, self.bins, strict=True))
        return self.scores[at]


@dataclass(frozen=True, eq=False)
class Additive:
    """A fitted additive model.

    Parameters
    ----------
    n_features : int
    names : sequence of str
        Of the features.
    terms : sequence of Term
    intercept : ndarray of float64, shape (n_scores,)
    head : Head
    """

    n_features: int
    names: Sequence[str]
    terms: Sequence[Term]
    intercept: FloatArray
    head: Head

    @cached_property
    def effects(self) -> list[Term]:
        """Terms of single features."""
        return [term for term in self.terms if len(term.features) == 1]

    @cached_property
    def pairs(self) -> list[Term]:
        """Terms of two features."""
        return [term for term in self.terms if len(term.features) == 2]

    def scores(self, X: FloatArray) -> FloatArray:
        """Return the scores of validated rows, shape (n_rows, n_scores)."""
        return sum((term.of(X) for term in self.terms), start=np.tile(self.intercept, (len(X), 1)))
