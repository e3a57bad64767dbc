"""What the engine asks for lookups and ciphertexts: its own parameters, measured on a grid.

A lookup, a programmable bootstrap, costs what its parameters cost, and these follow from three things:

- the bits ``b`` that it reads;
- the precision ``e`` that its result keeps until it is read again: a sum of ``n`` results with weights ``w``
  has ``‖w‖`` times the noise of one, so ``e = bits of the sum + log2 ‖w‖``;
- the probability that it reads a wrong cell. That is how many standard deviations of the noise fit into half
  a cell, so between two measured rates the precision is shifted by the logarithm of their ratio.

Programs without rounding may run on residues (the engine's CRT encoding) instead: dearer for narrow values,
the only way for wide ones. Ciphertexts that no lookup reads have a dimension that depends on ``e`` alone.

``benchmarks/engine/cost_table.py`` measures the grid, and how many seconds a machine takes; ``python -m
skfhe.cost`` prints what the documentation shows of it.
"""

import itertools
import json
import math
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from importlib.resources import files
from statistics import NormalDist
from typing import Any

import numpy as np

from skfhe.cost._error_rate import DEFAULT_P_ERROR
from skfhe.encryption import WORD_BYTES

__all__ = [
    "MAX_CRT_BITS",
    "LookupPrice",
    "crt_price",
    "levelled_dimension",
    "lookup_complexity",
    "lookup_price",
    "lookup_seconds",
    "lookup_shape",
    "precision_limit",
    "precision_steps",
    "reference_seconds",
    "seconds_a_operation",
    "seconds_of",
    "truncated_lookup_complexity",
]

LARGEST_LEVELLED = 2548
"""LWE dimension of the largest ciphertexts that the engine has parameters for, where nothing is looked up."""
MAX_CRT_BITS = 16
"""Bits of the widest value of a program that runs on residues."""

FEWER_DIMENSIONS = 0.09
"""Power of the dimensions read that the LWE dimension of a bootstrap key goes with, where they are fewer than
those of its results; from lookups of 5, 6 and 8 bits that read those of narrower ones."""


@dataclass(frozen=True)
class LookupPrice:
    """What one lookup costs, and the parameters of its keys.

    Parameters
    ----------
    complexity : float
        Elementary operations, as the engine counts them; the keyswitch before it included.
    glwe_dimension, polynomial_size, bootstrap_levels, lwe_dimension : int
        Of the bootstrap key; results are LWE ciphertexts of ``glwe_dimension * polynomial_size`` dimensions.
    keyswitch_levels : int
        Of the keyswitch key.
    packing_levels : int, default=0
        Of the packing keyswitch key of programs on residues; 0 without one.
    blocks : int, default=1
        Ciphertexts of one integer.
    """

    complexity: float
    glwe_dimension: int
    polynomial_size: int
    bootstrap_levels: int
    lwe_dimension: int
    keyswitch_levels: int
    packing_levels: int = 0
    blocks: int = 1

    @property
    def dimension(self) -> int:
        """LWE dimension of what it reads and returns."""
        return self.glwe_dimension * self.polynomial_size

    @property
    def shape(self) -> tuple[int, int]:
        """GLWE dimension and polynomial size: ciphertexts of one shape need no conversion."""
        return self.glwe_dimension, self.polynomial_size

    @property
    def bootstrap_bytes(self) -> int:
        """Size of its bootstrap key."""
        return (
            self.lwe_dimension
            * (self.glwe_dimension + 1) ** 2
            * self.bootstrap_levels
            * self.polynomial_size
            * WORD_BYTES
        )

    def keyswitch_bytes(self, source: int) -> int:
        """Size of the key that switches ciphertexts of ``source`` dimensions to its own small ones."""
        return source * self.keyswitch_levels * (self.lwe_dimension + 1) * WORD_BYTES

    def reading(self, source: int) -> "LookupPrice":
        """Return the price of one that reads ciphertexts of ``source`` dimensions instead of its own.

        Switching fewer leaves less noise, so that fewer small ones do.
        """
        if source == self.dimension:
            return self
        rotation = self.complexity - self._switching(self.dimension)
        share = min(1.0, (source / self.dimension) ** FEWER_DIMENSIONS)
        reading = replace(self, lwe_dimension=round(share * self.lwe_dimension))
        return replace(reading, complexity=share * rotation + reading._switching(source))

    def _switching(self, source: int) -> float:
        return 2.0 * source * self.keyswitch_levels * (self.lwe_dimension + 1)

    @property
    def packing_bytes(self) -> int:
        """Size of the packing keyswitch keys of programs on residues."""
        size = (self.glwe_dimension + 1) * self.polynomial_size
        return (self.glwe_dimension + 1) * (self.dimension + 1) * self.packing_levels * size * WORD_BYTES


