"""Settings tried out: lowered, priced and evaluated with the error of approximate rounding."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skfhe._typing import BoolArray, FloatArray
from skfhe.cost import Cost, ErrorRate, Report, estimate_cost, lookup_p_error
from skfhe.exceptions import CompilationError
from skfhe.importers._lowered import LoweredModel, lowered_model
from skfhe.importers._search.front import Tried
from skfhe.importers._search.settings import Options, Setting
from skfhe.network import NetworkBuilder, RoundingNoise, evaluate_network, run_with_noise, select_rows
from skfhe.program import is_approximate

__all__ = ["Measured", "Trials", "measured_rows"]

HELD_OUT = 1 / 3
"""Part of the calibration rows that settings are measured on, where no others are given."""
FEWEST = 30
"""Fewer calibration rows are not divided: settings are measured on those that they are calibrated on."""
MOST_MEASURED = 1000
MOST_CALIBRATED = 4096
ENOUGH = 600
"""Rows that agreement is measured on, some of them more than once, with other errors."""
OTHERS = 24
"""Rows whose errors each row's outputs are taken with."""
MOST_DRAWS = 3
ROUNDED = 1e-12
"""How far arithmetic may leave a share of rows."""
ENLARGED = 1.25
"""How many times errors count on rows that the network was probably trained on.

It is surer of these than of others: agreement on them is up to .02 better. With errors a quarter larger, it
was that of rows that the network had not seen, by .01 either way.
"""
MOST_ELEMENTS = 1 << 25
"""Of all values of the network on the rows that are calibrated on."""


@dataclass(frozen=True, eq=False)
class Measured:
    """What settings are calibrated and measured on.

    Parameters
    ----------
    network : NetworkBuilder
        With the rows that are calibrated on.
    inputs : list of ndarray of float64
        The rows that are measured on, for each input of the network.
    outputs : list of ndarray of float64
        What the float network returns there.
    name : str
        Which rows these are.
    enlarged : float, default=1.0
        How many times errors count where agreement is measured.
    """

    network: NetworkBuilder
    inputs: list[FloatArray]
    outputs: list[FloatArray]
    name: str
    enlarged: float = 1.0


