"""Main effects: steps at thresholds, whose sum needs no lookup."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skfhe._typing import FloatArray, IntArray
from skfhe.additive._description import Additive
from skfhe.additive._groups import FeatureBins, Question, means, questions
from skfhe.additive._merging import shared_budget

__all__ = ["Effect", "merged_effects"]

MOST_GROUPS = 256
WIDER = 4
"""A feature can have so many times the levels that there are of each on average."""


@dataclass(frozen=True, eq=False)
class Effect:
    """A main effect with merged bins.

    Parameters
    ----------
    asked : sequence of Question
    groups : ndarray of int64, shape (n_bins,)
    values : ndarray of float64, shape (n_groups, n_scores)
        Of each group.
    """

    asked: list[Question]
    groups: IntArray
    values: FloatArray

    def of(self, bins: IntArray) -> FloatArray:
        """Return the summand of rows by their bins, shape (n_rows, n_scores)."""
        return self.values[self.groups[bins]]


def merged_effects(described: Additive, n_bits: int | None) -> list[Effect]:
    """Return the main effects with merged bins.

    Parameters
    ----------
    described : Additive
    n_bits : int or None
        Levels of a feature on average, as bits; None merges equal bins alone.

    Returns
    -------
    list of Effect
        In the order of ``described.effects``.
    """
    terms = described.effects
    features = [FeatureBins(term.bins[0], term.weights) for term in terms]
    if n_bits is None:
        merged = [_all_groups(feature, term.scores) for feature, term in zip(features, terms, strict=True)]
    else:
        most = min(WIDER << n_bits, MOST_GROUPS)
        plans = [feature.merging(term.scores, most) for feature, term in zip(features, terms, strict=True)]
        counts = shared_budget([merging.errors for _, merging in plans], ((1 << n_bits) - 1) * len(terms))
        merged = [
            feature.groups(order, merging.groups(count), term.scores)
            for feature, term, (order, merging), count in zip(features, terms, plans, counts, strict=True)
        ]
    return [
        Effect(
            questions(term.features[0], term.bins[0], groups),
            groups,
            means(term.scores, term.weights, groups),
        )
        for term, groups in zip(terms, merged, strict=True)
    ]


def _all_groups(feature: FeatureBins, values: FloatArray) -> IntArray:
    """Return groups of bins whose scores are equal, those that no row of training lies in among them."""
    if feature.is_categorical:
        _, groups = np.unique(values, axis=0, return_inverse=True)
        return groups.ravel().astype(np.int64)
    exact = FeatureBins(feature.bins, np.ones(len(feature.weights)))
    order = exact.order(values)
    rises = (np.diff(values[order], axis=0) != 0).any(axis=1)
    return exact.groups(order, np.concatenate([[0], np.cumsum(rises)]).astype(np.int64), values)