@cache
def _table() -> dict[str, Any]:
    return json.loads(files("skfhe.cost").joinpath("cost_table.json").read_text("utf-8"))


def seconds_of(name: str) -> float:
    """Return one of the table's times, on the machine it was measured on.

    Parameters
    ----------
    name : {"call", "key_byte", "generated_byte", "encrypted_word", "decrypted_word", "summed_word"}
        A call, preparing a byte of its bootstrap keys, generating a byte of evaluation keys, encrypting a
        word of a ciphertext and handing it over, rounding and decrypting one, and multiplying one by a
        weight and adding it.

    Returns
    -------
    float
        In seconds.
    """
    return float(_table()["seconds"][name])


@cache
def _deviations(p_error: float) -> float:
    """Return how many standard deviations of the noise fit into half a cell at an error rate."""
    return -NormalDist().inv_cdf(p_error / 2)


@cache
def _rates() -> tuple[float, ...]:
    return tuple(math.log2(_deviations(p)) for p in _table()["p_error"])


def _neighbours(p_error: float) -> list[tuple[int, float, float]]:
    """Return the measured rates around one: index, weight, and by how much to shift a precision for it."""
    rates, rate = _rates(), math.log2(_deviations(p_error))  # the table's rates ascend, so these descend
    rate = min(max(rate, rates[-1]), rates[0])
    after = next(i for i, measured in enumerate(rates) if measured <= rate)
    if rates[after] == rate:
        return [(after, 1.0, 0.0)]
    share = (rate - rates[after]) / (rates[after - 1] - rates[after])
    return [(i, weight, rate - rates[i]) for i, weight in ((after - 1, share), (after, 1.0 - share))]


@cache
def _steps(kind: str, index: int, row: int) -> tuple[np.ndarray, list[LookupPrice]]:
    found = _table()[kind][index][row]
    return np.asarray(found["up_to"], dtype=float), [LookupPrice(*cell) for cell in found["cells"]]


def _cell(kind: str, index: int, row: int, at: float) -> LookupPrice | None:
    """Return the first measured cell that keeps ``at``."""
    up_to, cells = _steps(kind, index, row)
    # what was measured to three decimals is met by the same number
    first = int(np.searchsorted(up_to, at - 1e-3))
    return cells[first] if first < len(cells) else None


def _between(found: list[tuple[float, LookupPrice | None]]) -> LookupPrice | None:
    """Return the price between two at the measured rates around one, or None if that weighs more."""
    weight, nearest = max(found, key=lambda pair: pair[0])
    if nearest is None or weight == 1.0:
        return nearest
    known = [(weight, price) for weight, price in found if price is not None]
    total = sum(weight for weight, _ in known)
    return replace(nearest, complexity=sum(weight * price.complexity for weight, price in known) / total)


@lru_cache(maxsize=4096)
def lookup_price(bits: int, precision: float, p_error: float) -> LookupPrice | None:
    """Return what one lookup costs, or None if the engine has no parameters for it.

    Parameters
    ----------
    bits : int
        Bits it reads; 0 for the lowest bit of a value, which exact rounding reads without the bits above.
    precision : float
        Bits that its result must keep; see the module's equation.
    p_error : float
        Probability that it reads a wrong cell.

    Returns
    -------
    LookupPrice or None
    """
    if bits >= len(_table()["native"][0]):
        return None
    found = _neighbours(p_error)
    return _between([(weight, _cell("native", i, bits, precision + shift)) for i, weight, shift in found])


@lru_cache(maxsize=4096)
def crt_price(bits: int, log2_norm: float, p_error: float) -> LookupPrice | None:
    """Return what one lookup of a program on residues costs, or None if the engine has no parameters for it.

    Parameters
    ----------
    bits : int
        Bits of the widest value of the program.
    log2_norm : float
        Of the weights that the largest sum which a lookup reads is made with.
    p_error : float
        Probability that it reads a wrong cell.

    Returns
    -------
    LookupPrice or None
    """
    rows = _table()["crt"][0]
    if bits > MAX_CRT_BITS:
        return None
    row = max(0, bits - 1 - (MAX_CRT_BITS - len(rows)))
    found = []
    for i, weight, shift in _neighbours(p_error):
        up_to, _ = _steps("crt", i, row)
        # the engine expects no more noise than that of the last one
        at = min(log2_norm + shift, float(up_to[-1])) if len(up_to) else 0.0
        found.append((weight, _cell("crt", i, row, at)))
    return _between(found)


