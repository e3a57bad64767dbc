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
    for source, value in enumerate(program.values):
        layer = value.op
        if not isinstance(layer, ops.Linear | ops.Convolution):
            continue
        bounds, moduli = _read_modulo(program, reads, source)
        if not moduli:
            continue
        n_bits = {at: program.values[at].op.n_bits for at in moduli}  # type: ignore[attr-defined]
        half = 1 << (max(n_bits.values()) - 1)
        residues = layer.bias % (2 * half)
        turned = residues >= half
        bias = residues - half * turned
        # what is bounded is known as it is, up to a constant
        weight = layer.weight if bounds else _centred(layer.weight, half)
        replacements[source] = replace(layer, weight=weight, bias=bias)
        across = granularity(layer, value.type.shape)
        for at in bounds:
            bound, less = program.values[at].op, (layer.bias - bias).reshape(across)
            assert isinstance(bound, ops.Bound)
            replacements[at] = ops.Bound(bound.low - less, bound.high - less)
        if not turned.any():
            continue
        for lookup in (at for modulo in moduli if 1 << n_bits[modulo] == 2 * half for at in reads[modulo]):
            op = program.values[lookup].op
            assert isinstance(op, ops.Lookup)
            replacements[lookup] = _signed(op, np.where(turned, -1, 1).reshape(across), value.type.shape)
    return replace_ops(program, replacements)


def _read_modulo(program: Program, reads: list[list[int]], source: int) -> tuple[list[int], list[int]]:
    """Return the positions of the bounds of a value, and of the residues that alone are taken of it.

    None are if anything else is taken of it. Rounding to multiples of what divides the moduli may be between.
    """
    at, bounds = source, []
    while (
        len(reads[at]) == 1 and reads[at][0] >= 0 and isinstance(program.values[reads[at][0]].op, ops.Bound)
    ):
        at = reads[at][0]
        bounds.append(at)
    moduli: list[int] = []
    waiting = list(reads[at])
    while waiting:
        reader = waiting.pop()
        op = program.values[reader].op if reader >= 0 else None
        if isinstance(op, ops.Modulo) and reads[reader]:
            moduli.append(reader)
        elif isinstance(op, ops.Round) and op.method == "approximate":
            waiting.extend(reads[reader])
        else:
            return bounds, []
    return bounds, moduli


def _centred(weight: Array, half: int) -> Array:
    """Return the least residues by magnitude, of weights modulo ``2 * half``."""
    if weight.size and (weight.min() < -half or weight.max() >= half):
        return (weight.astype(np.int64) + half) % (2 * half) - half
    return weight


def _signed(op: ops.Lookup, sign: IntArray, shape: tuple[int, ...]) -> ops.Lookup:
    """Return a lookup with the tables of some channels negated."""
    leading = leading_shape(op, shape)
    tables = op.tables.reshape(*leading, -1) * sign[..., None]
    return ops.Lookup(tables, np.zeros(tables.shape[:-1], dtype=np.int64), op.step)
