"""What fitted models of the family are, and the polynomials that their scores are on grids."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations_with_replacement
from math import comb, factorial
from typing import Protocol

import numpy as np

from skfhe._typing import FloatArray, IntArray
from skfhe.encoding import Head

__all__ = ["Described", "KernelScores", "Polynomial", "QuadraticScores", "n_terms_of"]

MOST_ROWS_AT_ONCE = 1 << 22
"""Products of support vectors that are held at once."""
SEEN_ROWS = 100
"""Support vectors at which the slopes of scores are looked at."""


@dataclass(frozen=True, eq=False)
class Polynomial:
    """Scores ``sum of weight * product of factors + constant``, of steps on grids.

    Parameters
    ----------
    terms : ndarray of int64, shape (n_terms, degree)
        The factors of each product, ascending numbers of features, after -1 for none.
    weight : ndarray of float64, shape (n_terms, n_scores)
    constant : ndarray of float64, shape (n_scores,)
    """

    terms: IntArray
    weight: FloatArray
    constant: FloatArray

    def coarser(self, doublings: IntArray) -> Polynomial:
        """Return the same of steps that were doubled so often, feature by feature."""
        of_term = np.append(doublings, 0)[self.terms].sum(axis=1)
        return Polynomial(self.terms, np.ldexp(self.weight, of_term[:, None]), self.constant)


class Described(Protocol):
    """A fitted model, as its scores are concerned."""

    @property
    def head(self) -> Head:
        """Turns scores into predictions."""

    @property
    def unit(self) -> float | None:
        """What scores are counted in; None if they are of any size."""

    @property
    def used(self) -> IntArray:
        """Numbers of the features that scores depend on."""

    @property
    def degree(self) -> int:
        """The largest number of factors of a product."""

    @property
    def narrowest(self) -> FloatArray:
        """How far each feature varies at least, where other features are known; shape (n_features,)."""

    def input_error(self, step: FloatArray) -> FloatArray:
        """Return what the scores of a typical row differ by if its values are rounded to these steps.

        Parameters
        ----------
        step : ndarray of float64, shape (n_features,)
            Zero for what is not rounded.

        Returns
        -------
        ndarray of float64, shape (n_scores,)
        """

    def on_grid(self, origin: FloatArray, step: FloatArray, features: IntArray) -> Polynomial:
        """Return the polynomial of the steps of some features, the others being where 0 steps are.

        Parameters
        ----------
        origin, step : ndarray of float64, shape (n_features,)
        features : ndarray of int64
            Numbers of the features that vary; terms count among these.
        """


def n_terms_of(n_features: int, degree: int) -> int:
    """Return how many products of up to ``degree`` features there are.

    Examples
    --------
    >>> n_terms_of(30, 2), n_terms_of(30, 3)
    (495, 5455)
    """
    return comb(n_features + degree, degree) - 1


def _all_terms(n_features: int, degree: int, powers: range) -> IntArray:
    """Return every product of so many features, shape (n_terms, degree)."""
    found = [
        [*[-1] * (degree - power), *term]
        for power in powers
        for term in combinations_with_replacement(range(n_features), power)
    ]
    return np.array(found, dtype=np.int64).reshape(-1, degree)


@dataclass(frozen=True, eq=False)
class QuadraticScores:
    """Scores ``constant - |(x - mean) @ factor|**2 / 2``, logarithms of Gaussian densities.

    Parameters
    ----------
    mean : ndarray of float64, shape (n_scores, n_features)
    factor : ndarray of float64, shape (n_scores, n_features, n_directions) or (n_scores, n_features)
        Of the inverse covariance, ``factor @ factor.T``; two axes if that is diagonal.
    constant : ndarray of float64, shape (n_scores,)
    head : Head
    """

    mean: FloatArray
    factor: FloatArray
    constant: FloatArray
    head: Head
    unit = 1.0
    degree = 2

    @property
    def used(self) -> IntArray:
        """Numbers of the features that scores depend on."""
        axes = (0,) if self.factor.ndim == 2 else (0, 2)
        return np.flatnonzero((self.factor != 0).any(axis=axes))

    @property
    def _steepness(self) -> FloatArray:
        """The diagonal of each inverse covariance, shape (n_scores, n_features)."""
        squares = np.square(self.factor)
        return squares if squares.ndim == 2 else squares.sum(axis=2)

    @property
    def narrowest(self) -> FloatArray:
        """The smallest standard deviation of each feature, where other features are known."""
        with np.errstate(divide="ignore"):
            found: FloatArray = 1 / np.sqrt(self._steepness.max(axis=0))
        return found

    def input_error(self, step: FloatArray) -> FloatArray:
        """Return what scores differ by for the rounding of a row that is drawn from the density."""
        found: FloatArray = np.sqrt(self._steepness @ np.square(step) / 12)
        return found

    def on_grid(self, origin: FloatArray, step: FloatArray, features: IntArray) -> Polynomial:
        """Return the polynomial of steps; see `Described`."""
        mean, factor = self.mean.astype(np.float64), self.factor.astype(np.float64)
        n_features, away = len(features), origin - mean
        if factor.ndim == 2:
            projected = away * factor
            scaled = (factor * step)[:, features]
            linear = -projected[:, features] * scaled
            one = np.arange(n_features)
            terms = np.concatenate([np.stack([pair, one], axis=1) for pair in (np.full(n_features, -1), one)])
            weight = np.concatenate([linear, -np.square(scaled) / 2], axis=1).T
        else:
            projected = np.einsum("sf,sfd->sd", away, factor)
            scaled = (factor * step[:, None])[:, features]
            linear = -np.einsum("sfd,sd->sf", scaled, projected)
            terms = _all_terms(n_features, 2, range(1, 3))
            one, other = terms[n_features:].T
            inverse = scaled @ scaled.swapaxes(1, 2)
            products = -inverse[:, one, other] * np.where(one == other, 0.5, 1.0)
            weight = np.concatenate([linear, products], axis=1).T
        return Polynomial(terms, weight, self.constant - np.square(projected).sum(axis=1) / 2)


@dataclass(frozen=True, eq=False)
class KernelScores:
    """Scores ``dual @ (support @ x + coef0)**degree + intercept``.

    Parameters
    ----------
    dual : ndarray of float64, shape (n_scores, n_vectors)
    rows : ndarray of float64, shape (n_vectors, n_features)
        Support vectors.
    support : ndarray of float64, shape (n_vectors, n_features)
        Those times ``gamma``.
    intercept : ndarray of float64, shape (n_scores,)
    coef0 : float
    degree : int
    head : Head
    unit : float or None
        What scores are counted in; None if they are of any size.
    """

    dual: FloatArray
    rows: FloatArray
    support: FloatArray
    intercept: FloatArray
    coef0: float
    degree: int
    head: Head
    unit: float | None

    @property
    def typical_size(self) -> float | None:
        """How far from their middle scores of support vectors are, in the median; None if they are alike."""
        seen = self.rows[:: -(-max(len(self.rows), 1) // SEEN_ROWS)]
        if not len(seen):
            return None
        scores = self.dual @ (self.support @ seen.T + self.coef0) ** self.degree
        away = np.abs(scores - np.median(scores, axis=1)[:, None])
        return float(np.median(away)) or None

    @property
    def used(self) -> IntArray:
        """Numbers of the features that scores depend on."""
        return np.flatnonzero((self.support != 0).any(axis=0))

    @property
    def narrowest(self) -> FloatArray:
        """There is nothing that says how finely each feature matters."""
        return np.full(self.support.shape[1], np.inf)

    def input_error(self, step: FloatArray) -> FloatArray:
        """Return what scores differ by for the rounding of a row that is a typical support vector."""
        seen = self.rows[:: -(-max(len(self.rows), 1) // SEEN_ROWS)]
        inner = self.degree * (self.support @ seen.T + self.coef0) ** (self.degree - 1)
        found = np.zeros(len(self.dual))
        if len(seen):
            scaled = self.support * step
            for score, dual in enumerate(self.dual):
                slopes = (dual[:, None] * inner).T @ scaled
                found[score] = np.median(np.sqrt(np.square(slopes).sum(axis=1) / 12))
        return found

    def on_grid(self, origin: FloatArray, step: FloatArray, features: IntArray) -> Polynomial:
        """Return the polynomial of steps; see `Described`."""
        vectors = self.support * step
        vectors = vectors[:, features]
        shift = self.support @ origin + self.coef0
        constant = self.intercept + self.dual @ shift**self.degree
        terms, weights = [np.empty((0, self.degree), dtype=np.int64)], [np.empty((0, len(self.dual)))]
        for power in range(1, self.degree + 1):
            dual: FloatArray = self.dual * shift ** (self.degree - power) * float(comb(self.degree, power))
            if not dual.any():
                continue
            of_power = _all_terms(len(features), self.degree, range(power, power + 1))
            terms.append(of_power)
            weights.append(_weights_of(of_power[:, self.degree - power :], vectors, dual))
        return Polynomial(np.concatenate(terms), np.concatenate(weights), constant)


def _weights_of(terms: IntArray, vectors: FloatArray, dual: FloatArray) -> FloatArray:
    """Return the weight of each product in ``dual @ (vectors @ x)**power``, shape (n_terms, n_scores)."""
    found = np.empty((len(terms), len(dual)))
    at_once = max(1, MOST_ROWS_AT_ONCE // max(len(vectors), 1))
    for start in range(0, len(terms), at_once):
        part = terms[start : start + at_once]
        products = vectors[:, part[:, 0]]
        for column in part.T[1:]:
            products = products * vectors[:, column]
        found[start : start + at_once] = (dual @ products).T
    orders = np.array([_n_orders(term) for term in terms.tolist()], dtype=np.float64)
    return found * orders[:, None]


def _n_orders(term: list[int]) -> int:
    """Return in how many orders factors can be written."""
    found = factorial(len(term))
    for feature in set(term):
        found //= factorial(term.count(feature))
    return found
