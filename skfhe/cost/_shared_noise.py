"""Sums that add the noise of one ciphertext more than once, and the error rate that makes up for it.

The engine takes the noise of the values that an operation adds for independent, and so does the norm that
prices depend on: of ``Σ w x`` the variance is ``Σ w² var(x)``. That is so where a layer reads inputs or
results of lookups. Where sums are added again, though, they may share what they are sums of: in a layer
behind a layer without a lookup between, in an average of overlapping windows, in ``x + W x``. Then noise adds
up, and the engine's parameters do not keep the error rate that it was asked for.

`shared_noise` says how much larger the variance is than the engine takes it for. A wrong result is a normal
variable beyond a bound, so the engine is asked for the error rate that the same bound has at the smaller
variance: `engine_p_error`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import singledispatch
from statistics import NormalDist
from weakref import WeakKeyDictionary

import numpy as np

from skfhe._typing import Array, FloatArray
from skfhe.cost._rules import variance
from skfhe.exceptions import CompilationError
from skfhe.program import Program, correlate, ops

__all__ = [
    "SMALLEST_ENGINE_P_ERROR",
    "carried",
    "engine_p_error",
    "levelled_p_error",
    "noise_gains",
    "shared_noise",
]

SMALLEST_ENGINE_P_ERROR = 2.0**-160
"""Smallest error rate that prices are known for; the engine is asked for no smaller one."""
EXACT = 1024
"""Elements of a value up to which what is made of each is followed; more are drawn signs for."""
DRAWS = 1024
CHUNK = 256
"""Rows of signs, and how many of them are computed at a time."""
_KNOWN: WeakKeyDictionary[Program, tuple[float, int]] = WeakKeyDictionary()


def engine_p_error(program: Program, p_error: float) -> float:
    """Return the error rate that the engine has to be asked for, so that lookups go wrong as rarely as asked.

    Parameters
    ----------
    program : Program
    p_error : float
        Probability that one lookup, or without lookups one output, may go wrong.

    Returns
    -------
    float
        ``p_error`` itself unless sums share noise.

    Raises
    ------
    CompilationError
        If it would be smaller than `SMALLEST_ENGINE_P_ERROR`.

    Examples
    --------
    >>> from skfhe.program import ProgramBuilder
    >>> builder = ProgramBuilder()
    >>> x = builder.input(np.zeros(1), np.ones(1), label="x")
    >>> twice = builder.finish(builder.add(ops.Add(), x, x, label="twice"))
    >>> print(f"{engine_p_error(twice, 1e-6):.1e}")
    4.6e-12
    """
    factor, position = _found(program)
    if factor == 1.0:
        return p_error
    bound = -NormalDist().inv_cdf(p_error / 2)
    smaller = math.erfc(bound * math.sqrt(factor / 2))
    if smaller < SMALLEST_ENGINE_P_ERROR:
        label = program.values[position].label
        raise CompilationError(
            f"{label!r} adds up sums of the same values, so that its noise has {factor:.3g} times the "
            f"variance of independent ones; for an error rate of {p_error:.2g} the engine would have to be "
            f"asked for less than {SMALLEST_ENGINE_P_ERROR:.2g}"
        )
    return smaller


def levelled_p_error(p_error: float) -> float:
    """Return the error rate that the engine is asked for where there are no lookups.

    At that rate noise has a third of the variance that it may have. The rest is left to the rounding of
    results, which then do with four bits fewer for each of their words, an eighth. That makes ciphertexts two
    percent longer.

    Parameters
    ----------
    p_error : float
        That the engine would be asked for without rounding.

    Returns
    -------
    float
        Not below `SMALLEST_ENGINE_P_ERROR`, unless ``p_error`` is.

    Examples
    --------
    >>> print(f"{levelled_p_error(2.0**-40):.1e}")
    3.7e-35
    """
    bound = -NormalDist().inv_cdf(p_error / 2)
    return min(p_error, max(math.erfc(bound * math.sqrt(3 / 2)), SMALLEST_ENGINE_P_ERROR))


def shared_noise(program: Program) -> float:
    """Return how much larger the variance of a value's noise can be than the engine takes it for.

    Parameters
    ----------
    program : Program

    Returns
    -------
    float
        The largest factor over all values that are looked up or decrypted, at least 1. It is 1 if no sum adds
        the noise of one ciphertext twice. Of values of more than 1,024 elements it is an estimate, with fixed
        draws, whose error of a few percent goes to the safe side where many elements are alike.
    """
    return _found(program)[0]


def noise_gains(program: Program) -> tuple[float | None, ...]:
    """Return how many times the variance of an input or a lookup's result the outputs of a program have.

    Parameters
    ----------
    program : Program

    Returns
    -------
    tuple of (float or None)
        For each output, of its noisiest element, if what it is a sum of has the same variance everywhere.
        None where it is rounded, which takes lookups of its own.

    Examples
    --------
    >>> from skfhe.program import ProgramBuilder
    >>> builder = ProgramBuilder()
    >>> x = builder.input(np.zeros(1), np.ones(1), label="x")
    >>> noise_gains(builder.finish(builder.add(ops.Add(), x, x, label="twice"), x))
    (4.0, 2.0)
    """
    found: list[FloatArray | None] = []
    for value in program.values:
        given = [found[argument] for argument in value.arguments]
        if isinstance(value.op, ops.Lookup):
            found.append(np.ones(value.type.shape))
        elif isinstance(value.op, ops.Round | ops.Truncate) or any(each is None for each in given):
            found.append(None)
        else:
            found.append(variance(value.op, *(each for each in given if each is not None)))
    factor = shared_noise(program)
    gains = (found[position] for position in program.outputs)
    return tuple(None if each is None else factor * float(each.max(initial=0.0)) for each in gains)


def _found(program: Program) -> tuple[float, int]:
    """Return the factor, and the value that has it."""
    if program not in _KNOWN:
        worst = (1.0, program.outputs[0])
        for source in _sharing(program):
            worst = max(worst, _factor(program, source))
        _KNOWN[program] = worst
    return _KNOWN[program]


# --- Whether noise is shared -------------------------------------------------------------------------------

_SUM = "sum"


def _sharing(program: Program) -> Iterator[int]:
    """Yield the inputs and lookups of which a sum may add one element's noise twice."""
    for source, value in enumerate(program.values):
        if isinstance(value.op, ops.Input | ops.Lookup) and _is_shared(program, source):
            yield source


