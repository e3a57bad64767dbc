"""The error of approximate rounding, as an encrypted run has it, in the clear.

Approximate rounding reads what it removes with the noise of the ciphertexts: near a tie it may take the
neighbouring multiple. The engine chooses the noise so that a lookup reads a wrong cell with the error rate
asked for, so that half a cell is as many standard deviations as a normal variable exceeds so rarely: 7.14 at
2**-40. Adding such a variable before the value is rounded gives what the engine's own simulation gives; the
tie lies between two integers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np

from skfhe._typing import BoolArray, IntArray
from skfhe.program import Program, evaluate, leading_shape, ops

__all__ = ["RoundingNoise", "run_with_noise"]


@dataclass(eq=False)
class RoundingNoise:
    """Rounds approximately as an encrypted run does, with a seed.

    Parameters
    ----------
    p_error : float
        Probability that one lookup reads a wrong cell.
    seed : int, default=0

    Examples
    --------
    >>> import numpy as np
    >>> from skfhe.program import ops
    >>> noise = RoundingNoise(2**-40)
    >>> values = np.array([8, 11, 12, 13, 16])
    >>> rows = np.repeat(values[None], 1000, axis=0)
    >>> noise.rounded(ops.Round(3, "approximate"), rows).mean(axis=0).round(1)
    array([ 8. ,  9.5, 14.7, 15.9, 16. ])
    """

    p_error: float
    seed: int = 0
    _generator: np.random.Generator = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._generator = np.random.default_rng(self.seed)

    @property
    def half_cell(self) -> float:
        """Half a cell, in standard deviations of the noise."""
        return -NormalDist().inv_cdf(min(self.p_error, 0.5) / 2)

    def rounded(self, op: ops.Round, x: IntArray) -> IntArray:
        """Round to multiples of ``2**op.lsbs``, with noise before."""
        half = (1 << op.lsbs) / 2
        reached = half + 0.5 + self._generator.normal(scale=half / self.half_cell, size=x.shape)
        # half a cell is never exceeded: that would be a lookup's own error, which is rarer than all others
        reached = np.clip(reached, 0.0, np.nextafter(2 * half, 0.0))
        return (np.floor((x + reached) / (2 * half)).astype(np.int64)) << op.lsbs


def run_with_noise(
    program: Program, noise: RoundingNoise, *inputs: IntArray
) -> tuple[tuple[IntArray, ...], BoolArray]:
    """Evaluate a program with the error of approximate rounding.

    Parameters
    ----------
    program : Program
        Before its lookups are narrowed: it rounds before lookups, and not on circles.
    noise : RoundingNoise
    *inputs : ndarray of int64, shape (n_rows, …)

    Returns
    -------
    outputs : tuple of ndarray of int64
    left : ndarray of bool, shape (n_rows,)
        Whether a value of the row left its interval; a lookup then read the nearest cell.
    """
    given = dict(zip(program.inputs, inputs, strict=True))
    left = np.zeros(len(inputs[0]), dtype=bool)
    last_use = {argument: at for at, value in enumerate(program.values) for argument in value.arguments}
    kept = set(program.outputs)
    values: dict[int, IntArray] = {}
    for position, value in enumerate(program.values):
        op, arguments = value.op, [values[a] for a in value.arguments]
        if position in given:
            result = given[position]
        elif isinstance(op, ops.Round) and op.method == "approximate":
            result = noise.rounded(op, *arguments)
        else:
            if isinstance(op, ops.Lookup):
                arguments = [_within(op, *arguments)]
            result = evaluate(op, *arguments)
            if isinstance(op, ops.Bound):
                outside = (result < value.type.low) | (result > value.type.high)
                left |= outside.reshape(len(outside), -1).any(axis=1)
        values[position] = result
        for argument in set(value.arguments) - kept:
            if last_use[argument] == position:
                del values[argument]
    return tuple(values[position] for position in program.outputs), left


def _within(op: ops.Lookup, x: IntArray) -> IntArray:
    """Return the arguments of a lookup, those beyond its tables moved to their ends, as the engine does."""
    start = op.start.reshape(leading_shape(op, x.shape[1:]))
    return np.clip(x, start, start + (op.tables.shape[-1] - 1) * op.step)
