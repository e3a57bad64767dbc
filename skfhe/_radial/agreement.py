"""What a program with a radial kernel costs, and how far it is from the float model: what is warned of."""

from __future__ import annotations

import warnings

import numpy as np

from skfhe._agreement import rows_like
from skfhe._parameters import frames_to_caller
from skfhe._radial.calibration import MOST_BITS, RadialCalibration
from skfhe._radial.scores import RadialScores
from skfhe._typing import FloatArray
from skfhe.encoding import GridBitsEncoder, Values
from skfhe.encrypted_model import EncryptedModel
from skfhe.exceptions import CostWarning, ToleranceWarning

__all__ = ["warn_of_cost", "warn_of_deviation"]

MOST_LOOKUPS = 50
"""Beyond them a model is warned of: a row takes several seconds."""
AGREEMENT, DEVIATION = 0.998, 0.005
"""Rows that are labelled as by the float model, and standard deviations that predictions may be off by."""
INSTEAD = (
    "a map that approximates the kernel, before a linear model, takes no lookup, and tells nothing of "
    "training rows if its seed is public, as with sklearn.kernel_approximation.RBFSampler(random_state=0)"
)
MOST_WORK, FEWEST_ROWS = 1 << 30, 100
"""Products that are summed to see how far a model is off."""


def warn_of_cost(model: EncryptedModel, scores: RadialScores, n_bits: int) -> None:
    """Warn of a model that takes several seconds a row."""
    cost = model.cost
    n_lookups = cost.n_lookups
    if n_lookups <= MOST_LOOKUPS:
        return
    warnings.warn(
        f"{len(scores.support)} support vectors take {n_lookups} lookups of {n_bits} bits, about "
        f"{cost.seconds:.2g} s a row under encryption, and up to {MOST_LOOKUPS} are sensible; "
        f"{INSTEAD}; there are fewer vectors with a larger C or epsilon, or a smaller nu",
        CostWarning,
        stacklevel=frames_to_caller(),
    )


def warn_of_deviation(model: EncryptedModel, scores: RadialScores, calibration: RadialCalibration) -> None:
    """Warn if predictions are not those of the float model, of rows of training or of others like them.

    Training has made room around its rows, so that most are far from a boundary; others need not be.
    """
    encoder = model.encoder
    assert isinstance(encoder, GridBitsEncoder)
    n_bits = calibration.kernel_bits
    most_rows = max(MOST_WORK // (len(encoder.boundaries) * scores.dual.size), FEWEST_ROWS)
    seen = calibration.seen[:: -(-len(calibration.seen) // most_rows)]
    judged = [_judged(model, scores, rows) for rows in (seen, rows_like(seen))]
    if isinstance(scores.head, Values):
        off = max(judged)
        if off <= DEVIATION:
            return
        result = f"predictions of rows like those of training are off by {off:.2g} standard deviations"
    else:
        agreed = 1 - max(judged)
        if agreed >= AGREEMENT:
            return
        result = f"{agreed:.2%} of rows like those of training are labelled as by the float model"
    more = f"kernel_bits={n_bits + 1} has twice as many, at twice the price; " if n_bits < MOST_BITS else ""
    warnings.warn(
        f"{result}, for distances in {seen.shape[1]} features have {1 << n_bits} levels; {more}{INSTEAD}",
        ToleranceWarning,
        stacklevel=frames_to_caller(),
    )


def _judged(model: EncryptedModel, scores: RadialScores, rows: FloatArray) -> float:
    """Return what part of rows is labelled otherwise, or how many deviations predictions are off by."""
    expected, found = scores.scores(rows), model.scores(rows)
    if isinstance(scores.head, Values):
        off = np.sqrt(np.square(found - expected).mean(axis=0))
        spread = np.maximum(expected.std(axis=0), np.finfo(np.float64).tiny)
        return float(np.where(off <= scores.tolerance, 0.0, off / spread).max())
    found = np.where(np.abs(expected) <= scores.tolerance, expected, found)
    return float((scores.head.predict(found) != scores.head.predict(expected)).mean())
