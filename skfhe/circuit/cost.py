"""What a program will cost under encryption, predicted before it is compiled.

Nearly all of the time goes into lookups: one programmable bootstrap each. Its price depends on two things:

- the bits ``b`` of the integer that it reads;
- the precision ``e`` that its result must keep until the next lookup or the output. A sum of ``n``
  results with weights ``w`` has ``‖w‖`` times the noise of one, so

      e = bits of the sum + log2 ‖w‖.

  Freshly encrypted inputs carry too little noise to count. Exact rounding reads its argument like a lookup.

The prices were read from the engine's own statistics by ``benchmarks/cost_table.py`` on a grid of
``b``, ``e`` and error rates, and are interpolated here: in ``e`` upwards to the next step of the grid, in
the error rate linearly in its logarithm.
"""

import itertools
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from skfhe.circuit.configuration import ErrorRate
from skfhe.program import independent_parts, ops
from skfhe.program.graph import Program, Value
from skfhe.program.products import correlate

__all__ = [
    "Cost",
    "bits_read",
    "count_bootstraps",
    "estimate_cost",
    "lookup_complexity",
    "lookup_costs",
    "lookup_seconds",
    "precision_steps",
]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Cost:
    """Predicted cost of evaluating one row.

    Parameters
    ----------
    lookups : mapping of int to int
        Number of lookups by the bits they read, after rounding.
    complexity : float
        Elementary operations, as the engine counts them.
    seconds : float
        Estimated seconds a row on the machine the cost table was measured on.
    """

    lookups: Mapping[int, int] = field(default_factory=dict)
    complexity: float = 0.0
    seconds: float = 0.0

    @property
    def n_lookups(self) -> int:
        """Lookups of all widths."""
        return sum(self.lookups.values())

    def __str__(self) -> str:
        widths = ", ".join(f"{n} × {bits}-bit" for bits, n in sorted(self.lookups.items()))
        return (
            f"lookups: {widths or 'none'}; complexity {self.complexity / 1e6:.0f} M; "
            f"about {self.seconds:.2g} s a row"
        )


@cache
def _table() -> dict[str, FloatArray]:
    raw = json.loads(files("skfhe.circuit").joinpath("cost_table.json").read_text("utf-8"))
    return {name: np.asarray(value, dtype=float) for name, value in raw["grid"].items()} | {
        "seconds": np.asarray(raw["seconds_per_complexity"], dtype=float),
        "call": np.asarray(raw["seconds_per_call"], dtype=float),
        "levelled": np.asarray(raw["seconds_per_levelled_call"], dtype=float),
    }


def lookup_complexity(bits: int, precision: float, p_error: float) -> float:
    """Return the complexity of one lookup, in elementary operations.

    Parameters
    ----------
    bits : int
        Bits it reads.
    precision : float
        Bits that its result must keep; see the module's equation.
    p_error : float
        Probability that it reads a wrong cell.

    Returns
    -------
    float
        Beyond the measured widths the price is taken to double a bit.
    """
    table = _table()
    measured = int(table["bits"][-1])
    row = min(max(bits, int(table["bits"][0])), measured) - int(table["bits"][0])
    column = min(int(np.searchsorted(table["precision"], precision)), len(table["precision"]) - 1)
    prices = table["complexity"][:, row, column]
    log_rates = np.log2(table["p_error"])
    price = float(np.interp(np.log2(p_error), log_rates, prices))
    return price * 2.0 ** max(0, bits - measured)


def lookup_seconds(bits: int, precision: float, p_error: float) -> float:
    """Return the seconds of one lookup among many, on the machine the cost table was measured on.

    Parameters are those of `lookup_complexity`. Narrow lookups take more seconds than their complexity tells:
    their polynomials are short, and what is done around the transforms of these counts for more.

    Returns
    -------
    float
    """
    rates = _table()["seconds"]
    rate = float(rates[min(max(bits, 1), len(rates)) - 1])
    return rate * lookup_complexity(bits, precision, p_error)


def precision_steps(bits: int, p_error: float) -> list[int]:
    """Return the precisions beyond which one lookup of ``bits`` bits becomes dearer, ascending.

    Parameters
    ----------
    bits : int
        Bits it reads.
    p_error : float
        Probability that it reads a wrong cell.

    Returns
    -------
    list of int
        The last is the largest that was measured.

    Examples
    --------
    >>> precision_steps(4, 2.0**-40)
    [9, 17, 20, 22, 24]
    """
    measured = [int(precision) for precision in _table()["precision"]]
    prices = [lookup_complexity(bits, precision, p_error) for precision in measured]
    dearer = [
        at for at, (now, next_) in zip(measured, itertools.pairwise(prices), strict=False) if next_ > now
    ]
    return [*dearer, measured[-1]]


def estimate_cost(program: Program, error_rate: ErrorRate | None = None) -> Cost:
    """Predict the cost of one row.

    Parameters
    ----------
    program : Program
    error_rate : ErrorRate, optional
        2**-40 a lookup by default.

    Returns
    -------
    Cost
    """
    counts: Counter[int] = Counter()
    for position in program.lookups:
        counts[bits_read(program, position)] += program.values[position].type.size
    p_error = (error_rate or ErrorRate()).per_lookup(count_bootstraps(program))
    table = _table()
    complexity = seconds = 0.0
    for part in independent_parts(program):
        seconds += float(table["call"] if part.program.lookups else table["levelled"])
        for count, bits, precision in _priced_lookups(part.program):
            complexity += count * lookup_complexity(bits, precision, p_error)
            seconds += count * lookup_seconds(bits, precision, p_error)
    return Cost(dict(counts), complexity, seconds)


