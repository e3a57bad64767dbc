"""Reduce the constants of sums that are read modulo a power of two.

The engine gives the constants of a layer the width of its results. Of what counts modulo ``2**(p + 1)`` a
weight or a bias is worth its residue, and a bias in the upper half of the circle is worth ``2**p`` less where
the tables behind it change sign: ``T(u + 2**p) = -T(u)``. So no bias is wider than what the lookup reads.
"""

from dataclasses import replace

import numpy as np

from skfhe._typing import Array, IntArray
from skfhe.passes._rewriting import readers, replace_ops
from skfhe.passes._shifting import granularity
from skfhe.program import Program, leading_shape, ops

__all__ = ["reduce_residues"]


def reduce_residues(program: Program) -> Program:
    """Return ``program`` with small constants in layers that lookups alone read, modulo a power of two.

    Parameters
    ----------
    program : Program

    Returns
    -------
    Program
        Computes the same outputs.

    Examples
    --------
    >>> from skfhe.program import ProgramBuilder
    >>> builder = ProgramBuilder()
    >>> x = builder.input(np.zeros(1), np.ones(1), label="x")
    >>> h = builder.add(ops.Linear(np.array([[7]]), np.array([45])), x, label="sum")
    >>> h = builder.add(ops.Modulo(3), h, label="sum")
    >>> h = builder.add(ops.Lookup(np.array([[1, 2, 3, 4, -1, -2, -3, -4]]), np.array([0])), h, label="table")
    >>> reduced = reduce_residues(builder.finish(h))
    >>> reduced.values[1].op.weight, reduced.values[1].op.bias
    (array([[-1]]), array([1]))
    >>> reduced.values[3].op.tables
    array([[-1, -2, -3, -4,  1,  2,  3,  4]])
    """
    reads = readers(program)
    replacements: dict[int, ops.Op] = {}
    for position, value in enumerate(program.values):
        if not isinstance(value.op, ops.Modulo) or not reads[position]:
            continue
        (source,) = value.arguments
        layer = program.values[source].op
        if not isinstance(layer, ops.Linear | ops.Convolution) or reads[source] != [position]:
            continue
        half = 1 << (value.op.n_bits - 1)
        bias = layer.bias % (2 * half)
        turned = bias >= half
        replacements[source] = replace(layer, weight=_centred(layer.weight, half), bias=bias - half * turned)
        sign = np.where(turned, -1, 1).reshape(granularity(layer, value.type.shape))
        for lookup in reads[position]:
            op = program.values[lookup].op
            assert isinstance(op, ops.Lookup)
            if turned.any():
                replacements[lookup] = _signed(op, sign, value.type.shape)
    return replace_ops(program, replacements)


def _centred(weight: Array, half: int) -> Array:
    """Return the least residues by magnitude, of weights modulo ``2 * half``."""
    if weight.size and (weight.min() < -half or weight.max() >= half):
        return (weight.astype(np.int64) + half) % (2 * half) - half
    return weight


def _signed(op: ops.Lookup, sign: IntArray, shape: tuple[int, ...]) -> ops.Lookup:
    """Return a lookup with the tables of some channels negated."""
    leading = leading_shape(op, shape)
    tables = op.tables.reshape(*leading, -1) * sign[..., None]
    return ops.Lookup(tables, np.zeros(tables.shape[:-1], dtype=np.int64))