def _is_shared(program: Program, source: int) -> bool:
    """Whether some sum may add the noise of one element of a value twice."""
    shape = program.values[source].type.shape
    # of each value, the number of the element that each of its own is, -1 for none, or that it is a sum
    held: dict[int, Array | str] = {source: np.arange(math.prod(shape)).reshape(shape)}
    for position in range(source + 1, len(program.values)):
        value = program.values[position]
        arguments = [held.get(argument) for argument in value.arguments]
        if isinstance(value.op, ops.Input | ops.Lookup) or all(found is None for found in arguments):
            continue
        shapes = [program.values[argument].type.shape for argument in value.arguments]
        shared, held[position] = _follow(value.op, arguments, shapes)
        if shared:
            return True
    return False


def _follow(
    op: ops.Op, arguments: list[Array | str | None], shapes: list[tuple[int, ...]]
) -> tuple[bool, Array | str]:
    """Return whether an operation may add an element twice, and what its result holds."""
    first = arguments[0]
    if isinstance(op, ops.Bound | ops.Modulo | ops.Round | ops.Truncate):
        assert first is not None
        return False, first
    if isinstance(op, ops.Reshape | ops.Gather | ops.Concatenate):
        numbers: list[Array] = []
        for found, shape in zip(arguments, shapes, strict=True):
            if isinstance(found, str):
                return False, _SUM
            numbers.append(np.full(shape, -1) if found is None else found)
        return False, _moved(op, *numbers)
    if isinstance(op, ops.Add | ops.Subtract):
        known = [found for found in arguments if found is not None]
        if len(known) == 1:  # what is added to it is of others
            return False, known[0]
        if any(isinstance(found, str) for found in known):
            return True, _SUM
        one, other = known
        return bool(np.any((one == other) & (np.asarray(one) >= 0))), _SUM
    if isinstance(first, str):
        several = not isinstance(op, ops.Linear) or bool((np.count_nonzero(op.weight, axis=0) > 1).any())
        return several, _SUM
    assert first is not None
    if isinstance(op, ops.Convolution):
        return _repeats(first.reshape(1, -1)), _SUM
    axis = op.axis if isinstance(op, ops.Sum) else -1
    return _repeats(np.moveaxis(first, axis, -1).reshape(-1, first.shape[axis])), _SUM


def _repeats(rows: Array) -> bool:
    """Whether a row of numbers holds one twice, -1 apart."""
    ordered = np.sort(rows, axis=1)
    return bool(np.any((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)))


# --- How much ----------------------------------------------------------------------------------------------