@lru_cache(maxsize=4096)
def levelled_dimension(precision: float, p_error: float) -> int | None:
    """Return the LWE dimension of inputs whose sums must keep ``precision`` bits, or None if there is none.

    Parameters
    ----------
    precision : float
        Bits of the sum, and the logarithm of the norm of its weights.
    p_error : float
        Probability that a decrypted sum is wrong.

    Returns
    -------
    int or None
    """
    dimensions = []
    for i, weight, shift in _neighbours(p_error):
        measured = _table()["levelled"][i]
        up_to, cells = measured["up_to"], [cell for (cell,) in measured["cells"]]
        reached = precision + shift
        found = float(np.interp(reached, up_to, cells))
        if reached > up_to[-1]:  # each further bit takes as many as those before
            found += (reached - up_to[-1]) * (cells[-1] - cells[-2]) / (up_to[-1] - up_to[-2])
        if found > LARGEST_LEVELLED:
            return None
        dimensions.append(weight * found)
    return round(sum(dimensions))


def precision_limit(bits: int, p_error: float) -> float:
    """Return the largest precision that results of lookups of ``bits`` bits can keep, or 0 if there is none.

    Parameters
    ----------
    bits : int
    p_error : float

    Returns
    -------
    float
    """
    if bits >= len(_table()["native"][0]):
        return 0.0
    i, _, shift = max(_neighbours(p_error), key=lambda found: found[1])
    up_to, _ = _steps("native", i, bits)
    return float(up_to[-1]) - shift if len(up_to) else 0.0


def reference_seconds() -> "dict[str | int, float]":
    """Return the times of the table's own machine, by names, and of an operation by the polynomial size."""
    names = [name for name in _table()["seconds"] if name != "operation"]
    found: dict[str | int, float] = {name: seconds_of(name) for name in names}
    for bits in range(1, len(_table()["seconds"]["operation"]) + 1):
        found[lookup_shape(bits, bits, DEFAULT_P_ERROR)] = seconds_a_operation(bits)
    return found


def lookup_shape(bits: int, precision: float, p_error: float) -> int:
    """Return the polynomial size of lookups that the engine has parameters for.

    Parameters are those of `lookup_complexity`.

    Returns
    -------
    int
    """
    price = lookup_price(bits, precision, p_error)
    assert price is not None, f"no parameters for {bits} bits"
    return price.polynomial_size


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
        Infinite if the engine has no parameters for it, neither directly nor on residues.
    """
    price = lookup_price(bits, precision, p_error)
    if price is None:
        price = crt_price(max(bits, math.ceil(min(precision, MAX_CRT_BITS))), math.inf, p_error)
    return math.inf if price is None else price.complexity


def truncated_lookup_complexity(bits: int, lsbs: int, p_error: float) -> float:
    """Return the complexity of one lookup whose argument is truncated before, in elementary operations.

    Parameters
    ----------
    bits : int
        Bits of the argument, which the results of lookups that clear one have to keep; the lookup's own are
        taken to keep as many as it reads.
    lsbs : int
        Lowest bits that are cleared, each by a lookup of its own; 0 for a lookup of all.
    p_error : float
        Probability that a lookup reads a wrong cell.

    Returns
    -------
    float
        Infinite if the engine has no parameters for it. Nothing is truncated on residues.

    Examples
    --------
    >>> [round(truncated_lookup_complexity(8, lsbs, 2.0**-40) / 1e6) for lsbs in (0, 4)]
    [3938, 280]
    """
    if lsbs == 0:
        return lookup_complexity(bits, bits, p_error)
    lowest, rest = lookup_price(0, bits, p_error), lookup_price(bits - lsbs, bits - lsbs, p_error)
    return math.inf if lowest is None or rest is None else lsbs * lowest.complexity + rest.complexity


def lookup_seconds(bits: int, precision: float, p_error: float) -> float:
    """Return the seconds of one lookup among many, on the machine the cost table was measured on.

    Parameters are those of `lookup_complexity`. Narrow lookups take more seconds than their complexity tells:
    their polynomials are short, and what is done around the transforms of these counts for more.

    Returns
    -------
    float
    """
    return seconds_a_operation(bits) * lookup_complexity(bits, precision, p_error)


def seconds_a_operation(bits: int) -> float:
    """Return the seconds that a lookup of ``bits`` bits takes for each of its operations."""
    rates = _table()["seconds"]["operation"]
    return float(rates[min(max(bits, 1), len(rates)) - 1])


def encryption_seconds(n_bytes: int) -> float:
    """Return the seconds that inputs take whose ciphertexts have so many bytes, as they are evaluated.

    They are encrypted and handed over to the engine, on the machine the cost table was measured on.
    """
    return n_bytes / WORD_BYTES * seconds_of("encrypted_word")


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
        The last is the largest for which the engine has parameters.

    Examples
    --------
    >>> precision_steps(4, 2.0**-40)
    [9, 17, 20, 22, 24, 25, 26, 27, 28, 29]
    """
    limit = math.floor(precision_limit(bits, p_error))
    prices = [lookup_complexity(bits, precision, p_error) for precision in range(2, limit + 1)]
    dearer = [
        at
        for at, (now, following) in zip(range(2, limit), itertools.pairwise(prices), strict=True)
        if following > now
    ]
    return [*dearer, limit]