def lookup_costs(program: Program, error_rate: ErrorRate | None = None) -> dict[int, tuple[int, float]]:
    """Return what each lookup layer of one row is predicted to cost, the exact rounding before it included.

    Parameters
    ----------
    program : Program
    error_rate : ErrorRate, optional
        2**-40 a lookup by default.

    Returns
    -------
    dict
        From the position of a lookup to the bits that it reads and its complexity, in elementary operations.
    """
    p_error = (error_rate or ErrorRate()).per_lookup(count_bootstraps(program))
    costs = {}
    for position, (bits, precision) in _demands(program).items():
        value = program.values[position]
        price = lookup_complexity(bits, precision, p_error)
        read = program.values[value.arguments[0]]
        if _rounds_exactly(read):
            price += read.op.lsbs * lookup_complexity(1, float(read.type.bits), p_error)  # type: ignore[attr-defined]
        costs[position] = (bits, value.type.size * price)
    return costs


def count_bootstraps(program: Program) -> int:
    """Return how often one row can go wrong: its lookups, and those that exact rounding is made of.

    Exact rounding removes one bit at a time, each by a lookup of its own.
    """
    rounding = (v.type.size * v.op.lsbs for v in program.values if _rounds_exactly(v))  # type: ignore[attr-defined]
    return sum(program.values[position].type.size for position in program.lookups) + sum(rounding)


def _demands(program: Program) -> dict[int, tuple[int, float]]:
    """Return the bits and precision of each lookup of a program that is compiled as one, by its position.

    The engine gives all lookups of one width the same parameters: those of the most demanding.
    """
    needed = _precision_needed(program)
    bits = {position: bits_read(program, position) for position in program.lookups}
    precision: dict[int, float] = {}
    for position, width in bits.items():
        precision[width] = max(precision.get(width, 0.0), needed[position])
    return {position: (width, precision[width]) for position, width in bits.items()}


def _priced_lookups(program: Program) -> list[tuple[int, int, float]]:
    """Return how many lookups of how many bits and precision a program that is compiled as one takes."""
    priced = [
        (program.values[position].type.size, bits, precision)
        for position, (bits, precision) in _demands(program).items()
    ]
    rounded = [value for value in program.values if _rounds_exactly(value)]
    return priced + [(v.type.size * v.op.lsbs, 1, float(v.type.bits)) for v in rounded]  # type: ignore[attr-defined]


def _rounds_exactly(value: Value) -> bool:
    return isinstance(value.op, ops.Truncate) or (
        isinstance(value.op, ops.Round) and value.op.method == "exact"
    )


def bits_read(program: Program, position: int) -> int:
    """Bits of the table that a lookup uses: those its argument keeps after rounding."""
    (read,) = program.values[position].arguments
    value = program.values[read]
    bits = value.type.bits
    while isinstance(value.op, ops.Bound):
        value = program.values[value.arguments[0]]
    return bits - (value.op.lsbs if isinstance(value.op, ops.Round | ops.Truncate) else 0)


def _precision_needed(program: Program) -> list[float]:
    """For each value, the largest ``e`` among the lookups and outputs that its result reaches."""
    noise: list[FloatArray] = []
    for value in program.values:
        noise.append(_noise(value.op, value.type.shape, [noise[a] for a in value.arguments]))
    needed = [0.0] * len(program.values)
    for position in reversed(range(len(program.values))):
        value = program.values[position]
        if position in program.outputs:
            needed[position] = max(needed[position], _precision(program, position, noise))
        for argument in value.arguments:
            read = isinstance(value.op, ops.Lookup) or _rounds_exactly(value)
            at_argument = _precision(program, argument, noise) if read else needed[position]
            needed[argument] = max(needed[argument], at_argument)
    return needed


def _precision(program: Program, position: int, noise: list[FloatArray]) -> float:
    variance = float(noise[position].max(initial=0.0))
    return program.values[position].type.bits + 0.5 * np.log2(max(variance, 1.0))


def _noise(op: ops.Op, shape: tuple[int, ...], arguments: list[FloatArray]) -> FloatArray:
    """Variance of each element, in units of that of one lookup's result."""
    if isinstance(op, ops.Input):
        return np.zeros(shape)
    if isinstance(op, ops.Lookup):
        return np.ones(shape)
    if isinstance(op, ops.Linear):
        return arguments[0] @ op.weight.astype(float) ** 2
    if isinstance(op, ops.Convolution):
        return correlate(arguments[0][None], op.weight.astype(float) ** 2, op)[0]
    if isinstance(op, ops.Add | ops.Subtract):
        return arguments[0] + arguments[1]
    if isinstance(op, ops.Bound):
        return arguments[0]
    if isinstance(op, ops.Sum):
        return arguments[0].sum(axis=op.axis)
    if isinstance(op, ops.Reshape):
        return arguments[0].reshape(op.shape)
    if isinstance(op, ops.Gather):
        return np.take(arguments[0], op.indices, axis=op.axis)
    if isinstance(op, ops.Concatenate):
        return np.concatenate(arguments, axis=op.axis)
    assert isinstance(op, ops.Round | ops.Truncate)
    return np.ones(shape) if isinstance(op, ops.Truncate) or op.method == "exact" else arguments[0]