def _factor(program: Program, source: int) -> tuple[float, int]:
    """Return by how much a value's noise from one source exceeds what the engine takes it for, and which."""
    shape = program.values[source].type.shape
    size = math.prod(shape)
    decided = _decided(program)
    expected = _expected(program, source)
    if size <= EXACT:
        rows, weight = np.eye(size).reshape(size, *shape), 1.0
    else:
        rows, weight = np.random.default_rng(0).choice([-1.0, 1.0], size=(DRAWS, *shape)), 1 / DRAWS
    squares: dict[int, FloatArray] = {}
    for start in range(0, len(rows), CHUNK):
        made = _reached(program, source, rows[start : start + CHUNK])
        for position in decided & made.keys():
            squares[position] = squares.get(position, 0.0) + np.square(made[position]).sum(axis=0)
    worst = (1.0, source)
    for position, total in squares.items():
        reached = expected[position] > 0
        ratios = weight * total[reached] / expected[position][reached]
        worst = max(worst, (float(ratios.max(initial=1.0)), position))
    return worst


def _decided(program: Program) -> set[int]:
    """Return the values whose noise decides on a result: those that are looked up, rounded or decrypted."""
    read = {
        argument
        for value in program.values
        if isinstance(value.op, ops.Lookup | ops.Round | ops.Truncate)
        for argument in value.arguments
    }
    return read | set(program.outputs)


def _expected(program: Program, source: int) -> dict[int, FloatArray]:
    """Return the variances that the engine expects of the values that one source reaches, in its own."""
    found: dict[int, FloatArray] = {source: np.ones(program.values[source].type.shape)}
    for position, value in enumerate(program.values):
        if position <= source or isinstance(value.op, ops.Input | ops.Lookup):
            continue
        if any(argument in found for argument in value.arguments):
            given = [found.get(a, np.zeros(program.values[a].type.shape)) for a in value.arguments]
            found[position] = variance(value.op, *given)
    return found


def _reached(program: Program, source: int, rows: FloatArray) -> dict[int, FloatArray]:
    """Return what rows of noise of one source become in the values that it reaches before the next lookup."""
    found: dict[int, FloatArray] = {source: rows}
    for position, value in enumerate(program.values):
        if position <= source or isinstance(value.op, ops.Input | ops.Lookup):
            continue
        if any(argument in found for argument in value.arguments):
            given = [
                found.get(a, np.zeros((len(rows), *program.values[a].type.shape))) for a in value.arguments
            ]
            found[position] = carried(value.op, *given)
    return found


@singledispatch
def carried(op: ops.Op, *x: FloatArray) -> FloatArray:
    """Return what an operation makes of rows of noise: its linear part. Lookups make noise of their own.

    Parameters
    ----------
    op : Op
    *x : ndarray of float64, rows first
        Noise of each argument.

    Returns
    -------
    ndarray of float64, rows first
    """
    raise TypeError(f"{type(op).__name__} is not an operation of the program")


@carried.register
def _same(op: ops.Bound | ops.Modulo | ops.Round | ops.Truncate, x: FloatArray) -> FloatArray:
    return x


@carried.register
def _added(op: ops.Add, x: FloatArray, y: FloatArray) -> FloatArray:
    return x + y


@carried.register
def _subtracted(op: ops.Subtract, x: FloatArray, y: FloatArray) -> FloatArray:
    return x - y


@carried.register
def _total(op: ops.Sum, x: FloatArray) -> FloatArray:
    return x.sum(axis=op.axis if op.axis < 0 else op.axis + 1)


@carried.register
def _weighted(op: ops.Linear, x: FloatArray) -> FloatArray:
    return x @ op.weight.astype(np.float64)


@carried.register
def _convolved(op: ops.Convolution, x: FloatArray) -> FloatArray:
    return correlate(x, op.weight.astype(np.float64), op)


@carried.register
def _moved_rows(op: ops.Reshape | ops.Gather | ops.Concatenate, *x: FloatArray) -> FloatArray:
    return np.stack([_moved(op, *row) for row in zip(*x, strict=True)])


def _moved(op: ops.Op, *x: Array) -> Array:
    """Return the elements of one row where an operation that only moves them puts them."""
    if isinstance(op, ops.Reshape):
        return x[0].reshape(op.shape)
    if isinstance(op, ops.Gather):
        return np.take(x[0], op.indices, axis=op.axis)
    assert isinstance(op, ops.Concatenate)
    return np.concatenate(x, axis=op.axis)
