"""Linear scores on integers: from the weights of a fitted model to a program and its two edges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import issparse
from sklearn.utils.sparsefuncs import mean_variance_axis

from skfhe._linear.spread import FeatureSpread, spread_of
from skfhe._typing import FloatArray, IntArray
from skfhe.encoding import AffineDecoder, ClippingWatch, FeatureGrid, GridEncoder, Head
from skfhe.encrypted_model import EncryptedModel
from skfhe.passes import drop_unused_inputs, optimize
from skfhe.program import Program, ProgramBuilder, ops

__all__ = [
    "Calibration",
    "LinearScores",
    "check_n_bits",
    "check_range_margin",
    "precision_of",
    "quantize_scores",
]


MAX_PRECISION = 55.8
"""Bits of a sum and of the norm of its weights that are aimed at; rounded up, the engine takes nearly 57."""
MAX_SUM = 2.0**61
"""What sums must stay below to be computed in 64 bits, whether they can be encrypted or not."""
HEADROOM = 1.2
"""A grid has 2**n_bits steps over at least the bulk, and at most twice as many."""
RARE_BITS = 20
"""Bits that values far from a feature's bulk may add to its integers."""
USUAL_MARGIN = 1.0
"""Beyond the training range, in widths of it: what is kept before the resolution of the bulk."""
UNEVEN = 128.0 / 12
"""Times the squared resolution of weights: the part of the scores' squares that rounding them may cost."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """What is known of the rows that a model was trained on, and how its scores are to be quantized.

    Parameters
    ----------
    spread : FeatureSpread
        Of rows that count.
    mean : ndarray of float64, shape (n_features,)
    total_weight : float
        What the mean is of.
    n_input_bits, n_weight_bits : int
    range_margin : float
    """

    spread: FeatureSpread
    mean: FloatArray
    total_weight: float
    n_input_bits: int
    n_weight_bits: int
    range_margin: float

    @classmethod
    def on(cls, X: Any, sample_weight: ArrayLike, n_bits: Any, range_margin: float) -> Calibration:
        """Calibrate on rows.

        Parameters
        ----------
        X : ndarray or sparse matrix, shape (n_rows, n_features)
        sample_weight : array-like of float, shape (n_rows,)
            What each row counts in the mean. Those that count nothing have no part in the range either.
        n_bits : int or dict
            See `check_n_bits`.
        range_margin : float
        """
        weights = np.abs(np.asarray(sample_weight, dtype=np.float64))
        rows, weights = X[weights > 0], weights[weights > 0]
        values = rows.astype(np.float64, copy=False)
        with np.errstate(over="ignore", invalid="ignore"):
            if issparse(rows):
                mean = mean_variance_axis(values, axis=0, weights=weights)[0]
            else:
                mean = np.average(values, axis=0, weights=weights)
        return cls(spread_of(rows), mean, float(weights.sum()), *check_n_bits(n_bits), range_margin)

    def joined(self, earlier: Calibration) -> Calibration:
        """Return the calibration on these rows and earlier ones of the same features."""
        total = self.total_weight + earlier.total_weight
        with np.errstate(over="ignore", invalid="ignore"):
            mean = self.mean + (earlier.mean - self.mean) * (earlier.total_weight / total)
        spread = earlier.spread.joined(self.spread)
        return replace(self, spread=spread, mean=mean, total_weight=total)

    @property
    def typical(self) -> FloatArray:
        """A row at which the scores stay exactly what they were: the mean, as far as the bulk reaches."""
        half = self.spread.bulk / 2
        with np.errstate(over="ignore"):
            inside = np.clip(self.mean, self.spread.middle - half, self.spread.middle + half)
        return np.where(np.isfinite(inside), inside, self.spread.middle)


@dataclass(frozen=True, eq=False)
class LinearScores:
    """What `quantize_scores` is given of a fitted model.

    Parameters
    ----------
    weight : ndarray of float, shape (n_features, n_scores)
    bias : ndarray of float, shape (n_scores,)
    head : Head
        Scores to predictions.
    exact_at : ndarray of float, shape (n_features, n_scores), optional
        For each score a row where it stays exactly what it was; by default one that is typical of training.
    """

    weight: FloatArray
    bias: FloatArray
    head: Head
    exact_at: FloatArray | None = None


def precision_of(program: Program) -> float:
    """Return the bits of the sums and of the norm of their weights, which parameters depend on."""
    (linear,) = (v.op for v in program.values if isinstance(v.op, ops.Linear))
    norm = np.sqrt(np.square(linear.weight.astype(np.float64)).sum(axis=0).max())
    return max(program.output_bits) + float(np.log2(max(norm, 1.0)))


def check_n_bits(n_bits: Any) -> tuple[int, int]:
    """Return ``n_bits`` as bits of the inputs and bits of the weights.

    Parameters
    ----------
    n_bits : int or dict
        For both, or ``{"op_inputs": i, "op_weights": w}``.

    Raises
    ------
    ValueError
        If it is neither, or bits lie outside 1 to 16 for inputs, or 2 to 16 for weights.

    Examples
    --------
    >>> check_n_bits(8), check_n_bits({"op_inputs": 6, "op_weights": 10})
    ((8, 8), (6, 10))
    """
    names = {"op_inputs", "op_weights"}
    given = n_bits if isinstance(n_bits, Mapping) else dict.fromkeys(names, n_bits)
    valid = set(given) == names and all(
        isinstance(bits, Integral) and not isinstance(bits, bool) and least <= int(bits) <= 16
        for bits, least in ((given["op_inputs"], 1), (given["op_weights"], 2))
    )
    if not valid:
        raise ValueError(
            'n_bits must be an int from 2 to 16, or {"op_inputs": int from 1 to 16, "op_weights": int from '
            f"2 to 16}}, got {n_bits!r}"
        )
    return int(given["op_inputs"]), int(given["op_weights"])


def check_range_margin(range_margin: Any) -> float:
    """Return ``range_margin`` as a float.

    Raises
    ------
    ValueError
        If it is not a finite number of at least 0.
    """
    is_number = isinstance(range_margin, Real) and not isinstance(range_margin, bool)
    if not is_number or not 0 <= range_margin < np.inf:
        raise ValueError(
            "range_margin must be a finite number of at least 0, how far beyond the training range values "
            f"are represented, in widths of it; got {range_margin!r}"
        )
    return float(range_margin)


def quantize_scores(scores: LinearScores, calibration: Calibration) -> EncryptedModel:
    """Quantize ``X @ weight + bias`` and build its program.

    Parameters
    ----------
    scores : LinearScores
    calibration : Calibration

    Returns
    -------
    EncryptedModel
        From the features with a weight to one accumulator a score, and back.

    Raises
    ------
    ValueError
        If weights or biases are not finite, scores exceed the largest float, or sums 64 bits.
    """
    weight, bias = (np.asarray(values, dtype=np.float64) for values in (scores.weight, scores.bias))
    if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
        raise ValueError("coefficients or intercepts are not finite; predictions would not be either")
    step, (integers, scale), possible = _fitted(weight, calibration)
    margin = min(calibration.range_margin, max(possible, 0.0))
    grid = _grid(calibration.spread, step, margin)
    exact_at = calibration.typical[:, None]
    if scores.exact_at is not None:  # where a feature is constant, at what it is
        exact_at = np.where(calibration.spread.width[:, None] > 0, scores.exact_at, exact_at)
    offset = _offset(weight, bias, exact_at, grid, integers * scale)
    sent = integers.any(axis=1)
    builder = ProgramBuilder()
    x = builder.input(np.where(sent, grid.low, 0), np.where(sent, grid.high, 0), label="features")
    y = builder.add(ops.Linear(integers, np.zeros(len(scale), dtype=np.int64)), x, label="scores")
    program, (kept,) = drop_unused_inputs(optimize(builder.finish(y)))
    encoded = FeatureGrid(grid.origin, grid.step, np.where(sent, grid.low, 0), np.where(sent, grid.high, 0))
    watched = np.flatnonzero(weight.any(axis=1))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        effects = np.abs(weight[watched]) / (scale * np.abs(integers).max(axis=0))
    effect = np.where(weight[watched] == 0, 0.0, effects).max(axis=1, initial=0.0)
    width = calibration.spread.width[watched]
    watch = ClippingWatch(watched, grid.select(watched), width, effect, margin, possible)
    encoder = GridEncoder(np.flatnonzero(kept), encoded.select(kept), watch)
    return EncryptedModel(encoder, program, AffineDecoder(scale, offset), scores.head)


def _fitted(
    weight: FloatArray, calibration: Calibration
) -> tuple[FloatArray, tuple[IntArray, FloatArray], float]:
    """Choose steps and integer weights whose sums the engine can take.

    Where they are too wide, the steps of features grow that have more of them than ``n_bits`` asks for: those
    with values far from the bulk. If that does not do, the result is what ``n_bits`` asks for.

    Returns
    -------
    step : ndarray of float64, shape (n_features,)
    weights : ndarray of int64, shape (n_features, n_scores), and what one unit is worth, shape (n_scores,)
    margin : float
        How far beyond the training range features could be represented, in widths of it; negative if it is
        too wide already.
    """
    spread = calibration.spread
    width = spread.width
    weight = np.where(width[:, None] > 0, weight, 0.0)  # what is constant is a part of the offset
    weighted = weight.any(axis=1)
    with np.errstate(over="ignore"):
        if not np.isfinite((np.abs(weight) * width[:, None]).sum(axis=0)).all():
            raise ValueError("coefficients times the range of their features exceed the largest float")
    wanted = _steps(spread, calibration.n_input_bits)
    for even in (True, False):
        step = wanted.copy()
        while True:
            sizes = np.stack([spread.bulk, width]) / step
            integers, scale = _integers(weight * step[:, None], sizes, calibration.n_weight_bits, even)
            room, largest = _room(integers, spread, step)
            excess = np.where(weighted, sizes[1], 0.0)
            excess[excess <= 2.0 ** (calibration.n_input_bits + 1)] = 0.0
            if room >= min(calibration.range_margin, USUAL_MARGIN) or not excess.any():
                break
            step = np.where(excess >= excess.max() / 2, 2 * step, step)
        if room >= 0:
            break
    if largest >= MAX_SUM:
        raise ValueError(
            f"{np.count_nonzero(weighted)} features with {calibration.n_input_bits} bits and weights of "
            f"{calibration.n_weight_bits} bits have sums of {np.log2(largest):.0f} bits and more, and 61 are "
            "the most; lower n_bits"
        )
    return step, (integers.astype(np.int64), scale), room


def _steps(spread: FeatureSpread, n_bits: int) -> FloatArray:
    """Return the powers of two that cut each feature's bulk into 2**n_bits steps, or up to twice as many.

    Where the rest reaches farther than `RARE_BITS` allow, they are larger.
    """
    width = spread.width
    constant = width == 0
    bulk = np.where(constant, np.abs(spread.middle), spread.bulk)
    bulk[bulk == 0] = 1.0
    finest = np.frexp(width)[1] - 1 - n_bits - RARE_BITS
    with np.errstate(over="ignore"):
        exponent = np.frexp(np.minimum(bulk * HEADROOM, np.finfo(np.float64).max))[1] - 1 - n_bits
    exponent = np.where(constant, exponent, np.maximum(exponent, finest))
    return np.ldexp(1.0, np.maximum(exponent, -1074))


def _integers(
    folded: FloatArray, sizes: FloatArray, n_bits: int, even: bool
) -> tuple[FloatArray, FloatArray]:
    """Return integer weights, as floats, and what one unit of each score is worth.

    The largest takes all of ``n_bits``. Where a few features dwarf the others, in the bulk or at their
    extremes, units are halved until rounding costs little of the scores, unless ``even`` is False.
    """
    largest = (1 << (n_bits - 1)) - 1
    top = np.abs(folded).max(axis=0, initial=0.0)
    unit = np.where(top > 0, np.maximum(top / largest, np.finfo(np.float64).tiny), 1.0)
    relative = folded / unit
    signal = np.square(sizes) @ np.square(relative)
    halvings = np.zeros(len(unit), dtype=np.int64)
    for _ in range(40 if even else 0):
        error = np.square(sizes) @ np.square(relative - _rounded(relative, halvings))
        uneven = (error > UNEVEN / largest**2 * signal).any(axis=0)
        if not uneven.any():
            break
        halvings += uneven
    return np.rint(np.ldexp(relative, halvings)), np.ldexp(unit, -halvings)


def _rounded(relative: FloatArray, halvings: IntArray) -> FloatArray:
    return np.ldexp(np.rint(np.ldexp(relative, halvings)), -halvings)


def _room(integers: FloatArray, spread: FeatureSpread, step: FloatArray) -> tuple[float, float]:
    """Return the margin that the engine can take beyond the training range, and the largest sum within it."""
    low, high = spread.low / step - spread.middle / step, spread.high / step - spread.middle / step
    positive, negative = np.maximum(integers, 0), np.minimum(integers, 0)
    reached = np.maximum(high @ positive + low @ negative, -(low @ positive + high @ negative))
    norm = float(np.sqrt(np.square(integers).sum(axis=0).max(initial=1.0)))
    limit = 2.0 ** (MAX_PRECISION - 1) / norm
    a_width = (high - low) @ np.abs(integers)
    some = a_width > 0
    room = ((limit - reached)[some] / a_width[some]).min(initial=np.inf)
    return float(room), float(reached.max(initial=0.0))


def _grid(spread: FeatureSpread, step: FloatArray, margin: float) -> FeatureGrid:
    low, high = spread.low / step - spread.middle / step, spread.high / step - spread.middle / step
    beyond = margin * (high - low)
    low, high = np.maximum(np.floor(low - beyond), -MAX_SUM), np.minimum(np.ceil(high + beyond), MAX_SUM)
    return FeatureGrid(spread.middle, step, low.astype(np.int64), high.astype(np.int64))


def _offset(
    weight: FloatArray, bias: FloatArray, exact_at: FloatArray, grid: FeatureGrid, effective: FloatArray
) -> FloatArray:
    """Return the scores of the grid's origin such that those of a row, or one for each score, are exact.

    Computed in the longest floats there are, for an intercept and large values may cancel.
    """
    row = exact_at.astype(np.longdouble)
    steps = row / grid.step[:, None] - (grid.origin / grid.step)[:, None]
    with np.errstate(over="ignore", invalid="ignore"):
        offset = bias + (row * weight - steps * effective).sum(axis=0)
        offset = offset.astype(np.float64)
    if not np.isfinite(offset).all():
        raise ValueError("scores exceed the largest float")
    return offset
