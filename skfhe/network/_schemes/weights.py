"""Integer weights: read off where the network holds them, chosen where it was trained in float.

Weights are matrices (n_inputs, n_outputs), with a column for each output.
"""

import hashlib
from typing import Any

import numpy as np

from skfhe._typing import FloatArray, IntArray

__all__ = ["choose_integers", "integer_grid"]


TOLERANCE = 2e-6
"""Of a column's largest weight: float32 arithmetic keeps multiples of a scale that well."""
FEW = 8
"""Magnitudes that rule out most candidates for a scale."""
BLOCK = 128
"""Rows of a triangular matrix that is inverted as it is."""
MOST_KNOWN = 64
_KNOWN: dict[tuple[Any, ...], tuple[IntArray, FloatArray]] = {}
"""What was chosen last: searches lower a network again and again, and its first layers stay the same."""
DAMPING = 0.01
"""Of the mean diagonal, added to a Hessian that calibration rows determine badly."""


def integer_grid(weights: FloatArray, n_bits: int) -> tuple[IntArray, FloatArray] | None:
    """Return each column of ``weights`` as integers times a scale, if it lies on such a grid.

    The scale is the largest that does.

    Parameters
    ----------
    weights : ndarray of float64, shape (n_inputs, n_outputs)
    n_bits : int
        Bits that the magnitudes of the integers may take.

    Returns
    -------
    integers : ndarray of int64, shape (n_inputs, n_outputs)
    scales : ndarray of float64, shape (n_outputs,)
        1 for a column of zeros.
    None
        If a column has no such grid.

    Examples
    --------
    >>> import numpy as np
    >>> integers, scales = integer_grid(np.array([[0.3, 0.0], [-0.1, 0.0], [0.2, 0.0]]), n_bits=2)
    >>> integers, scales.round(9)
    (array([[ 3,  0],
           [-1,  0],
           [ 2,  0]]), array([0.1, 1. ]))
    >>> integer_grid(np.array([[1.0], [0.734]]), n_bits=4) is None
    True
    """
    integers = np.zeros(weights.shape, dtype=np.int64)
    scales = np.ones(weights.shape[1])
    largest = np.arange(1, 1 << n_bits)[:, None]
    for column in range(weights.shape[1]):
        values = weights[:, column].copy()
        magnitudes = np.unique(np.abs(values))[::-1]
        magnitudes = magnitudes[magnitudes > TOLERANCE * magnitudes[0]]
        if not len(magnitudes):
            continue
        candidates = largest  # the integer of the largest magnitude
        for some in (magnitudes[:FEW], magnitudes):
            levels = candidates * (some / magnitudes[0])
            fits = np.all(np.abs(levels - np.rint(levels)) <= TOLERANCE * candidates, axis=1)
            candidates = candidates[fits]
        if not len(candidates):
            return None
        found = np.rint(values * (candidates[0, 0] / magnitudes[0]))
        integers[:, column] = found.astype(np.int64)
        scales[column] = (values @ found) / (found @ found)
    return integers, scales


def choose_integers(
    weights: FloatArray,
    n_bits: int,
    sample: FloatArray,
    wanted: FloatArray,
    rounded: tuple[FloatArray, int] | None = None,
) -> tuple[IntArray, FloatArray]:
    """Quantize ``weights`` to symmetric integers, so that products with ``sample`` are near those wanted.

    The weights first move to where they make good what earlier layers' quantization did to the sample, as far
    as the sample says how. Each output then has a scale of its own: the one among shrunken ranges whose
    rounding errs least on the sample. Last, the weights are rounded one input after another, each input's
    error being made good in the inputs that follow.

    Parameters
    ----------
    weights : ndarray of float64, shape (n_inputs, n_outputs)
    n_bits : int
        Bits of an integer, its sign included; 1 bit gives -1, 0 and 1 as 2 bits do.
    sample : ndarray of float64, shape (n_samples, n_inputs)
        What the weights are multiplied with. Its mean does not matter: a bias takes that up.
    wanted : ndarray of float64, shape (n_samples, n_outputs)
        The products that the original network has.
    rounded : tuple of (ndarray of float64, shape (n_outputs,), and int), optional
        If products are rounded: the least scale that each output may have, and how many integers of a product
        are rounded to one. Both errors together decide the scale then.

    Returns
    -------
    integers : ndarray of int64, shape (n_inputs, n_outputs)
        In [-(2**(n_bits - 1) - 1), 2**(n_bits - 1) - 1].
    scales : ndarray of float64, shape (n_outputs,)

    References
    ----------
    Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers",
    ICLR 2023: the order of rounding and its compensation, algorithm 1.
    """
    arrays = (np.ascontiguousarray(array) for array in (weights, sample, wanted))
    given = None if rounded is None else (rounded[0].tobytes(), rounded[1])
    key = (n_bits, given, weights.shape, *(hashlib.blake2b(array.data).digest() for array in arrays))
    found = _KNOWN.get(key)
    if found is None:
        found = _KNOWN[key] = _chosen(weights, n_bits, sample, wanted, rounded)
        if len(_KNOWN) > MOST_KNOWN:
            _KNOWN.pop(next(iter(_KNOWN)), None)
    integers, scales = found
    return integers.copy(), scales.copy()


