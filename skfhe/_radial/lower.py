"""From scores with a radial kernel to a program and its edges."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np

from skfhe._parameters import frames_to_caller
from skfhe._radial.scores import RadialScores
from skfhe._typing import FloatArray, IntArray
from skfhe.cost import DEFAULT_P_ERROR, precision_steps
from skfhe.encoding import (
    AffineDecoder,
    ClippingWatch,
    FeatureGrid,
    GridBitsEncoder,
    GridEncoder,
    Head,
    Values,
    dense,
)
from skfhe.encrypted_model import EncryptedModel
from skfhe.exceptions import CostWarning, ToleranceWarning
from skfhe.passes import optimize
from skfhe.program import Program, ProgramBuilder, ops

__all__ = ["lower_radial", "lower_rbf"]

MOST_BITS = 8
MOST_LOOKUPS = 50
"""Beyond them a model is warned of: a row takes several seconds."""
FINE = 0.25
"""Cells of a lookup that a step of a feature makes at a typical distance."""
MOST_LEVELS = 128
"""Of a feature."""
AGREEMENT, DEVIATION = 0.998, 0.01
"""Rows that have to be on the side of the float model, and standard deviations that scores may be off by."""
MARGIN = 0.05
ROUNDING = 0.5
"""What rounding the results of lookups may cost, as a part of what the coarse distances do."""


def lower_rbf(
    fitted: Any, X: Any, *, n_bits: int = 6, range_margin: float = MARGIN, head: Head | None = None
) -> EncryptedModel:
    """Lower a fitted support vector machine with a radial kernel to a program with a lookup a support vector.

    Parameters
    ----------
    fitted : SVC, NuSVC, SVR, NuSVR or OneClassSVM of sklearn.svm
        With ``kernel="rbf"``.
    X : {array-like, sparse matrix} of float, shape (n_rows, n_features)
        Rows such as those that it was trained on.
    n_bits : int, default=6
        Bits of the distances that lookups read, up to 8. One more makes a lookup twice as dear.
    range_margin : float, default=0.05
        How far beyond the range of ``X`` features are represented, in widths of it. Distances have ``n_bits``
        whatever it is, so that a wider range makes them coarser.
    head : Head, optional
        Scores to predictions; see `RadialScores.of`.

    Returns
    -------
    EncryptedModel
        ``encoder.watch`` tells of rows that are clipped.

    Raises
    ------
    UnsupportedModelError
        If the kernel is another, or there are no support vectors.
    ValueError
        If ``n_bits`` is none that lookups read.

    Warns
    -----
    CostWarning
        Beyond 50 lookups.
    ToleranceWarning
        If more than 2 in 1000 rows are on another side of a boundary than by the float model, or predictions
        are off by more than a hundredth of their standard deviation.
    """
    rows = np.asarray(dense(X), dtype=np.float64)
    scores = RadialScores.of(fitted, head)
    low, high = rows.min(axis=0), rows.max(axis=0)
    model = lower_radial(scores, low, high, n_bits=n_bits, range_margin=range_margin)
    _warn_of_deviation(model, scores, rows, n_bits)
    return model


def lower_radial(
    scores: RadialScores, low: FloatArray, high: FloatArray, *, n_bits: int = 6, range_margin: float = MARGIN
) -> EncryptedModel:
    """Lower scores with a radial kernel.

    Parameters
    ----------
    scores : RadialScores
    low, high : ndarray of float64, shape (n_features,)
        Range of each feature in training.
    n_bits, range_margin
        See `lower_rbf`.

    Returns
    -------
    EncryptedModel
        Errors and the warning of cost are those of `lower_rbf`.
    """
    if not isinstance(n_bits, Integral) or isinstance(n_bits, bool) or not 2 <= n_bits <= MOST_BITS:
        raise ValueError(f"n_bits must be an int from 2 to {MOST_BITS}, what lookups read, got {n_bits!r}")
    encoder = _encoder(scores, low, high, int(n_bits), range_margin)
    further = 1 + math.ceil(math.log2(len(encoder.features)) / 2)
    distances = _Distances.of(scores, encoder, int(n_bits), further)
    program, decoder = _program(scores, encoder, distances)
    model = EncryptedModel(encoder, program, decoder, scores.head)
    n_lookups = model.cost.n_lookups
    if n_lookups > MOST_LOOKUPS:
        warnings.warn(
            f"{len(scores.support)} support vectors take {n_lookups} lookups of {n_bits} bits, about "
            f"{model.cost.seconds:.2g} s a row under encryption; a map that approximates the kernel, such as "
            "RBFSampler of sklearn.kernel_approximation, before a linear model takes none, and a larger "
            "nu or a smaller C fewer vectors",
            CostWarning,
            stacklevel=frames_to_caller(),
        )
    return model


def _encoder(
    scores: RadialScores, low: FloatArray, high: FloatArray, n_bits: int, range_margin: float
) -> GridBitsEncoder:
    """Choose the grids of features: all of one step but for those that would have too many.

    Rounding by it costs a part of a unit of the distance from a typical vector, a unit being the largest
    distance divided by the cells of a lookup.
    """
    beyond = range_margin * (high - low)
    ends = np.stack([low - beyond, high + beyond])
    largest = np.square(ends[:, None] - scores.support).max(axis=0).sum(axis=1)
    unit = float(largest.min()) / ((1 << n_bits) - 1)
    typical = float(np.median(np.sqrt(scores.distances(scores.support)))) or float(np.sqrt(unit)) or 1.0
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


@dataclass(frozen=True, eq=False)
class _Distances:
    """Squared distances from each vector as sums of bits.

    Parameters
    ----------
    weight : ndarray of int64, shape (n_bits_sent, n_vectors)
    offset : ndarray of int64, shape (n_vectors,)
    unit, constant : ndarray of float64, shape (n_vectors,)
        ``unit * sum + constant`` is the distance.
    n_bits : int
        What lookups read of a sum, once rounded.
    further : int
        Bits that rounding takes off. The terms of a sum are rounded by themselves, which has less of an
        effect than that as long as there are these.
    """

    weight: IntArray
    offset: IntArray
    unit: FloatArray
    constant: FloatArray
    n_bits: int
    further: int

    @classmethod
    def of(cls, scores: RadialScores, encoder: GridBitsEncoder, n_bits: int, further: int) -> _Distances:
        levels = encoder.levels
        whole = levels.watch.grid
        unsent = np.setdiff1d(levels.watch.features, levels.features)
        support = scores.support
        constant = np.square(whole.origin[unsent] - support[:, unsent]).sum(axis=1)
        grid, own = levels.grid, support[:, levels.features]
        tables = [
            np.square(origin + step * np.arange(first, last + 1) - own[:, [f]])
            for f, (origin, step, first, last) in enumerate(
                zip(grid.origin, grid.step, grid.low, grid.high, strict=True)
            )
        ]
        most = _largest(n_bits, further)
        unit = sum(table.max(axis=1) - table.min(axis=1) for table in tables) / most
        unit = np.where(unit > 0, unit, 1.0)
        while True:
            rounded = [np.rint(table / unit[:, None]).astype(np.int64) for table in tables]
            largest = sum(table.max(axis=1) - table.min(axis=1) for table in rounded)
            if (largest <= most).all():
                break
            unit = np.where(largest > most, unit * 1.005, unit)
        least = sum(table.min(axis=1) for table in rounded)
        rises = [np.diff(table, axis=1).T for table in rounded]
        weight = (
            np.concatenate(rises) if sum(map(len, rises)) else np.zeros((1, len(support)), dtype=np.int64)
        )
        offset = sum(table[:, 0] for table in rounded) - least
        return cls(weight, offset, unit, constant + unit * least, n_bits, further)

    def cells(self, bits: IntArray) -> IntArray:
        """Return which cell each lookup reads, shape (n_rows, n_vectors)."""
        return (bits @ self.weight + self.offset + (1 << self.further >> 1)) >> self.further

    def kernel(self, scores: RadialScores, bits: IntArray, rows: FloatArray) -> FloatArray:
        """Return the kernel in each cell, shape (n_vectors, n_cells), right on average over rows."""
        cell = self.unit[:, None] * (1 << self.further)
        cells = np.exp(-scores.gamma * (cell * np.arange(1 << self.n_bits) + self.constant[:, None]))
        given = np.take_along_axis(cells.T, self.cells(bits), axis=0).sum(axis=0)
        wanted = scores.kernel(rows).sum(axis=0)
        ratio = np.divide(wanted, given, out=np.ones_like(given), where=given > 0)
        return np.minimum(cells * np.clip(ratio, 0.5, 2.0)[:, None], 1.0)


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


def _largest(n_bits: int, further: int) -> int:
    """Return the largest sum that is rounded to the last of the cells."""
    return (((1 << n_bits) - 1) << further) + (1 << further >> 1) - 1


def _program(
    scores: RadialScores, encoder: GridBitsEncoder, distances: _Distances
) -> tuple[Program, AffineDecoder]:
    """Return the program: distances, a lookup for each vector and score, and sums."""
    (bits,) = encoder.encode(scores.support)
    kernel = distances.kernel(scores, bits, scores.support)
    vectors, columns = np.nonzero(scores.dual.T)
    n_scores = len(scores.dual)
    if not len(vectors):
        vectors, columns = np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64)
    summands = np.bincount(columns, minlength=n_scores)
    values = scores.dual[columns, vectors][:, None] * kernel[vectors]
    least, most = np.zeros((2, n_scores))
    np.add.at(least, columns, values.min(axis=1))
    np.add.at(most, columns, values.max(axis=1))
    read = np.take_along_axis(kernel.T, distances.cells(bits), axis=0)
    error = np.sqrt(np.square((read - scores.kernel(scores.support)) @ scores.dual.T).mean(axis=0))
    scale = _scale(most - least, summands, distances.n_bits, error)
    tables = np.rint((values - values.min(axis=1, keepdims=True)) / scale[columns][:, None]).astype(np.int64)
    weight = np.zeros((len(vectors), n_scores), dtype=np.int64)
    weight[np.arange(len(vectors)), columns] = 1
    builder = ProgramBuilder()
    sent = builder.input(np.zeros(len(bits.T)), np.ones(len(bits.T)), label="features")
    linear = ops.Linear(distances.weight[:, vectors], distances.offset[vectors])
    found = builder.add(linear, sent, label="distances")
    # the bits of a feature never rise along its boundaries, which interval arithmetic cannot know
    found = builder.add(ops.Bound(0, _largest(distances.n_bits, distances.further)), found, label="distances")
    found = builder.add(ops.Round(distances.further, "exact"), found, label="distances")
    start = np.zeros(len(vectors), dtype=np.int64)
    found = builder.add(ops.Lookup(tables, start, 1 << distances.further), found, label="kernel")
    total = builder.add(ops.Linear(weight, np.zeros(n_scores, dtype=np.int64)), found, label="scores")
    return optimize(builder.finish(total)), AffineDecoder(scale, least + scores.intercept)


def _warn_of_deviation(model: EncryptedModel, scores: RadialScores, rows: FloatArray, n_bits: int) -> None:
    """Warn if the scores of rows are not those of the float model, as far as it matters."""
    expected, found = scores.scores(rows), model.scores(rows)
    if isinstance(scores.head, Values):
        off = np.sqrt(np.square(found - expected).mean(axis=0)) / (expected.std(axis=0) + 1e-300)
        if off.max() <= DEVIATION:
            return
        result = f"predictions of the given rows are off by {off.max():.2g} of their standard deviation"
    else:
        agreed = float(((found > 0) == (expected > 0)).all(axis=1).mean())
        if agreed >= AGREEMENT:
            return
        result = f"{agreed:.2%} of the given rows are on the side of the float model at every boundary"
    more = f"n_bits={n_bits + 1} has twice as many, at twice the price; " if n_bits < MOST_BITS else ""
    warnings.warn(
        f"{result}: distances in {rows.shape[1]} features have {1 << n_bits} levels; {more}a map that "
        "approximates the kernel, before a linear model, takes no lookup",
        ToleranceWarning,
        stacklevel=frames_to_caller(),
    )