def measured_rows(network: NetworkBuilder, validation: Sequence[Tensor] | None) -> Measured:
    """Divide the calibration rows into those that are calibrated on, and those that are measured on.

    Parameters
    ----------
    network : NetworkBuilder
    validation : sequence of Tensor, optional
        Rows to measure on, for each input. All calibration rows are calibrated on then.

    Returns
    -------
    Measured
    """
    n_rows = len(network.inputs[0].reference)
    elements = sum(node.reference[0].numel() for node in network.nodes)
    most = min(MOST_CALIBRATED, max(FEWEST, MOST_ELEMENTS // max(1, elements)))
    order = np.random.default_rng(0).permutation(n_rows)
    if validation is not None:
        network = network if n_rows <= most else select_rows(network, np.sort(order[:most]))
        picked = [rows.to(torch.float64) for rows in validation]
        return Measured(
            network, [rows.numpy() for rows in picked], evaluate_network(network, picked), "validation"
        )
    n_held = 0 if n_rows < FEWEST else min(MOST_MEASURED, most, int(n_rows * HELD_OUT))
    held = np.sort(order[:n_held]) if n_held else np.arange(n_rows)
    rest = np.sort(order[n_held:][:most]) if n_held else held
    name = (
        f"{n_held} rows of the inputset, held out of calibration"
        if n_held
        else "the inputset itself, of too few rows to hold some out"
    )
    there = torch.from_numpy(held)
    return Measured(
        select_rows(network, rest),
        [node.reference[there].numpy() for node in network.inputs],
        [node.reference[there].numpy() for node in network.outputs],
        name,
        ENLARGED,
    )


class Trials:
    """Tries settings, each once.

    Parameters
    ----------
    rows : Measured
    options : Options
    tolerance : float
    error_rate : ErrorRate or None
    """

    def __init__(
        self, rows: Measured, options: Options, tolerance: float, error_rate: ErrorRate | None
    ) -> None:
        self.rows, self.options, self.tolerance = rows, options, tolerance
        self.error_rate = error_rate or ErrorRate()
        self.tried: dict[Setting, Tried] = {}
        self.refused: dict[Setting, CompilationError] = {}
        self.reports: dict[Setting, Report] = {}
        self.on_tried: Callable[[int], Any] = lambda n: None

    def lowered(self, setting: Setting) -> LoweredModel:
        """Return what a setting makes of the network."""
        p_error = self.error_rate.per_lookup(1)
        return lowered_model(self.rows.network, self.options.scheme(setting, p_error), self.error_rate)

    def __call__(self, setting: Setting) -> Tried | None:
        """Try a setting; None if its lookups cannot be written down."""
        if setting not in self.tried and setting not in self.refused:
            try:
                model = self.lowered(setting)
            except CompilationError as error:
                self.refused[setting] = error
            else:
                cost = estimate_cost(model.program, self.error_rate)
                self.tried[setting] = self._measured(setting, model, cost)
                self.reports[setting] = Report.of(model.program, self.error_rate)
            self.on_tried(1)
        return self.tried.get(setting)

    def confirmed(self, tried: Tried) -> Tried:
        """Measure a setting again, with other errors of approximate rounding."""
        model = self.lowered(tried.setting)
        again = self._measured(tried.setting, model, estimate_cost(model.program, self.error_rate), seed=2)
        loss, left = (tried.loss + again.loss) / 2, max(tried.left, again.left)
        return replace(
            again,
            agreement=(tried.agreement + again.agreement) / 2,
            relative_error=(tried.relative_error + again.relative_error) / 2,
            loss=loss,
            left=left,
            fits=self._fits(loss, left, again.reference_seconds),
        )

    def _fits(self, loss: float, left: float, seconds: float) -> bool:
        return loss <= self.tolerance + ROUNDED and not left and math.isfinite(seconds)

    def loosen(self, loss: float) -> None:
        """Count the tolerance from a loss that cannot be helped."""
        self.tolerance += loss
        self.tried = {
            setting: replace(each, fits=self._fits(each.loss, each.left, each.reference_seconds))
            for setting, each in self.tried.items()
        }

    def lookups(self, setting: Setting) -> int:
        """Return how many lookups a setting takes that was tried."""
        return sum(row.lookups for row in self.reports[setting].rows)

    def layers(self, setting: Setting) -> list[str]:
        """Return the layers of a tried setting whose lookups read what was rounded, the dearest first."""
        shares: defaultdict[str, float] = defaultdict(float)
        for row in self.reports[setting].rows:
            if row.lookups and row.accumulator_bits > row.lookup_bits:
                shares[row.layer] += row.cost_share
        return sorted(shares, key=lambda layer: -shares[layer])

    def outputs(self, model: LoweredModel, seed: int = 1) -> tuple[list[FloatArray], BoolArray]:
        """Return a model's outputs on the rows that are measured on, as often as they are measured.

        Parameters
        ----------
        model : LoweredModel
        seed : int, default=1
            Of the errors of approximate rounding.

        Returns
        -------
        outputs : list of ndarray of float64
        left : ndarray of bool
            Whether a value of the row left its interval.
        """
        approximate = any(is_approximate(value.op) for value in model.plain.values)
        times = math.ceil(ENOUGH / max(1, len(self.rows.inputs[0]))) if approximate else 1
        noise = RoundingNoise(lookup_p_error(model.program, self.error_rate), seed=seed)
        encoded = [
            _repeated(quantizer.quantize(self.rows.inputs[index]), min(MOST_DRAWS, times))
            for index, quantizer in model.lowered.quantizers
        ]
        integers, left = run_with_noise(model.plain, noise, *encoded)
        return list(model.decode_plain(integers)), left

    def _measured(self, setting: Setting, model: LoweredModel, cost: Cost, seed: int = 1) -> Tried:
        found, rows_left = self.outputs(model, seed)
        times = len(rows_left) // max(1, len(self.rows.inputs[0]))
        wanted = [_repeated(each, times) for each in self.rows.outputs]
        agreement, error, loss = nearness(found, wanted, self.rows.enlarged)
        left = float(rows_left.mean())
        fits = self._fits(loss, left, cost.reference_seconds)
        seconds = cost.seconds, cost.reference_seconds
        return Tried(setting, cost.complexity, *seconds, agreement, error, loss, left, fits)


def _repeated(rows: Any, times: int) -> Any:
    return np.tile(rows, (times, *(1,) * (rows.ndim - 1)))


def _shifts(n_rows: int) -> range:
    """Return by how many rows errors are moved, which spread over all."""
    return range(0, n_rows, max(1, n_rows // OTHERS))


def nearness(
    found: Sequence[FloatArray], wanted: Sequence[FloatArray], enlarged: float = 1.0
) -> tuple[float, float, float]:
    """Return how near outputs are to those wanted: the worst agreement, relative error and loss of them.

    The loss of outputs that look like scores of classes, which are those of several columns, is the share of
    rows with another largest one; of positions, the share of other ones; of all others it is the relative
    error. The agreement is NaN where none do.

    Few rows are near a change, so that their share is a matter of luck. It is also counted with the errors of
    other rows, ``enlarged`` times; the larger of the two shares is the loss.
    """
    agreements, errors, losses = [], [], []
    for some, others in zip(found, wanted, strict=True):
        finite = np.isfinite(others) & np.isfinite(some)
        difference = np.where(finite, some - np.where(finite, others, 0.0), 0.0)
        spread = float(np.mean(np.var(np.where(finite, others, 0.0), axis=0))) if others.size else 0.0
        square = float(np.mean(np.square(difference))) if others.size else 0.0
        if some.dtype.kind in "iub":  # classes, or other positions
            agreements.append(float(np.mean(some == others)))
            errors.append(square / spread if spread else float(square > 0))
            losses.append(1 - agreements[-1])
            continue
        errors.append(square / spread if spread else math.inf if square else 0.0)
        losses.append(errors[-1])
        if others.ndim == 2 and others.shape[1] > 1:
            largest = others.argmax(axis=1)
            agreements.append(float(np.mean(some.argmax(axis=1) == largest)))
            moved = (np.roll(enlarged * difference, shift, axis=0) for shift in _shifts(len(others)))
            changed = [np.mean((others + error).argmax(axis=1) != largest) for error in moved]
            losses[-1] = max(1 - agreements[-1], float(np.mean(changed)))
    return min(agreements, default=math.nan), max(errors, default=0.0), max(losses, default=0.0)
