"""The closed set of operations a program is made of.

Each is a frozen description without behaviour. Shapes never include the rows: an operation applies to one
row, and to many rows alike.

Add an operation
----------------

It needs a reason why those here cannot say it: sums with clear weights are a `Linear`, whatever is computed
element by element is a `Lookup`, and whatever moves elements a `Gather`. Its docstring gives the reason, as
those of `Convolution` and `Truncate` do. Then it needs a rule wherever operations are told apart:

1. here, what it is: a frozen dataclass, in ``__all__`` too;
2. in `skfhe.program._ranges`, which interval its result has, both ends included, and which arguments do not
   fit it;
3. in `skfhe.program._interpreter`, what it computes, on arrays whose first axis are the rows. That is its
   meaning: all else is compared with it;
4. in `skfhe.cost._rules`, the lookups that it takes, the noise of its result and its products; if it has
   constants that share the width of what it reads, also in ``_block_bits`` of `skfhe.cost._demands`. In
   `skfhe.cost._shared_noise`, what it makes of noise, and whether it may add one element's twice;
5. in `skfhe.circuit._tracing`, how it is expressed under encryption. Signs and widths there follow the
   intervals, and need no rule;
6. in ``CLASSES`` of ``skfhe/deployment/_values.py``, that files hold it, and in ``_shape`` of
   ``skfhe/deployment/_programs.py``, the shape of its result if that is not its argument's.

Rules are registered with `functools.singledispatch`. Passes leave alone what they do not know, and so they
stay right; where one should see through the operation, it is told (`BETWEEN` in
`skfhe.passes._drop_idle_channels`, for example).

Tests that it needs: an example among ``PROGRAMS`` of ``tests/program/test_every_op.py``, which says which
rule is missing and takes the example all the way to the engine; its intervals and results worked out by hand
in ``tests/program/test_every_argument.py``; and a place in the random programs of
``tests/circuit/test_tracing.py``, which are encrypted.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from skfhe._typing import Array, IntArray, RoundingMethod

__all__ = [
    "Add",
    "Bound",
    "Concatenate",
    "Convolution",
    "Gather",
    "Input",
    "Linear",
    "Lookup",
    "Modulo",
    "Op",
    "Reshape",
    "Round",
    "Subtract",
    "Sum",
    "Truncate",
]


class Op:
    """Base of all operations."""


@dataclass(frozen=True, eq=False)
class Input(Op):
    """An encrypted input whose quantizer produces integers in ``[low, high]``, element by element."""

    low: IntArray
    high: IntArray


@dataclass(frozen=True, eq=False)
class Linear(Op):
    """``x @ weight + bias`` over the last axis, with clear weights.

    ``weight`` is (n_inputs, n_outputs), of any integer type, ``bias`` (n_outputs,).
    """

    weight: Array
    bias: IntArray


@dataclass(frozen=True, eq=False)
class Convolution(Op):
    """Two-dimensional cross-correlation of a row (C_in, H, W) with clear integer weights, plus a bias.

    Other operations cannot say it: a `Linear` of all positions has a weight for each pair of an element and a
    result, almost all of them zero.

    Parameters
    ----------
    weight : ndarray of int, shape (C_out, C_in // groups, kernel_height, kernel_width)
    bias : ndarray of int64, shape (C_out,)
    strides : tuple of int, default=(1, 1)
        Steps between the kernel's positions, down and to the right.
    padding : tuple of int, default=(0, 0, 0, 0)
        Zeros added at the top, left, bottom and right.
    dilation : tuple of int, default=(1, 1)
        Distance of the kernel's taps, down and to the right.
    groups : int, default=1
        Consecutive groups of channels that are convolved apart; ``groups=C_in`` is depthwise.

    Examples
    --------
    >>> from skfhe.program import ProgramBuilder, run
    >>> builder = ProgramBuilder()
    >>> image = builder.input(np.zeros((1, 3, 3)), np.full((1, 3, 3), 7), label="image")
    >>> kernel = np.array([[[[1, -1]]]])
    >>> edges = builder.add(Convolution(kernel, np.zeros(1, dtype=int)), image, label="edges")
    >>> run(builder.finish(edges), np.array([[[[0, 5, 5], [0, 0, 5], [0, 0, 0]]]]))[0].tolist()
    [[[[-5, 0], [0, -5], [0, 0]]]]
    """

    weight: Array
    bias: IntArray
    strides: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1


@dataclass(frozen=True, eq=False)
class Add(Op):
    """``x + y``, element by element, of two encrypted values of one shape."""


@dataclass(frozen=True, eq=False)
class Subtract(Op):
    """``x - y``, element by element, of two encrypted values of one shape."""


@dataclass(frozen=True, eq=False)
class Sum(Op):
    """Sum over one axis of a row."""

    axis: int


@dataclass(frozen=True, eq=False)
class Reshape(Op):
    """The same elements in another row shape."""

    shape: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Gather(Op):
    """The elements at constant positions of one axis: selection, repetition, reordering."""

    indices: IntArray
    axis: int


@dataclass(frozen=True, eq=False)
class Concatenate(Op):
    """Several values joined along one axis of a row."""

    axis: int


@dataclass(frozen=True, eq=False, init=False)
class Bound(Op):
    """The same value, known to lie in ``[low, high]`` for a reason that interval arithmetic cannot see.

    Interval arithmetic takes the elements of a value to vary independently. Where they do not, such as the
    bits of a thermometer code, or where data showed a narrower interval, whoever builds the program can state
    it. It costs nothing, and the interpreter raises an error for a value that leaves it.

    Parameters
    ----------
    low, high : array-like of int
        Both included; broadcast to the value's shape.

    Examples
    --------
    >>> Bound(0, [3, 7]).high
    array([3, 7])
    """

    low: IntArray
    high: IntArray

    def __init__(self, low: ArrayLike, high: ArrayLike) -> None:
        object.__setattr__(self, "low", np.asarray(low, dtype=np.int64))
        object.__setattr__(self, "high", np.asarray(high, dtype=np.int64))


@dataclass(frozen=True, eq=False)
class Lookup(Op):
    """A table applied element by element: one programmable bootstrap an element.

    A table holds the results for the arguments ``start, start + step, …``.

    Parameters
    ----------
    tables : ndarray of int64, shape (*leading, n)
        ``leading`` is broadcast against the row's shape by NumPy's rule: (1,) is one table for all elements,
        (C,) one for each position of the last axis, (C, 1, 1) one for each channel of a (C, H, W) value, and
        the row's own shape one for each element.
    start : ndarray of int64, shape leading
    step : int, default=1
        Distance of the arguments that occur: a value rounded to multiples of ``2**lsbs`` needs cells for
        these alone. Arguments between two cells read the lower one.
    """

    tables: IntArray
    start: IntArray
    step: int = 1


@dataclass(frozen=True, eq=False)
class Round(Op):
    """Round half up to a multiple of ``2**lsbs``, keeping the scale of the value.

    ``"exact"`` costs one bootstrap for each bit removed; ``"approximate"`` costs none, and may
    take the neighbouring multiple near a tie. The interpreter computes the exact result for both.
    """

    lsbs: int
    method: RoundingMethod


@dataclass(frozen=True, eq=False)
class Truncate(Op):
    """Round down to a multiple of ``2**lsbs``, keeping the scale of the value: the lowest bits are cleared.

    It costs one bootstrap for each bit cleared, like exact rounding. That cannot say it: half up, the largest
    values of an accumulator reach the next power of two, and a lookup of the result reads one bit more, which
    doubles its price.
    """

    lsbs: int


@dataclass(frozen=True, eq=False)
class Modulo(Op):
    """The value modulo ``2**n_bits``, in ``[0, 2**n_bits - 1]``, for lookups that read the whole circle.

    Other operations cannot say it: all else keeps a value as it is, so that an accumulator needs the bits of
    its worst case. Sums of ciphertexts are exact modulo a power of two, whatever they add up to, and a lookup
    of p bits reads all ``2**(p + 1)`` residues if its table is *negacyclic*: ``T[u + 2**p] == -T[u]``. So it
    costs nothing, and what reads it are lookups of such tables alone, of ``2**n_bits`` cells from 0 on, each
    at the price of ``n_bits - 1`` bits. What was rounded approximately, to multiples of ``2**lsbs``, has
    cells for these, at the price of ``lsbs`` bits less; the engine then rounds on the circle, where nothing
    overflows. `skfhe.program.verify` holds programs to that.

    Parameters
    ----------
    n_bits : int
        At least 2.

    References
    ----------
    Chillotti et al., "TFHE: Fast Fully Homomorphic Encryption over the Torus", Journal of Cryptology 2020:
    a bootstrap multiplies its table by a power of X modulo ``X**N + 1``, which is where the sign comes from.

    Examples
    --------
    >>> from skfhe.program import ProgramBuilder, run
    >>> builder = ProgramBuilder()
    >>> x = builder.input(np.zeros(1), np.full(1, 100), label="x")
    >>> circle = builder.add(Modulo(3), x, label="x modulo 8")
    >>> wave = np.array([[1, 2, 2, 1, -1, -2, -2, -1]])
    >>> y = builder.add(Lookup(wave, np.array([0])), circle, label="wave")
    >>> run(builder.finish(y), np.array([[1], [9], [13]]))[0].tolist()
    [[2], [2], [-2]]
    """

    n_bits: int
