"""From scores with a radial kernel to a program and its edges."""

from __future__ import annotations

import math

import numpy as np

from skfhe._radial.agreement import warn_of_cost, warn_of_deviation
from skfhe._radial.calibration import RadialCalibration
from skfhe._radial.distances import Distances, best_caps, largest_sum, reach_of
from skfhe._radial.scores import RadialScores
from skfhe._typing import FloatArray, IntArray
from skfhe.cost import DEFAULT_P_ERROR, precision_steps
from skfhe.encoding import (
    AffineDecoder,
    ClippingWatch,
    FeatureGrid,
    GridBitsEncoder,
    GridEncoder,
)
from skfhe.encrypted_model import EncryptedModel
from skfhe.passes import optimize
from skfhe.program import Program, ProgramBuilder, ops

__all__ = ["lower_radial"]

FINE = 0.25
"""Cells of a lookup that a step of a feature makes at a typical distance."""
MOST_LEVELS = 128
"""Of a feature."""
SEEN_ROWS = 100
"""At which distances are looked at."""
ROUNDING = 0.5
"""What rounding the results of lookups may cost, as a part of what the coarse distances do."""


def lower_radial(scores: RadialScores, calibration: RadialCalibration) -> EncryptedModel:
    """Lower scores with a radial kernel to a program with a lookup for each support vector and score.

    Parameters
    ----------
    scores : RadialScores
    calibration : RadialCalibration
        Of the rows that they were trained on. One bit more makes lookups twice as dear.

    Returns
    -------
    EncryptedModel
        ``encoder.watch`` tells of rows that are clipped.

    Raises
    ------
    ValueError
        If distances exceed the largest float.

    Warns
    -----
    CostWarning
        Beyond 50 lookups.
    ToleranceWarning
        If more than 2 in 1000 of the rows, or of others like them, are labelled otherwise than by the float
        model, or predictions are off by more than 0.005 of their standard deviation.
    """
    n_bits = calibration.kernel_bits
    ends = _ends(calibration)
    with np.errstate(over="ignore", invalid="ignore"):
        farthest = scores.distances(ends)
    if not np.isfinite(farthest).all():
        raise ValueError("squared distances from its support vectors exceed the largest float")
    rows = calibration.seen
    caps = best_caps(scores, ends, rows, n_bits)
    encoder = _encoder(scores, calibration, caps)
    further = 1 + math.ceil(math.log2(len(encoder.features)) / 2)
    distances = Distances.of(scores, encoder, caps, n_bits, further)
    program, decoder = _program(scores, encoder, distances, rows)
    model = EncryptedModel(encoder, program, decoder, scores.head)
    warn_of_cost(model, scores, n_bits)
    warn_of_deviation(model, scores, calibration)
    return model


def _ends(calibration: RadialCalibration) -> FloatArray:
    """Return the least and the largest value of each feature that is represented, shape (2, n_features)."""
    with np.errstate(over="ignore", invalid="ignore"):
        beyond = calibration.range_margin * (calibration.high - calibration.low)
        return np.stack([calibration.low - beyond, calibration.high + beyond])


