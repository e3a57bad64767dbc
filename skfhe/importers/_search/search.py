"""The search for the cheapest setting within the tolerance.

What a lookup costs depends most on the bits that it reads, then on the norm of the weights behind it. So the
fewest bits that accumulators can be rounded to come first, with all widths generous; then widths are lowered
one after another, as long as that stays within the tolerance; then the rounding of single layers, the dearest
first; then other ways to choose ranges, with one bit less. The margin of calibrated intervals is not searched
for: it is what keeps other rows within them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import get_args

from torch import Tensor

from skfhe._telling import log, progress, timed
from skfhe._typing import Rounding
from skfhe.cost import ErrorRate
from skfhe.importers._lowered import LoweredModel
from skfhe.importers._search.front import Quantization, Tried
from skfhe.importers._search.settings import Options, Setting, Space
from skfhe.importers._search.trials import Trials, measured_rows
from skfhe.network import Calibration, NetworkBuilder

__all__ = ["search"]

GENEROUS = {"op_weights": 8, "op_inputs": 6, "model_inputs": 8}
"""Widths that rounding is tried with first."""
LOWER = {8: 6, 6: 5, 5: 4, 4: 3, 3: 2}
"""What is tried after a width."""
FIRST_ROUNDING, FEWEST_ROUNDING, MOST_ROUNDING = 4, 2, 8
"""Bits that accumulators are rounded to: tried first, at the least and at the most."""
WIDEST = (
    {"op_weights": 8, "op_inputs": 8, "model_inputs": 8},
    {"op_weights": 12, "op_inputs": 8, "model_inputs": 12},
)
"""Widths that are tried where generous ones are not enough, whatever they cost."""
TIED = 1.01
"""Costs that differ by less are the same; the nearer to the network is taken."""
NEARLY = 1.35
"""From what costs so many times the cheapest, rounding layer by layer may still win."""
PROMISING = 1.5
"""Up to so many times the tolerance, widths are lowered further."""
MOST_LAYERS, FINER = 8, 3
"""Layers that are tried with so many bits more, to find the one that is in the way."""
NEARBY, MOST_CALIBRATED_ANEW = 3.0, 4
"""Up to so many times the tolerance, and of so many settings, ranges are chosen in other ways."""
NEAR = 2.0
"""Up to so many times the least loss of what compiles, and the tolerance, the cheapest does if none fits."""
MOST_CONFIRMED = 8
MANY, FEW = 150, 30
"""Settings that are tried at the most."""
LARGE = 1 << 14
"""Values of one row, and a tenth of the weights; of larger networks, few settings are tried."""


def search(
    network: NetworkBuilder,
    space: Space,
    options: Options,
    tolerance: float,
    lenient: bool,
    validation: Sequence[Tensor] | None,
    error_rate: ErrorRate | None,
) -> tuple[LoweredModel, Quantization]:
    """Find the cheapest setting whose outputs stay within the tolerance of the network's.

    Parameters
    ----------
    network : NetworkBuilder
        With the calibration rows.
    space : Space
    options : Options
    tolerance : float
    lenient : bool
        Whether what comes near at a reasonable cost is taken where nothing that compiles fits.
    validation : sequence of Tensor, optional
        Rows to measure on, for each input.
    error_rate : ErrorRate, optional
        2**-40 a lookup by default.

    Returns
    -------
    LoweredModel
        What was taken; if nothing fits, what comes nearest.
    Quantization
        In which nothing is taken then.
    """
    rows = measured_rows(network, validation)
    trials = Trials(rows, options, tolerance, error_rate)
    found = _Search(trials, space, FEW if _size(network) > LARGE else MANY)
    taken_seconds = timed()
    with progress("settings tried", unit="setting") as trials.on_tried:
        found.run()
        taken = found.confirmed()
    log("tried %d settings in %s", len(trials.tried) + len(trials.refused), taken_seconds)
    quantization = Quantization(trials.tried.values(), trials.tolerance, rows.name)
    if taken is not None:
        return trials.lowered(taken.setting), quantization.with_taken(taken)
    if not trials.tried:
        raise next(iter(trials.refused.values()))
    nearest = quantization.nearest
    near = found.near() if lenient else None
    in_the_way = found.in_the_way(nearest) if quantization.too_far or near is not None else ""
    quantization = Quantization(trials.tried.values(), trials.tolerance, rows.name, in_the_way)
    if near is not None:
        return trials.lowered(near.setting), quantization.with_taken(near)
    return trials.lowered(nearest.setting), quantization


def _size(network: NetworkBuilder) -> int:
    """Return about how much work it is to lower a network."""
    weights = (getattr(node.operation, "weight", None) for node in network.nodes)
    n_weights = sum(weight.numel() for weight in weights if weight is not None)
    return n_weights // 10 + sum(node.reference[0].numel() for node in network.nodes)


class _Search:
    """One run of the search."""

    def __init__(self, trials: Trials, space: Space, most: int) -> None:
        self.trials, self.space, self.most = trials, space, most

    def run(self) -> None:
        """Try settings until no cheaper one is expected."""
        start = self.space.given
        if self.space.widths:
            start = start.of_widths(GENEROUS)
            if not self.space.rounding:
                start = self._readable(start)
        if not self.space.widths:
            self._set_tolerance(start)
        roundings: list[Rounding | None] = [start.rounding]
        if self.space.rounding:
            roundings = self._fewest_bits(start)
        for rounding in roundings:
            base = replace(start, rounding=rounding)
            if self.space.widths:
                self._lower_widths(base)
        if not self.best() and self.space.widths:
            self._widen(start)
        if self.space.rounding:
            self._round_layers()
            if self.space.widths:
                self._calibrate()

    @property
    def spent(self) -> bool:
        """Whether enough was tried."""
        return len(self.trials.tried) + len(self.trials.refused) >= self.most

    def best(self) -> Tried | None:
        """Return the cheapest setting that fits, and of those the nearest."""
        return min(self._fitting(), key=_rank, default=None)

    def _fitting(self) -> list[Tried]:
        return [each for each in self.trials.tried.values() if each.fits]

    def confirmed(self) -> Tried | None:
        """Return the cheapest setting that fits with other errors, too; of equal costs, the nearest."""
        for _ in range(MOST_CONFIRMED):
            best = self.best()
            if best is None:
                return None
            most = best.reference_seconds * TIED
            tied = [each for each in self._fitting() if each.reference_seconds <= most]
            chosen = min(tied, key=lambda one: (one.relative_error, _rank(one)))
            again = self.trials.confirmed(chosen)
            self.trials.tried[chosen.setting] = again
            if again.fits:
                return again
        return min(self._fitting(), key=lambda one: (one.loss, _rank(one)), default=None)

    def near(self) -> Tried | None:
        """Return the cheapest setting that loses little more than the nearest of those that compile."""
        tried = [each for each in self.trials.tried.values() if math.isfinite(each.reference_seconds)]
        tried = [each for each in tried if not each.left] or tried
        if not tried:
            return None
        most = NEAR * min(each.loss for each in tried) + self.trials.tolerance
        return min((each for each in tried if each.loss <= most), key=_rank)

    def in_the_way(self, nearest: Tried) -> str:
        """Say which layer's rounding, or what else, keeps the nearest setting from the tolerance."""
        if nearest.left:
            return " Rows leave the calibrated intervals."
        setting = nearest.setting
        if setting.rounding is None or not self.space.rounding:
            return ""
        losses: dict[str, float] = {}
        for layer in self.trials.layers(setting)[:MOST_LAYERS]:
            finer = dict(setting.layers) | {layer: (setting.bits_of(layer) or 0) + FINER}
            found = self.trials(replace(setting, layers=tuple(sorted(finer.items()))))
            losses[layer] = nearest.loss if found is None else found.loss
        worst = min(losses, key=lambda name: losses[name], default=None)
        if worst is None or losses[worst] >= nearest.loss:
            return " Rounding is not what is in the way, but the widths of values and weights."
        bits = setting.bits_of(worst)
        return f" Most of it comes from the accumulators of {worst!r}, which are rounded to {bits} bits."

    def _readable(self, start: Setting) -> Setting:
        """Return the widest setting whose accumulators lookups can read, where these are not rounded."""
        setting = start
        while self.trials(setting) is None and not self.spent:
            given = {name: getattr(setting, name) for name in GENEROUS}
            widths = {name: LOWER[bits] for name, bits in given.items() if bits in LOWER}
            if not widths:
                return start
            setting = setting.of_widths(widths)
        return setting

    def _set_tolerance(self, start: Setting) -> None:
        """With widths that were given, count the tolerance from what they reach with generous rounding."""
        exact = self.trials(replace(start, rounding=(MOST_ROUNDING, "approximate")))
        if exact is not None and exact.loss > 0:
            self.trials.loosen(exact.loss)

    def _fewest_bits(self, start: Setting) -> list[Rounding | None]:
        """Return the fewest bits to round to that fit with ``start``, and one more."""

        def tried(n_bits: int) -> Tried | None:
            return self.trials(replace(start, rounding=(n_bits, "approximate")))

        first = tried(FIRST_ROUNDING)
        if first is not None and not self.trials.lookups(first.setting):
            return [None]
        n_bits = FIRST_ROUNDING
        if self._is_promising(first):
            while n_bits > FEWEST_ROUNDING and self._is_promising(tried(n_bits - 1)):
                n_bits -= 1
        else:
            while n_bits < MOST_ROUNDING and not self._is_promising(tried(n_bits)):
                n_bits += 1
        return [(n, "approximate") for n in (n_bits, n_bits + 1) if n <= MOST_ROUNDING]

    def _lower_widths(self, setting: Setting) -> None:
        """Lower one width after another, the one that then is the cheapest, as long as it fits.

        Those of inputs last: they cost nothing unless an accumulator has no more bits than it is rounded to.
        """
        for names in (("op_weights", "op_inputs"), ("model_inputs",)):
            current = self.trials(setting)
            while current is not None and not self.spent:
                lowered = (self.trials(each) for each in _lower(current.setting, names))
                promising = [each for each in lowered if each is not None and self._is_promising(each)]
                current = min(promising, key=_rank, default=None)
            fitting = [each for each in self._fitting() if each.setting.rounding == setting.rounding]
            setting = min(fitting, key=_rank).setting if fitting else setting

    def _is_promising(self, tried: Tried | None) -> bool:
        """Whether a setting fits, or nearly: that is a matter of luck, too, and one that follows may."""
        return tried is not None and not tried.left and tried.loss <= PROMISING * self.trials.tolerance

    def _widen(self, start: Setting) -> None:
        """Try wide settings, which may be dear, until one fits."""
        for widths in WIDEST:
            for n_bits in (MOST_ROUNDING, MOST_ROUNDING + 2) if self.space.rounding else (0,):
                rounding: Rounding | None = (n_bits, "approximate") if n_bits else start.rounding
                found = self.trials(replace(start.of_widths(widths), rounding=rounding))
                if found is not None and found.fits:
                    return

    def _round_layers(self) -> None:
        """From the cheapest settings, round one layer after another to one bit less, the dearest first."""
        best = self.best()
        if best is None or best.setting.rounding is None:
            return
        near = [each for each in self._fitting() if each.reference_seconds <= best.reference_seconds * NEARLY]
        nearest = min(near, key=lambda one: (one.relative_error, _rank(one)))
        for start in {each.setting: each for each in (best, nearest)}.values():
            self._lower_layers(start)

    def _calibrate(self) -> None:
        """Choose ranges in other ways, where that lets accumulators be rounded to one bit less.

        Each way is tried with the widths that fit, or nearly, at that rounding, the cheapest first.
        """
        best = self.best()
        if best is None or best.setting.rounding is None or best.setting.layers:
            return
        n_bits, method = best.setting.rounding
        lower: Rounding = (max(FEWEST_ROUNDING, n_bits - 1), method)
        tried = [each for each in self.trials.tried.values() if each.setting.rounding == lower]
        near = [each for each in tried if not each.left and each.loss <= NEARBY * self.trials.tolerance]
        for start in sorted(near, key=_rank)[:MOST_CALIBRATED_ANEW] or [best]:
            for calibration in get_args(Calibration):
                if not self.spent:
                    self.trials(replace(start.setting, rounding=lower, calibration=calibration))

    def _lower_layers(self, current: Tried) -> None:
        kept: set[str] = set()
        while not self.spent:
            layers = [name for name in self.trials.layers(current.setting) if name not in kept]
            if not layers or len(self.trials.layers(current.setting)) < 2:
                return
            (layer, *_) = layers
            bits = current.setting.bits_of(layer)
            assert bits is not None
            lower = dict(current.setting.layers) | {layer: bits - 1}
            layers_lowered = replace(current.setting, layers=tuple(sorted(lower.items())))
            found = self.trials(layers_lowered) if bits > FEWEST_ROUNDING else None
            if found is not None and found.fits and found.reference_seconds < current.reference_seconds:
                current = found
            else:
                kept.add(layer)


def _lower(setting: Setting, names: Sequence[str]) -> list[Setting]:
    """Return the settings with one of some widths lowered."""
    widths = {name: getattr(setting, name) for name in names}
    return [setting.of_widths({name: LOWER[bits]}) for name, bits in widths.items() if bits in LOWER]


def _rank(tried: Tried) -> tuple[float, float]:
    return tried.reference_seconds, tried.relative_error
