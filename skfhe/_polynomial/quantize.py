"""Polynomial scores on integers: from a described model to a program and its two edges."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from skfhe._polynomial.calibration import Calibration
from skfhe._polynomial.polynomials import Described, Polynomial, n_terms_of
from skfhe._typing import FloatArray, IntArray
from skfhe.encoding import ClippingWatch, FeatureGrid, GridEncoder, LimbDecoder, MonomialEncoder
from skfhe.encrypted_model import EncryptedModel
from skfhe.exceptions import UnsupportedModelError
from skfhe.passes import optimize
from skfhe.program import ProgramBuilder, ops

__all__ = ["MOST_TERMS", "Quantized", "quantize"]

MAX_PRECISION = 54.9
"""Bits of a sum and of the norm of its weights: as many as there are prices for."""
MOST_TERMS = 6000
"""Products that are sent of a row, where there are more than of two factors."""
HEADROOM = 1.2
"""A grid has 2**n_bits steps over at least the bulk, and at most twice as many."""
NARROW_BITS = 8
"""Fewer than n_bits: a standard deviation, in the class where it is smallest, has steps of the rest."""
TYPICAL = 4.0
"""Parts of the bulk: a typical value's distance from the middle is one."""
RESOLUTION = 2.0**-12
"""What rounding the weights may cost of a score, in its units."""
FAR_RESOLUTION = 2.0**-4
"""The same for a row at the ends of the training range, far from where most are."""
OF_INPUTS = 0.25
"""The same in parts of what rounding the inputs costs, where that is more."""
LEAST_RESOLUTION = 2.0**-20
"""The same of scores that have no unit, in parts of what they are sums of."""
USUAL_MARGIN = 0.5
"""Beyond the training range, in widths of it: what is kept before the resolution of features."""
LEAST_BITS = 7
"""Down to which steps grow where products are too wide."""
MOST_WEIGHT_BITS = 52
MOST_PRODUCT_BITS = 61
WIDEST_LIMB, NARROWEST_LIMB = 26, 2


@dataclass(frozen=True, eq=False)
class Quantized:
    """A quantized model, and how well its grids do.

    Parameters
    ----------
    model : EncryptedModel
    input_error : ndarray of float64, shape (n_scores,)
        What a score of a typical row differs by because its values are rounded to grids.
    """

    model: EncryptedModel
    input_error: FloatArray


@dataclass(frozen=True, eq=False)
class _Limbs:
    """Integer weights in balanced digits, the lowest first."""

    bits: int
    weights: tuple[IntArray, ...]


@dataclass(frozen=True, eq=False)
class _Fitted:
    """Shifts and integer weights of products, what one unit of each score is worth, and the inputs' part."""

    shifts: IntArray
    integers: IntArray
    scale: FloatArray
    limbs: _Limbs
    input_error: FloatArray


def quantize(scores: Described, calibration: Calibration) -> Quantized:
    """Quantize polynomial scores and build their program.

    Parameters
    ----------
    scores : Described
    calibration : Calibration

    Returns
    -------
    Quantized
        From products of the features to sums, some of each score, and back.

    Raises
    ------
    UnsupportedModelError
        If there are too many products, or they are too wide.
    ValueError
        If weights are not finite.
    """
    width = calibration.spread.width
    used = scores.used
    varying = used[width[used] > 0]
    features = varying if len(varying) else np.arange(1)
    n_terms = n_terms_of(len(features), scores.degree)
    if scores.degree > 2 and n_terms > MOST_TERMS:
        raise UnsupportedModelError(
            f"a polynomial of degree {scores.degree} of {len(features)} features has {n_terms} terms, each a "
            f"ciphertext that a client sends, and {MOST_TERMS} are the most; lower degree, or the number of "
            "features before it"
        )
    finest = _steps(calibration, scores.narrowest)
    with np.errstate(over="ignore", invalid="ignore"):
        polynomial = scores.on_grid(calibration.spread.middle, finest, features)
    # a class of no probability at all has a score of minus infinity
    if not np.isfinite(polynomial.weight).all() or not (polynomial.constant < np.inf).all():
        raise ValueError("the parameters of its scores are not finite, or too large")
    if not len(polynomial.terms):
        polynomial = _with_a_term(polynomial)
    for doublings, margin in _attempts(calibration, finest):
        grid = _grid(calibration, np.ldexp(finest, doublings), margin)
        fitted = _fitted(scores, polynomial.coarser(doublings[features]), calibration, grid, features)
        if fitted is not None:
            break
    else:
        raise UnsupportedModelError(
            f"products of {scores.degree} of its features are wider than the engine takes, even in steps of "
            f"{min(LEAST_BITS, calibration.n_bits)} bits; lower degree, or transform features whose values "
            "reach far beyond their bulk"
        )
    model = _built(scores, polynomial, fitted, features, grid, calibration, margin)
    return Quantized(model, fitted.input_error)