def _encoder(scores: RadialScores, calibration: RadialCalibration, caps: FloatArray) -> GridBitsEncoder:
    """Choose the grids of features: all of one step but for those that would have too many.

    Rounding by it costs a part of a unit of the distance from a typical vector, a unit being the largest
    distance divided by the cells of a lookup.
    """
    low, high, range_margin = calibration.low, calibration.high, calibration.range_margin
    ends = _ends(calibration)
    largest = [
        np.minimum(reach_of(vector, ends), cap).sum()
        for vector, cap in zip(scores.support, caps, strict=True)
    ]
    unit = float(np.median(largest)) / ((1 << calibration.kernel_bits) - 1)
    few = calibration.seen[:: -(-len(calibration.seen) // SEEN_ROWS)]
    typical = float(np.median(np.sqrt(scores.distances(few)))) or float(np.sqrt(unit)) or 1.0
    fine = np.full(len(low), FINE * unit / typical if unit else 1.0)
    step = np.ldexp(1.0, np.frexp(np.maximum(fine, (ends[1] - ends[0]) / MOST_LEVELS))[1] - 1)
    step = np.where((ends[1] - ends[0]) / step > MOST_LEVELS, 2 * step, step)
    origin = _middle(scores.support, low, high)
    first, last = (np.rint((end - origin) / step).astype(np.int64) for end in ends)
    grid = FeatureGrid(origin, step, first, last)
    every = np.arange(len(low))
    (sent,) = np.nonzero(last > first)
    sent = sent if len(sent) else every[:1]
    watch = ClippingWatch(every, grid, high - low, None, range_margin, None)
    levels = GridEncoder(sent, grid.select(sent), watch)
    counts = (last - first)[sent]
    positions = np.repeat(np.arange(len(sent)), counts)
    boundaries = np.concatenate([np.arange(first[f] + 1, last[f] + 1) for f in sent])
    if not len(boundaries):  # all rows are alike
        positions, boundaries = np.zeros(1, dtype=np.int64), last[sent][:1] + 1
    return GridBitsEncoder(levels, positions, boundaries)


def _middle(support: FloatArray, low: FloatArray, high: FloatArray) -> FloatArray:
    """Return a value of each feature near the middle of its range: counts are multiples of a step from it."""
    nearest = np.abs(support - (low + high) / 2).argmin(axis=0)
    return support[nearest, np.arange(support.shape[1])]


def _scale(span: FloatArray, summands: IntArray, n_bits: int, error: FloatArray) -> FloatArray:
    """Return what a unit of each sum is worth.

    Of those with which lookups become dearer if they are any finer, it is the largest whose rounding costs
    less than the coarse distances do.

    Parameters
    ----------
    span : ndarray of float64, shape (n_scores,)
        How far apart sums can be.
    summands : ndarray of int64, shape (n_scores,)
    n_bits : int
        What lookups read.
    error : ndarray of float64, shape (n_scores,)
        Root mean square of what the distances cost.
    """
    for step in precision_steps(n_bits, DEFAULT_P_ERROR):
        n_sum_bits = int(step - 0.5 * np.log2(summands.max()))
        if n_sum_bits < 1:
            continue
        scale = span / np.maximum(2.0**n_sum_bits - 1 - summands, 1)
        if (scale * np.sqrt(summands / 12) <= ROUNDING * error).all():
            break
    return np.where(scale > 0, scale, 1.0)


def _program(
    scores: RadialScores, encoder: GridBitsEncoder, distances: Distances, rows: FloatArray
) -> tuple[Program, AffineDecoder]:
    """Return the program: distances, a lookup for each vector and score, and sums."""
    (bits,) = encoder.encode(rows)
    cells = distances.cells(bits)
    kernel = distances.kernel(scores, cells, rows)
    vectors, columns = np.nonzero(scores.dual.T)
    n_scores = len(scores.dual)
    if not len(vectors):
        vectors, columns = np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64)
    summands = np.bincount(columns, minlength=n_scores)
    values = scores.dual[columns, vectors][:, None] * kernel[vectors]
    least, most = np.zeros((2, n_scores))
    np.add.at(least, columns, values.min(axis=1))
    np.add.at(most, columns, values.max(axis=1))
    read = np.take_along_axis(kernel.T, cells, axis=0)
    error = np.sqrt(np.square((read - scores.kernel(rows)) @ scores.dual.T).mean(axis=0))
    scale = _scale(most - least, summands, distances.n_bits, error)
    tables = np.rint((values - values.min(axis=1, keepdims=True)) / scale[columns][:, None]).astype(np.int64)
    weight = np.zeros((len(vectors), n_scores), dtype=np.int64)
    weight[np.arange(len(vectors)), columns] = 1
    builder = ProgramBuilder()
    sent = builder.input(np.zeros(len(bits.T)), np.ones(len(bits.T)), label="features")
    linear = ops.Linear(distances.weight[:, vectors], distances.offset[vectors])
    found = builder.add(linear, sent, label="distances")
    # the bits of a feature never rise along its boundaries, which interval arithmetic cannot know
    found = builder.add(
        ops.Bound(0, largest_sum(distances.n_bits, distances.further)), found, label="distances"
    )
    found = builder.add(ops.Round(distances.further, "exact"), found, label="distances")
    start = np.zeros(len(vectors), dtype=np.int64)
    found = builder.add(ops.Lookup(tables, start, 1 << distances.further), found, label="kernel")
    total = builder.add(ops.Linear(weight, np.zeros(n_scores, dtype=np.int64)), found, label="scores")
    return optimize(builder.finish(total)), AffineDecoder(scale, least + scores.intercept)