def _chosen(
    weights: FloatArray,
    n_bits: int,
    sample: FloatArray,
    wanted: FloatArray,
    rounded: tuple[FloatArray, int] | None,
) -> tuple[IntArray, FloatArray]:
    """Do what `choose_integers` says."""
    highest = max(1, (1 << (n_bits - 1)) - 1)
    centred = sample - sample.mean(axis=0)
    hessian = centred.T @ centred / len(sample)
    energy = float(np.trace(hessian)) / len(hessian)
    hessian = hessian + (DAMPING * energy if energy > 0 else 1.0) * np.eye(len(hessian))
    missing = wanted - sample @ weights
    pull = centred.T @ (missing - missing.mean(axis=0)) / len(sample)
    integers = np.zeros(weights.shape, dtype=np.int64)
    scales = np.ones(weights.shape[1])
    supports, members = np.unique(weights != 0, axis=1, return_inverse=True)
    for number, support in enumerate(supports.T):  # pruned weights stay zero
        columns = np.flatnonzero(members.ravel() == number)
        if support.any():
            at = np.ix_(np.flatnonzero(support), columns)
            moments = hessian[np.ix_(support, support)]
            its = None if rounded is None else (rounded[0][columns], rounded[1])
            integers[at], scales[columns] = _rounded(weights[at], pull[at], moments, highest, its)
    return integers, scales


def _rounded(
    weights: FloatArray,
    pull: FloatArray,
    hessian: FloatArray,
    highest: int,
    rounded: tuple[FloatArray, int] | None,
) -> tuple[IntArray, FloatArray]:
    """Round columns of weights after they have followed ``pull``, one input after another."""
    # Inputs with much energy first: their errors have the most others left to be made good in.
    order = np.argsort(-np.diag(hessian), kind="stable")
    # The upper Cholesky factor of the inverse: row k holds what input k passes on to later ones. It is the
    # inverse of the upper factor of the matrix itself, which is its lower one read from the last input on.
    last_first = hessian[np.ix_(order[::-1], order[::-1])]
    factor = _inverse(np.ascontiguousarray(np.linalg.cholesky(last_first)[::-1, ::-1]))
    weights = weights.copy()
    weights[order] += factor.T @ (factor @ pull[order])
    scales = _scales(weights, highest, hessian, rounded)
    left = weights[order]
    integers = np.zeros(weights.shape, dtype=np.int64)
    for k in range(len(order)):
        nearest = np.clip(np.rint(left[k] / scales), -highest, highest)
        integers[order[k]] = nearest.astype(np.int64)
        error = (left[k] - nearest * scales) / factor[k, k]
        left[k + 1 :] -= np.outer(factor[k, k + 1 :], error)
    return integers, scales


def _inverse(upper: FloatArray) -> FloatArray:
    """Return the inverse of an upper triangular matrix, by its blocks."""
    size, half = len(upper), len(upper) // 2
    if size <= BLOCK:
        return np.linalg.inv(upper)
    inverse = np.zeros_like(upper)
    inverse[:half, :half], inverse[half:, half:] = (
        _inverse(upper[:half, :half]),
        _inverse(upper[half:, half:]),
    )
    inverse[:half, half:] = -inverse[:half, :half] @ upper[:half, half:] @ inverse[half:, half:]
    return inverse


def _scales(
    weights: FloatArray, highest: int, hessian: FloatArray, rounded: tuple[FloatArray, int] | None
) -> FloatArray:
    """Return for each column the scale whose rounding errs least, weighing errors by ``hessian``."""
    widest = np.abs(weights).max(axis=0) / highest
    widest[widest == 0] = 1.0
    candidates = [widest * shrink for shrink in np.linspace(1.0, 0.4, 16)]
    if rounded is not None:
        candidates = [rounded[0] * grow for grow in np.geomspace(1.0, 4.0, 21)]
    best, least = candidates[0], np.full(weights.shape[1], np.inf)
    for scale in candidates:
        error = weights - np.clip(np.rint(weights / scale), -highest, highest) * scale
        loss = np.einsum("ij,ij->j", hessian @ error, error)
        if rounded is not None:
            loss = loss + np.square(scale * rounded[1]) / 12
        best, least = np.where(loss < least, scale, best), np.minimum(loss, least)
    return best