def _with_a_term(polynomial: Polynomial) -> Polynomial:
    """Return constant scores as those of a product without a weight."""
    terms = np.full((1, max(polynomial.terms.shape[1], 1)), -1)
    terms[0, -1] = 0
    return Polynomial(terms, np.zeros((1, len(polynomial.constant))), polynomial.constant)


def _built(
    scores: Described,
    polynomial: Polynomial,
    fitted: _Fitted,
    features: IntArray,
    grid: FeatureGrid,
    calibration: Calibration,
    margin: float,
) -> EncryptedModel:
    """Return the model, with the products that have a weight, and the features that they are of."""
    kept = fitted.integers.any(axis=1)
    kept[0] |= not kept.any()
    terms, integers = polynomial.terms[kept], np.concatenate(fitted.limbs.weights, axis=1)[kept]
    read = np.unique(terms[terms >= 0])
    terms = np.where(terms < 0, -1, np.searchsorted(read, terms))
    features = features[read]
    width = calibration.spread.width
    watched = np.union1d(features, scores.used[width[scores.used] == 0])
    possible = None if margin == calibration.range_margin else margin
    watch = ClippingWatch(watched, grid.select(watched), width[watched], None, margin, possible)
    encoder = MonomialEncoder(GridEncoder(features, grid.select(features), watch), terms, fitted.shifts[kept])
    builder = ProgramBuilder()
    x = builder.input(*encoder.interval, label="products")
    nothing = np.zeros(integers.shape[1], dtype=np.int64)
    y = builder.add(ops.Linear(integers, nothing), x, label="scores")
    decoder = LimbDecoder(fitted.limbs.bits, len(fitted.limbs.weights), fitted.scale, polynomial.constant)
    return EncryptedModel(encoder, optimize(builder.finish(y)), decoder, scores.head)


def _attempts(calibration: Calibration, step: FloatArray) -> Iterator[tuple[IntArray, float]]:
    """Yield how often steps are doubled, and the margin beyond the training range, what is wanted first.

    The margin gives way before the resolution of features with values far from their bulk, and that before
    the resolution of the bulk.
    """
    wanted = calibration.range_margin
    least = min(wanted, USUAL_MARGIN)
    doublings = np.zeros(len(step), dtype=np.int64)
    margin = wanted
    while margin > least:
        yield doublings, margin
        margin = max(margin / 2, least)
    yield doublings, least
    excess = np.log2(np.maximum(calibration.spread.width / step, 1.0)) - (calibration.n_bits + 1)
    farthest = int(np.ceil(excess.max(initial=0.0)))
    for so_far in range(farthest - 1, -1, -1):
        doublings = np.maximum(np.ceil(excess - so_far), 0).astype(np.int64)
        yield doublings, least
    for _ in range(max(calibration.n_bits - LEAST_BITS, 0)):
        doublings = doublings + 1
        yield doublings, least
    yield doublings, 0.0


def _steps(calibration: Calibration, narrowest: FloatArray) -> FloatArray:
    """Return the powers of two that cut each feature's bulk into 2**n_bits steps, or up to twice as many.

    They are smaller for a feature that varies much less in one of the classes, unless all its values are
    multiples of them already.
    """
    spread = calibration.spread
    bulk = np.where(spread.bulk > 0, spread.bulk, np.abs(spread.middle))
    bulk[bulk == 0] = 1.0
    step = _power_of_two(bulk * HEADROOM, calibration.n_bits)
    finer = np.minimum(step, _power_of_two(np.minimum(narrowest, bulk), calibration.n_bits - NARROW_BITS))
    return np.maximum(finer, np.minimum(calibration.grain, step))


def _power_of_two(width: FloatArray, n_bits: int) -> FloatArray:
    """Return the largest power of two of which there are 2**n_bits in a width."""
    with np.errstate(over="ignore"):
        exponent = np.frexp(np.clip(width, np.finfo(np.float64).tiny, np.finfo(np.float64).max))[1] - 1
    return np.ldexp(1.0, np.maximum(exponent - n_bits, -1074))


def _grid(calibration: Calibration, step: FloatArray, margin: float) -> FeatureGrid:
    spread = calibration.spread
    with np.errstate(over="ignore"):
        low, high = spread.low / step - spread.middle / step, spread.high / step - spread.middle / step
        beyond = margin * (high - low)
    most = 2.0**MOST_PRODUCT_BITS
    low, high = np.maximum(np.floor(low - beyond), -most), np.minimum(np.ceil(high + beyond), most)
    return FeatureGrid(spread.middle, step, low.astype(np.int64), high.astype(np.int64))


