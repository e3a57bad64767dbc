"""Integer weights: read off where the network holds them, chosen where it was trained in float."""

import numpy as np

from skfhe._typing import FloatArray, IntArray

__all__ = ["choose_integers", "integer_grid"]


TOLERANCE = 2e-6
"""Of a row's largest weight: float32 arithmetic keeps multiples of a scale that well."""
FEW = 8
"""Magnitudes that rule out most candidates for a scale."""
DAMPING = 0.01
"""Of the mean diagonal, added to a Hessian that calibration rows determine badly."""


def integer_grid(weights: FloatArray, n_bits: int) -> tuple[IntArray, FloatArray] | None:
    """Return each row of ``weights`` as integers times a scale, if it lies on such a grid.

    The scale is the largest that does.

    Parameters
    ----------
    weights : ndarray of float64, shape (n_rows, n_weights)
    n_bits : int
        Bits that the magnitudes of the integers may take.

    Returns
    -------
    integers : ndarray of int64, shape (n_rows, n_weights)
    scales : ndarray of float64, shape (n_rows,)
        1 for a row of zeros.
    None
        If a row has no such grid.

    Examples
    --------
    >>> import numpy as np
    >>> integers, scales = integer_grid(np.array([[0.3, -0.1, 0.2], [0.0, 0.0, 0.0]]), n_bits=2)
    >>> integers, scales.round(9)
    (array([[ 3, -1,  2],
           [ 0,  0,  0]]), array([0.1, 1. ]))
    >>> integer_grid(np.array([[1.0, 0.734]]), n_bits=4) is None
    True
    """
    integers = np.zeros(weights.shape, dtype=np.int64)
    scales = np.ones(len(weights))
    largest = np.arange(1, 1 << n_bits)[:, None]
    for row, values in enumerate(weights):
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
        integers[row] = found.astype(np.int64)
        scales[row] = (values @ found) / (found @ found)
    return integers, scales


def choose_integers(
    weights: FloatArray, n_bits: int, sample: FloatArray, wanted: FloatArray | None = None
) -> tuple[IntArray, FloatArray]:
    """Quantize ``weights`` to symmetric integers, so that products with ``sample`` are near those wanted.

    The weights first move to where they make good what earlier layers' quantization did to the sample, as far
    as the sample says how. Each row then has a scale of its own: the one among shrunken ranges whose rounding
    errs least on the sample. Last, the weights are rounded one column after another, each column's error
    being made good in the columns that follow.

    Parameters
    ----------
    weights : ndarray of float64, shape (n_rows, n_weights)
    n_bits : int
        Bits of an integer, its sign included; 1 bit gives -1, 0 and 1 as 2 bits do.
    sample : ndarray of float64, shape (n_samples, n_weights)
        What the weights are multiplied with. Its mean does not matter: a bias takes that up.
    wanted : ndarray of float64, shape (n_samples, n_rows), default=None
        The products that the original network has; by default those of ``weights`` and the sample.

    Returns
    -------
    integers : ndarray of int64, shape (n_rows, n_weights)
        In [-(2**(n_bits - 1) - 1), 2**(n_bits - 1) - 1].
    scales : ndarray of float64, shape (n_rows,)

    References
    ----------
    Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers",
    ICLR 2023: the order of rounding and its compensation, algorithm 1.
    """
    highest = max(1, (1 << (n_bits - 1)) - 1)
    centred = sample - sample.mean(axis=0)
    hessian = centred.T @ centred / len(sample)
    energy = float(np.trace(hessian)) / len(hessian)
    hessian = hessian + (DAMPING * energy if energy > 0 else 1.0) * np.eye(len(hessian))
    if wanted is None:
        pull = np.zeros_like(weights)
    else:
        missing = wanted - sample @ weights.T
        pull = (missing - missing.mean(axis=0)).T @ centred / len(sample)
    integers = np.zeros(weights.shape, dtype=np.int64)
    scales = np.ones(len(weights))
    supports, members = np.unique(weights != 0, axis=0, return_inverse=True)
    for number, support in enumerate(supports):  # pruned weights stay zero
        rows = np.flatnonzero(members.ravel() == number)
        if support.any():
            at = np.ix_(rows, np.flatnonzero(support))
            moments = hessian[np.ix_(support, support)]
            integers[at], scales[rows] = _rounded(weights[at], pull[at], moments, highest)
    return integers, scales


def _rounded(
    weights: FloatArray, pull: FloatArray, hessian: FloatArray, highest: int
) -> tuple[IntArray, FloatArray]:
    """Round rows of weights after they have followed ``pull``, column by column."""
    weights = weights + np.linalg.solve(hessian, pull.T).T
    scales = _scales(weights, highest, hessian)
    # Columns with much energy first: their errors have the most columns left to be made good in.
    order = np.argsort(-np.diag(hessian), kind="stable")
    # The upper Cholesky factor of the inverse: row k holds what column k passes on to the later ones.
    factor = np.linalg.cholesky(np.linalg.inv(hessian[np.ix_(order, order)])).T
    left = weights[:, order].copy()
    integers = np.zeros(weights.shape, dtype=np.int64)
    for column in range(len(order)):
        rounded = np.clip(np.rint(left[:, column] / scales), -highest, highest)
        integers[:, order[column]] = rounded.astype(np.int64)
        error = (left[:, column] - rounded * scales) / factor[column, column]
        left[:, column + 1 :] -= np.outer(error, factor[column, column + 1 :])
    return integers, scales


def _scales(weights: FloatArray, highest: int, hessian: FloatArray) -> FloatArray:
    """Return for each row the scale whose rounding errs least, weighing errors by ``hessian``."""
    widest = np.abs(weights).max(axis=1) / highest
    widest[widest == 0] = 1.0
    best, least = widest, np.full(len(weights), np.inf)
    for shrink in np.linspace(1.0, 0.4, 16):
        scale = widest * shrink
        rounded = np.clip(np.rint(weights / scale[:, None]), -highest, highest) * scale[:, None]
        error = weights - rounded
        loss = np.einsum("ij,ij->i", error @ hessian, error)
        best, least = np.where(loss < least, scale, best), np.minimum(loss, least)
    return best
