"""What merging and leaving out has lost is taken over by what is kept.

Interactions that are left out are not independent of single features, and neither is what merged bins lose.
So levels and cells that are kept are moved towards the scores of the float model on rows of training, one
summand after another, each by the mean of what all together still lack [1]_. Targets play no part in it: what
is approximated is the float model, not the data.

References
----------
.. [1] Friedman and Stuetzle, "Projection Pursuit Regression", Journal of the American Statistical Association
   76, 1981, 817-823, where this is called backfitting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from skfhe._typing import FloatArray, IntArray
from skfhe.additive._description import Additive
from skfhe.additive._effects import Effect
from skfhe.additive._pairs import PairTable

__all__ = ["backfitted"]

ROUNDS = 10
PRIOR_ROWS = 20
"""Rows that a level is taken to have beside its own, at which nothing lacks: few rows move it little."""


def backfitted(
    described: Additive, effects: Sequence[Effect], kept: Sequence[PairTable], rows: FloatArray
) -> tuple[list[Effect], list[PairTable]]:
    """Return effects and tables moved towards the scores of the float model.

    Parameters
    ----------
    described : Additive
        The float model.
    effects : sequence of Effect
        Of all of its main effects.
    kept : sequence of PairTable
    rows : ndarray of float64, shape (n_rows, n_features)

    Returns
    -------
    effects : list of Effect
    kept : list of PairTable
    """
    n_scores = len(described.intercept)
    at = [
        effect.groups[term.bins[0].of(rows[:, term.features[0]])]
        for term, effect in zip(described.effects, effects, strict=True)
    ]
    at += [table.cells(rows) for table in kept]
    values = [effect.values.copy() for effect in effects]
    values += [table.values.reshape(-1, n_scores).copy() for table in kept]
    lacking = described.scores(rows) - described.intercept
    for each, places in zip(values, at, strict=True):
        lacking -= each[places]
    for _ in range(ROUNDS):
        for each, places in zip(values, at, strict=True):
            step = _means(lacking, places, len(each))
            each += step
            lacking -= step[places]
    n_effects = len(effects)
    return (
        [replace(effect, values=each) for effect, each in zip(effects, values, strict=False)],
        [
            replace(table, values=each.reshape(table.values.shape))
            for table, each in zip(kept, values[n_effects:], strict=True)
        ],
    )


def _means(lacking: FloatArray, places: IntArray, n_places: int) -> FloatArray:
    """Return the mean of what lacks in each place, with that of `PRIOR_ROWS` rows at which nothing does."""
    summed = np.stack([np.bincount(places, column, minlength=n_places) for column in lacking.T], axis=1)
    return summed / (np.bincount(places, minlength=n_places) + PRIOR_ROWS)[:, None]
