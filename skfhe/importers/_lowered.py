"""From a float network to a program that is as cheap as its scheme allows."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass

from skfhe._typing import FloatArray, IntArray
from skfhe.cost import ErrorRate, estimate_cost
from skfhe.encoding import AffineEncoder, OutputDecoders, TailDecoder
from skfhe.encrypted_model import EncryptedModel
from skfhe.network import Lowered, NetworkBuilder, Scheme, lower_network
from skfhe.passes import (
    DEFAULT_PASSES,
    drop_unused_values,
    narrow_lookups,
    optimize,
    protect_roundings,
    round_constant_cells,
)
from skfhe.program import Program, ops

__all__ = ["LoweredModel", "lowered_model"]


@dataclass(frozen=True, eq=False)
class LoweredModel:
    """What a scheme makes of a network.

    Parameters
    ----------
    lowered : Lowered
    plain : Program
        Before its lookups are made cheaper; it computes the same.
    program : Program
    doubled : tuple of int
        How often each output of ``program`` is doubled.
    """

    lowered: Lowered
    plain: Program
    program: Program
    doubled: tuple[int, ...]

    def encrypted_model(self) -> EncryptedModel:
        """Return the program between its edges."""
        return EncryptedModel(
            AffineEncoder(self.lowered.quantizers), self.program, self._decoder(self.doubled)
        )

    def decode_plain(self, integers: Sequence[IntArray]) -> tuple[FloatArray, ...]:
        """Return the floats that integers of the plain program's outputs stand for."""
        return self._decoder((0,) * len(integers)).decode(*integers)

    def _decoder(self, doubled: Sequence[int]) -> OutputDecoders | TailDecoder:
        pairs = zip(self.lowered.decoders, doubled, strict=True)
        decoders = [each.of_doubled(times) for each, times in pairs]
        tail = self.lowered.tail
        return OutputDecoders(decoders) if tail is None else TailDecoder(decoders, tail)


def lowered_model(
    network: NetworkBuilder, scheme: Scheme, error_rate: ErrorRate | None = None
) -> LoweredModel:
    """Lower a network, and make its lookups as cheap as can be at an error rate.

    Parameters
    ----------
    network : NetworkBuilder
    scheme : Scheme
        It is used up.
    error_rate : ErrorRate, optional
        2**-40 a lookup by default.

    Returns
    -------
    LoweredModel
    """
    again = deepcopy(scheme)
    found = _lowered(network, scheme, error_rate)
    if scheme.emitter.freed_cells and not _counts_modulo(found.program):
        again.emitter.frees_cells = False
        found = _lowered(network, again, error_rate)
    return found


def _lowered(network: NetworkBuilder, scheme: Scheme, error_rate: ErrorRate | None) -> LoweredModel:
    lowered = lower_network(network, scheme)
    plain = optimize(lowered.program, [*DEFAULT_PASSES, protect_roundings])
    return LoweredModel(lowered, plain, *_cheapest(plain, error_rate))


def _counts_modulo(program: Program) -> bool:
    return any(isinstance(value.op, ops.Modulo) for value in program.values)


def _cheapest(program: Program, error_rate: ErrorRate | None) -> tuple[Program, tuple[int, ...]]:
    """Return the program with its lookups as cheap as can be, and how often each output is doubled.

    What clears the low bits of an accumulator leaves nothing to narrow, and the other way round.
    """
    cleared = optimize(program, [round_constant_cells])
    narrow, doubled = narrow_lookups(program, error_rate)
    if narrow is not program:
        narrow = optimize(narrow, [drop_unused_values, round_constant_cells])
        seconds = [estimate_cost(each, error_rate).reference_seconds for each in (narrow, cleared)]
        if seconds[0] < seconds[1]:
            return narrow, doubled
    return cleared, (0,) * len(doubled)
