"""Integer weights of a layer: chosen by what its inputs are, and so that its accumulators fill their bits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch.nn import functional

from skfhe._typing import Array, FloatArray, IntArray
from skfhe.network._operations import Convolution
from skfhe.network._schemes.scheme import Scheme
from skfhe.network._symbolic import Symbolic
from skfhe.program import ops

__all__ = ["Group", "LinearOp", "patches", "thinned", "with_weights"]

MAX_SAMPLES = 8192
"""Rows of a layer's inputs, or patches of a convolution's, that its weights are rounded on."""
FILLED = (0.98, 0.95, 0.9)
"""Part of a filled interval that each channel's is made to take: rounding to other integers changes it."""
LinearOp = ops.Linear | ops.Convolution
Group = tuple[FloatArray, FloatArray, FloatArray]
"""Weights, what they are multiplied with, and the products that the original network has."""


def with_weights(
    scheme: Scheme,
    groups: Sequence[Group],
    operation: Callable[[IntArray], LinearOp],
    x: Symbolic,
    looked_up: bool,
) -> tuple[LinearOp, FloatArray]:
    """Choose integers for the weights of a layer's groups, and return the operation that they make.

    Parameters
    ----------
    scheme : Scheme
    groups : sequence of (weight, sample, wanted)
        As `Scheme.weights` takes them.
    operation : callable
        From the integers of all groups, side by side.
    x : Symbolic
        What it is applied to.
    looked_up : bool
        Whether its results are, in the end.

    Returns
    -------
    op : Linear or Convolution
    scale : ndarray of float64, shape (n_outputs,)
    """

    def together(chosen: Sequence[tuple[IntArray, FloatArray]]) -> tuple[LinearOp, FloatArray]:
        columns, scale = (np.concatenate(parts, axis=-1) for parts in zip(*chosen, strict=True))
        return operation(columns), scale

    emitter = scheme.emitter
    op, scale = together([scheme.weights(*group) for group in groups])
    if not looked_up:
        return op, scale
    lengths = emitter.lengths(op, x.position)
    filled = emitter.filled_length(int(lengths.max()))
    if filled is None:  # nothing is rounded
        return op, scale
    most, cell = filled
    for share in FILLED:
        factors = np.where(lengths > 0, lengths / (share * most), 1.0)
        each = np.split(scale * factors, len(groups))
        tried = [scheme.rescaled(*group, s, cell) for group, s in zip(groups, each, strict=True)]
        rescaled = [one for one in tried if one is not None]
        if len(rescaled) < len(groups):
            break
        found, its_scale = together(rescaled)
        if emitter.lengths(found, x.position).max() <= most:
            before = _errors(groups, op, scale, emitter.cell(int(lengths.max())))
            if _errors(groups, found, its_scale, cell) < before:
                return found, its_scale
            break
    return op, scale


def _errors(groups: Sequence[Group], op: LinearOp, scale: FloatArray, cell: int) -> float:
    """Return the variance of a layer's errors, over that of its results: those of weights, and of rounding.

    ``cell`` is how many integers are rounded to one.
    """
    n_outputs = len(scale)
    columns = op.weight if isinstance(op, ops.Linear) else op.weight.reshape(n_outputs, -1).T
    error, variance = np.square(scale * cell) / 12, np.zeros(n_outputs)
    parts = np.split(np.arange(n_outputs), len(groups))
    for part, (_, sample, wanted) in zip(parts, groups, strict=True):
        error[part] += np.var(sample @ columns[:, part] * scale[part] - wanted, axis=0)
        variance[part] = np.var(wanted, axis=0)
    return float(np.mean(error / np.where(variance > 0, variance, 1.0)))


def thinned(sample: Array) -> FloatArray:
    """Return some of the rows, evenly spread, as floats."""
    picked = np.linspace(0, len(sample) - 1, min(len(sample), MAX_SAMPLES)).astype(np.int64)
    return sample[picked].astype(np.float64)


def patches(sample: IntArray, result: torch.Tensor, operation: Convolution) -> tuple[FloatArray, FloatArray]:
    """Return what some positions of a convolution read, and the original network's results there.

    Shapes (n_patches, n_inputs * height * width) and (n_patches, n_outputs).
    """
    n_positions = result.shape[2] * result.shape[3]
    n_rows = min(len(sample), max(1, 2 * MAX_SAMPLES // n_positions))
    rows = np.linspace(0, len(sample) - 1, n_rows).astype(np.int64)
    top, left, bottom, right = operation.padding
    padded = functional.pad(torch.from_numpy(sample[rows]).double(), (left, right, top, bottom))
    kernel = operation.weight.shape[2:]
    unfolded = functional.unfold(padded, kernel, operation.dilation, 0, operation.strides)
    results = result[torch.from_numpy(rows)].flatten(2)
    return tuple(thinned(v.transpose(1, 2).reshape(-1, v.shape[1]).numpy()) for v in (unfolded, results))  # type: ignore[return-value]
