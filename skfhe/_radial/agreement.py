"""What a program with a radial kernel costs, and how far it is from the float model: what is warned of."""

from __future__ import annotations

import warnings

import numpy as np

from skfhe._parameters import frames_to_caller
from skfhe._radial.calibration import MOST_BITS, RadialCalibration
from skfhe._radial.scores import RadialScores
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
    """Warn if the predictions of rows are not those of the float model."""
    n_bits = calibration.kernel_bits
    encoder = model.encoder
    assert isinstance(encoder, GridBitsEncoder)
    most_rows = max(MOST_WORK // (len(encoder.boundaries) * scores.dual.size), FEWEST_ROWS)
    rows = calibration.seen[:: -(-len(calibration.seen) // most_rows)]
    expected, found = scores.scores(rows), model.scores(rows)
    if isinstance(scores.head, Values):
        spread = expected.std(axis=0)
        off = np.sqrt(np.square(found - expected).mean(axis=0))
        if (off <= DEVIATION * spread + scores.tolerance).all():
            return
        part = float((off / np.maximum(spread, np.finfo(np.float64).tiny)).max())
        result = f"predictions of training rows are off by {part:.2g} of their standard deviation"
    else:
        undecided = np.abs(expected) <= scores.tolerance
        labels = scores.head.predict(np.where(undecided, expected, found))
        agreed = float((labels == scores.head.predict(expected)).mean())
        if agreed >= AGREEMENT:
            return
        result = f"{agreed:.2%} of training rows are labelled as by the float model"
    more = f"kernel_bits={n_bits + 1} has twice as many, at twice the price; " if n_bits < MOST_BITS else ""
    warnings.warn(
        f"{result}, for distances in {rows.shape[1]} features have {1 << n_bits} levels; {more}{INSTEAD}",
        ToleranceWarning,
        stacklevel=frames_to_caller(),
    )