def _fitted(
    scores: Described, polynomial: Polynomial, calibration: Calibration, grid: FeatureGrid, features: IntArray
) -> _Fitted | None:
    """Return the polynomial in integers and limbs that the engine takes, or None if there are none."""
    chosen = grid.select(features)
    typical = calibration.spread.bulk[features] / (TYPICAL * chosen.step)
    sizes = _products(typical, polynomial.terms)
    widest = _products(np.maximum(-chosen.low, chosen.high).astype(np.float64), polynomial.terms)
    ends = _grid(calibration, grid.step, 0.0).select(features)
    far = _products(np.maximum(-ends.low, ends.high).astype(np.float64), polynomial.terms)
    if widest.max() > 2.0**MOST_PRODUCT_BITS:
        return None
    shifts = np.floor(np.log2(np.minimum(sizes.max() / sizes, widest.max() / widest))).astype(np.int64)
    shifts = np.maximum(shifts, 0)
    error = scores.input_error(np.where(calibration.grain < grid.step, grid.step, 0.0))
    weight, sizes = np.ldexp(polynomial.weight, -shifts[:, None]), np.ldexp(sizes, shifts)
    rounded_far = float(np.sqrt(np.square(np.ldexp(far, shifts)).sum() / 12))
    integers, scale = _integers(weight, sizes, rounded_far, scores.unit, error)
    limbs = _limbs(integers, np.ldexp(widest, shifts))
    return None if limbs is None else _Fitted(shifts, integers, scale, limbs, error)


def _products(sizes: FloatArray, terms: IntArray) -> FloatArray:
    """Return the sizes of products of factors of these sizes, or of 1 where they are smaller."""
    found: FloatArray = np.append(np.maximum(sizes, 1.0), 1.0)[terms].prod(axis=1)
    return found


def _integers(
    weight: FloatArray, sizes: FloatArray, rounded_far: float, unit: float | None, input_error: FloatArray
) -> tuple[IntArray, FloatArray]:
    """Return integer weights of products of these sizes, and what one unit of each score is worth.

    ``rounded_far`` is what rounding weights to units makes at the ends of the training range.
    """
    varied = np.sqrt(np.square(weight * sizes[:, None]).sum(axis=0))
    # scores that vary by less than their unit may still decide: those of classes that hardly lie apart
    own = None if unit is None else np.minimum(unit, varied)
    least = varied * LEAST_RESOLUTION if own is None else RESOLUTION * own
    tolerated = np.maximum(least, OF_INPUTS * input_error)
    scale = tolerated / np.sqrt(np.square(sizes).sum() / 12)
    if own is not None:
        scale = np.minimum(scale, np.maximum(FAR_RESOLUTION * own, OF_INPUTS * input_error) / rounded_far)
    largest = np.abs(weight).max(axis=0)
    scale = np.maximum(scale, largest * 2.0**-MOST_WEIGHT_BITS)
    scale = np.where(largest > 0, np.minimum(scale, largest), 1.0)
    return np.rint(weight / scale).astype(np.int64), scale


def _limbs(integers: IntArray, widest: FloatArray) -> _Limbs | None:
    """Return the fewest digits of weights whose sums the engine takes, or None if it takes none.

    All sums have one width, so the widest of them counts, and the largest norm of its weights.
    """
    bits = int(np.ceil((MAX_PRECISION - np.log2(widest[integers.any(axis=1)].max(initial=1.0))) / 2)) + 1
    bits = min(max(bits, NARROWEST_LIMB), WIDEST_LIMB)
    found = _digits(integers, bits)
    while not _fits(found, widest):
        bits -= 1
        if bits < NARROWEST_LIMB:
            return None
        found = _digits(integers, bits)
    n_limbs = len(found.weights)
    for fewer in range(NARROWEST_LIMB, bits):
        if fewer * n_limbs < np.log2(max(np.abs(integers).max(), 1.0)):
            continue
        narrow = _digits(integers, fewer)
        if len(narrow.weights) == n_limbs:
            return narrow
    return found


def _fits(limbs: _Limbs, widest: FloatArray) -> bool:
    weights = np.concatenate(limbs.weights, axis=1).astype(np.float64)
    reached = (widest @ np.abs(weights)).max(initial=1.0)
    norm = np.sqrt(np.square(weights).sum(axis=0).max(initial=1.0))
    needed: float = np.floor(np.log2(max(reached, 1.0))) + 2 + np.log2(max(norm, 1.0))
    return needed <= MAX_PRECISION


def _digits(integers: IntArray, bits: int) -> _Limbs:
    """Return balanced digits, from ``-2**(bits - 1)`` to ``2**(bits - 1) - 1``, the lowest first."""
    base, half = 1 << bits, 1 << (bits - 1)
    found: list[IntArray] = []
    rest = integers
    while rest.any() or not found:
        digit = (rest + half) % base - half
        found.append(digit)
        rest = (rest - digit) >> bits
    return _Limbs(bits, tuple(found))
